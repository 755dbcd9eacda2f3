"""Challengers: models that score beside the champion, are compared with it, and follow it when they pass the gates.

Why: a model is promoted on what it did with live rows, not on what its file promised.
A running worker of the previous release sees: nothing new. It asks no challenger, so nothing is compared.
Downgrade loses: the pairs of scores that comparisons read, open challenges (closed now) and the gates' settings.

Revision: 0006, after 0005
"""

from alembic import op

from db_functions.ddl import sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FILES = (
    "tables/shadow/v1",
    "tables/gate_settings/v1",
    "functions/fraction_of/v1",
    "functions/t_quantile/v1",
    "functions/compare_shadow/v1",
    "functions/gates/v1",
    "functions/write_shadow/v1",
    "functions/challenge/v1",
    "functions/set_champion/v2",
    "functions/promote/v2",
    "functions/retire/v2",
    "functions/prune/v3",
    "views/shadow_comparison/v1",
    "grants/shadow/v1",
)
RESTORED = ("functions/set_champion/v1", "functions/promote/v1", "functions/retire/v1", "functions/prune/v2")


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    for file in (*RESTORED, "removals/shadow/v1"):
        op.execute(sql(file))
