"""Manners: the whole program against a server that logs every request, with time as an argument.

The criteria are those by which the people who run the servers judge feed readers: rachelbythebay.com's score of feed
readers, openrss.org's guide for developers, earth.org.uk's "RSS efficiency", RFC 9110 and 9111, and the specifications
of the formats. Each stands in CRITERIA with the tests that hold it.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest

from aggregator import app as application
from aggregator import report
from aggregator.config import load
from aggregator.daemon import AT_ONCE, Rounds
from aggregator.engine import direct
from aggregator.memory import FixedClock
from aggregator.model import Changed, Known, Source, Task
from aggregator.settle import Settled
from aggregator.visiting import lane
from tests.command import NOT_SERVED, aggregator, configure, rss
from tests.daemons import eventually, free_port
from tests.lab import AtOnce, Lab, Misbehave, Reply, Request, raw, reset

TESTS = Path(__file__).parent
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)  # a Monday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
ENTRY = ("https://news.example/1", "North Korean defector elected to Seoul council", "")
STALE = ("https://news.example/2", "Rice harvest begins", "")

CRITERIA = {
    "the first request is plain, each later one conditional": "test_first_request_is_plain_and_later_ones_conditional",
    "If-None-Match and If-Modified-Since go back byte for byte": "test_validators_go_back_as_given",
    "both validators are renewed on each 200, and cleared where it has none": "test_each_200_renews_both_validators",
    "validators are renewed on each 304": "test_each_304_renews_validators",
    "unconditional again only to check a feed that looks stale, and seldom": "test_stale_check_is_bounded",
    "Cache-Control, Expires, ttl and sy: are waited out": "test_stated_freshness_is_waited_out",
    "skipHours and skipDays are left alone": "test_skip_hours_and_days_are_left_alone "
    "test_a_late_start_heeds_hours_to_skip",
    "all of these within the configured bounds": "test_no_hint_leads_beyond_the_bounds",
    "at most hourly where a server says nothing, from the end of the visit": "test_floor_is_an_hour",
    "a stated shorter freshness is asked no more often than min_interval": "test_stated_freshness_opens_min_interval",
    "the source's own interval is the operator's word": "test_own_interval_is_the_operators_word "
    "test_an_interval_of_its_own_holds_from_when_it_is_given",
    "Retry-After in seconds and as a date, on 429, 503 and 403": "test_retry_after_is_waited_out",
    "Retry-After holds for a manual run, too": "test_manual_run_is_conditional_and_heeds_retry_after "
    "test_a_check_online_is_conditional_and_heeds_retry_after",
    "a host that asks for a pause is left alone with all its feeds": "test_throttling_host_is_left_alone_as_a_whole "
    "test_a_host_that_a_redirect_leads_to_is_spared_when_it_asks",
    "repeated throttling is answered by ever longer waits": "test_repeated_throttling_slows_down",
    "a restart polls nothing early": "test_restart_polls_nothing_early",
    "a thousand new sources do not start in one second": "test_new_sources_start_a_hundred_at_a_time "
    "test_no_more_than_a_hundred_are_under_way",
    "jitter, upwards only": "test_jitter_drives_sources_apart",
    "at most per_host connections to one domain, spaced": "test_visits_to_one_host_are_few_and_spaced "
    "test_who_is_led_to_another_host_spares_it_too test_a_host_that_a_feed_has_moved_to_is_spared "
    "test_hosts_are_spared_over_rounds_that_overlap test_hosts_are_one_by_who_registered_them",
    "back-off by class of failure": "test_back_off_goes_by_class_of_failure "
    "test_who_could_not_be_reached_is_tried_again_soon",
    "slow visits to the dead": "test_the_dead_are_visited_weekly",
    "410 and long 404 are reported once and paused": "test_gone_is_reported_once_and_paused",
    "the site of a vanished feed is looked at once": "test_site_of_a_vanished_feed_is_looked_at_once",
    "301 and 308 are adopted after days, to a feed, and told": "test_permanent_move_is_adopted_after_days_and_told",
    "302, 303 and 307 are never adopted, nor a move to what is no feed": "test_other_redirects_are_never_adopted",
    "late answers are waited for at once, and who hangs delays no other": "test_hosts_that_hang_delay_no_other "
    "test_who_hangs_holds_up_no_later_round test_a_host_that_hangs_takes_no_places_of_others "
    "test_answers_of_many_hosts_are_waited_for_at_once",
    "no request is repeated at once after a failure": "test_no_request_is_repeated_at_once "
    "test_request_that_a_kept_connection_swallowed_is_not_repeated",
    "User-Agent with a contact, the same at each request": "test_who_we_are_is_said_the_same_each_time "
    "test_who_gives_no_contact_is_told",
    "no cookie is kept, no Referer, no Cache-Control: no-cache, GET only": "test_nothing_is_sent_that_need_not_be",
    "one request a visit, exactly the address": "test_no_request_is_repeated_at_once "
    "test_address_is_asked_for_as_written",
    "a compressed answer is asked for": "test_who_we_are_is_said_the_same_each_time",
    "one feed is asked once, however often it is listed": "test_a_source_listed_twice_is_a_mistake",
    "a daemon killed in a visit goes on soon, and asks nobody else's": "test_killed_visit_is_made_again_soon",
    "credentials go to their own origin alone": "test_secrets_stay_home_on_a_redirect_elsewhere",
    "interval follows what comes and what is kept": "test_interval_follows_what_is_kept",
    "status and log say when, what came, and why next when it is": "test_status_and_log_say_what_came_and_why",
}


def test_every_criterion_has_its_test() -> None:
    """The table names tests that are there, here or in the room's own tests."""
    written = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py"))
    known = set(re.findall(r"^\s*def (test_\w+)", written, re.MULTILINE))
    assert {name for names in CRITERIA.values() for name in names.split()} <= known


