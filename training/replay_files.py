"""A replay into Parquet files by month, which writes nothing to the database: its ledger lies beside the files.

``DIR/month=2024-05/slice-000012.parquet``; ``DIR/_plan.parquet`` says which patterns belong to a slice, the entries of
``DIR/_ledger/`` which slices are done; ``DIR/_pages/`` has the pages of others. Cluster workers need the same folder.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
from psycopg.rows import kwargs_row

from db_functions.bulk import sessions
from db_functions.bulk.bits import code
from db_functions.bulk.driver import How, OpenSlice, drive
from db_functions.bulk.engines import Pool, in_process
from db_functions.bulk.sessions import Session, Stopping
from db_functions.bulk.tasks import PAGE_ROWS, SLICE_PAGES, Outcome, Task, require_pins, session_of, work_off
from db_functions.errors import WorkerRefused
from db_functions.queries import query
from training.errors import OutputRefused
from training.replay import Finished, Replayed, ReplaySession, Scored

_PLAN: Final = "_plan.parquet"
_LEDGER: Final = "_ledger"
_PAGES: Final = "_pages"
_FOUND: Final = b"found"
_SCHEMA: Final = pa.schema(
    {
        "pattern_id": pa.string(),
        "symbol": pa.string(),
        "timeframe": pa.string(),
        "pattern_type": pa.string(),
        "detected_at": pa.timestamp("us", tz="UTC"),
        "ml_confidence": pa.float32(),
        "negative": pa.float32(),
        "neutral": pa.float32(),
        "quality": pa.float32(),
        "bars": pa.int16(),
        "input_hash": pa.binary(16),
        "features": pa.list_(pa.float32()),
    }
)
"""Columns of the files; ``ml_confidence`` is P(positive)."""
_PLANNED: Final = pa.schema({"month": pa.string(), "rows": pa.int32(), "ids": pa.list_(pa.binary(16))})


def replay_to_files(
    folder: Path, version: str, since: datetime, until: datetime | None = None, how: How | None = None
) -> Finished:
    """As :func:`training.replay.replay`, but into ``folder``; the same call again goes on where it ended.

    Raises OutputRefused when the folder holds anything else.
    """
    how, selection = how or How(), {"version": version, "since": since, "until": until}
    try:
        with Pool(how.engine) as pool:
            job = _FilesJob(folder.absolute(), selection, how)
            failed = drive(job, pool, how, "replay")
            job.tidy()
    finally:
        sessions.close_kept()
    found = [Replayed.read(json.loads(file.read_text())) for file in sorted((folder / _LEDGER).glob("[0-9]*.json"))]
    return Finished(sum(found, Replayed()), failed)


def run_slice(task: Task, stopping: Stopping = lambda: False) -> Outcome:
    """The task of a slice, in whatever process the engine runs it."""
    return work_off(task, ReplaySession, stopping, _write_slice)


class _FilesJob:
    """The plan and the ledger of a folder."""

    def __init__(self, folder: Path, selection: Mapping[str, Any], how: How) -> None:
        self._run = partial(run_slice, stopping=how.stopping) if how.engine is in_process else run_slice
        self._folder, self._selection, self._replica = folder, selection, how.replica
        session = session_of(selection, ReplaySession, replica=how.replica)
        assert isinstance(session, ReplaySession)
        self._pins = session.pins()
        named = json.dumps([selection, *self._pins.models, self._pins.bits], default=str)
        if not (folder / _PLAN).exists():
            _write_plan(folder, session, named)
        plan = pq.ParquetFile(folder / _PLAN)
        if plan.schema_arrow.metadata[b"selection"].decode() != named:
            raise OutputRefused(f"{folder} holds another replay, or one that was begun on another kind of CPU")
        self._rows: list[int] = plan.read(columns=["rows"]).column("rows").to_pylist()

    def _open(self) -> list[int]:
        done = {int(path.stem) for path in (self._folder / _LEDGER).glob("[0-9]*.json")}
        return [number for number in range(len(self._rows)) if number not in done]

    def _kept(self) -> Counter[int]:
        """How many pages of a slice lie in the folder."""
        return Counter(int(path.stem.partition("-")[0]) for path in (self._folder / _PAGES).glob("[0-9]*"))

    def open_slices(self, beside: Collection[int], limit: int) -> Sequence[OpenSlice]:
        kept = self._kept()
        chosen = [number for number in self._open() if number not in beside][:limit]
        return [OpenSlice(number, max(1, -(-self._rows[number] // PAGE_ROWS) - kept[number])) for number in chosen]

    def left(self) -> int:
        kept = self._kept()
        return sum(max(0, self._rows[number] - PAGE_ROWS * kept[number]) for number in self._open())

    def tidy(self) -> None:
        """Remove what a slice that ran twice has left."""
        if not self._open():
            shutil.rmtree(self._folder / _PAGES, ignore_errors=True)

    def call(self, number: int) -> Sequence[Any]:
        return self._run, Task(str(self._folder), number, self._selection, self._pins, code(), self._replica)

    def repin(self) -> bool:
        return False


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes its place whole or not at all."""
    part = path.parent / f".{path.name}.{uuid4().hex}"
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_plan(folder: Path, session: ReplaySession, named: str) -> None:
    if folder.exists() and any(path.name != _LEDGER for path in folder.iterdir() if not path.name.startswith(".")):
        raise OutputRefused(f"{folder} is not empty, and holds no replay")
    (folder / _LEDGER).mkdir(parents=True, exist_ok=True)
    schema = _PLANNED.with_metadata({"selection": named})
    with _replacing(folder / _PLAN) as file, pq.ParquetWriter(file, schema) as writer:
        for month, ids in _slices(session):
            writer.write_table(
                pa.table({"month": [month], "rows": [len(ids)], "ids": [[one.bytes for one in ids]]}, schema=schema)
            )


