"""One model on one page: its scores on rows it was not trained on, as a self-contained HTML file.

Another model can be put beside it on the same rows, for paired differences. The page has no scripts and loads nothing,
so it can be mailed and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from psycopg.rows import class_row

from db_functions.contract import META_LABEL_HORIZON
from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.model import open_session
from db_functions.queries import query
from training import session
from training.baseline import smoothed_psi
from training.card import IN_REPORT
from training.check import require_valid
from training.curves import GRID, Curve, Floats, band, lift_curve, precision_curve, roc_curve
from training.dataset import Dataset
from training.errors import TooFewRows, unknown_model
from training.evaluate import block_weights, compare, evaluate
from training.first_passage import plain_target
from training.metrics import METRICS, reliability
from training.plots import MODEL, OTHER, QUIET, BarList, Plot, bar_list
from training.rendering import markdown_to_html, render_html
from training.scores import TITLES, Interval, ScoreLine, above_noise, score_lines

LEAST_ROWS: Final = 100
_LEAST_OF_A_GROUP: Final = 30
_RESAMPLES: Final = 300
_SHOWN: Final = 20
_DRIFTED: Final = (0.1, 0.25)


@dataclass(frozen=True, slots=True)
class Contribution:
    """A feature's mean contribution to ``scores`` sampled scores, signs aside, with its standard error."""

    feature: str
    mean_size: float
    mean_standard_error: float | None
    scores: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A registered model as far as a report needs it."""

    version: str
    onnx: bytes
    sha256: str
    algorithm: str
    feature_names: list[str]
    metrics: Mapping[str, Any]
    drift_baseline: Mapping[str, Any]
    model_card: str
    contributions: tuple[Contribution, ...] = ()

    @property
    def unseen_since(self) -> int:
        """Unix seconds since which no row was used for training; 0 where this is unknown."""
        return int(self.metrics.get("trained", {}).get("test_from", 0))

    def answer(self, dataset: Dataset) -> dict[str, NDArray[Any]]:
        return session.answer(open_session(self.onnx), dataset.inputs)


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Side:
    """Probabilities [N] drawn in one colour; NaN where this side has none. ``name`` is its key in the metrics."""

    name: str
    title: str
    p: Floats
    colour: str

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.isfinite(self.p)


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of one pattern type, timeframe or year; None with too few rows."""

    name: str
    rows: int
    positive: float | None
    figures: list[float | None] | None
    difference: Interval | None


def fetch_subject(connection: Connection, version: str) -> Subject:
    """Raises UnknownModel, and InvalidModel when the file no longer passes the check."""
    parameters = {"version": version}
    with translated(), connection.transaction():
        with connection.cursor(row_factory=class_row(Subject)) as models:
            subject = models.execute(query("report_model"), parameters).fetchone()
        with connection.cursor(row_factory=class_row(Contribution)) as features:
            contributions = features.execute(query("mean_contributions"), parameters).fetchall()
    if subject is None:
        raise unknown_model(version)
    require_valid(bytes(subject.onnx))
    return replace(subject, onnx=bytes(subject.onnx), contributions=tuple(contributions))


def unseen_rows(dataset: Dataset, *subjects: Subject) -> Dataset:
    """The rows that none of the models was trained on. Raises TooFewRows."""
    since = max(subject.unseen_since for subject in subjects)
    rows = dataset.take(dataset.detected_at >= since)
    if len(rows) < LEAST_ROWS:
        names = " and ".join(subject.version for subject in subjects)
        raise TooFewRows(
            f"{len(rows)} labelled rows are newer than the training rows of {names}; a report needs {LEAST_ROWS}"
        )
    return rows


