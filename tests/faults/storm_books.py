"""After a storm: each promise of docs/reliability.md against brute force over the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from db_functions.database import Connection
from tests.faults import books
from tests.faults.writers import Promised, Promises

_SERVING = "role in ('champion', 'standby', 'canary')"

CHECKS: Final[Mapping[str, str]] = {
    "committed rows that are gone": "expected e where not exists (select from pattern_events p where p.id = e.id)",
    "rows that nobody committed, or that were deleted": (
        "pattern_events p where not exists (select from expected e where e.id = p.id)"
    ),
    "rule confidences that are not what the application gave": (
        "expected e join pattern_events p using (id) where abs(p.rule_confidence - e.confidence) > 1e-9 "
        "or p.rule_confidence is null"
    ),
    # What the row itself says it was decided by, once more.
    "confidences that are not what their row says": """
        pattern_events p
        where p.confidence is null or abs(p.confidence - case when p.ml_metadata ->> 'source' = 'blend'
            then least(1, greatest(0, (p.ml_metadata ->> 'ml_weight')::float8 * p.ml_confidence
                                      + (p.ml_metadata ->> 'rule_weight')::float8 * p.rule_confidence))
            else p.rule_confidence end) > 1e-9""",
    "blends below their threshold, or decided otherwise than their row says": """
        pattern_events p
        where (p.ml_metadata ->> 'reason' = 'scored') is distinct from (p.ml_metadata ->> 'source' = 'blend')
           or (p.ml_metadata ->> 'source' = 'blend') and greatest(p.ml_confidence, 1 - p.ml_confidence)
                                                         < (p.ml_metadata ->> 'threshold')::float8""",
    "rows still pending": "pattern_events where coalesce(ml_metadata ->> 'reason', 'pending') = 'pending'",
    "rows left in the queue": "ml.queue",
    "good rows without a score": "expected join pattern_events using (id) where fate = 'scored' and scored_at is null",
    "refused rows without a score, now that nobody refuses": (
        "expected join pattern_events using (id) where fate = 'refused' and scored_at is null"
    ),
    "dead letters of good rows": (
        "ml.failures f join expected e on e.id = f.pattern_id where fate in ('scored', 'insufficient_bars')"
    ),
    "rows served more often than they were queued": f"""
        (select l.pattern_id, count(*) as served from ml.predictions l
         where {_SERVING} and reason is null group by 1 having count(*) > 1) twice
        where served > 1 + (select count(*) from ml.failures f
                            where f.pattern_id = twice.pattern_id and f.redriven_at is not null)""",
    "scores that are not in the log": f"""
        pattern_events p where p.scored_at is not null and not exists (
            select from ml.predictions l where l.pattern_id = p.id and {_SERVING} and l.scored_at = p.scored_at
              and l.ml_confidence = p.ml_confidence::real
              and l.model_id = (select m.id from ml.models m where m.version = p.model_version))""",
    "scores by another than the champion of their moment": """
        ml.predictions l where role = 'champion'
          and model_id is distinct from (select m.id from ml.models m
                                         where m.version = ml.model_at('champion', l.scored_at))""",
    "canary and challenger scores of a model that was not challenging": """
        ml.predictions l where role in ('canary', 'challenger') and not exists (
            select from ml.aliases a where a.alias = 'challenger' and a.model_id = l.model_id
              and a.valid_from <= l.scored_at and l.scored_at <= coalesce(a.valid_to, 'infinity'))""",
    "scores counted otherwise than logged": """
        (select coalesce(sum(confidences), 0) as n from ml_internal.metric_counts where grain = 'day') counted,
        (select count(*) as n from ml.predictions) there where counted.n <> there.n""",
    "decisions counted otherwise than logged": f"""
        (select coalesce(sum(scored + below_threshold + ml_disabled), 0) as n
         from ml_internal.metric_counts where grain = 'day' and role in ('champion', 'standby', 'canary')) counted,
        (select count(*) as n from ml.predictions where {_SERVING} and reason is null) there
        where counted.n <> there.n""",
    "bins of the confidence that hold another number than predicted": """
        (select c.model_id, place - 1 - b.first_cell as bin, sum(n) as n
         from ml_internal.bins b join ml_internal.feature_counts c using (model_id)
         cross join unnest(c.cells) with ordinality cell (n, place)
         where b.name = 'ml_confidence' and c.grain = 'hour' and place > b.first_cell and n > 0
         group by 1, 2) counted
        full join (select p.model_id, width_bucket(p.ml_confidence, b.edges) as bin, count(*) as n
                   from ml.predictions p join ml_internal.bins b using (model_id)
                   where b.name = 'ml_confidence' group by 1, 2) there
        using (model_id, bin) where counted.n is distinct from there.n""",
    "cohorts of another size than predicted": """
        (select coalesce(sum(predictions), 0) as n from ml_internal.cohort_counts
         where score = 'ml' and num_nonnulls(cohort, detected_month, pattern_type, timeframe) = 0) counted,
        (select count(*) as n from ml.predictions) there where counted.n <> there.n""",
    "outcomes in the cohorts that are not those of the rows": """
        (select coalesce(sum(labelled), 0) as n, coalesce(sum(positives), 0) as yes from ml_internal.cohort_counts
         where score = 'ml' and num_nonnulls(cohort, detected_month, pattern_type, timeframe) = 0) counted,
        (select count(*) as n, count(*) filter (where p.outcome_label = 'positive') as yes
         from ml.predictions l join pattern_events p on p.id = l.pattern_id where p.outcome_label is not null) there,
        (select count(*) as n from ml.predictions l
         where not exists (select from pattern_events p where p.id = l.pattern_id)) gone
        where counted.n not between there.n and there.n + gone.n
           or counted.yes not between there.yes and there.yes + gone.n""",
}


def balance(
    connection: Connection,
    promises: Promises,
    own: Mapping[UUID, Promised],
    rewritten: Mapping[UUID, float],
    deleted: set[UUID],
) -> tuple[dict[str, int], list[str]]:
    """Counts by name, and what is off."""
    promises.committed.update(own)
    expected, wrong, _ = books.settle(connection, promises)
    # A row whose rule confidence was given again may have been scored before or after: only its confidence is known.
    expected = {
        key: Promised(_fate(promised, key in rewritten), rewritten.get(key, promised.confidence))
        for key, promised in expected.items()
        if key not in deleted
    }
    books.load(connection, expected)
    counts = {
        "rows committed": len(expected) + len(deleted),
        "rows deleted": len(deleted),
        "rows given again": len(rewritten),
        "rows rolled back": len(promises.rolled_back),
        "predictions": books.count(connection, "ml.predictions"),
        "dead letters": books.count(connection, "ml.failures"),
        "dead letters that were asked for again": books.count(connection, "ml.failures where redriven_at is not null"),
        "changes of champion": books.count(connection, "ml.aliases where alias = 'champion'"),
    }
    return counts, wrong + books.off(connection, CHECKS)


def _fate(promised: Promised, rewritten: bool) -> str:
    return "failed or scored" if rewritten and promised.fate == "failed" else promised.fate
