"""The pattern's own geometry: its levels, what they have held so far, and the shape of the window."""

from __future__ import annotations

from functools import reduce

import numpy as np

from db_functions.contract import WINDOW
from training.features import weights
from training.features.registry import Family
from training.features.stretches import correlation
from training.features.window import Array, Window, shared

GEOMETRY = Family("geometry")
feature = GEOMETRY.feature

NO_LEVEL = "NaN where a level named is absent"
NO_LEVEL_OR_ATR = NO_LEVEL + " or ATR is 0"

TOUCH_TOLERANCE = 0.25
"""How far from a level, in ATRs, a bar's extreme still touches it."""

FIBONACCI = (0.236, 0.382, 0.5, 0.618, 0.786)


@feature("(C - support) / ATR", range="[-inf, inf]", bars=15, missing=NO_LEVEL, per_atr=True)
def support_distance(w: Window) -> Array:
    return w.last_close - w.level("support")


@feature("(resistance - C) / ATR", range="[-inf, inf]", bars=15, missing=NO_LEVEL, per_atr=True)
def resistance_distance(w: Window) -> Array:
    return w.level("resistance") - w.last_close


@feature("(target - C) / ATR", range="[-inf, inf]", bars=15, missing=NO_LEVEL, per_atr=True)
def target_distance(w: Window) -> Array:
    return w.level("target") - w.last_close


@feature("(stoploss - C) / ATR", range="[-inf, inf]", bars=15, missing=NO_LEVEL, per_atr=True)
def stop_distance(w: Window) -> Array:
    return w.level("stoploss") - w.last_close


@feature(
    "(C - entry) / ATR, times direction; absolute where direction is 0",
    range="[-inf, inf]",
    bars=15,
    missing=NO_LEVEL,
    per_atr=True,
)
def entry_progress(w: Window) -> Array:
    return w.directed(w.last_close - w.level("entry"))


@feature(
    "|target - entry| / |entry - stoploss|", range="[0, inf]", bars=0, missing=NO_LEVEL + "; NaN where the risk is 0"
)
def risk_reward(w: Window) -> Array:
    return w.xp.abs(w.level("target") - w.level("entry")) / _risk(w)


@feature("|entry - stoploss| / ATR", range="[0, inf]", bars=15, missing=NO_LEVEL, per_atr=True)
def entry_risk(w: Window) -> Array:
    return _risk(w)


@feature("|entry - stoploss| / |entry|", range="[0, inf]", bars=0, missing=NO_LEVEL + "; NaN where entry is 0")
def entry_risk_fraction(w: Window) -> Array:
    return _risk(w) / w.xp.abs(w.level("entry"))


@shared
def _risk(w: Window) -> Array:
    return w.xp.abs(w.level("entry") - w.level("stoploss"))


@shared
def _height(w: Window) -> Array:
    return w.level("resistance") - w.level("support")


@feature("(resistance - support) / C", range="[-inf, inf]", bars=1, missing=NO_LEVEL)
def pattern_height(w: Window) -> Array:
    return _height(w) / w.last_close


@feature("(resistance - support) / ATR", range="[-inf, inf]", bars=15, missing=NO_LEVEL, per_atr=True)
def pattern_height_atr(w: Window) -> Array:
    return _height(w)


@feature(
    "(C - support) / (resistance - support)",
    range="[-inf, inf]",
    bars=1,
    missing=NO_LEVEL + "; NaN where they are equal",
)
def place_in_pattern(w: Window) -> Array:
    return (w.last_close - w.level("support")) / _height(w)


@shared
def _touches(w: Window) -> Array:
    """Visits of highs to resistance and of lows to support, [N, 2]."""
    xp = w.xp
    # Resistance and minus support, as ``reach`` has highs and minus lows.
    levels = w.inputs["levels"][:, 1::-1] * w.constant(np.array([[1.0, -1.0]]))
    valid = w.constant(np.arange(1.0, WINDOW + 1)) <= w.count
    near = (xp.abs(w.reach - xp.expand_dims(levels, axis=2)) <= xp.expand_dims(TOUCH_TOLERANCE * w.atr, axis=2)) & (
        xp.expand_dims(valid, axis=1)
    )
    visits = xp.sum(w.as_float(near), axis=2) - xp.sum(w.as_float(near[:, :, 1:] & near[:, :, :-1]), axis=2)
    # Nothing is near an absent level, which must not read as a level that was never touched.
    return visits + 0.0 * (levels + w.atr)


@feature(
    f"visits to support: runs of bars whose low is within {TOUCH_TOLERANCE} ATR of it, over the whole window",
    range="[0, 64]",
    bars=15,
    missing=NO_LEVEL_OR_ATR,
)
def support_touches(w: Window) -> Array:
    return _touches(w)[:, 1:]


