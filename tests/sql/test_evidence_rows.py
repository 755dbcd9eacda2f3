"""Rows that the evidence makes without a database are those that training loads from one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np
import pytest

from bench.evidence.rows import LAG_DAYS, labelled_rows
from bench.markets import OpenMarket, patterns_with_levels, patterns_without_levels
from db_functions.database import Connection
from demo.application import Pattern, insert_bars, insert_patterns
from demo.market import BENCHMARK, Series, load_series
from training.dataset import Dataset
from training.load import load_dataset

BARS = 420


def a_market() -> OpenMarket:
    """The newest bars of two stocks, one of them too young to fill a window at first, and their index."""
    series = load_series()
    cut = {name: series[name] for name in ("IBM", "FB")}
    cut["IBM"] = Series("IBM", cut["IBM"].ts[-BARS:], cut["IBM"].bars[-BARS:])
    index = Series(BENCHMARK, series[BENCHMARK].ts[-BARS:], series[BENCHMARK].bars[-BARS:])
    return OpenMarket("two", "", "", MappingProxyType(cut), index)


def keys(dataset: Dataset) -> list[tuple[object, ...]]:
    columns = (dataset.detected_at, dataset.symbol, dataset.inputs["pattern_type"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def put_wrong(patterns: list[Pattern]) -> list[Pattern]:
    """Every seventh with its target on the wrong side, which nobody labels."""
    return [replace(one, target=one.stoploss) if n % 7 == 0 else one for n, one in enumerate(patterns)]


@pytest.mark.parametrize("levels", [True, False])
def test_rows_equal_those_of_a_database(connection: Connection, levels: bool) -> None:
    market = a_market()
    patterns = put_wrong(patterns_with_levels(market)) if levels else patterns_without_levels(market)
    assert market.benchmark is not None
    for series in (*market.series.values(), market.benchmark):
        insert_bars(connection, series)
    insert_patterns(connection, patterns)
    connection.execute("select ml.set('benchmark_symbol', %s, 'test')", [BENCHMARK])
    connection.execute("select ml.set('history_lag', %s, 'test')", [f"{LAG_DAYS} days"])
    connection.execute("select ml.label_outcomes()")
    loaded, made = load_dataset(connection), labelled_rows(market, patterns)
    assert len(made) == len(loaded) > 200
    assert len(made) < len(patterns)
    assert made.detected_at[0] > datetime(2011, 1, 1, tzinfo=UTC).timestamp()
    # The database orders rows of one moment by their random ids.
    mine, theirs = (np.array(sorted(range(len(one)), key=keys(one).__getitem__)) for one in (made, loaded))
    assert [keys(made)[row] for row in mine] == [keys(loaded)[row] for row in theirs]
    for name in ("outcome", "outcome_at", "horizon_at"):
        np.testing.assert_array_equal(getattr(made, name)[mine], getattr(loaded, name)[theirs], err_msg=name)
    for name, values in made.inputs.items():
        np.testing.assert_array_equal(values[mine], loaded.inputs[name][theirs], err_msg=name)
    assert made.horizon == loaded.horizon
