"""Probation takes rows that a process has died of last, after others have shown that this process can score.

Why: a process that is at fault itself, killed as soon as it scores anything, must not have rows given up one by one.
A running worker of the previous release sees: nothing.
Downgrade loses: nothing.

Revision: 0008, after 0007
"""

from alembic import op

from db_functions.ddl import sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("functions/review_suspects/v1"))
    op.execute(sql("grants/probation/v1"))


def downgrade() -> None:
    op.execute(sql("removals/probation/v1"))