class Guest:
    """The program as configured; its requests are looked at in the laboratory's log."""

    def __init__(self, folder: Path, lab: Lab, **sources: str) -> None:
        """`sources`: name → address, or a whole table."""
        self.lab = lab
        self.clock = FixedClock(NOW)
        self.folder = folder
        self._stack = ExitStack()
        self.configure("", **sources)

    def configure(self, head: str, **sources: str) -> None:
        """Stop, write this configuration, start."""
        tables = (text if "\n" in text else f'url = "{text}"' for text in sources.values())
        listed = "".join(f'[[source]]\nname = "{name}"\n{table}\n' for name, table in zip(sources, tables, strict=True))
        (self.folder / "config.toml").write_text(NOT_SERVED + head + listed, encoding="utf-8")
        self.restart()

    def restart(self) -> None:
        self._stack.close()
        app = self._stack.enter_context(application.open_app(load(self.folder / "config.toml"), self.clock))
        self.app = replace(app, collector=replace(app.collector, isolate=direct))

    def close(self) -> None:
        self._stack.close()

    def visit(self, later: timedelta = timedelta(0), *, everything: bool = False) -> list[Settled]:
        """What is due after some time is visited."""
        self.clock.advance(later)
        return list(self.app.refresh(everything=everything))

    def asks(self, later: timedelta = timedelta(0), *, everything: bool = False) -> list[Request]:
        """The requests that a visit makes."""
        before = len(self.lab.requests)
        self.visit(later, everything=everything)
        return self.lab.requests[before:]

    def live(self, length: timedelta) -> list[tuple[datetime, Request]]:
        """Each request of a time to come, with the moment at which it was made."""
        end, log = self.clock.now() + length, []
        while (due := self.app.store.next_due()) is not None and due <= end:
            log += [(max(due, self.clock.now()), one) for one in self.asks(max(due - self.clock.now(), timedelta(0)))]
        self.clock.advance(end - self.clock.now())
        return log

    def gaps(self, length: timedelta) -> list[timedelta]:
        """The times between the requests of a time to come."""
        moments = [moment for moment, request in self.live(length) if request.path == "/feed"]
        return [after - before for before, after in pairwise(moments)]

    def overview(self) -> str:
        """What `aggregator status` prints."""
        overview = application.overview(self.app.config, self.clock)
        return f"{report.plain(report.sources(overview))}\n{report.worries(overview)}"


@pytest.fixture
def guests(tmp_path: Path, lab: Lab) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def guest(tmp_path: Path, lab: Lab, guests: ExitStack) -> Guest:
    """A guest with one source, whose answers each test gives."""
    guest = Guest(tmp_path, lab, News=lab.url("/feed"))
    guests.callback(guest.close)
    return guest


def document(*headers: tuple[str, str], entry: tuple[str, str, str] = STALE, channel: str = "") -> Reply:
    body = rss([entry]).replace(b"<channel>", b"<channel>" + channel.encode())
    return Reply(200, headers, body)


def not_modified(*headers: tuple[str, str]) -> Reply:
    return Reply(304, headers)


