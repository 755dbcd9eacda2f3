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
HORIZON = 20


@dataclass(frozen=True)
class World:
    """Forecast p and baseline q of rows whose label windows overlap, times, and the shocks that outcomes share."""

    p: Floats
    q: Floats
    detected_at: NDArray[np.int64]
    shocks: Shocks

    def difference(self) -> Floats:
        return self.p - self.q

    def judge(self, truth: Floats, rng: np.random.Generator) -> skill.Skill:
        y = (self.shocks.draw(rng) > 1 - truth).astype(np.float64)
        return skill.skill(skill.sums(self.p, self.q, y, self.detected_at, BLOCK_DAYS))


def world(seed: int, *, years: int, rows_a_year: int, apart: float) -> World:
    """Daily bars of eight symbols; p and q differ by a standard deviation of ``apart``."""
    rng = np.random.default_rng(seed)
    bars, count = years * BARS_A_YEAR, years * rows_a_year
    first = np.sort(rng.integers(0, bars, count))
    symbol = rng.integers(0, 8, count)
    direction = rng.choice([-1.0, 1.0], count)
    p = rng.uniform(0.25, 0.65, count)
    q = np.clip(p + rng.normal(0, apart, count), 0.02, 0.98)
    detected_at = first * DAY_S * 7 // 5
    return World(p, q, detected_at, Shocks(symbol, first, first + HORIZON, direction, bars + HORIZON, 8))


def test_the_formulas_by_hand() -> None:
    p, q, y = np.array([0.6, 0.3, 0.5]), np.array([0.5, 0.5, 0.9]), np.array([1.0, 0.0, 0.0])
    detected_at = np.array([0, 100, 101]) * DAY_S
    found = skill.sums(p, q, y, detected_at, BLOCK_DAYS)
    assert found.rows == pytest.approx([1, 2])
    assert found.difference == pytest.approx([0.09, 0.16 + 0.56])
    assert found.spread == pytest.approx([0.01, 0.20])
    judged = skill.skill(found)
    v, r = 0.09**2 + 0.72**2, 5 * 0.21
    assert judged.e_value[1] == pytest.approx(np.sqrt(r / (v + r)) * np.exp(0.81**2 / (2 * (v + r))))
    half = np.sqrt((v + r) * (2 * np.log(20) + np.log((v + r) / r)))
    assert (judged.low[1], judged.high[1]) == pytest.approx(((0.81 - half) / 3, (0.81 + half) / 3))


def test_windows_that_reach_into_the_next_block_do_not_count() -> None:
    days = np.array([0, 65, 66, 97, 98])
    assert skill.counted(days * DAY_S, BLOCK_DAYS).tolist() == [True, True, False, False, True]


def test_forecasts_that_never_differ_show_nothing() -> None:
    same = np.full(4, 0.4)
    found = skill.skill(skill.sums(same, same, np.ones(4), np.arange(4) * 100 * DAY_S, BLOCK_DAYS))
    assert found.e_value.tolist() == [1.0] * 4
    assert not found.better.any()
    assert np.isnan(found.low).all()


def test_zero_lies_outside_the_bounds_when_e_reaches_twenty() -> None:
    own = world(5, years=10, rows_a_year=1_100, apart=0.15)
    found = own.judge(own.p, np.random.default_rng(6))
    assert found.better.any()
    assert np.array_equal(found.e_value >= 20, (found.low > 0) | (found.high < 0))


@pytest.mark.parametrize("apart", [0.055, 0.25])
def test_without_skill_looking_after_every_block_is_rarely_wrong(apart: float) -> None:
    """Outcomes half way between the two forecasts, ten years, 1,000 draws."""
    own = world(1, years=10, rows_a_year=1_100, apart=apart)
    rng = np.random.default_rng(2)
    judged = [own.judge((own.p + own.q) / 2, rng) for _ in range(PATHS)]
    better = np.mean([one.better.any() for one in judged])
    worse = np.mean([one.worse.any() for one in judged])
    print(f"\napart {apart}: ever better {better:.1%}, ever worse {worse:.1%} of {PATHS} paths")
    assert better <= 0.065
    assert worse <= 0.065
    # By the same sums and an error of the moment: how often whoever looks every time is misled.
    rows = [skill.sums(own.p, own.q, np.asarray(own.shocks.draw(rng) > 1 - (own.p + own.q) / 2, np.float64),
                       own.detected_at, BLOCK_DAYS) for _ in range(200)]  # fmt: skip
    z = [np.cumsum(one.difference) / np.sqrt(np.cumsum(one.difference**2)) for one in rows]
    peeked = np.mean([(one[2:] > 1.96).any() for one in z])
    print(f"by z at every block: ever better {peeked:.1%}")
    assert peeked > 0.1


def test_a_true_skill_is_found() -> None:
    """The model is right, and the baseline off by 0.055: a difference of 0.003."""
    own = world(3, years=30, rows_a_year=1_100, apart=0.055)
    gain = float(np.mean(own.difference() ** 2))
    assert gain == pytest.approx(0.003, abs=2e-4)
    rng = np.random.default_rng(4)
    needed = []
    for _ in range(200):
        found = own.judge(own.p, rng)
        assert not found.worse.any()
        if found.better.any():
            # Rows of all, those that do not count too.
            needed.append(found.rows[np.argmax(found.better)] * 3 / 2)
    print(f"\na true {gain:.4f}: found in {len(needed) / 200:.0%}; rows needed, median {np.median(needed):,.0f}, "
          f"nine in ten {np.quantile(needed, 0.9):,.0f}")  # fmt: skip
    assert len(needed) > 190
    assert np.median(needed) < 20_000
