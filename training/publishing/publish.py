"""``training.publish``: a fitted scikit-learn classifier in, a registered model out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from db_functions.contract import CONTRACT_VERSION, VERSION, VERSION_RULE, WINDOW
from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.golden import Golden
from db_functions.queries import fetch_all
from training.attribution import background
from training.baseline import drift_baseline
from training.check import require_valid
from training.dataset import Dataset
from training.errors import NotPublishable
from training.export import Exported, finish, write
from training.features import MIN_BARS
from training.load import load_dataset, read_gather_settings
from training.pipeline import Artifact
from training.publishing import evidence, reporting
from training.publishing.answers import algorithm_of, classes_of, require_classifier
from training.publishing.columns import TEXTS, columns_of
from training.publishing.model import Pipeline
from training.publishing.rows import chosen_rows, fit_window, fitted_rows
from training.publishing.session import connected
from training.registry import register
from training.split import Index
from training.toolchain import toolchain_versions
from training.trial import trial_inputs
from training.verify import GATE_ROWS, GOLDEN_ROWS, ParityReport, check_parity, choose_rows

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that promotion asks for: whether the model has it, and what was found."""

    gate: str
    passed: bool
    found: str


@dataclass(frozen=True, slots=True)
class Published:
    """A registered model. ``print`` it to read what was measured and what promotion would say."""

    version: str
    sha256: str
    columns: tuple[str, ...]
    parity: ParityReport
    metrics: Mapping[str, Any]
    gates: tuple[Gate, ...]
    notes: tuple[str, ...]

    @property
    def promotable(self) -> bool:
        """Whether every gate passes now."""
        return all(gate.passed for gate in self.gates)

    def __str__(self) -> str:
        return reporting.summary(self)


def publish(
    classifier: Any,
    name: str,
    *,
    connection: Connection | None = None,
    url: str | None = None,
    rows: DataFrame | NDArray[np.floating[Any]] | None = None,
    fitted_until: datetime | int | None = None,
    fitted_from: datetime | int | None = None,
    feature_names: Sequence[str] | None = None,
    positive: Any = None,
    metrics: Mapping[str, Any] | None = None,
    description: str = "",
    min_bars: int = MIN_BARS,
    seed: int = 0,
) -> Published:
    """Register a fitted classifier as a model that answers raw bars; never promotes it.

    The classifier is converted to ONNX with the features in front of it, and must then answer as its own
    ``predict_proba`` does, within 1e-5, on real rows and in batches of 1, 256 and all. What does not convert is refused
    by the name of the step, and nothing is registered.

    Parameters
    ----------
    classifier
        A fitted scikit-learn Pipeline or classifier with ``predict_proba``, or one of XGBoost or LightGBM where
        onnxmltools is installed. Its columns are features (``training.FEATURES``, as :func:`training.load_labelled`
        gives them), and on a DataFrame also the texts ``pattern_type`` and ``timeframe``. Features are NaN where they
        are unknown, so it has to take NaN, or begin with an imputer.
    name
        The version to register it as: 1 to 100 letters, digits and ``. _ + -``. The same bytes under the same name are
        accepted again, others are refused.
    connection, url
        An open connection of psycopg, or a libpq URL; else what ``DATABASE_URL`` names. Commits.
    rows
        The rows that golden rows and parity are made from: a DataFrame indexed by pattern id, whose raw inputs are read
        from the database (default: every labelled pattern), or an array [N, C] in the classifier's columns, which must
        be answered alike besides. Without a labelled pattern a few made-up rows stand in.
    fitted_until, fitted_from
        The newest and the oldest ``detected_at`` of the rows that it was fitted on: a datetime, or Unix seconds.
        With ``fitted_until``, labelled rows later than that (and than the label windows before it) are unseen: metrics
        are measured on them, and live evidence counts from there. Without, nothing is measured, and only patterns
        detected after registration count. ``fitted_from`` is by default the oldest labelled pattern.
    feature_names
        The columns, where it was fitted on an array of other than all features.
    positive
        The label of the positive class, where that is not ``"positive"``, True, or 1 of two classes.
    metrics
        Your own figures, JSON; kept as ``metrics -> 'given'``. No gate reads them.
    description
        Markdown for the model card.
    min_bars
        1 to 128; rows with fewer bars keep their rule confidence.
    seed
        Of what is drawn: background rows, and resamples of the calibration error.

    Returns
    -------
    Published
        What was registered: parity, metrics where measured, what each gate of promotion says.

    Raises
    ------
    NotPublishable
        When it is not fitted, has no probabilities, reads a column that the model cannot compute, refuses NaN, or has
        classes whose meaning is not clear.
    NotConvertible, ParityFailed
        When a step cannot be converted, or answers otherwise once it is; the step is named.
    InvalidModel
        When the file does not keep the scoring contract (it is too large, say), or the name is taken by another file.
    PandasMissing, SchemaMissing, DatabaseUnavailable
        When these are lacking.

    Notes
    -----
    Of two classes the one that is not positive counts as negative: P(neutral) is 0 unless it is named ``"neutral"``.
    Features are rounded to 18 significant bits before the classifier sees them, here as in ``load_labelled``.
    """
    require_classifier(classifier)
    _require_sound(name, min_bars, metrics)
    columns, classes = columns_of(classifier, feature_names), classes_of(classifier, positive)
    if not columns.features:
        raise NotPublishable("the classifier reads no feature; a model without bars says nothing of a pattern")
    with connected(connection, url) as opened:
        horizon = read_gather_settings(opened).label_horizon
        dataset = load_dataset(opened)
        model = Pipeline(classifier, columns, classes, horizon)
        chosen, notes = chosen_rows(rows, dataset, model)
        window = fit_window(dataset, fitted_from, fitted_until)
        artifact = _artifact(model, name, dataset, chosen, rows, window, min_bars, seed, metrics, description)
        if window is not None and "measured_on" not in artifact.metrics:
            notes += ("too few labelled rows are unseen to measure anything on them",)
        register(opened, artifact)
        opened.commit()
        gates = _gates(opened, name)
    return Published(name, artifact.sha256, columns.names, artifact.parity, artifact.metrics, gates, notes)


