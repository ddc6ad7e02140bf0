"""Writes stories as RSS 2.0 and Atom 1.0: same stories, same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from html import escape
from html.entities import name2codepoint
from typing import Any

from lxml import etree

from aggregator.documents import address, neighbours
from aggregator.entries import Entry, identifier, instant, plausible, publishable, timestamp
from aggregator.model import Edition, Enclosure, Gone, Member, Story

ATOM = "http://www.w3.org/2005/Atom"
HISTORY = "http://purl.org/syndication/history/1.0"
TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
MEDIA = "http://search.yahoo.com/mrss/"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
GENERATOR = "aggregator"
MEDIA_TYPES = {"rss": "application/rss+xml", "atom": "application/atom+xml"}
_MOURNED = timedelta(days=30)  # longer than readers are left unopened who keep what they once read
_TAG = re.compile(r"<[A-Za-z/!?]")
_REFERENCE = re.compile(r"&(#?\w+)(;?)")
_NAMED = name2codepoint.keys() | {"apos"}
_RSS_TEXTS = re.compile(rb"<(?:title|description|category|source|dc:creator|dc:rights)(?: [^>]*)?>[^<]*</")
_ATOM_NAMES = re.compile(rb"<name>[^<]*</")


def rss(edition: Edition, entries: Iterable[Entry]) -> bytes:
    """RSS 2.0 with the Atom, content and Dublin Core modules (rssboard.org/rss-specification, rss-profile)."""
    entries = tuple(entries)
    feed = _generator(edition, "rss")
    for entry in entries:
        _rss_item(feed.add_entry(order="append"), entry)
    root = etree.fromstring(feed.rss_str())
    channel = root.find("channel")
    self_link = channel.find(f"{{{ATOM}}}link")
    _history(channel, edition, "rss", channel.index(self_link) + 1)
    if edition.hub:  # feedgen writes rel=self only
        self_link.addnext(etree.Element(f"{{{ATOM}}}link", rel="hub", href=edition.hub))
    for item, entry in zip(channel.iterfind("item"), entries, strict=True):
        etree.SubElement(item, f"{{{ATOM}}}updated").text = timestamp(entry.story.updated)
        if entry.story.language:
            etree.SubElement(item, f"{{{DUBLIN_CORE}}}language").text = entry.story.language
        if entry.story.lead:
            if entry.story.lead.credit:
                etree.SubElement(item, f"{{{DUBLIN_CORE}}}rights").text = entry.story.lead.credit
            _media(item, entry.story.lead, entry.story.lead.enclosures[1:])
    return _hexadecimal(_serialised(root), _RSS_TEXTS)


def _rss_item(item: Any, entry: Entry) -> None:
    story, lead = entry.story, entry.story.lead
    item.id(story.id)
    item.title(story.title)
    item.published(story.published)
    item.content(entry.content, type="html")
    if story.summary:
        item.description(escape(story.summary, quote=False))  # a description is HTML, whatever it looks like
    if story.link:
        item.link(href=story.link)
    if lead is None:
        return
    item.dc.dc_creator(list(lead.authors) or [lead.source])  # RSS's own author must be an e-mail address
    if lead.source_url:
        item.source(lead.source_url, lead.source)
    for category in lead.categories:
        item.category(term=category)
    for enclosure in lead.enclosures[:1]:  # readers disagree on more than one (RSS profile, enclosure)
        item.enclosure(enclosure.url, str(enclosure.length or 0), enclosure.type)


def atom(edition: Edition, entries: Iterable[Entry]) -> bytes:
    """Atom 1.0 (RFC 4287)."""
    entries = tuple(entries)
    feed = _generator(edition, "atom")
    for entry in entries:
        _atom_entry(feed.add_entry(order="append"), entry)
    root = etree.fromstring(feed.atom_str())
    root.set(XML_LANG, edition.language)
    spell = _Spelling()
    elements = list(root.iterfind(f"{{{ATOM}}}entry"))
    for element, entry in reversed(list(zip(elements, entries, strict=True))):  # from the oldest on: see _Spelling
        element.find(f"{{{ATOM}}}updated").text = spell(entry.story.updated)
        _finish_atom_entry(element, entry.story)
    _history(root, edition, "atom", root.index(root.find(f"{{{ATOM}}}link")) + 1)
    for one in _withdrawn(edition):
        when, names = timestamp(instant(one.at)), {"at": TOMBSTONES}
        etree.SubElement(root, f"{{{TOMBSTONES}}}deleted-entry", ref=identifier(one.id), when=when, nsmap=names)
    for text in root.iter(*(f"{{{ATOM}}}{name}" for name in ("title", "subtitle", "summary", "rights"))):
        _declare_markup(text)
    return _hexadecimal(_serialised(root), _ATOM_NAMES)


def _declare_markup(element: Any) -> None:
    """Write a text that looks like markup as HTML that shows it (RFC 4287, 3.1.1.2), so that no reader need guess."""
    if _looks_like_markup(element.text or ""):
        element.set("type", "html")
        element.text = escape(element.text, quote=False)


def _looks_like_markup(text: str) -> bool:
    """Whether a reader, or the W3C feed validator, may take a text for HTML: "<b>", "&copy", "1&1", but not "Q&A"."""
    named = any(ends or name in _NAMED or not name.isalpha() for name, ends in _REFERENCE.findall(text))
    return named or bool(_TAG.search(text))


def _withdrawn(edition: Edition) -> Iterator[Gone]:
    """The stories that Atom says are no more (RFC 6721): those that were taken back, not those told within another.

    A closed page says so for good, the subscription document until a month of changes has gone by.
    """
    since = edition.updated - _MOURNED
    return (one for one in edition.gone if one.into is None and (edition.page or one.at >= since))


def _atom_entry(element: Any, entry: Entry) -> None:
    story, lead = entry.story, entry.story.lead
    element.id(story.id)
    element.title(story.title)
    element.published(story.published)
    element.updated(story.updated)
    element.content(entry.content, type="html")
    if story.summary:
        element.summary(story.summary)
    if story.link:
        element.link(href=story.link, rel="alternate")
    if lead is None:
        return
    element.author([{"name": name} for name in lead.authors or (lead.source,)])
    if lead.credit:
        element.rights(lead.credit)
    for category in lead.categories:
        element.category(term=category)


def _finish_atom_entry(element: Any, story: Story) -> None:
    """Add what feedgen leaves out: languages, the attributes of further links, and the source's metadata in full."""
    if story.language:
        element.set(XML_LANG, story.language)
    if story.link:
        element.find(f"{{{ATOM}}}link").set("rel", "alternate")
    for member in story.members:
        if url := publishable(member.url):
            language = {"hreflang": member.language} if member.language else {}
            told = member.title and not _looks_like_markup(member.title)  # an attribute cannot say what it is
            title = {"title": member.title} if told else {}
            etree.SubElement(element, f"{{{ATOM}}}link", rel="related", href=url, **language, **title)
    lead = story.lead
    if lead is None:
        return
    for enclosure in lead.enclosures:
        length = {"length": str(enclosure.length)} if enclosure.length else {}
        etree.SubElement(element, f"{{{ATOM}}}link", rel="enclosure", href=enclosure.url, type=enclosure.type, **length)
    _media(element, lead)
    if lead.source_url:
        _atom_source(element, lead, story.told)


