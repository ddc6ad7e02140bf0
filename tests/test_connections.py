"""Clients that keep the server waiting, or hold many connections, cost others nothing."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from aggregator.connections import Bounds, Connection, _make_room
from aggregator.serve import Server, build_app

LARGE = 30_000_000  # bytes: more than the system takes from the server for a client that does not read
BOUNDS = Bounds(most=20, patience=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "feed.txt").write_text("news")
    (folder / "large.txt").write_bytes(b"a" * LARGE)
    return folder


@contextmanager
def serving(folder: Path, bounds: Bounds) -> Iterator[Server]:
    async def take(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    pages: Starlette = build_app(
        folder, health=lambda: (True, {}), metrics=lambda: "", hooks=[Route("/form", take, methods=["POST"])]
    )
    server = Server(pages, "127.0.0.1", 0, bounds)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, BOUNDS) as server:
        yield server


def connect(server: Server) -> socket.socket:
    place = urlsplit(server.address)
    return socket.create_connection((place.hostname, place.port), timeout=20)


def feed(server: Server) -> bytes:
    """What a reader gets."""
    with closing(http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=20)) as reader:
        reader.request("GET", "/feed.txt")
        return reader.getresponse().read()


def is_over(client: socket.socket) -> bool:
    """Whether the server ended the connection without an answer; waits for it."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-a: ",
        b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["nothing", "header", "body", "chunks"],
)
def test_a_request_has_to_come_in_time(server: Server, caplog: pytest.LogCaptureFixture, beginning: bytes) -> None:
    """However often a byte of it comes; and readers are answered all the while, and the log stays empty."""
    began = time.monotonic()
    with closing(connect(server)) as slow, caplog.at_level(logging.INFO):
        slow.sendall(beginning)
        slow.settimeout(0.05)
        while time.monotonic() < began + 20:
            assert feed(server) == b"news"
            try:
                if beginning:
                    slow.sendall(b"1")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert 0.4 < time.monotonic() - began < 20
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("times", [1, 3])
def test_an_answer_has_to_be_taken(server: Server, times: int) -> None:
    """Who asks for much, once or again and again, and takes none of it is let go: the rest is dropped."""
    with closing(connect(server)) as silent:
        silent.sendall(b"GET /large.txt HTTP/1.1\r\nHost: x\r\n\r\n" * times)
        assert silent.recv(1) == b"H"
        deadline = time.monotonic() + 20
        while _connections(server) and time.monotonic() < deadline:
            assert feed(server) == b"news"
        assert not _connections(server)


def test_who_takes_an_answer_slowly_gets_all_of_it(server: Server) -> None:
    """As long as something of it is taken, now and then, be it less in all that time than the system sends at once."""
    with closing(socket.socket()) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # bytes; what is taken is soon asked for
        slow.settimeout(20)
        place = urlsplit(server.address)
        slow.connect((place.hostname, place.port))
        slow.sendall(b"GET /large.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got, began = 0, time.monotonic()
        while time.monotonic() < began + 6 * BOUNDS.patience:
            got += len(slow.recv(32_768))
            time.sleep(0.05)  # a slow line
        while part := slow.recv(1_000_000):
            got += len(part)
    assert got > LARGE


def test_many_connections_of_one_client_crowd_out_themselves(folder: Path) -> None:
    """The oldest that say nothing give way, readers are answered at once."""
    with serving(folder, Bounds(most=20, patience=600)) as server, ExitStack() as stack:
        held = [stack.enter_context(closing(connect(server))) for _ in range(60)]
        assert feed(server) == b"news"
        assert all(map(is_over, held[:30]))


@dataclass(eq=False)
class Held:
    """A connection as far as making room looks at it."""

    who: str
    moved: float
    waits: bool = True
    over: bool = False

    def end(self) -> None:
        self.over = True


@pytest.mark.parametrize(
    ("held", "ended"),
    [
        ([Held("a", 3), Held("a", 2), Held("a", 4), Held("b", 1)], [1]),
        ([Held("a", 3), Held("a", 2, waits=False), Held("a", 4), Held("b", 1)], [0]),
        ([Held("a", 3), Held("a", 2, over=True), Held("b", 4), Held("b", 1)], []),
        ([Held("a", 3), Held("b", 2), Held("c", 4), Held("d", 1)], [3]),
        ([*(Held("a", n, waits=False) for n in (3, 2, 4)), Held("a", 5)], [3]),
        ([*(Held("a", n, waits=False) for n in (3, 2, 4)), Held("b", 1)], [1]),
        ([Held("a", 3), Held("a", 2), Held("a", 4)], []),
    ],
)
def test_room_is_made_by_who_has_most_and_waited_longest(held: list[Held], ended: list[int]) -> None:
    """With three allowed; who is being answered stays as long as another can go, what is ended counts no more."""
    before = [one.over for one in held]
    _make_room(cast(list[Connection], held), 3)
    assert [n for n, one in enumerate(held) if one.over and not before[n]] == ended


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9\r\n\r\n", b"G\0T / HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_answered_like_all_else(
    server: Server, caplog: pytest.LogCaptureFixture, nonsense: bytes
) -> None:
    """With the same headers; and it writes no log full."""
    with closing(connect(server)) as client, caplog.at_level(logging.INFO):
        client.sendall(nonsense + b"\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.read()) == (400, b"Invalid HTTP request received.")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert [record.getMessage() for record in caplog.records] == []


def test_a_request_has_one_answer(server: Server) -> None:
    """Though the rest of it turns out to be nonsense: a second one would be taken for that of the next request."""
    with closing(connect(server)) as client:
        client.sendall(b"POST /feed.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.read()) == (405, b"Method Not Allowed")
        client.sendall(b"no length\r\n\r\n")
        assert is_over(client)


def _connections(server: Server) -> int:
    """How many have something that was not taken."""
    return sum(one._left() > 0 for one in cast(Any, server)._uvicorn.server_state.connections.copy())
