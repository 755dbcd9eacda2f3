"""What it takes to ask: a question through SQL and HTTP beside an insert that is waited for, a surface, and what
questions do to rows that come meanwhile.

Each way of asking takes its turn with the others, one question after the other, at most 50 a second, over one
connection. Its time is that of the asker, from the first byte sent to the answer in hand.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final

from bench.harness import COLUMNS, PATTERNS, Bench, wait_until, workers
from bench.latency import INSERT, LATENCIES, insert_steadily, quantiles
from bench.results import Recorder
from bench.server import connect
from db_functions.asking import as_question, ask
from db_functions.database import Connection
from db_functions.waiting import wait_for_score

ASKED: Final = 300
SURFACES: Final = 60
LIVE_S: Final = 10.0
PER_S: Final = 50
"""Rows a second, and questions a second beside them."""
WAITED: Final = "insert, and wait"
SQL: Final = "`ml.score`"
HTTP: Final = "`POST /api/ml/score`"
SURFACE: Final = "`ml.surface`, 64 by 64"
ALONE: Final = "rows alone"
BESIDE: Final = f"rows beside {PER_S} questions a second"
_TOKEN: Final = "bench"


def measure(bench: Bench, recorder: Recorder) -> None:
    asked = recorder.scaled(ASKED)
    with bench.database() as url, workers(url, 1), connect(url) as connection, _http(url) as http:
        questions = _questions(connection)
        large = [_with_levels(connection, question) for question in questions[: 10 + SURFACES]]
        ways: dict[str, Callable[[int], object]] = {
            WAITED: lambda n: _insert_and_wait(connection, n),
            SQL: lambda n: ask(connection, "score", questions[n % len(questions)], 5.0),
            HTTP: lambda n: _post(http, questions[n % len(questions)]),
        }
        for repeat in range(recorder.repeats):
            http.close()  # the server has closed it meanwhile; the next request connects again
            for name, way in ways.items():
                _note(recorder, name, _times(way, asked), repeat)
            _note(recorder, SURFACE, _times(lambda n: ask(connection, "surface", large[n], 5.0), SURFACES), repeat)
            for name, beside in ((ALONE, False), (BESIDE, True)):
                _note(recorder, name, _live(url, questions if beside else []), repeat)


def _note(recorder: Recorder, name: str, found: list[float], repeat: int) -> None:
    p50, p99 = quantiles(found)
    recorder.note(name, "hot", "p50 ms", p50, repeat)
    recorder.note(name, "hot", "p99 ms", p99, repeat)


def _times(way: Callable[[int], object], number: int) -> list[float]:
    """Milliseconds of each call, after ten that do not count."""
    found = []
    for n in range(10 + number):
        began = time.perf_counter()
        way(n)
        took_s = time.perf_counter() - began
        found.append(took_s * 1000)
        time.sleep(max(0.0, 1 / PER_S - took_s))
    return found[10:]


def _questions(connection: Connection) -> list[str]:
    """Real patterns as questions."""
    cursor = connection.execute(f"select {COLUMNS} from bench.patterns order by n limit 1000")
    names = [column.name for column in cursor.description or ()]
    return [as_question(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _insert_and_wait(connection: Connection, number: int) -> None:
    row = connection.execute(INSERT, [1 + number % PATTERNS]).fetchone()
    assert row is not None
    assert wait_for_score(connection, row[0]).reason != "pending"


def _with_levels(connection: Connection, question: str) -> str:
    """A question for a surface of 64 by 64, each level on its side of the close."""
    found = ask(connection, "surface", question, 5.0)
    side, close = (found["direction"], found["close"]) if "close" in found else (1, 100.0)
    away = [side * 0.002 * step for step in range(1, 65)]
    levels = {"targets": [close * (1 + step) for step in away], "stops": [close * (1 - step) for step in away]}
    large = as_question(json.loads(question) | levels)
    answer = ask(connection, "surface", large, 5.0)
    assert [len(answer["p_target"]), len(answer["p_target"][0])] == [64, 64], answer["reason"]
    return large


def _live(url: str, questions: list[str]) -> list[float]:
    """Insert to score of live rows, by commit timestamp, with questions asked meanwhile over four connections."""
    with connect(url) as connection:
        connection.execute("drop table if exists bench.before")
        connection.execute("create table bench.before as select id from pattern_events")
        over = threading.Event()
        askers = 4 if questions else 0
        threads = [threading.Thread(target=_keep_asking, args=(url, questions, n / PER_S, over)) for n in range(askers)]
        for thread in threads:
            thread.start()
        insert_steadily(url, INSERT, PER_S, LIVE_S)
        over.set()
        for thread in threads:
            thread.join()
        time.sleep(1.0)
        return [ms for (ms,) in connection.execute(LATENCIES, [False]).fetchall()]


def _keep_asking(url: str, questions: list[str], first_s: float, over: threading.Event) -> None:
    """Its quarter of the questions, when each is due."""
    due, number = time.monotonic() + first_s, 0
    with connect(url) as connection:
        while not over.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            ask(connection, "score", questions[number % len(questions)], 5.0)
            due, number = due + 4 / PER_S, number + 1


@contextmanager
def _http(url: str) -> Iterator[HTTPConnection]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "http", "--port", str(port)],
        env={**os.environ, "DATABASE_URL": url, "ML_HTTP_TOKEN": _TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        wait_until(lambda: _answers(port), 30)
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait(15)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _post(connection: HTTPConnection, question: str) -> Any:
    headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
    connection.request("POST", "/api/ml/score", question, headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return json.loads(body)
