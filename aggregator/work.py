"""One transaction on the store's database: what settling a visit reads and writes.

Longer than a module should be, so that all that happens in one transaction is one class, beside its port.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from aggregator import fulltext, rows
from aggregator.candidates import Hit, nearest, representatives
from aggregator.domains import registrable_domain
from aggregator.errors import NotFoundError, StoreError
from aggregator.holding import joined
from aggregator.model import Changed, Evidence, Judged, Past, Plan, Seed, StoredItem, StoredStory, Visit, Withholding
from aggregator.pace import adopted
from aggregator.planting import merged_told, seed_judged, seed_told
from aggregator.schema import (
    change,
    deed,
    doubt,
    gone,
    history,
    item,
    item_key,
    memory,
    parted,
    rhythm,
    sentence,
    setting,
    source,
    story,
    story_name,
    unlooked,
)

# Items looked at per key, the newest first, seeds before all. A key that more items share within the window is as
# common as a word; without a limit, one shared by 10,000 items cost 30 ms, and told nothing.
PER_KEY = 200
# Visits in the history: of a hundred sources visited hourly, those of forty days; some 15 MB.
REMEMBERED = 100_000
COMPARED = 2_000  # items that a transaction remembers to compare others with, of 1 to 25 kB
AT_ONCE = 500  # values in one IN or UNION; SQLite takes no more than 500 parts of a UNION

_ITEM = select(*rows.STORED).outerjoin_from(item, story, item.c.story == story.c.number)
_ITEM_FOUND = _ITEM.where(item.c.id == bindparam("id_"), item.c.source == bindparam("source_"))
_ITEM_EITHER = _ITEM.where(
    item.c.id.in_([bindparam("id_"), bindparam("other_")]), item.c.source == bindparam("source_")
)
_ITEMS_STORED = select(item.c.source, item.c.id).where(
    item.c.id.in_(bindparam("ids", expanding=True)), item.c.source.in_(bindparam("sources", expanding=True))
)
_ITEM_LINKED = _ITEM.where(item.c.link == bindparam("link_"), item.c.source == bindparam("source_"))
_PLACES = select(
    *(item.c.story, item.c.seed, item.c.first_seen, item.c.published, item.c.hashes, story.c.withdrawn)
).outerjoin_from(item, story, item.c.story == story.c.number)
_PLACE = _PLACES.where(item.c.key == bindparam("key_"))
_STORY = (
    select(story).join(story_name, story_name.c.story == story.c.number).where(story_name.c.name == bindparam("id_"))
)
LAST_MARK = select(func.max(change.c.mark))
_CHANGE = update(item).where(item.c.key == bindparam("key_"))
_RECORD = update(rhythm).where(rhythm.c.url == bindparam("url_"))
_HOUSE = (
    update(source)
    .where(source.c.url == bindparam("url_"), source.c.host != bindparam("host_"))
    .values(host=bindparam("host_"))
)
_REMEMBER = update(memory).where(memory.c.url == bindparam("url_"))
_COUNTED = select(sentence.c.url, sentence.c.counts).where(sentence.c.url.in_(bindparam("urls", expanding=True)))
_COUNT = update(sentence).where(sentence.c.url == bindparam("url_"))


def one_item(connection: Connection, where: ColumnElement[bool]) -> StoredItem | None:
    row = connection.execute(_ITEM.where(where)).one_or_none()
    return None if row is None else rows.stored_of(row)


def many_items(
    connection: Connection, where: ColumnElement[bool], *order: ColumnElement[Any], limit: int | None = None
) -> tuple[StoredItem, ...]:
    found = connection.execute(_ITEM.where(where).order_by(*order, item.c.key).limit(limit))
    return tuple(rows.stored_of(row) for row in found)


def many_stories(connection: Connection, numbers: Sequence[int]) -> tuple[StoredStory, ...]:
    """Stories by their numbers, in the order in which they began, with all members."""
    found: list[StoredStory] = []
    ordered = sorted(numbers)
    for start in range(0, len(ordered), AT_ONCE):
        part = ordered[start : start + AT_ONCE]
        members: defaultdict[str, list[StoredItem]] = defaultdict(list)
        for row in connection.execute(_MEMBERS, {"numbers": part}):
            members[row.story_id].append(rows.stored_of(row))
        told = connection.execute(_STORIES, {"numbers": part})
        found += (_story_of(row, members[row.id]) for row in told)
    return tuple(found)


_MEMBERS = _ITEM.where(item.c.story.in_(bindparam("numbers", expanding=True)))
_ITEMS = _ITEM.where(item.c.key.in_(bindparam("keys", expanding=True)))
_STORIES: Select[Any] = (
    select(story).where(story.c.number.in_(bindparam("numbers", expanding=True))).order_by(story.c.number)
)


def _story_of(row: Any, members: Iterable[StoredItem]) -> StoredStory:
    told, updated = rows.moment(row.told), rows.instant(row.updated)
    ordered = tuple(sorted(members, key=lambda one: one.appeared))
    return StoredStory(row.id, row.seed, told, updated, row.lead, ordered, rows.withholding_of(row))


class _Place(NamedTuple):
    """What decides under which keys an item is found; the columns of _PLACE."""

    story: int | None
    seed: bool
    first_seen: int
    published: int | None
    hashes: bytes
    withdrawn: bool | None = False  # its story is; None: it stands in none

    def entries(self) -> frozenset[tuple[int, int]]:
        """Pairs of a key's hash and how long the item is looked at under it; a seed, or one withdrawn, has no age."""
        if self.story is None:
            return frozenset()
        dated = self.first_seen if self.published is None else self.published
        at = rows.BEYOND_TIME if self.seed or self.withdrawn else max(self.first_seen, dated)
        return frozenset((one, at) for one in rows.unpack_keys(self.hashes))


