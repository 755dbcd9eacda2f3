"""Attributions: equal to shap's and to Shapley's definition, sums exact, standard errors honest, nothing guessed."""

from __future__ import annotations

import base64
import itertools
import json
import warnings
from collections.abc import Callable
from functools import cache
from math import factorial
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from db_functions.model import open_session
from tests.support import small_model as model_without_background
from tests.training_support import small_dataset, small_features, small_model
from training.attribution import background, permutations, trees
from training.attribution.explainer import Explainer
from training.check import check_model
from training.correction import TARGET, Ensemble
from training.errors import NotExplainable
from training.export import FittedModel, export, to_float32
from training.learners import FittedEnsemble
from training.regressors import DEFAULT, LEARNERS

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

EXPLAINED = slice(900, 905)


@cache
def explainer(models: tuple[str, ...] = DEFAULT) -> Explainer:
    return explainer_of(small_model(models))


def explainer_of(model: FittedModel, rows: int = background.ROWS) -> Explainer:
    return Explainer(export(model, background=background.choose(small_features()[:800], seed=3, rows=rows)).onnx)


def explained_rows() -> Rows:
    return to_float32(small_features()[EXPLAINED])


def shapley(game: Callable[[NDArray[np.bool_]], float], players: int) -> Floats:
    """By definition: over all coalitions."""
    value = {held: game(np.array(held)) for held in itertools.product([False, True], repeat=players)}
    found = np.zeros(players)
    for held, worth in value.items():
        size = sum(held)
        for player in np.flatnonzero(~np.array(held)):
            more = tuple(own or i == player for i, own in enumerate(held))
            share = factorial(size) * factorial(players - size - 1) / factorial(players)
            found[player] += share * (value[more] - worth)
    return found


def interventional(answer: Callable[[Rows], Floats], row: Rows, behind: Rows) -> Floats:
    return shapley(lambda held: float(answer(np.where(held, row, behind)).mean()), len(row))


# Against shap


@pytest.fixture(scope="module")
def shap() -> Any:
    with warnings.catch_warnings():
        # It imports parts of matplotlib that will go.
        warnings.simplefilter("ignore")
        import shap
    return shap


def shaps_own(shap: Any, estimator: Any, rows: Rows, behind: Rows) -> Floats:
    if hasattr(estimator, "steps"):
        scaler, regression = (step for _, step in estimator.steps)
        found = shap.LinearExplainer(regression, scaler.transform(behind)).shap_values(scaler.transform(rows))
    else:
        explain = shap.TreeExplainer(estimator, behind, feature_perturbation="interventional", model_output="raw")
        found = explain.shap_values(rows, check_additivity=False)
    return np.asarray(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_members_are_explained_as_by_shap(shap: Any, name: str) -> None:
    ensemble = small_ensemble((name,))
    found = explainer_of(small_model((name,)))
    member = found.members.read[name]
    (fitted,) = ensemble.members
    placed, behind = (ensemble.grid.place(rows, np).astype(np.float64) for rows in (explained_rows(), found.background))
    theirs = shaps_own(shap, fitted.estimator, placed, behind).reshape(placed.shape)
    ours = member.attribute(explained_rows(), found.background)
    assert np.abs(theirs).max() > 1e-4
    np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_first_passage_is_a_member_that_one_feature_makes() -> None:
    found = explainer()
    parts = found.members.read["first_passage"].attribute(explained_rows(), found.background)
    assert (np.abs(parts).max(axis=0) > 0).nonzero()[0].tolist() == [TARGET]
    p = small_features()[EXPLAINED, TARGET]
    np.testing.assert_allclose(
        found.members.read["first_passage"].answer(explained_rows()), np.log(p / (1 - p)), atol=1e-5
    )


def small_ensemble(models: tuple[str, ...] = DEFAULT) -> FittedEnsemble:
    correction = small_model(models).fitted.correction
    assert isinstance(correction, Ensemble)
    return correction.fitted


# Trees as ONNX Runtime has them

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
LEVELS = np.array([0.0, 0.5, 1.0, 2.0], np.float32)
"""Of thresholds and of values, so that many a value lies on a threshold."""


def forest(rng: np.random.Generator, modes: tuple[str, ...], aggregate: str = "SUM", **more: Any) -> Any:
    """Five full trees of depth 3 over 4 features, NaN sent either way by turns."""
    nodes: dict[str, list[Any]] = {key: [] for key in ("t", "n", "f", "m", "v", "yes", "no", "nan")}
    weights: dict[str, list[Any]] = {key: [] for key in ("t", "n", "w")}
    for tree, node in itertools.product(range(5), range(15)):
        leaf = node >= 7
        feature, mode = (0, "LEAF") if leaf else (int(rng.integers(4)), str(rng.choice(modes)))
        below = (0, 0) if leaf else (2 * node + 1, 2 * node + 2)
        values = (tree, node, feature, mode, float(rng.choice(LEVELS)), *below, int(rng.integers(2)))
        for key, value in zip(nodes, values, strict=True):
            nodes[key].append(value)
        if leaf:
            for key, value in zip(weights, (tree, node, float(rng.normal(0, 0.5))), strict=True):
                weights[key].append(value)
    given: dict[str, Any] = {"base_values": [0.25], "post_transform": "NONE", "target_ids": [0] * len(weights["t"])}
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["p"], domain="ai.onnx.ml",
        nodes_treeids=nodes["t"], nodes_nodeids=nodes["n"], nodes_featureids=nodes["f"], nodes_modes=nodes["m"],
        nodes_values=nodes["v"], nodes_truenodeids=nodes["yes"], nodes_falsenodeids=nodes["no"],
        nodes_missing_value_tracks_true=nodes["nan"], target_treeids=weights["t"], target_nodeids=weights["n"],
        target_weights=weights["w"], n_targets=1, aggregate_function=aggregate, **(given | more),
    )  # fmt: skip


