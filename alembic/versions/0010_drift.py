"""Drift: how what a model sees and answers differs from its baseline, as views over counts; baselines set by operators.

Why: a model goes wrong first where its inputs change, weeks before outcomes tell. No raw prediction is read, but
for the first baseline of a model that was registered without one.
A running worker of the previous release sees: nothing new.
Downgrade loses: the views and functions. Baselines that were set stay, and the newest of a model still holds.

Revision: 0010, after 0009
"""

from alembic import op

from db_functions.ddl import sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FILES = (
    "functions/chi_squared/v1",
    "functions/measure_drift/v1",
    "functions/add_bins/v1",
    "functions/freeze_bins/v2",
    "functions/collect_histograms/v1",
    "functions/set_baseline/v1",
    "views/drift_windows/v1",
    "views/feature_drift/v1",
    "views/prediction_drift/v1",
    "views/data_quality/v1",
    "grants/drift/v1",
)


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    op.execute(sql("functions/freeze_bins/v1"))
    op.execute(sql("removals/drift/v1"))
