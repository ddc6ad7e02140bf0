"""The main job: refresh on time and serve what is published, until told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aggregator import callback, lookup, report, service
from aggregator.app import App
from aggregator.config import Config, load
from aggregator.desk import Desk
from aggregator.errors import AggregatorError, ConfigError
from aggregator.guard import Guard
from aggregator.health import Overview
from aggregator.inquiry import Search
from aggregator.metrics import metrics
from aggregator.notifier import Couriers, Notifier
from aggregator.office import routes
from aggregator.page import subjects_html
from aggregator.pipeline import Refresh
from aggregator.ports import Clock
from aggregator.push import Push
from aggregator.schedule import ringing
from aggregator.serve import Server, build_app, build_several
from aggregator.several import load_all, open_all
from aggregator.version import version
from aggregator.visiting import anonymous, hubs

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import Route

log = logging.getLogger(__name__)

LOOK = timedelta(seconds=10)  # how often the store is asked what is due: short beside any interval, and cheap
AT_ONCE = 100  # sources being visited: after an outage, or when all are new, they do not start in one second
PATIENCE = timedelta(seconds=8)  # with visits that hang, of a round: short of LOOK, or the next round would be late
PUBLISH = timedelta(seconds=5)  # what has come so far is published this often, however long a visit takes
TIDY = timedelta(days=1)
AGAIN = timedelta(minutes=1)  # after publishing failed, perhaps for want of space


class Signals:
    """What the operator asks for: SIGTERM and Ctrl-C stop, SIGHUP reloads the configuration."""

    def __init__(self) -> None:
        self.stop = False
        self._told = threading.Event()

    def __enter__(self) -> Signals:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def wait(self) -> None:
        """Until something is asked for: `stop` says whether it was to stop, else it was to reload."""
        self._told.wait()
        self._told.clear()

    def _heard(self, number: int, _: FrameType | None) -> None:
        self.stop = self.stop or number != signal.SIGHUP
        self._told.set()


def run(config: Config, clock: Clock) -> None:
    """Poll, publish and serve until SIGTERM or Ctrl-C; SIGHUP reads the configuration again."""
    if said := anonymous(config):
        log.warning("%s", said)
    before: Config | None = None  # what worked until a reload
    with Signals() as signals:
        while not signals.stop:
            try:
                before, config = config, _work(config, clock, signals)
            except AggregatorError as error:
                if before is None:
                    raise
                log.error("the configuration that was read anew does not work, the old one goes on: %s", error)
                config, before = before, None
    log.info("stopped")


def _work(config: Config, clock: Clock, signals: Signals) -> Config:
    """Do the job until told to stop or to reload; the configuration to go on with."""
    with open_all(config, clock) as app:
        _tell_of_rules(app)
        rounds = Rounds(app)
        rounds.push = push = Push(lambda: rounds.app, hubs(config), rounds.try_to_publish)
        rounds.publish()
        rounds.notifier = notifier = Notifier(lambda: rounds.app, Couriers(config))
        with (
            unswept(),
            closing(push),
            closing(notifier),
            serving(app, rounds),
            closing(rounds),
            ringing("refresh", rounds.go, LOOK),
            ringing("publication", rounds.publish_new, PUBLISH),
        ):
            service.tell(service.READY)
            fresh = _wait(config, signals)
            service.tell(service.STOPPING if signals.stop else service.RELOADING)
            app.engine.close()  # no visit begins any more; leaving waits for those under way
    return fresh


@contextmanager
def unswept() -> Iterator[None]:
    """Keep what is there by now, packs, lexicon, templates, out of the searches for garbage to come.

    It stays until the end, and looking through it again and again stopped everything for 0.1 s, now and then in the
    middle of bringing news out.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Rounds:
    """Visits to what is due, one round after the other, and what they bring published: after each, and on the way.

    A visit that hangs goes on while the next round begins, so that it holds up no other source; it is judged by what
    the curator had taught when it began.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.visits = app.visits()  # under way, over all rounds
        self._unpublished = False  # something that was settled is not published yet
        self._failed = False  # publishing did, the last time
        self._tried = app.collector.clock.now()
        self._tidied: datetime | None = None
        self._turn = threading.Lock()
        self.push: Push | None = None  # what is done about hubs
        self.notifier: Notifier | None = None  # and about channels

    @property
    def app(self) -> App:
        """The flow as it is by now; the curator's decisions change it."""
        return self._app

    def go(self) -> None:
        """Visit what is due and publish what it brought."""
        service.tell(service.ALIVE)
        self._keep_up()
        self._visit(AT_ONCE, PATIENCE)
        if self._app.is_behind():  # another process may have settled something
            self._unpublished = True
        self.publish_new()
        if self.push:
            self.push.tend()
        if self.notifier:
            self.notifier.tend()
        self._tidy()

    def close(self) -> None:
        """Wait for the visits that hang, and publish what they bring."""
        try:
            self._visit(0, None)
        except AggregatorError as error:
            log.error("the visits that were under way are made again: %s", error)
        self.publish_new()

    def _visit(self, limit: int, patience: timedelta | None) -> None:
        outcomes: list[report.Result] = []
        refresh = Refresh(self._app.refresh(self.visits, limit=limit, patience=patience))
        for settled in refresh:
            service.tell(service.ALIVE)
            log.info("%s", report.line(settled))
            if self.push:
                self.push.consider(settled)
            outcomes.append(report.result(settled))
            if settled.changed:
                self._unpublished = True
        if refresh.vouched:
            self._unpublished = True
        if outcomes or refresh.vouched:
            log.info("%s", report.summary(outcomes, refresh.vouched))

    def _tidy(self) -> None:
        """Once a day, let go of what is past its time."""
        now = self._app.collector.clock.now()
        if self._tidied is None or now - self._tidied >= TIDY:
            self._tidied = now
            if let_go := self._app.forget():
                log.info("past their time, and let go: %d items", let_go)

    def _keep_up(self) -> None:
        """Let the curator's decisions of meanwhile teach."""
        self._app = self._app.kept_up()
        if _tell_of_rules(self._app):
            self._unpublished = True

    def publish_new(self) -> None:
        """Publish what is not yet, as it stands now: visits may be under way, and one that hangs holds up no news.

        A failure costs no visit, and is tried again in a while.
        """
        since = self._app.collector.clock.now() - self._tried
        if self._unpublished and not (self._failed and timedelta(0) <= since < AGAIN):
            self.try_to_publish()

    def try_to_publish(self) -> bool:
        """Publish what is told; False: it could not be written, and is tried again."""
        try:
            self.publish()
        except AggregatorError as error:
            self._failed = True
            log.error("what is stored is not published yet: %s", error)
        return not self._failed

    def publish(self) -> None:
        """Publish what is told; PublishError if it cannot be written. One at a time, whoever asks for it."""
        with self._turn:
            self._tried = self._app.collector.clock.now()
            self._unpublished = False  # what is settled from here on is published next time
            try:
                published = [(one, one.publish()) for one in self._app.subjects]
            except AggregatorError:
                self._unpublished = True
                raise
            self._failed = False
        for one, done in published:
            if self.push:
                self.push.announce(one, done.changed)
            if done.changed or done.problems:
                log.info("%s", report.published(done, one.config.resolve(one.config.feed.output)))
        if self.notifier and any(done.changed for _, done in published):
            self.notifier.tend()