@cache
def _sharing(count: int) -> TextClause:
    """Items in stories under any of so many keys, and how much they share: one for each key, divided by its items.

    As text, since building this many parts takes 1 ms.
    """
    parts = (
        f"SELECT item, 1.0 / count(*) OVER () AS part FROM (SELECT item FROM item_key WHERE key = :key{n}"  # noqa: S608 (numbers only)
        f" AND at >= :since AND item < :before ORDER BY at DESC, item DESC LIMIT {PER_KEY}) AS part{n}"
        for n in range(count)
    )
    shared = f"SELECT item, sum(part) AS shared FROM ({' UNION ALL '.join(parts)}) AS hits GROUP BY item"  # noqa: S608
    return text(
        "SELECT item.story, item.key, item.seed, shares.shared FROM item"  # noqa: S608
        f" JOIN ({shared}) AS shares ON shares.item = item.key WHERE item.story IS NOT NULL"
    )


@cache
def _doubting(count: int) -> TextClause:
    """Undecided items under any of so many keys, those first that share most, measured as in `_sharing`."""
    parts = (
        f"SELECT item, 1.0 / count(*) OVER () AS part FROM (SELECT item FROM doubt WHERE key = :key{n}"  # noqa: S608 (numbers only)
        f" AND at >= :since ORDER BY at DESC, item DESC LIMIT {PER_KEY}) AS part{n}"
        for n in range(count)
    )
    shared = f"SELECT item, sum(part) AS shared FROM ({' UNION ALL '.join(parts)}) AS hits GROUP BY item"  # noqa: S608
    return text(
        f"SELECT item.key FROM item JOIN ({shared}) AS shares ON shares.item = item.key"  # noqa: S608
        " WHERE item.decision = 'undecided' AND item.ruling IS NULL AND item.story IS NULL"
        " ORDER BY shares.shared DESC, item.key LIMIT :limit"
    )


