"""One HTTP exchange by requests: a deadline for the whole of it, public addresses only, one TLS context for all."""

from __future__ import annotations

import errno
import http.client
import io
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from aggregator.addresses import private
from aggregator.deadlines import Deadline
from aggregator.faults import Fault, Trouble

# 100 by default, and more is an error; some hosts behind several proxies send more. Lines stay at 64 KiB each.
http.client._MAXHEADERS = 256  # type: ignore[attr-defined]


# Seconds that a connection waits for its next request: long enough for the next feed of a host, and shorter than most
# servers keep one (gunicorn 2, Apache and Node 5, nginx 75), so that hardly one is closed under a request.
_KEPT = 4.0


class Transport(HTTPAdapter):
    """Sends prepared requests, each once: no retries, no redirects, no cookies, no proxies from the environment."""

    def __init__(self, concurrency: int, per_host: int, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        super().__init__(pool_connections=concurrency, pool_maxsize=per_host)

    def get(self, url: str, headers: Mapping[str, str], seconds: float) -> urllib3.BaseHTTPResponse:
        """The answer's head, its body yet to be read; `seconds` holds for both. Trouble: none came."""
        due = time.monotonic() + seconds
        try:
            return self._ask("GET", url, headers, None, seconds)
        except _Unread:
            return self._ask("GET", url, headers, None, due - time.monotonic())

    def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> urllib3.BaseHTTPResponse:
        """Like `get`, with something to say."""
        return self._ask("POST", url, {**headers, "Content-Length": str(len(body))}, body, seconds)

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> urllib3.BaseHTTPResponse:
        request = PreparedRequest()
        request.method, request.url, request.hooks, request.body = method, url, {}, body
        request.headers = CaseInsensitiveDict(headers)
        if seconds <= 0:
            raise Trouble(Fault.LATE)
        response = self.send(request, stream=True, timeout=cast(Any, urllib3.Timeout(total=seconds)))
        return cast(urllib3.BaseHTTPResponse, response.raw)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_Pool, allow_private=self._allow_private),
            "https": partial(_TlsPool, allow_private=self._allow_private),
        }

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        parts = urlsplit(cast(str, request.url))
        host = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        return host, {"ssl_context": self._context()} if parts.scheme == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Demand a good certificate, naming no bundle: urllib3 would load it anew at each handshake."""
        if url.startswith("https:"):
            conn.cert_reqs = "CERT_REQUIRED"

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """The answer as it is: what requests adds (a cookie jar, an encoding) is not used here."""
        response = Response()
        response.raw = resp
        return response

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = _tls_context()
            return self._tls


def _tls_context() -> ssl.SSLContext:
    """TLS 1.2 or later, names checked, and requests' authorities unless the environment names others."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        context.load_default_certs()
    else:
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


class _Unread(Trouble):
    """A kept connection was closed before the server read the request, which may go out anew (RFC 9112, 9.3.1).

    TCP tells: who closes with something unread sends a reset. Who closes in good order has read the request and has
    nothing to say, and is not asked twice.
    """


class _Guarded(HTTPConnection):
    """A connection whose timeout is for all that it does, and which goes to no private place."""

    def __init__(self, *arguments: Any, allow_private: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allow_private = allow_private
        self._due = 0.0
        self._used = 0.0  # when it last brought an answer, by the monotonic clock; 0: never

    @property
    def is_connected(self) -> bool:
        """Whether it may be used again."""
        return super().is_connected and time.monotonic() - self._used < _KEPT

    def _new_conn(self) -> socket.socket:
        self._used = 0.0
        return _connect(self._dns_host, self.port, time.monotonic() + _seconds(self), self._allow_private)

    def getresponse(self) -> Any:
        self._due = time.monotonic() + _seconds(self)  # urllib3 has taken off what connecting took
        kept, self._used = self._used, 0.0
        try:
            response = super().getresponse()
        except http.client.RemoteDisconnected as error:
            raise Trouble(Fault.CLOSED) from error
        except Trouble as trouble:
            if kept and isinstance(trouble.__cause__, ConnectionResetError):
                raise _Unread(trouble.fault) from trouble
            raise
        except http.client.HTTPException as error:
            raise Trouble(Fault.NOT_HTTP, detail=str(error)[:80] or "an empty line") from error
        self._used = time.monotonic()
        return response

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *arguments: Any, **options: Any
    ) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(cast(Any, _Timed(sock, self._due)), *arguments, **options)