def render(subject: Subject, dataset: Dataset, other: Subject | None = None, *, seed: int = 0) -> str:
    """The page for ``subject`` on the rows of ``dataset`` that it answers, beside ``other`` (on rows that both answer)
    or else beside the rule confidence.
    """
    answers, beside = subject.answer(dataset), _beside(dataset, other)
    answered = np.isfinite(answers["ml_confidence"]) & (beside.known if other else True)
    dataset, beside = dataset.take(answered), replace(beside, p=beside.p[answered])
    answers = {name: values[answered] for name, values in answers.items()}
    ml = answers["ml_confidence"].astype(np.float64)
    lines, sentences = _score_lines(subject, dataset, ml, beside, seed)
    sides = [Side("ml", subject.version, ml, MODEL), *([beside] if beside.known.any() else [])]
    hit = dataset.positive.astype(np.float64)
    days = [datetime.fromtimestamp(int(s), UTC).date() for s in dataset.detected_at[[0, -1]]]
    groups = {
        "pattern type": dataset.inputs["pattern_type"].astype(str),
        "timeframe": dataset.inputs["timeframe"].astype(str),
        "year": np.array([str(datetime.fromtimestamp(int(s), UTC).year) for s in dataset.detected_at]),
    }
    return render_html(
        "report.html.j2",
        subject=subject,
        days=days,
        rows=len(dataset),
        positive=float(hit.mean()),
        resamples=_RESAMPLES,
        titles=METRICS.values(),
        lines=lines,
        verdicts=sentences,
        sides=sides,
        calibration=_calibration(sides, hit),
        ranking=_ranking(sides, dataset, lines, seed),
        beside=beside.title,
        least=_LEAST_OF_A_GROUP,
        groups={title: list(_groups(values, ml, beside, dataset, seed)) for title, values in groups.items()},
        importances=above_noise(subject.metrics.get("importances", {}), subject.metrics.get("importance_errors", {}))[
            :_SHOWN
        ],
        contributions=_contributions(subject),
        drift=_drift(subject, answers.get("features")),
        drifted=_DRIFTED,
        bar_list=bar_list,
        card=markdown_to_html(subject.model_card, without=IN_REPORT),
    )


def _beside(dataset: Dataset, other: Subject | None) -> Side:
    if other is not None:
        return Side("other", other.version, other.answer(dataset)["ml_confidence"].astype(np.float64), OTHER)
    return Side("rule", "rule confidence", np.asarray(dataset.inputs["rule_confidence"], np.float64), OTHER)


def _score_lines(
    subject: Subject, dataset: Dataset, ml: Floats, beside: Side, seed: int
) -> tuple[list[ScoreLine], list[str]]:
    """The lines of the metrics table, and a sentence for each interval that excludes no difference."""
    known = subject.metrics.get("trained", {}).get("positive_rate", float(dataset.positive.mean()))
    # Of the bars that the model was made for; where a file does not say, of those that the rows were labelled by.
    horizon = int(subject.metrics.get(META_LABEL_HORIZON, dataset.horizon))
    baselines = {"first_passage": plain_target(dataset.inputs, horizon)}
    weight = float(subject.metrics.get("weights", {}).get("ml_weight", 1.0))
    metrics = evaluate(
        ml, dataset, known_rate=known, baselines=baselines, ml_weight=weight, seed=seed, resamples=_RESAMPLES
    )
    titles = dict(TITLES)
    if beside.name == "other":
        both = compare({"ml": ml, "other": beside.p}, "other", dataset, seed=seed, resamples=_RESAMPLES)
        metrics["with_other"] = both | {"rows": len(dataset)}
        titles["other"] = f"model {beside.title}"
    return score_lines(metrics, titles), [one["sentence"] for one in metrics["verdicts"]]


def _calibration(sides: Sequence[Side], hit: Floats) -> list[Figure]:
    bins = [(one, side.colour) for side in sides for one in reliability(side.p[side.known], hit[side.known])]
    low, high = _limits([one[key] for one, _ in bins for key in ("predicted", "observed_low", "observed_high")])
    diagram = Plot((low, high), (low, high), ("predicted", "observed"))
    diagram.line([low, high], [low, high], QUIET, dashed=True)
    for one, colour in reversed(bins):
        diagram.point(one["predicted"], one["observed"], one["observed_low"], one["observed_high"], colour)
    edges = np.linspace(*_limits(np.concatenate([side.p[side.known] for side in sides])), 41)
    histogram = Plot((edges[0], edges[-1]), (0, 1), ("predicted", "rows, relative to the fullest bin"))
    for side in reversed(sides):
        heights = np.histogram(side.p[side.known], edges)[0]
        histogram.bars(edges, heights / max(1, heights.max()), side.colour)
    return [
        Figure(diagram.svg("Reliability"), "Reliability: bins of equal mass with 95 % Wilson intervals."),
        Figure(histogram.svg("Histogram of confidences"), "How often each confidence was given."),
    ]


