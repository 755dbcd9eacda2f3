"""The status page shows calibration by pattern type and timeframe, and colours figures by the settings.

Why: a model that is calibrated over all rows may be wrong on one pattern type, and nobody saw it there.
A running worker of the previous release sees: nothing. Its HTTP process finds two keys more in ml.page_json.
Downgrade loses: nothing but these keys.

Revision: 0017, after 0016
"""

from alembic import op

from db_functions.ddl import sql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("functions/page_json/v1"))


def downgrade() -> None:
    op.execute(sql("functions/reports_json/v1"))
