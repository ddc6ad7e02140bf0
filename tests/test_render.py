"""What is published: one model, every format the same, valid whatever the sources wrote."""

from __future__ import annotations

import io
import json
import re
from calendar import timegm
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, NamedTuple

import feedparser
import pytest
from hypothesis import example, given, settings
from lxml import etree, html

from aggregator.entries import printable, publishable, story_path, untagged
from aggregator.model import Edition, Evidence, Source
from aggregator.render import render, render_moved, render_stories
from tests.editions import LINK, NOON, REALISTIC, SEED, edition, member, nasty_editions, story

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
CREATOR = "{http://purl.org/dc/elements/1.1/}creator"
LANGUAGE = "{http://purl.org/dc/elements/1.1/}language"
MEDIA = "{http://search.yahoo.com/mrss/}"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
FEEDS = ("rss.xml", "atom.xml")


class Seen(NamedTuple):
    """What a reader that knows nothing of the project takes from one entry."""

    id: str
    title: str
    link: str | None
    language: str | None
    published: datetime
    updated: datetime
    members: tuple[str, ...]  # links


def links_in(markup: str) -> tuple[str, ...]:
    """The links of an entry's content, but for the last, which leads to the story's own page."""
    *members, own = html.fragment_fromstring(markup, create_parent="div").xpath(".//a/@href")
    assert own.startswith(f"{LINK}story/")
    return tuple(members)


def seen_in_rss(data: bytes) -> list[Seen]:
    return [
        Seen(
            item.findtext("guid"),
            item.findtext("title"),
            item.findtext("link"),
            item.findtext(LANGUAGE),
            parsedate_to_datetime(item.findtext("pubDate")),
            datetime.fromisoformat(item.findtext(f"{ATOM}updated")),
            links_in(item.findtext(CONTENT) or item.findtext("description")),
        )
        for item in etree.fromstring(data).iterfind("channel/item")
    ]


def text_of(element: Any) -> str:
    """What a reader shows of an Atom text construct (RFC 4287, 3.1.1)."""
    return unescape(element.text) if element.get("type") == "html" else str(element.text)


def seen_in_atom(data: bytes) -> list[Seen]:
    return [
        Seen(
            entry.findtext(f"{ATOM}id"),
            text_of(entry.find(f"{ATOM}title")),
            next(iter(entry.xpath("*[local-name()='link'][@rel='alternate']/@href")), None),
            entry.get(XML_LANG),
            datetime.fromisoformat(entry.findtext(f"{ATOM}published")),
            datetime.fromisoformat(entry.findtext(f"{ATOM}updated")),
            tuple(entry.xpath("*[local-name()='link'][@rel='related']/@href")),
        )
        for entry in etree.fromstring(data).iterfind(f"{ATOM}entry")
    ]


def seen_in_json(data: bytes) -> list[Seen]:
    return [
        Seen(
            item["id"],
            item["title"],
            item.get("url"),
            item.get("language"),
            datetime.fromisoformat(item["date_published"]),
            datetime.fromisoformat(item["date_modified"]),
            tuple(link for member in item["_story"]["members"] if (link := publishable(member["url"]))),
        )
        for item in json.loads(data)["items"]
    ]


READERS: dict[str, Callable[[bytes], list[Seen]]] = {
    "rss.xml": seen_in_rss,
    "atom.xml": seen_in_atom,
    "feed.json": seen_in_json,
}


def expected(published: Edition) -> list[Seen]:
    return [
        Seen(
            told.id,
            untagged(told.title),
            publishable(told.link),
            told.language,
            max(datetime(1990, 1, 1, tzinfo=UTC), min(told.published, told.told)).replace(microsecond=0),
            told.updated.replace(microsecond=0),
            tuple(link for member in told.members if (link := publishable(printable(member.url or "")))),
        )
        for told in published.stories
    ]


@pytest.mark.parametrize("name", READERS)
def test_every_format_says_the_same(name: str) -> None:
    """Ids, order, titles, links, languages, dates and members of an edition stand in each format."""
    assert READERS[name](render(REALISTIC)[name]) == expected(REALISTIC)


