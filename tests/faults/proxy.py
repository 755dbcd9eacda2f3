"""A bad network: a proxy on loopback, before the server's Unix socket, that does to connections what networks do."""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import struct
import threading
import time
from collections import Counter, deque
from pathlib import Path

FAULTS = ("stall", "reset", "half_open", "blackhole", "cut")
_RESET = struct.pack("ii", 1, 0)
_LISTEN = re.compile(rb'listen "ml_doorbell_\w{32}"')
_DEAF = b"unlisten *"


class Proxy:
    """Forwards ``127.0.0.1:port`` to the socket at ``target``.

    ``deaf``: LISTEN on the queue's channel becomes UNLISTEN on the way, so that connections live and hear nothing.
    ``delay_s``: everything takes so long, each way. ``trips`` counts how often clients sent and then got an answer.
    """

    def __init__(self, target: Path, *, deaf: bool = False, delay_s: float = 0.0) -> None:
        self.deaf = deaf
        self.delay_s = delay_s
        self.trips = 0
        self.done: Counter[str] = Counter()
        self._target = str(target)
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def hurt(self, rng: random.Random, fault: str | None = None) -> str | None:
        """Do something to one connection; what, or None when there is none."""
        with self._lock:
            links = [link for link in self._links if link.fault is None]
        if not links:
            return None
        fault = fault or rng.choice(FAULTS)
        rng.choice(links).suffer(fault, rng.uniform(0.2, 2.0))
        self.done[fault] += 1
        return fault

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            links = list(self._links)
        for link in links:
            link.suffer("reset", 0)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.socket(socket.AF_UNIX)
            try:
                upstream.connect(self._target)
            except OSError:
                client.close()
                upstream.close()
                continue
            link = _Link(self, client, upstream)
            with self._lock:
                self._links.add(link)
            threading.Thread(target=self._serve, args=(link,), name="link", daemon=True).start()

    def _serve(self, link: _Link) -> None:
        try:
            link.pump()
        except OSError:
            pass
        finally:
            link.close()
            with self._lock:
                self._links.discard(link)


class _Link:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self.fault: str | None = None
        self._until = 0.0
        self._asked = False
        self._late = deque[tuple[float, socket.socket, bytes]]()
        """What is on its way: when it arrives, where, and what."""

    def suffer(self, fault: str, seconds: float) -> None:
        """From the next look on."""
        self._until = time.monotonic() + seconds
        self.fault = fault

    def pump(self) -> None:
        """Until one end closes, or what is suffered ends it."""
        while not self._ended():
            due_in_s = max(0.0, self._late[0][0] - time.monotonic()) if self._late else 0.05
            ready, _, _ = select.select([self._client, self._server], [], [], min(due_in_s, 0.05))
            if not all(self._forward(end) for end in ready):
                return
            while self._late and self._late[0][0] <= time.monotonic():
                _, other, data = self._late.popleft()
                other.sendall(data)

    def _ended(self) -> bool:
        """Suffer what is due; whether that was the end."""
        if self.fault == "stall":
            time.sleep(max(0.0, self._until - time.monotonic()))
            self.fault = None
        elif self.fault == "reset":
            for end in (self._client, self._server):
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return True
        elif self.fault in ("half_open", "blackhole"):
            if self.fault == "half_open":
                self._server.close()
            self._swallow()
            return True
        return False

    def _forward(self, end: socket.socket) -> bool:
        data = end.recv(65_536)
        if not data:
            return False
        if self._proxy.deaf and end is self._client:
            data = _LISTEN.sub(lambda found: _DEAF.ljust(len(found[0])), data)
        other = self._server if end is self._client else self._client
        self._proxy.trips += self._asked and end is self._server
        self._asked = end is self._client
        if self.fault == "cut":
            other.sendall(data[: len(data) // 2])
            return False
        if self._proxy.delay_s:
            self._late.append((time.monotonic() + self._proxy.delay_s, other, data))
        else:
            other.sendall(data)
        return True

    def _swallow(self) -> None:
        """To the worker the connection lives, and nobody answers; until it goes itself."""
        while self.fault != "reset":
            ready, _, _ = select.select([self._client], [], [], 0.05)
            if ready and not self._client.recv(65_536):
                return

    def close(self) -> None:
        for end in (self._client, self._server):
            end.close()
