"""Search over HTTP, as a browser and a feed reader meet it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import feedparser
import pytest
import requests
from lxml import html

from aggregator import lookup
from aggregator.inquiry import Search
from aggregator.press import publish
from aggregator.publish import FolderPublisher
from aggregator.serve import Server, build_app
from aggregator.store import SqlStore
from tests.telling import FRAME, NOW, tell


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = SqlStore(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


@pytest.fixture
def site(store: SqlStore, tmp_path: Path) -> Iterator[str]:
    """The address of a server whose store holds 45 stories."""
    tell(store, *range(1, 46))
    publish(store, FolderPublisher(tmp_path / "public"), FRAME, 10)
    search = Search(
        page=lambda text, number: lookup.page(store, FRAME, text, number),
        feed=lambda text: lookup.feed(store, FRAME, text),
    )
    app = build_app(tmp_path / "public", health=lambda: (True, {}), metrics=lambda: "", search=search)
    server = Server(app, "127.0.0.1", 0)
    server.start()
    yield server.address
    server.stop()


def get(address: str, **headers: str) -> requests.Response:
    return requests.get(address, headers=headers, timeout=10)


def titles(answer: requests.Response) -> list[str]:
    return [str(one.text_content()) for one in html.fromstring(answer.content).iter("h3")]


def test_a_person_searches_all_that_was_ever_told(site: str) -> None:
    """From the box on the page to what was found, newest first, page by page, and from there to each story's page."""
    (form,) = html.fromstring(get(site).content).forms
    assert (form.action, form.method) == ("search", "GET")
    answer = get(site + "search?q=story")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert titles(answer) == [f"Story {number}" for number in range(45, 25, -1)]
    (older,) = html.fromstring(answer.content).xpath("//a[@rel='next']/@href")
    last = get(urljoin(urljoin(site, older), "search?q=story&page=3"))
    assert titles(last) == [f"Story {number}" for number in range(5, 0, -1)]
    assert not html.fromstring(last.content).xpath("//a[@rel='next']")
    (story,) = html.fromstring(get(site + "search?q=%22story 7%22").content).xpath("//h3/a/@href")
    assert "Story 7" in get(urljoin(site, story)).text


def test_the_page_stands_without_a_server_that_answers(site: str, tmp_path: Path) -> None:
    """Put behind another server, the page shows no box; the file is the same."""
    page = (tmp_path / "public" / "index.html").read_text()
    assert "<template>\n<form" in page
    assert "<template>" not in get(site).text


def test_a_search_is_a_feed(site: str) -> None:
    """The page names it; it has its own address and id, and its entries are those of the main feed."""
    page = html.fromstring(get(site + "search?q=" + quote("story 7")).content)
    (address,) = page.xpath("//link[@rel='alternate']/@href")
    answer = get(urljoin(site, address))
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    found = feedparser.parse(answer.content)
    assert found.feed.id == FRAME.link + "search.atom?q=story+7"
    assert {one.rel: one.href for one in found.feed.links} == {
        "self": FRAME.link + "search.atom?q=story+7",
        "alternate": FRAME.link + "search?q=story+7",
    }
    assert [one.title for one in found.entries] == ["Story 7"]
    main = {one.id: one for one in feedparser.parse(get(site + "archive/atom-2.xml").content).entries}
    assert found.entries[0] == main[found.entries[0].id]


@pytest.mark.parametrize("address", ["search?q=story", "search.atom?q=story"])
def test_a_search_is_cheap_to_repeat(site: str, store: SqlStore, address: str) -> None:
    """It has a strong tag, is answered with 304 while nothing is new, and is compressed."""
    first = get(site + address)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    again = get(site + address, **{"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["content-encoding"] == "br"
    assert requests.head(site + address, timeout=10).headers["etag"]
    tell(store, 46)
    assert get(site + address, **{"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("!!!", "no word to look for"),
        ("-story", "no word to look for"),
        ("a" * 5_000, "too long"),
        (" ".join(f"w{number}" for number in range(40)), "too many words"),
        ("story&page=51", "50 pages at most"),
        ("story&page=x", "50 pages at most"),
    ],
)
def test_what_cannot_be_looked_for_is_said_in_words(site: str, query: str, said: str) -> None:
    """The answer is 400, and a page like any other, with the box and a sentence; a feed reader gets the sentence."""
    answer = get(site + "search?q=" + query)
    assert answer.status_code == 400
    assert said in answer.text
    assert html.fromstring(answer.content).forms
    if "page=" not in query:
        feed = get(site + "search.atom?q=" + query)
        assert (feed.status_code, feed.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert said in feed.text


@pytest.mark.parametrize(
    "query", ['" OR 1=1 --', "story*^NEAR(", "document:story", "%00story", "%ff%fe", "<script>alert(1)</script>", "{}"]
)
def test_a_hostile_query_is_taken_as_text(site: str, query: str) -> None:
    """Whatever the index or the page might read as a command is only text to them, in both forms."""
    page, feed = get(site + "search?q=" + query), get(site + "search.atom?q=" + query)
    assert page.status_code in (200, 400)
    assert feed.status_code == page.status_code
    assert "<script" not in page.text
    if feed.status_code == 200:
        assert not feedparser.parse(feed.content).bozo


def test_an_empty_search_shows_the_box(site: str) -> None:
    """Nothing was looked for yet, so nothing is wrong."""
    for address in ("search", "search?q=", "search?q=%20"):
        answer = get(site + address)
        assert answer.status_code == 200
        assert html.fromstring(answer.content).forms


def test_what_is_withdrawn_is_found_no_more(site: str, store: SqlStore) -> None:
    """With the transaction that withdraws it, before anything is published."""
    story = store.stories(1)[0]
    with store.begin() as work:
        work.tell(story.id, None, None, NOW)
    assert titles(get(site + "search?q=story"))[0] == "Story 44"
