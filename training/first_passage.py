"""The model that needs no labels: first passage served as it is, with its corrections.

``python -m training.first_passage`` writes the file that the package ships, for hosts that have no training libraries.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ndonnx as ndx
import numpy as np
from numpy.typing import NDArray

from db_functions import shipped
from db_functions.contract import (
    CONTRACT_VERSION,
    DEFAULT_HORIZON,
    META_LABEL_HORIZON,
    WINDOW,
    Arrays,
)
from db_functions.database import connect
from db_functions.errors import ScoringError
from db_functions.golden import Golden
from db_functions.shipped import ALGORITHM
from training.check import require_valid
from training.export import Exported, finish, to_float32, write
from training.features import FIRST_PASSAGE_NAMES, Array, compute_first_passage
from training.features.first_passage import LEAST_BARS
from training.features.graph import trace
from training.load import read_gather_settings
from training.pipeline import Artifact, toolchain_versions
from training.registry import promote, register
from training.verify import check_parity

GOLDEN_ROWS: Final = 32
_ORDER: Final = tuple(FIRST_PASSAGE_NAMES.index(f"first_passage_{end}") for end in ("stop", "neither", "target"))
_ORDER_PLAIN: Final = tuple(
    FIRST_PASSAGE_NAMES.index(f"first_passage_{end}_plain") for end in ("stop", "neither", "target")
)


def probabilities(inputs: Mapping[str, Array], xp: Any, horizon: int, *, corrected: bool = True) -> Array:
    """P(stop first), P(neither), P(target first) within ``horizon`` bars: [N, 3], the order of ``contract.CLASSES``.

    NaN where a label is undefined or no volatility is known. Without ``corrected``, the plain formula. ``inputs`` needs
    bars, levels and direction, of the namespace ``xp``.
    """
    return _in_order(compute_first_passage(inputs, xp, horizon), xp, corrected)


def _in_order(features: Array, xp: Any, corrected: bool = True) -> Array:
    order = _ORDER if corrected else _ORDER_PLAIN
    return xp.concat([features[:, i : i + 1] for i in order], axis=1)


def answer(inputs: Arrays, horizon: int) -> dict[str, NDArray[np.float32]]:
    """The contract's outputs by NumPy."""
    features = np.asarray(compute_first_passage(inputs, np, horizon))
    served = to_float32(_in_order(features, np))
    return {"ml_confidence": served[:, 2], "probabilities": served, "features": to_float32(features)}


def export(horizon: int = DEFAULT_HORIZON, version: str | None = None) -> Exported:
    """The model as one ONNX file, the same bytes for the same horizon."""
    inputs, features = trace(horizon, compute_first_passage)
    served = ndx.astype(_in_order(features, ndx), ndx.float32)
    outputs = {
        "ml_confidence": served[:, 2],
        "probabilities": served,
        "features": ndx.astype(features, ndx.float32),
    }

    def written(version: str | None) -> bytes:
        return write(
            inputs,
            outputs,
            feature_names=FIRST_PASSAGE_NAMES,
            min_bars=LEAST_BARS,
            horizon=horizon,
            version=version,
        )

    return finish(written, ALGORITHM, version)


def make(horizon: int = DEFAULT_HORIZON, version: str | None = None) -> Artifact:
    """The model, checked and verified as every other is; needs no data.

    Raises InvalidModel, and ParityFailed when the file does not answer as NumPy does.
    """
    exported = export(horizon, version)
    require_valid(exported.onnx)
    golden = golden_rows(horizon)
    return Artifact(
        version=exported.version,
        algorithm=ALGORITHM,
        onnx=exported.onnx,
        sha256=exported.sha256,
        contract_version=CONTRACT_VERSION,
        inputs=list(exported.inputs),
        outputs=list(exported.outputs),
        feature_names=list(FIRST_PASSAGE_NAMES),
        min_bars=LEAST_BARS,
        metrics={META_LABEL_HORIZON: horizon},
        card=card(exported, horizon),
        toolchain=toolchain_versions(),
        drift_baseline={},
        golden=golden.to_bytes(),
        parity=check_parity(exported.onnx, golden),
    )


def golden_rows(horizon: int, rows: int = GOLDEN_ROWS) -> Golden:
    """Rows made up from a fixed seed, with NumPy's answers: every kind of row, undefined ones among them."""
    inputs = example_inputs(rows)
    return Golden(inputs, answer(inputs, horizon))


