"""Lets each of several subjects hear what the sources brought that they share, and settle it in a store of its own.

The sources' store remembers a visit after all subjects have heard of it. A process that dies in between has not
remembered the visit, which is then made again; who heard of it already knows its items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from aggregator.identity import shown
from aggregator.model import Changed, Item, Judged, SourceHealth, StoredItem, Verdict, Visit
from aggregator.ports import Store
from aggregator.regroup import regroup
from aggregator.second_look import look_again
from aggregator.settle import LONG_AGO, Rules, Settled, Settling, take, tell, tell_each

_HEARD = "heard"  # setting of a subject's store: when the last items were read that it has heard of
_TOGETHER = 200  # items caught up with in one transaction
_PAGE = 500  # items looked at together


@dataclass(frozen=True, slots=True)
class Follower:
    """One of several subjects: its own store, and how it settles."""

    store: Store
    rules: Rules


@dataclass(frozen=True, slots=True)
class Heard:
    """What all subjects made of one visit."""

    told: int = 0  # stories published for the first time
    held: tuple[str, ...] = ()  # ids of stories that wait for the operator from now on
    changed: bool = False

    def told_in(self, settled: Settled) -> Settled:
        """The same visit, settled, with what became of it."""
        held, changed = settled.held + self.held, settled.changed or self.changed
        return replace(settled, told=settled.told + self.told, held=held, changed=changed)


@dataclass(frozen=True, slots=True)
class Sharing:
    """One refresh, as the subjects that share its sources hear it; with none, nothing is done."""

    followers: Sequence[Follower] = ()
    placed: list[tuple[int, int]] = field(default_factory=list)  # (place of the subject, key of an item put in a story)

    def hear(self, visits: Sequence[Visit], now: datetime) -> list[Heard]:
        """Have each subject settle what visits brought, in a transaction of its own; what became of each visit.

        Done again, it changes nothing.
        """
        heard = [Heard()] * len(visits)
        if not any(_brought(visit) for visit in visits):
            return heard
        for place, follower in enumerate(self.followers):
            with follower.store.begin() as work:
                edited = set[int]()
                settlings = [Settling(work, follower.rules, now, shown(visit), edited=edited) for visit in visits]
                for settling, visit in zip(settlings, visits, strict=True):
                    for one in _brought(visit):
                        if (verdict := one.each[place]) is not None:
                            take(settling, Judged(one.item, verdict))
                told = tell_each(settlings)
                work.put(_HEARD, now.isoformat())
            self.placed.extend((place, key) for settling in settlings for key in settling.placed)
            heard = [
                Heard(before.told + count, before.held + tuple(settling.held), before.changed or bool(settling.touched))
                for before, settling, count in zip(heard, settlings, told, strict=True)
            ]
        return heard

    def regroup(self, now: datetime) -> None:
        """Group anew what the refresh of `now` put into each subject's stories."""
        for place, follower in enumerate(self.followers):
            regroup(follower.store, follower.rules, self._placed(place), now)

    def look_again(self, now: datetime) -> int:
        """Look again at what each subject leaves undecided; how many items stories vouch for."""
        return sum(look_again(follower.store, follower.rules, now) for follower in self.followers)

    def _placed(self, place: int) -> list[int]:
        return [key for there, key in self.placed if there == place]


def has_heard_nothing(own: Store) -> bool:
    """Whether a subject begins: its store has heard of no visit yet."""
    return own.get(_HEARD) is None


def goes_on(archive: Store, own: Store) -> None:
    """Remember that a subject's store has heard of all that the sources' store holds."""
    last = archive.lately(1)
    own.put(_HEARD, (last[0].first_seen if last else LONG_AGO).isoformat())


def catch_up(
    archive: Store,
    follower: Follower,
    judge: Callable[[Item], Verdict | None],
    withdrawn: Collection[tuple[str, str]],
    now: datetime,
) -> int:
    """Judge what the sources brought that a subject has not heard of: it is new, or was away; how many items that was.

    `archive`: the sources' store. `judge`: None for an item that is passed over. `withdrawn`: items, by source and id,
    whose stories are told by nobody. Items come in the order in which they were read, and repeats are looked for as
    they would have been then; a story is told at `now`.
    """
    waiting, count = _missed(archive, follower.store.get(_HEARD)), 0
    while some := list(islice(waiting, _TOGETHER)):
        with follower.store.begin() as work:
            settling = Settling(work, follower.rules, now)
            for stored in some:
                verdict = judge(stored.item)
                if verdict is not None and work.find(stored.item.source, stored.item.id) is None:
                    settling.now = stored.first_seen
                    take(settling, Judged(stored.item, verdict))
                    if (stored.item.source, stored.item.id) in withdrawn:
                        _withdraw(settling, stored.item)
            settling.now = now
            tell(settling)
            work.put(_HEARD, some[-1].first_seen.isoformat())
        count += len(settling.fresh)
    return count


def _withdraw(settling: Settling, item: Item) -> None:
    """Withdraw the story in which an item stands that was just taken in, if it stands in any."""
    stored = settling.work.find(item.source, item.id)
    story = settling.work.story(stored.story) if stored and stored.story else None
    if story and not story.withholding.withdrawn:
        settling.work.withhold(story.id, replace(story.withholding, withdrawn=True), "withdrawn", settling.now)


def health(archive: Store, own: Sequence[Store]) -> tuple[SourceHealth, ...]:
    """All listed sources. `own`: the stores of several subjects, which know what was kept; without any, `archive` does.

    What several subjects kept counts for each; a source that none of them reads is left out.
    """
    if not own:
        return archive.health()
    kept = Counter[str]()
    for one in own:
        kept.update({told.source.url: told.kept for told in one.health()})
    return tuple(replace(one, kept=kept[one.source.url]) for one in archive.health() if one.source.url in kept)


def _missed(archive: Store, heard: str | None) -> Iterator[StoredItem]:
    """What was read since then, or ever, the first read first; of what was read at that very moment, all."""
    if heard is None:
        yield from archive.retained()
        return
    since, keys = datetime.fromisoformat(heard), list[int]()
    page = archive.lately(_PAGE)
    while fresh := [one.key for one in page if one.first_seen >= since]:
        keys += fresh
        page = archive.lately(_PAGE, before=fresh[-1])
    yield from (one for key in reversed(keys) if (one := archive.item(key)) is not None)


def _brought(visit: Visit) -> Iterable[Judged]:
    return visit.outcome.judged if isinstance(visit.outcome, Changed) else ()
