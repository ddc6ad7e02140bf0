"""What a feed document says about itself, outside its entries: RSS in all versions, Atom, CDF."""

from __future__ import annotations

import re
from datetime import timedelta

from lxml import etree

from aggregator.model import FeedHead
from aggregator.normalise import (
    clean_language_tag,
    has_markup,
    plain_text,
    publishable_link,
    shorten,
    single_line,
)

_ATOM = ("http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#")
_XML = "{http://www.w3.org/XML/1998/namespace}"
_RSS_VERSIONS = {"0.91": "rss091u", "0.92": "rss092", "0.93": "rss093", "0.94": "rss094"}  # feedparser's names
_OLD_ATOM = {"0.1": "atom01", "0.2": "atom02", "0.3": "atom03"}
_PERIODS = {  # http://purl.org/rss/1.0/modules/syndication/
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "monthly": timedelta(days=30),
    "yearly": timedelta(days=365),
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LONGEST_TITLE = 200  # characters; the longest of 200 real feeds has 96
_LONGEST_TTL = 525_600  # minutes: a year; what asks for more means "never", which nobody can mean


def read_head(data: bytes, url: str) -> FeedHead | None:
    """The head of an XML feed without its entries, UTF-8; None if the outermost element is none of a feed's.

    `url`: where the document came from. No entity, no document type, nothing outside is ever loaded.
    """
    safe = etree.XMLParser(
        encoding="utf-8", recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(data, safe)
    except etree.XMLSyntaxError:
        return None
    if root is None:
        return None
    form = _format(root)
    return None if form is None else _head(form, root, _channel(root), url)


def _format(root: etree._Element) -> str | None:
    """feedparser's name of the format; None if it is no feed."""
    name, namespace = _local(root), _namespace(root)
    version = (root.get("version") or "").strip()
    if name == "rss":
        return _RSS_VERSIONS.get(version, "rss20" if version.startswith("2.") else "rss")
    if name == "rdf":
        spaces = {*root.nsmap.values(), *(_namespace(child) for child in root)}
        return "rss090" if any("netscape.com/rdf/simple/0.9" in space for space in spaces if space) else "rss10"
    if name == "feed":
        if namespace == _ATOM[0]:
            return "atom10"
        return "atom03" if namespace == _ATOM[1] else _OLD_ATOM.get(version, "atom")
    if name == "channel":
        return "cdf" if root.get("HREF") or root.get("href") or root.tag == "CHANNEL" else "rss"
    return None


def _channel(root: etree._Element) -> etree._Element:
    if _local(root) not in ("rss", "rdf"):
        return root
    return next((child for child in root if _local(child) == "channel"), root)


def _head(form: str, root: etree._Element, channel: etree._Element, url: str) -> FeedHead:
    base = url
    for element in dict.fromkeys((root, channel)):
        base = publishable_link(element.get(_XML + "base", ""), base) or base
    texts: dict[str, str] = {}  # the first of each name; a name without namespace or of the format's own goes first
    links: dict[str, str] = {}
    for child in channel:
        name = _local(child)
        if name == "link" and (_namespace(child) in _ATOM or child.get("href")):
            for relation in (child.get("rel") or "alternate").lower().split():
                links.setdefault(relation.rpartition("/")[2], child.get("href") or "")
        elif name in ("title", "link", "language", "ttl", "updateperiod", "updatefrequency") and not _foreign(child):
            texts.setdefault(name, "".join(child.itertext()).strip())
    language = texts.get("language") or channel.get(_XML + "lang") or root.get(_XML + "lang") or ""
    title = plain_text(texts.get("title", ""), html=has_markup(texts.get("title", "")))
    return FeedHead(
        form,
        shorten(single_line(title), _LONGEST_TITLE),
        publishable_link(texts.get("link") or links.get("alternate") or channel.get("HREF") or "", base),
        clean_language_tag(language),
        publishable_link(links.get("hub", ""), base),
        publishable_link(links.get("self", ""), base),
        _lifetime(texts),
        _skipped_hours(channel),
        _skipped_days(channel),
    )


def _local(element: etree._Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(tag, str) else ""


def _namespace(element: etree._Element) -> str:
    tag = element.tag
    return tag[1:].partition("}")[0] if isinstance(tag, str) and tag.startswith("{") else ""


def _foreign(element: etree._Element) -> bool:
    """Whether an element belongs to a vocabulary that says something else by the same names (itunes:title)."""
    return re.search(r"itunes|search\.yahoo|mrss|podcast|google", _namespace(element)) is not None


def _lifetime(texts: dict[str, str]) -> timedelta | None:
    """RSS ttl in minutes (rssboard.org/rss-specification), the syndication module's period over frequency; the longer.

    Its updateBase, from which the periods count, is passed over: who heeds the period comes as seldom as is asked for.
    """
    minutes = texts.get("ttl", "")
    ttl = int(minutes) if minutes.isdecimal() and 0 < int(minutes[:9]) <= _LONGEST_TTL else 0
    period = _PERIODS.get(texts.get("updateperiod", "").lower(), timedelta(0))
    frequency = texts.get("updatefrequency", "1") or "1"
    if not frequency.isdecimal() or not 0 < int(frequency[:9]) <= 1440:
        frequency, period = "1", timedelta(0)
    return max(timedelta(minutes=ttl), period / int(frequency)) or None


def _skipped_hours(channel: etree._Element) -> frozenset[int]:
    """0 to 23, GMT; some write 24 for midnight. All of them would mean never: then none."""
    texts = [hour.strip() for hour in _children_of(channel, "skiphours", "hour")]
    hours = frozenset(int(hour) % 24 for hour in texts if hour.isdecimal() and len(hour) <= 2 and int(hour) <= 24)
    return hours if len(hours) < 24 else frozenset()


def _skipped_days(channel: etree._Element) -> frozenset[int]:
    names = [day.strip().lower() for day in _children_of(channel, "skipdays", "day")]
    days = frozenset(_DAYS.index(name) for name in names if name in _DAYS)
    return days if len(days) < 7 else frozenset()


def _children_of(channel: etree._Element, outer: str, inner: str) -> list[str]:
    found = [child for child in channel if _local(child) == outer]
    return [grandchild.text or "" for child in found for grandchild in child if _local(grandchild) == inner]
