"""First passage by brute force, in plain Python: many terms, one row at a time, no code of the features."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NAN = math.nan


def leaving_above(above: float, below: float, spread: float) -> float:
    """P(above is reached first, and by the horizon): images where they converge fast, else the series."""
    length = above + below
    if spread < length:
        total = 0.0
        for k in range(200):
            near, far = above + 2 * k * length, above + 2 * below + 2 * k * length
            terms = [math.erfc(y / spread / math.sqrt(2)) if y / spread < 50 else 0.0 for y in (near, far)]
            total += terms[0] - terms[1]
            if terms[0] == 0.0:
                break
        return total
    waves = [
        (-1) ** n / n * math.sin(n * math.pi * below / length) * math.exp(-((n * math.pi * spread / length) ** 2) / 2)
        for n in range(1, 200)
    ]
    return below / length + 2 / math.pi * math.fsum(waves)


def plain(above: float, below: float, spread: float) -> tuple[float, float, float]:
    """P(above first), P(below first), P(neither)."""
    up, down = leaving_above(above, below, spread), leaving_above(below, above, spread)
    return up, down, 1 - up - down


def touching_both(length: float, spread: float) -> float:
    """The mean over u in (0, 1) of 2 Phi(-length / (spread sqrt(u))), by Gauss's rule in u^(1/8)."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    roots = ((nodes + 1) / 2).tolist()
    return float(np.dot(weights, [4 * t**7 * math.erfc(length / spread / t**4 / math.sqrt(2)) for t in roots]))


def corrected(above: float, below: float, volatility: float, longer: float, horizon: int) -> tuple[float, float, float]:
    """With reversion, uncertainty and ties."""
    reverted = volatility * (longer / volatility) ** 0.3
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    weights = weights / weights.sum()
    each = [
        plain(above, below, reverted * math.exp(0.15 * x - 0.15**2 / 2) * math.sqrt(horizon)) for x in nodes.tolist()
    ]
    up, down, neither = (float(np.dot(weights, [one[i] for one in each])) for i in range(3))
    ever_below = float(
        np.dot(
            weights,
            [
                math.erfc(below / reverted / math.exp(0.15 * x - 0.15**2 / 2) / math.sqrt(2 * horizon))
                for x in nodes.tolist()
            ],
        )
    )
    moved = max(ever_below - down, 0.0)
    if horizon > 1:
        moved = min(moved, up * touching_both(above + below, reverted))
    return up - moved, down + moved, neither


def volatilities(bars: NDArray[np.float64]) -> tuple[float, float]:
    """The geometric mean of five estimates, and the root mean square of all returns, of bars [n, 4 or 5] of a row."""
    o, h, low, c = bars[:, :4].T
    returns = np.log(c[1:] / c[:-1])
    ranges, bodies, nights = np.log(h / low)[1:], np.log(c / o)[1:], np.log(o[1:] / c[:-1])
    decay = 0.94 ** np.arange(min(100, len(returns)))
    garman_klass = nights**2 + 0.5 * ranges**2 - (2 * math.log(2) - 1) * bodies**2
    squares = [
        np.mean(returns[-20:] ** 2),
        np.mean(returns[-60:] ** 2),
        np.mean(ranges[-20:] ** 2) / (4 * math.log(2)),
        np.sum(decay * returns[::-1][:100] ** 2) / decay.sum(),
        np.mean(garman_klass[-30:]),
    ]
    known = [math.sqrt(v) for v in squares if v > 0]
    if not known:
        return NAN, NAN
    mean = math.exp(math.fsum(map(math.log, known)) / len(known))
    longer = math.sqrt(np.mean(returns**2))
    return mean, longer or mean


def label_levels(
    bars: NDArray[np.float64], target: float, entry: float, stop: float, direction: float
) -> tuple[float, float, float] | None:
    """Price, target and stop as labels use them; None where there is no label."""
    h, low, c = bars[:, 1:4].T
    price = entry if abs(entry) < 1e100 else float(c[-1])
    if not math.isfinite(target) or not math.isfinite(stop):
        ranges = [max(h[i], c[i - 1]) - min(low[i], c[i - 1]) for i in range(len(c) - 14, len(c))]
        reach = direction * 2 * float(np.mean(ranges))
        target = target if math.isfinite(target) else price + reach
        stop = stop if math.isfinite(stop) else price - reach
    ahead = price > 1e-100 and (target - price) * direction > 0 and (price - stop) * direction > 0
    return (price, target, stop) if ahead else None


def of_row(bars: NDArray[np.float64], levels: NDArray[np.float64], direction: float, horizon: int) -> tuple[float, ...]:
    """The six features of one row: corrected, then plain; ``bars`` are its valid ones."""
    refused = np.flatnonzero(~((bars[:, 2] > 0) & (bars[:, 1] < 1e100)))
    bars = bars[refused[-1] + 1 :] if len(refused) else bars
    target, entry, stop = (float(levels[i]) for i in (2, 3, 4))
    if len(bars) < 15 or not direction or math.isnan(direction):
        return (NAN,) * 6
    found = label_levels(bars, target, entry, stop, direction)
    volatility, longer = volatilities(bars)
    if found is None or math.isnan(volatility):
        return (NAN,) * 6
    _, target, stop = found
    last = float(bars[-1, 3])
    above, below = (
        min(max(side * (math.log(max(level, 1e-300)) - math.log(last)), 0.0), 1000.0)
        for side, level in ((direction, target), (-direction, stop))
    )
    return (
        *corrected(above, below, volatility, longer, horizon),
        *plain(above, below, volatility * math.sqrt(horizon)),
    )
