"""What the store costs: prints a table. `python tests/benchmarks/bench_store.py [items] [--postgresql]`, 100,000 items.

Times are CPU seconds of this process divided by the count, with the disk's share (fsync) apart as wall time.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table

from aggregator import rows, schema
from aggregator.model import (
    Changed,
    Decision,
    Evidence,
    FeedHead,
    Item,
    Judged,
    Plan,
    Reason,
    Rhythm,
    Source,
    Unchanged,
    Validators,
    Verdict,
    Visit,
)
from aggregator.store import SqlStore
from tests import postgres

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCES = 10_000
ENTRIES = 30  # fingerprints a source
KEYS = 15  # an item
PER_STORY = 3
DRAW = random.Random(1)
TEXTS = [" ".join(f"word{DRAW.randrange(20_000)}" for _ in range(60)) for _ in range(1_000)]


@contextmanager
def timed(what: str, count: int, unit: str) -> Iterator[None]:
    wall, used = time.perf_counter(), time.process_time()
    yield
    used, wall = time.process_time() - used, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what:<60} {used / count * 1e6:>9.1f} {wall / count * 1e6:>9.1f} µs a {unit:<7} {peak:>6.0f} MB", flush=True
    )


def source(n: int) -> Source:
    return Source(f"https://source-{n}.example/news/feed.xml", f"Source {n}")


def plan(n: int) -> Plan:
    rhythm = Rhythm(timedelta(hours=1), 0, None, NOW, NOW, NOW - timedelta(days=1), last_unconditional=NOW)
    return Plan(NOW + timedelta(seconds=n), rhythm, "asked for by the server (max-age)")


def changed(n: int) -> Visit:
    entries = frozenset(DRAW.randbytes(16) for _ in range(ENTRIES))
    outcome = Changed(FeedHead("rss20", f"Source {n}", f"https://source-{n}.example/"), (), entries)
    validators = Validators(f'W/"{n:032x}"', "Sun, 01 Mar 2026 11:00:00 GMT")
    return Visit(source(n), NOW, NOW, outcome, validators, DRAW.randbytes(16), DRAW.randbytes(16))


def quiet(n: int) -> Visit:
    return Visit(source(n), NOW, NOW, Unchanged("304"), Validators(f'W/"{n:032x}"', None))


def visits(store: SqlStore) -> None:
    sources = [source(n) for n in range(SOURCES)]
    with timed("enlist, first time", SOURCES, "source"):
        store.enlist(sources, [], NOW)
    with timed("enlist again", SOURCES, "source"):
        store.enlist(sources, [], NOW)
    documents = [changed(n) for n in range(SOURCES)]
    with timed("record a changed document, 100 a transaction", SOURCES, "visit"):
        for start in range(0, SOURCES, 100):
            with store.begin() as work:
                for n in range(start, start + 100):
                    work.record(documents[n], plan(n), {})
    sentences = [{DRAW.getrandbits(64): 1 for _ in range(10)} for _ in range(2_000)]
    with timed("  and with 10 new sentences, counts full", 500, "visit"), store.begin() as work:
        for n in range(0, 2_000, 4):
            work.record(documents[0], plan(0), sentences[n] | sentences[n + 1] | sentences[n + 2] | sentences[n + 3])
    for n in range(2):
        with timed(f"claim everything, 30 fingerprints each ({n + 1})", SOURCES, "source"):
            tasks = store.claim(NOW + timedelta(days=1 + n), timedelta(minutes=10))
        assert len(tasks) == SOURCES
    with timed("release everything", SOURCES, "source"):
        store.release(tasks)
    answers = [quiet(n) for n in range(SOURCES)]
    for batch in (1, 10, 100):
        with timed(f"record a 304, {batch} a transaction", SOURCES, "visit"):
            for start in range(0, SOURCES, batch):
                with store.begin() as work:
                    for n in range(start, start + batch):
                        work.record(answers[n], plan(n), {})
    with timed("record 304s together, 100 a transaction", SOURCES, "visit"):
        for start in range(0, SOURCES, 100):
            with store.begin() as work:
                work.record_quiet([(answers[n], plan(n)) for n in range(start, start + 100)])
    with timed("next_due", 100, "call"):
        for _ in range(100):
            store.next_due()


def judged(n: int, decision: Decision) -> Judged:
    words = DRAW.choice(TEXTS)
    item = Item(
        source(n % SOURCES).url,
        f"https://source-{n % SOURCES}.example/news/{n}",
        f"https://source-{n % SOURCES}.example/news/{n}",
        words[:80],
        words,
        published=NOW,
        language="en",
        authors=("A. Writer",),
        categories=("Politics",),
        fingerprint=DRAW.randbytes(16),
    )
    return Judged(item, Verdict(decision, 0.9, (Reason("title", "defector", "defector", 0.9),) * 3, "0123456789abcdef"))


def keys(n: int) -> list[str]:
    """Rare keys as of links and texts, some rather common, one in every item."""
    rare = [f"gram:{DRAW.getrandbits(40)}" for _ in range(KEYS - 4)]
    return [f"link:{n}", *rare, *(f"word:{int(DRAW.paretovariate(0.5)) % 50_000}" for _ in range(2)), "every item"]


def fill(store: SqlStore, first: int, last: int) -> None:
    """Stories of three members, all items kept: the worst case for the keys."""
    with timed(f"add an item with {KEYS} keys in a story, to {last:,}", last - first, "item"):
        for start in range(first, last, 999):
            with store.begin() as work:
                for n in range(start, min(last, start + 999)):
                    if n % PER_STORY == 0 or n == start:
                        story = f"urn:uuid:{n:032x}"
                        work.found(story, NOW)
                    key = work.add(judged(n, Decision.KEPT), keys(n), NOW + timedelta(seconds=n))
                    work.assign(key, story, Evidence("same text", "Another title", 0.9, ("shared words",)))
                    if n % PER_STORY == 0 or n == start:
                        work.tell(story, NOW + timedelta(seconds=n), key, NOW)


def fill_in_bulk(store: SqlStore, first: int, last: int) -> None:
    """The same by whole tables, since a million by turns takes ten minutes."""
    base = last * 1_000  # numbers that no item has been given yet
    named = Evidence("same text", "Another title", 0.9, ("shared words",))
    with timed(f"write in bulk, to {last:,}", last - first, "item"):
        for start in range(first, last, 9_999):
            part = range(start, min(last, start + 9_999))
            with store._database.writing() as connection:
                stories = [
                    {"number": base + n, "id": f"urn:uuid:{n:032x}", "seed": False}
                    | {"told": rows.micros(NOW + timedelta(seconds=n)), "updated": rows.micros(NOW), "lead": base + n}
                    for n in part[::PER_STORY]
                ]
                items = [
                    rows.item_row(judged(n, Decision.KEPT), keys(n))
                    | {"key": base + n, "story": base + n - (n - start) % PER_STORY, "seed": False}
                    | {"first_seen": rows.micros(NOW + timedelta(seconds=n)), "evidence": rows.evidence_json(named)}
                    for n in part
                ]
                write(connection, schema.story, stories)
                names = [{"name": one["id"], "story": one["number"]} for one in stories]
                write(connection, schema.story_name, names)
                write(connection, schema.item, items)
                index = [
                    {"key": hash, "at": one["first_seen"], "item": one["key"]}
                    for one in items
                    for hash in rows.unpack_keys(one["hashes"])
                ]
                write(connection, schema.item_key, index)


def write(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Rows of the same columns, by PostgreSQL's own way for many; row by row, a million items took half an hour."""
    if connection.dialect.name == "sqlite":
        connection.execute(table.insert(), rows)
        return
    columns = list(rows[0])
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in columns])


