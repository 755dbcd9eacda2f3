"""One model on one page: what it was worth on rows it never learnt from, as a self-contained HTML file.

The same rows may be put to another model, for paired differences. Nothing is drawn by a script and nothing is loaded
from elsewhere, so the page can be mailed and kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.database import Connection
from db_functions.errors import UnknownModel, translated
from db_functions.model import open_session
from db_functions.queries import query
from training.baseline import count
from training.check import require_valid
from training.dataset import Dataset
from training.errors import TooFewRows
from training.evaluate import block_weights, compare, evaluate, reliability, verdict
from training.plots import MODEL, OTHER, QUIET, Plot, bar_list

Floats = NDArray[np.float64]

LEAST_ROWS: Final = 100
_LEAST_OF_A_GROUP: Final = 30
_RESAMPLES: Final = 300
_GRID: Final = np.linspace(0, 1, 51)
_SHOWN: Final = 20
_DRIFTED: Final = (0.1, 0.25)
_METRICS: Final = {"brier": "Brier score", "log_loss": "Log loss", "roc_auc": "ROC AUC", "ece": "Calibration error"}
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#22252a;max-width:1120px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #e4e6ea}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.88rem;margin:.6rem 0}
td,th{padding:.2rem 1.1rem .2rem 0;text-align:right}th{white-space:nowrap}td:first-child,th:first-child{text-align:left}
th{border-bottom:1px solid #8a8f98;font-weight:600}
svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif}
.pair{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:.85rem;color:#555}
.wide{overflow-x:auto}
code{background:#f3f4f6;padding:0 .2em;overflow-wrap:anywhere}
.card{border:1px solid #e4e6ea;padding:0 1rem;overflow-x:auto}
.key{margin-right:1.2em}.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A registered model as far as a report needs it."""

    version: str
    onnx: bytes
    sha256: str
    algorithm: str
    feature_names: list[str]
    metrics: Mapping[str, Any]
    baseline: Mapping[str, Any]
    card: str
    contributions: Mapping[str, float] = field(default_factory=dict)
    """Of each feature to its scores, on the average of the sampled ones, signs aside."""
    explained: int = 0
    """How many scores these are of."""

    @property
    def unseen_since(self) -> int:
        """Unix seconds from which on it has learnt from nothing; 0 where nobody knows."""
        return int(self.metrics.get("trained", {}).get("test_from", 0))

    def answer(self, dataset: Dataset) -> dict[str, NDArray[Any]]:
        session = open_session(self.onnx)
        names = [item.name for item in session.get_outputs()]
        inputs = {item.name: dataset.inputs[item.name] for item in session.get_inputs()}
        return dict(zip(names, session.run(names, inputs), strict=True))


def fetch(connection: Connection, version: str) -> Subject:
    """Raises UnknownModel, and InvalidModel when the file no longer passes the check."""
    with translated(), connection.transaction():
        row = connection.execute(query("report_model"), {"version": version}).fetchone()
        parts = connection.execute(query("mean_contributions"), {"version": version}).fetchall()
    if row is None:
        raise UnknownModel(f"no model of version {version!r} is registered; `python -m training list` names them")
    shares = {name: size for name, size, _ in parts}
    subject = replace(Subject(*row), contributions=shares, explained=parts[0][2] if parts else 0)
    require_valid(bytes(subject.onnx))
    return subject


def rows_for(dataset: Dataset, *subjects: Subject) -> Dataset:
    """The rows that none of the models has learnt from. Raises TooFewRows."""
    since = max(subject.unseen_since for subject in subjects)
    rows = dataset.take(dataset.detected_at >= since)
    if len(rows) < LEAST_ROWS:
        names = " and ".join(subject.version for subject in subjects)
        raise TooFewRows(
            f"{len(rows)} labelled rows are newer than what {names} learnt from; a report needs {LEAST_ROWS}"
        )
    return rows


def render(subject: Subject, dataset: Dataset, other: Subject | None = None, *, seed: int = 0) -> str:
    """The page for ``subject`` on ``dataset``, beside ``other``."""
    answers = subject.answer(dataset)
    p = answers["ml_confidence"].astype(np.float64)
    rival = None if other is None else other.answer(dataset)["ml_confidence"].astype(np.float64)
    known = subject.metrics.get("trained", {}).get("positive_rate", float(dataset.positive.mean()))
    metrics = evaluate(p, dataset, known_rate=known, seed=seed, resamples=_RESAMPLES)
    page = _Page(subject, other, dataset, p, rival, seed)
    sections = [
        page.head(metrics),
        page.metrics(metrics),
        page.calibration(),
        page.curves(),
        page.lift(),
        *page.groups(),
        _importance(subject.metrics.get("importances", {})),
        _contributions(subject),
        _drift(subject, answers.get("features")),
        f'<h2>Model card</h2><div class="card">{markdown(subject.card)}</div>',
    ]
    title = f"Model {escape(subject.version)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{''.join(sections)}</body></html>\n"
    )


