"""SQL objects as files: one object a folder, one immutable file per definition, ``sql/<kind>/<name>/v<n>.sql``.

Migrations name files and contain no SQL of their own. ``checksums.txt`` pins every published file; a test keeps them
from changing (write a ``v2.sql`` and a migration instead).
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from sqlalchemy import DDL

SQL_DIRECTORY = Path(str(resources.files("db_functions") / "sql"))
CHECKSUMS = SQL_DIRECTORY / "checksums.txt"


def sql_text(path: str) -> str:
    """The text of ``sql/<path>.sql``, for example ``functions/promote/v1``."""
    return (SQL_DIRECTORY / f"{path}.sql").read_text(encoding="utf-8")


def sql(path: str) -> DDL:
    """The file as a statement for ``op.execute``: percent signs doubled, colons left alone."""
    return DDL(sql_text(path).replace("%", "%%"))  # type: ignore[no-untyped-call]


def checksums() -> dict[str, str]:
    """SHA-256 of every definition there is, by path below ``sql/``."""
    return {
        file.relative_to(SQL_DIRECTORY).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(SQL_DIRECTORY.rglob("v*.sql"))
    }
