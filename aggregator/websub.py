"""The subscriber's rules of WebSub (w3.org/TR/websub): whom to ask, what to confirm, which deliveries to believe."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from aggregator.model import Changed, Failed, Subscription, Unchanged, Visit
from aggregator.normalise import plain_text, shorten, single_line, without_password

LEASE = timedelta(days=10)  # what is asked for; the hub decides
_LONGEST_LEASE = timedelta(days=366)
_HOUR, _WEEK = timedelta(hours=1), timedelta(days=7)
_REFUSED = 9  # tries counted for a hub that said no: it is asked again after a week
_LONGEST_REASON = 200  # characters
_METHODS = ("sha256", "sha384", "sha512", "sha1")  # section 8; sha1 is what most hubs still send
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Reply(NamedTuple):
    """What a hub that verifies is answered, and what is remembered from then on; None: nothing."""

    status: int
    text: str
    after: Subscription | None


def named(visit: Visit) -> tuple[str, str] | None:
    """The hub that a source names and the topic to subscribe to; headers go before the document (section 4).

    None: none is named. Without a document that was read, only headers that name both count: an answer "not modified"
    often names the hub alone, and the topic in the document stands.
    """
    wishes = visit.freshness
    match visit.outcome:
        case Changed(head=head):
            hub = wishes.hub or head.hub
            return (hub, wishes.self_link or head.self_link or without_password(visit.source.url)) if hub else None
        case Unchanged():
            return (wishes.hub, wishes.self_link) if wishes.hub and wishes.self_link else None
        case Failed():
            return None


def begin(source: str, hub: str, topic: str, now: datetime) -> Subscription:
    """A subscription to be asked for; its callback and its secret cannot be guessed."""
    return Subscription(secrets.token_urlsafe(24), source, hub, topic, secrets.token_urlsafe(32), now)


def request(one: Subscription, callback: str) -> dict[str, str]:
    """The form to send to the hub (section 5.1), to subscribe, renew or leave."""
    fields = {
        "hub.mode": "unsubscribe" if one.leaving else "subscribe",
        "hub.topic": one.topic,
        "hub.callback": f"{callback.rstrip('/')}/{one.token}",
    }
    if one.leaving:
        return fields
    secret = {"hub.secret": one.secret} if confides(one.hub) else {}
    return fields | {"hub.lease_seconds": str(int(LEASE.total_seconds())), **secret}


def confides(hub: str) -> bool:
    """Whether a hub is told the secret: over HTTPS, or on this machine, where nobody overhears it (section 5.1)."""
    parts = urlsplit(hub)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


def is_to_ask(one: Subscription, now: datetime) -> bool:
    """Whether the hub is to be asked (again): not confirmed, twice as late each time; or the lease nears its end."""
    if one.until is None or one.leaving or now >= one.until:
        return now - one.asked >= min(_HOUR * (1 << min(max(one.tries - 1, 0), 20)), _WEEK)
    return now - one.asked >= _HOUR and one.until - now <= (one.until - one.asked) / 4


def verify(one: Subscription, query: Mapping[str, str], now: datetime) -> Reply:
    """What to answer a hub that asks whether we meant it (section 5.3), or that refuses (5.2)."""
    if query.get("hub.topic") != one.topic:
        return Reply(404, "", one)
    challenge = query.get("hub.challenge", "")
    match query.get("hub.mode"):
        case "denied":
            return Reply(200, "", replace(one, until=None, asked=now, tries=_REFUSED))
        case "subscribe" if challenge and not one.leaving:
            return Reply(200, challenge, replace(one, until=now + _lease(query), tries=0))
        case "unsubscribe" if challenge and one.leaving:
            return Reply(200, challenge, None)
    return Reply(404, "", one)


def told(query: Mapping[str, str], after: Subscription | None) -> str:
    """What a hub said that was believed, for the log; `after`: the subscription from then on."""
    if query.get("hub.mode") == "denied":
        reason = shorten(single_line(plain_text(query.get("hub.reason", ""), html=False)), _LONGEST_REASON)
        return f"refuses to tell of news, and is asked again in a week: {reason or 'it does not say why'}"
    if after is None or after.until is None:
        return "tells of news no more, as it was asked"
    return f"tells of news, until {after.until:%Y-%m-%d %H:%M} UTC unless that is renewed"


def _lease(query: Mapping[str, str]) -> timedelta:
    seconds = query.get("hub.lease_seconds", "")
    given = timedelta(seconds=int(seconds)) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else LEASE
    return min(given, _LONGEST_LEASE)


def is_signed(secret: str, signature: str, body: bytes) -> bool:
    """Whether an X-Hub-Signature, such as "sha256=…", is the body's (section 7.1); compared in constant time."""
    method, _, given = signature.strip().partition("=")
    if method.lower() not in _METHODS:
        return False
    expected = hmac.new(secret.encode(), body, method.lower()).hexdigest()
    return hmac.compare_digest(expected.encode(), given.strip().lower().encode("utf-8", "replace"))