def _tell_of_rules(app: App) -> bool:
    """Say what changed rules did to what is stored; whether any did."""
    done = [one.rejudged for one in app.subjects if one.rejudged]
    for one in done:
        log.info("%s", report.rejudged(one))
    return bool(done)


def _wait(config: Config, signals: Signals) -> Config:
    """Until told to stop or to reload; the configuration to go on with: the old one while the new one is wrong."""
    while True:
        signals.wait()
        if signals.stop:
            return config
        try:
            fresh = load(config.path)
            load_all(fresh)
        except ConfigError as error:
            for problem in error.problems:
                log.error("not reloaded: %s", problem)
        else:
            log.info("reloaded %s", config.path)
            return fresh


@contextmanager
def serving(app: App, rounds: Rounds) -> Iterator[None]:
    """The published folder over HTTP, unless the configuration says not to."""
    listen = app.config.server.listen
    if not listen:
        yield
        return
    host, _, port = listen.rpartition(":")
    pages = _pages(app, rounds)
    server = Server(pages, host.removeprefix("[").removesuffix("]"), int(port))
    server.start()
    log.info("the page is at %s", server.address)
    try:
        yield
    finally:
        server.stop()


def _pages(app: App, rounds: Rounds) -> Starlette:
    """All that is served: of the only subject at /, of several each at /NAME/."""
    per_minute, hooks = app.config.server.requests_per_minute, _hooks(app, rounds.push)
    if not app.parts:
        return _subject(app, rounds, hooks, per_minute)
    return build_several(
        {one.config.called: _subject(one, rounds) for one in app.parts},
        subjects_html([(one.config.called, one.frame) for one in app.parts]),
        health=lambda: _health(app),
        metrics=lambda: metrics(_overview(app), version()),
        hooks=hooks,
        per_minute=per_minute,
    )


def _subject(one: App, rounds: Rounds, hooks: Sequence[Route] = (), per_minute: int = 0) -> Starlette:
    """What is served of one subject, the only one or one of several."""
    return build_app(
        one.config.resolve(one.config.feed.output),
        health=lambda: _health(one),
        metrics=lambda: metrics(_overview(one), version()),
        status=routes(_desk(one, rounds), Guard(one.config.server.token, one.config.feed.link), one.collector.clock),
        hooks=hooks,
        hub=one.config.push.hub,
        home=one.frame.link,
        gone=one.store.is_gone,
        search=Search(
            page=lambda text, number: lookup.page(one.store, one.frame, text, number),
            feed=lambda text: lookup.feed(one.store, one.frame, text),
        ),
        per_minute=per_minute,
    )


def _hooks(app: App, push: Push | None) -> list[Route]:
    """Where hubs reach us, if a public address is configured."""
    address = app.config.push.callback
    if push is None or not address:
        return []
    limit = int(app.config.fetch.max_body_megabytes * 1_000_000)
    hearing = callback.Hearing(push.hear, push.knows, push.deliver)
    return callback.routes(urlsplit(address).path, hearing, limit)


def _overview(app: App) -> Overview:
    channels = tuple(channel for one in app.subjects if one.outbox for channel in one.outbox.health())
    return Overview(app.health(), app.collector.clock.now(), channels)


def _health(app: App) -> tuple[bool, dict[str, object]]:
    overview = _overview(app)
    return not overview.silent, {"worries": overview.worries()}


def _desk(app: App, rounds: Rounds) -> Desk:
    listed = app.config.listed(enabled=True) + app.config.listed(enabled=False)
    frame = replace(app.frame, sources=listed)
    return Desk(app.store, app.rules, app.collector.clock, frame, rounds.try_to_publish, app.archive)
