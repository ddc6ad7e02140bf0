"""Reads a source over HTTP: conditionally, within a time, a size and a manner."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import SplitResult, unquote, urldefrag, urljoin, urlsplit, urlunsplit

import requests
import urllib3

from aggregator import faults, tables
from aggregator.coding import ACCEPTED, undo
from aggregator.domains import registrable_domain
from aggregator.faults import Fault, Trouble
from aggregator.freshness import freshness, linked_feeds
from aggregator.model import Answer, Fetched, NotModified, Refused, Source, Task, Validators
from aggregator.pace import pause
from aggregator.ports import Clock
from aggregator.transport import Transport
from aggregator.turns import Turns
from aggregator.version import version

_ACCEPT = (
    "application/atom+xml, application/rss+xml, application/feed+json, application/rdf+xml;q=0.9, "
    "application/xml;q=0.8, text/xml;q=0.8, application/json;q=0.7, */*;q=0.5"
)
_PERMANENT = frozenset({301, 308})
_REDIRECTS = _PERMANENT | {302, 303, 307}
_LIMIT = 5  # redirects; seen in readers: 4 to 30. A feed that needs more than three has not been met
_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"  # how such a file begins (RFC 1952)
_PLAIN_URL = re.compile(r'https?://[a-z0-9.-]+(:[1-5]?\d{1,4})?/[!"$-~]*')  # needs nothing done to it
_UNWRITTEN = "it is not written as web addresses are"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class HttpFetch:
    """Asks servers for documents, from any number of threads at once.

    Its answers tell every failure in words that name the host, never an address's path, user name or password, nor
    a configured header: those may be secrets.
    """

    def __init__(self, settings: tables.Fetch, contact: str, clock: Clock) -> None:
        """`contact`: an address that tells a server's operator who we are."""
        self._settings = settings
        self._clock = clock
        self._transport = Transport(settings.concurrency, settings.per_host, settings.allow_private_addresses)
        self._turns = Turns(settings.per_host, settings.host_gap_seconds)
        self._resting: dict[str, datetime] = {}  # domain → until when it asked to be left alone
        self._headers = {
            "User-Agent": agent(settings, contact),
            "Accept": _ACCEPT,
            "Accept-Encoding": ACCEPTED,
        }

    def __call__(self, task: Task) -> Answer:
        """Ask once, following redirects; whatever a server or the network does becomes a Refused."""
        journey = _Journey(due=time.monotonic() + self._settings.timeout_seconds)
        try:
            response = self._follow(journey, task)
            try:
                return self._answer(journey, response, task)
            finally:
                response.close()
        except Trouble as trouble:
            return self._refused(journey, trouble)
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            late = time.monotonic() >= journey.due  # urllib3 has words of its own for a time that is over already
            return self._refused(journey, Trouble(Fault.LATE if late else Fault.CUT))
        finally:
            if journey.domain:
                self._turns.end(journey.domain)

    def close(self) -> None:
        """Close idle connections; a fetch that still runs ends by itself."""
        self._transport.close()

    def _follow(self, journey: _Journey, task: Task) -> urllib3.BaseHTTPResponse:
        """The answer at the end of the redirects, each step made by us and judged anew."""
        home, secrets = _secrets(task.source)
        asking = dict(self._headers) | _conditions(_asked_with(task))
        url = _clean(task.known.address or task.source.url)
        while True:
            self._enter(journey, registrable_domain(url))
            journey.step(url)
            headers = {**asking, **secrets} if _same_origin(home, url) else asking
            response = self._get(url, headers, journey.due)
            journey.status = response.status
            if response.status not in _REDIRECTS:
                return response
            response.close()
            url = _target(url, response)
            journey.redirected(url)

    def _enter(self, journey: _Journey, domain: str) -> None:
        """Take a turn at a domain, unless it is the one where we are; the time to wait for it is not the server's.

        No redirect leads to one that asked to be left alone; whether a visit may begin there is not judged here.
        """
        if domain == journey.domain:
            return
        led, journey.domain = journey.domain, ""
        if led:
            self._turns.end(led)
            self._check_rest(journey, domain)
        journey.due += self._turns.begin(domain)
        journey.domain = domain

    def _check_rest(self, journey: _Journey, domain: str) -> None:
        left = self._resting.get(domain, now := self._clock.now()) - now
        if left > timedelta(0):
            journey.pause = left
            raise Trouble(Fault.RESTING, domain=domain)

    def _get(self, url: str, headers: Mapping[str, str], due: float) -> urllib3.BaseHTTPResponse:
        try:
            return self._transport.get(url, headers, due - time.monotonic())
        except requests.exceptions.InvalidHeader as error:  # of the answer: lengths that contradict each other
            raise Trouble(Fault.NOT_HTTP, detail=str(error)[:80]) from error
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError, http.client.InvalidURL) as error:
            raise Trouble(Fault.BAD_ADDRESS, detail=_UNWRITTEN) from error
        except ValueError as error:  # http.client's word on header names and values, UnicodeEncodeError among it
            raise Trouble(Fault.BAD_HEADER) from error

    def _answer(self, journey: _Journey, response: urllib3.BaseHTTPResponse, task: Task) -> Answer:
        headers, asked = response.headers, _asked_with(task)
        journey.headers = headers
        wishes = freshness(headers, journey.url, self._clock.now())
        given = Validators(headers.get("ETag") or None, headers.get("Last-Modified") or None)
        match response.status:
            case 304 if asked == Validators():
                raise Trouble(Fault.UNASKED_304)
            case 304:
                response.read()  # nothing, which frees the connection for the next
                kept = Validators(given.etag or asked.etag, given.last_modified or asked.last_modified)
                return NotModified(kept, wishes, journey.moved_to)
            case 200 | 203:
                data = undo(headers.get("Content-Encoding", ""), _chunks(response), self._settings.max_body_megabytes)
            case status:
                raise Trouble(_judge(status, headers))
        if task.source.kind == "sitemap" and data.startswith(_GZIP):  # a file sitemap.xml.gz (sitemaps.org/protocol)
            data = undo("gzip", [data], self._settings.max_body_megabytes)
        if not data:
            raise Trouble(Fault.EMPTY)
        content_type = headers.get("Content-Type")
        linked = linked_feeds(headers.get("Link", ""), journey.url)
        return Fetched(journey.url, data, content_type, given, wishes, journey.moved_to, response.tell(), linked)

    def _refused(self, journey: _Journey, trouble: Trouble) -> Refused:
        host = urlsplit(journey.url).hostname or "the server"
        trouble.details.setdefault("seconds", self._settings.timeout_seconds)
        failed = replace(trouble.told(host, journey.status), host=journey.domain)
        now = self._clock.now()
        wishes = freshness(journey.headers, journey.url, now)
        if journey.pause:
            wishes = replace(wishes, retry_after=journey.pause)
        elif rest := pause(failed, wishes):
            self._resting[journey.domain] = now + rest
        return Refused(failed, wishes, journey.moved_to)


