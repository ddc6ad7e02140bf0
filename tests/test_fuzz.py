"""Whatever bytes a source sends: what is published is valid and harmless, and the next source is none the worse."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from aggregator.model import Fetched, Validators
from tests.world import World, address, rss

TITLE = "North Korean defector speaks"
NASTY = st.sampled_from(
    [
        *(
            "\0",
            "\x0b",
            "\x85",
            "\u202e",
            "\ufffe",
            "\ud800",
            "\U0001f468\u200d",
            "&",
            "&#0;",
            "&#xD800;",
            "&nbsp;",
            "]]>",
        ),
        *(
            "<![CDATA[",
            "-->",
            "<!--",
            "<b>",
            "</item>",
            "<script>alert(1)</script>",
            "<svg/onload=alert(1)>",
            "\"'><img/src=x>",
        ),
        *(
            "javascript:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "//evil.example/",
            "http://[::1",
            "http://a:b@c.example/",
        ),
        *("2999-12-31", "0001-01-01T00:00:00+14:00", "99999999999999999999", "-1", "1e400", "zz-ZZ", " ", ""),
    ]
)
texts = st.lists(NASTY | st.text(max_size=8), max_size=4).map("".join)
elements = st.dictionaries(
    st.sampled_from(
        ["guid", "link", "description", "pubDate", "author", "category", "dc:creator", "media:title", "source"]
    ),
    texts,
    max_size=6,
)
raw_entries = elements.flatmap(
    lambda found: texts.map(
        lambda tail: f"<item><title>{TITLE} {tail}</title>{''.join(f'<{n}>{t}</{n}>' for n, t in found.items())}</item>"
    )
)
json_values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
json_entries = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "url",
            "title",
            "summary",
            "content_html",
            "date_published",
            "tags",
            "authors",
            "attachments",
            "language",
        ]
    ),
    json_values | st.just([{"url": "https://a.example/x", "mime_type": "\ud800\0", "size_in_bytes": 1e300}]),
)
documents = st.one_of(
    st.binary(max_size=200),
    st.lists(raw_entries, max_size=3).map(
        lambda entries: f'<rss version="2.0"><channel><title>x</title>{"".join(entries)}</channel></rss>'
    ),
    st.lists(elements | elements.map(lambda found: found | {"title": TITLE}), max_size=3).map(
        lambda found: rss(*found)
    ),
    st.lists(json_entries.map(lambda entry: entry | {"title": f"{TITLE} {entry.get('title')}"}), max_size=3).map(
        lambda items: json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items})
    ),
)
codings = st.sampled_from(["utf-8", "utf-16", "euc-kr", "gb18030", "windows-1251"])
GOOD = rss({"title": f"{TITLE} in Busan", "link": "https://b.example/1", "guid": "1"})


@settings(max_examples=50)
@given(documents, codings)
def test_any_bytes_lead_to_valid_harmless_files(document: bytes | str, coding: str) -> None:
    """Twice the same visit gives the same bytes; and a good source beside it is told in full."""
    data = (
        document
        if isinstance(document, bytes)
        else document.encode(coding, "surrogatepass" if "utf" in coding else "replace")
    )
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), "a", "b")
        world.put(Fetched(address("a"), data, None, Validators()))
        world.put(GOOD, "b")
        world.go()
        files = dict(world.publisher.files)
        world.go()
    assert world.publisher.files == files
    assert f"{TITLE} in Busan" in [
        member["title"] for story in world.stories() for member in story["_story"]["members"]
    ]
    for name, content in files.items():
        is_harmless(name, content)


def is_harmless(name: str, content: bytes) -> None:
    """Valid as what it claims to be, with links to the web and to our own feed, no form but ours, and no script."""
    match name.rpartition(".")[2]:
        case "xml" | "opml" | "svg":
            etree.fromstring(content)
        case "json":
            ids = [story["id"] for story in json.loads(content)["items"]]
            assert len(ids) == len(set(ids))
        case "html":
            page = html.document_fromstring(content.decode("utf-8"))
            assert {script.get("type") for script in page.iter("script")} <= {"application/ld+json"}
            assert not page.xpath("//@*[starts-with(name(), 'on')] | //iframe | //object")
            assert set(page.xpath("//form/@action")) <= {"search"}
            for link in page.xpath("//a/@href | //img/@src"):
                assert re.match(r"https?://|[\w./#-]+$|feed:(?:https:)?//example.org/t/[\w./]+$", link), link