@settings(max_examples=60, deadline=None)
@given(nasty_editions)
@example(edition(story(title="\x00\ud800\ufffe", summary="\x0b")))
def test_no_text_breaks_a_format(published: Edition) -> None:
    """Whatever characters, links, dates and languages come in, every story comes out in every format, and alike."""
    problems: list[str] = []
    files = render(published, problems)
    seen = {name: read(files[name]) for name, read in READERS.items()}
    assert problems == []
    assert seen["rss.xml"] == seen["atom.xml"] == seen["feed.json"]
    for one, told in zip(seen["rss.xml"], expected(published), strict=True):
        assert one._replace(title="", language="") == told._replace(title="", language="")
        assert told.title in ("", one.title)
        assert one.title != ""
    for name in FEEDS:
        read = feedparser.parse(io.BytesIO(files[name]))
        assert not read.bozo
        assert [entry.id for entry in read.entries] == [told.id for told in published.stories]
        for entry, told in zip(read.entries, seen[name], strict=True):
            assert timegm(entry.published_parsed) == told.published.timestamp()
            assert timegm(entry.updated_parsed) == told.updated.timestamp()
    page = html.fromstring(files["index.html"].decode())
    assert len(page.findall(".//article")) == len(published.stories)
    own = render_stories(published)
    assert len(own) == len(published.stories)
    for told, document in zip(seen["rss.xml"], own.values(), strict=True):
        assert html.fromstring(document.decode()).find(".//h1").text_content().strip() == told.title.strip()


@settings(max_examples=20, deadline=None)
@given(nasty_editions)
def test_same_edition_same_bytes(published: Edition) -> None:
    """Rendering reads no clock and no chance: the same edition gives the same bytes."""
    assert render(published) == render(replace(published))


def test_one_bad_character_costs_that_character() -> None:
    """A control character, half a surrogate pair or a direction override is left out; the rest of the text stays."""
    told = render(edition(story(title="A\x00b\x1bc\ud83dd\u202ee\ufffff\x92")))
    assert [READERS[name](told[name])[0].title for name in READERS] == ["Abcdef"] * 3


def test_a_character_that_a_source_lost_is_shown_as_lost() -> None:
    """As a box: the character that stands for it in Unicode is itself taken for an error by the W3C feed validator."""
    told = render(edition(story(title="Pass\ufffdwords")))
    assert [READERS[name](told[name])[0].title for name in READERS] == ["Pass□words"] * 3


def test_names_that_are_written_like_tags_stay_text() -> None:
    """No element of RSS, and no name or category in Atom, holds what ends a tag; what is shown is what was written."""
    odd = "News </b> & <i>more</i> 1&1 &copy"
    lead = member(1, title=odd, source=odd, authors=(odd,), categories=(odd,))
    files = render(edition(story(1, lead)))
    assert not re.search(rb"(<|&lt;|&#x3C;)/\w+(>|&gt;)[^<]*</(title|category|source|dc:creator)>", files["rss.xml"])
    entry = etree.fromstring(files["atom.xml"]).find(f"{ATOM}entry")
    named = [entry.findtext(f"{ATOM}author/{ATOM}name"), entry.find(f"{ATOM}category").get("term")]
    seen = [READERS[name](files[name])[0].title for name in READERS]
    assert {text.replace("\u2060", "") for text in named + seen} == {odd}
    assert not any(re.search(r"</\w+>", text) for text in named)


@pytest.mark.parametrize(
    ("title", "kind"),
    [("AT&T, Q&A: 5 < 6", None), ("1&1 Ionos", "html"), ("see ?v=1&ab_channel=2", "html"), ("&copy 2026", "html")],
)
def test_what_may_be_taken_for_a_reference_is_declared(title: str, kind: str | None) -> None:
    """In Atom a title is text as it is where no reader can misread it, else the HTML that shows it."""
    element = etree.fromstring(render(edition(story(title=title)))["atom.xml"]).find(f"{ATOM}entry/{ATOM}title")
    assert (element.get("type"), text_of(element)) == (kind, title)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"updated": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"score": float("nan")}, "not a number"),
        ({"id": story(2).id}, "listed twice"),
    ],
)
def test_one_bad_story_costs_that_story(changes: dict[str, Any], reason: str) -> None:
    """A story that breaks the model's promises is left out of all formats and told of; the others are published."""
    problems: list[str] = []
    files = render(edition(story(1), story(2), story(3, **changes)), problems)
    assert [[seen.id for seen in READERS[name](files[name])] for name in READERS] == [[story(1).id, story(2).id]] * 3
    assert len(problems) == 1
    assert reason in problems[0]


