"""The exported graph against NumPy, scikit-learn, XGBoost and LightGBM, over every real row of the demo's market.

No database: the rows are put together here from the application's patterns and the bars, so nothing but the market's
own oddities is under test. A share of them lose the start of their series, levels or the rule confidence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.application import Pattern, find_all_patterns
from bench.market import BENCHMARK, CLOSE, HIGH, LOW, SYMBOLS, Series, load_series
from db_functions.contract import CONTEXT_COLUMNS, PARITY_TOLERANCE, WINDOW
from db_functions.golden import largest_difference
from training.calibrate import Calibration
from training.dataset import NEGATIVE, NEUTRAL, POSITIVE, Dataset
from training.export import FittedModel, export
from training.features import INPUT_NAMES
from training.features.graph import to_model
from training.learners import DEFAULT, LEARNERS, Combine, FittedEnsemble, fit_ensemble
from training.pipeline import compute_features
from training.verify import open_session

LEAST_ROWS = 5_000
FEATURE_TOLERANCE = 1e-12
HORIZON = 20
SHORT_SHARE = HOLED_SHARE = 0.15
SIZE = 0.15
"""Of the trees that training fits."""

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Every pattern with a whole label window, as the gatherer would give it, some of it then taken away."""
    series = load_series()
    found = [
        (pattern, what)
        for pattern in find_all_patterns(series[symbol] for symbol in SYMBOLS)
        if (what := _outcome(series[pattern.symbol], pattern)) is not None
    ]
    patterns = [pattern for pattern, _ in found]
    outcome = np.array([which for _, (which, _) in found], dtype=np.int8)
    outcome_at = np.array([at for _, (_, at) in found], dtype=np.int64)
    rng = np.random.default_rng(11)
    count = len(patterns)
    bars, market = np.full((2, count, WINDOW, 5), np.nan)
    for row, pattern in enumerate(patterns):
        kept = int(rng.integers(1, WINDOW)) if rng.random() < SHORT_SHARE else WINDOW
        _fill(bars[row], market[row], series[pattern.symbol], series[BENCHMARK], _moment(pattern), kept)
    levels = np.array([[p.support, p.resistance, p.target, p.entry, p.stoploss] for p in patterns], dtype=np.float64)
    levels[rng.random(count) < HOLED_SHARE] = np.nan
    levels[rng.random(levels.shape) < HOLED_SHARE] = np.nan
    rule = np.array([pattern.confidence for pattern in patterns])
    rule[rng.random(count) < HOLED_SHARE] = np.nan
    context = np.full((count, len(CONTEXT_COLUMNS)), np.nan)
    place = CONTEXT_COLUMNS.index("sector_performance")
    for row, pattern in enumerate(patterns):
        context[row, place] = pattern.metadata.get("market", {}).get("sector_performance", np.nan)  # type: ignore[attr-defined]
    detected_at = np.array([_moment(pattern) for pattern in patterns], dtype=np.int64)
    kinds = np.array([pattern.pattern_type for pattern in patterns], dtype=object)
    return Dataset(
        inputs={
            "bars": bars,
            "market_bars": market,
            "levels": levels,
            "rule_confidence": rule,
            "direction": np.array([float(pattern.direction) for pattern in patterns]),
            "duration_s": np.array([(p.detected_at - p.started_at) / timedelta(seconds=1) for p in patterns]),
            "pattern_type": kinds,
            "timeframe": np.array([pattern.timeframe for pattern in patterns], dtype=object),
            "detected_at": detected_at,
            "context": context,
            "history": _history(kinds, detected_at, outcome, outcome_at),
        },
        outcome=outcome,
        detected_at=detected_at,
        outcome_at=outcome_at,
        pattern_id=np.arange(count).astype(str).astype(object),
        symbol=np.array([pattern.symbol for pattern in patterns], dtype=object),
    )


@pytest.fixture(scope="module")
def features(rows: Dataset) -> Floats:
    return compute_features(rows)


def test_the_rows_are_many_and_have_every_kind_of_hole(rows: Dataset) -> None:
    counts = {
        "rows": len(rows),
        "short histories": int(np.isnan(rows.inputs["bars"][:, 0, CLOSE]).sum()),
        "a level missing": int(np.isnan(rows.inputs["levels"]).any(axis=1).sum()),
        "no level at all": int(np.isnan(rows.inputs["levels"]).all(axis=1).sum()),
        "no rule confidence": int(np.isnan(rows.inputs["rule_confidence"]).sum()),
    }
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    assert counts["rows"] >= LEAST_ROWS
    assert min(counts.values()) >= 500


