"""ml.reblend: stored rows follow a change of weights, threshold or switch.

Why: the blend trigger decides when a score or a rule confidence is written; after a change of settings the rows that
were there keep their old blend until somebody asks for a new one.
A running worker of the previous release sees: nothing; a row that it scores meanwhile is decided by the trigger.
Downgrade loses: the record of runs (ml.reblends); rows keep the blend they have.

Revision: 0005, after 0004
"""

from alembic import op

from db_functions.ddl import sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("tables/reblends/v1"))
    op.execute(sql("views/reblend_preview/v1"))
    op.execute(sql("functions/reblend/v1"))


def downgrade() -> None:
    op.execute(sql("removals/reblend/v1"))
