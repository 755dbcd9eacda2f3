"""A model to MLflow and back, against a real tracking store: the same bytes, the same scores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db_functions.database import Connection
from db_functions.model import open_session
from tests.training_support import small_artifact, small_dataset
from training import cli, mlflow_bridge
from training.registry import read_file, register
from training.session import answer

needs_mlflow = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def _database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a store of this test's own, in SQLite, with artifacts in files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        yield mlflow.MlflowClient()


class TestRoundTrip:
    pytestmark = needs_mlflow

    def test_the_same_bytes_and_scores_come_back(
        self, connection: Connection, client: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        artifact = small_artifact()
        register(connection, artifact)
        assert cli.main(["export", artifact.version, "--mlflow", "patterns"]) == 0
        assert "models:/patterns/1" in capsys.readouterr().out
        run = client.get_run(client.get_model_version("patterns", "1").run_id).data
        assert run.tags["pattern_scoring.sha256"] == artifact.sha256
        assert run.metrics["ml.brier"] == pytest.approx(artifact.metrics["ml"]["brier"]["value"])
        client.set_registered_model_alias("patterns", "live", "1")
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from ml.parity_checks")
        connection.execute("delete from ml.models")
        assert cli.main(["register", "models:/patterns@live"]) == 0
        data = read_file(connection, artifact.version)
        assert data == artifact.onnx
        inputs = small_dataset().take(slice(0, 100)).inputs
        served, known = (answer(open_session(one), inputs) for one in (data, artifact.onnx))
        np.testing.assert_array_equal(served["ml_confidence"], known["ml_confidence"])
        row = connection.execute("select model_card, golden, metrics from ml.models").fetchone()
        assert row is not None
        card, golden, metrics = row
        assert (card, bytes(golden)) == (artifact.model_card, artifact.golden)
        assert metrics["mlflow"] | {"source": "", "run_id": ""} == {
            "uri": "models:/patterns@live", "name": "patterns", "version": "1", "source": "", "run_id": "",
        }  # fmt: skip
        assert metrics["given"]["ml.brier"] == run.metrics["ml.brier"]
        assert "evidence" not in metrics

    def test_the_signature_is_the_contracts(self, connection: Connection, client: Any) -> None:
        register(connection, small_artifact())
        uri = mlflow_bridge.export(connection, small_artifact().version)
        import mlflow

        signature = mlflow.models.get_model_info(uri).signature
        bars = next(one for one in signature.inputs.inputs if one.name == "bars")
        assert (bars.type, bars.shape) == (np.dtype("float64"), (-1, 128, 5))
        assert [one.name for one in signature.outputs.inputs] == small_artifact().outputs

    def test_what_is_not_there_or_holds_no_onnx_is_said_in_one_line(
        self, client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["register", "models:/nothing@live"]) == 1
        assert capsys.readouterr().err.startswith("error: MLflow: ")
        run = client.create_run(client.create_experiment("other")).info.run_id
        (tmp_path / "notes.txt").touch()
        client.log_artifact(run, str(tmp_path / "notes.txt"), "model")
        assert cli.main(["register", f"runs:/{run}/model"]) == 1
        assert "no single ONNX file" in capsys.readouterr().err


def test_a_model_is_exported_as_it_is(connection: Connection, tmp_path: Path) -> None:
    register(connection, small_artifact())
    assert cli.main(["export", small_artifact().version, "-o", str(tmp_path / "out.onnx")]) == 0
    assert (tmp_path / "out.onnx").read_bytes() == small_artifact().onnx
    assert cli.main(["export", small_artifact().version]) == 1
    assert cli.main(["export", "unknown", "--mlflow"]) == 1


def test_without_mlflow_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    assert cli.main(["register", "models:/name@alias"]) == 1
    assert "pattern-scoring[mlflow]" in capsys.readouterr().err
