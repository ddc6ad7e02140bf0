"""News at once: WebSub's rules, and the whole circle over a real hub, between daemons as an operator runs them."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from aggregator import tables, websub
from aggregator.callback import Hearing, routes
from aggregator.hub import Hubs
from aggregator.model import Changed, Failed, FailureKind, FeedHead, Freshness, Source, Subscription, Unchanged, Visit
from aggregator.push import Push
from aggregator.serve import Server, build_app
from aggregator.visiting import hubs
from tests.answering import Handler, answering
from tests.command import HEAD, aggregator, configure, rss
from tests.daemons import DEFECTOR, SWIMMER, daemon, eventually, free_port, get
from tests.lab import Lab, Misbehave, Reply, reset, silence
from tests.site import Site
from tests.test_manners import Guest

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SUBSCRIPTION = websub.begin("https://news.example/feed", "https://hub.example/", "https://news.example/self", NOW)


@dataclass
class Hub:
    """A WebSub hub: verifies, keeps subscriptions, fetches what is published and delivers it signed."""

    address: str = ""
    subscribers: dict[str, dict[str, str]] = field(default_factory=dict)  # callback → what it asked for
    log: list[dict[str, str]] = field(default_factory=list)
    deliveries: list[int] = field(default_factory=list)  # statuses
    spoil: str = ""  # what is added to each signature
    lease: str = "864000"

    def take(self, form: dict[str, str]) -> None:
        self.log.append(form)
        mode, topic = form["hub.mode"], form.get("hub.topic") or form["hub.url"]
        if mode == "publish":
            threading.Thread(target=self.distribute, args=(topic,)).start()
            return
        query = {"hub.mode": mode, "hub.topic": topic, "hub.challenge": "abc<x>", "hub.lease_seconds": self.lease}
        threading.Thread(target=self.verify, args=(form, urlencode(query))).start()

    def verify(self, form: dict[str, str], query: str) -> None:
        status, text = get(f"{form['hub.callback']}?{query}")
        if (status, text) == (200, "abc<x>"):
            if form["hub.mode"] == "subscribe":
                self.subscribers[form["hub.callback"]] = form
            else:
                self.subscribers.pop(form["hub.callback"], None)

    def distribute(self, topic: str, body: bytes | None = None) -> None:
        wanted = [(callback, form) for callback, form in self.subscribers.items() if form["hub.topic"] == topic]
        if wanted:
            body = body or urllib.request.urlopen(topic, timeout=10).read()
            for callback, form in wanted:
                signature = hmac.new(form["hub.secret"].encode(), body, hashlib.sha256).hexdigest() + self.spoil
                headers = {"Content-Type": "application/rss+xml", "X-Hub-Signature": f"sha256={signature}"}
                sent = urllib.request.Request(callback, body, headers)
                self.deliveries.append(urllib.request.urlopen(sent, timeout=10).status)


@contextmanager
def hub_running() -> Iterator[Hub]:
    hub = Hub()

    class Taking(Handler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            hub.take({name: values[0] for name, values in form.items()})
            self.send_response(202)
            self.end_headers()

    with answering(Taking) as address:
        hub.address = f"{address}/"
        yield hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_running() as hub:
        yield hub


def with_hub(document: bytes, hub: str, own: str) -> bytes:
    links = f'<link xmlns="http://www.w3.org/2005/Atom" rel="hub" href="{hub}"/>'
    links += f'<link xmlns="http://www.w3.org/2005/Atom" rel="self" href="{own}"/>'
    return document.replace(b"<channel>", b"<channel>" + links.encode())


def listening(port: int, **push: str) -> str:
    """A configuration's head: served here, with this table [push]."""
    address = f"http://127.0.0.1:{port}/"
    keys = "".join(f'{name} = "{value}"\n' for name, value in push.items())
    head = HEAD.replace("https://example.org/t/", address)
    return f'{head}[server]\nlisten = "127.0.0.1:{port}"\n[push]\n{keys}'


# The whole circle


