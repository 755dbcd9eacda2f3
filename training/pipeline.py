"""The stages joined: a dataset in, a verified artifact out. Nothing here touches the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import CONTRACT_VERSION, META_FITTED_FROM, META_FITTED_UNTIL, META_LABEL_HORIZON
from db_functions.progress import Stages
from db_functions.registry import Registration
from training import blend, blocks, card, learners, regressors, tune
from training import features as feature_code
from training.attribution import background
from training.baseline import drift_baseline
from training.candidates import Choice, check_candidate, choose, forward, refit
from training.check import require_valid
from training.correction import TARGET, Ensemble, Fitted, Rows
from training.dataset import Dataset
from training.errors import ParityFailed, TooFewRows
from training.evaluate import evaluate
from training.export import Exported, FittedModel, export
from training.features import FIRST_PASSAGE_NAMES
from training.importances import permutation_importances
from training.learners import Recipe
from training.metrics import number
from training.prepare import Prepared, prepare
from training.split import FOLDS, HELD_OUT, TEST_SHARE, Index, Split, split_by_time, tuning_folds
from training.toolchain import toolchain_versions
from training.verify import (
    GATE_ROWS,
    GOLDEN_ROWS,
    ParityReport,
    check_parity,
    choose_rows,
    golden_rows,
    unfaithful,
)

FEWEST: Final = {"first fold": (60, 10), "fit": (200, 20), "folds": (50, 10), "test": (50, 10)}
"""Rows that each part needs in all, and of positive and of other outcomes."""
PLAIN_TARGET: Final = feature_code.FEATURE_NAMES.index(FIRST_PASSAGE_NAMES[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Registration):
    """A trained, verified model: what is registered, and the parity of its golden rows."""

    parity: ParityReport


def train(
    data: Dataset | Prepared,
    models: Sequence[str] = regressors.DEFAULT,
    *,
    candidate: str | None = None,
    refit: bool = True,
    champion: NDArray[np.float64] | None = None,
    parameters: regressors.Parameters | None = None,
    seed: int = 0,
    version: str | None = None,
    progress: bool = False,
    size: float = 1.0,
    embargo_s: int | None = None,
    search: tune.Search | None = None,
) -> Artifact:
    """Split, compute features, search for parameters if asked to, choose, fit, evaluate, export, check and verify.

    ``models`` are the learners of the candidate ``ensemble``. The simplest of the candidates that does as well as the
    best on forward folds is kept (``candidates``), or the one named as ``candidate``. It is fitted on every row at the
    end, and the metrics are those of the folds; without ``refit`` the last fifth is held out from the beginning, and
    the metrics are of that. ``champion`` is P(positive) [N] of the model to compare with, NaN for rows that it has
    learned from, where the rows are not prepared with it.

    Equal datasets, models and seeds give equal bytes. ``size`` scales the number of trees, for tests. Raises
    TooFewRows, StaleSearch, UnknownLearner, UnknownCandidate, LearnerNotInstalled, InvalidModel, and ParityFailed,
    naming the learner, when the file does not answer as the fitted model does.
    """
    check_candidate(candidate)
    recipe = Recipe(tuple(learners.check_names(models)), parameters or {}, seed, size)
    recipe.unfitted(1)  # Fail early when a library is missing.
    with Stages(6 if search else 5, shown=progress) as stage:
        stage("features")
        prepared = data if isinstance(data, Prepared) else prepare(data, champion, progress=progress)
        dataset, features = prepared.dataset, prepared.features
        rows = Rows(features, dataset.outcome, blocks.uniqueness(dataset))
        found = None
        split = split_by_time(dataset, test_share=0.0 if refit else TEST_SHARE, embargo_s=embargo_s)
        require_enough(dataset, split)
        if search:
            stage("tune")
            found = tune.search(dataset, rows, tuning_folds(dataset, split), recipe, search, progress=progress)
            recipe = replace(recipe, parameters=found.parameters(recipe.parameters))
        stage("fit")
        model, judged = _fit(dataset, rows, split, recipe, candidate, progress)
        stage("evaluate")
        metrics = _metrics(dataset, rows, judged, prepared.champion, seed, progress)
        metrics["trained"] = _trained(dataset, split, prepared.undefined)
        if recipe.parameters:
            metrics["parameters"] = recipe.parameters
        if found:
            metrics["tuning"] = found.to_dict()
        stage("export")
        window = _window(dataset, split)
        metrics |= {META_LABEL_HORIZON: dataset.horizon, META_FITTED_FROM: window[0], META_FITTED_UNTIL: window[1]}
        chosen = background.choose(model.own(features[split.fit]), seed=seed)
        exported = export(model, background=chosen, fitted=window, version=version)
        require_valid(exported.onnx)
        stage("verify")
        golden = golden_rows(model, prepared.read(choose_rows(dataset, GOLDEN_ROWS)))
        parity = _gate(model, exported, prepared, progress)
    toolchain = toolchain_versions()
    return Artifact(
        version=exported.version,
        algorithm=model.algorithm,
        onnx=exported.onnx,
        contract_version=CONTRACT_VERSION,
        inputs=list(exported.inputs),
        outputs=list(exported.outputs),
        feature_names=list(model.feature_names),
        min_bars=model.min_bars,
        metrics=metrics,
        model_card=card.render(exported, dataset, split, model, metrics, parity, toolchain, recipe=recipe),
        toolchain=toolchain,
        drift_baseline=_baseline(model, dataset, features, split, judged),
        golden=golden.to_bytes(),
        parity=parity,
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows that something answered without having seen them, its answers [M, 3], and a fit that had not seen the last.

    ``importance_rows`` are those that ``unseen`` may be asked about. ``kind`` is ``FOLDS`` or ``HELD_OUT``.
    """

    kind: str
    rows: Index
    answers: NDArray[np.float64]
    unseen: Fitted
    importance_rows: Index
    choice: Choice


