"""Hands out the published folder over HTTP cheaply, and shows the operator the state."""

from __future__ import annotations

import errno
import gzip
import hashlib
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aggregator.errors import ServeError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

# How long a reader or a cache may go without asking. Feeds are polled hourly at most by polite readers and are told
# of news by WebSub, so that five minutes delay nobody who polls, and spare the server those who poll too often.
_CACHE_CONTROL = "public, max-age=300"
_SMALLEST_COMPRESSED = 256  # bytes; below, the coding's own overhead eats what it saves
_CACHED_FILES = 64  # versions of files held in memory, in all codings: some 20 MB with feeds of 150 kB
_BROTLI_QUALITY = 5  # on a 160 kB feed: 2 ms and 19 % of the size; 11 takes 160 ms for 16 %
_SETTLED = 100_000_000  # nanoseconds; ticks are 1 to 10 ms
_STOP_SECONDS = 5  # for answers under way when the server stops

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".opml": "text/x-opml; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVERYONE = {  # any page on the web may read the feeds (Fetch Standard, CORS protocol)
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "If-None-Match",
    "access-control-expose-headers": "ETag, Last-Modified",
}
_ON_EVERY_ANSWER = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}
_STORY = re.compile(r"story/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.html")
_FORWARDING = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


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


@dataclass(frozen=True, slots=True)
class _Representation:
    body: bytes
    etag: str  # strong, so each coding has its own (RFC 9110, 8.8.3.3)
    coding: str
    media_type: str


def build_app(
    folder: Path,
    *,
    health: Callable[[], tuple[bool, dict[str, Any]]],
    metrics: Callable[[], str],
    status: Callable[[], str],
    gone: Callable[[str], bool] = lambda _: False,
) -> Starlette:
    """The published folder at /, and /health, /metrics and /status beside it.

    `health`: is all well, and the facts; `metrics`: Prometheus text; `status`: the operator's page, HTML or plain
    text; `gone`: was a story of this id told once, and is no more. Each is called in a worker thread, once for each
    request.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def show_health(_: Request) -> Response:
        well, facts = health()
        return JSONResponse({"status": "ok" if well else "failing"} | facts, 200 if well else 503, _NOT_KEPT)

    def show_metrics(_: Request) -> Response:
        return Response(metrics(), headers=_NOT_KEPT, media_type="text/plain; version=0.0.4; charset=utf-8")

    def show_status(request: Request) -> Response:
        if not _is_operator(request.client.host if request.client else "", request.headers):
            return PlainTextResponse("The status page is shown on this machine only.\n", 403, _NOT_KEPT)
        page = status()
        kind = "text/html" if page.lstrip().startswith("<") else "text/plain"
        return Response(page, headers=_NOT_KEPT, media_type=kind)

    routes = [
        Route("/health", show_health),
        Route("/metrics", show_metrics),
        Route("/status", show_status),
        Route("/{path:path}", lambda request: _answer(folder, request, gone), methods=["GET", "HEAD", "OPTIONS"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_WithHeaders)])


_NOT_KEPT = {"cache-control": "no-store"}


class _WithHeaders:
    """Adds to every answer, errors too, what keeps browsers from doing more with it than show it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _ON_EVERY_ANSWER.items()]
                message = message | {"headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, send_guarded)


def _answer(folder: Path, request: Request, gone: Callable[[str], bool]) -> Response:
    from starlette.responses import PlainTextResponse, Response

    path = request.path_params["path"]
    try:
        version = _version(_located(folder, path))
        chosen = _represent(version, _coding(request.headers.get("accept-encoding", "")))
    except FileNotFoundError:
        if (told := _STORY.fullmatch(path)) and gone(f"urn:uuid:{told[1]}"):
            return PlainTextResponse("This story is told here no more.\n", 410)
        return PlainTextResponse("Nothing is published here.\n", 404)
    except OSError:
        return PlainTextResponse("The file cannot be read at the moment.\n", 503, {"retry-after": "60"})
    shared = {} if chosen.media_type.startswith("text/html") else _FOR_EVERYONE
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": "GET, HEAD, OPTIONS", **shared})
    modified = datetime.fromtimestamp(version.changed // 1_000_000_000, UTC)
    headers = {
        "etag": chosen.etag,
        "last-modified": format_datetime(modified, usegmt=True),
        "cache-control": _CACHE_CONTROL,
        "vary": "Accept-Encoding",
        **shared,
    }
    if _is_known(request.headers, chosen.etag, modified):
        return Response(status_code=304, headers=headers)
    if chosen.coding != "identity":
        headers["content-encoding"] = chosen.coding
    headers |= {"content-type": chosen.media_type, "content-length": str(len(chosen.body))}
    return Response(chosen.body, headers=headers)  # the server leaves the body away for HEAD


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
def _represent(version: _Version, coding: str) -> _Representation:
    content = _content(version)
    digest = hashlib.blake2b(content, digest_size=12).hexdigest()
    media_type = _media_type(version.path, content)
    plain = _Representation(content, f'"{digest}"', "identity", media_type)
    if coding == "identity" or len(content) < _SMALLEST_COMPRESSED:
        return plain
    body = _compressed(content, coding)
    if len(body) >= len(content):
        return plain
    return _Representation(body, f'"{digest}-{coding}"', coding, media_type)


def _compressed(content: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(content, 9, mtime=0)
    import brotli

    return bytes(brotli.compress(content, quality=_BROTLI_QUALITY))


def _coding(accepted: str) -> str:
    """The best coding that an Accept-Encoding header allows (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        quality = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        weights[name.strip()] = float(quality[1]) if quality else 1.0
    anything = weights.get("*", 0.0)
    ranked = [(weights.get(name, anything), name) for name in ("br", "gzip")]
    weight, name = max(ranked, key=lambda rank: rank[0])  # the first where they are equal
    return name if weight > 0 else "identity"


def _is_known(headers: Mapping[str, str], etag: str, modified: datetime) -> bool:
    """Does the reader have this already? (RFC 9110, 13.2.2: If-None-Match, where present, is all that counts.)"""
    tags = headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or etag in re.findall(r'"[^"]*"', tags)  # weak comparison: W/ does not matter
    since = headers.get("if-modified-since")
    if since is None:
        return False
    try:
        known = parsedate_to_datetime(since)
        return modified <= (known if known.tzinfo else known.replace(tzinfo=UTC))
    except ValueError:
        return False


def _is_operator(peer: str, headers: Mapping[str, str]) -> bool:
    """Is it someone on this machine who asks, directly?

    The peer's address decides, and no header can make up for it. A proxy on this machine speaks for strangers, and a
    strange host name means that a web page elsewhere had its name point here (DNS rebinding): both are refused.
    """
    if any(name in headers for name in _FORWARDING):
        return False
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return _is_loopback(peer) and (host == "localhost" or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


class Server:
    """An app served over HTTP from a thread of its own, between `start` and `stop`."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._app = app
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

        self._socket = _listen(self._host, self._port)
        config = uvicorn.Config(
            self._app,
            log_config=None,
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
