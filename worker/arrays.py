"""NumPy arrays as PostgreSQL binary arrays, without a Python object per value."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

_ELEMENTS: dict[str, tuple[str, int]] = {"f4": ("float4", 700), "f8": ("float8", 701), "i4": ("int4", 23)}


@dataclass(frozen=True, slots=True)
class Reals:
    """A flat ``real[]`` parameter; NaN stays NaN."""

    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Doubles:
    """A flat ``double precision[]`` parameter; NaN stays NaN."""

    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Integers:
    """A flat ``integer[]`` parameter."""

    values: NDArray[np.int32]


def _binary(values: NDArray[Any], kind: str) -> bytes:
    flat = np.ascontiguousarray(values).reshape(-1)
    item = np.dtype([("length", ">i4"), ("value", f">{kind}")])
    body = np.empty(len(flat), dtype=item)
    body["length"] = item["value"].itemsize
    body["value"] = flat
    header = struct.pack(">iiIii", 1, 0, _ELEMENTS[kind][1], len(flat), 1)
    return header + body.tobytes()


class _RealsDumper(Dumper):
    format = Format.BINARY
    oid = 1021

    def dump(self, obj: Reals) -> bytes:
        return _binary(obj.values, "f4")


class _DoublesDumper(Dumper):
    format = Format.BINARY
    oid = 1022

    def dump(self, obj: Doubles) -> bytes:
        return _binary(obj.values, "f8")


class _IntegersDumper(Dumper):
    format = Format.BINARY
    oid = 1007

    def dump(self, obj: Integers) -> bytes:
        return _binary(obj.values, "i4")


def register(connection: psycopg.Connection[Any]) -> None:
    """Let ``connection`` take Reals, Doubles and Integers as parameters."""
    connection.adapters.register_dumper(Reals, _RealsDumper)
    connection.adapters.register_dumper(Doubles, _DoublesDumper)
    connection.adapters.register_dumper(Integers, _IntegersDumper)
