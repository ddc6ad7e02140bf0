"""Fetching: manners, limits and failures, against a real server that logs every request."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import brotli
import pytest
import trustme
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import tables
from aggregator.addresses import private
from aggregator.fetch import HttpFetch
from aggregator.freshness import freshness
from aggregator.hub import Hubs
from aggregator.model import (
    Answer,
    FailureKind,
    Fetched,
    Known,
    NotModified,
    Refused,
    Source,
    Task,
    Validators,
)
from tests.lab import Lab, Misbehave, Reply, drip, raw, reset, silence

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FEED = b"<rss version='2.0'><channel><title>T</title></channel></rss>"
ETAG = 'W/"odd\xe9 \\ tag"'
LAST_MODIFIED = "sunday, 22 nov 2026  10:00 GMT+0"  # no HTTP date: what a server gives goes back as it came


@dataclass(frozen=True)
class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


def fetcher(**options: object) -> HttpFetch:
    defaults = {"allow_private_addresses": True, "timeout_seconds": 5.0, "host_gap_seconds": 0.0}
    return HttpFetch(tables.Fetch.model_validate({**defaults, **options}), "https://example.org/about", Stopped())


@pytest.fixture
def fetch() -> Iterator[HttpFetch]:
    fetch = fetcher()
    yield fetch
    fetch.close()


def ask(fetch: HttpFetch, url: str, validators: Validators | None = None, **options: object) -> Answer:
    known = Known(validators or Validators())
    return fetch(Task(Source(url, "A source", **options), known))  # type: ignore[arg-type]


def fetched(answer: Answer) -> Fetched:
    assert isinstance(answer, Fetched), answer
    return answer


def refused(answer: Answer, kind: FailureKind, *words: str) -> Refused:
    assert isinstance(answer, Refused), answer
    assert answer.failed.kind is kind
    for word in words:
        assert word in answer.failed.message
    return answer


# Conditional requests


def test_first_request_is_unconditional_and_later_ones_are_not(lab: Lab, fetch: HttpFetch) -> None:
    """A source never read is asked plainly; one whose validators are known never is."""
    url = lab.route("/feed", Reply(200, (("ETag", '"1"'),), FEED), Reply(304))
    answer = fetched(ask(fetch, url))
    assert isinstance(ask(fetch, url, answer.validators), NotModified)
    first, second = lab.requests
    assert first.header("If-None-Match") is None
    assert first.header("If-Modified-Since") is None
    assert second.header("If-None-Match") == '"1"'


def test_validators_go_back_byte_for_byte(lab: Lab, fetch: HttpFetch) -> None:
    """Weak marks, quotes, odd bytes and dates that are none are sent as they were received, both at once."""
    url = lab.route("/feed", Reply(200, (("ETag", ETAG), ("Last-Modified", LAST_MODIFIED)), FEED), Reply(304))
    answer = fetched(ask(fetch, url))
    assert answer.validators == Validators(ETAG, LAST_MODIFIED)
    ask(fetch, url, answer.validators)
    assert f"If-None-Match: {ETAG}\r\n".encode("latin-1") in lab.requests[1].head
    assert f"If-Modified-Since: {LAST_MODIFIED}\r\n".encode() in lab.requests[1].head


def test_unquoted_etag_goes_back_unquoted(lab: Lab, fetch: HttpFetch) -> None:
    """An ETag without its quotes is wrong, and is the server's business."""
    url = lab.route("/feed", Reply(304))
    ask(fetch, url, Validators("abc", None))
    assert lab.requests[0].header("If-None-Match") == "abc"


def test_200_replaces_both_validators(lab: Lab, fetch: HttpFetch) -> None:
    """Same Last-Modified with a new ETag counts, and so does one of the two that is no longer given."""
    url = lab.route("/feed", Reply(200, (("ETag", '"2"'),), FEED))
    assert fetched(ask(fetch, url, Validators('"1"', "yesterday"))).validators == Validators('"2"', None)


def test_200_without_validators_clears_them(lab: Lab, fetch: HttpFetch) -> None:
    """Old validators are not latched."""
    url = lab.route("/feed", Reply(200, (), FEED))
    assert fetched(ask(fetch, url, Validators('"1"', "yesterday"))).validators == Validators()


def test_304_keeps_validators_and_takes_new_ones(lab: Lab, fetch: HttpFetch) -> None:
    """What a 304 carries replaces what was sent; what it does not carry stays (RFC 9111, 4.3.4)."""
    url = lab.route("/feed", Reply(304), Reply(304, (("ETag", '"2"'),)))
    sent = Validators('"1"', "yesterday")
    assert ask(fetch, url, sent) == NotModified(sent)
    assert ask(fetch, url, sent) == NotModified(Validators('"2"', "yesterday"))


def test_folded_validator_becomes_one_line(lab: Lab, fetch: HttpFetch) -> None:
    """A header that spans lines, which HTTP once allowed, means the same on one (RFC 9112, 5.2)."""
    url = lab.route("/feed", raw(b'HTTP/1.1 200 OK\r\nETag: "a\r\n b"\r\nContent-Length: 1\r\n\r\nx'))
    assert fetched(ask(fetch, url)).validators == Validators('"a b"')


def test_unasked_304_is_an_error(lab: Lab, fetch: HttpFetch) -> None:
    """A server that says "not modified" to a plain request gets no second one."""
    url = lab.route("/feed", Reply(304))
    refused(ask(fetch, url), FailureKind.SOFT, "not modified", "localhost")
    assert len(lab.requests) == 1