def _ranking(sides: Sequence[Side], dataset: Dataset, lines: Sequence[ScoreLine], seed: int) -> list[Figure]:
    base_rate = float(dataset.positive.mean())
    plots = {
        "ROC": (roc_curve, Plot((0, 1), (0, 1), ("false positive rate", "true positive rate")), (0.0, 1.0)),
        "Precision and recall": (precision_curve, Plot((0, 1), (0, 1), ("recall", "precision")), (base_rate,) * 2),
        "Lift": (
            lift_curve,
            Plot((0, 1), (0, 2), ("share of rows, highest confidence first", "positives / base rate")),
            (1.0, 1.0),
        ),
    }
    for curve, plot, chance in plots.values():
        plot.line([0, 1], chance, QUIET, dashed=True)
        for side in reversed(sides):
            _draw(plot, curve, side, dataset, seed)
    areas = {line.name: line.figures["roc_auc"] for line in reversed(lines)}
    captions = {"ROC": " ".join(f"{side.title}: {_against_diagonal(areas[side.name])}." for side in sides)}
    return [
        Figure(plot.svg(title), f"{title}. {captions.get(title, '')}".strip()) for title, (_, plot, _) in plots.items()
    ]


def _draw(plot: Plot, curve: Curve, side: Side, dataset: Dataset, seed: int) -> None:
    own = dataset.take(side.known)
    weights = block_weights(own, seed=seed, resamples=_RESAMPLES)
    drawn = band(curve, side.p[side.known], own.positive.astype(np.float64), weights)
    if drawn is not None:
        plot.band(GRID, plot.within(drawn.low), plot.within(drawn.high), side.colour)
        plot.line(GRID, plot.within(drawn.middle), side.colour)


def _against_diagonal(area: Interval) -> str:
    """Where an ROC curve lies, from the interval of the area under it."""
    if area.low is None or area.high is None:
        return "undefined"
    if area.high < 0.5:
        return "below the diagonal, ranks worse than chance"
    return "above the diagonal" if area.low > 0.5 else "cannot be told apart from the diagonal"


def _groups(values: NDArray[Any], ml: Floats, beside: Side, dataset: Dataset, seed: int) -> Iterator[Group]:
    """Both sides on the rows of each group that both have answered."""
    for value in np.unique(values):
        index = np.flatnonzero((values == value) & beside.known)
        own = dataset.take(index)
        positive = float(own.positive.mean()) if len(own) else None
        if len(own) < _LEAST_OF_A_GROUP:
            yield Group(str(value), len(own), positive, None, None)
            continue
        answers = {"ml": ml[index], "other": beside.p[index]}
        both = compare(answers, "other", own, seed=seed, resamples=_RESAMPLES)
        figures = [both[side][metric]["value"] for metric in ("brier", "roc_auc") for side in answers]
        yield Group(str(value), len(own), positive, figures, Interval.of(both["ml_minus_other"]["brier"]))


def _contributions(subject: Subject) -> list[tuple[str, float]]:
    """Mean contributions that exceed their standard errors, largest first."""
    return [
        (one.feature, one.mean_size)
        for one in subject.contributions
        if one.mean_size > (one.mean_standard_error or 0.0)
    ][:_SHOWN]


def _drift(subject: Subject, features: NDArray[Any] | None) -> BarList | None:
    """The features that moved most since training; None without a baseline."""
    baselines = subject.drift_baseline.get("features", {})
    if not baselines or features is None:
        return None
    found = [
        (name, smoothed_psi(baselines[name], features[:, column]))
        for column, name in enumerate(subject.feature_names)
        if name in baselines
    ]
    return bar_list(sorted(found, key=lambda one: -one[1])[:_SHOWN], _DRIFTED)


def _limits(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Tenths around all values."""
    low, high = np.floor(np.min(values) * 10) / 10, np.ceil(np.max(values) * 10) / 10
    return float(low), float(max(high, low + 0.1))