@cache
def _first(stories: int) -> TextClause:
    """The first members of so many stories."""
    parts = (
        f"SELECT * FROM (SELECT key, story FROM item WHERE story = :story{n} ORDER BY key LIMIT :members) AS part{n}"  # noqa: S608 (numbers only)
        for n in range(stories)
    )
    return text(" UNION ALL ".join(parts))


class SqlWork:
    """ports.Work within a transaction that is open on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._touched: set[int] = set()  # numbers of stories that may look different from now on
        self._aside: dict[
            tuple[str, str], dict[str, Any]
        ] = {}  # source and id → row of an item that is not written yet
        self._unlooked: set[int] = set()  # to be looked at again, and not yet written
        # By key, the items that some were compared with and that have not changed since: the next is compared with
        # many of them again, and each takes 20 µs to read.
        self._compared: dict[int, StoredItem] = {}

    def close(self) -> None:
        """Note which stories have to be published anew, and found by other words; the last act of the transaction."""
        self._write_aside()
        self._write_unlooked()
        touched = sorted(self._touched)
        if touched:
            mark = (self._connection.execute(LAST_MARK).scalar() or 0) + 1
            self._connection.execute(_NOTE_CHANGE, [{"story": number, "mark": mark} for number in touched])
        fulltext.index(self._connection, touched)

    def find(self, source: str, id: str) -> StoredItem | None:
        self._write_aside((source, id))
        row = self._connection.execute(_ITEM_FOUND, {"id_": id, "source_": source}).one_or_none()
        return None if row is None else rows.stored_of(row)

    def either(self, source: str, id: str, other: str) -> dict[str, StoredItem]:
        self._write_aside((source, id), (source, other))
        found = self._connection.execute(_ITEM_EITHER, {"id_": id, "other_": other, "source_": source})
        return {stored.item.id: stored for stored in map(rows.stored_of, found)}

    def stored(self, items: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        wanted, found = sorted(set(items)), set[tuple[str, str]]()
        for start in range(0, len(wanted), AT_ONCE):
            sources, ids = (sorted(set(each)) for each in zip(*wanted[start : start + AT_ONCE], strict=True))
            there = self._connection.execute(_ITEMS_STORED, {"ids": ids, "sources": sources})
            found.update((source, id) for source, id in there)
        return frozenset(wanted) & (found | self._aside.keys())

    def linked(self, source: str, link: str) -> tuple[StoredItem, ...]:
        self._write_aside()
        found = self._connection.execute(_ITEM_LINKED, {"link_": link, "source_": source})
        return tuple(rows.stored_of(row) for row in found)

    def candidates(
        self,
        keys: Iterable[str],
        since: datetime,
        stories: int | None = None,
        members: int | None = None,
        before: int | None = None,
    ) -> tuple[StoredStory, ...]:
        """As the port says; of a key that more than PER_KEY items share, the newest and the seeds."""
        found: defaultdict[int, list[Hit]] = defaultdict(list)
        for number, *sharing in self._sharing(keys, since, rows.LARGEST if before is None else before):
            found[number].append(Hit(*sharing))
        numbers = nearest(found, stories)
        if members is None or not numbers:
            return many_stories(self._connection, numbers)
        return self._in_part(self._some(numbers, found, members))

    def _sharing(self, keys: Iterable[str], since: datetime, before: int) -> Iterator[Any]:
        hashes = rows.unpack_keys(rows.pack_keys(keys))
        for start in range(0, len(hashes), AT_ONCE):
            part = hashes[start : start + AT_ONCE]
            values = {f"key{n}": one for n, one in enumerate(part)} | {"since": rows.micros(since), "before": before}
            yield from self._connection.execute(_sharing(len(part)), values)

    def _some(self, numbers: Sequence[int], found: Mapping[int, list[Hit]], members: int) -> dict[int, list[int]]:
        """Keys of so many members of each story: half of them those that share most, the rest the first."""
        chosen: dict[int, list[int]] = {}
        for start in range(0, len(numbers), AT_ONCE):
            part = numbers[start : start + AT_ONCE]
            first: defaultdict[int, list[int]] = defaultdict(list)
            values = {f"story{n}": number for n, number in enumerate(part)} | {"members": members}
            for key, number in self._connection.execute(_first(len(part)), values):
                first[number].append(key)
            chosen |= {number: representatives(found[number], first[number], members) for number in part}
        return chosen

    def _in_part(self, chosen: Mapping[int, Sequence[int]]) -> tuple[StoredStory, ...]:
        """Stories by their numbers, in the order in which they began, each with the members of these keys."""
        if len(self._compared) > COMPARED:
            self._compared.clear()
        unread = [key for keys in chosen.values() for key in keys if key not in self._compared]
        for start in range(0, len(unread), AT_ONCE):
            read = self._connection.execute(_ITEMS, {"keys": unread[start : start + AT_ONCE]})
            self._compared.update((stored.key, stored) for stored in map(rows.stored_of, read))
        numbers, found = sorted(chosen), list[StoredStory]()
        for start in range(0, len(numbers), AT_ONCE):
            told = self._connection.execute(_STORIES, {"numbers": numbers[start : start + AT_ONCE]})
            found += (_story_of(row, map(self._compared.__getitem__, chosen[row.number])) for row in told)
        return tuple(found)

    def add(self, judged: Judged, keys: Iterable[str], now: datetime) -> int:
        return self._add(judged, keys, now, seed=False)

    def add_aside(self, judged: Judged, now: datetime) -> None:
        entry = judged.item
        self._aside[entry.source, entry.id] = _item_values(judged, (), now, seed=False)

    def _write_aside(self, *asked: tuple[str, str]) -> None:
        """Write what was set aside; `asked`: only if some of these are among it, which then can be read."""
        if self._aside and (not asked or not self._aside.keys().isdisjoint(asked)):
            self._connection.execute(_insertion(item), list(self._aside.values()))
            self._aside.clear()

    def edit(self, key: int, judged: Judged, keys: Iterable[str]) -> None:
        before, values = self._place(key), rows.item_row(judged, keys)
        self._compared.pop(key, None)
        self._touch(before.story)
        self._connection.execute(_CHANGE, {"key_": key, **values})
        self._index(key, before, before._replace(published=values["published"], hashes=values["hashes"]))

    def assign(self, key: int, story: str | None, evidence: Evidence | None) -> None:
        before, row = self._place(key), None if story is None else self._story_row(story)
        number = None if row is None else row.number
        self._compared.pop(key, None)
        self._touch(before.story, number)
        self._connection.execute(_CHANGE, {"key_": key, "story": number, "evidence": rows.evidence_json(evidence)})
        self._index(key, before, before._replace(story=number, withdrawn=None if row is None else row.withdrawn))

    def found(self, story: str, now: datetime) -> None:
        self._found(story, None, now, seed=False)

    def story(self, id: str) -> StoredStory | None:
        row = self._connection.execute(_STORY, {"id_": id}).one_or_none()
        return None if row is None else many_stories(self._connection, (row.number,))[0]

    def tell(self, story: str, told: datetime | None, lead: int | None, updated: datetime) -> None:
        row = self._story_row(story)
        self._note_telling(row, told, updated)
        self._set(row.number, told=rows.micros(told), lead=lead, updated=rows.micros(updated))

    def merge(self, story: str, into: str, now: datetime) -> None:
        """As the port says; the merged story was told as `planting.merged_told` says, and is a seed if either is."""
        old, stays = self._story_row(story), self._story_row(into)
        if old.number == stays.number:
            return
        self._compared.clear()
        self._note_telling(old, None, now)
        self._touch(stays.number)
        told = merged_told((old.seed, old.told), (stays.seed, stays.told))
        self._note_telling(stays, rows.moment(told), now)
        self._set(stays.number, told=told, seed=old.seed or stays.seed)
        already = select(parted.c.item).where(parted.c.story == stays.number)
        for statement in (
            delete(parted).where(parted.c.story == old.number, parted.c.item.in_(already)),
            update(parted).where(parted.c.story == old.number).values(story=stays.number),
            update(item).where(item.c.story == old.number).values(story=stays.number),
            update(story_name).where(story_name.c.story == old.number).values(story=stays.number),
        ):
            self._connection.execute(statement)
        self._delete_story(old.number)
        self._withhold(stays, joined(rows.withholding_of(old), rows.withholding_of(stays)))

    def withhold(self, story: str, withholding: Withholding, done: str, now: datetime) -> None:
        row = self._story_row(story)
        self._withhold(row, withholding)
        if done:
            self._connection.execute(insert(deed).values(at=rows.micros(now), story=row.id, what=done))

    def _withhold(self, row: Any, withholding: Withholding) -> None:
        if withholding == rows.withholding_of(row) == Withholding():
            return
        self._set(row.number, **rows.withholding_row(withholding))
        if not (withholding.withdrawn or row.withdrawn):
            return
        places = self._connection.execute(_PLACES.add_columns(item.c.key).where(item.c.story == row.number)).all()
        for *values, key in places:  # after a merge, some may be found by their dates and some at any age
            place = _Place(*values)
            for before in (False, True):
                self._index(key, place._replace(withdrawn=before), place._replace(story=None))
            self._index(key, place._replace(story=None), place._replace(withdrawn=withholding.withdrawn))

    def index_all(self) -> None:
        """Enter all items under their keys; none must be."""
        for *values, key in self._connection.execute(_PLACES.add_columns(item.c.key)).all():
            place = _Place(*values)
            self._index(key, place._replace(story=None), place)

    def get(self, name: str) -> str | None:
        return self._connection.execute(select(setting.c.value).where(setting.c.name == name)).scalar()

    def put(self, name: str, value: str) -> None:
        self._connection.execute(delete(setting).where(setting.c.name == name))
        self._connection.execute(insert(setting).values(name=name, value=value))

    def rule(self, key: int, ruling: str | None) -> None:
        self._compared.pop(key, None)
        if not self._connection.execute(_CHANGE, {"key_": key, "ruling": ruling}).rowcount:
            raise _no_item(key)

    def part(self, key: int, story: str) -> None:
        row = self._story_row(story)
        if self._place(key) and row.id not in self.parted(key):
            self._connection.execute(insert(parted).values(item=key, story=row.number))

    def parted(self, key: int) -> frozenset[str]:
        ids = select(story.c.id).join(parted, parted.c.story == story.c.number).where(parted.c.item == key)
        return frozenset(self._connection.execute(ids).scalars())

    def look_at(self, key: int) -> None:
        self._unlooked.add(key)

    def unlooked(self, limit: int) -> tuple[StoredItem, ...]:
        self._write_unlooked()
        found = self._connection.execute(_UNLOOKED.limit(limit))
        return tuple(rows.stored_of(row) for row in found)

    def looked(self, keys: Iterable[int]) -> None:
        done = [{"item_": key} for key in keys]
        if done:
            self._unlooked.difference_update(one["item_"] for one in done)
            self._connection.execute(_LOOKED, done)

    def _write_unlooked(self) -> None:
        if self._unlooked:
            self._connection.execute(_LOOK_AT, [{"item": key} for key in sorted(self._unlooked)])
            self._unlooked.clear()

    def doubt(self, stored: StoredItem, keys: Iterable[str]) -> None:
        at = rows.micros(stored.first_seen)
        found = [{"key": one, "at": at, "item": stored.key} for one in rows.unpack_keys(rows.pack_keys(keys))]
        self._connection.execute(_DOUBT, found)

    def doubtful(self, keys: Iterable[str], since: datetime, limit: int) -> tuple[StoredItem, ...]:
        hashes = rows.unpack_keys(rows.pack_keys(keys))[:AT_ONCE]
        values = {f"key{n}": one for n, one in enumerate(hashes)} | {"since": rows.micros(since), "limit": limit}
        found = self._connection.execute(_doubting(len(hashes)), values).scalars().all()
        read = {row.key: rows.stored_of(row) for row in self._connection.execute(_ITEMS, {"keys": found})}
        return tuple(read[key] for key in found)

    def doubt_no_more(self, before: datetime) -> None:
        self._connection.execute(delete(doubt).where(doubt.c.at < rows.micros(before)))

    def record(self, visit: Visit, plan: Plan, sentences: Mapping[int, int]) -> None:
        self.record_together([(visit, plan, sentences)])

    def record_together(self, ended: Sequence[tuple[Visit, Plan, Mapping[int, int]]]) -> None:
        self.record_quiet([(visit, plan) for visit, plan, _ in ended])
        boilerplate = self._count({visit.source.url: sentences for visit, _, sentences in ended if sentences})
        shapes: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)  # by their columns
        for visit, _, sentences in ended:
            learned = rows.memory_row(visit, visit.outcome) if isinstance(visit.outcome, Changed) else {}
            if sentences:
                learned |= {"boilerplate": boilerplate[visit.source.url]}
            if learned:
                shapes[len(learned)].append({"url_": visit.source.url, **learned})
        for alike in shapes.values():
            self._connection.execute(_REMEMBER, alike)

    def record_quiet(self, visits: Iterable[tuple[Visit, Plan]]) -> None:
        shapes: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)  # by their columns: see visit_row
        asked = dict[str, str]()
        for visit, plan in visits:
            values = {"url_": visit.source.url, **rows.visit_row(visit, plan)}
            shapes[len(values)].append(values)
            if plan.rhythm.moved_to or plan.rhythm.failures:  # others are not asked elsewhere than before
                asked[visit.source.url] = adopted(plan.rhythm) or visit.source.url
        for alike in shapes.values():
            alike.sort(key=itemgetter("url_"))  # as Database.beside has it
            if self._connection.execute(_RECORD, alike).rowcount < len(alike):
                raise self._unlisted([values["url_"] for values in alike])
        self._house(asked)

    def log(self, visits: Sequence[Past]) -> None:
        if visits:
            self._connection.execute(_LOG, [rows.past_row(past) for past in visits])
            self._connection.execute(_FORGET_VISITS)

    def _house(self, asked: Mapping[str, str]) -> None:
        """Keep of which host a source is that is asked at this address, by its url."""
        if housed := [{"url_": url, "host_": registrable_domain(address)} for url, address in sorted(asked.items())]:
            self._connection.execute(_HOUSE, housed)

    def _unlisted(self, urls: Sequence[str]) -> NotFoundError:
        known = set(self._connection.execute(select(rhythm.c.url).where(rhythm.c.url.in_(urls))).scalars())
        missing = next(url for url in urls if url not in known)
        return NotFoundError(f"the source {missing} was never listed; name it in the configuration first")

    def _count(self, told: Mapping[str, Mapping[int, int]]) -> dict[str, str | None]:
        """Add to sources' counts; the boilerplate of each from now on, as JSON."""
        urls = list(told)
        known: dict[str, str | None] = {}
        for start in range(0, len(urls), AT_ONCE):
            found = self._connection.execute(_COUNTED, {"urls": urls[start : start + AT_ONCE]})
            known.update((row.url, row.counts) for row in found)
        added = {url: rows.add_counts(known.get(url), sentences) for url, sentences in told.items()}
        if added:
            self._connection.execute(_COUNT, [{"url_": url, "counts": counts} for url, (counts, _) in added.items()])
        return {url: boilerplate for url, (_, boilerplate) in added.items()}

    def plant(self, seeds: Sequence[tuple[str, Seed, Sequence[str]]], now: datetime, publish: bool) -> None:
        """Make the seed stories match, see ports.Store.plant."""
        planted = {row.id: row.key for row in self._connection.execute(_SEEDS)}
        for id in planted.keys() - {seed.id for _, seed, _ in seeds}:
            self._uproot(planted[id], now)
        first = rows.moment(self._connection.execute(_FIRST_TOLD).scalar())
        for name, seed, keys in seeds:
            told = seed_told(seed, now, first)
            if seed.id in planted:
                row = self._tend(planted[seed.id], seed, keys, now)
            else:
                row = self._sow(name, seed, keys, told, now)
            shown = publish and not rows.withholding_of(row).in_force
            if row.told is None or not shown:  # what was told stays told at its time
                self._note_telling(row, told if shown else None, now)
                self._set(row.number, told=rows.micros(told if shown else None))

    def _sow(self, name: str, seed: Seed, keys: Iterable[str], told: datetime, now: datetime) -> Any:
        key = self._add(seed_judged(seed), keys, now, seed=True)
        known = self._connection.execute(_STORY, {"id_": name}).one_or_none()
        if known is None:
            self._found(name, None, told, seed=True)
        else:
            self._set(known.number, seed=True, lead=None, updated=rows.micros(now))
        self.assign(key, name, Evidence("founds", "", 1.0))
        return self._story_row(name)

    def _tend(self, key: int, seed: Seed, keys: Sequence[str], now: datetime) -> Any:
        """Bring a seed's text up to date; its story counts as updated if the text stands for it."""
        before = one_item(self._connection, item.c.key == key)
        if self._place(key).withdrawn:
            return self._story_row(before.story if before and before.story else "")
        self.edit(key, seed_judged(seed), keys)
        after = one_item(self._connection, item.c.key == key)
        row = self._story_row(after.story if after and after.story else "")
        if before != after and row.lead is None:
            self._set(row.number, updated=rows.micros(now))
        return row

    def _uproot(self, key: int, now: datetime) -> None:
        """Take a seed's own text out; its story goes on where it has other members, else it goes too."""
        place = self._place(key)
        if place.withdrawn:
            return
        number = place.story or 0
        self._compared.pop(key, None)
        self._index(key, place, place._replace(story=None))
        self._connection.execute(delete(parted).where(parted.c.item == key))
        self._connection.execute(delete(item).where(item.c.key == key))
        (left,) = many_stories(self._connection, (number,))
        if not left.members:
            self._note_telling(self._story_row(left.id), None, now)
            self.close()  # while it still has its names
            self._touched.clear()
            self._connection.execute(delete(parted).where(parted.c.story == number))
            self._connection.execute(delete(story_name).where(story_name.c.story == number))
            self._delete_story(number)
        elif not any(member.seed for member in left.members):
            lead = left.members[0].key if left.lead is None else left.lead
            self._set(number, seed=False, lead=lead, updated=rows.micros(now))

    def _add(self, judged: Judged, keys: Iterable[str], now: datetime, seed: bool) -> int:
        return self._insert(item, _item_values(judged, keys, now, seed))

    def _found(self, name: str, told: datetime | None, updated: datetime, seed: bool) -> None:
        if self._connection.execute(_STORY, {"id_": name}).one_or_none() is not None:
            raise StoreError(f"there is a story {name} already")
        values = {"id": name, "seed": seed, "told": rows.micros(told), "updated": rows.micros(updated)}
        number = self._insert(story, values)
        self._connection.execute(_NAME, {"name": name, "story": number})

    def _insert(self, table: Table, values: Mapping[str, Any]) -> int:
        number = self._connection.execute(_insertion(table), values).inserted_primary_key
        return int(number[0]) if number else 0

    def _index(self, key: int, before: _Place, after: _Place) -> None:
        """Bring the keys under which an item is found from one state to another."""
        old, new = before.entries(), after.entries()
        if gone := old - new:
            self._connection.execute(_UNINDEX, [{"key_": one, "at_": at, "item_": key} for one, at in gone])
        if come := new - old:
            self._connection.execute(_INDEX, [{"key": one, "at": at, "item": key} for one, at in come])

    def _place(self, key: int) -> _Place:
        row = self._connection.execute(_PLACE, {"key_": key}).one_or_none()
        if row is None:
            raise _no_item(key)
        return _Place(*row)

    def _story_row(self, name: str) -> Any:
        row = self._connection.execute(_STORY, {"id_": name}).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no story {name}")
        return row

    def _note_telling(self, row: Any, told: datetime | None, now: datetime) -> None:
        """Remember a story as gone that is told no more, and no longer so one that is told again.

        One that was told in this very refresh has hardly reached a reader: it goes without a word.
        """
        if row.told is not None and told is None:
            self._touch(row.number)
            self._connection.execute(_FORGET, {"id_": row.id})
            if row.told < rows.micros(now) or row.page is not None:
                self._connection.execute(insert(gone).values(id=row.id, at=rows.micros(now), page=row.page))
            self._set(row.number, page=None)  # told again, it counts as news
        elif row.told is None and told is not None:
            self._connection.execute(_FORGET, {"id_": row.id})
            dated = self._connection.execute(_DATED, {"number": row.number}).scalar()
            self._set(row.number, dated=rows.micros(told) if dated is None else dated)

    def _touch(self, *numbers: int | None) -> None:
        self._touched.update(number for number in numbers if number is not None)

    def _set(self, number: int, **values: object) -> None:
        self._touch(number)
        self._connection.execute(update(story).where(story.c.number == number).values(**values))

    def _delete_story(self, number: int) -> None:
        self._touch(number)
        self._connection.execute(delete(story).where(story.c.number == number))