def test_distrust_asks_without_validators_once(lab: Lab, fetch: HttpFetch) -> None:
    """A task that distrusts its validators sends none; the store still has them if that fails."""
    url = lab.route("/feed", Reply(200, (), FEED))
    fetched(fetch(Task(Source(url, "x"), Known(Validators('"1"', "then"), distrust=True))))
    assert lab.requests[0].header("If-None-Match") is None
    assert lab.requests[0].header("If-Modified-Since") is None


def test_body_after_304_does_not_reach_the_next_answer(lab: Lab, fetch: HttpFetch) -> None:
    """A 304 has no body; one that is sent all the same is not read as anything."""
    url = lab.route("/feed", raw(b"HTTP/1.1 304 X\r\n\r\nHTTP/1.1 200 Spoof\r\n\r\n"), Reply(200, (), FEED))
    assert isinstance(ask(fetch, url, Validators('"1"')), NotModified)
    assert fetched(ask(fetch, url)).data == FEED


# What is sent


def test_request_is_a_plain_get_with_who_we_are(lab: Lab, fetch: HttpFetch) -> None:
    """GET with product, contact, accepted types and codings; no Referer, no Cookie, no Cache-Control."""
    ask(fetch, lab.route("/feed", Reply(200, (), FEED)))
    (request,) = lab.requests
    assert request.line == "GET /feed HTTP/1.1"
    agent = request.header("User-Agent") or ""
    assert agent.startswith("aggregator/")
    assert agent.endswith(" (+https://example.org/about)")
    assert "application/rss+xml" in (request.header("Accept") or "")
    assert request.header("Accept-Encoding") == "gzip, deflate, br, zstd"
    for name in ("Referer", "Cookie", "Cache-Control", "Authorization", "A-IM"):
        assert request.header(name) is None


def test_configured_user_agent_replaces_ours(lab: Lab) -> None:
    """`user_agent` is sent as written."""
    ask(fetcher(user_agent="Reader/1 (me@example.org)"), lab.route("/feed", Reply(200, (), FEED)))
    assert lab.requests[0].header("User-Agent") == "Reader/1 (me@example.org)"


def test_cookies_are_not_kept(lab: Lab, fetch: HttpFetch) -> None:
    """A cookie set by one answer, or on the way there, is never sent."""
    lab.route("/a", Reply(302, (("Set-Cookie", "a=1"), ("Location", "/b"))))
    lab.route("/b", Reply(200, (("Set-Cookie", "b=2; Path=/"),), FEED))
    for _ in range(2):
        ask(fetch, lab.url("/a"))
    assert len(lab.requests) == 4
    assert all(request.header("Cookie") is None for request in lab.requests)


@pytest.mark.parametrize("path", ["/Feed//x/?B=1&a=%7E&null", "/@user.rss", "/a/../b", "/f?x=[1]|2;3:4", "/%e2%82%ac"])
def test_address_is_asked_for_as_written(lab: Lab, fetch: HttpFetch, path: str) -> None:
    """Case, slashes, queries and harmless signs stay; escapes may only change their case (RFC 3986, 6.2.2.1)."""
    ask(fetch, lab.url(path))
    assert lab.requests[0].path.lower().replace("%7c", "|").replace("%5b", "[").replace("%5d", "]") == path.lower()


def test_address_in_other_scripts_is_encoded(lab: Lab, fetch: HttpFetch) -> None:
    """Letters outside ASCII and spaces go out percent-encoded."""
    ask(fetch, lab.url("/탈북 x"))
    assert lab.requests[0].path == "/%ED%83%88%EB%B6%81%20x"


def test_fragment_is_not_sent(lab: Lab, fetch: HttpFetch) -> None:
    """What follows # is the reader's."""
    ask(fetch, lab.url("/feed#top"))
    assert lab.requests[0].path == "/feed"


def test_connection_is_used_again(lab: Lab, fetch: HttpFetch) -> None:
    """Feeds of one server share a connection, after documents and after 304."""
    url = lab.route("/feed", Reply(200, (), FEED), Reply(304), Reply(200, (), FEED))
    for validators in (Validators(), Validators("x"), Validators()):
        ask(fetch, url, validators)
    assert {request.connection for request in lab.requests} == {1}


def test_kept_connection_that_was_closed_is_replaced(lab: Lab, fetch: HttpFetch) -> None:
    """A server may close a connection after an answer without saying so; that is no failure, and asked once."""

    closed = threading.Event()

    def answer_and_close(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(Reply(200, (), FEED).bytes())
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    fetched(ask(fetch, lab.route("/a", answer_and_close)))
    assert closed.wait(20)
    fetched(ask(fetch, lab.route("/b", Reply(200, (), FEED))))
    assert [(request.path, request.connection) for request in lab.requests] == [("/a", 1), ("/b", 2)]


def test_request_that_nobody_read_goes_out_anew(fetch: HttpFetch) -> None:
    """A server that closes while the next request is on its way has not seen it: that is no failure."""
    seen, unread = [], b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FEED) + FEED

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536).split()[1])
                connection.sendall(unread)
                select.select([connection], [], [], 20)  # until the next request is there, which is left unread

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        fetched(ask(fetch, f"{url}/a"))
        fetched(ask(fetch, f"{url}/b"))
    assert seen == [b"/a", b"/b"]


def test_request_that_a_kept_connection_swallowed_is_not_repeated(lab: Lab, fetch: HttpFetch) -> None:
    """Nobody can tell whether it was seen: it is a failure like any other, and asked again in its time."""
    fetched(ask(fetch, lab.route("/a", Reply(200, (), FEED))))
    refused(ask(fetch, lab.route("/b", raw(b""), Reply(200, (), FEED))), FailureKind.TEMPORARY, "without an answer")
    assert [(request.path, request.connection) for request in lab.requests] == [("/a", 1), ("/b", 1)]
    fetched(ask(fetch, lab.url("/b")))