@dataclass(frozen=True, slots=True)
class _Page:
    subject: Subject
    other: Subject | None
    dataset: Dataset
    p: Floats
    rival: Floats | None
    seed: int

    @property
    def hit(self) -> Floats:
        return self.dataset.positive.astype(np.float64)

    @property
    def rule(self) -> Floats:
        return np.asarray(self.dataset.inputs["rule_confidence"], np.float64)

    def sides(self) -> Iterator[tuple[str, Floats, str]]:
        """The model, and the other or the rule beside it; alone where no row has a rule confidence."""
        yield self.subject.version, self.p, MODEL
        if self.other is not None and self.rival is not None:
            yield self.other.version, self.rival, OTHER
        elif np.isfinite(self.rule).any():
            yield "rule confidence", self.rule, OTHER

    def legend(self) -> str:
        return "".join(
            f'<span class="key"><span class="dot" style="background:{colour}"></span>{escape(name)}</span>'
            for name, _, colour in self.sides()
        )

    def head(self, metrics: Mapping[str, Any]) -> str:
        days = [datetime.fromtimestamp(int(s), UTC).date() for s in self.dataset.detected_at[[0, -1]]]
        said = verdict(metrics["ml_minus_base"]["brier"]["low"], metrics["ml_minus_base"]["brier"]["high"])
        unknown = "" if self.subject.unseen_since else " What it learnt from is not known: rows may be among them."
        return (
            f"<h1>Model {escape(self.subject.version)}</h1><p>{escape(self.subject.algorithm)}, SHA-256 "
            f"<code>{escape(self.subject.sha256)}</code>. {len(self.dataset):,} labelled patterns from {days[0]} to "
            f"{days[1]} that it did not learn from, {self.hit.mean():.1%} of them positive.{unknown} By Brier score it "
            f"<b>{said} the base rate of earlier rows</b>. Intervals are 95 %, from {_RESAMPLES} resamples of whole "
            f"blocks of time.</p>"
        )

    def metrics(self, metrics: Mapping[str, Any]) -> str:
        lines = {"model": metrics["ml"], "base rate": metrics["base"], "model - base rate": metrics["ml_minus_base"]}
        if "rule" in (paired := metrics["with_rule"]):
            lines |= {"rule": paired["rule"], "model - rule": paired["ml_minus_rule"]}
        if self.other is not None and self.rival is not None:
            answers = {"ml": self.p, "other": self.rival}
            both = compare(answers, "other", self.dataset, seed=self.seed, resamples=_RESAMPLES)
            lines |= {self.other.version: both["other"], f"model - {self.other.version}": both["ml_minus_other"]}
        rows = [[name, *(_interval(entry[key]) for key in _METRICS)] for name, entry in lines.items()]
        return "<h2>Metrics</h2>" + table(["", *_METRICS.values()], rows)

    def calibration(self) -> str:
        known = [(p[own], self.hit[own], colour) for _, p, colour in self.sides() for own in [np.isfinite(p)]]
        bins = [(b, colour) for p, hit, colour in known for b in reliability(p, hit)]
        low, high = _limits([b[key] for b, _ in bins for key in ("predicted", "observed_low", "observed_high")])
        diagram = Plot((low, high), (low, high), ("said", "came"))
        diagram.line([low, high], [low, high], QUIET, dashed=True)
        for b, colour in reversed(bins):
            diagram.point(b["predicted"], b["observed"], b["observed_low"], b["observed_high"], colour)
        edges = np.linspace(*_limits(np.concatenate([p for p, _, _ in known])), 41)
        shown = Plot((edges[0], edges[-1]), (0, 1), ("confidence", "rows, the fullest bin as 1"))
        for p, _, colour in reversed(known):
            heights = np.histogram(p, edges)[0]
            shown.bars(edges, heights / max(1, heights.max()), colour)
        figures = {
            "Reliability, bins of equal mass, Wilson intervals": diagram.svg("Reliability"),
            "Confidences": shown.svg("Histogram of confidences"),
        }
        return _pair("Calibration", self.legend(), figures)

    def curves(self) -> str:
        roc = Plot((0, 1), (0, 1), ("false positive rate", "true positive rate"))
        roc.line([0, 1], [0, 1], QUIET, dashed=True)
        precision = Plot((0, 1), (0, 1), ("recall", "precision"))
        precision.line([0, 1], [self.hit.mean()] * 2, QUIET, dashed=True)
        for _, p, colour in reversed([*self.sides()]):
            self._curve(roc, roc_curve, p, colour)
            self._curve(precision, precision_curve, p, colour)
        figures = {"ROC": roc.svg("ROC"), "Precision and recall": precision.svg("Precision and recall")}
        return _pair("ROC, precision and recall", self.legend(), figures)

    def lift(self) -> str:
        plot = Plot((0, 1), (0, 2), ("share of the rows, surest first", "positives, times the base rate"), width=660)
        plot.line([0, 1], [1, 1], QUIET, dashed=True)
        for _, p, colour in reversed([*self.sides()]):
            self._curve(plot, lift_curve, p, colour, most=2.0)
        return f"<h2>Lift</h2><figure>{plot.svg('Lift')}<figcaption>{self.legend()}</figcaption></figure>"

    def _curve(self, plot: Plot, curve: _Curve, p: Floats, colour: str, most: float = 1.0) -> None:
        own = np.isfinite(p)
        weights = block_weights(self.dataset.take(own), seed=self.seed, resamples=_RESAMPLES)
        draws = np.array([curve(p[own], self.hit[own], row) for row in weights])
        low, high = np.clip(np.nanquantile(draws, [0.025, 0.975], axis=0), 0, most)
        plot.band(_GRID[1:], low, high, colour)
        plot.line(_GRID[1:], np.clip(curve(p[own], self.hit[own], np.ones(own.sum())), 0, most), colour)

    def groups(self) -> Iterator[str]:
        years = [str(datetime.fromtimestamp(int(s), UTC).year) for s in self.dataset.detected_at]
        yield self._group("By pattern type", self.dataset.inputs["pattern_type"].astype(str))
        yield self._group("By timeframe", self.dataset.inputs["timeframe"].astype(str))
        yield self._group("By year", np.array(years))

    def _group(self, title: str, group: NDArray[Any]) -> str:
        baseline = self.rule if self.rival is None else self.rival
        name = "rule" if self.rival is None else "other"
        rows = []
        for value in np.unique(group):
            own = np.flatnonzero((group == value) & np.isfinite(baseline))
            cells = [value, f"{len(own):,}", f"{self.hit[own].mean():.1%}" if len(own) else ""]
            if len(own) >= _LEAST_OF_A_GROUP:
                answers = {"ml": self.p[own], "other": baseline[own]}
                both = compare(answers, "other", self.dataset.take(own), seed=self.seed, resamples=_RESAMPLES)
                cells += [_figure(both[side][key]["value"]) for key in ("brier", "roc_auc") for side in ("ml", "other")]
                cells.append(_interval(both["ml_minus_other"]["brier"]))
            rows.append(cells + [""] * (8 - len(cells)))
        header = ["", "rows", "positive", "Brier", f"Brier, {name}", "AUC", f"AUC, {name}", "difference of Brier"]
        note = f"<p>Figures from {_LEAST_OF_A_GROUP} rows on.</p>" if any(not row[-1] for row in rows) else ""
        return f"<h2>{title}</h2>{note}{table(header, rows)}"


