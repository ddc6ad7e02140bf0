"""Judge what is stored anew, once the rules have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.model import Decision, Judged, StoredItem, Verdict
from aggregator.ports import Store
from aggregator.settle import Rules, Settling, enter, revise, tell, vouched
from aggregator.topics import Judge
from aggregator.vouching import is_vouched


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What a change of rules did to what is stored, in items."""

    entered: int  # kept now, and not before
    left: int  # kept before, and no more


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of sources when their items are judged; each by the source's url."""

    scopes: Mapping[str, str]
    repeated: Mapping[str, frozenset[int]]  # Store.repeated of the store that remembers their visits

    def stock(self, stored: StoredItem) -> frozenset[int]:
        """The sentences that say nothing of an item; of one that was kept, those that said nothing of it then."""
        if _is_kept(stored.verdict):
            return frozenset(stored.item.stock)
        return self.repeated.get(stored.item.source, frozenset())


def reconsider(store: Store, rules: Rules, judge: Judge, expected: Expected, now: datetime) -> Rejudged:
    """Judge all that is retained anew: what is newly kept enters now, what is newly dropped is withdrawn.

    What the curator decided on stays as it is, and counts for neither number. Undecided items come last, when the
    stories that may vouch for them are what the new rules make them.
    """
    entered = left = 0
    undecided = list[tuple[StoredItem, Verdict]]()
    for stored, verdict in _judged(store, judge, expected):
        if verdict.decision is Decision.UNDECIDED and stored.ruling is None:
            undecided.append((stored, verdict))
            continue
        if verdict == stored.verdict:
            continue
        if stored.ruling is None:
            was, is_now = _is_kept(stored.verdict), _is_kept(verdict)
            entered, left = entered + (is_now and not was), left + (was and not is_now)
        _revise(store, rules, stored, verdict, now)
    kept = _reconsider_undecided(store, rules, undecided, now)
    for stored, _ in undecided:
        was, is_now = _is_kept(stored.verdict), stored.key in kept
        entered, left = entered + (is_now and not was), left + (was and not is_now)
    return Rejudged(entered, left)


def _judged(store: Store, judge: Judge, expected: Expected) -> list[tuple[StoredItem, Verdict]]:
    """All that is retained, by the new rules; first what was kept for its story's sake, and needs that no more."""
    judged = list[tuple[StoredItem, Verdict]]()
    for stored in store.retained():
        scope = expected.scopes.get(stored.item.source, "general")
        judged.append((stored, judge.judge(stored.item, scope, expected.stock(stored))))
    judged.sort(key=lambda pair: not (is_vouched(pair[0].verdict) and _is_kept(pair[1])))
    return judged


def _revise(store: Store, rules: Rules, stored: StoredItem, verdict: Verdict, now: datetime) -> None:
    with store.begin() as work:
        settling = Settling(work, rules, now)
        revise(settling, stored, Judged(stored.item, verdict), frozenset())
        tell(settling)


def _reconsider_undecided(
    store: Store, rules: Rules, undecided: Sequence[tuple[StoredItem, Verdict]], now: datetime
) -> set[int]:
    """Keys of the items that a story vouches for; the others leave theirs.

    What was kept for its own sake and is no more vouches for none of them, whichever comes first.
    """
    kept = set[int]()
    with store.begin() as work:
        settling = Settling(work, rules, now)
        for stored, verdict in undecided:
            if _is_kept(stored.verdict) and not is_vouched(stored.verdict):
                work.edit(stored.key, Judged(stored.item, verdict), rules.keys(stored.item))
        for was, verdict in undecided:
            stored = work.find(was.item.source, was.item.id) or was  # it may have left its story meanwhile
            found = vouched(settling, stored, Judged(stored.item, verdict))
            if found is not None and stored.story != found.story:
                enter(settling, stored, found)
            elif (after := found.verdict if found else verdict) not in (was.verdict, stored.verdict) or not found:
                revise(settling, stored, Judged(stored.item, after), frozenset())
            if found is not None:
                kept.add(stored.key)
        tell(settling)
    return kept


def _is_kept(verdict: Verdict) -> bool:
    return verdict.decision is Decision.KEPT
