"""The page in a real browser: readable, accessible, harmless, on a phone and on a desk, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aggregator.entries import story_path
from aggregator.model import Edition, Evidence, Line
from aggregator.page import subjects_html
from aggregator.publish import FolderPublisher
from aggregator.render import render, render_found, render_month, render_slices, render_stories
from aggregator.serve import Server, build_app
from aggregator.slices import Slice
from tests.editions import LINK, NOON, REALISTIC, edition, member, story

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

DAYS = tuple((NOON.date() - timedelta(days=3 * turn), 1 + turn % 4) for turn in reversed(range(40)))

OWN = story_path(REALISTIC.stories[0].id)
PAGES = ("", OWN, "month/index.html", "month/2026-03.html", "slice/index.html", "found.html", "410.html", "front.html")
HOSTILE = "<img src=x onerror=alert(1)><svg/onload=alert(1)>\"'><script>alert(1)</script></style></script>{{7*7}}"
HOSTILE_EDITION = replace(
    edition(
        story(
            1,
            member(
                1,
                title=HOSTILE,
                summary=HOSTILE,
                source=HOSTILE,
                url="https://a.example/\"onmouseover='alert(1)'",
                site="javascript:alert(1)",
                language='"><script>alert(1)</script>',
                authors=(HOSTILE,),
                evidence=Evidence("same events", HOSTILE, 0.9, (HOSTILE,)),
                categories=(HOSTILE,),
            ),
            member(2, title=HOSTILE, source=HOSTILE, url="data:text/html,<script>alert(1)</script>", lead=False),
            reasons=(HOSTILE,),
        )
    ),
    title=f"News {HOSTILE}",
    description=HOSTILE,
)


class Visit:
    """A page opened from a real server, and all that the browser said and asked for meanwhile."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.page = browser.new_context(**settings).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("dialog", self._dismiss)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def _dismiss(self, dialog: Any) -> None:
        self.said.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens an edition's page, or the one `at` a path: opened(edition, **the browser's settings)."""
    servers: list[Server] = []
    visits: list[Visit] = []

    def open_page(published: Edition, at: str = "", **settings: Any) -> Visit:
        lines = [Line(story.id, story.title, story.language, story.told) for story in published.stories]
        files = render(published) | render_stories(published) | render_month(published, "2026-03", lines)
        cuts = [Slice("language-ko", "한국어", "language", "ko"), Slice("place-china", "China", "place", "en")]
        FolderPublisher(tmp_path).publish(
            files
            | render_slices(published, cuts)
            | {"found.html": render_found(published, "defector", 2, more=True)}
            | {
                "front.html": subjects_html(
                    [("a", published), ("b", replace(published, title="الشعاب", language="ar"))]
                )
            }
        )
        app = build_app(tmp_path, health=lambda: (True, {}), metrics=lambda: "")
        servers.append(Server(app, "127.0.0.1", 0))
        servers[-1].start()
        visits.append(Visit(browser, servers[-1].address + at, **settings))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.page.context.close()
    for server in servers:
        server.stop()


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("at", PAGES)
def test_a_page_is_accessible(opened: Any, at: str, viewport: dict[str, int], scheme: str) -> None:
    """axe-core finds no violation of WCAG 2.2 AA or of good practice, and nothing that it could not decide."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (npm ci in tests/)")
    page = opened(replace(REALISTIC, days=DAYS), at, viewport=viewport, color_scheme=scheme, bypass_csp=True).page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert len(found["passes"]) > 20
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"] + found["incomplete"]] == []


@pytest.mark.parametrize("settings", [{}, {"java_script_enabled": False}], ids=["usual", "no JavaScript"])
def test_the_page_needs_nothing_but_itself(opened: Any, settings: dict[str, Any]) -> None:
    """Nothing is loaded but the page and its icon, nothing is complained about, and the style is let through."""
    visit = opened(REALISTIC, viewport=DESK, **settings)
    assert {urlsplit(url).path for url in visit.asked} <= {"/", "/favicon.svg"}
    assert visit.said == []
    assert visit.page.locator("h1").bounding_box()["height"] > 50  # 3.6rem: the style sheet counts


@pytest.mark.parametrize("guarded", [True, False], ids=["with the policy", "without"])
def test_no_text_of_a_source_comes_alive(opened: Any, guarded: bool) -> None:
    """Markup in any field is shown as text; no script runs, even in a browser that ignores the page's policy."""
    visit = opened(HOSTILE_EDITION, viewport=DESK, bypass_csp=not guarded)
    page = visit.page
    for link in page.locator("main a").all():
        link.hover()
    assert visit.said == []
    assert page.locator("img, script:not([type='application/ld+json'])").count() == 0
    assert page.locator("h3").inner_text().replace("\u2060", "") == HOSTILE
    assert page.title().replace("\u2060", "") == f"News {HOSTILE}"
    links = page.eval_on_selector_all("a", "links => links.map(a => a.href)")
    assert {urlsplit(href).scheme for href in links} == {"http", "https", "feed"}
    assert [href for href in links if href.startswith("feed:")] == ["feed://feed.example/nk/atom.xml"]
    assert {urlsplit(url).path for url in visit.asked} <= {"/", "/favicon.svg"}


