"""What is published from a store: the newest stories, and an archive whose pages stand once they are closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree, html

from aggregator.memory import MemoryStore
from aggregator.model import Evidence
from aggregator.ports import Publisher, Store
from aggregator.press import PAGE, is_behind, publish
from aggregator.publish import FolderPublisher, MemoryPublisher
from aggregator.store import SqlStore
from tests.telling import FRAME, HOUR, NOW, judged, name, tell

LINK = FRAME.link
ATOM = "{http://www.w3.org/2005/Atom}"
ARCHIVE = "{http://purl.org/syndication/history/1.0}archive"
DELETED = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
FEEDS = {"rss.xml": "channel/item/guid", "atom.xml": f"{ATOM}entry/{ATOM}id"}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


@pytest.fixture
def public() -> MemoryPublisher:
    return MemoryPublisher()


def page(number: int) -> str:
    return f"story/{name(number).removeprefix('urn:uuid:')}.html"


def listed(public: MemoryPublisher, month: str) -> list[tuple[int, str]]:
    """The stories on a month's page: number and title."""
    links = html.fromstring(public.files[f"month/{month}.html"]).xpath("//ul/li/a")
    return [(int(link.get("href")[-17:-5]), link.text_content()) for link in links]


def told(files: dict[str, bytes], document: str) -> list[int]:
    """The numbers of the stories in a document, in its order."""
    if document.endswith(".json"):
        ids = [item["id"] for item in json.loads(files[document])["items"]]
    else:
        root = etree.fromstring(files[document])
        ids = [found.text for found in root.iterfind(FEEDS["rss.xml" if root.tag == "rss" else "atom.xml"])]
    return [int(id[-12:]) for id in ids]


def links(data: bytes) -> dict[str, str]:
    """The links of the feed itself: relation → address."""
    root = etree.fromstring(data)
    head = root.find("channel") if root.tag == "rss" else root
    return {link.get("rel"): link.get("href") for link in head.iterfind(f"{ATOM}link")}


def walk(files: dict[str, bytes], document: str) -> list[int]:
    """The stories of a whole feed, as a reader puts it together from its documents, newest first."""
    found: dict[int, None] = {}
    while document:
        found |= dict.fromkeys(told(files, document))
        if document.endswith(".json"):
            older = json.loads(files[document]).get("next_url", "")
        else:
            head = etree.fromstring(files[document])
            older = next(
                (link.get("href") for link in head.iter(f"{ATOM}link") if link.get("rel") == "prev-archive"), ""
            )
        document = older.removeprefix(LINK)
    return list(found)


@pytest.mark.parametrize("max_entries", [1, 2, 4, 7, 100, 0])
@pytest.mark.parametrize("document", ["rss.xml", "atom.xml", "feed.json"])
def test_a_reader_finds_every_story(store: Store, public: Publisher, document: str, max_entries: int) -> None:
    """Each story is in the document that is subscribed to, or in the archive that it leads to, in one order."""
    files = {}
    for number in range(1, 12):
        tell(store, number)
        publish(store, public, FRAME, max_entries)
        files = public.files  # type: ignore[attr-defined]
        assert walk(files, document) == list(range(number, 0, -1))
        assert len(told(files, document)) == min(number, max_entries or number)
    before = dict(files)
    assert publish(store, public, FRAME, max_entries).changed == ()
    assert files == before


def test_stories_of_one_visit_are_archived_at_once(store: Store, public: MemoryPublisher) -> None:
    """A first visit that tells more than the document holds leaves none of them out."""
    tell(store, *range(1, 31), now=NOW)
    publish(store, public, FRAME, 10)
    assert sorted(walk(public.files, "atom.xml")) == list(range(1, 31))
    assert len(told(public.files, "atom.xml")) == 10


