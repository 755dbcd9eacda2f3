"""Parsers of single arguments, and options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What ``add_subparsers`` returns."""


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], summary: str, *, interrupted: str = ""
) -> argparse.ArgumentParser:
    """Declare a command. ``interrupted`` follows the word "interrupted" and says what was kept."""
    command = commands.add_parser(name, help=summary)
    command.set_defaults(run=run, interrupted=interrupted)
    return command


def add_period(command: argparse.ArgumentParser, what: str, **since: Any) -> None:
    """``--since`` and ``--until``; ``since`` are further arguments of the former."""
    command.add_argument("--since", type=instant, metavar="TIME", help=f"only {what} from then on (ISO 8601)", **since)
    command.add_argument("--until", type=instant, metavar="TIME", help=f"only {what} before then")


def add_quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bars")


def instant(text: str) -> datetime:
    """An ISO 8601 date or time, taken as UTC without an offset."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 date or time, such as 2012-01-31") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def model_version(text: str) -> str:
    """A version under which a model can be registered."""
    from db_functions.contract import VERSION, VERSION_RULE

    if not VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a model version; use {VERSION_RULE}")
    return text


def share(text: str) -> float:
    """A share of rows, above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; it must be above 0 and at most 1")
    return value


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from ``least`` to ``most``."""
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {wanted}")
        return int(text)

    return parse
