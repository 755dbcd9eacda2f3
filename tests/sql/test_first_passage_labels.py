"""First passage is of the very levels that ``ml.label_outcomes`` judges by, and undefined where that labels nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import WINDOW
from db_functions.database import Connection
from tests.support import at, insert_bars, insert_pattern, random_bars, row_of
from training.features import compute_first_passage
from training.features.first_passage import _levels, _price
from training.features.window import Window

HORIZON = 8
PATTERNS = 300
ABSENT = (None, math.nan, math.inf, -math.inf)


def random_pattern(rng: np.random.Generator, close: float) -> dict[str, Any]:
    """Any mix of absent, near, wrong and absurd levels."""

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    side = int(rng.choice([-1, 1]))
    near = close * (1 + rng.normal(0, 0.003))
    absent = ABSENT[int(rng.integers(4))]
    return {
        "direction": int(rng.choice([side, side, side, side, 0])),
        "entry": one_of(None, None, close, near, near, 1e150, -1e150, 0.0, 1e-301, -5.0, math.nan),
        "target": one_of(
            absent,
            absent,
            close * (1 + side * rng.uniform(0.003, 0.03)),
            close * (1 - side * 0.01),
            close,
            1e305,
            -1e305,
        ),
        "stoploss": one_of(
            absent, absent, close * (1 - side * rng.uniform(0.003, 0.03)), close * (1 + side * 0.01), -1.0, 0.0
        ),
    }


def inputs_of(bars: NDArray[np.float64], day: int, row: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """What a model is fed for a row as the database has it."""
    window = np.full((1, WINDOW, 5), np.nan)
    known = bars[max(0, day + 1 - WINDOW) : day + 1]
    window[0, WINDOW - len(known) :] = known
    levels = [[row[name] for name in ("support", "resistance", "target", "entry", "stoploss")]]
    given = np.array(levels, dtype=np.float64)
    given[~np.isfinite(given)] = np.nan
    return {"bars": window, "levels": given, "direction": np.array([row["direction"] or 0], dtype=np.float64)}


def test_levels_and_what_is_undefined_are_those_of_the_labels(transaction: Connection) -> None:
    rng = np.random.default_rng(1)
    bars = random_bars(330, seed=5)
    insert_bars(transaction, bars)
    transaction.execute("select ml.set('label_horizon', %s, 'test')", [HORIZON])
    days = [int(day) for day in rng.integers(0, 320, PATTERNS)]
    days[:60] = [int(day) for day in rng.integers(8, 20, 60)]
    ids = [insert_pattern(transaction, detected_at=at(day), **random_pattern(rng, float(bars[day, 3]))) for day in days]
    transaction.execute("select ml.label_outcomes()")
    defined, compared = 0, {"positive": 0, "negative": 0}
    for pattern, day in zip(ids, days, strict=True):
        row = row_of(transaction, pattern)
        inputs = inputs_of(bars, day, row)
        answer = compute_first_passage(inputs, np, HORIZON)[0]
        labelled = row["outcome_label"] is not None
        assert (not np.isnan(answer).any()) == (labelled and day >= 14), row
        assert np.isnan(answer).all() == np.isnan(answer).any()
        if not labelled or day < 14:
            continue
        defined += 1
        window = Window(inputs, np, HORIZON)
        price, (target, stop) = float(_price(window)[0, 0]), _levels(window)[0]
        reached = {"positive": target, "negative": stop}.get(row["outcome_label"])
        if reached is not None:
            compared[row["outcome_label"]] += 1
            gain = (reached - price) / price * row["direction"]
            assert math.isclose(row["realized_pnl"], gain, rel_tol=1e-9), row
    assert defined > 60
    assert defined < PATTERNS / 2
    assert min(compared.values()) >= 15, compared
