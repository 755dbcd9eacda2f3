"""A network between a worker and its database: a proxy on loopback that holds everything back, each way."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


@contextmanager
def far(url: str, round_trip_ms: float) -> Iterator[str]:
    """The URL of the same database beyond a network whose round trip takes so long."""
    if not round_trip_ms:
        yield url
        return
    where = psycopg.conninfo.conninfo_to_dict(url)
    target = Path(str(where["host"])) / f".s.PGSQL.{where.get('port', 5432)}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, target, round_trip_ms / 2_000), daemon=True).start()
        yield f"postgresql://{where['user']}@127.0.0.1:{server.getsockname()[1]}/{where['dbname']}"
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


def _accept(server: socket.socket, target: Path, delay_s: float) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = server.accept()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            beyond = socket.socket(socket.AF_UNIX)
            beyond.connect(str(target))
            for source, sink in ((near, beyond), (beyond, near)):
                late = queue.SimpleQueue[tuple[float, bytes]]()
                threading.Thread(target=_receive, args=(source, late, delay_s), daemon=True).start()
                threading.Thread(target=_deliver, args=(sink, late), daemon=True).start()


def _receive(source: socket.socket, late: queue.SimpleQueue[tuple[float, bytes]], delay_s: float) -> None:
    data = b"-"
    while data:
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(65_536)
        late.put((time.monotonic() + delay_s, data))


def _deliver(sink: socket.socket, late: queue.SimpleQueue[tuple[float, bytes]]) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, data = late.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                break
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
