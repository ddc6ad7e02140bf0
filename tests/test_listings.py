"""Sources without a feed: HTML pages by selectors, Google News sitemaps, and lists of sitemaps."""

from __future__ import annotations

import gzip
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import parse, webpage
from aggregator.config import load
from aggregator.engine import Children, direct
from aggregator.errors import ConfigError, FeedError
from aggregator.model import Document, Known, Selectors, Source
from aggregator.sources import from_opml, to_opml, toml_block
from tests.command import NOT_SERVED, aggregator, feed
from tests.lab import Lab, Reply

DATA = Path(__file__).parent / "data" / "listings"
CARDS = Selectors("article.card", "h2.card-title", "", "time", "p.teaser")
BOARD = Selectors("table.board tr:has(td)", "td.subject", "td.subject a", "td.date")
PAGE = "https://example.org/reports/index.html"
TITLE = "North Korean defector elected to Seoul council"


def read(name: str, source: Source, known: Known | None = None, url: str = PAGE) -> Document:
    return parse.read(url, (DATA / name).read_bytes(), None, source, known or Known(), direct)


def page(select: Selectors = CARDS, url: str = PAGE) -> Source:
    return Source(url, "Institute", kind="page", select=select)


def sitemap(url: str = "https://news.example/sitemap.xml") -> Source:
    return Source(url, "Times", kind="sitemap")


# Pages


def test_page_is_read_by_its_selectors() -> None:
    """Title, absolute link, date and summary of each item; what has neither title nor link is passed over."""
    first, second, third = read("cards.html", page()).items
    assert (first.title, first.link) == (TITLE, "https://example.org/reports/2026/council")
    assert first.published == datetime(2026, 6, 14, 8, 30, tzinfo=UTC)
    assert first.summary == "She left Hyesan in 2011."
    assert second.title == "Rice harvest & weather"
    assert second.link == "https://example.org/reports/2026/rice?utm_source=x&id=7"
    assert second.published == datetime(2026, 6, 12, tzinfo=UTC)
    assert (third.title, third.link) == ("No link here", None)
    assert {item.language for item in (first, second, third)} == {"en-GB"}


def test_page_in_an_old_encoding_is_read() -> None:
    """A Korean board of tables, in the encoding that its head names; days there are days in Seoul."""
    document = read(
        "board.html", page(BOARD, "https://board.example.kr/list.php"), url="https://board.example.kr/list.php"
    )
    assert [item.title for item in document.items] == ["탈북민 정착 지원 센터 문 열어", "쌀 수확 시작"]
    assert document.items[0].link == "https://board.example.kr/view.php?no=2"
    assert document.items[0].published == datetime(2026, 6, 13, 15, tzinfo=UTC)
    assert document.head.title == "게시판"


@pytest.mark.parametrize("content_type", [None, "text/html", "text/html; charset=euc-kr", "text/html; charset=utf-8"])
def test_encoding_that_the_head_names_counts_where_the_header_names_none(content_type: str | None) -> None:
    """Also beside a header that says "text/html" and no more; nothing is said to be missing or wrong."""
    text = '<meta http-equiv="Content-Type" content="text/html; charset=euc-kr"><p><a href="/1">탈북민 정착</a></p>'
    data = text.encode("euc-kr")
    document = parse.read(PAGE, data, content_type, page(Selectors("p")), Known(), direct)
    assert [item.title for item in document.items] == ["탈북민 정착"]
    assert document.problems == ()


def test_a_date_that_counts_from_today_makes_no_entry_new() -> None:
    """ "3 hours ago" reads otherwise at each visit; a date in full that changes is an edit."""
    text = '<p><a href="/1">Defector speaks</a> <time>{}</time></p>'

    def found(date: str, known: Known) -> Document:
        return parse.read(PAGE, text.format(date).encode(), None, page(Selectors("p")), known, direct)

    first = found("3 hours ago", Known())
    known = Known(head=first.head_digest, entries=first.entries)
    assert [found(date, known).items for date in ("4 hours ago", "yesterday", "3시간 전", "2日前", "10:30")] == [()] * 5
    assert len(found("14 June 2026", known).items) == 1


