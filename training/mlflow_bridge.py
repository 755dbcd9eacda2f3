"""Models from an MLflow registry and into one: the same bytes, with signature, golden rows, card, figures and lineage.

Which registry is MLflow's own matter: ``MLFLOW_TRACKING_URI`` names it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from psycopg.rows import class_row

from db_functions.contract import INPUTS, OPTIONAL_OUTPUTS, OUTPUTS, TensorSpec
from db_functions.database import Connection
from db_functions.errors import ScoringError, first_line, translated
from db_functions.queries import fetch_all
from training.errors import MlflowMissing, Unreadable, unknown_model
from training.registry import register_file
from training.scores import score_lines

SCHEMES: Final = ("models:/", "runs:/")
REGISTERED_AS: Final = "pattern-scoring"
"""The name in MLflow where none is given."""
_MODEL: Final = "model"
_ONNX: Final = "model.onnx"
_GOLDEN: Final = "golden.npz"
_CARD: Final = "model_card.md"
_TAG: Final = "pattern_scoring."


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row of ``export_model``."""

    version: str
    algorithm: str
    onnx: bytes
    sha256: str
    golden: bytes | None
    inputs: list[str]
    outputs: list[str]
    feature_names: list[str]
    metrics: dict[str, Any]
    model_card: str | None
    toolchain: dict[str, str]


def is_uri(text: str) -> bool:
    """Whether ``text`` names a model of MLflow's rather than a file."""
    return text.startswith(SCHEMES)


def register_uri(connection: Connection, uri: str) -> str:
    """Register the ONNX file of an MLflow model, such as ``models:/name@alias``; returns its version. Commits.

    Golden rows and the model card come along where :func:`export` put them. ``metrics -> 'mlflow'`` keeps where it came
    from, ``metrics -> 'given'`` the figures of its run; no gate reads them. Raises MlflowMissing, Unreadable when there
    is no such model or no ONNX file in it, and what ``register_file`` raises.
    """
    with _client() as (mlflow, client), tempfile.TemporaryDirectory() as folder:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        file = _onnx_file(mlflow, found, uri)
        lineage, figures = _lineage(client, uri)
        golden, card = found / _GOLDEN, found / _CARD
        return register_file(
            connection,
            file,
            golden if golden.is_file() else None,
            stated={"mlflow": lineage} | ({"given": figures} if figures else {}),
            card=card.read_text(encoding="utf-8") if card.is_file() else None,
        )


def export(connection: Connection, version: str, name: str = REGISTERED_AS) -> str:
    """Log a registered model to MLflow as a run, and register it there as a version of ``name``; returns its URI.

    The file is the same to the byte, with its signature, golden rows and card beside it. Raises UnknownModel,
    MlflowMissing, and ScoringError with MLflow's own words when it refuses.
    """
    with translated(), connection.transaction():
        rows = fetch_all(connection, "export_model", class_row(_Stored), {"version": version})
    if not rows:
        raise unknown_model(version)
    (stored,) = rows
    with _client() as (mlflow, client):
        experiment = client.get_experiment_by_name(name)
        experiment_id = client.create_experiment(name) if experiment is None else experiment.experiment_id
        tags = {f"{_TAG}version": version, f"{_TAG}sha256": stored.sha256}
        run = client.create_run(experiment_id, run_name=version, tags=tags).info.run_id
        client.log_param(run, "algorithm", stored.algorithm)
        for package, installed in stored.toolchain.items():
            client.log_param(run, f"toolchain.{package}", installed)
        for figure, value in _figures(stored.metrics).items():
            client.log_metric(run, figure, value)
        _log_model(mlflow, client, run, stored)
        client.set_terminated(run)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        made = client.create_model_version(name, f"runs:/{run}/{_MODEL}", run, tags=tags, description=stored.model_card)
        return f"models:/{name}/{made.version}"


def _log_model(mlflow: Any, client: Any, run: str, stored: _Stored) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {_ONNX: bytes(stored.onnx), _CARD: (stored.model_card or "").encode()}
        if stored.golden is not None:
            files[_GOLDEN] = bytes(stored.golden)
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        model = mlflow.models.Model(artifact_path=_MODEL, run_id=run, signature=_signature(stored))
        model.add_flavor("onnx", data=_ONNX, providers=["CPUExecutionProvider"])
        model.add_flavor("python_function", loader_module="mlflow.onnx", data=_ONNX)
        model.save(str(Path(folder) / "MLmodel"))
        client.log_artifacts(run, folder, _MODEL)


def _signature(stored: _Stored) -> Any:
    """The contract's tensors that the model reads and answers, as MLflow describes them."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema
    from mlflow.types import TensorSpec as Tensor

    def described(spec: TensorSpec) -> Any:
        kind = np.dtype(str) if spec.dtype == object else spec.dtype
        axes = [len(stored.feature_names) if length is None else length for length in spec.shape]
        return Tensor(kind, (-1, *axes), spec.name)

    outputs = {**OUTPUTS, **OPTIONAL_OUTPUTS}
    return ModelSignature(
        inputs=Schema([described(INPUTS[name]) for name in stored.inputs]),
        outputs=Schema([described(outputs[name]) for name in stored.outputs]),
    )


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Every score and difference, such as ``ml.brier``, without its interval; of two of a name that over all rows."""
    found: dict[str, float] = {}
    for line in score_lines(metrics):
        for score, interval in line.figures.items():
            if interval.value is not None:
                found.setdefault(f"{line.name}.{score}", interval.value)
    return found


def _onnx_file(mlflow: Any, folder: Path, uri: str) -> Path:
    """The ONNX file that the model's own description names, within ``folder``."""
    described = folder / "MLmodel"
    flavors = mlflow.models.Model.load(str(described)).flavors if described.is_file() else {}
    named = flavors.get("onnx", {}).get("data")
    files = [folder / str(named)] if named else sorted(folder.rglob("*.onnx"))
    inside = [file for file in files if file.is_file() and file.resolve().is_relative_to(folder.resolve())]
    if len(inside) != 1:
        has = f"its flavors are {', '.join(flavors)}" if flavors else f"it has {len(inside)} of them"
        raise Unreadable(
            f"{uri} holds no single ONNX file ({has}); load a scikit-learn model with mlflow.sklearn.load_model and "
            "give it to training.publish"
        )
    return inside[0]


def _lineage(client: Any, uri: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Where a model comes from, and the figures of its run."""
    lineage: dict[str, Any] = {"uri": uri}
    run = uri.removeprefix("runs:/").partition("/")[0] if uri.startswith("runs:/") else None
    if uri.startswith("models:/"):
        name, _, rest = uri.removeprefix("models:/").partition("/")
        name, _, alias = name.partition("@")
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, rest)
        run = found.run_id
        lineage |= {"name": name, "version": str(found.version), "source": found.source}
    if run:
        lineage["run_id"] = run
    return lineage, dict(client.get_run(run).data.metrics) if run else {}


@contextmanager
def _client() -> Iterator[tuple[Any, Any]]:
    """The library and a client of what ``MLFLOW_TRACKING_URI`` names; its errors in one line."""
    try:
        import mlflow
        import mlflow.artifacts
        import mlflow.models
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise MlflowMissing from error
    try:
        yield mlflow, mlflow.MlflowClient()
    except MlflowException as error:
        raise ScoringError(f"MLflow: {first_line(error)}") from error
