"""The whole journey in one place: refresh, collect, settle; `press` publishes what it brought.

A little longer than a module should be, so that it is read in one place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator import pace, parse
from aggregator.boilerplate import with_stock
from aggregator.errors import AggregatorError, FeedError, StoreError
from aggregator.model import (
    Answer,
    Changed,
    Decision,
    Failed,
    FailureKind,
    Fetched,
    Item,
    Judged,
    Known,
    NotModified,
    Refused,
    Rhythm,
    Task,
    Unchanged,
    Unmade,
    Validators,
    Visit,
)
from aggregator.ports import Clock, Engine, Fetch, Isolate, Run, Store
from aggregator.regroup import regroup
from aggregator.second_look import look_again
from aggregator.seek import sought
from aggregator.settle import Rules, Settled, settle_quiet, settle_together
from aggregator.sharing import Follower, Sharing
from aggregator.topics import Judge

AGAIN = timedelta(minutes=1)  # until a visit that could not be made is tried again
LEASE = timedelta(
    minutes=15
)  # longer than any visit may take; what a process held that died elsewhere is free after it

# Documents that have been read by the time that the store is free are settled together, so that a story which many of
# them tell is brought up to date once. What is lost with a process that dies is asked for again. A load of 60 sources
# that tell one story took 18 s with 5 together, 14 s with 20, 11 s with 60, and nearly the same CPU.
SETTLED = 20
# Visits that read nothing new are remembered together. What is lost with a process that dies are answers "not
# modified", for which the servers are asked again.
TOGETHER = (
    100  # visits: 0.05 ms each, where ten together took 0.07 ms and one alone 0.2 to 0.3 (docs/notes/002-store.md)
)
WAIT = timedelta(seconds=1)  # from the end of the first to that of the last

_GLANCE = timedelta(minutes=1)  # between looks at the leases, where nothing ends

_PAUSE = "its host asked for a pause (Retry-After)"
_FAVOUR = (Decision.DROPPED, Decision.UNDECIDED, Decision.KEPT)


@dataclass(frozen=True, slots=True)
class Listener:
    """One of several subjects, as it hears what sources bring."""

    judge: Judge
    deaf_to: frozenset[str] = frozenset()  # addresses of the sources that are not for it


@dataclass(frozen=True, slots=True)
class Collector:
    """What it takes to visit a source: no store, so that it can work in any thread, process or machine."""

    clock: Clock
    fetch: Fetch
    isolate: Isolate
    judge: Judge
    panel: tuple[Listener, ...] = ()  # of all subjects, where there are several; `judge` is then not asked


@dataclass(frozen=True, slots=True)
class Manners:
    """How hosts are spared, which is the engine's to keep while visits are under way."""

    lane: Callable[[Task], str]  # the host of a task, as far as it is spared as one
    gap: timedelta  # between visits to one
    abreast: int  # visits to one at once
    # Lane → until when its host wants to be left alone; brought up to date on the way, and what is not asked because
    # of it is put off until then.
    holds: dict[str, datetime]


_Make = Callable[[Task], Visit | Unmade]


@dataclass(frozen=True, slots=True)
class _PutOff:
    """A source that was not visited when its turn came."""

    task: Task
    until: datetime
    why: str


_Run = Run[tuple[_Make, Task], Visit | _PutOff]


class Refresh:
    """What a refresh settles, as it comes, and what it found when it was over."""

    def __init__(self, visits: Generator[Settled, None, int]) -> None:
        self._visits = visits
        self.vouched = 0  # undecided items that a story vouches for since; known at the end

    def __iter__(self) -> Iterator[Settled]:
        self.vouched = yield from self._visits


