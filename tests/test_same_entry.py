"""When an entry is one that its source has brought before, and when it is another: each law where it alone decides."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.identity import Shown, is_another
from aggregator.model import Item
from aggregator.words import sentence_hash, sentences
from tests.test_hostile import ENTRY, HEADLINES, OTHER, TITLE
from tests.world import NOW, World, rss

ITEMS = Path(__file__).parent / "data" / "curation" / "items.jsonl"
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
ARTICLE = "https://a.example/today/what-is-new"
SUMMARIES = (
    "Voters counted through the night. The winner came to the South in 2009.",
    "The boat was seen by a fisherman at dawn. Those on board asked for asylum.",
    "The film will be shown in twelve cities. Its director spoke of her mother.",
)


def told_at(link: str, *, dates: bool = False) -> list[dict[str, str]]:
    """Entries on other events, each with its own text, that have nothing but one link."""
    return [
        entry | {"description": text}
        for entry, text in zip(in_turn({"link": link}, dates=dates), SUMMARIES, strict=True)
    ]


ALONE |= {  # the document holds one entry, whose text is another from first to last
    "one article's link": told_at(ARTICLE),
    "one article's link and dates": told_at(ARTICLE, dates=True),
    "one article's link as the id": [one | {"guid": ARTICLE} for one in told_at(ARTICLE, dates=True)],
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


def page_of(link: str, entry: Mapping[str, str]) -> str:
    return rss(entry, {"title": OTHER, "link": "https://a.example/other"}).replace(
        "<channel>", f"<channel><link>{link}</link>"
    )


def test_the_page_of_a_source_tells_no_entries_apart(world: World) -> None:
    """An entry that links where the feed itself does is known by its title, as one that links to a front page."""
    entries = in_turn({"link": ARTICLE})
    world.see(*(page_of(ARTICLE, entry) for entry in entries))
    titles = {title for title, _ in tellings(world)}
    assert {entry["title"] for entry in entries} <= titles


FIRST = told_at(ARTICLE, dates=True)[0]
NEXT = told_at(ARTICLE, dates=True)[1]


@pytest.mark.parametrize(
    "again",
    [
        NEXT | {"title": f"{FIRST['title']}, owner says"},
        NEXT | {"description": f"Those on board asked for asylum. {SUMMARIES[0].partition('. ')[0]}."},
        NEXT | {"description": SUMMARIES[0].replace("Voters", "Ballots were").replace("2009", "2010")},
        NEXT | {"pubDate": FIRST["pubDate"]},
        {"title": NEXT["title"], "link": ARTICLE, "pubDate": NEXT["pubDate"]},
    ],
    ids=["title", "a sentence", "its wording", "its date", "without text"],
)
def test_an_edited_article_is_one(world: World, again: dict[str, str]) -> None:
    """Though it is alone in its document and has no id: by its title, its text or its date, any of which it kept."""
    world.see(rss(FIRST), rss(again))
    assert tellings(world) == [(again["title"], 1)]


def test_among_others_an_article_may_be_written_anew(world: World) -> None:
    """Where entries stand side by side, a link that is used again is one article's, whatever it says by now."""
    other = {"title": HEADLINES[2], "link": "https://a.example/other"}
    world.see(rss(FIRST, other), rss(NEXT, other))
    assert tellings(world) == sorted([(NEXT["title"], 1), (HEADLINES[2], 1)])


def test_an_entry_that_comes_again_in_another_s_place_is_the_one_it_was(world: World) -> None:
    """In turns, with its text mended: each is one, and keeps its own."""
    mended = NEXT | {"description": f"{NEXT['description']} They are well."}
    world.see(rss(FIRST), rss(NEXT), rss(FIRST), rss(mended), rss(FIRST | {"title": MENDED}))
    assert tellings(world) == sorted([(MENDED, 1), (NEXT["title"], 1)])


@cache
def labelled() -> Mapping[str, list[tuple[str, Item]]]:
    """Items that have a text of several sentences, with what they tell of, by language."""
    found = defaultdict(list)
    for line in ITEMS.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if len(sentences(one["summary"])) > 1:
            item = Item("a", ARTICLE, ARTICLE, one["title"], one["summary"])
            found[one["lang"]].append((one["event"] or one["id"], item))
    return {language: items for language, items in found.items() if len(items) > 1}


ONE_AT_A_TIME = Shown(alone=True)


def test_news_is_told_apart_by_title_and_text() -> None:
    """Labelled items on different events, as if each had taken the other's place: but for two that quote the same."""
    pairs = [pair for items in labelled().values() for pair in permutations(items, 2) if pair[0][0] != pair[1][0]]
    missed = [1 for (_, known), (_, item) in pairs if not is_another(known, item, ONE_AT_A_TIME)]
    assert len(pairs) > 1_500
    assert len(missed) <= 2


def test_what_a_source_puts_below_all_it_says_makes_no_entry_the_same() -> None:
    """A sentence that many of its items share is none of the article's."""
    known, item = (
        Item("a", ARTICLE, ARTICLE, one["title"], f"{one['description']} Write to us.") for one in (FIRST, NEXT)
    )
    assert not is_another(known, item, ONE_AT_A_TIME)
    assert is_another(known, replace(item, stock=(sentence_hash("Write to us."),)), ONE_AT_A_TIME)


@given(data=st.data())
def test_what_is_left_of_an_article_makes_it_the_same(data: st.DataObject) -> None:
    """Any sentence of its text, its title, or the time at which it was published; or that others stand beside it."""
    items = [item for _, item in data.draw(st.sampled_from(list(labelled().values())))]
    known, item = data.draw(st.permutations(items))[:2]
    told = list(sentences(item.summary))
    told.insert(data.draw(st.integers(0, len(told))), data.draw(st.sampled_from(sentences(known.summary))))
    moment = data.draw(st.datetimes(NOW.replace(tzinfo=None), timezones=st.just(UTC)))
    for edited in (
        replace(item, summary="\n".join(told)),
        replace(item, title=f"{known.title} (updated)"),
        replace(item, published=moment),
    ):
        assert not is_another(replace(known, published=moment), edited, ONE_AT_A_TIME)
    assert not is_another(known, item, Shown())