def _slices(session: ReplaySession) -> Iterator[tuple[str, list[Any]]]:
    parameters = {**session.selection, "slice_rows": PAGE_ROWS * SLICE_PAGES}
    with (
        session.reading.transaction(),
        session.reading.cursor(name="slices", row_factory=kwargs_row(lambda month, ids: (month, ids))) as cursor,
    ):
        cursor.itersize = SLICE_PAGES
        yield from cursor.execute(query("replay_slices"), parameters)


def _write_slice(task: Task, session: Session, stopping: Stopping) -> Outcome:
    assert isinstance(session, ReplaySession)
    folder = Path(task.job)
    entry = folder / _LEDGER / f"{task.slice:06d}.json"
    if not (folder / _PLAN).exists():
        raise WorkerRefused(f"{folder} is not here: a cluster needs a folder that all its machines share")
    if entry.exists():
        return Outcome("done")
    require_pins(session, task.pins)
    planned = pq.ParquetFile(folder / _PLAN).read_row_group(task.slice).to_pylist()[0]
    ids = [one.hex() for one in planned["ids"]]
    pages: list[tuple[pa.Table, Replayed]] = []
    parts = [ids[start : start + PAGE_ROWS] for start in range(0, len(ids), PAGE_ROWS)]
    # With its size: another release may cut other pages.
    files = [folder / _PAGES / f"{task.slice:06d}-{n:03d}-{PAGE_ROWS}.arrow" for n in range(len(parts))]
    for file, page in zip(files, parts, strict=True):
        session.before(stopping)
        if stopping():
            return Outcome("done")
        pages.append(_read_page(file) or _make_page(file, session, page))
    name = folder / f"month={planned['month']}" / f"slice-{task.slice:06d}.parquet"
    name.parent.mkdir(exist_ok=True)
    with _replacing(name) as part:
        pq.write_table(pa.concat_tables([table for table, _ in pages]).combine_chunks(), part)
    # What the entry speaks of is there.
    with _replacing(entry) as part:
        part.write_text(json.dumps(asdict(sum((found for _, found in pages), Replayed()))))
    for file in files:
        file.unlink(missing_ok=True)
    return Outcome("done")


def _read_page(file: Path) -> tuple[pa.Table, Replayed] | None:
    """A page that is done; None when it is not, or when another process has just finished the slice."""
    try:
        table = pf.read_table(file, memory_map=False)
    except FileNotFoundError:
        return None
    return table.replace_schema_metadata(), Replayed.read(json.loads(table.schema.metadata[_FOUND]))


def _make_page(file: Path, session: ReplaySession, ids: Sequence[str]) -> tuple[pa.Table, Replayed]:
    tables, found = [_SCHEMA.empty_table()], Replayed()
    with session.connection.transaction():
        for scored, part in session.score(ids):
            tables.append(_table(scored))
            found += part
    table = pa.concat_tables(tables)
    file.parent.mkdir(exist_ok=True)
    with _replacing(file) as written:
        noted = table.replace_schema_metadata({_FOUND: json.dumps(asdict(found))})
        pf.write_feather(noted, written, compression="uncompressed")
    return table, found


def _table(scored: Scored) -> pa.Table:
    patterns = [row.pattern for row in scored.rows]
    negative, neutral, positive = scored.probabilities.T
    columns = {
        "pattern_id": [pattern.id for pattern in patterns],
        "symbol": [pattern.symbol for pattern in patterns],
        "timeframe": [pattern.timeframe for pattern in patterns],
        "pattern_type": [pattern.pattern_type for pattern in patterns],
        "detected_at": pa.array([pattern.detected_at_us for pattern in patterns], pa.int64()).cast(
            pa.timestamp("us", tz="UTC")
        ),
        "ml_confidence": positive,
        "negative": negative,
        "neutral": neutral,
        "quality": scored.quality,
        "bars": scored.bars,
        "input_hash": list(scored.hashes),
        "features": list(scored.features) if scored.features is not None else [None] * len(patterns),
    }
    return pa.table(columns, schema=_SCHEMA)
