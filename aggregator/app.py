"""Choose the parts and join them: the only module that knows which implementation is in use.

A little longer than a module should be, so that all choices stand in one place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from aggregator import notices, pipeline, press, teaching
from aggregator.alike import load_alike
from aggregator.channels import Channel
from aggregator.config import Config, nearest
from aggregator.database import unused
from aggregator.errors import ConfigError, StoreError
from aggregator.exchange import load as load_store
from aggregator.health import Overview
from aggregator.meaning import installed, load_sense
from aggregator.model import (
    Edition,
    Rhythm,
    Seed,
    Source,
    SourceHealth,
    Visit,
)
from aggregator.normalise import without_password
from aggregator.pace import Bounds
from aggregator.pipeline import Collector, Listener, Manners, Visits
from aggregator.planting import PLANTED
from aggregator.ports import Clock, Courier, Engine, Outbox, Publisher, Store
from aggregator.press import Published
from aggregator.publish import FolderPublisher
from aggregator.reconsider import Expected, Rejudged, reconsider
from aggregator.seeds import load_seeds
from aggregator.settle import Rules, Settled, hold_list, watch_for
from aggregator.sharing import Follower, health
from aggregator.slices import Cuts, Saved, Told, load_told
from aggregator.store import SqlStore
from aggregator.stories import Folder, seed_item, seed_story_id
from aggregator.subjects import DIVIDED, own_store
from aggregator.tables import SliceTable
from aggregator.topics import Judge, Pack, load_pack
from aggregator.visiting import hire, lane, reading
from aggregator.workers import Crew

CLOCKS_APART = pipeline.LEASE / 3  # what then is left of a lease is still longer than any visit


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the operator's files say about the subject."""

    pack: Pack
    judge: Judge
    seeds: tuple[Seed, ...]
    told: tuple[Told, ...] = ()  # places and kinds that it is cut into


