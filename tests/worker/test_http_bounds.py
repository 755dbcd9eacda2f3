"""What clients can take from the HTTP process: sockets, time, database connections, room in its log."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

import psycopg
import pytest
import uvicorn

from db_functions.database import Connection
from tests.support import wait_until
from tests.worker.test_http import TOKEN, Answer, ask, reader, site
from tests.worker_support import Process, count, process
from worker.http import server
from worker.http.app import make_app

__all__ = ["reader", "site"]
NOWHERE = "postgresql://someone@/nowhere?host=/no/such/directory"
OURS = "pg_stat_activity where application_name = 'pattern-scoring http'"
HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def open_files(most: int) -> Iterator[None]:
    """What is started in here may open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def started(most_files: int) -> Iterator[tuple[Process, int]]:
    """A process without a database, and its port."""
    with ExitStack() as stack:
        with open_files(most_files):
            http = stack.enter_context(process(NOWHERE, "http", "--port", "0"))
        wait_until(lambda: "http_started" in http.stderr(), "it listens")
        yield http, http.lines()[0]["port"]


def half_sent(stack: ExitStack, port: int, number: int) -> list[socket.socket]:
    sockets = []
    for _ in range(number):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        one.sendall(HALF)
        sockets.append(one)
    return sockets


@pytest.mark.parametrize(("most_files", "sockets"), [(1024, 1_100), (64, 120)])
def test_half_sent_requests_hold_up_no_probe_and_fill_no_log(most_files: int, sockets: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_files(hard), started(most_files) as (http, port), ExitStack() as stack:
        half_sent(stack, port, sockets)
        began = time.monotonic()
        for _ in range(5):
            assert ask(f"http://127.0.0.1:{port}/healthz").status == 200
        assert time.monotonic() - began < 5
        assert len(http.stderr()) < 20_000
        assert http.stop() == 0


def test_sixty_clients_take_few_connections_and_the_rest_are_told_when_to_return(
    site: str, connection: Connection, database: str
) -> None:
    answers: list[Answer] = []
    allowed = {"Authorization": f"Bearer {TOKEN}"}

    def post() -> None:
        answers.append(ask(f"{site}/api/ml/baseline", "POST", '{"reason": "test"}', **allowed))

    clients = [threading.Thread(target=post) for _ in range(60)]
    clients += [threading.Thread(target=lambda: answers.append(ask(f"{site}/readyz"))) for _ in range(60)]
    with psycopg.connect(database) as holder:
        holder.execute("lock table ml.aliases, ml.models in access exclusive mode")
        for client in clients:
            client.start()
        wait_until(lambda: len(answers) >= 60, "others than the first are answered")
        assert count(connection, OURS) <= 10
        assert ask(f"{site}/healthz").status == 200
    for client in clients:
        client.join(30)
    told = Counter(answer.status for answer in answers)
    assert told[400] >= 1, "no champion, said by the database"
    assert told[503] >= 50
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status == 503)


@asynccontextmanager
async def in_here() -> AsyncIterator[int]:
    """The application over no database, served in this loop; its port."""
    with server.listening("127.0.0.1", 0) as bound:
        serving = uvicorn.Server(server.configure(make_app("host=/nowhere")))
        task = asyncio.ensure_future(serving._serve([bound]))
        yield bound.getsockname()[1]
        serving.should_exit = True
        await task


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HALF,
        b"POST /api/ml/baseline HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 9\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + HALF,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "head", "body", "second head", "answered before its body"],
)
def test_a_request_that_does_not_arrive_is_cut(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    monkeypatch.setenv("ML_HTTP_TOKEN", "t")

    async def wait_for_the_end() -> None:
        async with in_here() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(4):  # an idle connection is kept for 5 s
                with suppress(ConnectionResetError):
                    while await reader.read(65_536):
                        pass
            writer.close()

    asyncio.run(wait_for_the_end())


def test_a_head_too_large_is_refused_and_an_answer_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)

    async def answers() -> list[bytes]:
        async with in_here() as port:
            found = []
            for sent in (HALF + b"X: " + b"x" * server.HEAD_BYTES, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                async with asyncio.timeout(10):
                    found.append((await reader.readline()).split()[1])
                writer.close()
            return found

    assert asyncio.run(answers()) == [b"400", b"503"]
