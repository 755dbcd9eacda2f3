"""Try a model in this process: ``python -m training.trial MEMORY_BYTES SECONDS < model`` prints faults as a JSON list.

Only ``check`` runs it, as a child that may be killed. It limits itself first, then lets ONNX and ONNX Runtime examine
the model, and scores plausible rows, some of them incomplete.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import (
    INPUTS,
    META_MIN_BARS,
    PARITY_TOLERANCE,
    WINDOW,
    Arrays,
    check_outputs,
    unanswered,
)
from db_functions.errors import first_line
from db_functions.golden import largest_difference
from db_functions.sandbox import limit_child

_ROWS = 5


def main(arguments: list[str]) -> int:
    memory_bytes, seconds = (int(argument) for argument in arguments)
    limit_child(memory_bytes, seconds)
    try:
        found = list(faults(sys.stdin.buffer.read()))
    except UnicodeDecodeError:
        found = ["a name in the file is not UTF-8 text; the file is damaged, so export the model again"]
    json.dump(found, sys.stdout)
    return 0


def faults(data: bytes) -> Iterator[str]:
    """Faults that ONNX, ONNX Runtime and a few rows show; stops at the first kind of fault."""
    # Imported after the limits are set, on purpose.
    import onnx
    import onnxruntime as ort

    from db_functions.model import open_session, signature_faults

    model = onnx.load_model_from_string(data)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the model is at fault
        yield f"ONNX finds the model invalid: {first_line(error)}"
        return
    try:
        session = open_session(data)
    except Exception as error:  # noqa: BLE001
        yield f"ONNX Runtime {ort.__version__} cannot load the model: {first_line(error)}"
        return
    signature = signature_faults(session)
    if signature:
        yield from signature
        return
    min_bars = int(session.get_modelmeta().custom_metadata_map[META_MIN_BARS])
    try:
        yield from _answer_faults(session, trial_inputs(min_bars))
    except Exception as error:  # noqa: BLE001
        yield f"the model fails on plausible rows: {first_line(error)}"


def trial_inputs(min_bars: int) -> dict[str, NDArray[Any]]:
    """Rows as the worker meets them: complete, with a short history, without optional values, in a flat market."""
    rng = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (_ROWS, WINDOW)), axis=1))
    opened = close * np.exp(rng.normal(0, 0.003, close.shape))
    high, low = np.maximum(opened, close) * 1.004, np.minimum(opened, close) * 0.996
    bars = np.stack([opened, high, low, close, rng.lognormal(12, 0.5, close.shape)], axis=2)
    bars[3, :, :4], bars[3, :, 4] = 100.0, 0.0
    last = bars[:, -1, 3]
    market_bars = bars * rng.uniform(0.99, 1.01, bars.shape)
    bars[1, : WINDOW - min_bars] = np.nan
    market_bars[2] = np.nan
    direction = np.array([1.0, -1.0, 0.0, 1.0, -1.0])
    # Target ahead in the pattern's direction, stop behind.
    ahead = np.where(direction < 0, -1.0, 1.0)[:, None] * np.array([0.06, -0.03])
    ones = np.ones(_ROWS)
    inputs: dict[str, NDArray[Any]] = {
        "bars": bars,
        "market_bars": market_bars,
        "levels": last[:, None] * np.stack([0.97 * ones, 1.03 * ones, 1 + ahead[:, 0], ones, 1 + ahead[:, 1]], axis=1),
        "rule_confidence": np.linspace(0, 1, _ROWS),
        "direction": direction,
        "duration_s": np.full(_ROWS, 864_000.0),
        "pattern_type": np.array(["flag", "double_top", "never seen before", "", "flag"], dtype=object),
        "timeframe": np.array(["1d", "1h", "15m", "1d", "never seen before"], dtype=object),
        "detected_at": np.full(_ROWS, 1_700_000_000, dtype=np.int64),
        "context": np.array([[12.0, 18.0, 0.01, 0.8, 0.1, 2.0]] * _ROWS),
        "history": np.array([[0.4, 50.0]] * _ROWS),
    }
    for name in ("levels", "rule_confidence", "duration_s", "context"):
        inputs[name][[2, 4]] = np.nan
    inputs["history"][[2, 4]] = [np.nan, 0.0]
    return {name: values.astype(INPUTS[name].dtype) for name, values in inputs.items()}


def _answer_faults(session: Any, inputs: Arrays) -> Iterator[str]:
    from training.session import answer

    together = answer(session, inputs)
    try:
        good = check_outputs(together, _ROWS)
    except ValueError as error:
        yield str(error)
        return
    # A row without direction or movement may go unanswered: all NaN, and the worker falls back. The others may not.
    may = [2, 3]
    good[may] |= unanswered(together)[may]
    if not good.all():
        row = int(np.argmin(good))
        yield (
            f"the model answers probabilities {together['probabilities'][row].tolist()} and ml_confidence "
            f"{float(together['ml_confidence'][row]):g} to a plausible row; they must be finite, sum to 1, and the "
            "confidence be the last of them; a row that cannot be answered is NaN throughout"
        )
        return
    for row in range(_ROWS):
        alone = answer(session, {name: values[row : row + 1] for name, values in inputs.items()})
        found = largest_difference({name: values[row : row + 1] for name, values in together.items()}, alone)
        if found.amount > PARITY_TOLERANCE:
            yield (
                f"output {found.output!r} of a row changes by {found.amount:.3g} with the other rows of its batch, or "
                "from run to run; each row must be answered by itself"
            )
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
