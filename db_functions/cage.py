"""Limits on what a model can do to its worker: time, memory, and a first run somewhere else.

A model is untrusted input. It is loaded and tried first in a process of its own, in an empty directory, with little
memory and time; in the worker a watchdog ends a run that takes too long, and the address space has a ceiling.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime as ort

from db_functions.errors import InvalidModel, one_line

TRIAL_S = 30.0
TRIAL_MEMORY = 3 * 2**30
WORKER_MEMORY = 8 * 2**30
RUN_LIMIT_S = 10.0
_LOOK_S = 0.25
_SIZE = struct.Struct(">QQ")
_passed: set[bytes] = set()
"""Files that passed here; the same bytes need no second trial."""


class Watchdog:
    """Ends a run of a graph that takes longer than ``limit_s``; the run then raises.

    ONNX Runtime looks at the request between nodes, so one endless node would not be ended; loops, the only nodes
    without an end, are refused at registration.
    """

    def __init__(self, limit_s: float = RUN_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._running: tuple[ort.RunOptions, float] | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, deadline: float | None = None) -> Iterator[ort.RunOptions]:
        """Options for one run, which is ended when the time is up, or at ``deadline``, of ``time.monotonic()``."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
            self._thread.start()
        options = ort.RunOptions()
        limit = time.monotonic() + self._limit_s
        self._running = (options, limit if deadline is None else min(limit, deadline))
        try:
            yield options
        finally:
            self._running = None

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            running = self._running
            if running is not None and time.monotonic() > running[1]:
                running[0].terminate = True


def limit_memory(most: int = WORKER_MEMORY) -> None:
    """Let allocations beyond ``most`` bytes of address space fail, instead of the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def require_trial(version: str, data: bytes, golden: bytes | None) -> None:
    """Load the model and run it on its golden rows, or on plain ones, in a process of its own.

    Raises InvalidModel when that goes wrong.
    """
    stream = _SIZE.pack(len(data), len(golden or b"")) + data + (golden or b"")
    digest = hashlib.sha256(stream).digest()  # with the sizes: bytes moved from one to the other are another model
    if digest in _passed:
        return
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(Path(__file__).parent.parent)}
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(  # noqa: S603  # our own program
                [sys.executable, "-m", "db_functions.trial", version],
                input=stream,
                capture_output=True,
                timeout=TRIAL_S,
                cwd=empty,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InvalidModel(f"model {version} did not finish its trial run within {TRIAL_S:g} s") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode == 1 and lines and lines[-1].startswith("model "):
            raise InvalidModel(one_line(lines[-1]))
        ending = f"{one_line(lines[-1])} " if lines else ""
        raise InvalidModel(f"model {version} failed its trial run: {ending}(exit code {done.returncode})")
    _passed.add(digest)


def read_trial(stream: bytes) -> tuple[bytes, bytes | None]:
    """The model and its golden rows, as :func:`require_trial` sent them."""
    size, golden_size = _SIZE.unpack_from(stream)
    start = _SIZE.size + size
    return stream[_SIZE.size : start], stream[start : start + golden_size] if golden_size else None
