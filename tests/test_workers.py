"""Visits made by other processes: the same stories, the same manners, and nothing lost with whoever dies."""

from __future__ import annotations

import multiprocessing
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aggregator import app as application
from aggregator.app import App
from aggregator.cluster import Cluster
from aggregator.config import load
from aggregator.engine import direct
from aggregator.errors import EngineError, FeedError
from aggregator.memory import FixedClock
from aggregator.model import Changed, Failed, Source, Task, Unmade, Visit
from aggregator.ports import Isolate
from aggregator.tables import Fetch
from aggregator.topics import Judge, load_pack
from aggregator.workers import Crew, Equipment, Limits, program
from tests.cluster import RunningCluster, kill
from tests.command import NOT_SERVED, rss
from tests.daemons import DEFECTOR, eventually
from tests.lab import AtOnce, Lab, Reply
from tests.network import Far, far
from tests.site import Site, serving

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
FETCH = Fetch(allow_private_addresses=True, timeout_seconds=30)
READING = Limits(1, 20, 512, ("aggregator.parse",))
PROCESSES = '[engine]\nkind = "processes"\nworkers = 2\n'


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(load_pack("north-korean-defectors", Path()), 0.5)


@pytest.fixture
def distance() -> Iterator[Far]:
    pytest.importorskip("distributed")
    with far() as place:
        yield place


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    pytest.importorskip("distributed")
    with RunningCluster(tmp_path) as running:
        yield running


def dask(cluster: RunningCluster) -> str:
    return f'[engine]\nkind = "dask"\naddress = "{cluster.address}"\n'


def crew(isolate: Isolate, *, clock: FixedClock | None = None, reading: Limits | None = None, by: str = "") -> Crew:
    """Visits at a moment, by this program or another."""
    clock = clock or FixedClock(NOW)
    return Crew(isolate, FixedClock(NOW), partial(Equipment, FETCH, "", clock, by or program(), reading))


@contextmanager
def opened(
    folder: Path, engine: str, urls: list[str], per_host: int = 16, clock: FixedClock | None = None
) -> Iterator[App]:
    folder.mkdir(exist_ok=True)
    head = NOT_SERVED.replace("per_host = 16", f"per_host = {per_host}")
    sources = "".join(f'[[source]]\nname = "{number}"\nurl = "{url}"\n' for number, url in enumerate(urls))
    (folder / "config.toml").write_text(head + engine + sources, encoding="utf-8")
    with application.open_app(load(folder / "config.toml"), clock or FixedClock(NOW)) as app:
        yield app


def published(folder: Path) -> dict[str, bytes]:
    """All files; what the folder remembers of how it was printed is no file (ports.Publisher)."""
    public = folder / "public"
    files = [path for path in public.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(public)): path.read_bytes() for path in files}


def put(site: Site) -> list[str]:
    """Five sources: two tell one story, one nothing of the subject, one is broken, one is not there."""
    there = "https://b.example/"
    return [
        site.put("/a", rss([DEFECTOR])),
        site.put("/b", rss([(f"{there}1", DEFECTOR[1], ""), (f"{there}2", "Council meets about its budget", "")])),
        site.put("/c", rss([(f"https://c.example/{n}", f"Budget item {n}", "") for n in range(20)])),
        site.put("/d", b"<html><title>no feed</title>"),
        f"{site.address}/nothing",
    ]


# --- the same ---------------------------------------------------------------------------------------------------


def test_processes_tell_the_same_stories_to_the_byte(tmp_path: Path) -> None:
    """Whoever makes the visits, ids and files are the same."""
    with serving() as site:
        urls = put(site)
        told = [visit_and_publish(tmp_path / name, engine, urls) for name, engine in (("t", ""), ("p", PROCESSES))]
    assert told[0] == told[1]
    assert b"defector" in told[0]["feed.json"].lower()


def test_a_cluster_tells_the_same_stories_to_the_byte(tmp_path: Path, cluster: RunningCluster) -> None:
    """On two workers of Dask, too."""
    cluster.work(), cluster.work()
    with serving() as site:
        urls = put(site)
        told = [visit_and_publish(tmp_path / name, engine, urls) for name, engine in (("t", ""), ("d", dask(cluster)))]
    assert told[0] == told[1]


