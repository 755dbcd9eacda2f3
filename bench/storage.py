"""Layout: how many first scores stay on their page, and what a scored row takes."""

from __future__ import annotations

from typing import Final

from bench.harness import Bench, drained, enqueue, store, workers
from bench.results import Recorder
from bench.server import connect

ROWS: Final = 10_000


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    for repeat in range(recorder.repeats):
        with bench.database() as url, connect(url) as connection:
            store(connection, rows)
            with workers(url, 2):
                enqueue(connection)
                drained(connection)
            # A backend reports its work when it ends, or once a second.
            connection.execute("select pg_sleep(1.5)")
            row = connection.execute(
                "select n_tup_hot_upd::float8 / n_tup_upd, pg_relation_size(relid) / greatest(n_live_tup, 1) "
                "from pg_stat_user_tables where relid = 'public.pattern_events'::regclass"
            ).fetchone()
        assert row is not None
        share, size = row
        recorder.note("first scores", rows, "heap-only share", share, repeat)
        recorder.note("first scores", rows, "bytes a row", size, repeat)
