"""Session profiles: written in one module, and empty behind a pooler."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import psycopg
import pytest

from db_functions import sessions

ROOT = Path(__file__).parents[2]
_SET = re.compile(r"\A\s*set\s+(local\s+|session\s+|transaction\b|\w+\s*(=|to\b))", re.IGNORECASE)


def sets_in(source: str) -> list[str]:
    """Every text in a program that begins as a SET statement does."""
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and _SET.match(text)]


def test_no_other_module_sends_a_set() -> None:
    files = [path for name in ("worker", "training", "db_functions") for path in (ROOT / name).rglob("*.py")]
    sending = {str(path.relative_to(ROOT)) for path in files if sets_in(path.read_text(encoding="utf-8"))}
    assert sending == {"db_functions/sessions.py"}


@pytest.mark.parametrize("text", ["set jit = off", "SET jit TO off", "set local role x", "set transaction read only"])
def test_the_search_finds_a_set(text: str) -> None:
    assert sets_in(f"run({text!r})") == [text]
    assert sets_in(f"run({'the ' + text!r})") == []


def test_a_session_behind_a_pooler_is_left_as_it_was(
    connection: psycopg.Connection[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "select current_setting('jit'), current_setting('synchronous_commit'), current_setting('lock_timeout')"
    before = connection.execute(asked).fetchone()
    monkeypatch.setattr(sessions, "is_pooled", lambda _: True)
    sessions.prepare_scoring(connection)
    assert connection.execute(asked).fetchone() == before
    assert connection.prepare_threshold is None
    monkeypatch.undo()
    sessions.prepare_scoring(connection)
    assert connection.execute(asked).fetchone() == ("off", "off", "5s")
