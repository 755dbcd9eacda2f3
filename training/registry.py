"""The model registry: register, look up, promote and challenge."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import onnxruntime as ort
from psycopg.rows import class_row, scalar_row

from db_functions import registry
from db_functions.contract import (
    CONTRACT_VERSION,
    INPUTS,
    META_FEATURE_NAMES,
    META_MIN_BARS,
    META_MODEL_VERSION,
    OUTPUTS,
    read_training,
)
from db_functions.database import Connection
from db_functions.errors import InvalidModel, translated
from db_functions.golden import Golden
from db_functions.model import open_session
from db_functions.queries import query
from training.check import read_checked
from training.errors import unknown_model
from training.pipeline import Artifact
from training.session import answer, input_names
from training.toolchain import toolchain_versions
from training.trial import trial_inputs
from training.verify import check_parity


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One registered model in a list; ``parity`` is the result of its newest check, None before the first."""

    version: str
    algorithm: str
    created_at: datetime
    created_by: str
    bytes: int
    parity: bool | None
    state: str
    brier: float | None
    rule_brier: float | None


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    """One parity check as the registry records it."""

    at: datetime
    passed: bool
    max_abs_diff: float
    rows: int
    runtime: str


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """What the registry knows about a model, without its file; parity checks oldest first."""

    version: str
    algorithm: str
    sha256: str
    created_at: datetime
    created_by: str
    contract_version: int
    inputs: list[str]
    outputs: list[str]
    min_bars: int
    features: int
    toolchain: dict[str, str]
    model_card: str | None
    retired_at: datetime | None
    retired_reason: str | None
    parity_checks: tuple[RecordedCheck, ...] = ()


def runtime() -> str:
    """What ran a parity check, as the registry records it."""
    return f"onnxruntime {ort.__version__}, {platform.machine()}"


def register(connection: Connection, artifact: Artifact) -> None:
    """Register a trained model with its golden rows and the result of its parity gate; commits.

    The same file again is accepted. Raises InvalidModel when its version is taken by another file.
    """
    parity = artifact.parity
    registry.register(
        connection,
        artifact,
        max_abs_diff=parity.max_abs_diff,
        rows=parity.rows,
        runtime=runtime(),
        tolerance=parity.tolerance,
    )


def register_file(
    connection: Connection,
    path: Path,
    golden_path: Path | None = None,
    *,
    stated: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> str:
    """Register an ONNX file of any origin that keeps the contract; returns its version, the file's ``model_version``.

    ``golden_path`` names rows as ``db_functions.golden`` writes them, with the answers of the framework that made the
    model; the file must give the same answers. Without it golden rows are recorded from the file itself: they show that
    later runtimes and batch sizes answer alike, not that the file answers as another program does. ``stated`` joins the
    metrics, ``card`` is the model card. Raises Unreadable, InvalidModel with every fault, ParityFailed when golden rows
    differ.
    """
    data, faults = read_checked(path)
    if faults:
        raise InvalidModel(f"{path} does not keep the scoring contract: " + "; ".join(faults))
    session = open_session(data)
    metadata = session.get_modelmeta().custom_metadata_map
    min_bars = int(metadata[META_MIN_BARS])
    given = input_names(session)
    if golden_path is None:
        inputs = {name: values for name, values in trial_inputs(min_bars).items() if name in given}
        golden = Golden(inputs, answer(session, inputs))
    else:
        golden = read_golden(golden_path, given)
    artifact = Artifact(
        version=metadata[META_MODEL_VERSION],
        algorithm="onnx",
        onnx=data,
        contract_version=CONTRACT_VERSION,
        inputs=given,
        outputs=[item.name for item in session.get_outputs()],
        feature_names=json.loads(metadata.get(META_FEATURE_NAMES, "[]")),
        min_bars=min_bars,
        metrics={**(stated or {}), **read_training(metadata)},
        model_card=card or f"# {path.name}\n\nRegistered from a file; how it was trained is not known here.\n",
        toolchain={"producer": f"{session.get_modelmeta().producer_name}".strip(), **toolchain_versions()},
        drift_baseline={},
        golden=golden.to_bytes(),
        parity=check_parity(data, golden),
    )
    register(connection, artifact)
    return artifact.version


def read_golden(path: Path, wanted: list[str]) -> Golden:
    """Golden rows that came with a model.

    ``wanted`` are the model's inputs. Raises InvalidModel when the file holds no golden rows, or lacks an input or
    output.
    """
    try:
        golden = Golden.from_bytes(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidModel(f"{path} holds no golden rows: {error}") from error
    lacking = [
        *(name for name in wanted if name not in golden.inputs),
        *(n for n in OUTPUTS if n not in golden.outputs),
    ]
    if lacking:
        raise InvalidModel(f"the golden rows in {path} lack {', '.join(lacking)}")
    mistyped = [
        f"{name} is {values.dtype} {list(values.shape)}, not {spec.describe()}"
        for name, values in golden.inputs.items()
        if (spec := INPUTS.get(name)) is not None and (values.dtype != spec.dtype or values.ndim != len(spec.shape) + 1)
    ]
    if mistyped:
        raise InvalidModel(f"the golden rows in {path} are not what the worker feeds: {'; '.join(mistyped)}")
    return golden


def promote(connection: Connection, version: str, reason: str, *, force: bool = False) -> None:
    """Make ``version`` the champion; commits.

    Raises UnknownModel, and PromotionRefused naming each gate that failed.
    """
    with translated(), connection.transaction():
        connection.execute(query("promote"), {"version": version, "reason": reason, "force": force})


def challenge(connection: Connection, version: str, reason: str, *, share: float, canary: float) -> None:
    """Let ``version`` score a share of the rows beside the champion, and serve a smaller one; commits.

    A share of 0 ends it. Raises UnknownModel, and PromotionRefused when the model cannot challenge.
    """
    parameters = {"version": version, "share": share, "canary": canary, "reason": reason}
    with translated(), connection.transaction():
        connection.execute(query("challenge"), parameters)


def list_models(connection: Connection) -> list[ListedModel]:
    """Every registered model without its file: champion, challengers, others from the newest, retired ones last."""
    with translated(), connection.transaction(), connection.cursor(row_factory=class_row(ListedModel)) as cursor:
        return cursor.execute(query("list_models")).fetchall()


def show(connection: Connection, version: str) -> RegisteredModel:
    """Everything known about one model except its file. Raises UnknownModel."""
    parameters = {"version": version}
    with translated(), connection.transaction():
        with connection.cursor(row_factory=class_row(RegisteredModel)) as cursor:
            model = cursor.execute(query("show_model"), parameters).fetchone()
        with connection.cursor(row_factory=class_row(RecordedCheck)) as checks:
            recorded = checks.execute(query("parity_checks"), parameters).fetchall()
    if model is None:
        raise unknown_model(version)
    return replace(model, parity_checks=tuple(recorded))


def read_file(connection: Connection, version: str) -> bytes:
    """The ONNX file of a registered model. Raises UnknownModel."""
    with translated(), connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        data = cursor.execute(query("model_by_version"), {"version": version}).fetchone()
    if data is None:
        raise unknown_model(version)
    return bytes(data)
