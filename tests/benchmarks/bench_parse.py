"""What reading a feed costs, beside feedparser on the whole document and lxml's bare walk, all in one run.

    python tests/benchmarks/bench_parse.py [FOLDER]

FOLDER holds feed documents (default: the tests' corpus). Documents with five entries or more are taken, and filled up
to thirty by repeating theirs, so that cut-down ones weigh what a real feed does. CPU time, median of the rounds.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import feedparser
from lxml import etree

from aggregator.charset import as_text
from aggregator.delta import Sliced, cut, shared_key
from aggregator.errors import FeedError
from aggregator.model import Known, Source
from aggregator.parse import read

URL = "https://example.org/feed.xml"
SOURCE = Source(URL, "Example", language="en")
FULL = 30  # entries; half of 119 real feeds with ten or more have between 15 and 40
ROUNDS = 5
LIMIT_ONE_NEW = 8.0  # times lxml's walk, the bar that the project sets itself
LEAST_GAIN = 8.0  # times feedparser on the whole document


def here(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def filled(sliced: Sliced) -> bytes:
    """The document with its entries repeated under other ids."""
    last = sliced.entries[-1].end
    more = []
    for number in range(FULL - len(sliced.entries)):
        piece = sliced.piece(sliced.entries[number % len(sliced.entries)])
        key = shared_key(piece)
        more.append(piece.replace(key, key + b"-%d" % number) if key else piece)
    return sliced.data[:last] + b"".join(more) + sliced.data[last:]


def documents(folder: Path) -> list[bytes]:
    found = []
    for path in sorted(folder.glob("*.xml")):
        try:
            sliced = cut(as_text(path.read_bytes(), None, "en")[0])
        except FeedError:
            continue
        if len(sliced.entries) >= 5 and not sliced.problems:
            found.append(filled(sliced))
    return found


def walk(data: bytes) -> int:
    return sum(1 for _ in etree.fromstring(data).iter())


def whole(data: bytes) -> object:
    return feedparser.parse(io.BytesIO(data), response_headers={"content-location": URL})


def cost(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(feeds: list[bytes]) -> dict[str, list[float]]:
    """CPU seconds of each way, round by round, the ways interleaved."""
    first = [read(URL, data, None, SOURCE, Known(), here) for data in feeds]
    known = [Known(head=one.head_digest, entries=one.entries) for one in first]
    but_one = [
        replace(old, entries=old.entries - {one.items[0].fingerprint}) for old, one in zip(known, first, strict=True)
    ]
    ways: dict[str, Callable[[], object]] = {
        "lxml, bare walk": lambda: [walk(data) for data in feeds],
        "nothing new": lambda: [read(URL, *pair) for pair in with_known(feeds, known)],
        "one new entry": lambda: [read(URL, *pair) for pair in with_known(feeds, but_one)],
        "all new": lambda: [read(URL, data, None, SOURCE, Known(), here) for data in feeds],
        "feedparser, whole": lambda: [whole(data) for data in feeds],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            times[name].append(cost(way))
    return times


def with_known(feeds: list[bytes], known: list[Known]) -> list[tuple[Any, ...]]:
    return [(data, None, SOURCE, one, here) for data, one in zip(feeds, known, strict=True)]


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "feeds"
    warnings.simplefilter("ignore", DeprecationWarning)
    feeds = documents(folder)
    times = {name: statistics.median(rounds) for name, rounds in measure(feeds).items()}
    base, most = times["lxml, bare walk"], times["feedparser, whole"]
    print(f"{len(feeds)} feeds, {sum(map(len, feeds)) / 1e6:.1f} MB")
    print(f"{'':20}{'ms a feed':>10}{'x walk':>8}{'feedparser is x slower':>24}")
    for name, seconds in times.items():
        print(f"{name:20}{seconds * 1000 / len(feeds):10.2f}{seconds / base:8.1f}{most / seconds:24.1f}")
    one = times["one new entry"]
    return 0 if one / base <= LIMIT_ONE_NEW and most / one >= LEAST_GAIN else 1


if __name__ == "__main__":
    sys.exit(main())
