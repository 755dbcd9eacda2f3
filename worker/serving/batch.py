"""What a batch is: rows to score, the settings and models that it obeys, and what scoring it has gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from db_functions.gather import Gathered, Pattern
from worker.serving import arrays
from worker.serving.challengers import Challenge


@dataclass(frozen=True, slots=True)
class Work:
    """Rows to score. Rows that no queue holds have no ``queue_ids``, and None in ``enqueued_at_us``."""

    queue_ids: list[int]
    enqueued_at_us: list[int | None]
    patterns: list[Pattern]
    orphans: list[int]
    """Queue rows whose pattern is gone."""

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]]) -> Work:
        kept = [row for row in rows if row[2] is not None]
        return cls(
            queue_ids=[row[0] for row in kept if row[0] is not None],
            enqueued_at_us=[row[1] for row in kept],
            patterns=[Pattern.from_row(row[2:]) for row in kept],
            orphans=[row[0] for row in rows if row[2] is None],
        )

    def halves(self) -> tuple[Work, Work]:
        """Two parts of at least one pattern each; queue rows without a pattern go with the first."""
        middle = len(self.patterns) // 2
        first, second = slice(None, middle), slice(middle, None)
        return (
            Work(self.queue_ids[first], self.enqueued_at_us[first], self.patterns[first], self.orphans),
            Work(self.queue_ids[second], self.enqueued_at_us[second], self.patterns[second], []),
        )


@dataclass(frozen=True, slots=True)
class State:
    """The settings that a batch obeys, and the models that are to score it."""

    min_quality: float
    benchmark: str | None
    history_lag_us: int
    champion: int | None
    challenges: list[Challenge]

    COLUMNS: ClassVar = 5
    """How many columns the named query ``batch_state`` has."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> State:
        """From the columns of ``batch_state``, with which ``claim`` begins too."""
        min_quality, benchmark, lag_us, champion, challenges = row
        return cls(min_quality, benchmark, lag_us, champion, Challenge.from_rows(challenges))


@dataclass(frozen=True, slots=True)
class Scored:
    """A batch as far as it is the same for every model that has scored it."""

    work: Work
    gathered: Gathered | None
    hashes: list[bytes]
    champion: int | None
    rescore: bool

    @classmethod
    def of(cls, work: Work, gathered: Gathered | None, champion: int | None, *, rescore: bool) -> Scored:
        hashes = gathered.hashes() if gathered else [bytes(16)] * len(work.patterns)
        return cls(work, gathered, hashes, champion, rescore)

    @property
    def source(self) -> str:
        """``live`` where the rows came off the queue, else ``backfill``."""
        return "live" if self.work.queue_ids else "backfill"

    def inputs_of(self, rows: list[int]) -> dict[str, Any]:
        """What is kept of the inputs of ``rows``, as parameters."""
        gathered, count = self.gathered, len(rows)
        return {
            "bars": arrays.Smallints(gathered.bars_seen[rows] if gathered else np.zeros(count, dtype=np.int64)),
            "history": arrays.Doubles(gathered.inputs["history"][rows] if gathered else np.full((count, 2), np.nan)),
            "input_hashes": arrays.Digests(np.frombuffer(b"".join(self.hashes[i] for i in rows), dtype="V16")),
        }
