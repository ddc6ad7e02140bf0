"""Entries of a Google News sitemap, and the way from a list of sitemaps to one (sitemaps.org; Google's news: names)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from lxml import etree

from aggregator.delta import digest
from aggregator.errors import FeedError
from aggregator.items import Raw, Text
from aggregator.model import FeedHead
from aggregator.normalise import clean_language_tag, parse_time, publishable_link

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Onward(NamedTuple):
    """Where a list of sitemaps leads to."""

    address: str
    dated: bool  # the list says when each sitemap changed, so that an unchanged list means unchanged sitemaps


def onward(data: bytes, url: str) -> Onward | None:
    """The sitemap to read of those that a list names; None: the document is no such list. For an Isolate.

    Of those whose address speaks of news, else of all, the one that changed last; without dates the last named, since
    such lists grow at their end. Raises FeedError where it names none.
    """
    root = _root(data)
    if _local(root) != "sitemapindex":
        return None
    named = [
        (publishable_link(texts.get("loc", ""), url), parse_time(texts.get("lastmod", "")))
        for texts in map(_texts, root)
    ]
    listed = [(address, changed) for address, changed in named if address]
    if not listed:
        raise FeedError("the list of sitemaps names no sitemap")
    of_news = [one for one in listed if "news" in one[0].lower()] or listed
    address, changed = max(reversed(of_news), key=lambda one: one[1] or _LONG_AGO)
    return Onward(address, changed is not None)


def find(data: bytes, url: str) -> tuple[FeedHead, list[Raw]]:
    """The sitemap's head and its entries, the newest first. Must be given to an Isolate.

    Raises FeedError for another document, and for a sitemap without titles: an address alone cannot be judged.
    """
    root = _root(data)
    if _local(root) == "sitemapindex":
        raise FeedError("the list of sitemaps leads to another list of sitemaps; name the sitemap itself")
    if _local(root) != "urlset":
        raise FeedError(f"the document is not a sitemap: its outermost element is <{_local(root)[:40]}>")
    entries = [child for child in root if _local(child) == "url"]
    found = [raw for raw in map(_entry, entries) if raw is not None]
    if entries and not found:
        raise FeedError("the sitemap names pages without titles: only a Google News sitemap (news:title) can be read")
    found.sort(key=lambda raw: parse_time(raw.published) or _LONG_AGO, reverse=True)
    publication = next((_texts(one) for one in root.iter() if _local(one) == "publication"), {})
    language = clean_language_tag(publication.get("language", ""))
    return FeedHead("sitemap", publication.get("name", "")[:200], publishable_link("/", url), language), found


def _root(data: bytes) -> etree._Element:
    parser = etree.XMLParser(encoding="utf-8", recover=True, resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        raise FeedError("the document is not a sitemap: it is no XML")
    return root


def _entry(entry: etree._Element) -> Raw | None:
    """One page of the sitemap; None: it has no title."""
    place = _texts(entry)
    news = next((_texts(child) for child in entry if _local(child) == "news"), {})
    title, link = news.get("title", ""), place.get("loc", "")
    if not title:
        return None
    publication = next((_texts(one) for one in entry.iter() if _local(one) == "publication"), {})
    published, words = news.get("publication_date", ""), news.get("keywords", "")
    mark = digest("\0".join((title, link, published, words)).encode("utf-8", "replace"))
    return Raw(
        mark,
        link=link,
        title=Text(title),
        published=published or place.get("lastmod", ""),
        language=publication.get("language", ""),
        categories=tuple(word.strip() for word in words.split(",") if word.strip()),
    )


def _texts(element: etree._Element) -> dict[str, str]:
    """An element's children that hold text: name → text, the first of each."""
    return {name: text for name, text in reversed(list(_named(element))) if text}


def _named(element: etree._Element) -> Iterator[tuple[str, str]]:
    for child in element:
        yield _local(child), " ".join((child.text or "").split())


def _local(element: etree._Element) -> str:
    """Its name without namespace or prefix; one that was never declared stays in the tag ("news:title")."""
    return element.tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(element.tag, str) else ""
