"""The books: what writers were promised against what the database holds, to the row."""

from __future__ import annotations

from collections.abc import Mapping

from db_functions.database import Connection
from tests.faults.writers import Promises, Rows

_CHECKS: Mapping[str, str] = {
    "committed rows that are gone": "expected e where not exists (select from pattern_events p where p.id = e.id)",
    "rows that nobody committed": "pattern_events p where not exists (select from expected e where e.id = p.id)",
    "rows still pending": "pattern_events where coalesce(ml_metadata ->> 'reason', 'pending') = 'pending'",
    "rows left in the queue": "ml.queue",
    "rows scored more than once": "(select from ml.predictions group by pattern_id having count(*) > 1) twice",
    "good rows without a prediction": (
        "expected e where fate = 'scored' and not exists (select from ml.predictions p where p.pattern_id = e.id)"
    ),
    "predictions of rows that have none": (
        "ml.predictions p where not exists (select from expected e where e.id = p.pattern_id and fate = 'scored')"
    ),
    "good rows without a score": "expected join pattern_events using (id) where fate = 'scored' and scored_at is null",
    "rows with another reason than theirs": (
        "expected join pattern_events using (id) "
        "where fate <> 'scored' and fate is distinct from ml_metadata ->> 'reason'"
    ),
    "good rows in ml.failures": (
        "ml.failures f where not exists (select from expected e where e.id = f.pattern_id and fate = 'failed')"
    ),
    "poison rows not once in ml.failures": (
        "(select from expected e left join ml.failures f on f.pattern_id = e.id where fate = 'failed' "
        "group by e.id having count(f.id) <> 1) odd"
    ),
    "scores by another than the champion": "ml.predictions where role <> 'champion'",
    "reasons counted otherwise than they are": (
        "(select r.reason, sum(r.n) as n from ml_internal.metric_counts c cross join lateral (values "
        "('scored', c.scored), ('below_threshold', c.below_threshold), ('ml_disabled', c.ml_disabled), "
        "('no_model', c.no_model), ('insufficient_bars', c.insufficient_bars), ('low_quality', c.low_quality), "
        "('failed', c.failed)) r (reason, n) where c.grain = 'hour' and r.n > 0 group by 1) counted "
        "full join (select ml_metadata ->> 'reason' as reason, count(*) as n from pattern_events group by 1) there "
        "using (reason) where counted.n is distinct from there.n"
    ),
    "latencies and confidences counted otherwise than predicted": """
        (select coalesce(sum(confidences), 0) as n, coalesce(sum((select sum(x) from unnest(inference) x)), 0) as timed
         from ml_internal.metric_counts where grain = 'day') counted, (select count(*) as n from ml.predictions) there
        where counted.n <> there.n or counted.timed <> there.n""",
    "bins of the confidence that hold another number than predicted": """
        (select place - 1 - b.first_cell as bin, sum(n) as n
         from ml_internal.bins b cross join ml_internal.feature_counts c
         cross join unnest(c.cells) with ordinality cell (n, place)
         where b.name = 'ml_confidence' and c.grain = 'hour' and place > b.first_cell and n > 0
         group by 1) counted
        full join (select width_bucket(p.ml_confidence, b.edges) as bin, count(*) as n from ml.predictions p
                   join ml_internal.bins b using (model_id) where b.name = 'ml_confidence' group by 1) there
        using (bin) where counted.n is distinct from there.n""",
    "cohorts of another size than predicted": """
        (select coalesce(sum(predictions), 0) as n from ml_internal.cohort_counts
         where score = 'ml' and cohort is null and detected_month is null and pattern_type is null
         and timeframe is null) counted,
        (select count(*) as n from ml.predictions) there where counted.n <> there.n""",
}


def balance(connection: Connection, promises: Promises) -> tuple[dict[str, int], list[str]]:
    """Counts by name, and what is off."""
    expected, wrong, taken = settle(connection, promises)
    load(connection, expected)
    counts = {
        "rows committed": len(expected),
        "rows rolled back": len(promises.rolled_back),
        "commits in doubt": len(promises.doubtful),
        "of these done": taken,
        "predictions": count(connection, "ml.predictions"),
        "fallbacks": count(connection, "pattern_events where scored_at is null"),
        "dead letters": count(connection, "ml.failures"),
    }
    wrong += off(connection, _CHECKS)
    if counts["predictions"] + counts["fallbacks"] != counts["rows committed"]:
        wrong.append("predictions and fallbacks do not add up to the rows committed")
    return counts, wrong


def settle(connection: Connection, promises: Promises) -> tuple[Rows, list[str], int]:
    """What must be there, what is off about commits in doubt (all rows of each, or none), and how many were done."""
    wrong = []
    there = {row[0] for row in connection.execute("select id from pattern_events").fetchall()}
    expected = dict(promises.committed)
    taken = 0
    for transaction in promises.doubtful:
        found = transaction.keys() & there
        if found and len(found) < len(transaction):
            wrong.append(f"half a transaction: {len(found)} of {len(transaction)} rows")
        if found:
            taken += 1
            expected |= transaction
    return expected, wrong, taken


def off(connection: Connection, checks: Mapping[str, str]) -> list[str]:
    """The checks whose count is not 0."""
    found = {name: count(connection, what) for name, what in checks.items()}
    return [f"{number} {name}" for name, number in found.items() if number]


def latencies_ms(connection: Connection) -> dict[str, float]:
    """From enqueueing (in the writer's statement, so a commit held back counts) to the score."""
    row = connection.execute(
        "select coalesce(percentile_cont(array[0.5, 0.95, 0.99, 1]) within group (order by prediction_latency_ms), "
        "'{0,0,0,0}') from pattern_events where scored_at is not null"
    ).fetchone()
    assert row is not None
    return dict(zip(("p50", "p95", "p99", "max"), row[0], strict=True))


def load(connection: Connection, expected: Rows) -> None:
    """The promises as a temporary table ``expected``."""
    connection.execute(
        "create temporary table expected (id uuid primary key, fate text not null, confidence float8 not null)"
    )
    with connection.cursor().copy("copy expected from stdin") as copy:
        for key, promised in expected.items():
            copy.write_row((key, promised.fate, promised.confidence))
    connection.execute("analyze expected")


def count(connection: Connection, what: str) -> int:
    """``select count(*) from WHAT``."""
    row = connection.execute(f"select count(*) from {what}").fetchone()
    assert row is not None
    return int(row[0])
