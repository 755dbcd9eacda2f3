"""Train again when there is reason to, and let the new model challenge; a person, or the gates, decide the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.queries import query
from training.dataset import Dataset
from training.errors import NothingToLearn

if TYPE_CHECKING:
    from training.learners import Parameters


@dataclass(frozen=True, slots=True)
class Last:
    """The newest model that was trained here, and the last moment, Unix seconds, of what it learnt from."""

    version: str
    until: int


def last_trained(connection: Connection) -> Last | None:
    """None when none was."""
    with translated(), connection.transaction():
        row = connection.execute(query("last_trained")).fetchone()
    return None if row is None else Last(*row)


def champion_parameters(connection: Connection, models: Sequence[str]) -> Parameters:
    """What the champion's learners were tuned to, of those in ``models``; the others are as by default.

    A schedule does not search by itself: a choice among candidates is one more chance to be fooled, and a person's.
    """
    with translated(), connection.transaction():
        row = connection.execute(query("champion_parameters")).fetchone()
    return {name: chosen for name, chosen in (row[0] if row else {}).items() if name in models}


def require_alert(connection: Connection, types: Sequence[str]) -> None:
    """Raise NothingToLearn unless an alert of one of ``types`` stands in ml.alerts."""
    with translated(), connection.transaction():
        standing = connection.execute(query("standing_alerts"), {"types": list(types)}).fetchall()
    if not standing:
        raise NothingToLearn(f"no alert of {', '.join(types)} stands")


def require_news(dataset: Dataset, last: Last | None, least: int) -> None:
    """Raise NothingToLearn unless ``least`` of the labelled rows are newer than what ``last`` learnt from."""
    if last is None:
        return
    new = int((dataset.detected_at > last.until).sum())
    if new < least:
        raise NothingToLearn(
            f"{new} labelled patterns are newer than those that {last.version} was trained on, {least} are asked for; "
            "label, wait, or say --min-new"
        )
