"""Scores of the past made again, by any registered model, into ``ml.predictions`` as role replay.

Rows keep their scores. Inputs are gathered as the worker gathers them, but for ``history``: outcomes become known late,
so the values kept with the score of the time are used. Over bars that have not changed since, the same model gives the
same bits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from db_functions.contract import META_FEATURE_NAMES, META_MIN_BARS, check_outputs, quality
from db_functions.database import Connection
from db_functions.errors import UnknownModel, translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.model import open_session
from db_functions.progress import bar
from db_functions.queries import query
from training.check import require_valid

_PAGE: Final = 512
_START: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class Replayed:
    """What a replay found; differences are of confidences, replayed less original."""

    rows: int = 0
    skipped: int = 0
    """Rows with too few bars for the model, or whose answer cannot be believed."""
    same_inputs: int = 0
    """Rows whose inputs are those of the score they are compared with."""
    repeated: int = 0
    """Rows with the same inputs that this very model had scored."""
    identical: int = 0
    """Of these, those with the same confidence to the bit."""
    differences: list[float] = field(default_factory=list)


def replay(
    connection: Connection, version: str, since: datetime, until: datetime | None = None, *, progress: bool = False
) -> Replayed:
    """Score every pattern detected in ``[since, until)`` with ``version``; commits a page at a time.

    Raises UnknownModel, and InvalidModel when the file no longer passes the check.
    """
    session = _open(connection, version)
    with translated():
        settings = connection.execute(query("settings")).fetchone()
    assert settings is not None
    _, _, _, benchmark, _, lag_us, *_ = settings
    gatherer = Gatherer(history_ttl_s=float("inf"))
    found, after = Replayed(), _START
    with bar(shown=progress, desc="replay", unit="row") as done:
        while True:
            with translated(), connection.transaction():
                rows = connection.execute(
                    query("replay_page"),
                    {"version": version, "after": after, "since": since, "until": until, "limit": _PAGE},
                ).fetchall()
                if not rows:
                    return found
                patterns = [Pattern(*row[4:]) for row in rows]
                after = patterns[-1].id
                # In two parts: those whose history was kept, and those that no model has scored yet.
                for was_scored in (True, False):
                    part = [(row, one) for row, one in zip(rows, patterns, strict=True) if bool(row[0]) == was_scored]
                    if part:
                        gathered = gatherer.gather(
                            connection,
                            [pattern for _, pattern in part],
                            benchmark=benchmark,
                            history_lag_us=lag_us,
                            history=np.array([row[0] for row, _ in part]) if was_scored else None,
                        )
                        _score(connection, session, version, gathered, part, found)
            done.update(len(rows))


def _open(connection: Connection, version: str) -> ort.InferenceSession:
    with translated(), connection.transaction():
        row = connection.execute(query("model_by_version"), {"version": version}).fetchone()
    if row is None:
        raise UnknownModel(f"no model of version {version!r} is registered; `python -m training list` names them")
    data = bytes(row[0])
    require_valid(data)
    return open_session(data)


def _score(
    connection: Connection,
    session: ort.InferenceSession,
    version: str,
    gathered: Gathered,
    rows: Sequence[tuple[Sequence[Any], Pattern]],
    found: Replayed,
) -> None:
    """Score, write, and note what differs from the scores of the time."""
    metadata = session.get_modelmeta().custom_metadata_map
    enough = np.flatnonzero(gathered.bars_seen >= int(metadata[META_MIN_BARS]))
    names = [item.name for item in session.get_outputs()]
    inputs = gathered.feed([item.name for item in session.get_inputs()], enough)
    started = time.perf_counter()
    outputs = dict(zip(names, session.run(names, inputs), strict=True)) if len(enough) else {}
    inference_ms = (time.perf_counter() - started) * 1000
    good = check_outputs(outputs, len(enough)) if len(enough) else np.empty(0, np.bool_)
    found.skipped += len(gathered) - int(good.sum())
    if not good.any():
        return
    kept = enough[good]
    # As the worker stores them.
    probabilities = np.clip(outputs["probabilities"][good], 0, 1)
    confidence = probabilities[:, 2]
    features = outputs["features"][good] if json.loads(metadata.get(META_FEATURE_NAMES, "[]")) else None
    hashes = gathered.hashes()
    connection.execute(
        query("write_replay"),
        {
            "version": version,
            "pattern_ids": [rows[i][1].id for i in kept],
            "confidences": confidence.tolist(),
            "probabilities": probabilities.ravel().tolist(),
            "quality": quality(outputs, inputs)[good].tolist(),
            "bars": gathered.bars_seen[kept].tolist(),
            "features": None if features is None else features.ravel().tolist(),
            "history": gathered.inputs["history"][kept].ravel().tolist(),
            "input_hashes": [hashes[i] for i in kept],
            "inference_ms": inference_ms,
        },
    )
    _compare([rows[i][0] for i in kept], [hashes[i] for i in kept], confidence, found)


def _compare(
    rows: Sequence[Sequence[Any]], hashes: Sequence[bytes], confidence: NDArray[np.float32], found: Replayed
) -> None:
    for (_, original, digest, same_model, *_), own, replayed in zip(rows, hashes, confidence, strict=True):
        found.rows += 1
        if original is None:
            continue
        same_inputs = digest == own
        found.same_inputs += same_inputs
        found.repeated += bool(same_model and same_inputs)
        found.identical += bool(same_model and same_inputs and np.float32(original) == replayed)
        found.differences.append(float(replayed) - float(original))
