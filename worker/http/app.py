"""Routes of the HTTP process, and how it is served."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db_functions.errors import ScoringError
from worker import __version__
from worker.http import openapi, prometheus
from worker.http.store import Store
from worker.log import event

logger = logging.getLogger(__name__)

TOKEN = "ML_HTTP_TOKEN"  # noqa: S105  # the name of a variable
_NOT_THEIRS = ("42501", "42883", "57014", "57P01", "57P02", "57P03")
"""SQLSTATEs that are no answer to what was sent: no privilege, no such function, a timeout, a server going down."""
GRAINS = ("minute", "hour", "day")
PAGE = Path(__file__).parent / "page"
FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Paths of the page, each with its file and media type."""
BASELINE = ("version", "since", "until", "reason")
"""What the body of a POST may have, all of it text."""
BODY_BYTES = 65_536
NO_BODY = f"the body is a JSON object of texts: reason; version, since, until if need be; {BODY_BYTES} bytes at most"
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
    """The application over the database at ``url``.

    What asks the database runs in threads, so that none holds up another. What does not, asks for none: while the
    database leaves them all waiting, a probe must not take this process for dead.
    """
    store = Store(url)
    files = {path: ((PAGE / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    def health(_: Request) -> Response:
        found = store.value("health_json")
        return JSONResponse(found, 503 if found["status"] == "unavailable" else 200)

    def metrics(request: Request) -> Response:
        grain = request.query_params.get("grain", "minute")
        if grain not in GRAINS:
            return JSONResponse({"error": f"grain is one of {', '.join(GRAINS)}"}, 400)
        return JSONResponse(store.value("metrics_json", {"grain": grain}))

    def alerts(_: Request) -> Response:
        return JSONResponse(store.value("alerts_json"))

    def page(_: Request) -> Response:
        return JSONResponse(store.value("page_json"))

    def exposition(_: Request) -> Response:
        text = prometheus.render(
            store.value("health_json"), store.value("alerts_json")["alerts"], store.rows("counters")
        )
        return PlainTextResponse(text, media_type=prometheus.CONTENT_TYPE)

    async def baseline(request: Request) -> Response:
        if refusal := _refused(request):
            return refusal
        try:
            parameters = _baseline(await _body(request))
        except ValueError:
            return JSONResponse({"error": NO_BODY}, 400)
        try:
            made = await run_in_threadpool(store.write, "set_baseline_json", parameters)
        except psycopg.Error as error:
            if error.sqlstate is None or error.diag.message_primary is None or error.sqlstate in _NOT_THEIRS:
                raise
            return JSONResponse({"status": "refused", "error": error.diag.message_primary}, 400)
        return JSONResponse({"status": "success", **made})

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    def ready(_: Request) -> Response:
        store.value("backend")
        return JSONResponse({"status": "ready"})

    async def described(_: Request) -> Response:
        return JSONResponse(openapi.description(__version__))

    async def file(request: Request) -> Response:
        content, kind = files[request.url.path.removeprefix("/")]
        return Response(content, media_type=kind)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        store.close()

    return Starlette(
        routes=[
            Route("/api/ml/health", health),
            Route("/api/ml/metrics", metrics),
            Route("/api/ml/alerts", alerts),
            Route("/api/ml/page", page),
            Route("/api/ml/baseline", baseline, methods=["POST"]),
            Route("/metrics", exposition),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/openapi.json", described),
            *(Route(f"/{path}", file) for path in FILES),
        ],
        middleware=[Middleware(_Headers)],
        exception_handlers={psycopg.Error: _unavailable, ScoringError: _unavailable},
        lifespan=lifespan,
    )


def _refused(request: Request) -> Response | None:
    """The refusal of a request without the token of ML_HTTP_TOKEN; None when it has it."""
    token = os.environ.get(TOKEN, "").strip()  # of a secret's file the last line has an end
    if not token:
        return JSONResponse({"error": f"nobody may set a baseline here: {TOKEN} is not set"}, 403)
    given = request.headers.get("authorization", "")
    scheme, _, secret = given.partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(secret.strip().encode(), token.encode()):
        return None
    error = ', error="invalid_token"' if given else ""
    return JSONResponse(
        {"error": "this needs the bearer token"}, 401, {"www-authenticate": f'Bearer realm="pattern scoring"{error}'}
    )


async def _body(request: Request) -> bytes:
    """The body. Raises ValueError when it is larger than BODY_BYTES, without having read it all."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise ValueError("too large")
    return body


def _baseline(body: bytes) -> dict[str, str | None]:
    """The parameters of a new baseline. Raises ValueError when the body is not what they are taken from.

    A name that is not known is refused too: without a `since` that was mistyped, the training rows would be meant.
    """
    try:
        wanted = json.loads(body or b"{}")
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(wanted, dict) or not wanted.keys() <= set(BASELINE):
        raise ValueError("no such object")
    for value in wanted.values():
        if not (value is None or (isinstance(value, str) and "\0" not in value)):
            raise ValueError("no text that PostgreSQL takes")
        (value or "").encode()  # half of a surrogate pair is a ValueError
    return {name: wanted.get(name) for name in BASELINE}


async def _unavailable(request: Request, error: Exception) -> Response:
    """The cause is for the log: what the server says may name hosts and roles."""
    logger.warning(
        "%(path)s cannot be answered: %(error)s",
        event("request_failed", path=request.url.path, error=" ".join(str(error).split())),
    )
    return JSONResponse(
        {"status": "unavailable", "error": "the database does not answer this now; the log says why"}, 503
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


class _Server(uvicorn.Server):
    """Uvicorn raises a signal anew when it has shut down; a service that was told to stop has not failed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def until_told(self, bound: socket.socket, host: str) -> None:
        def stop() -> None:
            self.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        # Not before: whoever reads that it listens may tell it to stop at once.
        port = bound.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        logger.info("listening on http://%(host)s:%(port)d", event("http_started", host=shown, port=port))
        await self.serve(sockets=[bound])


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, on both protocols for an address of IPv6. Raises OSError when it cannot."""
    if ":" in host:
        both = socket.has_dualstack_ipv6()
        bound = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)
    else:
        bound = socket.create_server((host, port))
    # Connections inherit it. Left to asyncio it is not set, since these sockets name no protocol: a client that keeps
    # its connection would then wait 40 ms for each answer, the time that its own system takes to acknowledge the head.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def serve(url: str, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when it cannot listen."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(make_app(url), log_config=None, access_log=False, server_header=False)
    server = _Server(config)
    with listening(host, port) as bound:
        asyncio.run(server.until_told(bound, host))
    logger.info("stopped", event("http_stopped"))
