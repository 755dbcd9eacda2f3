"""The champion as a baseline: what it answers to the rows that it has not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from psycopg.rows import kwargs_row

from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.model import open_session
from db_functions.queries import query
from training import session
from training.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Champion:
    """Its session, and since when (Unix seconds of ``detected_at``) it has learned from no row."""

    session: ort.InferenceSession
    unseen_since: int

    @classmethod
    def from_columns(cls, *, onnx: bytes, unseen_since: int) -> Champion:
        return cls(open_session(bytes(onnx)), unseen_since)

    def answer(self, dataset: Dataset) -> NDArray[np.float64]:
        """P(positive) [N], NaN for the rows before."""
        found = np.full(len(dataset), np.nan)
        unseen = dataset.detected_at >= self.unseen_since
        if unseen.any():
            found[unseen] = session.answer(self.session, dataset.take(unseen).inputs)["ml_confidence"]
        return found


def read_champion(connection: Connection, moment: float) -> Champion | None:
    """The champion at a moment, Unix seconds. None without one, and where it is unknown what it has learned from."""
    rows = kwargs_row(Champion.from_columns)
    with translated(), connection.transaction(), connection.cursor(row_factory=rows) as cursor:
        return cursor.execute(query("champion_model"), {"moment": moment}).fetchone()
