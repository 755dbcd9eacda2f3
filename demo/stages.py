"""The stages of ``make demo``: an application inserts real chart patterns and gets calibrated confidences back.

Runs in a database of its own, ``pattern_demo``, made anew every time, on the embedded server (or the one that
``DATABASE_URL`` names). ``python -m demo psql`` opens that database afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from rich.console import Console
from rich.progress import Progress

from db_functions.database import Connection
from demo.application import Pattern, insert_bars, insert_patterns
from demo.database import DemoError, fresh_database
from demo.live import FIRST_ROW, Display, rows_table, stream
from demo.market import BENCHMARK
from demo.report import print_cold_start, report
from demo.rows import LIVE_YEARS, Market, load_market

FIRST_MODEL: Final = "first_passage"
ALGORITHMS: Final = ("random_forest", "logistic", "gradient_boosting")
WORKER_LOG: Final = Path(".cache/demo-worker.log")
_STOP_TIMEOUT_S: Final = 20
_DRAIN_TIMEOUT_S: Final = 120


def run(console: Console, rate_per_s: float) -> None:
    """All stages in order; raises DemoError or ScoringError when one of them fails."""
    with fresh_database() as url:
        with stage(console, "1. A database of its own, and the schema"):
            run_program(url, "alembic", "upgrade", "head")
        with psycopg.connect(url, application_name="demo application", autocommit=True) as conn:
            with stage(console, "2. Real bars, and a model that needs no labels"):
                market = load_market()
                insert_history_bars(console, conn, market)
                run_program(url, "training", "train", "--models", FIRST_MODEL, "--promote")
            with running_worker(console, url) as worker:
                with stage(console, "3. A worker starts, and the application inserts its first patterns"):
                    insert_first(console, conn, worker, market)
                    insert_history(console, conn, worker, market)
                with stage(console, "4. Label the history, train, export, verify, promote"):
                    run_program(url, "worker", "label")
                    print_cold_start(console, conn, market.cutoff)
                    train(console, conn, url)
                with stage(console, f"5. Live: the last {LIVE_YEARS} years, {rate_per_s:g} patterns a second"):
                    go_live(console, conn, worker, market, rate_per_s)
            with stage(console, "6. What came of it"):
                run_program(url, "worker", "label")
                report(console, conn, market.cutoff)


@contextmanager
def stage(console: Console, title: str) -> Iterator[None]:
    """A heading before, the time it took after."""
    console.print()
    console.rule(f"[bold]{title}", align="left")
    started = time.monotonic()
    yield
    console.print(f"[dim]({time.monotonic() - started:.1f} s)")


def run_program(url: str, module: str, *arguments: str) -> None:
    """Run ``python -m module`` on the demo's database, its output as it is; raises DemoError when it fails."""
    print(f"$ python -m {' '.join([module, *arguments])}", flush=True)
    done = subprocess.run([sys.executable, "-m", module, *arguments], env=_environment(url), check=False)
    if done.returncode != 0:
        raise DemoError(f"`python -m {module} {' '.join(arguments)}` ended with exit code {done.returncode}")


def insert_history_bars(console: Console, conn: Connection, market: Market) -> None:
    """The bars up to the cutoff, and which symbol is the market."""
    with conn.transaction():
        bars = sum(insert_bars(conn, one.until(int(market.cutoff.timestamp()))) for one in market.series.values())
        conn.execute("SELECT ml.set('benchmark_symbol', %s, 'demo: an equal-weight index of the stocks')", [BENCHMARK])
        conn.execute("SELECT ml.set('history_lag', '30 days', 'demo: outcomes are known when 20 daily bars are over')")
    console.print(f"{bars:,} daily bars of {', '.join(market.series)}, up to {market.cutoff:%Y-%m-%d}.")


def insert_first(console: Console, conn: Connection, worker: subprocess.Popen[bytes], market: Market) -> None:
    """One pattern, before there is any label, and what is known of it as soon as it is scored."""
    insert_patterns(conn, market.history[:1])
    drain(console, conn, worker)
    console.print(rows_table(conn.execute(FIRST_ROW).fetchall()))


