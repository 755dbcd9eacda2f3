"""The whole of pattern scoring: tables, columns, functions, triggers, roles.

Why: one transaction, so that no application ever sees columns without the triggers that keep them.
A running worker of the previous release sees: there is none.
Downgrade loses: everything in schema ml (models, scores, settings, labels) and our columns. The older tables come
back with their data and triggers; price_bars stays while it holds rows. Tables that were born here are dropped, and
that is refused while they hold rows. Roles stay: they belong to the cluster.

Revision: 0001
"""

from alembic import op

from db_functions.ddl import sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FILES = (
    "roles/roles/v1",
    "adoption/open_schema/v1",
    "tables/adoption/v1",
    "adoption/create_tables/v1",
    "tables/settings/v1",
    "tables/models/v1",
    "tables/queue/v1",
    "tables/suspects/v1",
    "tables/predictions/v1",
    "tables/outcomes/v1",
    "tables/bar_changes/v1",
    "functions/touch_pattern/v1",
    "functions/log_status/v1",
    "functions/log_status_columns/v1",
    "functions/intake_pattern/v1",
    "functions/guard_pattern/v1",
    "functions/blend_pattern/v1",
    "functions/enqueue_patterns/v1",
    "functions/recount_pattern/v1",
    "functions/check_bar/v1",
    "functions/log_bar_changes/v1",
    "adoption/add_columns/v1",
    "adoption/replace_triggers/v1",
    "triggers/pattern_events/v1",
    "triggers/price_bars/v1",
    "adoption/policies/v1",
    "functions/change_setting/v1",
    "functions/set_text/v1",
    "functions/set_number/v1",
    "functions/set_boolean/v1",
    "functions/enable/v1",
    "functions/disable/v1",
    "functions/apply_environment/v1",
    "functions/register_model/v1",
    "functions/record_parity/v1",
    "functions/set_champion/v1",
    "functions/promote/v1",
    "functions/rollback/v1",
    "functions/retire/v1",
    "functions/model_at/v1",
    "functions/write_scores/v1",
    "functions/write_failures/v1",
    "functions/heartbeat/v1",
    "functions/make_partitions/v1",
    "functions/mute_doorbell/v1",
    "functions/redrive/v1",
    "functions/suspects/v1",
    "functions/prune/v1",
    "functions/write_labels/v1",
    "functions/label/v1",
    "functions/label_outcomes/v1",
    "functions/set_triggers/v1",
    "functions/adopt_rows/v1",
    "functions/restore_rows/v1",
    "views/queue_status/v1",
    "views/model_timeline/v1",
    "grants/grants/v1",
    "adoption/first_partitions/v1",
)


def upgrade() -> None:
    for file in FILES:
        op.execute(sql(file))


def downgrade() -> None:
    op.execute(sql("adoption/take_down/v1"))
