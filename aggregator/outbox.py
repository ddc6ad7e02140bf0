"""Remembers what each channel was told, and is to be told, in the store's database."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, text, update

from aggregator import leases
from aggregator.database import Database
from aggregator.model import ChannelHealth, Delivery, Message, Undelivered
from aggregator.rows import instant, micros, moment
from aggregator.schema import channel, outbox
from aggregator.work import LAST_MARK

_WINDOW = timedelta(minutes=10)  # in which a channel's messages are counted
_MOST = 100  # stories in one message: more fill a screen many times over, and a mail with 1,000 takes a megabyte

# A story may have other names since: those of stories that were merged into it.
_KNOWN = text(
    "SELECT 1 FROM outbox JOIN story_name AS theirs ON theirs.name = outbox.story"
    " JOIN story_name AS ours ON ours.story = theirs.story"
    " WHERE outbox.channel = :channel AND ours.name = :story LIMIT 1"
)
# What waits though its story was told, or waits, under another name.
_TWICE = text(
    "DELETE FROM outbox WHERE channel = :channel AND state = 'waiting' AND EXISTS (SELECT 1 FROM story_name AS ours"
    " JOIN story_name AS theirs ON theirs.story = ours.story JOIN outbox AS other ON other.story = theirs.name"
    " WHERE ours.name = outbox.story AND other.channel = outbox.channel AND other.story <> outbox.story"
    " AND (other.state <> 'waiting' OR other.told < outbox.told"
    " OR (other.told = outbox.told AND other.story < outbox.story)))"
)
_IN_MESSAGE = update(outbox).where(outbox.c.channel == bindparam("channel_"), outbox.c.message == bindparam("message_"))


class SqlOutbox:
    """ports.Outbox beside the store; see docs/notes/009-notifications.md."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enlist(self, channels: Collection[str], now: datetime) -> None:
        with self._database.writing() as connection:
            known = set(connection.execute(select(channel.c.name)).scalars())
            for table, name in ((outbox, outbox.c.channel), (channel, channel.c.name)):
                connection.execute(delete(table).where(name.in_(known.difference(channels))))
            mark = connection.execute(LAST_MARK).scalar() or 0
            begun = {"since": micros(now), "due": micros(now), "mark": mark, "failures": 0, "problem": ""}
            if new := [{"name": name, **begun} for name in sorted(set(channels) - known)]:
                connection.execute(insert(channel), new)
            held = connection.execute(select(channel.c.leased_by).where(channel.c.leased_by.is_not(None))).scalars()
            ended = [name for name in held if leases.has_ended(name)]
            connection.execute(update(channel).where(channel.c.leased_by.in_(ended)).values(_FREE))

    def begun(self) -> Mapping[str, tuple[datetime, int]]:
        with self._database.reading() as connection:
            return {row.name: (instant(row.since), row.mark) for row in connection.execute(select(channel))}

    def add(self, name: str, stories: Iterable[tuple[str, datetime]], due: datetime, mark: int) -> None:
        with self._database.writing() as connection:
            for story, told in stories:
                if connection.execute(_KNOWN, {"channel": name, "story": story}).first() is None:
                    waiting = {"told": micros(told), "due": micros(due), "state": "waiting", "tries": 0}
                    connection.execute(insert(outbox).values(channel=name, story=story, **waiting))
            newer = and_(channel.c.name == name, channel.c.mark < mark)
            connection.execute(update(channel).where(newer).values(mark=mark))

    def claim(self, name: str, now: datetime, lease: timedelta, burst: int) -> Message | None:
        free = or_(channel.c.leased_until.is_(None), channel.c.leased_until <= micros(now))
        if not self._is_open(name):  # asked often, and mostly for nothing: no writer is held up for it
            return None
        ready = select(channel).where(channel.c.name == name, channel.c.due <= micros(now), free)
        with self._database.beside() as connection:
            row = connection.execute(ready.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            cut_off = update(outbox).where(outbox.c.channel == name, outbox.c.state == "sending")
            connection.execute(cut_off.values(state="unsure"))
            connection.execute(_TWICE, {"channel": name})
            chosen = self._next(connection, name, now, burst)
            if not chosen:
                return None
            message = Message(
                id=chosen[0].message or f"msg_{uuid.uuid4().hex}",
                channel=name,
                stories=tuple(one.story for one in chosen),
                tries=chosen[0].tries + 1,
                since=instant(row.since),
            )
            taken = update(outbox).where(outbox.c.channel == name, outbox.c.story.in_(message.stories))
            tried = {"message": message.id, "tries": message.tries, "at": micros(now)}
            connection.execute(taken.values(state="sending", **tried))
            held = {"leased_until": micros(now + lease), "leased_by": leases.holder()}
            connection.execute(update(channel).where(channel.c.name == name).values(held))
        return message

    def _is_open(self, name: str) -> bool:
        waiting = select(outbox.c.story).where(outbox.c.channel == name, outbox.c.state.in_(("waiting", "sending")))
        with self._database.reading() as connection:
            return connection.execute(waiting.limit(1)).first() is not None

    def _next(self, connection: Connection, name: str, now: datetime, burst: int) -> Sequence[Any]:
        """The rows of the next message; see the port."""
        due = and_(outbox.c.channel == name, outbox.c.state == "waiting", outbox.c.due <= micros(now))
        waiting = connection.execute(select(outbox).where(due).order_by(outbox.c.told, outbox.c.story)).all()
        if begun := next((row.message for row in waiting if row.message is not None), None):
            return [row for row in waiting if row.message == begun]
        if not burst:
            return waiting[:_MOST]
        lately = and_(outbox.c.channel == name, outbox.c.at > micros(now - _WINDOW))
        room = burst - (connection.execute(select(func.count(outbox.c.message.distinct())).where(lately)).scalar() or 0)
        if room <= 0:
            return []
        return waiting[:1] if len(waiting) <= room else waiting[:_MOST]

    def drop(self, message: Message, stories: Iterable[str]) -> None:
        with self._database.beside() as connection:
            dropped = and_(outbox.c.channel == message.channel, outbox.c.story.in_(list(stories)))
            connection.execute(delete(outbox).where(dropped, outbox.c.message == message.id))

    def close(self, message: Message, delivery: Delivery, again: datetime | None, now: datetime) -> None:
        rows: dict[str, Any] = {"state": "sent", "at": micros(now)}
        after: dict[str, Any] = {"failures": 0, "problem": "", "due": micros(now)}
        if isinstance(delivery, Undelivered):
            rows = {"state": "unsure" if delivery.perhaps else "given up", "at": micros(now)}
            if again is not None:
                rows = {"state": "waiting", "due": micros(again)}
            after = {"failures": channel.c.failures + 1, "problem": delivery.why, "due": micros(again or now)}
        with self._database.beside() as connection:
            place = {"channel_": message.channel, "message_": message.id}
            connection.execute(update(channel).where(channel.c.name == message.channel).values(after | _FREE))
            connection.execute(_IN_MESSAGE.values(rows), place)

    def retry(self, now: datetime) -> int:
        with self._database.writing() as connection:
            connection.execute(update(channel).values(due=micros(now)))
            fresh = {"state": "waiting", "due": micros(now), "tries": 0}
            return connection.execute(update(outbox).where(outbox.c.state == "given up").values(fresh)).rowcount

    def health(self) -> tuple[ChannelHealth, ...]:
        counted = select(outbox.c.channel, outbox.c.state, func.count(), func.min(outbox.c.due), func.max(outbox.c.at))
        with self._database.reading() as connection:
            rows = connection.execute(counted.group_by(outbox.c.channel, outbox.c.state)).all()
            listed = connection.execute(select(channel).order_by(channel.c.name)).all()
        states = {(name, state): tuple(row) for name, state, *row in rows}
        return tuple(_health(row, states) for row in listed)


_FREE = {"leased_until": None, "leased_by": None}


def _health(row: Any, states: Mapping[tuple[str, str], tuple[Any, ...]]) -> ChannelHealth:
    def counted(state: str) -> tuple[int, int | None, int | None]:
        count, due, at = states.get((row.name, state), (0, None, None))
        return count, due, at

    waiting, due, _ = counted("waiting")
    sent, _, at = counted("sent")
    return ChannelHealth(
        name=row.name,
        since=instant(row.since),
        waiting=waiting + counted("sending")[0],
        sent=sent,
        given_up=counted("given up")[0],
        unsure=counted("unsure")[0],
        last_sent=moment(at),
        next_due=moment(max(due, row.due)) if due is not None else None,
        failures=row.failures,
        problem=row.problem,
    )
