"""Try a model in this process: ``python -m training.canary MEMORY_BYTES SECONDS < model``, a JSON list of faults out.

Run by ``check`` only, as a child that may be killed. It limits itself first, then lets ONNX and ONNX Runtime look at
the model, and gives it plausible rows, incomplete ones among them.
"""

from __future__ import annotations

import json
import resource
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
    check_signature,
)
from db_functions.golden import largest_difference

_ROWS = 5


def main(arguments: list[str]) -> int:
    memory_bytes, seconds = (int(argument) for argument in arguments)
    limit(memory_bytes, seconds)
    try:
        found = list(faults(sys.stdin.buffer.read()))
    except UnicodeDecodeError:
        found = ["a name in the file is not UTF-8 text; the file is damaged, so export the model again"]
    json.dump(found, sys.stdout)
    return 0


def limit(memory_bytes: int, seconds: int) -> None:
    """Bound this process: address space, processor time, no files written, no core dumps."""
    for kind, amount in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(kind, (value, value))


def faults(data: bytes) -> Iterator[str]:
    """What ONNX, ONNX Runtime and a few rows find wrong with the model; stops at the first kind of fault."""
    # Imported under the limits, on purpose.
    import onnx
    import onnxruntime as ort

    model = onnx.load_model_from_string(data)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the model is at fault
        yield f"ONNX finds the model invalid: {_first_line(error)}"
        return
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        yield f"ONNX Runtime {ort.__version__} cannot load the model: {_first_line(error)}"
        return
    signature = check_signature(
        [(item.name, item.type, item.shape) for item in session.get_inputs()],
        [(item.name, item.type, item.shape) for item in session.get_outputs()],
    )
    if signature:
        yield from signature
        return
    min_bars = int(session.get_modelmeta().custom_metadata_map[META_MIN_BARS])
    try:
        yield from _answer_faults(session, canary_inputs(min_bars))
    except Exception as error:  # noqa: BLE001
        yield f"the model fails on plausible rows: {_first_line(error)}"


def canary_inputs(min_bars: int) -> dict[str, NDArray[Any]]:
    """Rows such as the worker meets: whole ones, a short history, every optional value missing, a still market."""
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
        inputs[name][2] = np.nan
    inputs["history"][2] = [np.nan, 0.0]
    return {name: values.astype(INPUTS[name].dtype) for name, values in inputs.items()}


def _answer_faults(session: Any, inputs: Arrays) -> Iterator[str]:
    names = [item.name for item in session.get_outputs()]
    wanted = [item.name for item in session.get_inputs()]

    def run(rows: slice) -> Arrays:
        feed = {name: inputs[name][rows] for name in wanted}
        return dict(zip(names, session.run(names, feed), strict=True))

    together = run(slice(None))
    try:
        good = check_outputs(together, _ROWS)
    except ValueError as error:
        yield str(error)
        return
    # A row without direction or movement may go unanswered: all NaN, and the worker falls back. The first may not.
    good[1:] |= np.isnan(together["probabilities"][1:]).all(axis=1) & np.isnan(together["ml_confidence"][1:])
    if not good.all():
        row = int(np.argmin(good))
        yield (
            f"the model answers probabilities {together['probabilities'][row].tolist()} and ml_confidence "
            f"{float(together['ml_confidence'][row]):g} to a plausible row; they must be finite, sum to 1, and the "
            "confidence be the last of them; a row that cannot be answered is NaN throughout"
        )
        return
    for row in range(_ROWS):
        found = largest_difference({n: v[row : row + 1] for n, v in together.items()}, run(slice(row, row + 1)))
        if found.amount > PARITY_TOLERANCE:
            yield (
                f"output {found.output!r} of a row changes by {found.amount:.3g} with the other rows of its batch, or "
                "from run to run; each row must be answered by itself"
            )
            return


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
