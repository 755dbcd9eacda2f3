"""Labelled rows made ready to learn from: their features are kept, their windows are not.

A row's windows take 10 kB and its features 448 bytes, so a million rows are read, turned into features and forgotten
slice by slice. Features are float32, as the graph records them with every score: nothing is fitted on more digits.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.database import Connection
from db_functions.gather import Gatherer
from db_functions.progress import bar
from training import features as feature_code
from training.champion import read_champion
from training.correction import TARGET
from training.dataset import Dataset
from training.errors import NoSpace
from training.export import to_float32
from training.load import GatherSettings, labelled_ids, read_gather_settings, read_rows
from training.split import Index

_SLICE: Final = 4_000
"""Rows whose windows are in memory together."""
_CHUNK: Final = 2_000
_WIDTH: Final = len(feature_code.FEATURE_NAMES)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows for which first passage is defined, without windows, and their features float32 [N, F].

    ``champion`` is P(positive) [N] of the model to compare with, NaN for rows that it has learned from. ``undefined``
    rows were left out. ``read`` gives all inputs of the rows at some indexes.
    """

    dataset: Dataset
    features: NDArray[np.float32]
    champion: NDArray[np.float64] | None
    undefined: int
    read: Callable[[Index], Mapping[str, NDArray[Any]]]
    file: Any = None
    """Where the features are mapped from, so that other processes can open it; removed with these rows."""


def prepare(dataset: Dataset, champion: NDArray[np.float64] | None = None, *, progress: bool = False) -> Prepared:
    """Rows that are in memory with their windows; ``champion`` is of all of them."""
    features = to_float32(compute_features(dataset, progress=progress))
    defined = np.isfinite(features[:, TARGET])
    kept = dataset.take(defined)
    return Prepared(
        dataset=kept.without_windows(),
        features=features[defined],
        champion=None if champion is None else champion[defined],
        undefined=len(dataset) - len(kept),
        read=lambda index: kept.take(index).inputs,
    )


def load_prepared(
    connect: Callable[[], Connection],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: bool = False,
) -> Prepared:
    """The rows of ``load_dataset``, with the champion's answers, slice by slice.

    Raises SchemaMissing before an upgrade and NoSpace.
    """
    with connect() as connection:
        settings, ids = read_gather_settings(connection), labelled_ids(connection, since, until)
        champion, gatherer = read_champion(connection), Gatherer(history_ttl_s=float("inf"))

        def parts() -> Iterator[Prepared]:
            starts = range(0, max(1, len(ids)), _SLICE)
            for start in bar(starts, shown=progress, desc="load", unit="slice"):
                rows = read_rows(connection, gatherer, settings, ids[start : start + _SLICE])
                yield prepare(rows, None if champion is None else champion.answer(rows))

        return _join(parts(), lambda ids: _read_again(connect, settings, ids))


def _read_again(
    connect: Callable[[], Connection], settings: GatherSettings, ids: Sequence[str]
) -> Mapping[str, NDArray[Any]]:
    """All inputs of some rows; of those that are still there and labelled."""
    with connect() as connection:
        return read_rows(connection, Gatherer(history_ttl_s=float("inf")), settings, ids).inputs


def _join(parts: Iterable[Prepared], read: Callable[[Sequence[str]], Mapping[str, NDArray[Any]]]) -> Prepared:
    """Slices in the order of time, at least one; features in a file that is mapped into memory."""
    datasets, champions, undefined = [], [], 0
    file = tempfile.NamedTemporaryFile(prefix="features-")  # noqa: SIM115 - gone with the rows, not with this call
    for part in parts:
        _append(file, part.features)
        datasets.append(part.dataset)
        champions.append(part.champion)
        undefined += part.undefined
    dataset = Dataset.joined(datasets)
    shape = len(dataset), _WIDTH
    features = np.memmap(file, np.float32, "r", shape=shape) if len(dataset) else np.empty(shape, np.float32)
    known = [values for values in champions if values is not None]
    champion = np.concatenate(known) if known else None
    return Prepared(
        dataset, features, champion, undefined, lambda index: read(dataset.pattern_id[index].tolist()), file
    )


def _append(file: Any, features: NDArray[np.float32]) -> None:
    try:
        # Through the map, a full disk would end the process by a signal.
        file.write(features.tobytes())
        file.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoSpace(
            f"{tempfile.gettempdir()} has no space for the features ({features.itemsize * _WIDTH} bytes a row); "
            f"free some, or set TMPDIR to a folder with more (now {os.environ.get('TMPDIR', 'not set')})"
        ) from error


def compute_features(dataset: Dataset, *, progress: bool = False) -> NDArray[np.float64]:
    """Features [N, F], computed in chunks that bound memory."""
    starts = range(0, len(dataset), _CHUNK)
    chunks = bar(starts, shown=progress, desc="features", unit="chunk")
    found = [
        feature_code.compute(dataset.take(slice(start, start + _CHUNK)).inputs, np, dataset.horizon) for start in chunks
    ]
    return np.concatenate([np.empty((0, _WIDTH)), *found])
