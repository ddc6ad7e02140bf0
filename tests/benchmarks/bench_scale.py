"""How far one installation goes: two weeks in the life of many sources, simulated, and what they ask of which part.

`python tests/benchmarks/bench_scale.py [sources ...] [--days 14]`. Sources bring items as often as the real feeds in
tests/data/feeds did; when each is visited is decided by the program's own `pace.plan`. What a visit costs is what the
other benchmarks measured (COSTS). A thousand sources are simulated; more of the same ask for so many times as much, and
what waits for the one writer is worked out minute by minute. docs/scale.md says what follows.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aggregator import parse
from aggregator.engine import direct
from aggregator.errors import FeedError
from aggregator.model import (
    Changed,
    Decision,
    FeedHead,
    Item,
    Judged,
    Known,
    Rhythm,
    Source,
    Unchanged,
    Validators,
    Verdict,
    Visit,
)
from aggregator.pace import Bounds, plan

FEEDS = Path(__file__).parent.parent / "data" / "feeds"
START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
BOUNDS = Bounds(timedelta(minutes=10), timedelta(days=1))
SIMULATED = 1_000
SEED = 1


@dataclass(frozen=True)
class Costs:
    """Of one thing each; CPU in milliseconds, sizes in kilobytes. Measured: docs/scale.md says by what."""

    unchanged: float = 3.1  # a visit over HTTPS to a host of its own: asked, and not modified
    changed: float = 4.5  # one with new entries: asked, walked, and what is not of each entry
    item: float = 1.0  # a new entry: read, cleaned and judged
    settle_unchanged: float = 0.05
    settle_changed: float = 0.3
    settle_item: float = 0.3  # an item that is dropped
    settle_kept: float = 15.0  # an item that is kept: folded, told, grouped with the others
    publish: float = 300.0  # what is printed anew in a minute in which something was kept
    request: float = 0.9  # kB on the wire, both ways, of an answer without a body
    document: float = 23.0  # kB on the wire, compressed: the mean of 65 real feeds of news
    row: float = 1.4  # kB in the store of an item whose text is kept
    bare: float = 0.9  # kB, once its text was let go
    story: float = 5.0  # kB more of one that is kept, for good: keys, words, evidence


COSTS = Costs()
KEPT = 0.01  # of new items belong to the subject
VALIDATING = 0.7  # of servers answer "not modified"; the others send all, which is told by its bytes
TEXTS, ITEMS = 90, 1825  # days that texts and items are kept, as shipped


ENTRIES = frozenset(bytes([number]) for number in range(30))
KEEP, DROP = Verdict(Decision.KEPT, 1.0, (), ""), Verdict(Decision.DROPPED, 0.0, (), "")


@dataclass
class Tally:
    """What a time in the life of the simulated sources brought."""

    visits: int = 0
    changed: int = 0
    sent: int = 0  # documents that came, changed or not
    items: int = 0
    kept: int = 0
    waits: list[timedelta] = field(default_factory=list)  # from an item's appearance to the visit that found it
    minutes: dict[int, float] = field(default_factory=lambda: defaultdict(float))  # minute → the writer's milliseconds


def rates() -> list[float]:
    """Items a day of the real feeds of news: the entries of each over the time between its first and last."""
    found = []
    for path in sorted(FEEDS.glob("news_*")):
        try:
            source = Source(f"https://{path.name}/", path.name)
            document = parse.read(source.url, path.read_bytes(), None, source, Known(), direct)
        except FeedError:
            continue
        dates = sorted(item.published for item in document.items if item.published)
        if len(dates) > 1 and (length := (dates[-1] - dates[0]) / DAY) > 0:
            found.append(min((len(dates) - 1) / length, 500.0))
    return found


@dataclass
class Simulated:
    """A source and what is known of it."""

    source: Source
    rate: float  # items a day
    validating: bool
    rhythm: Rhythm = field(default_factory=Rhythm)
    visited: datetime = START


def simulate(days: int) -> Tally:
    """The second half of so many days; the first lets the intervals settle."""
    draw, tally, drawn = random.Random(SEED), Tally(), rates()
    living = [
        Simulated(Source(f"https://source-{n}.example/feed", f"{n}"), draw.choice(drawn), draw.random() < VALIDATING)
        for n in range(SIMULATED)
    ]
    due = [(START + timedelta(seconds=draw.uniform(0, 3600)), number) for number in range(SIMULATED)]
    heapq.heapify(due)
    while due[0][0] < START + days * DAY:
        now, number = heapq.heappop(due)
        one = living[number]
        since = now - one.visited
        new = [now - since * draw.random() for _ in range(poisson(draw, one.rate * (since / DAY)))]
        kept = [draw.random() < KEPT for _ in new]
        planned = plan(one.rhythm, visited(one.source, now, new, kept), BOUNDS, one.source, draw.random())
        one.rhythm, one.visited = planned.rhythm, now
        heapq.heappush(due, (planned.due, number))
        if now >= START + days * DAY / 2:
            count(tally, now, new, sum(kept), sent=bool(new) or not one.validating)
    return tally


def poisson(draw: random.Random, mean: float) -> int:
    """How many of so many on average; at most the fifty that a feed shows."""
    found, at = 0, draw.expovariate(1.0)
    while at <= mean and found < 50:
        found, at = found + 1, at + draw.expovariate(1.0)
    return found


def visited(source: Source, now: datetime, new: list[datetime], kept: list[bool]) -> Visit:
    items = (Item(source.url, f"{at}", None, "", "") for at in new)
    judged = tuple(Judged(item, KEEP if keep else DROP) for item, keep in zip(items, kept, strict=True))
    outcome = Changed(FeedHead("rss20"), judged, ENTRIES) if new else Unchanged("304")
    return Visit(source, now, now, outcome, Validators('"x"', None))


def count(tally: Tally, now: datetime, new: list[datetime], kept: int, *, sent: bool) -> None:
    tally.visits += 1
    tally.changed += bool(new)
    tally.sent += sent
    tally.items += len(new)
    tally.kept += kept
    tally.waits += [now - at for at in new]
    writer = COSTS.settle_unchanged
    if new:
        writer = COSTS.settle_changed + COSTS.settle_item * (len(new) - kept) + COSTS.settle_kept * kept
    tally.minutes[int((now - START) / timedelta(minutes=1))] += writer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--days", type=int, default=14)
    given = parser.parse_args()
    tally, days = simulate(given.days), given.days / 2
    waits = sorted(wait.total_seconds() / 60 for wait in tally.waits)
    print(
        f"{SIMULATED} sources, {days:g} days: {tally.visits / SIMULATED / days:.1f} visits a source and day, "
        f"{tally.changed / tally.visits:.0%} of them with {tally.items / tally.changed:.1f} new items. An item is "
        f"found {waits[len(waits) // 2]:.0f} minutes after it appeared, nine in ten within "
        f"{waits[len(waits) * 9 // 10]:.0f}."
    )
    print(f"\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for number in given.sources:
        print(f"| {' | '.join(row(tally, days, number))} |")


COLUMNS = (
    "sources",
    "visits/s",
    "cores that visit",
    "Mbit/s",
    "writer busy",
    "late by",
    "items/year",
    "store, 5 years",
)


def row(tally: Tally, days: float, sources: int) -> tuple[str, ...]:
    """What so many sources ask of each part."""
    times, seconds = sources / SIMULATED, days * 86_400
    quiet = (tally.visits - tally.changed) * COSTS.unchanged
    visiting = (quiet + tally.changed * COSTS.changed + tally.items * COSTS.item) / 1000 * times / seconds
    wire = (tally.visits * COSTS.request + tally.sent * COSTS.document) * times * 8 / seconds / 1000
    share, late = waiting(tally, times)
    items, kept = (number * times / days for number in (tally.items, tally.kept))
    stored = items * (TEXTS * COSTS.row + (ITEMS - TEXTS) * COSTS.bare) + kept * ITEMS * COSTS.story
    return (
        f"{sources:,}",
        f"{tally.visits * times / seconds:,.1f}",
        f"{visiting:.2g}",
        f"{wire:.2g}",
        f"{share:.1%}",
        late,
        f"{items * 365 / 1e6:,.1f} million",
        f"{stored / 1e6:,.0f} GB",
    )


def waiting(tally: Tally, times: float) -> tuple[float, str]:
    """The share of its time that the one writer is busy, and how long the last of a minute's visits waits at worst."""
    first, last = min(tally.minutes), max(tally.minutes)
    backlog = longest = busy = 0.0
    for minute in range(first, last + 1):
        work = tally.minutes[minute] * times + (COSTS.publish if tally.minutes[minute] else 0)
        busy += work
        backlog = max(0.0, backlog + work - 60_000)
        longest = max(longest, backlog)
    share = busy / (last + 1 - first) / 60_000
    return share, "without end" if share >= 1 else f"{longest / 1000:.0f} s"


if __name__ == "__main__":
    main()
