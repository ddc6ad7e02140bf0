"""A story vouches for what the rules leave undecided: it joins who tells the same, and never begins a story."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from aggregator import app as application
from aggregator import curator, report
from aggregator.config import load
from aggregator.evaluate import turned
from aggregator.memory import MemoryStore
from aggregator.model import Decision, StoredItem
from aggregator.pipeline import Refresh, receive
from aggregator.reconsider import Expected, Rejudged, reconsider
from aggregator.store import SqlStore
from aggregator.topics import as_score
from tests.world import DAY, HOUR, World, rss

PACK = """\
title = "Escapes"
band = 1.3
[concepts.escapee]
en = "defector*; escapee*"
[concepts.north]
en = "north korean*"
[[rules]]
name = "escapee"
all = ["escapee"]
weight = 4.0
[[rules]]
name = "north"
all = ["north"]
weight = 2.0
"""
SETTINGS = """\
[feed]
publish_seed = false
max_entries = 0
[topic]
pack = "pack.toml"
[stories]
seed = ""
"""
DATE = "Mon, 15 Jun 2026 12:00:00 GMT"


def entry(number: int, title: str) -> dict[str, str]:
    return {"title": title, "link": f"https://n.example/{number}", "guid": str(number), "pubDate": DATE}


PLAIN = entry(1, "Defector: North Korean soldier swims to Gyodong island, asks for asylum")
VAGUE = entry(2, "North Korean soldier who swam to Gyodong island asks for asylum")
VAGUER = entry(3, "A North Korean soldier has swum to Gyodong island, and asks for asylum")
OTHER = entry(4, "North Korean cheese imports fall by a fifth")
NEWS = entry(5, "Escapee elected to the council of Busan")


@pytest.fixture(params=["memory", "sqlite"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    (tmp_path / "pack.toml").write_text(PACK, encoding="utf-8")
    store = MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path / 'a.db'}")
    yield World(tmp_path, "a", "b", "c", store=store, settings=SETTINGS)
    assert not store.check()
    store.close()


def bring(world: World, *brought: Mapping[str, str] | None) -> None:
    """Have the sources bring an item each, or nothing, in one refresh."""
    for name, one in zip("abc", [*brought, None, None, None], strict=False):
        world.put(rss(*([one] if one else [])), name)
    world.go()


def item(world: World, one: Mapping[str, str]) -> StoredItem:
    return curator.find_item(world.store, one["link"])


def members(world: World) -> list[set[str]]:
    """Links of each published story's members."""
    return [{member["url"] for member in story["_story"]["members"]} for story in world.stories()]


def links(*entries: Mapping[str, str]) -> set[str]:
    return {one["link"] for one in entries}


def test_an_undecided_item_joins_the_story_that_it_tells(world: World) -> None:
    """And says why; what it says adds up to its score."""
    bring(world, PLAIN, VAGUE, OTHER)
    assert members(world) == [links(PLAIN, VAGUE)]
    verdict = item(world, VAGUE).verdict
    assert (verdict.decision, verdict.reasons[0].field) == (Decision.KEPT, "story")
    assert verdict.reasons[0].text == PLAIN["title"]
    assert verdict.score == as_score(sum(reason.weight for reason in verdict.reasons))
    assert item(world, OTHER).verdict.decision is Decision.UNDECIDED


def test_by_itself_it_stays_undecided(world: World) -> None:
    """Nor do two that tell the same speak for each other."""
    bring(world, VAGUE, VAGUER)
    assert members(world) == []
    assert {one.item.title for one in world.store.undecided(9)} == {VAGUE["title"], VAGUER["title"]}


@pytest.mark.parametrize("order", list(permutations([PLAIN, VAGUE, VAGUER])))
def test_the_order_decides_nothing(world: World, order: tuple[Mapping[str, str], ...]) -> None:
    """In one refresh, or one after the other: whoever comes first waits for the story that vouches for it."""
    bring(world, *order)
    assert members(world) == [links(PLAIN, VAGUE, VAGUER)]


@pytest.mark.parametrize("order", list(permutations([PLAIN, VAGUE, VAGUER])))
def test_it_waits_for_the_story(world: World, order: tuple[Mapping[str, str], ...]) -> None:
    """In refreshes one after the other as well."""
    for one in order:
        bring(world, one)
    assert members(world) == [links(PLAIN, VAGUE, VAGUER)]