class Hanging:
    """Says nothing until the test has it answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def __call__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.answered.wait(20)
        connection.sendall(document().bytes())


def conditions(request: Request) -> tuple[str | None, str | None]:
    return request.header("If-None-Match"), request.header("If-Modified-Since")


# What is asked


def test_first_request_is_plain_and_later_ones_conditional(guest: Guest) -> None:
    """Over days, restarts and manual runs: one plain request, and never again one while validators are known."""
    guest.lab.route("/feed", document(("ETag", '"a"')), not_modified())
    log = [request for _, request in guest.live(3 * DAY)]
    guest.restart()
    log += guest.asks(5 * MINUTE, everything=True)
    assert [conditions(request)[0] for request in log] == [None, *['"a"'] * (len(log) - 1)]
    assert len(log) > 3


def test_validators_go_back_as_given(guest: Guest) -> None:
    """Neither quotes nor W/ nor an odd date are touched, through the store and a restart."""
    etag, date = 'W/"  odd\'é"', "Sun, 1 Feb 2026 9:05:00 +0900"
    guest.lab.route("/feed", document(("ETag", etag), ("Last-Modified", date)), not_modified())
    guest.visit()
    guest.restart()
    (request,) = guest.asks(2 * HOUR)
    assert conditions(request) == (etag, date)


def test_each_200_renews_both_validators(guest: Guest) -> None:
    """Also when the document is the same; what is no longer given is no longer sent."""
    first = document(("ETag", '"a"'), ("Last-Modified", "Mon, 15 Jun 2026 10:00:00 GMT"))
    guest.lab.route("/feed", first, document(("ETag", '"b"')), document(), not_modified())
    asked = [guest.asks(2 * HOUR)[0] for _ in range(4)]
    date = "Mon, 15 Jun 2026 10:00:00 GMT"
    assert [conditions(one) for one in asked] == [(None, None), ('"a"', date), ('"b"', None), (None, None)]


def test_each_304_renews_validators(guest: Guest) -> None:
    """What a 304 carries is sent next time; what it does not carry stays (RFC 9111, 4.3.4)."""
    date = "Mon, 15 Jun 2026 10:00:00 GMT"
    guest.lab.route("/feed", document(("ETag", '"a"'), ("Last-Modified", date)), not_modified(("ETag", '"b"')))
    asked = [guest.asks(2 * HOUR)[0] for _ in range(3)]
    assert [conditions(one) for one in asked] == [(None, None), ('"a"', date), ('"b"', date)]


def test_stale_check_is_bounded(guest: Guest) -> None:
    """A server that says 304 for half a year is asked plainly six times, first after a week, ever more seldom."""
    guest.lab.route("/feed", document(("ETag", '"a"')), not_modified())
    plain = [moment for moment, request in guest.live(180 * DAY) if conditions(request) == (None, None)]
    assert 3 <= len(plain) <= 7
    waits = [after - before for before, after in pairwise(plain)]
    assert waits[0] >= 7 * DAY
    assert waits == sorted(waits)


def test_who_we_are_is_said_the_same_each_time(guest: Guest) -> None:
    """Product, version, and where to write to; and that a compressed answer is welcome."""
    guest.lab.route("/feed", document(("ETag", '"a"')), not_modified())
    log = [request for _, request in guest.live(2 * DAY)]
    agents = {request.header("User-Agent") for request in log}
    (agent,) = agents
    assert re.fullmatch(r"aggregator/\d\S* \(\+https://example.org/t/\)", agent or "")
    assert all("gzip" in (request.header("Accept-Encoding") or "") for request in log)


def test_who_gives_no_contact_is_told(tmp_path: Path) -> None:
    """With a feed that lies on this machine alone, no empty contact is sent, and `check` asks for one."""
    here = NOT_SERVED.replace("https://example.org/t/", "http://127.0.0.1:8080/")
    with Lab() as lab:
        configure(tmp_path, {"News": lab.route("/feed", document())}, here)
        aggregator(tmp_path, "run", "--once")
        assert re.fullmatch(r"aggregator/\d[\w.]*", lab.requests[0].header("User-Agent") or "")
        assert "told no contact" in aggregator(tmp_path, "check").stderr
        named = here.replace("[fetch]", '[fetch]\nuser_agent = "Me/1 (+mailto:me@example.org)"')
        configure(tmp_path, {"Other": lab.route("/other", document())}, named)
        aggregator(tmp_path, "run", "--once")
        assert lab.requests[1].header("User-Agent") == "Me/1 (+mailto:me@example.org)"
        assert "contact" not in aggregator(tmp_path, "check").stderr


def test_nothing_is_sent_that_need_not_be(guest: Guest) -> None:
    """A cookie that was set stays with its server, and every request is a plain GET."""
    guest.lab.route("/feed", document(("Set-Cookie", "id=1"), ("ETag", '"a"')), not_modified(("Set-Cookie", "id=2")))
    for _, request in guest.live(2 * DAY):
        assert request.line == "GET /feed HTTP/1.1"
        names = {line.partition(b":")[0].lower() for line in request.head.split(b"\r\n")}
        assert not names & {b"cookie", b"referer", b"cache-control", b"pragma"}


# How often


def period(text: str) -> str:
    space = ' xmlns:sy="http://purl.org/rss/1.0/modules/syndication/"'
    return "".join(f"<sy:{name}{space}>{value}</sy:{name}>" for name, value in (("updatePeriod", text),))


@pytest.mark.parametrize(
    ("answer", "least"),
    [
        (document(("Cache-Control", "public, max-age=18000")), 5 * HOUR),
        (document(("Cache-Control", "max-age=18000"), ("Age", "3600")), 4 * HOUR),
        (document(("Expires", format_datetime(NOW + 7 * HOUR, usegmt=True))), 7 * HOUR),
        (document(channel="<ttl>240</ttl>"), 4 * HOUR),
        (document(channel=period("daily")), DAY),
    ],
)
def test_stated_freshness_is_waited_out(guest: Guest, answer: Reply, least: timedelta) -> None:
    """On the document and on what follows; nothing is asked a second earlier, and not much later."""
    guest.lab.route("/feed", answer)
    guest.visit()
    assert not guest.asks(least - SECOND)
    assert guest.asks(least / 10 + 2 * SECOND)


def test_skip_hours_and_days_are_left_alone(guest: Guest) -> None:
    """In a week, no request falls into hours and days that the feed wants skipped (GMT)."""
    hours = "".join(f"<hour>{hour}</hour>" for hour in range(6, 12))
    rest = f"<skipHours>{hours}</skipHours><skipDays><day>Wednesday</day></skipDays>"
    guest.lab.route("/feed", document(channel=rest))
    moments = [moment for moment, _ in guest.live(7 * DAY)]
    assert not [moment for moment in moments if moment.hour in range(6, 12) or moment.weekday() == 2]
    assert len(moments) > 10


def test_a_late_start_heeds_hours_to_skip(guest: Guest) -> None:
    """What came due while nothing ran is not asked in an hour to skip, and status says why; a manual run asks it."""
    guest.lab.route("/feed", document(channel="<skipHours><hour>18</hour><hour>19</hour></skipHours>"))
    guest.visit()
    guest.clock.advance(6 * HOUR + 30 * MINUTE)
    guest.restart()
    assert not guest.asks()
    assert "in 2 h\tnot before the hours end in which the feed wants to be left alone" in guest.overview()
    assert not guest.asks(HOUR + 29 * MINUTE)
    assert len(guest.asks(everything=True)) == 1
    assert len(guest.asks(70 * MINUTE)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        document(("Cache-Control", f"max-age={16 * 365 * 86400}")),
        document(("Expires", format_datetime(NOW + 999 * DAY, usegmt=True))),
        document(channel="<ttl>99999</ttl>"),
        document(channel=period("yearly")),
    ],
)
def test_no_hint_leads_beyond_the_bounds(guest: Guest, answer: Reply) -> None:
    """Years of freshness are asked after max_interval, and status says what was asked for."""
    guest.lab.route("/feed", answer)
    guest.visit()
    assert guest.asks(DAY + HOUR)
    assert "of which 24 hours are granted" in guest.overview()


def test_floor_is_an_hour(guest: Guest) -> None:
    """However much a source brings, 59 minutes would be too soon."""
    answers = [document(entry=(f"https://news.example/{n}", ENTRY[1], "")) for n in range(60)]
    guest.lab.route("/feed", *answers)
    assert min(guest.gaps(DAY)) >= HOUR


def test_stated_freshness_opens_min_interval(guest: Guest) -> None:
    """A server that says a minute, and brings something each time, is asked each ten minutes at most."""
    answers = [
        document(("Cache-Control", "max-age=60"), entry=(f"https://n.example/{n}", ENTRY[1], "")) for n in range(99)
    ]
    guest.lab.route("/feed", *answers)
    gaps = guest.gaps(6 * HOUR)
    assert 10 * MINUTE <= min(gaps) < 12 * MINUTE


def test_own_interval_is_the_operators_word(guest: Guest) -> None:
    """Neither ttl nor max-age nor experience stretches it."""
    guest.configure("", News=f'url = "{guest.lab.url("/feed")}"\ninterval = "30m"')
    guest.lab.route("/feed", document(("Cache-Control", "max-age=99999"), channel="<ttl>600</ttl>"))
    gaps = guest.gaps(DAY)
    assert min(gaps) >= 30 * MINUTE
    assert max(gaps) <= 34 * MINUTE
    assert "every 30 minutes, as configured" in guest.overview()


def test_an_interval_of_its_own_holds_from_when_it_is_given(guest: Guest) -> None:
    """It does not wait for a visit that was planned a day ahead; a pause that the server asked for it does not end."""
    table = f'url = "{guest.lab.url("/feed")}"\ninterval = "{{}}"'
    guest.lab.route("/feed", document(("Cache-Control", "max-age=86400")), Reply(200, (("Retry-After", "7200"),)))
    guest.visit()
    guest.configure("", News=table.format("30m"))
    assert "in 30 m\tevery 30 minutes, as configured" in guest.overview()
    assert not guest.asks(30 * MINUTE - SECOND)
    assert len(guest.asks(SECOND)) == 1
    guest.configure("", News=table.format("10m"))
    assert not guest.asks(2 * HOUR - SECOND)
    assert len(guest.asks(HOUR)) == 1


def test_interval_follows_what_is_kept(guest: Guest) -> None:
    """News off the subject is asked for each three hours in the end, news on it each hour."""
    old = [(f"https://news.example/old/{n}", f"Old news {n}", "") for n in range(30)]
    mixed = [Reply(200, (), rss([(f"https://news.example/{n}", f"Rice {n}", ""), *old])) for n in range(99)]
    wanted = [Reply(200, (), rss([(f"https://news.example/{n}", ENTRY[1], ""), *old])) for n in range(100, 199)]
    guest.lab.route("/feed", *mixed)
    assert guest.gaps(5 * DAY)[-1] >= 3 * HOUR
    assert "nothing kept for" in guest.overview()
    guest.lab.route("/feed", *wanted)
    assert guest.gaps(DAY)[-1] < 1.2 * HOUR


def test_jitter_drives_sources_apart(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """Sources that started together come at moments of their own, none before its time."""
    addresses = {f"S{n}": lab.route(f"/{n}", document()) for n in range(40)}
    guest = Guest(tmp_path, lab, **addresses)
    guests.callback(guest.close)
    guest.visit()
    moments = [moment for moment, _ in guest.live(70 * MINUTE)]
    assert len(moments) == 40
    assert min(moments) >= NOW + HOUR
    assert len(set(moments)) > 30
    assert max(moments) - min(moments) > 3 * MINUTE


def test_restart_polls_nothing_early(guest: Guest) -> None:
    """Nor does a configuration that is read anew, nor `run --once`; when it is time, it is asked."""
    guest.lab.route("/feed", document(("ETag", '"a"')), not_modified())
    guest.visit()
    for _ in range(3):
        guest.clock.advance(15 * MINUTE)
        guest.restart()
        assert not guest.asks()
    guest.restart()
    assert len(guest.asks(30 * MINUTE)) == 1


def test_new_sources_start_a_hundred_at_a_time(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """Each round of the daemon, ten seconds apart, visits so many at most; none is forgotten."""
    addresses = {f"S{n}": lab.route(f"/{n}", document()) for n in range(250)}
    guest = Guest(tmp_path, lab, **addresses)
    guests.callback(guest.close)
    rounds, counts = Rounds(guest.app), list[int]()
    while sum(counts) < 250:
        before = len(lab.requests)
        rounds.go()
        counts.append(len(lab.requests) - before)
    rounds.go()
    assert max(counts) == AT_ONCE
    assert len({request.path for request in lab.requests}) == len(lab.requests) == 250


def test_no_more_than_a_hundred_are_under_way(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """While all of them hang the next round claims nothing: when they answer at last, no thousand can start at once."""
    hanging = Hanging()
    addresses = {f"S{n}": lab.route(f"/{n}", hanging) for n in range(AT_ONCE + 20)}
    guest = Guest(tmp_path, lab, **addresses)
    guests.callback(guest.close)
    visits = guest.app.visits()
    for _ in range(2):
        assert not list(guest.app.refresh(visits, limit=AT_ONCE, patience=0 * SECOND))
    assert len(guest.app.store.claim(NOW, HOUR)) == 20
    hanging.answered.set()
    assert len(list(guest.app.refresh(visits, limit=AT_ONCE))) == AT_ONCE


def far_apart(folder: Path, lab: Lab, guests: ExitStack, paths: list[str]) -> Guest:
    """A guest that reads these paths, each of a host of its own, with twelve connections at once, two to a host."""
    table = 'url = "http://127.0.1.{}:{}{}"\nlanguage = "en"'
    guest = Guest(folder, lab, **{f"S{n}": table.format(n, lab.port, path) for n, path in enumerate(paths, 1)})
    guests.callback(guest.close)
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config.replace("per_host = 16", "per_host = 2\nconcurrency = 12"))
    guest.restart()
    return guest


def spaced(guest: Guest, seconds: float) -> None:
    """Have a pause between the visits to one host."""
    path = guest.folder / "config.toml"
    path.write_text(re.sub(r"host_gap_seconds = \S+", f"host_gap_seconds = {seconds}", path.read_text()))
    guest.restart()


def test_answers_of_many_hosts_are_waited_for_at_once(tmp_path: Path, guests: ExitStack) -> None:
    """Nobody is answered before twelve are waiting: with fewer at once, of 48 visits none would ever end well."""
    waiting = threading.Barrier(12, timeout=20)

    def together(connection: socket.socket, closing: threading.Event) -> None:
        waiting.wait()
        connection.sendall(document().bytes())

    lab = guests.enter_context(Lab(host="0.0.0.0"))
    lab.route("/late", together)
    settled = far_apart(tmp_path, lab, guests, ["/late"] * 48).visit()
    assert [type(one.visit.outcome) for one in settled] == [Changed] * 48


def test_hosts_that_hang_delay_no_other(tmp_path: Path, guests: ExitStack) -> None:
    """Ten that say nothing, listed first: forty others are settled before one of these is answered."""
    hanging = Hanging()
    lab = guests.enter_context(Lab(host="0.0.0.0"))
    lab.route("/hanging", hanging)
    lab.route("/quick", document())
    guest = far_apart(tmp_path, lab, guests, ["/hanging"] * 10 + ["/quick"] * 40)
    refresh = guest.app.refresh()
    first = {next(refresh).visit.source.url.rpartition("/")[2] for _ in range(40)}
    hanging.answered.set()
    rest = [one.visit for one in refresh]
    assert first == {"quick"}
    assert [type(visit.outcome) for visit in rest] == [Changed] * 10


def test_who_hangs_holds_up_no_later_round(tmp_path: Path, guests: ExitStack) -> None:
    """What falls due is visited meanwhile, nobody is asked twice, and the late answer is settled by a later round."""
    hanging = Hanging()
    lab = guests.enter_context(Lab(host="0.0.0.0"))
    lab.route("/hanging", hanging)
    lab.route("/quick", document())
    guest = far_apart(tmp_path, lab, guests, ["/hanging"] * 10 + ["/quick"] * 40)
    visits, paths = guest.app.visits(), list[str]()
    while paths.count("quick") < 40:
        some = guest.app.refresh(visits, limit=20, patience=SECOND / 10)
        paths += (one.visit.source.url.rpartition("/")[2] for one in some)
    assert paths == ["quick"] * 40
    hanging.answered.set()
    late = [one.visit for one in guest.app.refresh(visits)]
    assert [type(visit.outcome) for visit in late] == [Changed] * 10
    assert len(lab.requests) == 50


def test_a_host_that_hangs_takes_no_places_of_others(tmp_path: Path, guests: ExitStack) -> None:
    """It has 150 feeds, longest due: two are asked, and all others in the same round and in each that follows."""
    hanging = Hanging()
    lab = guests.enter_context(Lab(host="0.0.0.0"))
    lab.route("/hanging", hanging)
    lab.route("/quick", document())
    guest = far_apart(tmp_path, lab, guests, ["/quick"] * 50)
    guests.callback(hanging.answered.set)
    listed = (tmp_path / "config.toml").read_text().partition("[[source]]")
    table = '[[source]]\nname = "H{0}"\nurl = "http://127.0.2.1:{1}/hanging?{0}"\nlanguage = "en"\n'
    for number in range(150):
        lab.route(f"/hanging?{number}", hanging)
    feeds = "".join(table.format(number, lab.port) for number in range(150))
    (tmp_path / "config.toml").write_text(f"{listed[0]}{feeds}[[source]]{listed[2]}")
    guest.restart()
    visits, settled = guest.app.visits(), 0
    for count in (50, 100):
        for _ in range(20):
            if settled < count:
                settled += len(list(guest.app.refresh(visits, limit=AT_ONCE, patience=SECOND)))
        assert settled == count
        guest.clock.advance(2 * HOUR)
    assert len(lab.requests) == 102


def test_a_visit_that_outlasts_its_lease_is_made_once(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """While it hangs the lease is renewed, so that no other process makes it."""
    hanging = Hanging()
    guest = Guest(tmp_path, lab, News=lab.route("/feed", hanging))
    guests.callback(guest.close)
    guests.callback(hanging.answered.set)
    visits = guest.app.visits()
    for _ in range(4):
        assert not list(guest.app.refresh(visits, limit=AT_ONCE, patience=SECOND / 10))
        guest.clock.advance(10 * MINUTE)
        assert guest.app.store.claim(guest.clock.now(), HOUR) == ()
    hanging.answered.set()
    assert len(list(guest.app.refresh(visits))) == len(lab.requests) == 1


def test_hosts_are_spared_over_rounds_that_overlap(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """Of eight feeds of one host two are asked at once, though each round begins before the last one's visits end."""
    waiting = AtOnce(replace(document(), delay=0.2))
    guest = Guest(tmp_path, lab, **{f"S{n}": lab.route(f"/{n}", waiting) for n in range(8)})
    guests.callback(guest.close)
    config = (tmp_path / "config.toml").read_text().replace("per_host = 16", "per_host = 2")
    (tmp_path / "config.toml").write_text(config)
    spaced(guest, 0.1)
    visits, begun = guest.app.visits(), time.monotonic()
    settled = [one for limit in (2, 4, 6) for one in guest.app.refresh(visits, limit=limit, patience=0 * SECOND)]
    assert len([*settled, *guest.app.refresh(visits)]) == 8
    assert waiting.most == 2
    assert all(at >= begun + number * 0.1 for number, at in enumerate(sorted(one.at for one in lab.requests)))


