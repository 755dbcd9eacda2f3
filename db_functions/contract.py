"""The scoring contract, version 1: what a model may ask for, and what it must answer.

A model is one ONNX file. It takes any subset of ``INPUTS`` and answers ``OUTPUTS``; ``N`` below is the batch.
The worker reads the model's own input names and feeds only those. Training, registration and the worker all check
a model with :func:`check_signature`, so a model that registers is a model that serves.

Raise ``CONTRACT_VERSION`` when the meaning, type or shape of any name here changes; adding an input is such a change
for workers (an older one would refuse the model), removing one is such a change for models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONTRACT_VERSION: Final = 1

WINDOW: Final = 128
"""Bars in a window; the last is the newest one complete at ``detected_at``."""

BAR_COLUMNS: Final = ("open", "high", "low", "close", "volume")
LEVEL_COLUMNS: Final = ("support", "resistance", "target", "entry", "stoploss")
CONTEXT_COLUMNS: Final = (
    "days_since_earnings",
    "vix",
    "sector_performance",
    "options_activity",
    "news_sentiment",
    "analyst_confirmations",
)
HISTORY_COLUMNS: Final = ("positive_rate", "count")
CLASSES: Final = ("negative", "neutral", "positive")

Arrays = Mapping[str, NDArray[np.generic]]
"""Model inputs or outputs by name, each with the batch as its first axis."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor: ``shape`` is what follows the batch axis, None an axis of any fixed length."""

    name: str
    onnx_type: str
    shape: tuple[int | None, ...]
    meaning: str

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(_NUMPY_TYPES[self.onnx_type])

    def describe(self) -> str:
        """The tensor as a person would write it, for example ``float64 [N, 128, 5]``."""
        axes = ", ".join(["N", *("any" if n is None else str(n) for n in self.shape)])
        return f"{_PLAIN_TYPES.get(self.onnx_type, self.onnx_type)} [{axes}]"


_PLAIN_TYPES = {
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(string)": "string",
}
_NUMPY_TYPES: dict[str, type[np.generic]] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(string)": np.object_,
}


def _by_name(*specs: TensorSpec) -> Mapping[str, TensorSpec]:
    return {spec.name: spec for spec in specs}


INPUTS: Final = _by_name(
    TensorSpec(
        "bars", "tensor(double)", (WINDOW, 5), "open, high, low, close, volume, oldest first; NaN before the first bar"
    ),
    TensorSpec(
        "market_bars", "tensor(double)", (WINDOW, 5), "the benchmark's bars aligned to `bars`; NaN where it has none"
    ),
    TensorSpec("levels", "tensor(double)", (5,), "support, resistance, target, entry, stoploss; NaN where absent"),
    TensorSpec("rule_confidence", "tensor(double)", (), "the application's own confidence, 0..1; NaN where absent"),
    TensorSpec("direction", "tensor(double)", (), "1 bullish, -1 bearish, 0 unknown"),
    TensorSpec("duration_s", "tensor(double)", (), "detected_at - started_at in seconds; NaN where absent"),
    TensorSpec("pattern_type", "tensor(string)", (), "as on the row"),
    TensorSpec("timeframe", "tensor(string)", (), "as on the row"),
    TensorSpec("detected_at", "tensor(int64)", (), "Unix seconds"),
    TensorSpec(
        "context",
        "tensor(double)",
        (len(CONTEXT_COLUMNS),),
        "metadata -> 'market', in the order of CONTEXT_COLUMNS; NaN where absent",
    ),
    TensorSpec(
        "history", "tensor(double)", (2,), "positives / all and all, of this pattern type, over outcomes known by then"
    ),
)

OUTPUTS: Final = _by_name(
    TensorSpec("ml_confidence", "tensor(float)", (), "calibrated P(positive outcome)"),
    TensorSpec("probabilities", "tensor(float)", (len(CLASSES),), "P(negative), P(neutral), P(positive)"),
)
OPTIONAL_OUTPUTS: Final = _by_name(
    TensorSpec("features", "tensor(float)", (None,), "raw features, NaN where missing; named in the metadata"),
)