def test_news_goes_round_by_push(tmp_path: Path, site: Site, hub: Hub) -> None:
    """One daemon publishes and tells the hub; the hub delivers to another, which would ask again in hours only."""
    one, two = (tmp_path / "one"), (tmp_path / "two")
    one.mkdir()
    two.mkdir()
    first, second = free_port(), free_port()
    source = {"First": site.put("/1", rss([DEFECTOR]))}
    configure(one, source, listening(first, hub=hub.address))
    configure(
        two, {"One": f"http://127.0.0.1:{first}/rss.xml"}, listening(second, callback=f"http://127.0.0.1:{second}/in")
    )
    with daemon(one) as publisher:
        eventually(lambda: DEFECTOR[1] in get(f"http://127.0.0.1:{first}/rss.xml")[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{first}/rss.xml") as answer:
            assert f'<{hub.address}>; rel="hub"' in answer.headers["Link"]
            assert f'<http://127.0.0.1:{first}/rss.xml>; rel="self"' in answer.headers["Link"]
        with daemon(two):
            eventually(lambda: len(hub.subscribers) == 1)
            assert not hub.deliveries
            configure(one, source | {"Second": site.put("/2", rss([SWIMMER]))}, listening(first, hub=hub.address))
            publisher.send_signal(1)
            eventually(lambda: SWIMMER[1] in get(f"http://127.0.0.1:{first}/feed.json")[1])
            eventually(lambda: SWIMMER[1] in get(f"http://127.0.0.1:{second}/feed.json")[1])
        log = (two / "log").read_text()
    assert {form["hub.url"].rpartition("/")[2] for form in hub.log if form["hub.mode"] == "publish"} == {
        "rss.xml",
        "atom.xml",
        "feed.json",
    }
    assert "its hub tells of news: asked " in log
    assert "Traceback" not in log


def test_delivery_that_is_not_signed_as_agreed_changes_nothing(tmp_path: Path, site: Site, hub: Hub) -> None:
    """It is answered with 2xx, as the specification has it, so that nobody learns by trying."""
    port = free_port()
    address = site.put("/1", b"")
    site.put("/1", with_hub(rss([DEFECTOR]), hub.address, address))
    configure(tmp_path, {"First": address}, listening(port, callback=f"http://127.0.0.1:{port}/in"))
    with daemon(tmp_path):
        eventually(lambda: len(hub.subscribers) == 1)
        (callback,) = hub.subscribers
        hub.spoil = "0"
        hub.distribute(address, rss([SWIMMER]))
        eventually(lambda: "not signed as agreed" in (tmp_path / "log").read_text())
        hub.spoil = ""
        hub.distribute(address, b"no feed at all")
        hub.distribute(address, rss([("https://news.example/3", "Defector from North Korea reaches Seoul", "")]))
        eventually(lambda: "reaches Seoul" in get(f"http://127.0.0.1:{port}/feed.json")[1])
        assert SWIMMER[1] not in get(f"http://127.0.0.1:{port}/feed.json")[1]
        assert DEFECTOR[1] in get(f"http://127.0.0.1:{port}/feed.json")[1]
        assert set(hub.deliveries) == {202}
        assert get(f"{callback}?hub.mode=subscribe&hub.topic=other&hub.challenge=x")[0] == 404
        assert get(callback.rpartition("/")[0] + "/guessed?hub.mode=subscribe&hub.challenge=x")[0] == 404
        big = urllib.request.Request(callback, b"x" * 11_000_000)
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(big, timeout=10)
    assert aggregator(tmp_path, "sources").returncode == 0


def test_removed_source_is_unsubscribed(tmp_path: Path, site: Site, hub: Hub) -> None:
    """After a restart, too: what was agreed is in the store; and what stands is not asked for again."""
    port = free_port()
    address = site.put("/1", b"")
    site.put("/1", with_hub(rss([DEFECTOR]), hub.address, address))
    head = listening(port, callback=f"http://127.0.0.1:{port}/in")
    configure(tmp_path, {"First": address}, head)
    with daemon(tmp_path):
        eventually(lambda: len(hub.subscribers) == 1)
    configure(tmp_path, {"Other": site.put("/2", rss([SWIMMER]))}, head)
    with daemon(tmp_path):
        eventually(lambda: not hub.subscribers)
    assert [form["hub.mode"] for form in hub.log] == ["subscribe", "unsubscribe"]


def test_delivery_during_a_visit_loses_nothing(tmp_path: Path, hub: Hub) -> None:
    """It waits for the visit to the same source that another process makes: what either brought is told, once."""
    port, late = free_port(), ("https://news.example/3", "Defector from North Korea reaches Seoul", "")
    with Lab() as lab:
        address = lab.url("/1")
        first, then = (with_hub(rss(entries), hub.address, address) for entries in ([DEFECTOR], [SWIMMER, DEFECTOR]))
        lab.route("/1", Reply(200, (), first), Reply(200, (), then, delay=3))
        configure(tmp_path, {"First": address}, listening(port, callback=f"http://127.0.0.1:{port}/in"))
        with daemon(tmp_path):
            eventually(lambda: len(hub.subscribers) == 1)
            visiting = threading.Thread(target=aggregator, args=(tmp_path, "run", "--once", "--now"))
            visiting.start()
            eventually(lambda: len(lab.seen("/1")) == 2)
            hub.distribute(address, rss([late]))
            assert visiting.is_alive()
            visiting.join()
            eventually(lambda: late[1] in get(f"http://127.0.0.1:{port}/feed.json")[1])
            told = json.loads(get(f"http://127.0.0.1:{port}/feed.json")[1])["items"]
            again = aggregator(tmp_path, "run", "--once", "--now").stdout
    assert sorted(item["title"] for item in told) == sorted([DEFECTOR[1], SWIMMER[1], late[1]])
    assert "0 new items, 0 kept" in again
    assert len(lab.seen("/1")) == 3
    assert "lost" not in (tmp_path / "log").read_text()


def test_single_run_tells_the_hub(tmp_path: Path, site: Site, hub: Hub) -> None:
    """`run --once` publishes as the daemon does; a second run, with nothing new, says nothing."""
    head = HEAD + f'[server]\nlisten = ""\n[push]\nhub = "{hub.address}"\n'
    configure(tmp_path, {"First": site.put("/1", rss([DEFECTOR]))}, head)
    aggregator(tmp_path, "run", "--once")
    told = [form["hub.url"] for form in hub.log]
    assert {f"https://example.org/t/{name}" for name in ("atom.xml", "feed.json", "rss.xml")} <= set(told)
    assert len(told) == len(set(told))
    aggregator(tmp_path, "run", "--once", "--now")
    assert len(hub.log) == len(told)


def test_a_dead_hub_is_not_asked_for_each_feed(tmp_path: Path, site: Site) -> None:
    """A single run asks twice, and says how much it left untold; the feed is published all the same."""
    head = HEAD + f'[server]\nlisten = ""\n[push]\nhub = "http://127.0.0.1:{free_port()}/"\n'
    configure(tmp_path, {"First": site.put("/1", rss([DEFECTOR]))}, head)
    said = aggregator(tmp_path, "run", "--once").stderr
    assert said.count("the hub was not told that") == 2
    assert "further changed feeds" in said
    assert DEFECTOR[1] in (tmp_path / "public" / "atom.xml").read_text()


def test_a_hub_that_failed_twice_is_let_be_for_a_while(tmp_path: Path, lab: Lab) -> None:
    """Ever longer; once it answers it is told of all feeds that changed."""
    hub = lab.route("/hub", *(3 * (Reply(503),)), Reply(202))
    feeds = ["atom.xml", "feed.json", "rss.xml", *(f"slice/{number}/atom.xml" for number in range(9))]
    guest = Guest(tmp_path, lab)
    guest.configure(f'[push]\nhub = "{hub}"\n', News=lab.url("/feed"))
    with closing(guest), closing(Push(lambda: guest.app, hubs(guest.app.config), lambda: None)) as push:
        push.tend()
        push.announce(guest.app, feeds)
        for minutes, asked in ((0, 2), (1, 3), (3, 3), (1, 3 + len(feeds))):
            guest.clock.advance(timedelta(minutes=minutes))
            push.tend()
            push._tellings.submit(bool).result()  # what was asked for before is done
            assert len(lab.seen("/hub")) == asked


def test_hub_in_a_private_network_is_refused(hub: Hub) -> None:
    """A feed that names one must not make us knock there; an operator who allows private addresses may."""
    assert "not the web" in (Hubs(tables.Fetch(), "x").post(hub.address, {"hub.mode": "publish", "hub.url": "x"}) or "")
    assert not hub.log
    allowed = Hubs(tables.Fetch(allow_private_addresses=True), "x")
    assert allowed.post(hub.address, {"hub.mode": "publish", "hub.url": "http://127.0.0.1:1/"}) is None


@pytest.mark.parametrize("target", ["http://[::1", "file:///etc/passwd", "//[", "http://a:b"])
def test_a_hub_that_leads_nowhere_is_told_in_words(target: str) -> None:
    """Its redirect to what is no web address ends the errand, and nothing else."""
    with Lab() as lab:
        address = lab.route("/hub", Reply(307, (("Location", target),)))
        allowed = Hubs(tables.Fetch(allow_private_addresses=True), "x")
        assert "localhost" in (allowed.post(address, {"hub.mode": "publish", "hub.url": "x"}) or "")


# What hubs send


class Deliveries:
    """What a daemon does about what hubs deliver, as the callback sees it: nothing is taken in yet."""

    TOKENS = (32 * "a", 32 * "b", 32 * "c", 32 * "d", 32 * "e")

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, Future[None]]] = []

    def deliver(self, token: str, _signature: str, _kind: str | None, body: bytes) -> Future[None]:
        self.taken.append((token, body, Future()))
        return self.taken[-1][2]


