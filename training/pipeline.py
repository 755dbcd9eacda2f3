"""The stages joined: a dataset in, a verified artifact out. Nothing here touches the database."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import CONTRACT_VERSION, META_FITTED_FROM, META_FITTED_UNTIL, META_LABEL_HORIZON
from db_functions.progress import Stages, bar
from training import card, learners, tune
from training import features as feature_code
from training.attribution import background
from training.baseline import drift_baseline
from training.calibrate import fit_calibration
from training.check import require_valid
from training.dataset import Dataset
from training.errors import ParityFailed, TooFewRows
from training.evaluate import evaluate
from training.export import Exported, FittedModel, export, to_float32
from training.learners import Recipe
from training.split import Split, split_by_time, tuning_folds
from training.verify import GATE_ROWS, ParityReport, check_parity, golden_rows, unfaithful

FEWEST: Final = {"first fold": (60, 10), "fit": (200, 20), "calibrate": (50, 10), "test": (50, 10)}
"""Rows that each part needs in all, and of positive and of other outcomes."""
IMPORTANCE_ROWS: Final = 1_000
_FEATURE_CHUNK: Final = 2_000
_PACKAGES: Final = ("numpy", "scikit-learn", "scipy", "skl2onnx", "onnx", "onnxruntime", "spox", "ndonnx", "protobuf")
_OPTIONAL_PACKAGES: Final = ("onnxmltools", "xgboost", "xgboost-cpu", "lightgbm")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A trained, verified model with all that the registry keeps of it."""

    version: str
    algorithm: str
    onnx: bytes
    sha256: str
    contract_version: int
    inputs: list[str]
    outputs: list[str]
    feature_names: list[str]
    min_bars: int
    metrics: dict[str, Any]
    card: str
    toolchain: dict[str, str]
    drift_baseline: dict[str, Any]
    golden: bytes
    parity: ParityReport


def train(
    dataset: Dataset,
    models: Sequence[str] = learners.DEFAULT,
    *,
    combine: learners.Combine = "vote",
    parameters: learners.Parameters | None = None,
    seed: int = 0,
    version: str | None = None,
    progress: bool = False,
    size: float = 1.0,
    embargo_s: int | None = None,
    search: tune.Search | None = None,
) -> Artifact:
    """Split, compute features, search for parameters if asked to, fit, calibrate, evaluate, export, check and verify.

    Equal datasets, models and seeds give equal bytes. ``size`` scales the number of trees, for tests. Raises
    TooFewRows, StaleSearch, UnknownLearner, LearnerNotInstalled, InvalidModel, and ParityFailed, naming the learner,
    when the file does not answer as the fitted model does.
    """
    recipe = Recipe(tuple(learners.check_names(models)), combine, parameters or {}, seed, size)
    recipe.unfitted(len(dataset))  # A library that is missing is missed before any work.
    split = split_by_time(dataset, embargo_s=embargo_s)
    require_enough(dataset, split)
    with Stages(6 if search else 5, shown=progress) as stage:
        stage("features")
        features = compute_features(dataset, progress=progress)
        found = None
        if search:
            stage("tune")
            found = tune.search(dataset, features, tuning_folds(dataset, split), recipe, search, progress=progress)
            recipe = replace(recipe, parameters=found.parameters(recipe.parameters))
        stage("fit")
        model = _fit(dataset, features, split, recipe, progress)
        stage("evaluate")
        test = split.test
        known = dataset.positive[split.fit].mean()
        held_out = model.answer_from(features[test])["ml_confidence"]
        metrics = evaluate(held_out, dataset.take(test), known_rate=float(known), seed=seed)
        metrics["importances"] = permutation_importances(
            model, features[test], dataset.positive[test], seed=seed, progress=progress
        )
        metrics["trained"] = {
            "rows": len(dataset),
            "from": int(dataset.detected_at[0]),
            "until": int(dataset.detected_at[-1]),
            # From here on it has learnt from nothing.
            "test_from": split.boundary + split.embargo_s,
            "positive_rate": float(known),
        }
        if recipe.parameters:
            metrics["parameters"] = recipe.parameters
        if found:
            metrics["tuning"] = found.to_dict()
        stage("export")
        rows = background.choose(features[split.fit], seed=seed)
        fitted = int(dataset.detected_at[split.fit[0]]), int(dataset.detected_at[split.fit[-1]])
        metrics |= {META_LABEL_HORIZON: dataset.horizon, META_FITTED_FROM: fitted[0], META_FITTED_UNTIL: fitted[1]}
        exported = export(model, background=rows, fitted=fitted, version=version)
        require_valid(exported.onnx)
        stage("verify")
        parity = _gate(model, exported, dataset, features, progress)
    toolchain = toolchain_versions()
    return Artifact(
        version=exported.version,
        algorithm=model.ensemble.algorithm,
        onnx=exported.onnx,
        sha256=exported.sha256,
        contract_version=CONTRACT_VERSION,
        inputs=list(exported.inputs),
        outputs=list(exported.outputs),
        feature_names=list(feature_code.FEATURE_NAMES),
        min_bars=feature_code.MIN_BARS,
        metrics=metrics,
        card=card.render(
            exported,
            dataset,
            split,
            model.calibration,
            metrics,
            parity,
            toolchain,
            recipe=recipe,
        ),
        toolchain=toolchain,
        drift_baseline=_baseline(model, dataset, features, split),
        golden=golden_rows(model, dataset).to_bytes(),
        parity=parity,
    )


