"""Surfaces of real models: the formula says what the graph would, and other models are asked pair by pair."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import ndonnx as ndx
import numpy as np
import pytest

from db_functions.gather import Gathered
from db_functions.model import Model, load
from tests.support import small_model as without_levels
from tests.training_support import small_candidate, small_dataset, small_export
from training.correction import CANDIDATES
from training.export import export, write
from worker.serving.surfaces import MOST_ASKED, Question, Trust, answer

ROW = 5
KNOWN = Trust(proven=True, ranges={"first_passage_target": (0.05, 0.95), "first_passage_stop": (0.05, 0.95)})


def loaded(data: bytes) -> Model:
    return load(1, "tried", data, hashlib.sha256(data).hexdigest())


def candidate_of(name: str) -> Model:
    exported = small_export() if name == "ensemble" else export(small_candidate(name))
    return loaded(exported.onnx)


def one_row() -> Gathered:
    return Gathered({name: values[ROW : ROW + 1] for name, values in small_dataset().inputs.items()}, np.array([128]))


def asked(size: int = 6, cost_bps: float = 0.0) -> Question:
    """Levels around the close, some of them so near or far that probabilities end."""
    inputs = one_row().inputs
    close, side = float(inputs["bars"][0, -1, 3]), float(inputs["direction"][0])
    steps = np.geomspace(0.002, 0.2, size)
    return Question((close * np.exp(side * steps)).tolist(), (close * np.exp(-side * steps)).tolist(), 20, cost_bps)


def through_the_graph(model: Model, question: Question) -> Any:
    row = one_row()
    pairs = np.array(list(itertools.product(question.targets or (), question.stops or ())))
    inputs = {name: np.repeat(row.inputs[name], len(pairs), axis=0) for name in model.input_names}
    inputs["levels"][:, [2, 4]] = pairs
    return model.run(inputs)["probabilities"].reshape(len(question.targets or ()), -1, 3)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_formula_says_what_the_graph_does(candidate: str) -> None:
    model, question = candidate_of(candidate), asked()
    found = answer(model, one_row(), KNOWN, question)
    assert found["reason"] == "answered"
    assert found["by_formula"]
    expected = through_the_graph(model, question)
    for place, name in enumerate(("p_stop", "p_neither", "p_target")):
        np.testing.assert_allclose(found[name], expected[:, :, place], atol=1e-6)
    drawn = {name: found["drawn"][name] for name in ("p_stop", "p_neither", "p_target")}
    (own,) = model.run({name: one_row().inputs[name] for name in model.input_names})["probabilities"]
    assert list(drawn.values()) == pytest.approx(own.tolist(), abs=1e-6)


def test_first_passage_alone_finds_no_pair_better() -> None:
    model = candidate_of("first_passage")
    found = answer(model, one_row(), KNOWN, asked(cost_bps=10))
    assert (found["best"], found["verdict"]) == (None, "none surely better")
    assert np.max(found["expected_value"]) < 0
    assert not np.any(found["outside"])


def test_a_best_pair_needs_evidence_a_gain_and_known_ground() -> None:
    model, question = candidate_of("ridge"), asked()
    found = answer(model, one_row(), KNOWN, question)
    moved = np.array(found["expected_value"])
    assert np.all(moved >= -1e-6) or np.all(moved <= 1e-6), "one correction moves every pair one way"
    if moved.max() > 1e-4:
        best = found["best"]
        assert not best["outside"]
        inside = np.where(found["outside"], -np.inf, moved)
        assert best["expected_value"] == pytest.approx(inside.max())
        assert best["least_value"] == pytest.approx(inside.max() / 2, abs=1e-6)
    assert np.any(found["outside"])
    for trust in (Trust(proven=False, ranges=KNOWN.ranges), Trust(proven=True, ranges=None)):
        assert answer(model, one_row(), trust, question)["best"] is None
    dear = Question(question.targets, question.stops, 20, 1000.0)
    assert answer(model, one_row(), KNOWN, dear)["best"] is None


def foreign_model() -> Model:
    """One that reads levels in its own way."""
    levels = ndx.argument(shape=("N", 5), dtype=ndx.float64)
    target = ndx.astype(1 / (1 + ndx.exp((levels[:, 2:3] - levels[:, 4:5]) / 10)), ndx.float32)
    p = ndx.concat([(1 - target) / 2, (1 - target) / 2, target], axis=1)
    return loaded(write({"levels": levels}, {"ml_confidence": p[:, 2], "probabilities": p}, min_bars=1))


def test_another_kind_of_model_is_asked_pair_by_pair() -> None:
    model, question = foreign_model(), asked()
    found = answer(model, one_row(), KNOWN, question)
    assert not found["by_formula"]
    np.testing.assert_allclose(found["p_target"], through_the_graph(model, question)[:, :, 2], atol=1e-6)
    size = int(MOST_ASKED**0.5)
    assert answer(model, one_row(), KNOWN, asked(size))["reason"] == "answered"
    refused = answer(model, one_row(), KNOWN, asked(size + 1))
    assert refused["reason"] == "failed"
    assert "p_target" not in refused
    blind = answer(loaded(without_levels("blind")), one_row(), KNOWN, question)
    assert (blind["reason"], "p_target" in blind) == ("failed", False)


def test_no_surface_without_bars_direction_or_sense() -> None:
    model = candidate_of("first_passage")
    row, question = one_row(), asked()
    still = {**row.inputs, "direction": np.zeros(1)}
    swapped = Question(question.stops, question.targets, 20, 0.0)
    for inputs, seen, wanted, reason in (
        (row.inputs, 3, question, "insufficient_bars"),
        (still, 128, question, "low_quality"),
        (row.inputs, 128, swapped, "answered"),
    ):
        found = answer(model, Gathered(inputs, np.array([seen])), KNOWN, wanted)
        assert found["reason"] == reason
    assert {value for line in found["p_target"] for value in line} == {None}
    assert found["best"] is None