def test_an_id_that_is_no_uri_becomes_one() -> None:
    """Atom wants ids to be URIs: another id leads to one that is the same each time."""
    first, second = (seen_in_atom(render(edition(story(id="not a uri")))["atom.xml"])[0].id for _ in range(2))
    assert first == second
    assert first.startswith("urn:uuid:")


def test_a_story_without_a_page_is_whole() -> None:
    """A seed story whose page is not known has title and date, no link, and no member; nothing is made up for it."""
    files = render(edition(SEED))
    item = etree.fromstring(files["rss.xml"]).find("channel/item")
    entry = etree.fromstring(files["atom.xml"]).find(f"{ATOM}entry")
    read = json.loads(files["feed.json"])["items"][0]
    assert item.find("link") is None
    assert entry.find(f"{ATOM}link") is None
    assert SEED.title in entry.findtext(f"{ATOM}content")  # RFC 4287, 4.1.2: content, where there is no link
    assert "url" not in read
    assert read["_story"] == {"seed": True, "score": 1.0, "reasons": [], "members": []}


def test_a_seed_known_by_its_repeats_names_them() -> None:
    """A seed story without a page of its own has its repeats as members, and none of them leads."""
    files = render(edition(replace(SEED, members=(member(4, lead=False), member(5, lead=False)))))
    for name, read in READERS.items():
        assert read(files[name])[0].members == ("https://outlet4.example/news/4", "https://outlet5.example/news/5")
    assert [m["lead"] for m in json.loads(files["feed.json"])["items"][0]["_story"]["members"]] == [False, False]


def test_a_telling_without_an_outlet_is_named_by_its_host() -> None:
    """A seed's own text comes from no source: where it has a link, the link's host stands for the outlet."""
    told = member(1, source="", source_url="", url="https://www.outlet.example/a")
    (read,) = json.loads(render(edition(story(1, told)))["feed.json"])["items"]
    assert [one["source"] for one in read["_story"]["members"]] == ["outlet.example"]
    assert "Reported by" in read["content_html"]
    assert "Unknown" not in read["content_html"]


def test_feeds_say_where_they_are_and_who_they_are() -> None:
    """The feeds' own elements: self link first, the hub, the page, language, author, and the edition's own date."""
    files = render(REALISTIC)
    channel = etree.fromstring(files["rss.xml"]).find("channel")
    assert [(link.get("rel"), link.get("href")) for link in channel.iterfind(f"{ATOM}link")] == [
        ("self", LINK + "rss.xml"),
        ("hub", "https://hub.example/"),
    ]
    assert (channel.findtext("link"), channel.findtext("language")) == (LINK, "en")
    assert parsedate_to_datetime(channel.findtext("lastBuildDate")) == NOON
    feed = etree.fromstring(files["atom.xml"])
    assert [(link.get("rel"), link.get("href")) for link in feed.iterfind(f"{ATOM}link")] == [
        ("self", LINK + "atom.xml"),
        ("hub", "https://hub.example/"),
        ("alternate", LINK),
    ]
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == "North Korean Defectors"
    assert datetime.fromisoformat(feed.findtext(f"{ATOM}updated")) == NOON
    assert feed.get(XML_LANG) == "en"


def test_the_public_address_may_lack_its_slash() -> None:
    """An address of the folder without the slash at its end gives the same feeds."""
    assert render(replace(REALISTIC, link=LINK.rstrip("/"))) == render(REALISTIC)


