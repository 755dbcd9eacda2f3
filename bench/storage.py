"""Layout: how many first scores stay on their page, which indexes nobody uses, and what the counts cost a drain."""

from __future__ import annotations

from typing import Final

from bench import indexes
from bench.drain import rate_of, timed
from bench.harness import Bench, Recorder, connect, enqueue, store, workers
from bench.harness import drained as wait_drained
from db_functions.database import Connection
from db_functions.ddl import sql_text

ROWS: Final = 10_000


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    indexes.measure(bench, recorder, rows)
    for repeat in range(recorder.repeats):
        with bench.database() as url, connect(url) as connection:
            store(connection, rows)
            with workers(url, 2):
                enqueue(connection)
                wait_drained(connection)
            connection.execute("select pg_stat_force_next_flush()")
            wait_for_statistics(connection)
            row = connection.execute(
                "select n_tup_upd, n_tup_hot_upd, pg_relation_size(relid) / greatest(n_live_tup, 1) "
                "from pg_stat_user_tables where relid = 'public.pattern_events'::regclass"
            ).fetchone()
            assert row is not None
            recorder.note("first scores", rows, "heap-only share", row[1] / row[0], repeat)
            recorder.note("first scores", rows, "bytes a row", row[2], repeat)
        for subject, strip in (("with counts", False), ("without counts", True)):
            with bench.database() as url, connect(url) as connection:
                if strip:
                    _without_counts(connection)
                store(connection, 2_000)
                with timed(url) as (engine, _):
                    rate_of(connection, engine)
                    store(connection, rows)
                    recorder.note(subject, rows, "rows/s", rate_of(connection, engine), repeat)


def wait_for_statistics(connection: Connection) -> None:
    """Backends tell of their work as they end, or once a second."""
    connection.execute("select pg_sleep(1.5)")
    connection.execute("select pg_stat_clear_snapshot()")


def _without_counts(connection: Connection) -> None:
    """As if nobody wanted health, drift or performance: no rollup of the batch, no bins of the model."""
    body = sql_text("functions/write_batch/v1")
    start, end = body.index("    ), counted as ("), body.index("    )\n    select array_agg(i order")
    connection.execute(body[:start] + body[end:])
    connection.execute("delete from ml_internal.bins")
