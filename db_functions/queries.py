"""Named queries: every statement that the programs run, each in a file under ``queries/``, and rows with named columns.

A line ``-- include: NAME`` stands for another file: what several queries share is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib import resources
from operator import itemgetter
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import RowFactory, class_row, scalar_row

Row = TypeVar("Row")
Parameters = Mapping[str, Any] | None

_INCLUDE = "-- include: "


@cache
def query(name: str) -> LiteralString:
    """The text of ``queries/<name>.sql``; raises KeyError when there is none."""
    file = resources.files("db_functions") / "queries" / f"{name}.sql"
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        raise KeyError(f"no named query {name!r}") from None
    return "".join(query(line.removeprefix(_INCLUDE).strip()) if line.startswith(_INCLUDE) else line for line in lines)


def send(
    connection: psycopg.Connection[Any], name: str, factory: RowFactory[Row], parameters: Parameters = None
) -> psycopg.Cursor[Row]:
    """Run a named query; among statements that travel together, its rows are there when these have travelled."""
    return connection.cursor(row_factory=factory).execute(query(name), parameters)


def fetch_all(
    connection: psycopg.Connection[Any], name: str, factory: RowFactory[Row], parameters: Parameters = None
) -> list[Row]:
    """Every row of a named query, made by ``factory``, such as ``class_row(Finding)``."""
    with connection.cursor(row_factory=factory) as cursor:
        return cursor.execute(query(name), parameters).fetchall()


def fetch_one(
    connection: psycopg.Connection[Any], name: str, kind: type[Row], parameters: Parameters = None
) -> Row | None:
    """The first row of a named query as a ``kind``, whose fields are the columns; None when there is no row."""
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query(name), parameters).fetchone()


def fetch_row(connection: psycopg.Connection[Any], name: str, kind: type[Row], parameters: Parameters = None) -> Row:
    """The row of a named query that always has one."""
    row = fetch_one(connection, name, kind, parameters)
    assert row is not None, f"the query {name} gave no row"
    return row


def fetch_value(connection: psycopg.Connection[Any], name: str, parameters: Parameters = None) -> Any:
    """The one column of the first row of a named query; None when there is no row."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query(name), parameters).fetchone()


def fetch_values(connection: psycopg.Connection[Any], name: str, parameters: Parameters = None) -> list[Any]:
    """The one column of every row of a named query."""
    return fetch_all(connection, name, scalar_row, parameters)


def names_of(cursor: psycopg.Cursor[Any]) -> list[str]:
    """The names of a result's columns; ``cursor.description`` makes an object for each, every time."""
    result = cursor.pgresult
    return [(result.fname(i) or b"").decode() for i in range(result.nfields)] if result else []


def columns_of(cursor: psycopg.Cursor[Any], kind: Callable[..., Row]) -> Callable[[Sequence[Any]], Row]:
    """Reads a ``kind`` out of a row, for queries whose rows hold several: picks the columns that its fields name."""
    names = names_of(cursor)
    wanted: Sequence[str] = getattr(kind, "_fields", None) or [field.name for field in fields(kind)]  # type: ignore[arg-type]
    pick = itemgetter(*map(names.index, wanted))
    make: Callable[[Sequence[Any]], Row] | None = getattr(kind, "_make", None)
    if make is not None:
        return lambda values: make(pick(values))
    return lambda values: kind(*pick(values))
