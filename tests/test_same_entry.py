"""When an entry is one that its source has brought before, and when it is another: each law where it alone decides."""

from __future__ import annotations

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