def test_adopted_address_is_asked_in_place_of_the_own(lab: Lab, fetch: HttpFetch) -> None:
    """A source that has moved for good is asked where it lives now."""
    lab.route("/new", Reply(200, (), FEED))
    answer = fetch(Task(Source(lab.url("/old"), "x"), Known(address=lab.url("/new"))))
    assert fetched(answer).moved_to is None
    assert [request.path for request in lab.requests] == ["/new"]


# Secrets


def test_configured_headers_and_credentials_are_sent_home(lab: Lab, fetch: HttpFetch) -> None:
    """The source's own origin gets its headers, and user name and password from the address."""
    url = lab.route("/feed", Reply(200, (), FEED))
    answer = ask(fetch, url.replace("://", "://us%20er:p%3Aw@"), headers=(("X-Token", "s3cret"),))
    assert lab.requests[0].header("X-Token") == "s3cret"
    assert lab.requests[0].header("Authorization") == "Basic dXMgZXI6cDp3"
    assert fetched(answer).url == url


def test_secrets_stay_home_on_a_redirect_elsewhere(lab: Lab, fetch: HttpFetch) -> None:
    """Another origin, be it only another port, gets neither headers nor credentials; the own gets them again."""
    with Lab() as other:
        lab.route("/a", Reply(302, (("Location", "/b"),)))
        lab.route("/b", Reply(302, (("Location", other.url("/c")),)))
        other.route("/c", Reply(302, (("Location", lab.url("/d")),)))
        lab.route("/d", Reply(200, (), FEED))
        ask(fetch, lab.url("/a").replace("://", "://u:p@"), headers=(("X-Token", "s3cret"),))
        tokens = [request.header("X-Token") for request in lab.requests]
        assert tokens == ["s3cret", "s3cret", "s3cret"]
        assert other.requests[0].header("X-Token") is None
        assert other.requests[0].header("Authorization") is None


def test_secrets_show_in_no_answer(lab: Lab, fetch: HttpFetch) -> None:
    """Neither failures nor addresses tell a password, a path or a header."""
    lab.route("/s3cret", Reply(403), Reply(301, (("Location", "/s3cret2"),)))
    for _ in range(2):
        answer = ask(fetch, lab.url("/s3cret").replace("://", "://u:pa55@"), headers=(("X-Token", "t0ken"),))
        assert isinstance(answer, Refused)
        assert not any(secret in answer.failed.message for secret in ("s3cret", "pa55", "t0ken"))
        assert "pa55" not in repr(answer)


@pytest.mark.parametrize("value", ["a\r\nb: c", "한", "a\x00"])
def test_header_that_cannot_be_sent_is_told(lab: Lab, fetch: HttpFetch, value: str) -> None:
    """A configured header that would break the request is refused before anything is sent, without its value."""
    answer = ask(fetch, lab.url("/"), headers=(("X-Token", value),))
    if "\x00" not in value:
        assert value not in refused(answer, FailureKind.HARD, "header").failed.message
        assert lab.requests == []


# Redirects


def _redirect(lab: Lab, *steps: int) -> str:
    for position, status in enumerate(steps):
        lab.route(f"/{position}", Reply(status, (("Location", f"/{position + 1}"),)))
    lab.route(f"/{len(steps)}", Reply(200, (("Content-Type", "text/xml"),), FEED))
    return lab.url("/0")


@pytest.mark.parametrize(
    ("steps", "moved"),
    [
        ((301,), "/1"),
        ((308,), "/1"),
        ((301, 308), "/2"),
        ((301, 302), "/1"),
        ((302, 301), None),
        ((301, 307, 308), "/1"),
        ((302,), None),
        ((303,), None),
        ((307,), None),
        ((301, 301, 301, 301, 301), "/5"),
    ],
)
def test_moved_to_is_the_end_of_the_permanent_redirects_at_the_start(
    lab: Lab, fetch: HttpFetch, steps: tuple[int, ...], moved: str | None
) -> None:
    """Only 301 and 308 tell of a move, and only up to the first other redirect."""
    answer = fetched(ask(fetch, _redirect(lab, *steps)))
    assert answer.moved_to == (lab.url(moved) if moved else None)
    assert answer.url == lab.url(f"/{len(steps)}")
    assert {request.line.split()[0] for request in lab.requests} == {"GET"}


def test_conditions_hold_on_the_whole_way(lab: Lab, fetch: HttpFetch) -> None:
    """Validators are sent at each step, so that the last server can say 304."""
    lab.route("/a", Reply(301, (("Location", "/b"),)))
    lab.route("/b", Reply(304))
    answer = ask(fetch, lab.url("/a"), Validators('"1"'))
    assert answer == NotModified(Validators('"1"'), moved_to=lab.url("/b"))


def test_six_redirects_are_too_many(lab: Lab, fetch: HttpFetch) -> None:
    """Five are followed, and the sixth is not."""
    refused(ask(fetch, _redirect(lab, 301, 301, 301, 301, 301, 301)), FailureKind.SOFT, "more than 5 times")
    assert len(lab.requests) == 6


def test_circle_is_seen_at_once(lab: Lab, fetch: HttpFetch) -> None:
    """An address is asked once on one way, and a circle is no move."""
    lab.route("/a", Reply(301, (("Location", "/b"),)))
    lab.route("/b", Reply(301, (("Location", "/a"),)))
    assert refused(ask(fetch, lab.url("/a")), FailureKind.SOFT, "circle").moved_to is None
    assert len(lab.requests) == 2


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "data:text/xml,<rss/>", "gopher://x/", "ftp://x/", "javascript:1", "java\tscript:1"],
)
def test_redirect_out_of_the_web_is_refused(lab: Lab, fetch: HttpFetch, target: str) -> None:
    """http: and https: alone are followed."""
    answer = ask(fetch, lab.route("/a", Reply(302, (("Location", target),))))
    refused(answer, FailureKind.HARD, "localhost redirects to an address that is not of the web")


