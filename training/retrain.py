"""Reasons to train again, and the parameters to train with.

The command registers a challenger and never promotes it: an operator does, or the gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row, scalar_row

from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.queries import fetch_value, query
from training.errors import NothingToLearn

if TYPE_CHECKING:
    from training.regressors import Parameters


@dataclass(frozen=True, slots=True)
class LastTrained:
    """The newest model that was trained here, and when its newest training row was detected, Unix seconds."""

    version: str
    trained_until: int


def last_trained(connection: Connection) -> LastTrained | None:
    """None when no model was trained here yet."""
    with translated(), connection.transaction(), connection.cursor(row_factory=class_row(LastTrained)) as cursor:
        return cursor.execute(query("last_trained")).fetchone()


def champion_parameters(connection: Connection, models: Sequence[str]) -> Parameters:
    """The tuned parameters of the champion's learners, of those in ``models``; other learners keep their defaults.

    A schedule does not search by itself: each choice among candidates is one more chance to be misled by luck.
    """
    with translated(), connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        parameters: Mapping[str, Any] | None = cursor.execute(query("champion_parameters")).fetchone()
    return {name: chosen for name, chosen in (parameters or {}).items() if name in models}


def require_alert(connection: Connection, types: Sequence[str]) -> None:
    """Raise NothingToLearn unless ml.alerts shows an alert of one of ``types``."""
    with translated(), connection.transaction():
        standing = connection.execute(query("standing_alerts"), {"types": list(types)}).fetchone()
    if standing is None:
        raise NothingToLearn(f"ml.alerts shows no alert of {', '.join(types)}")


def require_new_labels(
    connection: Connection, last: LastTrained | None, least: int, since: datetime | None, until: datetime | None
) -> None:
    """Raise NothingToLearn unless ``least`` labelled rows of the period are newer than those ``last`` learned from."""
    if last is None:
        return
    given = {"after_s": last.trained_until, "since": since, "until": until}
    with translated(), connection.transaction():
        new = fetch_value(connection, "new_labels", given)
    if new < least:
        raise NothingToLearn(
            f"{new} labelled patterns are newer than those that {last.version} was trained on, {least} are needed; "
            "label more, wait, or lower --min-new"
        )