@pytest.fixture
def called(tmp_path: Path) -> Iterator[tuple[Deliveries, str]]:
    """Where bodies of a thousand bytes at most are taken, and the callback's address."""
    deliveries = Deliveries()
    hearing = Hearing(lambda token, _: (200, token), lambda token: token in Deliveries.TOKENS, deliveries.deliver)
    hooks = routes("", hearing, 1000)
    server = Server(build_app(tmp_path, health=lambda: (True, {}), metrics=str, hooks=hooks), "127.0.0.1", 0)
    server.start()
    yield deliveries, server.address
    server.stop()


def deliver(address: str, token: str, size: int) -> int:
    try:
        return int(urllib.request.urlopen(f"{address}{token}", b"x" * size, timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_stranger_s_delivery_is_refused_before_it_is_read(called: tuple[Deliveries, str]) -> None:
    """Its body, of whatever length it claims, is not waited for; nor is one sent with a token of another shape."""
    _, address = called
    for token in ("f" * 32, "guessed"):
        with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), timeout=10) as stranger:
            stranger.sendall(f"POST /{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nx".encode())
            assert stranger.recv(99).startswith((b"HTTP/1.1 404", b"HTTP/1.1 405"))


def test_what_is_delivered_is_held_within_bounds(called: tuple[Deliveries, str]) -> None:
    """A body's worth for each subscription until it is taken in, and of all together no more than four."""
    deliveries, address = called
    first, *others, last = Deliveries.TOKENS
    assert [deliver(address, first, size) for size in (600, 1001, 500, 400)] == [202, 413, 503, 202]
    assert [deliver(address, token, 1000) for token in (*others, last)] == [202, 202, 202, 503]
    assert [len(body) for _, body, _ in deliveries.taken] == [600, 400, 1000, 1000, 1000]
    for _, _, future in deliveries.taken:
        future.set_result(None)
    assert [deliver(address, token, 1000) for token in (first, last)] == [202, 202]