def run(node: onnx.NodeProto, rows: Rows) -> Floats:
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", None])],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    (answer,) = open_session(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()).run(
        ["p"], {"x": rows}
    )
    return np.asarray(answer, np.float64)


def mixed_rows(rng: np.random.Generator, count: int) -> Rows:
    rows = rng.choice(LEVELS, (count, 4))
    rows[rng.random(rows.shape) < 0.25] = np.nan
    return rows


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), MODES])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_trees_answer_as_onnx_runtime_does(modes: tuple[str, ...], aggregate: str) -> None:
    rng = np.random.default_rng(5)
    node, rows = forest(rng, modes, aggregate), mixed_rows(rng, 300)
    read, answer = trees.read(node), run(node, rows)
    assert len(np.unique(answer)) > 50
    np.testing.assert_allclose(read.answer(rows), answer[:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("modes", [("BRANCH_LEQ",), MODES])
def test_trees_are_explained_by_the_definition_of_shapley(modes: tuple[str, ...]) -> None:
    rng = np.random.default_rng(6)
    read = trees.read(forest(rng, modes))
    rows, behind = mixed_rows(rng, 10), mixed_rows(rng, 7)
    expected = [interventional(read.answer, row, behind) for row in rows]
    np.testing.assert_allclose(read.attribute(rows, behind), expected, atol=1e-12)
    assert np.abs(expected).max() > 0.1


def test_many_leaves_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    node, rows, behind = forest(rng, MODES), mixed_rows(rng, 10), mixed_rows(rng, 7)
    whole = trees.read(node)
    monkeypatch.setattr(trees, "_BLOCK", 10)
    parted = trees.read(node)
    assert len(parted.blocks) > len(whole.blocks) == 1
    np.testing.assert_allclose(parted.attribute(rows, behind), whole.attribute(rows, behind), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"post_transform": "PROBIT"}, "end in PROBIT of the sum"),
        ({"aggregate": "MAX"}, "end in NONE of the max"),
        ({"target_ids": [0, 1] * 20}, "no sum over one target"),
    ],
)
def test_trees_that_are_no_sum_over_one_target_are_refused(change: dict[str, Any], said: str) -> None:
    node = forest(np.random.default_rng(1), MODES, **change)
    with pytest.raises(NotExplainable, match=said):
        trees.read(node)


# The whole


@pytest.mark.slow
def test_what_is_recorded_gives_the_score_again_to_the_bit() -> None:
    data = export(small_model(), background=explainer().background).onnx
    session = open_session(data)
    inputs = {item.name: small_dataset().inputs[item.name] for item in session.get_inputs()}
    scores, features = session.run(["ml_confidence", "features"], inputs)
    assert np.isnan(features).any()
    np.testing.assert_array_equal(explainer().answer(features).astype(np.float32), scores)
    grid = small_ensemble().grid
    np.testing.assert_array_equal(grid.place(small_features(), np), grid.place(to_float32(small_features()), np))


