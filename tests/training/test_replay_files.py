"""A replay into Parquet files: whole or not at all, the bits of a replay into rows, and nothing in the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from db_functions.bulk.driver import How
from db_functions.bulk.engines import local_processes
from db_functions.database import Connection
from tests.support import START, at
from tests.training.test_replay import ROWS, scored
from tests.worker_support import count
from training import cli
from training.errors import OutputRefused
from training.replay import Replayed, ReplaySession, Scored, replay
from training.replay_files import replay_to_files

__all__ = ["scored"]


@pytest.fixture(autouse=True)
def _here(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)


def write(folder: Path, until: datetime | None = None, how: How | None = None) -> Replayed:
    done = replay_to_files(folder, "old", START, until, how)
    assert not done.failed
    return done.found


def _bits(pattern: str, confidence: float, digest: bytes, features: list[float], bars: int) -> tuple[Any, ...]:
    return pattern, np.float32(confidence), digest, np.array(features, np.float32).tobytes(), bars


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_hold_what_a_replay_writes(scored: Connection, tmp_path: Path) -> None:
    before = count(scored, "ml.predictions")
    found = write(tmp_path / "out")
    assert count(scored, "ml.predictions") == before
    assert count(scored, "ml_internal.jobs") == 0
    assert found == replay("old", START).found
    assert found.rows == found.identical == ROWS
    months = sorted(path.name for path in (tmp_path / "out").glob("month=*"))
    assert months == [f"month={at(100 + 2 * number):%Y-%m}" for number in (0, 12, 27)]
    written = pq.read_table(tmp_path / "out").to_pylist()
    rows = scored.execute(
        "select p.pattern_id::text, p.ml_confidence, p.input_hash, p.features, p.bars from ml.predictions p "
        "where p.role = 'replay' order by 1"
    ).fetchall()
    columns = ("pattern_id", "ml_confidence", "input_hash", "features", "bars")
    assert sorted(_bits(*(row[name] for name in columns)) for row in written) == [_bits(*row) for row in rows]
    assert all(f"{row['detected_at']:%Y-%m}" == row["month"] for row in written)


def test_it_goes_on_within_a_slice(scored: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.replay_files.PAGE_ROWS", 3)
    whole = write(tmp_path / "whole")
    made: list[int] = []
    real = ReplaySession.score

    def counted(self: ReplaySession, ids: Sequence[str]) -> Iterator[tuple[Scored, Replayed]]:
        made.append(len(ids))
        return real(self, ids)

    monkeypatch.setattr(ReplaySession, "score", counted)
    write(tmp_path / "out", how=How(stopping=lambda: len(made) >= 2))
    kept = sorted((tmp_path / "out" / "_pages").iterdir())
    assert (len(kept), sum(made)) == (2, 6)
    kept[0].unlink()  # as if it had been killed before it wrote that one
    assert write(tmp_path / "out") == whole
    assert sum(made) == ROWS + 3, "only that page is made again"
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / "out" / "_pages").exists()


@pytest.mark.slow
def test_it_goes_on_where_it_ended(scored: Connection, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole")
    assert write(tmp_path / "processes", how=How(local_processes(2))) == whole
    assert contents(tmp_path / "processes") == contents(tmp_path / "whole")
    # Killed after a file, before its entry in the ledger; and before a file.
    entries = sorted((tmp_path / "whole" / "_ledger").iterdir())
    entries[0].unlink()
    entries[2].unlink()
    next((tmp_path / "whole").rglob("slice-000002.parquet")).unlink()
    kept = entries[1].stat().st_mtime_ns
    assert write(tmp_path / "whole") == whole
    assert contents(tmp_path / "whole") == contents(tmp_path / "processes")
    assert entries[1].stat().st_mtime_ns == kept


def test_a_folder_of_something_else_is_refused(scored: Connection, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(OutputRefused):
        write(tmp_path / "mine")
    write(tmp_path / "out", at(120))
    with pytest.raises(OutputRefused):
        write(tmp_path / "out", at(130))


def test_a_full_disk_is_said(
    scored: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    command = ["replay", "--model", "old", "--since", "2024-01-01", "--quiet", "--output", str(tmp_path / "out")]
    with monkeypatch.context() as patched:
        patched.setattr("training.replay_files.pq.write_table", full)
        assert cli.main(command) == 1
    assert "No space left" in capsys.readouterr().err
    assert cli.main(command) == 0
    assert f"{ROWS} rows scored" in capsys.readouterr().out


def test_a_publisher_may_replay(scored: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c role=ml_publisher")
    assert replay("old", START).found.rows == ROWS