def test_atom_names_the_source_in_full() -> None:
    """RFC 4287, 4.2.11: id, title, updated and links of the feed that the lead came from."""
    source = etree.fromstring(render(REALISTIC)["atom.xml"]).find(f"{ATOM}entry/{ATOM}source")
    assert source.findtext(f"{ATOM}id") == "https://outlet1.example/feed.xml"
    assert source.findtext(f"{ATOM}title") == "Вести <24>"
    assert datetime.fromisoformat(source.findtext(f"{ATOM}updated")) == NOON - timedelta(hours=1)
    assert [dict(link.attrib) for link in source.iterfind(f"{ATOM}link")] == [
        {"rel": "self", "href": "https://outlet1.example/feed.xml"},
        {"rel": "alternate", "href": "https://outlet1.example/"},
    ]


def test_rss_names_source_and_authors() -> None:
    """RSS: `source` with the feed's address, `dc:creator` for names without e-mail, a guid that is no link."""
    items = etree.fromstring(render(REALISTIC)["rss.xml"]).findall("channel/item")
    assert items[0].find("source").attrib == {"url": "https://outlet1.example/feed.xml"}
    assert items[0].findtext("source") == "Вести <24>"
    assert [creator.text for creator in items[0].iterfind(CREATOR)] == ["Вести <24>"]
    assert [creator.text for creator in items[2].iterfind(CREATOR)] == ["Kim A", "Lee B"]
    assert {item.find("guid").get("isPermaLink") for item in items} == {"false"}
    assert items[0].find("author") is None


def test_media_and_categories_are_carried() -> None:
    """Enclosures have an address, a type and a length, "0" in RSS where it is not known; categories are kept.

    RSS has one enclosure, and the others, like the picture in it and in Atom, in the words of Media RSS.
    """
    files = render(REALISTIC)
    item = etree.fromstring(files["rss.xml"]).findall("channel/item")[2]
    assert [dict(e.attrib) for e in item.iterfind("enclosure")] == [
        {"url": "https://outlet7.example/a.mp3", "length": "1234", "type": "audio/mpeg"}
    ]
    assert [category.text for category in item.iterfind("category")] == ["Defectors", "defectors & others"]
    entry = etree.fromstring(files["atom.xml"]).findall(f"{ATOM}entry")[2]
    enclosures = entry.xpath("*[local-name()='link'][@rel='enclosure']")
    assert [(e.get("type"), e.get("length")) for e in enclosures] == [
        ("audio/mpeg", "1234"),
        ("application/octet-stream", None),
    ]
    assert json.loads(files["feed.json"])["items"][2]["attachments"] == [
        {"url": "https://outlet7.example/a.mp3", "mime_type": "audio/mpeg", "size_in_bytes": 1234},
        {"url": "https://outlet7.example/b", "mime_type": "application/octet-stream"},
    ]
    (further,) = item.iterfind(f"{MEDIA}content")
    assert dict(further.attrib) == {"url": "https://outlet7.example/b", "type": "application/octet-stream"}
    picture = "https://outlet7.example/%EA%B7%B8%EB%A6%BC.jpg?w=1&h=2"
    assert item.find(f"{MEDIA}thumbnail").get("url") == entry.find(f"{MEDIA}thumbnail").get("url") == picture
    assert json.loads(files["feed.json"])["items"][2]["image"] == picture
    unknown = replace(member(8), enclosures=member(8).enclosures + REALISTIC.stories[2].members[0].enclosures[1:])
    item = etree.fromstring(render(edition(story(8, unknown)))["rss.xml"]).find("channel/item")
    assert item.find("enclosure").get("length") == "0"