@dataclass(frozen=True, slots=True)
class App:
    """The flow with its parts, ready to run."""

    config: Config
    store: Store
    collector: Collector
    engine: Engine
    rules: Rules
    publisher: Publisher
    frame: Edition
    outbox: Outbox | None = None  # None: nobody is told
    cuts: Cuts = Cuts()  # noqa: RUF009 (frozen)
    holds: dict[str, datetime] = field(default_factory=dict)  # see pipeline.Manners
    crew: Crew | None = None  # who makes the visits of a refresh; None: this process
    parts: tuple[App, ...] = ()  # of each subject, where several share the sources that this one then only reads
    archive: Store | None = None  # of one of several subjects: the store that remembers the visits
    rejudged: Rejudged | None = None  # what other rules than before did to what is stored; None: they are the same

    @property
    def subjects(self) -> tuple[App, ...]:
        """The flow of each subject, to judge and publish; of the only one, this."""
        return self.parts or (self,)

    def health(self) -> tuple[SourceHealth, ...]:
        """All sources, in the order of the configuration; what is kept, by this subject, or all together."""
        if self.archive:
            return health(self.archive, [self.store])
        return health(self.store, [one.store for one in self.parts])

    @property
    def _followers(self) -> tuple[Follower, ...]:
        return tuple(Follower(one.store, one.rules) for one in self.parts)

    def visits(self) -> Visits:
        """Those of a daemon, whose refreshes leave what hangs to the next."""
        fetch = self.config.fetch
        manners = Manners(lane, timedelta(seconds=fetch.host_gap_seconds), fetch.per_host, self.holds)
        return Visits(self.collector.clock, self.engine, self.store, manners)

    def refresh(
        self,
        visits: Visits | None = None,
        *,
        limit: int | None = None,
        everything: bool = False,
        patience: timedelta | None = None,
    ) -> Generator[Settled, None, int]:
        """Visit what is due; see pipeline.Visits."""
        here = partial(pipeline.collect, self.collector)
        return (visits or self.visits()).refresh(
            here if self.crew is None else partial(self.crew, self.collector.judge, panel=self.collector.panel),
            self.rules,
            self._followers,
            limit=limit,
            everything=everything,
            patience=patience,
        )

    def settle(self, visit: Visit, rhythm: Rhythm) -> Settled:
        """Remember one visit by itself; see pipeline.settle_visit."""
        return pipeline.settle_visit(self.store, self.rules, visit, rhythm, self._followers)

    def publish(self, *, everything: bool = False) -> Published:
        """Write the published files of one subject; see press.publish."""
        entries = self.config.feed.max_entries
        return press.publish(
            self.store, self.publisher, self.frame, entries, self.cuts, by=repr(_program()), everything=everything
        )

    def is_behind(self) -> bool:
        """Whether publishing any subject would bring something; see press.is_behind."""
        return any(press.is_behind(one.store, one.publisher) for one in self.subjects)

    def address(self) -> None:
        """Put what is new for each channel into the outbox, of every subject; see notices.fill."""
        for one in self.parts:
            one.address()
        if self.outbox is not None and (channels := self.config.channels()):
            notices.fill(self.store, self.outbox, channels, self.frame.sources, self.collector.clock.now())

    def deliver(self, channel: Channel, courier: Courier) -> notices.Told | None:
        """Tell a channel the next message that waits for it, of any subject; None: there is none."""
        if self.parts:
            return next((told for one in self.parts if (told := one.deliver(channel, courier)) is not None), None)
        if self.outbox is None:
            return None
        return notices.deliver(self.store, self.outbox, channel, courier, self.frame, self.collector.clock.now())

    def forget(self) -> int:
        """Let go of what the configuration does not keep any longer; how many items that was."""
        now, kept = self.collector.clock.now(), self.config.store
        let_go = self.store.forget(_before(now, kept.keep_texts_days), _before(now, kept.keep_items_days))
        return let_go + sum(one.forget() for one in self.parts)

    def kept_up(self) -> App:
        """The same with a judge whom the curator's latest decisions taught; what is stored is judged anew by it."""
        if self.parts:
            return self.sharing(tuple(one.kept_up() for one in self.parts))
        now = self.collector.clock.now()
        stores = (self.store, self.archive or self.store)
        judge, rejudged = _keep_up(stores, self.rules, self.collector.judge, self.config, now)
        return replace(self, collector=replace(self.collector, judge=judge), rejudged=rejudged)

    def sharing(self, parts: tuple[App, ...]) -> App:
        """The same that reads for several subjects, whose parts these are, and judges for none itself."""
        panel = tuple(Listener(one.collector.judge, self.config.closed_to(one.config)) for one in parts)
        return replace(self, collector=replace(self.collector, panel=panel), parts=parts)


def load_subject(config: Config) -> Subject:
    """The topic pack and the seed set; ConfigError names every mistake in them and in the sources' scopes.

    A scope may be one that only another subject's pack knows; to this one it is as good as none.
    """
    problems: list[str] = []
    seeds: tuple[Seed, ...] = ()
    if config.stories.seed:
        try:
            seeds = load_seeds(_seed_file(config))
        except ConfigError as error:
            problems += error.problems
    try:
        pack = load_pack(config.topic.pack, config.path.parent)
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from None
    if not config.called:
        problems += unknown_scopes(config, pack.scopes)
    if problems:
        raise ConfigError(*problems)
    sense = load_sense(config.topic.pack, config.path.parent, pack.concepts, installed())
    told = load_told(config.topic.pack, config.path.parent, pack.concepts)
    return Subject(pack, Judge(pack, config.topic.threshold, sense), seeds, told)


def unknown_scopes(config: Config, scopes: Iterable[str]) -> Iterator[str]:
    """Sources whose scope is none of these, a sentence each."""
    known = list(scopes)
    for number, source in enumerate(config.source, 1):
        if source.scope not in known:
            said = nearest(source.scope, known) or f"; the topic pack knows {', '.join(known)}"
            yield (
                f"{config.path}: [[source]] {number} ({source.name or without_password(source.url)}) scope = "
                f"{source.scope!r} is not known{said}"
            )


