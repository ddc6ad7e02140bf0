"""Several processes on one store: each source visited once, each story told once, each folder the same bytes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from aggregator.model import Source
from aggregator.pipeline import LEASE
from aggregator.store import SqlStore
from tests.command import NOT_SERVED, configure, environment, feed, rss
from tests.site import Site, serving

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCES = 60
BRIDGE = "North Korean soldier crosses the border bridge and defects to the South"
OTHERS = (
    "Seoul court convicts broker who helped North Korean defectors flee",
    "North Korean defector opens a noodle restaurant in Busan",
    "Ministry counts fewer North Korean defectors arriving this spring",
)

# What a daemon does with what it claims, without a network: every source tells the same story. It has claimed some
# before any begins, so that none can do it all.
WORKER = """
import sys
from datetime import timedelta
from aggregator.model import Evidence
from aggregator.store import SqlStore
from tests.test_several import NOW
from tests.test_store import judged, plan, visit
store = SqlStore(sys.argv[1])
tasks = store.claim(NOW, timedelta(minutes=15), limit=2)
print("ready", flush=True)
sys.stdin.readline()
while tasks:
    for task in tasks:
        print(task.source.url, flush=True)
        with store.begin() as work:
            key = work.add(judged("1", task.source), ["shared"], NOW)
            known = [story.id for story in work.candidates(["shared"], NOW - timedelta(days=1))]
            if not known:
                work.found(f"urn:uuid:{task.source.name}", NOW)
            work.assign(key, known[0] if known else f"urn:uuid:{task.source.name}", Evidence("same", "", 1.0))
            work.tell(known[0] if known else f"urn:uuid:{task.source.name}", NOW, key, NOW)
            work.record(visit(task.source), plan(), {})
    tasks = store.claim(NOW, timedelta(minutes=15), limit=2)
"""


class Shared(NamedTuple):
    url: str  # of the store
    processes: int


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    if request.param == "sqlite":
        return Shared(f"sqlite:///{tmp_path}/store.db", 2)
    return Shared(request.getfixturevalue("postgres_url"), 3)


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in its folder, killed at the end if it has not ended before."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "aggregator", "run"], cwd=folder, stderr=log, env=environment()
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def folders(path: Path, shared: Shared, sources: dict[str, str], count: int | None = None) -> list[Path]:
    """A folder with the same configuration for each daemon."""
    made = [path / f"daemon{number}" for number in range(count or shared.processes)]
    for folder in made:
        folder.mkdir()
        configure(folder, sources, NOT_SERVED.replace("sqlite:///aggregator.db", shared.url))
    return made


def told(folder: Path) -> int:
    return len(feed(folder)) if (folder / "public" / "feed.json").exists() else 0


def published(folder: Path) -> dict[str, bytes]:
    """What readers are handed out; files that are being written are hidden."""
    files = [path for path in (folder / "public").rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def work(url: str, count: int) -> list[list[str]]:
    """What each of so many processes, begun at once, claimed and settled."""
    command = [sys.executable, "-c", WORKER, url]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(count)
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        done = [process.communicate(timeout=120)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0] * count
    return done


def test_each_source_goes_to_one_and_each_story_is_told_once(shared: Shared) -> None:
    """However the processes come between each other, one story has all the items, each once."""
    sources = [Source(f"https://{number}.example/feed", str(number)) for number in range(SOURCES)]
    store = SqlStore(shared.url)
    store.enlist(sources, [], NOW)
    done = work(shared.url, shared.processes)
    (story,) = store.stories()
    store.close()
    assert sorted(url for urls in done for url in urls) == sorted(source.url for source in sources)
    assert all(done)
    assert Counter(member.item.source for member in story.members) == Counter(source.url for source in sources)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def test_daemons_share_a_store_and_keep_a_folder_each(shared: Shared, site: Site, tmp_path: Path) -> None:
    """Begun at once on an empty store, they ask each source once, and publish the same bytes."""
    sources = {
        f"S{number}": site.put(f"/{number}", document(number, [BRIDGE, *OTHERS[number % 3 : number % 3 + 1]]))
        for number in range(6)
    }
    places = folders(tmp_path, shared, sources)
    with ExitStack() as stack:
        for folder in places:
            stack.enter_context(running(folder))
        wait_until(lambda: all(told(folder) == 4 for folder in places))
        wait_until(lambda: all(published(folder) == published(places[0]) for folder in places))
    assert Counter(request.path for request in site.requests) == {f"/{number}": 1 for number in range(6)}
    assert sorted(len(item["_story"]["members"]) for item in feed(places[0])) == [2, 2, 2, 6]


def test_what_a_killed_daemon_had_claimed_comes_back(shared: Shared, site: Site, tmp_path: Path) -> None:
    """At the latest when the lease ends; what it had settled stays, and is not asked for again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        sources = {"S0": site.put("/0", document(0, OTHERS)), "Silent": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        (folder,) = folders(tmp_path, shared, sources, 1)
        with running(folder) as process:
            wait_until(lambda: told(folder) == 3)
            process.kill()
            process.wait()
    store = SqlStore(shared.url)
    later = store.claim(datetime.now(UTC) + LEASE + timedelta(seconds=1), LEASE)
    store.close()
    assert [task.source.name for task in later] == ["Silent"]


def document(number: int, titles: Sequence[str]) -> bytes:
    return rss([(f"https://{number}.example/{place}", title, "") for place, title in enumerate(titles)])
