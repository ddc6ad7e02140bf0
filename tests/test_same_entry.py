"""When an entry is one that its source has brought before, and when it is another: each law where it alone decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.test_hostile import ENTRY, HEADLINES, OTHER, TITLE
from tests.world import World, rss

LATER = "Mon, 15 Jun 2026 13:00:00 GMT"
FRONT = "https://a.example/"
BARE = {"title": TITLE, "link": FRONT, "guid": "g1"}  # nothing of it tells it apart but its id and its title


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def tellings(world: World) -> list[tuple[str, int]]:
    """Titles of what is published, each with how many told it."""
    return sorted((story["title"], len(story["_story"]["members"])) for story in world.stories())


MENDED = f"{TITLE}, final count says"


@pytest.mark.parametrize(
    "again",
    [
        ENTRY | {"title": MENDED, "link": "https://a.example/n/final-count"},
        ENTRY | {"title": MENDED, "pubDate": LATER},
        ENTRY | {"link": "https://a.example/n/final-count", "pubDate": LATER},
        {"guid": "g1", "title": MENDED, "link": "https://a.example/n/final-count"},
    ],
    ids=["title and link", "title and date", "link and date", "title and link, undated"],
)
def test_under_its_id_an_entry_may_change(world: World, again: dict[str, str]) -> None:
    """All but one of title, link and date, or all that it has: it is an edit, told by one as before."""
    world.see(rss(ENTRY), rss(again))
    assert tellings(world) == [(again["title"], 1)]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (BARE, BARE | {"guid": "g2"}),
        (ENTRY, ENTRY | {"guid": "g2", "pubDate": LATER, "link": "https://www.new.example/n/1"}),
        (ENTRY, ENTRY | {"guid": "g2", "link": "https://new.example/2026/elected"}),
        (ENTRY, ENTRY | {"guid": "g2", "title": MENDED}),
        (
            BARE | {"description": "Counted at night.", "link": "https://a.example/1"},
            BARE | {"description": "Counted at night.", "link": "https://a.example/2", "guid": "g2"},
        ),
    ],
    ids=["link and title", "title and place on another host", "title and time", "link and time", "title and summary"],
)
def test_an_entry_under_another_id_is_known(world: World, first: dict[str, str], again: dict[str, str]) -> None:
    """By two of the things that it keeps."""
    world.see(rss(first), rss(again))
    assert tellings(world) == [(again["title"], 1)]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (BARE | {"link": f"{FRONT}1"}, BARE | {"guid": "g2", "link": f"{FRONT}2"}),
        (ENTRY, ENTRY | {"guid": "g2", "link": "https://a.example/n/2", "pubDate": LATER}),
    ],
    ids=["undated, without a summary", "another place and time"],
)
def test_a_title_alone_makes_no_entry_known(world: World, first: dict[str, str], again: dict[str, str]) -> None:
    """It is another telling, of the same story."""
    world.see(rss(first), rss(again))
    assert tellings(world) == [(TITLE, 2)]


def test_two_entries_of_one_document_are_two(world: World) -> None:
    """Though they share title and time, and are given new ids."""
    one, two = ENTRY, ENTRY | {"guid": "g2", "link": "https://a.example/n/2"}
    world.see(rss(one, two))
    assert tellings(world) == [(TITLE, 2)]


def test_an_entry_among_several_of_one_link_and_time_is_none_of_them(world: World) -> None:
    """A page of news in short has one link and one date for all; a new title on it is news."""
    shared = {"link": "https://a.example/in-short", "pubDate": ENTRY["pubDate"]}
    titles = (TITLE, OTHER, HEADLINES[2])
    entries = [shared | {"title": title, "guid": f"g{n}"} for n, title in enumerate(titles)]
    world.see(rss(*entries[:2]), rss(entries[2]))
    assert tellings(world) == sorted((title, 1) for title in titles)


IN_SHORT = "https://a.example/in-short"
ALIKE_IN_NOTHING = HEADLINES[:3]


def in_turn(shared: Mapping[str, str], *, ids: bool = False, dates: bool = False) -> list[dict[str, str]]:
    """Entries on other events that share all but their titles, and ids or dates where these are told."""
    return [
        {"title": title, **shared}
        | ({"guid": f"g{n}"} if ids else {})
        | ({"pubDate": f"Mon, 15 Jun 2026 {n + 8:02}:00:00 GMT"} if dates else {})
        for n, title in enumerate(ALIKE_IN_NOTHING)
    ]


DATE = {"pubDate": ENTRY["pubDate"]}
ALONE = {  # what still tells entries apart that come one at a time, each in the other's place
    "ids, one link": in_turn({"link": IN_SHORT}, ids=True, dates=True),
    "ids, one link and date": in_turn({"link": IN_SHORT} | DATE, ids=True),
    "ids, the front page and one date": in_turn({"link": FRONT} | DATE, ids=True),
    "the front page alone": in_turn({"link": FRONT}),
    "the front page and dates": in_turn({"link": FRONT}, dates=True),
    "one id, the front page and dates": in_turn({"link": FRONT, "guid": "all"}, dates=True),
}
TOGETHER = {  # and entries of one document, in which no two are one in two versions
    "one link": in_turn({"link": IN_SHORT}),
    "one id and link": in_turn({"link": IN_SHORT, "guid": "all"}),
    "one id": in_turn({"guid": "all"}),
}


@pytest.mark.parametrize("entries", ALONE.values(), ids=list(ALONE))
def test_what_shares_a_link_with_news_does_not_take_its_place(world: World, entries: list[dict[str, str]]) -> None:
    """A live page, news in short, a source that links to its front page: one entry goes, and the next one comes."""
    world.see(*(rss(entry) for entry in entries))
    assert tellings(world) == sorted((title, 1) for title in ALIKE_IN_NOTHING)


@pytest.mark.parametrize("entries", [*TOGETHER.values(), *ALONE.values()], ids=[*TOGETHER, *ALONE])
def test_what_shares_link_and_id_in_one_document_is_all_told(world: World, entries: list[dict[str, str]]) -> None:
    """All at once, as the document grows, and as it drops what it began with; and again without a trace."""
    world.see(rss(entries[0]), rss(*entries[:2][::-1]), rss(*entries[::-1]), rss(*entries[1:]), rss(*entries))
    assert tellings(world) == sorted((title, 1) for title in ALIKE_IN_NOTHING)