class _GuardedTls(_Guarded, HTTPSConnection):
    _deadline: Deadline | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._deadline = Deadline(sock, time.monotonic() + _seconds(self))
        return sock

    def connect(self) -> None:
        try:
            self._greet()
        finally:
            if self._deadline is not None:
                self._deadline.end()

    def _greet(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(error) from error
        except ssl.SSLError as error:
            if self._deadline is not None and self._deadline.broke:
                raise Trouble(Fault.LATE) from error
            raise Trouble(Fault.NO_TLS, detail=(error.reason or str(error)).replace("_", " ").lower()) from error
        except TimeoutError as error:
            raise Trouble(Fault.LATE) from error
        except OSError as error:
            raise Trouble(Fault.NO_TLS, detail="the connection broke") from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTls


class _Timed(io.RawIOBase):
    """A socket as a file that gives up at one moment, however often it is read before."""

    def __init__(self, sock: socket.socket, due: float) -> None:
        self._sock, self._due = sock, due
        self._deadline = Deadline(sock, due) if isinstance(sock, ssl.SSLSocket) else None
        self._raw = cast(io.RawIOBase, sock.makefile("rb", buffering=0))

    def makefile(self, _mode: str) -> io.BufferedReader:
        """All that http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._due - time.monotonic()
        if left <= 0:  # who always has more to send is never waited for
            raise Trouble(Fault.LATE)
        try:
            self._sock.settimeout(left)
            count = self._raw.readinto(buffer)
        except TimeoutError as error:
            raise Trouble(Fault.LATE) from error
        except OSError as error:
            raise Trouble(Fault.LATE if self._deadline and self._deadline.broke else Fault.CUT) from error
        if not count and self._deadline and self._deadline.broke:
            raise Trouble(Fault.LATE)
        return count

    def close(self) -> None:
        if self._deadline is not None:
            self._deadline.end()
        self._raw.close()
        super().close()


def _seconds(connection: HTTPConnection) -> float:
    return cast(float, connection.timeout)


def _connect(host: str, port: int, due: float, allow_private: bool) -> socket.socket:
    """A socket to the first of the host's addresses that answers, each given its share of the time.

    The address judged is the address connected to: no second look-up lies between.
    """
    trouble, found = Trouble(Fault.NO_SUCH_HOST), _resolve(host, port, due)
    for position, (family, kind, protocol, _, address) in enumerate(found):
        place = None if allow_private else private(str(address[0]))
        if place is not None:
            trouble = Trouble(Fault.PRIVATE, address=address[0], range=place)
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max((due - time.monotonic()) / (len(found) - position), 0.001))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(max(due - time.monotonic(), 0.001))
            return sock
        except OSError as error:
            sock.close()
            trouble = _unconnected(error)
    raise trouble


def _resolve(host: str, port: int, due: float) -> list[Any]:
    """The host's addresses; a look-up that the system drags out is left behind in its own thread."""
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        answers: queue.SimpleQueue[list[Any] | Trouble] = queue.SimpleQueue()
        look_up = threading.Thread(target=lambda: answers.put(_look_up(host, port)), daemon=True)
        look_up.start()
        try:
            found = answers.get(timeout=max(due - time.monotonic(), 0.001))
        except queue.Empty:
            raise Trouble(Fault.LATE) from None
    else:
        found = _look_up(host, port)
    if isinstance(found, Trouble):
        raise found
    return found


def _look_up(host: str, port: int) -> list[Any] | Trouble:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return Trouble(Fault.OFFLINE if error.errno == socket.EAI_AGAIN else Fault.NO_SUCH_HOST)
    except (OSError, ValueError):  # ValueError: a label too long, a port out of range
        return Trouble(Fault.NO_SUCH_HOST)


def _unconnected(error: OSError) -> Trouble:
    if isinstance(error, TimeoutError):
        return Trouble(Fault.LATE)
    if error.errno == errno.ECONNREFUSED:
        return Trouble(Fault.REFUSED)
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL):
        return Trouble(Fault.UNREACHABLE)
    return Trouble(Fault.NO_CONNECTION, detail=error.strerror or str(error))


def _untrusted(error: ssl.SSLCertVerificationError) -> Trouble:
    """The numbers are OpenSSL's X509_V_ERR_*."""
    match error.verify_code:
        case 10:
            return Trouble(Fault.EXPIRED)
        case 9:
            return Trouble(Fault.NOT_YET_VALID)
        case 62 | 64:
            return Trouble(Fault.OTHER_HOST)
        case 18 | 19 | 20 | 21:
            return Trouble(Fault.UNTRUSTED)
    return Trouble(Fault.BAD_CERTIFICATE, detail=error.verify_message)
