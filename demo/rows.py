"""The rows of the demo: every bar and pattern of its market, parted into history and what will arrive live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from demo.application import Pattern, find_all_patterns
from demo.market import SYMBOLS, Series, load_series

LIVE_YEARS: Final = 2


@dataclass(frozen=True, slots=True)
class Market:
    """Every series and pattern of the demo, parted at ``cutoff`` into history and what will arrive live."""

    series: dict[str, Series]
    history: list[Pattern]
    live: list[Pattern]
    cutoff: datetime


def load_market() -> Market:
    """Bars, and the patterns that the application finds in them, parted ``LIVE_YEARS`` before the last bar."""
    series = load_series()
    last = datetime.fromtimestamp(max(int(one.ts[-1]) for one in series.values()), UTC)
    cutoff = last.replace(year=last.year - LIVE_YEARS)
    patterns = find_all_patterns(series[symbol] for symbol in SYMBOLS)
    return Market(
        series,
        history=[pattern for pattern in patterns if pattern.detected_at <= cutoff],
        live=[pattern for pattern in patterns if pattern.detected_at > cutoff],
        cutoff=cutoff,
    )