def test_item_may_be_the_link_itself() -> None:
    """Where a list consists of links, the item alone says it all."""
    document = read("board.html", page(Selectors("td.subject a")))
    assert [item.title for item in document.items] == ["탈북민 정착 지원 센터 문 열어", "쌀 수확 시작"]
    assert document.items[1].link == "https://example.org/reports/view.php?no=1"


def test_only_new_entries_of_a_page_are_considered() -> None:
    """What was seen is passed over while its text stays the same, and read again when the selectors change."""
    first = read("cards.html", page())
    known = Known(head=first.head_digest, entries=first.entries)
    assert read("cards.html", page(), known).items == ()
    assert len(read("cards.html", page(Selectors("article.card", "h2")), known).items) == 3


@pytest.mark.parametrize(
    ("select", "said"),
    [
        (
            Selectors("div.story"),
            "select.item, 'div.story', matches nothing on the page titled “Reports – Example Institute”",
        ),
        (Selectors("article.advert", "h1"), "select.title, 'h1', matches nothing in the 1 items"),
    ],
)
def test_page_that_no_longer_fits_is_a_failure_in_words(select: Selectors, said: str) -> None:
    """A site that changed its looks must not pass for one without news."""
    with pytest.raises(FeedError, match=re.escape(said)):
        read("cards.html", page(select))


@given(st.binary(max_size=400), st.sampled_from(["a", "p > a", "*", "[class]"]))
def test_no_bytes_break_the_reading_of_a_page(data: bytes, item: str) -> None:
    """Whatever a server sends, it is a document or a failure in words."""
    with suppress(FeedError):
        assert parse.read(PAGE, b"<html><p><a href=x>y</a>" + data, None, page(Selectors(item)), Known(), direct).items


def test_hostile_page_costs_its_own_child() -> None:
    """A tag with 50,000 attributes, which takes half a minute, is stopped when its time is over."""
    bomb = b"<html><a " + b"".join(b"a%d=1 " % number for number in range(50_000)) + b">x</a>"
    isolate = Children(1, 2.0, 256)
    try:
        with pytest.raises(FeedError, match="took longer than 2 seconds"):
            parse.read(PAGE, bomb, None, page(Selectors("a")), Known(), isolate)
    finally:
        isolate.close()


# Sitemaps


def test_news_sitemap_is_read() -> None:
    """Titles, links, dates, keywords and language, the newest first; pages without a title are passed over."""
    document = read("news-sitemap.xml", sitemap())
    assert [item.title for item in document.items] == [TITLE, "Rice harvest begins"]
    assert document.items[0].link == "https://news.example/2026/council"
    assert document.items[0].published == datetime(2026, 6, 14, 0, 30, tzinfo=UTC)
    assert document.items[0].categories == ("North Korea", "defectors")
    assert document.head.title == "The Example Times"
    known = Known(head=document.head_digest, entries=document.entries)
    assert read("news-sitemap.xml", sitemap(), known).items == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<urlset><url><loc>https://news.example/a</loc></url></urlset>", "pages without titles"),
        ("<rss version='2.0'><channel/></rss>", "outermost element is <rss>"),
        ("Not found", "it is no XML"),
    ],
)
def test_what_is_no_news_sitemap_is_a_failure_in_words(text: str, said: str) -> None:
    """A sitemap of addresses alone cannot be judged."""
    with pytest.raises(FeedError, match=said):
        parse.read("https://news.example/s.xml", text.encode(), None, sitemap(), Known(), direct)


def test_sitemap_with_an_undeclared_prefix_is_read() -> None:
    """The prefix says enough where its declaration was forgotten; fuzzing found that it cost the visit."""
    data = b"<urlset><url><loc>https://news.example/1</loc><n:news><n:publication><n:language>en-GB</n:language>"
    data += b"</n:publication><n:title>Defector speaks</n:title></n:news></url></urlset>"
    (item,) = parse.read(PAGE, data, None, sitemap(), Known(), direct).items
    assert (item.title, item.language) == ("Defector speaks", "en-GB")


