"""Databases of the earlier system with a thousand rows each, and ways to compare everything in a database."""

from __future__ import annotations

import re
from pathlib import Path

from db_functions.database import Connection

VARIANTS = ("base", "a", "b")
ROWS = 1000
OLD_CLIENT = "old_client"
"""An application's role: rights on the public tables it uses, none on schema ml."""

_DIRECTORY = Path(__file__).parent / "older_schema"


def build(connection: Connection, variant: str) -> None:
    """Make the older tables of ``variant`` in an empty database and fill them."""
    files = ["base"] + ([f"variant_{variant}"] if variant != "base" else []) + ["rows", f"rows_{variant}"]
    for file in files:
        connection.execute(_sql(file))
    connection.execute(
        f"do $$ begin create role {OLD_CLIENT}; exception when duplicate_object then null; end $$;"
        f"grant select, insert, update on pattern_events to {OLD_CLIENT};"
        f"grant select, insert on pattern_lifecycle_history to {OLD_CLIENT}"
    )


def _sql(file: str) -> bytes:
    return (_DIRECTORY / f"{file}.sql").read_bytes()


def tables(connection: Connection, *schemas: str) -> list[str]:
    found = connection.execute(
        "select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = any (%s) and c.relkind = 'r' and c.relname <> 'ml_alembic_version' order by 1",
        [list(schemas)],
    ).fetchall()
    return [name for (name,) in found]


def columns(connection: Connection, table: str) -> list[str]:
    found = connection.execute(
        "select quote_ident(attname) from pg_attribute "
        "where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        [table],
    ).fetchall()
    return [name for (name,) in found]


def shape(connection: Connection, *schemas: str) -> dict[str, list[str]]:
    """The columns of every table, for :func:`contents`."""
    return {table: columns(connection, table) for table in tables(connection, *schemas)}


def contents(connection: Connection, of: dict[str, list[str]]) -> dict[str, list[str]]:
    """Every row of those tables in those columns, as Postgres writes it: null, NaN and trailing zeros told apart."""
    connection.execute("set timezone = 'UTC'")
    return {
        table: sorted(
            row for (row,) in connection.execute(f"select t::text from (select {', '.join(names)} from {table}) t")
        )
        for table, names in of.items()
    }


def catalogue(connection: Connection, *schemas: str) -> dict[str, str]:
    """Everything that the schemas and the default privileges are, by kind and name; the order of columns aside.

    With ``schemas``, only what lies there.
    """
    connection.execute("set search_path = ''")
    found = {f"{kind} {name}": detail for kind, name, detail in connection.execute(_sql("catalogue"))}
    connection.execute("reset search_path")
    # Postgres itself writes an IN list over varchar differently once it has read it back.
    found = {key: re.sub(r"\(ARRAY\[([^]]*)\]\)::text\[\]", _spread, detail) for key, detail in found.items()}
    return {
        key: detail
        for key, detail in found.items()
        if not schemas or key.split(maxsplit=1)[1].split(".")[0].strip('"') in schemas
    }


def _spread(match: re.Match[str]) -> str:
    return "ARRAY[" + ", ".join(f"({element})::text" for element in match[1].split(", ")) + "]"


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """What is missing, added or changed, for an assertion that shows it."""
    return [
        f"{key}: {one.get(key, 'nothing')} -> {other.get(key, 'nothing')}"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]
