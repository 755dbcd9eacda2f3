"""The HTTP process as its users see it: a real client, a live worker under load, figures that equal the views."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from db_functions.database import Connection
from tests.servers import Server
from tests.support import at, insert_bars, insert_pattern, make_champion, wait_until
from tests.worker_support import count, process, working
from worker.cli import main
from worker.http.app import BODY_BYTES, NO_BODY, description, make_app, serve
from worker.http.server import listening
from worker.operating import first_passage
from worker.serving.engine import Engine

pytestmark = pytest.mark.usefixtures("within_an_hour")

TOKEN = "a-token-of-this-test"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(url: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
    request = urllib.request.Request(url, method=method, data=body.encode() if body else None, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode())


@pytest.fixture
def reader(connection: Connection, database: str, server: Server) -> Iterator[str]:
    """The URL of a login role as docs/operators.md makes it."""
    connection.execute("create role page_reader login in role ml_analyst")
    connection.execute("grant execute on function ml.set_baseline to page_reader")
    yield database.replace(f"//{server.user}@", "//page_reader@")
    connection.execute("drop owned by page_reader; drop role page_reader")


@pytest.fixture
def site(reader: str) -> Iterator[str]:
    with process(reader, "http", "--port", "0", ML_HTTP_TOKEN=TOKEN) as http:
        wait_until(lambda: "http_started" in http.stderr(), "it listens")
        yield f"http://127.0.0.1:{http.lines()[0]['port']}"
        assert http.stop() == 0
        assert "Traceback" not in http.stderr()
        assert TOKEN not in http.stderr()


@pytest.fixture
def loaded(connection: Connection, database: str) -> Iterator[Connection]:
    """A live worker, and an application that goes on inserting."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    stop = threading.Event()

    def insert() -> None:
        with psycopg.connect(database, autocommit=True) as own:
            while not stop.is_set():
                insert_pattern(own)

    with working(database):
        application = threading.Thread(target=insert)
        application.start()
        wait_until(lambda: count(connection, "ml.predictions") > 50, "rows are scored")
        yield connection
        stop.set()
        application.join(20)


def test_endpoints_under_load_and_equal_to_the_views_when_it_stops(
    site: str, loaded: Connection, database: str
) -> None:
    health = ask(f"{site}/api/ml/health")
    assert (health.status, health.json["model_loaded"], health.json["phase5_enabled"]) == (200, True, True)
    assert health.json["status"] in ("healthy", "degraded")
    assert ask(f"{site}/metrics").status == 200
    assert ask(f"{site}/api/ml/metrics").json["current"]["scored"] >= 0
    loaded.execute("alter table pattern_events disable trigger ml_enqueue")  # the application's rows no longer count
    wait_until(lambda: count(loaded, "ml.queue") == 0, "everything is scored")

    found = ask(f"{site}/api/ml/metrics").json
    columns = "rows, scored, below_threshold, within_sla, latency_p50_ms, latency_p99_ms, confidence_mean"
    row = loaded.execute(
        f"select {columns} from ml.metrics where period = 'alert_window' and model_version is null and source = 'live'"
    ).fetchone()
    assert row is not None
    assert [found["current"][name] for name in columns.split(", ")] == [pytest.approx(value) for value in row]
    history = loaded.execute(
        "select rows from ml.metrics_history where grain = 'minute' and model_version is null and source = 'live' "
        "order by bucket"
    ).fetchall()
    assert [(minute["rows"],) for minute in found["history"]] == history
    hours = ask(f"{site}/api/ml/metrics?grain=hour").json["history"]
    assert sum(hour["rows"] for hour in hours) == row[0]

    alerts = ask(f"{site}/api/ml/alerts").json
    expected = loaded.execute("select type, level, message from ml.alerts order by type").fetchall()
    assert sorted((a["type"], a["level"], a["message"]) for a in alerts["alerts"]) == expected
    assert alerts["count"] == len(expected) > 0
    assert alerts["timestamp"]

    health = ask(f"{site}/api/ml/health")
    names = "status, champion, workers_alive, queue_depth, rows, error_rate, fallback_rate, within_sla, alerts"
    view = loaded.execute(f"select {names} from ml.health").fetchone()
    assert [health.json[name] for name in names.split(", ")] == list(view or ())