@pytest.mark.parametrize(
    "location", ["http://[::1", "//", "http://", "http://localhost:99999/", "https:///x", "http://%00/"]
)
def test_redirect_to_nonsense_is_a_failure_in_words(lab: Lab, fetch: HttpFetch, location: str) -> None:
    """A target that is no address fails the visit, not the program."""
    answer = ask(fetch, lab.route("/a", Reply(302, (("Location", location),))))
    assert isinstance(answer, Refused)


def test_redirect_without_target_is_a_failure(lab: Lab, fetch: HttpFetch) -> None:
    """A 301 that does not say where to is told with its status."""
    refused(ask(fetch, lab.route("/a", Reply(301))), FailureKind.SOFT, "(301)")


def test_redirect_target_may_be_written_in_utf8(lab: Lab, fetch: HttpFetch) -> None:
    """Servers put raw UTF-8 in Location."""
    lab.route("/a", Reply(302, (("Location", "/탈북".encode().decode("latin-1")),)))
    lab.route("/%ED%83%88%EB%B6%81", Reply(200, (), FEED))
    fetched(ask(fetch, lab.url("/a")))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=30))
def test_no_redirect_target_breaks_the_fetcher(target: str) -> None:
    """Whatever a Location holds, the answer is one of the three."""
    with Lab() as lab:
        answer = ask(fetcher(timeout_seconds=2.0), lab.route("/a", Reply(302, (("Location", target),))))
        assert isinstance(answer, Refused)


# Limits


def _takes(seconds: float, call: Callable[[], Answer]) -> Answer:
    started = time.monotonic()
    answer = call()
    assert time.monotonic() - started < seconds
    return answer


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"


@pytest.mark.parametrize(
    "behaviour",
    [
        silence,
        drip(b"HTTP/1.1 200 OK\r\n", itertools.repeat(b"X-A: b\r\n"), 0.05),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.05),
        drip(_OK + b"Content-Length: 100000\r\n\r\n", itertools.repeat(b"x"), 0.05),
        drip(_OK + b"Transfer-Encoding: chunked\r\n\r\n", itertools.repeat(b"1\r\nx\r\n"), 0.05),
        drip(_OK + b"\r\n", itertools.repeat(b"x"), 0.05),
        drip(b"", itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000), 0.0),
        drip(_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", itertools.repeat(b"X-A: b\r\n" * 1_000), 0.0),
    ],
    ids=["silence", "headers", "continues", "body", "chunks", "endless", "flood of continues", "flood of trailers"],
)
def test_deadline_is_for_the_whole_visit(lab: Lab, behaviour: Misbehave) -> None:
    """However a server spins out its answer, the visit ends in time, and says so."""
    fetch = fetcher(timeout_seconds=0.5)
    answer = _takes(4, lambda: ask(fetch, lab.route("/feed", behaviour)))
    refused(answer, FailureKind.TEMPORARY, "localhost took longer than the 0.5 seconds allowed")


def test_deadline_holds_over_redirects(lab: Lab) -> None:
    """Each step may be quick enough; together they are not."""
    for position in range(5):
        lab.route(f"/{position}", Reply(302, (("Location", f"/{position + 1}"),), delay=0.3))
    refused(_takes(4, lambda: ask(fetcher(timeout_seconds=0.7), lab.url("/0"))), FailureKind.TEMPORARY, "0.7 seconds")