@feature(
    f"visits to resistance: runs of bars whose high is within {TOUCH_TOLERANCE} ATR of it, over the whole window",
    range="[0, 64]",
    bars=15,
    missing=NO_LEVEL_OR_ATR,
)
def resistance_touches(w: Window) -> Array:
    return _touches(w)[:, :1]


@feature(
    "(C - resistance) / ATR where direction is 1, (support - C) / ATR where it is -1, the larger where it is 0",
    range="[-inf, inf]",
    bars=15,
    missing="NaN where a level used is absent",
    per_atr=True,
)
def breakout_strength(w: Window) -> Array:
    up, down = w.last_close - w.level("resistance"), w.level("support") - w.last_close
    either = w.xp.where(up > down, up, down) + 0.0 * up
    return w.xp.where(w.direction > 0.0, up, w.xp.where(w.direction < 0.0, down, either))


@feature(
    "max(breakout_strength, 0) * V / SMA(V, 20): ATRs beyond the level, weighed by volume",
    range="[0, inf]",
    bars=20,
    missing="as breakout_strength; NaN where a volume used is or nothing traded",
    per_atr=True,
)
def breakout_conviction(w: Window) -> Array:
    beyond = breakout_strength(w)
    return beyond * w.as_float(beyond > 0.0) * w.volume[:, -1:] / w.mean(w.volume, 20)


@feature(
    "Pearson's r of the older 15 of 30 closes with the newer 15 reversed",
    range="[-1, 1]",
    bars=30,
    missing="0 where a half is constant",
)
def symmetry_30(w: Window) -> Array:
    return correlation(w, "older_15", "newer_15_reversed")


@feature(
    "Pearson's r of the older 30 of 60 closes with the newer 30 reversed",
    range="[-1, 1]",
    bars=60,
    missing="0 where a half is constant",
)
def symmetry_60(w: Window) -> Array:
    return correlation(w, "older_30", "newer_30_reversed")


@feature(
    "(slope of 30 lows - slope of 30 highs), least squares, per bar / ATR: above 0 the two lines converge",
    range="[-inf, inf]",
    bars=30,
    per_atr=True,
)
def level_convergence(w: Window) -> Array:
    return w.dot(w.low[:, -30:] - w.high[:, -30:], weights.slope(30))


@feature(
    "range of the newest 15 bars / range of the 15 before",
    range="[0, inf]",
    bars=30,
    missing="NaN where the latter is 0",
)
def range_contraction(w: Window) -> Array:
    newer, older = w.extremes(15), w.extremes(15, skip=15)
    return (newer.high - newer.low) / (older.high - older.low)


@feature(
    "(HH - C) / (HH - LL) where the window's HH is newer than its LL, else (C - LL) / (HH - LL)",
    source="Fibonacci retracement of the window's swing",
    range="[0, 1]",
    bars=20,
    missing="NaN where HH = LL",
)
def fibonacci_retracement(w: Window) -> Array:
    swing = w.swing
    since_high, since_low = w.ages(WINDOW)
    given_back = w.xp.where(since_high < since_low, swing.high - w.last_close, w.last_close - swing.low)
    return given_back / (swing.high - swing.low)


@shared
def _from_fibonacci(w: Window) -> Array:
    """[N, 5], one for each level."""
    return w.xp.abs(fibonacci_retracement(w) - w.constant(np.array([FIBONACCI])))


@feature("|fibonacci_retracement - 0.382|", range="[0, 0.618]", bars=20, missing="NaN where HH = LL")
def fibonacci_382_distance(w: Window) -> Array:
    return _from_fibonacci(w)[:, 1:2]


@feature("|fibonacci_retracement - 0.5|", range="[0, 0.5]", bars=20, missing="NaN where HH = LL")
def fibonacci_500_distance(w: Window) -> Array:
    return _from_fibonacci(w)[:, 2:3]


@feature("|fibonacci_retracement - 0.618|", range="[0, 0.618]", bars=20, missing="NaN where HH = LL")
def fibonacci_618_distance(w: Window) -> Array:
    return _from_fibonacci(w)[:, 3:4]


@feature(
    "distance of fibonacci_retracement to the nearest of 0.236, 0.382, 0.5, 0.618, 0.786",
    range="[0, 0.236]",
    bars=20,
    missing="NaN where HH = LL",
)
def fibonacci_nearest(w: Window) -> Array:
    distances = [_from_fibonacci(w)[:, i : i + 1] for i in range(len(FIBONACCI))]
    return reduce(w.xp.minimum, distances)


@feature(
    "(target - LL) / (HH - LL) of the window",
    source="Fibonacci extension",
    range="[-inf, inf]",
    bars=20,
    missing=NO_LEVEL + "; NaN where HH = LL",
)
def target_extension(w: Window) -> Array:
    return (w.level("target") - w.swing.low) / (w.swing.high - w.swing.low)
