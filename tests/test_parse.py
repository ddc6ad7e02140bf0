"""Feeds of every format, encoding and degree of ruin are read as items, and only the entries not seen before."""

from __future__ import annotations

import io
import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feedparser
import pytest

from aggregator.charset import as_text
from aggregator.delta import _mend, cut
from aggregator.engine import Children
from aggregator.errors import FeedError
from aggregator.head import read_head
from aggregator.items import Setting, make_item, one_id_each
from aggregator.model import Document, Item, Known, Source
from aggregator.parse import read
from aggregator.xmlfeed import Piece, _raw

FEEDS = Path(__file__).parent / "data" / "feeds"
XML = sorted(path.name for path in FEEDS.glob("*.xml"))
JSON = sorted(path.name for path in FEEDS.glob("*.json"))
URL = "https://example.org/news/feed.xml"
SOURCE = Source(URL, "Example", language="en")
UNKNOWN = Known()
NOT_AS_THE_WHOLE = {
    # feedparser carries "has content" from the feed's two descriptions into the first entry, and no further
    "video_en_s-ch9-ms_azure-friday-hd-channel-9_rss20.xml",
    # has a prefix that is declared nowhere, which keeps feedparser from seeing any entry
    "fixture_und_nolink_rss.xml",
    # breaks off in its last entry, which we leave out
    "fixture_pl_openstreetmap-org-pl_openstreetmap-polska_rss20.xml",
}