def test_the_members_are_told_in_the_content() -> None:
    """Every format's content says who else reported the story: outlet, title, language and link."""
    for markup in (
        json.loads(render(REALISTIC)["feed.json"])["items"][0]["content_html"],
        etree.fromstring(render(REALISTIC)["rss.xml"]).findtext(f"channel/item/{CONTENT}"),
        etree.fromstring(render(REALISTIC)["atom.xml"]).findtext(f"{ATOM}entry/{ATOM}content"),
    ):
        content = html.fragment_fromstring(markup, create_parent="div")
        rows = content.findall(".//li")
        assert "Also reported by" in content.text_content()
        assert [row.text_content() for row in rows] == [
            "연합뉴스: 탈북민 3명 서울 도착 (Korean)",
            "朝日新聞: 脱北者3人がソウル到着 (Japanese)",
            "中央社: 三名脫北者抵達首爾 (Chinese)",
        ]
        assert rows[0].find(".//span").attrib == {"lang": "ko", "dir": "ltr"}
        assert rows[2].find(".//a") is None  # its link is not known


def test_text_is_escaped_once() -> None:
    """Titles are text, content is HTML: a reader sees the very characters that the source wrote."""
    files = render(REALISTIC)
    title = REALISTIC.stories[2].title
    assert b"<title>Q&#x26;A: &#x3C;b&gt; is a tag" in files["rss.xml"]  # as the RSS profile asks for
    assert [READERS[name](files[name])[2].title for name in READERS] == [title] * 3
    content = html.fragment_fromstring(json.loads(files["feed.json"])["items"][2]["content_html"], create_parent="div")
    assert content.text_content().startswith("He said: \"Don't\" & <script>alert('x')</script> left.")
    assert content.find(".//script") is None
    description = etree.fromstring(files["rss.xml"]).findall("channel/item")[2].findtext("description")
    assert html.fragment_fromstring(description, create_parent="p").text_content().startswith('He said: "Don\'t" & <')


def test_atom_declares_what_looks_like_markup() -> None:
    """A title or summary that a reader might take for HTML is written as the HTML that shows it; others are text."""
    entries = etree.fromstring(render(REALISTIC)["atom.xml"]).findall(f"{ATOM}entry")
    kinds = [
        [entry.find(ATOM + name).get("type") for name in ("title", "summary")] for entry in (entries[0], entries[2])
    ]
    assert kinds == [[None, None], ["html", "html"]]
    assert text_of(entries[2].find(f"{ATOM}summary")).startswith(
        "He said: \"Don't\" & <script>alert('x')</script> left."
    )
    related = entries[2].find(f"{ATOM}link[@rel='related']")
    assert related.get("title") is None  # an attribute cannot say what it is


def test_an_excerpt_is_no_longer_than_allowed() -> None:
    """`excerpt_characters` bounds the summary, the ellipsis counted; 0 leaves only title and link."""
    for characters in (0, 1, 20, 500):
        item = json.loads(render(replace(REALISTIC, excerpt_characters=characters))["feed.json"])["items"][2]
        assert len(item.get("summary", "")) <= characters
    assert "summary" not in json.loads(render(replace(REALISTIC, excerpt_characters=0))["feed.json"])["items"][2]


def test_links_are_web_addresses() -> None:
    """International addresses are encoded, credentials dropped, and what is no web address is no link."""
    told = edition(
        story(1, member(1, url="https://예시.example/기사 1")),
        story(2, member(2, url="https://user:secret@b.example/")),
        story(3, member(3, url="javascript:alert(1)")),
    )
    files = render(told)
    links = [seen.link for seen in seen_in_rss(files["rss.xml"])]
    assert links == ["https://xn--vv4b11d.example/%EA%B8%B0%EC%82%AC%201", "https://b.example/", None]
    assert not any(b"secret@" in files[name] for name in FEEDS)
    assert b'href="javascript:' not in files["index.html"]


def test_members_keep_their_links_as_given() -> None:
    """`_story.members` carries each link as the source gave it, whatever the published link looks like."""
    item = json.loads(render(REALISTIC)["feed.json"])["items"][2]
    assert item["_story"]["members"] == [
        {
            "url": "https://outlet7.example/기사/1?q=a b&r=é#part",
            "title": REALISTIC.stories[2].title,
            "source": "Outlet 7",
            "language": "en",
            "published": "2026-03-01T05:00:00Z",
            "lead": True,
        }
    ]
    assert item["url"] == "https://outlet7.example/%EA%B8%B0%EC%82%AC/1?q=a%20b&r=%C3%A9#part"


