"""Where news is told beyond the published folder, to whom, of what, and at which hours."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from aggregator.slices import Saved

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """When a digest goes out, by the clock of a place."""

    at: time
    zone: str  # as the IANA time zone database names it
    weekday: int | None = None  # 0 Monday .. 6 Sunday; None: every day

    def after(self, now: datetime) -> datetime:
        """The next moment to send, in UTC. An hour that a day skips (summer time begins) is the hour after it."""
        zone = ZoneInfo(self.zone)
        day = now.astimezone(zone).date()
        while True:
            moment = datetime.combine(day, self.at, zone).astimezone(UTC)
            if moment > now and self.weekday in (None, day.weekday()):
                return moment
            day += _DAY


@dataclass(frozen=True, slots=True)
class Channel:
    """One receiver. Its address may be a secret, so it is called by its name wherever it is spoken of."""

    name: str
    kind: str  # "webhook", "mail" or "apprise"
    address: str = field(repr=False)
    secret: str = field(default="", repr=False)  # webhooks are signed with it; "": they are not
    asks: Saved = Saved("")  # noqa: RUF009 (frozen)
    hours: Hours | None = None  # None: each story at once
    burst: int = 0  # messages in ten minutes, see ports.Outbox.claim; 0: all that waits goes in one
    allow_private: bool = False  # it may lie on this machine or in a private network

    def due(self, now: datetime) -> datetime:
        """When a story that is told now goes out."""
        return self.hours.after(now) if self.hours else now


def kind_of(address: str) -> str:
    """What delivers to an address: "webhook", "mail", "apprise"; "": nothing does."""
    scheme, colon, rest = address.partition(":")
    if scheme in ("http", "https"):
        return "webhook"
    if scheme == "mailto" and not rest.startswith("//"):
        return "mail"
    return "apprise" if colon and rest.startswith("//") else ""


def mailbox(address: str) -> str:
    """The mailbox of a mailto: address."""
    return unquote(address.partition(":")[2].partition("?")[0])


def names(name: str, addresses: Sequence[str]) -> list[str]:
    """What the receivers of one table are called: by its name and, where they are several, by what is no secret."""
    if len(addresses) == 1:
        return [name]
    labels = [_label(address) for address in addresses]
    counts, turns = Counter(labels), Counter[str]()
    found = []
    for label in labels:
        turns[label] += 1
        found.append(f"{name} ({label})" if counts[label] == 1 else f"{name} ({label} {turns[label]})")
    return found


def _label(address: str) -> str:
    match kind_of(address):
        case "mail":
            return mailbox(address)
        case "webhook":
            return urlsplit(address).hostname or "webhook"
        case _:
            return urlsplit(address).scheme


def fault(address: str, secret: str) -> str | None:
    """What is wrong with an address, or with the secret that goes with it; None: nothing."""
    kind = kind_of(address)
    if not kind:
        return 'a receiver is written as "https://…", "mailto:name@example.org", or as an address of apprise'
    if kind == "webhook" and not urlsplit(address).hostname:
        return "a webhook needs a full web address"
    if kind == "mail" and not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", mailbox(address)):
        return "mailto: takes one mailbox, such as mailto:name@example.org"
    if secret and kind != "webhook":
        return "secret belongs to a webhook"
    if secret and key_of(secret) is None:
        return 'a secret is "whsec_" and 24 to 64 bytes in base64 (`openssl rand -base64 32` makes some)'
    return None


def key_of(secret: str) -> bytes | None:
    """The key that a secret stands for (Standard Webhooks 1.0, "Signature scheme"); None: it stands for none."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return None
    return key if secret.startswith("whsec_") and 24 <= len(key) <= 64 else None
