"""Explains scores from the features recorded with them and keeps the result as ``ml.attributions``.

Either for named patterns, or for a share of all scores. The share is chosen by the pattern's hash and so is the same in
every run: an interrupted run can be continued, and its averages stand for all scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.progress import bar
from db_functions.queries import query
from training.attribution.explainer import Attribution, Explainer
from training.attribution.permutations import PAIRS
from training.check import require_valid
from training.errors import NotExplainable
from training.registry import read_file

_CHUNK: Final = 16
"""Scores explained and committed together: some ten seconds of work."""
_SAME: Final = 1e-6
"""Largest distance between the answer to the recorded features and the recorded score, both float32."""


@dataclass(frozen=True, slots=True)
class Score:
    """One row of ``ml.predictions``."""

    pattern_id: UUID
    version: str
    scored_at: datetime


@dataclass(frozen=True, slots=True)
class _Requested:
    """A pattern that was asked for and its newest score, if any; ``known`` tells whether the pattern exists."""

    pattern_id: UUID
    known: bool
    version: str | None
    scored_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What is still recorded of a score; None once it was pruned."""

    ml_confidence: float | None
    features: list[float] | None


@dataclass(frozen=True, slots=True)
class Explained:
    """A score, the features it was made from, and what they contributed to it."""

    score: Score
    feature_names: list[str]
    features: NDArray[np.float32]
    attributions: list[Attribution]
    background_rows: int
    unread: Mapping[str, str]
    """Members that cannot be explained, and why."""


@dataclass(frozen=True, slots=True)
class SampleResult:
    """How many scores of a share were explained, and how many were skipped for each reason."""

    explained: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unread: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Members that cannot be explained, by model and name, and why."""

    def __add__(self, other: SampleResult) -> SampleResult:
        return SampleResult(
            self.explained + other.explained, self.skipped + other.skipped, {**self.unread, **other.unread}
        )


def explain_patterns(
    connection: Connection, pattern_ids: Sequence[UUID], version: str | None = None, *, pairs: int = PAIRS
) -> list[Explained]:
    """Explain the newest score of each pattern, or the newest that ``version`` gave it; commits.

    Raises UnknownModel, and NotExplainable for a pattern without such a score and a model that cannot be explained.
    """
    with translated(), connection.transaction(), connection.cursor(row_factory=class_row(_Requested)) as cursor:
        requested = cursor.execute(
            query("scores_of_patterns"), {"pattern_ids": list(pattern_ids), "version": version}
        ).fetchall()
    if version is not None:
        read_file(connection, version)
    explainers = _Explainers(connection)
    found = []
    for score in [_require_score(one, version) for one in requested]:
        (one,) = _explain(connection, explainers.get(score.version), [score], pairs)
        if isinstance(one, NotExplainable):
            raise NotExplainable(f"pattern {score.pattern_id}: {one}")
        found.append(one)
        _write(connection, [one], sampled=False)
    return found


def explain_share(
    connection: Connection,
    share: float,
    since: datetime,
    until: datetime | None = None,
    version: str | None = None,
    *,
    pairs: int = PAIRS,
    progress: bool = False,
) -> SampleResult:
    """Explain that share of the scores made in ``[since, until)``; commits a few at a time.

    These are the scores that reached a row, or all scores of ``version`` except replays. Scores that were explained
    before are left as they are.
    """
    if version is not None:
        read_file(connection, version)
    with translated(), connection.transaction(), connection.cursor(row_factory=class_row(Score)) as cursor:
        scores = cursor.execute(
            query("scores_to_sample"), {"share": share, "since": since, "until": until, "version": version}
        ).fetchall()
    result, explainers = SampleResult(), _Explainers(connection)
    with bar(total=len(scores), shown=progress, desc="explain", unit="score") as done:
        for model, own in groupby(scores, key=lambda score: score.version):
            for part in _chunks(list(own)):
                result += _explain_sampled(connection, explainers, model, part, pairs)
                done.update(len(part))
    return result


def _explain_sampled(
    connection: Connection, explainers: _Explainers, model: str, scores: list[Score], pairs: int
) -> SampleResult:
    """Explain scores of one model and write what could be explained."""
    try:
        found = _explain(connection, explainers.get(model), scores, pairs)
    except NotExplainable as error:
        return SampleResult(skipped=Counter({str(error): len(scores)}))
    good = [one for one in found if isinstance(one, Explained)]
    _write(connection, good, sampled=True)
    return SampleResult(
        explained=len(good),
        skipped=Counter(str(one) for one in found if isinstance(one, NotExplainable)),
        unread={(model, name): why for one in good for name, why in one.unread.items()},
    )


def _chunks(scores: list[Score]) -> Iterator[list[Score]]:
    for start in range(0, len(scores), _CHUNK):
        yield scores[start : start + _CHUNK]


def _require_score(requested: _Requested, wanted: str | None) -> Score:
    """Raise NotExplainable when the pattern has no score, or none by the model ``wanted``."""
    if requested.version is not None and requested.scored_at is not None:
        return Score(requested.pattern_id, requested.version, requested.scored_at)
    pattern_id = requested.pattern_id
    if not requested.known:
        raise NotExplainable(f"there is no pattern {pattern_id}")
    if wanted is not None:
        raise NotExplainable(
            f"model {wanted} did not score pattern {pattern_id}; score it with `python -m training replay`"
        )
    raise NotExplainable(f"pattern {pattern_id} has no score; its ml_metadata ->> 'reason' says why")


class _Explainers:
    """One explainer for each model, or the reason that it has none, kept for the whole run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept: dict[str, Explainer | NotExplainable] = {}

    def get(self, version: str) -> Explainer:
        """Raises UnknownModel, InvalidModel and NotExplainable."""
        if version not in self._kept:
            data = read_file(self._connection, version)
            require_valid(data)
            try:
                self._kept[version] = Explainer(data)
            except NotExplainable as error:
                self._kept[version] = NotExplainable(f"model {version}: {error}")
        kept = self._kept[version]
        if isinstance(kept, NotExplainable):
            raise kept
        return kept