def test_contributions_add_up() -> None:
    found = explainer()
    explained = found.explain(explained_rows(), range(5)).attributions
    assert [a.member for a in explained[0]] == [None, "first_passage", *DEFAULT]
    assert [a.scale for a in explained[0]] == ["probability", *["log_odds"] * 4]
    expected = small_model().answer_from(small_features()[EXPLAINED])["ml_confidence"]
    for (whole, *members), score in zip(explained, expected, strict=True):
        assert whole.answer == pytest.approx(score, abs=1e-6)
        assert whole.base == pytest.approx(found.answer(found.background).mean(), abs=1e-12)
        assert whole.base + whole.contributions.sum() == pytest.approx(whole.answer, abs=1e-12)
        for one in members:
            assert one.base + one.contributions.sum() == pytest.approx(one.answer, abs=1e-6)


def test_members_answer_what_the_fitted_learners_do() -> None:
    explained = explainer().explain(explained_rows(), range(5)).attributions
    ensemble = small_ensemble()
    placed = ensemble.grid.place(explained_rows(), np)
    # After the whole and first passage.
    for number, member in enumerate(ensemble.members, start=2):
        np.testing.assert_allclose([row[number].answer for row in explained], member.correction(placed), atol=1e-6)


def test_the_same_seed_gives_the_same_figures_whatever_is_explained_beside() -> None:
    alone = explainer().explain(explained_rows()[2:3], [2]).attributions[0][0]
    among = explainer().explain(explained_rows(), range(5)).attributions[2][0]
    np.testing.assert_array_equal(alone.contributions, among.contributions)
    other = explainer().explain(explained_rows()[2:3], [3]).attributions[0][0]
    assert not np.array_equal(alone.contributions, other.contributions)


def rough(rows: Rows) -> Floats:
    """Features that act together, and one that does nothing."""
    x = rows.astype(np.float64)
    return np.asarray(np.tanh(x[:, 0] * x[:, 1] + x[:, 2]) + (x[:, 0] > 0) * x[:, 3] * x[:, 2])


def test_the_estimate_is_of_the_shapley_values() -> None:
    rng = np.random.default_rng(8)
    row, behind = rng.normal(size=5).astype(np.float32), rng.normal(size=(6, 5)).astype(np.float32)
    behind[0, 1], row[2] = row[1], behind[1, 2]
    expected = interventional(rough, row, behind)
    found = permutations.estimate(rough, row, behind, rng, pairs=400)
    assert found.errors[:4].min() > 0
    assert found.contributions[4] == found.errors[4] == 0
    np.testing.assert_array_less(np.abs(found.contributions - expected), 4 * found.errors + 1e-12)
    assert found.contributions.sum() == pytest.approx(rough(row[None])[0] - rough(behind).mean(), abs=1e-12)
    assert np.abs(expected[[0, 2]]).min() > 10 * found.errors.max()


def test_a_background_row_like_the_one_explained_has_no_part() -> None:
    row = np.array([1, np.nan], np.float32)
    found = permutations.estimate(lambda rows: np.nansum(rows, axis=1), row, row[None], np.random.default_rng(1))
    np.testing.assert_array_equal(found.contributions, [0, 0])


def test_standard_errors_are_what_other_seeds_differ_by() -> None:
    found = explainer_of(small_model(), rows=12)
    row = explained_rows()[:1]

    def errors(seed: int, pairs: int) -> tuple[Floats, Floats]:
        whole = found.explain(row, [seed], pairs=pairs).attributions[0][0]
        assert whole.standard_errors is not None
        return whole.contributions, whole.standard_errors

    contributions, stated_by_run = (
        np.array(part) for part in zip(*(errors(seed, 2) for seed in range(60)), strict=True)
    )
    spread = contributions.std(axis=0, ddof=1)
    stated = np.sqrt(np.square(stated_by_run).mean(axis=0))
    large = np.argsort(-spread)[:15]
    # Of 60 runs a standard deviation is known to a tenth.
    ratio = stated[large] / spread[large]
    assert 0.9 < ratio.mean() < 1.1
    assert ratio.min() > 0.6
    assert ratio.max() < 1.5
    more = np.mean([errors(seed, 8)[1] for seed in range(3)])
    assert more == pytest.approx(stated.mean() / 2, rel=0.2)


