"""Which indexes of ``pattern_events`` and of schema ``ml`` anything uses, and what each costs a row.

Everything that reads or writes there is done once: an application's inserts, corrections and reads, a drain with a
challenger, dead letters, labels, upkeep, backfill, explanations, a blend anew, every view. On tables as small as a
measurement's the planner prefers to read them whole, so all is done a second time with sequential scans forbidden: an
index that is not used then either has no reader.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from bench.harness import Bench, Recorder, connect, drained, enqueue, store, workers
from bench.starts import twin
from bench.views import NARROWED, views
from db_functions.database import Connection
from db_functions.queries import query
from training.registry import register
from worker.serving.engine import Engine
from worker.serving.upkeep import EVERY_S

_FOUND: Final = """
select n.nspname || '.' || coalesce(whole.relname, t.relname) as relation,
       coalesce(above.relname, c.relname) as index,
       bool_or(i.indisprimary or i.indisunique) as enforces,
       sum(coalesce(s.idx_scan, 0))::bigint as scans,
       sum(pg_relation_size(c.oid))::bigint as bytes,
       sum(t.reltuples)::bigint as rows
from pg_index i
join pg_class c on c.oid = i.indexrelid and c.relkind = 'i'
join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = t.relnamespace
left join pg_stat_user_indexes s on s.indexrelid = i.indexrelid
left join pg_inherits up on up.inhrelid = c.oid
left join pg_class above on above.oid = up.inhparent
left join pg_inherits part on part.inhrelid = t.oid
left join pg_class whole on whole.oid = part.inhparent
where n.nspname = 'ml' or (n.nspname = 'public' and t.relname in ('pattern_events', 'pattern_lifecycle_history'))
group by 1, 2
order by 1, 2
"""
_READS_OF_AN_APPLICATION: Final = (
    "select * from pattern_events where symbol = 'AAPL' and timeframe = '1d' order by detected_at desc limit 20",
    "select * from pattern_events order by created_at desc limit 20",
    "select * from pattern_events where status = 'confirmed'",
    "select * from pattern_lifecycle_history where pattern_id = (select id from pattern_events limit 1)",
    "select * from pattern_lifecycle_history order by created_at limit 20",
)
_ENOUGH: Final = 1_000
"""Rows of which a size per row says something: pages are of 8 kB."""
_FORBIDDEN: Final = "-c enable_seqscan=off"


@dataclass(frozen=True, slots=True)
class Index:
    """``enforces``: a key or another uniqueness, needed whether read or not."""

    relation: str
    name: str
    enforces: bool
    scans: int
    bytes: int
    rows: int


def measure(bench: Bench, recorder: Recorder, rows: int) -> None:
    with bench.database() as url, connect(url) as connection:
        _prepare(bench, connection)
        found: list[dict[str, Index]] = []
        for options in ("", _FORBIDDEN):
            connection.execute("select pg_stat_reset()")
            _everything(url, options, rows)
            found.append(_indexes(connection))
    plain, forbidden = found
    for name, index in plain.items():
        recorder.note(name, "index", "scans", index.scans)
        recorder.note(name, "index", "scans at least", forbidden[name].scans)
        recorder.note(name, "index", "enforces", index.enforces)
        if index.rows >= _ENOUGH:
            recorder.note(name, "index", "bytes a row", index.bytes / index.rows)


def _prepare(bench: Bench, connection: Connection) -> None:
    other = twin(bench.artifact)
    register(connection, other)
    connection.execute("select ml.challenge(%s, 1, 0.1, 'bench')", [other.version])


def _everything(url: str, options: str, rows: int) -> None:
    given = f"{url}&options={options.replace(' ', '%20').replace('=', '%3D')}" if options else url
    with connect(given) as connection:
        store(connection, rows)
        with workers(given, 2):
            enqueue(connection)
            drained(connection)
        for read in _READS_OF_AN_APPLICATION:
            connection.execute(read).fetchall()
        _by_hand(connection)
        for task in ("label_outcomes", *EVERY_S):
            connection.execute(query(task), {"max_rows": 1_000} if task.startswith("label") else None)
        _dead_letter(connection)
        for command in _commands(connection):
            subprocess.run(
                [sys.executable, "-m", *command],
                env={**os.environ, "DATABASE_URL": given},
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        for view in views(connection):
            narrowed = f" where {NARROWED[view]}" if view in NARROWED else ""
            connection.execute(f"select * from ml.{view}{narrowed}").fetchall()
    time.sleep(1.5)  # a backend that ends has told the statistics of its work


def _by_hand(connection: Connection) -> None:
    """What analysts, operators and the feed do by SQL."""
    for statement in (
        "update price_bars set volume = volume + 1 where symbol = 'AAPL' and ts > '2013-01-01'",
        "update pattern_events set status = 'confirmed' where id in (select id from pattern_events limit 10)",
        "select ml.label((select id from pattern_events limit 1), 'positive', 'bench')",
        "select count(*) from ml.explain_score((select id from pattern_events limit 1))",
        "select ml.model_at('champion', now())",
        "select count(*) from ml_internal.metrics_between('minute', now() - interval '1 hour', now())",
        "select ml.reblend('bench', dry_run => false)",
        "select ml.set_baseline(reason => 'bench')",
        "delete from pattern_events where id in (select id from pattern_events order by created_at limit 1)",
    ):
        connection.execute(statement)


def _dead_letter(connection: Connection) -> None:
    """One row given up, and put back, and scored."""
    row = connection.execute(
        "insert into ml.queue (pattern_id) select id from pattern_events limit 1 returning id"
    ).fetchone()
    assert row is not None
    engine = Engine(connection)
    engine.refresh_model()
    engine.dead_letter(row[0], "bench", 1)
    connection.execute("select ml.redrive(error_like => 'bench')")
    while engine.score_queue().done:
        pass


def _commands(connection: Connection) -> list[list[str]]:
    row = connection.execute(
        "select id::text, model_version, detected_at::date::text from pattern_events "
        "where model_version is not null order by detected_at desc limit 1"
    ).fetchone()
    assert row is not None
    pattern, version, day = row
    return [
        ["worker", "backfill"],
        ["worker", "status"],
        ["training", "list"],
        ["training", "replay", "--model", version, "--since", day, "-q"],
        ["training", "explain", "-q", pattern],
    ]


def _indexes(connection: Connection) -> dict[str, Index]:
    connection.execute("analyze")
    return {f"{row[0]}.{row[1]}": Index(*row) for row in connection.execute(_FOUND)}
