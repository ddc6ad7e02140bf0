"""At the end of a refresh, look again at what is undecided: a story may have come in that vouches for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from aggregator.model import Decision, Judged
from aggregator.ports import Store
from aggregator.settle import Rules, Settling, enter, tell, vouched

_BACK = timedelta(days=3)  # tellings of one event seldom lie farther apart
_MOST = 200  # undecided items that are looked at, the latest


def look_again(store: Store, rules: Rules, placed: Iterable[int], now: datetime) -> None:
    """Have stories vouch for what this refresh brought, and the items `placed` in it (keys) for earlier ones, too."""
    if not rules.folds or not rules.band:
        return
    waiting = [one for one in store.lately(_MOST, decision=Decision.UNDECIDED) if now - one.first_seen <= _BACK]
    fresh = set[str]()
    if any(one.first_seen != now for one in waiting):
        fresh.update(key for one in map(store.item, placed) if one for key in rules.keys(one.item))
    asked = [one for one in waiting if one.first_seen == now or not fresh.isdisjoint(rules.keys(one.item))]
    if not asked:
        return
    with store.begin() as work:
        settling = Settling(work, rules, now)
        for stored in sorted(asked, key=lambda one: (one.item.source, one.item.id)):
            if found := vouched(settling, stored, Judged(stored.item, stored.verdict)):
                enter(settling, stored, found)
        tell(settling)
