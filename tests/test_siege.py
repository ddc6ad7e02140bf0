"""Hostile sources of every kind at once, over HTTP, through the running program, into a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.command import HEAD, configure, environment
from tests.daemons import daemon, eventually, free_port, get
from tests.site import Site, serving
from tests.test_fuzz import is_harmless
from tests.test_page import DESK

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ON = "North Korean defector"
STORIES = [  # what tells them apart, so that each is a story of its own
    *("opens a noodle restaurant in Busan", "is elected to the council of Seoul", "wins a poetry prize in Berlin"),
    *("testifies before a court in Geneva", "finishes medical school in Toronto", "leads a march through London"),
    *("publishes a memoir on Hyesan", "finds her brother in Osaka", "sails a wooden boat to Sokcho"),
    *("is robbed of savings in Daegu", "teaches mathematics in Oslo", "paints the mountains of Chongjin"),
    *("buys an apple orchard near Andong", "sings at the opera of Vienna", "sues the ministry over housing"),
]
WHERE = "https://hostile.example/"


def scripts(beacon: str) -> str:
    """Markup that would run or load something, in every way that browsers know, and would say so."""
    run = f"alert(1);fetch('{beacon}')"
    return (
        f'<script>{run}</script><img src="{beacon}" onerror="{run}"><svg/onload="{run}"><iframe src="{beacon}">'
        f'<style>@import "{beacon}";*{{background:url({beacon})}}</style><link rel="stylesheet" href="{beacon}">'
        f'<meta http-equiv="refresh" content="0;url={beacon}"><base href="{beacon}"><object data="{beacon}"></object>'
        f'<form action="{beacon}"><input name="q" autofocus onfocus="{run}"></form><video poster="{beacon}"></video>'
        f'<math><mi xlink:href="javascript:{run}">x</mi></math><a href="javascript:{run}" ping="{beacon}">x</a>'
        f'<details open ontoggle="{run}">x</details></title></style></textarea></script>--></body>{{{{7*7}}}}{{%x%}}'
    )


def rss(*items: str, head: str = "<title>x</title>") -> str:
    spaces = 'xmlns:media="http://search.yahoo.com/mrss/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    return (
        f'<rss version="2.0" {spaces}><channel>{head}{"".join(f"<item>{one}</item>" for one in items)}</channel></rss>'
    )


def told(number: int, more: str = "", title: str = "@") -> str:
    """The elements of an entry on the subject; `title`: with what stands around its own, which is @."""
    own = title.replace("@", f"{ON} {STORIES[number]}")
    return f"<title>{own}</title><link>{WHERE}{number}</link><guid>{number}</guid>{more}"


def documents(beacon: str) -> dict[str, str]:
    """What the sources send: name → document. Each has one entry at least that is on the subject."""
    evil = scripts(beacon)
    once, twice = escape(evil), escape(escape(evil))
    link = f"javascript:alert(1)//{beacon}"
    bomb = "<!DOCTYPE r [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    return {
        "scripts.xml": rss(told(0, f"<description>{once}</description><author>{once}</author>", "@ " + once)),
        "escaped-twice.xml": rss(told(1, f"<description>{twice}</description>", "@ " + twice)),
        "cdata.xml": rss(told(2, f"<description><![CDATA[{evil}]]></description><category>{once}</category>")),
        "links.xml": rss(
            f"<title>{ON} {STORIES[3]}</title><guid isPermaLink='true'>{link}</guid><link>{link}</link>"
            f"<comments>{link}</comments><source url='{link}'>{once}</source><enclosure url='{link}' type='text/html'/>"
            f"<media:thumbnail url='data:text/html,{once}'/>",
            f"<title>{ON} {STORIES[4]}</title><guid>d</guid><link>data:text/html;base64,PHNjcmlwdD4=</link>",
        ),
        "atom.xml": (
            '<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><entry xml:base="javascript:alert(1)/">'
            f"<title type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>{ON} {STORIES[5]}<script>alert(1)</script>"
            f"</div></title><id>javascript:alert(1)</id><link href='{link}'/><link rel='related' href='{link}'/>"
            f"<author><name>{once}</name><uri>{link}</uri></author><content type='html'>{once}</content></entry></feed>"
        ),
        "feed.json": json.dumps(
            {
                "version": "https://jsonfeed.org/version/1.1",
                "items": [
                    dict.fromkeys(("id", "url", "external_url", "image", "banner_image"), link)
                    | {"title": f"{ON} {STORIES[6]} {evil}", "content_html": evil, "summary": evil, "tags": [evil]}
                    | {"authors": [{"name": evil, "url": link}], "attachments": [{"url": link, "mime_type": evil}]}
                ],
            }
        ),
        "characters.xml": rss(told(7, title="\u202e\u2066\x0b\x1b[31m\x85\ufeff@\u202d\u2069\x00\ufffe&#0;&#xD800;")),
        "long.xml": rss(told(8, title="@ " + "x" * 1_000_000), told(9, title="@ " + "defector " * 120_000)),
        "dates.xml": rss(
            told(10, "<pubDate>Mon, 01 Jan 1900 00:00:00 GMT</pubDate>"), told(11, "<pubDate>2999-12-31</pubDate>")
        ),
        "bare.xml": rss(
            f"<title>{ON} {STORIES[12]}</title>", "<guid>x</guid>", "", f"<description>{once}</description>"
        ),
        "bomb.xml": bomb + '<!ENTITY f SYSTEM "file:///etc/passwd">]>' + rss(told(13, title="@ &a11;&f;")),
        "cut.xml": rss(told(14), told(0))[:-90],
        "page.html": f"<!DOCTYPE html><title>{once}</title>{evil}",
        "sitemap.xml": (
            '<urlset xmlns:n="http://www.google.com/schemas/sitemap-news/0.9"><url>'
            f"<loc>{link}</loc><n:news><n:title>{ON} from Musan keeps bees in Jeju {once}</n:title></n:news></url>"
            "</urlset>"
        ),
        "listing.html": f'<base href="{link}"><h2><a href="{link}">{ON} of Nampo boxes in Manila {once}</a>{evil}</h2>',
    }


@dataclass(frozen=True)
class Besieged:
    """The program after it has read all of it."""

    address: str
    site: Site
    folder: Path


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    folder = tmp_path_factory.mktemp("siege")
    address = f"127.0.0.1:{free_port()}"
    with serving() as site:
        sent = documents(f"{site.address}/beacon")
        urls = {name: site.put(f"/{name}", document.encode("utf-8", "replace")) for name, document in sent.items()}
        feeds = {name: url for name, url in urls.items() if name not in ("sitemap.xml", "listing.html")}
        configure(folder, feeds, HEAD + f'[server]\nlisten = "{address}"\nrequests_per_minute = 0\n')
        with (folder / "config.toml").open("a", encoding="utf-8") as file:
            file.write(f'[[source]]\nurl = "{urls["sitemap.xml"]}"\nkind = "sitemap"\n')
            file.write(f'[[source]]\nurl = "{urls["listing.html"]}"\nkind = "page"\n[source.select]\nitem = "h2"\n')
        with daemon(folder):
            eventually(lambda: "published in" in (folder / "log").read_text().partition(f"{len(urls)} sources")[2])
            yield Besieged(f"http://{address}/", site, folder)


def asked(site: Site) -> set[str]:
    return {request.path for request in site.requests}


def titles(address: str) -> list[str]:
    status, text = get(address + "feed.json")
    assert status == 200
    return [member["title"] for story in json.loads(text)["items"] for member in story["_story"]["members"]]


def test_all_that_can_be_read_is_told(besieged: Besieged) -> None:
    """No hostile document costs another source, nor its own entries that can be read."""
    found = titles(besieged.address)
    for part in [*STORIES, "keeps bees", "boxes in Manila"]:
        assert [title for title in found if part in title], part
    assert "Traceback" not in (besieged.folder / "log").read_text()


def test_what_is_published_is_valid_and_bounded(besieged: Besieged) -> None:
    """Every file is what it claims to be, links to the web alone, and holds no text without end."""
    files = [path for path in (besieged.folder / "public").rglob("*") if path.is_file() and path.name[0] != "."]
    assert len(files) > 20
    for path in files:
        is_harmless(path.name, path.read_bytes())
        assert b"root:x:" not in path.read_bytes()
        assert b"hahahaha" not in path.read_bytes()
    assert all(len(title) <= 500 for title in titles(besieged.address))
    assert not re.search(r"[\x00-\x08\x0b\x1b\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "".join(titles(besieged.address)))


def pages(besieged: Besieged) -> list[str]:
    """An address of each kind of page that readers and the operator open, and every story's own."""
    own = sorted((besieged.folder / "public" / "story").glob("*.html"))
    sources = get(besieged.address + "status/sources")[1]
    items = get(besieged.address + "status/items")[1]
    stories = get(besieged.address + "status/stories")[1]
    return [
        *("", "search?q=defector", "search?q=" + "%3Cscript%3Ealert(1)%3C/script%3E%20defector", "month/index.html"),
        *(f"story/{path.name}" for path in own),
        *("status", "status/sources", "status/items", "status/undecided", "status/stories"),
        *sorted(set(re.findall(r"status/(?:source|item|story)/[\w:%.-]+", sources + items + stories))),
        *("rss.xml", "atom.xml", "feed.json", "sources.opml"),
    ]


