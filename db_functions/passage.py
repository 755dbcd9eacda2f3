"""First passage of a driftless Brownian motion out of an interval: which end it leaves by, and when.

With distances ``a`` above and ``b`` below, ``L = a + b`` and ``spread`` the standard deviation at the horizon, the
probability of leaving above by then has two expansions, which are one theta function seen from its two ends:

    b/L + 2/pi * sum_{n>=1} (-1)^n / n * sin(n pi b/L) * exp(-(n pi spread/L)^2 / 2)
    sum_{k>=0} E((a + 2kL) / spread) - E((a + 2b + 2kL) / spread),  E(x) = 2 Phi(-x) = erfc(x / sqrt(2))

The first is the heat equation on an interval by separation of variables, the second the method of images. Sources:
Karlin and Taylor, *A First Course in Stochastic Processes* (1975), chapter 7; Borodin and Salminen, *Handbook of
Brownian Motion* (2002), part II, 1.3. Eight terms of the first and the one of the second meet at ``SWITCH`` with errors
below 1e-13.

:func:`corrected` makes of it what is served: volatility is uncertain, and a bar that touches both levels is a stop.

Written for NumPy and ``ndonnx``. ONNX Runtime has no ``Erf`` in float64, so ``E`` is built here from exp.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""Of the namespace in use: NumPy, or ndonnx where the graph is traced."""

EDGE: Final = 1e-6
"""Probabilities are held within [EDGE, 1 - EDGE] before their log-odds are taken."""
REVERSION: Final = 0.3
"""How far volatility goes back to its mean within the horizon, as an exponent."""
UNCERTAINTY: Final = 0.15
"""Standard deviation of the logarithm of volatility."""

# Gauss-Hermite with seven nodes: Abramowitz and Stegun, table 25.10. Written out, so that every machine has these bits.
_NODES: Final = (0.816287882858965, 1.673551628767471, 2.651961356835233)
_NODE_WEIGHTS: Final = (0.8102646175568073, 0.4256072526101278, 0.05451558281912703, 0.0009717812450995192)
_STANDARD_NORMAL: Final = math.sqrt(2) * np.array([*(-x for x in reversed(_NODES)), 0.0, *_NODES])
SHIFTS: Final = np.array([[0.0, *(UNCERTAINTY * _STANDARD_NORMAL - UNCERTAINTY**2 / 2)]])
"""[1, 8]: of the logarithm of volatility, none for the plain one, then at the seven nodes."""
REVERTED: Final = np.array([[0.0, *[REVERSION] * 7]])
_MIDDLE: Final = 4
"""Place of the node 0 among the spreads; the plain one stands in front of the seven."""
_MEANS: Final = np.array(
    [[1.0, *[0.0] * 7], [0.0, *(w / math.sqrt(math.pi) for w in (*_NODE_WEIGHTS[:0:-1], *_NODE_WEIGHTS))]]
)
"""[2, 8]: plain and averaged."""

SWITCH: Final = 1 / math.sqrt(0.07)
"""``L / spread`` above which the images are used."""
_FARTHEST: Final = 37.5
"""Standard deviations at which every longer way counts: a tail of 1e-307, before numbers lose digits or overflow."""

_ORDERS: Final = np.arange(1.0, 9.0)
_DECAY: Final = -((_ORDERS * math.pi) ** 2) / 2
_ANGLES: Final = _ORDERS * math.pi
_REACH: Final = np.array([[1.0, 0.0, 1.0, 2.0, 1.0], [0.0, 1.0, 2.0, 1.0, 1.0]])
"""From a and b: a, b, a + 2b, b + 2a, L."""
_SIGNS: Final = (2 / math.pi / _ORDERS[:, None]) * np.array([[-1.0, -1.0], [1.0, -1.0]] * 4)
"""[8, 2]: what each term adds to leaving above and below."""

