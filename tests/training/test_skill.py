"""Looking after every block is wrong about a model without skill as rarely as claimed, and finds one that has some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from training import skill
from training.shocks import Shocks

Floats = NDArray[np.float64]

DAY_S = 86_400
BLOCK_DAYS = 98
PATHS = 1_000
BARS_A_YEAR = 252
ROWS_A_YEAR = 1_100
HORIZON = 20


@dataclass(frozen=True)
class World:
    """Forecast p and baseline q of rows whose label windows overlap, times, and the shocks that outcomes share."""

    p: Floats
    q: Floats
    detected_at: NDArray[np.int64]
    shocks: Shocks

    def sums(self, truth: Floats, rng: np.random.Generator) -> skill.Sums:
        y = (self.shocks.draw(rng) > 1 - truth).astype(np.float64)
        return skill.sums(self.p, self.q, y, self.detected_at, BLOCK_DAYS)


def world(seed: int, *, years: int, apart: float, lean: float = 0.5) -> World:
    """Daily bars of eight symbols, nine patterns in ten upwards; ``apart`` is the root mean square of q - p.

    ``lean`` is the share of it that all rows have in common. Without it rows that share a bar are right as often as
    wrong together; with 0.5 block sums vary four times as much as those of independent rows.
    """
    rng = np.random.default_rng(seed)
    bars, count = years * BARS_A_YEAR, years * ROWS_A_YEAR
    first = np.sort(rng.integers(0, bars, count))
    symbol = rng.integers(0, 8, count)
    direction = rng.choice([-1.0, 1.0], count, p=[0.1, 0.9])
    p = rng.uniform(0.25, 0.65, count)
    q = np.clip(p + rng.normal(apart * lean, apart * np.sqrt(1 - lean**2), count), 0.02, 0.98)
    detected_at = first * DAY_S * 7 // 5
    return World(p, q, detected_at, Shocks(symbol, first, first + HORIZON, direction, bars + HORIZON, 8))


def test_the_formulas_by_hand() -> None:
    p, q, y = np.array([0.6, 0.3, 0.5]), np.array([0.5, 0.5, 0.9]), np.array([1.0, 0.0, 0.0])
    detected_at = np.array([0, 100, 101]) * DAY_S
    found = skill.sums(p, q, y, detected_at, BLOCK_DAYS)
    assert found.rows == pytest.approx([1, 2])
    assert found.gain == pytest.approx([0.09, 0.16 + 0.56])
    assert found.spread == pytest.approx([0.01, 0.20])
    judged = skill.skill(found)
    v, r = 0.09**2 + 0.72**2, 5 * 0.21
    assert judged.e_value[1] == pytest.approx(np.sqrt(r / (v + r)) * np.exp(0.81**2 / (2 * (v + r))))
    half = np.sqrt((v + r) * (2 * np.log(20) + np.log((v + r) / r)))
    assert (judged.gain_low[1], judged.gain_high[1]) == pytest.approx(((0.81 - half) / 3, (0.81 + half) / 3))


def test_windows_that_reach_into_the_next_block_do_not_count() -> None:
    days = np.array([0, 65, 66, 97, 98])
    assert skill.counted(days * DAY_S, BLOCK_DAYS).tolist() == [True, True, False, False, True]


def test_forecasts_that_never_differ_show_nothing() -> None:
    same = np.full(4, 0.4)
    found = skill.skill(skill.sums(same, same, np.ones(4), np.arange(4) * 100 * DAY_S, BLOCK_DAYS))
    assert found.e_value.tolist() == [1.0] * 4
    assert not found.better.any()
    assert np.isnan(found.gain_low).all()


def test_zero_lies_outside_the_bounds_when_e_reaches_twenty() -> None:
    own = world(5, years=10, apart=0.15)
    found = skill.skill(own.sums(own.p, np.random.default_rng(6)))
    assert found.better.any()
    assert np.array_equal(found.e_value >= 20, (found.gain_low > 0) | (found.gain_high < 0))


@pytest.mark.parametrize("apart", [0.055, 0.25])
def test_without_skill_looking_after_every_block_is_rarely_wrong(apart: float) -> None:
    """Outcomes half way between the two forecasts, ten years, 1,000 draws."""
    own = world(1, years=10, apart=apart)
    rng = np.random.default_rng(2)
    drawn = [own.sums((own.p + own.q) / 2, rng) for _ in range(PATHS)]
    judged = [skill.skill(one) for one in drawn]
    better = np.mean([one.better.any() for one in judged])
    worse = np.mean([one.worse.any() for one in judged])
    outside = np.mean([((one.gain_low > 0) | (one.gain_high < 0)).any() for one in judged])
    # A z of the moment instead, by rows as if they were independent and by blocks.
    variances = {"rows": [one.spread for one in drawn], "blocks": [one.gain**2 for one in drawn]}
    peeked = {
        name: np.mean(
            [
                (np.cumsum(one.gain) > 1.96 * np.sqrt(np.cumsum(variance)))[2:].any()
                for one, variance in zip(drawn, variances[name], strict=True)
            ]
        )
        for name in variances
    }
    print(f"\n{apart}: ever better {better:.1%}, worse {worse:.1%} of {PATHS}; by z of {peeked}")
    assert outside == better + worse <= 0.065
    assert peeked["rows"] > peeked["blocks"] > 5 * better


@pytest.mark.parametrize(("lean", "most"), [(0.0, 10_000), (0.5, 25_000)])
def test_a_true_skill_is_found(lean: float, most: int) -> None:
    """The model is right and the baseline off by 0.055: half the draws take fewer than ``most`` rows to show it."""
    own = world(3, years=30, apart=0.055, lean=lean)
    gain = float(np.mean((own.p - own.q) ** 2))
    assert gain == pytest.approx(0.003, abs=2e-4)
    rng = np.random.default_rng(4)
    drawn = [own.sums(own.p, rng) for _ in range(200)]
    judged = [skill.skill(one) for one in drawn]
    assert not any(one.worse.any() for one in judged)
    effect = np.mean([one.gain.var() for one in drawn]) / np.mean([one.spread.mean() for one in drawn])
    # Rows of all, those of the last thirds of blocks too; more than there are where it was not found.
    needed = [one.rows[np.argmax(one.better)] * 3 / 2 if one.better.any() else np.inf for one in judged]
    print(f"\na true {gain:.4f}, design effect {effect:.1f}: found in {np.isfinite(needed).mean():.0%}, "
          f"rows needed {np.quantile(needed, [0.1, 0.5, 0.8], method='nearest')}")  # fmt: skip
    assert np.median(needed) < most
