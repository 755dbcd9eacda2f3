"""SQL objects as files: one object a folder, one immutable file per definition, ``sql/<kind>/<name>/v<n>.sql``.

Migrations name files and contain no SQL of their own. ``checksums.txt`` pins every published file; a test keeps them
from changing (write a ``v2.sql`` and a migration instead). ``python -m db_functions.ddl`` writes it anew.
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
    text = sql_text(path).rstrip().removesuffix(";")  # Alembic's offline output ends a statement itself
    return DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call]


def checksums() -> dict[str, str]:
    """SHA-256 of every definition there is, by path below ``sql/``."""
    return {
        file.relative_to(SQL_DIRECTORY).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(SQL_DIRECTORY.rglob("v*.sql"))
    }


def recorded_checksums() -> dict[str, str]:
    """What ``checksums.txt`` says, in the form of :func:`checksums`."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


def write_checksums() -> None:
    """Record the definitions as they are now, in the format of ``sha256sum``."""
    lines = [f"{digest}  {path}\n" for path, digest in checksums().items()]
    CHECKSUMS.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write_checksums()
    print(f"{CHECKSUMS}: {len(checksums())} definitions")
