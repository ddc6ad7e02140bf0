"""Group what one refresh brought, all at once, so that the order in which visits end decides nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import product

from aggregator.model import Item, StoredStory
from aggregator.stories import Folder, compared

_EVER = datetime.max.replace(tzinfo=UTC)  # where an item without a date stands among the others
_NEXT = 100  # items looked at on either side under a key that more share: such a key is as common as a word
_STRANGERS = -3.0  # log-odds of two items that share no key, and so were not compared


@dataclass(frozen=True, slots=True)
class Group:
    """What tells one story."""

    items: tuple[int, ...]  # places of the new items
    story: str | None  # told before; None: a new one


@dataclass(frozen=True, slots=True)
class Near:
    """What is near enough to be compared."""

    pairs: Collection[tuple[int, int | str]]  # places of two new items, or of one and the id of a story
    cut: Collection[int]  # items that more is near to than is named
    parted: Mapping[int, frozenset[str]]  # item → stories that the curator took it out of


@dataclass(slots=True)
class _Cluster:
    items: tuple[int, ...]
    texts: list[Item]
    story: StoredStory | None
    cut: bool

    @property
    def seed(self) -> bool:
        return self.story is not None and self.story.seed


def order(item: Item) -> tuple[datetime, str, str]:
    """Where an item stands among those of one refresh, whichever came first."""
    return item.published or _EVER, item.source, item.id


def sharing(keys: Sequence[frozenset[str]], most: int) -> tuple[set[tuple[int, int]], set[int]]:
    """Which items share a key, each with at most so many others: those with which it shares most.

    A key counts the less the more items share it. Also returned: the items of which others were left out.
    """
    holders: dict[str, list[int]] = {}
    for place, held in enumerate(keys):
        for key in held:
            holders.setdefault(key, []).append(place)
    pairs, cut = set[tuple[int, int]](), set[int]()
    for place, held in enumerate(keys):
        shared: dict[int, float] = {}
        for key in sorted(held):
            others = holders[key]
            at = bisect_left(others, place)
            next_to = others[max(at - _NEXT, 0) : at + _NEXT + 1]
            for other in next_to:
                shared[other] = shared.get(other, 0.0) + 1 / len(others)
            if len(next_to) < len(others):
                cut.add(place)
        shared.pop(place, None)
        nearest = sorted(shared, key=lambda other: (-shared[other], other))
        if len(nearest) > most:
            cut.add(place)
        pairs.update((min(place, other), max(place, other)) for other in nearest[:most])
    return pairs, cut


def group(folder: Folder, new: Sequence[Item], stories: Sequence[StoredStory], near: Near) -> list[Group]:
    """Average linkage (Sokal and Michener 1958): again and again the two that are most alike become one.

    `new`: items, sorted by `order`. `stories`: told before, sorted by id; of these no two are put together. Where it
    ends, the mean log-odds between any two groups are below the folder's bar; last, seeds take what together
    tells theirs.
    """
    clusters = [_Cluster((n,), [item], None, n in near.cut) for n, item in enumerate(new)]
    clusters += [_Cluster((), compared(story), story, cut=False) for story in stories]
    places = {story.id: len(new) + n for n, story in enumerate(stories)}
    linkage = _Linkage(folder, dict(enumerate(clusters)), near.parted)
    linkage.run((one, places[other] if isinstance(other, str) else other) for one, other in near.pairs)
    ended = linkage.clusters.values()
    return [Group(tuple(sorted(one.items)), one.story.id if one.story else None) for one in ended if one.items]


@dataclass(slots=True)
class _Linkage:
    """Clusters by number, and how alike those are that were compared."""

    folder: Folder
    clusters: dict[int, _Cluster]
    parted: Mapping[int, frozenset[str]]
    sums: dict[int, dict[int, tuple[float, int]]] = field(default_factory=dict)  # of log-odds, and of how many pairs
    queue: list[tuple[float, int, int]] = field(default_factory=list)  # what may be put together, the most alike first

    def run(self, pairs: Iterable[tuple[int, int]]) -> None:
        for one, other in sorted({(min(pair), max(pair)) for pair in pairs}):
            a, b = self.clusters[one], self.clusters[other]
            scores = [self.folder.likeness(x, y, a.seed or b.seed) for x, y in product(a.texts, b.texts)]
            self._note(one, other, (sum(scores), len(scores)))
        while self.queue:
            mean, one, other = heappop(self.queue)
            if other in self.sums.get(one, ()) and self._mean(one, other) == -mean:
                self._join(one, other)
        self._fill_seeds()

    def _note(self, one: int, other: int, known: tuple[float, int]) -> None:
        if self._apart(self.clusters[one], self.clusters[other]):
            return
        self.sums.setdefault(one, {})[other] = self.sums.setdefault(other, {})[one] = known
        seeded = self.clusters[one].seed or self.clusters[other].seed
        if (mean := self._mean(one, other)) >= self.folder.bar(seeded):
            heappush(self.queue, (-mean, min(one, other), max(one, other)))

    def _apart(self, a: _Cluster, b: _Cluster) -> bool:
        if a.story and b.story:
            return True
        story = a.story or b.story
        return story is not None and any(story.id in self.parted.get(item, ()) for item in a.items + b.items)

    def _mean(self, one: int, other: int) -> float:
        """Over all pairs; of those not compared nothing is known where a list of what is near was cut."""
        total, count = self.sums[one][other]
        a, b = self.clusters[one], self.clusters[other]
        if a.cut or b.cut:
            return total / count
        pairs = len(a.texts) * len(b.texts)
        return (total + _STRANGERS * (pairs - count)) / pairs

    def _join(self, one: int, other: int) -> None:
        """Put the second into the first, with all that either was compared with."""
        a, b = self.clusters[one], self.clusters.pop(other)
        known = self.sums.pop(one), self.sums.pop(other)
        a.items, a.texts, a.story = a.items + b.items, a.texts + b.texts, a.story or b.story
        a.cut = a.cut or b.cut
        for third in sorted((known[0].keys() | known[1].keys()) - {one, other}):
            for gone in (one, other):
                self.sums[third].pop(gone, None)
            both = [side[third] for side in known if third in side]
            self._note(one, third, (sum(total for total, _ in both), sum(count for _, count in both)))

    def _fill_seeds(self) -> None:
        """A seed takes what together tells its story, though the mean says too little."""
        for one in sorted(one for one, cluster in self.clusters.items() if not cluster.story):
            seeds = [other for other in self.sums.get(one, ()) if self.clusters[other].seed]
            for other in sorted(seeds, key=lambda other: (-self._mean(one, other), other)):
                story = self.clusters[other].story
                if story and self.folder.same_story(self.clusters[one].texts, story, seeded=False):
                    self._join(other, one)
                    break
