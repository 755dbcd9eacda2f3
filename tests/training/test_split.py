"""Splitting by time: nothing that a part learns from lies in the next part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training_support import DAY_S, HORIZON, small_dataset
from training.dataset import Dataset
from training.errors import InvalidDataset
from training.split import EMBARGO_SHARE, split_by_time


def _at(days: list[int], windows: list[int]) -> Dataset:
    """Rows detected on ``days``, each with a label window of so many days."""
    rows = len(days)
    start = np.array(days, np.int64) * DAY_S
    index = np.arange(rows) % len(small_dataset())
    inputs = {name: values[index] for name, values in small_dataset().inputs.items()}
    names = np.array([str(row) for row in range(rows)], dtype=object)
    end = start + np.array(windows, np.int64) * DAY_S
    # Every outcome was known at once: what is purged goes by the end of the horizon.
    return Dataset(inputs, np.zeros(rows, np.int8), start, start, end, names, names, HORIZON)


_rows = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(rows=_rows, embargo_days=st.one_of(st.none(), st.integers(0, 10)))
def test_no_label_window_reaches_a_later_part(rows: list[tuple[int, int]], embargo_days: int | None) -> None:
    rows.sort()
    data = _at([day for day, _ in rows], [window for _, window in rows])
    split = split_by_time(data, embargo_s=None if embargo_days is None else embargo_days * DAY_S)
    pairs = [(split.fit, split.test, split.boundary), *((f.fit, f.later, f.boundary) for f in split.folds)]
    for earlier, later, boundary in pairs:
        assert (np.diff(earlier) > 0).all()
        assert (np.diff(later) > 0).all()
        assert (data.horizon_at[earlier] < boundary).all()
        assert (data.detected_at[later] >= boundary + split.embargo_s).all()
        if len(earlier) and len(later):
            assert data.horizon_at[earlier].max() < data.detected_at[later].min()
    assert len(split.fit) + len(split.test) + split.purged + split.embargoed == len(data)


@settings(max_examples=100, deadline=None)
@given(rows=_rows)
def test_folds_part_the_rows_fitted_on(rows: list[tuple[int, int]]) -> None:
    rows.sort()
    data = _at([day for day, _ in rows], [window for _, window in rows])
    split = split_by_time(data, embargo_s=0)
    assert set(split.judged) <= set(split.fit)
    # No row is answered twice, and with no embargo none between the first fold and the test is left out.
    first = split.folds[0].boundary
    np.testing.assert_array_equal(split.judged, split.fit[data.detected_at[split.fit] >= first])


def test_only_rows_with_a_reason_are_dropped() -> None:
    data = _at(list(range(100)), [0] * 100)
    split = split_by_time(data, embargo_s=0)
    assert {name: len(index) for name, index in split.parts().items()} == {
        "first fold": 27,
        "fit": 80,
        "folds": 53,
        "test": 20,
    }
    assert [len(fold.later) for fold in split.folds] == [13, 13, 14, 13]
    assert split.purged == split.embargoed == 0


def test_purge_and_embargo_drop_what_they_say() -> None:
    data = _at(list(range(100)), [5] * 100)
    split = split_by_time(data, embargo_s=3 * DAY_S)
    # Windows of five days: the five rows before the boundary reach it.
    assert (split.purged, split.embargoed) == (5, 3)
    assert (split.fit[-1], split.test[0]) == (74, 83)
    for fold in split.folds:
        day = fold.boundary // DAY_S
        assert (fold.fit[-1], fold.later[0]) == (day - 6, day + 3)


def test_without_a_test_every_row_is_fitted_on_and_the_folds_reach_the_end() -> None:
    data = _at(list(range(100)), [5] * 100)
    split = split_by_time(data, test_share=0.0, embargo_s=0)
    assert (len(split.fit), len(split.test), split.purged, split.embargoed) == (100, 0, 0, 0)
    assert split.judged.tolist() == list(range(33, 100))
    assert "test" not in split.parts()
    for fold in split.folds:
        assert fold.fit[-1] == fold.boundary // DAY_S - 6


def test_rows_of_one_instant_stay_together() -> None:
    data = _at([0] * 50 + [9] * 50, [0] * 100)
    split = split_by_time(data, embargo_s=0)
    for index in (split.fit, split.test, *(part for fold in split.folds for part in (fold.fit, fold.later))):
        assert len(index) in (0, 50)


def test_the_embargo_defaults_to_a_share_of_the_span() -> None:
    data = _at(list(range(0, 1000, 10)), [0] * 100)
    assert split_by_time(data).embargo_s == round(EMBARGO_SHARE * 990 * DAY_S)


def test_no_rows_give_empty_parts() -> None:
    data = small_dataset().take(np.empty(0, np.intp))
    assert all(len(index) == 0 for index in split_by_time(data).parts().values())


def test_a_dataset_out_of_order_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="order of detected_at"):
        small_dataset().take(np.array([5, 3]))


def test_a_dataset_lacking_an_input_is_refused() -> None:
    data = small_dataset()
    inputs = {name: values for name, values in data.inputs.items() if name != "levels"}
    with pytest.raises(InvalidDataset, match="levels"):
        replace(data, inputs=inputs)
