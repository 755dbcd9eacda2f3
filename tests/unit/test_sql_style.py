"""SQL files are read side by side with others, so no line is longer than 100 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import db_functions

COLUMNS = 100
PACKAGE = Path(db_functions.__file__).parent
FILES = sorted([*(PACKAGE / "sql").rglob("*.sql"), *(PACKAGE / "queries").rglob("*.sql")])


def long_lines(text: str) -> Iterator[tuple[int, int]]:
    """The number of each line that is too long, and its columns."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS:
            yield number, len(line)


def test_no_line_is_too_long() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {columns} columns"
        for path in FILES
        for number, columns in long_lines(path.read_text(encoding="utf-8"))
    ]
    assert not found, f"{len(found)} lines over {COLUMNS} columns:\n" + "\n".join(found)


def test_a_long_line_is_noticed() -> None:
    assert FILES
    assert list(long_lines(f"select 1\n{'-' * COLUMNS}\n{'-' * (COLUMNS + 1)}\n")) == [(3, COLUMNS + 1)]
