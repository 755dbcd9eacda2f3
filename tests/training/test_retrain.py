"""Retraining: only with reason, and never past a challenge."""

from __future__ import annotations

import re

import pytest

from db_functions.database import Connection
from tests.conftest import ROOT
from tests.support import at, insert_labelled
from tests.worker_support import count
from training import cli
from training.cli.train import ALERT_TYPES
from training.retrain import last_trained

SMALL = ["--models", "logistic", "--candidate", "ridge", "--quiet"]


@pytest.fixture
def labelled(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    monkeypatch.setenv("DATABASE_URL", database)
    insert_labelled(connection)
    return connection


def standing(connection: Connection) -> list[tuple[str, str]]:
    return [
        (alias, version)
        for alias, version in connection.execute(
            "select alias, version from ml.model_timeline where valid_to is null order by alias"
        ).fetchall()
    ]


def test_an_alert_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["retrain", "--on-alert", "feature_drfit"])
    assert "invalid choice: 'feature_drfit' (choose from" in capsys.readouterr().err
    # Which has an entry for every type that the views know (tests/e2e/test_docs.py).
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    assert set(ALERT_TYPES) == set(re.findall(r"^## ([a-z_]+)$", runbook, re.MULTILINE))


def test_a_retrained_model_challenges_and_is_not_promoted(
    labelled: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    until = at(700).date().isoformat()
    assert cli.main(["train", *SMALL, "--until", until, "--version", "first", "--promote"]) == 0
    last = last_trained(labelled)
    assert last is not None
    assert (last.version, last.trained_until < at(700).timestamp()) == ("first", True)
    assert cli.main(["retrain", *SMALL, "--version", "second", "--min-new", "30", "--share", "0.5"]) == 0
    assert "second challenges" in capsys.readouterr().out
    assert standing(labelled) == [("challenger", "second"), ("champion", "first")]
    # The champion is a baseline on the rows that it has not learned from.
    compared = labelled.execute(
        "select (m.metrics #>> '{compared,champion}')::int, (m.metrics #>> '{compared,base}')::int "
        "from ml.models m where m.version = 'second'"
    ).fetchone()
    assert compared is not None
    assert 0 < compared[0] < compared[1]
    share = labelled.execute("select share, canary, reason from ml.aliases where alias = 'challenger'").fetchone()
    assert share == (0.5, 0.0, "retrained: on schedule")
    # Refused, with what to do about it.
    assert cli.main(["challenge", "second", "--share", "2", "--reason", "more"]) == 1
    assert "\nHINT:  " in capsys.readouterr().err
    # And once more at once: nothing is new.
    assert cli.main(["retrain", *SMALL, "--version", "third", "--min-new", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("nothing was trained: 0 ")
    assert count(labelled, "ml.models") == 2


def test_without_the_alert_nothing_is_trained(labelled: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["retrain", *SMALL, "--on-alert", "error_rate"]) == 0
    assert capsys.readouterr().out.startswith("nothing was trained: ")
    assert count(labelled, "ml.models") == 0
    # No model serves: that alert stands by itself.
    assert cli.main(["retrain", *SMALL, "--on-alert", "error_rate", "no_model", "--version", "first"]) == 0
    reason = labelled.execute("select reason from ml.aliases").fetchone()
    assert reason == ("retrained: alert of error_rate, no_model",)