def isolate(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a child process would be given and give back."""
    return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))


def parse(data: bytes | str, source: Source = SOURCE, known: Known = UNKNOWN) -> Document:
    return read(URL, data.encode() if isinstance(data, str) else data, "text/xml", source, known, isolate)


def items(data: bytes | str, source: Source = SOURCE) -> tuple[Item, ...]:
    return parse(data, source).items


def rss(*entries: str, head: str = "<title>Feed</title>") -> str:
    return f'<rss version="2.0"><channel>{head}{"".join(f"<item>{entry}</item>" for entry in entries)}</channel></rss>'


def entry(number: int, more: str = "") -> str:
    return f"<title>Title {number}</title><link>https://example.org/{number}</link><guid>{number}</guid>{more}"


def by_feedparser_whole(data: bytes) -> list[Item]:
    """The reference: feedparser reads the whole document, then the same rules make items of its entries."""
    sliced = cut(as_text(data, None, "en")[0])
    head = read_head(sliced.head(), URL)
    assert head is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = feedparser.parse(
            io.BytesIO(sliced.data),
            response_headers={"content-location": URL, "content-type": "application/xml; charset=utf-8"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
        pieces = [sliced.piece(piece) for piece in sliced.entries]
        assert len(pieces) == len(found["entries"])
        setting = Setting(URL, URL, "en", head.language, head.title)
        made = [
            make_item(_raw(one, Piece(b"", piece, True)), setting)
            for one, piece in zip(found["entries"], pieces, strict=True)
        ]
    return one_id_each([item for item in made if item])


@pytest.mark.parametrize("name", [name for name in XML if name not in NOT_AS_THE_WHOLE])
def test_the_same_items_as_parsing_everything(name: str) -> None:
    """Cutting the document into entries changes no item of any real feed."""
    data = (FEEDS / name).read_bytes()
    assert [replace(item, fingerprint=b"") for item in items(data)] == by_feedparser_whole(data)


@pytest.mark.parametrize("name", XML + JSON)
def test_only_what_is_new_is_read(name: str) -> None:
    """Whichever entries are known, the others come out exactly as when all are read; and head and marks are equal."""
    data = (FEEDS / name).read_bytes()
    whole = parse(data)
    chance = random.Random(name)
    for share in (0.2, 0.8):
        known = frozenset(mark for mark in sorted(whole.entries) if chance.random() < share)
        rest = parse(data, known=Known(head=whole.head_digest, entries=known))
        assert rest.items == tuple(item for item in whole.items if item.fingerprint not in known)
        assert (rest.head, rest.head_digest, rest.entries) == (whole.head, whole.head_digest, whole.entries)


def test_a_new_item_in_front_is_the_only_one_read() -> None:
    """An edited entry is new as well; a changed build date is nothing."""
    before = parse(rss(entry(1), entry(2)))
    known = Known(head=before.head_digest, entries=before.entries)
    head = "<title>Feed</title><lastBuildDate>Sun, 27 Sep 2026 01:11:12 GMT</lastBuildDate>"
    assert parse(rss(entry(1), entry(2), head=head), known=known).items == ()
    assert [item.id for item in parse(rss(entry(3), entry(1), entry(2)), known=known).items] == ["3"]
    assert [item.id for item in parse(rss(entry(1), entry(2, "<author>x</author>")), known=known).items] == ["2"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<rss ", '<rss xml:base="https://other.org/" '),
        ("<channel>", '<channel xmlns:media="http://search.yahoo.com/mrss/">'),
        ("<title>Feed", "<language>ko</language><title>Feed"),
    ],
)
def test_a_head_that_changes_the_entries_meaning_has_all_read_again(old: str, new: str) -> None:
    """Base, namespaces and language stand outside the entries and count inside."""
    before = parse(rss(entry(1), entry(2)))
    known = Known(head=before.head_digest, entries=before.entries)
    after = rss(entry(1), entry(2)).replace(old, new, 1)
    assert len(parse(after, known=known).items) == 2


def test_nothing_slow_is_loaded_where_nothing_is_new() -> None:
    """feedparser, numpy and the language model wait for the first new entry."""
    script = (
        "import sys; from aggregator.parse import read; from aggregator.model import Known, Source\n"
        f"s = Source({URL!r}, 'x'); data = {rss(entry(1)).encode()!r}\n"
        "from aggregator.delta import cut, digest; c = cut(data.decode())\n"
        "known = Known(head=c.head_digest(None), entries=frozenset(digest(c.piece(e)) for e in c.entries))\n"
        f"assert read({URL!r}, data, None, s, known, None).items == ()\n"
        "print(*({'feedparser', 'numpy', 'py3langid', 'dateutil', 'charset_normalizer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


ATOM = '<feed xmlns="http://www.w3.org/2005/Atom">{}</feed>'
FORMATS = {
    "rss091u": '<!DOCTYPE rss SYSTEM "http://my.netscape.com/rss-0.91.dtd"><rss version="0.91"><channel><item>'
    "<title>T</title><link>https://example.org/1</link></item></channel></rss>",
    "rss20": rss("<title>T</title><link>https://example.org/1</link>"),
    "rss10": '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"><channel>'
    '</channel><item rdf:about="x"><title>T</title><link>https://example.org/1</link></item></rdf:RDF>',
    "atom03": '<feed version="0.3" xmlns="http://purl.org/atom/ns#"><entry><title>T</title><id>i</id>'
    '<link rel="alternate" href="https://example.org/1"/></entry></feed>',
    "atom10": ATOM.format('<entry><title>T</title><id>i</id><link href="https://example.org/1"/></entry>'),
    "cdf": '<CHANNEL HREF="https://example.org/"><ITEM HREF="https://example.org/1"><TITLE>T</TITLE></ITEM></CHANNEL>',
    "json1": '{"version": "https://jsonfeed.org/version/1", "items": [{"id": 1, "url": "/1", "title": "T"}]}',
    "json11": '{"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "1", "url": "/1", "title": "T"}]}',
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(form: str) -> None:
    """RSS of all versions, Atom, CDF and JSON Feed lead to the same item."""
    found = parse(FORMATS[form])
    assert (found.head.format, found.items[0].title, found.items[0].link) == (form, "T", "https://example.org/1")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("<!DOCTYPE html><title>Just a moment...</title><p>Wait<br>", "HTML page titled “Just a moment...”"),
        ("<html><body>", "HTML page without a title"),
        ("Service unavailable", "text that begins with “Service unavailable”"),
        ('{"error": 1}', "JSON, but no JSON Feed"),
        ('{"items": [', "not well-formed"),
        ("[" * 100_000, "nested too deeply"),
        ("%PDF-1.4", "a PDF file"),
        ("GIF89a", "a picture (GIF)"),
        ("PK\x03\x04", "a ZIP archive"),
        ("<opml><body/></opml>", "OPML"),
        ('<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"/>', "sitemap"),
        ("<!DOCTYPE rss [", "does not end"),
    ],
)
def test_what_is_no_feed_is_named(document: str, words: str) -> None:
    """The operator learns what came instead."""
    with pytest.raises(FeedError, match="document") as caught:
        parse(document)
    assert words in str(caught.value)


def test_a_feed_without_entries_is_said_to_be_empty() -> None:
    """It is read, because that is what it is, and noted, because it is rarely meant."""
    assert parse(rss()).problems == ("the feed has no entries",)


@pytest.mark.parametrize(
    ("document", "titles"),
    [
        (rss(entry(1), entry(2), entry(3))[:-60], ["Title 1", "Title 2"]),
        (rss(entry(1), "<title>A & B &nbsp;&eacute; \x08&#8;</title>"), ["Title 1", "A & B é"]),
        (
            rss(entry(1), "<title>Bad <b></title><link>https://example.org/b</link>", entry(3)),
            ["Title 1", "Bad", "Title 3"],
        ),
        ("<br/>Warning: line 3\n" + rss(entry(1)), ["Title 1"]),
        (rss(entry(1)) + "<script>x</script>", ["Title 1"]),
        ("\n\n<?xml version='1.0'?>" + rss(entry(1)), ["Title 1"]),
    ],
)
def test_broken_documents_keep_their_whole_entries(document: str, titles: list[str]) -> None:
    """What stops an XML parser costs at most the entry it stands in."""
    assert [item.title for item in items(document)] == titles


BOMB = "<!DOCTYPE r [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)) + "]>"
MANY = " ".join(f"a{n}='x'" for n in range(50_000))


@pytest.mark.parametrize(
    ("hostile", "count"),
    [
        (BOMB + rss("<title>&a11;</title>", entry(1)), 2),
        ("<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>" + rss("<title>&a; x</title>"), 1),
        (rss(f"<title {MANY}>x</title>", entry(1)), 1),
        (rss("<description>" + "<b>" * 50_000 + "</b>" * 50_000 + "</description>", entry(1)), 1),
        (rss("<title>t</title>" + "<a/>" * 300_000, entry(1)), 1),
        (rss("<title>t</title>" + "<a>" * 9_000 + "</a>" * 9_000, entry(1)), 1),
        (rss("<title>" + "x " * 1_000_000 + "</title>"), 1),
        (rss("<description><![CDATA[" + "<link " * 100_000 + "]]></description>", entry(1)), 1),
        (rss(*map(entry, range(20_000))), 1_000),
        (rss(entry(1)).replace("<item>", "<item>" * 20_000), 1),
        ("<rss>" + "<channel " * 50_000, 0),
    ],
)
def test_hostile_documents_are_bounded(hostile: str, count: int) -> None:
    """Entities are never expanded or fetched; floods of attributes, elements, levels and entries cost little."""
    began = time.process_time()
    found = parse(hostile)
    assert time.process_time() - began < 6
    assert len(found.items) == count
    assert not any("root:" in item.title or "haha" in item.title for item in found.items)
    assert all(len(item.title) <= 500 for item in found.items)


@pytest.mark.parametrize(
    "document",
    [
        rss("<title>t " + "&" * 4_000_000 + "</title>"),
        rss("<title>t " + "&nGg;" * 1_000_000 + "</title>"),
        '{"items": [{"title": "t", "x": [' + "[]," * 1_000_000 + "[]]}]}",
        '{"items": [{"title": "t", "x": {' + ",".join(f'"{n}":0' for n in range(600_000)) + "}}]}",
    ],
    ids=["ampersands", "named characters", "lists", "names"],
)
def test_what_grows_as_it_is_read_is_refused_in_time(document: str) -> None:
    """A few megabytes never become hundreds; it took up to 770 MB of the main process."""
    tracemalloc.start()
    with pytest.raises(FeedError, match=r"more (values|stray ampersands)"):
        parse(document)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * len(document) + 10_000_000


def test_stray_ampersands_and_names_are_mended_wherever_they_stand() -> None:
    """Also where the parts meet in which a long document is mended."""
    for before in range(65_480, 65_550):
        text = "x" * before
        assert _mend(f"{text}&copy; R&D &amp;&") == f"{text}&#169; R&amp;D &amp;&amp;"


@pytest.mark.parametrize("name", ["x", "tags", "authors", "title"])
def test_what_nests_deep_in_json_costs_its_field_alone(name: str) -> None:
    """Nine hundred levels can be read, and broke what hands documents to other processes."""
    deep = f'{{"title": "a", "id": "1", "url": "https://a.example/1", "{name}": {"[" * 900 + "]" * 900}}}'
    document = f'{{"items": [{deep}, {{"id": "2", "title": "b", "tags": ["c"]}}]}}'
    with closing(Children(workers=1, seconds=60, megabytes=400)) as confined:
        found = read(URL, document.encode(), None, SOURCE, UNKNOWN, confined)
    assert [(item.id, item.categories) for item in found.items] == [("1", ()), ("2", ("c",))]


def test_a_number_without_end_costs_nothing_else() -> None:
    """JSON knows no largest number, Python a longest that it reads: ids are text anyway."""
    digits = "9" * 10_000
    (item,) = items(f'{{"items": [{{"id": 7, "title": "t", "size": {digits}, "url": "https://a.example/1"}}]}}')
    assert (item.id, item.title) == ("7", "t")


@pytest.mark.parametrize("url", ["<rss " + MANY + "/>", "<rss>" + "<b>" * 5_000])
def test_a_monstrous_head_is_refused(url: str) -> None:
    """Before anything reads it."""
    with pytest.raises(FeedError, match=r"attributes|deep"):
        parse(url)


@pytest.mark.parametrize(
    "document",
    [
        rss(*[""] * 200_001),
        rss("<a>") + "<item></b>" * 200_001,
        rss(entry(1)).replace("<item>", "<item>" * 1_500_000),
        '{"items": [' + "{}," * 300_000 + "{}]}",
    ],
    ids=["entries", "broken entries", "open tags", "JSON"],
)
def test_a_flood_of_entries_is_refused(document: str) -> None:
    """Megabytes of entries with nothing in them: what counts and remembers them must cost little, too."""
    began = time.process_time()
    refused = pytest.raises(FeedError, match=r"more than (200000 entries|100000 deep)")
    with closing(Children(workers=1, seconds=60, megabytes=400)) as confined, refused:
        confined(parse, document)
    assert time.process_time() - began < 4


def test_of_too_many_entries_the_newest_are_read_first() -> None:
    """And the others at the next visits, none twice."""
    dates = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(2_500)]
    document = rss(*(entry(n, f"<pubDate>{date.isoformat()}</pubDate>") for n, date in enumerate(dates)))
    first = parse(document)
    assert {int(item.id) for item in first.items} == set(range(1_500, 2_500))
    second = parse(document, known=Known(head=first.head_digest, entries=first.entries))
    assert {int(item.id) for item in second.items} == set(range(500, 1_500))
    assert "of 2500 new entries only the newest 1000 were read" in first.problems


def test_search_feeds_tell_the_outlet_from_the_headline() -> None:
    """Google News adds the outlet to the title, and says nothing in its summary."""
    google = (
        "<title>Defector tells story - The Daily</title><link>https://news.google.com/rss/articles/CB?oc=5</link>"
        '<description>&lt;a href="x"&gt;Defector tells story&lt;/a&gt; &lt;font&gt;The Daily&lt;/font&gt;</description>'
        '<source url="https://daily.example">The Daily</source>'
    )
    item = items(rss(google))[0]
    assert (item.title, item.publisher, item.summary) == ("Defector tells story", "The Daily", "")
    assert items(rss("<title>Kept - whole</title>"))[0].title == "Kept - whole"


def test_ids_are_unique_and_stay() -> None:
    """Twice the same id: with one link and a title that is mended an update, else two, alike whichever is known."""
    twice = "<guid>{0}</guid><link>https://example.org/{1}</link><title>{2}</title><pubDate>{3}</pubDate>"
    document = rss(
        twice.format("a", 1, "Four reach the island", "2026-01-01"),
        twice.format("a", 1, "Five reach the island", "2026-01-02"),
        twice.format("l", 1, "Council meets", "2026-01-01"),
        twice.format("l", 1, "A prize for a film", "2026-01-02"),
        twice.format("b", 2, "x", ""),
        twice.format("b", 3, "y", ""),
        "<title>no id</title><link>https://example.org/4</link>",
        "<title>only text</title>",
        "<guid isPermaLink='false'>c</guid><title>no link</title>",
        "<guid isPermaLink='false'>c</guid><title>a link</title><link>https://example.org/5</link>",
    )
    found = parse(document)
    assert [(item.id[:7], item.title) for item in found.items] == [
        ("a", "Five reach the island"),
        ("digest:", "Council meets"),
        ("digest:", "A prize for a film"),
        ("b https", "x"),
        ("b", "y"),
        ("https:/", "no id"),
        ("digest:", "only text"),
        ("c no li", "no link"),
        ("c", "a link"),
    ]
    for item in found.items:
        known = found.entries - {item.fingerprint}
        assert parse(document, known=Known(head=found.head_digest, entries=known)).items == (item,)


def test_relative_links_are_resolved() -> None:
    """Against xml:base, else the document's own address; ids stay as they were given."""
    entries = (
        '<entry xml:base="https://b.org/x/"><id>t3_1</id><link href="a b"/></entry><entry><link href="c"/></entry>'
    )
    assert [item.link for item in items(ATOM.format(entries))] == [
        "https://b.org/x/a%20b",
        "https://example.org/news/c",
    ]
    assert items(ATOM.format(entries))[0].id == "t3_1"
    assert items(rss("<title>x</title><link>javascript:alert(1)</link>"))[0].link is None


def test_text_fields_are_plain_and_bounded() -> None:
    """Markup goes, entities are read once, the body is kept only where it says more than the summary."""
    content = '<content:encoded xmlns:content="http://purl.org/rss/1.0/modules/content/">{}</content:encoded>'
    item = items(
        rss("<title>AT&amp;amp;T &lt;b&gt;up&lt;/b&gt;</title><description>Short</description>"
            + content.format("&lt;p&gt;Long " + "word " * 9_000 + "&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;")
            + "<category>a</category><category>a</category><author>x@example.org (Kim)</author>"
            '<enclosure url="/a.mp3" length="x" type="audio/mpeg"/>')
    )[0]  # fmt: skip
    assert (item.title, item.summary, item.categories, item.authors) == ("AT&T up", "Short", ("a",), ("Kim",))
    assert item.body.startswith("Long word")
    assert len(item.body) <= 20_000
    assert [(one.url, one.type, one.length) for one in item.enclosures] == [
        ("https://example.org/a.mp3", "audio/mpeg", None)
    ]
    assert items(ATOM.format('<entry><title type="text">a &lt;b&gt; c</title></entry>'))[0].title == "a <b> c"


MEDIA = """<media:group xmlns:media="http://search.yahoo.com/mrss/">
<media:content url="https://example.org/big.jpg?w=2" width="2000"/><media:content url="/small.png" medium="image"/>
<media:content url="/film.mp4" fileSize="9"/><media:content url="/talk" type="audio/ogg"/>
<media:content url="https://player.example/v/1" type="application/x-shockwave-flash"/>{}</media:group>"""


@pytest.mark.parametrize(
    ("entry", "image"),
    [
        (MEDIA.format('<media:thumbnail url="/a.jpg" width="9"/><media:thumbnail url="/b.jpg" width="10"/>'), "/b.jpg"),
        (MEDIA.format(""), "/big.jpg?w=2"),
        ('<itunes:image xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" href="/cover.png"/>', "/cover.png"),
        ('<enclosure url="/photo" type="image/jpeg" length="1"/>', "/photo"),
        ('<enclosure url="/talk.mp3" type="audio/mpeg" length="1"/>', None),
    ],
)
def test_a_picture_stands_for_an_entry(entry: str, image: str | None) -> None:
    """The widest thumbnail, else the widest picture of Media RSS, the episode's cover, or an enclosed picture."""
    (item,) = items(rss(f"<title>x</title>{entry}"))
    assert item.image == (image and "https://example.org" + image)


def test_media_rss_brings_enclosures() -> None:
    """Sound and video, by their type or their ending; pictures and pages that play something are none."""
    (item,) = items(rss("<title>x</title>" + MEDIA.format("")))
    assert [(one.url, one.type, one.length) for one in item.enclosures] == [
        ("https://example.org/film.mp4", "video/mp4", 9),
        ("https://example.org/talk", "audio/ogg", None),
    ]


@pytest.mark.parametrize(
    ("name", "entries", "pictures", "enclosed"),
    [
        ("podcast_en_welcometonightvale-com_rss20.xml", 1, 1, ["audio/mpeg"]),
        ("podcast_de_swr-de_swr2-impuls-wissen-aktuell_rss20.xml", 1, 1, ["audio/mpeg"]),
        ("video_en_youtube-com_secdsm_atom10.xml", 6, 6, []),
        ("news_es_elpais-com_feed-mrss-s_rss20.xml", 6, 6, ["video/mp4"] * 2),
        ("news_en_theguardian-com_rss20.xml", 6, 6, []),
    ],
)
def test_media_of_real_feeds_is_read(name: str, entries: int, pictures: int, enclosed: list[str]) -> None:
    """Podcasts, YouTube, and newspapers that write Media RSS."""
    found = parse((FEEDS / name).read_bytes()).items
    assert len(found) == entries
    assert sum(item.image is not None for item in found) == pictures
    assert [one.type for item in found for one in item.enclosures] == enclosed


def test_the_language_is_configured_declared_or_detected() -> None:
    """In this order, and a declared one that the letters contradict does not count."""
    korean, english = (
        "<title>탈북민 세 명이 배를 타고 귀순했다</title>",
        "<title>Three of them fled by boat to the South</title>",
    )
    head = "<language>en-us</language>"
    free = replace(SOURCE, language=None)
    assert [item.language for item in items(rss(korean, english, head=head), free)] == ["ko", "en-US"]
    assert [item.language for item in items(rss(korean, english), free)] == ["ko", "en"]
    assert [item.language for item in items(rss(english), replace(SOURCE, language="en-GB"))] == ["en-GB"]


def test_dates_without_zone_are_of_the_source_s_country() -> None:
    """Claimed dates are kept as claimed, future ones included; unreadable ones are none."""
    korean = Source("https://www.example.kr/rss", "K")
    dated = [
        entry(n, f"<pubDate>{date}</pubDate>") for n, date in enumerate(["2026-09-27 10:11:12", "2099-01-01", "soon"])
    ]
    first, future, none = (item.published for item in items(rss(*dated), korean))
    assert first == datetime(2026, 9, 27, 1, 11, 12, tzinfo=UTC)
    assert future == datetime(2098, 12, 31, 15, tzinfo=UTC)
    assert none is None
    dc = '<dc:date xmlns:dc="http://purl.org/dc/elements/1.1/">2026-09-27T01:11:12Z</dc:date>'
    assert items(rss(entry(1, dc)))[0].published == datetime(2026, 9, 27, 1, 11, 12, tzinfo=UTC)


def test_the_head_tells_when_and_where_to_ask_again() -> None:
    """Hub, self, ttl or syndication period, hours and days to skip, from RSS, Atom and JSON Feed."""
    head = parse(rss(
        head="<title>A &amp;amp; B</title><link>/</link><language>ko_KR</language><ttl>90</ttl>"
        '<link xmlns="http://www.w3.org/2005/Atom" rel="self" href="/feed"/>'
        '<link xmlns="http://www.w3.org/2005/Atom" rel="hub" href="https://hub.org/"/>'
        "<skipHours><hour>0</hour><hour>24</hour><hour>23</hour><hour>x</hour></skipHours>"
        "<skipDays><day>Sunday</day></skipDays>"
    )).head  # fmt: skip
    assert (head.title, head.link, head.language) == ("A & B", "https://example.org/", "ko-KR")
    assert (head.self_link, head.hub) == ("https://example.org/feed", "https://hub.org/")
    assert (head.ttl, head.skip_hours, head.skip_days) == (timedelta(minutes=90), frozenset({0, 23}), frozenset({6}))
    twice_a_day = '<x:updatePeriod xmlns:x="http://purl.org/rss/1.0/modules/syndication/">daily</x:updatePeriod>'
    twice_a_day += '<x:updateFrequency xmlns:x="http://purl.org/rss/1.0/modules/syndication/">2</x:updateFrequency>'
    assert parse(rss(head=twice_a_day)).head.ttl == timedelta(hours=12)
    json = '{"version": "https://jsonfeed.org/version/1.1", "items": [], "hubs": [{"type": "WebSub", "url": "https://hub.org/"}]}'
    assert parse(json).head.hub == "https://hub.org/"
    assert parse(rss(head="<ttl>99999999999</ttl>")).head.ttl is None
    assert parse(rss(head="<ttl>15</ttl>" + twice_a_day)).head.ttl == timedelta(hours=12)  # the longer holds for both


PODLOVE = "<psc:chapters xmlns:psc='http://podlove.org/simple-chapters'><psc:chapter title='x'/></psc:chapters>"


@pytest.mark.parametrize("bad", ["<pubDate>2026-09-27</pubDate>", PODLOVE, "<links>x</links>"])
def test_one_bad_entry_costs_that_entry(bad: str) -> None:
    """The others are read, and the loss is noted."""
    found = parse(rss(entry(1), bad, entry(2)))
    assert [item.id for item in found.items] == ["1", "2"]
    assert [problem for problem in found.problems if "entry" in problem and "left out" in problem]


def test_an_entry_in_an_entry_is_part_of_it() -> None:
    """The reader that takes it for one more gives nobody another one's text."""
    inner = f"<title>Outer</title><guid>o</guid><item>{entry(7)}</item>"
    assert [item.title for item in items(rss(entry(1), inner, entry(2)))] == ["Title 1", "Outer", "Title 2"]


@pytest.mark.parametrize("name", ["authors", "links", "tags", "content", "title_detail", "published_parsed", "image"])
def test_an_element_may_be_called_as_readers_call_what_they_found(name: str) -> None:
    """It tells nothing, and costs nothing, wherever it stands."""
    for text in (f"{entry(1)}<{name}>Kim Lee</{name}>", f"<{name} a='b'>Kim Lee</{name}>{entry(1)}"):
        (item,) = items(rss(text))
        assert (item.id, item.link, item.title) == ("1", "https://example.org/1", "Title 1")


@pytest.mark.parametrize(
    "document",
    [
        rss(
            "<item><title>Inner</title></item><title>T &lt;b>x&lt;/b></title><link>https://a.example/1</link>"
            "<guid>g</guid><description>S</description><pubDate>2026-06-15</pubDate>"
        ),
        rss(
            f"<title>T x</title>{PODLOVE}<link>https://a.example/1</link><guid>g</guid><description>S</description>"
            "<dc:date xmlns:dc='http://purl.org/dc/elements/1.1/'>2026-06-15</dc:date>"
        ),
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry><links/><title>T x</title><id>g</id><summary>S</summary>'
        '<link rel="self" href="/2"/><link href="https://a.example/1"/><published>2026-06-15</published></entry></feed>',
    ],
)
def test_what_feedparser_fails_at_is_read_by_its_names(document: str) -> None:
    """Its title, link, id, date and text; markup is markup, and an entry that stands in it is another matter."""
    (item,) = items(document)
    assert (item.title, item.link, item.id, item.summary) == ("T x", "https://a.example/1", "g", "S")
    assert item.published == datetime(2026, 6, 15, tzinfo=UTC)