def test_the_graphs_features_are_numpys(rows: Dataset, features: Floats) -> None:
    session = open_session(to_model().SerializeToString())
    (given,) = session.run(["features"], {name: rows.inputs[name] for name in INPUT_NAMES})
    np.testing.assert_array_equal(np.isnan(given), np.isnan(features))
    # NaN on both sides is no difference; some features have no value in any row here.
    worst = np.nan_to_num(np.abs(given - features) / np.maximum(1, np.abs(features))).max(axis=0)
    print(f"{len(rows):,} rows: {np.sum(worst == 0)} of {len(worst)} features equal, the others to {worst.max():.1e}")
    assert worst.max() <= FEATURE_TOLERANCE


@pytest.fixture(scope="module")
def fitted(rows: Dataset, features: Floats) -> FittedEnsemble:
    """Every learner, fitted on the earlier half."""
    earlier = slice(0, len(rows) // 2)
    return fit_ensemble(features[earlier], rows.outcome[earlier], list(LEARNERS), seed=1, size=SIZE)


@pytest.mark.parametrize(
    ("names", "combine"),
    [*(((name,), "vote") for name in LEARNERS), (DEFAULT, "vote"), (tuple(LEARNERS), "vote"), (DEFAULT, "stack")],
)
def test_the_graphs_probabilities_are_the_libraries(
    rows: Dataset, features: Floats, fitted: FittedEnsemble, names: tuple[str, ...], combine: Combine
) -> None:
    members = tuple(member for member in fitted.members if member.name in names)
    ensemble = replace(fitted, members=members, combine=combine)
    # A fitted calibration would all but flatten answers to rows like these, and any difference with them.
    slopes = (3.0, 1.0, 3.0) * (len(members) if combine == "stack" else 1)
    model = FittedModel(ensemble, Calibration(slopes, (0.0, 0.0, 0.0)))
    session = open_session(export(model).onnx)
    outputs = [item.name for item in session.get_outputs()]
    given = session.run(outputs, {item.name: rows.inputs[item.name] for item in session.get_inputs()})
    expected = model.answer_from(features)
    for name, answer in zip(outputs, given, strict=True):
        found = largest_difference({name: expected[name]}, {name: answer})
        print(f"{'+'.join(names)} ({combine}), {len(rows):,} rows: {name} differs by at most {found.amount:.1e}")
        assert found.amount <= PARITY_TOLERANCE
    # Answers that hardly differ from each other would agree whatever the graph does.
    assert expected["ml_confidence"].std() > 0.02


def _moment(pattern: Pattern) -> int:
    return int(pattern.detected_at.timestamp())


def _outcome(series: Series, pattern: Pattern) -> tuple[int, int] | None:
    """Class and time of what came of a pattern, stop before target within a bar; None while the window is open."""
    start = int(np.searchsorted(series.ts, _moment(pattern), side="right"))
    if start + HORIZON > len(series):
        return None
    high, low = (series.bars[start : start + HORIZON, column] for column in (HIGH, LOW))
    bullish = pattern.direction > 0
    stopped = low <= pattern.stoploss if bullish else high >= pattern.stoploss
    reached = high >= pattern.target if bullish else low <= pattern.target
    decided = np.flatnonzero(stopped | reached)
    if not len(decided):
        return NEUTRAL, int(series.ts[start + HORIZON - 1])
    first = int(decided[0])
    return NEGATIVE if stopped[first] else POSITIVE, int(series.ts[start + first])


def _fill(bars: Floats, market: Floats, series: Series, benchmark: Series, at: int, kept: int) -> None:
    """The newest ``kept`` bars at ``at`` or before, and the benchmark's of the same moments, at the arrays' end."""
    stop = int(np.searchsorted(series.ts, at, side="right"))
    window = slice(max(0, stop - kept), stop)
    ts = series.ts[window]
    bars[-len(ts) :] = series.bars[window]
    place = np.searchsorted(benchmark.ts, ts)
    there = benchmark.ts[np.minimum(place, len(benchmark) - 1)] == ts
    market[np.flatnonzero(there) - len(ts)] = benchmark.bars[place[there]]


def _history(
    kinds: NDArray[np.object_], detected_at: NDArray[np.int64], outcome: NDArray[np.int8], outcome_at: NDArray[np.int64]
) -> Floats:
    """Success rate and count of each pattern's type among the outcomes known before it."""
    rows_of = defaultdict(list)
    for row, kind in enumerate(kinds):
        rows_of[kind].append(row)
    history = np.full((len(kinds), 2), np.nan)
    for members in (np.array(rows) for rows in rows_of.values()):
        known = outcome_at[members][None, :] < detected_at[members][:, None]
        count = known.sum(axis=1)
        positives = (known & (outcome[members] == POSITIVE)[None, :]).sum(axis=1)
        history[members, 1] = count
        history[members, 0] = np.where(count > 0, positives / np.maximum(count, 1), np.nan)
    return history