META_CONTRACT_VERSION: Final = "contract_version"
META_MODEL_VERSION: Final = "model_version"
VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
"""What a version must match whole; ``ml.models`` checks the same."""
VERSION_RULE: Final = "1 to 100 letters, digits and . _ + -, a letter or digit first"
META_FEATURE_NAMES: Final = "feature_names"
"""A JSON array of strings, as long as the second axis of ``features``."""
META_BACKGROUND: Final = "background"
"""Rows of ``features`` that scores are explained against; ``training.attribution.background`` has their form."""
META_MEMBERS: Final = "members"
"""A JSON object: for each part of the model the tensor [N, 1] of the log-odds that it says."""
META_MIN_BARS: Final = "min_bars"
"""Rows with fewer bars than this are not given to the model (reason ``insufficient_bars``)."""
META_LABEL_HORIZON: Final = "label_horizon"
"""How many bars ahead the labels look that its probabilities are of; absent where that is unknown."""
META_FITTED_FROM: Final = "fitted_from"
META_FITTED_UNTIL: Final = "fitted_until"
"""First and last ``detected_at``, Unix seconds, of the rows it learnt from; absent where it learnt from none."""

DEFAULT_HORIZON: Final = 20
"""The setting ``label_horizon`` as a new database has it."""
MOST_HORIZON: Final = 1000
_SECONDS: Final = (-62_135_596_800, 253_402_300_799)
"""Unix seconds of the years 1 to 9999."""

PARITY_TOLERANCE: Final = 1e-5
"""The largest difference between ONNX Runtime and the fitted model that registration accepts."""
SUM_TOLERANCE: Final = 1e-4
"""How far the three probabilities of a row may be from adding to 1, in float32."""


def check_signature(
    inputs: Iterable[tuple[str, str, list[object]]],
    outputs: Iterable[tuple[str, str, list[object]]],
) -> list[str]:
    """What is wrong with a model's inputs and outputs; empty when it keeps the contract.

    Each item is (name, ONNX type, shape), as ``onnxruntime.InferenceSession.get_inputs()`` gives them; the first
    axis must be free (a string or None).
    """
    faults: list[str] = []
    given_inputs, given_outputs = list(inputs), list(outputs)
    if not given_inputs:
        faults.append("the model has no inputs; it must ask for at least one of: " + ", ".join(INPUTS))
    for item in given_inputs:
        faults += input_faults(*item)
    named = {name for name, _, _ in given_outputs}
    faults += [
        f"output {name!r} is missing; it must be {spec.describe()}"
        for name, spec in OUTPUTS.items()
        if name not in named
    ]
    for item in given_outputs:
        faults += output_faults(*item)
    return faults


def input_faults(name: str, onnx_type: str, shape: list[object]) -> list[str]:
    """What is wrong with one input, as ONNX Runtime describes it."""
    spec = INPUTS.get(name)
    if spec is None:
        return [f"input {name!r} is not in the contract; the worker can feed: {', '.join(INPUTS)}"]
    return _tensor_faults("input", spec, onnx_type, shape)


def output_faults(name: str, onnx_type: str, shape: list[object]) -> list[str]:
    """What is wrong with one output, as ONNX Runtime describes it."""
    spec = OUTPUTS.get(name) or OPTIONAL_OUTPUTS.get(name)
    if spec is None:
        return [f"output {name!r} is not in the contract; allowed: {', '.join([*OUTPUTS, *OPTIONAL_OUTPUTS])}"]
    return _tensor_faults("output", spec, onnx_type, shape)


def describe_tensor(onnx_type: str, shape: list[object]) -> str:
    """A tensor as a person would write it, for example ``float32 [N, 3]``."""
    return f"{_PLAIN_TYPES.get(onnx_type, onnx_type)} [{', '.join(str(axis) for axis in shape)}]"


