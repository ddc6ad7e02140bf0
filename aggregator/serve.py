"""Hands out the published folder over HTTP cheaply, and what else is served beside it."""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from aggregator import inquiry
from aggregator.answers import Representation, best_coding, represent, respond
from aggregator.errors import ServeError
from aggregator.limit import Limited
from aggregator.page import style_hash

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route

    from aggregator.connections import Bounds

_CACHED_FILES = 64  # versions of files held in memory, in all codings: some 20 MB with feeds of 150 kB
_SETTLED = 100_000_000  # nanoseconds; ticks are 1 to 10 ms
_STOP_SECONDS = 5  # for answers under way when the server stops
_ARRIVING = 100  # connections that are taken before any is looked at, and may wait until they are

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".opml": "text/x-opml; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_ON_EVERY_ANSWER = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        f"default-src 'none'; style-src 'self' '{style_hash()}'; img-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}
_STORY = re.compile(r"story/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.html")


@dataclass(frozen=True, slots=True)
class _Version:
    """What tells one version of a file from another without reading it: publishing always makes a new inode.

    But an inode's number is soon used again, and file times are as coarse as the kernel's tick. So a version younger
    than `_SETTLED` is told from all others by when it was looked at, and is read anew for each request.
    """

    path: Path
    inode: int
    size: int
    changed: int  # mtime, nanoseconds
    looked_at: int  # nanoseconds; 0: settled


def build_app(
    folder: Path,
    *,
    health: Callable[[], tuple[bool, dict[str, Any]]],
    metrics: Callable[[], str],
    status: Sequence[Route] = (),
    hooks: Sequence[Route] = (),
    hub: str = "",
    home: str = "",
    gone: Callable[[str], bool] = lambda _: False,
    search: inquiry.Search | None = None,
    per_minute: int = 0,
) -> Starlette:
    """The published folder at /, and /health, /metrics, the operator's pages and, where it is given, /search beside it.

    `health`: is all well, and the facts; `metrics`: Prometheus text; `gone`: was a story of this id told once, and is
    no more. Each is called in a worker thread, once for each request. `status`: the operator's pages (office.routes).
    `per_minute`: requests that one client may make; 0: any number.
    `hooks`: where WebSub hubs reach us (callback.routes). `hub`: named beside each feed, with the feed's own address
    below `home`, the public address of the folder.
    """
    from starlette.routing import Route

    def show_file(request: Request) -> Response:
        response = _answer(folder, request, gone, open=search is not None)
        if hub and response.headers.get("content-type", "").partition(";")[0] in _SUBSCRIBED:
            own = quote(request.path_params["path"])
            response.headers["link"] = f'<{hub}>; rel="hub", <{home}{own}>; rel="self"'
        return response

    routes = [
        *_watched(health, metrics),
        *status,
        *hooks,
        *(inquiry.routes(search) if search else ()),
        Route("/{path:path}", show_file, methods=["GET", "HEAD", "OPTIONS"]),
    ]
    return _guarded(routes, per_minute)


def build_several(
    subjects: Mapping[str, Starlette],
    front: bytes,
    *,
    health: Callable[[], tuple[bool, dict[str, Any]]],
    metrics: Callable[[], str],
    hooks: Sequence[Route] = (),
    per_minute: int = 0,
) -> Starlette:
    """Each subject's app (build_app) at /NAME/, a page that leads there at /, and beside them what is of all."""
    from starlette.responses import RedirectResponse
    from starlette.routing import Mount, Route

    def show_front(request: Request) -> Response:
        coding = best_coding(request.headers.get("accept-encoding", ""))
        return respond(request, represent(front, _MEDIA_TYPES[".html"], coding))

    def lead_on(request: Request) -> Response:
        return RedirectResponse(f"{request.url.path.rpartition('/')[2]}/")

    routes = [
        *_watched(health, metrics),
        *hooks,
        Route("/", show_front, methods=["GET", "HEAD", "OPTIONS"]),
        *(Route(f"/{name}", lead_on) for name in subjects),
        *(Mount(f"/{name}", app) for name, app in subjects.items()),
    ]
    return _guarded(routes, per_minute)


