"""Stretches of several series, each less its own mean: what standard deviations and correlations are made of.

All lie side by side, so that a graph needs one node for what each of them would need one for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.features.window import Array, Window, shared

_LENGTH: Final = 30


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Values of one of :data:`_RUNS`: those at ``first`` and later, as many as ``length``."""

    run: int
    first: int
    length: int


_CLOSE, _REVERSED, _OLDER, _TYPICAL, _VOLUME, _RETURN, _MARKET = range(7)
_STRETCHES: Final = {
    "close_20": _Stretch(_CLOSE, 10, 20),
    "close_30": _Stretch(_CLOSE, 0, 30),
    "older_15": _Stretch(_CLOSE, 0, 15),
    "newer_15_reversed": _Stretch(_REVERSED, 0, 15),
    "older_30": _Stretch(_OLDER, 0, 30),
    "newer_30_reversed": _Stretch(_REVERSED, 0, 30),
    "typical_20": _Stretch(_TYPICAL, 10, 20),
    "volume_20": _Stretch(_VOLUME, 10, 20),
    "return_10": _Stretch(_RETURN, 20, 10),
    "return_30": _Stretch(_RETURN, 0, 30),
    "market_return_20": _Stretch(_MARKET, 10, 20),
}
_PLACE: Final = {name: place for place, name in enumerate(_STRETCHES)}
_CHOSEN: Final = np.array(
    [[stretch.first <= i < stretch.first + stretch.length for i in range(_LENGTH)] for stretch in _STRETCHES.values()]
)
"""[stretches, _LENGTH]: the places that count."""
_LAST: Final = np.array([s.run * _LENGTH + s.first + s.length - 1 for s in _STRETCHES.values()])
_RUN: Final = np.array([s.run for s in _STRETCHES.values()])
_PAIRS: Final = (("older_15", "newer_15_reversed"), ("older_30", "newer_30_reversed"), ("close_20", "volume_20"))
_TIME: Final = np.arange(_LENGTH) - (_LENGTH - 1) / 2


@shared
def _centred(w: Window) -> Array:
    """[N, stretches, _LENGTH]: each less its mean, 0 beside it; exactly 0 for one that does not vary."""
    xp = w.xp
    newest = slice(-_LENGTH, None)
    runs = [
        w.close[:, newest],
        w.close[:, : -_LENGTH - 1 : -1],
        w.close[:, -2 * _LENGTH : -_LENGTH],
        w.typical,
        w.volume[:, newest],
        w.log_return[:, newest],
        w.market_return[:, newest],
    ]
    joined = xp.concat(runs, axis=1)
    parts = xp.take(xp.reshape(joined, (-1, len(runs), _LENGTH)), w.constant(_RUN), axis=1)
    last = xp.expand_dims(xp.take(joined, w.constant(_LAST), axis=1), axis=2)
    offset = xp.where(w.constant(_CHOSEN), parts - last, 0.0)
    means = xp.sum(offset, axis=2, keepdims=True) / w.constant(_CHOSEN.sum(axis=1, keepdims=True).astype(np.float64))
    return (offset - means) * w.constant(_CHOSEN.astype(np.float64))


@shared
def _squares(w: Window) -> Array:
    """[N, stretches]."""
    return w.xp.sum(_centred(w) * _centred(w), axis=2)


@shared
def _products(w: Window) -> Array:
    """[N, pairs]."""
    one, other = (
        w.xp.take(_centred(w), w.constant(np.array([_PLACE[pair[side]] for pair in _PAIRS])), axis=1) for side in (0, 1)
    )
    return w.xp.sum(one * other, axis=2)


@shared
def _products_with_time(w: Window) -> Array:
    """[N, stretches]."""
    return w.xp.squeeze(w.xp.matmul(_centred(w), w.constant(_TIME[:, None])), axis=2)


def _column(values: Array, place: int) -> Array:
    return values[:, place : place + 1]


def centred(w: Window, name: str) -> Array:
    """A stretch less its mean, [N, its length]."""
    stretch = _STRETCHES[name]
    first = _PLACE[name] * _LENGTH + stretch.first
    return w.xp.reshape(_centred(w), (-1, len(_STRETCHES) * _LENGTH))[:, first : first + stretch.length]


def deviation(w: Window, name: str, lost: int = 0) -> Array:
    """Standard deviation of a stretch, [N, 1]: of a population, or of a sample (``lost`` 1)."""
    return w.xp.sqrt(_column(_squares(w), _PLACE[name]) / float(_STRETCHES[name].length - lost))


def correlation(w: Window, one: str, other: str) -> Array:
    """Pearson's r of two stretches of one length, [N, 1]; 0 where either does not vary."""
    spread = w.xp.sqrt(_column(_squares(w), _PLACE[one])) * w.xp.sqrt(_column(_squares(w), _PLACE[other]))
    return w.ratio(_column(_products(w), _PAIRS.index((one, other))), spread, 0.0)


def correlation_with_time(w: Window, name: str) -> Array:
    """Pearson's r of a stretch of 30 with the number of the bar, [N, 1]; 0 where it does not vary."""
    spread = w.xp.sqrt(_column(_squares(w), _PLACE[name])) * math.sqrt(_TIME @ _TIME)
    return w.ratio(_column(_products_with_time(w), _PLACE[name]), spread, 0.0)
