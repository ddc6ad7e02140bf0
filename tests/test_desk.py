"""The operator's pages on a real store, over HTTP and in a real browser: what is decided there is published at once."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from aggregator.app import App, SystemClock, open_app
from aggregator.config import load
from aggregator.daemon import Rounds, serving
from aggregator.desk import WORRYING
from aggregator.guard import COOKIE
from aggregator.health import State
from aggregator.model import Changed, Decision, FeedHead, Item, Judged, Reason, Rhythm, Source, Verdict, Visit
from aggregator.settle import settle
from tests.command import HEAD, configure, environment
from tests.daemons import free_port
from tests.test_page import AXE, DESK, PHONE, RULES

TOKEN = "a token that is long enough"
ELECTED = "North Korean defector elected to Seoul council"
SWIMMER = "Swimmer from North Korea reaches Gyodong island, asks to stay in the South"
BAKERY = "설 앞두고 탈북민 제빵사 가게 열어"
GENEVA = "<b>Defectors</b> & others speak in Geneva"
FOOTBALL = "Late goal decides the derby"
LOOK = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@dataclass(frozen=True)
class Site:
    """A program at work, without anything to visit, and where it serves."""

    app: App
    address: str

    def titles(self) -> list[set[str]]:
        """The titles of each published story, as feed.json has them over HTTP."""
        stories = requests.get(self.address + "feed.json", timeout=10).json()["items"]
        return [{member["title"] for member in story["_story"]["members"]} for story in stories]

    def key(self, title: str) -> int:
        return next(one.key for one in self.app.store.lately(50) if one.item.title == title)

    def mark(self, **headers: str) -> str:
        """What the forms carry."""
        page = requests.get(self.address + "status/undecided", headers=headers, timeout=10).text
        found = re.search(r'name="mark" value="(\w+)"', page)
        assert found
        return found[1]

    def post(self, word: str, fields: dict[str, str], **headers: str) -> requests.Response:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.address + f"status/{word}", fields, headers=said, timeout=10, allow_redirects=False)


def bring(app: App, source: Source, *items: tuple[str, Decision, str]) -> None:
    """Settle a visit that brought these: title, decision, language."""
    now = app.collector.clock.now()
    judged: list[Judged] = []
    for title, decision, language in items:
        link = f"https://{urlsplit(source.url).hostname}/{len(judged)}"
        reasons = (Reason("title", "defector", "탈북민", 0.9), Reason("title", "sport", "", -0.2))
        item = Item(source.url, link, link, title, "In the words of one.", published=now, language=language)
        judged.append(Judged(item, Verdict(decision, 0.45, reasons, "r1")))
    visit = Visit(source, now, now + timedelta(seconds=1), Changed(FeedHead("rss20"), tuple(judged), frozenset()))
    settle(app.store, app.rules, visit, Rhythm(), now)


@contextmanager
def at_work(folder: Path, server: str = "") -> Iterator[Site]:
    """Two sources that told three stories, one of them together, and left one item undecided."""
    address = f"127.0.0.1:{free_port()}"
    sources = {"Alpha <News>": "https://user:secret@alpha.example/feed", "Beta": "https://beta.example/feed"}
    configure(folder, sources, HEAD + f'[server]\nlisten = "{address}"\n{server}\n')
    with open_app(load(folder / "config.toml", environment() | {"TOKEN": TOKEN}), SystemClock()) as app:
        alpha, beta = app.frame.sources
        kept, dropped = Decision.KEPT, Decision.DROPPED
        bring(app, alpha, (ELECTED, kept, "en"), (FOOTBALL, dropped, "en"), (GENEVA, Decision.UNDECIDED, "en"))
        bring(app, beta, (ELECTED, kept, "en"), (SWIMMER, kept, "en"), (BAKERY, kept, "ko"))
        rounds = Rounds(app)
        rounds.publish()
        with serving(app, rounds):
            yield Site(app, f"http://{address}/")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For tests that only look."""
    with at_work(tmp_path_factory.mktemp("desk")) as site:
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with at_work(tmp_path) as site:
        yield site


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Site]:
    with at_work(tmp_path, 'token = "${TOKEN}"') as site:
        yield site


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    yield context.new_page()
    context.close()


def paths(site: Site) -> list[str]:
    """One page of each kind."""
    story = site.app.store.stories()[0].id
    source = re.search(r"status/source/\w+", requests.get(site.address + "status/sources", timeout=10).text)
    assert source
    return [
        *("status", "status/sources", "status/sources?state=ok", source[0], "status/undecided", "status/items"),
        *("status/items?decision=dropped", "status/stories", f"status/story/{story}"),
        *(f"status/item/{site.key(title)}" for title in (ELECTED, GENEVA)),
    ]