def read_training(metadata: Mapping[str, str]) -> dict[str, int]:
    """What a file states of its label horizon and fit window, by metadata name; what it does not state is left out.

    Raises ValueError, saying what is wrong, where a value is no whole number in its range or half a window is given.
    """
    ranges = {META_LABEL_HORIZON: (1, MOST_HORIZON), META_FITTED_FROM: _SECONDS, META_FITTED_UNTIL: _SECONDS}
    found: dict[str, int] = {}
    for name, (low, high) in ranges.items():
        text = metadata.get(name)
        if text is None:
            continue
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"{name!r} must be a whole number from {low} to {high}, not {text[:20]!r}")
        found[name] = int(text)
    if (META_FITTED_FROM in found) != (META_FITTED_UNTIL in found):
        raise ValueError(f"{META_FITTED_FROM!r} and {META_FITTED_UNTIL!r} must be stated together")
    if found.get(META_FITTED_FROM, 0) > found.get(META_FITTED_UNTIL, 0):
        raise ValueError(f"{META_FITTED_FROM!r} is after {META_FITTED_UNTIL!r}")
    return found


def _tensor_faults(kind: str, spec: TensorSpec, onnx_type: str, shape: list[object]) -> list[str]:
    faults = []
    if onnx_type != spec.onnx_type:
        given = _PLAIN_TYPES.get(onnx_type, onnx_type)
        faults.append(f"{kind} {spec.name!r} is {given}; it must be {spec.describe()}")
    if len(shape) != len(spec.shape) + 1:
        faults.append(f"{kind} {spec.name!r} has {len(shape)} axes {shape}; it must be {spec.describe()}")
        return faults
    if isinstance(shape[0], int):
        faults.append(f"{kind} {spec.name!r} fixes the batch at {shape[0]}; the first axis must be free")
    for axis, (want, got) in enumerate(zip(spec.shape, shape[1:], strict=True), start=1):
        if want is not None and got != want:
            faults.append(f"{kind} {spec.name!r} has {got!r} on axis {axis}; it must be {spec.describe()}")
        if want is None and not isinstance(got, int):
            faults.append(f"{kind} {spec.name!r} must have a fixed length on axis {axis}, not {got!r}")
    return faults


def check_outputs(outputs: Arrays, batch: int) -> NDArray[np.bool_]:
    """Which rows of a model's answer can be believed: finite, within 0..1, summing to 1, the last the confidence.

    Returns a mask of shape [batch]. Raises ValueError when the shapes themselves are wrong.
    """
    confidence, probabilities = outputs["ml_confidence"], outputs["probabilities"]
    if confidence.shape != (batch,) or probabilities.shape != (batch, len(CLASSES)):
        raise ValueError(
            f"the model answered shapes {confidence.shape} and {probabilities.shape} for a batch of {batch}; "
            f"expected ({batch},) and ({batch}, {len(CLASSES)})"
        )
    p = probabilities.astype(np.float64)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (p <= 1 + SUM_TOLERANCE).all(axis=1)
        good &= np.abs(p.sum(axis=1) - 1) <= SUM_TOLERANCE
        good &= np.abs(p[:, 2] - confidence.astype(np.float64)) <= SUM_TOLERANCE
    mask: NDArray[np.bool_] = good
    return mask


def unanswered(outputs: Arrays) -> NDArray[np.bool_]:
    """Which rows the model gives no answer to, [batch]: probabilities and confidence are NaN throughout.

    A model says so where its question has no meaning, such as for a pattern without direction. The row falls back.
    """
    silent: NDArray[np.bool_] = np.isnan(outputs["probabilities"]).all(axis=1) & np.isnan(outputs["ml_confidence"])
    return silent


def predicted_classes(probabilities: NDArray[np.floating]) -> NDArray[np.str_]:
    """[N] from [N, 3]: the likeliest class of each row; of equal ones positive before negative before neutral.

    The same as ``ml_internal.predicted_class`` in SQL.
    """
    best = probabilities.max(axis=1, initial=0)
    place = np.where(probabilities[:, 2] >= best, 2, np.where(probabilities[:, 0] >= best, 0, 1))
    classes: NDArray[np.str_] = np.array(CLASSES)[place]
    return classes


def quality(outputs: Arrays, inputs: Arrays) -> NDArray[np.float32]:
    """[N]: the share of features that are present; of bars, for a model that shows no features."""
    seen = outputs.get("features")
    if seen is None:
        seen = np.asarray(inputs["bars"])[:, :, 3] if "bars" in inputs else np.ones((len(outputs["ml_confidence"]), 1))
    share: NDArray[np.float32] = np.isfinite(seen.astype(np.float64)).mean(axis=1).astype(np.float32)
    return share
