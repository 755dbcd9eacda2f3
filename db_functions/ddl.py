"""SQL objects as files: one object a folder, one immutable file per definition, ``sql/<kind>/<name>/v<n>.sql``.

Migrations name files and contain no SQL of their own. ``checksums.txt`` pins every published file; a test keeps them
from changing (write a ``v2.sql`` and a migration instead). ``revision.txt`` names the newest migration, which an
installed package does not have beside it. ``python -m db_functions.ddl`` writes both anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from sqlalchemy import DDL

SQL_DIRECTORY = Path(str(resources.files("db_functions") / "sql"))
CHECKSUMS = SQL_DIRECTORY / "checksums.txt"
REVISION = SQL_DIRECTORY / "revision.txt"
VERSIONS = SQL_DIRECTORY.parents[1] / "alembic" / "versions"


def sql_text(path: str) -> str:
    """The text of ``sql/<path>.sql``, for example ``functions/promote/v1``."""
    return (SQL_DIRECTORY / f"{path}.sql").read_text(encoding="utf-8")


def sql(path: str) -> DDL:
    """The file as a statement for ``op.execute``: percent signs doubled, colons left alone."""
    return statement(sql_text(path))


def statement(text: str) -> DDL:
    """SQL text as a statement that SQLAlchemy passes on as it is."""
    text = text.rstrip().removesuffix(";")  # Alembic's offline output ends a statement itself
    return DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call]


@contextmanager
def unhurried(op: Any) -> Iterator[None]:
    """In a migration: statements that walk a table of any size, commit in batches and may take their time."""
    with op.get_context().autocommit_block():
        op.execute(_SET.format("ml.statement_timeout", "current_setting('statement_timeout')"))
        op.execute(_SET.format("statement_timeout", "'0'"))
        yield
        op.execute(_SET.format("statement_timeout", "current_setting('ml.statement_timeout')"))


_SET = "do $$ begin perform set_config('{}', {}, false); end $$"


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


def write_revision() -> None:
    """Record the newest migration, by the number that its file begins with."""
    newest = max(file.name for file in VERSIONS.glob("[0-9]*.py"))
    REVISION.write_text(newest.partition("_")[0] + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_checksums()
    write_revision()
    print(f"{CHECKSUMS}: {len(checksums())} definitions; newest migration {REVISION.read_text().strip()}")
