"""Several processes on one store: each source visited once, each story told once, each folder the same bytes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from aggregator.daemon import AT_ONCE
from aggregator.model import Source
from aggregator.pipeline import LEASE
from aggregator.store import SqlStore
from tests.command import NOT_SERVED, configure, feed, rss
from tests.daemons import daemon, eventually
from tests.lab import AtOnce, Lab, Reply
from tests.site import Site

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


# One process of several that claim at once; it keeps what it has until it is told to visit it, and then lives on.
CLAIMER = """
import sys
from datetime import timedelta
from aggregator.store import SqlStore
from tests.test_several import NOW
from tests.test_store import plan, visit
store = SqlStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
tasks = store.claim(NOW, timedelta(minutes=15), limit=1)
print(*(task.source.url for task in tasks), flush=True)
sys.stdin.readline()
for task in tasks:
    with store.begin() as work:
        work.record(visit(task.source), plan(NOW + timedelta(hours=1)), {})
print("done", flush=True)
sys.stdin.readline()
"""


class Shared(NamedTuple):
    url: str  # of the store
    processes: int


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    if request.param == "sqlite":
        return Shared(f"sqlite:///{tmp_path}/store.db", 2)
    return Shared(request.getfixturevalue("postgres_url"), 3)


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


@contextmanager
def begun_at_once(program: str, url: str, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes on one store, each of which has been ready when all were told to go."""
    command = [sys.executable, "-c", program, url]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(count)
        ]
        assert [said(process) for process in processes] == ["ready"] * count
        for process in processes:
            tell(process, "go")
        yield processes


def said(process: subprocess.Popen[str]) -> str:
    """The next line that it writes."""
    assert process.stdout
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def work(url: str, count: int) -> list[list[str]]:
    """What each of so many processes, begun at once, claimed and settled."""
    with begun_at_once(WORKER, url, count) as processes:
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


def test_a_host_belongs_to_one_process_at_a_time(shared: Shared) -> None:
    """Of several that claim at once one gets it; the others may when it is done and the gap is over."""
    gap = timedelta(seconds=2)
    host = [Source(f"https://{name}.host.example/feed", name) for name in "abcdefghij"]
    store = SqlStore(shared.url)
    store.enlist([*host, Source("https://other.example/feed", "other")], [], NOW - timedelta(hours=1))
    with begun_at_once(CLAIMER, shared.url, 3) as processes:
        claimed = [said(process) for process in processes]
        assert sorted(url.partition(".")[2] for url in claimed) == ["", "example/feed", "host.example/feed"]
        assert store.claim(NOW, LEASE, gap=gap) == ()
        for process in processes:
            tell(process, "go")
        assert [said(process) for process in processes] == ["done"] * 3
        assert store.claim(NOW + gap, LEASE, gap=gap) == ()  # they were visited a little after NOW
        left = store.claim(NOW + gap + timedelta(seconds=1), LEASE, gap=gap)
        for process in processes:
            process.communicate("end\n")
    store.close()
    assert {task.source.name for task in left} == {one.name for one in host if one.url not in claimed}


def test_daemons_share_a_store_and_keep_a_folder_each(shared: Shared, site: Site, tmp_path: Path) -> None:
    """Begun at once on an empty store, they ask each source once, and publish the same bytes."""
    sources = {
        f"S{number}": site.put(f"/{number}", document(number, [BRIDGE, *OTHERS[number % 3 : number % 3 + 1]]))
        for number in range(6)
    }
    places = folders(tmp_path, shared, sources)
    with ExitStack() as stack:
        for folder in places:
            stack.enter_context(daemon(folder))
        eventually(lambda: all(told(folder) == 4 for folder in places))
        eventually(lambda: all(published(folder) == published(places[0]) for folder in places))
    assert Counter(request.path for request in site.requests) == {f"/{number}": 1 for number in range(6)}
    assert sorted(len(item["_story"]["members"]) for item in feed(places[0])) == [2, 2, 2, 6]


def test_daemons_spare_a_host_together(tmp_path: Path) -> None:
    """`per_host` counts the requests under way of all who share the store; one round of one daemon is not enough."""
    answer = AtOnce(Reply(body=document(0, ["Council meets about the budget"]), delay=0.02))
    with Lab() as lab, ExitStack() as stack:
        urls = {f"S{number}": lab.route(f"/{number}", answer) for number in range(AT_ONCE + 20)}
        for folder in folders(tmp_path, Shared(f"sqlite:///{tmp_path}/store.db", 2), urls):
            config = (folder / "config.toml").read_text().replace("per_host = 16", "per_host = 1")
            (folder / "config.toml").write_text(config)
            stack.enter_context(daemon(folder))
        eventually(lambda: len(lab.requests) == len(urls))
    assert answer.most == 1


def test_what_a_killed_daemon_had_claimed_comes_back(shared: Shared, site: Site, tmp_path: Path) -> None:
    """At the latest when the lease ends; what it had settled stays, and is not asked for again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        sources = {"S0": site.put("/0", document(0, OTHERS)), "Silent": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        (folder,) = folders(tmp_path, shared, sources, 1)
        store = SqlStore(shared.url)
        with daemon(folder) as process:
            eventually(lambda: len(store.stories()) == 3)
            process.kill()
            process.wait()
    later = store.claim(datetime.now(UTC) + LEASE + timedelta(seconds=1), LEASE)
    store.close()
    assert [task.source.name for task in later] == ["Silent"]


def document(number: int, titles: Sequence[str]) -> bytes:
    return rss([(f"https://{number}.example/{place}", title, "") for place, title in enumerate(titles)])
