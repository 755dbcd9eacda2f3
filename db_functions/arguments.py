"""Validators for the ``type=`` of ``argparse``: each raises ArgumentTypeError with the rule that was broken."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from datetime import UTC, datetime

from db_functions.contract import VERSION, VERSION_RULE


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, least=1)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text)


def at_least_two(text: str) -> int:
    """A whole number of at least 2."""
    return _whole(text, least=2)


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    return _whole(text, most=65_535)


def seed(text: str) -> int:
    """A seed of random numbers, in the range that every library takes."""
    return _whole(text, most=2**32 - 1)


def seconds(text: str) -> float:
    """A duration above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def share(text: str) -> float:
    """A share of rows, above 0 and at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise ArgumentTypeError(f"{text} is not a share; it must be above 0 and at most 1")
    return value


def moment(text: str) -> datetime:
    """An ISO 8601 date or time; without an offset it is UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an ISO 8601 date or time, such as 2026-01-31") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def version(text: str) -> str:
    """The version of a model, as the registry accepts it."""
    if not VERSION.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a version of a model: {VERSION_RULE}")
    return text


def _whole(text: str, *, least: int = 0, most: float = math.inf) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < least:
        raise ArgumentTypeError(f"{text} is below {least}")
    if value > most:
        raise ArgumentTypeError(f"{text} is above {most}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
