"""Announcements: an application that waits for a score may be told of it, on the channel ml_scored.

Why: it would poll otherwise. Off by default: transactions that notify commit one after another.
A running worker of the previous release sees: nothing; it announces nothing, whatever the setting.
Downgrade loses: the setting; nobody is told any more.

Revision: 0007, after 0006
"""

from alembic import op

from db_functions.ddl import sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("tables/announcements/v1"))
    op.execute(sql("functions/announce_scores/v1"))
    op.execute(sql("grants/announcements/v1"))


def downgrade() -> None:
    op.execute(sql("removals/announcements/v1"))
