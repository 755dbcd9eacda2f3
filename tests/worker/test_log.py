"""Log lines: sentences for people, JSON for collectors, stable names, nothing that must not be there."""

from __future__ import annotations

import ast
import io
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db_functions.database import Connection, connect
from db_functions.errors import DatabaseUnavailable
from tests.support import insert_bars, insert_pattern, make_champion, wait_until
from tests.worker_support import FAST, ROOT, process, working
from worker.log import configure, event
from worker.serving import loop
from worker.serving.upkeep import Upkeep

LEVELS = ("debug", "info", "warning", "error")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[logging.Logger]:
    """A logger after ``configure``, which does nothing while pytest's own handlers are there."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        configure(verbose=False, stream=stream)
        yield logging.getLogger("worker.test")
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_people_read_sentences() -> None:
    out = Terminal()
    with logging_to(out) as logger:
        logger.info("worker %(worker)d started", event("worker_started", worker=3))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ INFO    worker.test\[\d+\]: worker 3 started\n", out.getvalue())


def test_collectors_read_json() -> None:
    out = io.StringIO()
    with logging_to(out) as logger:
        logger.debug("not at this level")
        logger.warning("off by %(by)g:\n%(error)s", event("model_loaded", by=math.nan, error='said "no"\nand left'))
        logger.info("of a library: %s", "as it says it")
        try:
            int("boom")
        except ValueError:
            logger.exception("with a cause")
    ours, library, failed = map(json.loads, out.getvalue().splitlines())
    assert ours.pop("time").endswith("+00:00")
    assert ours == {
        "level": "warning", "logger": "worker.test", "pid": os.getpid(), "event": "model_loaded",
        "message": 'off by nan:\nsaid "no"\nand left', "by": None, "error": 'said "no"\nand left',
    }  # fmt: skip
    assert (library["event"], library["message"]) == ("log", "of a library: as it says it")
    assert failed["traceback"].endswith("'boom'")


# What the worker says


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger in ``worker/``, and where it is."""
    for path in (ROOT / "worker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                yield f"{path.name}:{node.lineno}", node


def sentence(call: ast.Call) -> str:
    return str(ast.literal_eval(call.args[0]))


def test_every_line_has_an_event_with_the_fields_its_sentence_takes() -> None:
    seen: dict[str, str] = {}
    for where, call in calls():
        assert len(call.args) == 2, where
        made = call.args[1]
        assert isinstance(made, ast.Call), where
        assert ast.unparse(made.func) == "event", where
        name = ast.literal_eval(made.args[0])
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name), where
        assert seen.setdefault(name, where) == where, f"{name} is at {seen[name]} and at {where}"
        fields = {keyword.arg for keyword in made.keywords}
        taken = set(re.findall(r"%\((\w+)\)", sentence(call)))
        assert taken <= fields or None in fields, f"{where}: {taken - fields}"
        assert "%s" not in sentence(call), where
    assert len(seen) > 15


def test_every_event_is_documented() -> None:
    text = (ROOT / "docs" / "operators.md").read_text()
    for where, call in calls():
        assert isinstance(call.func, ast.Attribute)
        assert isinstance(call.args[1], ast.Call)
        name = ast.literal_eval(call.args[1].args[0])
        assert f"| `{name}` | {call.func.attr} |" in text, (
            f"{where}: operators.md lacks | `{name}` | {call.func.attr} |"
        )


def test_a_line_a_batch_at_debug_and_one_a_minute_at_info(
    connection: Connection, database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    insert_pattern(connection, confidence=0.713, entry=104.25, target=117.75)
    monkeypatch.setattr(loop, "_REPORT_S", 0.0)  # every heartbeat is a minute

    def reported() -> bool:
        return any("1 scored" in record.getMessage() for record in caplog.records if record.levelname == "INFO")

    with caplog.at_level(logging.DEBUG), working(database, FAST):
        wait_until(reported, "a minute is reported")
    records = [record for record in caplog.records if record.name.startswith("worker.")]
    batches = [record for record in records if record.levelname == "DEBUG"]
    assert [record.args["rows"] for record in batches if isinstance(record.args, dict)] == [1]
    minute = next(record.args for record in records if "1 scored" in record.getMessage() and record.levelname == "INFO")
    assert isinstance(minute, dict)
    assert {name: minute[name] for name in ("event", "scored", "batches", "model")} == {
        "event": "minute", "scored": 1, "batches": 1, "model": "small-1"
    }  # fmt: skip
    said = "\n".join(record.getMessage() + str(record.args) for record in records)
    assert not re.search(r"0\.713|104\.25|117\.75", said), "inputs of the model are nobody's business here"


def test_upkeep_says_what_it_did(connection: Connection, database: str, caplog: pytest.LogCaptureFixture) -> None:
    """An empty database has two alerts from the start: no worker, no model."""
    with caplog.at_level(logging.INFO):
        for task in ("fold", "make_partitions", "check_alerts"):
            Upkeep(database)._do(connection, task)
    assert [record.getMessage() for record in caplog.records] == ["upkeep: 2 alerts raised, changed or cleared"]


def test_a_process_logs_json_to_whoever_collects_it(database: str) -> None:
    with process(database, "run", "--verbose") as worker:
        wait_until(lambda: "worker_started" in worker.stderr(), "the worker has started")
        assert worker.stop() == 0
        lines = worker.lines()
    # Upkeep has a thread of its own, and may have done something by then.
    lines = [line for line in lines if line["event"] != "upkeep_done"]
    assert [line["event"] for line in lines] == ["worker_started", "worker_stopped"]
    assert lines[0]["worker"] == 1
    assert {line["pid"] for line in lines} == {worker.process.pid}, "of several workers each line tells whose it is"


@pytest.mark.parametrize(
    "url",
    ["postgres//someone:secret@localhost/x", "someone:secret@localhost", "postgresql://a:secret@localhost/x?port"],
)
def test_a_connection_string_that_cannot_be_parsed_is_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        connect(url, application_name="test")
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "DATABASE_URL" in str(refused.value)


def test_the_walk_over_calls_finds_them_all() -> None:
    written = sum(len(re.findall(r"logger\.\w+\(", path.read_text())) for path in Path(ROOT / "worker").rglob("*.py"))
    # The example in the docstring of worker/log.py is no call.
    assert len(list(calls())) == written - 1


def test_the_embedded_server_starts_without_a_word_but_where_it_is() -> None:
    unset = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    with tempfile.TemporaryDirectory(prefix="pg18-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "worker", "run"],
            env=unset | {"PYTHONPATH": str(ROOT)}, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    where, last = done.stderr.strip().splitlines()
    assert (
        where == "DATABASE_URL is not set: using the embedded PostgreSQL in .pgdata/ (`pattern-scoring psql` opens it)"
    )
    assert "run `alembic upgrade head` first" in json.loads(last)["error"]
