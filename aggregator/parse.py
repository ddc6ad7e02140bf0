"""Read the bytes of a feed, whatever its format and however broken, as items, and only those not seen before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aggregator import jsonfeed, sitemap, webpage, xmlfeed
from aggregator.charset import as_text
from aggregator.delta import Sliced, cut, digest, shared_key
from aggregator.errors import FeedError
from aggregator.head import read_head
from aggregator.items import Setting, make_items, one_id_each
from aggregator.model import Document, FeedHead, Item, Known, Source
from aggregator.normalise import has_markup, parse_time, plain_text, shorten, single_line

Isolate = Callable[..., Any]  # isolate(function, *arguments) gives the function's result; see ports.Isolate

_MOST_NEW = 1_000  # entries read at one visit; the largest honest feed met holds 300
_FEW = 5  # new entries for whose keys the others are looked through, a tenth of what finding all keys takes
_MOST_PROBLEMS = 20  # sentences; more of the same tell an operator nothing
_DATE = re.compile(rb"<(?:dc:)?(?:pubDate|date|published|updated|issued|modified)(?:\s[^>]{0,99})?>\s*([^<]{4,60})<")
_META = re.compile(rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""")
_BEGINNING = 4_096  # bytes in which a document says what it is
_WHITE = "\ufeff \t\r\n"
_KINDS = (  # how documents begin that are taken for feeds now and then
    (b"%PDF", "a PDF file"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "compressed data (gzip)"),
)
_OTHER_XML = {
    "opml": "a list of sources (OPML)",
    "urlset": "a sitemap",
    "sitemapindex": "a list of sitemaps",
    "error": "an error report (XML)",
    "opensearchdescription": "a description of a search engine",
}


def read(
    answer_url: str, data: bytes, content_type: str | None, source: Source, known: Known, isolate: Isolate
) -> Document:
    """The document's head, and the items of those entries whose fingerprint is not known.

    `answer_url`: where the document came from, after redirects. `data`: the whole body, decoded from its content
    coding. Slow and risky work is given to `isolate`. Raises FeedError, which says what the document was instead.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise FeedError("the document is empty")
    kind = next((name for start, name in _KINDS if data.startswith(start)), None)
    if kind:
        raise FeedError(f"the document is {kind}, not a feed")
    text, trouble = as_text(data, f"{content_type or ''}; {_meta_charset(data)}", source.language)
    problems = [trouble] if trouble else []
    visit = _Visit(answer_url, source, known, isolate)
    if source.kind != "feed":
        return _read_listing(text.encode("utf-8", "replace"), visit, problems)
    if text.lstrip(_WHITE)[:1] in ("{", "["):
        return _read_json(text.lstrip(_WHITE), visit, problems)
    return _read_xml(text, visit, problems)


def recipe(source: Source) -> bytes | None:
    """Changes with how a source's documents are to be read: all entries are then read anew; None: by the document."""
    return None if source.kind == "feed" else digest(repr((source.kind, source.select)).encode())


def onward(answer_url: str, data: bytes, source: Source, isolate: Isolate) -> sitemap.Onward | None:
    """Where a document only leads to, as a list of sitemaps does; None: it is to be read itself. Raises FeedError."""
    if source.kind != "sitemap" or b"<sitemapindex" not in data[:_BEGINNING]:
        return None
    found: sitemap.Onward | None = isolate(sitemap.onward, data, answer_url)
    return found


class _Visit(NamedTuple):
    url: str
    source: Source
    known: Known
    isolate: Isolate

    def familiar(self, head_digest: bytes) -> frozenset[bytes]:
        """The entries that need not be read again: none, if what stands around them gives them another meaning."""
        return frozenset(self.known.entries) if self.known.head == head_digest else frozenset()

    def setting(self, head: FeedHead) -> Setting:
        return Setting(self.source.url, self.url, self.source.language, head.language, head.title)


def _read_xml(text: str, visit: _Visit, problems: list[str]) -> Document:
    if not re.search(r"<[?!\w]", text):
        raise FeedError(f"the document is not a feed but text that begins with {_beginning(text)}")
    sliced = cut(text)
    head = read_head(sliced.head(), visit.url)
    if head is None:
        raise FeedError(f"the document is {_what(text, sliced)}, not a feed")
    head_digest = sliced.head_digest(head.language)
    pieces = [sliced.piece(entry) for entry in sliced.entries]
    fingerprints = [digest(piece) for piece in pieces]
    choice = _Choice(fingerprints, visit.familiar(head_digest))
    choice.limit(lambda: _oldest_first(pieces))
    wanted = choice.with_relatives(lambda: _keys(pieces, choice.new))
    monstrous = {n for n in wanted if sliced.entries[n].monstrous}
    readable = [
        xmlfeed.Piece(fingerprints[n], pieces[n], sliced.entries[n].whole) for n in wanted if n not in monstrous
    ]
    problems += [*sliced.problems, *choice.problems]
    if monstrous:
        problems.append(
            f"{len(monstrous)} entries with hundreds of attributes or levels, or thousands of elements, were left out"
        )
    items: list[Item] = []
    if readable:
        items, lost = visit.isolate(xmlfeed.read_entries, sliced.opening, readable, sliced.closing, visit.setting(head))
        problems += lost
    return _document(head, items, choice, head_digest, problems)


