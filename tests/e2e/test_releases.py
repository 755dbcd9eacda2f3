"""Two releases at once: the previous release's worker on this schema, this worker on the previous release's schema.

``tests/previous.py`` says what the previous release is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from db_functions import queries
from db_functions.database import Connection
from db_functions.errors import SchemaMissing, SchemaOutdated
from tests.conftest import ROOT, upgrade
from tests.previous import previous_worker, run
from tests.support import insert_bars, insert_pattern, make_champion, row_of, small_model, wait_until
from tests.worker_support import count, poison_model, process
from worker.serving import schema


def reasons(connection: Connection) -> dict[str, int]:
    return dict(
        connection.execute("select ml_metadata ->> 'reason', count(*) from pattern_events group by 1").fetchall()
    )


@pytest.mark.slow
def test_it_is_the_previous_release_that_runs(release: Path, tmp_path: Path) -> None:
    said = run(
        release, "", tmp_path, "-c", "import db_functions, worker; print(worker.__file__, db_functions.__file__)"
    )
    assert all(part.startswith(str(release)) for part in said.split())


@pytest.mark.slow
def test_the_previous_worker_runs_on_this_schema(
    connection: Connection, database: str, release: Path, tmp_path: Path
) -> None:
    """Scores, a fallback, a dead letter, a swap of the champion, then backfill, label, status."""
    insert_bars(connection)
    make_champion(connection, "poison-1", poison_model("poison-1"))
    with previous_worker(release, database, tmp_path):
        wait_until(lambda: count(connection, "ml.workers") == 1, "it reports for duty")
        for _ in range(20):
            insert_pattern(connection)
        insert_pattern(connection, confidence=0.111)
        insert_pattern(connection, symbol="NOBARS")
        wait_until(lambda: count(connection, "ml.queue") == 0, "the queue is empty")
        make_champion(connection, "small-2", small_model("small-2", bias=3.0))

        def the_new_one_scores() -> bool:
            later = insert_pattern(connection)
            wait_until(lambda: row_of(connection, later, "scored_at")["scored_at"] is not None, "it is scored")
            return bool(row_of(connection, later, "model_version")["model_version"] == "small-2")

        # The one before serves until it is loaded.
        wait_until(the_new_one_scores, "the new champion scores")
    found, scored = reasons(connection), count(connection, "pattern_events") - 2
    assert (found["failed"], found["insufficient_bars"], found["scored"]) == (1, 1, scored)
    assert count(connection, "ml.predictions") == scored
    assert count(connection, "ml.failures") == 1
    assert connection.execute("select stopped_at is not null, scored from ml.workers").fetchall() == [(True, scored)]
    assert "2 rows done" in run(release, database, tmp_path, "-m", "worker", "backfill")
    assert "outcomes labelled" in run(release, database, tmp_path, "-m", "worker", "label")
    assert "champion   small-2" in run(release, database, tmp_path, "-m", "worker", "status")


@pytest.mark.slow
def test_the_previous_training_registers_what_this_worker_serves(
    connection: Connection, database: str, release: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(small_model("brought-1"))
    run(release, database, tmp_path, "-m", "training", "register", "model.onnx")
    connection.execute("select ml.promote('brought-1', 'test')")
    insert_bars(connection)
    insert_pattern(connection)
    with process(database, "run") as worker:
        wait_until(
            lambda: count(connection, "pattern_events where scored_at is not null") == 1, "this worker serves it"
        )
        assert worker.stop() == 0


# The reverse


@pytest.fixture
def older(make_database: Callable[[str | None], str], release: Path) -> str:
    """A database that the previous release left, with a champion and a row that waits."""
    url = make_database(None)
    upgrade(url, (release / "db_functions" / "sql" / "revision.txt").read_text().strip())
    with psycopg.connect(url, autocommit=True) as connection:
        insert_bars(connection)
        make_champion(connection, "small-1")
        insert_pattern(connection)
    return url


def serves(url: str) -> bool:
    """Whether this worker can work on the database as it is."""
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            schema.require(connection)
        except SchemaOutdated:
            return False
        return True


@pytest.mark.slow
def test_this_worker_on_the_previous_schema_works_or_waits_for_the_upgrade(older: str) -> None:
    with psycopg.connect(older, autocommit=True) as connection, process(older, "run") as worker:
        if not serves(older):
            wait_until(lambda: "schema_outdated" in worker.stderr(), "it says what is missing")
            line = next(line for line in worker.lines() if line["event"] == "schema_outdated")
            assert "run `alembic upgrade head`" in line["error"]
            assert (count(connection, "ml.queue"), count(connection, "ml.workers")) == (1, 0)
            upgrade(older)
        wait_until(lambda: count(connection, "pattern_events where scored_at is not null") == 1, "the row is scored")
        assert worker.stop() == 0
        assert count(connection, "ml.queue") == 0


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ("alter function ml_internal.heartbeat rename to heartbeat_of_old", "function ml_internal.heartbeat("),
        ("alter table ml.settings rename column min_quality to quality", "column s.min_quality does not exist"),
        (
            "alter table ml_internal.bar_changes rename to changes_of_bars",
            'relation "ml_internal.bar_changes" does not exist',
        ),
    ],
)
def test_whatever_is_missing_is_named_before_a_row_is_claimed(
    transaction: Connection, change: str, missing: str
) -> None:
    schema.require(transaction)
    transaction.execute(change.encode())
    with pytest.raises(SchemaOutdated, match=re.escape(missing)):
        schema.require(transaction)


def test_a_database_without_anything_is_told_apart(make_database: Callable[[str | None], str]) -> None:
    with psycopg.connect(make_database(None), autocommit=True) as connection, pytest.raises(SchemaMissing):
        schema.require(connection)


FETCHES = ("fetch_all", "fetch_one", "fetch_row", "fetch_value", "fetch_values")


def test_the_check_knows_every_statement_of_a_worker() -> None:
    """A named query that the worker comes to use must be added to ``worker.serving.schema.STATEMENTS``."""
    files = list((ROOT / "worker" / "serving").glob("*.py"))
    assert files
    used = set[str]()
    shared = [ROOT / "db_functions" / f"{name}.py" for name in ("bars", "gather", "history", "sessions")]
    for path in [*files, *shared]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("query", *FETCHES):
                used |= {str(name.value) for name in node.args if isinstance(name, ast.Constant)}
    assert used <= set(schema.STATEMENTS)
    assert all(queries.query(name) for name in schema.STATEMENTS)
