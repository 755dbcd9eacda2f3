"""Counts written with the scores: rollups, frozen bins, baselines, cohorts of outcomes.

Why: health, metrics, drift and performance are read from counts that agree with ml.predictions exactly, never from raw
rows. Models that are registered already get their bins from the drift baseline that came with them.
A running worker of the previous release sees: nothing new. Its ml.write_scores counts for it, but for the features, the
classes of inputs and the bar cache, of which it tells nothing.
Downgrade loses: every count, baseline and alert setting, and what predictions remember of their rows. Scores stay.

Revision: 0003, after 0002
"""

from alembic import op

from db_functions.ddl import sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FILES = (
    "tables/prediction_columns/v1",
    "tables/bins/v1",
    "functions/arrays/v1",
    "tables/rollups/v1",
    "tables/alert_settings/v1",
    "functions/latency_bins/v1",
    "functions/freeze_bins/v1",
    "functions/register_model/v2",
    "functions/write_batch/v1",
    "functions/write_tally/v1",
    "functions/write_scores/v2",
    "functions/write_failures/v2",
    "functions/write_labels/v2",
    "views/fresh_metrics/v1",
    "views/fresh_features/v1",
    "views/fresh_cohorts/v1",
    "views/metric_counts/v1",
    "views/feature_counts/v1",
    "views/cohort_counts/v1",
    "functions/fold/v1",
    "functions/prune/v2",
    "functions/drop_partitions/v1",
    "grants/monitoring/v1",
    "adoption/freeze_models/v1",
)
RESTORED = ("register_model", "write_scores", "write_failures", "write_labels", "prune")


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    for function in RESTORED:
        op.execute(sql(f"functions/{function}/v1"))
    op.execute(sql("removals/monitoring/v1"))