def test_a_callback_at_the_root_hides_nothing_that_is_published(called: tuple[Deliveries, str], tmp_path: Path) -> None:
    """Hubs are heard there by their tokens, and readers are answered."""
    _, address = called
    (tmp_path / "rss.xml").write_text("<rss/>")
    assert get(f"{address}rss.xml") == (200, "<rss/>")
    assert get(f"{address}{'z' * 32}") == (200, "z" * 32)


def test_our_hub_does_not_wait_for_those_of_sources(lab: Lab, subscriber: Subscriber) -> None:
    """One of theirs may hang for as long as an answer may take."""
    hub = lab.route("/hub", Reply(202))
    subscriber.guest.configure(f'[push]\ncallback = "http://127.0.0.1:9/in"\nhub = "{hub}"\n', News=lab.url("/feed"))
    with Lab() as theirs:
        hanging = theirs.route("/hanging", silence)
        lab.route("/feed", Reply(200, (), with_hub(rss([DEFECTOR]), hanging, lab.url("/feed"))))
        subscriber.live(HOUR / 6)
        eventually(lambda: len(theirs.seen("/hanging")) == 1)
        subscriber.push.announce(subscriber.guest.app, ["rss.xml"])
        eventually(lambda: len(lab.seen("/hub")) == 1, seconds=10)