def _item_values(judged: Judged, keys: Iterable[str], now: datetime, seed: bool) -> dict[str, Any]:
    return rows.item_row(judged, keys) | {"first_seen": rows.micros(now), "seed": seed}


_insertion = cache(insert)
_NAME = insert(story_name)
_LOG = insert(history)
_NEWEST_VISIT = select(func.max(history.c.number)).scalar_subquery()
_FORGET_VISITS = delete(history).where(history.c.number <= _NEWEST_VISIT - REMEMBERED)
_DATED = select(func.max(func.coalesce(item.c.published, item.c.first_seen))).where(item.c.story == bindparam("number"))
_FORGET = delete(gone).where(gone.c.id == bindparam("id_"))
_NOTE_CHANGE = text(
    "INSERT INTO change (id, mark) SELECT name, CAST(:mark AS BIGINT) FROM story_name WHERE story = :story"
    " ON CONFLICT (id) DO UPDATE SET mark = excluded.mark"
)
_UNLOOKED = _ITEM.join(unlooked, unlooked.c.item == item.c.key).order_by(item.c.story.is_(None), item.c.key)
_LOOK_AT = text("INSERT INTO unlooked (item) VALUES (:item) ON CONFLICT DO NOTHING")
_LOOKED = delete(unlooked).where(unlooked.c.item == bindparam("item_"))
_DOUBT = text("INSERT INTO doubt (key, at, item) VALUES (:key, :at, :item) ON CONFLICT DO NOTHING")
_INDEX = insert(item_key)
_UNINDEX = delete(item_key).where(
    item_key.c.key == bindparam("key_"), item_key.c.at == bindparam("at_"), item_key.c.item == bindparam("item_")
)
_SEEDS = select(item.c.id, item.c.key).where(text("seed"))  # word for word as in the index
_FIRST_TOLD = (
    select(story.c.told).where(story.c.told.is_not(None), story.c.seed.is_(False)).order_by(story.c.told).limit(1)
)


def _no_item(key: int) -> NotFoundError:
    return NotFoundError(f"there is no item #{key}")