def _gate(
    model: FittedModel, exported: Exported, dataset: Dataset, features: NDArray[np.float64], progress: bool
) -> ParityReport:
    try:
        return check_parity(exported.onnx, golden_rows(model, dataset, GATE_ROWS), progress=progress)
    except ParityFailed as error:
        raise ParityFailed(f"{error} ({unfaithful(model.ensemble, features[:GATE_ROWS])})") from error


def _fit(dataset: Dataset, features: NDArray[np.float64], split: Split, recipe: Recipe, progress: bool) -> FittedModel:
    """Calibrate on what ensembles fitted before each fold answer to it; fit the one that is kept on every known row."""

    def ensemble(rows: NDArray[np.intp]) -> learners.FittedEnsemble:
        return recipe.fit(features[rows], dataset.outcome[rows])

    answers = [
        ensemble(fold.fit).probabilities(features[fold.later])
        for fold in bar(split.folds, shown=progress, desc="folds", unit="fold")
    ]
    calibration = fit_calibration(np.concatenate(answers), dataset.outcome[split.calibrate])
    return FittedModel(ensemble(split.fit), calibration, dataset.horizon)


def _baseline(model: FittedModel, dataset: Dataset, features: NDArray[np.float64], split: Split) -> dict[str, Any]:
    return drift_baseline(
        to_float32(features[split.fit]),
        feature_code.FEATURE_NAMES,
        {name: dataset.inputs[name][split.fit] for name in ("pattern_type", "timeframe")},
        model.answer_from(features[split.test])["probabilities"],
    )


def compute_features(dataset: Dataset, *, progress: bool = False) -> NDArray[np.float64]:
    """Features [N, F], computed in chunks that bound memory."""
    starts = range(0, len(dataset), _FEATURE_CHUNK)
    chunks = bar(starts, shown=progress, desc="features", unit="chunk")
    return np.concatenate(
        [
            feature_code.compute(dataset.take(slice(start, start + _FEATURE_CHUNK)).inputs, np, dataset.horizon)
            for start in chunks
        ]
    )


def require_enough(dataset: Dataset, split: Split) -> None:
    """Raise TooFewRows, saying what each part needs and has, unless every part has enough."""
    lacking = [
        f"{part} has {len(index)} rows of at least {rows}, {positives} positive and {len(index) - positives} other of "
        f"at least {each} each"
        for part, index in split.parts().items()
        for rows, each in [FEWEST[part]]
        for positives in [int(dataset.positive[index].sum())]
        if len(index) < rows or min(positives, len(index) - positives) < each
    ]
    if lacking:
        classes = ", ".join(f"{count} {name}" for name, count in dataset.class_counts().items())
        raise TooFewRows(
            f"{len(dataset)} labelled rows ({classes}) are too few to train on: {'; '.join(lacking)} (after "
            f"{split.purged} purged and {split.embargoed} embargoed); label more outcomes or widen --since and --until"
        )


def permutation_importances(
    model: FittedModel,
    features: NDArray[np.float64],
    positive: NDArray[np.bool_],
    *,
    seed: int,
    progress: bool = False,
) -> dict[str, float]:
    """How much the Brier score rises when a feature's column is shuffled, over at most IMPORTANCE_ROWS rows."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(features))[:IMPORTANCE_ROWS])
    matrix, hit = features[rows], positive[rows]

    def brier(values: NDArray[np.float64]) -> float:
        return float(np.mean((model.answer_from(values)["ml_confidence"] - hit) ** 2))

    base = brier(matrix)
    names = feature_code.FEATURE_NAMES
    rises = {}
    for column, name in enumerate(bar(names, shown=progress, desc="importances", unit="feature")):
        shuffled = matrix.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        rises[name] = brier(shuffled) - base
    return rises


def toolchain_versions() -> dict[str, str]:
    """Python and the packages that had a part in the file."""
    versions = {"python": platform.python_version(), **{name: installed(name) for name in _PACKAGES}}
    for name in _OPTIONAL_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = installed(name)
    return versions
