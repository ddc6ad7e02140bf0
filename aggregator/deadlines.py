"""Breaks connections off when their time is over: one thread looks after all of them.

TLS reads on by itself while something comes that is no data, so that a flood of greetings never lets the thread that
waits for an answer look at the time. A thread for each wait (threading.Timer) took a sixth of a whole exchange.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
from contextlib import suppress


class Deadline:
    """A connection's: shut down, whoever is reading from it, unless this is ended by then."""

    def __init__(self, sock: socket.socket, due: float) -> None:
        """`due`: by the monotonic clock."""
        self.broke = False
        self._socket = socket.socket(fileno=os.dup(sock.fileno()))  # its own, for TLS takes over the other
        _WATCH.add(due, self)

    def end(self) -> None:
        """The wait is over in time."""
        with _WATCH.change:
            self._socket.close()

    def break_off(self) -> None:
        """Called by the watch, which meanwhile lets nobody end it."""
        if self._socket.fileno() < 0:
            return
        self.broke = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class _Watch:
    """All deadlines, the next first; its thread lives as long as there is one, those that were met included."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self._deadlines: list[tuple[float, int, Deadline]] = []  # a heap
        self._numbers = itertools.count()  # of deadlines at the same moment, the first comes first
        self._at_work = False

    def add(self, due: float, deadline: Deadline) -> None:
        with self.change:
            heapq.heappush(self._deadlines, (due, next(self._numbers), deadline))
            if not self._at_work:
                threading.Thread(target=self._stand, daemon=True).start()
                self._at_work = True
            elif self._deadlines[0][2] is deadline:
                self.change.notify()

    def _stand(self) -> None:
        with self.change:
            while self._deadlines:
                left = self._deadlines[0][0] - time.monotonic()
                if left > 0:
                    self.change.wait(left)
                else:
                    heapq.heappop(self._deadlines)[2].break_off()
            self._at_work = False


_WATCH = _Watch()