# What cannot be explained, and why


def test_a_file_without_background_says_so() -> None:
    with pytest.raises(NotExplainable, match="background"):
        Explainer(export(small_model()).onnx)


def test_a_model_that_sees_more_than_its_features_says_what() -> None:
    model = onnx.load_model_from_string(model_without_background("m"))
    helper.set_model_props(model, _properties(model) | {"background": background.encode(np.ones((3, 2), np.float32))})
    with pytest.raises(NotExplainable, match="'bars'"):
        Explainer(model.SerializeToString())


def test_a_model_without_features_says_so() -> None:
    model = onnx.load_model_from_string(model_without_background("m"))
    del model.graph.output[2]
    with pytest.raises(NotExplainable, match="features"):
        Explainer(model.SerializeToString())


def _properties(model: onnx.ModelProto) -> dict[str, str]:
    return {item.key: item.value for item in model.metadata_props}


def _changed(**changes: str) -> onnx.ModelProto:
    model = onnx.load_model_from_string(export(small_model(), background=explainer().background).onnx)
    helper.set_model_props(model, _properties(model) | changes)
    return model


def test_a_member_that_is_not_what_it_seems_is_not_explained() -> None:
    model = _changed()
    named = json.loads(_properties(model)["members"])
    # The forest's answers doubled afterwards, which its leaves know nothing of; first passage times features.
    model.graph.node.extend(
        [
            helper.make_node("Add", [named["random_forest"]] * 2, ["twice"]),
            helper.make_node("Cast", [entry_of(model)], ["wide"], to=onnx.TensorProto.DOUBLE),
            helper.make_node("Mul", ["wide", named["first_passage"]], ["product"]),
            helper.make_node("Add", [named["random_forest"], named["gradient_boosting"]], ["both"]),
        ]
    )
    changed = named | {"random_forest": "twice", "first_passage": "product", "everything": "both"}
    helper.set_model_props(model, _properties(model) | {"members": json.dumps(changed)})
    found = Explainer(model.SerializeToString())
    assert list(found.members.read) == ["logistic", "gradient_boosting"]
    assert found.members.unread.keys() == {"first_passage", "random_forest", "everything"}
    assert found.explain(explained_rows(), range(5)).unread == found.members.unread


def entry_of(model: onnx.ModelProto) -> str:
    """The output that holds the features."""
    return str(next(item.name for item in model.graph.output if item.name == "features"))


def test_trees_that_see_the_features_in_another_order_are_not_explained() -> None:
    model = _changed()
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    order = onnx.numpy_helper.from_array(np.arange(len(small_features()[0]))[::-1].copy(), "backwards")
    model.graph.initializer.append(order)
    gather = helper.make_node("Gather", [node.input[0], "backwards"], ["turned"], axis=1)
    model.graph.node.insert(list(model.graph.node).index(node), gather)
    node.input[0] = "turned"
    found = Explainer(model.SerializeToString())
    assert list(found.members.read) == ["first_passage", "logistic", "gradient_boosting"]
    assert found.members.unread.keys() == {"random_forest"}
    assert "column" in found.members.unread["random_forest"]


# What a file says of itself


def test_background_rows_come_back_as_they_were() -> None:
    rows = background.choose(small_features(), seed=1)
    assert rows.shape == (100, small_features().shape[1])
    assert np.isnan(rows).any()
    np.testing.assert_array_equal(background.decode(background.encode(rows), rows.shape[1]), rows)
    np.testing.assert_array_equal(background.choose(small_features(), seed=1), rows)
    assert not np.array_equal(background.choose(small_features(), seed=2), rows, equal_nan=True)
    assert len(background.choose(small_features()[:7], seed=1)) == 7


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"background": "no!"}, "metadata 'background' must hold rows of the output 'features' as base64: not base64"),
        ({"background": base64.b64encode(b"12345").decode()}, "5 bytes"),
        ({"background": ""}, "0 bytes"),
        ({"members": "[1]"}, "metadata 'members' must be a JSON object of tensor names"),
        ({"members": '{"forest": "nowhere"}'}, "'nowhere'"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(changes: dict[str, str], fault: str) -> None:
    (found,) = check_model(_changed(**changes).SerializeToString())
    assert fault in found
