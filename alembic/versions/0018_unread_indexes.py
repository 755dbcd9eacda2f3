"""Without two indexes that nothing reads.

Why: no program, view or function looks up a dead letter by its pattern or a transition by its alert, and every write
paid for them; measured by `python -m bench --only storage`. Both tables are short enough to be read whole by a person.
A running worker of the previous release sees: nothing.
Downgrade loses: nothing; the indexes are built again.

Revision: 0018, after 0017
"""

from alembic import op

from db_functions.ddl import sql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("removals/unread_indexes/v1"))


def downgrade() -> None:
    op.execute(sql("tables/unread_indexes/v1"))
