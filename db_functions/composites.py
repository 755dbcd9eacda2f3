"""Rows of NumPy arrays as binary arrays of PostgreSQL composite types, without a Python object per value.

The types are those of ``db_functions/sql/scoring/score_types.sql``. A block is some rows in which the same fields are
null and texts are equally long, so that all its elements have one layout; an array is blocks, one after the other.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import class_row

from db_functions.queries import fetch_all

POSTGRES_EPOCH_US = 946_684_800_000_000
_LAYOUTS = 256
"""Layouts that are kept: to make one takes longer than to encode a row."""


class Column(NamedTuple):
    """One field of a block: the OID of its type, and its values as the wire has them, [N]; None where all are null."""

    oid: int
    values: NDArray[Any] | None


def smallints(values: Any) -> Column:
    return Column(21, np.asarray(values).astype(">i2"))


def integers(values: Any) -> Column:
    return Column(23, np.asarray(values).astype(">i4"))


def reals(values: Any) -> Column:
    return Column(700, np.asarray(values).astype(">f4"))


def booleans(values: Any) -> Column:
    return Column(16, np.asarray(values).astype("u1"))


def timestamps(moments_us: Any) -> Column:
    """Of microseconds since 1970-01-01 UTC."""
    return Column(1184, (np.asarray(moments_us, dtype=np.int64) - POSTGRES_EPOCH_US).astype(">i8"))


def uuids(texts: Sequence[str]) -> Column:
    """Of UUIDs as Postgres writes them."""
    return Column(2950, np.frombuffer(bytes.fromhex("".join(texts).replace("-", "")), dtype="V16"))


def digests(values: Sequence[bytes]) -> Column:
    """Of 16 bytes each."""
    return Column(17, np.frombuffer(b"".join(values), dtype="V16"))


def text(value: str, count: int) -> Column:
    """One text, in every row."""
    return Column(25, _repeated(value.encode(), count))


def jsonb(value: Any, count: int) -> Column:
    """One JSON value, in every row."""
    return Column(3802, _repeated(b"\1" + json.dumps(value).encode(), count))


def real_arrays(values: Any) -> Column:
    """``real[]`` of [N, F]."""
    return Column(1021, _arrays(np.asarray(values), 700, ">f4"))


def double_arrays(values: Any) -> Column:
    """``double precision[]`` of [N, F]."""
    return Column(1022, _arrays(np.asarray(values), 701, ">f8"))


def integer_arrays(values: Any) -> Column:
    """``integer[]`` of [N, F]."""
    return Column(1007, _arrays(np.asarray(values), 23, ">i4"))


def null(oid: int = 0) -> Column:
    """A field that is null in every row."""
    return Column(oid, None)


def _repeated(value: bytes, count: int) -> NDArray[Any]:
    return np.frombuffer(value * count, dtype=f"V{len(value)}") if value else np.empty(count, dtype=np.dtype([]))


def _arrays(values: NDArray[Any], oid: int, layout: str) -> NDArray[Any]:
    rows, width = values.shape
    if width == 0:
        return np.tile(np.frombuffer(struct.pack(">iii", 0, 0, oid), dtype="V12"), rows)
    array = np.empty(rows, dtype=_array_layout(width, layout))
    array["header"] = (1, 0, oid, width, 1)
    array["items"]["length"] = np.dtype(layout).itemsize
    array["items"]["value"] = values
    return array


@lru_cache(_LAYOUTS)
def _array_layout(width: int, layout: str) -> np.dtype[Any]:
    item = np.dtype([("length", ">i4"), ("value", layout)])
    return np.dtype([("header", ">i4", (5,)), ("items", item, (width,))])


@lru_cache(_LAYOUTS)
def _block_layout(values: tuple[np.dtype[Any] | None, ...]) -> np.dtype[Any]:
    fields: list[Any] = [("size", ">i4"), ("fields", ">i4")]
    for i, value in enumerate(values):
        fields += [(f"oid{i}", ">u4"), (f"length{i}", ">i4")]
        if value is not None:
            fields.append((f"value{i}", value))
    return np.dtype(fields)


def block(count: int, columns: Sequence[Column]) -> bytes:
    """``count`` elements of one layout, each with its length before it."""
    layout = _block_layout(tuple(None if column.values is None else column.values.dtype for column in columns))
    rows = np.empty(count, dtype=layout)
    rows["size"] = rows.dtype.itemsize - 4
    rows["fields"] = len(columns)
    for i, column in enumerate(columns):
        rows[f"oid{i}"] = column.oid
        if column.values is None:
            rows[f"length{i}"] = -1
        else:
            rows[f"length{i}"] = column.values.dtype.itemsize
            rows[f"value{i}"] = column.values
    return rows.tobytes()


@dataclass(frozen=True, slots=True)
class CompositeArray:
    """A parameter: so many elements, and their bytes."""

    count: int
    body: bytes

    type_name: ClassVar[str]

    def binary(self, element: int) -> bytes:
        if self.count == 0:
            return struct.pack(">iiI", 0, 0, element)
        return struct.pack(">iiIii", 1, 0, element, self.count, 1) + self.body

    @classmethod
    def of(cls, blocks: Iterable[tuple[int, Sequence[Column]]]) -> CompositeArray:
        """Blocks of (rows, columns), in order."""
        parts = [(count, block(count, columns)) for count, columns in blocks if count]
        return cls(sum(count for count, _ in parts), b"".join(body for _, body in parts))


class Runs(CompositeArray):
    """``ml_internal.run[]``"""

    type_name = "run"


class Scores(CompositeArray):
    """``ml_internal.score[]``"""

    type_name = "score"


class Pairs(CompositeArray):
    """``ml_internal.pair[]``"""

    type_name = "pair"


class Failures(CompositeArray):
    """``ml_internal.failure[]``"""

    type_name = "failure"


class _TypeOids(NamedTuple):
    name: str
    element: int
    array: int


def register(connection: psycopg.Connection[Any]) -> None:
    """Let ``connection`` take these arrays as parameters; reads the OIDs that the types have in its database."""
    oids = {row.name: row for row in fetch_all(connection, "composite_types", class_row(_TypeOids))}
    for kind in CompositeArray.__subclasses__():
        if kind.type_name in oids:
            connection.adapters.register_dumper(kind, _dumper(oids[kind.type_name]))


def _dumper(oids: _TypeOids) -> type[Dumper]:
    class CompositeArrayDumper(Dumper):
        format = Format.BINARY
        oid = oids.array

        def dump(self, obj: CompositeArray) -> bytes:
            return obj.binary(oids.element)

    return CompositeArrayDumper


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """What one model made of N patterns, as ``ml_internal.score`` keeps it; ``reason`` None: offered to the blend,
    ``confidence`` NaN: no score, ``enqueued_at_us`` None: no latency is recorded, ``features`` [N, F] or None."""

    pattern_ids: Sequence[str]
    reason: Sequence[str | None]
    enqueued_at_us: Sequence[int | None]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    quality: NDArray[np.float32]
    bars: NDArray[np.integer[Any]]
    history: NDArray[np.float64]
    input_hashes: Sequence[bytes]
    features: NDArray[np.float32] | None

    def blocks(self, run: int, rows: Sequence[int]) -> tuple[list[tuple[int, list[Column]]], list[int]]:
        """``rows`` as blocks of the run with that place (from 1), and the order in which they stand there."""
        alike = dict[tuple[str | None, bool, bool], list[int]]()
        scored = np.isfinite(self.confidence)
        for i in rows:
            alike.setdefault((self.reason[i], bool(scored[i]), self.enqueued_at_us[i] is None), []).append(i)
        blocks = [
            (len(part), self._columns(run, part, reason, has_score, untimed))
            for (reason, has_score, untimed), part in alike.items()
        ]
        return blocks, [i for part in alike.values() for i in part]

    def _columns(self, run: int, rows: list[int], reason: str | None, has_score: bool, untimed: bool) -> list[Column]:
        count = len(rows)
        return [
            smallints(np.full(count, run)),
            uuids([self.pattern_ids[i] for i in rows]),
            null(1184) if untimed else timestamps([self.enqueued_at_us[i] for i in rows]),
            null(25) if reason is None else text(reason, count),
            reals(self.confidence[rows]) if has_score else null(700),
            real_arrays(self.probabilities[rows]) if has_score else null(1021),
            reals(self.quality[rows]),
            smallints(self.bars[rows]),
            double_arrays(self.history[rows]),
            digests([self.input_hashes[i] for i in rows]),
            null(1021) if self.features is None else real_arrays(self.features[rows]),
        ]