def test_a_stop_stores_what_hangs_and_gives_back_what_has_not_begun(
    tmp_path: Path, lab: Lab, guests: ExitStack
) -> None:
    """Two of five are under way when a round leaves them: they are settled, the others asked by the next process."""
    hanging = Hanging()
    guest = Guest(tmp_path, lab, **{f"S{n}": lab.route(f"/{n}", hanging) for n in range(5)})
    guests.callback(guest.close)
    config = (tmp_path / "config.toml").read_text().replace("per_host = 16", "per_host = 2")
    (tmp_path / "config.toml").write_text(config)
    guest.restart()
    rounds = Rounds(guest.app)
    assert not list(guest.app.refresh(rounds.visits, limit=AT_ONCE, patience=0 * SECOND))
    eventually(lambda: len(lab.requests) == 2)
    guest.app.engine.close()
    hanging.answered.set()
    rounds.close()
    guest.restart()
    assert len(guest.asks()) == 3
    assert len({request.path for request in lab.requests}) == 5


def test_visits_to_one_host_are_few_and_spaced(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """Two connections at once, and a pause between the beginnings of two visits."""
    addresses = {f"S{n}": lab.route(f"/{n}", replace(document(), delay=0.3)) for n in range(6)}
    guest = Guest(tmp_path, lab, **addresses)
    guests.callback(guest.close)
    config = (tmp_path / "config.toml").read_text().replace("per_host = 16", "per_host = 2")
    (tmp_path / "config.toml").write_text(config.replace("host_gap_seconds = 0\n", "host_gap_seconds = 0.1\n"))
    guest.restart()
    begun = time.monotonic()
    guest.visit()
    moments = sorted(request.at for request in lab.requests)
    assert len(moments) == 6  # a request may arrive late, and never before it was due
    assert all(at >= begun + number * 0.1 for number, at in enumerate(moments))
    assert all(after - before >= 0.29 for before, after in zip(moments, moments[2:], strict=False))


def test_who_is_led_to_another_host_spares_it_too(tmp_path: Path, guests: ExitStack) -> None:
    """Eight feeds on hosts of their own redirect to one: it has two requests at once at most, and they are spaced."""
    lab = guests.enter_context(Lab(host="0.0.0.0"))
    waiting = AtOnce(replace(document(), delay=0.3))
    lab.route("/feed", waiting)
    lab.route("/old", Reply(302, (("Location", f"http://127.0.2.1:{lab.port}/feed"),)))
    guest = far_apart(tmp_path, lab, guests, ["/old"] * 8)
    spaced(guest, 0.1)
    begun = time.monotonic()
    settled = guest.visit()
    moments = sorted(request.at for request in lab.seen("/feed"))
    assert [type(one.visit.outcome) for one in settled] == [Changed] * 8
    assert waiting.most == 2
    assert all(at >= begun + number * 0.1 for number, at in enumerate(moments))


def test_a_host_that_a_feed_has_moved_to_is_spared(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """Once the move is adopted, the visit has its place among those to the new host from the start."""
    task = Task(Source("https://old.example/feed", "Old"), Known(address="https://new.example.co.uk/feed"))
    assert lane(task) == lane(Task(Source("https://news.example.co.uk/other", "Other"))) == "example.co.uk"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://www.paper.co.uk/rss", "https://feeds.paper.co.uk/a", True),
        ("https://one.co.uk/rss", "https://two.co.uk/rss", False),
        ("https://one.github.io/rss", "https://two.github.io/rss", False),
        ("https://one.blogspot.com/rss", "https://two.blogspot.com/rss", False),
        ("https://www.chosun.co.kr/rss", "http://english.chosun.co.kr:8080/rss", True),
        ("http://127.0.0.1:1/rss", "http://127.0.0.1:2/rss", False),
    ],
)
def test_hosts_are_one_by_who_registered_them(one: str, other: str, same: bool) -> None:
    """By the public suffix list; a machine's address stands for itself."""
    assert (lane(Task(Source(one, "x"))) == lane(Task(Source(other, "x")))) is same


