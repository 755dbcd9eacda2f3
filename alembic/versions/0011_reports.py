"""Health, metrics and alerts as JSON, for the HTTP endpoints and for PostgREST.

Why: one definition of what an endpoint answers, wherever it is asked for.
A running worker of the previous release sees: nothing.
Downgrade loses: nothing.

Revision: 0011, after 0010
"""

from alembic import op

from db_functions.ddl import sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("functions/reports_json/v1"))


def downgrade() -> None:
    op.execute(sql("removals/reports_json/v1"))
