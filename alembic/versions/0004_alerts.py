"""Health, metrics and alerts, read from the counts.

Why: the state of the whole system with one SELECT, and alerts that are kept, acknowledged and sent on ml_alerts.
A running worker of the previous release sees: nothing. It raises no alerts; those that are computed when they are read
(no worker, no model, stalled queue) stand without it.
Downgrade loses: the alerts that were raised, with their transitions.

Revision: 0004, after 0003
"""

from alembic import op

from db_functions.ddl import sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FILES = (
    "tables/alert_log/v1",
    "functions/score_quantiles/v1",
    "functions/metrics_between/v1",
    "views/metrics/v1",
    "views/metrics_history/v1",
    "views/alert_rates/v1",
    "views/alert_states/v1",
    "views/alert_conditions/v1",
    "views/alerts/v1",
    "views/health/v1",
    "functions/check_alerts/v1",
    "functions/acknowledge/v1",
    "functions/label_due/v1",
    "grants/alerts/v1",
)


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    op.execute(sql("removals/alerts/v1"))