@dataclass(slots=True)
class _Journey:
    """What is known on the way from the address asked for to the document."""

    due: float  # by the monotonic clock
    url: str = ""  # where we are
    domain: str = ""  # where we have a turn
    seen: set[str] = field(default_factory=set)
    status: int | None = None  # of the last answer
    headers: Mapping[str, str] = field(default_factory=dict)  # of the last answer that was no redirect
    pause: timedelta | None = None  # that a domain wants to which a redirect leads
    moved_to: str | None = None  # the end of the permanent redirects that the way began with
    permanent: bool = True  # no other redirect came between so far

    def step(self, url: str) -> None:
        self.url, self.status = url, None
        self.seen.add(url)

    def redirected(self, url: str) -> None:
        self.permanent = self.permanent and self.status in _PERMANENT
        if url in self.seen:
            self.moved_to = None
            raise Trouble(Fault.CIRCLE)
        if len(self.seen) > _LIMIT:
            raise Trouble(Fault.TOO_FAR, limit=_LIMIT)
        if self.permanent:
            self.moved_to = url


def agent(settings: tables.Fetch, contact: str) -> str:
    """How we introduce ourselves; `contact`: an address that tells a server's operator who we are; "": none."""
    named = f"aggregator/{version()} (+{contact})" if contact else f"aggregator/{version()}"
    return settings.user_agent or named


def _asked_with(task: Task) -> Validators:
    return Validators() if task.known.distrust else task.known.validators


def _conditions(validators: Validators) -> dict[str, str]:
    """Both, byte for byte as they came (RFC 9110, 13.1.2 and 13.1.3)."""
    conditions = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in conditions.items() if value}


def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from response.stream(_CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: a chunk of less than no bytes
        raise Trouble(Fault.CUT) from error


def _judge(status: int, headers: Mapping[str, str]) -> Fault:
    if headers.get("cf-mitigated") == "challenge":  # Cloudflare's mark on a page that asks for a person
        return Fault.CHALLENGE
    return faults.of_status(status)


def _secrets(source: Source) -> tuple[str, dict[str, str]]:
    """The source's own address, and what goes to its origin alone: configured headers, user name and password."""
    secrets = dict(source.headers)
    parts = _split(source.url) if "@" in source.url else None
    if parts and parts.username is not None and not any(name.lower() == "authorization" for name in secrets):
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        secrets["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return _clean(source.url), secrets


def _same_origin(home: str, url: str) -> bool:
    """Whether secrets for `home` may go to `url`: the same origin, or the same host with TLS added."""
    one, two = urlsplit(home), urlsplit(url)
    if one.hostname != two.hostname:
        return False
    ports = tuple(parts.port or _DEFAULT_PORTS[parts.scheme] for parts in (one, two))
    return (one.scheme == two.scheme and ports[0] == ports[1]) or (
        (one.scheme, two.scheme, *ports) == ("http", "https", 80, 443)
    )


def _target(url: str, response: urllib3.BaseHTTPResponse) -> str:
    location = response.headers.get("Location")
    if not location:
        raise Trouble(Fault.NO_TARGET)
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")  # http.client reads headers as Latin-1
    try:
        target = urljoin(url, location.strip())
    except ValueError as error:
        raise Trouble(Fault.BAD_REDIRECT, detail="not an address") from error
    scheme = target.partition(":")[0].lower()
    if scheme not in _DEFAULT_PORTS:
        raise Trouble(Fault.BAD_REDIRECT, detail=f"{scheme[:20]}:")
    return _clean(target)


def _clean(url: str) -> str:
    """A web address as it goes out: nothing changed that need not be, without fragment, user name and password."""
    if _PLAIN_URL.fullmatch(url):
        return url
    parts = _split(urldefrag(url).url)
    netloc = parts.netloc.rpartition("@")[2]
    request = requests.PreparedRequest()
    try:
        request.prepare_url(urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), None)
    except (requests.RequestException, ValueError) as error:
        raise Trouble(Fault.BAD_ADDRESS, detail=_UNWRITTEN) from error
    return str(request.url)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Trouble(Fault.BAD_ADDRESS, detail=_UNWRITTEN) from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise Trouble(Fault.BAD_ADDRESS, detail="only http: and https: with a host name are known")
    return parts
