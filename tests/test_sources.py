"""Lists of sources: OPML in and out, and [[source]] tables put into and taken out of a configuration's text."""

from __future__ import annotations

import time
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from aggregator.errors import ConfigError, NotFoundError
from aggregator.model import Source
from aggregator.sources import append_blocks, from_opml, remove_block, to_opml, toml_block
from aggregator.tables import SourceTable

SHIPPED = Path(__file__).parent.parent / "config.toml"

NESTED = """<?xml version="1.0" encoding="UTF-8"?>
<opml version="1.0">
  <head><title>Mine</title></head>
  <body>
    <outline text="News">
      <outline text="Korea">
        <outline type="rss" text="연합뉴스" xmlUrl="https://news.example/ko.xml" language="ko"/>
        <outline text="short" title="The long name" xmlurl="http://news.example/en.xml" htmlUrl="http://news.example/"/>
      </outline>
      <outline xmlUrl="feed://bare.example/feed"/>
      <outline text="A page" type="link" url="https://page.example/"/>
    </outline>
    <outline text="Again" xmlUrl="https://news.example/ko.xml"/>
    <outline text="Local" xmlUrl="file:///etc/passwd"/>
  </body>
</opml>
"""

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40).map(
    lambda text: " ".join(text.split())
)
paths = st.text("abcxyz019/&=?%~._-", max_size=30)
sources = st.builds(
    Source,
    url=st.builds(
        lambda host, path: f"https://{host}.example/{path}", st.text("abcdef", min_size=1, max_size=8), paths
    ),
    name=names.filter(lambda name: name and not {"\ufffe", "\uffff"} & set(name)),
    language=st.sampled_from([None, "en", "ko", "zh-Hant", "pt-BR"]),
    scope=st.sampled_from(["general", "north-korea", "defectors"]),
    priority=st.integers(1, 9),
    interval=st.none() | st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
)
lists = st.lists(sources, min_size=1, max_size=8, unique_by=lambda source: source.url)


def test_opml_is_read_through_folders_each_feed_once() -> None:
    """Feeds are found at any depth, by xmlUrl in any case; folders, pages, files and repeats are passed over."""
    assert from_opml(NESTED.encode()) == (
        Source("https://news.example/ko.xml", "연합뉴스", "ko"),
        Source("http://news.example/en.xml", "The long name"),
        Source("http://bare.example/feed", "bare.example"),
    )


@pytest.mark.parametrize("encoding", ["utf-16", "euc-kr", "utf-8-sig"])
def test_opml_is_read_in_its_declared_encoding(encoding: str) -> None:
    """An export of an old Korean reader keeps its names."""
    document = NESTED.replace("UTF-8", encoding.removesuffix("-sig"))
    assert from_opml(document.encode(encoding))[0].name == "연합뉴스"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "is not well-formed XML"),
        (b"<opml><body><outline xmlUrl='https://a.example/?x=1&y=2'/></body></opml>", "&amp;"),
        (b"<html><body>Sign in</body></html>", "its first element is <html>"),
        (b"<opml version='2.0'><head/><body><outline text='Folder'/></body></opml>", "lists no feed"),
        (b"<opml>" + b"<outline>" * 100_000, "is not well-formed XML"),
    ],
)
def test_what_is_not_a_list_of_feeds_is_refused_in_words(document: bytes, said: str) -> None:
    """The message names the list and says what it was instead, or what mends it."""
    with pytest.raises(ConfigError, match=r"^mine\.opml ") as caught:
        from_opml(document, "mine.opml")
    assert said in str(caught.value)


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    """A list can neither read a file of this machine into a name nor grow without bound."""
    secret = tmp_path / "secret"
    secret.write_text("password")
    outside = f"""<!DOCTYPE opml [<!ENTITY x SYSTEM "{secret.as_uri()}">]>
        <opml><body><outline text="&x;" xmlUrl="https://a.example/"/></body></opml>"""
    bomb = '<!DOCTYPE opml [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    bomb += ']><opml><body><outline text="&a9;" xmlUrl="https://a.example/"/></body></opml>'
    for document in (outside, bomb, outside.replace('text="&x;"', 'text="x"')):
        with pytest.raises(ConfigError):
            from_opml(document.encode())


@given(lists)
def test_opml_keeps_address_name_and_language(listed: list[Source]) -> None:
    """What is exported is what is imported, whatever stands in names and addresses."""
    assert from_opml(to_opml(listed)) == tuple(Source(s.url, s.name, s.language) for s in listed)


def test_a_list_of_nothing_is_still_opml() -> None:
    """OPML wants at least one outline; the one of an empty list says so, and is no feed."""
    body = etree.fromstring(to_opml([])).find("body")
    assert [outline.attrib for outline in body] == [{"text": "No sources yet"}]
    with pytest.raises(ConfigError, match="lists no feed"):
        from_opml(to_opml([]))


