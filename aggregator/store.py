"""Remembers sources, items, stories and decisions in a SQL database, each visit in one transaction.

Longer than a module should be: its port is one, and most of its methods are a statement that is read beside them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)

from aggregator import fulltext, leases, rows
from aggregator.database import Database
from aggregator.domains import registrable_domain
from aggregator.exchange import dump
from aggregator.model import (
    Decision,
    Deed,
    Gone,
    Line,
    Past,
    Rights,
    Seed,
    Source,
    SourceHealth,
    StoredItem,
    StoredStory,
    Subscription,
    Task,
)
from aggregator.outbox import SqlOutbox
from aggregator.pace import CLOCK_ERROR, as_configured
from aggregator.retention import forget
from aggregator.schema import (
    change,
    deed,
    gone,
    history,
    item,
    memory,
    rhythm,
    sentence,
    setting,
    shelf,
    source,
    story,
    story_name,
    subscription,
    unlooked,
)
from aggregator.search import Query
from aggregator.soundness import faults
from aggregator.work import AT_ONCE, LAST_MARK, SqlWork, many_items, many_stories, one_item

_PAGE = 500  # items read at once while all are gone through

_LEASE = (
    update(rhythm)
    .where(rhythm.c.url == bindparam("url_"))
    .values(leased_until=bindparam("until"), leased_by=bindparam("by"))
)
_PUT_OFF = (
    update(rhythm)
    .where(rhythm.c.url == bindparam("url_"), rhythm.c.due < bindparam("until"))
    .values(due=bindparam("until"), why=bindparam("why_"))
)
_HOLD_OFF = _PUT_OFF.values(held_until=bindparam("until"))
_PACE = (  # of a source that works, the interval that the operator has given it since its last visit
    update(rhythm)
    .where(rhythm.c.url == bindparam("url_"), rhythm.c.failures == 0, rhythm.c.last_visit.is_not(None))
    .values(
        due=case(
            (rhythm.c.held_until > rhythm.c.last_visit + bindparam("interval_"), rhythm.c.held_until),
            else_=rhythm.c.last_visit + bindparam("interval_"),
        ),
        why=bindparam("why_"),
    )
)
_OF, _HELD = source.alias(), rhythm.alias()
_NEIGHBOURS = (
    select(source.c.url)
    .join(rhythm, rhythm.c.url == source.c.url)
    .where(source.c.host == bindparam("host_"), rhythm.c.due < bindparam("until"))
    .order_by(source.c.url)
)
_VISITED = and_(source.c.position.is_not(None), source.c.enabled.is_(True))


class SqlStore:
    """ports.Store on SQLite or PostgreSQL; see docs/notes/002-store.md.

    `url` is an address as SQLAlchemy writes it. Raises StoreError, here and from every method, in words for a person.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self.outbox = SqlOutbox(self._database)
        self._listed: dict[str, Source] = {}  # with their headers, which are not stored
        if self.get("search") != fulltext.FORM:
            with self._database.writing() as connection:
                fulltext.index_all(connection)
                SqlWork(connection).put("search", fulltext.FORM)

    def enlist(self, sources: Sequence[Source], disabled: Sequence[Source], now: datetime) -> None:
        listed = [(one, True) for one in sources] + [(one, False) for one in disabled]
        wanted = {one.url: (one, enabled, place) for place, (one, enabled) in enumerate(listed)}
        changed, renamed, paced = list[dict[str, Any]](), list[str](), list[dict[str, Any]]()
        with self._database.writing() as connection:
            for row in connection.execute(select(source)):  # of 10,000 that stay as they are, none is written
                one = wanted.pop(row.url, None)
                after = {**row._asdict(), "position": None} if one is None else _source_row(*one, row.host)
                if after != row._asdict():
                    changed.append({**after, "url_": row.url})
                if after["name"] != row.name:
                    renamed.append(row.url)
                if after["interval"] not in (None, row.interval):
                    why = as_configured(timedelta(microseconds=after["interval"]))
                    paced.append({"url_": row.url, "interval_": after["interval"], "why_": why})
            if changed:
                connection.execute(update(source).where(source.c.url == bindparam("url_")), changed)
            if paced:
                connection.execute(_PACE, paced)
            if wanted:
                urls = [{"url": url} for url in wanted]
                connection.execute(insert(source), [_source_row(*one) for one in wanted.values()])
                connection.execute(insert(rhythm).values(due=rows.micros(now), **_UNVISITED), urls)
                connection.execute(insert(memory).values(warning="", title=""), urls)
                connection.execute(insert(sentence).values(counts="[]"), urls)
            fulltext.rename(connection, renamed)
            _free_abandoned(connection)
        self._listed = {one.url: one for one, _ in listed}

    def plant(self, seeds: Sequence[tuple[str, Seed, Sequence[str]]], now: datetime, publish: bool) -> None:
        with self._database.writing() as connection:
            work = SqlWork(connection)
            work.plant(seeds, now, publish)
            work.close()

    def rights(self) -> Mapping[str, Rights]:
        limited = select(source.c.url, source.c.rights).where(source.c.rights.is_not(None))
        with self._database.reading() as connection:
            return {row.url: rows.rights_of(row.rights) for row in connection.execute(limited.order_by(source.c.url))}

    def claim(
        self,
        now: datetime,
        lease: timedelta,
        limit: int | None = None,
        everything: bool = False,
        gap: timedelta = timedelta(0),
        abreast: int = 1,
    ) -> tuple[Task, ...]:
        """As the port says. A task's source has its request headers if this store enlisted it."""
        moment = rows.micros(now)
        astray = rhythm.c.last_visit > rows.micros(now + CLOCK_ERROR)
        wanted = (
            or_(rhythm.c.held_until.is_(None), rhythm.c.held_until <= moment, astray)
            if everything
            else or_(rhythm.c.due <= moment, astray)
        )
        wanted = and_(wanted, _free(now), source.c.host.not_in(_with_others(now, gap)))
        return self._claim(wanted if limit is None else _in_turn(wanted, now, limit, abreast), now, lease)

    def take(self, url: str, now: datetime, lease: timedelta) -> Task | None:
        return next(iter(self._claim(and_(rhythm.c.url == url, _free(now)), now, lease)), None)

    def _claim(self, wanted: ColumnElement[bool], now: datetime, lease: timedelta) -> tuple[Task, ...]:
        due = _TASK.where(_VISITED, wanted).order_by(rhythm.c.due, source.c.position)
        until, holder = rows.micros(now + lease), leases.holder()
        unlocked = due.with_for_update(of=rhythm, skip_locked=True)  # SQLite, where nobody else writes, leaves it out
        with self._database.claiming() as connection:
            tasks = tuple(map(self._task, connection.execute(unlocked)))  # row by row: ten thousand take 40 MB
            for start in range(0, len(tasks), AT_ONCE):
                part = tasks[start : start + AT_ONCE]
                connection.execute(_LEASE, [{"url_": task.source.url, "until": until, "by": holder} for task in part])
        return tasks

    def subscriptions(self) -> tuple[Subscription, ...]:
        with self._database.reading() as connection:
            found = connection.execute(select(subscription).order_by(subscription.c.token)).all()
        return tuple(rows.subscription_of(row) for row in found)

    def subscribe(self, token: str, one: Subscription | None) -> None:
        with self._database.writing() as connection:
            if one is None or not one.stands:
                whose = select(subscription.c.source).where(subscription.c.token == token)
                connection.execute(update(rhythm).where(rhythm.c.url.in_(whose)).values(by_push=False))
            connection.execute(delete(subscription).where(subscription.c.token == token))
            if one is not None:
                connection.execute(insert(subscription), rows.subscription_row(one))

    def release(self, tasks: Iterable[Task]) -> None:
        urls = sorted(task.source.url for task in tasks)
        if freed := [{"url_": url, "until": None, "by": None} for url in urls]:
            with self._database.beside() as connection:
                connection.execute(_LEASE, freed)

    def renew(self, tasks: Iterable[Task], until: datetime) -> None:
        urls, holder = sorted(task.source.url for task in tasks), leases.holder()
        if held := [{"url_": url, "until": rows.micros(until), "by": holder} for url in urls]:
            with self._database.beside() as connection:
                connection.execute(_LEASE.where(rhythm.c.leased_by == holder), held)

    def put_off(self, tasks: Iterable[tuple[Task, datetime]], why: str, *, hold: bool = True) -> None:
        given = sorted((task.source.url, until) for task, until in tasks)
        if values := [{"url_": url, "until": rows.micros(until), "why_": why} for url, until in given]:
            with self._database.beside() as connection:
                connection.execute(_HOLD_OFF if hold else _PUT_OFF, values)
                connection.execute(_LEASE, [{"url_": one["url_"], "until": None, "by": None} for one in values])

    def spare(self, host: str, until: datetime, why: str) -> None:
        wanted = {"host_": host, "until": rows.micros(until)}
        with self._database.beside() as connection:
            if found := connection.execute(_NEIGHBOURS, wanted).scalars().all():
                connection.execute(_HOLD_OFF, [{"url_": one, "until": wanted["until"], "why_": why} for one in found])

    def clock(self) -> datetime | None:
        return self._database.clock()

    def next_due(self) -> datetime | None:
        """When the next source can be claimed: it is due, and not leased."""
        free = case((rhythm.c.leased_until > rhythm.c.due, rhythm.c.leased_until), else_=rhythm.c.due)
        first = select(func.min(free)).join(source, source.c.url == rhythm.c.url).where(_VISITED)
        with self._database.reading() as connection:
            return rows.moment(connection.execute(first).scalar())

    @contextmanager
    def begin(self, *, alone: bool = True) -> Iterator[SqlWork]:
        with self._database.writing() if alone else self._database.beside() as connection:
            work = SqlWork(connection)
            yield work
            work.close()

    def withheld(self) -> tuple[StoredStory, ...]:
        marked = select(story.c.number).where(or_(story.c.withdrawn.is_(True), story.c.held.is_not(None)))
        with self._database.reading() as connection:
            found = many_stories(connection, connection.execute(marked).scalars().all())
        return tuple(one for one in found if one.withholding.in_force)

    def deeds(self, limit: int | None = None) -> tuple[Deed, ...]:
        latest = select(deed).order_by(deed.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return tuple(Deed(rows.instant(row.at), row.story, row.what) for row in connection.execute(latest))

    def stories(self, limit: int | None = None) -> tuple[StoredStory, ...]:
        with self._database.reading() as connection:
            return _newest(connection, _HAS_MEMBERS, limit)

    def named(self, ids: Iterable[str]) -> Mapping[str, StoredStory]:
        wanted = list(ids)
        numbers: dict[str, int] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), AT_ONCE):
                part = {"names": wanted[start : start + AT_ONCE]}
                numbers.update((row.name, row.story) for row in connection.execute(_NAMED, part))
            ordered = sorted(set(numbers.values()))
            found = dict(zip(ordered, many_stories(connection, ordered), strict=True))
        return {name: found[numbers[name]] for name in wanted if name in numbers}

    def days(self) -> tuple[tuple[date, int], ...]:
        with self._database.reading() as connection:
            return tuple((rows.instant(day * rows.DAY).date(), count) for day, count in connection.execute(_DAYS))

    def lines(self, since: datetime, until: datetime) -> tuple[Line, ...]:
        wanted = {"since": rows.micros(since), "until": rows.micros(until)}
        with self._database.reading() as connection:
            found = connection.execute(_LINES, wanted)
            return tuple(Line(row.id, row.title, row.language, rows.instant(row.told)) for row in found)

    def turn(self, size: int, keep: int | None) -> int:
        with self._database.writing() as connection:
            pages = connection.execute(_PAGES).scalar() or 0
            if keep is None:
                return pages
            newest = set(connection.execute(_TOLD.limit(keep)).scalars())
            waiting = list(connection.execute(_TOLD.where(story.c.page.is_(None))).scalars())[::-1]
            while not newest.issuperset(waiting):
                pages += 1
                turned = update(story).where(story.c.number.in_(waiting[:size])).values(page=pages)
                connection.execute(turned)
                del waiting[:size]
        return pages

    def page(self, number: int) -> tuple[StoredStory, ...]:
        with self._database.reading() as connection:
            return _newest(connection, _HAS_MEMBERS & (story.c.page == number))

    def gone(self, limit: int | None = None, page: int | None = None) -> tuple[Gone, ...]:
        newest = _GONE.order_by(gone.c.at.desc(), gone.c.id).limit(limit)
        if page is not None:
            newest = newest.where(gone.c.page == page)
        with self._database.reading() as connection:
            found = connection.execute(newest).all()
        return tuple(
            Gone(row.id, rows.instant(row.at), row.into if row.into != row.id else None, row.page) for row in found
        )

    def search(self, query: Query, limit: int, offset: int = 0) -> tuple[StoredStory, ...]:
        with self._database.reading() as connection:
            numbers = fulltext.found(connection, query, limit, offset)
            found = dict(zip(sorted(numbers), many_stories(connection, numbers), strict=True))
        return tuple(found[number] for number in numbers)

    def is_gone(self, id: str) -> bool:
        with self._database.reading() as connection:
            found = connection.execute(_GONE.where(gone.c.id == id)).one_or_none()
        return found is not None and found.into in (None, id)

    def file(self, slices: Mapping[str, Collection[str]], version: str) -> None:
        if not slices:
            return
        touched = {name for names in slices.values() for name in names}
        with self._database.writing() as connection:
            for id, names in slices.items():
                touched.update(connection.execute(_SHELVED, {"id_": id}).scalars())
                connection.execute(_UNSHELVE, {"id_": id})
                if names:
                    connection.execute(_SHELVE, [{"slice": name, "id": id} for name in sorted(names)])
            work = SqlWork(connection)
            versions = json.loads(work.get(_SLICES) or "{}")
            work.put(_SLICES, json.dumps(versions | dict.fromkeys(sorted(touched), version)))

    def slices(self) -> Mapping[str, str]:
        versions: dict[str, str] = json.loads(self.get(_SLICES) or "{}")
        return versions

    def sliced(self, slices: Collection[str], limit: int) -> Mapping[str, tuple[StoredStory, ...]]:
        """As the port says; a story that stands in several is read once."""
        with self._database.reading() as connection:
            filed = {name: connection.execute(_SLICED, {"slice_": name, "limit_": limit}).all() for name in slices}
            numbers = {row.number for stands in filed.values() for row in stands}
            told = _newest(connection, _HAS_MEMBERS & story.c.number.in_(numbers))
        ids = {name: {row.id for row in stands} for name, stands in filed.items()}
        return {name: tuple(one for one in told if one.id in ids[name]) for name in slices}

    def mark(self) -> int:
        with self._database.reading() as connection:
            return connection.execute(LAST_MARK).scalar() or 0

    def changed(self, after: int) -> frozenset[str]:
        with self._database.reading() as connection:
            return frozenset(connection.execute(select(change.c.id).where(change.c.mark > after)).scalars())

    def items(self, link_or_id: str) -> tuple[StoredItem, ...]:
        with self._database.reading() as connection:
            return many_items(connection, or_(item.c.link == link_or_id, item.c.id == link_or_id))

    def item(self, key: int) -> StoredItem | None:
        if not 0 <= key <= rows.LARGEST:
            return None
        with self._database.reading() as connection:
            return one_item(connection, item.c.key == key)

    def lately(
        self, limit: int, before: int | None = None, source: str | None = None, decision: Decision | None = None
    ) -> tuple[StoredItem, ...]:
        wanted: list[ColumnElement[bool]] = [item.c.seed.is_(False)]
        if before is not None:
            wanted.append(item.c.key < before)
        if source is not None:
            wanted.append(item.c.source == source)
        if decision is not None:
            wanted.append(_counts_as(decision))
        with self._database.reading() as connection:
            return many_items(connection, and_(*wanted), item.c.key.desc(), limit=limit)

    def visits(self, limit: int, source: str | None = None) -> tuple[Past, ...]:
        newest = select(history).order_by(history.c.number.desc()).limit(limit)
        if source is not None:
            newest = newest.where(history.c.source == source)
        with self._database.reading() as connection:
            return tuple(rows.past_of(row) for row in connection.execute(newest))

    def rulings(self) -> Mapping[int, str]:
        ruled = select(item.c.key, item.c.ruling).where(item.c.ruling.is_not(None)).order_by(item.c.key)
        with self._database.reading() as connection:
            return {row.key: row.ruling for row in connection.execute(ruled)}

    def has_unlooked(self) -> bool:
        with self._database.reading() as connection:
            return connection.execute(select(unlooked.c.item).limit(1)).first() is not None

    def undecided(self, limit: int, doubtful: float = 0.0) -> tuple[StoredItem, ...]:
        open = and_(item.c.ruling.is_(None), item.c.seed.is_(False))
        below = and_(item.c.decision == literal_column("'undecided'"), open)
        above = and_(item.c.decision == literal_column("'kept'"), item.c.score < doubtful, open)
        with self._database.reading() as connection:
            near = many_items(connection, below, item.c.score.desc(), limit=limit)
            return near + many_items(connection, above, item.c.score, limit=limit - len(near))

    def retained(self) -> Iterator[StoredItem]:
        """As the port says, page by page, so that what it yields may be changed meanwhile."""
        last, more = -1, True
        while more:
            with self._database.reading() as connection:
                wanted = and_(item.c.key > last, item.c.seed.is_(False), item.c.retained)
                page = many_items(connection, wanted, limit=_PAGE)
            yield from page
            more = len(page) == _PAGE
            last = page[-1].key if page else last

    def repeated(self) -> Mapping[str, frozenset[int]]:
        learned = select(memory.c.url, memory.c.boilerplate).where(memory.c.boilerplate.is_not(None))
        with self._database.reading() as connection:
            return {url: frozenset(json.loads(hashes)) for url, hashes in connection.execute(learned)}

    def health(self) -> tuple[SourceHealth, ...]:
        counts = select(item.c.source, func.count(), func.count(item.c.story)).group_by(item.c.source)
        with self._database.reading() as connection:
            seen = {url: (items, kept) for url, items, kept in connection.execute(counts)}
            found = connection.execute(_HEALTH).all()
        return tuple(_health_of(row, self._source(row), *seen.get(row.url, (0, 0))) for row in found)

    def get(self, name: str) -> str | None:
        with self._database.reading() as connection:
            return connection.execute(select(setting.c.value).where(setting.c.name == name)).scalar()

    def put(self, name: str, value: str) -> None:
        with self._database.writing() as connection:
            SqlWork(connection).put(name, value)

    def forget(self, texts_before: datetime | None, items_before: datetime | None) -> int:
        return forget(self._database, texts_before, items_before)

    def dump(self) -> Iterator[str]:
        return dump(self._database)

    def check(self) -> tuple[str, ...]:
        return faults(self._database)

    def backup(self, path: str) -> None:
        self._database.backup(path)

    def close(self) -> None:
        self._database.close()

    def _task(self, row: Any) -> Task:
        known, rhythm = rows.known_of(row[_SOURCE_ENDS:_KNOWN_ENDS]), rows.rhythm_of(row[_KNOWN_ENDS:])
        return Task(self._source(row), known, rhythm)

    def _source(self, row: Any) -> Source:
        return self._listed.get(row.url) or rows.source_of(row)