def families(site: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name and labels, as Prometheus' own client parses them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(ask(f"{site}/metrics").text):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_prometheus_counts_what_the_database_counted_through_restarts(
    site: str, connection: Connection, database: str
) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    for _ in range(2):  # two workers, one after the other: their rows add up
        with working(database):
            for _ in range(20):
                insert_pattern(connection)
            wait_until(lambda: count(connection, "ml.queue") == 0, "scored")
    found = families(site)
    live = ("source", "live")
    decisions = {dict(labels)["decision"]: value for labels, value in found["ml_rows_total"].items()}
    reasons = connection.execute("select ml_metadata ->> 'reason', count(*) from pattern_events group by 1").fetchall()
    assert {name: value for name, value in decisions.items() if value} == dict(reasons)
    for name in ("ml_latency_seconds", "ml_inference_seconds"):
        assert found[f"{name}_count"][live,] == 40
        buckets = [(dict(labels)["le"], value) for labels, value in found[f"{name}_bucket"].items()]
        values = [value for _, value in sorted(buckets, key=lambda pair: float(pair[0]))]
        assert values == sorted(values)
        assert values[-1] == 40
    exact = connection.execute("select sum(latency_ms) / 1000 from ml.predictions").fetchone()
    assert exact is not None
    assert found["ml_latency_seconds_sum"][live,] == pytest.approx(exact[0], rel=0.05)
    for le, below in ((float(dict(k)["le"]), v) for k, v in found["ml_latency_seconds_bucket"].items()):
        if math.isinf(le):
            continue
        # Bounds are printed to six digits; no row lies in between.
        assert count(connection, f"ml.predictions where latency_ms <= {le * 1000 * 1.00001}") >= below
        assert count(connection, f"ml.predictions where latency_ms <= {le * 1000 * 0.99999}") <= below
    assert found["ml_champion_info"] == {(("version", "small-1"),): 1}
    assert found["ml_health_status"][("status", "unavailable"),] == 1, "both workers have gone"
    assert (("level", "critical"), ("subject", ""), ("type", "no_worker")) in found["ml_alert"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_itself_takes_what_is_exposed(site: str, connection: Connection) -> None:
    insert_bars(connection)
    first_passage.promote(connection, first_passage.register(connection))
    for day in range(140, 170):
        insert_pattern(connection, detected_at=at(day), target=102.0, stoploss=98.0)
    engine = Engine(connection)
    engine.refresh_model()
    engine.score_queue()
    connection.execute("select ml.label_outcomes()")
    found = families(site)
    briers = connection.execute(
        "select score, brier from ml.performance_realised where labelled > 0 and role = 'champion' "
        "and num_nonnulls(cohort, detected_month, pattern_type, timeframe) = 0"
    ).fetchall()
    assert found["ml_unseen_labelled_rows"] == {(): 30}
    assert found["ml_brier_score"] == {(("score", name),): pytest.approx(brier) for name, brier in briers}
    with urllib.request.urlopen(f"{site}/metrics") as answer:
        exposed = answer.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=exposed, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stdout.decode()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exposed.replace(b"gauge", b"gage"), capture_output=True, check=False
    )
    assert done.returncode != 0


def test_unavailable_is_said_with_503(site: str, connection: Connection) -> None:
    health = ask(f"{site}/api/ml/health")
    assert (health.status, health.json["status"], health.json["model_loaded"]) == (503, "unavailable", False)
    assert ask(f"{site}/readyz").status == 200, "the database answers"
    assert ask(f"{site}/api/ml/metrics").json == {"current": None, "history": []}


