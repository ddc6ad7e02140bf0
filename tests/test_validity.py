"""What is served is valid by the checkers that others will hold it against."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example, given
from lxml import etree

from aggregator import curator
from aggregator.entries import month_path, story_path
from aggregator.model import Edition
from aggregator.render import render, render_page, render_slice, render_slices
from aggregator.slices import Slice
from tests.editions import REALISTIC, nasty_editions
from tests.test_desk import Site, at_work, paths

VNU = Path(__file__).parent / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A program at work that has told three stories and merged two of them."""
    with at_work(tmp_path_factory.mktemp("valid")) as site:
        first, second, _ = (story.id for story in site.app.store.stories())
        curator.merge(site.app.store, site.app.rules, first, second, site.app.collector.clock.now())
        site.app.publish()
        yield site


def test_every_page_is_valid(site: Site) -> None:
    """The Nu HTML Checker, which validator.w3.org runs, has neither an error nor a warning for a page of any kind."""
    if not VNU.exists() or not shutil.which("java"):
        pytest.skip("the Nu HTML Checker or Java is not installed; tests/install-tools installs both")
    told, gone = site.app.store.stories(), site.app.store.gone()
    assert gone[0].into == told[0].id
    month = f"{told[0].told:%Y-%m}"
    pages = [
        *("", story_path(told[0].id), story_path(gone[0].id), "month/index.html", month_path(month)),
        *("search", "search?q=defector", "search?q=nothing", "slice/index.html", "404.html", "410.html", *paths(site)),
    ]
    addresses = [site.address + page for page in pages]
    assert {requests.get(address, timeout=10).status_code for address in addresses} == {200}
    java = ["java", "-Dnu.validator.servlet.allow-forbidden-hosts=true", "-jar", str(VNU)]  # loopback is one of them
    form = ["--format", "json", "--stdout", "--exit-zero-always"]
    done = subprocess.run([*java, *form, *addresses], capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout)["messages"] == []


# What JSON Feed 1.1 (jsonfeed.org/version/1.1) says of each object: name → is it required, and what it must be. Names
# that begin with an underscore are extensions, which may hold anything; other names are not in the specification.
TEXT, NUMBER, FLAG = "text", "number", "flag"
ADDRESS, DATE, LANGUAGE = "address", "RFC 3339 date", "BCP 47 tag"
AUTHOR = {"name": (False, TEXT), "url": (False, ADDRESS), "avatar": (False, ADDRESS)}
ATTACHMENT = {
    "url": (True, ADDRESS),
    "mime_type": (True, TEXT),
    "title": (False, TEXT),
    "size_in_bytes": (False, NUMBER),
    "duration_in_seconds": (False, NUMBER),
}
ITEM = {
    "id": (True, TEXT),
    **dict.fromkeys(("url", "external_url", "image", "banner_image"), (False, ADDRESS)),
    **dict.fromkeys(("title", "summary", "content_html", "content_text"), (False, TEXT)),
    **dict.fromkeys(("date_published", "date_modified"), (False, DATE)),
    "authors": (False, [AUTHOR]),
    "tags": (False, [TEXT]),
    "language": (False, LANGUAGE),
    "attachments": (False, [ATTACHMENT]),
}
FEED = {
    "version": (True, ADDRESS),
    "title": (True, TEXT),
    **dict.fromkeys(("home_page_url", "feed_url", "next_url", "icon", "favicon"), (False, ADDRESS)),
    **dict.fromkeys(("description", "user_comment"), (False, TEXT)),
    "authors": (False, [AUTHOR]),
    "language": (False, LANGUAGE),
    "expired": (False, FLAG),
    "hubs": (False, [{"type": (True, TEXT), "url": (True, ADDRESS)}]),
    "items": (True, [ITEM]),
}


def breaches(value: Any, wanted: Any, at: str = "feed") -> Iterator[str]:
    """Where a value is not what the specification wants."""
    match wanted:
        case dict():
            known = {name: part for name, part in value.items() if not name.startswith("_")}
            yield from (f"{at}.{name} is not in the specification" for name in known.keys() - wanted.keys())
            yield from (f"{at}.{name} is missing" for name, (must, _) in wanted.items() if must and name not in value)
            for name in known.keys() & wanted.keys():
                yield from breaches(value[name], wanted[name][1], f"{at}.{name}")
        case [part]:
            for number, one in enumerate(value):
                yield from breaches(one, part, f"{at}[{number}]")
        case _ if not FITS[wanted](value):
            yield f"{at} is {value!r}, no {wanted}"


FITS: dict[str, Callable[[Any], Any]] = {
    TEXT: lambda value: isinstance(value, str),
    NUMBER: lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
    FLAG: lambda value: isinstance(value, bool),
    ADDRESS: lambda value: isinstance(value, str) and re.fullmatch(r"https?://[!-~]+", value),
    DATE: lambda value: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value),
    LANGUAGE: lambda value: re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", value),
}


@given(nasty_editions)
@example(REALISTIC)
def test_the_json_feeds_keep_to_their_specification(published: Edition) -> None:
    """JSON Feed 1.1, of the subscription document, an archive page and a slice, whatever the sources wrote."""
    files = render_page(replace(published, page=2)) | render_slice(
        published, Slice("language-ko", "Korean", "language")
    )
    files |= render(replace(published, pages=2))
    feeds = [json.loads(content) for name, content in files.items() if name.endswith(".json")]
    assert len(feeds) == 3
    for feed in feeds:
        assert list(breaches(feed, FEED)) == []
        assert feed["version"] == "https://jsonfeed.org/version/1.1"
        assert all("content_html" in item or "content_text" in item for item in feed["items"])
        assert len({item["id"] for item in feed["items"]}) == len(feed["items"])


def test_the_specification_of_json_feed_is_held_to() -> None:
    """The check itself: a field that is missing, made up, or of another type is a breach."""
    item = {"id": 7, "url": "/relative", "date_published": "yesterday", "language": "no such tag", "made_up": 1}
    feed = {"version": "https://jsonfeed.org/version/1.1", "items": [item], "hubs": [{"type": "WebSub"}], "_own": 1}
    assert sorted(breach.split()[0] for breach in breaches(feed, FEED)) == sorted(
        ["feed.title", "feed.hubs[0].url", *(f"feed.items[0].{name}" for name in item)]
    )


@pytest.mark.parametrize("name", ["sources.opml", "slice/slices.opml"])
def test_the_lists_keep_to_opml(name: str) -> None:
    """OPML 2.0 (opml.org/spec2.opml): version, head, body; outlines of type rss, each with text and xmlUrl."""
    files = render(REALISTIC) | render_slices(REALISTIC, [Slice("language-ko", "한국어 & <b>", "language")])
    root = etree.fromstring(files[name])
    assert (root.tag, root.get("version"), [part.tag for part in root]) == ("opml", "2.0", ["head", "body"])
    outlines = root.findall("body//outline")
    assert outlines
    for outline in outlines:
        assert outline.get("type") == "rss"
        assert outline.get("text")
        assert FITS[ADDRESS](outline.get("xmlUrl"))