@pytest.mark.parametrize("guarded", [True, False], ids=["with the policy", "without"])
def test_no_text_of_a_source_comes_alive_on_a_story_s_page(opened: Any, guarded: bool) -> None:
    """Neither do evidence and reasons; the page loads its style and its icon, and nothing else."""
    own = story_path(HOSTILE_EDITION.stories[0].id)
    visit = opened(HOSTILE_EDITION, own, viewport=DESK, bypass_csp=not guarded)
    assert visit.said == []
    assert visit.page.locator("img, script:not([type='application/ld+json'])").count() == 0
    assert visit.page.locator("h1").inner_text().replace("\u2060", "") == HOSTILE
    assert visit.page.locator("h1").evaluate("e => getComputedStyle(e).fontWeight") == "700"
    assert {urlsplit(url).path for url in visit.asked} <= {f"/{own}", "/favicon.svg", "/style.css"}


def test_nothing_sticks_out_of_a_small_phone(opened: Any) -> None:
    """At 320 pixels even a title without a single space is broken; the page never scrolls sideways."""
    long = story(
        1, member(1, title="탈북" * 200, summary="https://" + "x" * 400, source="W" * 90), member(2, lead=False)
    )
    page = opened(edition(long, title="Unaussprechlichkeiten" * 3), viewport={"width": 320, "height": 640}).page
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_texts_run_in_their_own_direction(opened: Any) -> None:
    """An Arabic title runs from the right, and in its font; the page around it from the left."""
    page = opened(REALISTIC, viewport=DESK).page
    title = page.locator("h3[lang=ar]")
    assert title.evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert page.locator("h3[lang=ru]").evaluate("e => getComputedStyle(e).direction") == "ltr"
    assert "Arabic" in title.evaluate("e => getComputedStyle(e).fontFamily")
    assert "CJK KR" in page.locator("bdi[lang=ko]").evaluate("e => getComputedStyle(e).fontFamily")


def test_the_keyboard_reaches_the_stories_at_once(opened: Any) -> None:
    """The first press of Tab shows a link that leads past the heading."""
    page = opened(REALISTIC, viewport=DESK).page
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    playwright.expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert urlsplit(page.url).fragment == "stories"


def test_each_day_has_its_heading(opened: Any) -> None:
    """Stories stand under the day on which they were first told, newest first."""
    days = [story(number, told=NOON.replace(day=day)) for number, day in enumerate([3, 3, 2, 1])]
    page = opened(edition(*days), viewport=DESK).page
    assert page.locator("h2").all_inner_texts() == [
        "Tuesday\n3 March 2026",
        "Monday\n2 March 2026",
        "Sunday\n1 March 2026",
    ]
    assert [section.locator("article").count() for section in page.locator("section").all()] == [2, 1, 1]


def test_the_feeds_are_a_click_away(opened: Any) -> None:
    """The links under the heading lead to the feeds, by addresses that hold wherever the folder is served."""
    visit = opened(REALISTIC, viewport=PHONE)
    for name in ("RSS", "Atom", "JSON Feed"):
        href = visit.page.get_by_role("navigation").get_by_role("link", name=name).evaluate("a => a.href")
        assert visit.page.request.get(href).ok


def test_one_click_subscribes(opened: Any) -> None:
    """In a reader on this device, and, where the page is public, in two on the web; each is given the Atom feed."""
    page = opened(REALISTIC, viewport=DESK).page
    address = "https%3A%2F%2Ffeed.example%2Fnk%2Fatom.xml"
    assert page.locator(".once a").evaluate_all("links => links.map(a => a.getAttribute('href'))") == [
        "feed://feed.example/nk/atom.xml",
        f"https://feedly.com/i/subscription/feed%2F{address}",
        f"https://www.inoreader.com/?add_feed={address}",
    ]


@pytest.mark.parametrize("at", ["", story_path(REALISTIC.stories[0].id)])
def test_a_link_to_a_page_shows_what_it_leads_to(opened: Any, at: str) -> None:
    """In the words of Open Graph: title, text, address and a picture that is there, in the size that is named."""
    page = opened(REALISTIC, at, viewport=DESK).page
    tags = page.locator("meta[property^='og:']").all()
    told = {tag.get_attribute("property"): tag.get_attribute("content") for tag in tags}
    assert told["og:url"] == LINK + at
    assert told["og:title"] == (REALISTIC.stories[0].title if at else REALISTIC.title)
    assert told["og:image"] == f"{LINK}sign.png"
    here = urlsplit(page.url)
    page.goto(f"{here.scheme}://{here.netloc}/sign.png")
    size = page.locator("img").evaluate("image => [image.naturalWidth, image.naturalHeight].map(String)")
    assert size == [told["og:image:width"], told["og:image:height"]]


def test_a_page_without_tls_opens_readers_without(opened: Any) -> None:
    """What readers take "feed://" for; services on the web could not reach such a page, as a rule at home."""
    page = opened(replace(REALISTIC, link="http://127.0.0.1:8080/"), viewport=DESK).page
    links = page.locator(".once a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert links == ["feed://127.0.0.1:8080/atom.xml"]


def test_a_story_that_many_told_fills_no_screen(opened: Any) -> None:
    """Five others are shown, the rest by a click, without a script; on paper all are."""
    many = story(1, member(1), *(member(n, lead=False) for n in range(2, 12)))
    page = opened(edition(many), viewport=DESK, java_script_enabled=False).page
    shown = page.locator(".also li:visible")
    assert shown.count() == 5
    assert page.locator("summary").inner_text().startswith("+ 5")
    page.locator("summary").click()
    assert shown.count() == 10


def test_paper_shows_where_links_lead(opened: Any) -> None:
    """Printed, the page leaves out what only a screen can use, and spells out the address of each story."""
    page = opened(REALISTIC, viewport=DESK).page
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation").is_visible()
    assert not page.locator(".why").first.is_visible()
    shown = page.locator(".more a").first.evaluate("a => getComputedStyle(a, '::after').content")
    assert "https://outlet1.example/news/1" in shown