def test_it_does_not_wait_for_ever(world: World) -> None:
    """What came in a week before the story is left to the curator."""
    bring(world, VAGUE)
    world.clock.advance(7 * DAY)
    bring(world, PLAIN)
    assert members(world) == [links(PLAIN)]


def test_what_a_hub_delivers_is_looked_at_again(world: World) -> None:
    """At once, though no refresh is under way."""
    bring(world, PLAIN)
    (task,) = (one for one in world.store.claim(world.clock.now(), HOUR, everything=True) if "b." in one.source.url)
    visit = receive(world.app.collector, task, rss(VAGUE).encode(), None)
    assert visit is not None
    world.app.settle(visit, task.rhythm)
    assert item(world, VAGUE).story == item(world, PLAIN).story


def test_the_curators_word_stands(world: World) -> None:
    """What was dropped stays out whatever tells the same; what only a dropped item vouches for is not vouched for."""
    bring(world, VAGUE)
    curator.drop(world.store, world.rules, VAGUE["link"], world.clock.now())
    bring(world, PLAIN)
    assert members(world) == [links(PLAIN)]
    curator.drop(world.store, world.rules, PLAIN["link"], world.clock.now())
    bring(world, VAGUER)
    assert item(world, VAGUER).story is None


def test_what_the_curator_took_out_stays_out(world: World) -> None:
    bring(world, PLAIN, VAGUE)
    curator.split(world.store, world.rules, VAGUE["link"], world.clock.now())
    bring(world, None, VAGUE | {"description": "It was night."})
    assert item(world, VAGUE).story != item(world, PLAIN).story


def test_a_new_text_is_looked_at_anew(world: World) -> None:
    """A mended one stays in the story; one that tells something else leaves it."""
    bring(world, PLAIN, VAGUE)
    bring(world, None, VAGUE | {"title": VAGUE["title"] + ", officials say"})
    assert members(world) == [links(PLAIN, VAGUE)]
    bring(world, None, VAGUE | {"title": OTHER["title"]})
    assert members(world) == [links(PLAIN)]


def test_rules_that_change_nothing_move_nothing(world: World) -> None:
    bring(world, PLAIN, VAGUE, OTHER)
    before = world.store.items(VAGUE["link"])
    assert reconsidered(world, PACK) == Rejudged(0, 0)
    assert world.store.items(VAGUE["link"]) == before


@pytest.mark.parametrize("order", list(permutations([PLAIN, VAGUE, NEWS])))
def test_it_goes_with_the_story_that_vouched_for_it(world: World, order: tuple[Mapping[str, str], ...]) -> None:
    """Under rules that leave the other undecided, too; and comes back with it, however late."""
    bring(world, *order)
    strict = PACK.replace('"defector*; escapee*"', '"escapee*"')
    assert reconsidered(world, strict) == Rejudged(0, 2)
    assert members(world) == [links(NEWS)]
    world.clock.advance(60 * DAY)
    assert reconsidered(world, PACK) == Rejudged(2, 0)
    assert item(world, VAGUE).story == item(world, PLAIN).story is not None


def test_what_new_rules_leave_undecided_is_vouched_for(world: World) -> None:
    """It stays in its story, for the story's sake."""
    clear = VAGUE | {"title": "Fugitive North Korean soldier who swam to Gyodong island asks for asylum"}
    wide = PACK.replace('"defector*; escapee*"', '"defector*; escapee*; fugitive*"')
    reconsidered(world, wide)
    bring(world, PLAIN, clear)
    assert reconsidered(world, PACK) == Rejudged(0, 0)
    assert members(world) == [links(PLAIN, clear)]


def test_it_goes_when_who_vouched_for_it_is_dropped(world: World) -> None:
    """It is undecided again, by its own score; and comes back once another tells the same."""
    bring(world, VAGUE)
    before = item(world, VAGUE).verdict
    bring(world, PLAIN)
    curator.drop(world.store, world.rules, PLAIN["link"], world.clock.now())
    world.app.publish()
    assert (members(world), item(world, VAGUE).verdict, item(world, VAGUE).story) == ([], before, None)
    curator.take_back(world.store, world.rules, PLAIN["link"], world.clock.now())
    world.app.publish()
    assert members(world) == [links(PLAIN, VAGUE)]


def test_it_goes_when_who_vouched_for_it_tells_something_else(world: World) -> None:
    """The story of the other stays, under its id."""
    bring(world, PLAIN, VAGUE)
    (before,) = world.told()
    bring(world, PLAIN | {"title": "Defector opens a noodle shop in Berlin, and a second in Paris"})
    assert members(world) == [links(PLAIN)]
    assert list(world.told()) == [before]
    assert item(world, VAGUE).verdict.decision is Decision.UNDECIDED


