"""Scores of the past made again, by any registered model, into ``ml.predictions`` as role replay, or into files.

Rows keep their scores. Inputs are gathered as the worker gathers them, except for ``history``: outcomes become known
late, so the values kept with the original score are used. Over bars that have not changed since, the same model gives
the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import kwargs_row

from db_functions import composites
from db_functions.bulk.bits import Pins, pins_of
from db_functions.bulk.driver import How
from db_functions.bulk.ledger import run_job
from db_functions.bulk.pace import Pace
from db_functions.bulk.replica import ReplicaGatherer, open_replica
from db_functions.bulk.sessions import Session, Stopping
from db_functions.bulk.tasks import Outcome, Task, work_off
from db_functions.composites import ScoreRows, Scores
from db_functions.contract import check_outputs, quality
from db_functions.database import Connection, connect
from db_functions.errors import translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.model import Model, load, verify
from db_functions.queries import fetch_all, fetch_one, query
from training.check import require_valid
from training.errors import unknown_model
from training.load import read_gather_settings


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found, summed over its pages.

    ``skipped`` rows have too few bars for the model or an unusable answer. ``compared`` rows had a score before;
    ``same_inputs`` of them have the inputs of that score; this very model made ``repeated`` of those scores, and
    ``identical`` of them are the same to the bit. Differences are replayed confidences less original ones.
    """

    rows: int = 0
    skipped: int = 0
    compared: int = 0
    same_inputs: int = 0
    repeated: int = 0
    identical: int = 0
    differences: float = 0.0
    """The sum of their sizes."""
    largest_difference: float = 0.0

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed.read(
            {name: max(a, b) if name.startswith("largest") else a + b
             for (name, a), b in zip(asdict(self).items(), asdict(other).values(), strict=True)}
        )  # fmt: skip

    @classmethod
    def read(cls, found: Mapping[str, float]) -> Replayed:
        """From numbers by name, as the ledger keeps them."""
        own = asdict(cls())
        return cls(**{name: type(own[name])(value) for name, value in found.items() if name in own})