# Being turned away


@pytest.mark.parametrize("status", [429, 503, 403])
@pytest.mark.parametrize("wait", ["18000", format_datetime(NOW + 5 * HOUR, usegmt=True)])
def test_retry_after_is_waited_out(guest: Guest, status: int, wait: str) -> None:
    """In seconds and as a date; a restart does not forget it."""
    guest.lab.route("/feed", Reply(status, (("Retry-After", wait),)), document())
    guest.visit()
    guest.restart()
    assert not guest.asks(5 * HOUR - SECOND, everything=True)
    assert guest.asks(2 * HOUR)


def test_manual_run_is_conditional_and_heeds_retry_after(guest: Guest) -> None:
    """`run --once --now` asks what is not due, conditionally, and not who wants to be left alone."""
    guest.lab.route("/feed", document(("ETag", '"a"')), Reply(429, (("Retry-After", "7200"),)))
    guest.visit()
    (request,) = guest.asks(MINUTE, everything=True)
    assert conditions(request)[0] == '"a"'
    assert not guest.asks(HOUR, everything=True)


def test_a_check_online_is_conditional_and_heeds_retry_after(tmp_path: Path, lab: Lab) -> None:
    """`check --online` asks with what the store knows, and not who wants to be left alone; it puts nothing off."""
    paused = Reply(503, (("Retry-After", "7200"),))
    lab.route("/feed", document(("ETag", '"a"')), not_modified())
    configure(
        tmp_path, {"News": lab.url("/feed"), "Busy": lab.route("/busy", paused).replace("localhost", "127.0.0.1")}
    )
    aggregator(tmp_path, "run", "--once")
    before = aggregator(tmp_path, "status", "--json").stdout
    done = aggregator(tmp_path, "check", "--online")
    assert [conditions(request)[0] for request in lab.seen("/feed")] == [None, '"a"']
    assert len(lab.seen("/busy")) == 1
    assert "ok      News: unchanged since its last visit (304)" in done.stdout
    assert "left    Busy: the server asks for a pause of 2 hours (Retry-After)" in done.stdout
    assert done.returncode == 0
    after = aggregator(tmp_path, "status", "--json").stdout
    assert re.findall(r'"next_due": .*', before) == re.findall(r'"next_due": .*', after)


