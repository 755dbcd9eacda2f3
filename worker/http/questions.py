"""``POST /api/ml/score``: what a pattern, or each of a list, would score; answered by a worker, nothing is inserted.

PostgreSQL reads the body: it knows the columns, and 1,000 patterns would hold up every other request here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from db_functions.asking import ask
from db_functions.database import CONNECTION_PARAMETERS, AnsweredConnection
from db_functions.errors import NoAnswer, NoWorker

BYTES = 1_048_576
"""Of a body, at most."""
AT_ONCE = 4
"""Questions, and so connections, at a time."""
_WAITING = 8
"""Questions that wait for one of these; further ones fail at once."""
_WAIT_S = 2.0
ANSWER_S = 10.0
"""How long a worker may take."""
PER_S = 100
"""Questions a second, and as many at once after a pause."""
_THEIRS = ("22", "23", "54")
"""SQLSTATE classes of what was asked: data, integrity, and limits such as the depth of JSON."""


class Allowance:
    """A bucket of ``most`` tokens that fills up in a second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = float(most)
        self._at = time.monotonic()
        self._lock = Lock()

    def take(self) -> bool:
        """Whether one more may pass now."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._most, self._left + (now - self._at) * self._most)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Asker:
    """Puts questions to the workers, over connections of its own."""

    def __init__(self, url: str) -> None:
        self._allowance = Allowance(PER_S)
        self.pool = ConnectionPool(
            url,
            connection_class=AnsweredConnection,
            kwargs={**CONNECTION_PARAMETERS, "application_name": "pattern-scoring http", "autocommit": True},
            min_size=0,
            max_size=AT_ONCE,
            max_waiting=_WAITING,
            timeout=_WAIT_S,
            check=ConnectionPool.check_connection,
            configure=_configure,
            open=False,
        )

    async def answer(self, kind: str, request: Request) -> Response:
        """The answer to the question in the body."""
        if not self._allowance.take():
            return JSONResponse({"error": f"at most {PER_S} questions a second"}, 429, {"retry-after": "1"})
        try:
            question = (await read_body(request, BYTES)).decode()
        except TooLarge:
            return JSONResponse({"error": f"a question has at most {BYTES:,} bytes"}, 413)
        except (UnicodeDecodeError, ClientDisconnect):
            return JSONResponse({"error": "the body is not JSON in UTF-8"}, 400)
        try:
            return JSONResponse(await run_in_threadpool(self._ask, kind, question))
        except NoWorker as error:
            return JSONResponse({"error": _first(error)}, 503, {"retry-after": "5"})
        except NoAnswer as error:
            return JSONResponse({"error": _first(error)}, 504, {"retry-after": "5"})
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _THEIRS:
                raise
            said = {"error": error.diag.message_primary or "the body cannot be read"}
            field = error.diag.column_name
            return JSONResponse(said | ({"field": field} if field else {}), 400)

    def _ask(self, kind: str, question: str) -> Any:
        # PostgreSQL's text ends at a NUL, and a request is refused for less.
        with self.pool.connection() as connection:
            return ask(connection, kind, question.replace("\0", "\\u0000"), ANSWER_S)


class TooLarge(ValueError):
    """The body is larger than allowed."""


async def read_body(request: Request, most: int) -> bytes:
    """The body. Raises TooLarge as soon as it is larger than ``most`` bytes."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge
    return bytes(body)


def guarded(refused: Callable[[Request], Response | None], asker: Asker, kind: str) -> Endpoint:
    """The endpoint of one kind of question, for requests that are not ``refused``."""

    async def endpoint(request: Request) -> Response:
        return refused(request) or await asker.answer(kind, request)

    return endpoint


Endpoint = Callable[[Request], Awaitable[Response]]


def _configure(connection: AnsweredConnection) -> None:
    # As an application has it: a procedure that commits takes no settings of a transaction.
    connection.answer_timeout_s = ANSWER_S + 5
    connection.prepare_threshold = None


def _first(error: Exception) -> str:
    """Without the hint, which is for operators."""
    return str(error).partition("\n")[0]