def _gate(model: FittedModel, exported: Exported, prepared: Prepared, progress: bool) -> ParityReport:
    try:
        golden = golden_rows(model, prepared.read(choose_rows(prepared.dataset, GATE_ROWS)))
        return check_parity(exported.onnx, golden, progress=progress)
    except ParityFailed as error:
        correction = model.fitted.correction
        alone = unfaithful(correction.fitted, prepared.features[:GATE_ROWS]) if isinstance(correction, Ensemble) else ""
        raise ParityFailed(f"{error} ({alone or correction.name})") from error


def _fit(
    dataset: Dataset, rows: Rows, split: Split, recipe: Recipe, candidate: str | None, progress: bool
) -> tuple[FittedModel, Judged]:
    """Judge the candidates on the folds, and fit the one that is kept on every row that may be fitted on."""
    evidence = forward(rows, split.folds, recipe, progress=progress)
    choice = choose(evidence, dataset.outcome[evidence.judged], _blocks(dataset, evidence.judged), candidate=candidate)
    fitted = refit(rows, split.fit, choice.kept, recipe, evidence.said)
    algorithm = recipe.algorithm if choice.kept == "ensemble" else choice.kept
    model = FittedModel(fitted, dataset.horizon, algorithm)
    if len(split.test):
        answers = fitted.answer(rows.take(split.test).features)
        return model, Judged(HELD_OUT, split.test, answers, fitted, split.test, choice)
    answers, unseen = evidence.answers[choice.kept], evidence.last[choice.kept]
    return model, Judged(FOLDS, evidence.judged, answers, unseen, split.folds[-1].later, choice)


def _blocks(dataset: Dataset, index: Index) -> blocks.Block:
    return blocks.blocks_of(dataset)[index]


def _metrics(
    dataset: Dataset,
    rows: Rows,
    judged: Judged,
    champion: NDArray[np.float64] | None,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    own = dataset.take(judged.rows)
    baselines = {
        "first_passage": rows.column(PLAIN_TARGET)[judged.rows],
        "first_passage_served": rows.column(TARGET)[judged.rows],
    }
    if champion is not None:
        baselines["champion"] = champion[judged.rows]
    answers = judged.answers.astype(np.float32)[:, 2]
    known = known_rates(dataset)[judged.rows]
    weights = blend.learn(answers, own)
    served = weights.ml_weight if weights is not None else 1.0
    metrics = evaluate(answers, own, known_rate=known, baselines=baselines, ml_weight=served, seed=seed)
    metrics["measured_on"] = {
        "kind": judged.kind,
        "rows": len(own),
        "from": int(own.detected_at[0]),
        "until": int(own.detected_at[-1]),
    }
    metrics["candidates"] = judged.choice.to_dict()
    metrics["evidence"] = {
        "measured_on": judged.kind,
        "rows": len(own),
        "candidate": judged.choice.kept,
        "against": "first_passage",
        # With its corrections, as a champion that learned nothing serves it.
        "brier_minus_first_passage": metrics["ml_minus_first_passage_served"]["brier"],
    }
    if weights is not None:
        metrics["weights"] = weights.to_dict() | {"measured_on": judged.kind}
    importances = permutation_importances(judged.unseen, rows, judged.importance_rows, dataset, seed, progress)
    metrics["importances"] = {name: rise.value for name, rise in importances.items()}
    metrics["importance_errors"] = {name: number(rise.error) for name, rise in importances.items()}
    return metrics


def _window(dataset: Dataset, split: Split) -> tuple[int, int]:
    """The first and the last ``detected_at``, Unix seconds, of the rows fitted on."""
    return int(dataset.detected_at[split.fit[0]]), int(dataset.detected_at[split.fit[-1]])


def _trained(dataset: Dataset, split: Split, undefined: int) -> dict[str, Any]:
    """What was learned from; times in Unix seconds.

    Nothing detected from ``test_from`` on has a label window that meets one fitted on.
    """
    fit = dataset.take(split.fit)
    last = split.boundary + split.embargo_s if len(split.test) else int(fit.horizon_at.max()) + 1
    return {
        "rows": len(dataset),
        "from": int(dataset.detected_at[0]),
        "until": int(dataset.detected_at[-1]),
        "fitted_rows": len(fit),
        "test_from": last,
        "positive_rate": float(fit.positive.mean()),
        "undefined": undefined,
    }


def known_rates(dataset: Dataset) -> NDArray[np.float64]:
    """For each row the share of positives among the rows whose horizon had ended before it, one of each added, [N]."""
    order = np.argsort(dataset.horizon_at, kind="stable")
    before = np.searchsorted(dataset.horizon_at[order], dataset.detected_at, side="left")
    positives = np.concatenate([[0], np.cumsum(dataset.positive[order])])
    return np.asarray((positives[before] + 1) / (before + 2), np.float64)


def _baseline(
    model: FittedModel, dataset: Dataset, features: NDArray[np.float32], split: Split, judged: Judged
) -> dict[str, Any]:
    rows = split.fit
    return drift_baseline(
        model.own(features[rows]),
        model.feature_names,
        {name: dataset.inputs[name][rows] for name in ("pattern_type", "timeframe")},
        judged.answers.astype(np.float32),
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
            f"{split.purged} purged and {split.embargoed} embargoed); label more outcomes, widen --since and --until, "
            "or begin with --models first_passage, which needs no labels"
        )
