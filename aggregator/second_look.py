"""Look again at what is undecided once a refresh is over: a story may have come in that vouches for it.

What is to be looked at is marked in the transaction that stores it, so that a process may die at any time: the next one
looks, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from aggregator.model import Decision, Judged, StoredItem
from aggregator.ports import Store
from aggregator.settle import Rules, Settling, enter, tell, vouched

_BACK = timedelta(days=3)  # tellings of one event seldom lie farther apart
_TOGETHER = 100  # items looked at in one transaction, so that nobody waits long for it
_NEAREST = 60  # earlier undecided items that are held against the story which a new one joined


def look_again(store: Store, rules: Rules, now: datetime) -> int:
    """Have stories vouch for what came in undecided, and what was put in a story for earlier ones; how many enter."""
    entered = 0
    while rules.vouches and store.has_unlooked():
        with store.begin() as work:
            settling = Settling(work, rules, now)
            marked = work.unlooked(_TOGETHER)
            if not marked:
                break
            work.doubt_no_more(now - _BACK)
            _look_back(settling, [one for one in marked if one.story is not None])
            _look(settling, [one for one in marked if _is_open(one) and now - one.first_seen <= _BACK])
            work.looked(one.key for one in marked)
            tell(settling)
        entered += len(settling.placed)
    return entered


def _look_back(settling: Settling, placed: Iterable[StoredItem]) -> None:
    """Have the stories of what was put in one vouch for earlier items that are near to it."""
    found, stories = dict[int, StoredItem](), dict[int, set[str]]()
    for one in placed:
        keys = settling.rules.keys(one.item)
        for earlier in settling.work.doubtful(keys, settling.now - _BACK, _NEAREST):
            found[earlier.key] = earlier
            stories.setdefault(earlier.key, set()).add(one.story or "")
    for key, stored in sorted(found.items()):
        if entry := vouched(settling, stored, Judged(stored.item, stored.verdict), stories[key]):
            enter(settling, stored, entry)


def _look(settling: Settling, undecided: Iterable[StoredItem]) -> None:
    """Have any story vouch for undecided items; those that none does are found by what comes later."""
    for stored in undecided:
        if entry := vouched(settling, stored, Judged(stored.item, stored.verdict)):
            enter(settling, stored, entry)
        else:
            settling.work.doubt(stored, settling.rules.keys(stored.item))


def _is_open(stored: StoredItem) -> bool:
    return stored.story is None and stored.decision is Decision.UNDECIDED
