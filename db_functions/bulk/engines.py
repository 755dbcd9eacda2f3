"""Where slices run. An engine is a function that starts an executor of ``concurrent.futures``; any library's fits.

Futures are hints: whatever becomes of one, the ledger says what is done.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from db_functions.bulk.sessions import close_kept
from db_functions.errors import EngineUnavailable, first_line
from db_functions.extras import not_installed

START_S = 60.0
"""How long an engine may take to start again before the job ends; what is done is kept."""
_NICE = 10
"""Bulk processes on this machine give way to live ones."""
_OF_DASK = {
    # It looks at every thread a hundred times a second, and takes a tenth of the rate.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
    # With it, the memory of every array goes back to the system, and is fetched again for the next.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
"""For processes that are started here."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started engine. ``width`` counts the slices that run at once; it raises when the engine is gone."""

    executor: Executor
    width: Callable[[], int]
    client: Any = None
    """Of Dask."""


Engine = Callable[[ExitStack], Running]
"""Starts an executor and leaves on the stack how to end it."""


class _InProcess(Executor):
    """Runs each call where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def in_process(stack: ExitStack) -> Running:
    """This process, one slice after the other."""
    stack.callback(close_kept)
    return Running(_InProcess(), lambda: 1)


def local_processes(count: int) -> Engine:
    """``count`` processes of this machine, each with a connection of its own."""

    def start(stack: ExitStack) -> Running:
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
        stack.callback(executor.shutdown, wait=True, cancel_futures=True)
        return Running(executor, lambda: count)

    return start


def dask(scheduler: str | None, processes: int) -> Engine:
    """The cluster whose scheduler is at ``scheduler`` (``tcp://HOST:PORT``), or one on this machine."""

    def start(stack: ExitStack) -> Running:
        try:
            import dask
            import distributed
        except ImportError as error:
            raise EngineUnavailable(not_installed(error)) from None
        library: Any = distributed  # it has types, but these have none
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            # Read when the processes are made, and kept for those that take their place.
            with dask.config.set(_OF_DASK):
                address = scheduler or stack.enter_context(
                    library.LocalCluster(
                        n_workers=processes, threads_per_worker=1, dashboard_address=None, preload=__name__
                    )
                )
            client = library.Client(address, timeout=5, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineUnavailable(f"no Dask scheduler answers at {scheduler}: {first_line(error)}") from error
        stack.callback(_leave, client)
        # Not pure: a slice that is submitted again is to run again, and a failed one too.
        executor = client.get_executor(pure=False)

        def width() -> int:
            if client.status != "running":
                raise ConnectionError("the connection to the Dask scheduler is lost")
            return sum(client.nthreads().values())

        return Running(executor, width, client)

    return start


def dask_setup(_worker: object) -> None:
    """Dask calls it in each process of a local cluster (as ``preload``)."""
    os.nice(_NICE)


def _leave(client: Any) -> None:
    # A cluster outlives the job; its connections to the database should not. A lost scheduler cannot be told.
    with contextlib.suppress(Exception):
        if client.status == "running":
            client.run(close_kept, on_error="ignore")
    with contextlib.suppress(Exception):
        client.close(timeout=2)


def _begin() -> None:
    """In a process of the pool: signals are for the driver, which waits for the slices that run."""
    import signal
    from multiprocessing.util import Finalize

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    Finalize(None, close_kept, exitpriority=0)


class Pool:
    """A running engine that is started again when it breaks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stack = ExitStack()
        self._running = engine(self._stack)
        self._idle_since: float | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._running.executor.submit(call, *arguments)

    def width(self) -> int:
        """How many slices run at once; at least 1. Raises when the engine is gone."""
        width = self._running.width()
        if width:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > START_S:
            raise EngineUnavailable(f"the cluster has had no worker for {START_S:g} s")
        return max(1, width)

    def renew(self) -> None:
        """Start the engine again. Raises EngineUnavailable when that fails for ``START_S``."""
        self.close()
        end = time.monotonic() + START_S
        while True:
            self._stack = ExitStack()
            try:
                self._running = self._engine(self._stack)
            except EngineUnavailable as error:
                self.close()
                if time.monotonic() > end:
                    raise EngineUnavailable(f"{error}; what is done is kept: run the command again") from error
                time.sleep(1)
            else:
                return

    def close(self) -> None:
        """Wait for what runs here; a cluster ends its slices by itself."""
        # What is broken may refuse to be closed.
        with contextlib.suppress(Exception):
            self._stack.close()
