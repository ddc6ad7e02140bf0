"""Writes stories as feeds and a page: same stories, same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html import escape
from typing import Any

from lxml import etree

from aggregator import page
from aggregator.entries import (
    Entry,
    clean,
    identifier,
    instant,
    month_path,
    plausible,
    prepare,
    prepare_line,
    publishable,
    story_path,
    timestamp,
)
from aggregator.model import Edition, Enclosure, Gone, Line, Member, Part, Source, Story
from aggregator.normalise import clean_language_tag
from aggregator.slices import Slice
from aggregator.sources import to_opml

ATOM = "http://www.w3.org/2005/Atom"
HISTORY = "http://purl.org/syndication/history/1.0"
TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
MEDIA = "http://search.yahoo.com/mrss/"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
GENERATOR = "aggregator"
MEDIA_TYPES = {"rss": "application/rss+xml", "atom": "application/atom+xml"}
_LOOKS_LIKE_MARKUP = re.compile(r"<[A-Za-z/!?]|&#?\w+;")
SUBSCRIBED = {"rss": "rss.xml", "atom": "atom.xml", "feed": "feed.json"}
ARCHIVED = {"rss": "archive/rss-{}.xml", "atom": "archive/atom-{}.xml", "feed": "archive/feed-{}.json"}


def render(edition: Edition, problems: list[str] | None = None) -> dict[str, bytes]:
    """The published files: path below the output folder → content, feeds before the page that links them.

    A pure function of the edition: no clock is read, so the same edition gives the same bytes. A story that cannot
    be published is left out of every file, and a sentence on it is added to `problems`.
    """
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {
        "rss.xml": rss(edition, entries),
        "atom.xml": atom(edition, entries),
        "feed.json": json_feed(edition, entries),
        "sources.opml": to_opml(edition.sources, edition.title),
        "favicon.svg": page.favicon(),
        "sign.png": page.picture(),
        "style.css": page.style(),
        "month/index.html": page.months_html(edition),
        "index.html": page.html(edition, entries),
    }


def render_page(edition: Edition, problems: list[str] | None = None) -> dict[str, bytes]:
    """A closed page of the archive, the edition's `page`, in each feed format (RFC 5005, section 4).

    It leads to the page before it and to the current documents. The page after it is not named: while there is none
    the link would lead nowhere, and once there is one the document must not change any more. Only the first, which is
    closed together with the second, leads to that one.
    """
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {
        _address(edition, "rss"): rss(edition, entries),
        _address(edition, "atom"): atom(edition, entries),
        _address(edition, "feed"): json_feed(edition, entries),
    }


def render_stories(edition: Edition, problems: list[str] | None = None) -> dict[str, bytes]:
    """A page of its own for each of the edition's stories."""
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {story_path(entry.story.id): page.story_html(edition, entry) for entry in entries}


def render_month(edition: Edition, month: str, lines: Iterable[Line]) -> dict[str, bytes]:
    """The page of a month, such as "2026-03", with all stories first told in it, newest first."""
    prepared = tuple(prepare_line(line) for line in lines)
    return {month_path(month): page.month_html(presentable(edition), month, prepared)}


def render_found(edition: Edition, looked_for: str, number: int = 1, more: bool = False, wrong: str = "") -> bytes:
    """A page of what was found, the edition's stories. `wrong`: a sentence on why nothing could be looked for."""
    edition = presentable(edition)
    return page.found_html(edition, prepare(edition, []), page.Looked(looked_for, number, more, wrong))


def render_part(edition: Edition, kind: str, problems: list[str] | None = None) -> bytes:
    """The document of the kind "rss", "atom" or "feed" of a feed that holds some of the stories, the edition's part."""
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {"rss": rss, "atom": atom, "feed": json_feed}[kind](edition, entries)


def render_slice(edition: Edition, cut: Slice, problems: list[str] | None = None) -> dict[str, bytes]:
    """The documents of a slice that holds the edition's stories."""
    part = Part(slice_path(cut.name, "{}"), "slice/index.html")
    edition = presentable(replace(edition, title=f"{edition.title}: {cut.title}", part=part, hub="", gone=()))
    entries = prepare(edition, [] if problems is None else problems)
    documents = {"rss": rss, "atom": atom, "feed": json_feed}
    return {_address(edition, kind): write(edition, entries) for kind, write in documents.items()}