def test_a_closed_page_stands(store: Store, public: MemoryPublisher) -> None:
    """Neither further stories nor an edited one, nor a repeat, change a byte of an archived document."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 4)
    closed = {name: data for name, data in public.files.items() if name.startswith("archive/")}
    assert closed
    tell(store, *range(8, 12))
    with store.begin() as work:
        work.edit(1, judged(1, "Another title"), ())
        work.assign(work.add(judged(99), (), NOW), name(2), Evidence("same events", "Story 2", 0.9))
    publish(store, public, FRAME, 4)
    assert {name: public.files[name] for name in closed} == closed


def test_an_archived_document_says_what_it_is(store: Store, public: MemoryPublisher) -> None:
    """RFC 5005, section 4: it is marked as one, and leads to the one before and to the current document.

    It names no successor, but for the first: the newest has none yet, and may not change when it gets one.
    """
    tell(store, *range(1, 12))
    publish(store, public, FRAME, 4)
    for kind in ("rss", "atom"):
        second = public.files[f"archive/{kind}-2.xml"]
        assert etree.fromstring(second).find(f".//{ARCHIVE}") is not None
        found = links(second)
        assert found["self"] == f"{LINK}archive/{kind}-2.xml"
        assert found["prev-archive"] == f"{LINK}archive/{kind}-1.xml"
        assert "next-archive" not in found
        assert found["current"] == f"{LINK}{kind}.xml"
        first = links(public.files[f"archive/{kind}-1.xml"])
        assert "prev-archive" not in first
        assert first["next-archive"] == f"{LINK}archive/{kind}-2.xml"
        current = public.files[f"{kind}.xml"]
        assert etree.fromstring(current).find(f".//{ARCHIVE}") is None
        assert not {"next-archive", "current"} & links(current).keys()
    feed = json.loads(public.files["archive/feed-1.json"])
    assert feed["feed_url"] == f"{LINK}archive/feed-1.json"
    assert "next_url" not in feed


def test_all_documents_of_a_feed_share_its_id(store: Store, public: MemoryPublisher) -> None:
    """An archived Atom document is a part of the feed, not a feed of its own."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 2)
    documents = [data for name, data in public.files.items() if name.startswith("archive/atom") or name == "atom.xml"]
    assert len(documents) > 3
    assert {etree.fromstring(data).findtext(f"{ATOM}id") for data in documents} == {LINK}


def test_what_is_withdrawn_leaves_the_archive(store: Store, public: MemoryPublisher) -> None:
    """The one change of a closed page: a story told no more goes from it, and readers are told so (RFC 6721)."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 4)
    before = dict(public.files)
    with store.begin() as work:
        work.tell(name(1), None, None, NOW + 9 * HOUR)
        work.merge(name(2), into=name(7), now=NOW + 10 * HOUR)
    publish(store, public, FRAME, 4)
    assert walk(public.files, "atom.xml") == [6, 5, 4, 3, 7]
    for document in ("atom.xml", "archive/atom-1.xml"):
        assert withdrawn(public.files[document]) == {name(1): "2026-03-01T21:00:00Z"}
        assert name(2).encode() not in public.files[document]  # it is told, within another story
    assert public.files["archive/atom-2.xml"] == before["archive/atom-2.xml"]


def withdrawn(document: bytes) -> dict[str | None, str | None]:
    """Id of a story that Atom says is no more → since when."""
    return {one.get("ref"): one.get("when") for one in etree.fromstring(document).iter(DELETED)}


def test_a_tombstone_leaves_the_feed_after_a_month(store: Store, public: MemoryPublisher) -> None:
    """With the next change then; the page of the archive that the story stood on keeps it."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 4)
    with store.begin() as work:
        work.tell(name(1), None, None, NOW + 9 * HOUR)
    for days, stands in ((30, True), (31, False)):
        tell(store, 10 + days, now=NOW + 9 * HOUR + timedelta(days=days) - HOUR)
        publish(store, public, FRAME, 4)
        assert (name(1) in withdrawn(public.files["atom.xml"])) == stands
        assert name(1) in withdrawn(public.files["archive/atom-1.xml"])


