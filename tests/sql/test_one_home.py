"""Each rule is decided in one place; whoever needs the answer calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from db_functions import ddl
from tests.conftest import ROOT

SQL = [*ddl.definitions(), *(ROOT / "db_functions" / "queries").glob("*.sql")]
PYTHON = [file for folder in ("db_functions", "training", "worker", "demo") for file in (ROOT / folder).rglob("*.py")]

HOLDS_ALIAS = r"alias = '{0}' and (?:\w+\.)?valid_to is null|valid_to is null and (?:\w+\.)?alias = '{0}'"
RULES: Mapping[str, tuple[str, str, set[str]]] = {
    # rule: the function or view that decides, what a second decision looks like, where it may stand besides
    "champion": (
        "registry/champion.sql",
        HOLDS_ALIAS.format("champion"),
        {"registry/aliases.sql", "registry/set_champion.sql"},
    ),
    "challengers": (
        "challengers/challengers.sql",
        HOLDS_ALIAS.format("challenger"),
        {"registry/aliases.sql", "registry/set_champion.sql", "registry/retire.sql", "challengers/challenge.sql"},
    ),
    "live workers": (
        "upkeep/live_workers.sql",
        r"last_seen\s*[<>]=?\s*(?:clock_timestamp|now)|last_seen between",
        set(),
    ),
    "the blend": (
        "scoring/blended.sql",
        r"1e-150|ml_weight\w*\s*\*|\*\s*(?:\w+\.)?ml_weight|rule_weight\w*\s*\*",
        set(),
    ),
    "the decision": ("scoring/decide.sql", r"then '(?:below_threshold|ml_disabled)'", set()),
    "the usable rule confidence": (
        "scoring/usable_rule.sql",
        r"rule_confidence >= 0 and (?:\w+\.)?rule_confidence <= 1 then|rule_confidence between 0 and 1 then",
        set(),
    ),
    "the predicted class": (
        "scoring/predicted_class.sql",
        r"greatest\((?:\w+\.)?probabilities\[|when (?:\w+\.)?probabilities\[",
        set(),
    ),
    "the population stability index": ("drift/measure_drift.sql", r"\* ln\((\w+\.)?p_filled / ", set()),
}
PYTHON_RULES: Mapping[str, tuple[str, str]] = {
    "the predicted class": (
        "db_functions/contract.py",
        r"probabilities\S*argmax|argmax\(probabilities|CLASSES\)?\[\S*argmax",
    ),
    "live workers": ("", r"last_seen"),
}


def flat(text: str) -> str:
    """Without comments of SQL, and on one line."""
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", text)).lower()


def deciding(pattern: str, files: Mapping[str, str]) -> set[str]:
    return {name for name, text in files.items() if re.search(pattern, text)}


def sql_files() -> dict[str, str]:
    return {_name(file): flat(file.read_text(encoding="utf-8")) for file in SQL}


def _name(file: Path) -> str:
    return file.relative_to(ddl.SQL_DIRECTORY if file.is_relative_to(ddl.SQL_DIRECTORY) else ROOT).as_posix()


@pytest.mark.parametrize("rule", RULES)
def test_sql_decides_in_one_file(rule: str) -> None:
    home, pattern, besides = RULES[rule]
    found = deciding(pattern, sql_files())
    assert home in found, f"{home} no longer decides {rule}: this test looks for the wrong words"
    assert found - besides == {home}, f"{rule}: decided again in {sorted(found - besides - {home})}; call {home}"


@pytest.mark.parametrize("rule", PYTHON_RULES)
def test_python_decides_in_one_file(rule: str) -> None:
    home, pattern = PYTHON_RULES[rule]
    files = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in PYTHON}
    assert deciding(pattern, files) - {home} == set(), rule


@pytest.mark.parametrize(
    ("rule", "again"),
    [
        ("champion", "select a.model_id from ml.aliases a\nwhere a.alias = 'champion'\n  and a.valid_to is null"),
        ("challengers", "where valid_to is null and alias = 'challenger'"),
        ("live workers", "where w.last_seen > clock_timestamp() - interval '1 minute'"),
        ("the blend", "select s.ml_weight * p.ml_confidence"),
        ("the decision", "case when ml < threshold then 'below_threshold' end"),
        ("the predicted class", "greatest(p.probabilities[1], p.probabilities[2])"),
    ],
)
def test_a_second_decision_is_noticed(rule: str, again: str) -> None:
    assert deciding(RULES[rule][1], {"elsewhere.sql": flat(again)}) == {"elsewhere.sql"}