def test_sitemap_declares_no_entities() -> None:
    """Nothing is expanded and nothing outside is read."""
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    text = (DATA / "news-sitemap.xml").read_text().replace("Rice harvest", "&a;&b;Rice").partition("?>")[2]
    document = parse.read("https://news.example/s.xml", (bomb + text).encode(), None, sitemap(), Known(), direct)
    assert not any("aaaa" in item.title or "root:" in item.title for item in document.items)


# The whole program


def configured(folder: Path, *tables: str) -> None:
    text = NOT_SERVED + "".join(f"[[source]]\n{table}\n" for table in tables)
    (folder / "config.toml").write_text(text, encoding="utf-8")


def selecting(select: Selectors) -> str:
    names = ("item", "title", "link", "date", "summary")
    return "[source.select]\n" + "".join(f"{name} = {json.dumps(getattr(select, name))}\n" for name in names)


def test_page_and_sitemap_reach_the_feed(tmp_path: Path, lab: Lab) -> None:
    """Through the same visit as a feed: conditional, in a child, each story once, whoever told it."""
    cards = Reply(200, (("ETag", '"1"'), ("Content-Type", "text/html")), (DATA / "cards.html").read_bytes())
    lab.route("/reports/", cards, Reply(304))
    lab.route("/news.xml", Reply(200, (), (DATA / "news-sitemap.xml").read_bytes()))
    configured(
        tmp_path,
        f'name = "Institute"\nurl = "{lab.url("/reports/")}"\nkind = "page"\n{selecting(CARDS)}',
        f'name = "Times"\nurl = "{lab.url("/news.xml")}"\nkind = "sitemap"',
    )
    done = aggregator(tmp_path, "run", "--once")
    assert done.returncode == 0, done.stderr
    (story,) = feed(tmp_path)
    assert {member["source"] for member in story["_story"]["members"]} == {"Institute", "Times"}
    again = aggregator(tmp_path, "run", "--once", "--now")
    assert "unchanged (304)" in again.stdout
    assert lab.seen("/reports/")[1].header("If-None-Match") == '"1"'


def test_compressed_sitemap_is_read_and_can_be_added(tmp_path: Path, lab: Lab) -> None:
    """A file sitemap.xml.gz is unpacked, as sitemaps.org has it; `sources add --kind sitemap` tries it first."""
    packed = gzip.compress((DATA / "news-sitemap.xml").read_bytes())
    lab.route("/news.xml.gz", Reply(200, (("Content-Type", "application/x-gzip"),), packed))
    lab.route("/page", Reply(200, (("Content-Type", "text/html"),), b"<html><title>No sitemap</title></html>"))
    configured(tmp_path)
    refused = aggregator(tmp_path, "sources", "add", lab.url("/page"), "--kind", "sitemap")
    assert (refused.returncode, "is not a Google News sitemap" in refused.stderr) == (1, True)
    done = aggregator(tmp_path, "sources", "add", lab.url("/news.xml.gz"), "--kind", "sitemap", "--name", "Times")
    assert done.returncode == 0, done.stderr
    assert 'kind = "sitemap"' in (tmp_path / "config.toml").read_text()
    done = aggregator(tmp_path, "run", "--once")
    assert done.returncode == 0, done.stderr
    assert feed(tmp_path)