def _explain(
    connection: Connection, explainer: Explainer, scores: Sequence[Score], pairs: int
) -> list[Explained | NotExplainable]:
    """Explain scores of one model; in place of a score that cannot be explained stands the reason."""
    recorded = _read_recorded(connection, scores)
    kept = [i for i, one in enumerate(recorded) if one.features is not None]
    features = np.array([recorded[i].features for i in kept], np.float32).reshape(len(kept), -1)
    confidences = np.array([recorded[i].ml_confidence for i in kept], np.float64)
    same = np.abs(explainer.answer(features) - confidences) <= _SAME if kept else np.empty(0, np.bool_)
    good = [i for i, as_recorded in zip(kept, same, strict=True) if as_recorded]
    features = features[same]
    explanations = explainer.explain(features, [(0, scores[i].pattern_id.int) for i in good], pairs=pairs)
    explained = {
        i: Explained(
            scores[i], explainer.feature_names, row, attributions, len(explainer.background), explanations.unread
        )
        for i, row, attributions in zip(good, features, explanations.attributions, strict=True)
    }
    return [explained.get(i) or _unexplained(score, recorded[i]) for i, score in enumerate(scores)]


def _read_recorded(connection: Connection, scores: Sequence[Score]) -> list[_Recorded]:
    with translated(), connection.transaction(), connection.cursor(row_factory=class_row(_Recorded)) as cursor:
        return cursor.execute(
            query("recorded_features"),
            {
                "version": scores[0].version,
                "pattern_ids": [score.pattern_id for score in scores],
                "scored_at": [score.scored_at for score in scores],
            },
        ).fetchall()


def _unexplained(score: Score, recorded: _Recorded) -> NotExplainable:
    if recorded.features is None:
        return NotExplainable(f"the features that model {score.version} recorded with the score were pruned")
    return NotExplainable(
        f"model {score.version} gives another answer to the features recorded with the score; its features lose "
        "precision as float32"
    )


def _write(connection: Connection, found: Sequence[Explained], *, sampled: bool) -> None:
    with translated(), connection.transaction():
        for one in found:
            connection.execute(query("write_attributions"), _to_parameters(one) | {"sampled": sampled})


def _to_parameters(one: Explained) -> dict[str, Any]:
    attributions = one.attributions
    exact = np.full(len(one.features), np.nan)
    errors = [exact if a.standard_errors is None else a.standard_errors for a in attributions]
    return {
        "pattern_id": one.score.pattern_id,
        "version": one.score.version,
        "scored_at": one.score.scored_at,
        "members": [a.member for a in attributions],
        "scales": [a.scale for a in attributions],
        "bases": [a.base for a in attributions],
        "answers": [a.answer for a in attributions],
        "contributions": np.concatenate([a.contributions for a in attributions]).tolist(),
        "standard_errors": np.concatenate(errors).tolist(),
    }
