"""Connections are broken off when their time is over, all of them by one thread."""

from __future__ import annotations

import socket
import threading
import time

from aggregator.deadlines import Deadline


def test_the_next_deadline_comes_first_whenever_it_was_set() -> None:
    """One that is due sooner than those already set is not kept waiting by them."""
    (late, _late), (soon, peer) = socket.socketpair(), socket.socketpair()
    with late, _late, soon, peer:
        far = Deadline(late, time.monotonic() + 60)
        near = Deadline(soon, time.monotonic() + 0.05)
        soon.settimeout(10)
        assert soon.recv(1) == b""
        assert near.broke
        assert not far.broke
        far.end()


def test_a_deadline_that_was_met_breaks_nothing() -> None:
    """A connection whose wait ended in time can be used for the next."""
    one, other = socket.socketpair()
    with one, other:
        met, missed = Deadline(one, time.monotonic() + 0.05), Deadline(other, time.monotonic() + 0.1)
        met.end()
        one.settimeout(10)
        assert one.recv(1) == b""  # the other end was broken off later, by the same thread
        assert (met.broke, missed.broke) == (False, True)


def test_all_deadlines_have_one_thread_between_them() -> None:
    """However many connections are waited for at once."""
    pairs = [socket.socketpair() for _ in range(20)]
    try:
        before = threading.active_count()
        deadlines = [Deadline(one, time.monotonic() + 60) for one, _ in pairs]
        assert threading.active_count() <= before + 1
        for deadline in deadlines:
            deadline.end()
    finally:
        for pair in pairs:
            for one in pair:
                one.close()
