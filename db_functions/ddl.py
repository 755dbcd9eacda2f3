"""SQL objects as files: one object a file, ``sql/<room>/<object>.sql``, in rooms by what they are about.

Revisions name files and contain no SQL of their own. A definition that has been released never changes: a change is a
new file, ``sql/<room>/<object>.v2.sql``, and a revision that runs it. ``checksums.txt`` pins the files and says with
which release each was published; what was not may still change. ``revision.txt`` names the newest revision, which an
installed package does not have beside it. ``schema.sql`` is the whole present in one file, to be read. ``python -m
db_functions.ddl`` writes all three, and ``docs/reference.md`` from their comments; ``--release VERSION`` publishes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import DDL

from db_functions import reference

SQL_DIRECTORY = Path(str(resources.files("db_functions") / "sql"))
CHECKSUMS = SQL_DIRECTORY / "checksums.txt"
REVISION = SQL_DIRECTORY / "revision.txt"
SCHEMA = SQL_DIRECTORY / "schema.sql"
VERSIONS = SQL_DIRECTORY.parents[1] / "alembic" / "versions"
REFERENCE = SQL_DIRECTORY.parents[1] / "docs" / "reference.md"

Role = Literal["migrator", "ml_owner"]
Steps = Sequence[tuple[Role, Sequence[str]]]
"""Files to run in order, and as whom: ``ml_owner``, or the role that upgrades, which owns the application's tables."""

VERSION_TABLE = """create table public.ml_alembic_version (
    version_num varchar(32) not null constraint ml_alembic_version_pkc primary key
);"""

BECOME_OWNER = "set role ml_owner"
BECOME_MIGRATOR = "reset role"


def sql_text(path: str) -> str:
    """The text of ``sql/<path>.sql``, for example ``registry/promote``."""
    return (SQL_DIRECTORY / f"{path}.sql").read_text(encoding="utf-8")


def sql(path: str) -> DDL:
    """The file as a statement for ``op.execute``: percent signs doubled, colons left alone."""
    return statement(sql_text(path))


def statement(text: str) -> DDL:
    """SQL text as a statement that SQLAlchemy passes on as it is."""
    text = text.rstrip().removesuffix(";")  # Alembic's offline output ends a statement itself
    return DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call]


def run(op: Any, steps: Steps) -> None:
    """In a revision: run files, each part as the role that it names."""
    for role, files in steps:
        if role == "ml_owner":
            op.execute(statement(BECOME_OWNER))
        for file in files:
            op.execute(sql(file))
        if role == "ml_owner":
            op.execute(statement(BECOME_MIGRATOR))


@contextmanager
def unhurried(op: Any) -> Iterator[None]:
    """In a revision: statements that walk a table of any size, commit in batches and may take their time."""
    with op.get_context().autocommit_block():
        op.execute(_SET.format("ml.statement_timeout", "current_setting('statement_timeout')"))
        op.execute(_SET.format("statement_timeout", "'0'"))
        yield
        op.execute(_SET.format("statement_timeout", "current_setting('ml.statement_timeout')"))


_SET = "do $$ begin perform set_config('{}', {}, false); end $$"


def definitions() -> list[Path]:
    """Every definition there is."""
    return sorted(file for file in SQL_DIRECTORY.rglob("*.sql") if file != SCHEMA)


def checksums() -> dict[str, str]:
    """SHA-256 of every definition, by path below ``sql/``."""
    return {
        file.relative_to(SQL_DIRECTORY).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in definitions()
    }


@dataclass(frozen=True, slots=True)
class Recorded:
    """A line of ``checksums.txt``."""

    digest: str
    release: str | None
    """The version that published it."""


def recorded() -> dict[str, Recorded]:
    """What ``checksums.txt`` says, by path."""
    lines = [line.split() for line in CHECKSUMS.read_text(encoding="utf-8").splitlines()]
    return {path: Recorded(digest, release[0] if release else None) for digest, path, *release in lines}


def broken_promises() -> list[str]:
    """Published files that have changed, or are gone."""
    now = checksums()
    return [
        f"{path} was published with {line.release}"
        for path, line in recorded().items()
        if line.release is not None and now.get(path) != line.digest
    ]


def newest_revision() -> str:
    """The newest revision, by the number that its file begins with."""
    return max(file.name for file in VERSIONS.glob("[0-9]*.py")).partition("_")[0]


def present() -> list[tuple[Role, str]]:
    """The files that make the database of today, in order; a later version of an object takes the place of the first.

    Reads the revisions beside this package, which an installed one does not have.
    """
    found = dict[str, tuple[Role, str]]()
    for file in sorted(VERSIONS.glob("[0-9]*.py")):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for role, files in getattr(module, "STEPS", ()):
            found |= {path.partition(".")[0]: (role, path) for path in files}
    return list(found.values())


def schema_text() -> str:
    """The present as one script, as it runs on an empty database."""
    parts = [
        "-- Generated by `python -m db_functions.ddl`: the database as it is, in one file to read.",
        "-- The revisions in alembic/ make the same; a test compares the two.",
        "-- Alembic's own table\n" + VERSION_TABLE,
    ]
    role: Role = "migrator"
    for wanted, path in present():
        if wanted != role:
            parts.append(f"{BECOME_OWNER if wanted == 'ml_owner' else BECOME_MIGRATOR};")
            role = wanted
        parts.append(f"-- {path}\n{sql_text(path).strip()}")
    if role != "migrator":
        parts.append(f"{BECOME_MIGRATOR};")
    return "\n\n".join(parts) + "\n"


def record(release: str | None = None) -> int:
    """Write ``checksums.txt``; returns how many definitions there are.

    Raises ValueError, and writes nothing, when a published one has changed.
    """
    if broken := broken_promises():
        raise ValueError(
            f"{'; '.join(broken)}: put it back, and write the change as OBJECT.v2.sql and a revision that runs it"
        )
    before = recorded()
    lines = []
    for path, digest in checksums().items():
        published = before[path].release if path in before else None
        lines.append(" ".join([f"{digest} ", path, *filter(None, [published or release])]) + "\n")
    CHECKSUMS.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``checksums.txt``, ``revision.txt``, ``schema.sql`` and ``docs/reference.md``."""
    parser = argparse.ArgumentParser(prog="python -m db_functions.ddl", description=main.__doc__)
    parser.add_argument("--release", metavar="VERSION", help="publish what was not yet: it never changes from then on")
    options = parser.parse_args(arguments)
    try:
        count = record(options.release)
    except ValueError as error:
        sys.exit(f"ddl: {error}")
    REVISION.write_text(newest_revision() + "\n", encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    REFERENCE.write_text(reference.render(schema_text()), encoding="utf-8")
    print(f"{count} definitions; newest revision {newest_revision()}")


if __name__ == "__main__":
    main()