def test_probes_when_the_database_has_gone(server: Server) -> None:
    url = "postgresql://someone:secret@/nowhere?host=/no/such/directory"
    with process(url, "http", "--port", "0") as http:
        wait_until(lambda: "http_started" in http.stderr(), "it listens without a database")
        site = f"http://127.0.0.1:{http.lines()[0]['port']}"
        assert ask(f"{site}/healthz").status == 200
        for path in ("/readyz", "/api/ml/health", "/metrics", "/api/ml/page"):
            answer = ask(f"{site}{path}")
            assert (answer.status, answer.json["status"]) == (503, "unavailable")
            assert "directory" not in answer.text, "where the database is, is nobody's business"
        assert http.stop() == 0
        assert "secret" not in http.stderr()


def test_a_lost_connection_is_made_anew(site: str, connection: Connection) -> None:
    assert ask(f"{site}/readyz").status == 200
    ended = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pattern-scoring http'"
    assert connection.execute(ended).fetchall() == [(True,)]
    assert ask(f"{site}/readyz").status == 200


def test_it_reads_as_the_analyst_and_cannot_write(reader: str) -> None:
    with psycopg.connect(reader, autocommit=True) as own:
        for statement in (
            "select ml.set('threshold', 0, 'x')",
            "select ml.disable('x')",
            "update pattern_events set entry = 1",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute(statement.encode())


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": f"Basic {TOKEN}"}, 401)],
)
def test_no_baseline_without_the_token(site: str, connection: Connection, headers: dict[str, str], status: int) -> None:
    answer = ask(f"{site}/api/ml/baseline", "POST", '{"reason": "test"}', **headers)
    assert answer.status == status
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert count(connection, "ml_internal.baselines") == 0


def test_no_baseline_where_no_token_is_set(reader: str) -> None:
    with process(reader, "http", "--port", "0", ML_HTTP_TOKEN="") as http:
        wait_until(lambda: "http_started" in http.stderr(), "it listens")
        url = f"http://127.0.0.1:{http.lines()[0]['port']}/api/ml/baseline"
        for authorization in ("", "Bearer ", "Bearer x"):
            answer = ask(url, "POST", '{"reason": "test"}', Authorization=authorization)
            assert (answer.status, "ML_HTTP_TOKEN is not set" in answer.json["error"]) == (403, True)


def test_a_baseline_with_the_token(site: str, connection: Connection, database: str) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    connection.execute("select ml.set('drift_min_rows', 30, 'test')")
    with working(database):
        for _ in range(30):
            insert_pattern(connection)
        wait_until(lambda: count(connection, "ml.queue") == 0, "scored")
    made = ask(
        f"{site}/api/ml/baseline", "POST", '{"reason": "the new regime", "since": "2024-01-01T00:00:00Z"}',
        Authorization=f"Bearer {TOKEN}",
    )  # fmt: skip
    assert (made.status, made.json["status"], made.json["version"]) == (200, "success", "small-1"), made.text
    stored = connection.execute(
        "select rows, set_by, reason from ml_internal.baselines order by id desc limit 1"
    ).fetchone()
    assert stored == (made.json["rows"], "page_reader", "the new regime") == (30, "page_reader", "the new regime")
    assert ask(f"{site}/api/ml/health").json["baseline_set"] is True


