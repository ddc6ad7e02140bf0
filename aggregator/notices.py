"""Tell channels of new stories: what is to be told is put into the outbox, and taken out message by message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.channels import Channel
from aggregator.model import Delivered, Delivery, Edition, Message, Source, StoredStory, Undelivered
from aggregator.ports import Courier, Outbox, Store
from aggregator.press import edition
from aggregator.slices import asked, told_in

LEASE = timedelta(minutes=5)  # longer than any try takes; after it, what a process elsewhere held is free
TRIES = 9  # the last one a day after the first
_DATED = timedelta(minutes=1)  # many sources date by the minute: what they bring right after a channel began is news
_AT_ONCE = 200  # stories looked at together
_FIRST, _LONGEST = timedelta(minutes=1), timedelta(hours=6)  # waits: 1, 4, 16, 64 minutes, 4.3 hours, then six each


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a message."""

    channel: str
    stories: int
    delivery: Delivery
    at: datetime
    again: datetime | None = None  # when it is tried next; None: it was delivered, or is given up


def fill(store: Store, outbox: Outbox, channels: Iterable[Channel], sources: Sequence[Source], now: datetime) -> None:
    """Put what is new for each channel into the outbox; it costs what changed since it was done last.

    New is what was told after the channel was set up, by at least one who dates it after that: who sets up a channel
    beside an empty store is not told what its sources bring along.
    """
    begun, mark = outbox.begun(), store.mark()
    for channel in channels:
        if channel.name not in begun or begun[channel.name][1] >= mark:
            continue
        since, before = begun[channel.name]
        news = [story for story in _changed(store, before) if _is_news(story, since)]
        found = [(one.id, one.told) for one in fitting(channel, news, sources) if one.told]
        outbox.add(channel.name, found, channel.due(now), mark)


def fitting(channel: Channel, stories: Iterable[StoredStory], sources: Iterable[Source]) -> list[StoredStory]:
    """Those of the stories that the channel asks for."""
    known = {source.url: source for source in sources}
    return [story for story in stories if asked(channel.asks, story, known)]


def deliver(
    store: Store, outbox: Outbox, channel: Channel, courier: Courier, frame: Edition, now: datetime
) -> Told | None:
    """Try to tell a channel the next message; None: there is none. (Six parameters: all that is joined here.)

    A story that was withdrawn, held or merged into an older one since is left out.
    """
    message = outbox.claim(channel.name, now, LEASE, channel.burst)
    if message is None:
        return None
    known = {source.url: source for source in frame.sources}
    found = store.named(message.stories)
    told = {id: one for id, one in found.items() if one.told is not None and one.told >= message.since}
    outbox.drop(message, [id for id in message.stories if id not in told])
    shown = edition_of(channel, frame, told.values(), known)
    delivery = courier(channel, message, shown, now) if shown.stories else Delivered()
    again = _again(message, delivery, now)
    outbox.close(message, delivery, again, now)
    return Told(channel.name, len(shown.stories), delivery, now, again) if shown.stories else None


def edition_of(
    channel: Channel, frame: Edition, stories: Iterable[StoredStory], known: Mapping[str, Source]
) -> Edition:
    """The stories as the channel is told them, the oldest last: by one of the members that it asks for."""
    asks, priority = channel.asks, {url: source.priority for url, source in known.items()}
    if asks.languages or asks.sources:
        stories = [told_in(one, asked(asks, one, known), priority, frame.language) for one in stories]
    distinct = {one.id: one for one in stories}
    ordered = sorted(distinct.values(), key=lambda one: (one.told is not None and one.told, one.id), reverse=True)
    return edition(replace(frame, gone=(), pages=0, days=(), hub=""), ordered)


def _changed(store: Store, mark: int) -> list[StoredStory]:
    """The stories that changed behind a mark, by what they are called now."""
    ids, found = sorted(store.changed(mark)), dict[str, StoredStory]()
    for start in range(0, len(ids), _AT_ONCE):
        found |= {one.id: one for one in store.named(ids[start : start + _AT_ONCE]).values()}
    return list(found.values())


def _is_news(story: StoredStory, since: datetime) -> bool:
    if story.seed or story.told is None or story.told < since:
        return False
    return any((member.item.published or member.first_seen) >= since - _DATED for member in story.members)


def _again(message: Message, delivery: Delivery, now: datetime) -> datetime | None:
    """When a message that failed is tried again: after ever longer waits, and not before the service wants it."""
    if not isinstance(delivery, Undelivered) or delivery.perhaps or message.tries >= TRIES:
        return None
    wait = min(_FIRST * 4 ** (message.tries - 1), _LONGEST)
    moment: datetime = now + max(wait, delivery.retry_after or wait)
    return moment
