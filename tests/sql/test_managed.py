"""A managed server, as docs/managed.md describes it: no superuser, passwords only, one database, PostgREST before it.

The administrator is what a provider gives: CREATEROLE and CREATEDB, no superuser, owner of its database. The server
lets in the named logins, to that one database, with a password.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from db_functions.database import Connection
from tests.conftest import upgrade
from tests.servers import Server, running
from tests.support import insert_bars, row_of
from worker.cli import main
from worker.serving.engine import Engine

pytestmark = pytest.mark.compat

LOGINS = ("provider", "scorer", "authenticator")
PASSWORD = "not-a-secret"


@dataclass(frozen=True, slots=True)
class Managed:
    host: str
    port: int

    def url(self, login: str, database: str = "app") -> str:
        return f"postgresql://{login}:{PASSWORD}@/{database}?host={self.host}&port={self.port}"


@pytest.fixture(scope="module")
def managed(server: Server) -> Iterator[Managed]:
    with running(server.source) as started:
        with psycopg.connect(started.url("postgres"), autocommit=True) as root:
            root.execute(f"create role provider login password '{PASSWORD}' createrole createdb nosuperuser")
            root.execute("create database app owner provider")
            file = root.execute("show hba_file").fetchone()
            rules = "".join(f"local app {login} scram-sha-256\n" for login in LOGINS)
            with open(str(file and file[0]), "w") as hba:  # noqa: PTH123 - in place: the server's own user owns it
                hba.write(rules)
            root.execute("select pg_reload_conf()")
        place = Managed(started.host, started.port)
        upgrade(place.url("provider"))
        with psycopg.connect(place.url("provider"), autocommit=True) as provider:
            _roles(provider)
        yield place


def _roles(provider: Connection) -> None:
    """The recipe of docs/managed.md, in the order that it has there."""
    provider.execute(
        f"create role scorer login password '{PASSWORD}' in role ml_worker;"
        f"create role authenticator login noinherit password '{PASSWORD}';"
        "create role anon; create role authenticated; create role dashboard in role ml_analyst;"
        "grant anon, authenticated, dashboard to authenticator;"
        "grant ml_app to authenticated;"
        "alter table pattern_events enable row level security; alter table price_bars enable row level security;"
        "create policy own on pattern_events to authenticated "
        "using (operator_id = current_setting('request.jwt.claims', true)::json ->> 'sub') "
        "with check (operator_id = current_setting('request.jwt.claims', true)::json ->> 'sub');"
        "create policy bars on price_bars for select to authenticated using (true)"
    )


def _postgrest(
    managed: Managed, role: str, subject: str, statement: str, *parameters: object, write: bool = False
) -> Any:
    """One request as PostgREST makes it: one transaction, role and claims set locally, one statement; its body."""
    with psycopg.connect(managed.url("authenticator"), autocommit=True) as session:
        session.read_only = None if write else True
        with session.transaction():
            session.execute(
                "select set_config('search_path', '\"public\"', true), set_config('role', %s, true), "
                "set_config('request.jwt.claims', %s, true), set_config('request.method', %s, true)",
                [role, json.dumps({"role": role, "sub": subject}), "POST" if write else "GET"],
            )
            row = session.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


RPC = """
    with pgrst_source as (
        select pgrst_call.pgrst_scalar from (select %s::json as json_data) pgrst_payload,
        lateral (select "grain" from json_to_record(pgrst_payload.json_data) as _("grain" text) limit 1) pgrst_body,
        lateral (select "ml"."metrics_json"("grain" := pgrst_body."grain") pgrst_scalar) pgrst_call)
    select coalesce(json_agg(_postgrest_t.pgrst_scalar) -> 0, 'null') as body
    from (select "metrics_json".* from "pgrst_source" as "metrics_json") _postgrest_t"""
RPC_PLAIN = """
    with pgrst_source as (select pgrst_call.pgrst_scalar from (select "ml"."{0}"() pgrst_scalar) pgrst_call)
    select coalesce(json_agg(_postgrest_t.pgrst_scalar) -> 0, 'null') as body
    from (select "{0}".* from "pgrst_source" as "{0}") _postgrest_t"""
READ = """
    with pgrst_source as (
        select "public"."pattern_events"."id", "public"."pattern_events"."confidence",
               "public"."pattern_events"."ml_metadata" from "public"."pattern_events" limit 10 offset 0)
    select coalesce(json_agg(_postgrest_t), '[]') as body from (select * from pgrst_source) _postgrest_t"""
WRITE = """
    with pgrst_source as (
        insert into "public"."pattern_events" ("confidence", "detected_at", "entry", "operator_id", "pattern_type",
                                               "stoploss", "symbol", "target", "timeframe")
        select pgrst_body."confidence", pgrst_body."detected_at", pgrst_body."entry", pgrst_body."operator_id",
               pgrst_body."pattern_type", pgrst_body."stoploss", pgrst_body."symbol", pgrst_body."target",
               pgrst_body."timeframe"
        from (select %s::json as json_data) pgrst_payload,
        lateral (select * from json_to_record(pgrst_payload.json_data) as _(
            "confidence" double precision, "detected_at" timestamptz, "entry" double precision, "operator_id" text,
            "pattern_type" text, "stoploss" double precision, "symbol" text, "target" double precision,
            "timeframe" text)) pgrst_body
        returning "public"."pattern_events".*)
    select coalesce(json_agg(_postgrest_t) -> 0, 'null') as body
    from (select "pattern_events".* from "pgrst_source" as "pattern_events") _postgrest_t"""
"""What PostgREST 12 sends for ``/rpc/metrics_json?grain=hour``, ``/rpc/health_json``, and for reading and inserting."""
PATTERN = {
    "symbol": "ACME", "timeframe": "1d", "pattern_type": "flag", "detected_at": "2024-07-01T00:00:00Z", "entry": 100,
    "stoploss": 95, "target": 110, "confidence": 0.7,
}  # fmt: skip


def test_a_pattern_sent_over_postgrest_is_scored_and_read_back_by_its_tenant_alone(managed: Managed) -> None:
    with psycopg.connect(managed.url("provider"), autocommit=True) as provider:
        insert_bars(provider)
        provider.execute("grant ml_publisher, ml_operator to provider")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", managed.url("provider"))
        assert main(["first-passage", "--promote"]) == 0
    sent = _postgrest(managed, "authenticated", "a", WRITE, Jsonb({**PATTERN, "operator_id": "a"}), write=True)
    assert sent["ml_metadata"] == {"source": "rule", "reason": "pending"}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _postgrest(managed, "authenticated", "b", WRITE, Jsonb({**PATTERN, "operator_id": "a"}), write=True)
    with psycopg.connect(managed.url("scorer"), autocommit=True) as work:
        engine = Engine(work)
        engine.refresh_model()
        assert engine.score_queue().done == 1
        assert row_of(work, sent["id"], "confidence")["confidence"] is not None
    (seen,) = _postgrest(managed, "authenticated", "a", READ)
    assert seen["ml_metadata"]["reason"] == "scored"
    assert _postgrest(managed, "authenticated", "b", READ) == []


def test_postgrest_reads_the_json_functions_as_an_analyst_alone(managed: Managed) -> None:
    assert _postgrest(managed, "dashboard", "x", RPC_PLAIN.format("health_json"))["ml_enabled"] is True
    assert _postgrest(managed, "dashboard", "x", RPC_PLAIN.format("alerts_json"))["count"] >= 1
    assert "history" in _postgrest(managed, "dashboard", "x", RPC, Jsonb({"grain": "hour"}))
    for role in ("anon", "authenticated"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _postgrest(managed, role, "x", RPC_PLAIN.format("health_json"))


def test_doctor_finds_nothing_that_a_provider_does_not_allow(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", managed.url("provider"))
    main(["doctor"])
    failed = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert failed == ["workers"], "none runs; nothing else is wrong"


def test_no_other_database_is_asked_for(managed: Managed) -> None:
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        psycopg.connect(managed.url("provider", "postgres"))
