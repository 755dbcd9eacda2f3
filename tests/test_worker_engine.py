from __future__ import annotations

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, row_of
from worker.engine import Engine


def test_a_row_is_scored(connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    pattern = insert_pattern(connection)
    engine = Engine(connection)
    assert engine.score_queue() == 1
    row = row_of(connection, pattern)
    assert row["model_version"] == "small-1"
    assert row["ml_metadata"]["reason"] in ("scored", "below_threshold")
