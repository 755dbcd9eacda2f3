"""A member of a model, explained exactly in log-odds: trees by their leaves, a sum of terms term by term.

A member is recognised from the graph and then compared with the graph's own answers to the background; a member that
does not agree is not explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from training.attribution import trees
from training.attribution.graph import Answer, FeatureGraph, Rows
from training.errors import NotExplainable

Floats = NDArray[np.float64]

_FAITHFUL: Final = 1e-5
"""Largest distance of a member from the graph's answer, which is float32."""
_ADDITIVE: Final = 1e-6


class Member(Protocol):
    """One part of a model's log-odds."""

    def answer(self, rows: Rows) -> Floats:
        """Its answers [N] to rows of features [N, F]."""

    def attribute(self, rows: Rows, background: Rows) -> Floats:
        """Contributions [N, F]; those of a row add up to its answer less the background's mean."""


def find(graph: FeatureGraph, tensor: str, background: Rows) -> Member:
    """The member whose log-odds [N, 1] are ``tensor``.

    Raises NotExplainable when it is of another shape, neither trees nor a sum of terms of one feature each, or when it
    does not answer like the graph.
    """
    (answer,) = graph.function(tensor)(background[:1])
    if np.shape(answer) != (1, 1):
        raise NotExplainable("it is not one number of log-odds for each row")
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
    """Trees on features that first pass through a function of their own each, such as the grid."""

    def __init__(self, graph: FeatureGraph, tensor: str, node: Any, background: Rows) -> None:
        self._trees = trees.read(node)
        self._place: Answer = graph.function(node.input[0])
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

    Changing one feature alone shows its term up to a constant. In such a game a feature's Shapley value is its term
    less the mean of its term over the background, whatever the other features are: for a linear model the weight times
    the distance from the background's mean (Štrumbelj and Kononenko, 2014). That it is such a sum is checked: the
    contributions of anything else do not add up.
    """

    _sum: Answer

    def answer(self, rows: Rows) -> Floats:
        return np.asarray(self._sum(rows)[0], np.float64)[:, 0]

    def attribute(self, rows: Rows, background: Rows) -> Floats:
        middle = background[0]
        terms = np.array([self._terms(row, middle) for row in (*rows, *background)])
        found: Floats = terms[: len(rows)] - terms[len(rows) :].mean(axis=0)
        missing = np.abs(found.sum(axis=1) - (self.answer(rows) - self.answer(background).mean()))
        # Written this way round, NaN counts as missing too.
        if not (missing <= _ADDITIVE).all():
            raise NotExplainable("it is no sum of terms of one feature each")
        return found

    def _terms(self, row: Rows, middle: Rows) -> Floats:
        """The change that each feature of ``row`` [F] makes to the answer to ``middle``."""
        mixed = np.where(np.eye(len(row), dtype=np.bool_), row, middle)
        return np.asarray(self.answer(mixed) - self.answer(middle[None]))


def _require_equal(own: Floats, answer: Floats) -> None:
    """Raise NotExplainable unless trees that answer ``own`` [N] agree with ``answer`` [N]."""
    off = np.abs(own - answer)
    # Written this way round, NaN counts as unequal too.
    if not (off <= _FAITHFUL).all():
        raise NotExplainable(f"its trees answer differently from the graph, by {off.max():.3g}")


def _require_own_columns(place: Any, background: Rows, placed: Rows) -> None:
    """Raise NotExplainable unless column j of the trees' input depends on feature j alone, as far as rows show it."""
    first, width = background[0], background.shape[1]
    if placed.shape[1] != width:
        raise NotExplainable(f"its trees see {placed.shape[1]} columns, the model shows {width} features")
    one_moved = np.eye(width, dtype=np.bool_)
    for other, other_placed in zip(background[1:4], placed[1:4], strict=True):
        seen = place(np.where(one_moved, other, first))
        if not np.array_equal(seen, np.where(one_moved, other_placed, placed[0]), equal_nan=True):
            raise NotExplainable("its trees do not see each feature in a column of its own")