def test_deadline_holds_for_connecting_and_tls(lab: Lab) -> None:
    """A server that accepts and then says nothing to a TLS greeting costs no more than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/"
        answer = _takes(4, lambda: ask(fetcher(timeout_seconds=0.5), url))
    refused(answer, FailureKind.TEMPORARY, "0.5 seconds")


def test_deadline_holds_for_greetings_without_end() -> None:
    """TLS passes over requests to greet anew, however many: it would read them for ever."""
    greetings = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 1_000

    def flood() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(greetings)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=flood, daemon=True).start()
        url = f"https://localhost:{listener.getsockname()[1]}/"
        answer = _takes(4, lambda: ask(fetcher(timeout_seconds=0.5), url))
    refused(answer, FailureKind.TEMPORARY, "0.5 seconds")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead of being silent")
def test_deadline_holds_for_a_connection_that_nobody_takes() -> None:
    """A server too busy to accept it costs no more than the deadline."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        place = listener.getsockname()
        for _ in range(3):  # what waits to be accepted, and what waits for that
            waiting = queue.enter_context(contextlib.closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(place)
        answer = _takes(4, lambda: ask(fetcher(timeout_seconds=0.5), f"http://127.0.0.1:{place[1]}/"))
    refused(answer, FailureKind.TEMPORARY, "0.5 seconds")


def test_body_is_counted_after_decompression(lab: Lab) -> None:
    """A bomb is left alone as soon as it passes the ceiling, whatever it is packed in."""
    fetch = fetcher(max_body_megabytes=0.5)
    bomb = bytes(50 << 20)
    for coding, packed in (
        ("gzip", gzip.compress(bomb, 1)),
        ("deflate", zlib.compress(bomb, 1)),
        ("br", brotli.compress(bomb, quality=1)),
        ("zstd", zstd.compress(bomb)),
    ):
        answer = ask(fetch, lab.route("/feed", Reply(200, (("Content-Encoding", coding),), packed)))
        refused(answer, FailureKind.HARD, "localhost", "0.5 MB")


def test_ceiling_is_exact(lab: Lab) -> None:
    """A document of just the size allowed is whole; one byte more is refused, plain or packed."""
    fetch = fetcher(max_body_megabytes=0.25)
    for size, fits in ((1 << 18, True), ((1 << 18) + 1, False)):
        body = os.urandom(size)
        for coding, packed in (
            ("identity", body),
            ("gzip", gzip.compress(body, 1)),
            ("br", brotli.compress(body, quality=1)),
            ("zstd", zstd.compress(body)),
        ):
            answer = ask(fetch, lab.route("/feed", Reply(200, (("Content-Encoding", coding),), packed)))
            assert (isinstance(answer, Fetched) and answer.data == body) is fits


def test_endless_stream_stops_at_the_ceiling(lab: Lab) -> None:
    """A stream without end is cut off, long before the deadline."""
    endless = drip(_OK + b"\r\n", itertools.repeat(b"x" * 100_000), 0.0)
    answer = _takes(5, lambda: ask(fetcher(max_body_megabytes=1.0), lab.route("/feed", endless)))
    refused(answer, FailureKind.HARD, "1 MB")


# Content codings


def gzipped(data: bytes) -> bytes:
    """The same bytes at any time: the processes that run the tests must agree on what the tests are called."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzipped(FEED)),
        ("x-gzip", gzipped(FEED)),
        ("GZIP", gzipped(FEED)),
        ("gzip", gzipped(FEED[:10]) + gzipped(FEED[10:])),
        ("gzip", gzipped(FEED) + b"\0\0\0trailing"),
        ("deflate", zlib.compress(FEED)),
        ("deflate", zlib.compress(FEED)[2:-4]),
        ("br", brotli.compress(FEED)),
        ("zstd", zstd.compress(FEED)),
        ("zstd", zstd.compress(FEED[:10]) + zstd.compress(FEED[10:])),
        ("identity", FEED),
        ("", FEED),
        ("UTF-8", FEED),
        ("gzip, identity", gzipped(FEED)),
    ],
)
def test_document_is_decoded(lab: Lab, fetch: HttpFetch, coding: str, packed: bytes) -> None:
    """All codings asked for are undone, with several members, with junk behind, as servers really send them."""
    answer = fetched(ask(fetch, lab.route("/feed", Reply(200, (("Content-Encoding", coding),), packed))))
    assert answer.data == FEED
    assert answer.received == len(packed)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_document_is_decoded_however_it_is_cut(lab: Lab, fetch: HttpFetch, size: int) -> None:
    """The boundaries of chunks fall anywhere, between the members of a gzip, too."""
    packed = gzipped(FEED[:10]) + gzipped(FEED[10:])
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[i : i + size] for i in range(0, len(packed), size))
    )
    head = _OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert fetched(ask(fetch, lab.route("/feed", raw(head + chunks + b"0\r\n\r\n")))).data == FEED


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzipped(FEED)[:-10]),
        ("gzip", gzipped(FEED)[:-4]),
        ("gzip", FEED),
        ("deflate", zlib.compress(FEED)[:-6]),
        ("br", brotli.compress(FEED)[:-3]),
        ("br", FEED),
        ("zstd", zstd.compress(FEED)[:-3]),
        ("zstd", FEED),
    ],
)
def test_damaged_coding_is_a_failure_not_a_shorter_feed(lab: Lab, fetch: HttpFetch, coding: str, packed: bytes) -> None:
    """A compressed document that is cut or is none fails the visit, although HTTP says it is complete."""
    answer = ask(fetch, lab.route("/feed", Reply(200, (("Content-Encoding", coding),), packed)))
    refused(answer, FailureKind.SOFT, "compression", coding)


def test_only_one_coding_is_undone(lab: Lab, fetch: HttpFetch) -> None:
    """A chain of codings is refused: nothing asked for it."""
    packed = gzip.compress(gzip.compress(FEED))
    answer = ask(fetch, lab.route("/feed", Reply(200, (("Content-Encoding", "gzip, gzip"),), packed)))
    refused(answer, FailureKind.SOFT, "more than once")


# Broken answers


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        (raw(_OK + b"Content-Length: 500\r\n\r\n" + FEED), "broke before the whole document"),
        (raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n<rss>\r\n"), "broke before the whole document"),
        (raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n<r"), "broke before the whole document"),
        (raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n<rss>\r\n"), "broke before the whole document"),
        (raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n<rss>\r\n0\r\n\r\n"), "broke before the whole document"),
        (raw(b""), "closed the connection without an answer"),
        (reset, "broke"),
        (raw(b"SSH-2.0-OpenSSH_9\r\n"), "not HTTP"),
        (raw(b"<rss/>"), "not HTTP"),
        (raw(b"HTTP/1.1 999999 X\r\n\r\n"), "not HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 300 + b"\r\n"), "not HTTP"),
        (raw(_OK + b"Content-Length: 9\r\nContent-Length: 500\r\n\r\n" + FEED), "not HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"), "not HTTP"),
    ],
)
def test_broken_answer_is_a_failure_in_words(lab: Lab, fetch: HttpFetch, behaviour: Misbehave, word: str) -> None:
    """Wrong lengths, cut chunks, resets and other protocols fail the visit, in words that name the host."""
    answer = ask(fetch, lab.route("/feed", behaviour))
    assert isinstance(answer, Refused)
    assert word in answer.failed.message
    assert "localhost" in answer.failed.message
    assert len(lab.requests) == 1  # nothing is asked again at once


def test_two_hundred_headers_are_read(lab: Lab, fetch: HttpFetch) -> None:
    """Hosts behind several proxies send more than the standard library's hundred."""
    many = tuple((f"X-{number}", "x") for number in range(200))
    fetched(ask(fetch, lab.route("/feed", Reply(200, many, FEED))))


def test_body_without_length_ends_with_the_connection(lab: Lab, fetch: HttpFetch) -> None:
    """HTTP/1.0's way is still in use."""
    assert fetched(ask(fetch, lab.route("/feed", raw(b"HTTP/1.0 200 OK\r\n\r\n" + FEED)))).data == FEED


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (204, FailureKind.SOFT, "makes no sense"),
        (206, FailureKind.SOFT, "makes no sense"),
        (226, FailureKind.SOFT, "makes no sense"),
        (300, FailureKind.SOFT, "makes no sense"),
        (400, FailureKind.HARD, "(400)"),
        (401, FailureKind.HARD, "user name and password"),
        (403, FailureKind.HARD, "forbids"),
        (404, FailureKind.HARD, "no document at this address"),
        (408, FailureKind.TEMPORARY, "(408)"),
        (410, FailureKind.HARD, "gone for good"),
        (418, FailureKind.HARD, "(418)"),
        (429, FailureKind.TEMPORARY, "too often"),
        (451, FailureKind.HARD, "legal"),
        (500, FailureKind.SOFT, "(500)"),
        (502, FailureKind.SOFT, "(502)"),
        (503, FailureKind.TEMPORARY, "overloaded"),
        (504, FailureKind.TEMPORARY, "(504)"),
        (599, FailureKind.SOFT, "(599)"),
    ],
)
def test_status_is_told_in_words(lab: Lab, fetch: HttpFetch, status: int, kind: FailureKind, word: str) -> None:
    """Each status has a sentence and a kind that decides how soon to try again; there is one request."""
    answer = refused(ask(fetch, lab.route("/feed", Reply(status, (), b"<rss/>"[: 6 * (status != 204)]))), kind, word)
    assert answer.failed.status == status
    assert len(lab.requests) == 1


