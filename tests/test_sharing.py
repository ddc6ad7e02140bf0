"""What several subjects make of one visit, in stores of their own, whatever happens in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from aggregator import app as application
from aggregator.config import load
from aggregator.errors import StoreError
from aggregator.memory import MemoryStore
from aggregator.model import Failed, Item, Verdict
from aggregator.publish import MemoryPublisher
from aggregator.sharing import Follower, catch_up
from tests.world import DAY, NOW, World, rss

ESCAPE = {"title": "North Korean defector elected to Seoul council", "link": "https://n.example/1", "guid": "1"}
REEF = {"title": "Great Barrier Reef suffers mass coral bleaching", "link": "https://n.example/2", "guid": "2"}
BOTH = {"title": "North Korean defector restores coral reef off Jeju", "link": "https://n.example/3", "guid": "3"}
OTHER = {"title": "Council meets about the budget", "link": "https://n.example/4", "guid": "4"}
LABELLED = Path(__file__).parent / "data" / "curation" / "items.jsonl"
REEFS = '[topic]\npack = "coral-reefs"\n[stories]\nseed = ""\n'


class Killed(BaseException):
    """What ends a process in the middle of its work."""


class Frail(MemoryStore):
    """A store whose next transaction does not begin, if it is told so."""

    fault: BaseException | None = None

    @contextmanager
    def begin(self, *, alone: bool = True) -> Iterator[Any]:
        fault, self.fault = self.fault, None
        if fault:
            raise fault
        with super().begin(alone=alone) as work:
            yield work


class Two(World):
    """Two subjects over two sources: escapes and reefs."""

    def __init__(self, folder: Path, *names: str) -> None:
        super().__init__(folder, *(names or ("a", "b")), store=Frail())
        (folder / "reefs").mkdir()
        (folder / "reefs" / "config.toml").write_text(REEFS, encoding="utf-8")
        config = load(folder / "reefs" / "config.toml", {})
        reefs = application.load_subject(config)
        escapes = replace(self.app, store=Frail(), publisher=MemoryPublisher())
        self.escapes, self.reefs = Frail(), Frail()
        judge = replace(self.app.collector, judge=reefs.judge)
        parts = (
            replace(escapes, store=self.escapes),
            replace(escapes, store=self.reefs, collector=judge, rules=application.rules(config, reefs)),
        )
        shared = replace(self.app, rules=replace(self.app.rules, folds=False))
        self.app = shared.sharing(parts)

    def visit(self, *entries: dict[str, str], elsewhere: dict[str, str] | None = None) -> list[Any]:
        """What became of the visit to the first source, which has these entries."""
        self.put(rss(*entries))
        self.put(rss(*([elsewhere] if elsewhere else [])), "b")
        self.clock.advance(timedelta(hours=1))
        return [one for one in self.app.refresh(everything=True) if one.visit.source.name == "A"]


def judging(part: application.App) -> Callable[[Item], Verdict]:
    return lambda item: part.collector.judge.judge(item, "general")


def told(store: MemoryStore) -> dict[str, str]:
    return {one.id: one.members[0].item.title for one in store.stories()}


def test_each_subject_tells_what_belongs_to_it(tmp_path: Path) -> None:
    """The sources' store remembers every item and no story, and counts as kept what any subject keeps."""
    two = Two(tmp_path)
    settled = two.visit(ESCAPE, REEF, BOTH, OTHER)
    assert (settled[0].new, settled[0].kept, settled[0].told, settled[0].changed) == (4, 3, 4, True)
    assert set(told(two.escapes).values()) == {ESCAPE["title"], BOTH["title"]}
    assert set(told(two.reefs).values()) == {REEF["title"], BOTH["title"]}
    assert told(two.store) == {}  # type: ignore[arg-type]
    assert len(list(two.store.retained())) == 4


