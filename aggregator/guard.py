"""Decides who may see the operator's pages and who may act there: a request's values in, a decision out."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

COOKIE = "aggregator_operator"
LOGGED_IN = timedelta(days=7)  # until the token is asked for again

# What proxies add to a request. One that adds none of them cannot be told from a browser here: docs/operation.md.
_FORWARDING = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded", "x-real-ip"),
    *("x-client-ip", "true-client-ip", "cf-connecting-ip"),
)

_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a decision rests on."""

    peer: str  # address of who connected; "" where it is not known
    http: str  # version of the protocol: "1.1"
    headers: Mapping[str, str]  # names in lower case
    cookie: str | None = None  # the value of COOKIE


@dataclass(frozen=True, slots=True)
class Admitted:
    """The operator asks."""

    session: str = ""  # what the marks in forms are bound to: a cookie's value; "": from this machine
    by_header: bool = False  # a script, with the token in a header that no page elsewhere can send


@dataclass(frozen=True, slots=True)
class LogIn:
    """Whoever it is has to show the token first."""

    wrong: bool = False  # showed another one


@dataclass(frozen=True, slots=True)
class Refused:
    why: str  # a sentence for whoever asked


Entrance = Admitted | LogIn | Refused


class Guard:
    """The rules of one server.

    `token`: what the operator shows; "": nobody is asked for one, and only this machine is admitted. `public`: with a
    token, the address under which the server is known outside, as a proxy in front may send another `Host`.
    """

    def __init__(self, token: str, public: str = "") -> None:
        self._token = token
        self._public = urlsplit(public).netloc if token else ""
        secret = token.encode("utf-8", "surrogatepass") or secrets.token_bytes(32)
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"operator").digest()

    def admit(self, asked: Asked, now: datetime) -> Entrance:
        """Who asks? With a token, everyone has to show it; without one, it must be someone on this machine."""
        if _is_drawn_from_elsewhere(asked.headers):
            return Refused("These pages are not for other pages to load.")
        if not self._token:
            if _is_on_this_machine(asked):
                return Admitted()
            return Refused("These pages are shown on this machine only, unless a [server] token is set.")
        scheme, _, shown = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return Admitted(by_header=True) if self.knows(shown.strip()) else LogIn(wrong=True)
        if asked.cookie is not None and self._holds(asked.cookie, now):
            return Admitted(asked.cookie)
        return LogIn()

    def knows(self, token: str) -> bool:
        """Is this the token? Takes as long for a wrong one, however much of it is right."""
        return bool(self._token) and _same(token, self._token)

    def session(self, now: datetime) -> str:
        """A cookie's value, for one who has shown the token."""
        what = f"{int((now + LOGGED_IN).timestamp())}.{secrets.token_urlsafe(16)}"
        return f"{what}.{self._signed('session', what)}"

    def mark(self, session: str) -> str:
        """What every form of this session carries, and no page elsewhere can know."""
        return self._signed("form", session)

    def may_act(self, asked: Asked, admitted: Admitted, mark: str) -> bool:
        """Does the request to change something come from our own form?"""
        return admitted.by_header or (self.is_from_here(asked.headers) and _same(mark, self.mark(admitted.session)))

    def is_from_here(self, headers: Mapping[str, str]) -> bool:
        """Does the browser say that one of our own pages sent it? (Fetch Metadata; RFC 6454, 7.) It has to say."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site not in (None, "same-origin"):
            return False
        if origin is None:
            return site is not None
        return _netloc(origin) in {headers.get("host", ""), self._public} - {""}

    def _holds(self, session: str, now: datetime) -> bool:
        what, _, signature = session.rpartition(".")
        ends = what.partition(".")[0]
        genuine = _same(signature, self._signed("session", what))
        return genuine and now.timestamp() < int(ends)

    def _signed(self, purpose: str, what: str) -> str:
        text = f"{purpose} {what}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def _is_drawn_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """A picture, frame or fetch of a page elsewhere; a link that someone followed from there is none."""
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    followed = mode == "navigate" and headers.get("sec-fetch-dest") in (None, "document")
    return site in ("cross-site", "same-site") and not followed


def _is_on_this_machine(asked: Asked) -> bool:
    """Is it someone on this machine who asks, directly?

    The peer's address decides, and no header can make up for it. A proxy on this machine speaks for strangers, and
    some speak HTTP/1.0, which no browser does. A strange host name means that a web page elsewhere had its name point
    here (DNS rebinding). All of these are refused.
    """
    if asked.http == "1.0" or any(name in asked.headers for name in _FORWARDING):
        return False
    host = _hostname(asked.headers.get("host", ""))
    return is_loopback(asked.peer) and (host == "localhost" or is_loopback(host))


def is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _hostname(host: str) -> str:
    """The name alone; "" where there is more than a name and a port (RFC 9112, 3.2), which no browser sends."""
    if not _HOST.fullmatch(host):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _same(one: str, two: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), two.encode("utf-8", "surrogatepass"))
