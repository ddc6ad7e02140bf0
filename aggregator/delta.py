"""Cut a feed document into its entries without reading them, so that only new ones need to be read."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from html.entities import html5
from itertools import islice
from xml.parsers import expat

from aggregator.errors import FeedError

_MOST_ATTRIBUTES = 200  # of one element; feedparser is quadratic in them (20,000: 4.5 s), honest feeds have up to 30
_DEEPEST = 200  # elements; XHTML newsletters nest some 60
_BOTTOM = 100_000  # elements; expat keeps 300 bytes for each that is open: a million of them took 400 MB
_MOST_ELEMENTS = 10_000  # in one entry; a million take feedparser 37 s, the longest XHTML article met has 900
_MOST_ENTRIES = 200_000  # of one document; 10 MB of bare <item> took 10 s and 1 GB, the largest honest feed met has 300
_ENTRIES = ("item", "entry")
_ROOTS = (b"rss", b"rdf", b"feed", b"channel")
_JUNK = 20_000  # bytes before the feed that are looked through
_FEED_NAMESPACES = (  # prefixes of these may stand before the names of entries
    "http://www.w3.org/2005/Atom",
    "http://purl.org/atom/ns#",
    "http://purl.org/rss/1.0/",
    "http://my.netscape.com/rdf/simple/0.9/",
    "http://channel.netscape.com/rdf/simple/0.9/",
    "http://backend.userland.com/rss2",
)
_READING = b"1"  # part of every head's digest: raised when entries come to be read differently, so that all are again

_DECLARATION = re.compile(rb"(?:\s*+<\?xml\s[^>]{0,300}\?>)+")
_ELEMENT = re.compile(rb"<([A-Za-z_][\w:.-]*)")
_FEED_ELEMENT = re.compile(rb"<(?:\w+:)?(?:rss|feed|RDF)(?=[\s>])")
_BEGINNING = re.compile(rb"<(?:[?!]|[A-Za-z_])")
_DOCTYPE = re.compile(
    rb"""<!DOCTYPE(?:[^"'\[\]>]++|"[^"]*+"|'[^']*+')*+"""
    rb"""(?:\[(?:[^"'\]<]++|"[^"]*+"|'[^']*+'|<!--[^<]{0,5000}?-->|<)*+\]\s*+)?>""",
    re.DOTALL | re.IGNORECASE,
)
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # XML 1.0, 2.2
_PART = 65_536  # characters mended at a time
_LONGEST_REFERENCE = 40  # characters; the longest that _AMPERSAND finds has 34
_AMPERSAND = re.compile(r"&(?:#(\d{1,7});|#[xX]([0-9a-fA-F]{1,6});|([A-Za-z][A-Za-z0-9]{1,31});|)")
_XML_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})
_CHANNEL = re.compile(rb"<((?:\w{1,20}:)?channel)(?:\s[^<>]{0,2000})?>", re.IGNORECASE)
_ENTRY_END = re.compile(rb"</((?:\w{1,20}:)?(?:item|entry))\s*>", re.IGNORECASE)
_ENTRY_START = re.compile(rb"<((?:\w{1,20}:)?(?:item|entry))(?=[\s/>])", re.IGNORECASE)
_SHARED = re.compile(  # what becomes an entry's id; a coarse look, of which only equality is used
    rb"""<(?:\w{1,20}:)?(?:guid|id)(?:\s[^<>]{0,300})?>\s*(?:<!\[CDATA\[)?([^<\]]+)"""
    rb"""|^<[^<>]{0,300}rdf:about\s*=\s*["']([^"']{1,2000})"""
)
_LINK = re.compile(
    rb"""<(?:\w{1,20}:)?link(?:\s[^<>]{0,300}?href\s*=\s*["']([^"'<>]{1,2000})|(?:\s[^<>]{0,300})?>\s*(?:<!\[CDATA\[)?([^<\]]+))"""
)
_MEANINGFUL = re.compile(r"xmlns(?::.*)?|xml:.*")  # attributes outside entries that say how entries are to be read


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it stands in the document."""

    start: int  # byte offsets in the document
    end: int
    whole: bool = True  # False: not well-formed by itself, to be read alone and leniently
    monstrous: bool = False  # more attributes or deeper than any honest one: not to be read at all


@dataclass(frozen=True, slots=True)
class Sliced:
    """A document in pieces: its bytes (UTF-8, no declaration, no DTD), the entries in it, and what encloses them."""

    data: bytes
    root: str  # name of the outermost element, as written
    entries: tuple[Entry, ...]
    opening: bytes  # start tags that stand around the first entry
    closing: bytes
    meaning: bytes  # what of the opening says how entries are to be read: namespaces, xml:base, xml:lang
    problems: tuple[str, ...] = ()

    def piece(self, entry: Entry) -> bytes:
        return self.data[entry.start : entry.end]

    def head(self) -> bytes:
        """The document without its entries."""
        places = [0, *(place for entry in self.entries for place in (entry.start, entry.end)), len(self.data)]
        return b"".join(self.data[first:last] for first, last in zip(places[::2], places[1::2], strict=True))

    def enclosing(self, entries: list[Entry]) -> bytes:
        """A document of these entries only, inside the elements that they stood in."""
        return b"".join([self.opening, *map(self.piece, entries), self.closing])

    def head_digest(self, language: str | None) -> bytes:
        """Changes when what stands outside the entries gives them another meaning, and not when a date moves."""
        return digest(b"\0".join([_READING, self.meaning, (language or "").encode()]))


def digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=12).digest()


def limit_entries(count: int) -> None:
    """FeedError where a document has so many entries that only remembering them would cost too much."""
    if count > _MOST_ENTRIES:
        raise FeedError(f"the document has more than {_MOST_ENTRIES} entries")


def shared_key(entry: bytes) -> bytes:
    """Equal for entries of equal id (or of equal link, where they have no id); b"" where neither is seen."""
    found = _SHARED.search(entry) or _LINK.search(entry)
    return next((group.strip() for group in found.groups() if group), b"") if found else b""


def cut(text: str) -> Sliced:
    """Cut an XML document into its entries; mends what stops an XML parser, and saves whole entries from what remains.

    Raises FeedError where there is no XML element at all or a document type that hides where it ends.
    """
    data = _plain(text)
    cutter = _Cutter(data)
    trouble = cutter.run()
    if trouble is None:
        return cutter.result()
    mended = _plain(_mend(text))
    second = _Cutter(mended)
    again = second.run()
    if again is None:
        return second.result(f"the document is not well-formed ({trouble}) and was mended")
    if second.closed:
        return second.result(f"what follows the end of the feed was left out ({again})")
    return _salvage(mended, again)


def _plain(text: str) -> bytes:
    """From the first element on, in UTF-8, without XML declarations and document type (no entity is ever defined)."""
    data = text.encode("utf-8", "replace")
    element = _ELEMENT.search(data)
    beginning = _BEGINNING.search(data)
    if element and element[1].rpartition(b":")[2].lower() not in _ROOTS:
        beginning = _FEED_ELEMENT.search(data, 0, _JUNK) or beginning  # a server's warnings printed before the feed
    data = data[beginning.start() :] if beginning else data
    declaration = _DECLARATION.match(data)
    data = data[declaration.end() :] if declaration else data
    element = _ELEMENT.search(data)
    doctype = re.compile(rb"<!doctype", re.IGNORECASE).search(data, 0, element.start() if element else len(data))
    if doctype:
        declared = _DOCTYPE.match(data, doctype.start())
        if declared is None:
            raise FeedError("the document begins with a document type declaration that does not end")
        data = data[: declared.start()] + data[declared.end() :]
    return data


def _mend(text: str) -> str:
    """Take out illegal characters; make HTML's named characters numeric ones and stray ampersands escaped ones."""

    def one(found: re.Match[str]) -> str:
        decimal, hexadecimal, name = found.groups()
        if decimal or hexadecimal:
            code = int(decimal) if decimal else int(hexadecimal, 16)
            return found[0] if code <= 0x10FFFF and code and not _ILLEGAL.match(chr(code)) else ""
        if name in _XML_ENTITIES:
            return found[0]
        characters = html5.get(f"{name};") if name else None
        return "".join(f"&#{ord(c)};" for c in characters) if characters else "&amp;" + found[0][1:]

    if "<rss:item" in text and "xmlns:rss" not in text:  # met at dylanharris.org: a prefix that was never declared
        text = text.replace("<rss:", "<").replace("</rss:", "</")
    mended, room = [], 2 * len(text) + _PART
    for part in _parts(text):
        mended.append(_AMPERSAND.sub(one, _ILLEGAL.sub("", part)))
        room -= len(mended[-1])
        if room < 0:
            raise FeedError("the document holds more stray ampersands and unknown names of characters than text")
    return "".join(mended)


