"""What holds of stories whatever sources and curators do: laws of settling, on random histories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import curator
from aggregator.errors import NotFoundError
from aggregator.memory import MemoryStore
from aggregator.model import (
    Changed,
    Decision,
    Evidence,
    FeedHead,
    Founds,
    Item,
    Joins,
    Judged,
    Placement,
    Rhythm,
    Seed,
    Source,
    StoredItem,
    StoredStory,
    Verdict,
    Visit,
    Withholding,
)
from aggregator.pace import Bounds
from aggregator.regroup import regroup
from aggregator.settle import Rules, Settled, settle
from aggregator.stories import Folder, seed_item, seed_story_id

BEGUN = datetime(2026, 6, 1, tzinfo=UTC)
SOURCES = tuple(Source(f"https://{name}.example/feed", name.title()) for name in ("alpha", "beta"))
FOLDER = Folder()
RULES = Rules(
    folder=FOLDER,
    bounds=Bounds(timedelta(minutes=10), timedelta(days=1)),
    language="en",
    priority={source.url: 5 for source in SOURCES},
    window=timedelta(days=14),
    max_age=timedelta(days=30),
)
SEED = Seed("S1", "Soldier of the North walks over the frontier at Cheorwon", "He was led away by guards.")
TITLES = (  # events, each in the words of several outlets
    (
        "Escapee opens a noodle restaurant in Busan",
        "Noodle restaurant opened in Busan by escapee",
        "Escapee opens shop",
    ),
    ("Nine people from the North held near Chiang Rai", "Thai police hold nine from the North near Chiang Rai"),
    ("Soldier of the North walks over the frontier at Cheorwon", "A soldier walked over the frontier at Cheorwon"),
    ("Court in Seoul rules for repatriated fishermen", "Repatriated fishermen win before court in Seoul"),
)


@dataclass(frozen=True)
class Entry:
    """One entry of a document, as a source gives it at one visit."""

    place: int  # which of the source's entries
    event: int
    words: int
    ids: int  # how often the source has given its ids anew
    link: int  # 0: its own, 1: the one that all entries have, 2: none
    age: int | None  # days before the first visit
    kept: bool

    def judged(self, source: Source) -> Judged:
        titles = TITLES[self.event]
        host = source.url.removesuffix("feed")
        item = Item(
            source=source.url,
            id=f"{self.ids}/{self.place}",
            link=(f"{host}n/{self.place}", host, None)[self.link],
            title=titles[self.words % len(titles)],
            summary="",
            published=None if self.age is None else BEGUN - timedelta(days=self.age),
            language="en",
            fingerprint=repr(self).encode(),
        )
        return Judged(item, Verdict(Decision.KEPT if self.kept else Decision.DROPPED, 0.9, (), "rules"))


@dataclass(frozen=True)
class Seen:
    source: int
    entries: tuple[Entry, ...]
    hours: int  # since the step before


@dataclass(frozen=True)
class Word:
    """A curator's."""

    what: str
    first: int
    second: int


entries = st.builds(
    Entry,
    place=st.integers(0, 3),
    event=st.integers(0, len(TITLES) - 1),
    words=st.integers(0, 2),
    ids=st.integers(0, 1),
    link=st.sampled_from([0, 0, 0, 1, 2]),
    age=st.sampled_from([0, 0, 1, 20, 40, -3, None]),
    kept=st.sampled_from([True, True, True, False]),
)
visits = st.builds(
    Seen,
    source=st.integers(0, len(SOURCES) - 1),
    entries=st.lists(entries, max_size=4, unique_by=lambda entry: (entry.ids, entry.place)).map(tuple),
    hours=st.sampled_from([1, 30, 500]),
)
words = st.builds(
    Word,
    what=st.sampled_from(["keep", "drop", "merge", "split"]),
    first=st.integers(0, 12),
    second=st.integers(0, 12),
)


