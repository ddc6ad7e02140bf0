"""Who is told of what, when and how often: every new story once, whatever happens between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from aggregator import notices
from aggregator.channels import Channel, Hours
from aggregator.model import Delivered, Delivery, Edition, Evidence, Message, Undelivered, Withholding
from aggregator.notices import TRIES, Told
from aggregator.slices import Saved
from aggregator.store import SqlStore
from tests.telling import FRAME, NOW, SOURCE, judged, name, tell

AT_ONCE = Channel("desk", "webhook", "https://hook.example/")
MINUTE = timedelta(minutes=1)


class Ear:
    """A courier that remembers what it was given, and fails as it is told to."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []  # titles, by message
        self.ids: list[str] = []
        self.answers: list[Delivery] = []

    def __call__(self, channel: Channel, message: Message, edition: Edition, now: datetime) -> Delivery:
        self.ids.append(message.id)
        self.heard.append([story.title for story in edition.stories])
        return self.answers.pop(0) if self.answers else Delivered()


class Newsroom:
    """A store with stories in it, channels, and a clock that is told."""

    def __init__(self, store: SqlStore, *channels: Channel) -> None:
        self.store, self.channels, self.ear = store, channels or (AT_ONCE,), Ear()
        self.begin(NOW)

    def begin(self, now: datetime, *channels: Channel) -> None:
        self.channels = channels or self.channels
        self.store.outbox.enlist([channel.name for channel in self.channels], now)

    def go(self, now: datetime) -> list[Told]:
        """What the daemon does after each publishing."""
        notices.fill(self.store, self.store.outbox, self.channels, FRAME.sources, now)
        told = []
        for channel in self.channels:
            while one := notices.deliver(self.store, self.store.outbox, channel, self.ear, FRAME, now):
                told.append(one)
                if not isinstance(one.delivery, Delivered):
                    break
        return told

    @property
    def heard(self) -> list[list[str]]:
        return self.ear.heard

    @property
    def waiting(self) -> int:
        return sum(one.waiting for one in self.store.outbox.health())


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = SqlStore(url)
    yield opened
    opened.close()


@pytest.fixture
def room(store: SqlStore) -> Newsroom:
    return Newsroom(store)


def at(number: int) -> datetime:
    """When story `number` is told."""
    return NOW + timedelta(hours=number)


class TestNews:
    def test_a_new_story_is_told_once(self, room: Newsroom) -> None:
        """However often it is looked, whatever is edited, and however many repeat it."""
        tell(room.store, 1)
        for turn in range(3):
            room.go(at(1) + turn * MINUTE)
        with room.store.begin() as work:
            work.edit(1, judged(1, "Another title"), ())
            work.assign(work.add(judged(99), (), at(2)), name(1), Evidence("same events", "Story 1", 0.9))
            work.tell(name(1), at(1), 1, at(2))
        room.go(at(3))
        assert room.heard == [["Story 1"]]

    def test_what_was_told_before_a_channel_was_set_up_is_no_news(self, store: SqlStore) -> None:
        """Not to a channel that is new, nor to one that was taken out and comes back."""
        tell(store, 1)
        room = Newsroom(store)
        room.begin(at(2))
        tell(store, 3)
        room.begin(at(4), replace(AT_ONCE, name="other"))
        room.go(at(4))
        room.begin(at(5), AT_ONCE)
        room.go(at(5))
        assert room.heard == []
        tell(store, 6)
        room.go(at(6))
        assert room.heard == [["Story 6"]]

    def test_what_sources_bring_along_is_no_news(self, room: Newsroom) -> None:
        """An empty store fills with what its sources dated before: nobody is told of hundreds of old stories."""
        with room.store.begin() as work:
            for number in range(1, 301):
                one = judged(number)
                old = replace(one, item=replace(one.item, published=NOW - timedelta(days=1)))
                work.found(name(number), NOW)
                key = work.add(old, (), NOW)
                work.assign(key, name(number), None)
                work.tell(name(number), NOW, key, NOW)
        room.go(NOW + MINUTE)
        assert room.heard == []

    def test_two_stories_that_become_one_are_told_no_more(self, room: Newsroom) -> None:
        """Whether one of them was told before, or none: it is one story, and told once."""
        tell(room.store, 1)
        room.go(at(1))
        tell(room.store, 2)
        with room.store.begin() as work:
            work.merge(name(2), into=name(1), now=at(2))
        room.go(at(2))
        tell(room.store, 3, 4, now=at(4))
        notices.fill(room.store, room.store.outbox, room.channels, FRAME.sources, at(4))
        with room.store.begin() as work:
            work.merge(name(3), into=name(4), now=at(4))
        room.go(at(4))
        assert [len(one) for one in room.heard] == [1, 1]

    def test_what_waits_and_is_merged_into_what_was_told_is_not_told(self, room: Newsroom) -> None:
        """The merge comes between the outbox and the sending."""
        tell(room.store, 1)
        room.go(at(1))
        tell(room.store, 2)
        notices.fill(room.store, room.store.outbox, room.channels, FRAME.sources, at(2))
        with room.store.begin() as work:
            work.merge(name(2), into=name(1), now=at(2))
        room.go(at(2))
        assert room.heard == [["Story 1"]]
        assert room.waiting == 0

    @pytest.mark.parametrize("why", [Withholding(withdrawn=True), Withholding(held=frozenset({"m"}))])
    def test_what_is_withheld_before_it_is_sent_is_not_sent(self, room: Newsroom, why: Withholding) -> None:
        """It was already in the outbox. Once it is told again, it is news."""
        tell(room.store, 1, 2)
        notices.fill(room.store, room.store.outbox, room.channels, FRAME.sources, at(2))
        with room.store.begin() as work:
            work.withhold(name(1), why, "held", at(2))
            work.tell(name(1), None, 1, at(2))
        room.go(at(2))
        assert room.heard == [["Story 2"]]
        with room.store.begin() as work:
            work.withhold(name(1), Withholding(), "released", at(3))
            work.tell(name(1), at(3), 1, at(3))
        room.go(at(3))
        room.go(at(4))
        assert room.heard == [["Story 2"], ["Story 1"]]

    def test_a_channel_is_told_what_it_asks_for(self, store: SqlStore) -> None:
        """By words, languages or sources, as a slice is."""
        room = Newsroom(
            store,
            replace(AT_ONCE, name="two", asks=Saved("two", '"story 2"')),
            replace(AT_ONCE, name="korean", asks=Saved("korean", "", frozenset({"ko"}))),
            replace(AT_ONCE, name="alpha", asks=Saved("alpha", "", frozenset(), frozenset({SOURCE.name}))),
        )
        tell(store, 1, 2)
        assert {(one.channel, one.stories) for one in room.go(at(2))} == {("two", 1), ("alpha", 2)}


