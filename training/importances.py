"""How much a fitted model leans on each feature, on rows that it has not seen."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.progress import bar
from training import blocks
from training.correction import FirstPassage, Fitted, Rows
from training.dataset import Dataset
from training.features import FEATURE_NAMES, FIRST_PASSAGE_NAMES
from training.split import Index

IMPORTANCE_ROWS: Final = 1_000


def permutation_importances(
    fitted: Fitted, rows: Rows, index: Index, dataset: Dataset, seed: int, progress: bool = False
) -> dict[str, blocks.Mean]:
    """How much the Brier score rises when a feature's column is shuffled, with its error by calendar blocks.

    Over at most IMPORTANCE_ROWS of the rows at ``index``, which ``fitted`` has not seen.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(index)[:IMPORTANCE_ROWS])
    own, block = rows.take(chosen), blocks.blocks_of(dataset)[chosen]

    def loss(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        return np.asarray((fitted.answer(values)[:, 2] - own.hit) ** 2)

    names = FIRST_PASSAGE_NAMES if isinstance(fitted.correction, FirstPassage) else FEATURE_NAMES
    base = loss(own.features)
    rises = {}
    for name in bar(names, shown=progress, desc="importances", unit="feature"):
        column = FEATURE_NAMES.index(name)
        shuffled = own.features.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        rises[name] = blocks.mean(loss(shuffled) - base, block)
    return rises
