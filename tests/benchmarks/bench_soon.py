"""How soon news is out: prints a table. `python tests/benchmarks/bench_soon.py [stories ...]`, by default 100 100000.

A source shows a new item and its visit falls due; then the program does what it does as a service: it asks, reads,
judges, folds, stores, publishes, serves and tells its hub. All over HTTP on loopback and on disk. Seconds from then
until the feed is served with the new entry under another ETag, and until the hub has heard of it: the middle one of
ten, and the longest. CPU is of this process, without the few milliseconds of those that parse. The first writing of
100,000 stories takes minutes, and 1 GB of disk.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import requests

from aggregator.app import open_app
from aggregator.config import load
from aggregator.daemon import Rounds, serving, unswept
from aggregator.push import Push
from aggregator.store import SqlStore
from aggregator.visiting import hubs
from tests.answering import Handler, answering
from tests.benchmarks.bench_press import BATCH, SOURCES, _tell
from tests.command import configure, rss
from tests.daemons import free_port
from tests.site import Site
from tests.site import serving as site_serving
from tests.telling import NOW

NEWS = (
    "North Korean defector elected to Seoul council",
    "Swimmer from North Korea reaches Gyodong island, asks to stay in the South",
    "Memoir of a pianist who fled North Korea wins literature prize in Berlin",
    "China sends back forty North Korean refugees over the Tumen bridge",
    "Court jails broker who cheated North Korean escapees of settlement money",
    "North Korean diplomat in Havana defects with his wife and daughter",
    "Hanawon opens dental clinic for newcomers from North Korea",
    "Two North Korean soldiers captured in Kursk ask to go to Seoul",
    "Film about a North Korean defector's football club opens in Busan",
    "Fewer North Korean defectors arrive as fences along the Yalu grow",
)
HEAD = """\
[feed]
title = "Test"
link = "http://{listen}/"
output = "public"
[topic]
max_age_days = 0
[fetch]
allow_private_addresses = true
host_gap_seconds = 0
[store]
url = "sqlite:///aggregator.db"
[server]
listen = "{listen}"
[push]
hub = "{hub}"
"""
PATIENCE = 60.0  # seconds until something that never comes is called so


class Later:
    """A clock that can be put on, so that a visit falls due."""

    def __init__(self, begin: datetime) -> None:
        self._ahead = begin - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def put_on(self, by: timedelta) -> None:
        self._ahead += by


class Hub:
    """Notes when it is told of which feed."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {}  # the feed's address → time.perf_counter()
        self.address = ""

    @contextmanager
    def open(self) -> Iterator[Hub]:
        told = self.told

        class Taking(Handler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                told.setdefault(form["hub.url"][0], time.perf_counter())
                self.send_response(202)
                self.end_headers()

        with answering(Taking) as address:
            self.address = f"{address}/"
            yield self


def main(*sizes: int) -> None:
    print(f"{'stories':>9}{'first writing':>15}{'served':>9}{'longest':>9}{'hub told':>10}{'longest':>9}{'CPU':>7}")
    for stories in sizes or (100, 100_000):
        with tempfile.TemporaryDirectory() as folder, site_serving() as site, Hub().open() as hub:
            _measure(Path(folder), stories, site, hub)


def _measure(folder: Path, stories: int, site: Site, hub: Hub) -> None:
    listen = f"127.0.0.1:{free_port()}"
    source = {"News": site.put("/feed", rss([]))}
    configure(folder, source, HEAD.format(listen=listen, hub=hub.address))
    config = load(folder / "config.toml")
    _fill(config.store_url, stories)
    with open_app(config, clock := Later(NOW + timedelta(minutes=5 * (stories + 1)))) as app:
        rounds = Rounds(app)
        rounds.push = push = Push(lambda: rounds.app, hubs(config), rounds.try_to_publish)
        begun = time.perf_counter()
        rounds.publish()
        first = time.perf_counter() - begun
        with unswept(), closing(push), serving(app, rounds):
            site.put("/feed", rss([("https://news.example/old", "North Korean refugee choir sings in Incheon", "")]))
            rounds.go()  # what reads documents has started
            _wait_for(hub, feed := f"http://{listen}/atom.xml")
            served, told, busy = [], [], []
            for number in range(1, len(NEWS) + 1):
                clock.put_on(timedelta(days=1))
                items = [(f"https://news.example/{one}", NEWS[one], "") for one in reversed(range(number))]
                one, two, cost = _once(rounds, site, rss(items), feed, NEWS[number - 1], hub)
                served.append(one)
                told.append(two)
                busy.append(cost)
    middle = statistics.median
    print(
        f"{stories:>9}{first:>15.1f}{middle(served):>9.2f}{max(served):>9.2f}"
        f"{middle(told):>10.2f}{max(told):>9.2f}{middle(busy):>7.2f}"
    )


def _once(
    rounds: Rounds, site: Site, shown: str | bytes, feed: str, title: str, hub: Hub
) -> tuple[float, float, float]:
    """Seconds until the new entry is served, and until the hub knows; seconds of CPU."""
    before = requests.get(feed, timeout=10)
    hub.told.clear()
    site.put("/feed", shown)
    begun, busy = time.perf_counter(), _cpu()
    rounds.go()
    after = requests.get(feed, timeout=10, headers={"If-None-Match": before.headers["ETag"]})
    served = time.perf_counter() - begun
    if after.status_code != 200 or after.headers["ETag"] == before.headers["ETag"] or title not in after.text:
        sys.exit(f"“{title}” was not published")
    _wait_for(hub, feed)
    return served, hub.told[feed] - begun, _cpu() - busy


def _wait_for(hub: Hub, feed: str) -> None:
    begun = time.perf_counter()
    while feed not in hub.told:
        if time.perf_counter() - begun > PATIENCE:
            sys.exit("the hub was not told")
        time.sleep(0.001)


def _fill(url: str, stories: int) -> None:
    store = SqlStore(url)
    store.enlist(SOURCES, (), NOW)
    for first in range(1, stories + 1, BATCH):
        _tell(store, *range(first, min(first + BATCH, stories + 1)))
    store.close()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