def test_opml_tells_no_secrets_and_no_time() -> None:
    """Headers and passwords in addresses stay at home, and the same list is the same bytes at any time."""
    secret = Source("https://me:word@a.example:8443/feed?x=1&y=2", "A\x00\ufffe", headers=(("Authorization", "word"),))
    document = to_opml([secret])
    assert b"word" not in document
    outline = etree.fromstring(document).find(".//outline")
    assert dict(outline.attrib) == {
        "type": "rss",
        "text": "A",
        "title": "A",
        "xmlUrl": "https://a.example:8443/feed?x=1&y=2",
    }
    assert document == to_opml([secret])


@given(lists)
def test_a_block_reads_back_as_the_source(listed: list[Source]) -> None:
    """Blocks written one after another are the sources, as config.toml reads them."""
    text = ""
    for source in listed:
        text = append_blocks(text, [source])
    assert append_blocks("", listed) == text
    tables = [SourceTable.model_validate(table) for table in tomllib.loads(text)["source"]]
    assert [(t.url, t.name, t.language, t.scope, t.priority, t.interval) for t in tables] == [
        (s.url, s.name, s.language, s.scope, s.priority, s.interval) for s in listed
    ]


def test_a_long_list_costs_no_more_than_its_length() -> None:
    """Three thousand sources are added in a moment; a file that is read anew for each of them took half a minute."""
    began = time.process_time()
    text = append_blocks("", [Source(f"https://s{number}.example/feed", f"S{number}") for number in range(3_000)])
    assert time.process_time() - began < 5
    assert text.count("[[source]]") == 3_000
    assert append_blocks("[feed]", []) == "[feed]"


def test_a_block_holds_only_what_differs_and_no_header() -> None:
    """Defaults are left out, and so are headers, which hold secrets once they are read."""
    source = Source("https://a.example/", 'The "A"\x7f', interval=timedelta(hours=2), headers=(("Cookie", "secret"),))
    assert toml_block(source) == (
        '[[source]]\nname = "The \\"A\\"\\u007f"\nurl = "https://a.example/"\ninterval = "2h"\n'
    )


@given(sources)
def test_a_source_added_and_removed_leaves_no_trace(source: Source) -> None:
    """Adding to the shipped file and removing again gives the same bytes."""
    text = SHIPPED.read_text(encoding="utf-8")
    assert remove_block(append_blocks(text, [source]), source.url) == text


def test_every_shipped_source_can_be_removed_alone() -> None:
    """Each removal takes out that table and its comment, and every other value stays."""
    text = SHIPPED.read_text(encoding="utf-8")
    before = tomllib.loads(text)
    headings = [line for line in text.splitlines() if line.startswith("# ---")]
    for source in before["source"]:
        rest = remove_block(text, source["url"])
        assert tomllib.loads(rest) == before | {"source": [s for s in before["source"] if s is not source]}
        assert [line for line in rest.splitlines() if line.startswith("# ---")] == headings


def test_removing_keeps_other_comments_and_the_form_of_the_file() -> None:
    """The comment above a table goes with it; the next one's comment, group headings and line ends stay."""
    text = (
        "# My sources\r\n\r\n[fetch]\r\ntimeout_seconds = 9  # slow line\r\n\r\n"
        '# about a\r\n[[source]]\r\nurl = "https://a.example/"\r\n# gone too\r\nname = "A\u2028# b"\r\n'
        '[source.headers]\r\nCookie = """\r\n[[source]]\r\n"""\r\n\r\n'
        '# --- others ---\r\n\r\n# about b\r\n[[source]]\r\nurl = "https://b.example/"\r\n'
    )
    assert remove_block(text, "https://a.example/") == (
        "# My sources\r\n\r\n[fetch]\r\ntimeout_seconds = 9  # slow line\r\n\r\n"
        '# --- others ---\r\n\r\n# about b\r\n[[source]]\r\nurl = "https://b.example/"\r\n'
    )
    assert remove_block(text, "https://b.example/").endswith("# --- others ---\r\n")


def test_what_cannot_be_changed_is_said() -> None:
    """An unknown address and a list in another form are told, with the next step."""
    with pytest.raises(NotFoundError, match="aggregator sources"):
        remove_block('[[source]]\nurl = "https://a.example/"\n', "https://b.example/")
    inline = 'source = [{url = "https://a.example/"}]\n'
    with pytest.raises(ConfigError, match=r"\[\[source\]\] table"):
        remove_block(inline, "https://a.example/")
    with pytest.raises(ConfigError, match=r"\[\[source\]\] table"):
        append_blocks(inline, [Source("https://b.example/", "B")])
