"""Searches wait for one another in a short line, and everybody else is answered meanwhile."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from aggregator.inquiry import AT_ONCE, IN_LINE, PATIENCE, Search
from aggregator.serve import Server, build_app

MANY = 60  # more than the server has threads


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code if error.headers["Retry-After"] else -1


def test_many_searches_at_once_hold_up_nobody_else(tmp_path: Path) -> None:
    """Some are answered in their turn, the others are told to come again, and the feed comes at once."""
    (tmp_path / "feed.txt").write_text("news")
    go_on = threading.Event()

    def found(*_: object) -> tuple[bool, bytes]:
        go_on.wait(60)
        return True, b"found"

    search = Search(page=found, feed=found)
    pages = build_app(tmp_path, health=lambda: (True, {}), metrics=lambda: "", search=search)
    server = Server(pages, "127.0.0.1", 0)
    server.start()
    try:
        with ThreadPoolExecutor(MANY) as people:
            searches = [people.submit(status, f"{server.address}search?q=x") for _ in range(MANY)]
            began = time.monotonic()
            assert status(f"{server.address}feed.txt") == 200
            assert time.monotonic() - began < PATIENCE
            while sum(one.done() for one in searches) < MANY - AT_ONCE - IN_LINE:
                assert time.monotonic() - began < 60
                wait(searches, timeout=0.1)
            go_on.set()
        counts = Counter(one.result() for one in searches)
        assert counts.keys() == {200, 503}
        assert AT_ONCE <= counts[200] <= AT_ONCE + IN_LINE
    finally:
        go_on.set()
        server.stop()