def test_list_of_sitemaps_is_followed_to_the_newest_of_news(tmp_path: Path, lab: Lab) -> None:
    """The list is asked conditionally; only when it has changed, the sitemap that it dates last."""
    index = (DATA / "sitemap-index.xml").read_bytes()
    lab.route("/sitemap.xml", Reply(200, (("ETag", '"1"'),), index), Reply(304))
    lab.route("/news-sitemap-2.xml", Reply(200, (), (DATA / "news-sitemap.xml").read_bytes()))
    configured(tmp_path, f'name = "Times"\nurl = "{lab.url("/sitemap.xml")}"\nkind = "sitemap"')
    assert "2 new items, 1 kept" in aggregator(tmp_path, "run", "--once").stdout
    assert "unchanged (304)" in aggregator(tmp_path, "run", "--once", "--now").stdout
    assert [request.path for request in lab.requests] == ["/sitemap.xml", "/news-sitemap-2.xml", "/sitemap.xml"]


def test_list_of_sitemaps_without_dates_is_asked_whole(tmp_path: Path, lab: Lab) -> None:
    """It does not change when its sitemaps do, so that "not modified" would say nothing of them."""
    index = re.sub(rb"<lastmod>.*?</lastmod>", b"", (DATA / "sitemap-index.xml").read_bytes())
    lab.route("/sitemap.xml", Reply(200, (("ETag", '"1"'),), index))
    lab.route("/news-sitemap-2.xml", Reply(200, (), (DATA / "news-sitemap.xml").read_bytes()))
    configured(tmp_path, f'name = "Times"\nurl = "{lab.url("/sitemap.xml")}"\nkind = "sitemap"')
    aggregator(tmp_path, "run", "--once")
    assert "unchanged (same bytes)" in aggregator(tmp_path, "run", "--once", "--now").stdout
    assert lab.seen("/sitemap.xml")[1].header("If-None-Match") is None


def test_changed_selectors_read_the_page_anew(tmp_path: Path, lab: Lab) -> None:
    """Though the server would say that nothing has changed."""
    lab.route("/", Reply(200, (("ETag", '"1"'),), (DATA / "cards.html").read_bytes()))
    table = f'name = "Institute"\nurl = "{lab.url("/")}"\nkind = "page"\n'
    configured(tmp_path, table + selecting(Selectors("article.card", "h2")))
    aggregator(tmp_path, "run", "--once")
    configured(tmp_path, table + selecting(CARDS))
    aggregator(tmp_path, "run", "--once", "--now")
    assert [request.header("If-None-Match") for request in lab.requests] == [None, None]


# Configuration


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('kind = "page"', 'kind = "page" needs a table [source.select]'),
        ('kind = "html"', "Input should be 'feed', 'sitemap' or 'page'"),
        ('select = { item = "a" }', 'select belongs to a source with kind = "page"'),
        ('kind = "page"\nselect = { item = "a[" }', "is no CSS selector"),
        ('kind = "page"\nselect = { item = "a", titel = "b" }', "did you mean title?"),
        ('kind = "page"\nselect = { item = "" }', "select.item"),
    ],
)
def test_check_names_what_is_wrong_with_a_listing(tmp_path: Path, table: str, said: str) -> None:
    """Selectors are tried before anything is asked."""
    configured(tmp_path, f'name = "X"\nurl = "https://example.org/"\n{table}')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.toml")
    assert said in str(caught.value)
    assert "[[source]] 1 (X)" in str(caught.value)


def test_selectors_of_all_sorts_are_understood() -> None:
    """What CSS offers for choosing elements of a page at rest."""
    for selector in ("ul.news > li:not(.ad) a", "li:nth-child(2n+1)", "a[href^='/2026/']", "tr:has(td)", "h2, h3"):
        assert webpage.fault(selector) is None
    for selector in ("a:hover(", "a::text", "", ">"):
        assert webpage.fault(selector)


def test_listing_is_written_as_it_is_read(tmp_path: Path) -> None:
    """`sources` writes a table that reads back the same; a list of feeds for others leaves it out."""
    source = page()
    (tmp_path / "config.toml").write_text(toml_block(source), encoding="utf-8")
    assert load(tmp_path / "config.toml").listed(enabled=True) == (source,)
    known = Source("https://example.org/feed", "Feed")
    assert from_opml(to_opml([source, known])) == (known,)