_UNVISITED = {
    "why": "new",
    "failure": "",
    "failures": 0,
    "moved_count": 0,
    "distrust": False,
    "by_push": False,
    "came": "",
}

_TASK = (
    select(source, *rows.KNOWN, *rows.RHYTHM)
    .join(rhythm, rhythm.c.url == source.c.url)
    .join(memory, memory.c.url == source.c.url)
)
_SOURCE_ENDS = len(source.c)  # where the columns of a Known begin in a row of _TASK
_KNOWN_ENDS = _SOURCE_ENDS + len(rows.KNOWN)
_HEALTH = (
    select(source, rhythm.c.interval.label("pace"), memory.c.warning, memory.c.title, memory.c.site)
    .add_columns(*(column for column in rhythm.c if column.name not in ("url", "interval")))
    .join(rhythm, rhythm.c.url == source.c.url)
    .join(memory, memory.c.url == source.c.url)
    .where(source.c.position.is_not(None))
    .order_by(source.c.position)
)


_NAMED = select(story_name).where(story_name.c.name.in_(bindparam("names", expanding=True)))
_DAYS: Executable = (
    select(literal_column(f"told / {rows.DAY}").label("day"), func.count())
    .select_from(story)
    .where(story.c.told.is_not(None))
    .group_by("day")
    .order_by("day")
)
_OWN = item.alias()  # a seed's text, which stands for its story where no member leads it
_SEED_TEXT = select(func.min(_OWN.c.key)).where(_OWN.c.story == story.c.number, _OWN.c.seed).scalar_subquery()
_LINES = (
    select(story.c.id, item.c.title, item.c.language, story.c.told)
    .join_from(story, item, item.c.key == func.coalesce(story.c.lead, _SEED_TEXT))
    .where(story.c.told >= bindparam("since"), story.c.told < bindparam("until"))
    .order_by(story.c.told.desc(), story.c.id)
)
_PAGES = select(func.max(story.c.page)).where(story.c.page.is_not(None))
_GONE = (
    select(gone, story.c.id.label("into"))
    .outerjoin_from(gone, story_name, story_name.c.name == gone.c.id)
    .outerjoin(story, and_(story.c.number == story_name.c.story, story.c.told.is_not(None)))
)
_SLICES = "slices"  # setting: name → version
_SHELVED = select(shelf.c.slice).where(shelf.c.id == bindparam("id_"))
_UNSHELVE = delete(shelf).where(shelf.c.id == bindparam("id_"))
_SHELVE = text(
    "INSERT INTO shelf (slice, told, id) SELECT :slice, told, id FROM story WHERE id = :id AND told IS NOT NULL"
)
_SLICED = (
    select(story.c.number, story.c.id)
    .join(shelf, shelf.c.id == story.c.id)
    .where(shelf.c.slice == bindparam("slice_"), story.c.told.is_not(None))
    .order_by(shelf.c.told.desc(), shelf.c.id)
    .limit(bindparam("limit_"))
)
_HAS_MEMBERS = select(item.c.key).where(item.c.story == story.c.number).exists()
_TOLD = (
    select(story.c.number)
    .where(story.c.told.is_not(None))
    .order_by(story.c.told.desc(), story.c.dated.desc(), story.c.id)
)