class Visits:
    """What is being visited, from one refresh to the next: asked for in other threads, settled in the caller's.

    A refresh leaves what hangs to the next when its patience ends, as if that had claimed it: it is settled, and
    grouped, with what the next one brings. What has not begun by then is claimed anew with what has fallen due, so that
    no host keeps a place for what would wait for it. What cannot be stored, the store being locked or full, is settled
    by the next refresh, too.
    """

    def __init__(self, clock: Clock, engine: Engine, store: Store, manners: Manners) -> None:
        """`store`: where the visits are remembered, for all subjects if several share the sources."""
        self._clock, self._engine, self._store, self._manners = clock, engine, store, manners
        self._waiting: dict[str, Task] = {}  # by address: claimed, and neither settled nor put off
        self._run: _Run | None = None  # while anything is under way
        self._unsettled: dict[str, Visit] = {}  # by address: those that have ended
        self._idle: list[Task] = []  # those that are not visited and are still to be given back
        self._renewed = clock.now()  # all leases that were taken before

    def refresh(
        self,
        make: _Make,
        rules: Rules,
        followers: Sequence[Follower] = (),
        *,
        limit: int | None = None,
        everything: bool = False,
        patience: timedelta | None = None,
    ) -> Generator[Settled, None, int]:
        """Claim what is due, visit many sources at once, settle one visit at a time, or the quiet ones together.

        What was settled comes as visits end; at the end, how many undecided items a story vouches for since. Once the
        engine is closed no visit begins any more, and those under way are settled. `make`: makes a visit, here
        (collect) or elsewhere; must not raise; one that is Unmade is put off a little. `followers`: the subjects, where
        several share the sources. `limit`: of visits under way, those longest due; None: all. `patience`: how long
        visits are waited for; None: until all have ended, and what was claimed and not visited is given back. (So many
        parameters: what is joined here is what the house consists of.)
        """
        now, goes_on = self._clock.now(), False
        placed = list[int]()
        sharing = Sharing(followers)
        try:
            self._recall()
            run = self._begin(make, self._claim(now, limit, everything))
            for group in _grouped(self._ended(run, patience)):
                self._spare_hosts(group)
                met = [(visit, self._waiting[visit.source.url].rhythm) for visit in group]
                done = _settle(self._store, rules, met, now, sharing)
                for visit in group:
                    del self._waiting[visit.source.url], self._unsettled[visit.source.url]
                placed += (key for settled in done for key in settled.placed)
                yield from done
            regroup(self._store, rules, placed, now)
            sharing.regroup(now)
            vouched = look_again(self._store, rules, now) + sharing.look_again(now)
            for each in (rules, *(follower.rules for follower in followers)):
                each.folder.rest()
            goes_on = patience is not None and bool(self._waiting)
            return vouched
        except StoreError:
            goes_on = patience is not None
            raise
        finally:
            if not goes_on:
                self._give_back()

    def _claim(self, now: datetime, limit: int | None, everything: bool) -> tuple[Task, ...]:
        free = None if limit is None else max(limit - len(self._waiting), 0)
        if free == 0:
            return ()
        gap, abreast = self._manners.gap, self._manners.abreast
        tasks = self._store.claim(now, LEASE, limit=free, everything=everything, gap=gap, abreast=abreast)
        # What is under way though its lease has ended, by a clock that was set, is claimed anew, and visited once.
        tasks = tuple(task for task in tasks if task.source.url not in self._waiting)
        return tasks if everything else _awake(self._store, tasks, now)

    def _begin(self, make: _Make, tasks: Iterable[Task]) -> _Run:
        self._waiting |= {task.source.url: task for task in tasks}
        if self._run is None:
            self._run = self._engine.begin(self._visit, lambda errand: self._manners.lane(errand[1]))
        self._run.add((make, task) for task in tasks)
        return self._run

    def _visit(self, errand: tuple[_Make, Task]) -> Visit | _PutOff:
        """In a thread of the engine's: a visit, and what it says of the host."""
        (make, task), holds = errand, self._manners.holds
        lane, now = self._manners.lane(task), self._clock.now()
        if _held(holds, lane, now):
            return _PutOff(task, holds[lane], _PAUSE)
        visit = make(task)
        if isinstance(visit, Unmade):
            return _PutOff(task, now + AGAIN, f"the last visit could not be made: {visit.why}")
        if held := pace.held_host(visit, lane):
            holds[held[0]] = held[1]
        return visit

    def _ended(self, run: _Run, patience: timedelta | None) -> Iterator[Sequence[Visit]]:
        """The visits, as they end; the others are put off. Meanwhile the leases are renewed."""
        yield list(self._unsettled.values())
        seconds = (_GLANCE if patience is None else patience).total_seconds()
        while True:
            for ended in run.batches(TOGETHER, seconds):
                visits = [one for one in ended if isinstance(one, Visit)]
                self._unsettled |= {visit.source.url: visit for visit in visits}
                self._put_off([one for one in ended if isinstance(one, _PutOff)])
                yield visits
                self._renew()
            self._renew()
            if patience is not None or not run.owes():
                return

    def _put_off(self, late: Sequence[_PutOff]) -> None:
        for one in late:
            self._idle.append(self._waiting.pop(one.task.source.url))
        for why in sorted({one.why for one in late}):
            self._store.put_off([(one.task, one.until) for one in late if one.why == why], why)
        self._idle = []

    def _renew(self) -> None:
        """Hold what takes long, lest another process make the same visit."""
        now = self._clock.now()
        if not timedelta(0) <= now - self._renewed < LEASE / 3:
            self._store.renew(self._waiting.values(), now + LEASE)
            self._renewed = now

    def _spare_hosts(self, visits: Iterable[Visit]) -> None:
        """Have all who share the store leave a host alone that asked for it, before others claim what lies on it."""
        for visit in visits:
            if held := pace.held_host(visit, self._manners.lane(self._waiting[visit.source.url])):
                self._store.spare(*held, _PAUSE)

    def _recall(self) -> None:
        """End the claim on what has not begun."""
        for _, task in self._run.recall() if self._run else ():
            self._idle.append(self._waiting.pop(task.source.url))
        self._free()

    def _give_back(self) -> None:
        """Begin no more visits, and end the claim on what has not been settled."""
        if self._run is not None:
            self._run.close()
            self._run = None
        self._idle += self._waiting.values()
        self._waiting, self._unsettled = {}, {}
        self._free()

    def _free(self) -> None:
        lane, holds, now = self._manners.lane, self._manners.holds, self._clock.now()
        held = [(task, holds[lane(task)]) for task in self._idle if _held(holds, lane(task), now)]
        self._store.put_off(held, _PAUSE)
        self._store.release(task for task in self._idle if not _held(holds, lane(task), now))
        self._idle = []


