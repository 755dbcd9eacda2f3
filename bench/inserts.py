"""What the application pays for an insert, by pgbench: a bare table, a plain NOTIFY, a peer's enqueueing, ours."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.harness import COLUMNS, Bench, workers
from bench.peers import PEERS
from bench.results import Recorder
from bench.server import connect
from db_functions.database import Connection

BARE: Final = "bare table"
NOTIFY: Final = "plain NOTIFY trigger"
AWAKE: Final = "ours, bell muted"
SCORING: Final = "ours, a worker scoring on the same cores"
RINGING: Final = "ours, no worker awake: every commit rings"
ENQUEUEING: Final = {peer.name.split()[0]: peer for peer in PEERS}
"""A peer's statement is the same over each of its drivers."""
SUBJECTS: Final = (BARE, NOTIFY, *ENQUEUEING, AWAKE, SCORING, RINGING)
SINGLE: Final = "single rows, {} client{}"
BULK: Final = "1,000-row statements, 8 clients"
CLIENTS: Final = (1, 8, 32)
SECONDS: Final = 3.0
_VALUES: Final = (
    "'ACME', '1d', 'double_bottom', timestamptz '2024-05-01', null::timestamptz, 98.0, 104.0, 110.0, 100.0, 95.0, "
    "0.64, '{}'::jsonb"
)
_NOTIFY: Final = """
create function bench.ring() returns trigger language plpgsql as $$
begin perform pg_notify('bench', new.id::text); return null; end $$;
create trigger ring after insert on pattern_events for each row execute function bench.ring()
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    cases = [(SINGLE.format(n, "s" if n > 1 else ""), n, 1) for n in CLIENTS] + [(BULK, 8, 1_000)]
    seconds = max(1.0, SECONDS * recorder.scale)
    for repeat in range(recorder.repeats):
        for subject in SUBJECTS:
            with _prepared(bench, subject) as url:
                for case, clients, rows in cases:
                    program = bench.server.programs / "pgbench"
                    rate = _pgbench(program, url, _statement(subject, rows), clients, seconds) * rows
                    recorder.note(subject, case, "rows/s", rate, repeat)


@contextmanager
def _prepared(bench: Bench, subject: str) -> Iterator[str]:
    with bench.database() as url, connect(url) as connection:
        if subject in ENQUEUEING:
            ENQUEUEING[subject].install(url)
        if subject in (BARE, NOTIFY, *ENQUEUEING):
            connection.execute("alter table pattern_events disable trigger user")
        if subject == NOTIFY:
            connection.execute(_NOTIFY)
        if subject == AWAKE:
            with muted(connection):
                yield url
        elif subject == SCORING:
            with workers(url, 1):
                yield url
        else:
            yield url


@contextmanager
def muted(connection: Connection) -> Iterator[None]:
    """As if a worker elsewhere were awake: no writer has to ring. Nobody mutes the doorbell for 10 s or more."""
    awake, stop = threading.Event(), threading.Event()

    def mute() -> None:
        while not stop.wait(1.0 if awake.is_set() else 0.0):
            connection.execute("select ml_internal.mute_doorbell(9000)")
            awake.set()

    thread = threading.Thread(target=mute)
    thread.start()
    try:
        awake.wait()
        yield
    finally:
        stop.set()
        thread.join()


def _statement(subject: str, rows: int) -> str:
    insert = f"insert into pattern_events ({COLUMNS}) select {_VALUES}"
    if rows > 1:
        insert += f" from generate_series(1, {rows})"
    if subject in ENQUEUEING:
        return f"with i as ({insert} returning id) select bench.defer(array_agg(id)) from i;"
    return f"{insert};"


def _pgbench(program: Path, url: str, statement: str, clients: int, seconds: float) -> float:
    """Statements a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement + "\n")
        script.flush()
        options = f"-n -M prepared -j 1 -c {clients} -T {seconds:.0f} -f {script.name}".split()
        done = subprocess.run([program, *options, url], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))
