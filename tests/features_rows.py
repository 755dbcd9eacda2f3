"""Rows to compute features of: windows of real bars with seeded levels, and what can be missing from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import WINDOW
from demo.market import BENCHMARK, load_series

Rows = dict[str, NDArray[Any]]
STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")
_SERIES = load_series()


def real_rows(size: int, seed: int, lengths: Iterable[int] | None = None) -> Rows:
    """Rows at random moments of real series, each with 128 bars or as many as ``lengths`` says."""
    rng = np.random.default_rng(seed)
    counts = list(lengths) if lengths is not None else [WINDOW] * size
    market = _SERIES[BENCHMARK]
    bars, market_bars = np.full((2, size, WINDOW, 5), np.nan)
    detected_at = np.zeros(size, dtype=np.int64)
    for i, count in enumerate(counts):
        series = _SERIES[STOCKS[int(rng.integers(len(STOCKS)))]]
        stop = int(rng.integers(WINDOW + 1, len(series)))
        bars[i, WINDOW - count :] = series.bars[stop - count : stop]
        market_bars[i, WINDOW - count :] = market.bars[np.searchsorted(market.ts, series.ts[stop - count : stop])]
        detected_at[i] = series.ts[stop - 1] + rng.integers(0, 5 * 86_400)
    close = bars[:, -1, 3]
    direction = rng.choice([-1.0, 0.0, 1.0], size)
    # Some closes are beyond support or resistance, so that breakouts happen.
    support, resistance = close * (1 - rng.uniform(-0.02, 0.06, size)), close * (1 + rng.uniform(-0.02, 0.06, size))
    reach = np.where(direction == 0, 1.0, direction) * rng.uniform(0.01, 0.08, size)
    entry = close * (1 + rng.normal(0, 0.01, size))
    risk = reach * rng.uniform(0.3, 1.0, size)
    levels = np.stack([support, resistance, entry * (1 + reach), entry, entry * (1 - risk)], axis=1)
    return {
        "bars": bars,
        "market_bars": market_bars,
        "levels": levels,
        "rule_confidence": rng.random(size),
        "direction": direction,
        "duration_s": rng.uniform(0, 1e7, size),
        "detected_at": detected_at,
        "context": rng.normal(size=(size, 6)),
        "history": np.stack([rng.random(size), rng.integers(1, 500, size).astype(float)], axis=1),
    }


def with_holes(rows: Rows, seed: int) -> Rows:
    """The same rows, each input absent here and there: levels, volumes, benchmark bars and what the row says."""
    rng = np.random.default_rng(seed)
    holed = {name: values.copy() for name, values in rows.items()}
    for name in ("levels", "rule_confidence", "duration_s", "context", "history"):
        holed[name][rng.random(holed[name].shape) < 0.2] = np.nan
    size = len(holed["bars"])
    holed["bars"][rng.random(size) < 0.3, :, 4] = np.nan
    holed["market_bars"][rng.random((size, WINDOW)) < rng.uniform(0, 0.5, (size, 1))] = np.nan
    return holed


def scaled(rows: Rows, factor: float) -> Rows:
    """The same rows with every price and level multiplied."""
    grown = dict(rows)
    for name in ("bars", "market_bars"):
        grown[name] = rows[name] * np.array([factor, factor, factor, factor, 1.0])
    grown["levels"] = rows["levels"] * factor
    return grown


def with_bars(rows: Rows, bars: NDArray[np.float64]) -> Rows:
    """Rows whose bars are replaced; volume and the benchmark too."""
    return {**rows, "bars": bars}


def one_row(rows: Mapping[str, NDArray[Any]], i: int) -> Rows:
    return {name: values[i : i + 1] for name, values in rows.items()}


def grid_bars(size: int, seed: int) -> NDArray[np.float64]:
    """Random walks on whole prices, so that equal closes, highs, lows and moves abound and are exact."""
    rng = np.random.default_rng(seed)
    closes = 100.0 + np.cumsum(rng.integers(-1, 2, (size, WINDOW)), axis=1)
    opens = closes + rng.integers(-1, 2, closes.shape)
    highs = np.maximum(opens, closes) + rng.integers(0, 2, closes.shape)
    lows = np.minimum(opens, closes) - rng.integers(0, 2, closes.shape)
    return np.stack([opens, highs, lows, closes, rng.integers(0, 4, closes.shape) * 1000.0], axis=2)
