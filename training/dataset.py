"""The rows that training reads: model inputs as of each pattern's time, and what became of it.

Only NumPy is imported here, so loading rows costs nothing of the training stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import CLASSES, DEFAULT_HORIZON, INPUTS
from training.errors import InvalidDataset

NEGATIVE, NEUTRAL, POSITIVE = range(len(CLASSES))

WINDOWS: Final = ("bars", "market_bars")
"""The inputs that take 10 kB a row; all others together take a fiftieth of that."""
_OWN_COLUMNS: Final = ("outcome", "detected_at", "outcome_at", "horizon_at", "pattern_id", "symbol", "short")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled patterns, oldest first.

    ``inputs`` are the scoring contract's, each [N, ...]; ``outcome`` int8 [N] indexes ``contract.CLASSES``;
    times are int64 Unix seconds [N]: a label window begins at ``detected_at`` and ends at ``horizon_at``, ``horizon``
    bars later; its outcome was known at ``outcome_at``, earlier where target or stop was touched before the end.
    Raises InvalidDataset when lengths differ, an input is missing, or rows are not in order of ``detected_at``; the
    windows may be missing (:meth:`without_windows`).
    """

    inputs: Mapping[str, NDArray[Any]]
    outcome: NDArray[np.int8]
    detected_at: NDArray[np.int64]
    outcome_at: NDArray[np.int64]
    horizon_at: NDArray[np.int64]
    pattern_id: NDArray[np.object_]
    symbol: NDArray[np.object_]
    horizon: int = DEFAULT_HORIZON
    """Bars: the label horizon that the outcomes were judged by."""
    short: NDArray[np.bool_] | None = None
    """Whose window begins before the series does, [N]; follows from the windows where they are given."""

    def __post_init__(self) -> None:
        # Lists are accepted from callers; arrays are what everything after this relies on.
        for name in ("pattern_id", "symbol"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=object))
        known = set(self.inputs) if self.short is None else {*self.inputs, *WINDOWS}
        missing = [name for name in INPUTS if name not in known]
        if missing:
            raise InvalidDataset(f"the dataset lacks the model inputs {', '.join(missing)}")
        if self.short is None:
            object.__setattr__(self, "short", np.isnan(self.inputs["bars"][:, 0, 0]))
        lengths = {name: len(getattr(self, name)) for name in _OWN_COLUMNS}
        lengths |= {name: len(values) for name, values in self.inputs.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidDataset(f"the dataset's columns differ in length: {lengths}")
        if np.any(np.diff(self.detected_at) < 0):
            raise InvalidDataset("the dataset's rows are not in order of detected_at")
        if not np.isin(self.outcome, range(len(CLASSES))).all():
            raise InvalidDataset(f"outcomes must be 0..{len(CLASSES) - 1} ({', '.join(CLASSES)})")

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Which rows ended at their target, [N]."""
        return np.asarray(self.outcome == POSITIVE)

    def class_counts(self) -> dict[str, int]:
        """Rows of each class, in the contract's order."""
        counts = np.bincount(self.outcome, minlength=len(CLASSES))
        return dict(zip(CLASSES, counts.tolist(), strict=True))

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Dataset:
        """The rows that ``index`` selects; it must keep them in order."""
        return replace(
            self,
            inputs={name: values[index] for name, values in self.inputs.items()},
            **{name: getattr(self, name)[index] for name in _OWN_COLUMNS},
        )

    def without_windows(self) -> Dataset:
        """The same rows, without the inputs that take nearly all of the memory."""
        return replace(self, inputs={name: values for name, values in self.inputs.items() if name not in WINDOWS})

    @classmethod
    def joined(cls, parts: Iterable[Dataset]) -> Dataset:
        """The rows of ``parts``, at least one, each later than the one before."""
        first, *_ = parts = list(parts)
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _OWN_COLUMNS
        }
        inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in first.inputs}
        return replace(first, inputs=inputs, **columns)
