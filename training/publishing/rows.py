"""Which rows a publisher means: those to compare answers on, and those that the classifier was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.dataset import Dataset
from training.errors import NotPublishable
from training.publishing.evidence import seconds
from training.publishing.model import Pipeline
from training.split import Index


def chosen_rows(rows: Any, dataset: Dataset, model: Pipeline) -> tuple[Dataset, tuple[str, ...]]:
    """The labelled patterns that ``rows`` names, and what is odd about them."""
    if rows is None or not hasattr(rows, "columns"):
        return dataset, ()
    wanted = {str(one) for one in rows.index}
    index = np.flatnonzero([str(one) in wanted for one in dataset.pattern_id])
    if not len(index):
        raise NotPublishable(
            "no index of rows is the id of a labelled pattern; pass rows of training.load_labelled, their index kept"
        )
    chosen = dataset.take(index)
    notes = [f"{len(wanted) - len(index)} of {len(wanted)} rows are no labelled patterns"]
    odd = _differing(rows, chosen, model)
    if odd:
        notes.append(f"not what the model will compute: {', '.join(odd[:5])} (were the bars corrected since?)")
    return chosen, tuple(notes[len(wanted) == len(index) :])


def _differing(rows: Any, chosen: Dataset, model: Pipeline) -> list[str]:
    """The features of ``rows`` that differ from the model's own in more than one row of a hundred."""
    known = [name for name in model.columns.features if name in rows.columns]
    place = {str(one): number for number, one in enumerate(rows.index)}
    order = [place[str(one)] for one in chosen.pattern_id]
    theirs = rows[known].to_numpy(np.float64)[order]
    table = model.columns.table_of(chosen)
    ours = table[known].to_numpy(np.float64) if model.columns.framed else None
    if ours is None:
        return []
    same = np.isclose(theirs, ours, rtol=1e-3, atol=1e-6, equal_nan=True)
    return [name for name, share in zip(known, same.mean(axis=0), strict=True) if share < 0.99]


def fit_window(dataset: Dataset, since: Any, until: Any) -> tuple[int, int] | None:
    """The first and the last moment fitted on, Unix seconds; None where the publisher does not say."""
    if until is None:
        if since is not None:
            raise NotPublishable("fitted_from says nothing without fitted_until")
        return None
    last = seconds(until)
    oldest = min(last, int(dataset.detected_at[0])) if len(dataset) else last
    first = oldest if since is None else seconds(since)
    if first > last:
        raise NotPublishable("fitted_from is after fitted_until")
    return first, last


def fitted_rows(dataset: Dataset, window: tuple[int, int] | None) -> Index:
    if window is None:
        return np.arange(len(dataset))
    return np.flatnonzero((dataset.detected_at >= window[0]) & (dataset.detected_at <= window[1]))