class Finished(NamedTuple):
    """What a replay found, and the slices that were given up, with the reason."""

    found: Replayed
    failed: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A pattern and the score that its replay is compared with; the latter's values are None without such a score."""

    pattern: Pattern
    history: list[float] | None
    ml_confidence: float | None
    input_hash: bytes | None
    same_model: bool | None

    @classmethod
    def from_columns(
        cls,
        *,
        history: list[float] | None,
        ml_confidence: float | None,
        input_hash: bytes | None,
        same_model: bool | None,
        **pattern: Any,
    ) -> Row:
        return cls(Pattern(**pattern), history, ml_confidence, input_hash, same_model)


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with the scores that the model gives them now; N of each."""

    rows: Sequence[Row]
    probabilities: NDArray[np.float32]
    quality: NDArray[np.float32]
    bars: NDArray[np.int64]
    history: NDArray[np.float64]
    hashes: Sequence[bytes]
    features: NDArray[np.float32] | None
    inference_ms: float


def replay(version: str, since: datetime, until: datetime | None = None, how: How | None = None) -> Finished:
    """Score every pattern detected in ``[since, until)`` with ``version``, into the database of DATABASE_URL.

    Raises UnknownModel, and InvalidModel when the file no longer passes the check.
    """
    selection = {"version": version, "since": since, "until": until}
    done = run_job("replay", selection, run_slice, ReplaySession, how or How())
    return Finished(Replayed.read(done.found), done.failed)


def run_slice(task: Task, stopping: Stopping = lambda: False) -> Outcome:
    """The task of a slice, in whatever process the engine runs it."""
    return work_off(task, ReplaySession, stopping)


@dataclass(frozen=True, slots=True)
class _ModelFile:
    """The row of ``replay_model``."""

    id: int
    version: str
    onnx: bytes
    sha256: str
    golden: bytes | None


class ReplaySession(Session):
    """A registered model over a connection of its own."""

    def __init__(self, selection: Mapping[str, Any], replica: bool) -> None:
        self.connection = connect(application_name="pattern-scoring replay", autocommit=True)
        self.selection = selection
        self._replica: ReplicaGatherer | None = None
        try:
            with translated():
                self.model = _fetch(self.connection, selection["version"])
                self._settings = read_gather_settings(self.connection)
                composites.register(self.connection)
            if replica:
                self._replica = ReplicaGatherer(self.connection, open_replica(self.connection))
        except BaseException:
            self.connection.close()
            raise
        self._pins = pins_of([self.model])
        self._gatherer = Gatherer(history_ttl_s=float("inf"))
        self._pace = Pace(self.connection)

    @property
    def reading(self) -> Connection:
        """Where patterns are read: the replica, if there is one."""
        return self._replica.connection if self._replica is not None else self.connection

    def refresh(self) -> None:
        """The version is the job's: nothing serves instead of it."""

    def pins(self) -> Pins:
        return self._pins

    def before(self, stopping: Stopping) -> int:
        self._pace.keep(stopping)
        return 0

    def work(self, ids: Sequence[str]) -> Mapping[str, float]:
        found = Replayed()
        for scored, part in self.score(ids):
            self._write(scored)
            found += part
        return asdict(found)

    def score(self, ids: Sequence[str]) -> Iterator[tuple[Scored, Replayed]]:
        """The scores of some patterns, and how they compare with those of the time; in two parts, writes nothing."""
        parameters = {"version": self.model.version, "ids": ids}
        rows = fetch_all(self.reading, "replay_page", kwargs_row(Row.from_columns), parameters)
        # Inputs of rows that all have a kept history, or all have none.
        for part in ([row for row in rows if row.history is not None], [row for row in rows if row.history is None]):
            if part:
                scored = self._score(part)
                yield scored, _compare(scored, skipped=len(part) - len(scored.rows))

    def close(self) -> None:
        self.connection.close()
        if self._replica is not None:
            self._replica.close()

    def _gather(self, rows: Sequence[Row]) -> Gathered:
        kept = [row.history for row in rows if row.history is not None]
        options: dict[str, Any] = {
            "benchmark": self._settings.benchmark,
            "history_lag_us": self._settings.history_lag_us,
            "history": np.array(kept) if kept else None,
        }
        patterns = [row.pattern for row in rows]
        if self._replica is not None:
            return self._replica.gather(patterns, **options)
        return self._gatherer.gather(self.connection, patterns, **options)

    def _score(self, rows: Sequence[Row]) -> Scored:
        gathered = self._gather(rows)
        kept = np.flatnonzero(gathered.bars_seen >= self.model.min_bars)
        outputs: dict[str, NDArray[Any]] = {
            "probabilities": np.empty((0, 3), np.float32),
            "features": np.empty((0, self.model.feature_count), np.float32),
        }
        good, worth, inference_ms = np.empty(0, np.bool_), np.empty(0, np.float32), 0.0
        if len(kept):
            inputs = gathered.feed(self.model.input_names, kept)
            started = time.perf_counter()
            outputs = self.model.run(inputs)
            inference_ms = (time.perf_counter() - started) * 1000
            good, worth = check_outputs(outputs, len(kept)), quality(outputs, inputs)
        kept, hashes = kept[good], gathered.hashes()
        return Scored(
            rows=[rows[i] for i in kept.tolist()],
            # As the worker stores them.
            probabilities=np.clip(outputs["probabilities"][good], 0, 1),
            quality=worth[good],
            bars=gathered.bars_seen[kept],
            history=np.asarray(gathered.inputs["history"][kept], np.float64),
            hashes=[hashes[i] for i in kept.tolist()],
            features=outputs["features"][good] if self.model.feature_count else None,
            inference_ms=inference_ms,
        )

    def _write(self, scored: Scored) -> None:
        count = len(scored.rows)
        if not count:
            return
        rows = ScoreRows(
            pattern_ids=[row.pattern.id for row in scored.rows],
            reason=[None] * count,
            enqueued_at_us=[None] * count,
            confidence=scored.probabilities[:, 2],
            probabilities=scored.probabilities,
            quality=scored.quality,
            bars=scored.bars,
            history=scored.history,
            input_hashes=list(scored.hashes),
            features=scored.features,
        )
        blocks, _ = rows.blocks(1, range(count))
        parameters = {
            "version": self.model.version,
            "inference_ms": scored.inference_ms,
            "scores": Scores.of(blocks),
        }
        self.connection.execute(query("write_replay"), parameters)


def _fetch(connection: Connection, version: str) -> Model:
    file = fetch_one(connection, "replay_model", _ModelFile, {"version": version})
    if file is None:
        raise unknown_model(version)
    require_valid(file.onnx)
    model = load(file.id, file.version, file.onnx, file.sha256, file.golden)
    verify(model)
    return model


def _compare(scored: Scored, *, skipped: int) -> Replayed:
    compared = same_inputs = repeated = identical = 0
    total = largest = 0.0
    for row, own_hash, replayed in zip(scored.rows, scored.hashes, scored.probabilities[:, 2], strict=True):
        if row.ml_confidence is None:
            continue
        size = abs(float(replayed) - row.ml_confidence)
        compared, total, largest = compared + 1, total + size, max(largest, size)
        if row.input_hash == own_hash:
            same_inputs += 1
            repeated += bool(row.same_model)
            identical += bool(row.same_model and np.float32(row.ml_confidence) == replayed)
    return Replayed(len(scored.rows), skipped, compared, same_inputs, repeated, identical, total, largest)
