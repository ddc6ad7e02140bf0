"""Laws of single parts for any input: what the rest of the tests puts together, each by itself and with more cases."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aggregator import parse
from aggregator.config import load
from aggregator.engine import direct
from aggregator.errors import ConfigError, FeedError, StoreError
from aggregator.exchange import load as take_in
from aggregator.holding import Watch, cleaned, mark
from aggregator.limit import client
from aggregator.model import Item, Known, Source, StoredItem, StoredStory
from aggregator.topics import Judge, load_pack

wild = st.text(st.characters(codec=None), max_size=60)
texts = st.lists(
    wild
    | st.sampled_from(["North Korean", "defector", "탈북민", "脱北者", "перебежчик", "\u200b", "\u0301", "Kim Hyon-u"]),
    max_size=6,
).map(" ".join)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
JUDGE = Judge(load_pack("north-korean-defectors", Path()), 0.5)


@given(
    texts, texts, st.none() | st.sampled_from(["en", "ko", "zh-TW", "xx"]), st.sampled_from(["general", "defectors"])
)
def test_any_text_is_judged_alike_each_time(title: str, body: str, language: str | None, scope: str) -> None:
    """The score is a share of one, and the reasons say what was matched."""
    item = Item("https://a.example/feed", "1", None, title, body, language=language)
    verdict = JUDGE.judge(item, scope, frozenset())
    assert 0 <= verdict.score <= 1
    assert verdict == JUDGE.judge(item, scope, frozenset())


@given(st.lists(texts, max_size=4), texts)
def test_any_hold_list_can_be_looked_for(entries: list[str], text: str) -> None:
    """Whatever the entries consist of, and whatever the text; what is found stands on the list."""
    wanted = [entry for entry in map(cleaned, entries) if entry and "*" not in entry]
    item = Item("https://a.example/feed", "1", None, f"{text} {' '.join(wanted)}", "")
    verdict = JUDGE.judge(item, "general", frozenset())
    stored = StoredItem(1, item, verdict, NOW)
    watch = Watch(wanted)
    assert watch.matched(StoredStory("urn:uuid:1", False, NOW, NOW, 1, (stored,))) <= watch.marks
    assert watch.marks == frozenset(map(mark, wanted))


LINES = [
    '{"kind": "aggregator store", "schema": 1}',
    '{"kind": "aggregator store", "schema": true}',
    '{"lines": 1}',
    '{"table": "source", "row": {"url": 1}}',
    '{"table": "item", "row": {"key": "x", "verdict": null}}',
    *("[]", "1e999", '{"table": "source", "row": {}}', '{"table": []}', "[" * 9_000),
    '{"table": "memory", "row": {"url": "x", "body": "no hexadecimal", "head": "xyz"}}',
    '{"table": "setting", "row": {"name": [], "value": {}}}',
    '{"table": "setting", "row": {"name": "a", "value": "b"}}',
    '{"table": "setting", "row": {"name": "c"}}',
]
lines_of_exports = st.lists(st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(LINES), max_size=5)


@settings(max_examples=60)
@given(lines_of_exports, st.booleans())
@example(["[" * 100_000], True)
@example(['{"table": "setting", "row": {"name": "c"}}', '{"lines": 2}'], True)  # its value is missing
def test_any_lines_are_an_export_or_refused_in_words(lines: list[str], headed: bool) -> None:
    """And where they are refused, no store is left."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        try:
            take_in(f"sqlite:///{path}", [*(LINES[:1] if headed else []), *lines], ())
        except StoreError:
            assert list(Path(folder).iterdir()) == []
        else:
            assert path.exists()


TABLES = ["feed", "source", "fetch", "topic", "schedule", "server", "store", "x", "[source]"]
KEYS = [
    *("url = 1", 'url = "http://[::1"', "threshold = nan", 'min_interval = "1e9d"', 'listen = "x:99999"'),
    *("concurrency = 99999999999999999999", 'title = "\\u0000"', "headers = 1", 'headers = {a = "${X}"}'),
    *('language = "\U000e0041"', 'link = "javascript:x"', 'output = "\\u0000"', "max_entries = -1", 'name = ""'),
]
tables = st.tuples(st.sampled_from(TABLES), st.lists(st.sampled_from(KEYS), max_size=3, unique=True))
files = st.lists(tables, max_size=3).map(
    lambda found: "".join(f"[{name}]\n" + "".join(f"{key}\n" for key in keys) for name, keys in found)
)


@given(files | st.text(max_size=200))
def test_any_file_is_a_configuration_or_refused_in_words(text: str) -> None:
    """Nothing but a ConfigError comes of what an operator may write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with suppress(ConfigError):
            load(path, {})


@given(
    st.none() | st.tuples(wild, st.integers()),
    st.lists(st.tuples(st.sampled_from([b"x-forwarded-for", b"host"]), st.binary(max_size=40)), max_size=3),
)
def test_any_client_has_a_name(peer: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever it claims to be; and the same at each request."""
    scope = {"type": "http", "client": peer, "headers": headers}
    assert client(scope) == client(scope)
    assert len(client(scope)) <= 50


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"<urlset>", b"<sitemapindex>", b'<!DOCTYPE x [<!ENTITY a "b">]><urlset>']),
)
def test_any_bytes_are_a_sitemap_or_refused_in_words(data: bytes, start: bytes) -> None:
    """Whatever a server sends, it is a document or a failure in words, and leads to the web alone."""
    url = "https://a.example/sitemap.xml"
    source = Source(url, "A", kind="sitemap")
    with suppress(FeedError):
        onward = parse.onward(url, start + data, source, direct)
        assert onward is None or onward.address.startswith(("http://", "https://"))
    with suppress(FeedError):
        for item in parse.read(url, start + data, None, source, Known(), direct).items:
            assert item.link is None or item.link.startswith(("http://", "https://"))
