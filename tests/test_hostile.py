"""What sources do to a reader, one after the other, through the whole flow: nothing lost, nothing told twice."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from aggregator import curator
from aggregator.daemon import Rounds
from aggregator.engine import Inline
from aggregator.errors import PublishError, StoreError
from aggregator.memory import MemoryStore, MemoryWork
from aggregator.model import Changed, Failed, Judged, Known, Source
from aggregator.ports import Run
from aggregator.publish import MemoryPublisher
from tests.world import DAY, HOUR, NOW, World, address, atom, rss

T = TypeVar("T")
R = TypeVar("R")

TITLE = "North Korean defector elected to Seoul council after long campaign"
OTHER = "Swimmer from North Korea reaches Gyodong island, asks to stay in the South"
OFF = "Bread prices rise in Paris"
ENTRY = {
    "title": TITLE,
    "link": "https://a.example/n/1",
    "guid": "g1",
    "pubDate": "Mon, 15 Jun 2026 08:00:00 GMT",
}
HEADLINES = (
    "North Korean defector opens noodle restaurant in Busan",
    "North Korean soldier crosses the border at Goseong to defect",
    "China sends back 60 North Korean escapees, rights group says",
    "Hanawon graduates its last class of North Korean refugees",
    "Defector from North Korea wins poetry prize in Berlin",
    "Court in Seoul orders compensation for repatriated North Korean fishermen",
    "North Korean diplomat in Cuba defects with his family",
    "Thai police find nine North Korean escapees near Chiang Rai",
    "Survey: one defector in four from North Korea still sends money home",
    "North Korean defectors launch balloons with radios near Paju",
    "Broker who guided North Korean refugees through Laos is arrested",
    "Former North Korean prisoner testifies on Yodok camp before UN panel",
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def archive(guid: str = "g", place: str = "https://a.example/n", dated: bool = True) -> list[dict[str, str]]:
    """Four weeks of entries, each a story of its own."""
    entries = []
    for n, title in enumerate(HEADLINES):
        entry = {"title": title, "link": f"{place}/{n}", "guid": f"{guid}{n}", "description": f"{title}: part {n}."}
        entries.append(entry | ({"pubDate": format_datetime(NOW - 2 * n * DAY)} if dated else {}))
    return entries


def test_a_story_that_leaves_the_subject_and_returns_has_its_id(world: World) -> None:
    """Edited off the subject it is withdrawn, edited back it is published under the same id, however often."""
    on, off = rss(ENTRY), rss(ENTRY | {"title": OFF})
    world.see(on)
    first = world.told()
    for _ in range(3):
        world.see(off)
        assert world.told() == {}
        world.see(on)
        assert world.told() == first


def test_a_date_stays_as_it_was_first_given(world: World) -> None:
    """A source that dates its entries anew at each visit changes not a byte of what is published."""
    world.see(rss(ENTRY))
    first = dict(world.publisher.files)
    for hour in range(9, 13):
        world.see(rss(ENTRY | {"pubDate": f"Mon, 15 Jun 2026 {hour:02}:00:00 GMT"}))
        assert world.publisher.files == first


def test_a_new_text_has_a_new_date_of_update(world: World) -> None:
    """The story is as old as before, and was changed when the source says so."""
    world.see(rss(ENTRY))
    world.see(rss(ENTRY | {"title": TITLE + ", again", "pubDate": "Mon, 15 Jun 2026 13:30:00 GMT"}))
    (story,) = world.stories()
    assert (story["date_published"], story["date_modified"]) == ("2026-06-15T08:00:00Z", "2026-06-15T13:30:00Z")


@pytest.mark.parametrize(
    "date", ["Thu, 01 Jan 1970 00:00:00 GMT", "1900-01-01", "0001-01-01", "2999-01-01", "soon", ""]
)
def test_a_date_beyond_reason_is_no_date(world: World, date: str) -> None:
    """The entry is published, dated when it was first seen."""
    world.see(rss(ENTRY | {"pubDate": date}))
    (story,) = world.stories()
    assert story["date_published"] == "2026-06-15T13:00:00Z"


def test_a_date_in_the_future_gives_way_to_a_better_one(world: World) -> None:
    """Though the first date of an entry stays otherwise."""
    world.see(rss(ENTRY | {"pubDate": "Wed, 17 Jun 2026 08:00:00 GMT"}), rss(ENTRY))
    (story,) = world.stories()
    assert story["date_published"] == "2026-06-15T08:00:00Z"


def test_rotating_ids_tell_nothing_twice(world: World) -> None:
    """A source that gives its entries new ids at each visit."""
    for turn in range(4):
        world.see(rss(ENTRY | {"guid": f"x{turn}"}, ENTRY | {"guid": f"y{turn}", "title": OTHER, "link": "/n/2"}))
    assert sorted(world.told().values()) == [TITLE, OTHER]
    assert [len(story["_story"]["members"]) for story in world.stories()] == [1, 1]


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("link", ["https://a.example/", "https://a.example/news.html"])
def test_one_link_for_all_entries_makes_no_story_of_them(world: World, ids: bool, link: str) -> None:
    """Neither lost nor folded, with ids, with ids that rotate, and with none."""
    for turn in range(3):
        one, two = (
            {"title": title, "link": link, "pubDate": ENTRY["pubDate"]}
            | ({"guid": f"{title[:3]}{turn}"} if ids else {})
            for title in (TITLE, OTHER)
        )
        world.put(rss(one, two))
        world.go()
        assert sorted(world.told().values()) == [TITLE, OTHER]


def test_an_id_that_is_used_again_is_another_entry(world: World) -> None:
    """Where link, title and date differ, what the id stood for stays."""
    world.see(rss(ENTRY))
    world.see(rss({"title": OTHER, "link": "/n/2", "guid": "g1", "pubDate": "Mon, 15 Jun 2026 13:00:00 GMT"}))
    assert sorted(world.told().values()) == [TITLE, OTHER]


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    "again",
    [
        lambda dated: rss(*archive("h", dated=dated)),
        lambda dated: rss(*archive("h", "http://www.a.example/n", dated=dated)),
        lambda dated: rss(*archive("h", "https://new.example/n", dated=dated)),
        lambda dated: rss(*archive("h", "https://new.example/2026/story", dated=dated)),
        lambda dated: rss(*archive("g", "https://new.example/2026/story", dated=dated)),
        lambda dated: atom(*archive("g", dated=dated)),
    ],
    ids=["new ids", "other scheme", "other host", "other paths", "same ids, other paths", "as Atom"],
)
def test_a_source_that_issues_all_it_has_anew_is_no_flood(
    world: World, again: Callable[[bool], str], dated: bool
) -> None:
    """Whatever it changes: ids, scheme, host, paths, format; and though weeks have passed."""
    world.see(rss(*archive(dated=dated)))
    first = world.told()
    assert len(first) > 8
    world.see(again(dated), later=20 * DAY)
    assert world.told() == first


def test_a_source_that_empties_and_fills_its_feed_is_no_flood(world: World) -> None:
    """What it had is known, not new."""
    world.see(rss(*archive()))
    first = world.told()
    world.see(rss(), rss(*archive()))
    assert world.told() == first


def test_what_the_curator_dropped_stays_away_under_another_id(world: World) -> None:
    """A source that changes its ids does not overrule the curator."""
    world.see(rss(ENTRY))
    curator.drop(world.store, world.rules, ENTRY["link"], world.clock.now())
    world.see(rss(ENTRY | {"guid": "another"}), rss(ENTRY | {"guid": "again", "title": TITLE + "!"}))
    assert world.told() == {}


def test_what_the_curator_parted_stays_parted_when_a_refresh_groups_anew(tmp_path: Path) -> None:
    """Though the copy that was split off leaves the subject meanwhile, and comes back beside other news."""
    world = World(tmp_path, "a", "b")
    copy = ENTRY | {"link": "https://b.example/n/1"}
    world.put(rss(ENTRY))
    world.put(rss(copy), "b")
    world.go()
    (story,) = world.stories()
    assert len(story["_story"]["members"]) == 2
    curator.split(world.store, world.rules, copy["link"], world.clock.now())
    world.put(rss(copy | {"title": OFF}), "b")
    world.go()
    assert list(world.told().values()) == [TITLE]
    world.put(rss(copy, {"title": OTHER, "link": "https://b.example/n/2", "guid": "g2"}), "b")
    world.go()
    assert sorted(world.told().values()) == sorted([TITLE, TITLE, OTHER])


def test_all_of_a_long_document_is_read_in_the_end(world: World) -> None:
    """A thousand entries a visit, though the document does not change."""
    entries = [{"title": f"{OFF} {n}", "guid": str(n)} for n in range(2_500)]
    world.put(rss(*entries))
    assert [world.go()[0].new for _ in range(4)] == [1_000, 1_000, 500, 0]
    assert [task.known.validators.etag for task in world.asked] == [None, None, None, '"1"']


def test_what_cannot_be_stored_costs_its_own_visit(tmp_path: Path) -> None:
    """The others are settled; its failure says why, and the document will be asked for whole again."""
    world = World(tmp_path, "a", "b", store=Refusing())
    world.app = replace(world.app, engine=AllAtOnce())
    world.put(rss(ENTRY))
    world.put(rss(ENTRY | {"title": OTHER, "link": "https://b.example/n/1"}), "b")
    outcomes = {one.visit.source.name: one.visit.outcome for one in world.go()}
    assert isinstance(outcomes["B"], Changed)
    failed = outcomes["A"]
    assert isinstance(failed, Failed)
    assert "could not be stored: please report it: OverflowError" in failed.message
    world.go()
    assert [task.known for task in world.asked if task.source.name == "A"] == [Known(), Known()]
    assert list(world.told().values()) == [OTHER]


def test_what_a_locked_store_refuses_is_stored_by_the_next_round(tmp_path: Path) -> None:
    """Nobody is asked twice, and no source is told to have failed."""
    store = Locked()
    world = World(tmp_path, "a", "b", store=store)
    world.put(rss(ENTRY))
    world.put(rss(ENTRY | {"title": OTHER, "link": "https://b.example/n/1"}), "b")
    visits = world.app.visits()
    store.locked = True
    for _ in range(3):
        with pytest.raises(StoreError):
            list(world.app.refresh(visits, limit=10, patience=HOUR))
        world.clock.advance(timedelta(minutes=1))
    store.locked = False
    settled = list(world.app.refresh(visits, limit=10, patience=HOUR))
    assert [type(one.visit.outcome) for one in settled] == [Changed, Changed]
    assert [task.source.name for task in world.asked] == ["A", "B"]


class Locked(MemoryStore):
    """A store in which nothing can be written for a while."""

    locked = False

    @contextmanager
    def begin(self, *, alone: bool = True) -> Iterator[MemoryWork]:
        if self.locked:
            raise StoreError("the database is locked")
        with super().begin(alone=alone) as work:
            yield work


class AllAtOnce(Inline):
    """An engine all of whose work ends at one moment, so that its visits are settled together."""

    def begin(self, work: Callable[[T], R], lane: Callable[[T], Hashable]) -> Run[T, R]:
        return Together(super().begin(work, lane))


@dataclass
class Together(Generic[T, R]):
    run: Run[T, R]

    def add(self, inputs: Iterable[T]) -> None:
        self.run.add(inputs)

    def batches(self, most: int, patience: float | None = None) -> Generator[list[R], None, None]:
        yield [result for batch in self.run.batches(most, patience) for result in batch]

    def owes(self) -> bool:
        return self.run.owes()

    def recall(self) -> list[T]:
        return self.run.recall()

    def close(self) -> None:
        self.run.close()


class Refusing(MemoryStore):
    """A store that fails at one source's items, as a database does at a value that it cannot hold."""

    @contextmanager
    def begin(self, *, alone: bool = True) -> Iterator[MemoryWork]:
        with super().begin(alone=alone) as work:
            yield RefusingWork(work._state)