class TestTrying:
    def test_what_fails_is_tried_again_later_under_the_same_id(self, room: Newsroom) -> None:
        """Nothing else is told meanwhile; afterwards, all that waited."""
        room.ear.answers = [Undelivered("down")] * 2
        tell(room.store, 1)
        first = room.go(at(1))[0]
        assert first.again == at(1) + MINUTE
        tell(room.store, 2, now=at(1))
        assert room.go(at(1) + MINUTE / 2) == []
        second = room.go(at(1) + MINUTE)[0]
        assert second.again == at(1) + 5 * MINUTE
        room.go(at(1) + 5 * MINUTE)
        assert room.heard == [["Story 1"]] * 3 + [["Story 2"]]
        assert len(set(room.ear.ids[:3])) == 1
        assert room.ear.ids[3] != room.ear.ids[0]

    def test_a_service_says_when_it_wants_to_be_asked_again(self, room: Newsroom) -> None:
        """Retry-After counts where it is longer than the wait would be."""
        room.ear.answers = [Undelivered("busy", timedelta(hours=3)), Undelivered("busy", timedelta(seconds=1))]
        tell(room.store, 1)
        assert room.go(at(1))[0].again == at(4)
        assert room.go(at(4))[0].again == at(4) + 4 * MINUTE

    def test_in_the_end_it_is_given_up_and_told(self, room: Newsroom) -> None:
        """After nine tries, a day after the first; the operator can have it tried once more."""
        room.ear.answers = [Undelivered("down")] * TRIES
        tell(room.store, 1)
        now, tries = at(1), 0
        while told := room.go(now):
            tries += 1
            if told[0].again is None:
                break
            now = told[0].again
        assert tries == TRIES
        assert timedelta(hours=20) < now - at(1) < timedelta(hours=30)
        (health,) = room.store.outbox.health()
        assert (health.given_up, health.waiting, health.problem) == (1, 0, "down")
        assert room.go(now + timedelta(days=9)) == []
        assert room.store.outbox.retry(now + timedelta(days=10)) == 1
        room.go(now + timedelta(days=10))
        assert room.store.outbox.health()[0].sent == 1

    def test_what_perhaps_arrived_is_not_sent_again(self, room: Newsroom) -> None:
        """A mail was handed over and no answer came: twice is worse than told as unsure."""
        room.ear.answers = [Undelivered("broke", perhaps=True)]
        tell(room.store, 1)
        room.go(at(1))
        room.go(at(9))
        assert room.heard == [["Story 1"]]
        assert room.store.outbox.health()[0].unsure == 1

    def test_a_kill_while_sending_sends_nothing_twice(self, room: Newsroom) -> None:
        """Before it nothing is lost, after it nothing is doubled; what was being sent is told as unsure."""
        tell(room.store, 1, 2, now=at(1))
        notices.fill(room.store, room.store.outbox, room.channels, FRAME.sources, at(1))  # killed after this: all waits
        claimed = room.store.outbox.claim("desk", at(1), notices.LEASE, 1)  # killed after this: perhaps sent
        assert claimed is not None
        room.go(at(1) + MINUTE)
        assert room.heard == []  # another process may still be sending
        tell(room.store, 3)
        room.go(at(3))
        told = [title for message in room.heard for title in message]
        assert sorted(told + [f"Story {id[-1]}" for id in claimed.stories]) == ["Story 1", "Story 2", "Story 3"]
        assert room.store.outbox.health()[0].unsure == len(claimed.stories)

    def test_two_processes_take_a_message_once(self, room: Newsroom) -> None:
        """Who comes second while the first one sends finds nothing."""
        tell(room.store, 1)
        notices.fill(room.store, room.store.outbox, room.channels, FRAME.sources, at(1))
        other = Newsroom.__new__(Newsroom)
        other.store, other.channels, other.ear = room.store, room.channels, Ear()

        def meanwhile(channel: Channel, message: Message, edition: Edition, now: datetime) -> Delivery:
            assert other.go(at(1)) == []
            assert room.store.outbox.health()[0].unsure == 0
            return Delivered()

        notices.deliver(room.store, room.store.outbox, AT_ONCE, meanwhile, FRAME, at(1))
        assert other.go(at(2)) == []