def visit_and_publish(folder: Path, engine: str, urls: list[str]) -> dict[str, bytes]:
    with opened(folder, engine, urls) as app:
        settled = {one.visit.source.name: type(one.visit.outcome) for one in app.refresh()}
        assert settled == {"0": Changed, "1": Changed, "2": Changed, "3": Failed, "4": Failed}
        app.publish()
    return published(folder)


def test_what_travels_is_small(judge: Judge) -> None:
    """A task of a hundred known entries and the visit that found nothing new: a few kilobytes."""
    with serving() as site:
        url = site.put("/a", rss([(f"https://x.example/{n}", f"Budget item {n}", "") for n in range(100)]))
        first = crew(direct)(judge, Task(Source(url, "A")))
        assert isinstance(first, Visit)
        assert isinstance(first.outcome, Changed)
        known = Task(Source(url, "A")).known
        again = Task(Source(url, "A"), replace(known, entries=first.outcome.entries, validators=first.validators))
        visit = crew(direct)(judge, again)
    assert len(pickle.dumps(again)) < 6_000
    assert len(pickle.dumps(visit)) < 2_000


# --- manners ----------------------------------------------------------------------------------------------------


def test_a_host_is_spared_by_all_workers_together(tmp_path: Path, cluster: RunningCluster) -> None:
    """`per_host` counts the requests under way from the whole cluster."""
    cluster.work(), cluster.work()
    answer = AtOnce(Reply(body=rss([DEFECTOR]), delay=0.2))
    with Lab() as lab:
        urls = [lab.route(f"/{number}", answer) for number in range(8)]
        with opened(tmp_path, dask(cluster), urls, per_host=2) as app:
            assert len(list(app.refresh())) == 8
    assert answer.most == 2


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_visit_that_kills_its_process_costs_itself(judge: Judge) -> None:
    """It has failed, which slows its source down; nobody else's is lost."""

    def dies(function: Callable[..., object], *arguments: object) -> None:
        raise FeedError("the process ended")

    visit = crew(dies)(judge, Task(Source("https://a.example/", "A")))  # type: ignore[arg-type]
    assert isinstance(visit, Visit)
    assert isinstance(visit.outcome, Failed)
    assert "the process ended" in visit.outcome.message


def test_another_program_makes_no_visit(judge: Judge) -> None:
    """It would read documents otherwise; the operator is told what to do."""
    made = crew(direct, by="older")(judge, Task(Source("https://a.example/", "A")))
    assert isinstance(made, Unmade)
    assert "install the same one there" in made.why


def test_a_worker_whose_clock_is_wrong_makes_no_visit(judge: Judge) -> None:
    """Its times would decide when a source is visited next."""
    with serving() as site:
        task = Task(Source(site.put("/a", rss([DEFECTOR])), "A"))
        made = crew(direct, clock=FixedClock(NOW - timedelta(hours=1)))(judge, task)
    assert isinstance(made, Unmade)
    assert "2026-06-15 11:00" in made.why


