"""Routes of the HTTP process."""

from __future__ import annotations

import hmac
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db_functions.errors import ScoringError
from worker import __version__
from worker.http import prometheus, server
from worker.http.questions import Asker, guarded, read_body
from worker.http.store import Store
from worker.log import event

logger = logging.getLogger(__name__)

TOKEN = "ML_HTTP_TOKEN"  # noqa: S105  # the name of a variable
_NOT_THEIRS = ("42501", "42883", "57014", "57P01", "57P02", "57P03")
"""SQLSTATEs for which the client is not at fault: no privilege, no such function, a timeout, a server going down."""
GRAINS = ("minute", "hour", "day")
HERE = Path(__file__).parent
FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "ask": ("ask.html", "text/html"),
    "ask.css": ("ask.css", "text/css"),
    "ask.js": ("ask.js", "text/javascript"),
}
"""Paths of the pages, each with its file in ``page/`` and its media type."""
BASELINE = ("version", "since", "until", "reason")
"""What the body of a POST may name; every value is text."""
BODY_BYTES = 65_536
RETRY_AFTER_S = 5
NO_BODY = f"the body must be a JSON object of texts: reason, optional version, since, until; at most {BODY_BYTES} bytes"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def make_app(url: str) -> Starlette:
    """The application over the database at ``url``."""
    store = Store(url)
    asker = Asker(url)
    endpoints = Endpoints(store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        store.open()
        asker.pool.open()
        yield
        asker.pool.close()
        store.close()

    return Starlette(
        routes=[
            Route("/api/ml/health", endpoints.health),
            Route("/api/ml/metrics", endpoints.metrics),
            Route("/api/ml/alerts", endpoints.alerts),
            Route("/api/ml/page", endpoints.page),
            Route("/api/ml/baseline", endpoints.baseline, methods=["POST"]),
            Route("/api/ml/score", guarded(_refused, asker, "score"), methods=["POST"]),
            Route("/api/ml/surface", guarded(_refused, asker, "surface"), methods=["POST"]),
            Route("/api/ml/series", endpoints.series),
            Route("/api/ml/bars", endpoints.bars),
            Route("/metrics", endpoints.exposition),
            Route("/healthz", _alive),
            Route("/readyz", endpoints.ready),
            *(Route(path, _serve_bytes(content, kind)) for path, content, kind in _read_files()),
        ],
        middleware=[Middleware(_Headers)],
        exception_handlers={psycopg.Error: _unavailable, ScoringError: _unavailable},
        lifespan=lifespan,
    )


class Endpoints:
    """What asks the database. These run in threads, so that none holds up another; no other endpoint needs a thread.

    When a database that does not answer keeps every thread waiting, a probe of this process must still get its answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def health(self, _: Request) -> Response:
        found = self._store.value("health_json")
        return JSONResponse(found, 503 if found["status"] == "unavailable" else 200)

    def metrics(self, request: Request) -> Response:
        grain = request.query_params.get("grain", "minute")
        if grain not in GRAINS:
            return JSONResponse({"error": f"grain is one of {', '.join(GRAINS)}"}, 400)
        return JSONResponse(self._store.value("metrics_json", {"grain": grain}))

    def alerts(self, _: Request) -> Response:
        return JSONResponse(self._store.value("alerts_json"))

    def page(self, _: Request) -> Response:
        return JSONResponse(self._store.value("page_json"))

    def series(self, request: Request) -> Response:
        return _refused(request) or JSONResponse(self._store.value("series_json"))

    def bars(self, request: Request) -> Response:
        if refusal := _refused(request):
            return refusal
        wanted = {name: request.query_params.get(name, "") for name in ("symbol", "timeframe")}
        if not all(wanted.values()) or any("\0" in value for value in wanted.values()):
            return JSONResponse({"error": "symbol and timeframe are needed"}, 400)
        return JSONResponse(self._store.value("bars_json", wanted))

    def exposition(self, _: Request) -> Response:
        store = self._store
        counts = store.rows("counters", class_row(prometheus.SourceCounts))
        questions = store.rows("question_counts", class_row(prometheus.QuestionCount))
        health, alerts = store.value("health_json"), store.value("alerts_json")["alerts"]
        text = prometheus.render(health, alerts, counts, store.value("helping_json"), questions)
        return PlainTextResponse(text, media_type=prometheus.CONTENT_TYPE)

    def ready(self, _: Request) -> Response:
        self._store.value("backend")
        return JSONResponse({"status": "ready"})

    async def baseline(self, request: Request) -> Response:
        if refusal := _refused(request):
            return refusal
        try:
            parameters = _read_baseline(await read_body(request, BODY_BYTES))
        except (ValueError, ClientDisconnect):
            return JSONResponse({"error": NO_BODY}, 400)
        try:
            made = await run_in_threadpool(self._store.write, "set_baseline_json", parameters)
        except psycopg.Error as error:
            if error.sqlstate is None or error.diag.message_primary is None or error.sqlstate in _NOT_THEIRS:
                raise
            return JSONResponse({"status": "refused", "error": error.diag.message_primary}, 400)
        return JSONResponse({"status": "success", **made})


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


def description() -> dict[str, Any]:
    """The OpenAPI document of ``openapi.json``, with the version of this package."""
    document: dict[str, Any] = json.loads((HERE / "openapi.json").read_bytes())
    document["info"]["version"] = __version__
    return document


def _read_files() -> Iterator[tuple[str, bytes, str]]:
    """Path, content and media type of everything that never changes."""
    yield "/openapi.json", json.dumps(description()).encode(), "application/json"
    for path, (name, kind) in FILES.items():
        yield f"/{path}", (HERE / "page" / name).read_bytes(), kind


def _serve_bytes(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


def _refused(request: Request) -> Response | None:
    """The answer to a request without the token of ML_HTTP_TOKEN; None when it has the token."""
    token = os.environ.get(TOKEN, "").strip()  # read from a file, it may end in a newline
    if not token:
        return JSONResponse({"error": f"nothing is set or asked here: {TOKEN} is not set"}, 403)
    given = request.headers.get("authorization", "")
    scheme, _, secret = given.partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(secret.strip().encode(), token.encode()):
        return None
    error = ', error="invalid_token"' if given else ""
    return JSONResponse(
        {"error": "this needs the bearer token"}, 401, {"www-authenticate": f'Bearer realm="pattern scoring"{error}'}
    )


def _read_baseline(body: bytes) -> dict[str, str | None]:
    """The parameters of a new baseline. Raises ValueError when the body does not hold them.

    An unknown name is refused too: a mistyped `since` would otherwise mean the training rows.
    """
    try:
        wanted = json.loads(body or b"{}")
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(wanted, dict) or not wanted.keys() <= set(BASELINE):
        raise ValueError("not an object of these names")
    for value in wanted.values():
        if not (value is None or (isinstance(value, str) and "\0" not in value)):
            raise ValueError("not text that PostgreSQL accepts")
        (value or "").encode()  # half of a surrogate pair is a ValueError
    return {name: wanted.get(name) for name in BASELINE}


async def _unavailable(request: Request, error: Exception) -> Response:
    """The cause goes to the log only: it may name hosts and roles."""
    logger.warning(
        "%(path)s cannot be answered: %(error)s",
        event("request_failed", path=request.url.path, error=" ".join(str(error).split())),
    )
    return JSONResponse(
        {"status": "unavailable", "error": "the database does not answer this now; see the log"},
        503,
        {"retry-after": str(RETRY_AFTER_S)},
    )


class _Headers:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def serve(url: str, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when it cannot listen."""
    server.serve(make_app(url), host, port)
