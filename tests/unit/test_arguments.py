"""Validators of command-line arguments."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from db_functions import arguments


@pytest.mark.parametrize(
    ("validator", "text", "value"),
    [
        (arguments.positive, "1", 1),
        (arguments.not_negative, "0", 0),
        (arguments.at_least_two, "2", 2),
        (arguments.port, "65535", 65_535),
        (arguments.seed, str(2**32 - 1), 2**32 - 1),
        (arguments.seconds, "0.5", 0.5),
        (arguments.share, "1", 1.0),
        (arguments.moment, "2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (arguments.moment, "2026-01-31T10:00+02:00", datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=2)))),
        (arguments.version, "forest-1.2", "forest-1.2"),
    ],
)
def test_what_is_accepted(validator: Callable[[str], Any], text: str, value: Any) -> None:
    assert validator(text) == value


@pytest.mark.parametrize(
    ("validator", "text"),
    [
        (arguments.positive, "0"),
        (arguments.positive, "1.5"),
        (arguments.not_negative, "-1"),
        (arguments.at_least_two, "1"),
        (arguments.port, "65536"),
        (arguments.seed, str(2**32)),
        (arguments.seed, "-1"),
        (arguments.seconds, "0"),
        (arguments.seconds, "inf"),
        (arguments.seconds, "soon"),
        (arguments.share, "0"),
        (arguments.share, "1.1"),
        (arguments.share, "nan"),
        (arguments.moment, "yesterday"),
        (arguments.version, "-x"),
        (arguments.version, "a b"),
    ],
)
def test_what_is_refused(validator: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        validator(text)