@dataclass
class History:
    """A store with what was seen of it so far."""

    store: MemoryStore = field(default_factory=MemoryStore)
    now: datetime = BEGUN
    ids: set[str] = field(default_factory=set)  # that a story was ever told under
    told: dict[str, datetime] = field(default_factory=dict)  # ids of what is told → since when
    updated: dict[str, datetime] = field(default_factory=dict)  # the same → when their text last changed
    items: dict[int, tuple[str, datetime]] = field(default_factory=dict)  # key → source, first seen

    def __post_init__(self) -> None:
        self.store.enlist(SOURCES, (), BEGUN)
        self.store.plant([(seed_story_id(SEED), SEED, sorted(FOLDER.keys(seed_item(SEED))))], BEGUN, publish=True)

    def visit(self, seen: Seen) -> Settled:
        source = SOURCES[seen.source]
        judged = tuple(entry.judged(source) for entry in seen.entries)
        outcome = Changed(FeedHead("rss20"), judged, frozenset(one.item.fingerprint for one in judged))
        settled = settle(self.store, RULES, Visit(source, self.now, self.now, outcome), Rhythm(), self.now)
        regroup(self.store, RULES, settled.placed, self.now)
        return settled

    def carry_out(self, word: Word) -> None:
        keys = [item.key for item in self.store.retained()]
        if not keys:
            return
        one, two = (f"#{keys[number % len(keys)]}" for number in (word.first, word.second))
        with suppress(NotFoundError):
            match word.what:
                case "keep":
                    curator.keep(self.store, RULES, one, self.now)
                case "drop":
                    curator.drop(self.store, RULES, one, self.now)
                case "merge":
                    curator.merge(self.store, RULES, one, two, self.now)
                case "split":
                    curator.split(self.store, RULES, one, self.now)

    def check(self) -> None:
        """The laws."""
        items = tuple(self.store.retained())
        self._no_item_is_lost(items)
        with self.store.begin() as work:
            stories = {name: work.story(name) for name in {item.story for item in items if item.story} | self.ids}
        known = {name: story for name, story in stories.items() if story is not None}
        assert known.keys() == stories.keys(), "an id that was told means nothing any more"
        for item in items:
            _stands_where_it_belongs(item, known)
        told = self.store.stories()
        members = [member.key for story in told for member in story.members]
        assert len(members) == len(set(members)), "an item is published twice"
        for story in told:
            _is_fit_to_be_told(story)
        self._what_was_told_stays_told(known)

    def _no_item_is_lost(self, items: tuple[StoredItem, ...]) -> None:
        now = {item.key: (item.item.source, item.first_seen) for item in items}
        assert self.items.items() <= now.items()
        assert len({(item.item.source, item.item.id) for item in items}) == len(items)
        self.items = now

    def _what_was_told_stays_told(self, known: dict[str, StoredStory]) -> None:
        for name, moment in self.told.items():
            told = known[name].told
            assert told is None or told <= moment, "what was told is told anew"
        for story in known.values():
            assert story.members or story.told is None, "what nobody tells any more is withdrawn"
        for name, moment in self.updated.items():
            story = known[name]
            assert story.id != name or story.told is None or story.updated >= moment, "a text changed back in time"
        self.told = {story.id: story.told for story in known.values() if story.told}
        self.updated = {id: known[id].updated for id in self.told}
        self.ids |= self.told.keys()


def _stands_where_it_belongs(item: StoredItem, stories: dict[str, StoredStory]) -> None:
    kept = item.ruling == "keep" or (item.ruling is None and item.verdict.decision is Decision.KEPT)
    assert kept == (item.story is not None)
    if item.story is not None:
        assert stories[item.story].id == item.story
        assert item.key in [member.key for member in stories[item.story].members]


def _is_fit_to_be_told(story: StoredStory) -> None:
    assert story.told is not None
    keys = [member.key for member in story.members]
    assert story.lead in keys or (story.lead is None and story.seed)
    assert story.seed == any(member.seed for member in story.members)
    assert keys


@settings(max_examples=150)
@given(st.lists(visits | words, max_size=12))
def test_the_laws_of_stories(steps: list[Seen | Word]) -> None:
    """Each item that belongs stands in one story, and no other does; told stories have a lead; nothing is lost.

    And an id that was told stays known, what is told stays told from the same moment, or an earlier one by merging, and
    the moment at which its text changed never moves back.
    """
    history = History()
    history.check()
    for step in steps:
        if isinstance(step, Seen):
            history.now += timedelta(hours=step.hours)
            history.visit(step)
        else:
            history.carry_out(step)
        history.check()


@settings(max_examples=60)
@given(st.lists(visits, max_size=6), visits)
def test_what_was_seen_is_seen_again_without_a_trace(before: list[Seen], last: Seen) -> None:
    """A visit that brings what the last one brought, as after a restored backup, tells nothing."""
    history = History()
    for step in before:
        history.visit(step)
    history.visit(last)
    stories = history.store.stories()
    again = history.visit(last)
    assert (again.new, again.told) == (0, 0)
    assert history.store.stories() == stories


class Joining(Folder):
    """Puts each item into the first candidate, and merges all others with that."""

    def place(self, item: Item, candidates: Sequence[StoredStory], now: datetime) -> Placement:
        if not candidates:
            return Founds()
        first, *rest = sorted(candidates, key=lambda story: story.seed)
        why = Evidence("same events", "", 0.5)
        return Joins(first.id, why, tuple((other.id, why) for other in rest))