def _parts(text: str) -> Iterator[str]:
    """The text in parts, none of which ends within a reference: a list of nine million matches takes 700 MB."""
    start = 0
    while start < len(text):
        end = start + _PART
        reference = text.rfind("&", end - _LONGEST_REFERENCE, end) if end < len(text) else -1
        end = reference if reference >= 0 else end
        yield text[start:end]
        start = end


class _Cutter:
    """One walk of expat over a document, noting where entries begin and end; nothing is built."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.entries: list[Entry] = []
        self.root = ""
        self.opening = b""
        self.closing = b""
        self.closed = False
        self._names: set[str] = set()
        self._meaning = b""
        self._open: list[tuple[str, int, dict[str, str]]] = []  # outside entries: name, offset, attributes
        self._inside = 0  # depth within an entry
        self._start = 0
        self._elements = 0
        self._monstrous = False
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._finish

    def run(self) -> str | None:
        """None when the whole document was walked, else where and why not."""
        try:
            self._parser.Parse(self.data, True)
        except expat.ExpatError as error:
            return f"{expat.ErrorString(error.code)}, line {error.lineno}"
        finally:  # the parser holds us, and we the document: all three would wait for the garbage collector
            self._parser.StartElementHandler = self._parser.EndElementHandler = None
        return None

    def result(self, *problems: str) -> Sliced:
        return Sliced(self.data, self.root, tuple(self.entries), self.opening, self.closing, self._meaning, problems)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if self._inside:
            self._inside += 1
            self._elements += 1
            if len(attributes) > _MOST_ATTRIBUTES or self._inside > _DEEPEST or self._elements > _MOST_ELEMENTS:
                self._monstrous = True
            if self._inside > _BOTTOM:
                raise FeedError(f"the document nests elements more than {_BOTTOM} deep")
        elif name in self._names:
            self._inside = 1
            self._elements = 0
            self._start = self._parser.CurrentByteIndex
            self._monstrous = len(attributes) > _MOST_ATTRIBUTES
            if not self.entries:
                self._enclose()
        else:
            self._outside(name, attributes)

    def _outside(self, name: str, attributes: dict[str, str]) -> None:
        if len(attributes) > _MOST_ATTRIBUTES:
            raise FeedError(f"the document has an element <{name[:40]}> with {len(attributes)} attributes")
        if len(self._open) > _DEEPEST:
            raise FeedError(f"the document nests elements more than {_DEEPEST} deep outside its entries")
        if not self._open:
            self.root = name
            prefixes = {key[6:] + ":" for key, uri in attributes.items() if key[:6] == "xmlns:" and _names_a_feed(uri)}
            self._names = {p + n for p in ("", *prefixes) for n in (*_ENTRIES, *map(str.upper, _ENTRIES), "Item")}
            self._names.discard(name)  # an Atom entry that stands alone is its own document
        self._open.append((name, self._parser.CurrentByteIndex, attributes))

    def _finish(self, name: str) -> None:
        if self._inside > 1:
            self._inside -= 1
        elif self._inside:
            self._inside = 0
            end = _tag_end(self.data, self._parser.CurrentByteIndex)
            self.entries.append(Entry(self._start, end, monstrous=self._monstrous))
            limit_entries(len(self.entries))
        else:
            if not self.opening and len(self._open) == 1:
                self._enclose()  # the feed has no entries
            self._open.pop()
            self.closed = not self._open

    def _enclose(self) -> None:
        """Remember the start tags of the elements that are open now: those around the entries."""
        self.opening = b"".join(self.data[place : _tag_end(self.data, place)] for _, place, _ in self._open)
        self.closing = b"".join(b"</" + name.encode() + b">" for name, _, _ in reversed(self._open))
        kept = [
            sorted(item for item in attributes.items() if _MEANINGFUL.fullmatch(item[0]))
            for *_, attributes in self._open
        ]
        self._meaning = repr([[name for name, *_ in self._open], kept]).encode()


def _names_a_feed(uri: str) -> bool:
    return uri.strip() in _FEED_NAMESPACES


_TAG_END = re.compile(rb"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")


def _tag_end(data: bytes, place: int) -> int:
    """Where the tag that begins at `place` ends; well-formed, so quotes are closed."""
    if data.startswith(b"</", place):
        return data.index(b">", place) + 1
    found = _TAG_END.match(data, place)
    return found.end() if found else len(data)


def _salvage(data: bytes, trouble: str) -> Sliced:
    """Find the entries by their tags where XML's rules are broken between or in them."""
    starts = list(islice(_ENTRY_START.finditer(data), _MOST_ENTRIES + 1))
    limit_entries(len(starts))
    root = _ELEMENT.search(data)
    if root is None:
        raise FeedError(f"the document is not XML: {trouble}")
    opening, closing = _around(data[: starts[0].start()] if starts else data, root)
    ends: dict[bytes, list[int]] = {}  # name of an element as written → where its end tags end
    for closed in _ENTRY_END.finditer(data):
        ends.setdefault(closed[1], []).append(closed.end())
    entries = []
    limits = [*(start.start() for start in starts[1:]), len(data)]
    for start, limit in zip(starts, limits[: len(starts)], strict=True):
        places = ends.get(start[1], [])
        number = bisect.bisect(places, start.start())
        if number == len(places) and limit == len(data):
            trouble = f"{trouble}; the last entry is cut off and was left out"
            break
        end = min(places[number], limit) if number < len(places) else limit
        entries.append(Entry(start.start(), end, whole=_well_formed(data[start.start() : end])))
    broken = sum(not entry.whole for entry in entries)
    problem = f"the document is not well-formed ({trouble})"
    if broken:
        problem = f"{problem}; {broken} of {len(entries)} entries are damaged"
    return Sliced(data, root[1].decode(), tuple(entries), opening, closing, opening, (problem,))


def _around(before: bytes, root: re.Match[bytes]) -> tuple[bytes, bytes]:
    """The start tags around the entries of a broken document, found by name, and end tags for them."""
    opening = before[root.start() : _tag_end(before, root.start())]
    closing = b"</" + root[1] + b">"
    channel = None if root[1].lower().endswith(b"rdf") else _CHANNEL.search(before, root.end())
    if channel is None:
        return opening, closing
    return opening + channel[0], b"</" + channel[1] + b">" + closing


def _well_formed(piece: bytes) -> bool:
    try:
        expat.ParserCreate("utf-8").Parse(piece, True)
    except expat.ExpatError:
        return False
    return True