def test_future_and_ancient_dates_are_made_plausible() -> None:
    """A date after the telling becomes the telling's, one before 1990 becomes 1990; what a member claims is kept."""
    told = edition(
        story(1, member(1, published=datetime(2099, 1, 1, tzinfo=UTC))),
        story(2, member(2, published=datetime(1, 1, 1, tzinfo=UTC))),
    )
    seen = seen_in_rss(render(told)["rss.xml"])
    assert [one.published for one in seen] == [told.stories[0].told, datetime(1990, 1, 1, tzinfo=UTC)]
    item = json.loads(render(told)["feed.json"])["items"][0]
    assert item["_story"]["members"][0]["published"] == "2099-01-01T00:00:00Z"


def test_no_two_updates_of_a_feed_are_spelled_alike() -> None:
    """Stories of one visit share a time; Atom spells it differently for each, and the older ones' spelling stays."""

    def spelled(count: int) -> list[str]:
        stories = (story(number, updated=NOON) for number in reversed(range(count)))
        root = etree.fromstring(render(edition(*stories))["atom.xml"])
        return [element.text for element in root.iterfind(f"{ATOM}entry/{ATOM}updated")]

    texts = spelled(100)
    assert len(set(texts)) == len(texts)
    assert {datetime.fromisoformat(text) for text in texts} == {NOON}
    assert texts[-40:] == spelled(40)