def test_a_seed_that_a_story_is_merged_with_keeps_its_id() -> None:
    """It is the one that goes by its place in the seed set for ever, published or not; the other id leads to it."""
    history = History()
    store, seed = history.store, seed_story_id(SEED)
    store.plant([(seed, SEED, sorted(FOLDER.keys(seed_item(SEED))))], BEGUN, publish=False)
    history.visit(Seen(0, (Entry(0, 1, 0, 0, 0, 0, True),), 1))
    (told,) = store.stories()
    both = replace(Entry(1, 2, 0, 0, 0, 0, True).judged(SOURCES[1]).item, summary=TITLES[1][0])
    judged = Judged(both, Verdict(Decision.KEPT, 0.9, (), "rules"))
    outcome = Changed(FeedHead("rss20"), (judged,), frozenset())
    later = BEGUN + timedelta(hours=2)
    settle(store, replace(RULES, folder=Joining()), Visit(SOURCES[1], later, later, outcome), Rhythm(), later)
    with store.begin() as work:
        merged = work.story(told.id)
    assert merged is not None
    assert (merged.id, merged.seed, len(merged.members)) == (seed, True, 3)


LABELLED = tuple(
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "curation" / "items.jsonl").read_text("utf-8").splitlines()
)
SOME_DAY = tuple(
    Item(
        source=f"https://wire{number % 4}.example/feed",
        id=one["id"],
        link=None,
        title=one["title"],
        summary=one["summary"],
        published=BEGUN - timedelta(hours=number),
        language=one["lang"],
    )
    for number, one in enumerate(one for one in LABELLED if one["relevant"])
)


def refreshed(items: Sequence[Item]) -> History:
    """A history of one refresh in which items, each of a visit of its own, came in this order."""
    history = History()
    history.store.enlist([Source(url, url) for url in sorted({one.source for one in items})], (), BEGUN)
    placed: list[int] = []
    for item in items:
        outcome = Changed(FeedHead("rss20"), (Judged(item, Verdict(Decision.KEPT, 0.9, (), "")),), frozenset())
        visit = Visit(Source(item.source, item.source), BEGUN, BEGUN, outcome)
        placed += settle(history.store, RULES, visit, Rhythm(), BEGUN).placed
    history.check()
    regroup(history.store, RULES, placed, BEGUN)
    history.check()
    return history


def grouped(history: History) -> set[frozenset[tuple[str, str]]]:
    """Who stands with whom, by source and id; a seed's own text is named, too."""
    told = history.store.stories()
    return {frozenset((member.item.source, member.item.id) for member in story.members) for story in told}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(SOME_DAY) - 25).flatmap(lambda n: st.permutations(SOME_DAY[n : n + 25])))
def test_the_order_in_which_visits_end_decides_nothing(items: list[Item]) -> None:
    """One refresh tells the same stories, with the same members, whichever of its visits ended first."""
    assert grouped(refreshed(items)) == grouped(refreshed(sorted(items, key=lambda one: one.id)))


def test_what_earlier_refreshes_told_keeps_its_id() -> None:
    """Grouping puts what is new into the story told before, and moves nothing that readers have seen."""
    history = History()
    history.visit(Seen(0, (Entry(0, 0, 0, 0, 0, 0, True),), 1))
    (told,) = (story for story in history.store.stories() if not story.seed)
    history.now += timedelta(hours=1)
    history.visit(Seen(1, (Entry(0, 0, 1, 0, 0, 0, True), Entry(1, 0, 0, 0, 0, 0, True)), 1))
    (now,) = (story for story in history.store.stories() if not story.seed)
    assert (now.id, now.told, len(now.members)) == (told.id, told.told, 3)


def test_grouping_puts_what_is_new_into_a_story_withheld_since_the_refresh_began() -> None:
    """What the operator holds back must not come out because it was told a second time in the same refresh."""
    history, ids = History(), ("urn:uuid:1", "urn:uuid:2")
    with history.store.begin() as work:
        keys = []
        for id, source in zip(ids, SOURCES, strict=False):
            judged = Entry(0, 0, 0, 0, 0, 0, True).judged(source)
            keys.append(work.add(judged, RULES.keys(judged.item), BEGUN))
            work.found(id, BEGUN)
            work.assign(keys[-1], id, Evidence("founds", "", 1.0))
        work.withhold(ids[1], Withholding(withdrawn=True), "withdrawn", BEGUN)
    regroup(history.store, RULES, keys, BEGUN)
    assert [item.story for key in keys if (item := history.store.item(key))] == [ids[1], ids[1]]


def test_the_same_article_joins_its_story_at_any_age() -> None:
    """Another source that links it two months later, in other words, tells nothing new."""
    history = History()
    history.visit(Seen(0, (Entry(0, 0, 0, 0, 0, 0, True),), 1))
    history.now += timedelta(days=60)
    first = Entry(0, 0, 0, 0, 0, 0, True).judged(SOURCES[0])
    other = replace(first.item, source=SOURCES[1].url, id="x", title=TITLES[1][0], published=history.now)
    outcome = Changed(FeedHead("rss20"), (Judged(other, first.verdict),), frozenset())
    settle(history.store, RULES, Visit(SOURCES[1], history.now, history.now, outcome), Rhythm(), history.now)
    (story,) = (story for story in history.store.stories() if not story.seed)
    assert len(story.members) == 2