# Phi(-x) = exp(-x^2 / 2) P(x) / Q(x): algorithm 5666 of Hart et al., Computer Approximations (1968), with the
# coefficients in West, Better approximations to cumulative normal functions, Wilmott Magazine (2005).
_HART: Final = np.array(
    [
        [0.0, 8.83883476483184e-02],
        [3.52624965998911e-02, 1.75566716318264],
        [0.700383064443688, 16.064177579207],
        [6.37396220353165, 86.7807322029461],
        [33.912866078383, 296.564248779674],
        [112.079291497871, 637.333633378831],
        [221.213596169931, 793.826512519948],
        [220.206867912376, 440.413735824752],
    ]
)
"""P and Q side by side, highest power first."""


class Passage(NamedTuple):
    """For each of M spreads: P(above first), P(below first) and P(below ever), [N, M, 3], and ``both`` [N, M].

    ``both`` is the share of the bars that reach above in which below is reached as well. The probabilities are within
    1e-13 of [0, 1] and of a sum of the first two of at most 1, not clipped.
    """

    hits: Array
    both: Array


def passage(distances: Array, spread: Array, bar: float, xp: Any) -> Passage:
    """Leaving an interval by the horizon, for distances (above, below) [N, 2] >= 0 and spreads > 0 [N, M].

    ``bar`` is the spread of one bar as a fraction of ``spread``; only ``both`` depends on it.
    """
    reach = xp.matmul(distances, xp.asarray(_REACH))
    in_spreads = xp.expand_dims(reach, axis=1) / xp.expand_dims(spread, axis=2)
    width = in_spreads[:, :, 4:]
    scale = xp.asarray(np.array([[[1.0, 1.0, 1.0, 1.0, 1.0 / bar]]]))
    x = xp.minimum(in_spreads * scale, xp.asarray(np.array(_FARTHEST)))
    exponents = xp.concat([x * x * -0.5, xp.asarray(_DECAY[None, None]) / (width * width)], axis=2)
    # All at once, and a multiple of 8 numbers a row for 8 spreads: a vectorised exp then gives a row the same bits
    # wherever it stands in its batch.
    exponentials = xp.exp(exponents)
    density, decay = exponentials[:, :, :5], exponentials[:, :, 5:]
    tail = _two_tails(x, density, xp)
    images = tail[:, :, 0:2] - tail[:, :, 2:4]
    first = xp.where(width > SWITCH, images, _series(distances[:, ::-1] / reach[:, 4:], decay, xp))
    hits = xp.concat([first, tail[:, :, 1:2]], axis=2)
    # Laid out in one row, so that a graph can pick from it.
    in_bars = (xp.reshape(values, (-1, 5 * spread.shape[1]))[:, 4::5] for values in (x, tail, density))
    return Passage(hits, _touching_both(*in_bars))


class Corrected(NamedTuple):
    """Target, stop and neither, each corrected and plain, [N, 6], and what ties move from target to stop, [N, 2]."""

    ends: Array
    tied: Array


def corrected(distances: Array, spreads: Array, horizon: int, xp: Any) -> Corrected:
    """The probabilities of the three ends, for distances of target and stop [N, 2] >= 0 and spreads [N or 1, 8].

    The first spread is the plain one, the other seven are at the nodes of its uncertainty.
    """
    bar = math.exp(UNCERTAINTY**2 / 2) / math.sqrt(horizon)
    found = passage(distances, spreads, bar, xp)
    means = xp.matmul(xp.asarray(_MEANS[::-1]), found.hits)
    return _judge_ties(means, found.both[:, _MIDDLE : _MIDDLE + 1], horizon, xp)


def _judge_ties(means: Array, both: Array, horizon: int, xp: Any) -> Corrected:
    """From the hits of :class:`Passage`, averaged [N, 2, 3] (the plain ones second), and ``both`` [N, 1]."""
    side_by_side = xp.reshape(means, (-1, 6))
    target, stop, ever_stop = (side_by_side[:, i::3] for i in range(3))
    nothing, everything = xp.asarray(np.array(0.0)), xp.asarray(np.array(1.0))
    # Paths that go on to the stop: no more can be moved, and with a horizon of one bar all of them touch both in it.
    onward = xp.maximum(ever_stop - stop, nothing) * xp.asarray(np.array([[1.0, 0.0]]))
    tied = onward if horizon == 1 else xp.minimum(target * both, onward)
    target = xp.minimum(xp.maximum(target - tied, nothing), everything)
    rest = 1.0 - target
    stop = xp.minimum(xp.maximum(stop + tied, nothing), rest)
    return Corrected(xp.concat([target, stop, rest - stop], axis=1), tied)


