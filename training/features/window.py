"""The raw inputs of a batch, and the window mathematics that several features share.

Everything is written once against the array API: ``xp`` is NumPy in training and ``ndonnx`` when the graph is traced.
Columns have shape [N, 1] and series [N, 128], so they broadcast, and joining columns costs one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import LEVEL_COLUMNS, WINDOW
from training.features import weights

RECENT: Final = 32
"""How many opens and volumes any feature reads."""
_SERIES: Final = (
    (0, RECENT, 1),
    (1, WINDOW, 1),
    (2, WINDOW, 1),
    (3, WINDOW, 1),
    (4, RECENT, 1),
    (slice(1, 3), 2 * WINDOW, -1),
)
"""Column of the bars, length and order: opens, highs, lows, closes, volumes, then highs and lows newest first."""


def _places() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where in a row of bars, [128, 5] one after the other, each value of the series stands: its bar and its column."""
    bars, columns = np.broadcast_arrays(np.arange(WINDOW) * 5, np.arange(5)[:, None])
    parts = [
        [grid[column, -length:][..., ::step].ravel() for grid in (bars, columns)] for column, length, step in _SERIES
    ]
    bar, column = (np.concatenate(each) for each in zip(*parts, strict=True))
    return bar, column


_BAR, _COLUMN = _places()
_FIRST: Final = 5 * np.minimum(np.arange(WINDOW, -1, -1), WINDOW - 1)[:, None]
"""[WINDOW + 1, 1]: by the number of valid bars, where the first of them stands."""

RETURNS: Final = 60
"""How many returns any feature reads."""

Array: TypeAlias = Any
"""An array of the namespace in use; NumPy's and ndonnx's arrays share no static type."""


class Extremes(NamedTuple):
    """The highest high and the lowest low of some bars, [N, 1]."""

    high: Array
    low: Array


SPANS: Final = (*((14, skip) for skip in range(5)), (10, 0), (15, 0), (15, 15), (20, 0), (20, 1), (30, 0))
"""Length of each stretch of bars whose extremes a feature reads, and how many newer ones it leaves out."""
_REACH: Final = max(length + skip for length, skip in SPANS)


def _outside() -> NDArray[np.float64]:
    """[len(SPANS), _REACH]: minus infinity at the bars, newest first, that a stretch leaves out."""
    ages = np.arange(_REACH)
    return np.array([np.where((ages >= skip) & (ages < skip + length), 0.0, -np.inf) for length, skip in SPANS])