def test_no_state_of_a_source_is_left_out() -> None:
    """Whatever a source may be, the pages have a place for it."""
    assert sorted(WORRYING) == sorted(State)


class TestPages:
    @pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_every_page_is_accessible(
        self,
        shown: Site,
        browser: Any,
        scheme: str,
        viewport: dict[str, int],
    ) -> None:
        """axe-core finds nothing, nothing sticks out of the screen, and the browser complains about nothing."""
        if not AXE.exists():
            pytest.skip("axe-core is not installed (npm ci in tests/)")
        context = browser.new_context(viewport=viewport, color_scheme=scheme, bypass_csp=True)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        for path in paths(shown):
            page.goto(shown.address + path)
            assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"], path
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
            assert len(found["passes"]) > 15
            wrong = [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"] + found["incomplete"]]
            assert (path, wrong) == (path, [])
        assert said == []
        context.close()

    def test_the_overview_says_how_all_is(self, shown: Site, page: Any) -> None:
        """Sources by state, what was decided and visited lately."""
        page.goto(shown.address + "status")
        figures = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
        assert figures == {"sources ok": "2", "items seen": "6", "items kept": "4", "undecided": "1"}
        assert page.get_by_role("link", name=FOOTBALL).is_visible()
        assert page.locator("tbody tr").count() == 2
        assert page.locator("tbody tr").first.inner_text().split("\t")[1:5] == ["Beta", "changed", "3", "3"]

    def test_a_source_has_its_history_and_hides_its_password(self, shown: Site, page: Any) -> None:
        """What came of each visit, when the next is due and why; the password stands nowhere."""
        page.goto(shown.address + "status/sources")
        page.get_by_role("link", name="Alpha <News>").click()
        assert page.locator("h1").inner_text() == "Alpha <News>"
        assert page.locator("tbody tr").count() == 1
        assert "asked every" in page.locator("tbody tr").inner_text()
        assert "secret" not in page.content() + page.url

    def test_decisions_are_chosen_by_source_and_verdict(self, shown: Site, page: Any) -> None:
        """With reasons and the matched text."""
        page.goto(shown.address + "status/items")
        page.get_by_label("Decision").select_option("kept")
        page.get_by_label("Source").select_option("Beta")
        page.get_by_role("button", name="Show").click()
        assert page.locator("article h2").all_inner_texts() == [BAKERY, SWIMMER, ELECTED]
        assert page.locator("article").first.locator("mark").inner_text() == "탈북민"
        assert "-0.20 title: sport" in page.locator("article").first.inner_text()

    def test_an_item_is_found_by_its_link(self, shown: Site, page: Any) -> None:
        """A story by its id; what is not known is said, not a fault."""
        for what, heading in (
            ("https://alpha.example/2", GENEVA),
            (f"#{shown.key(SWIMMER)}", SWIMMER),
            (shown.app.store.stories()[0].id, None),
        ):
            page.goto(shown.address + "status")
            page.get_by_role("searchbox").or_(page.get_by_label("link, id or number")).first.fill(what)
            page.get_by_role("button", name="Find").click()
            assert heading in (None, page.locator("h2.title").inner_text())
        page.locator("#what").fill("https://nowhere.example/")
        page.get_by_role("button", name="Find").click()
        assert "no item with the link or id" in page.locator(".problem").inner_text()

    def test_what_is_not_there_is_said(self, shown: Site) -> None:
        """404, in words."""
        for path in ("item/999", "source/none", "story/none", "item/99999999999999999999999"):
            answer = requests.get(f"{shown.address}status/{path}", timeout=10)
            assert answer.status_code == 404, path
            assert "Traceback" not in answer.text


class TestDecisions:
    def test_an_undecided_item_is_kept(self, site: Site, page: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The button is pressed, and feed.json has the story; the operator stays on the list, and the log tells."""
        assert {GENEVA} not in site.titles()
        page.goto(site.address + "status/undecided")
        with caplog.at_level(logging.INFO, "aggregator"):
            page.get_by_role("button", name="Keep").click()
        assert {GENEVA} in site.titles()
        assert urlsplit(page.url).path == "/status/undecided"
        assert page.get_by_role("status").inner_text() == "Kept, and published."
        assert "Nothing waits for you." in page.content()
        assert f"the operator has kept #{site.key(GENEVA)}" in caplog.text

    def test_a_kept_item_is_dropped(self, site: Site, page: Any) -> None:
        """Its story is published no more; the curator's word shows on its page, and can be turned round there."""
        page.goto(f"{site.address}status/item/{site.key(SWIMMER)}")
        page.get_by_role("button", name="Drop").click()
        assert {SWIMMER} not in site.titles()
        assert "dropped by you; the rules say kept" in page.locator(".origin").first.inner_text()
        page.get_by_role("button", name="Keep").click()
        assert {SWIMMER} in site.titles()

    def test_a_ruling_is_taken_back(self, site: Site, page: Any) -> None:
        """The rules decide again, as if the curator had said nothing; what they decide is published at once."""
        page.goto(f"{site.address}status/item/{site.key(SWIMMER)}")
        assert page.get_by_role("button", name="Leave it to the rules").count() == 0
        page.get_by_role("button", name="Drop").click()
        page.get_by_role("button", name="Leave it to the rules").click()
        assert {SWIMMER} in site.titles()
        assert "by you" not in page.locator(".origin").first.inner_text()
        assert site.app.store.rulings() == {}

    def test_stories_are_merged_and_split(self, site: Site, page: Any) -> None:
        """By the link of an item in the other, and back by the button beside the member."""
        stories = {one.members[0].item.title: one.id for one in site.app.store.stories()}
        page.goto(f"{site.address}status/story/{stories[SWIMMER]}")
        page.get_by_label("Another, by the link").fill("https://beta.example/2")
        page.locator("form.choose").get_by_role("button", name="Merge").click()
        assert {SWIMMER, BAKERY} in site.titles()
        assert page.locator(".members li").count() == 2
        page.locator(".members li", has_text=BAKERY).get_by_role("button").click()
        assert "own now" in page.get_by_role("status").inner_text()
        assert {SWIMMER} in site.titles()
        assert {BAKERY} in site.titles()

    def test_likely_stories_are_offered_to_be_merged_with(self, site: Site, page: Any) -> None:
        """What was split from a story stands first among those it may be the same as."""
        page.goto(f"{site.address}status/item/{site.key(ELECTED)}")
        page.get_by_role("button", name="Make it a story of its own").click()
        assert site.titles().count({ELECTED}) == 2
        assert ELECTED in page.locator(".likely li").first.inner_text()
        page.locator(".likely li").first.get_by_role("button", name="Merge").click()
        assert site.titles().count({ELECTED}) == 1

    def test_what_cannot_be_done_is_said(self, site: Site, page: Any) -> None:
        """A story is merged with one that is not known: a sentence, and nothing changed."""
        before = site.titles()
        page.goto(f"{site.address}status/story/{site.app.store.stories()[0].id}")
        page.get_by_label("Another, by the link").fill("nowhere")
        page.locator("form.choose").get_by_role("button", name="Merge").click()
        assert "no item with the link or id nowhere" in page.locator(".problem").inner_text()
        assert site.titles() == before

    def test_a_folder_that_cannot_be_written_is_told_of(self, site: Site, page: Any) -> None:
        """The decision is stored all the same."""
        page.goto(site.address + "status/undecided")
        public = site.app.config.resolve(site.app.config.feed.output)
        public.rename(public.with_name("away"))
        public.write_text("in the way")
        page.get_by_role("button", name="Keep").click()
        assert "could not be written" in page.get_by_role("status").inner_text()
        public.unlink()
        public.with_name("away").rename(public)
        stored = site.app.store.item(site.key(GENEVA))
        assert stored is not None
        assert stored.ruling == "keep"


class TestStrangers:
    def test_a_page_elsewhere_cannot_drive_the_desk(self, site: Site, browser: Any) -> None:
        """It knows the form's fields and posts them from its own origin: refused, whatever it tries."""
        key = str(site.key(GENEVA))
        form = f'<form method="post" action="{site.address}status/keep"><input name="item" value="{key}">'
        form += f'<input name="mark" value="{site.mark()}"></form>'
        frame = f'<iframe src="{site.address}status/undecided"></iframe><img src="{site.address}status">'
        context = browser.new_context()
        page = context.new_page()
        page.route("http://evil.example/**", lambda route: route.fulfill(body=form + frame, content_type="text/html"))
        page.goto("http://evil.example/")
        assert page.frames[1].url != site.address + "status/undecided" or "Geneva" not in page.frames[1].content()
        fetched = """([url, body]) => fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body,
            headers: {"content-type": "application/x-www-form-urlencoded"}}).then(a => a.type, e => "blocked")"""
        page.evaluate(fetched, [f"{site.address}status/keep", f"item={key}&mark={site.mark()}"])
        with page.expect_navigation() as led:
            page.evaluate("document.forms[0].submit()")
        assert led.value.status == 403
        assert {GENEVA} not in site.titles()
        context.close()

    def test_a_name_that_was_made_to_point_here_sees_nothing(self, site: Site) -> None:
        """DNS rebinding: the browser takes us for the page's own server, and the Host header gives it away."""
        for headers in ({"Host": "rebound.example"}, {"X-Forwarded-For": "203.0.113.9"}):
            answer = requests.get(site.address + "status/undecided", headers=headers, timeout=10)
            assert answer.status_code == 403
            assert "Geneva" not in answer.text
            assert "mark" not in answer.text

    @pytest.mark.parametrize("word", ["keep", "drop", "merge", "split", "log-out"])
    def test_nothing_acts_without_the_mark(self, site: Site, word: str) -> None:
        """Even what comes from this machine, and says that it comes from our page."""
        fields = {"item": str(site.key(ELECTED)), "story": "x", "with": "y"}
        for mark in ({}, {"mark": ""}, {"mark": "0" * 64}):
            assert site.post(word, fields | mark, Sec_Fetch_Site="same-origin").status_code == 403
        assert requests.get(f"{site.address}status/{word}", timeout=10).status_code in (404, 405)
        assert site.app.store.undecided(9)

    def test_a_form_leads_back_to_our_own_pages_only(self, site: Site) -> None:
        """Whatever address it is told to go back to."""
        for back in ("https://evil.example/", "//evil.example", "status/../../x", "status/\r\nX: 1", "../x", "statusx"):
            fields = {"mark": site.mark(), "item": str(site.key(ELECTED)), "back": back}
            answer = site.post("keep", fields, Sec_Fetch_Site="same-origin")
            assert (answer.status_code, answer.headers["location"]) == (303, "../status?done=keep")

    def test_a_flood_is_not_read(self, site: Site) -> None:
        """A form of a megabyte, and one that is no form."""
        for body in ("item=" + "1" * 2**20, "\xff" * 50, "&" * 10_000):
            answer = requests.post(site.address + "status/keep", body.encode("latin-1"), timeout=10)
            assert answer.status_code == 403

    def test_every_answer_keeps_browsers_strict(self, shown: Site) -> None:
        """No script, no frame, nothing kept, nothing told to others; on pages, refusals and errors."""
        for path in ("status", "status/item/999", "status/style.css"):
            headers = requests.get(shown.address + path, timeout=10).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script" not in policy
            assert "unsafe" not in policy
            assert headers["cache-control"] == "no-store"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["x-content-type-options"] == "nosniff"


class TestToken:
    def test_the_operator_logs_in_and_out(self, locked: Site, page: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The token opens the page that was asked for; a wrong one does not; it shows nowhere."""
        with caplog.at_level(logging.INFO, "aggregator"):
            page.goto(locked.address + "status/undecided")
            assert "Geneva" not in page.content()
            page.get_by_label("Token").fill("a token that is wrong")
            page.get_by_role("button", name="Log in").click()
            assert page.get_by_role("alert").inner_text() == "That is not the token."
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Log in").click()
        assert "Geneva" in page.content()
        cookie = next(one for one in page.context.cookies() if one["name"] == COOKIE)
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.get_by_role("button", name="Keep").click()
        assert {GENEVA} in locked.titles()
        page.get_by_role("button", name="Log out").click()
        assert page.get_by_label("Token").is_visible()
        assert page.context.cookies() == []
        assert TOKEN not in caplog.text + page.content() + json.dumps(cookie) + repr(locked.app.config)
        assert "wrong token" in caplog.text

    def test_on_this_machine_the_token_is_asked_for_too(self, locked: Site) -> None:
        """A proxy that adds no header cannot be told from it."""
        answer = requests.get(locked.address + "status", headers=LOOK, timeout=10)
        assert answer.status_code == 401
        assert "Beta" not in answer.text

    def test_a_script_uses_a_header(self, locked: Site) -> None:
        """It reads and acts with the token; with another it does neither."""
        with_token = {"Authorization": f"Bearer {TOKEN}"}
        assert "Geneva" in requests.get(locked.address + "status/undecided", headers=with_token, timeout=10).text
        item = {"item": str(locked.key(GENEVA))}
        assert locked.post("keep", item, Authorization="Bearer of something else").status_code == 401
        assert {GENEVA} not in locked.titles()
        assert locked.post("keep", item, **with_token).status_code == 303
        assert {GENEVA} in locked.titles()

    def test_behind_https_the_cookie_is_for_https_alone(self, locked: Site) -> None:
        """The browser's Origin says so, also where a proxy does not."""
        for origin, secure in (("https", True), ("http", False)):
            mark = re.search(r'name="mark" value="(\w+)"', requests.get(locked.address + "status", timeout=10).text)
            assert mark
            answer = requests.post(
                locked.address + "status/log-in",
                {"token": TOKEN, "mark": mark[1]},
                headers={"Origin": f"{origin}://example.org", "Host": "example.org"},
                timeout=10,
                allow_redirects=False,
            )
            assert answer.status_code == 303
            assert ("secure" in answer.headers["set-cookie"].lower()) == secure

    def test_a_log_in_that_another_page_sends_is_refused(self, locked: Site) -> None:
        """Nobody is logged in without knowing it."""
        answer = locked.post("log-in", {"token": TOKEN}, Origin="https://evil.example")
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
