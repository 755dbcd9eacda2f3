"""An application that switches row-level security on: each tenant sees its own, the system sees all."""

from __future__ import annotations

import psycopg
import pytest

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, row_of
from worker.serving.engine import Engine

pytestmark = pytest.mark.compat


@pytest.fixture
def tenants(connection: Connection) -> Connection:
    connection.execute(
        "alter table pattern_events enable row level security; alter table price_bars enable row level security;"
        "create policy tenant on pattern_events using (operator_id = current_setting('app.tenant')) "
        "with check (operator_id = current_setting('app.tenant'));"
        "create policy everybody on price_bars using (true) with check (true)"
    )
    insert_bars(connection)
    make_champion(connection, "small-1")
    return connection


def as_tenant(url: str, tenant: str) -> Connection:
    connected = psycopg.connect(url, autocommit=True)
    connected.execute("set role ml_app")
    connected.execute("select set_config('app.tenant', %s, false)", [tenant])
    return connected


def test_the_worker_scores_what_each_tenant_alone_can_see(database: str, tenants: Connection) -> None:
    with as_tenant(database, "a") as a, as_tenant(database, "b") as b:
        mine = insert_pattern(a, operator_id="a")
        theirs = insert_pattern(b, operator_id="b")
        with psycopg.connect(database, autocommit=True) as work:
            work.execute("set role ml_worker")
            assert Engine(work).score_queue().done == 2
        assert row_of(a, mine, "model_version") == {"model_version": "small-1"}
        assert a.execute("select count(*) from pattern_events where id = %s", [theirs]).fetchone() == (0,)
        a.execute("update pattern_events set confidence = 0.9 where id = %s", [mine])
        assert row_of(a, mine, "rule_confidence") == {"rule_confidence": 0.9}
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            insert_pattern(a, operator_id="b")


def test_labels_reach_every_tenant(database: str, tenants: Connection) -> None:
    with as_tenant(database, "a") as a:
        pattern = insert_pattern(a, operator_id="a")
        tenants.execute("grant ml_analyst to current_user")
        tenants.execute("set role ml_analyst")
        tenants.execute("select ml.label(%s, 'positive', 'seen on the chart')", [pattern])
        assert row_of(a, pattern, "outcome_label") == {"outcome_label": "positive"}
