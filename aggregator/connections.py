"""Bounds what clients' connections cost: how long each may keep the server waiting, and how many there may be.

A client that sends its request a byte at a time, takes its answer as slowly, or opens connections and says nothing
costs a file descriptor as long as it likes. Once those have run out, nobody is answered and no source is read.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from aggregator.limit import client

_LOOKS = 5  # at a connection while it may keep the server waiting
_MOST = 400  # connections; 10,000 readers that ask every half hour keep 30 open

# Bytes of an answer that the system holds unsent. Left to itself it takes megabytes and asks for more only when a third
# of them have gone: a client that takes 300 kB a second seemed to take nothing for 6 s, with this for 0.4.
_UNSENT = 128 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What connections may cost."""

    most: int  # at once
    patience: float = 30.0  # seconds for a whole request, and in which something of an answer has to be taken


def usual() -> Bounds:
    """Leaves the rest of the program half of the files that a process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Bounds(_MOST if files == resource.RLIM_INFINITY else min(_MOST, files // 2))


class Connection(H11Protocol):
    """One connection, which ends when its client keeps the server waiting, or holds most of too many."""

    def __init__(self, bounds: Bounds, headers: Iterable[tuple[bytes, bytes]], *arguments: Any, **options: Any) -> None:
        """`headers`: of the answer to what is no HTTP, which no application sees."""
        super().__init__(*arguments, **options)
        self._bounds = bounds
        self._refusing = [*headers]
        self._untaken = 0  # bytes of answers, when last looked at
        self.moved = self.loop.time()  # when the client last did its part
        self.over = False
        self.who = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at it, and make room for it."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        self.who = client({"client": self.client, "headers": ()})
        self._next_look = self.loop.call_later(self._bounds.patience / _LOOKS, self._look)
        if len(self.connections) > self._bounds.most:
            _make_room([one for one in self.connections if isinstance(one, Connection)], self._bounds.most)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look at it no more."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Give the client time for its next request."""
        self.moved = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP like all else, unless it is the rest of a request that has its answer already."""
        cycle = self.cycle
        if cycle is not None and cycle.response_started and (cycle.more_body or not cycle.response_complete):
            self.end()
        elif not self.transport.is_closing():
            body = msg.encode("ascii")
            given = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            lines = [b"%s: %s" % pair for pair in (*given, (b"connection", b"close"), *self._refusing)]
            self.transport.write(b"\r\n".join((b"HTTP/1.1 400 Bad Request", *lines, b"", body)))
            self.transport.close()

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: to say what it wants, or to take what it was given."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self._left() > 0

    def end(self) -> None:
        """At once, whatever was still to be sent."""
        self.over = True
        self.transport.abort()

    def _left(self) -> int:
        return int(self.transport.get_write_buffer_size())

    def _look(self) -> None:
        left, now = self._left(), self.loop.time()
        if not self.waits or left < self._untaken:
            self.moved = now
        self._untaken = left
        if now - self.moved >= self._bounds.patience:
            self.end()
        else:
            self._next_look = self.loop.call_later(self._bounds.patience / _LOOKS, self._look)


def _make_room(connections: Iterable[Connection], most: int) -> None:
    """Where there are too many, end one of the client who holds most: the one that has waited longest for it.

    One that is being answered only where none waits: who asks without end must not crowd out others either.
    """
    held = [one for one in connections if not one.over]
    if len(held) > most:
        shares = Counter(one.who for one in held)
        min(held, key=lambda one: (-shares[one.who], not one.waits, one.moved)).end()
