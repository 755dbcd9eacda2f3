"""The registry as training sees it: put a model in, look at what is there, make one the champion."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import onnxruntime as ort
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

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
from db_functions.errors import InvalidModel, UnknownModel, translated
from db_functions.golden import Golden
from db_functions.queries import query
from training.canary import canary_inputs
from training.check import read_checked
from training.pipeline import Artifact, toolchain_versions
from training.verify import check_parity, open_session


def runtime() -> str:
    """What answered in a parity check, as the registry records it."""
    return f"onnxruntime {ort.__version__}, {platform.machine()}"


def register(connection: Connection, artifact: Artifact) -> None:
    """Register a trained model with its golden rows and the result of its parity gate; commits.

    The same file again is accepted. Raises InvalidModel when its version is taken by another file.
    """
    parameters = {
        "version": artifact.version,
        "algorithm": artifact.algorithm,
        "onnx": artifact.onnx,
        "contract_version": artifact.contract_version,
        "inputs": artifact.inputs,
        "outputs": artifact.outputs,
        "feature_names": artifact.feature_names,
        "min_bars": artifact.min_bars,
        "metrics": Jsonb(artifact.metrics),
        "model_card": artifact.card,
        "toolchain": Jsonb(artifact.toolchain),
        "drift_baseline": Jsonb(artifact.drift_baseline),
        "golden": artifact.golden,
    }
    with translated(), connection.transaction():
        connection.execute(query("register_model"), parameters)
        connection.execute(
            query("record_parity"),
            {
                "version": artifact.version,
                "max_abs_diff": artifact.parity.max_abs_diff,
                "tolerance": artifact.parity.tolerance,
                "rows": artifact.parity.rows,
                "runtime": runtime(),
            },
        )


def register_file(connection: Connection, path: Path, golden_path: Path | None = None) -> str:
    """Register an ONNX file made anywhere, once it keeps the contract; returns its version.

    ``golden_path`` names rows as ``db_functions.golden`` writes them, with the answers of the framework that the model
    came from; the file must give the same. Without it golden rows are recorded from the file itself: they show that
    later runtimes and batch sizes answer as this one did, not that the file answers as some other program. The version
    is the file's own ``model_version``. Raises InvalidModel with every fault, ParityFailed when golden rows differ.
    """
    data, faults = read_checked(path)
    if faults:
        raise InvalidModel(f"{path} does not keep the scoring contract: " + "; ".join(faults))
    session = open_session(data)
    metadata = session.get_modelmeta().custom_metadata_map
    digest = hashlib.sha256(data).hexdigest()
    min_bars = int(metadata[META_MIN_BARS])
    given = [item.name for item in session.get_inputs()]
    names = [item.name for item in session.get_outputs()]
    if golden_path is None:
        inputs = {name: values for name, values in canary_inputs(min_bars).items() if name in given}
        golden = Golden(inputs, dict(zip(names, session.run(names, inputs), strict=True)))
    else:
        golden = read_golden(golden_path, given)
    artifact = Artifact(
        version=metadata.get(META_MODEL_VERSION) or f"{path.stem}-{digest[:10]}",
        algorithm="onnx",
        onnx=data,
        sha256=digest,
        contract_version=CONTRACT_VERSION,
        inputs=given,
        outputs=names,
        feature_names=json.loads(metadata.get(META_FEATURE_NAMES, "[]")),
        min_bars=min_bars,
        metrics=dict(read_training(metadata)),
        card=f"# {path.name}\n\nRegistered from a file; nothing is known here of how it was trained.\n",
        toolchain={"producer": f"{session.get_modelmeta().producer_name}".strip(), **toolchain_versions()},
        drift_baseline={},
        golden=golden.to_bytes(),
        parity=check_parity(data, golden),
    )
    register(connection, artifact)
    return artifact.version


def read_golden(path: Path, wanted: list[str]) -> Golden:
    """Golden rows that came with a model. Raises InvalidModel when they are none, or lack an input or an answer."""
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


def list_models(connection: Connection) -> list[dict[str, Any]]:
    """Every registered model, oldest first, without its bytes."""
    with translated(), connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("list_models")).fetchall()


def show(connection: Connection, version: str) -> dict[str, Any]:
    """One model whole, but for its bytes. Raises UnknownModel."""
    with translated(), connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(query("show_model"), {"version": version}).fetchone()
    if found is None:
        raise UnknownModel(f"no model of version {version!r} is registered; `python -m training list` names them")
    return found
