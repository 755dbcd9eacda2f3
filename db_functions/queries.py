"""Named queries: every statement the programs run, each in a file of its own under ``queries/``.

A line ``-- include: NAME`` stands for another file: what several queries must have in common is written once.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString

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
