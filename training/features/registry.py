"""The list of features: each one's documentation and its computation, declared together.

A family module adds a feature with one decorated function. The function sees a
:class:`~training.features.window.Window` and answers a column of shape [N, 1]; the number of bars it needs is declared,
not coded, and :func:`evaluate` puts NaN in the rows that have fewer, and in place of anything that is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from training.features.window import Array, Window, shared


@dataclass(frozen=True, slots=True)
class Feature:
    """What a feature is, in words: one row of the generated documentation.

    ``formula`` uses the symbols that the documentation's introduction defines, ``source`` says where the definition
    comes from, ``range`` is the interval that its values lie in, ``missing`` says when it is NaN or a stated value.
    ``min_bars`` is the shortest history that it needs.
    """

    name: str
    family: str
    formula: str
    source: str
    range: str
    missing: str
    min_bars: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The numbers of ``range``, ``-inf`` and ``inf`` where it is open."""
        low, high = self.range[1:-1].split(",")
        return float(low), float(high)


Compute = Callable[[Window], Array]


@dataclass(frozen=True, slots=True)
class Registered:
    """A feature, the function that computes it, and whether that answers in prices, still to be divided by ATR."""

    feature: Feature
    compute: Compute
    per_atr: bool


class Family:
    """Collects the features of one family, in the order that they are declared."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.registered: list[Registered] = []

    def feature(
        self,
        formula: str,
        *,
        range: str,  # noqa: A002 - the documentation's own word
        bars: int,
        missing: str = "",
        source: str = "own",
        per_atr: bool = False,
    ) -> Callable[[Compute], Compute]:
        """Declare the decorated function as a feature; its name is the feature's name.

        ``bars`` is the fewest bars that it is defined for; ``missing`` is what else makes it NaN, or what it is when
        its denominator is zero. The value of a feature that is ``per_atr`` is divided by ATR for it.
        """

        def register(function: Compute) -> Compute:
            too_few = [f"NaN under {bars} bars" if bars > 1 else "NaN without a bar"] if bars else []
            no_atr = ["NaN if ATR is 0"] if per_atr else []
            words = "; ".join([*too_few, *([missing] if missing else []), *no_atr]) or "never missing"
            name = function.__name__
            once = shared(function)
            described = Feature(name, self.name, formula, source, range, words, bars)
            self.registered.append(Registered(described, once, per_atr))
            return once

        return register


def evaluate(registered: Iterable[Registered], window: Window) -> Array:
    """All columns side by side, float64 [N, F]; NaN where a row has too few bars or a value is not finite."""
    xp = window.xp
    entries = list(registered)
    values = xp.concat([entry.compute(window) for entry in entries], axis=1)
    if any(entry.per_atr for entry in entries):
        # One division for all the columns: in a graph, every node costs as much as its arithmetic.
        per_atr = window.constant(np.array([[entry.per_atr for entry in entries]]))
        values = values / xp.where(per_atr, window.atr, 1.0)
    needed = window.constant(np.array([[float(entry.feature.min_bars) for entry in entries]]))
    return xp.where((window.count >= needed) & (xp.abs(values) < math.inf), values, math.nan)