class RefusingWork(MemoryWork):
    def add(self, judged: Judged, keys: Iterable[str], now: datetime) -> int:
        if judged.item.source == address("a"):
            raise OverflowError("the number is too large")
        return super().add(judged, keys, now)


def test_a_password_in_an_address_is_published_nowhere(tmp_path: Path) -> None:
    """Nor is the address of a source that is listed no more taken for its name."""
    world = World(tmp_path)
    world.store.enlist([Source("https://user:hush@a.example/feed", "A")], [], NOW)
    world.answers("https://user:hush@a.example/feed", rss(ENTRY))
    world.go()
    assert world.stories()[0]["_story"]["members"][0]["source"] == "a.example"
    assert [name for name, data in world.publisher.files.items() if b"hush" in data] == []


def test_a_daemon_that_cannot_publish_goes_on_and_publishes_later(tmp_path: Path) -> None:
    """A full disk costs no visit; when it has room again, what was found comes out though nothing is new."""
    world = World(tmp_path, "a", "b")
    world.put(rss(ENTRY))
    world.put(rss(ENTRY | {"title": OTHER, "link": "https://b.example/n/1"}), "b")
    disk = Disk()
    rounds = Rounds(replace(world.app, publisher=disk))
    disk.full = True
    rounds.go()
    assert len(world.asked) == 2
    world.clock.advance(timedelta(seconds=10))
    disk.full = False
    rounds.go()
    assert disk.files == {}  # not tried again at once
    world.clock.advance(timedelta(minutes=1))
    rounds.go()
    assert OTHER.encode() in disk.files["feed.json"]
    assert len(world.asked) == 2


class Disk(MemoryPublisher):
    full = False

    def publish(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        if self.full:
            raise PublishError("no space left on device")
        return super().publish(files)