def example_inputs(rows: int) -> dict[str, NDArray[np.float64]]:
    """Random walks of any volatility with levels near and far, absent and passed; short and still ones too."""
    rng = np.random.default_rng(20)
    volatility = 10.0 ** rng.uniform(-3, -1, (rows, 1))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1, (rows, WINDOW)) * volatility, axis=1))
    opened = close * np.exp(rng.normal(0, 0.3, close.shape) * volatility)
    high, low = (
        side(opened, close) * np.exp(sign * np.abs(rng.normal(0, 0.5, close.shape)) * volatility)
        for side, sign in ((np.maximum, 1), (np.minimum, -1))
    )
    bars = np.stack([opened, high, low, close, np.full_like(close, 1e6)], axis=2)
    direction = np.where(np.arange(rows) % 2, -1.0, 1.0)
    reach = direction[:, None] * volatility * np.array([0.0, 0.0, 1.0, 0.2, -1.0]) * rng.uniform(0.2, 9, (rows, 5))
    levels = bars[:, -1, 3:4] * np.exp(reach)
    levels[:, :2] = np.nan
    for column, step in ((2, 5), (4, 7), (3, 2)):
        levels[::step, column] = np.nan
    for row in range(3, rows, 8):
        bars[row, : WINDOW - LEAST_BARS - row] = np.nan
    direction[6::16] = 0.0
    bars[10::32, :, :4] = 100.0
    # In units of volatility from the last close: target and stop that it has passed since the entry.
    for row, passed in ((12, (-0.5, -1.0, -4.0)), (14, (4.0, 1.0, 0.5))):
        steps = direction[row::16, None] * volatility[row::16] * np.array([passed])
        levels[row::16, 2:] = bars[row::16, -1, 3:4] * np.exp(steps)
    return {"bars": bars, "levels": levels, "direction": direction}


def card(exported: Exported, horizon: int) -> str:
    """What a person should know before serving it."""
    return (
        f"# Model `{exported.version}`\n\n"
        f"The probability that a driftless random walk with the recent volatility reaches the target before the stop, "
        f"within {horizon} bars (the label horizon). It has learnt from no rows: there is nothing to fit. Three "
        "corrections are made: volatility reverts to its mean, it is uncertain, and a bar that touches both levels "
        "counts as a stop. `docs/features.md` has the formulas and their sources.\n\n"
        f"- One ONNX file of {len(exported.onnx) / 2**10:.0f} KB, reading "
        f"{', '.join(f'`{name}`' for name in exported.inputs)}. SHA-256 `{exported.sha256}`.\n"
        f"- It scores patterns with at least {LEAST_BARS} bars. Where no label can come to be (no direction, a level "
        "on the wrong side), or no price has moved, all its features are missing, and the row falls back to the rule "
        "with the reason `low_quality`.\n"
        "- A driftless walk earns nothing: every pair of levels has an expected value of zero before costs. It says "
        "how likely a target is, not that a pattern is worth trading.\n"
    )


def run(options: argparse.Namespace) -> int:
    """``python -m training train --models first_passage``, for the horizon of ``ml.settings``."""
    useless = [f"--{name}" for name in ("tune", "since", "until") if getattr(options, name, None) is not None]
    if len(options.models) > 1 or useless:
        others = [name for name in options.models if name != ALGORITHM]
        raise ScoringError(f"{ALGORITHM} learns from nothing, so it goes without {', '.join([*others, *useless])}")
    with connect(application_name="pattern-scoring training") as connection:
        artifact = make(read_gather_settings(connection).label_horizon, options.version)
        if options.output is not None:
            options.output.write_bytes(artifact.onnx)
        register(connection, artifact)
        print(
            f"registered {artifact.version}: {len(artifact.onnx) / 2**10:.0f} KB, no labels needed, differs from NumPy "
            f"by at most {artifact.parity.max_abs_diff:.1e} over {artifact.parity.rows} made-up rows"
        )
        if options.promote:
            promote(connection, artifact.version, "trained with --promote")
            print(f"promoted {artifact.version}: it is the champion now")
        else:
            print(f"to serve it: python -m training promote {artifact.version} --reason '...'")
    return 0


def ship(folder: Path = shipped.FOLDER) -> None:
    """Write the three files that the package carries."""
    artifact = make()
    folder.mkdir(exist_ok=True)
    for name, data in (
        (shipped.ONNX, artifact.onnx),
        (shipped.GOLDEN, artifact.golden),
        (shipped.CARD, artifact.card.encode()),
    ):
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    ship()