def folder(config: Config, subject: Subject) -> Folder:
    """Folding as configured, with the names that the subject knows, and its vectors where there are any."""
    alike = load_alike(config.topic.pack, config.path.parent, installed())
    return Folder(config.stories.across_languages, subject.pack.concepts, alike)


def rules(config: Config, subject: Subject) -> Rules:
    return Rules(
        folder=folder(config, subject),
        bounds=Bounds(config.schedule.min_interval, config.schedule.max_interval),
        language=config.feed.language,
        priority={source.url: source.priority for source in config.source},
        window=timedelta(days=config.stories.window_days),
        max_age=timedelta(days=config.topic.max_age_days) if config.topic.max_age_days else None,
        band=subject.pack.band,
    )


@contextmanager
def open_store(config: Config) -> Iterator[SqlStore]:
    """The store alone, for commands that only look or that carry the curator's word."""
    store = SqlStore(config.store_url)
    try:
        yield store
    finally:
        store.close()


def import_store(config: Config, lines: Iterable[str]) -> tuple[str, ...]:
    """Make the configured store of exported lines; the addresses of sources whose passwords nobody knows."""
    listed = [source.url for enabled in (True, False) for source in config.listed(enabled=enabled)]
    return load_store(config.store_url, lines, listed)


def check_store(config: Config) -> tuple[str, ...]:
    """What is wrong with the configured store, a sentence each; () also where there is none yet."""
    if unused(config.store_url):
        return ()
    with open_store(config) as store:
        return store.check()


@contextmanager
def open_app(config: Config, clock: Clock) -> Iterator[App]:
    """Everything joined, for one subject; see `flow`."""
    subject = load_subject(config)
    with ExitStack() as stack:
        store, now = stack.enter_context(open_store(config)), clock.now()
        agree_on_time(store, now)
        if (divided := store.get(DIVIDED)) is not None:
            raise ConfigError(
                f"several subjects share the store at {config.store.url}; to go on with one of them, name its own store"
                f" under [store] url, such as {own_store(config.store.url, divided or 'NAME')}; nothing was changed"
            )
        app = flow(config, subject, (store, store), stack.enter_context(reading(config, subject.judge, clock)), now)
        yield replace(app, crew=stack.enter_context(hire(config, clock)))


def flow(
    config: Config, subject: Subject, stores: tuple[SqlStore, Store], reading: tuple[Collector, Engine], now: datetime
) -> App:
    """One subject's part: sources enlisted, seeds planted, and what is stored judged anew if the rules changed.

    `stores`: its own, and the one that remembers the visits, which are the same unless several subjects share these.
    """
    settling, (collector, engine), store = rules(config, subject), reading, stores[0]
    listed = config.listed(enabled=True)
    store.enlist(listed, config.listed(enabled=False), now)
    store.outbox.enlist([channel.name for channel in config.channels()], now)
    plant(store, settling, subject.seeds, config.feed.publish_seed, now)
    judge, rejudged = _keep_up(stores, settling, subject.judge, config, now)
    return App(
        config=config,
        store=store,
        collector=replace(collector, judge=judge),
        engine=engine,
        rules=settling,
        publisher=FolderPublisher(config.resolve(config.feed.output)),
        frame=replace(_frame(config, listed, _begun(store, now)), rights=store.rights()),
        outbox=store.outbox,
        cuts=_cuts(config, subject),
        rejudged=rejudged,
    )


def overview(config: Config, clock: Clock) -> Overview:
    """How all configured sources are doing, those never visited included."""
    begun = [each for each in config.each() if config.subject and not unused(each.store_url)]
    with ExitStack() as stack:
        store, *own = [stack.enter_context(open_store(each)) for each in (config, *begun)]
        known = {one.source.url: one for one in health(store, own)}
        channels = tuple(channel for one in (own or [store]) for channel in one.outbox.health())
    listed = [(source, enabled) for enabled in (True, False) for source in config.listed(enabled=enabled)]
    sources = tuple(
        replace(known[source.url], source=source, enabled=enabled)
        if source.url in known
        else SourceHealth(source, enabled)
        for source, enabled in listed
    )
    return Overview(sources, clock.now(), channels)