def _awake(store: Store, tasks: tuple[Task, ...], now: datetime) -> tuple[Task, ...]:
    """Without those of feeds that want to be left alone at this hour, which are put off until it is over."""
    resting = {task.source.url: until for task in tasks if (until := pace.rest_ends(task, now)) is not None}
    if not resting:
        return tasks
    store.put_off(
        [(task, resting[task.source.url]) for task in tasks if task.source.url in resting], pace.RESTS, hold=False
    )
    return tuple(task for task in tasks if task.source.url not in resting)


def _held(holds: Mapping[str, datetime], lane: str, now: datetime) -> bool:
    return lane in holds and now < holds[lane]


def _grouped(ended: Iterable[Sequence[Visit]]) -> Iterator[Sequence[Visit]]:
    """Visits that read a document with those that ended by the same time; the others as long as they end close."""
    quiet: list[Visit] = []
    for visits in ended:
        changed = [visit for visit in visits if isinstance(visit.outcome, Changed)]
        for start in range(0, len(changed), SETTLED):
            yield changed[start : start + SETTLED]
        for visit in visits:
            if isinstance(visit.outcome, Changed):
                continue
            quiet.append(visit)
            if len(quiet) == TOGETHER or visit.finished - quiet[0].finished > WAIT:
                yield quiet
                quiet = []
    if quiet:
        yield quiet


def _settle(
    store: Store, rules: Rules, group: Sequence[tuple[Visit, Rhythm]], now: datetime, sharing: Sharing
) -> list[Settled]:
    """Settle visits together; one that cannot be stored costs itself alone, for the others are settled without it.

    The subjects that share the sources come first: a visit that one of them has not heard of is made again.
    """
    if not isinstance(group[0][0].outcome, Changed):
        return settle_quiet(store, rules, group)
    try:
        heard = sharing.hear([visit for visit, _ in group], now)
        settled = settle_together(store, rules, group, now)
        return [all_told.told_in(one) for all_told, one in zip(heard, settled, strict=True)]
    except Exception as error:
        if len(group) > 1:
            return [settled for each in group for settled in _settle(store, rules, [each], now, sharing)]
        visit, rhythm = group[0]
        return settle_quiet(store, rules, [(_not_stored(visit, error), rhythm)])


def settle_visit(
    store: Store, rules: Rules, visit: Visit, rhythm: Rhythm, followers: Sequence[Follower] = ()
) -> Settled:
    """Remember one visit by itself, with its source's rhythm before it; `followers` as in `Visits`."""
    sharing = Sharing(followers)
    settled = _settle(store, rules, [(visit, rhythm)], visit.finished, sharing)[0]
    vouched = look_again(store, rules, visit.finished) + sharing.look_again(visit.finished)
    return replace(settled, vouched=vouched, changed=settled.changed or vouched > 0)


