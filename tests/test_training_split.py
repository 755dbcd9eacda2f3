"""Splitting by time: nothing that a part learns from lies in the next part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training_support import DAY_S, small_dataset
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
    return Dataset(inputs, np.zeros(rows, np.int8), start, end, names, names)


_rows = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(rows=_rows, embargo_days=st.one_of(st.none(), st.integers(0, 10)))
def test_no_label_window_reaches_a_later_part(rows: list[tuple[int, int]], embargo_days: int | None) -> None:
    rows.sort()
    data = _at([day for day, _ in rows], [window for _, window in rows])
    split = split_by_time(data, embargo_s=None if embargo_days is None else embargo_days * DAY_S)
    parts = list(split.parts().values())
    for number, index in enumerate(parts):
        assert (np.diff(index) > 0).all()
        if number < 2:
            assert (data.outcome_at[index] < split.boundaries[number]).all()
        if number > 0:
            assert (data.detected_at[index] >= split.boundaries[number - 1] + split.embargo_s).all()
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        if len(parts[earlier]) and len(parts[later]):
            assert data.outcome_at[parts[earlier]].max() < data.detected_at[parts[later]].min()
    assert sum(map(len, parts)) + split.purged + split.embargoed == len(data)


def test_only_rows_with_a_reason_are_dropped() -> None:
    data = _at(list(range(100)), [0] * 100)
    split = split_by_time(data, embargo_s=0)
    assert [len(index) for index in split.parts().values()] == [60, 20, 20]
    assert split.purged == split.embargoed == 0


def test_purge_and_embargo_drop_what_they_say() -> None:
    data = _at(list(range(100)), [5] * 100)
    split = split_by_time(data, embargo_s=3 * DAY_S)
    # Windows of five days: the five rows before each boundary reach it.
    assert (split.purged, split.embargoed) == (10, 6)
    assert split.fit[-1] == 54
    assert (split.calibrate[0], split.calibrate[-1]) == (63, 74)
    assert split.test[0] == 83


def test_rows_of_one_instant_stay_together() -> None:
    data = _at([0] * 50 + [9] * 50, [0] * 100)
    for index in split_by_time(data, embargo_s=0).parts().values():
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
        Dataset(inputs, data.outcome, data.detected_at, data.outcome_at, data.pattern_id, data.symbol)