def _require_sound(name: str, min_bars: int, metrics: Mapping[str, Any] | None) -> None:
    if not VERSION.fullmatch(name):
        raise NotPublishable(f"{name[:100]!r} is not a model version; use {VERSION_RULE}")
    if not 1 <= min_bars <= WINDOW:
        raise NotPublishable(f"min_bars must be from 1 to {WINDOW}, not {min_bars}")
    try:
        json.dumps(dict(metrics or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NotPublishable(f"metrics must be what JSON can hold: {error}") from error


def _artifact(
    model: Pipeline,
    name: str,
    dataset: Dataset,
    chosen: Dataset,
    rows: Any,
    window: tuple[int, int] | None,
    min_bars: int,
    seed: int,
    given: Mapping[str, Any] | None,
    description: str,
) -> Artifact:
    tried = trial_inputs(min_bars)
    inputs = chosen.take(choose_rows(chosen, GATE_ROWS)).inputs if len(chosen) else tried
    # The made-up rows lack values: a classifier that takes no NaN says so here.
    made_up, expected = model.answer(tried), model.answer(inputs)
    features = expected["features"].astype(np.float64)
    table = model.columns.table(features, inputs)
    converted = model.converted(table)
    model.require_alike(converted, table)
    model.require_alike(converted, model.columns.table(model.columns.blanked(features, min_bars), inputs))
    model.require_alike(converted, model.columns.table(made_up["features"].astype(np.float64), tried))
    if rows is not None and not hasattr(rows, "columns"):
        model.require_alike(converted, np.asarray(rows, np.float64))
    answers = model.answer_all(dataset) if len(dataset) else expected
    fitted = fitted_rows(dataset, window)
    learned = answers["features"][fitted] if len(fitted) else expected["features"]
    exported = _export(model, converted, name, learned, window, min_bars, seed)
    require_valid(exported.onnx)
    check_parity(exported.onnx, Golden(tried, made_up))
    parity = check_parity(exported.onnx, Golden(inputs, expected))
    golden = _golden(model, chosen, inputs, expected)
    unseen = evidence.unseen_rows(dataset, window[1]) if window else np.arange(0)
    found = evidence.measure(answers["ml_confidence"], dataset, unseen, seed=seed)
    found |= evidence.stated(model.horizon, window) | ({evidence.GIVEN: dict(given)} if given else {})
    return Artifact(
        version=exported.version,
        algorithm=algorithm_of(model.classifier),
        onnx=exported.onnx,
        contract_version=CONTRACT_VERSION,
        inputs=list(exported.inputs),
        outputs=list(exported.outputs),
        feature_names=list(model.columns.features),
        min_bars=min_bars,
        metrics=found,
        model_card=reporting.card(exported, model, found, parity, description),
        toolchain=toolchain_versions(),
        drift_baseline=_baseline(model, dataset, answers, fitted, unseen) if len(fitted) else {},
        golden=golden.to_bytes(),
        parity=parity,
    )


def _export(
    model: Pipeline,
    converted: Any,
    name: str,
    features: NDArray[np.float32],
    window: tuple[int, int] | None,
    min_bars: int,
    seed: int,
) -> Exported:
    inputs, outputs = model.graph(converted)
    # Scores can be explained where they follow from the features shown alone.
    alone = not model.columns.texts

    def written(version: str | None) -> bytes:
        return write(
            inputs,
            outputs,
            feature_names=model.columns.features,
            min_bars=min_bars,
            horizon=model.horizon,
            fitted=window,
            version=version,
            background=background.choose(features, seed=seed) if alone else None,
        )

    return finish(written, "", name)


def _golden(
    model: Pipeline, chosen: Dataset, inputs: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]
) -> Golden:
    if not len(chosen):
        return Golden(inputs, expected)
    few = chosen.take(choose_rows(chosen, GOLDEN_ROWS)).inputs
    return Golden(few, model.answer(few))


def _baseline(
    model: Pipeline, dataset: Dataset, answers: Mapping[str, NDArray[Any]], fitted: Index, unseen: Index
) -> dict[str, Any]:
    judged = unseen if len(unseen) else fitted
    return drift_baseline(
        answers["features"][fitted],
        model.columns.features,
        {name: dataset.inputs[name][fitted] for name in TEXTS},
        answers["probabilities"][judged],
    )


def _gates(connection: Connection, version: str) -> tuple[Gate, ...]:
    with translated(), connection.transaction():
        return tuple(fetch_all(connection, "gates", class_row(Gate), {"version": version}))