# A hub that fails


class Subscriber:
    """A guest whose daemon speaks to hubs, with time as an argument."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.guest = Guest(folder, lab)
        self.guest.configure('[push]\ncallback = "http://127.0.0.1:9/in"\n', News=lab.url("/feed"))
        self.push = Push(lambda: self.guest.app, hubs(self.guest.app.config), lambda: None)

    def live(self, length: timedelta) -> list[datetime]:
        """The moments at which the source is asked in a time to come, while hubs are spoken to each ten minutes."""
        end, asked = self.now + length, []
        while self.now < end:
            for settled in self.guest.visit():
                asked.append(self.now)
                self.push.consider(settled)
            self.push.tend()
            self.guest.clock.advance(timedelta(minutes=10))
        return asked

    @property
    def now(self) -> datetime:
        return self.guest.clock.now()

    def subscription(self) -> Subscription:
        (one,) = self.guest.app.store.subscriptions()
        return one

    def confirm(self, lease: timedelta) -> None:
        one = self.subscription()
        query = {"hub.mode": "subscribe", "hub.topic": one.topic, "hub.challenge": "c"}
        assert self.push.hear(one.token, query | {"hub.lease_seconds": f"{lease.total_seconds():.0f}"}) == (200, "c")

    def deliver(self, body: bytes) -> None:
        one, visits = self.subscription(), len(self.guest.app.store.visits(99))
        signature = "sha256=" + hmac.new(one.secret.encode(), body, hashlib.sha256).hexdigest()
        assert self.push.deliver(one.token, signature, "application/rss+xml", body)
        eventually(lambda: len(self.guest.app.store.visits(99)) > visits)

    def close(self) -> None:
        self.push.close()
        self.guest.close()


@pytest.fixture
def subscriber(tmp_path: Path, lab: Lab) -> Iterator[Subscriber]:
    with closing(Subscriber(tmp_path, lab)) as subscriber:
        yield subscriber


@pytest.mark.parametrize("answer", [Reply(202), Reply(500), Reply(404), reset, None])
def test_a_hub_that_does_not_confirm_changes_no_visit(
    tmp_path: Path, lab: Lab, subscriber: Subscriber, answer: Reply | Misbehave | None
) -> None:
    """It fails, says nothing more or is not there: the source is asked when it would be, and the hub ever later."""
    hub = f"http://127.0.0.1:{free_port()}/" if answer is None else lab.route("/hub", answer)
    lab.route("/feed", Reply(200, (), rss([DEFECTOR])))
    (tmp_path / "alone").mkdir()
    with closing(Subscriber(tmp_path / "alone", lab)) as alone:
        without = alone.live(4 * DAY)
    lab.route("/feed", Reply(200, (), with_hub(rss([DEFECTOR]), hub, lab.url("/feed"))))
    assert subscriber.live(4 * DAY) == without
    assert len(without) > 10
    assert subscriber.subscription().tries == 7  # at once, and 1, 3, 7, 15, 31 and 63 hours later
    if answer is not None:
        eventually(lambda: len(lab.seen("/hub")) == 7)


def test_a_lease_that_is_not_renewed_ends_the_waiting_for_the_hub(lab: Lab, subscriber: Subscriber) -> None:
    """While it stands the source is asked seldom; the hub is asked to renew; after the end, all is as without one."""
    hub = lab.route("/hub", Reply(202), Reply(503))
    lab.route("/feed", Reply(200, (), with_hub(rss([DEFECTOR]), hub, lab.url("/feed"))))
    assert len(subscriber.live(HOUR / 6)) == 1
    subscriber.confirm(lease=2 * DAY)
    subscriber.deliver(rss([SWIMMER]))
    assert len(subscriber.live(DAY + 10 * HOUR)) <= 4
    assert subscriber.subscription().tries == 0
    assert len(subscriber.live(12 * HOUR)) <= 1
    assert subscriber.subscription().stands
    assert 2 <= subscriber.subscription().tries <= 5
    eventually(lambda: len(lab.seen("/hub")) == 1 + subscriber.subscription().tries)
    subscriber.live(DAY)
    assert not subscriber.subscription().stands
    assert len(subscriber.live(2 * DAY)) >= 4  # a tenth of the silence apart, where it was a day
    subscriber.confirm(lease=DAY)
    assert subscriber.subscription().stands


def test_topic_that_the_document_named_stands_through_304(lab: Lab, subscriber: Subscriber) -> None:
    """A server that names its hub with each answer, and itself in the document alone, is subscribed to once.

    One whose document names another address by and by is left under the old, and subscribed to under the new.
    """
    hub = lab.route("/hub", Reply(202))
    link = ("Link", f'<{hub}>; rel="hub"')
    itself = '<link xmlns="http://www.w3.org/2005/Atom" rel="self" href="https://n.example/{}"/>'
    old, new = (rss([DEFECTOR]).replace(b"<channel>", b"<channel>" + itself.format(n).encode()) for n in (1, 2))
    lab.route(
        "/feed",
        Reply(200, (link, ("ETag", '"1"')), old),
        Reply(304, (link,)),
        Reply(304, (link,)),
        Reply(200, (link,), new),
    )
    subscriber.live(3 * HOUR)
    assert [(one.topic, one.leaving) for one in subscriber.guest.app.store.subscriptions()] == [
        ("https://n.example/1", False)
    ]
    subscriber.live(4 * HOUR)
    topics = {one.topic: one.leaving for one in subscriber.guest.app.store.subscriptions()}
    assert topics == {"https://n.example/1": True, "https://n.example/2": False}


def test_what_is_said_of_hubs_holds_no_password(
    lab: Lab, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a failure nor a refusal nor a bad delivery shows it; why a hub refused is told, on one line."""
    caplog.set_level("INFO")
    lab.route("/feed", Reply(200, (), with_hub(rss([DEFECTOR]), lab.url("/hub"), lab.url("/feed"))))
    address = lab.url("/feed").replace("//", "//me:secret@")
    subscriber.guest.configure('[push]\ncallback = "http://127.0.0.1:9/in"\n', News=address)
    subscriber.live(HOUR)
    one = subscriber.subscription()
    assert subscriber.push.deliver(one.token, "sha1=00", "x", b"x") is None
    query = {"hub.mode": "denied", "hub.topic": one.topic, "hub.reason": "not\nwelcome"}
    assert subscriber.push.hear(one.token, query)[0] == 200
    eventually(lambda: "404" in caplog.text)
    assert "refuses to tell of news, and is asked again in a week: not welcome" in caplog.text
    assert "not signed as agreed" in caplog.text
    assert "secret" not in caplog.text