def receive(collector: Collector, task: Task, data: bytes, content_type: str | None) -> Visit | None:
    """What a hub delivered as a visit; None: it is no feed, which says nothing of the source.

    It is read and judged as an answer is. It may hold only what is new, so what was known stays known, and so do the
    validators, with which the source itself is asked next time.
    """
    now, known = collector.clock.now(), task.known
    answer = Fetched(known.address or task.source.url, data, content_type, known.validators)
    blank = Visit(task.source, now, now, Unchanged("304"), known.validators, known.body, known.head, pushed=True)
    visit = _read(collector, task, answer, blank)
    match visit.outcome:
        case Failed():
            return None
        case Changed(entries=entries) as changed:
            whole = replace(changed, entries=entries | known.entries)
            return replace(visit, outcome=whole, validators=known.validators, finished=collector.clock.now())
        case _:
            return replace(visit, finished=collector.clock.now())


def _not_stored(visit: Visit, error: Exception) -> Visit:
    """The visit as a failure, after which the document is asked for again; it must not hold up all the others."""
    said = str(error) if isinstance(error, AggregatorError) else f"please report it: {type(error).__name__}: {error}"
    failed = Failed(FailureKind.SOFT, f"what it brought could not be stored: {said}")
    return replace(visit, outcome=failed, validators=Validators())


def collect(collector: Collector, task: Task) -> Visit:
    """Fetch, parse and judge one source; whatever goes wrong becomes the visit's outcome."""
    started = collector.clock.now()
    try:
        visit = _visit(collector, task, started)
    except Exception as error:
        failed = Failed(FailureKind.SOFT, f"an unexpected fault, please report it: {type(error).__name__}: {error}")
        visit = Visit(task.source, started, started, failed, task.known.validators)
    return replace(visit, finished=collector.clock.now())


def _visit(collector: Collector, task: Task, started: datetime) -> Visit:
    recipe = parse.recipe(task.source)
    if recipe is not None and task.known.head not in (None, recipe):  # to be read anew, as it is now configured
        task = replace(task, known=Known(address=task.known.address))
    answer = _followed(collector, task, collector.fetch(task))
    visit = Visit(
        source=task.source,
        started=started,
        finished=started,
        outcome=Unchanged("304"),
        validators=task.known.validators,
        body=task.known.body,
        head=task.known.head,
        freshness=answer.freshness,
        moved_to=answer.moved_to,
        received=answer.received,
    )
    match answer:
        case Refused(failed=failed):
            visit = replace(visit, outcome=failed)
        case NotModified(validators=validators):
            return replace(visit, validators=validators)
        case Fetched():
            visit = _read(collector, task, answer, visit)
    return replace(visit, found=sought(collector.fetch, collector.isolate, task, answer, visit.outcome))


def _followed(collector: Collector, task: Task, answer: Answer) -> Answer:
    """The answer, or that of the sitemap to which a list of sitemaps leads; the list is what is asked for next time."""
    if not isinstance(answer, Fetched):
        return answer
    try:
        onward = parse.onward(answer.url, answer.data, task.source, collector.isolate)
    except FeedError as error:
        return Refused(Failed(FailureKind.SOFT, str(error)), answer.freshness, answer.moved_to, answer.received)
    if onward is None:
        return answer
    further = collector.fetch(replace(task, known=Known(address=onward.address)))
    if not isinstance(further, Fetched):
        return further
    validators = answer.validators if onward.dated else Validators()
    return replace(further, validators=validators, moved_to=answer.moved_to)


def _read(collector: Collector, task: Task, answer: Fetched, visit: Visit) -> Visit:
    """The visit with what the document says; one that cannot be read leaves all that was known in place."""
    body: bytes | None = hashlib.blake2b(answer.data, digest_size=16).digest()
    validators = answer.validators
    if body == task.known.body:
        return replace(visit, validators=validators, outcome=Unchanged("same bytes"))
    try:
        document = parse.read(answer.url, answer.data, answer.content_type, task.source, task.known, collector.isolate)
    except FeedError as error:
        return replace(visit, outcome=Failed(FailureKind.SOFT, str(error)))
    if not document.whole:  # the rest is asked for again, though the document will not have changed
        body, validators = None, Validators()
    judged = with_stock([_judged(collector, task, item) for item in document.items], task.known.boilerplate)
    return replace(
        visit,
        outcome=Changed(document.head, judged, document.entries, document.problems),
        validators=validators,
        body=body,
        head=document.head_digest,
    )


def _judged(collector: Collector, task: Task, item: Item) -> Judged:
    scope, boilerplate = task.source.scope, task.known.boilerplate
    if not collector.panel:
        return Judged(item, collector.judge.judge(item, scope, boilerplate))
    each = tuple(
        None if task.source.url in one.deaf_to else one.judge.judge(item, scope, boilerplate) for one in collector.panel
    )
    best = max(filter(None, each), key=lambda one: (_FAVOUR.index(one.decision), one.score))
    return Judged(item, best, each)
