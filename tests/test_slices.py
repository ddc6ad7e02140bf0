"""Feeds of some of the stories: who stands in them, what they say, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import feedparser
import pytest
from lxml import etree, html

from aggregator.errors import ConfigError
from aggregator.memory import MemoryStore
from aggregator.model import Decision, Evidence, Item, Judged, Reason, Source, Verdict
from aggregator.ports import Store
from aggregator.press import Published, publish
from aggregator.publish import MemoryPublisher
from aggregator.slices import Cuts, Saved, Told, load_told, source_slice
from aggregator.store import SqlStore
from aggregator.topics import load_pack
from tests.telling import FRAME, HOUR, NOW, name

ALPHA = Source("https://alpha.example/feed", "Alpha", "en", priority=7)
BETA = Source("https://beta.example/feed", "베타", "ko")
CUTS = Cuts(
    (
        Told("place-china", "China", "place", ("china", "중국*"), (("ko", "중국"),)),
        Told("kind-return", "Sent back", "kind", ("북송*",)),
    ),
    (Saved("Border & sea", "border OR sea"), Saved("Beta", sources=frozenset({"베타"}))),
)


class Desk:
    """A store, what is published from it, and the frame."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.publisher = MemoryPublisher()
        self.frame = replace(FRAME, sources=(ALPHA, BETA))
        self.cuts = CUTS

    def put(self, number: int, title: str, source: Source = ALPHA, story: int = 0, now: datetime | None = None) -> int:
        """An item told as a story of its own, or in another one; its key."""
        told, id = now or NOW + number * HOUR, name(story or number)
        item = Item(source.url, str(number), f"https://x.example/{number}", title, "", language=source.language)
        with self.store.begin() as work:
            key = work.add(Judged(item, Verdict(Decision.KEPT, 0.9, (Reason("title", "x", "x", 1.0),), "r")), (), told)
            held = work.story(id)
            if held is None:
                work.found(id, told)
            work.assign(key, id, Evidence("founds", "", 1.0))
            work.tell(id, held.told if held else told, held.lead if held else key, told)
        return key

    def publish(self, max_entries: int = 10, *, everything: bool = False) -> Published:
        return publish(self.store, self.publisher, self.frame, max_entries, self.cuts, everything=everything)

    def slices(self) -> set[str]:
        found = {
            file.split("/")[1] for file in self.publisher.files if file.startswith("slice/") and file.count("/") > 1
        }
        for one in found:
            assert {f"slice/{one}/{document}" for document in ("rss.xml", "atom.xml", "feed.json")} <= set(
                self.publisher.files
            )
        return found

    def titles(self, slice: str) -> list[str]:
        feed = json.loads(self.publisher.files[f"slice/{slice}/feed.json"])
        return [item["title"] for item in feed["items"]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    store: Store
    match request.param:
        case "memory":
            store = MemoryStore()
        case "sqlite":
            store = SqlStore(f"sqlite:///{tmp_path}/store.db")
        case _:
            store = SqlStore(request.getfixturevalue("postgres_url"))
    store.enlist([ALPHA, BETA], [], NOW)
    yield Desk(store)
    store.close()


def test_there_is_a_slice_for_each_language_source_place_kind_and_saved_search(desk: Desk) -> None:
    """Each that has a story, in three formats; a page and an OPML list name them all, and every address is there."""
    desk.put(1, "Held at the border in China")
    desk.put(2, "탈북민 북송", BETA)
    desk.publish()
    alpha, beta = source_slice(ALPHA.url), source_slice(BETA.url)
    assert desk.slices() == {
        *("language-en", "language-ko", alpha, beta),
        *("place-china", "kind-return", "saved-border-sea", "saved-beta"),
    }
    assert desk.titles("language-ko") == desk.titles(beta) == desk.titles("kind-return") == ["탈북민 북송"]
    page = html.fromstring(desk.publisher.files["slice/index.html"])
    links = {f"slice/{href}" for href in page.xpath("//main//li//a/@href")}
    assert links == {file for file in desk.publisher.files if file.startswith("slice/") and file.count("/") > 1}
    opml = etree.fromstring(desk.publisher.files["slice/slices.opml"])
    listed = {str(one).removeprefix(FRAME.link) for one in opml.xpath("//outline/@xmlUrl")}
    assert listed == {file for file in links if file.endswith("atom.xml")}


def test_entries_of_slices_are_those_of_the_main_feed(desk: Desk) -> None:
    """Same ids, order and members; each document names its own address, and has an id of its own."""
    for number in (1, 2, 3):
        desk.put(number, f"Story {number}")
    desk.publish()
    main = json.loads(desk.publisher.files["feed.json"])
    part = json.loads(desk.publisher.files["slice/language-en/feed.json"])
    assert part["items"] == main["items"]
    assert part["feed_url"] == FRAME.link + "slice/language-en/feed.json"
    atom = feedparser.parse(desk.publisher.files["slice/language-en/atom.xml"])
    assert [one.id for one in atom.entries] == [item["id"] for item in main["items"]]
    assert atom.feed.id == FRAME.link + "slice/language-en/"
    assert atom.feed.title == "Test: English"


def test_a_slice_of_a_language_or_source_tells_in_its_own_words(desk: Desk) -> None:
    """A story told in two languages stands in both slices under one id, each time led by a telling of that slice."""
    desk.put(1, "Three arrive")
    desk.put(2, "세 명 도착", BETA, story=1)
    desk.publish()
    assert desk.titles("language-en") == ["Three arrive"]
    assert desk.titles("language-ko") == desk.titles(source_slice(BETA.url)) == ["세 명 도착"]
    korean = json.loads(desk.publisher.files["slice/language-ko/feed.json"])["items"][0]
    english = json.loads(desk.publisher.files["feed.json"])["items"][0]
    assert korean["id"] == english["id"]
    assert korean["language"] == "ko"
    told = [{one["url"]: one["title"] for one in item["_story"]["members"]} for item in (korean, english)]
    assert told[0] == told[1]


def test_only_the_slices_of_a_changed_story_are_written(desk: Desk) -> None:
    """Publishing costs what changed."""
    desk.put(1, "Held in China")
    desk.put(2, "탈북민", BETA)
    desk.publish()
    assert desk.publish().changed == ()
    desk.put(3, "다른 소식", BETA)
    touched = {file.split("/")[1] for file in desk.publish().changed if file.startswith("slice/")}
    assert touched == {"language-ko", source_slice(BETA.url), "saved-beta"}


def test_a_story_leaves_the_slices_that_it_stood_in(desk: Desk) -> None:
    """When it is edited, merged or withdrawn; a slice that is empty then is there no more."""
    one = desk.put(1, "Held in China")
    desk.put(2, "At sea")
    desk.publish()
    with desk.store.begin() as work:
        held = desk.store.item(one)
        assert held
        work.edit(one, Judged(replace(held.item, title="Held near the border"), held.verdict), ())
    desk.publish()
    assert "place-china" not in desk.slices()
    assert desk.titles("saved-border-sea") == ["At sea", "Held near the border"]
    with desk.store.begin() as work:
        work.merge(name(2), name(1), NOW + 9 * HOUR)
    desk.publish()
    assert len(desk.titles("language-en")) == 1
    with desk.store.begin() as work:
        work.tell(name(1), None, None, NOW + 9 * HOUR)
    desk.publish()
    assert desk.slices() == set()
    assert b"No stories yet" in desk.publisher.files["slice/index.html"]


class DiesOnceFiled:
    """A store whose process is killed as soon as stories are filed, before anything else is noted or written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def file(self, *given: Any) -> None:
        self._store.file(*given)
        raise KeyboardInterrupt


def test_a_slice_that_a_story_left_is_written_whoever_was_killed_meanwhile(desk: Desk) -> None:
    """Which slices a filing touched is known as soon as it has happened, in every folder that is published."""
    one = desk.put(1, "Held in China")
    desk.put(2, "Held in China, too")
    desk.publish()
    elsewhere = MemoryPublisher()
    publish(desk.store, elsewhere, desk.frame, 10, desk.cuts)
    with desk.store.begin() as work:
        held = desk.store.item(one)
        assert held
        work.edit(one, Judged(replace(held.item, title="Held elsewhere"), held.verdict), ())
    dying = cast(Store, DiesOnceFiled(desk.store))
    with pytest.raises(KeyboardInterrupt):
        publish(dying, desk.publisher, desk.frame, 10, desk.cuts)
    assert desk.titles("place-china") == ["Held in China, too", "Held in China"]
    desk.publish()
    assert desk.titles("place-china") == ["Held in China, too"]
    publish(desk.store, elsewhere, desk.frame, 10, desk.cuts)
    assert elsewhere.files == desk.publisher.files


def test_the_index_speaks_the_language_of_the_feed(desk: Desk) -> None:
    """What the slices of a group have in common is its heading."""
    desk.frame = replace(desk.frame, language="ko")
    desk.put(1, "Held in China", BETA)
    desk.publish()
    index = html.fromstring(desk.publisher.files["slice/index.html"])
    assert [heading.text for heading in index.iter("h2")] == ["언어별", "매체별", "장소별", "편집자가 고른 것"]
    titles = [(one.get("lang"), one.text) for one in index.xpath("//ul/li/bdi")]
    assert titles == [("ko", "한국어"), (None, "베타"), ("ko", "중국"), (None, "Beta")]
    desk.frame = replace(desk.frame, language="de")
    desk.publish()
    assert ("en", "China") in [
        (one.get("lang"), one.text)
        for one in html.fromstring(desk.publisher.files["slice/index.html"]).xpath("//ul/li/bdi")
    ]


def test_slices_follow_the_configuration(desk: Desk) -> None:
    """New ones hold what was told before, and those that are asked for no more are removed; also beyond the archive."""
    for number in range(1, 31):
        desk.put(number, f"Story {number} at sea")
    desk.publish()
    assert len(desk.titles("saved-border-sea")) == 30
    desk.cuts = Cuts((), (Saved("Seven", '"story 7"'),))
    desk.publish()
    assert desk.titles("saved-seven") == ["Story 7 at sea"]
    assert "saved-border-sea" not in desk.slices()
    desk.frame = replace(desk.frame, sources=(BETA,))
    desk.publish()
    assert source_slice(ALPHA.url) not in desk.slices()
    desk.frame = replace(desk.frame, sources=(replace(ALPHA, name="Omega"), BETA))
    desk.publish()
    feed = json.loads(desk.publisher.files[f"slice/{source_slice(ALPHA.url)}/feed.json"])
    assert feed["title"] == "Test: Omega"


def test_the_slices_that_ship_can_be_read() -> None:
    """Every concept and word that they name is there, and has terms."""
    pack = load_pack("north-korean-defectors", Path())
    told = load_told("north-korean-defectors", Path(), pack.concepts)
    assert {one.kind for one in told} == {"place", "kind"}
    assert all(one.terms for one in told)
    assert {tuple(language for language, _ in one.titles) for one in told} == {
        ("ko", "ja", "zh", "zh-hant", "es", "fr", "de", "ru")
    }
    assert load_told("coral-reefs", Path(), {}) == ()


def test_a_mistake_in_a_file_of_slices_is_told_in_words(tmp_path: Path) -> None:
    """All of them at once, with the file and the table."""
    (tmp_path / "birds.toml").touch()
    (tmp_path / "birds.slices.toml").write_text(
        '[Nest]\n[song]\ntitle = "Song"\nkind = "sort"\nconcepts = ["trill"]\ntitles = ["ko"]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_told("birds.toml", tmp_path, {})
    assert len(caught.value.problems) == 4
    assert all("birds.slices.toml" in problem for problem in caught.value.problems)
