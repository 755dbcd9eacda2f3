"""``--processes N``: one worker a process, restarted when it dies, stopped together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from db_functions.database import database_url
from worker.log import event
from worker.serving.listener import Signals

logger = logging.getLogger(__name__)

_ROOT = str(Path(__file__).parents[2])
_STOP_TIMEOUT_S = 30.0
_RESTART_S = 1.0
_LOOK_S = 0.5
_GIVE_UP = 4
"""How many children in a row may end with an error that no retry helps; one that is killed is always replaced."""


def supervise(processes: int, arguments: list[str], signals: Signals, environment: dict[str, str]) -> int:
    """Run ``python -m worker run ARGUMENTS`` ``processes`` times until a signal; returns the exit code."""
    path = os.pathsep.join(filter(None, [_ROOT, environment.get("PYTHONPATH")]))
    environment = {**environment, "DATABASE_URL": database_url(), "PYTHONPATH": path}
    # -P: not a folder `worker` of the working directory.
    command = [sys.executable, "-P", "-m", "worker", "run", *arguments]
    children: list[subprocess.Popen[bytes] | None] = [None] * processes
    not_before = [0.0] * processes
    gave_up = 0
    while not signals.stopping:
        for place, child in enumerate(children):
            if child is not None and child.poll() is not None:
                gave_up = gave_up + 1 if child.returncode == 1 else 0
                if gave_up >= _GIVE_UP:
                    logger.error("workers end with an error as soon as they start; giving up", event("gave_up"))
                    signals.stop()
                    break
                logger.error(
                    "worker process %(pid)d ended with exit code %(exit_code)d; starting another",
                    event("process_ended", pid=child.pid, exit_code=child.returncode),
                )
                children[place], not_before[place] = None, time.monotonic() + _RESTART_S
            if children[place] is None and time.monotonic() >= not_before[place]:
                # In its own group: Ctrl-C reaches this process only, which passes it on once. A second signal would end
                # a child in the middle of a batch.
                children[place] = subprocess.Popen(command, env=environment, process_group=0)  # noqa: S603  # our own
        signals.pause(_LOOK_S)
    running = [child for child in children if child is not None and child.poll() is None]
    for child in running:
        child.terminate()
    return max((_wait(child) for child in running), default=0) or int(gave_up >= _GIVE_UP)


def _wait(child: subprocess.Popen[bytes]) -> int:
    try:
        code = child.wait(_STOP_TIMEOUT_S)
        # It was stopped before it could handle signals, so it had done nothing yet.
        return 0 if code == -signal.SIGTERM else abs(code)
    except subprocess.TimeoutExpired:
        logger.warning(
            "worker process %(pid)d does not stop; killing it (its batch goes back to the queue)",
            event("process_killed", pid=child.pid),
        )
        child.kill()
        child.wait()
        return 1
