"""Room for the score on a new row's own page.

Why: a first score is then a heap-only update, which touches no index; measured by `python -m bench --only storage`.
A running worker of the previous release sees: nothing. Pages that are there already stay as full as they are.
Downgrade loses: nothing; new pages are filled to one half again.

Revision: 0013, after 0012
"""

from alembic import op

from db_functions.ddl import sql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("tables/score_room/v1"))


def downgrade() -> None:
    op.execute(sql("removals/score_room/v1"))
