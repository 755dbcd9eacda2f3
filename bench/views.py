"""How long every view of schema ``ml`` takes when half a year of scoring is behind it.

A database is filled by SQL with 180 days of scores of two models of 112 features: minutes, hours and days of metrics,
hours and days of features, weeks of cohorts, a tail that no fold has seen, and the rows of ``ml.predictions``, without
their features, which no view reads. Each view is read whole, warm, as an analyst would read it; the views that hold
the counts themselves by the day or the newest week. No plan may scan ``ml.predictions``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from bench.harness import Bench
from bench.results import Recorder
from bench.server import connect, upgrade
from db_functions.database import Connection
from training.baseline import drift_baseline

PREDICTIONS: Final = 1_000_000
DAYS: Final = 180
LIMIT_MS: Final = 100.0
_MODELS: Final = ("older", "newer")
_FEATURES: Final = 112
_TYPES: Final = 20
_REPEATS: Final = 5
_NARROWED: Final = {
    "metric_counts": "grain = 'day'",
    "feature_counts": "grain = 'day'",
    "cohort_counts": "cohort >= current_date - 7",
}
"""The counts that the other views are made of: tens of thousands of rows of arrays, which no person reads whole."""
_AT_ONCE: Final = 500_000


def measure(bench: Bench, recorder: Recorder) -> None:
    predictions = recorder.scaled(PREDICTIONS)
    with bench.server.database() as url:
        upgrade(url)
        with connect(url) as connection:
            register(connection)
            _fill(connection, predictions)
            connection.execute("set role ml_analyst")
            for view in _views(connection):
                recorder.note(view, predictions, "ms", milliseconds(connection, _selected(view)))
                scans = len(_scanned(connection, view))
                recorder.note(view, predictions, "partitions of predictions scanned", scans)


def register(connection: Connection) -> None:
    """Two models with baselines of the usual size; the newer is champion."""
    rng = np.random.default_rng(0)
    names = [f"feature_{n:03}" for n in range(_FEATURES)]
    features = rng.normal(size=(5_000, _FEATURES)).astype(np.float32)
    features[rng.random(features.shape) < 0.02] = np.nan
    positive = rng.beta(20, 20, 2_000).astype(np.float32)
    texts = {
        "pattern_type": np.array([f"type_{n % _TYPES:02}" for n in range(5_000)], dtype=object),
        "timeframe": np.array([("1d", "1h")[n % 2] for n in range(5_000)], dtype=object),
    }
    baseline = drift_baseline(
        features, names, texts, np.stack([(1 - positive) / 2, (1 - positive) / 2, positive], axis=1)
    )
    metrics = {"importances": dict(zip(names, rng.random(_FEATURES).tolist(), strict=True))}
    for version in _MODELS:
        connection.execute(
            "select ml_internal.register_model(%s, 'bench', %s, 1, '{bars}', "
            "'{ml_confidence,probabilities,features}', %s, 1, "
            "%s, '', '{}', %s, null)",
            [version, version.encode(), names, Jsonb(metrics), Jsonb(baseline)],
        )
        connection.execute("select ml.promote(%s, 'bench', true)", [version])


def _fill(connection: Connection, predictions: int) -> None:
    """Half a year of scores, as the fold would have left it; the older model served the first half."""
    share = {"rows": predictions / DAYS, "days": DAYS, "types": _TYPES}
    connection.execute("set synchronous_commit = off")
    connection.execute(_FILL_METRICS, share)
    connection.execute(_FILL_FEATURES, share)
    connection.execute(_FILL_COHORTS, share)
    connection.execute(_FILL_PAIRED, share)
    connection.execute(_FILL_TAIL)
    _make_partitions(connection)
    for first in range(0, predictions, _AT_ONCE):
        connection.execute(
            _FILL_PREDICTIONS, {"first": first, "last": min(first + _AT_ONCE, predictions) - 1, "all": predictions}
        )
    connection.execute("vacuum analyze")


def _make_partitions(connection: Connection) -> None:
    rows = connection.execute(
        "select to_char(m, 'YYYY_MM'), to_char(m, 'YYYY-MM-DD'), to_char(m + interval '1 month', 'YYYY-MM-DD') "
        "from generate_series(date_trunc('month', now() - interval '181 days'), now(), interval '1 month') m"
    ).fetchall()
    for name, since, until in rows:
        connection.execute(
            f"create table if not exists ml.predictions_{name} partition of ml.predictions "
            f"for values from ('{since} 00:00+00') to ('{until} 00:00+00')"
        )


def _views(connection: Connection) -> list[str]:
    """Every view there is, so that a new one is measured too."""
    rows = connection.execute(
        "select relname from pg_class where relnamespace = 'ml'::regnamespace and relkind = 'v' order by relname"
    ).fetchall()
    return [name for (name,) in rows]


def _selected(view: str) -> str:
    return f"ml.{view}" + (f" where {_NARROWED[view]}" if view in _NARROWED else "")


def milliseconds(connection: Connection, selected: str) -> float:
    """Median time to read a view or a function whole, after one reading to warm up."""
    times = []
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        with connection.cursor().copy(f"copy (select * from {selected}) to stdout".encode()) as copy:
            # Raw blocks: the time that Python takes to parse them is not the view's.
            for _block in copy:
                pass
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:])


def _scanned(connection: Connection, view: str) -> list[str]:
    """The partitions of ml.predictions that the plan reads from end to end, empty ones left out."""
    plan = connection.execute(f"explain (format json) select * from {_selected(view)}").fetchone()
    assert plan is not None
    filled = "select relname from pg_class where relname = any (%s) and reltuples > 0"
    return [name for (name,) in connection.execute(filled, [list(_scans(plan[0][0]["Plan"]))])]


def _scans(node: Mapping[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and str(node.get("Relation Name", "")).startswith("predictions"):
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _scans(child)


_FILL_METRICS = """
insert into ml_internal.metric_rollups
select g.grain, b.bucket, m.id, 'champion', 'live', g.n, g.n * 0.3, g.n * 0.65, 0, 0, g.n * 0.04, g.n * 0.005,
       g.n * 0.005, g.n, g.n * 0.99, g.n * 0.9, g.n * 0.1,
       array(select floor(g.n * exp(-((i - 40) ^ 2) / 50.0)) from generate_series(0, 80) i),
       array(select floor(g.n * exp(-((i - 25) ^ 2) / 30.0)) from generate_series(0, 50) i),
       g.n * 0.95, g.n * 0.95 * 0.5, g.n * 0.95 * 0.26, g.n * 0.4, g.n * 0.1, g.n * 0.45,
       array(select floor(g.n * exp(-((i - 80) ^ 2) / 500.0) / 40) from generate_series(0, 150) i)