def test_answers_of_mistakes(site: str) -> None:
    assert ask(f"{site}/api/ml/metrics?grain=week").status == 400
    assert ask(f"{site}/api/ml/health", "POST", "{}").status == 405
    assert ask(f"{site}/../etc/passwd").status == 404
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    refused = ask(f"{site}/api/ml/baseline", "POST", "{}", **allowed)
    assert (refused.status, "reason" in refused.json["error"]) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        "no json", "[1]", "null", '"text"', '{"reason": 5}', '{"reason": true}', '{"reason": ["x"]}',
        '{"reason": {"a": 1}}', '{"reason": NaN}', '{"reason": "x", "since": 1}',
        r'{"reason": "a\u0000b"}', r'{"reason": "\ud800"}',
        '{"reason": "x", "sinse": "2024-01-01"}', "[" * 60_000, '{"reason": "' + "x" * BODY_BYTES + '"}',
    ],
    ids=lambda body: body[:24],
)  # fmt: skip
def test_a_body_that_names_no_baseline_is_the_clients_fault(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No database is asked: the one that is named is not there, and would be a 503."""
    monkeypatch.setenv("ML_HTTP_TOKEN", TOKEN)
    status, answer = asyncio.run(served("/api/ml/baseline", "POST", body.encode()))
    assert (status, json.loads(answer)["error"]) == (400, NO_BODY)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_body_that_does_is_taken_to_the_database(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_HTTP_TOKEN", f"{TOKEN}\n")
    body = b'{"reason": "x", "since": null, "until": "2024-01-01"}'
    assert asyncio.run(served("/api/ml/baseline", "POST", body, scheme))[0] == 503


@pytest.mark.parametrize("path", ["/healthz", "/", "/page.js", "/page.css", "/icon.svg", "/openapi.json"])
def test_what_asks_no_database_waits_for_no_thread(path: str) -> None:
    """A database that leaves all of them waiting must not have a probe take this process for dead."""

    async def starved() -> tuple[int, bytes]:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        async with limiter:
            with anyio.fail_after(10):
                return await served(path)

    status, answer = asyncio.run(starved())
    assert (status, len(answer) > 10) == (200, True)


async def served(path: str, method: str = "GET", body: bytes = b"", scheme: str = "Bearer") -> tuple[int, bytes]:
    """An answer of the application over a database that is not there, without a server between."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"{scheme} {TOKEN}".encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}
    await make_app("host=/nowhere")(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_an_answer_does_not_wait_for_the_one_before_to_be_acknowledged(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with (
        listening(host, 0) as bound,
        socket.create_connection(("127.0.0.1", bound.getsockname()[1])),
        bound.accept()[0] as taken,
    ):
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.slow
def test_the_description_is_sound() -> None:
    from openapi_spec_validator import validate  # of requirements-slow.lock

    validate(description())


def test_the_description_is_whole(site: str) -> None:
    described = ask(f"{site}/openapi.json").json
    assert described == description()
    for path, operations in described["paths"].items():
        for method in operations:
            answer = ask(f"{site}{path}", method.upper(), "{}" if method == "post" else None)
            assert str(answer.status) in operations[method]["responses"], f"{method} {path} answers {answer.status}"


def test_headers_keep_strangers_out(site: str) -> None:
    headers = ask(f"{site}/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_port_in_use_is_one_line(
    site: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///none")
    assert main(["http", "--port", site.rsplit(":", 1)[1]]) == 1


def test_whoever_reads_that_it_listens_may_stop_it_at_once() -> None:
    class Impatient(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, dict) and record.args["event"] == "http_started":
                assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "it would be killed"
                os.kill(os.getpid(), signal.SIGTERM)

    logger, impatient = logging.getLogger("worker.http.server"), Impatient()
    level = logger.level
    logger.addHandler(impatient)
    logger.setLevel(logging.INFO)
    try:
        serve("host=/nowhere", "127.0.0.1", 0)
    finally:
        logger.removeHandler(impatient)
        logger.setLevel(level)


def test_the_functions_answer_without_http_too(transaction: Connection) -> None:
    transaction.execute("set local role ml_analyst")
    row = transaction.execute(
        "select ml.health_json() ->> 'status', ml.metrics_json() -> 'history', "
        "(ml.alerts_json() ->> 'count')::integer > 0, ml_internal.page_json() ? 'timeline'"
    ).fetchone()
    assert row == ("unavailable", [], True, True)
