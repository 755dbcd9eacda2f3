"""Metrics equal scikit-learn's, intervals behave, and what is undefined says so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tests.training_support import small_dataset
from training import blocks
from training.baseline import count, drift_baseline, histogram
from training.dataset import Dataset
from training.evaluate import Verdict, evaluate, verdict
from training.metrics import (
    ECE_BINS,
    LOG_CLIP,
    expected_calibration_error,
    figures,
    mass_bins,
    reliability,
    roc_auc,
)

Floats = NDArray[np.float64]


def _scores(rows: int, seed: int = 0, decimals: int = 2) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(rows), decimals)
    return p, (rng.random(rows) < 0.3 + 0.4 * p).astype(np.float64)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_metrics_equal_scikit_learns(decimals: int) -> None:
    p, hit = _scores(700, decimals=decimals)
    clipped = np.clip(p, LOG_CLIP, 1 - LOG_CLIP)
    found = figures(p, hit)
    assert found["brier"] == pytest.approx(brier_score_loss(hit, p), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(hit, clipped), abs=1e-12)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(hit, p), abs=1e-12)


def test_the_error_of_an_auc_is_what_other_samples_differ_by() -> None:
    """Rows in clusters of ten that share their luck, over and over: the stated error against the real one."""
    aucs, stated = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        luck = np.repeat(rng.normal(0, 1, 40), 10)
        p = expit(rng.normal(0, 0.5, 400) + luck)
        hit = rng.random(400) < expit(luck)
        block = np.repeat(np.arange(40), 10)
        auc, part = roc_auc(p, hit.astype(np.float64))
        aucs.append(auc)
        stated.append(blocks.mean(part, block).error)
    assert np.mean(stated) == pytest.approx(np.std(aucs), rel=0.15)


def test_calibration_error_by_hand() -> None:
    p, hit = _scores(1_000, decimals=12)
    order = np.argsort(p)
    bins = np.array_split(order, ECE_BINS)
    expected = sum(len(rows) / 1_000 * abs(p[rows].mean() - hit[rows].mean()) for rows in bins)
    assert expected_calibration_error(p, hit) == pytest.approx(expected, abs=2e-3)
    assert expected_calibration_error(np.full(10, 0.5), np.array([0.0, 1.0] * 5)) == 0
    assert expected_calibration_error(np.full(10, 0.9), np.array([0.0, 1.0] * 5)) == pytest.approx(0.4)


def test_equal_predictions_share_a_bin() -> None:
    p, _ = _scores(500, decimals=1)
    number = mass_bins(p)
    assert all(len(np.unique(number[p == value])) == 1 for value in np.unique(p))


def test_reliability_bins_cover_every_row() -> None:
    p, hit = _scores(400)
    table = reliability(p, hit)
    assert sum(entry["rows"] for entry in table) == 400
    for entry in table:
        assert entry["from"] <= entry["predicted"] <= entry["to"]
        assert entry["observed_low"] <= entry["observed"] <= entry["observed_high"]


def _better_than_rule() -> tuple[Floats, Dataset]:
    data = small_dataset()
    return np.where(data.positive, 0.95, 0.05), data


def test_a_better_model_shows_in_the_paired_differences() -> None:
    p, data = _better_than_rule()
    found = evaluate(p, data, known_rate=0.4, seed=1, resamples=200)
    paired = found["with_rule"]
    for metric in ("brier", "log_loss", "ece"):
        assert paired["ml_minus_rule"][metric]["high"] < 0, metric
    assert paired["ml_minus_rule"]["roc_auc"]["low"] > 0
    for name in ("ml", "rule", "served", "blend", "ml_minus_rule", "served_minus_rule", "blend_minus_rule"):
        for entry in paired[name].values():
            assert entry["low"] <= entry["high"]
    difference = paired["ml"]["brier"]["value"] - paired["rule"]["brier"]["value"]
    assert paired["ml_minus_rule"]["brier"]["value"] == pytest.approx(difference)


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_calibration_error_lies_within_its_own_interval(spread: float) -> None:
    """Resampled rows repeat: of an answer that is right in every bin, each draw shows more error than there is."""
    data = small_dataset()
    group = np.arange(len(data)) % 5
    right = np.array([data.positive[group == one].mean() for one in range(5)])[group]
    p = np.clip(right + spread * (group - 2) / 2, 0, 1)
    found = evaluate(p, data, known_rate=0.4, seed=1, resamples=200)
    for name in ("ml", "base", "ml_minus_base"):
        entry = found[name]["ece"]
        assert entry["low"] <= entry["value"] <= entry["high"], name
        assert name == "ml_minus_base" or entry["low"] >= 0


def test_the_same_answer_differs_by_exactly_nothing() -> None:
    data = small_dataset()
    rule = data.inputs["rule_confidence"]
    found = evaluate(np.nan_to_num(rule, nan=0.5), data, known_rate=0.4, seed=1, resamples=50)["with_rule"][
        "ml_minus_rule"
    ]
    assert found["brier"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_rows_without_a_rule_count_for_the_model_alone() -> None:
    p, data = _better_than_rule()
    known = np.isfinite(data.inputs["rule_confidence"])
    assert not known.all()
    found = evaluate(p, data, known_rate=0.4, seed=1, resamples=20)
    assert found["rows"] == len(data)
    assert found["with_rule"]["rows"] == known.sum()
    rule = data.inputs["rule_confidence"][known]
    expected = brier_score_loss(data.positive[known], rule)
    assert found["with_rule"]["rule"]["brier"]["value"] == pytest.approx(expected)
    nothing = replace(data, inputs={**data.inputs, "rule_confidence": np.full(len(data), np.nan)})
    assert "rule" not in evaluate(p, nothing, known_rate=0.4, seed=1, resamples=20)["with_rule"]


def test_intervals_grow_when_rows_come_in_clusters() -> None:
    """Copies of a row say nothing new; resampling rows one by one would shrink the interval threefold."""
    data = small_dataset()
    p = np.random.default_rng(0).random(len(data))
    plain = evaluate(p, data, known_rate=0.4, seed=1, resamples=400)["ml"]["brier"]
    copies = np.repeat(np.arange(len(data)), 9)
    copied = evaluate(p[copies], data.take(copies), known_rate=0.4, seed=1, resamples=400)["ml"]["brier"]
    ratio = (copied["high"] - copied["low"]) / (plain["high"] - plain["low"])
    assert 0.8 < ratio < 1.25


def test_a_model_without_skill_is_no_better_than_the_base_rate() -> None:
    data = small_dataset()
    rate = float(data.positive.mean())
    noise = np.clip(rate + np.random.default_rng(2).normal(0, 0.15, len(data)), 0.01, 0.99)
    found = evaluate(noise, data, known_rate=rate, seed=1, resamples=200)
    assert found["base"]["brier"]["value"] == pytest.approx(rate * (1 - rate))
    assert found["base"]["roc_auc"]["value"] == 0.5
    assert found["ml_minus_base"]["brier"]["low"] > 0


def test_a_verdict_is_what_the_interval_allows() -> None:
    assert verdict(-0.02, -0.001) is Verdict.BETTER
    assert verdict(0.001, 0.02) is Verdict.WORSE
    assert verdict(-0.01, 0.01) is verdict(0.0, 0.0) is Verdict.EQUAL
    assert verdict(None, None) is verdict(float("nan"), 0.1) is Verdict.UNKNOWN


def test_metrics_are_json_and_the_same_for_the_same_seed() -> None:
    p, data = _better_than_rule()
    first, second = (
        json.dumps(evaluate(p, data, known_rate=0.4, seed=5, resamples=30), allow_nan=False) for _ in range(2)
    )
    assert first == second
    assert first != json.dumps(evaluate(p, data, known_rate=0.4, seed=6, resamples=30), allow_nan=False)


def test_auc_of_one_class_is_undefined_not_a_number() -> None:
    data = small_dataset()
    negative = data.take(data.outcome == 0)
    found = evaluate(np.full(len(negative), 0.4), negative, known_rate=0.4, seed=1, resamples=20)
    assert found["ml"]["roc_auc"] == {"value": None, "low": None, "high": None}
    json.dumps(found, allow_nan=False)


def test_histogram_counts_every_value_once() -> None:
    values = np.array([*np.linspace(0, 1, 101), np.nan, np.nan, np.inf, -np.inf], dtype=np.float32)
    found = histogram(values)
    assert (found["nan"], found["infinite"], found["rows"]) == (2, 2, 105)
    assert sum(found["counts"]) == 101
    assert len(found["counts"]) == len(found["edges"]) + 1 == 10


def test_bins_are_those_of_width_bucket() -> None:
    # width_bucket(x, array[1, 2]) is 0 below 1, 1 from 1 on, 2 from 2 on.
    assert count(np.array([0.5, 1.0, 1.5, 2.0, 9.0]), np.array([1.0, 2.0])).tolist() == [1, 2, 2]


def test_a_value_that_fills_a_decile_has_a_bin_of_its_own() -> None:
    values = np.concatenate([np.zeros(900), np.linspace(1, 2, 100)]).astype(np.float32)
    found = histogram(values)
    assert found["edges"][:2] == [0.0, 1.0]
    assert found["counts"][:3] == [0, 900, 100]


def test_few_values_have_a_bin_each() -> None:
    rare = np.concatenate([np.zeros(990), np.ones(10)]).astype(np.float32)
    assert (histogram(rare)["edges"], histogram(rare)["counts"]) == ([1.0], [990, 10])


def test_a_feature_never_seen_or_constant_has_a_baseline() -> None:
    features = np.stack([np.full(20, np.nan), np.full(20, 3.0)], axis=1).astype(np.float32)
    rise = np.linspace(0, 1, 20, dtype=np.float32)
    probabilities = np.stack([(1 - rise) / 2, (1 - rise) / 2, rise], axis=1)
    types = np.array(["flag"] * 15 + ["wedge"] * 5, dtype=object)
    found = drift_baseline(features, ["never", "constant"], {"pattern_type": types}, probabilities)
    assert found["features"]["never"] == {
        "edges": [], "counts": [0], "nan": 20, "infinite": 0, "rows": 20,
        "least": None, "most": None, "mean": None, "deviation": None,
    }  # fmt: skip
    assert (found["features"]["constant"]["edges"], found["features"]["constant"]["counts"]) == ([], [20])
    assert found["inputs"]["pattern_type"]["categories"] == ["flag", "wedge"]
    assert found["inputs"]["pattern_type"]["counts"] == [15, 5]
    assert found["outputs"]["prediction_class"]["counts"] == [7, 0, 13]
    json.dumps(found, allow_nan=False)
