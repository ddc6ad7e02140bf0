"""What is fuzzed: functions that take any bytes, and fail where a part of the program breaks one of its laws.

A text is cut into fields at U+001E (record separator), so that one input can fill a whole item, and cases that were
kept (tests/data/fuzz) can be read and edited.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import Path

from aggregator import parse, search
from aggregator.config import load
from aggregator.engine import direct
from aggregator.errors import ConfigError, FeedError, QueryError
from aggregator.grouping import Near, group, order
from aggregator.holding import Watch, cleaned
from aggregator.items import Raw, Setting, Text, make_item
from aggregator.model import Document, Item, Known, Selectors, Source, StoredItem, StoredStory
from aggregator.normalise import (
    canonical_link,
    clean_language_tag,
    detect_language,
    parse_time,
    plain_text,
    publishable_link,
    shorten,
    without_password,
)
from aggregator.render import render
from aggregator.seeds import load_seeds
from aggregator.sources import append_blocks, from_opml, remove_block
from aggregator.stories import Folder
from aggregator.topics import Judge, load_pack, parse_pack
from aggregator.words import comparable, sentences
from tests.editions import NOON, edition, member, story
from tests.test_fuzz import is_harmless

Target = Callable[[bytes], None]

FEED = Source("https://a.example/feed", "A")
LISTINGS = (
    Source("https://a.example/sitemap.xml", "A", kind="sitemap"),
    Source("https://a.example/", "A", kind="page", select=Selectors("li", "a", "p", "time")),
)
BETWEEN = "\x1e"
_FIELDS = 5  # of an item
_MOST = 20_000  # bytes that are read as items: so long a summary is no other than a longer one
_SETTING = Setting(FEED.url, FEED.url, None, None, "A")
_FORBIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_PACK = load_pack("north-korean-defectors", Path())
_JUDGE = Judge(_PACK, 0.5)
_FOLDER = Folder(True, _PACK.concepts)


def parsing(data: bytes) -> None:
    """Bytes are a feed or refused in words; read again, what is known gives nothing."""
    with suppress(FeedError):
        document = parse.read(FEED.url, data, None, FEED, Known(), direct)
        _is_clean(document)
        known = Known(head=document.head_digest, entries=document.entries)
        again = parse.read(FEED.url, data, None, FEED, known, direct)
        assert not again.items, "what is known was read again"


def listings(data: bytes) -> None:
    """The same for sitemaps and pages; a list of sitemaps leads to the web alone."""
    for source in LISTINGS:
        with suppress(FeedError):
            onward = parse.onward(source.url, data, source, direct)
            assert onward is None or onward.address.startswith(("http://", "https://"))
        with suppress(FeedError):
            _is_clean(parse.read(source.url, data, None, source, Known(), direct))


def _is_clean(document: Document) -> None:
    ids = [item.id for item in document.items]
    assert len(set(ids)) == len(ids), "two items have one id"
    for item in document.items:
        assert item.id, "an item without an id"
        assert item.link is None or item.link.startswith(("http://", "https://")), item.link
        for text in (item.title, item.summary, item.body, *item.authors, *item.categories, item.publisher or ""):
            assert not _FORBIDDEN.search(text), f"not fit to be shown: {text!r}"
            assert unicodedata.is_normalized("NFC", text), f"not NFC: {text!r}"


def normalising(data: bytes) -> None:
    """What is made comparable stays as it is when it is made so again; nothing unfit to be shown is left."""
    text = data.decode("utf-8", "replace")
    for html in (True, False):
        plain = plain_text(text, html=html)
        assert not _FORBIDDEN.search(plain), f"not fit to be shown: {plain!r}"
    assert len(shorten(text, 50)) <= 50
    assert comparable(comparable(text)) == comparable(text)
    canonical_link(text)
    without_password(text)
    for base in (None, "https://a.example/b/c?d#e"):
        link = publishable_link(text, base)
        if link is not None:
            assert re.match(r"https?://[^\s<>\"`]+$", link), link
            assert publishable_link(link, None) == link
    when = parse_time(text)
    assert when is None or when.tzinfo is not None
    tag = clean_language_tag(text)
    assert tag is None or clean_language_tag(tag) == tag
    detect_language(text)
    assert all(sentences(text))


def judging(data: bytes) -> None:
    """The score is a share of one, the reasons quote the item, and what is held is on the list."""
    item = next(_items(data), None)
    if item is None:
        return
    verdict = _JUDGE.judge(item, "general", frozenset())
    assert 0 <= verdict.score <= 1
    assert verdict == _JUDGE.judge(item, "general", frozenset())
    said = "\n".join((item.title, item.summary, item.body, *item.categories))
    for reason in verdict.reasons:
        if reason.field == "phrasing":  # words as they are compared, one by one
            assert all(word in comparable(said) for word in reason.text.split(", ")), reason
        elif reason.field != "source":
            assert all(part in said for part in reason.text.split(" … ")), reason
    watch = Watch([entry for entry in map(cleaned, item.title.split(",")) if entry])
    held = watch.matched(StoredStory("urn:uuid:1", False, NOON, NOON, 1, (StoredItem(1, item, verdict, NOON),)))
    assert held <= watch.marks
    with suppress(QueryError):
        search.fits(search.parse(item.title), search.document((item.title, item.summary)))


def folding(data: bytes) -> None:
    """Every item ends up in one story, the same whoever came first; likeness has no direction."""
    items = sorted(_items(data), key=order)
    for item in items:
        assert all(isinstance(key, str) for key in _FOLDER.keys(item))
    pairs = list(combinations(range(len(items)), 2))
    for one, two in pairs:
        odds = _FOLDER.likeness(items[one], items[two], False)
        assert odds == odds, "no number"
        assert abs(odds - _FOLDER.likeness(items[two], items[one], False)) < 1e-9, "likeness has a direction"
    groups = group(_FOLDER, items, (), Near(pairs, (), {}))
    placed = sorted(place for one in groups for place in one.items)
    assert placed == list(range(len(items))), "an item is lost or told twice"
    turned = group(_FOLDER, items, (), Near([(b, a) for a, b in reversed(pairs)], (), {}))
    assert sorted(one.items for one in turned) == sorted(one.items for one in groups)


def rendering(data: bytes) -> None:
    """Any stories give files that are valid and harmless, and the same ones each time."""
    stories = []
    for number, item in enumerate(_items(data), 1):
        telling = member(
            number,
            url=item.link,
            title=item.title,
            summary=item.summary,
            source=item.publisher or "A",
            language=item.language,
            authors=item.authors,
            categories=item.categories,
            published=item.published or NOON,
            enclosures=item.enclosures,
            image=item.image,
        )
        stories.append(story(number, telling, reasons=(f"title: {item.title}",)))
    shown = edition(*stories, link="https://example.org/t/")
    files = render(shown)
    assert files == render(shown)
    for name, content in files.items():
        is_harmless(name, content)


def configuring(data: bytes) -> None:
    """What an operator may write is taken or refused in words: configuration, pack, seeds, lists of sources."""
    with suppress(ConfigError), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(data)
        with suppress(ConfigError):
            load(path, {})
        with suppress(ConfigError):
            load_seeds(path)
        with suppress(ConfigError):
            parse_pack(data.decode("utf-8", "replace"), "pack.toml")
        with suppress(ConfigError):
            for source in from_opml(data):
                assert source.url.startswith(("http://", "https://"))
                longer = append_blocks("", [source])
                assert remove_block(longer, source.url).strip() == ""


def _items(data: bytes) -> Iterator[Item]:
    """As many items as there are fields for, at most five, each cleaned as a source's are; at least one."""
    fields = data[:_MOST].decode("utf-8", "replace").split(BETWEEN)
    fields += [""] * (-len(fields) % _FIELDS)
    entries = [fields[start : start + _FIELDS] for start in range(0, len(fields), _FIELDS)][:5]
    for number, (title, summary, link, day, named) in enumerate(entries):
        raw = Raw(
            fingerprint=b"",
            id=str(number),
            link=link,
            title=Text(title or "North Korean defector", html=True),
            summary=Text(summary, html=True),
            published=day,
            authors=(named,),
            categories=(named,),
            enclosures=((link, "audio/mpeg", named),),
            publisher=named,
            image=link,
        )
        if item := make_item(raw, _SETTING):
            yield item


TARGETS: dict[str, Target] = {
    "parse": parsing,
    "listings": listings,
    "normalise": normalising,
    "judge": judging,
    "fold": folding,
    "render": rendering,
    "config": configuring,
}
