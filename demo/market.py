"""The demo's market: real daily bars of five US stocks, 2000-03-01 to 2013-03-01, and one index made of them.

The source is ``bokeh_sampledata.stocks`` (public domain): AAPL, IBM and MSFT over the whole span, GOOG from 2004-08-19
and FB from 2012-05-18 (196 bars). It was checked once in full: 12,154 bars, none missing on a day the others traded,
none with a high below its open, close or low (or the mirror of it), no zero volume.

What is done to it, and what that costs:

* Prices are unadjusted in the source, so AAPL halves overnight in June 2000 and February 2005 and MSFT in February
  2003, by splits alone. Open, high, low and close are multiplied by ``adj_close / close`` and volume divided by it.
  The factor holds dividends as well as splits, so volume before a dividend is a little too high.
* Adjustment works backwards: a price of 2003 is scaled by splits and dividends that came later. Ratios, which is all
  that a sound feature uses, are unchanged by that; the absolute level of a price does hold later knowledge.
* These are five companies that were large when the data was collected. Returns over them are better than those of
  stocks picked in 2000: nothing measured here says what trading would have earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from bokeh_sampledata import stocks
from numpy.typing import NDArray

SYMBOLS: Final = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
BENCHMARK: Final = "EQW"
"""Symbol of the equal-weight index; see :func:`equal_weight_index`."""
TIMEFRAME: Final = "1d"
"""The only timeframe there is: the source has daily bars."""
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
"""Columns of :attr:`Series.bars`."""

_NEW_YORK: Final = ZoneInfo("America/New_York")
_OPENING_BELL: Final = time(9, 30)
_CLOSING_BELL: Final = time(16, 0)
_INDEX_BASE: Final = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Closed daily bars of one symbol, oldest first; the arrays are read-only.

    ``ts`` is int64 [T], Unix seconds of the instant each bar is complete; ``bars`` is float64 [T, 5], open, high,
    low, close, volume.
    """

    symbol: str
    ts: NDArray[np.int64]
    bars: NDArray[np.float64]

    def __post_init__(self) -> None:
        open_, high, low, close, volume = self.bars.T
        sound = (high >= np.maximum(open_, close)) & (low <= np.minimum(open_, close)) & (low > 0) & (volume >= 0)
        if self.ts.shape != sound.shape or not sound.all() or not (np.diff(self.ts) > 0).all():
            raise ValueError(f"{self.symbol}: bars must be in time order, with low <= open, close <= high and low > 0")
        self.ts.setflags(write=False)
        self.bars.setflags(write=False)

    def __len__(self) -> int:
        return len(self.ts)

    def until(self, ts: int) -> Series:
        """The bars that are complete at ``ts``."""
        stop = int(np.searchsorted(self.ts, ts, side="right"))
        return Series(self.symbol, self.ts[:stop], self.bars[:stop])

    def after(self, ts: int) -> Series:
        """The bars that are not yet complete at ``ts``."""
        start = int(np.searchsorted(self.ts, ts, side="right"))
        return Series(self.symbol, self.ts[start:], self.bars[start:])


def close_of_day(day: date) -> int:
    """Unix seconds of 16:00 in New York on ``day``, when its bar is complete.

    On the few half days (about three a year) the session ends at 13:00; 16:00 is then late, never early.
    """
    return int(datetime.combine(day, _CLOSING_BELL, _NEW_YORK).timestamp())


def open_of_bar(ts: int) -> int:
    """Unix seconds of 09:30 in New York on the day whose bar is complete at ``ts``, when that bar began."""
    day = datetime.fromtimestamp(ts, _NEW_YORK).date()
    return int(datetime.combine(day, _OPENING_BELL, _NEW_YORK).timestamp())


def load_series() -> dict[str, Series]:
    """The five stocks, adjusted, and the index :data:`BENCHMARK`, by symbol."""
    members = {symbol: _load_stock(symbol) for symbol in SYMBOLS}
    return {**members, BENCHMARK: equal_weight_index(list(members.values()))}


def _load_stock(symbol: str) -> Series:
    columns = getattr(stocks, symbol)
    bars = np.array([columns[name] for name in ("open", "high", "low", "close", "volume")], dtype=np.float64).T
    days = [date.fromisoformat(day) for day in columns["date"]]
    return adjusted_series(symbol, days, bars, np.array(columns["adj_close"], dtype=np.float64))


def adjusted_series(
    symbol: str, days: Sequence[date], bars: NDArray[np.float64], adj_close: NDArray[np.float64]
) -> Series:
    """The series of New York sessions ``days``, its ``bars`` [T, 5] put on the scale of ``adj_close`` [T].

    Prices are multiplied and volume is divided by ``adj_close / close``. Raises ValueError when the bars are unsound.
    """
    factor = adj_close / bars[:, CLOSE]
    # One factor for all four prices: rounding is monotone, so a high stays at or above its close.
    prices, volume = bars[:, : CLOSE + 1] * factor[:, None], bars[:, VOLUME] / factor
    ts = np.array([close_of_day(day) for day in days], dtype=np.int64)
    return Series(symbol, ts, np.column_stack([prices, volume]))


def equal_weight_index(members: list[Series]) -> Series:
    """One index of all ``members``: the chained plain average of their daily returns, 100 before its first bar.

    A member counts on a day when it has a bar that day and one before it. Open, high, low and close of the index are
    its previous close times the average of the members' open, high, low and close over *their* previous closes;
    volume is the sum of adjusted shares. Two things to know:

    * Members do not peak at the same moment, so the index's range is wider than the true one of the portfolio.
    * The settings name one benchmark for every symbol, so a stock is compared with an index that holds it: a third
      of it until August 2004, a quarter until May 2012, a fifth after. Correlation and beta are raised by that.
    """
    days = np.unique(np.concatenate([member.ts for member in members]))
    ratios = np.full((len(days), len(members), 4), np.nan)
    volume = np.zeros(len(days))
    for column, member in enumerate(members):
        at = np.searchsorted(days, member.ts[1:])
        ratios[at, column] = member.bars[1:, : CLOSE + 1] / member.bars[:-1, CLOSE, None]
        volume[at] += member.bars[1:, VOLUME]
    traded = ~np.isnan(ratios[:, :, CLOSE]).all(axis=1)
    means = np.nanmean(ratios[traded], axis=1)
    closes = _INDEX_BASE * np.cumprod(means[:, CLOSE])
    previous = np.concatenate([[_INDEX_BASE], closes[:-1]])
    prices = previous[:, None] * means
    return Series(BENCHMARK, days[traded], np.column_stack([prices, volume[traded]]))
