"""The champion as a baseline: what it answers to the rows that it has not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.model import open_session
from db_functions.queries import query
from training import session
from training.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Champion:
    """Its file, and since when (Unix seconds of ``detected_at``) it has learned from no row."""

    onnx: bytes
    unseen_since: int

    def answer(self, dataset: Dataset) -> NDArray[np.float64]:
        """P(positive) [N], NaN for the rows before."""
        found = np.full(len(dataset), np.nan)
        unseen = dataset.detected_at >= self.unseen_since
        if unseen.any():
            own = session.answer(open_session(bytes(self.onnx)), dataset.take(unseen).inputs)
            found[unseen] = own["ml_confidence"]
        return found


def read_champion(connection: Connection) -> Champion | None:
    """None without a champion, and where it is unknown what it has learned from."""
    with translated(), connection.transaction(), connection.cursor(row_factory=class_row(Champion)) as cursor:
        return cursor.execute(query("champion_model")).fetchone()
