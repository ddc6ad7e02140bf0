"""A real HTTP server on loopback that misbehaves on demand and logs every request, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from io import BufferedReader
from types import TracebackType

Misbehave = Callable[[socket.socket, threading.Event], None]  # the event is set when the laboratory closes


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    head: bytes  # from the request line to the empty line
    at: float  # monotonic seconds
    connection: int  # the number of the connection it came over

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        """The header as sent, white space around it aside; None: absent."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.decode("latin-1").partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


@dataclass(frozen=True)
class Reply:
    """A well-formed answer; Content-Length is added unless the headers speak of length themselves."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delay: float = 0.0  # seconds before anything is sent

    def bytes(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.headers)]
        named = {name.lower() for name, _ in self.headers}
        if self.status not in (204, 304) and not named & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass
class AtOnce:
    """A late reply, the last of its connection, that counts how many requests wait for one at once."""

    reply: Reply
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: socket.socket, closing: threading.Event) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        closing.wait(self.reply.delay)
        with self._lock:
            self._now -= 1
        closed = replace(self.reply, headers=(*self.reply.headers, ("Connection", "close")))
        connection.sendall(closed.bytes())


@dataclass
class Lab:
    """Use as a context manager; `route` says what each path answers, `requests` what was asked."""

    tls: ssl.SSLContext | None = None
    host: str = ""  # an address of this machine; "": loopback alone, by its name
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def route(self, path: str, *answers: Reply | Misbehave) -> str:
        """The n-th request to `path` gets the n-th answer, later ones the last; the path's address."""
        self._answers[path] = list(answers)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host or 'localhost'}:{self.port}{path}"

    def seen(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def __enter__(self) -> Lab:
        self._answers: dict[str, list[Reply | Misbehave]] = {}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((self.host or "127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        self._open.add(connection)
        with contextlib.suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while (head := _head(stream)) and not self._closing.is_set():
                    self._answer(connection, Request(head, time.monotonic(), number))

    def _answer(self, connection: socket.socket, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            answers = self._answers.get(request.path, [Reply(404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Reply):
            self._closing.wait(answer.delay)
            connection.sendall(answer.bytes())
        else:
            answer(connection, self._closing)
            raise ConnectionAbortedError


def _head(stream: BufferedReader) -> bytes:
    """The next request up to its empty line; empty at the end of the connection."""
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def drip(head: bytes, pieces: Iterable[bytes], pause: float) -> Misbehave:
    """Send `head` at once, then one piece after each pause."""

    def send(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(head)
        for piece in pieces:
            if closing.wait(pause):
                return
            connection.sendall(piece)

    return send


def raw(answer: bytes) -> Misbehave:
    """Send these bytes, then close the connection."""

    def send(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(answer)

    return send


def silence(connection: socket.socket, closing: threading.Event) -> None:
    """Never answer."""
    closing.wait()


def reset(connection: socket.socket, closing: threading.Event) -> None:
    """Break the connection off without a good-bye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