def looks(store: SqlStore, items: int) -> None:
    since = NOW - timedelta(days=14)
    among, rounds = f"among {items:,}", 300
    with timed(f"candidates by a link, {among}", rounds, "item"), store.begin() as work:
        for _ in range(rounds):
            assert work.candidates([f"link:{DRAW.randrange(items)}"], since)
    with timed(f"candidates by {KEYS - 3} rare keys, one known, {among}", rounds, "item"), store.begin() as work:
        for _ in range(rounds):
            n = DRAW.randrange(items)
            assert len(work.candidates(keys(n)[: KEYS - 3], since)) <= 3
    with timed(f"candidates by {KEYS - 1} keys, two common, {among}", rounds, "item"), store.begin() as work:
        found = sum(len(work.candidates(keys(DRAW.randrange(items))[:-1], since)) for _ in range(rounds))
    print(f"{'  stories found an item':<60} {found / rounds:>9.1f}")
    with timed(f"candidates by {KEYS} keys, one in every item, {among}", 50, "item"), store.begin() as work:
        for _ in range(50):
            work.candidates(keys(0), since)
    with timed(f"find, {among}", rounds, "item"), store.begin() as work:
        for _ in range(rounds):
            n = DRAW.randrange(items)
            assert work.find(source(n % SOURCES).url, f"https://source-{n % SOURCES}.example/news/{n}")
    with timed(f"stories(100), {among}", 20, "call"):
        for _ in range(20):
            assert len(store.stories(100)) == 100
    with timed(f"health of {SOURCES:,} sources, {among}", 1, "call"):
        store.health()
    with timed(f"add a dropped item, {among}", 5_000, "item"), store.begin() as work:
        for n in range(10**9 + items, 10**9 + items + 5_000):
            work.add(judged(n, Decision.DROPPED), (), NOW)


@contextmanager
def emptied(postgresql: bool) -> Iterator[tuple[str, Callable[[], int]]]:
    """The address of a new database, and a function that tells its size in bytes."""
    if not postgresql:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.db"
            yield f"sqlite:///{path}", lambda: path.stat().st_size
        return
    with postgres.serving() as server, server.database() as url:
        yield url, lambda: int(str(server.run(f"SELECT pg_database_size('{url.rpartition('/')[2]}')")[0][0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("items", type=int, nargs="?", default=100_000)
    parser.add_argument("--postgresql", action="store_true", help="on a server of its own, without fsync")
    parser.add_argument("--items-alone", action="store_true", help="nothing of visits")
    parser.add_argument("--by-turns", type=int, default=100_000, help="so many are added as settling adds them")
    given = parser.parse_args()
    print(f"{'':<60} {'CPU':>9} {'wall':>9}            peak memory")
    with emptied(given.postgresql) as (url, size):
        store = SqlStore(url)
        if not given.items_alone:
            visits(store)
        first = 0
        for last in [one for one in (1_000, 10_000, 100_000, 1_000_000) if one < given.items] + [given.items]:
            (fill if last <= given.by_turns else fill_in_bulk)(store, first, last)
            looks(store, last)
            first = last
        print(f"{'size of the database':<60} {size() / 2**20:>9.0f} MB")
        store.close()
        with timed("open", 1, "start"):
            SqlStore(url).close()


if __name__ == "__main__":
    main()
