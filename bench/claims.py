"""Claims behind deep backlogs and held snapshots, and how seldom the doorbell rings; see ``queue`` and ``doorbell``."""

from __future__ import annotations

from typing import Final

from bench.doorbell import economy, prepared, with_workers
from bench.harness import Bench, Recorder
from bench.peers import peers
from bench.queue import SHALLOW, NoMarks, Ours, Subject, Theirs
from bench.queue import measure as measure_queue

DEEP: Final = 1_000_000
SECONDS: Final = 4.0
RATE: Final = 1_000


def measure(bench: Bench, recorder: Recorder) -> None:
    everybody: list[Subject] = [Ours(), Ours(NoMarks), *(Theirs(peer) for peer in peers())]
    deep = recorder.scaled(DEEP)
    for subject in everybody:
        for backlog, held in ((SHALLOW, "none"), (deep, "none"), (deep, "snapshot")):
            rate = measure_queue(bench.server, subject, backlog, SECONDS, held=held)
            case = f"{backlog:,} waiting" + (", a snapshot held" if held == "snapshot" else "")
            recorder.note(subject.name, case, "no-op rows/s", rate)
    url = prepared(bench.server, "doorbell")

    def ring() -> None:
        commits, rings, _ = economy(url, RATE, 6.0 * recorder.scale)
        recorder.note("doorbell", f"{RATE}/s", "share of commits that ring", rings / commits)

    with_workers(url, 1, ring)