# The rules


def visit(head: FeedHead | None, hub: str | None = None, own: str | None = None) -> Visit:
    outcome = Changed(head, (), frozenset()) if head else Unchanged("304")
    source = Source("https://news.example/feed", "News")
    return Visit(source, NOW, NOW, outcome, freshness=Freshness(hub=hub, self_link=own))


def test_hub_is_named_in_headers_first_then_in_the_document() -> None:
    """Where no address of its own is given, the source's is the topic."""
    head = FeedHead("rss20", hub="https://doc.example/", self_link="https://news.example/doc")
    assert websub.named(visit(head)) == ("https://doc.example/", "https://news.example/doc")
    assert websub.named(visit(head, "https://head.example/", "https://news.example/head")) == (
        "https://head.example/",
        "https://news.example/head",
    )
    assert websub.named(visit(FeedHead("rss20", hub="https://doc.example/"))) == (
        "https://doc.example/",
        "https://news.example/feed",
    )
    assert websub.named(visit(FeedHead("rss20"))) is None
    assert websub.named(visit(None)) is None
    assert websub.named(visit(None, "https://head.example/")) is None  # which topic, only the document said
    assert websub.named(visit(None, "https://head.example/", "https://news.example/head")) is not None
    failed = replace(
        visit(None, "https://head.example/", "https://n.example/"), outcome=Failed(FailureKind.HARD, "gone")
    )
    assert websub.named(failed) is None