def test_a_pause_that_a_host_asked_for_holds_for_all_who_share_the_store(
    tmp_path: Path, lab: Lab, guests: ExitStack
) -> None:
    """Also for sources that were not under way with the one that was turned away, in another process or a later one."""
    lab.route("/0", Reply(429, (("Retry-After", "7200"),)), document())
    for n in range(1, 3):
        lab.route(f"/{n}", document())
    guest = Guest(tmp_path, lab, **{f"S{n}": lab.url(f"/{n}") for n in range(3)})
    guests.callback(guest.close)
    assert len(list(guest.app.refresh(limit=1))) == 1
    guest.restart()
    assert not guest.asks(2 * HOUR - SECOND)
    assert {request.path for request in guest.asks(20 * MINUTE)} == {"/0", "/1", "/2"}


def test_throttling_host_is_left_alone_as_a_whole(tmp_path: Path, lab: Lab, guests: ExitStack) -> None:
    """Once one of its feeds was answered 429 with a pause, none of the others is asked before it ends."""
    lab.route("/0", Reply(429, (("Retry-After", "7200"),)), document())
    addresses = {f"S{n}": lab.url(f"/{n}") for n in range(5)}
    for n in range(1, 5):
        lab.route(f"/{n}", document())
    guest = Guest(tmp_path, lab, **addresses)
    guests.callback(guest.close)
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config.replace("per_host = 16", "per_host = 1"))
    guest.restart()
    assert [request.path for request in guest.asks()] == ["/0"]
    assert "its host asked for a pause" in guest.overview()
    assert not guest.asks(2 * HOUR - SECOND)
    guest.restart()
    assert {request.path for request in guest.asks(20 * MINUTE)} == {f"/{n}" for n in range(5)}


