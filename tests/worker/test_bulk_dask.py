"""A Dask cluster whose processes are killed: nothing lost, nothing doubled, the bits of one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from db_functions.bulk.driver import How
from db_functions.database import Connection
from tests.faults.cluster import cluster
from tests.support import wait_until
from tests.worker.test_backfill import old_rows, ready
from tests.worker_support import count, process
from worker.operating.backfill import Selection, backfill

__all__ = ["ready"]
pytestmark = pytest.mark.slow
ROWS = int(os.environ.get("BULK_ROWS", "30000"))
"""More of them for more faults; ``python -m tests.faults.cluster`` kills by the clock."""


def test_killed_workers_and_a_restarted_scheduler(
    ready: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    old_rows(ready, ROWS)
    assert backfill(Selection(rescore=True), How()).rows == ROWS
    arguments = ["backfill", "--rescore", "--engine", "dask", "--scheduler"]
    with cluster(database, tmp_path) as running, process(database, *arguments, running.address) as command:
        faults: list[Callable[[], None]] = [*(partial(running.kill_worker, n) for n in (0, 1)), running.kill_scheduler]
        faults *= max(2, ROWS // 15_000)
        for number, fault in enumerate(faults):
            begun = ROWS + ROWS * number // (len(faults) + 2)

            def is_due(begun: int = begun) -> bool:
                running.tend()
                assert command.process.poll() is None, "it ended before all faults"
                return count(ready, "ml.predictions") > begun

            wait_until(is_due, f"row {begun}", 120)
            fault()

        def has_ended() -> bool:
            running.tend()
            return command.process.poll() is not None

        wait_until(has_ended, "the end", 300)
        assert command.wait() == 0, command.stderr()
        assert database not in running.log.read_text() + command.stderr()
    assert f"{ROWS:,} rows done" in command.printed
    assert count(ready, "ml.predictions") == 2 * ROWS
    each = "(select from ml.predictions group by pattern_id having count(*) = 2) p"
    assert count(ready, each) == ROWS, "none lost, none doubled"
    bits = "(select from ml.predictions group by pattern_id, float4send(ml_confidence), input_hash) p"
    assert count(ready, bits) == ROWS


def test_no_scheduler(ready: Connection, database: str) -> None:
    with process(database, "backfill", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9") as command:
        assert command.wait(60) == 1
        assert "tcp://127.0.0.1:9" in command.stderr()
    with process(database, "backfill", "--engine", "dask", "--scheduler", "user:secret@host") as command:
        assert command.wait(60) == 1
    assert count(ready, "ml_internal.jobs") == 0