def test_what_is_told_again_has_no_tombstone(store: Store, public: MemoryPublisher) -> None:
    """A story that was withdrawn and kept after all is back, and not called deleted."""
    tell(store, 1, 2)
    for when in (None, NOW + 3 * HOUR):
        with store.begin() as work:
            work.tell(name(1), when, 1, NOW + 2 * HOUR)
        publish(store, public, FRAME, 10)
        assert (b"deleted-entry" in public.files["atom.xml"]) == (when is None)
    assert told(public.files, "atom.xml") == [1, 2]


def test_what_left_the_archive_can_return(store: Store, public: MemoryPublisher) -> None:
    """A story withdrawn from a closed page and told again is news, and is not lost between the pages."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 4)
    for when in (None, NOW + 9 * HOUR):
        with store.begin() as work:
            work.tell(name(1), when, 1, NOW + 8 * HOUR)
        publish(store, public, FRAME, 4)
    assert walk(public.files, "atom.xml") == [1, 7, 6, 5, 4, 3, 2]


def test_each_story_has_its_page(store: Store, public: MemoryPublisher) -> None:
    """Whether it is in the newest document or long in the archive; a repeat that comes later is added to it."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 4)
    assert public.names("story") == {page(number) for number in range(1, 8)}
    with store.begin() as work:
        late = judged(99, "Told again")
        work.assign(work.add(late, (), NOW), name(1), Evidence("same events", "Story 1", 0.9))
    changed = publish(store, public, FRAME, 4).changed
    assert [name for name in changed if not name.startswith("slice/")] == [page(1)]
    assert b"Told again" in public.files[page(1)]


def test_a_page_goes_with_its_story(store: Store, public: MemoryPublisher) -> None:
    """The page of a withdrawn story is removed; that of a merged one leads to the other, as long as that is told."""
    tell(store, 1, 2, 3)
    publish(store, public, FRAME, 10)
    with store.begin() as work:
        work.tell(name(1), None, None, NOW)
        work.merge(name(2), into=name(3), now=NOW)
    assert page(1) in publish(store, public, FRAME, 10).changed
    assert public.names("story") == {page(2), page(3)}
    assert page(3).removeprefix("story/").encode() in public.files[page(2)]
    with store.begin() as work:
        work.tell(name(3), None, None, NOW)
    publish(store, public, FRAME, 10)
    assert public.names("story") == frozenset()


def test_a_page_that_leads_on_stays_when_all_is_written_anew(store: Store, public: MemoryPublisher) -> None:
    """Also that of a story merged in the refresh that told it, which is not remembered as gone."""
    tell(store, 1)
    publish(store, public, FRAME, 10)
    tell(store, 2, 3)
    (told,) = (story.told for story in store.stories() if story.id == name(3))
    assert told is not None
    with store.begin() as work:
        work.merge(name(3), into=name(2), now=told)
    publish(store, public, FRAME, 10)
    kept = dict(public.files)
    assert page(3) in kept
    publish(store, public, FRAME, 10, everything=True)
    assert public.files == kept


def test_publishing_everything_mends_the_folder(store: Store, public: MemoryPublisher) -> None:
    """A page that is missing or belongs to no story is put right, the rest is as it was; an empty folder is filled."""
    tell(store, *range(1, 8))
    with store.begin() as work:
        work.merge(name(7), into=name(6), now=NOW)
    publish(store, public, FRAME, 4)
    whole = dict(public.files)
    public.remove([page(1), page(7)])
    public.publish({page(99): b"of no story"})
    publish(store, public, FRAME, 4, everything=True)
    assert public.files == whole
    emptied = MemoryPublisher()
    publish(store, emptied, FRAME, 4)
    assert emptied.files == whole


