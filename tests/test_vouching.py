"""A story vouches for what the rules leave undecided: it joins who tells the same, and never begins a story."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from aggregator import app as application
from aggregator import curator
from aggregator.config import load
from aggregator.model import Decision, StoredItem
from aggregator.pipeline import receive
from aggregator.reconsider import Expected, Rejudged, reconsider
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


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "pack.toml").write_text(PACK, encoding="utf-8")
    return World(tmp_path, "a", "b", "c", settings=SETTINGS)


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


def reconsidered(world: World, pack: str) -> Rejudged:
    """What a change to this pack does, and the world with it."""
    folder = world.app.config.path.parent
    (folder / "pack.toml").write_text(pack, encoding="utf-8")
    subject = application.load_subject(load(folder / "config.toml"))
    world.app = replace(world.app, collector=replace(world.app.collector, judge=subject.judge))
    done = reconsider(world.store, world.rules, subject.judge, Expected({}, {}), world.clock.now())
    world.app.publish()
    return done