@pytest.mark.parametrize("ids", [("D151", "D153", "D156"), ("D219", "D220", "D221"), ("D238", "D239", "D243")])
def test_the_order_in_which_visits_end_decides_nothing_for_a_subject(tmp_path: Path, ids: tuple[str, ...]) -> None:
    """What one refresh brings is grouped alike; without that, one of these orders makes one story of two."""
    labelled = {one["id"]: one for one in map(json.loads, LABELLED.read_text(encoding="utf-8").splitlines())}
    told = []
    for names in ("abc", "bca", "cab"):  # the order in which sources are asked
        (folder := tmp_path / names).mkdir()
        two = Two(folder, *names)
        for hours, (name, id) in enumerate(zip("abc", ids, strict=True)):
            entry = {"guid": id, "title": labelled[id]["title"], "description": labelled[id]["summary"]}
            dated = format_datetime(NOW - timedelta(hours=hours + 1))
            two.put(rss({**entry, "link": f"https://{name}.example/{id}", "pubDate": dated}), name)
        assert sum(one.kept for one in two.app.refresh()) == len(ids)
        told.append({frozenset(member.item.id for member in story.members) for story in two.escapes.stories()})
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("place", ["escapes", "reefs", "store"])
def test_a_visit_cut_off_between_two_stores_is_made_again(tmp_path: Path, place: str) -> None:
    """What had been heard of it by then is known, and all stands in the end as if nothing had happened."""
    (tmp_path / "cut").mkdir()
    (tmp_path / "whole").mkdir()
    cut, whole = Two(tmp_path / "cut"), Two(tmp_path / "whole")
    getattr(cut, place).fault = Killed()
    with pytest.raises(Killed):
        cut.visit(ESCAPE, REEF, BOTH, OTHER)
    assert list(cut.store.retained()) == []
    cut.visit(ESCAPE, REEF, BOTH, OTHER)
    whole.visit(ESCAPE, REEF, BOTH, OTHER)
    for name in ("escapes", "reefs"):
        assert told(getattr(cut, name)) == told(getattr(whole, name))
    assert len(list(cut.store.retained())) == 4


def test_a_visit_that_one_subject_cannot_store_is_made_again(tmp_path: Path) -> None:
    """It counts as failed, in words, and the document is asked for anew."""
    two = Two(tmp_path)
    two.reefs.fault = StoreError("no room")
    settled = two.visit(ESCAPE, REEF)
    assert isinstance(settled[0].visit.outcome, Failed)
    assert "no room" in settled[0].visit.outcome.message
    two.visit(ESCAPE, REEF)
    assert set(told(two.reefs).values()) == {REEF["title"]}
    assert set(told(two.escapes).values()) == {ESCAPE["title"]}


def test_a_subject_that_begins_late_has_the_stories_of_one_that_was_there(tmp_path: Path) -> None:
    """With the same ids; a repeat is looked for as of the time when it was read, however long ago that is."""
    two = Two(tmp_path)
    two.visit(REEF, OTHER)
    two.clock.advance(DAY)
    two.visit(REEF, BOTH, elsewhere={**REEF, "guid": "9", "link": "https://b.example/9"})
    two.clock.advance(25 * DAY)
    two.visit(REEF, ESCAPE)
    late = MemoryStore()
    part = two.app.parts[1]
    follower = Follower(late, part.rules)
    assert catch_up(two.store, follower, judging(part), (), two.clock.now()) == 5
    assert told(late) == told(two.reefs)
    assert [len(one.members) for one in late.stories()] == [len(one.members) for one in two.reefs.stories()]
    assert {one.first_seen for one in late.retained()} == {one.first_seen for one in two.store.retained()}
    assert sorted(len(one.members) for one in late.stories()) == [1, 2]
    assert all(one.told == two.clock.now() for one in late.stories())
    assert catch_up(two.store, follower, judging(part), (), two.clock.now()) == 0


def test_what_a_subject_missed_is_caught_up_with_and_no_more(tmp_path: Path) -> None:
    """One that was away hears what came meanwhile, once."""
    two = Two(tmp_path)
    two.visit(REEF)
    apps = two.app
    two.app = two.app.sharing(two.app.parts[:1])
    two.visit(REEF, BOTH, OTHER)
    assert set(told(two.reefs).values()) == {REEF["title"]}
    part = apps.parts[1]
    assert catch_up(two.store, Follower(two.reefs, part.rules), judging(part), (), NOW + 2 * DAY) == 2
    assert set(told(two.reefs).values()) == {REEF["title"], BOTH["title"]}


def test_what_another_subject_withdrew_is_not_told_by_one_that_begins(tmp_path: Path) -> None:
    """It is never told, not even for a moment, nor are its repeats."""
    two = Two(tmp_path)
    two.visit(REEF, BOTH)
    late, part = MemoryStore(), two.app.parts[1]
    withdrawn = {(item.item.source, item.item.id) for item in two.store.retained() if item.item.title == REEF["title"]}
    catch_up(two.store, Follower(late, part.rules), judging(part), withdrawn, two.clock.now())
    assert set(told(late).values()) == {BOTH["title"]}
    assert late.gone() == ()
    assert len(late.withheld()) == 1
