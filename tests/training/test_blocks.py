"""Errors by calendar blocks are as large as other samples differ by, and those by rows are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training_support import DAY_S, small_dataset
from training import blocks
from training.shocks import outcomes, shocks_of
from training.simulate import synthetic


def test_the_error_by_hand() -> None:
    found = blocks.mean(np.array([1.0, 3.0, 2.0, 6.0]), np.array([7, 7, 7, 9]))
    # The mean is 3; block sums less their share are -3 and 3.
    assert (found.value, found.rows, found.blocks) == (3.0, 4, 2)
    assert found.error == pytest.approx(np.sqrt(2 / 1 * (9 + 9)) / 4)
    assert found.design_effect == pytest.approx(found.error**2 / (3.5 / 4))
    # Of two blocks Student's t has one degree of freedom.
    assert found.interval()[1] == pytest.approx(3.0 + 12.706 * found.error, rel=1e-4)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_without_two_blocks_there_is_no_interval(rows: int) -> None:
    found = blocks.mean(np.ones(rows), np.zeros(rows, np.int64))
    assert np.isnan(found.interval()).all()


def test_intervals_by_blocks_hold_what_they_claim_where_intervals_by_rows_do_not() -> None:
    """Outcomes with shared shocks, drawn 400 times: how often the interval holds the true mean, which is 0."""
    data, features = synthetic(4_000, seed=3, bars=3_000)
    shocks, block = shocks_of(data), blocks.blocks_of(data)
    q = features[:, -6]
    three = np.stack([1 - q, np.zeros_like(q), q], axis=1)
    by_blocks = by_rows = 0
    rng = np.random.default_rng(4)
    for _ in range(400):
        residual = (outcomes(shocks.draw(rng), three) == 2) - q
        low, high = blocks.mean(residual * np.sign(data.inputs["direction"]), block).interval()
        by_blocks += low <= 0 <= high
        low, high = blocks.mean(residual * np.sign(data.inputs["direction"]), np.arange(len(q))).interval()
        by_rows += low <= 0 <= high
    assert by_blocks / 400 > 0.90
    assert by_rows / 400 < 0.80


def test_a_block_is_at_least_one_horizon_of_the_slowest_timeframe() -> None:
    data = small_dataset()
    assert blocks.length_s(data) == 28 * DAY_S
    hourly = np.arange(len(data)) % 2 == 0
    frames = np.where(hourly, "1h", "1d").astype(object)
    end = np.where(hourly, data.detected_at + DAY_S // 2, data.horizon_at)
    mixed = replace(data, inputs={**data.inputs, "timeframe": frames}, horizon_at=end)
    assert blocks.length_s(mixed) == 28 * DAY_S
    assert blocks.length_s(mixed.take(hourly)) == DAY_S


def test_all_symbols_of_a_time_share_a_block() -> None:
    data = small_dataset()
    number = blocks.blocks_of(data)
    assert (np.diff(number) >= 0).all()
    np.testing.assert_array_equal(number, data.detected_at // (28 * DAY_S))


def test_uniqueness_by_hand() -> None:
    data = small_dataset().take(slice(0, 3))
    start = np.array([0, 50, 1_000], np.int64)
    own = replace(
        data,
        detected_at=start,
        horizon_at=start + 99,
        symbol=np.array(["A", "A", "A"], dtype=object),
    )
    # The first two share half of their windows: 3/4 each; the third is alone.
    assert blocks.uniqueness(own) == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert blocks.uniqueness(replace(own, symbol=np.array(["A", "B", "A"], dtype=object))) == 1
    same = replace(own, detected_at=np.zeros(3, np.int64), horizon_at=np.full(3, 99, np.int64))
    assert blocks.uniqueness(same) == pytest.approx(1 / 3)


def test_draws_have_their_probabilities_and_overlaps_their_likeness() -> None:
    data = small_dataset().take(slice(0, 4))
    start = np.array([0, 0, 0, 10 * DAY_S], np.int64)
    own = replace(
        data,
        inputs={**data.inputs, "direction": np.array([1.0, 1.0, -1.0, 1.0])},
        detected_at=start,
        horizon_at=start + 20 * DAY_S,
        symbol=np.array(["A"] * 4, dtype=object),
    )
    shocks, rng = shocks_of(own), np.random.default_rng(0)
    drawn = np.array([shocks.draw(rng) for _ in range(4_000)])
    # Alike in one direction, apart in the other, half alike with half the window in common.
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])
    np.testing.assert_allclose(drawn[:, 0], 1 - drawn[:, 2], atol=1e-12)
    assert np.corrcoef(drawn[:, 0], drawn[:, 3])[0, 1] == pytest.approx(0.48, abs=0.05)
    other = shocks_of(replace(own, symbol=np.array(["A", "B", "C", "D"], dtype=object)))
    apart = np.array([other.draw(rng)[:2] for _ in range(4_000)])
    assert np.corrcoef(apart.T)[0, 1] == pytest.approx(0.29, abs=0.05)
    three = np.tile([0.3, 0.2, 0.5], (4, 1))
    classes = np.array([outcomes(row, three)[0] for row in drawn])
    np.testing.assert_allclose(np.bincount(classes, minlength=3) / 4_000, [0.3, 0.2, 0.5], atol=0.03)
