"""Named queries: every statement the programs run, each in a file of its own under ``queries/``."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString


@cache
def query(name: str) -> LiteralString:
    """The text of ``queries/<name>.sql``; raises KeyError when there is none."""
    file = resources.files("db_functions") / "queries" / f"{name}.sql"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeyError(f"no named query {name!r}") from None