def _guarded(routes: Sequence[BaseRoute], per_minute: int) -> Starlette:
    """An app of these routes whose clients are counted, and all of whose answers carry the headers of every answer."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse

    def fail(_: Request, __: Exception) -> Response:  # it is logged where the server hears of it
        return PlainTextResponse("Something went wrong here.\n", 500, _ON_EVERY_ANSWER)

    middleware = [Middleware(_WithHeaders), Middleware(Limited, per_minute=per_minute)]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={Exception: fail})


def _watched(health: Callable[[], tuple[bool, dict[str, Any]]], metrics: Callable[[], str]) -> list[Route]:
    """/health and /metrics."""
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    def show_health(_: Request) -> Response:
        well, facts = health()
        return JSONResponse({"status": "ok" if well else "failing"} | facts, 200 if well else 503, _NOT_KEPT)

    def show_metrics(_: Request) -> Response:
        return Response(metrics(), headers=_NOT_KEPT, media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/health", show_health), Route("/metrics", show_metrics)]


_SUBSCRIBED = frozenset({"application/rss+xml", "application/atom+xml", "application/feed+json"})
_NOT_KEPT = {"cache-control": "no-store"}


class _WithHeaders:
    """Adds to every answer, errors too, what keeps browsers from doing more with it than show it.

    What an answer says itself stands.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import ClientDisconnect

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                said = {name for name, _ in given}
                added = [(name.encode(), value.encode()) for name, value in _ON_EVERY_ANSWER.items()]
                message = message | {"headers": [*given, *(one for one in added if one[0] not in said)]}
            await send(message)

        with suppress(ClientDisconnect):  # in the middle of its request: there is nobody to answer
            await self._app(scope, receive, send_guarded)