def _atom_source(element: Any, lead: Member, told: datetime) -> None:
    """Where the entry comes from (RFC 4287, 4.2.11). The feed's own id is not kept; its address names it as well."""
    source = etree.SubElement(element, f"{{{ATOM}}}source")
    etree.SubElement(source, f"{{{ATOM}}}id").text = lead.source_url
    etree.SubElement(source, f"{{{ATOM}}}title").text = lead.source
    etree.SubElement(source, f"{{{ATOM}}}updated").text = timestamp(plausible(lead.updated or lead.published, told))
    etree.SubElement(source, f"{{{ATOM}}}link", rel="self", href=lead.source_url)
    if lead.site:
        etree.SubElement(source, f"{{{ATOM}}}link", rel="alternate", href=lead.site)


class _Spelling:
    """Writes times so that no two of one feed are spelled alike, for the sake of readers that take that for an error.

    Stories of one visit share a time. RFC 3339 has many spellings of one instant, so the second story that was
    updated in a second says "10:00:00.0Z", the third "10:00:00.00Z"; after six digits, all that common parsers read,
    other offsets from UTC follow. The oldest story comes first, so that a new one does not change the others' bytes.
    """

    def __init__(self) -> None:
        self._seen: dict[datetime, int] = {}

    def __call__(self, when: datetime) -> str:
        turn = self._seen.get(when, 0)
        self._seen[when] = turn + 1
        hours, digits = divmod(turn, 7)
        fraction = f".{'0' * digits}" if digits else ""
        if hours == 0:
            return timestamp(when).replace("Z", f"{fraction}Z")
        local = when.astimezone(timezone(timedelta(hours=(hours - 1) % 14 + 1))).isoformat(timespec="seconds")
        return f"{local[:19]}{fraction}{local[19:]}"


