"""How the feed of a site is found: what its page and its headers name, and how few questions that takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aggregator.discovery import feeds_of
from aggregator.freshness import linked_feeds
from tests.command import aggregator, configure, rss
from tests.lab import Lab, Reply

ENTRY = ("https://news.example/1", "North Korean defector elected to Seoul council", "")
PAGE = "https://site.example/a/page.html"
RSS = 'rel="alternate" type="application/rss+xml"'


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (f'<link {RSS} href="/1"><link {RSS} href="/2">', ["/1", "/2"]),
        (f'<link {RSS} href=" feed.xml ">', ["/a/feed.xml"]),
        (f'<base href="/root/"><link {RSS} href="feed.xml">', ["/root/feed.xml"]),
        ('<LINK REL="Alternate Home" TYPE="Application/Atom+XML; charset=utf-8" HREF="?f=1">', ["/a/page.html?f=1"]),
        ('<link rel="alternate" type="application/feed+json" href="/feed.json">', ["/feed.json"]),
        ('<link rel="feed" href="/new"><link rel="alternate" href="/print">', ["/new"]),
        (f'<link {RSS} href="feed:https://site.example/1">', ["/1"]),
        (f'<link {RSS} href="javascript:x"><link {RSS} href="">', []),
        (f'<link {RSS} href="/de/comments/feed/"><link {RSS} href="/feed">', ["/feed"]),
        (f'<link {RSS} title="Kommentar-Feed" href="/x/feed"><link {RSS} href="/feed">', ["/feed"]),
        (
            f'<link rel="alternate" type="application/json" href="/wp-json/1"><link {RSS} href="/feed">',
            ["/feed", "/wp-json/1"],
        ),
        ('<link rel="alternate" type="text/xml" href="/rss.xml">', ["/rss.xml"]),
        ("<title>nothing</title>", []),
        ("", []),
    ],
)
def test_a_page_names_its_feeds(head: str, found: list[str]) -> None:
    """In its order, absolute, without those of comments; what may be another thing comes last."""
    assert feeds_of(head.encode(), PAGE) == tuple(f"https://site.example{path}" for path in found)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('</f.xml>; rel="alternate"; type="application/rss+xml"', ("https://site.example/f.xml",)),
        ("<x>; rel=alternate; type=application/feed+json", ("https://site.example/a/x",)),
        ('</wp-json/>; rel="https://api.w.org/", </1>; rel="alternate"; type="application/json"', ()),
        ('</f.xml>; rel="alternate"; hreflang="ko"', ()),
        ('<ftp://x/>; rel="alternate"; type="application/rss+xml"', ()),
        ("", ()),
    ],
)
def test_headers_name_feeds(header: str, found: tuple[str, ...]) -> None:
    """Link with rel=alternate and a feed's type (RFC 8288)."""
    assert linked_feeds(header, PAGE) == found


def test_what_headers_name_goes_first_and_each_address_is_asked_once(tmp_path: Path, lab: Lab) -> None:
    """`sources add` of a site asks for its page, and for the feed; a feed's own address is asked once."""
    page = f'<html><link {RSS} href="/comments/feed/"><link {RSS} href="/body"></html>'
    link = ("Link", '</header>; rel="alternate"; type="application/rss+xml"')
    lab.route("/", Reply(200, (("Content-Type", "text/html"), link), page.encode()))
    for path in ("/header", "/body", "/comments/feed/", "/listed"):
        lab.route(path, Reply(200, (), rss([ENTRY])))
    configure(tmp_path, {"Listed": lab.url("/listed")})
    assert f"({lab.url('/header')})" in aggregator(tmp_path, "sources", "add", lab.url("/")).stdout
    assert [request.path for request in lab.requests] == ["/", "/header"]
    assert f"({lab.url('/body')})" in aggregator(tmp_path, "sources", "add", lab.url("/body")).stdout
    assert "1 listed there already" in aggregator(tmp_path, "sources", "add", lab.url("/listed")).stdout
    assert [request.path for request in lab.requests] == ["/", "/header", "/body"]
