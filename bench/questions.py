"""How long ``ml.what_if``, ``ml.blend_advice`` and ``ml.skill`` take over a million labelled rows of the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench import views
from bench.harness import Bench
from bench.results import Recorder
from bench.server import connect, upgrade
from db_functions.database import Connection

LABELLED: Final = 1_000_000
LIMIT_MS: Final = 1_000.0
QUESTIONS: Final = {
    "ml.what_if": "ml.what_if(0.55, 0.6, 0.4)",
    "ml.blend_advice": "ml.blend_advice()",
    "ml.skill": "ml.skill",
}
_TICKS: Final = 100
_FILL: Final = """
insert into ml_internal.labelled (pattern_id, model_id, role, source, scored_at, detected_at, pattern_type, timeframe,
                                  y, ml, rule, served, first_passage, base_rate, seen, waited_s, bars)
select gen_random_uuid(), c.model_id, 'champion', 'live', v.at, v.at, 'type_' || lpad((g %% 20)::text, 2, '0'),
       case g %% 2 when 0 then '1d' else '1h' end, (random() < v.ml)::integer, v.ml, v.rule,
       0.6 * v.ml + 0.4 * v.rule, 0.9 * v.ml, 0.5, false, 28 * 86400, 20
from generate_series(1, %s::integer) g
cross join ml_internal.champion c
cross join lateral (select timestamptz '2012-01-01Z' + g * interval '7 minutes' as at, random() as ml,
                           0.3 + 0.7 * random() as rule) v
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(LABELLED)
    with bench.server.database() as url:
        upgrade(url)
        with connect(url) as connection:
            views.register(connection)
            connection.execute(_FILL, [rows])
            connection.execute("insert into ml_internal.stale_skill select distinct model_id, day "
                               "from ml_internal.labelled")  # fmt: skip
            connection.execute("select ml_internal.fold_skill()")
            connection.execute("vacuum analyze")
            for name, question in QUESTIONS.items():
                for repeat in range(recorder.repeats):
                    recorder.note(name, rows, "ms", views.milliseconds(connection, question), repeat)
            # In one process, so that all the time is that of this one.
            connection.execute("set max_parallel_workers_per_gather = 0")
            for name, question in QUESTIONS.items():
                for repeat in range(recorder.repeats):
                    recorder.note(name, rows, "server ms", _server_ms(connection, question), repeat)


def _server_ms(connection: Connection, question: str) -> float:
    """Processor time of the session's server process, to 10 ms."""
    before = _spent(connection)
    connection.execute(f"select * from {question}".encode()).fetchall()
    return (_spent(connection) - before) * 1000 / _TICKS


def _spent(connection: Connection) -> int:
    stat = Path(f"/proc/{connection.info.backend_pid}/stat").read_text(encoding="ascii")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)