def test_times_of_other_zones_are_written_in_utc() -> None:
    """An aware time is published as the same instant in UTC, whatever its zone."""
    seoul = datetime(2026, 2, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert json.loads(render(edition(story(published=seoul)))["feed.json"])["items"][0]["date_published"] == (
        "2026-02-01T00:00:00Z"
    )


def test_the_json_feed_has_what_its_version_asks_for() -> None:
    """JSON Feed 1.1: version, addresses, hubs, authors; each item an id, content, and no null or empty value."""
    feed = json.loads(render(REALISTIC)["feed.json"])
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert (feed["home_page_url"], feed["feed_url"]) == (LINK, LINK + "feed.json")
    assert feed["hubs"] == [{"type": "WebSub", "url": "https://hub.example/"}]
    for item in feed["items"]:
        assert {"id", "title", "content_html", "date_published", "date_modified"} <= set(item)
        assert all(value not in (None, "", []) for key, value in item.items() if key != "_story")
        assert set(item["_story"]) == {"seed", "score", "reasons", "members"}


def test_an_empty_edition_is_valid() -> None:
    """Before the first story everything is there, and empty."""
    files = render(edition(hub=""))
    assert [read(files[name]) for name, read in READERS.items()] == [[], [], []]
    assert "hubs" not in json.loads(files["feed.json"])
    assert "No stories yet" in files["index.html"].decode()


def test_the_list_of_sources_tells_no_secret() -> None:
    """sources.opml lists every source with its name and address, without passwords and headers."""
    secret = Source("https://me:pass@a.example/feed", "A", "ko", headers=(("Authorization", "Bearer token"),))
    root = etree.fromstring(render(edition(sources=(secret,)))["sources.opml"])
    assert [dict(outline.attrib) for outline in root.iter("outline")] == [
        {"type": "rss", "text": "A", "title": "A", "xmlUrl": "https://a.example/feed", "language": "ko"}
    ]


def test_a_story_has_a_page_of_its_own() -> None:
    """All who told it, in order of appearance, each with the evidence; the reasons; links that hold in any folder."""
    began = member(1, lead=False, evidence=Evidence("founds", "", 1.0))
    joined = member(2, evidence=Evidence("same events", "Headline <1>", 0.8, ("name: Oh <Chong-song>",)))
    files = render_stories(edition(story(5, joined, began, reasons=("title: <defector>",))))
    (name,) = files
    assert name == f"story/{story(5).id.removeprefix('urn:uuid:')}.html"
    page = html.fromstring(files[name].decode())
    assert page.findtext(".//h1") == "Headline 2"
    tellings = [" ".join(row.text_content().split()) for row in page.findall(".//ol/li")]
    assert tellings == [
        "Outlet 1 Headline 1 1 March 2026 · It began the story.",
        "Outlet 2 Headline 2 1 March 2026 · The same events as in “Headline <1>” (name: Oh <Chong-song>).",
    ]
    assert [row.text_content().strip() for row in page.xpath("//section[@class='reasons']//li")] == [
        "title: <defector>"
    ]
    assert page.xpath("//link[@rel='canonical']/@href") == [LINK + name]
    assert page.xpath("//link[@rel='stylesheet']/@href") == ["../style.css"]


def test_a_merged_story_leads_to_the_other() -> None:
    """The page under an old id sends browsers on, and has a link for those that do not go by themselves."""
    files = render_moved(edition(), {story(1).id: story(2).id})
    (name,) = files
    assert name == f"story/{story(1).id[9:]}.html"
    page = html.fromstring(files[name].decode())
    target = f"{story(2).id[9:]}.html"
    assert page.xpath("//a/@href") == [target]
    assert page.xpath("//meta[@http-equiv='refresh']/@content") == [f"0; url={target}"]


def test_ids_that_are_no_uuid_have_pages_too() -> None:
    """A file's name is always a UUID's: no id leads out of the folder, or to the page of another story."""
    names = {story_path(id) for id in ("urn:uuid:../../x", "tag:a.example,2026:1", "x y", "urn:uuid:ABC", story(1).id)}
    assert len(names) == 5
    assert all(re.fullmatch(r"story/[0-9a-f-]{36}\.html", name) for name in names)


def test_the_page_has_the_shape_of_the_page_it_began_with() -> None:
    """The subject as heading; each story with title, summary, date, source, "Read more", and who else reported it."""
    page = html.fromstring(render(REALISTIC)["index.html"].decode())
    assert page.findtext(".//h1") == "North Korean Defectors"
    assert [time.get("datetime") for time in page.xpath("//h2/time")] == ["2026-03-01"]
    articles = page.findall(".//article")
    assert [article.find("h3").text_content() for article in articles] == [told.title for told in REALISTIC.stories]
    assert [article.find("h3").get("dir") for article in articles] == ["ltr", "rtl", "ltr", "ltr"]
    first = articles[0]
    assert first.find(".//p[@class='summary']").text == "What happened, in the words of outlet 1."
    assert first.find(".//p[@class='origin']").text_content().split("\n")[0].startswith("Вести <24>")
    assert first.find(".//p[@class='origin']/time").get("datetime") == "2026-03-01T11:00:00Z"
    assert first.find(".//p[@class='more']/a").get("href") == "https://outlet1.example/news/1"
    assert [row.xpath("string(bdi[@class='outlet'])") for row in first.findall(".//li")] == [
        "연합뉴스",
        "朝日新聞",
        "中央社",
    ]
    assert [row.xpath("string(*[@class='tongue'])") for row in first.findall(".//li")] == [
        "Korean",
        "Japanese",
        "Chinese",
    ]
    assert [link.get("class") for link in articles[3].findall(".//p[@class='more']/a")] == ["why"]


def test_the_page_offers_the_feeds_and_loads_nothing_from_elsewhere() -> None:
    """Autodiscovery and visible links to each feed; no script that runs, no foreign resource, safe outward links."""
    page = html.fromstring(render(REALISTIC)["index.html"].decode())
    types = {link.get("href"): link.get("type") for link in page.xpath("//link[@rel='alternate']")}
    assert types == {
        "rss.xml": "application/rss+xml",
        "atom.xml": "application/atom+xml",
        "feed.json": "application/feed+json",
    }
    assert set(types) <= set(page.xpath("//nav//a/@href"))
    assert page.xpath("//script/@type") == ["application/ld+json"]
    assert page.xpath("//@src") == []
    assert all(a.get("rel") == "noopener noreferrer" for a in page.xpath("//a[starts-with(@href,'http')]"))
    data = json.loads(page.findtext(".//script"))
    assert [part["item"]["headline"] for part in data["mainEntity"]["itemListElement"]] == [
        told.title for told in REALISTIC.stories
    ]
