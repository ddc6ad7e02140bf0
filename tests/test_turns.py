"""Turns at a domain: how many at once, how far apart, and what is remembered of those who had theirs."""

from __future__ import annotations

import threading
import time

from aggregator.turns import Turns


def test_beginnings_at_one_domain_are_a_gap_apart_and_others_do_not_wait() -> None:
    """The first waits for nobody; who comes after waits for the rest of the gap, and says how long that was."""
    turns, begun = Turns(9, 0.2), time.monotonic()
    assert turns.begin("one.example") < 0.2
    waited = turns.begin("one.example")
    assert time.monotonic() - begun >= 0.2
    assert waited > 0
    other = time.monotonic()
    turns.begin("two.example")
    assert time.monotonic() - other < 0.2


def test_so_many_at_once_until_one_gives_its_turn_back() -> None:
    """The third waits for one of two."""
    turns, third = Turns(2, 0.0), threading.Event()
    for _ in range(2):
        turns.begin("one.example")

    def wait() -> None:
        turns.begin("one.example")
        third.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not third.wait(0.2)
    turns.end("one.example")
    assert third.wait(20)


def test_domains_that_were_asked_long_ago_are_forgotten() -> None:
    """Ten thousand sources do not stay in memory for what they were asked once."""
    turns = Turns(1, 0.0)
    for number in range(10_000):
        turns.begin(f"{number}.example")
        turns.end(f"{number}.example")
    assert len(turns._domains) <= 1_001