def _source_row(one: Source, enabled: bool, position: int, host: str | None = None) -> dict[str, Any]:
    """All columns of a listed source; `host`: as it was when it was listed first."""
    return {**rows.source_row(one, enabled, position), "host": host or registrable_domain(one.url)}


def _newest(connection: Connection, wanted: ColumnElement[bool], limit: int | None = None) -> tuple[StoredStory, ...]:
    """Told stories, in the order in which they are published."""
    numbers = connection.execute(_TOLD.where(wanted).limit(limit)).scalars().all()
    found = dict(zip(sorted(numbers), many_stories(connection, numbers), strict=True))
    return tuple(found[number] for number in numbers)


def _counts_as(decision: Decision) -> ColumnElement[bool]:
    """Items of which this holds: by the curator's word, else by the verdict."""
    as_indexed: ColumnElement[str] = literal_column(f"'{decision.value}'")
    judged = and_(item.c.ruling.is_(None), item.c.decision == as_indexed)
    match decision:
        case Decision.KEPT:
            return or_(item.c.ruling == "keep", judged)
        case Decision.DROPPED:
            return or_(item.c.ruling == "drop", judged)
        case Decision.UNDECIDED:
            return judged


def _free(now: datetime) -> ColumnElement[bool]:
    """Sources that nobody holds."""
    moment, beyond = rows.micros(now), rows.micros(now + CLOCK_ERROR)
    return or_(rhythm.c.leased_until.is_(None), rhythm.c.leased_until <= moment, rhythm.c.leased_until > beyond)


