"""Labelled rows made ready to learn from: their features are kept, their windows are not.

A row's windows take 10 kB and its features 472 bytes, so a million rows are read, turned into features and forgotten
slice by slice. Features are float32, as the graph records them with every score: nothing is fitted on more digits.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.bulk.bits import code
from db_functions.bulk.engines import Engine, Pool, in_process
from db_functions.bulk.sessions import keep
from db_functions.database import Connection, connect, database_url
from db_functions.errors import EngineUnavailable, WorkerRefused, first_line
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
_LOSSES: Final = 20
"""How often in a row the engine may lose its processes."""
_WIDTH: Final = len(feature_code.FEATURE_NAMES)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows for which first passage is defined, without windows, and their features float32 [N, F].

    ``champion`` is P(positive) [N] of the model to compare with, NaN for rows that it has learned from. ``undefined``
    rows were left out.
    """

    dataset: Dataset
    features: NDArray[np.float32]
    champion: NDArray[np.float64] | None
    undefined: int


@dataclass(frozen=True, slots=True)
class Prepared(Part):
    """All rows. ``read`` gives all inputs of those at some indexes."""

    read: Callable[[Index], Mapping[str, NDArray[Any]]]


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
    connection: Connection,
    engine: Engine = in_process,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: bool = False,
) -> Prepared:
    """The rows of ``load_dataset``, with the champion's answers, slice by slice on ``engine``.

    Its processes connect to ``DATABASE_URL`` of their own environment. Raises SchemaMissing before an upgrade, NoSpace,
    EngineUnavailable, and WorkerRefused where a process has other code.
    """
    settings, ids = read_gather_settings(connection), labelled_ids(connection, since, until)
    connection.commit()
    now, slices = time.time(), [ids[start : start + _SLICE] for start in range(0, max(1, len(ids)), _SLICE)]
    with Pool(engine) as pool, bar(total=len(slices), shown=progress, desc="load", unit="slice") as done:
        return _join(_parts(pool, [(one, settings, now, code()) for one in slices], done), settings)


def _parts(pool: Pool, calls: Sequence[tuple[Any, ...]], done: Any) -> Iterator[Part]:
    """What :func:`_read_part` gives for each of ``calls``, in order; no more at once than the engine needs."""
    waiting: deque[tuple[tuple[Any, ...], Future[Part]]] = deque()
    lost = 0
    for call in [*calls, None]:
        if call is not None:
            waiting.append((call, pool.submit(_read_part, *call)))
        while waiting and (call is None or len(waiting) > pool.width()):
            try:
                part = waiting[0][1].result()
            except (BrokenExecutor, CancelledError) as error:
                # Nothing was written, so a slice may be read as often as it takes.
                if (lost := lost + 1) > _LOSSES:
                    raise EngineUnavailable(f"processes of the engine keep ending: {first_line(error)}") from error
                pool.renew()
                waiting = deque((call, pool.submit(_read_part, *call)) for call, _ in waiting)
                continue
            lost = 0
            waiting.popleft()
            done.update()
            yield part


class _Reader:
    """What a process keeps between slices."""

    def __init__(self, moment: float) -> None:
        self.connection = connect(application_name="pattern-scoring training")
        self.gatherer = Gatherer(history_ttl_s=float("inf"))
        self.champion = read_champion(self.connection, moment)

    def close(self) -> None:
        self.connection.close()


def _read_part(ids: Sequence[str], settings: GatherSettings, moment: float, wanted: str) -> Part:
    """One slice: its windows are read, become features, and are forgotten. ``moment``: whose champion answers."""
    if wanted != code():
        raise WorkerRefused("a process of the engine runs other code than this one: install the same version there")
    reader: _Reader = keep(("training", database_url(), moment), lambda: _Reader(moment))
    rows = read_rows(reader.connection, reader.gatherer, settings, ids)
    found = prepare(rows, None if reader.champion is None else reader.champion.answer(rows))
    return Part(found.dataset, found.features, found.champion, found.undefined)


def _read_again(settings: GatherSettings, ids: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    """All inputs of some rows; of those that are still there and labelled."""
    with connect(application_name="pattern-scoring training") as connection:
        return read_rows(connection, Gatherer(history_ttl_s=float("inf")), settings, ids).inputs


def _join(parts: Iterable[Part], settings: GatherSettings) -> Prepared:
    """Slices in the order of time, at least one; features in a file that is mapped into memory."""
    datasets, champions, undefined = [], [], 0
    # With a name: other processes of this machine map it too.
    descriptor, path = tempfile.mkstemp(prefix="features-")
    with ExitStack() as stack:
        stack.callback(os.unlink, path)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for part in parts:
                _append(file, part.features)
                datasets.append(part.dataset)
                champions.append(part.champion)
                undefined += part.undefined
        dataset = Dataset.joined(datasets)
        features: NDArray[np.float32] = np.empty((0, _WIDTH), np.float32)
        if len(dataset):
            features = np.memmap(path, np.float32, "r", shape=(len(dataset), _WIDTH))
            weakref.finalize(features, stack.pop_all().close)
    known = [values for values in champions if values is not None]
    return Prepared(
        dataset=dataset,
        features=features,
        champion=np.concatenate(known) if known else None,
        undefined=undefined,
        read=lambda index: _read_again(settings, dataset.pattern_id[index].tolist()),
    )


def _append(file: Any, features: NDArray[np.float32]) -> None:
    try:
        # Through the map, a full disk would end the process by a signal.
        left = memoryview(features.tobytes())
        while left:
            left = left[file.write(left) :]
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
