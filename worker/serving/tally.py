"""How a batch's features, inputs and answers fall into the frozen bins of its model.

The same numbering as SQL's ``width_bucket`` over the same values, so that counts agree with ``ml.predictions``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import predicted_classes
from db_functions.database import Connection
from db_functions.queries import query

_LOOK_AGAIN_S = 60.0
"""A model without bins may be given some later, by ml.set_baseline."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one batch: ``counts`` of the ``cells`` that are not empty; sums over finite values by variable."""

    rows: int
    cells: NDArray[np.int32]
    counts: NDArray[np.int32]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bins:
    """The variables of one model. Numbers stand beside each other so that one comparison bins them all."""

    columns: NDArray[np.intp]
    """[V] the place of each number in the features; the confidence stands behind the last feature."""
    positions: NDArray[np.intp]
    """[V] the place of each number among all variables."""
    edges: NDArray[np.float64]
    """[V, E] rising, padded with infinity."""
    first: NDArray[np.int64]
    """[V] the cell of bin 0."""
    regular: NDArray[np.int64]
    """[V] bins that hold finite values; then come one cell for missing and one for infinite."""
    categories: Mapping[str, tuple[int, Mapping[str, int]]]
    """By name the first cell, and the bin of each category; then come one for missing and one for unseen."""
    variables: int
    cells: int
    """How many there are in all."""

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]], feature_count: int) -> Bins | None:
        """From the rows of ``model_bins``; None when there are none."""
        numbers: list[tuple[int, int, list[float], int]] = []
        categories: dict[str, tuple[int, dict[str, int]]] = {}
        for position, (kind, name, column, edges, texts, first) in enumerate(rows):
            if edges is None:
                categories[name] = (first, {text: n for n, text in enumerate(texts)})
            elif kind == "output":
                numbers.append((feature_count, position, edges, first))
            elif column is not None and column < feature_count:
                numbers.append((column, position, edges, first))
        if not rows:
            return None
        padded = np.full((len(numbers), max((len(edges) for _, _, edges, _ in numbers), default=0)), np.inf)
        for row, (_, _, edges, _) in enumerate(numbers):
            padded[row, : len(edges)] = edges
        return cls(
            columns=np.array([column for column, _, _, _ in numbers], dtype=np.intp),
            positions=np.array([position for _, position, _, _ in numbers], dtype=np.intp),
            edges=padded,
            first=np.array([first for _, _, _, first in numbers], dtype=np.int64),
            regular=np.array([len(edges) + 1 for _, _, edges, _ in numbers], dtype=np.int64),
            categories=categories,
            variables=len(rows),
            cells=rows[-1][5] + (len(rows[-1][4]) if rows[-1][3] is None else len(rows[-1][3]) + 1) + 2,
        )

    def tally(
        self,
        features: NDArray[np.float32] | None,
        confidence: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        texts: Mapping[str, Sequence[str]],
    ) -> Tally:
        """Count N scored rows: ``features`` [N, F], ``confidence`` [N], ``probabilities`` [N, 3], inputs by name."""
        count = len(confidence)
        shown = np.empty((count, 0), np.float32) if features is None else features
        values = np.column_stack([shown, confidence])[:, self.columns].astype(np.float64)
        missing, infinite = np.isnan(values), np.isinf(values)
        cells = np.broadcast_to(self.first, values.shape).copy()
        for edge in self.edges.T:
            cells += values >= edge
        cells[missing] = np.broadcast_to(self.first + self.regular, cells.shape)[missing]
        cells[infinite] = np.broadcast_to(self.first + self.regular + 1, cells.shape)[infinite]
        finite = np.where(missing | infinite, 0.0, values)
        sums, squares = np.zeros(self.variables), np.zeros(self.variables)
        sums[self.positions] = finite.sum(axis=0)
        squares[self.positions] = (finite**2).sum(axis=0)
        counts = np.bincount(cells.reshape(-1), minlength=self.cells)
        named = {**texts, "prediction_class": predicted_classes(probabilities).tolist()}
        for name, (first, known) in self.categories.items():
            for text, number in Counter(named.get(name, ())).items():
                counts[first + known.get(text, len(known) + 1)] += number
        filled = np.flatnonzero(counts)
        return Tally(count, filled.astype(np.int32), counts[filled].astype(np.int32), sums, squares)


class BinStore:
    """The bins of the models that score, read once each."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Bins | None, float]] = {}

    def forget(self) -> None:
        self._kept.clear()

    def of(self, connection: Connection, model_id: int, feature_count: int) -> Bins | None:
        """The bins of a model; None while it has none."""
        bins, read_at = self._kept.get(model_id, (None, -np.inf))
        if bins is None and time.monotonic() - read_at >= _LOOK_AGAIN_S:
            rows = connection.execute(query("model_bins"), {"model": model_id}).fetchall()
            bins = Bins.from_rows(rows, feature_count)
            self._kept[model_id] = (bins, time.monotonic())
        return bins
