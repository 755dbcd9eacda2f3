"""Why a score is what it is: what each feature contributed, kept beside the predictions.

Why: `python -m training explain` answers that for a row or for a share of them; analysts read it by pattern.
A running worker of the previous release sees: nothing; its `ml.prune` drops old attributions with the rest.
Downgrade loses: the attributions, which can be computed again while their predictions are kept.

Revision: 0016, after 0015
"""

from alembic import op

from db_functions.ddl import sql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

FILES = (
    "tables/attributed_scores/v1",
    "functions/write_attributions/v1",
    "functions/prune/v4",
    "views/attributions/v1",
    "views/attribution_importance/v1",
    "grants/attributions/v1",
)


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    op.execute(sql("functions/prune/v3"))
    op.execute(sql("removals/attributions/v1"))