def render_slices(edition: Edition, cuts: Sequence[Slice]) -> dict[str, bytes]:
    """The page and the list that name all slices."""
    edition = presentable(edition)
    listed = [Source(f"{edition.link}{slice_path(cut.name, SUBSCRIBED['atom'])}", cut.title) for cut in cuts]
    return {
        "slice/slices.opml": to_opml(listed, edition.title),
        "slice/index.html": page.slices_html(edition, cuts),
    }


def slice_path(name: str, document: str) -> str:
    """Where a document of a slice lies below the folder."""
    return f"slice/{name}/{document}"


def slice_names(name: str) -> tuple[str, ...]:
    """The files of a slice."""
    return tuple(slice_path(name, document) for document in SUBSCRIBED.values())


def render_moved(edition: Edition, merged: Mapping[str, str]) -> dict[str, bytes]:
    """The pages of stories that were merged: id → id of the story that each is told as part of."""
    edition = presentable(edition)
    return {story_path(id): page.moved_html(edition, into) for id, into in merged.items()}


def page_names(number: int) -> frozenset[str]:
    """The files of a closed page of the archive."""
    return frozenset(name.format(number) for name in ARCHIVED.values())


def _address(edition: Edition, kind: str, page: int | None = None) -> str:
    """Where a document of the kind "rss", "atom" or "feed" lies below the folder; 0: the one to subscribe to."""
    if edition.part is not None:
        return edition.part.documents.format(SUBSCRIBED[kind])
    number = edition.page if page is None else page
    return ARCHIVED[kind].format(number) if number else SUBSCRIBED[kind]


def _neighbours(edition: Edition, kind: str) -> list[tuple[str, str]]:
    """The documents that this one is a part of a feed with: link relation and address (RFC 5005, section 4)."""
    links: list[tuple[str, str]] = []
    if edition.part is not None:
        return links
    before = edition.page - 1 if edition.page else edition.pages
    if before:
        links.append(("prev-archive", edition.link + _address(edition, kind, before)))
    if edition.page == 1 and edition.pages > 1:
        links.append(("next-archive", edition.link + _address(edition, kind, 2)))
    if edition.page:
        links.append(("current", edition.link + _address(edition, kind, 0)))
    return links


def _history(parent: Any, edition: Edition, kind: str, at: int) -> None:
    """Say at a position of the feed's head what it is a part of, and that an archive page is one."""
    for rel, href in reversed(_neighbours(edition, kind)):
        parent.insert(at, etree.Element(f"{{{ATOM}}}link", rel=rel, href=href))
    if edition.page:
        parent.insert(at, etree.Element(f"{{{HISTORY}}}archive", nsmap={"fh": HISTORY}))


def presentable(edition: Edition) -> Edition:
    """The edition with a head that every format can hold."""
    title = clean(edition.title) or "Untitled"
    link = publishable(edition.link) or edition.link
    return replace(
        edition,
        title=title,
        description=clean(edition.description) or title,
        link=link if link.endswith("/") else link + "/",
        language=clean_language_tag(edition.language) or "en",
        hub=publishable(edition.hub) or "",
        updated=instant(edition.updated),
    )


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
    return _hexadecimal_titles(_serialised(root))


def _media(element: Any, lead: Member, enclosures: Iterable[Enclosure] = ()) -> None:
    """The picture, and these enclosures, in the words of Media RSS (rssboard.org/media-rss)."""
    for one in enclosures:
        length = {"fileSize": str(one.length)} if one.length else {}
        etree.SubElement(element, f"{{{MEDIA}}}content", url=one.url, type=one.type, **length, nsmap={"media": MEDIA})
    if lead.image:
        etree.SubElement(element, f"{{{MEDIA}}}thumbnail", url=lead.image, nsmap={"media": MEDIA})


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
    for one in edition.gone:
        _tombstone(root, one)
    for text in root.iter(*(f"{{{ATOM}}}{name}" for name in ("title", "subtitle", "summary", "rights"))):
        _declare_markup(text)
    return _serialised(root)