def test_no_hub_learns_a_password() -> None:
    """A source's own address, where it is the topic, is named without it."""
    told = replace(
        visit(FeedHead("rss20", hub="https://h.example/")), source=Source("https://me:secret@n.example/", "N")
    )
    assert websub.named(told) == ("https://h.example/", "https://n.example/")


def test_request_names_topic_callback_and_lease() -> None:
    """The secret goes over HTTPS alone, or stays on this machine; it is shorter than 200 bytes."""
    form = websub.request(SUBSCRIPTION, "https://me.example/in/")
    assert form["hub.callback"] == f"https://me.example/in/{SUBSCRIPTION.token}"
    assert (form["hub.mode"], form["hub.topic"]) == ("subscribe", SUBSCRIPTION.topic)
    assert 20 < len(form["hub.secret"]) < 200
    assert "hub.secret" not in websub.request(replace(SUBSCRIPTION, hub="http://hub.example/"), "https://me.example/in")
    assert websub.request(replace(SUBSCRIPTION, leaving=True), "https://me.example/in")["hub.mode"] == "unsubscribe"
    assert SUBSCRIPTION.secret not in repr(SUBSCRIPTION)


def test_intent_is_confirmed_only_where_there_was_one() -> None:
    """Another topic, a subscription that is being left, and the end of one that is not, are answered 404."""
    asked = {"hub.mode": "subscribe", "hub.topic": SUBSCRIPTION.topic, "hub.challenge": "c"}
    asked["hub.lease_seconds"] = "3600"
    confirmed = websub.verify(SUBSCRIPTION, asked, NOW)
    assert confirmed == (200, "c", replace(SUBSCRIPTION, until=NOW + HOUR, tries=0))
    assert websub.verify(SUBSCRIPTION, asked | {"hub.topic": "x"}, NOW).status == 404
    assert websub.verify(replace(SUBSCRIPTION, leaving=True), asked, NOW).status == 404
    assert websub.verify(SUBSCRIPTION, asked | {"hub.mode": "unsubscribe"}, NOW).status == 404
    left = websub.verify(replace(SUBSCRIPTION, leaving=True), asked | {"hub.mode": "unsubscribe"}, NOW)
    assert left == (200, "c", None)
    denied = websub.verify(SUBSCRIPTION, {"hub.mode": "denied", "hub.topic": SUBSCRIPTION.topic}, NOW)
    assert denied.after is not None
    assert not websub.is_to_ask(denied.after, NOW + 7 * DAY - HOUR)
    assert websub.is_to_ask(denied.after, NOW + 7 * DAY)


def test_lease_is_renewed_before_it_ends() -> None:
    """In its last quarter; a hub that does not confirm is asked again later and later."""
    held = replace(SUBSCRIPTION, until=NOW + 10 * DAY)
    assert not websub.is_to_ask(held, NOW + 7 * DAY)
    assert websub.is_to_ask(held, NOW + 8 * DAY)
    tried = [replace(SUBSCRIPTION, tries=tries) for tries in (1, 2, 3, 30)]
    waits = [next(hours for hours in range(999) if websub.is_to_ask(one, NOW + hours * HOUR)) for one in tried]
    assert waits == [1, 2, 4, 168]


@pytest.mark.parametrize("method", ["sha256", "sha384", "sha512", "sha1"])
def test_signature_is_checked_in_each_method_of_the_specification(method: str) -> None:
    """Of the very bytes, with the very secret; no other method counts."""
    good = hmac.new(b"secret", b"body", method).hexdigest()
    assert websub.is_signed("secret", f"{method}={good}", b"body")
    assert websub.is_signed("secret", f"{method.upper()}={good.upper()}", b"body")
    assert not websub.is_signed("secret", f"{method}={good}", b"body!")
    assert not websub.is_signed("other", f"{method}={good}", b"body")
    for wrong in (
        "",
        method,
        f"{method}=",
        f"{method}=é",
        good,
        f"md5={hmac.new(b'secret', b'body', 'md5').hexdigest()}",
    ):
        assert not websub.is_signed("secret", wrong, b"body")
    assert re.fullmatch("[0-9a-f]+", good)
