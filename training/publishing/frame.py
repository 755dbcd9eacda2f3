"""Labelled rows as a DataFrame, for people who fit with scikit-learn."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from db_functions.contract import CLASSES
from db_functions.database import Connection
from training.dataset import Dataset
from training.features import FEATURE_NAMES
from training.load import load_dataset
from training.publishing.columns import TEXTS, features_of, pandas
from training.publishing.session import connected

if TYPE_CHECKING:
    from pandas import DataFrame

OWN: tuple[str, ...] = ("symbol", *TEXTS, "detected_at", "outcome", "outcome_at", "horizon_at")


def load_labelled(
    connection: Connection | None = None,
    *,
    url: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> DataFrame:
    """Labelled patterns with their features, oldest first, one row each.

    Features are computed from what was known at the pattern's own ``detected_at``, with the label horizon of the
    settings, as a served model computes them. They are NaN where they are unknown (a short history, an absent level);
    columns of this kind may be NaN throughout, and some estimators cannot be fitted on those: drop them with
    ``dropna(axis=1, how="all")``, or impute with ``keep_empty_features=True``.

    Parameters
    ----------
    connection
        An open connection of psycopg; else ``url`` is connected to, else what ``DATABASE_URL`` names.
    url
        A libpq URL.
    since, until
        Only patterns detected in [since, until); datetimes with a time zone.

    Returns
    -------
    DataFrame
        Indexed by pattern id (UUID), with the columns

        - ``training.FEATURES``, float64: the features; units and ranges are in ``docs/features.md``
        - ``symbol``, ``pattern_type``, ``timeframe``: text, as on the row
        - ``detected_at``, ``outcome_at``, ``horizon_at``: UTC; the pattern's time, when its outcome was known, and when
          its label horizon ends
        - ``outcome``: ``negative``, ``neutral`` or ``positive``

    Raises
    ------
    PandasMissing
        Where pandas is not installed.
    SchemaMissing
        Before ``alembic upgrade head``.
    """
    pandas()  # Fail early when it is missing.
    with connected(connection, url) as opened:
        return framed(load_dataset(opened, since=since, until=until))


def framed(dataset: Dataset) -> DataFrame:
    """The DataFrame of :func:`load_labelled` for a dataset."""
    library = pandas()
    times = ("detected_at", "outcome_at", "horizon_at")
    columns = dict(zip(FEATURE_NAMES, features_of(dataset, FEATURE_NAMES).T, strict=True))
    columns |= {
        "symbol": dataset.symbol,
        **{name: dataset.inputs[name] for name in TEXTS},
        **{name: library.to_datetime(getattr(dataset, name), unit="s", utc=True) for name in times},
        "outcome": np.asarray(CLASSES, object)[dataset.outcome],
    }
    index = library.Index(dataset.pattern_id, name="pattern_id", dtype=object)
    ordered = {name: columns[name] for name in (*FEATURE_NAMES, *OWN)}
    return library.DataFrame(ordered).set_axis(index)
