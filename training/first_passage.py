"""The model that needs no labels: first passage served as it is, with its corrections.

``python -m training.first_passage`` writes the file that the package ships, for hosts that have no training libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db_functions import shipped
from db_functions.contract import CONTRACT_VERSION, DEFAULT_HORIZON, META_LABEL_HORIZON, WINDOW
from db_functions.golden import Golden
from db_functions.shipped import ALGORITHM
from db_functions.walk import LEAST_BARS
from training.check import require_valid
from training.correction import FirstPassage, Fitted
from training.export import Exported, FittedModel, export
from training.features import FIRST_PASSAGE_NAMES, Array, compute_first_passage
from training.pipeline import Artifact
from training.toolchain import toolchain_versions
from training.verify import check_parity

GOLDEN_ROWS: Final = 32
_SERVED_TARGET: Final = FIRST_PASSAGE_NAMES.index("first_passage_target")
_PLAIN_TARGET: Final = FIRST_PASSAGE_NAMES.index("first_passage_target_plain")


def plain_target(inputs: Mapping[str, Array], horizon: int) -> NDArray[np.float64]:
    """P(target first) within ``horizon`` bars by the formula alone, [N]: the yardstick.

    NaN where a label is undefined or no volatility is known. ``inputs`` needs bars, levels and direction.
    """
    return np.asarray(compute_first_passage(inputs, np, horizon)[:, _PLAIN_TARGET])


def served_target(inputs: Mapping[str, Array], horizon: int) -> NDArray[np.float64]:
    """:func:`plain_target` with its corrections: what the model that learned nothing serves."""
    return np.asarray(compute_first_passage(inputs, np, horizon)[:, _SERVED_TARGET])


def fitted(horizon: int = DEFAULT_HORIZON) -> FittedModel:
    """What the file has to answer like: first passage with its corrections, nothing learned."""
    return FittedModel(Fitted(FirstPassage()), horizon, ALGORITHM)


def make(horizon: int = DEFAULT_HORIZON, version: str | None = None) -> Artifact:
    """The model, checked and verified as every other is; needs no data.

    Raises InvalidModel, and ParityFailed when the file does not answer as NumPy does.
    """
    exported = export(fitted(horizon), version=version)
    require_valid(exported.onnx)
    golden = golden_rows(horizon)
    return Artifact(
        version=exported.version,
        algorithm=ALGORITHM,
        onnx=exported.onnx,
        contract_version=CONTRACT_VERSION,
        inputs=list(exported.inputs),
        outputs=list(exported.outputs),
        feature_names=list(FIRST_PASSAGE_NAMES),
        min_bars=LEAST_BARS,
        metrics={META_LABEL_HORIZON: horizon},
        model_card=card(exported, horizon),
        toolchain=toolchain_versions(),
        drift_baseline={},
        golden=golden.to_bytes(),
        parity=check_parity(exported.onnx, golden),
    )


def golden_rows(horizon: int, rows: int = GOLDEN_ROWS) -> Golden:
    """Rows made up from a fixed seed, with NumPy's answers: every kind of row, undefined ones among them."""
    inputs = example_inputs(rows)
    return Golden(inputs, fitted(horizon).answer(inputs))


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


def ship(folder: Path = shipped.FOLDER) -> None:
    """Write the three files that the package carries."""
    artifact = make()
    folder.mkdir(exist_ok=True)
    for name, data in (
        (shipped.ONNX, artifact.onnx),
        (shipped.GOLDEN, artifact.golden),
        (shipped.CARD, artifact.model_card.encode()),
    ):
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    ship()
