"""Drift that pools away no bin in which a small baseline is crowded.

Why: a bin counted as sparse when fewer than ten rows were expected in the smaller sample, even where all of that sample
lay in it. Against very many live rows the whole baseline could be pooled with everything else: no difference, p = 1.
A running worker of the previous release sees: nothing; alerts may be raised that were missed.
Downgrade loses: those alerts clear again.

Revision: 0019, after 0018
"""

from alembic import op

from db_functions.ddl import sql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("functions/measure_drift/v2"))


def downgrade() -> None:
    op.execute(sql("functions/measure_drift/v1"))