def test_challenge_for_people_is_told_apart(lab: Lab, fetch: HttpFetch) -> None:
    """A page that wants a person is not "forbidden": the operator can do nothing but ask for an exception."""
    answer = ask(fetch, lab.route("/feed", Reply(403, (("CF-Mitigated", "challenge"),))))
    refused(answer, FailureKind.HARD, "people")


def test_empty_document_is_a_failure(lab: Lab, fetch: HttpFetch) -> None:
    """A 200 without a body must not look like a feed that lost its entries."""
    refused(ask(fetch, lab.route("/feed", Reply(200))), FailureKind.SOFT, "empty")
    refused(ask(fetch, lab.route("/z", Reply(200, (("Content-Encoding", "gzip"),)))), FailureKind.SOFT, "empty")


def test_failures_to_connect_are_told_apart(fetch: HttpFetch) -> None:
    """Nobody there, no such name, no address at all: each in its own words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    refused(ask(fetch, f"http://localhost:{closed}/"), FailureKind.TEMPORARY, "localhost refused the connection")
    refused(ask(fetch, "http://no-such-host.invalid/"), FailureKind.TEMPORARY, "no-such-host.invalid", "online?")
    refused(ask(fetch, "http://" + "a" * 70 + ".org/"), FailureKind.TEMPORARY, "is the name right")
    refused(ask(fetch, "http://example.org:99999/"), FailureKind.HARD, "web addresses")
    refused(ask(fetch, "ftp://example.org/"), FailureKind.HARD, "http: and https:")


# What answers ask of the next visit


def test_answers_carry_freshness(lab: Lab, fetch: HttpFetch) -> None:
    """A document, a 304 and a refusal each tell how long to stay away."""
    for status, headers, validators in (
        (200, (("Cache-Control", "max-age=600"),), Validators()),
        (304, (("Cache-Control", "max-age=600"),), Validators('"1"')),
        (429, (("Cache-Control", "max-age=600"),), Validators()),
    ):
        answer = ask(fetch, lab.route("/feed", Reply(status, headers, FEED if status == 200 else b"")), validators)
        assert answer.freshness.fresh_for == timedelta(minutes=10)
    answer = ask(fetch, lab.route("/feed", Reply(503, (("Retry-After", "120"),))))
    assert answer.freshness.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "max-age=3600"}, 3600),
        ({"Cache-Control": "public, MAX-AGE=3600, must-revalidate"}, 3600),
        ({"Cache-Control": 'max-age="3600"'}, 3600),
        ({"Cache-Control": "max-age=3600", "Age": "600"}, 3000),
        ({"Cache-Control": "max-age=3600", "Age": "9999"}, 0),
        ({"Cache-Control": "max-age=3600, max-age=1"}, 3600),
        ({"Cache-Control": "max-age=60", "Expires": "Sun, 22 Nov 2026 18:00:00 GMT"}, 60),
        ({"Cache-Control": "s-maxage=60"}, None),
        ({"Cache-Control": "no-cache, max-age=60"}, None),
        ({"Cache-Control": 'no-cache="Set-Cookie", max-age=60'}, 60),
        ({"Cache-Control": "no-store"}, None),
        ({"Cache-Control": "no-store", "Expires": "Sun, 22 Nov 2026 18:00:00 GMT"}, None),
        ({"Cache-Control": "max-age=-1"}, None),
        ({"Cache-Control": "max-age=x"}, None),
        ({"Cache-Control": "max-age=3600; must-revalidate"}, 3600),
        ({"Cache-Control": "max-age=999999999999999999999"}, 2**31),
        ({"Expires": "Sun, 22 Nov 2026 13:00:00 GMT"}, 3600),
        ({"Expires": "Sun, 22 Nov 2026 13:00:00 GMT", "Date": "Sun, 22 Nov 2026 12:30:00 GMT"}, 1800),
        ({"Expires": "Sunday, 22-Nov-26 13:00:00 GMT"}, 3600),
        ({"Expires": "Sun Nov 22 13:00:00 2026"}, 3600),
        ({"Expires": "0"}, 0),
        ({"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_freshness_follows_rfc_9111(headers: dict[str, str], seconds: int | None) -> None:
    """max-age less Age stands above Expires less Date; no-cache and no-store leave nothing."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert freshness(headers, "https://example.org/feed", NOW).fresh_for == expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 120 "}, 120),
        ({"Retry-After": "7200.5"}, 7200.5),
        ({"Retry-After": "120 seconds"}, 120),
        ({"Retry-After": "120, 240"}, 120),
        ({"Retry-After": "Sun, 22 Nov 2026 12:10:00 GMT"}, 600),
        ({"Retry-After": "Sun, 22 Nov 2026 12:10:00 GMT", "Date": "Sun, 22 Nov 2026 12:05:00 GMT"}, 300),
        ({"Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sun, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"Retry-After": "99999999999999"}, 30 * 86400),
        ({"Retry-After": "Sun, 22 Nov 2099 12:00:00 GMT"}, 30 * 86400),
        ({}, None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    """A date is read by the server's own clock, a fraction or a unit does no harm; the past and garbage count as
    nothing said; a month is the most."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert freshness(headers, "https://example.org/feed", NOW).retry_after == expected


@pytest.mark.parametrize(
    ("link", "hub", "self_link"),
    [
        ('<https://hub.example/>; rel="hub", </feed>; rel=self', "https://hub.example/", "https://example.org/feed"),
        ('<https://hub.example/>; rel="hub self"', "https://hub.example/", "https://hub.example/"),
        ("<file:///etc/passwd>; rel=hub", None, None),
        ("<https://[>; rel=hub", None, None),
        ('<https://a.example/>; rel="next"', None, None),
        ("rel=hub", None, None),
        ("", None, None),
    ],
)
def test_link_header_names_hub_and_self(link: str, hub: str | None, self_link: str | None) -> None:
    """rel=hub and rel=self (WebSub, 4), absolute, and of the web."""
    found = freshness({"Link": link}, "https://example.org/dir/../feed?x", NOW)
    assert (found.hub, found.self_link) == (hub, self_link)


@given(st.dictionaries(st.sampled_from(["Cache-Control", "Age", "Expires", "Date", "Retry-After", "Link"]), st.text()))
def test_no_header_breaks_the_reading_of_freshness(headers: dict[str, str]) -> None:
    """Whatever the headers hold, the result is a length of time that is not negative, or nothing."""
    found = freshness(headers, "https://example.org/", NOW)
    assert found.fresh_for is None or found.fresh_for >= timedelta(0)
    assert found.retry_after is None or timedelta(0) < found.retry_after <= timedelta(days=30)


# Private addresses

_PRIVATE = """
    0.0.0.0 0.1.2.3 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1
    64:ff9b:1::1 64:ff9b:1::808:808 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1
    2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254
    2620:4f:8000::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
"""
_PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255
    172.32.0.0 192.167.255.255 192.169.0.0 223.255.255.255 2606:4700::1111 2a00:1450:4001:81b::200e 2001:4860:4860::8888
    ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
"""


@pytest.mark.parametrize("address", _PRIVATE.split())
def test_private_addresses_are_known_in_every_disguise(address: str) -> None:
    """Loopback, private, link-local, carrier, metadata, multicast, reserved, and what stands for them in IPv6."""
    assert private(address)


_DISGUISED = {
    "::ffff:10.0.0.1": "a private network",
    "::ffff:169.254.169.254": "a link-local network",
    "64:ff9b::7f00:1": "this machine",
    "64:ff9b::a00:1": "a private network",
    "2002:c0a8:101::1": "a private network",
    "2002:7f00:1::": "this machine",
    "::": "this machine",
    "::1": "this machine",
    "fd00:ec2::254": "a private network",
    "fec0::1": "a private network",
    "ff02::1": "multicast",
    "fe80::1%eth0": "a link-local network",
    "::ffff:127.0.0.1%2": "this machine",
}


@pytest.mark.parametrize(("address", "place"), _DISGUISED.items())
def test_private_addresses_are_seen_through_their_disguise(address: str, place: str) -> None:
    """What is refused is what the address leads to, not only that it is written strangely."""
    assert private(address) == place


@pytest.mark.parametrize("address", _PUBLIC.split())
def test_public_addresses_are_let_through(address: str) -> None:
    """Neighbours of private ranges, and public IPv4 behind NAT64, which networks without IPv4 depend on."""
    assert private(address) is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_loopback_is_refused_however_it_is_written(lab: Lab, host: str) -> None:
    """What counts is the address that the connection would go to."""
    answer = ask(fetcher(allow_private_addresses=False), f"http://{host}:{lab.port}/")
    refused(answer, FailureKind.HARD, "allow_private_addresses", "this machine")
    assert lab.connections == 0


def test_no_name_is_looked_up_twice() -> None:
    """The address that was judged is the one connected to: a name that changes between the two has no chance.

    A look-up of our own gives a public address first and loopback ever after; only the first may be seen.
    """
    done = subprocess.run([sys.executable, "-c", _REBINDING], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["8.8.8.8", "looked", "up", "1", "time(s)"], done.stderr


# In a process of its own, since it replaces look-up and connecting: no packet may leave this machine.
_REBINDING = """
import errno, socket
from datetime import datetime, timezone
from aggregator import tables
from aggregator.fetch import HttpFetch
from aggregator.model import Source, Task
calls = []
def look_up(host, port, *rest, **options):
    calls.append(host)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8" if len(calls) == 1 else "127.0.0.1", port))]
class Unconnected(socket.socket):
    def connect(self, address):
        print(address[0])
        raise OSError(errno.ECONNREFUSED, "refused")
class Clock:
    def now(self):
        return datetime.now(timezone.utc)
socket.getaddrinfo, socket.socket = look_up, Unconnected
HttpFetch(tables.Fetch(), "x", Clock())(Task(Source("http://rebind.example/", "x")))
print("looked up", len(calls), "time(s)")
"""


def test_permitted_private_source_may_redirect_within(lab: Lab, fetch: HttpFetch) -> None:
    """allow_private_addresses holds for each step."""
    fetched(ask(fetch, _redirect(lab, 302)))


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> Iterator[None]:
    """The environment names the tests' own authority, as an operator would."""
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(bundle))
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(bundle)
    yield
    os.environ.pop("SSL_CERT_FILE")
    if before is not None:
        os.environ["SSL_CERT_FILE"] = before


@pytest.mark.usefixtures("trusted")
def test_good_certificate_is_accepted(authority: trustme.CA, fetch: HttpFetch) -> None:
    """SSL_CERT_FILE names whom to trust."""
    with Lab(_context(authority.issue_cert("localhost"))) as lab:
        url = lab.route("/feed", Reply(200, (), FEED), Reply(304))
        fetched(ask(fetch, url))
        assert isinstance(ask(fetch, url, Validators('"1"')), NotModified)
        assert lab.connections == 1


@pytest.mark.usefixtures("trusted")
def test_bad_certificates_are_refused_in_words(authority: trustme.CA, fetch: HttpFetch) -> None:
    """Expired, not yet valid, another's, signed by nobody known: each is refused, and nothing is sent."""
    day = timedelta(days=1)
    now = datetime.now(UTC)
    cases = (
        (authority.issue_cert("localhost", not_before=now - 9 * day, not_after=now - day), "has expired"),
        (authority.issue_cert("localhost", not_before=now + day, not_after=now + 9 * day), "not valid yet"),
        (authority.issue_cert("elsewhere.example"), "for another name"),
        (trustme.CA().issue_cert("localhost"), "not signed by an authority trusted here"),
    )
    for certificate, words in cases:
        with Lab(_context(certificate)) as lab:
            refused(ask(fetch, lab.url("/")), FailureKind.SOFT, words, "localhost")
            assert lab.requests == []


def test_unknown_authority_is_refused_by_default(authority: trustme.CA) -> None:
    """Without SSL_CERT_FILE, the tests' authority is nobody."""
    with Lab(_context(authority.issue_cert("localhost"))) as lab:
        refused(ask(fetcher(), lab.url("/")), FailureKind.SOFT, "not signed by an authority trusted here")


@pytest.mark.usefixtures("trusted")
def test_good_certificate_does_not_vouch_for_the_next_server(authority: trustme.CA, fetch: HttpFetch) -> None:
    """One context serves all, and judges each certificate anew."""
    with (
        Lab(_context(authority.issue_cert("localhost"))) as good,
        Lab(_context(trustme.CA().issue_cert("localhost"))) as bad,
    ):
        good.route("/", Reply(200, (), FEED))
        fetched(ask(fetch, good.url("/")))
        refused(ask(fetch, bad.url("/")), FailureKind.SOFT, "certificate")
        fetched(ask(fetch, good.url("/")))


@pytest.mark.usefixtures("trusted")
@pytest.mark.usefixtures("trusted")
def test_a_hub_that_is_told_a_secret_over_tls_does_not_lead_it_out(authority: trustme.CA) -> None:
    """Whoever overhears what is posted anew over HTTP could sign deliveries: such a redirect is not followed."""
    with Lab(_context(authority.issue_cert("localhost"))) as safe, Lab() as open_to_all:
        target = open_to_all.route("/hub", Reply(202))
        speaking = Hubs(tables.Fetch(allow_private_addresses=True), "x")
        within = safe.route("/b", Reply(202))
        assert speaking.post(safe.route("/a", Reply(307, (("Location", within),))), {"hub.secret": "s"}) is None
        hub = safe.route("/hub", Reply(307, (("Location", target),)))
        assert "from HTTPS to HTTP" in (speaking.post(hub, {"hub.secret": "s"}) or "")
        assert open_to_all.requests == []


def test_address_that_does_not_speak_tls_is_told(fetch: HttpFetch) -> None:
    """https: to a plain server fails in words, never by falling back."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: listener.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        answer = ask(fetch, f"https://localhost:{listener.getsockname()[1]}/")
    refused(answer, FailureKind.SOFT, "no secure connection to localhost")


@pytest.mark.usefixtures("trusted")
def test_old_tls_is_refused(authority: trustme.CA, fetch: HttpFetch) -> None:
    """TLS 1.2 is the least."""
    context = _context(authority.issue_cert("localhost"))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Lab(context) as lab:
        refused(ask(fetch, lab.url("/")), FailureKind.SOFT, "no secure connection")


# Many at once


def test_one_fetcher_serves_many_threads(lab: Lab, fetch: HttpFetch) -> None:
    """Answers do not get mixed up, and a hanging server holds up only its own thread."""
    for number in range(50):
        lab.route(f"/{number}", Reply(200, (), b"%d" % number, delay=0.01))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: fetched(ask(fetch, lab.url(f"/{number}"))).data, range(50)))
    assert answers == [b"%d" % number for number in range(50)]


def test_proxies_of_the_environment_are_not_used(lab: Lab, fetch: HttpFetch) -> None:
    """A proxy would look names up by itself, and the check of addresses with it would be void."""
    os.environ["http_proxy"] = "http://127.0.0.1:9/"
    try:
        fetched(ask(fetch, lab.route("/feed", Reply(200, (), FEED))))
    finally:
        del os.environ["http_proxy"]
