"""Bulk work: its ledger, its engines, and what a process refuses before it writes."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from db_functions.bulk import driver, ledger, sessions, tasks
from db_functions.bulk.bits import Pins, code
from db_functions.bulk.driver import How
from db_functions.bulk.engines import Pool, in_process, local_processes
from db_functions.bulk.ledger import Job
from db_functions.bulk.tasks import Outcome, Task
from db_functions.database import Connection
from db_functions.errors import WorkerRefused
from tests.support import make_champion, small_model, wait_until
from tests.worker.test_backfill import old_rows, ready, unscored
from tests.worker_support import count, process
from worker.cli import main
from worker.operating import backfill as backfill_module
from worker.operating.backfill import Selection, backfill, run_slice
from worker.serving.engine import Engine

__all__ = ["ready"]
SELECTION = {"rescore": True, "symbol": None, "since": None, "limit": 0}
RESCORE = Selection(rescore=True)


@pytest.fixture(autouse=True)
def _here(database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setattr(tasks, "_RETRY_S", 0.01)
    yield
    sessions.close_kept()


@pytest.fixture
def job(ready: Connection, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A rescore of 20 rows, in five pages of two slices."""
    monkeypatch.setattr(ledger, "PAGE_ROWS", 4)
    monkeypatch.setattr(ledger, "SLICE_PAGES", 3)
    old_rows(ready, 20)
    made = Job("backfill", SELECTION, run_slice, backfill_module._Scorer, How())
    yield made
    made.close()


def submit(job: Job, slice_: int) -> Outcome:
    call, task = job.call(slice_)
    outcome: Outcome = call(task)
    return outcome


def scores(connection: Connection) -> tuple[int, int]:
    """Predictions, and the patterns that they are of."""
    row = connection.execute("select count(*), count(distinct pattern_id) from ml.predictions").fetchone()
    assert row is not None
    return row[0], row[1]


def test_a_slice_that_runs_again_changes_nothing(ready: Connection, job: Job) -> None:
    assert [one.number for one in job.open_slices([], 9)] == [0, 1]
    assert submit(job, 0).state == submit(job, 0).state == "done"
    assert scores(ready) == (12, 12)
    assert job.left() == 8
    assert submit(job, 1).state == submit(job, 0).state == submit(job, 1).state == "done"
    assert scores(ready) == (20, 20)
    assert job.state().found["rows"] == 20


def test_a_page_that_another_process_has_done_is_left(ready: Connection, job: Job) -> None:
    """A slice that was lost may still run when it is submitted again."""
    _, task = job.call(0)
    session = tasks.session_of(SELECTION, backfill_module._Scorer, replica=False)
    for _ in range(2):
        tasks._page(task, session, 0, lambda: False)
    assert scores(ready) == (4, 4)