def test_it_goes_when_who_vouched_for_it_is_split_off(world: World) -> None:
    """Nor does it follow: the curator said that they are two stories."""
    bring(world, PLAIN, VAGUE)
    curator.split(world.store, world.rules, PLAIN["link"], world.clock.now())
    bring(world, None, VAGUE | {"description": "It was night."})
    assert members(world) == [links(PLAIN)]
    assert item(world, VAGUE).decision is Decision.UNDECIDED


def test_one_that_is_split_off_is_kept_by_the_curators_word(world: World) -> None:
    """As a story of its own, with no word of the other; changed rules and later refreshes leave it there."""
    bring(world, PLAIN, VAGUE)
    curator.split(world.store, world.rules, VAGUE["link"], world.clock.now())
    bring(world, VAGUER)
    stored = item(world, VAGUE)
    assert (stored.ruling, stored.verdict.decision) == ("keep", Decision.UNDECIDED)
    assert links(PLAIN) in members(world) or links(PLAIN, VAGUER) in members(world)
    assert item(world, VAGUE).story != item(world, PLAIN).story
    reconsidered(world, PACK + "# a word\n")
    assert item(world, VAGUE).story not in (None, item(world, PLAIN).story)
    curator.take_back(world.store, world.rules, VAGUE["link"], world.clock.now())
    assert item(world, VAGUE).story != item(world, PLAIN).story


def test_kept_by_the_curator_it_needs_nobody(world: World) -> None:
    """It stays when the other is dropped; and goes when the word is taken back, for it begins no story."""
    bring(world, PLAIN, VAGUE)
    curator.keep(world.store, world.rules, VAGUE["link"], world.clock.now())
    curator.drop(world.store, world.rules, PLAIN["link"], world.clock.now())
    world.app.publish()
    assert members(world) == [links(VAGUE)]
    curator.take_back(world.store, world.rules, VAGUE["link"], world.clock.now())
    world.app.publish()
    assert members(world) == []
    assert item(world, VAGUE).decision is Decision.UNDECIDED


def test_a_word_taken_back_begins_no_story(world: World) -> None:
    """What was dropped after it was vouched for, and nobody vouches for any more, is undecided."""
    bring(world, PLAIN, VAGUE)
    for one in (VAGUE, PLAIN):
        curator.drop(world.store, world.rules, one["link"], world.clock.now())
    curator.take_back(world.store, world.rules, VAGUE["link"], world.clock.now())
    world.app.publish()
    assert members(world) == []
    curator.take_back(world.store, world.rules, PLAIN["link"], world.clock.now())
    world.app.publish()
    assert members(world) == [links(PLAIN, VAGUE)]


def test_what_the_curator_keeps_vouches_at_once(world: World) -> None:
    """For what came in before, without a refresh."""
    bring(world, VAGUE, VAGUER)
    curator.keep(world.store, world.rules, VAGUE["link"], world.clock.now())
    world.app.publish()
    assert members(world) == [links(VAGUE, VAGUER)]


def test_what_the_curator_merged_stays_merged(world: World) -> None:
    """The hand that put them together vouches for it, as long as anything else is left in the story."""
    bring(world, PLAIN, VAGUE, NEWS)
    curator.merge(world.store, world.rules, NEWS["link"], VAGUE["link"], world.clock.now())
    curator.drop(world.store, world.rules, PLAIN["link"], world.clock.now())
    world.app.publish()
    assert members(world) == [links(NEWS, VAGUE)]
    curator.drop(world.store, world.rules, NEWS["link"], world.clock.now())
    world.app.publish()
    assert members(world) == []


def test_a_new_text_moves_it_to_the_story_that_it_tells_now(world: World) -> None:
    bring(world, PLAIN, VAGUE, NEWS)
    bring(world, None, VAGUE | {"title": "North Korean elected to the council of Busan"})
    assert sorted(members(world), key=len) == [links(PLAIN), links(NEWS, VAGUE)]
    assert item(world, VAGUE).verdict.reasons[0].text == NEWS["title"]


