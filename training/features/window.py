"""The raw inputs of a batch, and the window mathematics that several features share.

Everything is written once against the array API: ``xp`` is NumPy in training and ``ndonnx`` when the graph is traced.
Columns have shape [N, 1] and series [N, 128], so they broadcast, and joining columns costs one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import LEVEL_COLUMNS, WINDOW
from training.features import weights

Array: TypeAlias = Any
"""An array of the namespace in use; NumPy's and ndonnx's arrays share no static type."""


class Extremes(NamedTuple):
    """The highest high and the lowest low of some bars, and how many bars ago each was; all [N, 1]."""

    high: Array
    low: Array
    high_age: Array
    low_age: Array


class Window:
    """One batch; every property is computed once, when a feature first asks for it.

    Bars before the first valid one are replaced by copies of the newest: they change no highest or lowest value, their
    changes are zero, and no weight falls on them. A bar with a price that is not finite ends the history there.
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
    def _raw(self) -> Array:
        return self.xp.permute_dims(self.inputs["bars"], (0, 2, 1))

    @cached_property
    def _missing(self) -> Array:
        """Leading bars to ignore, int64 [N]: all up to the newest one without finite prices."""
        xp = self.xp
        prices = xp.sum(self._raw[:, :4, :], axis=1)
        return self.through(~(xp.abs(prices) < np.inf))

    def through(self, flags: Array) -> Array:
        """How many bars, counted from the oldest, end with the newest that is flagged, int64 [N]; 0 without one."""
        xp = self.xp
        ranked = self.as_float(flags) * self.constant(np.arange(1.0, WINDOW + 1))
        # A column of 0.5 in front wins where nothing is missing; the place of the winner is the number of bars lost.
        return xp.argmax(xp.concat([ranked[:, :1] * 0.0 + 0.5, ranked], axis=1), axis=1)

    @cached_property
    def count(self) -> Array:
        """Valid bars, float64 [N, 1]."""
        return WINDOW - self.as_float(self.xp.expand_dims(self._missing, axis=1))

    @cached_property
    def valid(self) -> Array:
        """Which bars are valid, bool [N, 128]."""
        return self.constant(np.arange(WINDOW, 0.0, -1.0)[None, :]) <= self.count

    @cached_property
    def _bars(self) -> Array:
        xp = self.xp
        return xp.where(xp.expand_dims(self.valid, axis=1), self._raw, self._raw[:, :, -1:])

    @cached_property
    def open(self) -> Array:
        return self._bars[:, 0, :]

    @cached_property
    def high(self) -> Array:
        return self._bars[:, 1, :]

    @cached_property
    def low(self) -> Array:
        return self._bars[:, 2, :]

    @cached_property
    def close(self) -> Array:
        return self._bars[:, 3, :]

    @cached_property
    def volume(self) -> Array:
        return self._bars[:, 4, :]

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
    def log_return(self) -> Array:
        """[N, 127]."""
        return self.xp.log(self.close[:, 1:] / self.close[:, :-1])

    @cached_property
    def true_range(self) -> Array:
        """[N, 127], of bars 1 and later."""
        xp = self.xp
        before = self.close[:, :-1]
        return xp.maximum(self.high[:, 1:], before) - xp.minimum(self.low[:, 1:], before)

    # -- averages ------------------------------------------------------------------------------------------------

    def weighted(self, table: NDArray[np.float64], series: Array, lag: int = 0) -> Array:
        """Sums of a series [N, W] by the weights of each row's bar count, as of ``lag`` bars ago.

        A table [129, W] gives [N, 1], a bank of m tables [129, m, W] gives [N, m].
        """
        xp = self.xp
        picked = self.pick(table, lag)
        series = series[:, :-lag] if lag else series
        if table.ndim == 2:
            return xp.sum(picked * series, axis=1, keepdims=True)
        return xp.sum(picked * xp.expand_dims(series, axis=1), axis=2)

    def pick(self, table: NDArray[np.float64], lag: int = 0) -> Array:
        """Each row's own line of a table, by its number of bars ``lag`` bars ago; one gathering for all who ask."""
        key = ("pick", id(table), lag)
        if key not in self.memory:
            rows = self._count_index
            if lag:
                rows = self.xp.maximum(rows - lag, self.constant(np.array(0)))
            # The table is kept with its lines, so that no other can come by its id.
            self.memory[key] = table, self.xp.take(self.constant(table[..., lag:]), rows, axis=0)
        return self.memory[key][1]

    @cached_property
    def _count_index(self) -> Array:
        return WINDOW - self._missing

    def mean(self, series: Array, length: int) -> Array:
        """Plain mean of the newest ``length`` values, [N, 1]."""
        return self.total(series, length) / length

    def total(self, series: Array, length: int) -> Array:
        return self.xp.sum(series[:, -length:], axis=1, keepdims=True)

    def dot(self, series: Array, row: NDArray[np.float64]) -> Array:
        """The newest values of a series by constant weights [1, length], [N, 1]."""
        return self.xp.sum(series[:, -row.shape[1] :] * self.constant(row), axis=1, keepdims=True)

    def centred(self, part: Array) -> Array:
        """A series less its mean; exactly zero for one that does not vary, whatever its level."""
        offset = part - part[:, -1:]
        return offset - self.xp.sum(offset, axis=1, keepdims=True) / part.shape[1]

    def deviation(self, series: Array, length: int, lost: int = 0) -> Array:
        """Standard deviation of the newest ``length`` values, [N, 1]: of a population, or of a sample (``lost`` 1)."""
        centred = self.centred(series[:, -length:])
        return self.xp.sqrt(self.xp.sum(centred * centred, axis=1, keepdims=True) / (length - lost))

    def correlation(self, x: Array, y: Array) -> Array:
        """Pearson's r of two series of one length, [N, 1]; 0 where either does not vary."""
        xp = self.xp
        x, y = self.centred(x), self.centred(y)
        spread = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True)) * xp.sqrt(xp.sum(y * y, axis=1, keepdims=True))
        return self.ratio(xp.sum(x * y, axis=1, keepdims=True), spread, 0.0)

    def ratio(self, numerator: Array, denominator: Array, otherwise: float) -> Array:
        """A division that answers ``otherwise`` where the denominator is zero."""
        return self.xp.where(denominator == 0.0, otherwise, numerator / denominator)

    @cached_property
    def atr(self) -> Array:
        """Average true range over 14 bars (Wilder), [N, 1], NaN where it is zero: nothing can be measured in it."""
        value = self.weighted(weights.WILDER, self.true_range)
        return self.xp.where(value > 0.0, value, np.nan)

    # -- highest and lowest --------------------------------------------------------------------------------------

    @cached_property
    def reach(self) -> Array:
        """High and minus low, newest first, [N, 2, 128]."""
        xp = self.xp
        return xp.concat([self._bars[:, 1:2, ::-1], -self._bars[:, 2:3, ::-1]], axis=1)

    def extremes(self, length: int, skip: int = 0) -> Extremes:
        """Highest high and lowest low of ``length`` bars, the newest ``skip`` left out.

        Of equal bars the newest counts.
        """
        key = ("extremes", length, skip)
        if key not in self.memory:
            xp = self.xp
            part = self.reach[:, :, skip : skip + length]
            place = xp.argmax(part, axis=2, keepdims=True)
            value = xp.squeeze(xp.take_along_axis(part, place, axis=2), axis=2)
            age = self.as_float(xp.squeeze(place, axis=2))
            self.memory[key] = Extremes(value[:, :1], -value[:, 1:], age[:, :1], age[:, 1:])
        found: Extremes = self.memory[key]
        return found

    def span(self, length: int) -> Array:
        """Highest high less lowest low of the newest ``length`` bars, [N, 1]."""
        extremes = self.extremes(length)
        return extremes.high - extremes.low

    @property
    def swing(self) -> Extremes:
        """The extremes of all valid bars."""
        return self.extremes(WINDOW)

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
