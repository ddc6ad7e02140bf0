"""How much one writer settles: visits a second on SQLite and on PostgreSQL, by one process and by several at once.

`python tests/benchmarks/bench_settle.py [seconds]`. Wall time, since what is asked is where the single writer becomes
the limit; below it the CPU time that a visit takes of the program itself. PostgreSQL's server runs on this machine, on
the same cores, and forces each commit to disk, as SQLite does.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from aggregator.model import (
    Changed,
    Decision,
    FeedHead,
    Item,
    Judged,
    Plan,
    Reason,
    Rhythm,
    Source,
    Unchanged,
    Validators,
    Verdict,
    Visit,
)
from aggregator.pace import Bounds
from aggregator.settle import Rules, settle
from aggregator.store import SqlStore
from aggregator.stories import Folder
from tests import postgres

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROCESSES = (1, 2, 4)
SOURCES = 400  # of each process
Done = tuple[int | float, float]  # visits, CPU time
TOGETHER = 100  # quiet visits in one transaction, as in the pipeline
FOLDER = Folder(across_languages=True, pack_terms={})
RULES = Rules(FOLDER, Bounds(timedelta(minutes=10), timedelta(days=1)), "en", {}, timedelta(days=14), None)


def source(process: int, n: int) -> Source:
    return Source(f"https://source-{process}-{n}.example/feed", f"Source {n}")


def news(process: int, n: int, draw: random.Random) -> Visit:
    """A visit that brought four items, one of them kept, of words that hardly any other shares."""
    judged = []
    for entry in range(4):
        words = " ".join(f"word{draw.randrange(200_000)}" for _ in range(60))
        link = f"https://source-{process}-{n % SOURCES}.example/{n}/{entry}"
        one = Item(source(process, n % SOURCES).url, link, link, words[:80], words, published=NOW, language="en")
        reasons = (Reason("title", "defector", "defector", 0.9),)
        judged.append(Judged(one, Verdict(Decision.DROPPED if entry else Decision.KEPT, 0.9, reasons, "r")))
    entries = frozenset(draw.randbytes(16) for _ in range(30))
    outcome = Changed(FeedHead("rss20"), tuple(judged), entries)
    return Visit(source(process, n % SOURCES), NOW, NOW, outcome, Validators(), draw.randbytes(16))


def settle_news(store: SqlStore, process: int, n: int, draw: random.Random) -> int:
    settle(store, RULES, news(process, n, draw), Rhythm(), NOW + timedelta(seconds=n))
    return 1


def record_quiet(store: SqlStore, process: int, n: int, draw: random.Random) -> int:
    plan = Plan(NOW + timedelta(seconds=n), Rhythm(timedelta(hours=1), last_visit=NOW), "hourly")
    quiet = [
        (Visit(source(process, other % SOURCES), NOW, NOW, Unchanged("304"), Validators(str(n), None)), plan)
        for other in range(n * TOGETHER, (n + 1) * TOGETHER)
    ]
    with store.begin(alone=False) as work:
        work.record_quiet(quiet)
    return TOGETHER


ACTS: dict[str, Callable[[SqlStore, int, int, random.Random], int]] = {
    "news: 4 items, 1 kept, one visit a transaction": settle_news,
    "quiet: 304s, 100 visits a transaction": record_quiet,
}


def work(url: str, act: str, process: int, turn: int, seconds: float, begun: Barrier, done: Queue[Done]) -> None:
    store, draw = SqlStore(url), random.Random(f"{process} {turn}")
    ACTS[act](store, process, turn * 10**6 - 1, draw)  # what is loaded when it is first needed
    begun.wait()
    until, used, settled, n = time.monotonic() + seconds, time.process_time(), 0, turn * 10**6
    while time.monotonic() < until:
        settled += ACTS[act](store, process, n, draw)
        n += 1
    done.put((settled, time.process_time() - used))
    store.close()


def rate(url: str, act: str, processes: int, turn: int, seconds: float) -> Done:
    """Visits a second of all processes together, and CPU milliseconds of each visit."""
    context = multiprocessing.get_context("spawn")
    begun, done = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=work, args=(url, act, n, turn, seconds, begun, done)) for n in range(processes)]
    for worker in workers:
        worker.start()
    settled, used = map(sum, zip(*(done.get() for _ in workers), strict=True))
    for worker in workers:
        worker.join()
    return settled / seconds, used / settled * 1e3


@contextmanager
def stores() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder, postgres.serving(lasting=True) as server, server.database() as url:
        yield {"SQLite": f"sqlite:///{Path(folder)}/store.db", "PostgreSQL": url}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(f"{'visits a second, by so many processes':<62}" + "".join(f"{count:>12}" for count in PROCESSES))
    with stores() as urls:
        for name, url in urls.items():
            store = SqlStore(url)
            store.enlist([source(one, n) for one in range(max(PROCESSES)) for n in range(SOURCES)], [], NOW)
            store.close()
            for turn, act in enumerate(ACTS):
                rates = [rate(url, act, count, 10 * turn + count, seconds) for count in PROCESSES]
                print(f"{f'{name}, {act}':<62}" + "".join(f"{one:>12,.0f}" for one, _ in rates))
                print(f"{'  CPU, ms a visit':<62}" + "".join(f"{used:>12.2f}" for _, used in rates), flush=True)


if __name__ == "__main__":
    main()