@pytest.mark.parametrize("status", [429, 503, 403])
def test_a_host_that_a_redirect_leads_to_is_spared_when_it_asks(tmp_path: Path, guests: ExitStack, status: int) -> None:
    """Nothing more is asked of it, directly or by another redirect; the host that led there is asked as before."""
    lab = guests.enter_context(Lab(host="0.0.0.0"))
    here = [f"http://127.0.1.{n}:{lab.port}" for n in range(3)]
    lab.route("/old", Reply(302, (("Location", f"{here[0]}/feed"),)))
    lab.route("/feed", Reply(status, (("Retry-After", "7200"),)), document())
    for path in ("/beside", "/fine"):
        lab.route(path, document())
    addresses = (f"{here[1]}/old", f"{here[0]}/beside", f"{here[1]}/fine", f"{here[2]}/old")
    guest = Guest(tmp_path, lab, **{f"S{n}": f'url = "{url}"\nlanguage = "en"' for n, url in enumerate(addresses)})
    guests.callback(guest.close)
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config.replace("per_host = 16", "per_host = 16\nconcurrency = 1"))
    guest.restart()
    assert [request.path for request in guest.asks()] == ["/old", "/feed", "/old", "/fine"]
    guest.restart()
    assert {request.path for request in guest.asks(2 * HOUR - SECOND)} == {"/fine"}
    assert {request.path for request in guest.asks(30 * MINUTE)} == {"/beside", "/feed", "/old"}


@pytest.mark.parametrize("status", [429, 503, 403])
def test_repeated_throttling_slows_down(guest: Guest, status: int) -> None:
    """Whatever short wait the host names, each time it turns us away the next wait is longer."""
    guest.lab.route("/feed", Reply(status, (("Retry-After", "60"),)))
    gaps = guest.gaps(5 * DAY)
    assert gaps[0] >= HOUR
    assert all(after >= 1.7 * before for before, after in pairwise(gaps[:4]))


# Failures


@pytest.mark.parametrize(
    ("answer", "first", "longest"),
    [
        (reset, HOUR, 4 * HOUR),  # nobody answered: never long
        (Reply(500), HOUR, DAY),
        (Reply(404), 6 * HOUR, 7 * DAY),
        (Reply(200, (), b"<html><title>Sold</title></html>"), HOUR, DAY),
    ],
)
def test_back_off_goes_by_class_of_failure(
    guest: Guest, answer: Reply | Misbehave, first: timedelta, longest: timedelta
) -> None:
    """From a start that goes by its class twice as long each time, up to a longest wait."""
    guest.lab.route("/feed", answer)
    gaps = guest.gaps(29 * DAY)
    assert first <= gaps[0] <= 1.1 * first
    assert all(after >= min(1.7 * before, longest) for before, after in pairwise(gaps))
    assert max(gaps) <= longest + HOUR


def test_the_dead_are_visited_weekly(guest: Guest) -> None:
    """A source that has failed for a month is looked at once a week, not given up."""
    guest.lab.route("/feed", Reply(500))
    guest.live(31 * DAY)
    assert all(7 * DAY <= gap <= 7 * DAY + HOUR for gap in guest.gaps(60 * DAY)[1:])