def corrected_pairs(
    distances: NDArray[np.float64], spreads: NDArray[np.float64], horizon: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """:func:`corrected` by NumPy for many pairs [P, 2] of one walk (``spreads`` [1, 8]): its ends [P, 3], tied [P].

    Each pair takes only the expansion that converges fast, and levels that many pairs share are looked at once.
    """
    length = distances.sum(axis=1)
    opposite = distances[:, ::-1]
    place = opposite / length[:, None]
    terms = np.sin(place[:, :1] * _ANGLES)[:, None] * _SIGNS.T
    levels, back = np.unique(distances, return_inverse=True)
    back = back.reshape(distances.shape)
    means, decays, near = np.zeros((len(distances), 2, 3)), np.zeros((8, len(distances))), np.zeros(len(distances))
    for weight, spread in zip(_MEANS[1, 1:], spreads[0, 1:], strict=True):
        width = length / spread
        far = width > SWITCH
        ever = two_tails(levels / spread)[back]
        by_series = np.where(far, 0.0, weight)
        # x to the powers n^2: each is the one before times x^(2n - 1).
        x = np.exp(_DECAY[0] / (width * width))
        square, power, term = x * x, x, by_series
        for total in decays:
            term = term * power
            total += term
            power = power * square
        near += by_series
        means[:, 0, :2] += (weight - by_series)[:, None] * ever
        means[far, 0, :2] -= weight * two_tails((distances + 2 * opposite)[far] / spread)
        means[:, 0, 2] += weight * ever[:, 1]
    means[:, 0, :2] += near[:, None] * place + np.einsum("np,pin->pi", decays, terms)
    bar = math.exp(UNCERTAINTY**2 / 2) / math.sqrt(horizon)
    z = np.minimum(length / spreads[0, _MIDDLE] / bar, _FARTHEST)
    both = _touching_both(z, two_tails(z), np.exp(z * z * -0.5))
    found = _judge_ties(means, both[:, None], horizon, np)
    return found.ends[:, ::2], found.tied[:, 0]


def _series(place: Array, decay: Array, xp: Any) -> Array:
    """[N, M, 2] from (b/L, a/L) [N, 2] and the decay of each term [N, M, 8]."""
    waves = xp.sin(place[:, :1] * xp.asarray(_ANGLES[None]))
    amplitudes = xp.expand_dims(waves, axis=2) * xp.asarray(_SIGNS)
    return xp.expand_dims(place, axis=1) + xp.matmul(decay, amplitudes)


def _two_tails(x: Array, density: Array, xp: Any) -> Array:
    """``E(x) = 2 Phi(-x)`` for x >= 0, given exp(-x^2 / 2); off by at most 4e-16."""

    width = x.shape[2]
    both = xp.concat([x, x], axis=2)
    # P in the first half of the columns, Q in the other.
    first, *others = (xp.asarray(np.repeat(row, width)) for row in _HART)
    value = both * first
    for constant in others[:-1]:
        value = (value + constant) * both
    value = value + others[-1]
    return 2.0 * density * value[:, :, :width] / value[:, :, width:]


def _touching_both(z: Array, tail: Array, density: Array) -> Array:
    """The mean over u in (0, 1) of E(z / sqrt(u)), z the interval in spreads of one bar.

    It is (1 + z^2) E(z) - sqrt(2 / pi) z exp(-z^2 / 2), or 4 i2erfc(z / sqrt(2)); Abramowitz and Stegun, *Handbook of
    Mathematical Functions* (1964), 7.2.
    """
    return (1.0 + z * z) * tail - math.sqrt(2 / math.pi) * z * density


def two_tails(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """``2 Phi(-x)`` by NumPy, for x >= 0 [...]."""
    clipped = np.minimum(x, _FARTHEST).reshape(1, 1, -1)
    answer: NDArray[np.float64] = _two_tails(clipped, np.exp(clipped * clipped * -0.5), np)
    return answer.reshape(x.shape)