def test_a_worker_that_may_have_no_children_says_so(judge: Judge) -> None:
    """As Dask's may not unless told otherwise: documents are read nowhere but in a child."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # whose processes may have none, either
        isolate: Any = lambda function, *arguments: pool.apply(function, arguments)  # noqa: E731
        made = crew(isolate, reading=READING)(judge, Task(Source("https://a.example/", "A")))
    assert isinstance(made, Unmade)
    assert "DASK_DISTRIBUTED__WORKER__DAEMON=False" in made.why


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path, cluster: RunningCluster) -> None:
    """Another makes its visits again, each is settled once, and each story told once."""
    first = cluster.work()
    held = threading.Event()

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        held.wait(60)
        connection.sendall(Reply(body=rss([DEFECTOR])).bytes())

    with Lab() as lab, opened(tmp_path, dask(cluster), [lab.route(f"/{n}", answer) for n in range(4)]) as app:
        settled: list[str] = []
        refresh = threading.Thread(target=lambda: settled.extend(one.visit.source.name for one in app.refresh()))
        refresh.start()
        eventually(lambda: len(lab.requests) == 4)
        cluster.work()
        kill(first)
        held.set()
        refresh.join()
        assert sorted(settled) == ["0", "1", "2", "3"]
        assert len(app.store.stories()) == 1


def test_a_scheduler_that_is_gone_puts_visits_off(tmp_path: Path, cluster: RunningCluster) -> None:
    """A minute, with the reason in the status; when it is back, they are made, by the same process."""
    clock = FixedClock(NOW)
    isolate = Cluster(cluster.address, 60, rest=0)
    with serving() as site, opened(tmp_path, "", [site.put("/a", rss([DEFECTOR]))], clock=clock) as opened_app:
        equip = partial(Equipment, FETCH, "", clock, program(), READING)
        app = replace(opened_app, crew=Crew(isolate, clock, equip))
        cluster.stop()
        assert list(app.refresh()) == []
        [health] = app.store.health()
        assert health.next_due == NOW + timedelta(minutes=1)
        assert "could not be made" in health.why
        cluster.schedule()
        with pytest.raises(EngineError, match="has no worker"):
            isolate(str)
        cluster.work()
        clock.advance(timedelta(minutes=1))
        assert len(list(app.refresh())) == 1
    isolate.close()


def test_a_network_that_is_cut_before_a_worker_costs_nothing(tmp_path: Path, distance: Far) -> None:
    """Who is not heard of any more is given up, and another makes its visits; each is settled once."""
    held = threading.Event()

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        held.wait(60)
        connection.sendall(Reply(body=rss([DEFECTOR])).bytes())

    with RunningCluster(tmp_path, distance.here) as cluster, Lab(host=distance.here.host) as lab:
        cluster.work(distance.there)
        with opened(tmp_path / "here", dask(cluster), [lab.route(f"/{n}", answer) for n in range(4)]) as app:
            settled: list[str] = []
            refresh = threading.Thread(target=lambda: settled.extend(one.visit.source.name for one in app.refresh()))
            refresh.start()
            eventually(lambda: len(lab.requests) == 4)
            distance.cut()
            held.set()
            cluster.work(distance.here)
            refresh.join()
            distance.mend()
            assert sorted(settled) == ["0", "1", "2", "3"]
            assert all(one.failures == 0 for one in app.store.health())
            assert [len(one.members) for one in app.store.stories()] == [4]


def test_a_network_that_is_cut_before_the_cluster_puts_visits_off(tmp_path: Path, distance: Far) -> None:
    """A minute, with the reason in the status; once it leads there again, the same process has them made."""
    clock, held = FixedClock(NOW), threading.Event()

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        held.wait(60)
        connection.sendall(Reply(body=rss([DEFECTOR])).bytes())

    with RunningCluster(tmp_path, distance.there) as cluster, Lab(host=distance.here.host) as lab:
        cluster.work(distance.there)
        isolate = Cluster(cluster.address, 10, rest=0)
        with opened(tmp_path / "here", "", [lab.route(f"/{n}", answer) for n in range(3)], clock=clock) as alone:
            app = replace(alone, crew=Crew(isolate, clock, partial(Equipment, FETCH, "", clock, program(), READING)))
            settled: list[str] = []
            refresh = threading.Thread(target=lambda: settled.extend(one.visit.source.name for one in app.refresh()))
            refresh.start()
            eventually(lambda: len(lab.requests) == 3)
            distance.cut()
            refresh.join()
            assert settled == []
            assert {one.next_due for one in app.store.health()} == {NOW + timedelta(minutes=1)}
            assert all("could not be made" in one.why for one in app.store.health())
            held.set()
            distance.mend()
            made = eventually_made(app, clock)
            assert sorted(made) == ["0", "1", "2"]
            assert [len(one.members) for one in app.store.stories()] == [3]
        isolate.close()


def eventually_made(app: App, clock: FixedClock) -> list[str]:
    """The sources that are visited in the minutes that follow."""
    made = list[str]()
    for _ in range(6):
        clock.advance(timedelta(minutes=1))
        made += [one.visit.source.name for one in app.refresh()]
        if len(made) == len(app.store.health()):
            break
    return made
