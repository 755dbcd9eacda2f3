"""Scores of the past made again, by any registered model, into ``ml.predictions`` as role replay.

Rows keep their scores. Inputs are gathered as the worker gathers them, except for ``history``: outcomes become known
late, so the values kept with the original score are used. Over bars that have not changed since, the same model gives
the same bits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from psycopg.rows import kwargs_row

from db_functions import composites
from db_functions.composites import ScoreRows, Scores
from db_functions.contract import META_FEATURE_NAMES, META_MIN_BARS, check_outputs, quality
from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.model import open_session
from db_functions.progress import bar
from db_functions.queries import query
from training.check import require_valid
from training.load import GatherSettings, read_gather_settings
from training.registry import read_file
from training.session import answer, input_names

_PAGE: Final = 512
_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found.

    ``skipped`` rows have too few bars for the model or an unusable answer. ``same_inputs`` rows have the inputs of the
    score they are compared with; this very model made ``repeated`` of those scores, and ``identical`` of them are the
    same to the bit. ``differences`` are replayed confidences less original ones.
    """

    rows: int
    skipped: int
    same_inputs: int
    repeated: int
    identical: int
    differences: tuple[float, ...]

    @classmethod
    def total(cls, parts: Sequence[Replayed]) -> Replayed:
        return cls(
            rows=sum(part.rows for part in parts),
            skipped=sum(part.skipped for part in parts),
            same_inputs=sum(part.same_inputs for part in parts),
            repeated=sum(part.repeated for part in parts),
            identical=sum(part.identical for part in parts),
            differences=tuple(chain.from_iterable(part.differences for part in parts)),
        )


@dataclass(frozen=True, slots=True)
class _Row:
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
    ) -> _Row:
        return cls(Pattern(**pattern), history, ml_confidence, input_hash, same_model)


def replay(
    connection: Connection, version: str, since: datetime, until: datetime | None = None, *, progress: bool = False
) -> Replayed:
    """Score every pattern detected in ``[since, until)`` with ``version``; commits a page at a time.

    Raises UnknownModel, and InvalidModel when the file no longer passes the check.
    """
    data = read_file(connection, version)
    require_valid(data)
    session = open_session(data)
    settings = read_gather_settings(connection)
    composites.register(connection)
    gatherer = Gatherer(history_ttl_s=float("inf"))
    found: list[Replayed] = []
    after = _BEFORE_ALL
    with bar(shown=progress, desc="replay", unit="row") as done:
        while True:
            with translated(), connection.transaction():
                rows = _read_page(connection, version, since, until, after)
                if not rows:
                    return Replayed.total(found)
                for part in (
                    [row for row in rows if row.history is not None],
                    [row for row in rows if row.history is None],
                ):
                    if part:
                        gathered = _gather(connection, gatherer, settings, part)
                        found.append(_score(connection, session, version, gathered, part))
            after = rows[-1].pattern.id
            done.update(len(rows))


def _read_page(connection: Connection, version: str, since: datetime, until: datetime | None, after: str) -> list[_Row]:
    parameters = {"version": version, "after": after, "since": since, "until": until, "limit": _PAGE}
    with connection.cursor(row_factory=kwargs_row(_Row.from_columns)) as cursor:
        return cursor.execute(query("replay_page"), parameters).fetchall()


def _gather(connection: Connection, gatherer: Gatherer, settings: GatherSettings, rows: Sequence[_Row]) -> Gathered:
    """Inputs of rows that all have a kept history, or all have none."""
    kept = [row.history for row in rows if row.history is not None]
    return gatherer.gather(
        connection,
        [row.pattern for row in rows],
        benchmark=settings.benchmark,
        history_lag_us=settings.history_lag_us,
        history=np.array(kept) if kept else None,
    )


def _score(
    connection: Connection, session: ort.InferenceSession, version: str, gathered: Gathered, rows: Sequence[_Row]
) -> Replayed:
    """Score rows, write the scores, and compare them with the original ones."""
    metadata = session.get_modelmeta().custom_metadata_map
    enough = np.flatnonzero(gathered.bars_seen >= int(metadata[META_MIN_BARS]))
    if not len(enough):
        return _compare([], [], np.empty(0, np.float32), skipped=len(rows))
    inputs = gathered.feed(input_names(session), enough)
    started = time.perf_counter()
    outputs = answer(session, inputs)
    inference_ms = (time.perf_counter() - started) * 1000
    good = check_outputs(outputs, len(enough))
    kept = enough[good]
    # As the worker stores them.
    probabilities = np.clip(outputs["probabilities"][good], 0, 1)
    confidence = probabilities[:, 2]
    all_hashes = gathered.hashes()
    hashes = [all_hashes[i] for i in kept]
    features = outputs["features"][good] if json.loads(metadata.get(META_FEATURE_NAMES, "[]")) else None
    if len(kept):
        scores = ScoreRows(
            pattern_ids=[rows[i].pattern.id for i in kept],
            reason=[None] * len(kept),
            enqueued_at_us=[None] * len(kept),
            confidence=confidence,
            probabilities=probabilities,
            quality=quality(outputs, inputs)[good],
            bars=gathered.bars_seen[kept],
            history=np.asarray(gathered.inputs["history"][kept], np.float64),
            input_hashes=hashes,
            features=features,
        )
        blocks, _ = scores.blocks(1, range(len(kept)))
        parameters = {"version": version, "inference_ms": inference_ms, "scores": Scores.of(blocks)}
        connection.execute(query("write_replay"), parameters)
    return _compare([rows[i] for i in kept], hashes, confidence, skipped=len(rows) - len(kept))


def _compare(
    rows: Sequence[_Row], hashes: Sequence[bytes], confidence: NDArray[np.float32], *, skipped: int
) -> Replayed:
    differences = []
    same_inputs = repeated = identical = 0
    for row, own_hash, replayed in zip(rows, hashes, confidence, strict=True):
        if row.ml_confidence is None:
            continue
        differences.append(float(replayed) - row.ml_confidence)
        if row.input_hash == own_hash:
            same_inputs += 1
            repeated += bool(row.same_model)
            identical += bool(row.same_model) and np.float32(row.ml_confidence) == replayed
    return Replayed(len(rows), skipped, same_inputs, repeated, int(identical), tuple(differences))
