"""News at once: subscribes to the hubs that sources name, takes what they deliver, and tells our hub what changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aggregator import pipeline, report, websub
from aggregator.app import App
from aggregator.hub import Hubs
from aggregator.model import Changed, Subscription
from aggregator.normalise import without_password
from aggregator.settle import Settled

log = logging.getLogger(__name__)

_MOST_TRIES = 5  # to leave a hub, or to tell one; then it is let be
_PATIENCE = 60.0  # seconds that a delivery waits for a visit to the same source that is under way
_GLANCE = 0.1  # seconds between two looks
_FAILURES = 2  # in a row, after which a hub is let be: a dead one would be asked for each of some 300 slices
_LONGEST = 4  # times that this while grows fourfold, from a minute
_FEEDS = ("rss.xml", "atom.xml", "feed.json")


class Push:
    """What the daemon does about hubs, in threads: for sources' hubs, for ours, and for what is delivered."""

    def __init__(self, app: Callable[[], App], hubs: Hubs, publish: Callable[[], object]) -> None:
        """`app`: the flow as it is by now. `publish`: called once something that was delivered is stored."""
        self._flow, self._hubs, self._publish = app, hubs, publish
        self._turn = threading.Lock()
        self._known = {one.token: one for one in self._app.store.subscriptions()}
        self._untold: dict[str, tuple[datetime, int]] = {}  # address of a changed feed → when to tell, tries so far
        self._failed = 0  # times in a row that our hub took nothing
        self._rests = datetime.min.replace(tzinfo=UTC)  # until then our hub is told nothing
        self._errands = ThreadPoolExecutor(1, "hub")
        self._tellings = ThreadPoolExecutor(1, "our hub")  # which is not to wait for a source's hub that hangs
        self._deliveries = ThreadPoolExecutor(1, "push")
        self._closing = threading.Event()
        self._reachable = False  # what is published before we are is told as soon as the hub can fetch it

    @property
    def _app(self) -> App:
        return self._flow()

    def close(self) -> None:
        """End what is under way; what was not told is told after the next change."""
        self._closing.set()
        self._deliveries.shutdown(cancel_futures=True)
        self._tellings.shutdown(cancel_futures=True)
        self._errands.shutdown(cancel_futures=True)
        self._hubs.close()

    # Subscribing

    def consider(self, settled: Settled) -> None:
        """Subscribe to the hub that a visit named, or leave the one that it names no more."""
        visit, now = settled.visit, self._now()
        if not self._app.config.push.callback or visit.pushed:
            return
        hub = websub.named(visit)
        if hub is None and not isinstance(visit.outcome, Changed):
            return  # a 304 need not repeat it
        standing = [one for one in self._all() if one.source == visit.source.url and not one.leaving]
        for one in standing:
            if (one.hub, one.topic) != hub:
                self._ask(replace(one, leaving=True, tries=0), now)
        if hub and not any((one.hub, one.topic) == hub for one in standing):
            self._ask(websub.begin(visit.source.url, *hub, now), now)

    def tend(self) -> None:
        """Renew what nears its end, leave what is read no more, and tell our hub what it has not heard yet."""
        self._reachable, now = True, self._now()
        read = {source.url for source in self._app.config.listed(enabled=True)}
        for one in self._all():
            if not one.leaving and (one.source not in read or not self._app.config.push.callback):
                self._ask(replace(one, leaving=True, tries=0), now)
            elif one.leaving and one.tries >= _MOST_TRIES:
                self._remember(one.token, None)
            elif one.until is not None and now >= one.until and not one.leaving:
                self._remember(one.token, replace(one, until=None))
                log.warning("the hub of %s did not renew: it is asked as often as without one", _named(one))
            elif websub.is_to_ask(one, now):
                self._ask(one, now)
        for address, (due, _) in tuple(self._untold.items()):
            if now >= due:
                self._untold[address] = (now + timedelta(days=1), self._untold[address][1])
                self._tellings.submit(self._tell, address)

    def _ask(self, one: Subscription, now: datetime) -> None:
        one = replace(one, asked=now, tries=one.tries + 1)
        self._remember(one.token, one)  # before the hub can verify it
        self._errands.submit(self._post, one)

    def _post(self, one: Subscription) -> None:
        problem = self._hubs.post(one.hub, websub.request(one, self._app.config.push.callback))
        if problem:
            what = "leaving" if one.leaving else "subscribing to"
            log.warning("%s the hub of %s failed and is tried again later: %s", what, _named(one), problem)

    # Hearing

    def hear(self, token: str, query: Mapping[str, str]) -> tuple[int, str]:
        """Answer a hub that verifies a subscription."""
        one = self._known.get(token)
        if one is None:
            return 404, ""
        reply = websub.verify(one, query, self._now())
        if reply.after != one:
            self._remember(token, reply.after)
            log.info("the hub of %s %s", _named(one), websub.told(query, reply.after))
        return reply.status, reply.text

    def knows(self, token: str) -> bool:
        """Whether a hub may deliver under this token."""
        return (one := self._known.get(token)) is not None and not one.leaving

    def deliver(self, token: str, signature: str, content_type: str | None, body: bytes) -> Future[None] | None:
        """Take in what a hub delivers, which is done when it is stored; None: it is passed over."""
        one = self._known.get(token)
        if one is None or one.leaving:
            return None
        if not websub.confides(one.hub):
            return self._deliveries.submit(self._take, one, None, None)  # unsigned: a reason to look, no more
        if websub.is_signed(one.secret, signature, body):
            return self._deliveries.submit(self._take, one, content_type, body)
        log.warning("a delivery for %s was not signed as agreed, and was passed over", _named(one))
        return None

    def _take(self, one: Subscription, content_type: str | None, body: bytes | None) -> None:
        try:
            settled = self._settled(one, content_type, body)
        except Exception as error:
            kind = type(error).__name__
            log.error("a delivery for %s was lost, asking will find it: %s: %s", _named(one), kind, error)
            return
        if settled is None:
            return
        log.info("%s", report.line(settled))
        if settled.changed:
            self._publish()

    def _settled(self, one: Subscription, content_type: str | None, body: bytes | None) -> Settled | None:
        """The delivery, read, judged and stored as a visit is; without a body the source is asked."""
        app, end = self._app, time.monotonic() + _PATIENCE
        sparing = app.config.schedule.min_interval if body is None else None
        while (task := app.store.take(one.source, self._now(), pipeline.LEASE)) is None:
            if time.monotonic() > end or self._closing.wait(_GLANCE):
                return None  # it is being visited all this time, or is read no more
        visit = None
        try:
            last = task.rhythm.last_visit
            if sparing and last and self._now() - last < sparing:
                return None
            if body is None:
                visit = pipeline.collect(app.collector, task)
            else:
                visit = pipeline.receive(app.collector, task, body, content_type)
        finally:
            if visit is None:
                app.store.release([task])
        return None if visit is None else app.settle(visit, task.rhythm)

    # Telling

    def announce(self, app: App, changed: Iterable[str]) -> None:
        """Tell our hub which published feeds of a subject changed."""
        for address in feeds(app, changed):
            self._untold[address] = (self._now() + timedelta(days=self._reachable), 0)
            if self._reachable:
                self._tellings.submit(self._tell, address)

    def _tell(self, address: str) -> None:
        tries = self._untold.get(address, (None, 0))[1]
        if self._now() < self._rests:
            self._untold[address] = (self._rests, tries)
            return
        problem, tries = tell(self._app, self._hubs, address), tries + 1
        self._failed = self._failed + 1 if problem else 0
        if self._failed >= _FAILURES:
            self._rests = self._now() + timedelta(minutes=1) * 4 ** min(self._failed - _FAILURES, _LONGEST)
        if problem is None or tries >= _MOST_TRIES:
            self._untold.pop(address, None)
        else:
            self._untold[address] = (self._now() + timedelta(minutes=1) * 4**tries, tries)
        if problem:
            log.warning("our hub was not told that %s changed: %s", address, problem)

    def _all(self) -> tuple[Subscription, ...]:
        with self._turn:
            return tuple(self._known.values())

    def _remember(self, token: str, one: Subscription | None) -> None:
        with self._turn:
            if one is None:
                self._known.pop(token, None)
            else:
                self._known[token] = one
            self._app.store.subscribe(token, one)

    def _now(self) -> datetime:
        return self._app.collector.clock.now()


