"""Ends a run of a graph that takes too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import onnxruntime as ort

RUN_LIMIT_S = 10.0
_LOOK_S = 0.25


class Watchdog:
    """Ends a run of a graph that takes longer than ``limit_s``; the run then raises.

    ONNX Runtime looks at the request between nodes, so it would not end one endless node; loops, the only nodes without
    an end, are refused at registration.
    """

    def __init__(self, limit_s: float = RUN_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._running: tuple[ort.RunOptions, float] | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, deadline: float | None = None) -> Iterator[ort.RunOptions]:
        """Options for one run, which ends after the limit, or at ``deadline`` (of ``time.monotonic()``) if sooner."""
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
            if running is None:
                continue
            options, end = running
            if time.monotonic() > end:
                options.terminate = True
