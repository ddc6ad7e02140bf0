"""Carry out the curator's word, which stands above every rule: keep, drop, merge, split, withdraw, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from aggregator.errors import ConfigError, NotFoundError
from aggregator.model import MERGED, Evidence, Judged, StoredItem, StoredStory, Withholding
from aggregator.planting import PLANTED
from aggregator.ports import Store
from aggregator.second_look import look_again
from aggregator.settle import Rules, Settling, found, revise, tell
from aggregator.vouching import alone, is_vouched


def find_item(store: Store, what: str) -> StoredItem:
    """The item with this link, id or number (as `explain` and `review` print it); NotFoundError if there is none."""
    if what.removeprefix("#").isdecimal() and (numbered := store.item(int(what.removeprefix("#")))):
        return numbered
    items = store.items(what)
    if not items:
        raise NotFoundError(f"no item with the link or id {what} is known; `aggregator stories` lists what was kept")
    return next((item for item in items if item.story is not None), items[0])


def find_story(store: Store, what: str) -> StoredStory:
    """The story with this id, or that the item with this link, id or number stands in."""
    with store.begin() as work:
        if story := work.story(what):
            return story
        item = find_item(store, what)
        if item.story is not None and (story := work.story(item.story)):
            return story
    raise NotFoundError(f"the item {item.item.title!r} stands in no story; `aggregator keep {what}` puts it in one")


def keep(store: Store, rules: Rules, what: str, now: datetime) -> StoredItem:
    """From now on the item belongs to the subject, whatever the rules say."""
    return _rule(store, rules, what, "keep", now)


def drop(store: Store, rules: Rules, what: str, now: datetime) -> StoredItem:
    """From now on the item does not belong to the subject, whatever the rules say."""
    return _rule(store, rules, what, "drop", now)


def take_back(store: Store, rules: Rules, what: str, now: datetime) -> StoredItem:
    """From now on the rules decide on the item again; NotFoundError if the curator has not."""
    stored = find_item(store, what)
    if stored.ruling is None:
        raise NotFoundError(f"the item {stored.item.title!r} is neither kept nor dropped by you; nothing to take back")
    return _rule(store, rules, f"#{stored.key}", None, now)


def _rule(store: Store, rules: Rules, what: str, ruling: str | None, now: datetime) -> StoredItem:
    stored = replace(find_item(store, what), ruling=ruling)

    def carry_out(settling: Settling) -> None:
        settling.work.rule(stored.key, ruling)
        keys = rules.keys(stored.item) if ruling == "keep" else frozenset()
        revise(settling, stored, Judged(stored.item, alone(stored.verdict)), keys)
        if stored.story is not None:
            settling.touched.add(stored.story)  # it may have stood in a story that was too old to be published

    _settle(store, rules, now, carry_out)
    return store.item(stored.key) or stored


def merge(store: Store, rules: Rules, a: str, b: str, now: datetime) -> StoredStory:
    """Two stories are one; the id of the one told later stays valid as a name of the other."""
    pair = find_story(store, a), find_story(store, b)
    first, second = sorted(pair, key=lambda story: (not story.seed, story.told or now))
    if first.id == second.id:
        return first

    def carry_out(settling: Settling) -> None:
        settling.work.merge(second.id, into=first.id, now=now)
        for member in second.members:
            settling.work.assign(member.key, first.id, Evidence("curator", _title(first), 1.0, MERGED))
        settling.touched.add(first.id)

    _settle(store, rules, now, carry_out)
    return find_story(store, first.id)


def split(store: Store, rules: Rules, what: str, now: datetime) -> StoredStory:
    """The item is a story of its own, and is never put back into the one it stood in.

    One that only that story vouched for is kept by the curator's word from now on; others that it vouched for stay.
    """
    stored, story = find_item(store, what), find_story(store, what)
    if len([member for member in story.members if not member.seed]) < 2 and not story.seed:
        raise NotFoundError(f"{stored.item.title!r} is the only item of its story; there is nothing to split")

    def carry_out(settling: Settling) -> None:
        settling.work.part(stored.key, story.id)
        own = found(settling, stored.key, stored.item)
        for member in story.members:
            if is_vouched(member.verdict) and member.key != stored.key:
                settling.work.part(member.key, own)
        if is_vouched(stored.verdict):
            settling.work.rule(stored.key, "keep")
            settling.work.edit(stored.key, Judged(stored.item, alone(stored.verdict)), rules.keys(stored.item))
        left = _title(story, but=stored.key)
        settling.work.assign(stored.key, own, Evidence("curator", left, 1.0, ("split by hand",)))
        settling.touched |= {story.id, own}

    _settle(store, rules, now, carry_out)
    return find_story(store, f"#{stored.key}")


def withdraw(store: Store, rules: Rules, what: str, now: datetime) -> StoredStory:
    """Publish a story no more, nor any repeat of it that is still to come."""
    story = find_story(store, what)

    def carry_out(settling: Settling) -> None:
        withholding = replace(story.withholding, withdrawn=True)
        settling.work.withhold(story.id, withholding, "withdrawn", now)
        settling.touched.add(story.id)

    if not story.withholding.withdrawn:
        _settle(store, rules, now, carry_out)
    return find_story(store, story.id)


def release(store: Store, rules: Rules, what: str, now: datetime, *, withdrawn: bool = False) -> StoredStory:
    """Publish a story that the hold list keeps back; with `withdrawn`, one that was withdrawn.

    What holds it now holds it no more; another entry of the list may hold it again. ConfigError: it is withdrawn, and
    that was not meant.
    """
    story = find_story(store, what)
    if story.withholding.withdrawn and not withdrawn:
        raise ConfigError(f"the story {story.id} was withdrawn; `aggregator release --withdrawn` publishes it again")
    if not story.withholding.in_force:
        raise NotFoundError(f"the story {story.id} is not held; `aggregator hold stories` lists those that are")

    def carry_out(settling: Settling) -> None:
        held = story.withholding.held | settling.watch().matched(story)
        deed = "restored" if story.withholding.withdrawn else "released"
        settling.work.withhold(story.id, Withholding(held=held, released=held), deed, now)
        settling.touched.add(story.id)
        if story.seed:
            settling.work.put(PLANTED, "")  # planting tells it, at the time that a seed is told at

    _settle(store, rules, now, carry_out)
    return find_story(store, story.id)


def _settle(store: Store, rules: Rules, now: datetime, carry_out: Callable[[Settling], None]) -> None:
    with store.begin() as work:
        settling = Settling(work, rules, now)
        carry_out(settling)
        tell(settling)
    look_again(store, rules, now)


def _title(story: StoredStory, but: int | None = None) -> str:
    """The title of a story's first member, other than one."""
    return next((member.item.title for member in story.members if member.key != but), "")
