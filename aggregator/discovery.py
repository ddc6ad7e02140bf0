"""Find the feeds that a site's page names (RSS Autodiscovery, rssboard.org/rss-autodiscovery; HTML, rel=alternate)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from lxml import html
from lxml.etree import LxmlError

from aggregator.normalise import publishable_link

FEED_TYPES = frozenset({"application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml"})
# Types that feeds were given before they had their own, and that other things have, too: WordPress names the JSON of
# each page so. They are looked at after all others.
_DOUBTFUL = frozenset({"application/json", "application/xml", "text/xml"})
# WordPress calls the path so in every language; titles are translated.
_COMMENTS_PATH = re.compile(r"(^|[/_-])comments?([/_.-]|$)", re.IGNORECASE)
_COMMENTS = ("comment", "komment", "coment", "commenti", "reactie", "коммент", "댓글", "コメント", "评论", "評論")


def feeds_of(page: bytes, address: str, linked: Sequence[str] = ()) -> tuple[str, ...]:
    """The addresses of the feeds that an HTML page links to as its alternates, in its order, without comment feeds.

    `linked`: those that its headers name, which go first.
    """
    found = {feed: True for feed in linked if not _COMMENTS_PATH.search(urlsplit(feed).path)}  # address → sure
    try:
        root = html.document_fromstring(page)
    except (LxmlError, ValueError):
        return tuple(found)
    base = next((element.get("href") for element in root.iter("base") if element.get("href")), None)
    for link in root.iter("link"):
        rel = (link.get("rel") or "").lower().split()
        type_ = (link.get("type") or "").split(";")[0].strip().lower()
        sure = "feed" in rel or ("alternate" in rel and type_ in FEED_TYPES)
        if not sure and not ("alternate" in rel and type_ in _DOUBTFUL):
            continue
        href = re.sub(r"^\s*feed:(//)?(?=https?:)", "", link.get("href") or "", flags=re.IGNORECASE)
        feed = publishable_link(href, publishable_link(base, address) if base else address)
        if feed and not _is_of_comments(link.get("title") or "", feed):
            found[feed] = found.get(feed, False) or sure
    return tuple(sorted(found, key=lambda feed: not found[feed]))


def _is_of_comments(title: str, address: str) -> bool:
    return any(word in title.lower() for word in _COMMENTS) or bool(_COMMENTS_PATH.search(urlsplit(address).path))
