"""The learned weight of the model beside the rule: the best under its prior, with an error by blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training_support import small_artifact, small_dataset
from training.blend import PRIOR_ROWS, learn, weigh
from training.blocks import blocks_of, uniqueness
from training.cli.summary import summarise
from training.dataset import Dataset

Floats = NDArray[np.float64]


def _case(weight: float, rows: int = 6_000, seed: int = 0) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """x, e and blocks of outcomes drawn from the blend of two answers in which the model has ``weight``."""
    rng = np.random.default_rng(seed)
    ml, rule = rng.uniform(0.1, 0.9, (2, rows))
    hit = (rng.random(rows) < weight * ml + (1 - weight) * rule).astype(np.float64)
    return ml - rule, hit - rule, np.arange(rows) // 20


def _with_rule(rule: Floats) -> Dataset:
    data = small_dataset()
    return replace(data, inputs={**data.inputs, "rule_confidence": rule})


def test_the_weight_is_the_least_penalised_error_and_its_error_a_sum_by_blocks() -> None:
    x, e, block = _case(0.6, rows=400)
    found = weigh(x, e, block, 0.3)
    grid = np.linspace(0, 1, 100_001)
    loss = 0.3 * (np.sum(e**2) - 2 * grid * np.sum(x * e) + grid**2 * np.sum(x**2))
    loss += PRIOR_ROWS * np.mean(x**2) * (grid - 1) ** 2
    assert found.ml_weight == pytest.approx(grid[np.argmin(loss)], abs=1e-5)
    total = 0.0
    for number in range(20):
        total += sum(x[row] * (e[row] - found.ml_weight * x[row]) for row in range(400) if block[row] == number) ** 2
    assert found.standard_error == pytest.approx((20 / 19 * total) ** 0.5 / sum(x**2))
    assert (found.rows, found.blocks) == (400, 20)


@pytest.mark.parametrize("weight", [0.25, 0.6, 0.9])
def test_a_planted_weight_is_found(weight: float) -> None:
    found = [weigh(*_case(weight, seed=seed), 1.0) for seed in range(40)]
    weights = np.array([one.ml_weight for one in found])
    assert weights.mean() == pytest.approx(weight, abs=0.02)
    errors = [one.standard_error for one in found if one.standard_error is not None]
    assert np.mean(errors) == pytest.approx(weights.std(), rel=0.35)


def test_it_stays_within_0_and_1_and_near_1_without_many_rows() -> None:
    x, e, block = _case(0.5)
    assert weigh(x, -3 * np.abs(e) * np.sign(x), block, 1.0).ml_weight == 0.0
    assert weigh(x, 3 * x, block, 1.0).ml_weight == 1.0
    assert weigh(x[:5], e[:5] * 0, block[:5], 1.0).ml_weight == pytest.approx(PRIOR_ROWS / (PRIOR_ROWS + 5))
    # Overlapping labels say less.
    assert weigh(x[:500], e[:500], block[:500], 0.01).ml_weight > weigh(x[:500], e[:500], block[:500], 1.0).ml_weight


def test_a_rule_that_says_nothing_leaves_the_model_alone() -> None:
    rng = np.random.default_rng(3)
    ml, rule = rng.uniform(0.2, 0.8, (2, 20_000))
    hit = (rng.random(20_000) < ml).astype(np.float64)
    found = weigh(ml - rule, hit - rule, np.arange(20_000) // 20, 1.0)
    assert found.standard_error is not None
    assert found.ml_weight > 1 - 3 * found.standard_error > 0.9
    # The two always agree: any weight is as good, and nothing can be said of it.
    same = weigh(np.zeros(10), np.ones(10), np.arange(10), 1.0)
    assert (same.ml_weight, same.standard_error) == (1.0, None)
    assert weigh(np.ones(10), np.ones(10), np.zeros(10, np.int64), 1.0).standard_error is None


def test_only_rows_with_a_rule_confidence_count_and_without_any_there_is_no_weight() -> None:
    data = small_dataset()
    p = np.full(len(data), 0.4)
    known = np.isfinite(data.inputs["rule_confidence"])
    rule = data.inputs["rule_confidence"][known]
    hit = data.positive[known].astype(np.float64)
    expected = weigh(p[known] - rule, hit - rule, blocks_of(data)[known], uniqueness(data.take(known)))
    assert learn(p, data) == expected
    assert 0 < known.sum() < len(data)
    assert learn(p, _with_rule(np.full(len(data), np.nan))) is None


@pytest.mark.slow
def test_training_keeps_it_with_what_it_was_measured_on_and_says_so() -> None:
    artifact = small_artifact()
    kept = artifact.metrics["weights"]
    assert kept.keys() == {"ml_weight", "standard_error", "rows", "blocks", "measured_on"}
    assert kept["measured_on"] == "forward folds"
    assert 0 <= kept["ml_weight"] <= 1
    assert 0 < kept["rows"] < artifact.metrics["rows"], "rows without a rule confidence are not counted"
    line = f"Learned weights: {kept['ml_weight']:.3f} for the model"
    assert line in summarise(artifact)
    assert line in artifact.model_card


def test_training_keeps_its_evidence_against_first_passage_in_one_place() -> None:
    metrics = small_artifact().metrics
    assert metrics["evidence"] == {
        "measured_on": "forward folds",
        "rows": metrics["rows"],
        "candidate": "ensemble",
        "against": "first_passage",
        "brier_minus_first_passage": metrics["ml_minus_first_passage_served"]["brier"],
    }