def _read_json(text: str, visit: _Visit, problems: list[str]) -> Document:
    feed = jsonfeed.load(text)
    head = jsonfeed.read_head(feed, visit.url)
    head_digest = digest(f"json {head.language}".encode())
    pieces = jsonfeed.pieces(feed)
    choice = _Choice([mark for mark, _ in pieces], visit.familiar(head_digest))
    choice.limit(lambda: False)
    wanted = choice.with_relatives(lambda: [jsonfeed.shared_key(entry) for _, entry in pieces])
    items: list[Item] = []
    if wanted:
        items, lost = visit.isolate(jsonfeed.read_entries, [pieces[n] for n in wanted], visit.setting(head))
        problems += lost
    return _document(head, items, choice, head_digest, [*problems, *choice.problems])


def _read_listing(data: bytes, visit: _Visit, problems: list[str]) -> Document:
    """A sitemap, or a page by its selectors: what it lists is found first, and only what is new made into items."""
    source, url = visit.source, visit.url
    if source.select is not None:
        head, raws = visit.isolate(webpage.find, data, url, source.select)
    else:
        head, raws = visit.isolate(sitemap.find, data, url)
    head_digest = recipe(source) or b""
    choice = _Choice([raw.fingerprint for raw in raws], visit.familiar(head_digest))
    choice.limit(lambda: False)
    items: list[Item] = []
    if choice.new:
        items, lost = visit.isolate(make_items, [raws[n] for n in choice.new], visit.setting(head))
        problems += lost
    return _document(head, items, choice, head_digest, [*problems, *choice.problems])


class _Choice:
    """Which of a document's entries are to be read."""

    def __init__(self, fingerprints: Sequence[bytes], familiar: frozenset[bytes]) -> None:
        self.fingerprints = fingerprints
        self.problems: list[str] = []
        first = {mark: n for n, mark in reversed(list(enumerate(fingerprints)))}  # the same bytes twice are one entry
        self.new = sorted(n for mark, n in first.items() if mark not in familiar)
        self.left: frozenset[bytes] = frozenset()

    def limit(self, oldest_first: Callable[[], bool]) -> None:
        """Leave all but the newest for the next visits."""
        if len(self.new) <= _MOST_NEW:
            return
        kept = self.new[-_MOST_NEW:] if oldest_first() else self.new[:_MOST_NEW]
        self.problems.append(f"of {len(self.new)} new entries only the newest {_MOST_NEW} were read")
        self.left = frozenset(self.fingerprints[n] for n in self.new) - {self.fingerprints[n] for n in kept}
        self.new = kept

    def with_relatives(self, keys: Callable[[], Sequence[bytes]]) -> list[int]:
        """The new entries and those known ones that share an id with one: only together can they be told apart."""
        if not self.new:
            return []
        named = keys()
        counts = Counter(named)
        shared = {named[n] for n in self.new if named[n] and counts[named[n]] > 1}
        relatives = {n for n, key in enumerate(named) if key in shared and self.fingerprints[n] not in self.left}
        return sorted(relatives.union(self.new)) if len(relatives) <= _MOST_NEW else self.new


def _keys(pieces: Sequence[bytes], new: Sequence[int]) -> list[bytes]:
    """Each entry's key; b"" for those that, with few new ones, cannot have one of theirs."""
    if len(new) > _FEW:
        return [shared_key(piece) for piece in pieces]
    keys = {shared_key(pieces[n]) for n in new} - {b""}
    return [shared_key(piece) if any(key in piece for key in keys) else b"" for piece in pieces]


def _document(
    head: FeedHead, items: Sequence[Item], choice: _Choice, head_digest: bytes, problems: list[str]
) -> Document:
    new = {choice.fingerprints[n] for n in choice.new}
    if not choice.fingerprints:
        problems.append("the feed has no entries")
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS} problems more"]
    return Document(
        head=head,
        items=tuple(item for item in one_id_each(items) if item.fingerprint in new),
        entries=frozenset(choice.fingerprints) - choice.left,
        head_digest=head_digest,
        problems=tuple(problems),
        whole=not choice.left,
    )


def _oldest_first(pieces: Sequence[bytes]) -> bool:
    """Whether a document ends with its newest entry; most begin with it."""
    moments = [found and parse_time(found[1].decode("utf-8")) for found in map(_DATE.search, (pieces[0], pieces[-1]))]
    return bool(moments[0] and moments[1] and moments[0] < moments[1])


def _meta_charset(data: bytes) -> str:
    """The encoding that an HTML page names in its head, as the header has it that is asked first."""
    found = _META.search(data[:_BEGINNING])
    return f"charset={found[1].decode('ascii')}" if found else ""


def _what(text: str, sliced: Sliced) -> str:
    """What a document without a feed's head is, in words."""
    name = sliced.root.rpartition(":")[2].lower()
    if name in _OTHER_XML:
        return _OTHER_XML[name]
    if re.search(r"(?i)<(?:!doctype\s+html|html|head|body)\b", text[:20_000]):
        title = re.search(r"(?is)<title[^>]{0,200}>(.{0,500}?)</title>", text[:200_000])
        named = single_line(plain_text(title[1], html=has_markup(title[1]))) if title else ""
        return f"an HTML page titled “{shorten(named, 100)}”" if named else "an HTML page without a title"
    return f"XML of another kind, <{name[:40]}>"


def _beginning(text: str) -> str:
    return f"“{shorten(single_line(plain_text(text[:1000], html=False)), 60)}”"
