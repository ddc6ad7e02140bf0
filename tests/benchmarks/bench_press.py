"""What publishing costs: prints a table. `python tests/benchmarks/bench_press.py [stories]`, by default 1,000."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from aggregator.press import Published, publish
from aggregator.publish import FolderPublisher
from aggregator.store import SqlStore
from tests.telling import FRAME, NOW, tell

ENTRIES = 100


def main(stories: int = 1_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{folder}/store.db")
        publisher = FolderPublisher(Path(folder) / "public")
        for number in range(1, stories + 1):
            _tell(store, number)
        print(f"{'publishing':<24}{'seconds':>9}{'files':>7}")
        _measure("all for the first time", store, publisher)
        _measure("nothing new", store, publisher)
        for number in range(stories + 1, stories + 4):
            _tell(store, number)
            _measure("one new story", store, publisher)
        store.close()


def _tell(store: SqlStore, number: int) -> None:
    tell(store, number, now=NOW + timedelta(minutes=5 * number))


def _measure(what: str, store: SqlStore, publisher: FolderPublisher) -> None:
    begun = time.perf_counter()
    done: Published = publish(store, publisher, FRAME, ENTRIES)
    print(f"{what:<24}{time.perf_counter() - begun:>9.3f}{len(done.changed):>7}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
