"""What a batch is: the rows that were claimed, the settings that it obeys, and its answers, ready to be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from psycopg import Cursor
from psycopg.rows import no_result

from db_functions.composites import ScoreRows
from db_functions.gather import Gathered, Pattern
from db_functions.model import Model
from db_functions.queries import columns_of, names_of
from worker.serving.challengers import Challenge, ChallengerAnswers
from worker.serving.scoring import ModelAnswers


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """The settings that a batch obeys, and the models that score it: the row of the named query ``batch_settings``."""

    min_quality: float
    benchmark: str | None
    history_lag_us: int
    champion: int | None
    challengers: Sequence[Sequence[float]] | None
    """(model, share, canary) of each."""

    @property
    def challenges(self) -> list[Challenge]:
        """The challengers, each with its stretch of the rows."""
        return Challenge.from_shares(self.challengers or ())


class ClaimedRow(NamedTuple):
    """A row of the named query ``claim``. ``queue_id`` is None when nothing waits, ``pattern`` when it is gone."""

    settings: BatchSettings
    queue_id: int | None
    enqueued_at_us: int | None
    pattern: Pattern | None


def claimed_rows(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], ClaimedRow]:
    """The row factory of ``claim``."""
    names = names_of(cursor)
    if not names:
        return no_result
    queue_id, enqueued_at_us, pattern_id = map(names.index, ("queue_id", "enqueued_at_us", "id"))
    settings_of, pattern_of = columns_of(cursor, BatchSettings), columns_of(cursor, Pattern)
    settings: BatchSettings | None = None

    def make(values: Sequence[Any]) -> ClaimedRow:
        nonlocal settings
        if settings is None:
            settings = settings_of(values)  # the same in every row, so read once
        pattern = None if values[pattern_id] is None else pattern_of(values)
        return ClaimedRow(settings, values[queue_id], values[enqueued_at_us], pattern)

    return make


@dataclass(frozen=True, slots=True)
class ClaimedRows:
    """The rows of a batch. Those of a backfill are in no queue: no ``queue_ids``, and None in ``enqueued_at_us``."""

    queue_ids: list[int]
    enqueued_at_us: list[int | None]
    patterns: list[Pattern]
    orphans: list[int] = field(default_factory=list)
    """Ids of queue rows whose pattern is gone."""

    @classmethod
    def none(cls) -> ClaimedRows:
        return cls([], [], [])

    @classmethod
    def from_queue(cls, rows: Sequence[ClaimedRow]) -> ClaimedRows:
        """From what ``claim`` gave."""
        found = cls.none()
        for _, queue_id, enqueued_at_us, pattern in rows:
            if queue_id is None:
                continue
            if pattern is None:
                found.orphans.append(queue_id)
                continue
            found.queue_ids.append(queue_id)
            found.enqueued_at_us.append(enqueued_at_us)
            found.patterns.append(pattern)
        return found

    @classmethod
    def from_patterns(cls, patterns: Sequence[Pattern]) -> ClaimedRows:
        """Rows that were there before, for a backfill."""
        return cls(queue_ids=[], enqueued_at_us=[None] * len(patterns), patterns=list(patterns))

    def __len__(self) -> int:
        return len(self.patterns) + len(self.orphans)

    @property
    def claimed_up_to(self) -> int:
        """The highest queue id; 0 when there is none."""
        return max([*self.queue_ids, *self.orphans], default=0)

    def halves(self) -> tuple[ClaimedRows, ClaimedRows]:
        """Two parts of at least one pattern each; queue rows without a pattern go with the first."""
        middle = len(self.patterns) // 2
        first, second = slice(None, middle), slice(middle, None)
        return (
            ClaimedRows(self.queue_ids[first], self.enqueued_at_us[first], self.patterns[first], self.orphans),
            ClaimedRows(self.queue_ids[second], self.enqueued_at_us[second], self.patterns[second]),
        )


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of one claim."""

    claimed_up_to: int = 0
    """The highest queue id that was claimed; 0 when nothing was."""
    claimed: int = 0
    done: int = 0
    """Rows that are finished, scored or given up. The others stay queued: another session has their patterns locked."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """A batch that every model has answered, ready to be written."""

    rows: ClaimedRows
    gathered: Gathered | None
    hashes: list[bytes]
    champion: int | None
    """The model that was champion when the rows were claimed."""
    rescore: bool
    model: Model | None
    """The model that gave ``answers``: the champion, or the one that stands in for it."""
    answers: ModelAnswers
    challengers: list[ChallengerAnswers]

    @property
    def source(self) -> str:
        """``live`` where the rows came off the queue, else ``backfill``."""
        return "live" if self.rows.queue_ids else "backfill"

    @property
    def role(self) -> str:
        """The role in which ``answers`` are logged."""
        return "standby" if self.model and self.model.id != self.champion else "champion"

    def score_rows(self, answers: ModelAnswers) -> ScoreRows:
        """What is written of ``answers`` to these rows, with what is kept of their inputs."""
        gathered, count = self.gathered, len(self.rows.patterns)
        return ScoreRows(
            pattern_ids=[pattern.id for pattern in self.rows.patterns],
            reason=answers.reason,
            enqueued_at_us=self.rows.enqueued_at_us,
            confidence=answers.confidence,
            probabilities=answers.probabilities,
            quality=answers.quality,
            bars=gathered.bars_seen if gathered else np.zeros(count, dtype=np.int64),
            history=np.asarray(gathered.inputs["history"] if gathered else np.full((count, 2), np.nan), np.float64),
            input_hashes=self.hashes,
            features=answers.features,
        )
