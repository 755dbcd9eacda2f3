"""Live rows whose pattern an application has locked are passed over, and tried again.

Why: a scorer waited for such a row with its whole batch in hand, gave up after five seconds, made new connections and
claimed the same rows again. One open or prepared transaction that had locked one waiting pattern stopped all scoring;
an application that updated several at once could deadlock with a scorer.
A running worker of the previous release sees: the row as skipped, and claims it again at once, for as long as it is
locked; all others are scored.
Downgrade loses: nothing; scorers wait again.

Revision: 0020, after 0019
"""

from alembic import op

from db_functions.ddl import sql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("functions/lock_patterns/v1"))
    op.execute(sql("functions/write_batch/v2"))
    op.execute(sql("functions/write_failures/v3"))


def downgrade() -> None:
    op.execute(sql("functions/write_failures/v2"))
    op.execute(sql("functions/write_batch/v1"))
    op.execute(sql("removals/locked_patterns/v1"))
