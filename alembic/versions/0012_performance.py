"""Calibration and performance: realised, estimated before labels exist, and the gap between them.

Why: whether the probabilities mean what they say, and what the model adds over the rule, is a select away, for each
week, pattern type and timeframe.
A running worker of the previous release sees: nothing.
Downgrade loses: nothing but the views.

Revision: 0012, after 0011
"""

from alembic import op

from db_functions.ddl import sql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FILES = (
    "functions/wilson/v1",
    "views/calibration/v1",
    "views/calibration_summary/v1",
    "views/performance_realised/v1",
    "views/performance_estimated/v1",
    "views/performance_gap/v1",
    "grants/performance/v1",
)


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    op.execute(sql("removals/performance/v1"))