def insert_history(console: Console, conn: Connection, worker: subprocess.Popen[bytes], market: Market) -> None:
    """The other patterns up to the cutoff, in one transaction; ends when all are scored."""
    started = time.monotonic()
    with conn.transaction():
        rows = insert_patterns(conn, market.history[1:])
    drain(console, conn, worker)
    elapsed = time.monotonic() - started
    types = len({pattern.pattern_type for pattern in market.history})
    console.print(
        f"{rows:,} more patterns of {types} types since {market.history[0].detected_at:%Y-%m-%d}, each with levels "
        f"from the chart and a rule confidence: inserted in one transaction and scored within {elapsed:.1f} s. The "
        f"{len(market.live):,} patterns of the {LIVE_YEARS} years after that are kept for later."
    )


def train(console: Console, conn: Connection, url: str) -> None:
    """Train on the labels and promote what came of it, if the gates let it pass; raises DemoError without a model."""
    before = _registered(conn)
    try:
        run_program(url, "training", "train", "--models", *ALGORITHMS, "--promote")
    except DemoError:
        if _registered(conn) == before:
            raise
        console.print("The new model was not promoted, for the reason above: the one that needs no labels goes on.")


@contextmanager
def running_worker(console: Console, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m worker run`` in the background, its log in a file; stopped by SIGTERM, and killed if it will not."""
    WORKER_LOG.parent.mkdir(exist_ok=True)
    print(f"\n$ python -m worker run &    (its log: {WORKER_LOG})", flush=True)
    with WORKER_LOG.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run"],
            env={**_environment(url), **_as_worker(url)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield worker
        finally:
            started = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            console.print(
                f"\nThe worker was sent SIGTERM and left with exit code {worker.returncode} "
                f"after {(time.monotonic() - started) * 1000:.0f} ms."
            )


def drain(console: Console, conn: Connection, worker: subprocess.Popen[bytes]) -> None:
    """Wait until nothing is queued any more; raises DemoError when the worker dies or takes too long."""
    total = _queued(conn)
    started = time.monotonic()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=total)
        while waiting := _queued(conn):
            progress.update(task, completed=total - waiting)
            _check(worker)
            if time.monotonic() - started > _DRAIN_TIMEOUT_S:
                raise DemoError(f"{waiting} rows still wait for a score after {_DRAIN_TIMEOUT_S} s; see {WORKER_LOG}")
            time.sleep(0.05)


def go_live(
    console: Console, conn: Connection, worker: subprocess.Popen[bytes], market: Market, rate_per_s: float
) -> None:
    """Stream the live patterns; ends when every one of them has left the queue."""
    with Display(console, conn, market.cutoff, len(market.live)) as display:

        def inserted(pattern: Pattern) -> None:
            _check(worker)
            display.inserted(pattern)

        reached = stream(conn, market.series, market.live, market.cutoff, rate_per_s, inserted)
        deadline = time.monotonic() + _DRAIN_TIMEOUT_S
        while _queued(conn) and time.monotonic() < deadline:
            _check(worker)
            time.sleep(0.02)
    console.print(
        f"{len(market.live):,} patterns inserted, each in a transaction of its own, at {reached:.1f} a second."
    )


def _queued(conn: Connection) -> int:
    row = conn.execute("SELECT depth FROM ml.queue_status").fetchone()
    return int(row[0]) if row else 0


def _registered(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM ml.models").fetchone()
    return int(row[0]) if row else 0


def _check(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is not None:
        end = WORKER_LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise DemoError("\n".join([f"the worker ended with exit code {worker.returncode}; the end of its log:", *end]))


def _as_worker(url: str) -> dict[str, str]:
    """What makes the worker run with the rights of ``ml_worker`` alone, where this user may take that role."""
    with psycopg.connect(url, application_name="demo", autocommit=True) as conn:
        try:
            conn.execute("SET ROLE ml_worker")
        except psycopg.errors.InsufficientPrivilege:
            return {}
    return {"PGOPTIONS": "-c role=ml_worker"}


def _environment(url: str) -> dict[str, str]:
    """This process's environment with the demo's database, and none of the settings that a worker takes at start."""
    ours = {"ENABLE_PHASE5_ML", "ML_CONFIDENCE_THRESHOLD", "ML_CONFIDENCE_WEIGHT", "RULE_CONFIDENCE_WEIGHT"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "DATABASE_URL": url}
