"""The model that comes with the package: registered and promoted without the training libraries."""

from __future__ import annotations

import pytest

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, row_of
from worker.cli import main
from worker.serving.engine import Engine


@pytest.fixture
def commanded(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    monkeypatch.setenv("DATABASE_URL", database)
    return connection


def score(connection: Connection) -> None:
    engine = Engine(connection)
    engine.refresh_model()
    assert engine.score_queue().done == 1


def test_the_first_row_gets_a_probability_that_is_served(commanded: Connection) -> None:
    """Without a label, a training library or a setting; ``confidence`` is the probability."""
    insert_bars(commanded)
    assert main(["first-passage", "--promote"]) == 0
    assert main(["first-passage", "--promote"]) == 0, "again it changes nothing"
    assert commanded.execute("select count(*) from ml.models").fetchone() == (1,)
    pattern = insert_pattern(commanded, direction=1, entry=None, target=None, stoploss=None)
    score(commanded)
    row = row_of(commanded, pattern, "confidence", "ml_confidence", "ml_metadata")
    assert row["ml_metadata"]["reason"] == "scored"
    assert row["confidence"] == row["ml_confidence"]
    assert 0 < row["ml_confidence"] < 1


def test_a_pattern_without_direction_keeps_its_rule(commanded: Connection) -> None:
    insert_bars(commanded)
    main(["first-passage", "--promote"])
    pattern = insert_pattern(commanded, entry=None, target=None, stoploss=None)
    score(commanded)
    row = row_of(commanded, pattern, "confidence", "ml_confidence", "ml_metadata")
    assert (row["confidence"], row["ml_confidence"], row["ml_metadata"]["reason"]) == (0.7, None, "low_quality")
    assert commanded.execute("select count(*) from ml.failures").fetchone() == (0,)


def test_another_horizon_is_warned_of(commanded: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    commanded.execute("select ml.set('label_horizon', 5, 'test')")
    assert main(["first-passage", "--promote"]) == 0
    assert "label_horizon of 20" in capsys.readouterr().err


def test_it_follows_no_model_that_has_learnt(commanded: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    commanded.execute("select ml.set('gate_pairs', 500, 'test')")
    make_champion(commanded, "small-1")
    assert main(["first-passage", "--promote"]) == 1
    assert "was not promoted" in capsys.readouterr().err