_Curve = Callable[[Floats, Floats, Floats], Floats]


def _cumulated(p: Floats, hit: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of the positives and of all among the surest rows, row by row; equal answers are taken together."""
    order = np.argsort(-p, kind="stable")
    last = np.flatnonzero(np.diff(-p[order], append=np.inf))
    w = weights[order]
    return np.cumsum(w * hit[order])[last], np.cumsum(w)[last]


def roc_curve(p: Floats, hit: Floats, weights: Floats) -> Floats:
    """True positive rate at the false positive rates of the grid."""
    positive, total = _cumulated(p, hit, weights)
    other = total - positive
    if positive[-1] <= 0 or other[-1] <= 0:
        return np.full(len(_GRID) - 1, np.nan)
    rates = np.append(0, other / other[-1]), np.append(0, positive / positive[-1])
    return np.asarray(np.interp(_GRID[1:], *rates), np.float64)


def precision_curve(p: Floats, hit: Floats, weights: Floats) -> Floats:
    """Precision where the recalls of the grid are first reached."""
    positive, total = _cumulated(p, hit, weights)
    if positive[-1] <= 0:
        return np.full(len(_GRID) - 1, np.nan)
    at = np.minimum(np.searchsorted(positive / positive[-1], _GRID[1:] - 1e-12), len(positive) - 1)
    return np.asarray(positive[at] / np.maximum(total[at], 1e-12))


def lift_curve(p: Floats, hit: Floats, weights: Floats) -> Floats:
    """Share of positives among the surest rows over that of all."""
    positive, total = _cumulated(p, hit, weights)
    if positive[-1] <= 0:
        return np.full(len(_GRID) - 1, np.nan)
    among = np.interp(_GRID[1:], np.append(0, total / total[-1]), np.append(0, positive / positive[-1]))
    return np.asarray(among / _GRID[1:])


def _importance(importances: Mapping[str, float]) -> str:
    if not importances:
        return "<h2>Importance</h2><p>Not known: it was registered from a file.</p>"
    best = sorted(importances.items(), key=lambda item: -item[1])[:_SHOWN]
    return (
        "<h2>Importance</h2><p>Rise of the Brier score on its test rows when one feature is shuffled; the "
        f"{len(best)} largest of {len(importances)}.</p>{bar_list(best, 'Importance')}"
    )


def _contributions(subject: Subject) -> str:
    if not subject.explained:
        return ""
    best = sorted(subject.contributions.items(), key=lambda item: -item[1])[:_SHOWN]
    return (
        "<h2>Contributions</h2><p>What each feature moved the confidence by, up or down, on the average of "
        f"{subject.explained:,} explained scores; the {len(best)} largest of {len(subject.contributions)}.</p>"
        + bar_list(best, "Contributions")
    )


def psi(baseline: Mapping[str, Any], values: NDArray[Any]) -> float:
    """Population stability index of ``values`` against a baseline's bins, missing and infinite ones included."""
    finite = values[np.isfinite(values)].astype(np.float64)
    now = [*count(finite, np.array(baseline["edges"])), np.isnan(values).sum(), np.isinf(values).sum()]
    then = [*baseline["counts"], baseline["nan"], baseline["infinite"]]
    # Half a row in each bin: an empty one would make it infinite.
    a, b = ((np.array(side, np.float64) + 0.5) / (np.sum(side) + 0.5 * len(side)) for side in (then, now))
    return float(np.sum((b - a) * np.log(b / a)))


def _drift(subject: Subject, features: NDArray[Any] | None) -> str:
    baselines = subject.baseline.get("features", {})
    if not baselines or features is None:
        return "<h2>Drift since training</h2><p>Not known: there is no baseline.</p>"
    found = [
        (name, psi(baselines[name], features[:, column]))
        for column, name in enumerate(subject.feature_names)
        if name in baselines
    ]
    best = sorted(found, key=lambda item: -item[1])[:_SHOWN]
    return (
        "<h2>Drift since training</h2><p>Population stability index of each feature on these rows against the rows it "
        f"learnt from; the {len(best)} largest of {len(found)}. Lines at {_DRIFTED[0]} and {_DRIFTED[1]}.</p>"
        + bar_list(best, "Drift", marks=_DRIFTED)
    )


def _limits(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Tenths around all values."""
    low, high = np.floor(np.min(values) * 10) / 10, np.ceil(np.max(values) * 10) / 10
    return float(low), float(max(high, low + 0.1))


def _pair(title: str, legend: str, figures: Mapping[str, str]) -> str:
    drawn = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for caption, svg in figures.items()
    )
    return f'<h2>{title}</h2><p>{legend}</p><div class="pair">{drawn}</div>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_unbroken(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _unbroken(cell: str) -> str:
    """A cell's text; an interval stays on one line."""
    return re.sub(r"\[[^]]*\]", lambda found: found[0].replace(" ", "&nbsp;"), escape(cell))


def _interval(entry: Mapping[str, float | None]) -> str:
    if entry["value"] is None or entry["low"] is None:
        return "undefined"
    return f"{entry['value']:.4f} [{entry['low']:.4f}, {entry['high']:.4f}]"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def markdown(text: str) -> str:
    """A model card as HTML: headings, lists, tables, bold and code; anything else is text."""
    blocks = []
    for block in re.split(r"\n{2,}", text.strip()):
        lines = block.splitlines()
        if heading := re.fullmatch(r"(#+) (.*)", lines[0]):
            level = min(6, len(heading[1]) + 2)
            blocks.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
        elif lines[0].startswith("|"):
            # A bar that a cell holds is escaped.
            cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
            rows = [[cell.replace("\\|", "|") for cell in row] for row in cells]
            blocks.append(table(rows[0], rows[2:]))
        elif lines[0].startswith("- "):
            items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
            blocks.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
        else:
            blocks.append(f"<p>{_inline(block)}</p>")
    return "".join(blocks)


def _inline(text: str) -> str:
    safe = escape(text)
    safe = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", safe, flags=re.DOTALL)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