from (select grain, ('1 ' || grain)::interval as step, least(%(days)s, days) as days,
             greatest(1, (%(rows)s::float8 * extract(epoch from ('1 ' || grain)::interval) / 86400)::bigint) as n
      from (values ('minute', 30), ('hour', 100000), ('day', 100000)) v (grain, days)) g
cross join generate_series(date_trunc(g.grain, now() - g.days * interval '1 day', 'UTC'), now(), g.step) b (bucket)
join ml.models m on m.version = case when b.bucket < now() - interval '90 days' then 'older' else 'newer' end
"""
_FILL_FEATURES = """
insert into ml_internal.feature_rollups
select g.grain, b.bucket, m.id, 'champion', 'live', g.n,
       array(select floor(c * g.n / 5000 * (0.8 + 0.4 * random())) from unnest(l.cells) c),
       array(select coalesce(x, 0) * g.n * 0.98 from unnest(l.means) x),
       array(select g.n * 0.98 from unnest(l.means) x)
from (values ('hour', interval '1 hour', greatest(1, %(rows)s::float8 / 24)::bigint),
             ('day', interval '1 day', greatest(1, %(rows)s::float8)::bigint)) g (grain, step, n)
cross join generate_series(date_trunc(g.grain, now() - %(days)s * interval '1 day', 'UTC'), now(), g.step) b (bucket)
join ml.models m on m.version = case when b.bucket < now() - interval '90 days' then 'older' else 'newer' end
join ml_internal.baselines l on l.model_id = m.id
"""
_FILL_COHORTS = """
insert into ml_internal.cohorts (
    cohort, detected_month, model_id, role, source, pattern_type, timeframe, score, predictions, called,
    expected_positives,
    expected_hits, expected_error, expected_log_loss, scores, expected_scores, labelled, positives, labelled_called,
    hits, score_sum, error, log_loss, own_error, own_variance, labelled_expected_positives, labelled_expected_hits,
    labelled_expected_error,
    labelled_error_variance, labelled_scores, positive_scores, calibration,
    calibration_positives, calibration_sums)
select w.week, w.month, m.id, 'champion', 'live', t.name, f.timeframe, s.score, q.n, q.n * 0.3, q.n * 0.5, q.n * 0.18,
       q.n * 0.24, q.n * 0.69, h.counts, h.halves, q.n * 0.9, q.n * 0.45, q.n * 0.27, q.n * 0.15, q.n * 0.45,
       q.n * 0.22, q.n * 0.62, q.n * 0.22, q.n * 0.01, q.n * 0.45, q.n * 0.16, q.n * 0.22, q.n * 0.01,
       h.counts, h.halves, array(select q.n / 10 from generate_series(1, 10)),
       array(select q.n / 20 from generate_series(1, 10)),
       array(select q.n / 10 * (i - 0.5) / 10 from generate_series(1, 10) i)
