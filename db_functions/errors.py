"""Every error this project raises on purpose, and the SQLSTATEs its SQL raises.

A class's docstring is what it means, and its first line the message when none is given. SQL raises the conditions
below with ``ERRCODE``; :func:`translated` turns them into these classes once, at the database border.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import psycopg


def one_line(text: str, most: int = 500) -> str:
    """The first line of a text, cut at ``most`` characters, with unprintable ones escaped: it may quote anything."""
    first = next((line for line in text.strip().split("\n") if line), "no message")[:most]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in first)


def first_line(error: Exception) -> str:
    """What an error says, in one line that a text column takes."""
    return one_line(str(error))


class ScoringError(Exception):
    """Pattern scoring could not go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class DatabaseUnavailable(ScoringError):
    """The database cannot be reached; check DATABASE_URL and that the server accepts connections."""


class InvalidUrl(DatabaseUnavailable):
    """DATABASE_URL is neither a postgresql:// URL nor a connection string."""


class SchemaMissing(ScoringError):
    """The database has no `ml` schema, or an older one; run `alembic upgrade head` first."""


class SchemaOutdated(ScoringError):
    """The database is of an older release than this program; run `alembic upgrade head`."""


class ChampionChanged(ScoringError):
    """The champion changed between the claim and the write; nothing was written, score again with the new one."""

    sqlstate: ClassVar[str] = "ML001"


class PromotionRefused(ScoringError):
    """The model was not promoted because a gate failed."""

    sqlstate: ClassVar[str] = "ML002"


class UnknownModel(ScoringError):
    """No model of that version is registered; `python -m training list` names them."""

    sqlstate: ClassVar[str] = "ML003"


class InvalidSetting(ScoringError):
    """The setting does not exist or the value is out of its range."""

    sqlstate: ClassVar[str] = "ML004"


class InvalidModel(ScoringError):
    """The model does not keep the scoring contract."""

    sqlstate: ClassVar[str] = "ML005"


class NoWorker(ScoringError):
    """No worker runs, so nothing answers questions; start one with `python -m worker run`."""

    sqlstate: ClassVar[str] = "ML006"


class NoAnswer(ScoringError):
    """No worker answered in time, or too many questions wait."""

    sqlstate: ClassVar[str] = "ML007"


class InTransaction(ScoringError):
    """Questions are asked outside a transaction block, since a worker has to see them: commit first."""


class HostFault(InvalidModel):
    """This host could not try the model: it lacks memory, a process, or room for files."""


CONTENTION = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.SerializationFailure)
"""Errors of a statement that met another session: trying again helps."""

_BY_SQLSTATE: dict[str, type[ScoringError]] = {
    kind.sqlstate: kind
    for kind in (
        ChampionChanged,
        PromotionRefused,
        UnknownModel,
        InvalidSetting,
        InvalidModel,
        NoWorker,
        NoAnswer,
    )
}


def _with_hint(diagnostic: psycopg.errors.Diagnostic) -> str:
    """What was wrong, and on a line of its own what to do, as psql shows it."""
    hint = diagnostic.message_hint
    return f"{diagnostic.message_primary}" + (f"\nHINT:  {hint}" if hint else "")


@contextmanager
def translated() -> Iterator[None]:
    """Raise this project's own class for a condition that its SQL raised; the cause stays chained."""
    try:
        yield
    except psycopg.Error as error:
        kind = _BY_SQLSTATE.get(error.sqlstate or "")
        if kind is not None:
            raise kind(_with_hint(error.diag)) from error
        if isinstance(error, psycopg.errors.InvalidSchemaName | psycopg.errors.UndefinedTable):
            raise SchemaMissing(f"{SchemaMissing.__doc__} ({error.diag.message_primary})") from error
        if isinstance(error, psycopg.errors.UndefinedFunction) and " ml." in (error.diag.message_primary or ""):
            raise SchemaOutdated(f"{SchemaOutdated.__doc__} ({error.diag.message_primary})") from error
        raise
