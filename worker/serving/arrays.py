"""NumPy arrays as PostgreSQL binary arrays, without a Python object per value."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

POSTGRES_EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class Array:
    """A flat array parameter. Elements where ``missing`` is true are sent as null; NaN stays NaN."""

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None

    element: ClassVar[tuple[int, str]]
    """Its element's type: oid, and how the value is laid out."""
    oid: ClassVar[int]

    def binary(self) -> bytes:
        oid, layout = self.element
        flat = np.ascontiguousarray(self.values).reshape(-1)
        item = np.dtype([("length", ">i4"), ("value", layout)])
        body = np.empty(len(flat), dtype=item)
        body["length"] = item["value"].itemsize
        body["value"] = flat
        if self.missing is None or not self.missing.any():
            return struct.pack(">iiIii", 1, 0, oid, len(flat), 1) + body.tobytes()
        # A null is a length of -1, and no value behind it.
        body["length"][self.missing] = -1
        kept = np.ones((len(flat), item.itemsize), dtype=np.bool_)
        kept[self.missing, item["length"].itemsize :] = False
        sent = body.view(np.uint8).reshape(kept.shape)[kept]
        return struct.pack(">iiIii", 1, 1, oid, len(flat), 1) + sent.tobytes()


class Smallints(Array):
    """``smallint[]``"""

    element, oid = (21, ">i2"), 1005


class Integers(Array):
    """``integer[]``"""

    element, oid = (23, ">i4"), 1007


class Bigints(Array):
    """``bigint[]``"""

    element, oid = (20, ">i8"), 1016


class Reals(Array):
    """``real[]``"""

    element, oid = (700, ">f4"), 1021


class Doubles(Array):
    """``double precision[]``"""

    element, oid = (701, ">f8"), 1022


class Timestamps(Array):
    """``timestamptz[]``, of microseconds since :data:`POSTGRES_EPOCH_US`"""

    element, oid = (1184, ">i8"), 1185


class Uuids(Array):
    """``uuid[]``"""

    element, oid = (2950, "V16"), 2951


class Digests(Array):
    """``bytea[]``, of 16 bytes each"""

    element, oid = (17, "V16"), 1001


def uuids(texts: Sequence[str]) -> Uuids:
    """Of UUIDs as Postgres writes them."""
    return Uuids(np.frombuffer(bytes.fromhex("".join(texts).replace("-", "")), dtype="V16"))


def timestamps(moments_us: Sequence[int | None]) -> Timestamps:
    """Of microseconds since 1970-01-01 UTC, or None."""
    missing = np.array([moment is None for moment in moments_us], dtype=np.bool_)
    values = np.array([moment or 0 for moment in moments_us], dtype=np.int64) - POSTGRES_EPOCH_US
    return Timestamps(values, missing)


def _dumper(array: type[Array]) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array.oid

        def dump(self, obj: Array) -> bytes:
            return obj.binary()

    return ArrayDumper


def register(connection: psycopg.Connection[Any]) -> None:
    """Let ``connection`` take these arrays as parameters."""
    for array in Array.__subclasses__():
        connection.adapters.register_dumper(array, _dumper(array))