def _answer(folder: Path, request: Request, gone: Callable[[str], bool], *, open: bool) -> Response:
    """`open`: pages show what they hold back where nobody answers it."""
    from starlette.responses import PlainTextResponse

    path = request.path_params["path"]
    try:
        version = _version(_located(folder, path))
        chosen = _represent(version, open, best_coding(request.headers.get("accept-encoding", "")))
    except FileNotFoundError:
        if (told := _STORY.fullmatch(path)) and gone(f"urn:uuid:{told[1]}"):
            return _absent(folder, request, 410, "This story is told here no more.\n")
        return _absent(folder, request, 404, "Nothing is published here.\n")
    except OSError:
        return PlainTextResponse("The file cannot be read at the moment.\n", 503, {"retry-after": "60"})
    return respond(request, chosen, datetime.fromtimestamp(version.changed // 1_000_000_000, UTC))


def _absent(folder: Path, request: Request, status: int, said: str) -> Response:
    """A page for people, as it is published for the purpose, a line for all others."""
    from starlette.responses import HTMLResponse, PlainTextResponse

    if "text/html" in request.headers.get("accept", ""):
        with suppress(OSError):
            return HTMLResponse((folder / f"{status}.html").read_bytes(), status, {"vary": "Accept"})
    return PlainTextResponse(said, status, {"vary": "Accept"})


def _located(folder: Path, path: str) -> Path:
    """The published file for a path; FileNotFoundError for all that is hidden, outside, or no kind we publish."""
    parts = path.split("/")
    if parts[-1] == "":
        parts[-1] = "index.html"
    if any(part.startswith(".") or not part or "\0" in part or "\\" in part for part in parts):
        raise FileNotFoundError(path)
    try:
        root = folder.resolve()
        target = root.joinpath(*parts).resolve()
        found = target.is_relative_to(root) and target.is_file() and target.suffix in (*_MEDIA_TYPES, ".xml", ".json")
    except (OSError, RuntimeError):  # a name that is too long, or links in a circle
        found = False
    if not found:
        raise FileNotFoundError(path)
    return target


def _version(path: Path) -> _Version:
    found, now = path.stat(), time.time_ns()
    looked_at = now if now - found.st_mtime_ns < _SETTLED else 0
    return _Version(path, found.st_ino, found.st_size, found.st_mtime_ns, looked_at)


@lru_cache(maxsize=_CACHED_FILES)
def _content(version: _Version) -> bytes:
    return version.path.read_bytes()  # a newer version, if it came just now; the tag follows from the bytes


def _media_type(path: Path, content: bytes) -> str:
    """By the name, and for feeds by what they are: a slice or an archive is a feed under any name."""
    beginning = content[:400]
    match path.suffix:
        case ".xml" if b"<rss" in beginning:
            return "application/rss+xml; charset=utf-8"
        case ".xml" if b"<feed" in beginning:
            return "application/atom+xml; charset=utf-8"
        case ".xml":
            return "application/xml; charset=utf-8"
        case ".json" if b"jsonfeed.org/version" in beginning:
            return "application/feed+json"  # JSON is always UTF-8; the type has no charset (RFC 8259, 11)
        case ".json":
            return "application/json"
        case suffix:
            return _MEDIA_TYPES[suffix]


@lru_cache(maxsize=_CACHED_FILES * 3)
def _represent(version: _Version, open: bool, coding: str) -> Representation:
    content = _content(version)
    if open and version.path.suffix == ".html":  # the box to search with, which lies in a template
        content = content.replace(b"<template>", b"").replace(b"</template>", b"")
    return represent(content, _media_type(version.path, content), coding)


class Server:
    """An app served over HTTP from a thread of its own, between `start` and `stop`."""

    def __init__(self, app: Starlette, host: str, port: int, bounds: Bounds | None = None) -> None:
        """`bounds`: of what connections may cost; None: the usual ones."""
        self._app = app
        self._bounds = bounds
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._uvicorn: Any = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Where it is served, such as "http://127.0.0.1:8080/"; with port 0 the one that was free, once started."""
        port = self._socket.getsockname()[1] if self._socket else self._port
        return f"http://{_bracketed(self._host)}:{port}/"

    def start(self) -> None:
        """Serve from now on; ServeError if the address cannot be had."""
        import uvicorn

        from aggregator.connections import Connection, usual

        self._socket = _listen(self._host, self._port)
        headers = [(name.encode(), value.encode()) for name, value in _ON_EVERY_ANSWER.items()]
        config = uvicorn.Config(
            self._app,
            http=cast(Any, partial(Connection, self._bounds or usual(), headers)),
            backlog=_ARRIVING,
            log_config=None,
            log_level="error",  # else whoever sends nonsense writes the log full
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,  # on by default; would let a header say who asks
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [self._socket]}, name="serve", daemon=True
        )
        self._thread.start()
        while not self._uvicorn.started:
            self._thread.join(timeout=0.01)
            if not self._thread.is_alive():
                raise ServeError(f"The HTTP server at {self.address} ended as soon as it was started; see the log.")

    def stop(self) -> None:
        """Finish the answers under way, for some seconds at most, and free the address. Harmless when not started."""
        if self._thread is None or self._socket is None:
            return
        self._uvicorn.should_exit = True
        self._thread.join(timeout=_STOP_SECONDS + 1)
        self._socket.close()
        self._thread = None


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = min(found, key=lambda row: row[0] != socket.AF_INET)
        # Not socket.create_server: it leaves the protocol open, and asyncio then leaves Nagle's algorithm on, which
        # costs each answer on a kept connection 40 ms.
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ServeError(_in_words(host, port, error)) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(512)
    except (OSError, OverflowError) as error:
        listening.close()
        raise ServeError(_in_words(host, port, error)) from error
    return listening


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _in_words(host: str, port: int, error: Exception) -> str:
    where = f"{_bracketed(host)}:{port}"
    advice = "Choose another with [server] listen."
    match error:
        case socket.gaierror():
            return f"Cannot serve at {where}: {host!r} is no address or name of this machine. {advice}"
        case OSError(errno=errno.EADDRINUSE):
            return f"Cannot serve at {where}: the port is in use, perhaps by an aggregator already running. {advice}"
        case OSError(errno=errno.EACCES | errno.EPERM):
            return f"Cannot serve at {where}: ports below 1024 need special rights. {advice}"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return f"Cannot serve at {where}: this machine does not have that address. {advice}"
        case _:
            return f"Cannot serve at {where}: {error}. {advice}"