@pytest.mark.parametrize(("status", "days"), [(410, 3), (404, 45)])
def test_gone_is_reported_once_and_paused(guest: Guest, status: int, days: int) -> None:
    """One look a month, and a line in the log for each; status says that it is paused, and why."""
    guest.lab.route("/feed", Reply(status))
    guest.live(days * DAY)
    assert "paused" in guest.overview()
    gaps = guest.gaps(100 * DAY)
    assert all(gap >= 30 * DAY for gap in gaps)
    assert gaps


@pytest.mark.parametrize(
    "answer", [Reply(500), Reply(503), reset, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut"), Reply(200)]
)
def test_no_request_is_repeated_at_once(guest: Guest, answer: Reply | Misbehave) -> None:
    """One visit is one request, whatever comes of it, and the next is at least an hour away."""
    guest.lab.route("/feed", answer)
    assert len(guest.asks()) == 1
    assert not guest.asks(HOUR - SECOND)


def test_who_could_not_be_reached_is_tried_again_soon(guest: Guest) -> None:
    """A server that is down, or this machine offline, is bothered by nobody: after ten minutes, then ever later."""
    guest.configure("", News=f"http://127.0.0.1:{free_port()}/feed")
    (failed,) = guest.visit()
    assert timedelta(0) < failed.plan.due - guest.clock.now() <= 11 * MINUTE
    assert "127.0.0.1 refused the connection" in report.line(failed)


@pytest.mark.parametrize("answer", [Reply(404), Reply(410), Reply(200)])
def test_site_of_a_vanished_feed_is_looked_at_once(guest: Guest, answer: Reply) -> None:
    """At the second failure; what its page names is tried and told to the operator, and never asked for again."""
    page = b'<html><link rel="alternate" type="application/rss+xml" href="/other"></html>'
    guest.lab.route("/", Reply(200, (), page))
    guest.lab.route("/other", document())
    guest.lab.route("/feed", answer if answer.status != 200 else replace(answer, body=page))
    assert len(guest.asks()) == 1
    spaced(guest, 0.2)
    begun = time.monotonic()
    moments = [request.at for request in guest.asks(2 * DAY)]
    assert all(at >= begun + number * 0.2 for number, at in enumerate(moments))
    spaced(guest, 0)
    guest.live(20 * DAY)
    asked = [request.path for request in guest.lab.requests]
    assert asked.count("/other") == 1
    assert asked.count("/") <= 1
    assert f"aggregator sources add {guest.lab.url('/other')}" in guest.overview()


# Moves


@pytest.mark.parametrize("status", [301, 308])
def test_permanent_move_is_adopted_after_days_and_told(guest: Guest, status: int) -> None:
    """Three visits over three days ask the old address first; then it is asked no more, and status names the new."""
    guest.lab.route("/feed", Reply(status, (("Location", "/new"),)))
    guest.lab.route("/new", document())
    guest.visit()
    assert "/new, and is asked there once that has held for days" in guest.overview()
    first = [request.path for _, request in guest.live(2 * DAY)]
    assert first == ["/feed", "/new"] * (len(first) // 2)
    assert len(first) > 6
    said: list[str] = []
    while not any("and is asked there from now on" in line for line in said):
        assert guest.clock.now() < NOW + 5 * DAY
        said = [report.line(one) for one in guest.visit(HOUR)]
    assert guest.clock.now() >= NOW + 3 * DAY
    assert {request.path for _, request in guest.live(2 * DAY)} == {"/new"}
    assert f"redirects for good to {guest.lab.url('/new')}, and is asked there;" in guest.overview()


@pytest.mark.parametrize(
    ("status", "target"), [(302, document()), (303, document()), (307, document()), (301, Reply(200, (), b"<html/>"))]
)
def test_other_redirects_are_never_adopted(guest: Guest, status: int, target: Reply) -> None:
    """Each visit begins at the source's own address, for a month."""
    guest.lab.route("/feed", Reply(status, (("Location", "/new"),)))
    guest.lab.route("/new", target)
    log = [request.path for _, request in guest.live(30 * DAY)]
    assert log == ["/feed", "/new"] * (len(log) // 2)


# What the operator sees


def test_whether_this_machine_is_online_is_asked_only_where_no_server_answers(guest: Guest) -> None:
    """All sources failing is one thing where servers say no, another where nobody says anything."""
    guest.lab.route("/feed", *3 * [Reply(403)], reset)
    guest.live(DAY)
    assert "no source could be read for long, though servers answer" in guest.overview()
    guest.live(2 * DAY)
    assert "no source could be read for long: is this machine online?" in guest.overview()


def test_status_and_log_say_what_came_and_why(guest: Guest) -> None:
    """When it was last visited, what came of it, when it is next due and why, in both places."""
    guest.lab.route("/feed", document(("ETag", '"a"'), entry=ENTRY), not_modified(), Reply(500))
    said = [report.line(one) for one in guest.visit()]
    assert re.fullmatch(
        r"News: 1 new item, 1 kept, 1 new story; next in 1 h, how often something new comes is not known yet: .*",
        said[0],
    )
    guest.clock.advance(30 * MINUTE)
    assert re.search(
        r"30 m ago\t1 new or edited of 1 entries, 1 kept\tin 3\d m\thow often something new comes is not",
        guest.overview(),
    )
    assert "News: unchanged (304); next in 1 h, by how often something new comes:" in report.line(guest.visit(HOUR)[0])
    assert "0 s ago\tunchanged (304)\tin 1 h\t" in guest.overview()
    assert "failed once: tried again after" in report.line(guest.visit(2 * HOUR)[0])
    assert re.search(r"failed\tin 1 h\tthe server of localhost failed \(500\); failed once", guest.overview())