from (select (week at time zone 'UTC')::date as week, null::date as month
      from generate_series(date_trunc('week', now() - %(days)s * interval '1 day', 'UTC'), now(), '7 days') week
      union all
      select null, (month at time zone 'UTC')::date
      from generate_series(date_trunc('month', now() - %(days)s * interval '1 day', 'UTC'), now(), '1 month') month
      union all select null, null) w
cross join (select 'type_' || lpad(n::text, 2, '0') as name from generate_series(0, %(types)s - 1) n
            union all select null) t
cross join (values ('1d'), ('1h'), (null)) f (timeframe)
cross join (values ('ml'), ('rule'), ('blended'), ('served'), ('first_passage')) s (score)
cross join ml.models m
cross join lateral (select greatest(20, %(rows)s::float8 * 7 / case when t.name is null then 1 else %(types)s end
                                    / case when f.timeframe is null then 1 else 2 end)::bigint as n) q
cross join lateral (select array_agg(floor(x) order by i) as counts, array_agg(floor(x / 2) order by i) as halves
                    from generate_series(0, 150) i
                    cross join lateral (select q.n * exp(-((i - 80) ^ 2) / 500.0) / 40 as x) y) h
-- A week or a month is split by pattern type or by timeframe, not by both.
where num_nulls(coalesce(w.week, w.month), t.name, f.timeframe) >= 1
"""
_FILL_PAIRED = """
insert into ml_internal.paired_weeks
select m.id, w.week, w.week, date_trunc('month', w.week)::date, 'champion', 'live', t.name, f.timeframe, q.n,
       q.n * 0.45,
       q.n * 0.22, q.n, q.n * 0.45, q.n * 0.22, q.n * 0.001 * e, q.n * 0.9, q.n * -0.01 * e, q.n * -0.01 * e, q.n * 0.9,
       q.n * 0.001 * e, q.n * 0.9, q.n * 0.002 * e
from (select (week at time zone 'UTC')::date as week
      from generate_series(date_trunc('week', now() - %(days)s * interval '1 day', 'UTC'), now(), '7 days') week) w
cross join (select 'type_' || lpad(n::text, 2, '0') as name from generate_series(0, %(types)s - 1) n) t
cross join (values ('1d'), ('1h')) f (timeframe)
cross join ml.models m
cross join lateral (select greatest(20, %(rows)s::float8 * 7 / %(types)s / 2)::bigint as n,
                           0.5 + extract(week from w.week)::float8 / 52 as e) q
"""
_FILL_TAIL = """
insert into ml_internal.batches (at, source, role, model_id, inference_ms, sla_ms, cache_hits, reasons, latency_ms,
                        classes,
                        confidences, rules, blends, thresholds, pattern_types, timeframes, detected, served,
                        first_passages, seen)
select now(), 'live', 'champion', m.id, 2.5, 75, 2, '{scored}', '{5.5}', '{positive}', '{0.6}', '{0.5}', '{0.56}',
       '{0.55}', '{type_01}', '{1d}', array[now()], '{0.56}', '{0.5}', '{f}'
from ml.models m, generate_series(1, 250) where m.version = 'newer';
insert into ml_internal.tallies (at, source, role, model_id, rows, cells, counts, sums, squares)
select now(), 'live', 'champion', m.id, 1, array(select first_cell from ml_internal.bins b where b.model_id = m.id),
       array(select 1 from ml_internal.bins b where b.model_id = m.id),
       array(select 0.0 from ml_internal.bins b where b.model_id = m.id),
       array(select 0.0 from ml_internal.bins b where b.model_id = m.id)
from ml.models m, generate_series(1, 250) where m.version = 'newer';
"""
_FILL_PREDICTIONS = """
insert into ml.predictions (pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, history, bars,
                            latency_ms, inference_ms, settings_version, input_hash, pattern_type, timeframe,
                            rule_confidence, blended_confidence, threshold)
select gen_random_uuid(), m.id, 'champion', now() - interval '180 days' * (1 - i::float8 / %(all)s), 0.5,
       '{0.3,0.2,0.5}', 1, '{0.5,100}', 128, 5.5, 2.5, 1, '\\x00', 'type_01', '1d', 0.5, 0.5, 0.55
from generate_series(%(first)s::bigint, %(last)s::bigint) i
join ml.models m on m.version = case when i * 2 < %(all)s then 'older' else 'newer' end
"""
