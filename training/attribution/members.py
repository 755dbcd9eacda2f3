"""A member of a model, explained exactly in log-odds: trees by their leaves, a sum of terms term by term.

What a member is, is read from the graph and then held against what the graph itself answers to the background; a member
that is not what it seems is not explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from training.attribution import trees
from training.attribution.graph import Ask, FeatureGraph, Rows
from training.errors import NotExplainable

Floats = NDArray[np.float64]

_FAITHFUL: Final = 1e-5
"""How far a member may be from the graph's answer, which is float32."""
_ADDITIVE: Final = 1e-6


class Member(Protocol):
    """One part of a model's log-odds."""

    def answer(self, rows: Rows) -> Floats:
        """What it says to rows of features [N, F], [N]."""

    def attribute(self, rows: Rows, background: Rows) -> Floats:
        """The part of each feature, [N, F]; a row's add up to its answer less the background's mean."""


def find(graph: FeatureGraph, tensor: str, background: Rows) -> Member:
    """The member whose log-odds [N, 1] are ``tensor``.

    Raises NotExplainable when it is neither trees nor a sum of terms, each of one feature, or does not answer like it.
    """
    nodes = graph.behind(tensor)
    ensembles = [node for node in nodes if node.op_type == "TreeEnsembleRegressor"]
    if len(ensembles) == 1:
        return _Trees(graph, tensor, ensembles[0], background)
    if not ensembles:
        found = _Sum(graph.function(tensor))
        found.attribute(background[:4], background)
        return found
    raise NotExplainable(f"it is {len(ensembles)} ensembles of trees, not one")


class _Trees:
    """Trees on features that each pass through a function of their own first, as the grid's are."""

    def __init__(self, graph: FeatureGraph, tensor: str, node: Any, background: Rows) -> None:
        self._trees = trees.read(node)
        self._place: Ask = graph.function(node.input[0])
        placed = self._placed(background)
        _require_own_columns(self._placed, background, placed)
        (answer,) = graph.function(tensor)(background)
        _require_equal(self._trees.answer(placed), np.asarray(answer, np.float64)[:, 0])

    def answer(self, rows: Rows) -> Floats:
        return self._trees.answer(self._placed(rows))

    def attribute(self, rows: Rows, background: Rows) -> Floats:
        return self._trees.attribute(self._placed(rows), self._placed(background))

    def _placed(self, rows: Rows) -> Rows:
        return np.asarray(self._place(rows)[0])


@dataclass(frozen=True, slots=True)
class _Sum:
    """A sum of terms, each of one feature.

    A term is known but for a constant by moving one feature alone, and in such a game a feature's Shapley value is its
    term less the mean of its term over the background, whatever the other features are: for a linear model the
    weight times the distance from the background's mean (Štrumbelj and Kononenko, 2014). That it is such a sum is not
    assumed: otherwise the parts would not add up.
    """

    _sum: Ask

    def answer(self, rows: Rows) -> Floats:
        return np.asarray(self._sum(rows)[0], np.float64)[:, 0]

    def attribute(self, rows: Rows, background: Rows) -> Floats:
        middle = background[0]
        terms = np.array([self._terms(row, middle) for row in (*rows, *background)])
        found: Floats = terms[: len(rows)] - terms[len(rows) :].mean(axis=0)
        missing = np.abs(found.sum(axis=1) - (self.answer(rows) - self.answer(background).mean()))
        if missing.max(initial=0) > _ADDITIVE:
            raise NotExplainable("it is no sum of terms of one feature each")
        return found

    def _terms(self, row: Rows, middle: Rows) -> Floats:
        """What each feature of ``row`` [F] changes in the answer to ``middle``."""
        mixed = np.where(np.eye(len(row), dtype=np.bool_), row, middle)
        return np.asarray(self.answer(mixed) - self.answer(middle[None]))


def _require_equal(own: Floats, answer: Floats) -> None:
    """Raise NotExplainable unless trees that say ``own`` [N] have come to ``answer`` [N]."""
    off = np.abs(own - answer)
    # Not the other way round: NaN is not equal either.
    if not (off <= _FAITHFUL).all():
        raise NotExplainable(f"read from its attributes it answers otherwise, by {off.max():.3g}")


def _require_own_columns(place: Any, background: Rows, placed: Rows) -> None:
    """Raise NotExplainable unless column j of what the trees see depends on feature j alone, as far as rows show it."""
    first, width = background[0], background.shape[1]
    if placed.shape[1] != width:
        raise NotExplainable(f"its trees see {placed.shape[1]} columns, the model shows {width} features")
    one_moved = np.eye(width, dtype=np.bool_)
    for other, other_placed in zip(background[1:4], placed[1:4], strict=True):
        seen = place(np.where(one_moved, other, first))
        if not np.array_equal(seen, np.where(one_moved, other_placed, placed[0]), equal_nan=True):
            raise NotExplainable("its trees do not see the features, each in a column of its own")
