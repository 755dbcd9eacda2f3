"""The disk of the server fills up and gets room again: scoring resumes by itself, and no committed row is lost."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from tests.conftest import upgrade
from tests.servers import EMBEDDED, Server, running
from tests.support import insert_bars, insert_pattern, make_champion, wait_until
from tests.worker_support import FAST, count, working

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")]
SIZE = "256m"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip("this machine does not let a small disk be mounted")
    place.chmod(0o755)  # the server's own user has to get in
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


@pytest.fixture
def server_on_it(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with ExitStack() as stack:
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(small_disk))
            server = stack.enter_context(running(EMBEDDED, durable=True))
        yield server


def fill(disk: Path) -> Path:
    """A file that takes what is left."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65_536)
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 512)
    return ballast


def test_a_full_disk_loses_nothing_and_needs_nobody(
    server_on_it: Server, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, url = server_on_it, server_on_it.url("postgres")
    upgrade(url)
    committed: list[str] = []
    refused: list[psycopg.Error] = []
    stop = threading.Event()

    def insert() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(url, autocommit=True) as own:
                    while not stop.is_set():
                        # Rows of some size, so that what is left of the disk does not last.
                        committed.append(insert_pattern(own, metadata=f'{{"text": "{os.urandom(20_000).hex()}"}}'))
            except psycopg.Error as error:
                refused.append(error)
                time.sleep(0.05)

    with psycopg.connect(url, autocommit=True) as connection:
        insert_bars(connection)
        make_champion(connection, "small-1")
    application = threading.Thread(target=insert)
    with working(url, FAST):
        application.start()
        wait_until(lambda: len(committed) > 100, "rows are inserted")
        ballast = fill(small_disk)
        wait_until(lambda: len(refused) > 20, "the disk is full", 60)
        # Scoring, if a row waits, or upkeep.
        met = re.compile("database_lost|upkeep_lost")
        wait_until(lambda: any(met.search(str(record.args)) for record in caplog.records), "the worker meets it")
        ballast.unlink()
        _started(server, url)
        before = len(committed)
        wait_until(lambda: len(committed) > before + 50, "rows are inserted again", 60)
        stop.set()
        application.join(20)
        with psycopg.connect(url, autocommit=True) as connection:
            wait_until(lambda: count(connection, "ml.queue") == 0, "everything is scored", 60)
            stored = {row[0] for row in connection.execute("select id::text from pattern_events").fetchall()}
            assert set(committed) <= stored
            assert count(connection, "ml.failures") == 0
            assert count(connection, "pattern_events where scored_at is null") == 0
            assert count(connection, "ml.predictions") == len(stored)
    kinds = {type(error).__name__ for error in refused}
    print(f"\n{len(stored)} rows, {len(committed)} known to be committed, {len(refused)} refused: {kinds}", end="")


def _started(server: Server, url: str) -> None:
    """A server that could not even replay its log has ended; whoever runs it starts it again."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(psycopg.Error), psycopg.connect(url, connect_timeout=5) as connection:
            connection.execute("select 1")
            return
        time.sleep(0.5)
    subprocess.run([*server.control, "start"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
