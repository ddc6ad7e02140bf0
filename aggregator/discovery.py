"""Find the feeds that a site's page names (RSS Autodiscovery, rssboard.org/rss-autodiscovery)."""

from __future__ import annotations

from lxml import html
from lxml.etree import LxmlError

from aggregator.normalise import publishable_link

FEED_TYPES = frozenset(
    {"application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml", "application/json"}
)


def feeds_of(page: bytes, address: str) -> tuple[str, ...]:
    """The addresses of the feeds that an HTML page links to as its alternates, in its order, without comment feeds."""
    try:
        root = html.document_fromstring(page)
    except (LxmlError, ValueError):
        return ()
    base = next((element.get("href") for element in root.iter("base") if element.get("href")), None)
    found: dict[str, None] = {}
    for link in root.iter("link"):
        rel = (link.get("rel") or "").lower().split()
        type_ = (link.get("type") or "").split(";")[0].strip().lower()
        if "alternate" not in rel or type_ not in FEED_TYPES or "comment" in (link.get("title") or "").lower():
            continue
        feed = publishable_link(link.get("href") or "", publishable_link(base, address) if base else address)
        if feed:
            found.setdefault(feed)
    return tuple(found)