def test_a_page_that_fails_leaves_neither_rows_nor_entry(
    ready: Connection, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails after its scores are written, when the ledger is."""
    ready.execute(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin if new.page = 1 then raise 'not now'; end if; return new; end $$;"
        "create trigger refuse before update on ml_internal.pages for each row execute function refuse()"
    )
    assert submit(job, 0).state == "failed"
    assert scores(ready) == (8, 8), "the other pages of the slice are done"
    ready.execute("drop trigger refuse on ml_internal.pages")
    assert submit(job, 0).state == "done"
    assert scores(ready) == (12, 12)


def test_killed_and_run_again_scores_every_row_once(ready: Connection, database: str) -> None:
    old_rows(ready, 4_000)
    with process(database, "backfill", "--rescore") as command:
        wait_until(lambda: count(ready, "ml.predictions") > 0, "it has begun", 60)
        command.process.send_signal(signal.SIGKILL)
        command.wait()
    done = count(ready, "ml.predictions")
    assert 0 < done < 4_000
    found = backfill(RESCORE, How())
    assert (found.rows, found.resumed) == (4_000, done)
    assert scores(ready) == (4_000, 4_000)


def test_processes_give_the_bits_of_one(ready: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SLICE_PAGES", 1)
    old_rows(ready, 3_000)
    assert backfill(RESCORE, How()).rows == 3_000
    assert backfill(RESCORE, How(local_processes(2))).rows == 3_000
    assert scores(ready) == (6_000, 3_000)
    assert count(ready, "(select from ml.predictions group by pattern_id, float4send(ml_confidence)) p") == 3_000
    assert count(ready, "(select from ml.predictions group by pattern_id, input_hash) p") == 3_000
    by_worker = ready.execute(
        "select kind, scored > 0 from ml.workers where stopped_at is not null order by id"
    ).fetchall()
    assert len(by_worker) >= 3, "they said goodbye"


@pytest.mark.parametrize("fault", ["code", "bits", "database"])
def test_a_process_that_would_write_otherwise_refuses(ready: Connection, job: Job, fault: str) -> None:
    _, task = job.call(0)
    wrong = {
        "code": Task(task.job, 0, SELECTION, task.pins, "other"),
        "bits": Task(task.job, 0, SELECTION, Pins(task.pins.models, "other"), code()),
        "database": Task("00000000-0000-0000-0000-000000000000", 0, SELECTION, task.pins, code()),
    }
    assert run_slice(wrong[fault]).state == "refused"
    assert scores(ready) == (0, 0)


def test_a_job_goes_on_where_its_bits_were(ready: Connection, job: Job) -> None:
    ready.execute("update ml_internal.jobs set bits = 'other'")
    with pytest.raises(WorkerRefused):
        Job("backfill", SELECTION, run_slice, backfill_module._Scorer, How())


def test_a_new_champion_takes_over(ready: Connection, job: Job) -> None:
    assert submit(job, 0).state == "done"
    make_champion(ready, "small-2", small_model("small-2", bias=1))
    assert submit(job, 1).state == "moved"
    with Pool(in_process) as pool:
        assert driver.drive(job, pool, How(), "test") == {}
    versions = ready.execute("select model_version, count(*) from pattern_events group by 1 order by 1").fetchall()
    assert versions == [("small-1", 12), ("small-2", 8)]


def test_a_slice_that_fails_is_given_up_and_the_rest_goes_on(
    ready: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ledger, "PAGE_ROWS", 5)
    monkeypatch.setattr(ledger, "SLICE_PAGES", 1)
    ids = set(old_rows(ready, 20)[:1])
    score_rows = Engine.score_rows

    def score(self: Engine, rows: Any, *, rescore: bool) -> int:
        if ids & {row.id for row in rows}:
            raise ValueError("not this row")
        return score_rows(self, rows, rescore=rescore)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "score_rows", score)
        assert main(["backfill"]) == 1
    assert "not this row" in capsys.readouterr().err
    assert unscored(ready) == 5
    assert main(["backfill"]) == 0
    assert unscored(ready) == 0


def die_once(task: Task) -> Outcome:
    """A task whose process is killed on the first page that it sees, once."""
    marker = os.environ["DIE_ONCE"]
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return run_slice(task)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_killed_process_of_the_pool_is_replaced(
    ready: Connection, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("DIE_ONCE", str(tmp_path / "died"))
    job._run = die_once
    with Pool(local_processes(1)) as pool:
        assert driver.drive(job, pool, How(), "test") == {}
    assert (tmp_path / "died").exists()
    assert scores(ready) == (20, 20)


def test_lost_connections_are_made_again(ready: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the process that scores and of the driver, each in the middle of a job."""
    monkeypatch.setattr(ledger, "PAGE_ROWS", 5)
    monkeypatch.setattr(ledger, "SLICE_PAGES", 1)
    monkeypatch.setattr(driver, "_POLL_S", 0.01)
    old_rows(ready, 20)
    score_rows, calls = Engine.score_rows, []

    def score(self: Engine, rows: Any, *, rescore: bool) -> int:
        calls.append(rows)
        lost = {2: "backfill", 4: "bulk"}.get(len(calls), "none")
        ready.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = %s",
            [f"pattern-scoring {lost}"],
        )
        return score_rows(self, rows, rescore=rescore)

    monkeypatch.setattr(Engine, "score_rows", score)
    done = backfill(RESCORE, How())
    assert (done.rows, done.failed) == (20, {})
    assert len(calls) == 5
    assert scores(ready) == (20, 20)


def test_a_worker_s_login_suffices(ready: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    old_rows(ready, 20)
    monkeypatch.setenv("PGOPTIONS", "-c role=ml_worker")
    assert backfill(RESCORE, How()).rows == 20


def test_two_drivers_share_a_job(ready: Connection, job: Job) -> None:
    again = Job("backfill", SELECTION, run_slice, backfill_module._Scorer, How())
    assert again.id == job.id
    again.close()


def test_bulk_rests_while_live_rows_are_slow(ready: Connection) -> None:
    from db_functions.bulk.pace import Pace

    def slow() -> bool:
        pace = Pace(ready)
        pace.keep(lambda: True)
        return pace._rest_s > 0

    ready.execute("insert into ml.queue (pattern_id, enqueued_at) select gen_random_uuid(), now() - interval '1 min'")
    assert not slow(), "no worker is there who would be faster"
    ready.execute("select ml_internal.start_worker('host', 1, '1', 'worker')")
    assert slow()
    ready.execute("delete from ml.queue")
    assert not slow()