class Window:
    """One batch; every property is computed once, when a feature first asks for it.

    Bars before the first valid one are replaced by copies of it: they change no highest or lowest value, their changes
    are zero, and no weight falls on them. A bar with a price that is not finite ends the history there.
    ``horizon`` is the number of bars that labels look ahead.
    """

    def __init__(self, inputs: Mapping[str, Array], xp: Any, horizon: int) -> None:
        self.inputs = inputs
        self.xp = xp
        self.horizon = horizon
        self.memory: dict[object, Any] = {}

    def constant(self, values: NDArray[Any]) -> Array:
        return self.xp.asarray(values)

    def as_float(self, values: Array) -> Array:
        return self.xp.astype(values, self.xp.float64)

    def column(self, name: str, index: int | None = None) -> Array:
        """An input as a column [N, 1]: the whole of it, or one of its columns."""
        values = self.inputs[name]
        return self.xp.expand_dims(values, axis=1) if index is None else values[:, index : index + 1]

    # -- the bars ------------------------------------------------------------------------------------------------

    @cached_property
    def count_index(self) -> Array:
        """Valid bars, int64 [N]."""
        prices = self.xp.sum(self.inputs["bars"][:, :, :4], axis=2)
        return self.newest(self.xp.abs(prices) < np.inf)

    def newest(self, flags: Array) -> Array:
        """How many of the newest bars in a row are flagged, int64 [N]."""
        length = flags.shape[1]
        newer = self.constant(np.arange(length - 1, -1, -1))
        return self.xp.min(self.xp.where(flags, self.constant(np.array(length)), newer), axis=1)

    @cached_property
    def count(self) -> Array:
        """Valid bars, float64 [N, 1]."""
        return self.as_float(self.xp.expand_dims(self.count_index, axis=1))

    @cached_property
    def valid(self) -> Array:
        """Which bars are valid, bool [N, 128]."""
        return self.constant(np.arange(WINDOW, 0.0, -1.0)[None, :]) <= self.count

    @cached_property
    def _series(self) -> list[Array]:
        """The series of :data:`_SERIES`, in this order."""
        flat = self.xp.reshape(self.inputs["bars"], (-1, WINDOW * 5))
        places = self.xp.maximum(self.pick(_FIRST), self.constant(_BAR)) + self.constant(_COLUMN)
        joined = self.xp.take_along_axis(flat, places, axis=1)
        ends = np.cumsum([length for _, length, _ in _SERIES]).tolist()
        return [joined[:, start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    @cached_property
    def open(self) -> Array:
        """[N, 32]."""
        return self._series[0]

    @cached_property
    def high(self) -> Array:
        return self._series[1]

    @cached_property
    def low(self) -> Array:
        return self._series[2]

    @cached_property
    def close(self) -> Array:
        return self._series[3]

    @cached_property
    def volume(self) -> Array:
        """[N, 32]."""
        return self._series[4]

    @cached_property
    def last_close(self) -> Array:
        return self.close[:, -1:]

    def close_before(self, bars: int) -> Array:
        """The close some bars ago, [N, 1]."""
        return self.close[:, -1 - bars : -bars]

    def rise(self, bars: int) -> Array:
        """The newest close less the one some bars ago, [N, 1]."""
        return self.last_close - self.close_before(bars)

    @cached_property
    def change(self) -> Array:
        """Close minus the close before, [N, 127]."""
        return self.close[:, 1:] - self.close[:, :-1]

    @cached_property
    def offset(self) -> Array:
        """Close minus the newest close, [N, 128]: averages of it lose no digits to the level of the price."""
        return self.close - self.last_close

    @cached_property
    def typical(self) -> Array:
        """(H + L + C) / 3, [N, 30]."""
        high, low, close = (series[:, -30:] for series in (self.high, self.low, self.close))
        return (high + low + close) / 3.0

    @cached_property
    def benchmark(self) -> Array:
        """The benchmark's newest closes, [N, 61], NaN where it has none."""
        newest = self.inputs["market_bars"][:, -RETURNS - 1 :, :]
        return self.xp.reshape(self.xp.take(newest, self.constant(np.array([3])), axis=2), (-1, RETURNS + 1))

    @cached_property
    def returns(self) -> Array:
        """Log returns, own and then the benchmark's, [N, 120]."""
        newer = self.xp.concat([self.close[:, -RETURNS:], self.benchmark[:, 1:]], axis=1)
        older = self.xp.concat([self.close[:, -RETURNS - 1 : -1], self.benchmark[:, :-1]], axis=1)
        return self.xp.log(newer / older)

    @cached_property
    def log_return(self) -> Array:
        """[N, 60]."""
        return self.returns[:, :RETURNS]

    @cached_property
    def market_return(self) -> Array:
        """[N, 60]."""
        return self.returns[:, RETURNS:]

    @cached_property
    def true_range(self) -> Array:
        """[N, 127], of bars 1 and later."""
        xp = self.xp
        before = self.close[:, :-1]
        return xp.maximum(self.high[:, 1:], before) - xp.minimum(self.low[:, 1:], before)

    # -- averages ------------------------------------------------------------------------------------------------

    def pick(self, table: NDArray[np.float64]) -> Array:
        """Each row's own line of a table [129, ...], by its number of bars."""
        return self.xp.take(self.constant(table), self.count_index, axis=0)

    @cached_property
    def moves(self) -> Array:
        """Gains of the close, its absolute changes, and true ranges, [N, 3, 127]."""
        xp = self.xp
        gains = xp.maximum(self.change, self.constant(np.array(0.0)))
        return xp.reshape(xp.concat([gains, xp.abs(self.change), self.true_range], axis=1), (-1, 3, WINDOW - 1))

    @cached_property
    def wilder(self) -> Array:
        """:attr:`moves` by each of :data:`weights.WILDER`, [N, 9]."""
        return self.xp.reshape(self.xp.matmul(self.moves, self.pick(weights.WILDER)), (-1, 9))

    def mean(self, series: Array, length: int) -> Array:
        """Plain mean of the newest ``length`` values, [N, 1]."""
        return self.total(series, length) / length

    def total(self, series: Array, length: int) -> Array:
        return self.xp.sum(_newest(series, length), axis=1, keepdims=True)

    def dot(self, series: Array, row: NDArray[np.float64]) -> Array:
        """The newest values of a series by constant weights [1, length], [N, 1]."""
        return self.xp.matmul(_newest(series, row.shape[1]), self.constant(row.T))

    def ratio(self, numerator: Array, denominator: Array, otherwise: float) -> Array:
        """A division that answers ``otherwise`` where the denominator is zero."""
        return self.xp.where(denominator == 0.0, otherwise, numerator / denominator)

    @cached_property
    def atr(self) -> Array:
        """Average true range over 14 bars (Wilder), [N, 1], NaN where it is zero: nothing can be measured in it."""
        value = self.wilder[:, 6:7]
        return self.xp.where(value > 0.0, value, np.nan)

    # -- highest and lowest --------------------------------------------------------------------------------------

    @cached_property
    def reach(self) -> Array:
        """High and minus low, newest first, [N, 2, 128]."""
        sides = self.constant(np.array([[[1.0], [-1.0]]]))
        return self.xp.reshape(self._series[5], (-1, 2, WINDOW)) * sides

    @cached_property
    def highest(self) -> Array:
        """Highest high, then highest minus low, of each of :data:`SPANS`, [N, 2 len(SPANS)]."""
        part = self.xp.expand_dims(self.reach[:, :, :_REACH], axis=2) + self.constant(_outside())
        return self.xp.reshape(self.xp.max(part, axis=3), (-1, 2 * len(SPANS)))

    def extremes(self, length: int, skip: int = 0) -> Extremes:
        """Highest high and lowest low of ``length`` bars, the newest ``skip`` left out; one of :data:`SPANS`."""
        place = SPANS.index((length, skip))
        high, low = (self.highest[:, i : i + 1] for i in (place, len(SPANS) + place))
        return Extremes(high, -low)

    def span(self, length: int) -> Array:
        """Highest high less lowest low of the newest ``length`` bars, [N, 1]."""
        extremes = self.extremes(length)
        return extremes.high - extremes.low

    @cached_property
    def swing(self) -> Extremes:
        """The extremes of all valid bars."""
        both = self.xp.max(self.reach, axis=2)
        return Extremes(both[:, :1], -both[:, 1:])

    def ages(self, length: int) -> tuple[Array, Array]:
        """Bars since the highest high and the lowest low of the newest ``length``, [N, 1]; of equal ones the newest."""
        reach = self.reach if length == WINDOW else self.reach[:, :, :length]
        both = self.as_float(self.xp.argmax(reach, axis=2))
        return both[:, :1], both[:, 1:]

    # -- what the row says ---------------------------------------------------------------------------------------

    @cached_property
    def direction(self) -> Array:
        """1, -1 or 0, [N, 1]; an absent one is 0, unknown."""
        given = self.column("direction")
        return self.xp.where(given == given, given, 0.0)

    def directed(self, values: Array) -> Array:
        """Values times direction: above 0 they favour the pattern. Absolute where no direction is known."""
        return self.xp.where(self.direction == 0.0, self.xp.abs(values), values * self.direction)

    def level(self, name: str) -> Array:
        return self.column("levels", LEVEL_COLUMNS.index(name))


def _newest(series: Array, length: int) -> Array:
    return series if series.shape[1] == length else series[:, -length:]


Result = TypeVar("Result")


def shared(function: Callable[[Window], Result]) -> Callable[[Window], Result]:
    """Compute a function of a window once for each window, however many features ask."""

    @wraps(function)
    def remembered(w: Window) -> Result:
        if remembered not in w.memory:
            w.memory[remembered] = function(w)
        result: Result = w.memory[remembered]
        return result

    return remembered
