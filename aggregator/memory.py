"""The ports in memory, as plain as can be: what every real part must behave like, and what tests of the flow run on.

Longer than a module should be, so that the whole reference for Store and Work can be read in one place.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from itertools import islice
from threading import Lock

from aggregator.boilerplate import SHARED
from aggregator.candidates import Hit, nearest, representatives
from aggregator.domains import registrable_domain
from aggregator.errors import NotFoundError, StoreError
from aggregator.health import came
from aggregator.holding import joined
from aggregator.model import (
    Answer,
    Changed,
    Decision,
    Deed,
    Evidence,
    Failed,
    FailureKind,
    Gone,
    Judged,
    Known,
    Line,
    Past,
    Plan,
    Refused,
    Rhythm,
    Rights,
    Seed,
    Source,
    SourceHealth,
    StoredItem,
    StoredStory,
    Subscription,
    Task,
    Validators,
    Visit,
    Withholding,
)
from aggregator.pace import CLOCK_ERROR, adopted, as_configured
from aggregator.planting import merged_told, seed_judged, seed_told
from aggregator.search import Query, document_of, fits

_PATIENCE = 10.0  # seconds that a writer waits for another one


class FixedClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class ScriptedFetch:
    """Answers by source url, or what a function makes of the task; a url without an answer has no server."""

    def __init__(self, answers: Mapping[str, Answer | Callable[[Task], Answer]]) -> None:
        self._answers = answers

    def __call__(self, task: Task) -> Answer:
        match self._answers.get(task.source.url):
            case None:
                return Refused(Failed(FailureKind.TEMPORARY, f"no server answers at {task.source.url}"))
            case answer if callable(answer):
                return answer(task)
            case answer:
                return answer


@dataclass(frozen=True, slots=True)
class _Sourced:
    """A source with its state."""

    source: Source
    due: datetime
    position: int | None = None  # in the configuration; None: not listed
    enabled: bool = True
    known: Known = field(default_factory=Known)
    rhythm: Rhythm = field(default_factory=Rhythm)
    why: str = "new"
    came: str = ""  # what came of the last visit, in words
    leased_until: datetime | None = None
    held_until: datetime | None = None
    failure: str = ""
    warning: str = ""
    title: str = ""  # what the feed calls itself
    site: str | None = None
    sentences: Mapping[int, int] = field(default_factory=dict)


def _paced(one: _Sourced, interval: timedelta) -> _Sourced:
    """A source that works, with the interval that the operator has given it since its last visit."""
    last = one.rhythm.last_visit
    if last is None or one.rhythm.failures:
        return one
    return replace(one, due=max(last + interval, one.held_until or last), why=as_configured(interval))


@dataclass(frozen=True, slots=True)
class _Told:
    """A story without its members."""

    seed: bool
    told: datetime | None
    updated: datetime
    lead: int | None
    page: int | None = None  # of the archive; None: on none yet
    withholding: Withholding = field(default_factory=Withholding)
    dated: datetime | None = None  # the newest date of its members when it was told


@dataclass(slots=True)
class _State:
    """All that is remembered; the values are never changed in place, so a copy of the dictionaries is a snapshot."""

    sources: dict[str, _Sourced] = field(default_factory=dict)
    items: dict[int, StoredItem] = field(default_factory=dict)
    keys: dict[int, frozenset[str]] = field(default_factory=dict)
    stories: dict[str, _Told] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # every id a story goes by → the story's own
    parted: dict[int, frozenset[str]] = field(default_factory=dict)
    gone: dict[str, Gone] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)  # names of stories → the mark of their last change
    settings: dict[str, str] = field(default_factory=dict)
    shelf: dict[str, frozenset[str]] = field(default_factory=dict)  # id → the slices that it stands in
    slices: dict[str, str] = field(default_factory=dict)  # name → version
    subscriptions: dict[str, Subscription] = field(default_factory=dict)  # by their tokens
    visits: dict[int, Past] = field(default_factory=dict)
    deeds: dict[int, Deed] = field(default_factory=dict)
    unlooked: dict[int, None] = field(default_factory=dict)  # items to be looked at again
    doubts: dict[int, frozenset[str]] = field(default_factory=dict)  # undecided items → the keys they are found by

    def copy(self) -> _State:
        return _State(*(dict(getattr(self, one.name)) for one in fields(self)))

    def members(self, story: str) -> tuple[StoredItem, ...]:
        found = (stored for stored in self.items.values() if stored.story == story)
        return tuple(sorted(found, key=lambda one: one.appeared))

    def story(self, id: str) -> StoredStory:
        told = self.stories[id]
        return StoredStory(id, told.seed, told.told, told.updated, told.lead, self.members(id), told.withholding)

    def reaches(self, stored: StoredItem, since: datetime) -> bool:
        """Whether a member is looked at from then on: it is young enough, or of no age."""
        lasting = stored.seed or (stored.story is not None and self.stories[stored.story].withholding.withdrawn)
        return lasting or stored.first_seen >= since or bool(stored.item.published and stored.item.published >= since)


class MemoryWork:
    """ports.Work on a copy of the state, which the store takes over at the end."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._touched: set[str] = set()  # ids of stories that may look different from now on

    def close(self) -> None:
        """Note which stories have to be published anew; the last act of the transaction."""
        mark = max(self._state.changes.values(), default=0) + 1
        for name, own in self._state.names.items():
            if own in self._touched:
                self._state.changes[name] = mark
        self._touched.clear()

    def find(self, source: str, id: str) -> StoredItem | None:
        found = (one for one in self._state.items.values() if (one.item.source, one.item.id) == (source, id))
        return next(found, None)

    def either(self, source: str, id: str, other: str) -> Mapping[str, StoredItem]:
        found = {one: self.find(source, one) for one in (id, other)}
        return {one: stored for one, stored in found.items() if stored is not None}

    def stored(self, items: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        return frozenset((source, id) for source, id in items if self.find(source, id) is not None)

    def linked(self, source: str, link: str) -> tuple[StoredItem, ...]:
        return tuple(one for one in self._state.items.values() if (one.item.source, one.item.link) == (source, link))

    def candidates(
        self,
        keys: Iterable[str],
        since: datetime,
        stories: int | None = None,
        members: int | None = None,
        before: int | None = None,
    ) -> tuple[StoredStory, ...]:
        wanted = frozenset(keys)
        sharing = [
            (stored, stored.story, shared)
            for stored in self._state.items.values()
            if stored.story is not None and (before is None or stored.key < before)
            if (shared := wanted & self._state.keys[stored.key]) and self._state.reaches(stored, since)
        ]
        items = Counter(key for _, _, shared in sharing for key in shared)
        found: defaultdict[str, list[Hit]] = defaultdict(list)
        for stored, story, shared in sharing:
            found[story].append(Hit(stored.key, stored.seed, sum(1 / items[key] for key in shared)))
        near = frozenset(nearest(found, stories))
        return tuple(self._part(id, found[id], members) for id in self._state.stories if id in near)

    def _part(self, id: str, hits: Sequence[Hit], members: int | None) -> StoredStory:
        story = self._state.story(id)
        if members is None:
            return story
        chosen = representatives(hits, sorted(member.key for member in story.members), members)
        return replace(story, members=tuple(member for member in story.members if member.key in chosen))

    def add(self, judged: Judged, keys: Iterable[str], now: datetime) -> int:
        return self._add(judged, keys, now, seed=False)

    def add_aside(self, judged: Judged, now: datetime) -> None:
        self._add(judged, (), now, seed=False)

    def edit(self, key: int, judged: Judged, keys: Iterable[str]) -> None:
        self._change(key, item=judged.item, verdict=judged.verdict, retained=True)
        self._state.keys[key] = frozenset(keys)

    def assign(self, key: int, story: str | None, evidence: Evidence | None) -> None:
        self._change(key, story=None if story is None else self._name(story), evidence=evidence)

    def found(self, story: str, now: datetime) -> None:
        self._found(story, now, seed=False)

    def story(self, id: str) -> StoredStory | None:
        return self._state.story(self._state.names[id]) if id in self._state.names else None

    def tell(self, story: str, told: datetime | None, lead: int | None, updated: datetime) -> None:
        self._note_telling(self._name(story), told, updated)
        self._retell(self._name(story), told=told, lead=lead, updated=updated)

    def merge(self, story: str, into: str, now: datetime) -> None:
        """As the port says; the merged story was told as `planting.merged_told` says, and is a seed if either is."""
        gone, stays = self._name(story), self._name(into)
        if gone == stays:
            return
        self._note_telling(gone, None, now)
        for stored in self._state.members(gone):
            self._change(stored.key, story=stays)
        for name, own in tuple(self._state.names.items()):
            if own == gone:
                self._state.names[name] = stays
        old, new = self._state.stories.pop(gone), self._state.stories[stays]
        told = merged_told((old.seed, old.told), (new.seed, new.told))
        self._note_telling(stays, told, now)
        kept_back = joined(old.withholding, new.withholding)
        self._retell(stays, told=told, seed=old.seed or new.seed, withholding=kept_back)

    def withhold(self, story: str, withholding: Withholding, deed: str, now: datetime) -> None:
        self._retell(self._name(story), withholding=withholding)
        if deed:
            self._state.deeds[len(self._state.deeds)] = Deed(now, self._name(story), deed)

    def get(self, name: str) -> str | None:
        return self._state.settings.get(name)

    def put(self, name: str, value: str) -> None:
        self._state.settings[name] = value

    def rule(self, key: int, ruling: str | None) -> None:
        self._change(key, ruling=ruling)

    def part(self, key: int, story: str) -> None:
        own = self._name(story)
        self._change(key)
        self._state.parted[key] = self._state.parted.get(key, frozenset()) | {own}

    def parted(self, key: int) -> frozenset[str]:
        names = self._state.names
        return frozenset(names[story] for story in self._state.parted.get(key, ()) if story in names)

    def look_at(self, key: int) -> None:
        self._state.unlooked[key] = None

    def unlooked(self, limit: int) -> tuple[StoredItem, ...]:
        found = (one for key in self._state.unlooked if (one := self._state.items.get(key)) is not None)
        return tuple(sorted(found, key=lambda one: (one.story is None, one.key)))[:limit]

    def looked(self, keys: Iterable[int]) -> None:
        for key in keys:
            self._state.unlooked.pop(key, None)

    def doubt(self, stored: StoredItem, keys: Iterable[str]) -> None:
        self._state.doubts[stored.key] = self._state.doubts.get(stored.key, frozenset()).union(keys)

    def doubtful(self, keys: Iterable[str], since: datetime, limit: int) -> tuple[StoredItem, ...]:
        wanted = frozenset(keys)
        sharing = [
            (one, shared)
            for key, own in self._state.doubts.items()
            if (shared := wanted & own) and (one := self._state.items.get(key)) and one.first_seen >= since
        ]
        items = Counter(key for _, shared in sharing for key in shared)
        sharing.sort(key=lambda pair: (-sum(1 / items[key] for key in pair[1]), pair[0].key))
        open = [one for one, _ in sharing if one.decision is Decision.UNDECIDED and one.story is None]
        return tuple(open[:limit])

    def doubt_no_more(self, before: datetime) -> None:
        for key in tuple(self._state.doubts):
            if (one := self._state.items.get(key)) is None or one.first_seen < before:
                del self._state.doubts[key]

    def record(self, visit: Visit, plan: Plan, sentences: Mapping[int, int]) -> None:
        before = self._state.sources.get(visit.source.url)
        if before is None:
            raise NotFoundError(f"the source {visit.source.url} was never listed; name it in the configuration first")
        retry_after = visit.freshness.retry_after
        after = replace(
            _after(before, visit),
            due=plan.due,
            why=plan.why,
            came=came(visit),
            rhythm=plan.rhythm,
            leased_until=None,
            held_until=None if retry_after is None else visit.finished + retry_after,
        )
        counts = dict(before.sentences)
        for sentence, times in sentences.items():
            counts[sentence] = counts.get(sentence, 0) + times
        shared = frozenset(sentence for sentence, times in counts.items() if times >= SHARED)
        rhythm = plan.rhythm
        known = replace(after.known, boilerplate=shared, distrust=rhythm.distrust, address=adopted(rhythm))
        self._state.sources[visit.source.url] = replace(after, known=known, sentences=counts)

    def record_together(self, ended: Sequence[tuple[Visit, Plan, Mapping[int, int]]]) -> None:
        for visit, plan, sentences in ended:
            self.record(visit, plan, sentences)

    def record_quiet(self, visits: Iterable[tuple[Visit, Plan]]) -> None:
        for visit, plan in visits:
            self.record(visit, plan, {})

    def log(self, visits: Sequence[Past]) -> None:
        count = len(self._state.visits)
        self._state.visits.update(enumerate(visits, count))

    def plant(self, seeds: Sequence[tuple[str, Seed, Sequence[str]]], now: datetime, publish: bool) -> None:
        planted = {one.item.id: one.key for one in self._state.items.values() if one.seed}
        for id in planted.keys() - {seed.id for _, seed, _ in seeds}:
            self._uproot(planted[id], now)
        told_here = (one.told for one in self._state.stories.values() if one.told is not None and not one.seed)
        first = min(told_here, default=None)
        for name, seed, keys in seeds:
            told = seed_told(seed, now, first)
            if seed.id in planted:
                own = self._tend(planted[seed.id], seed, keys, now)
            else:
                own = self._sow(name, seed, keys, told, now)
            before = self._state.stories[own]
            shown = publish and not before.withholding.in_force
            self._note_telling(own, (before.told or told) if shown else None, now)
            self._retell(own, told=(before.told or told) if shown else None)

    def _sow(self, name: str, seed: Seed, keys: Sequence[str], told: datetime, now: datetime) -> str:
        key = self._add(seed_judged(seed), keys, now, seed=True)
        if name in self._state.names:
            self._retell(self._name(name), seed=True, lead=None, updated=now)
        else:
            self._found(name, told, seed=True)
        self.assign(key, name, Evidence("founds", "", 1.0))
        return self._name(name)

    def _tend(self, key: int, seed: Seed, keys: Sequence[str], now: datetime) -> str:
        """Bring a seed's text up to date; its story counts as updated if the text stands for it."""
        stored = self._state.items[key]
        story = self._name(stored.story or "")
        if self._state.stories[story].withholding.withdrawn:
            return story
        self.edit(key, seed_judged(seed), keys)
        if stored.item != seed_judged(seed).item and self._state.stories[story].lead is None:
            self._retell(story, updated=now)
        return story

    def _uproot(self, key: int, now: datetime) -> None:
        """Take a seed's own text out; its story goes on where it has other members, else it goes too."""
        story = self._name(self._state.items[key].story or "")
        if self._state.stories[story].withholding.withdrawn:
            return
        del self._state.items[key]
        left = self._state.members(story)
        if not left:
            self._note_telling(story, None, now)
            self.close()  # while it still has its names
            del self._state.stories[story]
            self._state.names = {name: own for name, own in self._state.names.items() if own != story}
        elif not any(member.seed for member in left):
            lead = self._state.stories[story].lead
            self._retell(story, seed=False, lead=left[0].key if lead is None else lead, updated=now)

    def _add(self, judged: Judged, keys: Iterable[str], now: datetime, seed: bool) -> int:
        if self.find(judged.item.source, judged.item.id) is not None:
            raise StoreError(f"there is an item {judged.item.id} of {judged.item.source} already")
        key = len(self._state.keys) + 1
        self._state.items[key] = StoredItem(key, judged.item, judged.verdict, now, seed=seed)
        self._state.keys[key] = frozenset(keys)
        return key

    def _found(self, story: str, updated: datetime, seed: bool) -> None:
        if story in self._state.names:
            raise StoreError(f"there is a story {story} already")
        self._state.stories[story] = _Told(seed, None, updated, None)
        self._state.names[story] = story

    def _change(self, key: int, **values: object) -> None:
        if key not in self._state.items:
            raise NotFoundError(f"there is no item #{key}")
        before = self._state.items[key]
        self._state.items[key] = after = replace(before, **values)  # type: ignore[arg-type]
        self._touched.update(story for story in (before.story, after.story) if story is not None)

    def _note_telling(self, story: str, told: datetime | None, now: datetime) -> None:
        """Remember a story as gone that is told no more, and no longer so one that is told again.

        One that was told in this very refresh has hardly reached a reader: it goes without a word.
        """
        before = self._state.stories[story]
        if before.told is not None and told is None:
            if before.told < now or before.page is not None:
                self._state.gone[story] = Gone(story, now, page=before.page)
            self._retell(story, page=None)  # told again, it counts as news
        elif before.told is None and told is not None:
            self._state.gone.pop(story, None)
            dated = max(map(_date, self._state.members(story)), default=told)
            self._retell(story, dated=dated)

    def _retell(self, story: str, **values: object) -> None:
        self._touched.add(story)
        self._state.stories[story] = replace(self._state.stories[story], **values)  # type: ignore[arg-type]

    def _name(self, story: str) -> str:
        if story not in self._state.names:
            raise NotFoundError(f"there is no story {story}")
        return self._state.names[story]


def _after(before: _Sourced, visit: Visit) -> _Sourced:
    """What a visit's outcome says of the document."""
    match visit.outcome:
        case Failed(message=message):
            brought = visit.validators != Validators()
            validators = visit.validators if brought else before.known.validators
            return replace(before, known=replace(before.known, validators=validators), failure=message)
        case Changed(head=head, entries=entries, problems=problems):
            known = Known(visit.validators, visit.body, visit.head, entries)
            return replace(
                before, known=known, failure="", warning=" ".join(problems), title=head.title, site=head.link
            )
        case _:
            return replace(before, known=replace(before.known, validators=visit.validators), failure="")


def _astray(one: _Sourced, now: datetime) -> bool:
    return one.rhythm.last_visit is not None and one.rhythm.last_visit > now + CLOCK_ERROR


class MemoryStore:
    """ports.Store in memory, for one process; each transaction copies all, so it is for thousands of items."""

    def __init__(self) -> None:
        self._state = _State()
        self._turn = Lock()

    def enlist(self, sources: Sequence[Source], disabled: Sequence[Source], now: datetime) -> None:
        with self._writing() as state:
            state.sources = {url: replace(one, position=None) for url, one in state.sources.items()}
            for position, source in enumerate((*sources, *disabled)):
                known = state.sources.get(source.url) or _Sourced(source, now)
                if source.interval not in (None, known.source.interval):
                    known = _paced(known, source.interval)
                enabled = position < len(sources)
                state.sources[source.url] = replace(known, source=source, position=position, enabled=enabled)

    def rights(self) -> Mapping[str, Rights]:
        return {
            url: one.source.rights for url, one in sorted(self._state.sources.items()) if one.source.rights != Rights()
        }

    def plant(self, seeds: Sequence[tuple[str, Seed, Sequence[str]]], now: datetime, publish: bool) -> None:
        with self._writing() as state:
            work = MemoryWork(state)
            work.plant(seeds, now, publish)
            work.close()

    def claim(
        self,
        now: datetime,
        lease: timedelta,
        limit: int | None = None,
        everything: bool = False,
        gap: timedelta = timedelta(0),
        abreast: int = 1,
    ) -> tuple[Task, ...]:
        """As the port says; there is no other process."""
        with self._writing() as state:
            found = [one for one in _visited(state) if not _is_leased(one, now)]
            if everything:
                found = [one for one in found if one.held_until is None or one.held_until <= now or _astray(one, now)]
            else:
                found = [one for one in found if one.due <= now or _astray(one, now)]
            found = sorted(found, key=lambda one: one.due)
            if limit is not None:
                held = Counter(_host(one) for one in _visited(state) if _is_leased(one, now))
                found = sorted(_in_turn(found, held, abreast)[:limit], key=lambda one: one.due)
            for one in found:
                state.sources[one.source.url] = replace(one, leased_until=now + lease)
        return tuple(Task(one.source, one.known, one.rhythm) for one in found)

    def take(self, url: str, now: datetime, lease: timedelta) -> Task | None:
        with self._writing() as state:
            one = next((one for one in _visited(state) if one.source.url == url), None)
            if one is None or _is_leased(one, now):
                return None
            state.sources[url] = replace(one, leased_until=now + lease)
        return Task(one.source, one.known, one.rhythm)

    def subscriptions(self) -> tuple[Subscription, ...]:
        return tuple(one for _, one in sorted(self._state.subscriptions.items()))

    def subscribe(self, token: str, one: Subscription | None) -> None:
        with self._writing() as state:
            known = state.subscriptions.pop(token, None)
            if known is not None and (one is None or not one.stands) and known.source in state.sources:
                told = state.sources[known.source]
                state.sources[known.source] = replace(told, rhythm=replace(told.rhythm, by_push=False))
            if one is not None:
                state.subscriptions[token] = one

    def release(self, tasks: Iterable[Task]) -> None:
        with self._writing() as state:
            for task in tasks:
                state.sources[task.source.url] = replace(state.sources[task.source.url], leased_until=None)

    def renew(self, tasks: Iterable[Task], until: datetime) -> None:
        with self._writing() as state:
            for task in tasks:
                state.sources[task.source.url] = replace(state.sources[task.source.url], leased_until=until)

    def put_off(self, tasks: Iterable[tuple[Task, datetime]], why: str, *, hold: bool = True) -> None:
        with self._writing() as state:
            for task, until in tasks:
                one = state.sources[task.source.url]
                held = until if hold else one.held_until
                later = replace(one, due=until, held_until=held, why=why) if one.due < until else one
                state.sources[task.source.url] = replace(later, leased_until=None)

    def spare(self, host: str, until: datetime, why: str) -> None:
        with self._writing() as state:
            for other, one in state.sources.items():
                if _host(one) == host and one.due < until:
                    state.sources[other] = replace(one, due=until, held_until=until, why=why)

    def clock(self) -> datetime | None:
        return None

    def next_due(self) -> datetime | None:
        """When the next source can be claimed: it is due, and not leased."""
        return min((max(one.due, one.leased_until or one.due) for one in _visited(self._state)), default=None)

    @contextmanager
    def begin(self, *, alone: bool = True) -> Iterator[MemoryWork]:
        """As the port says; here everyone writes alone."""
        with self._writing() as state:
            work = MemoryWork(state)
            yield work
            work.close()

    def withheld(self) -> tuple[StoredStory, ...]:
        state = self._state
        return tuple(state.story(id) for id, one in state.stories.items() if one.withholding.in_force)

    def deeds(self, limit: int | None = None) -> tuple[Deed, ...]:
        return tuple(reversed(self._state.deeds.values()))[:limit]

    def stories(self, limit: int | None = None) -> tuple[StoredStory, ...]:
        state = self._state
        told = sorted((id for id, one in state.stories.items() if one.told and state.members(id)))
        told.sort(key=lambda id: (state.stories[id].told, state.stories[id].dated), reverse=True)
        return tuple(state.story(id) for id in told[:limit])

    def named(self, ids: Iterable[str]) -> Mapping[str, StoredStory]:
        state = self._state
        return {id: state.story(state.names[id]) for id in ids if id in state.names}

    def days(self) -> tuple[tuple[date, int], ...]:
        counts = Counter(one.told.date() for one in self._state.stories.values() if one.told)
        return tuple(sorted(counts.items()))

    def lines(self, since: datetime, until: datetime) -> tuple[Line, ...]:
        found = [
            Line(story.id, first.item.title, first.item.language, story.told)
            for story in self.stories()
            if story.told and since <= story.told < until
            for first in story.members
            if (first.seed if story.lead is None else first.key == story.lead)
        ]
        found.sort(key=lambda one: one.id)
        return tuple(sorted(found, key=lambda one: one.told, reverse=True))

    def turn(self, size: int, keep: int | None) -> int:
        newest = {story.id for story in self.stories(keep)}
        with self._writing() as state:
            pages = max((one.page or 0 for one in state.stories.values()), default=0)
            waiting = [story.id for story in reversed(self.stories()) if state.stories[story.id].page is None]
            while keep is not None and not newest.issuperset(waiting):
                pages += 1
                for id in waiting[:size]:
                    state.stories[id] = replace(state.stories[id], page=pages)
                del waiting[:size]
        return pages

    def page(self, number: int) -> tuple[StoredStory, ...]:
        state = self._state
        return tuple(story for story in self.stories() if state.stories[story.id].page == number)

    def gone(self, limit: int | None = None, page: int | None = None) -> tuple[Gone, ...]:
        state = self._state
        found = [one for one in state.gone.values() if page in (None, one.page)]
        found.sort(key=lambda one: one.id)
        found.sort(key=lambda one: one.at, reverse=True)
        return tuple(replace(one, into=_told_in(state, one.id)) for one in found[:limit])

    def is_gone(self, id: str) -> bool:
        state = self._state
        return id in state.gone and _told_in(state, id) is None

    def search(self, query: Query, limit: int, offset: int = 0) -> tuple[StoredStory, ...]:
        state = self._state
        names = {url: one.source.name for url, one in state.sources.items()}
        told = [state.story(id) for id, one in state.stories.items() if one.told]
        found = sorted((one for one in told if fits(query, document_of(one, names))), key=lambda one: one.id)
        found.sort(key=lambda one: one.told or one.updated, reverse=True)
        return tuple(found[offset : offset + limit])

    def file(self, slices: Mapping[str, Collection[str]], version: str) -> None:
        with self._writing() as state:
            touched = {name for id in slices for name in state.shelf.get(id, ())}.union(*slices.values())
            for id, names in slices.items():
                told = id in state.stories and state.stories[id].told
                state.shelf[id] = frozenset(names) if told else frozenset()
            state.slices |= dict.fromkeys(touched, version)

    def slices(self) -> Mapping[str, str]:
        return dict(self._state.slices)

    def sliced(self, slices: Collection[str], limit: int) -> Mapping[str, tuple[StoredStory, ...]]:
        return {name: self._sliced(name, limit) for name in slices}

    def _sliced(self, slice: str, limit: int) -> tuple[StoredStory, ...]:
        state = self._state
        found = sorted((one for one in self.stories() if slice in state.shelf.get(one.id, ())), key=lambda one: one.id)
        newest = {one.id for one in sorted(found, key=lambda one: one.told or one.updated, reverse=True)[:limit]}
        return tuple(one for one in self.stories() if one.id in newest)

    def mark(self) -> int:
        return max(self._state.changes.values(), default=0)

    def changed(self, after: int) -> frozenset[str]:
        return frozenset(id for id, mark in self._state.changes.items() if mark > after)

    def items(self, link_or_id: str) -> tuple[StoredItem, ...]:
        found = self._state.items.values()
        return tuple(one for one in found if link_or_id in (one.item.link, one.item.id))

    def item(self, key: int) -> StoredItem | None:
        return self._state.items.get(key)

    def lately(
        self, limit: int, before: int | None = None, source: str | None = None, decision: Decision | None = None
    ) -> tuple[StoredItem, ...]:
        wanted = (
            one
            for key, one in sorted(self._state.items.items(), reverse=True)
            if not one.seed
            and (before is None or key < before)
            and source in (None, one.item.source)
            and decision in (None, one.decision)
        )
        return tuple(islice(wanted, limit))

    def visits(self, limit: int, source: str | None = None) -> tuple[Past, ...]:
        newest = (past for past in reversed(self._state.visits.values()) if source in (None, past.source))
        return tuple(islice(newest, limit))

    def rulings(self) -> Mapping[int, str]:
        return {key: one.ruling for key, one in self._state.items.items() if one.ruling is not None}

    def has_unlooked(self) -> bool:
        return bool(self._state.unlooked)

    def undecided(self, limit: int, doubtful: float = 0.0) -> tuple[StoredItem, ...]:
        open = [one for one in self._state.items.values() if one.ruling is None and not one.seed]
        below = [one for one in open if one.verdict.decision is Decision.UNDECIDED]
        above = [one for one in open if one.verdict.decision is Decision.KEPT and one.verdict.score < doubtful]
        near = sorted(below, key=lambda one: -one.verdict.score) + sorted(above, key=lambda one: one.verdict.score)
        return tuple(near[:limit])

    def retained(self) -> Iterator[StoredItem]:
        return (one for one in tuple(self._state.items.values()) if one.retained and not one.seed)

    def repeated(self) -> Mapping[str, frozenset[int]]:
        return {url: one.known.boilerplate for url, one in self._state.sources.items() if one.known.boilerplate}

    def health(self) -> tuple[SourceHealth, ...]:
        state = self._state
        return tuple(_health(one, state.items.values()) for one in _listed(state))

    def get(self, name: str) -> str | None:
        return self._state.settings.get(name)

    def put(self, name: str, value: str) -> None:
        with self._writing() as state:
            state.settings[name] = value

    def forget(self, texts_before: datetime | None, items_before: datetime | None) -> int:
        done = 0
        with self._writing() as state:
            for key, one in tuple(state.items.items()):
                if one.story is not None or one.ruling is not None or one.seed:
                    continue
                if items_before is not None and one.first_seen < items_before:
                    done += 1
                    for table in (state.items, state.keys, state.parted, state.unlooked):
                        table.pop(key, None)
                elif texts_before is not None and one.retained and one.first_seen < texts_before:
                    done += 1
                    state.items[key] = replace(one, item=replace(one.item, summary="", body=""), retained=False)
        return done

    def dump(self) -> Iterator[str]:
        raise StoreError("a store in memory cannot be exported; use one in a file")

    def check(self) -> tuple[str, ...]:
        return ()

    def backup(self, path: str) -> None:
        raise StoreError(f"a store in memory has no copy to write to {path}; use one in a file")

    def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def _writing(self) -> Iterator[_State]:
        if not self._turn.acquire(timeout=_PATIENCE):
            raise StoreError(
                f"the store is busy: another thread has been writing for {_PATIENCE:.0f} seconds; try again"
            )
        try:
            state = self._state.copy()
            yield state
            self._state = state
        finally:
            self._turn.release()


def _told_in(state: _State, id: str) -> str | None:
    """The other story that one is told as part of."""
    own = state.names.get(id)
    return own if own is not None and own != id and state.stories[own].told else None


def _listed(state: _State) -> list[_Sourced]:
    listed = [(one.position, one) for one in state.sources.values() if one.position is not None]
    return [one for _, one in sorted(listed, key=lambda pair: pair[0])]


def _visited(state: _State) -> list[_Sourced]:
    return [one for one in _listed(state) if one.enabled]


def _is_leased(one: _Sourced, now: datetime) -> bool:
    return one.leased_until is not None and now < one.leased_until <= now + CLOCK_ERROR


def _host(one: _Sourced) -> str:
    return registrable_domain(one.known.address or one.source.url)


def _in_turn(due: list[_Sourced], held: Counter[str], abreast: int) -> list[_Sourced]:
    """In which order they are claimed, of those longest due first; `held`: sources of each host that are claimed."""
    ranked = []
    for one in due:
        held[_host(one)] += 1
        ranked.append((max(held[_host(one)], abreast), one))
    return [one for _, one in sorted(ranked, key=lambda each: each[0])]


def _date(member: StoredItem) -> datetime:
    return member.item.published or member.first_seen


def _health(one: _Sourced, items: Iterable[StoredItem]) -> SourceHealth:
    own = [stored for stored in items if stored.item.source == one.source.url]
    return SourceHealth(
        source=one.source,
        enabled=one.enabled,
        last_visit=one.rhythm.last_visit,
        last_success=one.rhythm.last_success,
        last_new=one.rhythm.last_new,
        next_due=one.due if one.enabled else None,
        interval=one.rhythm.interval,
        why=one.why,
        failures=one.rhythm.failures,
        problem=one.failure or one.warning,
        title=one.title,
        site=one.site,
        seen=len(own),
        kept=sum(stored.story is not None for stored in own),
        moved_to=one.rhythm.moved_to,
        status=one.rhythm.status,
        adopted=adopted(one.rhythm) is not None,
        came=one.came,
        found=one.rhythm.found or None,
    )
