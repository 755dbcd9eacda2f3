"""The parity gate: the file in ONNX Runtime must answer as the fitted model does in scikit-learn and NumPy.

Real raw inputs are replayed one by one, in the worker's batches, and all at once. A model that fails is not registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import PARITY_TOLERANCE, Arrays
from db_functions.golden import Golden, largest_difference
from db_functions.model import open_session
from db_functions.progress import bar
from training.convert import OUTPUT, convert
from training.dataset import Dataset
from training.errors import ParityFailed
from training.export import FittedModel
from training.learners import FittedEnsemble
from training.session import answer, input_names
from training.trial import trial_inputs

GATE_ROWS: Final = 5_000
GOLDEN_ROWS: Final = 64
_EDGE_SHARE: Final = 0.125
"""Share of the chosen rows for each kind of edge: short history, missing levels, no rule confidence."""
WORKER_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What the gate compared and the largest difference it found (relative where values exceed 1)."""

    max_abs_diff: float
    output: str
    rows: int
    batch_sizes: tuple[int, ...]
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"batch_sizes": list(self.batch_sizes)}


def golden_rows(model: FittedModel, inputs: Arrays) -> Golden:
    """The fitted model's answers to ``inputs``; without a row, to plausible ones."""
    inputs = inputs if len(inputs["direction"]) else trial_inputs(model.min_bars)
    return Golden(inputs, model.answer(inputs))


def choose_rows(dataset: Dataset, rows: int) -> NDArray[np.intp]:
    """Indexes, in order, spread over the whole time, with every kind of edge that the data has."""
    count = len(dataset)
    if count <= rows:
        return np.arange(count)
    inputs = dataset.inputs
    edges = (
        np.asarray(dataset.short),
        np.isnan(inputs["levels"]).any(axis=1),
        np.isnan(inputs["rule_confidence"]),
    )
    share = int(rows * _EDGE_SHARE)
    chosen = np.unique(np.concatenate([_spread(np.flatnonzero(edge), share) for edge in edges]))
    rest = np.setdiff1d(np.arange(count), chosen)
    return np.sort(np.concatenate([chosen, _spread(rest, rows - len(chosen))]))


def check_parity(
    data: bytes,
    golden: Golden,
    *,
    batch_sizes: Sequence[int] | None = None,
    tolerance: float = PARITY_TOLERANCE,
    progress: bool = False,
) -> ParityReport:
    """Replay ``golden`` through the ONNX file ``data``.

    Batch sizes default to 1, the worker's and all rows. Raises ParityFailed naming the worst output and row when any
    answer is further than ``tolerance`` from the fitted model's.
    """
    session = open_session(data)
    wanted = input_names(session)
    sizes = tuple(sorted({min(max(1, size), len(golden)) for size in batch_sizes or (1, WORKER_BATCH, len(golden))}))
    worst, worst_output = 0.0, ""
    with bar(total=len(golden) * len(sizes), shown=progress, desc="parity", unit="row") as done:
        for size in sizes:
            for start, inputs, expected in _batches(golden, wanted, size):
                found = largest_difference(expected, answer(session, inputs))
                if found.amount > tolerance:
                    raise ParityFailed(
                        f"the exported graph differs from the fitted model by {found.amount:.3g} (at most "
                        f"{tolerance:g} is accepted) in output {found.output!r}, golden row {start + found.row}, batch "
                        f"of {size}; the conversion is wrong for these inputs, so the model is not registered"
                    )
                if found.amount > worst:
                    worst, worst_output = found.amount, found.output
                done.update(len(next(iter(expected.values()))))
    return ParityReport(worst, worst_output, len(golden), sizes, tolerance)


def unfaithful(
    ensemble: FittedEnsemble, features: NDArray[np.floating[Any]], tolerance: float = PARITY_TOLERANCE
) -> str:
    """A phrase naming the members whose converted form answers features [N, F] differently, for a failed gate."""
    placed = ensemble.grid.place(features, np)
    found = []
    for member in ensemble.members:
        session = open_session(convert(member, placed.shape[1]).SerializeToString())
        (given,) = session.run([OUTPUT], {"features": placed})
        amount = largest_difference({"": member.correction(placed)[:, None]}, {"": given}).amount
        if amount > tolerance:
            found.append(f"learner {member.name} by {amount:.3g}")
    return f"alone, {', '.join(found)}" if found else "each learner alone converts well"


def _batches(golden: Golden, wanted: Sequence[str], size: int) -> Iterator[tuple[int, Arrays, Arrays]]:
    for start in range(0, len(golden), size):
        part = slice(start, start + size)
        yield (
            start,
            {name: golden.inputs[name][part] for name in wanted},
            {name: values[part] for name, values in golden.outputs.items()},
        )


def _spread(index: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """``count`` of ``index``, evenly spaced."""
    if len(index) <= count:
        return index
    return index[np.linspace(0, len(index) - 1, count).astype(np.intp)]