def test_what_speaks_for_itself_under_new_rules_keeps_the_story(world: World) -> None:
    """Its id stays, though the one that had vouched for it leaves."""
    fugitive = VAGUE | {"title": "Fugitive North Korean soldier who swam to Gyodong island asks for asylum"}
    bring(world, PLAIN, fugitive)
    (before,) = world.told()
    assert item(world, fugitive).verdict.reasons[0].field == "story"
    other = PACK.replace('"defector*; escapee*"', '"fugitive*; escapee*"\n[concepts.against]\nen = "defector*"')
    other += '[[rules]]\nname = "against"\nall = ["against"]\nweight = -4.0\n'
    assert reconsidered(world, other) == Rejudged(0, 1)
    assert members(world) == [links(fugitive)]
    assert list(world.told()) == [before]


def test_a_process_that_dies_before_it_looks_again_leaves_it_to_the_next(tmp_path: Path) -> None:
    """Which looks once, though nothing new comes."""
    (tmp_path / "pack.toml").write_text(PACK, encoding="utf-8")
    address = f"sqlite:///{tmp_path / 'a.db'}"
    if (child := os.fork()) == 0:
        world = World(tmp_path, "a", "b", "c", store=SqlStore(address), settings=SETTINGS)
        for name, one in zip("abc", (PLAIN, VAGUE, OTHER), strict=True):
            world.put(rss(one), name)
        for count, _ in enumerate(world.app.refresh(everything=True), 1):
            if count == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    world = World(tmp_path, "a", "b", "c", store=SqlStore(address), settings=SETTINGS)
    assert item(world, VAGUE).story is None
    refresh = Refresh(world.app.refresh())
    assert list(refresh) == []
    world.app.publish()
    assert (refresh.vouched, members(world)) == (1, [links(PLAIN, VAGUE)])
    assert not world.store.has_unlooked()
    world.store.close()


def test_however_many_are_undecided_each_is_looked_at(world: World) -> None:
    """On a first load, and when the story comes later."""
    many = [entry(100 + n, f"North Korean cheese number {n} falls by {n} cents") for n in range(250)]
    world.put(rss(VAGUE, *many), "a")
    world.put(rss(VAGUER, *(one | {"guid": f"b{one['guid']}", "link": f"{one['link']}b"} for one in many)), "b")
    world.put(rss(), "c")
    world.go()
    bring(world, None, None, PLAIN)
    assert members(world) == [links(PLAIN, VAGUE, VAGUER)]


def test_a_refresh_counts_what_stories_vouch_for(world: World) -> None:
    """By itself: those are undecided, whenever they came."""
    for name, one in zip("abc", (PLAIN, VAGUE, None), strict=True):
        world.put(rss(*([one] if one else [])), name)
    refresh = Refresh(world.app.refresh(everything=True))
    outcomes = [report.result(settled) for settled in refresh]
    said = report.summary(outcomes, refresh.vouched)
    assert said.endswith("2 new items, 1 kept, 1 undecided one vouched for by a story, 1 new story")


def test_what_a_hub_delivers_changes_what_is_published(world: World) -> None:
    """It counts as changed, so that it is published at once, and its line says why."""
    bring(world, PLAIN)
    (task,) = (one for one in world.store.claim(world.clock.now(), HOUR, everything=True) if "b." in one.source.url)
    visit = receive(world.app.collector, task, rss(VAGUE).encode(), None)
    assert visit is not None
    settled = world.app.settle(visit, task.rhythm)
    assert settled.changed
    assert report.said(settled) == "1 new item, 1 undecided one vouched for by a story"


def test_what_would_change_side_goes_by_who_vouches(world: World, tmp_path: Path) -> None:
    """Nothing by the same rules; with rules that leave the other undecided, both."""
    bring(world, PLAIN, VAGUE, OTHER)
    export = tmp_path / "items.jsonl"
    export.write_text("".join(f"{report.as_json_line(one)}\n" for one in world.store.retained()), encoding="utf-8")
    assert turned(export, world.app.collector.judge, {}) == (3, ())
    reconsidered(world, PACK.replace('"defector*; escapee*"', '"escapee*"'))
    _, changed = turned(export, world.app.collector.judge, {})
    assert {one.title for one in changed} == {PLAIN["title"], VAGUE["title"]}
    assert not any(one.kept for one in changed)


def reconsidered(world: World, pack: str) -> Rejudged:
    """What a change to this pack does, and the world with it."""
    folder = world.app.config.path.parent
    (folder / "pack.toml").write_text(pack, encoding="utf-8")
    subject = application.load_subject(load(folder / "config.toml"))
    world.app = replace(world.app, collector=replace(world.app.collector, judge=subject.judge))
    done = reconsider(world.store, world.rules, subject.judge, Expected({}, {}), world.clock.now())
    world.app.publish()
    return done