@pytest.mark.parametrize("guarded", [True, False], ids=["with the policy", "without"])
def test_no_script_runs_and_nothing_leaves_the_page(besieged: Besieged, browser: Any, guarded: bool) -> None:
    """On every page, under a strict policy; nor would anything in a browser that knows no policy."""
    context = browser.new_context(viewport=DESK, bypass_csp=not guarded)
    said: list[str] = []
    requested: list[str] = []
    context.on("console", lambda message: said.append(f"{message.text} {message.location['url']}"))
    context.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())  # type: ignore[func-returns-value]
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("request", lambda request: requested.append(request.url))
    opened = pages(besieged)
    assert len(opened) > 40
    page = context.new_page()
    for path in opened:
        answer = page.goto(urljoin(besieged.address, path), wait_until="load")
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "script-src" not in policy, path
        playwright.expect(page.locator("[onload],[onerror],[onfocus],[ontoggle],iframe")).to_have_count(0)
    context.close()
    own = f"{besieged.address}favicon.ico"  # what the browser asks for by itself beside a bare feed
    assert [words for words in said if not words.endswith(own)] == []
    assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/" for url in requested} == {besieged.address}
    assert "/beacon" not in asked(besieged.site)


@pytest.mark.parametrize("path", ["", "search?q=defector", "status/items", "story"])
def test_the_policy_stops_what_would_get_in(besieged: Besieged, browser: Any, path: str) -> None:
    """A script, a handler, a picture and a form put into the page by force do nothing: the policy is in force."""
    own = next((besieged.folder / "public" / "story").glob("*.html")).name
    page = browser.new_context().new_page()
    page.goto(besieged.address + (f"story/{own}" if path == "story" else path))
    beacon = f"{besieged.site.address}/beacon"
    page.evaluate(
        """beacon => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            const picture = document.createElement("img");
            picture.src = beacon;
            const frame = document.createElement("iframe");
            frame.src = beacon;
            const handler = document.createElement("p");
            handler.setAttribute("onclick", "window.ran = true");
            document.body.append(script, picture, frame, handler);
            handler.click();
        }""",
        beacon,
    )
    page.wait_for_function("performance.now() > 0")
    assert page.evaluate("window.ran") is None
    assert page.evaluate("beacon => fetch(beacon).then(() => 'let out', () => 'stopped')", beacon) == "stopped"
    page.context.close()
    assert "/beacon" not in asked(besieged.site)


def test_the_feeds_are_never_taken_for_pages(besieged: Besieged) -> None:
    """A browser is told what each file is, and not to guess."""
    for name in ("rss.xml", "atom.xml", "feed.json", "sources.opml"):
        with urllib.request.urlopen(besieged.address + name, timeout=10) as answer:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "html" not in answer.headers["content-type"]


# From a small process between: Linux counts what the one that starts another takes itself as the other's peak.
MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "aggregator", "run", "--once"], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


def test_a_hundred_thousand_entries_cost_a_bounded_visit(tmp_path: Path) -> None:
    """Time and memory, child processes included, stay far below what a small server has."""
    entries = (f"<title>{ON} {n}</title><guid>{n}</guid>" for n in range(100_000))
    with serving() as site:
        configure(tmp_path, {"Flood": site.put("/flood", rss(*entries))})
        done = subprocess.run(
            [sys.executable, "-c", MEASURED],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
    said, _, figures = done.stdout.strip().rpartition("\n")
    memory, seconds = map(float, figures.split())
    assert "of 100000 new entries only the newest 1000 were read" in " ".join(said.split())
    assert memory < 500_000  # kilobytes, of the largest of the processes
    assert seconds < 90  # of processor time
