"""Reads what an answer's headers ask of the next visit: how long it is fresh, when to come back, where else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from urllib.parse import urljoin, urlsplit

from requests.utils import parse_header_links

from aggregator.model import Freshness

_LONGEST = 2**31  # seconds; RFC 9111, 1.2.2: what a larger number means
_LONGEST_WAIT = timedelta(days=30)  # a Retry-After beyond it is a mistake, not a wish
# RFC 9111 has commas alone between directives, some servers have semicolons.
_DIRECTIVE = re.compile(r'\s*([a-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,;]*)))?\s*(?:[,;]|$)', re.IGNORECASE)
# RFC 9110 has whole seconds; met are a fraction, a unit, and two of them from two servers in a row.
_WAIT = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*(?:s|secs?|seconds?)?(?:,.*)?", re.ASCII | re.IGNORECASE)
_FEED = re.compile(r"application/((rss|atom|rdf)\+xml|feed\+json)\b")


def freshness(headers: Mapping[str, str], url: str, now: datetime) -> Freshness:
    """`url`: the document's own address, which links in `headers` are relative to."""
    date = _date(headers.get("Date")) or now
    hub, self_link = _links(headers.get("Link", ""), url)
    return Freshness(
        fresh_for=_fresh_for(headers, date),
        retry_after=_retry_after(headers.get("Retry-After"), date),
        hub=hub,
        self_link=self_link,
    )


def _fresh_for(headers: Mapping[str, str], date: datetime) -> timedelta | None:
    """RFC 9111, 4.2: max-age less Age, else Expires less Date; None: nothing said, or not to be kept at all."""
    wishes: dict[str, str] = {}
    for name, quoted, plain in _DIRECTIVE.findall(headers.get("Cache-Control", "")):
        wishes.setdefault(name.lower(), quoted or plain)
    if wishes.get("no-cache") == "" or "no-store" in wishes:  # with a value, no-cache speaks of single fields only
        return None
    age = _seconds(headers.get("Age")) or timedelta(0)
    if "max-age" in wishes:
        lifetime = _seconds(wishes["max-age"])
        return None if lifetime is None else max(lifetime - age, timedelta(0))
    if "Expires" not in headers:
        return None
    expires = _date(headers["Expires"])
    return max(expires - date, timedelta(0)) if expires else timedelta(0)  # 5.3: an unreadable one has expired


def _retry_after(value: str | None, date: datetime) -> timedelta | None:
    """RFC 9110, 10.2.3: seconds, or a date, which is taken by the server's own clock; None: absent, past, garbled."""
    plain, wait = _WAIT.fullmatch((value or "").strip()), None
    if plain:
        wait = timedelta(seconds=min(float(plain[1]), _LONGEST))
    elif moment := _date(value):
        wait = moment - date
    return min(wait, _LONGEST_WAIT) if wait and wait > timedelta(0) else None


def linked_feeds(header: str, url: str) -> tuple[str, ...]:
    """The feeds that a Link header names as alternates of what lies at `url`, absolute."""
    named = _named(header, url) if "alternate" in header else ()
    return tuple(dict.fromkeys(to for relations, type_, to in named if "alternate" in relations and _FEED.match(type_)))


def _links(header: str, url: str) -> tuple[str | None, str | None]:
    """The targets of rel=hub and rel=self."""
    found: dict[str, str] = {}
    for relations, _, target in _named(header, url) if "rel" in header else ():
        for relation in relations:
            found.setdefault(relation, target)
    return found.get("hub"), found.get("self")


def _named(header: str, url: str) -> Iterator[tuple[list[str], str, str]]:
    """Relations, media type and target of each link (RFC 8288), absolute; only what the web can reach."""
    for link in parse_header_links(header):
        try:
            target = urljoin(url, link["url"])
            valid = urlsplit(target).scheme in ("http", "https") and urlsplit(target).hostname
        except ValueError:
            continue
        if valid:
            yield link.get("rel", "").lower().split(), link.get("type", "").lower(), target


def _seconds(value: str | None) -> timedelta | None:
    digits = (value or "").strip()
    if not (digits.isascii() and digits.isdigit()):
        return None
    return timedelta(seconds=_LONGEST if len(digits) > 10 else min(int(digits), _LONGEST))


def _date(value: str | None) -> datetime | None:
    """An HTTP date in any of its three forms (RFC 9110, 5.6.7)."""
    parsed = parsedate_tz(value) if value else None
    try:
        return datetime.fromtimestamp(mktime_tz(parsed), UTC) if parsed else None
    except (ValueError, OverflowError, OSError):
        return None
