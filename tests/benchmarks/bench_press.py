"""What publishing costs: prints a table. `python tests/benchmarks/bench_press.py [stories]`, by default 1,000.

With slices as they ship, in four languages; with 100,000 stories it takes some ten minutes and 1 GB of disk.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from aggregator.model import Decision, Evidence, Item, Judged, Reason, Source, Verdict
from aggregator.press import Published, publish
from aggregator.publish import FolderPublisher
from aggregator.search import parse
from aggregator.slices import Cuts, load_told
from aggregator.store import SqlStore
from aggregator.topics import load_pack
from tests.telling import FRAME, NOW, name

ENTRIES = 100
PACK = "north-korean-defectors"
SOURCES = tuple(
    Source(f"https://outlet{number}.example/feed", f"Outlet {number}", language)
    for number, language in enumerate(["en", "ko", "ja", "zh"] * 5)
)
HEADLINES = {
    "en": "Defector number {} from North Korea arrives in Seoul by way of China",
    "ko": "탈북민 {}명 중국 거쳐 서울 도착",
    "ja": "脱北者{}人、中国経由でソウルに到着",
    "zh": "{}名脱北者经中国抵达首尔",
}
BATCH = 500  # stories told in one transaction


def main(stories: int = 1_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{folder}/store.db")
        store.enlist(SOURCES, (), NOW)
        publisher = FolderPublisher(Path(folder) / "public")
        cuts = Cuts(load_told(PACK, Path(), load_pack(PACK, Path()).concepts))
        for first in range(1, stories + 1, BATCH):
            _tell(store, *range(first, min(first + BATCH, stories + 1)))
        print(f"{'publishing':<24}{'seconds':>9}{'CPU':>9}{'files':>9}{'peak MB':>9}")
        _measure("all for the first time", store, publisher, cuts)
        _measure("nothing new", store, publisher, cuts)
        for number in range(stories + 1, stories + 4):
            _tell(store, number)
            _measure("one new story", store, publisher, cuts)
        begun = time.perf_counter()
        store.search(parse("defector china"), 50)
        print(f"{'a search':<24}{time.perf_counter() - begun:>9.3f}")
        store.close()


def _tell(store: SqlStore, *numbers: int) -> None:
    """Stories of one telling each, five minutes apart, by the sources in turn."""
    with store.begin() as work:
        for number in numbers:
            source, when = SOURCES[number % len(SOURCES)], NOW + timedelta(minutes=5 * number)
            title = HEADLINES[source.language or "en"].format(number)
            item = Item(
                source.url, str(number), f"{source.url}/{number}", title, "What happened.", language=source.language
            )
            verdict = Verdict(Decision.KEPT, 0.9, (Reason("title", "defector", "defector", 0.9),), "r")
            work.found(name(number), when)
            key = work.add(Judged(item, verdict), (), when)
            work.assign(key, name(number), Evidence("founds", "", 1.0))
            work.tell(name(number), when, key, when)


def _measure(what: str, store: SqlStore, publisher: FolderPublisher, cuts: Cuts) -> None:
    begun, busy = time.perf_counter(), time.process_time()
    done: Published = publish(store, publisher, replace(FRAME, sources=SOURCES), ENTRIES, cuts)
    took, used = time.perf_counter() - begun, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{what:<24}{took:>9.3f}{used:>9.3f}{len(done.changed):>9}{peak:>9}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