class TestBursts:
    def test_many_at_once_become_one_message(self, store: SqlStore) -> None:
        """What goes beyond the messages of ten minutes is told together, and what then comes waits for their end."""
        room = Newsroom(store, replace(AT_ONCE, burst=3))
        tell(store, 1, 2, now=at(1))
        room.go(at(1))
        tell(store, *range(10, 30), now=at(1))
        room.go(at(1))
        tell(store, 40, 41, now=at(1))
        room.go(at(1) + MINUTE)
        assert [len(message) for message in room.heard] == [1, 1, 20]
        room.go(at(1) + 11 * MINUTE)
        assert [len(message) for message in room.heard] == [1, 1, 20, 1, 1]

    def test_a_webhook_is_told_all_that_waits(self, room: Newsroom) -> None:
        """A program has no use for rest: each message holds what is new, at once."""
        tell(room.store, 1, 2, now=at(1))
        room.go(at(1))
        tell(room.store, *range(10, 30), now=at(1))
        room.go(at(1))
        assert [len(message) for message in room.heard] == [2, 20]

    def test_no_message_is_beyond_all_measure(self, room: Newsroom) -> None:
        """A hundred stories at most; the rest goes in the next."""
        tell(room.store, *range(1, 131), now=at(1))
        room.go(at(1))
        assert [len(message) for message in room.heard] == [100, 30]


class TestDigests:
    MORNING = Hours(time(7), "Asia/Seoul")

    def test_a_digest_tells_what_came_since_the_last_one(self, store: SqlStore) -> None:
        """At its hour, by the clock of its place; without news, there is none."""
        room = Newsroom(store, replace(AT_ONCE, hours=self.MORNING))
        tell(store, 1, 2, 3)
        for hour in range(48):
            now = at(3 + hour)
            room.go(now)
            assert bool(room.heard) == (now >= datetime(2026, 3, 1, 22, tzinfo=UTC)), now
        assert [sorted(message) for message in room.heard] == [["Story 1", "Story 2", "Story 3"]]

    def test_one_that_was_missed_is_sent_late(self, store: SqlStore) -> None:
        """The machine was off at the hour: what waited is told when it is on again."""
        room = Newsroom(store, replace(AT_ONCE, hours=self.MORNING))
        tell(store, 1)
        room.go(at(1))
        room.go(at(1) + timedelta(days=3))
        assert room.heard == [["Story 1"]]

    @pytest.mark.parametrize(
        ("hours", "now", "expected"),
        [
            (Hours(time(7), "Asia/Seoul"), "2026-03-01T21:59+00:00", "2026-03-01T22:00+00:00"),
            (Hours(time(7), "Asia/Seoul"), "2026-03-01T22:00+00:00", "2026-03-02T22:00+00:00"),
            (Hours(time(7), "UTC", 0), "2026-03-01T12:00+00:00", "2026-03-02T07:00+00:00"),
            (Hours(time(7), "UTC", 6), "2026-03-01T12:00+00:00", "2026-03-08T07:00+00:00"),
            # In Berlin summer time begins on 29 March 2026 at 02:00, and ends on 25 October at 03:00.
            (Hours(time(7), "Europe/Berlin"), "2026-03-28T12:00+00:00", "2026-03-29T05:00+00:00"),
            (Hours(time(2, 30), "Europe/Berlin"), "2026-03-28T12:00+00:00", "2026-03-29T01:30+00:00"),
            (Hours(time(2, 30), "Europe/Berlin"), "2026-10-25T00:45+00:00", "2026-10-26T01:30+00:00"),
        ],
    )
    def test_the_hour_is_that_of_the_place(self, hours: Hours, now: str, expected: str) -> None:
        """Each day once, also when clocks are put forward or back."""
        assert hours.after(datetime.fromisoformat(now)) == datetime.fromisoformat(expected)