def _in_turn(wanted: ColumnElement[bool], now: datetime, limit: int, abreast: int) -> ColumnElement[bool]:
    """So many of those that are wanted: what can begin at once first, then all hosts in turn."""
    mine = and_(_HELD.c.leased_by == leases.holder(), _HELD.c.leased_until > rows.micros(now))
    held = select(_OF.c.host, func.count().label("number")).join(_HELD, _HELD.c.url == _OF.c.url).where(mine)
    hosts = held.group_by(_OF.c.host).subquery()
    longest_due = (rhythm.c.due, source.c.position)
    nth = func.row_number().over(partition_by=source.c.host, order_by=longest_due) + func.coalesce(hosts.c.number, 0)
    due = (
        select(source.c.url, *longest_due, case((nth > abreast, nth), else_=abreast).label("turn"))
        .join(rhythm, rhythm.c.url == source.c.url)
        .outerjoin(hosts, hosts.c.host == source.c.host)
        .where(_VISITED, wanted)
        .subquery()
    )
    first = select(due.c.url).order_by(due.c.turn, due.c.due, due.c.position).limit(limit)
    return source.c.url.in_(first)


def _with_others(now: datetime, gap: timedelta) -> Select[tuple[str]]:
    """The hosts of which another process holds a source, or visited one less than a gap ago."""
    moment, before, beyond = (rows.micros(time) for time in (now, now - gap, now + CLOCK_ERROR))
    held = and_(_HELD.c.leased_until > moment, _HELD.c.leased_until <= beyond)
    lately = and_(_HELD.c.last_visit > before, _HELD.c.last_visit <= beyond)
    theirs = and_(_HELD.c.leased_by != leases.holder(), or_(held, lately))
    return select(_OF.c.host).join(_HELD, _HELD.c.url == _OF.c.url).where(theirs, _OF.c.host.is_not(None))


def _free_abandoned(connection: Connection) -> None:
    """End the leases of processes that were killed: nobody else will."""
    held = select(rhythm.c.leased_by).where(rhythm.c.leased_by.is_not(None)).distinct()
    if ended := [name for name in connection.execute(held).scalars() if leases.has_ended(name)]:
        freed = update(rhythm).where(rhythm.c.leased_by.in_(ended))
        connection.execute(freed.values(leased_until=None, leased_by=None))


def _health_of(row: Any, source: Source, seen: int, kept: int) -> SourceHealth:
    return SourceHealth(
        source=source,
        enabled=row.enabled,
        last_visit=rows.moment(row.last_visit),
        last_success=rows.moment(row.last_success),
        last_new=rows.moment(row.last_new),
        next_due=rows.moment(row.due) if row.enabled else None,
        interval=rows.length(row.pace),
        why=row.why,
        failures=row.failures,
        problem=row.failure or row.warning,
        title=row.title,
        site=row.site,
        seen=seen,
        kept=kept,
        moved_to=row.moved_to,
        came=row.came,
        found=row.found or None,
        status=row.status,
        adopted=row.address is not None,
    )
