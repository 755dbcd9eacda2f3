"""Drift, data quality, calibration and performance call for alerts too.

Why: what the views show needs somebody only when it is large, no chance, and lasts; then it stands in ml.alerts.
A running worker of the previous release sees: nothing; it raises no alerts.
Downgrade loses: these alerts; those that stand clear at the next look.

Revision: 0014, after 0013
"""

from alembic import op

from db_functions.ddl import sql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for file in ("views/alert_drift/v1", "views/alert_performance/v1", "views/alert_conditions/v2", "grants/watch/v1"):
        op.execute(sql(file))


def downgrade() -> None:
    for file in ("removals/watch/v1", "views/alert_conditions/v1", "grants/alerts/v1"):
        op.execute(sql(file))
