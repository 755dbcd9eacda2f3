"""Programs may read which revision the database is at.

Why: doctor compares it with the one that its release was made for, as whoever runs it.
A running worker of the previous release sees: nothing.
Downgrade loses: nothing but this right.

Revision: 0015, after 0014
"""

from alembic import op

from db_functions.ddl import sql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("grants/revision/v1"))


def downgrade() -> None:
    op.execute(sql("removals/revision/v1"))