def _history(parent: Any, edition: Edition, kind: str, at: int) -> None:
    """Say at a position of the feed's head what it is a part of, and that an archive page is one."""
    for rel, href in reversed(neighbours(edition, kind)):
        parent.insert(at, etree.Element(f"{{{ATOM}}}link", rel=rel, href=href))
    if edition.page:
        parent.insert(at, etree.Element(f"{{{HISTORY}}}archive", nsmap={"fh": HISTORY}))


def _media(element: Any, lead: Member, enclosures: Iterable[Enclosure] = ()) -> None:
    """The picture, and these enclosures, in the words of Media RSS (rssboard.org/media-rss)."""
    for one in enclosures:
        length = {"fileSize": str(one.length)} if one.length else {}
        etree.SubElement(element, f"{{{MEDIA}}}content", url=one.url, type=one.type, **length, nsmap={"media": MEDIA})
    if lead.image:
        etree.SubElement(element, f"{{{MEDIA}}}thumbnail", url=lead.image, nsmap={"media": MEDIA})


def _generator(edition: Edition, kind: str) -> Any:
    """A feedgen feed of the kind "rss" or "atom" with all but its entries."""
    from feedgen.feed import FeedGenerator

    feed = FeedGenerator()
    feed.load_extension("dc", atom=False)
    feed.id(edition.link + (edition.part.documents.removesuffix("{}") if edition.part else ""))
    feed.title(edition.title)
    feed.subtitle(edition.description)
    feed.description(edition.description)
    feed.language(edition.language)
    feed.author(name=edition.title, uri=edition.link)
    feed.updated(edition.updated)  # feedgen's default is the time of the call
    feed.generator(GENERATOR)
    own = edition.link + address(edition, kind)
    feed.link(href=own, rel="self", type=MEDIA_TYPES[kind])  # first: validators look for it there
    if edition.hub:
        feed.link(href=edition.hub, rel="hub")
    home = edition.link + (edition.part.page if edition.part else "")
    feed.link(href=home, rel="alternate", type="text/html")  # last: feedgen makes it RSS's <link>
    return feed


def _serialised(root: Any) -> bytes:
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True))


def _hexadecimal(document: bytes, texts: re.Pattern[bytes]) -> bytes:
    """Write & and < in these texts as references that no reader decodes twice (RSS profile, character data)."""
    return texts.sub(lambda text: text[0].replace(b"&amp;", b"&#x26;").replace(b"&lt;", b"&#x3C;"), document)
