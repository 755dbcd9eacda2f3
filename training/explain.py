"""Scores explained from what was recorded with them, and kept as ``ml.attributions``.

On demand for patterns that somebody asks about, or for a share of all scores chosen by the pattern's hash: the same
ones however often it is asked, so that a run goes on where another ended, and their averages are those of all scores.
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

from db_functions.database import Connection
from db_functions.errors import UnknownModel, translated
from db_functions.progress import bar
from db_functions.queries import query
from training.attribution.explainer import Attribution, Explainer
from training.attribution.permutations import PAIRS
from training.check import require_valid
from training.errors import NotExplainable

_CHUNK: Final = 16
"""Scores explained and committed together: some ten seconds of work."""
_SAME: Final = 1e-6
"""How far the answer to the recorded features may be from the recorded score, both float32."""


@dataclass(frozen=True, slots=True)
class Score:
    """One row of ``ml.predictions``."""

    pattern_id: UUID
    version: str
    scored_at: datetime


@dataclass(frozen=True, slots=True)
class Explained:
    """A score, the features it was made from, and what they had to do with it."""

    score: Score
    feature_names: list[str]
    features: NDArray[np.float32]
    attributions: list[Attribution]
    background_rows: int
    unread: Mapping[str, str]
    """Members that cannot be explained, and why."""


@dataclass(slots=True)
class Sampled:
    """What came of a share: how many scores were explained, and why others were not."""

    explained: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unread: dict[tuple[str, str], str] = field(default_factory=dict)
    """Members that cannot be explained, by model and name, and why."""


def explain_patterns(
    connection: Connection, pattern_ids: Sequence[UUID], version: str | None = None, *, pairs: int = PAIRS
) -> list[Explained]:
    """Explain the newest score of each pattern, or the newest that ``version`` gave it; commits.

    Raises UnknownModel, and NotExplainable for a pattern without such a score and a model that cannot be explained.
    """
    with translated(), connection.transaction():
        rows = connection.execute(
            query("scores_of_patterns"), {"pattern_ids": list(pattern_ids), "version": version}
        ).fetchall()
    if version is not None:
        _file(connection, version)
    scores = [_require_scored(*row, wanted=version) for row in rows]
    models = _Models(connection)
    found = []
    for score in scores:
        explainer = models.explainer(score.version)
        (one,) = _explain(connection, explainer, [score], pairs)
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
) -> Sampled:
    """Explain that share of the scores made in ``[since, until)``; commits a few at a time.

    Scores that reached a row, or all that ``version`` gave but for replays. What is there already is left as it is.
    """
    if version is not None:
        _file(connection, version)
    with translated(), connection.transaction():
        rows = connection.execute(
            query("scores_to_sample"), {"share": share, "since": since, "until": until, "version": version}
        ).fetchall()
    scores = [Score(*row) for row in rows]
    result, models = Sampled(), _Models(connection)
    with bar(total=len(scores), shown=progress, desc="explain", unit="score") as done:
        for model, own in groupby(scores, key=lambda score: score.version):
            for part in _parts(list(own)):
                try:
                    found = _explain(connection, models.explainer(model), part, pairs)
                except NotExplainable as error:
                    result.skipped[str(error)] += len(part)
                else:
                    good = [one for one in found if isinstance(one, Explained)]
                    result.skipped.update(str(one) for one in found if isinstance(one, NotExplainable))
                    result.explained += len(good)
                    result.unread |= {(model, name): why for one in good for name, why in one.unread.items()}
                    _write(connection, good, sampled=True)
                done.update(len(part))
    return result


def _parts(scores: list[Score]) -> Iterator[list[Score]]:
    for start in range(0, len(scores), _CHUNK):
        yield scores[start : start + _CHUNK]


def _require_scored(
    pattern_id: UUID, known: bool, version: str | None, scored_at: datetime | None, *, wanted: str | None
) -> Score:
    if version is not None and scored_at is not None:
        return Score(pattern_id, version, scored_at)
    if not known:
        raise NotExplainable(f"there is no pattern {pattern_id}")
    if wanted is not None:
        raise NotExplainable(f"model {wanted} did not score pattern {pattern_id}; `python -m training replay` lets it")
    raise NotExplainable(f"pattern {pattern_id} has no score; its ml_metadata ->> 'reason' says why")


class _Models:
    """The explainers of models, each made once; the reason that there is none is kept as well."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._made: dict[str, Explainer | NotExplainable] = {}

    def explainer(self, version: str) -> Explainer:
        """Raises UnknownModel, InvalidModel and NotExplainable."""
        if version not in self._made:
            try:
                data = _file(self._connection, version)
                require_valid(data)
                self._made[version] = Explainer(data)
            except NotExplainable as error:
                self._made[version] = NotExplainable(f"model {version}: {error}")
        made = self._made[version]
        if isinstance(made, NotExplainable):
            raise made
        return made


def _file(connection: Connection, version: str) -> bytes:
    with translated(), connection.transaction():
        row = connection.execute(query("model_by_version"), {"version": version}).fetchone()
    if row is None:
        raise UnknownModel(f"no model of version {version!r} is registered; `python -m training list` names them")
    return bytes(row[0])


def _explain(
    connection: Connection, explainer: Explainer, scores: Sequence[Score], pairs: int
) -> list[Explained | NotExplainable]:
    """Scores of one model explained, or why one is not."""
    with translated(), connection.transaction():
        rows = connection.execute(
            query("recorded_features"),
            {
                "version": scores[0].version,
                "pattern_ids": [score.pattern_id for score in scores],
                "scored_at": [score.scored_at for score in scores],
            },
        ).fetchall()
    kept = [i for i, (_, features) in enumerate(rows) if features is not None]
    features = np.array([rows[i][1] for i in kept], np.float32).reshape(len(kept), -1)
    same = np.abs(explainer.answer(features) - [rows[i][0] for i in kept]) <= _SAME if kept else []
    good = [i for i, as_recorded in zip(kept, same, strict=True) if as_recorded]
    features = features[np.flatnonzero(same)]
    seeds = [(0, scores[i].pattern_id.int) for i in good]
    explained = dict(
        zip(good, zip(features, explainer.explain(features, seeds, pairs=pairs), strict=True), strict=True)
    )
    return [
        Explained(score, explainer.feature_names, *explained[i], len(explainer.background), explainer.unread)
        if i in explained
        else NotExplainable(
            f"model {score.version} gives another answer to the features recorded with the score: it sees more of them "
            "than float32 holds"
            if i in kept
            else f"no features of model {score.version} are recorded with the score any more"
        )
        for i, score in enumerate(scores)
    ]


def _write(connection: Connection, found: Sequence[Explained], *, sampled: bool) -> None:
    with translated(), connection.transaction():
        for one in found:
            connection.execute(query("write_attributions"), _parameters(one) | {"sampled": sampled})


def _parameters(one: Explained) -> dict[str, Any]:
    all_of = one.attributions
    exact = np.full(len(one.features), np.nan)
    errors = [exact if a.standard_errors is None else a.standard_errors for a in all_of]
    return {
        "pattern_id": one.score.pattern_id,
        "version": one.score.version,
        "scored_at": one.score.scored_at,
        "members": [a.member for a in all_of],
        "scales": [a.scale for a in all_of],
        "bases": [a.base for a in all_of],
        "answers": [a.answer for a in all_of],
        "contributions": np.concatenate([a.contributions for a in all_of]).tolist(),
        "standard_errors": np.concatenate(errors).tolist(),
    }
