"""What training found against a model keeps it from serving, unless a person insists."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db_functions.database import Connection
from tests.support import register as registered
from tests.training_support import small_artifact
from training import cli, pipeline
from training.registry import register

REASON = "it is worse than chance: its ROC AUC is 0.4000 [0.3000, 0.4500]"


def champion(connection: Connection) -> str | None:
    row = connection.execute("select ml.model_at('champion', clock_timestamp())").fetchone()
    assert row is not None
    return None if row[0] is None else str(row[0])


def against(*reasons: str) -> pipeline.Artifact:
    artifact = small_artifact()
    return replace(artifact, metrics={**artifact.metrics, "refused": list(reasons)})


@pytest.fixture(autouse=True)
def _database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)


def test_promote_refuses_a_first_champion_that_its_evidence_speaks_against(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = against(REASON)
    register(connection, artifact)
    assert cli.main(["promote", artifact.version, "--reason", "the best we have"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: model {artifact.version} was not promoted: ")
    assert REASON in said
    assert champion(connection) is None
    assert cli.main(["promote", artifact.version, "--reason", "to see it fail", "--force"]) == 0
    assert champion(connection) == artifact.version


@pytest.mark.parametrize("reasons", [(), (REASON,)])
def test_train_promotes_unless_refused_and_registers_either_way(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reasons: tuple[str]
) -> None:
    artifact = against(*reasons)
    monkeypatch.setattr(pipeline, "train", lambda *_, **__: artifact)
    assert cli.main(["train", "--promote", "--quiet"]) == len(reasons)
    said = capsys.readouterr()
    assert said.out.startswith(f"registered {artifact.version}: ")
    assert connection.execute("select version from ml.models").fetchall() == [(artifact.version,)]
    assert champion(connection) == (None if reasons else artifact.version)
    assert (REASON in said.err) == bool(reasons)
    assert (f"promotion will be refused: {REASON}" in said.out) == bool(reasons)


def test_the_list_begins_with_what_serves(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    for version in ("gone", "served", "rival", "old", "new"):
        registered(connection, version)
    connection.execute("select ml.retire('gone', 'test')")
    connection.execute("select ml.promote('served', 'test')")
    connection.execute("select ml.challenge('rival', 1, 0, 'test')")
    assert cli.main(["list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["version", "served", "rival", "new", "old", "gone"]
