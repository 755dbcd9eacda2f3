"""Provenance of a score, and replays: scores of the past made again by any registered model.

Why: whoever asks why a row has its confidence gets the model, the settings, the inputs and the worker in one SELECT.
A running worker of the previous release sees: nothing.
Downgrade loses: nothing but the functions and the view; replays stay in ml.predictions.

Revision: 0009, after 0008
"""

from alembic import op

from db_functions.ddl import sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FILES = (
    "tables/replays/v1",
    "functions/explain_score/v1",
    "functions/write_replay/v1",
    "views/replay_differences/v1",
    "grants/replay/v1",
)


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    op.execute(sql("removals/replay/v1"))