def test_months_list_their_stories(store: Store, public: MemoryPublisher) -> None:
    """Each month's page names all stories first told in it; only a month with a change is written again."""
    tell(store, 1, 2)
    april = NOW.replace(month=4)
    tell(store, 3, now=april)
    publish(store, public, FRAME, 4)
    assert listed(public, "2026-03") == [(2, "Story 2"), (1, "Story 1")]
    assert listed(public, "2026-04") == [(3, "Story 3")]
    months = html.fromstring(public.files["month/index.html"]).xpath("//ul/li")
    assert [" ".join(month.text_content().split()) for month in months] == ["April 2026 1", "March 2026 2"]
    with store.begin() as work:
        work.edit(1, judged(1, "Edited"), ())
    assert "month/2026-04.html" not in publish(store, public, FRAME, 4).changed
    assert listed(public, "2026-03") == [(2, "Story 2"), (1, "Edited")]
    with store.begin() as work:
        work.tell(name(3), None, None, NOW)
        work.merge(name(2), into=name(1), now=NOW)
    publish(store, public, FRAME, 4)
    assert listed(public, "2026-03") == [(1, "Edited")]
    assert "month/2026-04.html" not in public.files
    assert publish(store, public, FRAME, 4).changed == ()


def test_the_page_shows_stories_per_week(store: Store, public: MemoryPublisher) -> None:
    """A picture of all weeks, in words for those who do not see it; none while there is a single week."""
    tell(store, 1, 2)
    publish(store, public, FRAME, 4)
    assert html.fromstring(public.files["index.html"]).find(".//svg[@class='weeks']") is None
    tell(store, 3, now=NOW + 21 * 24 * HOUR)
    publish(store, public, FRAME, 4)
    picture = html.fromstring(public.files["index.html"]).find(".//svg[@class='weeks']")
    assert [bar.text_content() for bar in picture.findall("rect")] == ["23 February 2026: 2", "16 March 2026: 1"]
    assert [bar.get("x") for bar in picture.findall("rect")] == ["0", "24"]
    assert picture.get("aria-label") == "Stories per week since February 2026. 16 March 2026: 1"


def test_lost_files_come_back(store: Store, tmp_path: Path) -> None:
    """An archived document that is missing is written again; `everything` mends one that was changed."""
    folder = FolderPublisher(tmp_path)
    tell(store, *range(1, 8))
    publish(store, folder, FRAME, 4)
    document = tmp_path / "archive" / "atom-1.xml"
    whole = document.read_bytes()
    document.unlink()
    assert publish(store, folder, FRAME, 4).changed == ("archive/atom-1.xml",)
    document.write_bytes(b"damaged")
    assert publish(store, folder, FRAME, 4).changed == ()
    assert publish(store, folder, FRAME, 4, everything=True).changed == ("archive/atom-1.xml",)
    assert document.read_bytes() == whole


def test_what_stands_is_not_printed_again(store: Store, public: MemoryPublisher) -> None:
    """Nothing is rendered while nothing was told; a lost file, another program or other words have it printed anew."""
    tell(store, 1)
    publish(store, public, FRAME, 4)
    public.files["rss.xml"] = b"left alone"
    assert publish(store, public, FRAME, 4).changed == ()
    del public.files["atom.xml"]
    assert publish(store, public, FRAME, 4).changed == ("rss.xml", "atom.xml")
    public.files["rss.xml"] = b"left alone"
    assert publish(store, public, FRAME, 4, by="a later version").changed == ("rss.xml",)
    assert "rss.xml" in publish(store, public, replace(FRAME, title="Other"), 4, by="a later version").changed


def test_the_archive_follows_the_configuration(store: Store, public: MemoryPublisher) -> None:
    """A new public address or title is written into closed pages, too: their links would lead nowhere."""
    tell(store, *range(1, 8))
    publish(store, public, FRAME, 4)
    publish(store, public, replace(FRAME, link="https://moved.example/"), 4)
    assert links(public.files["archive/atom-1.xml"])["current"] == "https://moved.example/atom.xml"