def default_file(name: str) -> Path:
    """A file that ships: config.toml, feeds/seed.toml or one of packs/; in a checkout, where it stands there."""
    package = Path(__file__).parent
    places = (package / "defaults" / name, package / name, package.parent / name)
    return next(place for place in places if place.is_file())


def _seed_file(config: Config) -> Path:
    """The seed set that the configuration names; where it names none and none is there, the one that ships."""
    file = config.resolve(config.stories.seed)
    named = "seed" in config.stories.model_fields_set
    return file if named or file.exists() else default_file(config.stories.seed)


def plant(store: Store, settling: Rules, seeds: tuple[Seed, ...], publish: bool, now: datetime) -> None:
    """Done once for each seed set, topic pack and version of this program: reading the seeds takes 0.1 s."""
    folding = settling.folder
    given = repr((_program(), folding.__getstate__(), seeds, publish))
    mark = hashlib.blake2b(given.encode(), digest_size=16).hexdigest()
    if store.get(PLANTED) == mark:
        return
    store.plant([(seed_story_id(seed), seed, sorted(folding.keys(seed_item(seed)))) for seed in seeds], now, publish)
    if entries := hold_list(store):
        watch_for(store, settling, entries, now)
    store.put(PLANTED, mark)


def _program() -> list[tuple[str, int, int]]:
    """The files that this program consists of, as they are: what depends on the code alone holds until they change."""
    files = sorted(path for path in Path(__file__).parent.rglob("*.*") if path.suffix != ".pyc")
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _keep_up(
    stores: tuple[Store, Store], settling: Rules, judge: Judge, config: Config, now: datetime
) -> tuple[Judge, Rejudged | None]:
    """A changed pack, threshold or model counts for what is stored, too; the judge with the model of today."""
    store, archive = stores
    scopes = {source.url: source.scope for source in config.source}
    judge = teaching.taught(store, judge, scopes)
    before = store.get("rules")
    if before == judge.rules:
        return judge, None
    expected = Expected(scopes, archive.repeated())
    rejudged = None if before is None else reconsider(store, settling, judge, expected, now)
    store.put("rules", judge.rules)
    return judge, rejudged


def _before(now: datetime, days: int) -> datetime | None:
    """The end of what is past its time; 0 days: nothing ever is."""
    return now - timedelta(days=days) if days else None


def _begun(store: Store, now: datetime) -> datetime:
    """When this store was first used: the date of a feed that has nothing to tell yet."""
    with store.begin() as work:  # another process may be at its first start, too
        begun = work.get("begun")
        if begun is None:
            work.put("begun", begun := now.replace(microsecond=0).isoformat())
    return datetime.fromisoformat(begun)


def agree_on_time(store: Store, now: datetime) -> None:
    """StoreError where this machine's clock is far off the database server's.

    Leases are told by each machine's own: one that is far off would take what another is visiting.
    """
    theirs = store.clock()
    if theirs is not None and abs(theirs - now) > CLOCKS_APART:
        raise StoreError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M:%S} UTC, the database server's {theirs:%Y-%m-%d %H:%M:%S};"
            " set the one that is wrong; nothing was changed"
        )


def _cuts(config: Config, subject: Subject) -> Cuts:
    """How the stories are cut into slices: by what the pack knows, and as the operator asks."""

    def saved(table: SliceTable) -> Saved:
        languages = frozenset(tag.split("-")[0].lower() for tag in table.languages)
        return Saved(table.name, table.query, languages, frozenset(table.sources))

    return Cuts(subject.told, tuple(map(saved, config.slice)))


def _frame(config: Config, listed: tuple[Source, ...], begun: datetime) -> Edition:
    return Edition(
        title=config.feed.title,
        link=config.feed.link if config.feed.link.endswith("/") else config.feed.link + "/",
        description=config.feed.description,
        language=config.feed.language,
        stories=(),
        sources=listed,
        updated=begun,
        excerpt_characters=config.feed.excerpt_characters,
        hub=config.push.hub,
    )
