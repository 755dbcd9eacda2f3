"""How the application is served: what a client can take of this process is bounded.

Uvicorn gives a request no time to arrive in. A client that sends half of one, and others after it, would hold every
socket; so each request has a deadline, and a new connection takes the place of the one that has waited longest.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.log import event

logger = logging.getLogger(__name__)

OPEN = 256
"""Connections at most; fewer where the system allows few files."""
REQUEST_S = 10.0
"""How long head and body of a request may take to arrive, and the answer before it to be read."""
ANSWER_S = 300.0
"""How long an answer may take; setting a baseline reads many rows."""
HEAD_BYTES = 16_384
_BACKLOG = 128
"""Connections that the system keeps until they are accepted: as many may be accepted at once, above ``OPEN``."""
_LOGGED_EVERY_S = 5.0


class Seldom(logging.Filter):
    """Lets one line of a kind pass in a while, since clients decide how often there is something to say."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        kind = str(record.msg)
        if now - self._passed.get(kind, -_LOGGED_EVERY_S) < _LOGGED_EVERY_S:
            return False
        self._passed[kind] = now
        return True


class BoundedProtocol(H11Protocol):
    """A connection that is cut when its request does not arrive in time, or another needs its place."""

    _deadline: asyncio.TimerHandle | None = None
    _waiting_since: float | None = None
    """When it began to wait for a request; None while one is answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_request()
        if len(self.connections) > most_open():
            waiting = {
                one: one._waiting_since
                for one in self.connections
                if isinstance(one, BoundedProtocol) and one._waiting_since is not None
            }
            longest = min(waiting, key=lambda one: waiting[one])
            self.connections.discard(longest)  # now: others may be made before it is lost
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting_since is not None and self._has_arrived():
            self._await_answer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._has_arrived() and not self.transport.is_closing():
            self._await_answer()  # the next request was here already
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _has_arrived(self) -> bool:
        """Whether a request is here to the end of its body."""
        return self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)

    def _await_request(self) -> None:
        self._waiting_since = self.loop.time()
        self._end_after(REQUEST_S)

    def _await_answer(self) -> None:
        self._waiting_since = None
        self._end_after(ANSWER_S)

    def _end_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        # Not closed but cut: to close waits for a client that does not read.
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


def most_open() -> int:
    """Connections at most. The rest of the files that may be open are for the backlog and the database."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN if soft == resource.RLIM_INFINITY else min(OPEN, max(1, soft // 4))


def configure(app: ASGIApp) -> uvicorn.Config:
    """Uvicorn with the bounds of this module, and without a log of every request."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        backlog=min(_BACKLOG, most_open()),
        timeout_graceful_shutdown=round(REQUEST_S),
        log_config=None,
        access_log=False,
        server_header=False,
    )


class _Server(uvicorn.Server):
    """Ends cleanly after a signal: Uvicorn raises the signal again after its shutdown, which looks like a failure."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def until_told(self, bound: socket.socket, host: str) -> None:
        def stop() -> None:
            self.should_exit = True

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        # Only now: a supervisor that reads this line may send a signal at once.
        port = bound.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        logger.info("listening on http://%(host)s:%(port)d", event("http_started", host=shown, port=port))
        await self.serve(sockets=[bound])


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the event loop could not hand to anybody. It says of every socket that it cannot accept, many at once."""
    error = context.get("exception")
    if isinstance(error, OSError) and "socket" in context:
        logger.warning(
            "a connection cannot be accepted: %(error)s", event("accept_failed", error=error.strerror or str(error))
        )
    else:
        loop.default_exception_handler(context)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, on both protocols for an address of IPv6. Raises OSError when it cannot."""
    if ":" in host:
        both = socket.has_dualstack_ipv6()
        bound = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)
    else:
        bound = socket.create_server((host, port))
    # Connections inherit it. asyncio does not set it, since these sockets name no protocol; a client that keeps its
    # connection would then wait 40 ms for each answer, the time that its system takes to acknowledge the head.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when it cannot listen."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for name in ("uvicorn.error", "worker.http.app", __name__):
        logging.getLogger(name).addFilter(Seldom())
    server = _Server(configure(app))
    with listening(host, port) as bound:
        asyncio.run(server.until_told(bound, host))
    logger.info("stopped", event("http_stopped"))
