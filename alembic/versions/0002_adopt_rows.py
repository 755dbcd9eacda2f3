"""Fill detected_at, rule_confidence and direction on rows that were there before.

Why: apart from 0001, in short transactions of its own, so that a table of any size is adopted without a long lock.
A running worker of the previous release sees: there is none; applications see rows fill up.
Downgrade loses: nothing here; it puts rule_confidence back into confidence. Stop the workers first.

Revision: 0002, after 0001
"""

from alembic import op

from db_functions.ddl import statement, unhurried

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with unhurried(op):
        op.execute(statement("call ml_internal.adopt_rows()"))


def downgrade() -> None:
    with unhurried(op):
        op.execute(statement("call ml_internal.restore_rows()"))