def _named(one: Subscription) -> str:
    """The source of a subscription, for the log."""
    return without_password(one.source)


def feeds(app: App, changed: Iterable[str]) -> list[str]:
    """The addresses of the feeds to subscribe to among the files that changed, slices last; none without a hub."""
    if not app.config.push.hub:
        return []
    names = (name for name in changed if name.rpartition("/")[2] in _FEEDS and not name.startswith("archive/"))
    return [app.frame.link + name for name in sorted(names, key=lambda name: "/" in name)]


def tell_each(app: App, hubs: Hubs, addresses: Sequence[str]) -> Iterator[str]:
    """Tell our hub that feeds changed; what went wrong, in words. One that fails twice in a row is told no more."""
    failed = 0
    for number, address in enumerate(addresses, start=1):
        problem = tell(app, hubs, address)
        failed = failed + 1 if problem else 0
        if problem:
            yield f"the hub was not told that {address} changed: {problem}"
        if failed == _FAILURES and (left := len(addresses) - number):
            yield f"the hub was not asked to take {left} further changed feeds"
            return


def tell(app: App, hubs: Hubs, address: str) -> str | None:
    """Tell our hub that a feed changed; None: it took it; else what went wrong, in words."""
    return hubs.post(app.config.push.hub, {"hub.mode": "publish", "hub.url": address, "hub.topic": address})
