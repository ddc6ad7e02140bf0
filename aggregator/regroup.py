"""At the end of a refresh, group anew what it brought: which visit ended first must decide nothing.

Until then each visit's items stand where they fitted at that moment, so that a process may die at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aggregator.grouping import Group, Near, group, order, sharing
from aggregator.model import Evidence, StoredItem, StoredStory, Withholding
from aggregator.ports import Store, Work
from aggregator.settle import Rules, Settling, found, near, tell
from aggregator.stories import compared, story_id

_NEAREST = 30  # items of the same refresh that one is compared with
_EXPLAINED = 12  # others among which the one that an item is most like is looked for


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What a refresh brought, as it stands."""

    items: Sequence[StoredItem]  # in the order of grouping.order
    own: Mapping[str, StoredStory]  # the stories that hold nothing else, and were told in no earlier refresh
    told: Mapping[str, StoredStory]  # the others in which such items stand, without these
    begun: int | None  # key of the first that was stored in it; None: what was stored since tells other stories, too


def regroup(store: Store, rules: Rules, placed: Iterable[int], now: datetime) -> None:
    """Group the items placed in the refresh of `now` (keys) with each other and with what was told before.

    What the curator spoke of, or the operator withholds, stays where it is; an id once published stays valid.
    """
    stored = [one for key in sorted(set(placed)) if (one := store.item(key)) and _may_move(one)]
    if len(stored) < 2:
        return
    with store.begin() as work:
        fresh, settling = _fresh(work, stored, now), Settling(work, rules, now)
        stories, near = _near(settling, fresh)
        groups = group(rules.folder, [one.item for one in fresh.items], stories, near)
        homes = _homes(settling, fresh, groups)
        told = {story.id: story for story in stories}
        for each in groups:
            _move(settling, fresh, each, homes[each.items[0]], told.get(each.story or ""))
        _leave(settling, fresh, homes)
        tell(settling)


def _may_move(stored: StoredItem) -> bool:
    spoken = stored.ruling is not None or (stored.evidence is not None and stored.evidence.kind == "curator")
    return stored.story is not None and not stored.seed and not spoken


def _fresh(work: Work, stored: Sequence[StoredItem], now: datetime) -> _Fresh:
    keys = {one.key for one in stored}
    found = {id: story for id in sorted({one.story or "" for one in stored}) if (story := work.story(id))}
    rest = {id: _without(story, keys) for id, story in found.items()}
    own = {
        id: story
        for id, story in found.items()
        if not rest[id].members and story.told in (None, now) and story.withholding == Withholding()
    }
    told = {id: story for id, story in rest.items() if story.members and story.withholding == Withholding()}
    moving = sorted((one for one in stored if one.story in own or one.story in told), key=lambda one: order(one.item))
    begun = min((one.key for one in moving if one.first_seen == now), default=None)
    return _Fresh(moving, own, told, begun if len(moving) == len(stored) else None)


def _without(story: StoredStory, keys: set[int]) -> StoredStory:
    return replace(story, members=tuple(member for member in story.members if member.key not in keys))


def _near(settling: Settling, fresh: _Fresh) -> tuple[list[StoredStory], Near]:
    """The stories told before that something fresh is near to, and what is near to what.

    The store is asked by what was there before alone, for what is fresh is compared here. (What another process brings
    during this very refresh was compared as it was settled.)
    """
    keys = [settling.rules.keys(one.item) for one in fresh.items]
    pairs, cut = sharing(keys, _NEAREST)
    near_to: set[tuple[int, int | str]] = set(pairs)
    stories = dict(fresh.told)
    for place, one in enumerate(fresh.items):
        if one.story and one.story in fresh.told:
            near_to.add((place, one.story))
        for story in near(settling.work, keys[place], settling.now - settling.rules.window, fresh.begun):
            if story.id not in fresh.own:
                near_to.add((place, story.id))
                stories.setdefault(story.id, story)
    parted = {place: settling.work.parted(one.key) for place, one in enumerate(fresh.items)}
    return [stories[id] for id in sorted(stories)], Near(near_to, cut, parted)


def _homes(settling: Settling, fresh: _Fresh, groups: Iterable[Group]) -> dict[int, str]:
    """Place of a fresh item → the story that it shall stand in: one told before, else the one that its first founds."""
    homes: dict[int, str] = {}
    for one in sorted(groups, key=lambda one: one.items):
        home = one.story
        if home is None:
            first = fresh.items[one.items[0]]
            there = settling.work.story(story_id(first.item.source, first.item.id))
            free = there is not None and there.id in fresh.own and there.id not in homes.values()
            home = there.id if there and free else found(settling, first.key, first.item)
        homes |= dict.fromkeys(one.items, home)
    return homes


def _move(settling: Settling, fresh: _Fresh, group: Group, home: str, told: StoredStory | None) -> None:
    """Put a group's items where they belong, each with the evidence for it."""
    others = compared(told) if told else []
    for place in group.items:
        stored = fresh.items[place]
        evidence = Evidence("founds", "", 1.0)
        if others:
            seed = told is not None and told.seed
            evidence = settling.rules.folder.evidence(stored.item, others[:_EXPLAINED], seed)
        if (stored.story, stored.evidence) != (home, evidence):
            settling.work.assign(stored.key, home, evidence)
            settling.touched |= {home, stored.story or home}
        others.append(stored.item)


def _leave(settling: Settling, fresh: _Fresh, homes: Mapping[int, str]) -> None:
    """Let the stories that nothing stands in any more go on as names of those that took their first item."""
    places = {one.key: place for place, one in enumerate(fresh.items)}
    for id, story in fresh.own.items():
        if id in homes.values():
            continue
        first = min(places[member.key] for member in story.members)
        settling.work.merge(id, into=homes[first], now=settling.now)
        settling.touched.discard(id)