def test_pages_are_smaller_than_the_document(store: Store, public: MemoryPublisher) -> None:
    """At the shipped 100 entries, a page takes the older half, so that what is new is not closed at once."""
    tell(store, *range(1, 102))
    publish(store, public, FRAME, 100)
    assert told(public.files, "archive/atom-1.xml") == list(range(PAGE, 0, -1))
    assert told(public.files, "archive/atom-2.xml") == list(range(PAGE + PAGE // 2, PAGE, -1))
    assert "archive/atom-3.xml" not in public.files


@pytest.mark.parametrize("max_entries", [1, 2, 3, 4, 100])
def test_no_page_of_the_archive_stands_alone(store: Store, public: MemoryPublisher, max_entries: int) -> None:
    """The first is closed with a second one, which it leads to from the beginning, and does not change for it."""
    tell(store, *range(1, max_entries + 1))
    publish(store, public, FRAME, max_entries)
    assert public.names("archive") == frozenset()
    tell(store, max_entries + 1)
    publish(store, public, FRAME, max_entries)
    closed = {name: public.files[name] for name in public.names("archive")}
    assert {name for name in closed if "atom" in name} == {"archive/atom-1.xml", "archive/atom-2.xml"}
    assert sorted(walk(public.files, "atom.xml")) == list(range(1, max_entries + 2))
    tell(store, *range(max_entries + 2, 3 * max_entries + 2))
    publish(store, public, FRAME, max_entries)
    assert {name: public.files[name] for name in closed} == closed


def test_a_failed_publishing_is_made_up_for(store: Store, tmp_path: Path) -> None:
    """What could not be written is written the next time."""
    public = FolderPublisher(tmp_path / "public")
    tell(store, 1)
    (tmp_path / "public").write_bytes(b"in the way")
    with pytest.raises(Exception, match="Cannot write"):
        publish(store, public, FRAME, 4)
    assert is_behind(store, public)
    (tmp_path / "public").unlink()
    publish(store, public, FRAME, 4)
    assert (tmp_path / "public" / page(1)).is_file()
    assert not is_behind(store, public)


def test_every_place_is_kept_up_to_date(store: Store, tmp_path: Path) -> None:
    """Several processes may share a store: what one has published is still to be published by the others."""
    places = [tmp_path / "one", tmp_path / "two"]
    tell(store, *range(1, 6))
    for place in places:
        publish(store, FolderPublisher(place), FRAME, 4)
    with store.begin() as work:
        work.merge(name(2), into=name(3), now=NOW)
    tell(store, 6)
    for place in places:
        assert is_behind(store, FolderPublisher(place))
        publish(store, FolderPublisher(place), FRAME, 4)
        assert not is_behind(store, FolderPublisher(place))
    one, two = (
        {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in places
    )
    assert one == two
    assert page(6) in one


def test_a_place_that_is_ahead_of_the_store_is_written_anew(store: Store, public: MemoryPublisher) -> None:
    """So it is when a backup was put in the store's place: what was told since is told no more."""
    tell(store, 1, 2)
    publish(store, public, FRAME, 4)
    older = MemoryStore()
    tell(older, 1)
    assert is_behind(older, public)
    publish(older, public, FRAME, 4)
    assert page(2) not in public.files
    assert told(public.files, "atom.xml") == [1]


def test_a_place_of_another_store_is_written_anew(store: Store, public: MemoryPublisher) -> None:
    """Though it may have come as far: stores are told apart by when they were first used."""
    tell(store, 1)
    publish(store, public, FRAME, 4)
    other = MemoryStore()
    tell(other, 2)
    publish(other, public, replace(FRAME, updated=NOW + HOUR), 4)
    assert page(1) not in public.files
    assert told(public.files, "atom.xml") == [2]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mark": 1, "other": 2}', '{"mark": "1"}'])
def test_what_a_place_remembers_may_be_lost(store: Store, public: MemoryPublisher, text: str) -> None:
    """Cut short, or of another version, it counts as nothing: all is written anew."""
    tell(store, 1)
    publish(store, public, FRAME, 4)
    files = dict(public.files)
    public.files.pop(page(1))
    public.remember(text)
    publish(store, public, FRAME, 4)
    assert public.files == files


def test_pages_of_months_that_are_gone_are_swept(store: Store, public: MemoryPublisher) -> None:
    """Writing everything anew leaves no page of a month that has no story, whoever put it there."""
    tell(store, 1)
    public.publish({"month/1999-01.html": b"stale"})
    publish(store, public, FRAME, 4, everything=True)
    assert public.names("month") == {"month/2026-03.html", "month/index.html"}