def _declare_markup(element: Any) -> None:
    """Write a text that looks like markup as HTML that shows it (RFC 4287, 3.1.1.2), so that no reader need guess."""
    if _LOOKS_LIKE_MARKUP.search(element.text or ""):
        element.set("type", "html")
        element.text = escape(element.text, quote=False)


def _tombstone(root: Any, one: Gone) -> None:
    """Say that an entry is no more (RFC 6721): for readers that keep it, not for those that never saw it."""
    when, names = timestamp(instant(one.at)), {"at": TOMBSTONES}
    deleted = etree.SubElement(root, f"{{{TOMBSTONES}}}deleted-entry", ref=identifier(one.id), when=when, nsmap=names)
    if one.into is not None:
        comment = etree.SubElement(deleted, f"{{{TOMBSTONES}}}comment")
        comment.text = f"Told as one story with {identifier(one.into)}"


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
            told = member.title and not _LOOKS_LIKE_MARKUP.search(member.title)  # an attribute cannot say what it is
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


def json_feed(edition: Edition, entries: Iterable[Entry]) -> bytes:
    """JSON Feed 1.1 (jsonfeed.org/version/1.1)."""
    older = dict(_neighbours(edition, "feed")).get("prev-archive")
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": edition.title,
        "home_page_url": edition.link + (edition.part.page if edition.part else ""),
        "feed_url": edition.link + _address(edition, "feed"),
        **({"next_url": older} if older else {}),
        "description": edition.description,
        "icon": edition.link + "sign.png",
        "favicon": edition.link + "favicon.svg",
        "authors": [{"name": edition.title, "url": edition.link}],
        "language": edition.language,
        **({"hubs": [{"type": "WebSub", "url": edition.hub}]} if edition.hub else {}),
        "items": [json_item(entry) for entry in entries],
    }
    return (json.dumps(feed, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def json_item(entry: Entry) -> dict[str, Any]:
    """An entry as an item of JSON Feed."""
    story, lead = entry.story, entry.story.lead
    item = {
        "id": story.id,
        "url": story.link,
        "title": story.title,
        "summary": story.summary,
        "content_html": entry.content,
        "date_published": timestamp(story.published),
        "date_modified": timestamp(story.updated),
        "authors": [{"name": name} for name in lead.authors or (lead.source,)] if lead else None,
        "image": lead.image if lead else None,
        "language": story.language,
        "tags": list(lead.categories) if lead else None,
        "attachments": [_attachment(enclosure) for enclosure in lead.enclosures] if lead else None,
    }
    told = {key: value for key, value in item.items() if value}
    return told | {"_story": _json_story(story)}


def _attachment(enclosure: Enclosure) -> dict[str, Any]:
    length = {"size_in_bytes": enclosure.length} if enclosure.length else {}
    return {"url": enclosure.url, "mime_type": enclosure.type, **length}


def _json_story(story: Story) -> dict[str, Any]:
    return {
        "seed": story.seed,
        "score": round(story.score, 4),
        "reasons": list(story.reasons),
        "members": [
            {
                "url": member.url,
                "title": member.title,
                "source": member.source,
                "language": member.language,
                "published": timestamp(member.published),
                "lead": member.lead,
                **({"credit": member.credit} if member.credit else {}),
            }
            for member in story.members
        ],
    }


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
    address = edition.link + _address(edition, kind)
    feed.link(href=address, rel="self", type=MEDIA_TYPES[kind])  # first: validators look for it there
    if edition.hub:
        feed.link(href=edition.hub, rel="hub")
    home = edition.link + (edition.part.page if edition.part else "")
    feed.link(href=home, rel="alternate", type="text/html")  # last: feedgen makes it RSS's <link>
    return feed


def _serialised(root: Any) -> bytes:
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True))


def _hexadecimal_titles(document: bytes) -> bytes:
    """Write & and < in titles as references that no reader decodes twice (RSS profile, character data)."""
    return re.sub(
        rb"<title>[^<]*</title>",
        lambda title: title[0].replace(b"&amp;", b"&#x26;").replace(b"&lt;", b"&#x3C;"),
        document,
    )
