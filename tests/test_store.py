"""What every store does, whatever it is made of: one suite for ports.Store, run on each implementation."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.database import APPLICATION
from aggregator.errors import ConfigError, NotFoundError, QueryError, StoreError
from aggregator.memory import MemoryStore
from aggregator.model import (
    Changed,
    Decision,
    Deed,
    Enclosure,
    Evidence,
    Failed,
    FailureKind,
    FeedHead,
    Freshness,
    Gone,
    Item,
    Judged,
    Line,
    Outcome,
    Past,
    Plan,
    Reason,
    Rhythm,
    Seed,
    Source,
    StoredStory,
    Subscription,
    Unchanged,
    Validators,
    Verdict,
    Visit,
    Withholding,
)
from aggregator.pace import adopted
from aggregator.ports import Store, Work
from aggregator.rows import SENTENCES, add_counts
from aggregator.search import document, fits, parse
from aggregator.store import SqlStore
from aggregator.work import PER_KEY, REMEMBERED

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LEASE = timedelta(minutes=10)

A = Source("https://a.example/feed", "Alpha", "en", "north-korea", 7, timedelta(minutes=30))
B = Source("https://b.example/feed", "Beta")
C = Source("https://c.example/feed", "Gamma", headers=(("Authorization", "Bearer secret"),))


class Shelf:
    """A store that can be closed and opened again."""

    def __init__(self, opener: Callable[[], Store]) -> None:
        self._opener = opener
        self.store = opener()

    def reopen(self) -> Store:
        self.store.close()
        self.store = self._opener()
        return self.store


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    match request.param:
        case "memory":
            store = MemoryStore()
            shelf = Shelf(lambda: store)
        case "sqlite":
            shelf = Shelf(lambda: SqlStore(f"sqlite:///{tmp_path}/store.db"))
        case _:
            url = request.getfixturevalue("postgres_url")
            shelf = Shelf(lambda: SqlStore(url))
    yield shelf
    shelf.store.close()


@pytest.fixture
def store(shelf: Shelf) -> Store:
    return shelf.store


def judged(
    id: str = "1", source: Source = A, decision: Decision = Decision.KEPT, score: float = 0.9, **fields: object
) -> Judged:
    values: dict[str, object] = {"link": f"https://a.example/{id}", "title": f"Title {id}", "summary": "", **fields}
    reasons = (Reason("title", "defector", "탈북민", 0.9),)
    return Judged(Item(source.url, id, **values), Verdict(decision, score, reasons, "r1"))  # type: ignore[arg-type]


def visit(
    source: Source = A,
    outcome: Outcome | None = None,
    validators: Validators = Validators('W/"1"', "Sun, 01 Mar 2026 11:00:00 GMT"),  # noqa: B008
    freshness: Freshness = Freshness(),  # noqa: B008
    body: bytes | None = b"b" * 16,
) -> Visit:
    outcome = outcome or Changed(FeedHead("rss20", "Alpha News", "https://a.example/"), (), frozenset({b"1" * 16}))
    return Visit(source, NOW, NOW + timedelta(seconds=1), outcome, validators, body, b"h" * 16, freshness)


def plan(due: datetime = NOW + HOUR, **fields: object) -> Plan:
    return Plan(due, Rhythm(interval=HOUR, last_visit=NOW, **fields), "hourly")  # type: ignore[arg-type]


def past(source: Source, new: int = 0) -> Past:
    return Past(source.url, NOW, timedelta(milliseconds=250), "changed", "", new, 1, NOW + HOUR, "hourly")


def record(store: Store, visit: Visit, plan: Plan, sentences: dict[int, int] | None = None) -> None:
    with store.begin() as work:
        work.record(visit, plan, sentences or {})


def tell(store: Store, id: str, *members: tuple[Judged, Sequence[str]], now: datetime = NOW) -> tuple[int, ...]:
    """Put new items into one new story and tell it."""
    with store.begin() as work:
        work.found(id, now)
        keys = tuple(work.add(one, names, now) for one, names in members)
        for key in keys:
            work.assign(key, id, Evidence("founds", "", 1.0))
        work.tell(id, now, keys[0], now)
    return keys


def candidates(store: Store, *keys: str, since: datetime = NOW - DAY) -> set[str]:
    with store.begin() as work:
        return {story.id for story in work.candidates(keys, since)}


def story_of(store: Store, id: str) -> StoredStory:
    with store.begin() as work:
        story = work.story(id)
    assert story is not None
    return story


def withhold(store: Store, id: str, withholding: Withholding, deed: str = "", told: datetime | None = None) -> None:
    with store.begin() as work:
        work.withhold(id, withholding, deed, NOW)
        story = work.story(id)
        assert story is not None
        work.tell(id, told, story.lead, NOW + HOUR)


class TestWithholding:
    def test_what_keeps_a_story_back_is_remembered(self, shelf: Shelf) -> None:
        """With the deeds, the latest first, under the id that the story has."""
        kept_back = Withholding(True, frozenset({"x", "y"}), frozenset({"x"}))
        tell(shelf.store, "s1", (judged("1"), ["k"]))
        tell(shelf.store, "s2", (judged("2"), ["k"]))
        withhold(shelf.store, "s1", kept_back, "held")
        withhold(shelf.store, "s1", kept_back, "withdrawn")
        store = shelf.reopen()
        assert [(one.id, one.withholding) for one in store.withheld()] == [("s1", kept_back)]
        assert store.deeds() == (Deed(NOW, "s1", "withdrawn"), Deed(NOW, "s1", "held"))
        assert [one.id for one in store.stories()] == ["s2"]
        assert (store.is_gone("s1"), store.is_gone("s2"), store.is_gone("s3")) == (True, False, False)

    def test_what_was_withdrawn_is_a_candidate_at_any_age(self, store: Store) -> None:
        """With the members that it had, that it gains, and that a merge brings; restored, it ages as all do."""
        for n in ("1", "2", "3"):
            tell(store, f"s{n}", (judged(n), [f"k{n}"]))
        later, all_keys = NOW + 900 * DAY, ("k1", "k2", "k3", "k4")
        withhold(store, "s1", Withholding(True))
        with store.begin() as work:
            work.assign(work.add(judged("4"), ["k4"], NOW), "s1", None)
            work.merge("s2", into="s1", now=NOW + HOUR)
        for key in ("k1", "k2", "k4"):
            assert candidates(store, key, since=later) == {"s1"}, key
        with store.begin() as work:
            work.merge("s1", into="s3", now=NOW + HOUR)
        for key in all_keys:
            assert candidates(store, key, since=later) == {"s3"}, key
        withhold(store, "s3", Withholding())
        assert candidates(store, *all_keys, since=later) == set()
        assert candidates(store, *all_keys) == {"s3"}

    def test_merged_stories_are_kept_back_by_all_that_kept_either(self, store: Store) -> None:
        """What one was released from holds on if it held the other."""
        for n in ("1", "2"):
            tell(store, f"s{n}", (judged(n), ["k"]))
        withhold(store, "s1", Withholding(False, frozenset({"x", "y"}), frozenset({"x", "y"})))
        withhold(store, "s2", Withholding(False, frozenset({"x"})))
        with store.begin() as work:
            work.merge("s2", into="s1", now=NOW)
        assert story_of(store, "s2").withholding == Withholding(False, frozenset({"x", "y"}), frozenset({"y"}))

    def test_a_story_merged_into_one_kept_back_is_gone(self, store: Store) -> None:
        """Its old page leads to none."""
        for n in ("1", "2"):
            tell(store, f"s{n}", (judged(n), ["k"]))
        with store.begin() as work:
            work.merge("s2", into="s1", now=NOW + HOUR)
        assert [one.into for one in store.gone()] == ["s1"]
        withhold(store, "s1", Withholding(True))
        assert [(one.id, one.into) for one in store.gone()] == [("s1", None), ("s2", None)]
        assert store.is_gone("s2")


class TestSources:
    def test_a_new_source_is_due_at_once_and_knows_nothing(self, store: Store) -> None:
        """A source that was never visited is due when it is listed, and its task carries no memory."""
        store.enlist([A], [], NOW)
        (task,) = store.claim(NOW, LEASE)
        assert task.source == A
        assert task.known.body is None
        assert task.known.entries == frozenset()
        assert task.rhythm == Rhythm()
        assert store.next_due() == NOW + LEASE

    def test_a_task_has_the_headers_of_the_configuration(self, store: Store) -> None:
        """Request headers reach the task, though they are not written down."""
        store.enlist([C], [], NOW)
        (task,) = store.claim(NOW, LEASE)
        assert task.source.headers == C.headers

    def test_a_disabled_source_is_listed_and_not_visited(self, store: Store) -> None:
        """Disabled sources show in health, in their place, without a next visit."""
        store.enlist([A], [B], NOW)
        assert [task.source for task in store.claim(NOW, LEASE)] == [A]
        assert [(one.source.name, one.enabled, one.next_due) for one in store.health()] == [
            ("Alpha", True, NOW),
            ("Beta", False, None),
        ]

    def test_a_source_that_returns_finds_its_state(self, shelf: Shelf) -> None:
        """A source taken from the list is visited no more; back on the list, it is due as planned, with its memory."""
        shelf.store.enlist([A, B], [], NOW)
        record(shelf.store, visit(A), plan(NOW + HOUR))
        shelf.store.enlist([B], [], NOW)
        assert [one.source for one in shelf.store.health()] == [B]
        store = shelf.reopen()
        store.enlist([B, A], [], NOW + DAY)
        assert [one.source for one in store.health()] == [B, A]
        task = {task.source: task for task in store.claim(NOW + DAY, LEASE)}[A]
        assert task.known.body == b"b" * 16
        assert task.rhythm.last_visit == NOW

    def test_a_changed_source_is_as_configured(self, store: Store) -> None:
        """A new name or scope in the configuration counts from the next task on; the due time stays."""
        store.enlist([A], [], NOW)
        record(store, visit(A), plan(NOW + HOUR))
        changed = replace(A, name="New", scope="general", interval=None, priority=1)
        store.enlist([changed], [], NOW + DAY)
        assert store.health()[0].source == changed
        assert store.next_due() == NOW + HOUR

    def test_an_interval_that_is_given_counts_from_the_last_visit(self, store: Store) -> None:
        """A source that works is due by it, but not before the end of a pause; one that fails is due as it was."""
        store.enlist([A, B, C], [], NOW)
        record(store, visit(A), Plan(NOW + DAY, Rhythm(last_visit=NOW), "later"))
        record(store, visit(B), Plan(NOW + DAY, Rhythm(last_visit=NOW, failures=1), "failed"))
        paused = visit(C, freshness=Freshness(retry_after=3 * HOUR))
        record(store, paused, Plan(NOW + DAY, Rhythm(last_visit=NOW), "a pause"))
        minutes = timedelta(minutes=20)
        store.enlist([replace(one, interval=minutes) for one in (A, B, C)], [], NOW + minutes)
        due = [one.next_due for one in store.health()]
        assert due[:2] == [NOW + minutes, NOW + DAY]
        assert due[2] is not None
        assert due[2] >= NOW + 3 * HOUR - timedelta(seconds=1)
        assert [one.why for one in store.health()][:2] == ["every 20 minutes, as configured", "failed"]

    def test_enlisting_the_same_again_changes_nothing(self, store: Store) -> None:
        """A restart does not make sources due."""
        store.enlist([A], [], NOW)
        record(store, visit(A), plan(NOW + HOUR))
        before = store.health()
        store.enlist([A], [], NOW + timedelta(minutes=1))
        assert store.health() == before


class TestClaim:
    def test_no_host_takes_the_places_of_others(self, store: Store) -> None:
        """What can begin at once goes first, what is under way counted in; what is left goes to all hosts in turn."""
        big = [Source(f"https://big.example/{number}", f"Big {number}") for number in range(8)]
        other = [Source(f"https://other.example/{number}", f"Other {number}") for number in range(4)]
        store.enlist([*big, *other, B, C], [], NOW)
        for source in other:
            record(store, visit(source), plan(NOW + HOUR))
        for source in (B, C):
            record(store, visit(source), plan(NOW + 2 * HOUR))
        later = NOW + 2 * HOUR
        first = store.claim(later, LEASE, limit=4, abreast=2)
        assert [task.source for task in first] == [*big[:2], *other[:2]]
        assert [task.source for task in store.claim(later, LEASE, limit=4, abreast=2)] == [big[2], other[2], B, C]
        assert [task.source for task in store.claim(later, LEASE, limit=2, abreast=2)] == [big[3], other[3]]
        store.release(first)
        assert [task.source for task in store.claim(later, LEASE, limit=2, abreast=9)] == big[:2]
        assert {task.source for task in store.claim(later, LEASE)} == {*big[4:], *other[:2]}

    @pytest.mark.parametrize("failures", [0, 3])
    def test_a_source_that_has_moved_is_of_the_host_that_is_asked(self, store: Store, failures: int) -> None:
        """Where one is left alone so is the other; when the move is taken back it is of its own host again."""
        store.enlist([A, B], [], NOW)
        moved = {"moved_to": "https://b.example/a", "moved_since": NOW, "moved_count": 3}
        record(store, visit(A), plan(NOW, **moved))
        store.spare("b.example", NOW + HOUR, "a pause")
        assert store.claim(NOW, LEASE) == ()
        record(store, visit(A), plan(NOW + HOUR, failures=failures, **({} if failures else moved)))
        store.spare("b.example", NOW + 2 * HOUR, "a pause")
        assert [task.source for task in store.claim(NOW + HOUR, LEASE)] == ([A] if failures else [])

    def test_a_lease_can_be_renewed(self, store: Store) -> None:
        """As long as it is one's own: what has ended and was not taken may be taken again."""
        store.enlist([A, B], [], NOW)
        tasks = store.claim(NOW, LEASE)
        store.renew(tasks[:1], NOW + 2 * LEASE)
        assert [task.source for task in store.claim(NOW + LEASE, LEASE)] == [B]
        assert [task.source for task in store.claim(NOW + 2 * LEASE, LEASE)] == [A, B]

    def test_the_longest_due_comes_first(self, store: Store) -> None:
        """Claims go by due time, then by the order of the configuration; a limit takes the first."""
        store.enlist([A, B, C], [], NOW)
        record(store, visit(A), plan(NOW + 2 * HOUR))
        record(store, visit(C), plan(NOW - HOUR))
        assert [task.source for task in store.claim(NOW, LEASE, limit=1)] == [C]
        assert [task.source for task in store.claim(NOW, LEASE)] == [B]
        assert store.claim(NOW, LEASE) == ()

    def test_what_is_leased_is_not_claimed_again_until_the_lease_ends(self, store: Store) -> None:
        """A claimed source belongs to its claimer for the lease, and to nobody after it."""
        store.enlist([A], [], NOW)
        assert store.claim(NOW, LEASE)
        assert store.claim(NOW + LEASE - timedelta(microseconds=1), LEASE) == ()
        assert store.claim(NOW + LEASE - timedelta(microseconds=1), LEASE, everything=True) == ()
        assert store.claim(NOW + LEASE, LEASE)

    @pytest.mark.parametrize("everything", [True, False])
    def test_a_clock_that_ran_ahead_holds_nothing_up(self, store: Store, everything: bool) -> None:
        """Neither a visit of years to come nor its Retry-After nor a lease keeps a source from being claimed now."""
        store.enlist([A, B, C], [], NOW)
        future = NOW + 3650 * DAY
        told = visit(A, freshness=Freshness(retry_after=HOUR))
        record(store, replace(told, finished=future), Plan(future + HOUR, Rhythm(last_visit=future), "later"))
        record(store, visit(C), plan())
        store.claim(future, LEASE, everything=True)
        assert {task.source.url for task in store.claim(NOW, LEASE, everything=everything)} == (
            {A.url, B.url, C.url} if everything else {A.url, B.url}
        )

    def test_a_released_task_is_due_as_before(self, store: Store) -> None:
        """Releasing gives a task back without a trace."""
        store.enlist([A, B], [], NOW)
        tasks = store.claim(NOW, LEASE)
        store.release(tasks[:1])
        assert store.claim(NOW, LEASE) == tasks[:1]
        store.release([])

    def test_what_is_put_off_is_not_claimed_before(self, store: Store) -> None:
        """Neither when due nor by a manual run; and what is due later stays so."""
        store.enlist([A, B], [], NOW)
        tasks = store.claim(NOW, LEASE)
        store.put_off([(task, NOW + HOUR) for task in tasks], "a pause")
        assert store.claim(NOW + HOUR - timedelta(seconds=1), LEASE, everything=True) == ()
        assert [one.why for one in store.health()] == ["a pause", "a pause"]
        store.put_off([(tasks[0], NOW)], "earlier")
        assert len(store.claim(NOW + HOUR, LEASE)) == 2

    def test_what_is_put_off_without_hold_is_claimed_by_hand(self, store: Store) -> None:
        """A claim of everything takes it; one of what is due does not."""
        store.enlist([A], [], NOW)
        store.put_off([(task, NOW + HOUR) for task in store.claim(NOW, LEASE)], "rest", hold=False)
        assert store.claim(NOW, LEASE) == ()
        assert len(store.claim(NOW, LEASE, everything=True)) == 1

    def test_a_host_that_is_spared_is_left_alone_with_all_that_lies_on_it(self, store: Store) -> None:
        """Until then, however it is asked for; what is due later stays so, and so does every other host."""
        later, neighbour = Source("https://www.a.example/later", "Later"), Source("https://www.a.example/news", "News")
        store.enlist([A, later, neighbour, B], [], NOW)
        record(store, visit(later), plan(NOW + 2 * HOUR))
        store.spare("a.example", NOW + HOUR, "a pause")
        soon = NOW + HOUR - timedelta(seconds=1)
        assert [task.source for task in store.claim(soon, timedelta(0))] == [B]
        assert {task.source.url for task in store.claim(soon, timedelta(0), everything=True)} == {B.url, later.url}
        assert {one.source.url: one.why for one in store.health()}[neighbour.url] == "a pause"
        assert {task.source.url for task in store.claim(NOW + HOUR, LEASE)} == {A.url, neighbour.url, B.url}

    def test_what_a_process_visited_itself_it_may_claim_at_once(self, store: Store) -> None:
        """The gap between two visits to a host keeps others away; its own engine spaces its own."""
        neighbour = Source("https://www.a.example/news", "News")
        store.enlist([A, neighbour], [], NOW)
        store.claim(NOW, LEASE, limit=1, gap=HOUR)
        assert [task.source for task in store.claim(NOW, LEASE, gap=HOUR)] == [neighbour]
        record(store, visit(A), plan(NOW))
        assert [task.source.url for task in store.claim(NOW, LEASE, gap=HOUR)] == [A.url]

    def test_one_source_can_be_taken_though_it_is_not_due(self, store: Store) -> None:
        """Unless it is leased, disabled or unknown; what is taken is leased like what is claimed."""
        store.enlist([A], [B], NOW + DAY)
        task = store.take(A.url, NOW, LEASE)
        assert task is not None
        assert task.source == A
        assert store.take(A.url, NOW, LEASE) is None
        assert store.take(B.url, NOW, LEASE) is None
        store.release([task])
        assert store.take(A.url, NOW, LEASE) == task

    def test_subscriptions_are_remembered_and_forgotten(self, shelf: Shelf) -> None:
        """By their tokens, each as it was last."""
        one = Subscription("t", A.url, "https://hub.example/", A.url, "s", NOW)
        shelf.store.subscribe("t", one)
        shelf.store.subscribe("t", renewed := replace(one, until=NOW + DAY, tries=2))
        assert shelf.reopen().subscriptions() == (renewed,)
        shelf.reopen().subscribe("t", None)
        assert shelf.reopen().subscriptions() == ()

    @pytest.mark.parametrize("end", ["not renewed", "left", "forgotten"])
    def test_a_source_whose_hub_is_lost_is_asked_as_one_without(self, store: Store, end: str) -> None:
        """That its hub brought the last news counts only while the subscription stands."""
        store.enlist([A, B], [], NOW)
        one = Subscription("t", A.url, "https://hub.example/", A.url, "s", NOW, until=NOW + DAY)
        store.subscribe("t", one)
        told = plan(by_push=True)
        with store.begin() as work:
            work.record_quiet([(visit(A), told), (visit(B), told)])
        store.subscribe("t", replace(one, asked=NOW + HOUR, tries=1))
        assert [task.rhythm.by_push for task in store.claim(NOW, LEASE, everything=True)] == [True, True]
        ended = {"not renewed": replace(one, until=None), "left": replace(one, leaving=True), "forgotten": None}
        store.subscribe("t", ended[end])
        later = NOW + 2 * LEASE
        pushed = {task.source: task.rhythm.by_push for task in store.claim(later, LEASE, everything=True)}
        assert pushed == {A: False, B: True}

    def test_a_recorded_visit_ends_its_lease(self, store: Store) -> None:
        """After a visit only the due time keeps a source from being claimed."""
        store.enlist([A], [], NOW)
        store.claim(NOW, LEASE)
        record(store, visit(A), plan(NOW + timedelta(seconds=2)))
        assert store.next_due() == NOW + timedelta(seconds=2)
        assert store.claim(NOW + timedelta(seconds=2), LEASE)

    def test_everything_ignores_due_times_but_not_retry_after(self, store: Store) -> None:
        """A server's Retry-After holds even when all sources are asked for; it is counted from the visit's end."""
        store.enlist([A, B], [], NOW)
        throttled = Failed(FailureKind.TEMPORARY, "throttled", 429)
        record(store, visit(A, throttled, freshness=Freshness(retry_after=HOUR)), plan(NOW + HOUR))
        record(store, visit(B), plan(NOW + HOUR))
        assert [task.source for task in store.claim(NOW, timedelta(0), everything=True)] == [B]
        assert [task.source for task in store.claim(NOW + HOUR, timedelta(0), everything=True)] == [B]
        held = NOW + HOUR + timedelta(seconds=1)
        assert {task.source for task in store.claim(held, timedelta(0), everything=True)} == {A, B}
        record(store, visit(A), plan(held + 2 * HOUR))
        assert {task.source for task in store.claim(held, LEASE, everything=True)} == {A, B}

    def test_nothing_listed_is_never_due(self, store: Store) -> None:
        """An empty list, or one of disabled sources alone, has no next due time."""
        assert store.next_due() is None
        store.enlist([], [A], NOW)
        assert store.next_due() is None
        assert store.claim(NOW + DAY, LEASE, everything=True) == ()

    def test_two_claimers_never_hold_the_same_source(self, shelf: Shelf) -> None:
        """Claimed at the same time by several threads, each source goes to one of them."""
        store = shelf.store
        sources = [Source(f"https://{n}.example/", str(n)) for n in range(60)]
        store.enlist(sources, [], NOW)
        claimed: list[str] = []

        def claim() -> None:
            while tasks := store.claim(NOW, LEASE, limit=7):
                claimed.extend(task.source.url for task in tasks)

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(claimed) == sorted(source.url for source in sources)


class TestVisits:
    def test_a_change_leaves_what_the_next_visit_needs(self, shelf: Shelf) -> None:
        """After a change the task carries the validators, the digests and the fingerprints of this very document."""
        shelf.store.enlist([A], [], NOW)
        record(shelf.store, visit(A), plan(NOW))
        entries = frozenset({bytes([n]) * 16 for n in range(40)})
        record(shelf.store, visit(A, Changed(FeedHead("rss20"), (), entries)), plan(NOW))
        (task,) = shelf.reopen().claim(NOW, LEASE)
        assert task.known.entries == entries
        assert task.known.validators == Validators('W/"1"', "Sun, 01 Mar 2026 11:00:00 GMT")
        assert (task.known.body, task.known.head) == (b"b" * 16, b"h" * 16)

    def test_no_change_renews_the_validators_alone(self, store: Store) -> None:
        """A 304 may bring new validators; document and entries stay as they were."""
        store.enlist([A], [], NOW)
        record(store, visit(A), plan(NOW))
        record(store, visit(A, Unchanged("304"), Validators('"2"'), body=None), plan(NOW))
        (task,) = store.claim(NOW, LEASE)
        assert task.known.validators == Validators('"2"', None)
        assert task.known.body == b"b" * 16
        assert task.known.entries == frozenset({b"1" * 16})

    def test_a_failure_loses_nothing(self, store: Store) -> None:
        """A failed visit keeps validators, digests and fingerprints, says what happened, and success clears that."""
        store.enlist([A], [], NOW)
        record(store, visit(A), plan(NOW))
        known = store.claim(NOW, timedelta(0))[0].known
        failed = visit(A, Failed(FailureKind.SOFT, "the server answered 500", 500), Validators(), body=None)
        record(store, failed, plan(NOW, failures=1, failing_since=NOW, status=500))
        assert store.claim(NOW, timedelta(0))[0].known == known
        assert store.health()[0].problem == "the server answered 500"
        assert store.health()[0].failures == 1
        record(store, visit(A, Unchanged("304")), plan(NOW))
        assert store.health()[0].problem == ""

    def test_the_rhythm_comes_back_as_it_was_planned(self, shelf: Shelf) -> None:
        """All of a plan survives, to the microsecond, in UTC."""
        rhythm = Rhythm(
            interval=timedelta(minutes=37, microseconds=5),
            failures=3,
            failing_since=NOW - DAY,
            last_visit=NOW,
            last_success=NOW - 2 * DAY,
            last_new=datetime(1999, 12, 31, tzinfo=UTC),
            moved_to="https://new.example/",
            moved_since=NOW - HOUR,
            moved_count=4,
            last_unconditional=NOW - 3 * DAY,
            distrust=True,
            status=410,
            ttl=timedelta(minutes=90),
            skip_hours=frozenset({0, 23}),
            skip_days=frozenset({5, 6}),
        )
        shelf.store.enlist([A], [], NOW)
        record(shelf.store, visit(A), Plan(NOW + HOUR, rhythm, "because"))
        store = shelf.reopen()
        assert [task.rhythm for task in store.claim(NOW + HOUR, LEASE)] == [rhythm]
        (health,) = store.health()
        assert (health.next_due, health.why, health.moved_to) == (NOW + HOUR, "because", "https://new.example/")
        assert (health.last_visit, health.last_success, health.last_new) == (NOW, NOW - 2 * DAY, rhythm.last_new)

    def test_quiet_visits_are_recorded_together(self, store: Store) -> None:
        """Each as if alone: its plan, its failure, its validators; a failure that brought none leaves the old ones."""
        store.enlist([A, B, C], [], NOW)
        old, new = Validators('"old"'), Validators('"new"')
        for one in (A, B, C):
            record(store, visit(one, validators=old), plan(NOW))
        unread = Failed(FailureKind.SOFT, "it broke", 500)
        with store.begin() as work:
            work.record_quiet(
                [
                    (visit(A, Unchanged("304"), validators=new), plan(NOW + HOUR)),
                    (visit(B, unread, validators=Validators()), plan(NOW + 2 * HOUR)),
                    (visit(C, unread, validators=old), plan(NOW + 3 * HOUR)),
                ]
            )
        assert [one.next_due for one in store.health()] == [NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR]
        assert [one.problem for one in store.health()] == ["", "it broke", "it broke"]
        known = [task.known.validators for task in store.claim(NOW + DAY, LEASE)]
        assert known == [new, old, old]

    def test_a_quiet_visit_to_an_unlisted_source_undoes_all(self, store: Store) -> None:
        """None of a batch is recorded if one is of a source that was never listed, and the error names that one."""
        store.enlist([A], [], NOW)
        quiet = [(visit(one, Unchanged("304")), plan(NOW + HOUR)) for one in (A, B)]
        with pytest.raises(NotFoundError, match=B.url), store.begin() as work:
            work.record_quiet(quiet)
        assert store.next_due() == NOW

    def test_a_distrusted_source_is_asked_without_its_validators(self, store: Store) -> None:
        """Distrust shows in the task; the validators are still there for when trust returns."""
        store.enlist([A], [], NOW)
        record(store, visit(A), plan(NOW, distrust=True))
        (task,) = store.claim(NOW, LEASE)
        assert task.known.distrust
        assert task.known.validators.etag == 'W/"1"'

    def test_a_source_that_has_moved_is_asked_at_its_new_address(self, store: Store) -> None:
        """An adopted move is in the task; the source goes by its own url all the same."""
        moved = Rhythm(moved_to="https://new.example/", moved_since=NOW - 9 * DAY, moved_count=99)
        assert adopted(moved) == "https://new.example/"
        store.enlist([A], [], NOW)
        record(store, visit(A), Plan(NOW, moved, ""))
        (task,) = store.claim(NOW, timedelta(0))
        assert (task.known.address, task.source) == ("https://new.example/", A)
        record(store, visit(A), plan(NOW))
        assert store.claim(NOW, LEASE)[0].known.address is None

    def test_a_document_that_needed_mending_says_so_until_the_next(self, store: Store) -> None:
        """Problems of a document show in health while it is the last one read, also after a 304."""
        store.enlist([A], [], NOW)
        mended = Changed(FeedHead("rss20", "Alpha"), (), frozenset(), ("One entry was lost.", "A date was unreadable."))
        record(store, visit(A, mended), plan(NOW))
        record(store, visit(A, Unchanged("304")), plan(NOW))
        assert store.health()[0].problem == "One entry was lost. A date was unreadable."
        record(store, visit(A), plan(NOW))
        assert store.health()[0].problem == ""
        assert (store.health()[0].title, store.health()[0].site) == ("Alpha News", "https://a.example/")

    def test_what_an_item_shares_with_others_of_its_source_is_remembered(self, shelf: Shelf) -> None:
        """The hashes of its sentences that say nothing of it."""
        stock = (3, 2**63 - 1)
        with shelf.store.begin() as work:
            key = work.add(judged(stock=stock), (), NOW)
        stored = shelf.reopen().item(key)
        assert stored is not None
        assert stored.item.stock == stock

    def test_sentences_of_three_items_are_boilerplate(self, shelf: Shelf) -> None:
        """A sentence counts as boilerplate of its source once three items held it, in one visit or in several."""
        shelf.store.enlist([A, B], [], NOW)
        record(shelf.store, visit(A), plan(NOW), {1: 2, 2: 1, -(2**63): 3, 2**64 - 1: 5})
        record(shelf.store, visit(A), plan(NOW), {1: 1, 2: 1})
        record(shelf.store, visit(A), plan(NOW))
        tasks = {task.source.url: task for task in shelf.reopen().claim(NOW, LEASE)}
        assert tasks[A.url].known.boilerplate == frozenset({1, -(2**63), 2**64 - 1})
        assert tasks[B.url].known.boilerplate == frozenset()
        assert shelf.store.repeated() == {A.url: tasks[A.url].known.boilerplate}

    def test_a_visit_to_a_source_never_listed_is_refused(self, store: Store) -> None:
        """What would be lost in silence is an error instead."""
        with pytest.raises(NotFoundError, match=r"a\.example"):
            record(store, visit(A), plan())

    def test_the_history_tells_the_last_visits(self, store: Store) -> None:
        """Of all sources or of one, the newest first, each as it went."""
        failed = replace(past(B), outcome="failed", said="gone for good (410)")
        with store.begin() as work:
            work.log([past(A), failed])
            work.log([past(A, new=2)])
            work.log([])
        assert store.visits(10) == (past(A, new=2), failed, past(A))
        assert store.visits(1, B.url) == (failed,)

    def test_health_counts_items_and_those_kept(self, store: Store) -> None:
        """Seen are all items of a source, kept those that stand in a story."""
        store.enlist([A, B], [], NOW)
        tell(store, "urn:uuid:1", (judged("1"), ()), (judged("2"), ()))
        with store.begin() as work:
            work.add(judged("3", decision=Decision.DROPPED), (), NOW)
        assert [(one.seen, one.kept) for one in store.health()] == [(3, 2), (0, 0)]


class TestItems:
    def test_an_item_comes_back_as_it_was(self, shelf: Shelf) -> None:
        """Every field of an item and its verdict survives, in every script."""
        whole = Judged(
            Item(
                A.url,
                "tag:a.example,2026:1",
                "https://a.example/탈북",
                "북한이탈주민 脱北者 перебежчик 𝔘",
                "요약",
                "본문",
                datetime(2999, 1, 1, tzinfo=UTC),
                datetime(1900, 1, 1, 1, 2, 3, 4, UTC),
                "ko-KR",
                ("김", "Lee, A."),
                ("북한", 'quo"te'),
                (Enclosure("https://a.example/1.jpg", "image/jpeg", 12), Enclosure("https://a.example/2", None, None)),
                "연합뉴스",
                b"\x00\xff" * 8,
                "https://a.example/그림.jpg",
            ),
            Verdict(
                Decision.UNDECIDED,
                1 / 3,
                (Reason("title", "defector", "북한이탈주민", 0.7), Reason("body", "x", "", -0.1)),
                "rules",
            ),
        )
        with shelf.store.begin() as work:
            key = work.add(whole, ["k"], NOW)
        store = shelf.reopen()
        stored = store.item(key)
        assert stored is not None
        assert Judged(stored.item, stored.verdict) == whole
        assert (stored.key, stored.first_seen, stored.story, stored.evidence) == (key, NOW, None, None)
        assert (stored.ruling, stored.seed) == (None, False)
        with store.begin() as work:
            assert work.find(A.url, "tag:a.example,2026:1") == stored
            assert work.find(B.url, "tag:a.example,2026:1") is None
            assert work.linked(A.url, "https://a.example/탈북") == (stored,)
            assert work.linked(B.url, "https://a.example/탈북") == ()
        assert store.items("https://a.example/탈북") == store.items("tag:a.example,2026:1") == (stored,)
        assert store.items("nothing") == ()
        assert store.item(key + 1000) is None

    def test_an_item_is_found_by_link_or_id_in_any_source(self, store: Store) -> None:
        """The same link in two sources is two items."""
        with store.begin() as work:
            work.add(judged("1", A, link="https://x.example/1"), (), NOW)
            work.add(judged("1", B, link="https://x.example/1"), (), NOW)
        assert [one.item.source for one in store.items("https://x.example/1")] == [A.url, B.url]
        assert [one.item.source for one in store.items("1")] == [A.url, B.url]

    def test_an_edit_replaces_text_verdict_and_keys(self, store: Store) -> None:
        """An edited item keeps its number, first sight, story and ruling; its old keys lead nowhere."""
        (key,) = tell(store, "urn:uuid:1", (judged("1", title="Old"), ["old", "both"]))
        with store.begin() as work:
            work.rule(key, "keep")
            new = judged("1", title="New", decision=Decision.DROPPED, score=0.1, published=NOW + 9 * DAY)
            work.edit(key, new, ["new", "both"])
        stored = store.item(key)
        assert stored is not None
        assert (stored.item.title, stored.verdict.decision) == ("New", Decision.DROPPED)
        assert (stored.first_seen, stored.story, stored.ruling) == (NOW, "urn:uuid:1", "keep")
        assert candidates(store, "old") == set()
        assert candidates(store, "new") == candidates(store, "both") == {"urn:uuid:1"}
        with store.begin() as work:
            work.edit(key, judged("1", published=None), ["newest"])
        assert candidates(store, "new", "both") == set()
        assert candidates(store, "newest") == {"urn:uuid:1"}

    def test_the_same_item_is_not_stored_twice(self, store: Store) -> None:
        """A second item of the same source and id is an error, and undoes its transaction."""
        with store.begin() as work:
            work.add(judged("1"), (), NOW)
        with pytest.raises(StoreError), store.begin() as work:
            assert [work.add(judged(id), (), NOW) for id in ("2", "1")]
        assert [one.item.id for one in store.retained()] == ["1"]

    def test_what_is_set_aside_is_there_for_whoever_asks(self, store: Store) -> None:
        """Items of no story may be written late: their own transaction finds them, and so does every later one."""
        with store.begin() as work:
            for id in ("1", "2", "3"):
                work.add_aside(judged(id, decision=Decision.DROPPED, link=f"https://x.example/{id}"), NOW)
            asked = [(A.url, "1"), (A.url, "9"), (B.url, "1"), (B.url, "9")]
            assert work.stored(asked) == {(A.url, "1")}
            found = work.find(A.url, "1")
            assert found is not None
            assert found.first_seen == NOW
            assert work.either(A.url, "9", "2").keys() == {"2"}
            work.add_aside(judged("4", decision=Decision.DROPPED, link="https://x.example/4"), NOW)
            assert [one.item.id for one in work.linked(A.url, "https://x.example/4")] == ["4"]
            work.add_aside(judged("5", B, decision=Decision.DROPPED), NOW)
        with store.begin() as work:
            assert work.stored([(B.url, "5"), (A.url, "5"), (A.url, "3")]) == {(B.url, "5"), (A.url, "3")}
            assert work.stored([]) == frozenset()
        assert {one.item.id for one in store.retained()} == {"1", "2", "3", "4", "5"}

    def test_undecided_are_those_near_the_threshold_without_a_ruling(self, store: Store) -> None:
        """For review: undecided items, nearest first; a ruling takes one off the list, and its return puts it back."""
        with store.begin() as work:
            near = work.add(judged("near", decision=Decision.UNDECIDED, score=0.49), (), NOW)
            far = work.add(judged("far", decision=Decision.UNDECIDED, score=0.41), (), NOW)
            work.add(judged("kept", score=0.6), (), NOW)
            work.add(judged("dropped", decision=Decision.DROPPED, score=0.1), (), NOW)
        assert [one.key for one in store.undecided(10)] == [near, far]
        assert [one.key for one in store.undecided(1)] == [near]
        with store.begin() as work:
            work.rule(near, "drop")
        assert [one.key for one in store.undecided(10)] == [far]
        with store.begin() as work:
            work.rule(near, None)
        assert [one.key for one in store.undecided(10)] == [near, far]

    def test_after_the_undecided_come_the_narrowly_kept(self, store: Store) -> None:
        """Those kept with a low score, the lowest first, unless the curator has spoken."""
        with store.begin() as work:
            sure = work.add(judged("sure", score=0.9), (), NOW)
            kept = [work.add(judged(f"kept {score}", score=score), (), NOW) for score in (0.61, 0.52)]
            undecided = work.add(judged("undecided", decision=Decision.UNDECIDED, score=0.4), (), NOW)
        assert [one.key for one in store.undecided(10, 0.62)] == [undecided, kept[1], kept[0]]
        assert [one.key for one in store.undecided(2, 0.62)] == [undecided, kept[1]]
        with store.begin() as work:
            work.rule(kept[1], "keep")
            work.rule(sure, "drop")
        assert [one.key for one in store.undecided(10, 0.62)] == [undecided, kept[0]]
        assert store.rulings() == {sure: "drop", kept[1]: "keep"}

    def test_lately_seen_items_come_newest_first(self, store: Store) -> None:
        """A page at a time, of one source or all, by the decision that counts: the curator's word before the rules'."""
        store.plant([("urn:uuid:s", Seed("S1", "Seed"), ())], NOW, publish=True)
        with store.begin() as work:
            kept = work.add(judged("1"), (), NOW)
            dropped = work.add(judged("2", decision=Decision.DROPPED), (), NOW)
            ruled = work.add(judged("3", decision=Decision.UNDECIDED), (), NOW)
            open = work.add(judged("4", B, decision=Decision.UNDECIDED), (), NOW)
            work.rule(ruled, "keep")
        assert [one.key for one in store.lately(3)] == [open, ruled, dropped]
        assert [one.key for one in store.lately(3, before=dropped)] == [kept]
        assert [one.key for one in store.lately(3, source=B.url)] == [open]
        for decision, keys in (
            (Decision.KEPT, [ruled, kept]),
            (Decision.DROPPED, [dropped]),
            (Decision.UNDECIDED, [open]),
        ):
            assert [one.key for one in store.lately(9, decision=decision)] == keys

    def test_retained_are_all_items_but_seeds(self, store: Store) -> None:
        """All items are gone through once, also while they are changed on the way."""
        store.plant([("urn:uuid:s", Seed("S1", "Seed"), ())], NOW, publish=True)
        with store.begin() as work:
            keys = [work.add(judged(str(n)), (), NOW) for n in range(1203)]
        seen = []
        for stored in store.retained():
            seen.append(stored.key)
            if stored.key % 400 == 0:
                with store.begin() as work:
                    work.edit(stored.key, judged(stored.item.id, title="edited"), ())
        assert seen == keys


class TestStories:
    def test_candidates_share_a_key_and_come_whole(self, store: Store) -> None:
        """A story is a candidate by any of its members, and comes with all of them, in order of appearance."""
        keys = tell(store, "urn:uuid:1", (judged("1"), ["x"]), (judged("2"), ["y"]))
        tell(store, "urn:uuid:2", (judged("3"), ["z"]))
        with store.begin() as work:
            (story,) = work.candidates(["y", "unknown"], NOW - DAY)
            assert work.candidates([], NOW - DAY) == ()
        assert [member.key for member in story.members] == list(keys)
        assert story == story_of(store, "urn:uuid:1")
        assert candidates(store, "x", "y", "z") == {"urn:uuid:1", "urn:uuid:2"}

    def test_the_nearest_candidates_are_those_that_share_what_is_rare(self, store: Store) -> None:
        """Of 20 stories that share a common key the two that share a rarer one, too, come first, and a seed before."""
        store.plant([("urn:uuid:s1", Seed("S1", "Title"), ["common"])], NOW, True)
        for n in range(20):
            tell(
                store, f"urn:uuid:{n}", (judged(str(n)), ["common", "rare"] if n in (4, 9) else ["common", f"own {n}"])
            )
        with store.begin() as work:
            found = work.candidates(["common", "rare"], NOW - DAY, stories=3)
        assert {story.id for story in found} == {"urn:uuid:s1", "urn:uuid:4", "urn:uuid:9"}

    def test_of_a_long_story_come_the_members_that_share_most_and_the_first(self, store: Store) -> None:
        """Half and half, in order of appearance; a story that is no longer than asked for comes whole."""
        long = [(judged(str(n)), ["common", "rare"] if n in (7, 8) else ["common"]) for n in range(10)]
        tell(store, "urn:uuid:long", *long)
        tell(store, "urn:uuid:short", *((judged(f"s{n}"), ["common" if n else "other"]) for n in range(4)))
        with store.begin() as work:
            found = {story.id: story.members for story in work.candidates(["common", "rare"], NOW - DAY, members=4)}
        assert [member.item.id for member in found["urn:uuid:long"]] == ["0", "1", "7", "8"]
        assert [member.item.id for member in found["urn:uuid:short"]] == ["s0", "s1", "s2", "s3"]

    def test_candidates_are_as_they_are_by_now(self, store: Store) -> None:
        """What happened to a member since it was last looked at in the same transaction shows."""
        one, two = tell(store, "urn:uuid:1", (judged("1"), ["k"]), (judged("2"), ["k"]))
        (three,) = tell(store, "urn:uuid:2", (judged("3"), ["k"]))
        changes: list[Callable[[Work], None]] = [
            lambda work: work.edit(one, judged("1", title="Mended"), ["k"]),
            lambda work: work.rule(two, "keep"),
            lambda work: work.assign(two, "urn:uuid:2", Evidence("curator", "", 1.0)),
            lambda work: work.merge("urn:uuid:2", into="urn:uuid:1", now=NOW),
            lambda work: work.edit(three, judged("3", title="Mended"), ["k"]),
        ]
        with store.begin() as work:
            for change in (lambda work: None, *changes):
                change(work)
                for story in work.candidates(["k"], NOW - DAY, stories=9, members=9):
                    assert story == work.story(story.id)

    def test_candidates_were_seen_or_dated_since(self, store: Store) -> None:
        """An item reaches as far as it was first seen or is dated, whichever is later, the moment itself included."""
        old = NOW - 30 * DAY
        tell(store, "urn:uuid:seen", (judged("1", published=old), ["k"]), now=NOW)
        tell(store, "urn:uuid:dated", (judged("2", published=NOW), ["k"]), now=old)
        tell(store, "urn:uuid:old", (judged("3", published=old), ["k"]), now=old)
        assert candidates(store, "k", since=NOW) == {"urn:uuid:seen", "urn:uuid:dated"}
        assert candidates(store, "k", since=NOW + timedelta(microseconds=1)) == set()
        assert len(candidates(store, "k", since=datetime.min.replace(tzinfo=UTC))) == 3

    def test_items_outside_stories_are_no_candidates(self, store: Store) -> None:
        """What is not kept is never matched; put in a story it is, taken out it is not again."""
        with store.begin() as work:
            key = work.add(judged("1", decision=Decision.DROPPED), ["k"], NOW)
        assert candidates(store, "k") == set()
        with store.begin() as work:
            work.found("urn:uuid:1", NOW)
            work.assign(key, "urn:uuid:1", Evidence("curator", "", 1.0, ("kept by hand",)))
        assert candidates(store, "k") == {"urn:uuid:1"}
        assert story_of(store, "urn:uuid:1").members[0].evidence == Evidence("curator", "", 1.0, ("kept by hand",))
        with store.begin() as work:
            work.assign(key, None, None)
        assert candidates(store, "k") == set()

    def test_many_keys_and_many_stories_are_all_found(self, store: Store) -> None:
        """Neither the number of keys asked for nor that of stories found has a limit."""
        with store.begin() as work:
            for n in range(700):
                work.found(f"urn:uuid:{n}", NOW)
                work.assign(work.add(judged(str(n)), [f"k{n}"], NOW), f"urn:uuid:{n}", None)
        assert len(candidates(store, *(f"k{n}" for n in range(1100)))) == 700

    def test_told_stories_come_newest_first(self, store: Store) -> None:
        """Order: told, then the newest member's date at that time, then the id; stories not told are left out."""
        tell(store, "urn:uuid:c", (judged("1", published=NOW - DAY), ()), now=NOW)
        tell(store, "urn:uuid:b", (judged("2", published=NOW - DAY), ()), now=NOW)
        tell(store, "urn:uuid:a", (judged("3", published=NOW - 3 * DAY), ()), (judged("4", published=NOW), ()), now=NOW)
        tell(store, "urn:uuid:new", (judged("5", published=NOW - 9 * DAY), ()), now=NOW + HOUR)
        tell(store, "urn:uuid:old", (judged("6"), ()), now=NOW - HOUR)
        with store.begin() as work:
            work.found("urn:uuid:untold", NOW)
            work.assign(work.add(judged("7"), (), NOW), "urn:uuid:untold", None)
        order = ["urn:uuid:new", "urn:uuid:a", "urn:uuid:b", "urn:uuid:c", "urn:uuid:old"]
        assert [story.id for story in store.stories()] == order
        for limit in range(7):
            assert [story.id for story in store.stories(limit)] == order[:limit]

    def test_a_told_story_keeps_its_place(self, store: Store) -> None:
        """A newer repeat does not lift it above those that were told with it."""
        tell(store, "urn:uuid:a", (judged("1", published=NOW - DAY), ()), now=NOW)
        tell(store, "urn:uuid:b", (judged("2", published=NOW - 2 * DAY), ()), now=NOW)
        with store.begin() as work:
            key = work.add(judged("3", published=NOW), (), NOW)
            work.assign(key, "urn:uuid:b", None)
            work.tell("urn:uuid:b", NOW, key, NOW)
        assert [story.id for story in store.stories()] == ["urn:uuid:a", "urn:uuid:b"]

    def test_a_story_without_members_is_not_told(self, store: Store) -> None:
        """A story that lost its last member has nothing to say."""
        (key,) = tell(store, "urn:uuid:1", (judged("1"), ()))
        with store.begin() as work:
            work.assign(key, None, None)
        assert store.stories() == ()
        assert story_of(store, "urn:uuid:1").members == ()

    def test_telling_sets_the_dates_and_the_lead(self, store: Store) -> None:
        """Told, updated and lead are as last set; a withdrawn story is told no more."""
        first, second = tell(store, "urn:uuid:1", (judged("1"), ()), (judged("2"), ()))
        with store.begin() as work:
            work.tell("urn:uuid:1", NOW, second, NOW + HOUR)
        (story,) = store.stories()
        assert (story.told, story.lead, story.updated, story.seed) == (NOW, second, NOW + HOUR, False)
        with store.begin() as work:
            work.tell("urn:uuid:1", None, first, NOW)
        assert store.stories() == ()
        assert story_of(store, "urn:uuid:1").told is None

    def test_a_story_begins_untold_and_empty(self, store: Store) -> None:
        """Found, a story has no members, no lead and no date; its id is taken."""
        with store.begin() as work:
            work.found("urn:uuid:1", NOW)
            assert work.story("urn:uuid:1") == StoredStory("urn:uuid:1", False, None, NOW, None, ())
            assert work.story("urn:uuid:2") is None
        with pytest.raises(StoreError, match="already"), store.begin() as work:
            work.found("urn:uuid:1", NOW)

    def test_merging_keeps_every_id_valid(self, shelf: Shelf) -> None:
        """After merges in a row, all old ids name the last story, which was told when the first of them was."""
        tell(shelf.store, "urn:uuid:1", (judged("1"), ["one"]), now=NOW - HOUR)
        tell(shelf.store, "urn:uuid:2", (judged("2"), ["two"]), now=NOW)
        tell(shelf.store, "urn:uuid:3", (judged("3"), ["three"]), now=NOW + HOUR)
        with shelf.store.begin() as work:
            work.merge("urn:uuid:1", into="urn:uuid:2", now=NOW)
            work.merge("urn:uuid:1", into="urn:uuid:3", now=NOW)
            work.merge("urn:uuid:2", into="urn:uuid:1", now=NOW)
        store = shelf.reopen()
        (story,) = store.stories()
        assert story.id == "urn:uuid:3"
        assert story.told == NOW - HOUR
        assert [member.item.id for member in story.members] == ["1", "2", "3"]
        assert {member.story for member in story.members} == {"urn:uuid:3"}
        assert story_of(store, "urn:uuid:1") == story_of(store, "urn:uuid:2") == story
        assert candidates(store, "one") == {"urn:uuid:3"}
        with store.begin() as work:
            work.assign(work.add(judged("4"), (), NOW), "urn:uuid:1", None)
        assert len(store.stories()[0].members) == 4
        with pytest.raises(StoreError, match="already"), store.begin() as work:
            work.found("urn:uuid:1", NOW)

    def test_merging_with_a_story_not_told_keeps_the_date(self, store: Store) -> None:
        """Only dates at which a story was told count."""
        tell(store, "urn:uuid:1", (judged("1"), ()))
        with store.begin() as work:
            work.found("urn:uuid:2", NOW)
            work.merge("urn:uuid:1", into="urn:uuid:2", now=NOW)
        assert story_of(store, "urn:uuid:2").told == NOW

    def test_what_was_parted_stays_parted(self, shelf: Shelf) -> None:
        """The stories an item was taken out of are remembered, under the id they have now."""
        one, _ = tell(shelf.store, "urn:uuid:1", (judged("1"), ()), (judged("2"), ()))
        tell(shelf.store, "urn:uuid:2", (judged("3"), ()))
        with shelf.store.begin() as work:
            work.part(one, "urn:uuid:1")
            work.part(one, "urn:uuid:1")
            assert work.parted(one) == frozenset({"urn:uuid:1"})
            work.part(one, "urn:uuid:2")
            work.assign(one, None, None)
            work.merge("urn:uuid:1", into="urn:uuid:2", now=NOW)
        with shelf.reopen().begin() as work:
            assert work.parted(one) == frozenset({"urn:uuid:2"})
            assert work.parted(one + 1) == frozenset()

    def test_every_told_story_is_among_the_newest_or_on_a_page(self, shelf: Shelf) -> None:
        """Pages take the oldest first, in the order of telling, and are closed only when the newest do not hold all."""
        for n in range(1, 8):
            tell(shelf.store, f"urn:uuid:{n}", (judged(str(n)), ()), now=NOW + n * HOUR)
        assert shelf.store.turn(2, keep=7) == 0
        assert shelf.store.turn(2, keep=None) == 0
        assert shelf.store.turn(2, keep=4) == 2
        store = shelf.reopen()
        assert store.turn(2, keep=None) == store.turn(2, keep=4) == 2
        assert [[story.id[-1] for story in store.page(n)] for n in (1, 2, 3)] == [["2", "1"], ["4", "3"], []]

    def test_stories_told_at_one_moment_are_turned_in_their_order(self, store: Store) -> None:
        """What one refresh told has one time; the newest members' dates decide, and those that are newest wait."""
        for n in range(1, 10):
            tell(store, f"urn:uuid:{n}", (judged(str(n), published=NOW - n * HOUR), ()))
        assert store.turn(3, keep=4) == 2
        assert [story.id[-1] for story in store.page(1)] == ["7", "8", "9"]
        assert [story.id[-1] for story in store.page(2)] == ["4", "5", "6"]

    def test_days_count_what_was_told(self, store: Store) -> None:
        """By the day in UTC, oldest first; what is withdrawn counts no more."""
        for n in range(1, 6):
            tell(store, f"urn:uuid:{n}", (judged(str(n)), ()), now=NOW + n * 5 * HOUR)
        with store.begin() as work:
            work.tell("urn:uuid:5", None, None, NOW)
        assert store.days() == ((NOW.date(), 2), ((NOW + DAY).date(), 2))

    def test_lines_are_the_leads_of_a_time(self, store: Store) -> None:
        """The stories told from one moment to before another, newest first, by the text that stands for each."""
        for n in range(1, 5):
            _, second = tell(store, f"urn:uuid:{n}", (judged(f"{n}a"), ()), (judged(f"{n}b"), ()), now=NOW + n * HOUR)
            with store.begin() as work:
                work.tell(f"urn:uuid:{n}", NOW + n * HOUR, second, NOW)
        store.plant([("urn:uuid:s", Seed("S", "Seed", language="en"), ())], NOW + 9 * HOUR, publish=True)
        lines = store.lines(NOW, NOW + 3 * HOUR)
        assert lines == (
            Line("urn:uuid:2", "Title 2b", None, NOW + 2 * HOUR),
            Line("urn:uuid:1", "Title 1b", None, NOW + HOUR),
            Line("urn:uuid:s", "Seed", "en", NOW + HOUR - timedelta(microseconds=1)),
        )

    def test_a_page_keeps_what_is_on_it(self, store: Store) -> None:
        """Neither a story withdrawn nor one told with an older date moves any other to another page."""
        for n in range(1, 6):
            tell(store, f"urn:uuid:{n}", (judged(str(n)), ()), now=NOW + n * HOUR)
        assert store.turn(2, keep=3) == 1
        with store.begin() as work:
            work.tell("urn:uuid:1", None, None, NOW)
        tell(store, "urn:uuid:old", (judged("old"), ()), now=NOW - HOUR)
        assert store.turn(2, keep=3) == 2
        assert [[story.id for story in store.page(n)] for n in (1, 2)] == [
            ["urn:uuid:2"],
            ["urn:uuid:3", "urn:uuid:old"],
        ]

    def test_what_was_told_and_is_no_more_is_gone(self, shelf: Shelf) -> None:
        """Withdrawn and merged stories are remembered with the time and their page; told again, no longer."""
        for n in range(1, 5):
            tell(shelf.store, f"urn:uuid:{n}", (judged(str(n)), ()), now=NOW + n * HOUR)
        shelf.store.turn(1, keep=3)
        with shelf.store.begin() as work:
            work.tell("urn:uuid:1", None, None, NOW + DAY)
            work.merge("urn:uuid:2", into="urn:uuid:3", now=NOW + 2 * DAY)
            work.found("urn:uuid:untold", NOW)
            work.merge("urn:uuid:untold", into="urn:uuid:3", now=NOW + 2 * DAY)
        store = shelf.reopen()
        withdrawn, merged = Gone("urn:uuid:1", NOW + DAY, page=1), Gone("urn:uuid:2", NOW + 2 * DAY, "urn:uuid:3")
        assert store.gone() == (merged, withdrawn)
        assert store.gone(1) == (merged,)
        assert store.gone(page=1) == (withdrawn,)
        with store.begin() as work:
            work.tell("urn:uuid:1", NOW, None, NOW)
        assert store.gone() == (merged,)

    def test_what_is_merged_in_the_refresh_that_told_it_leaves_no_trace_of_having_been_told(self, store: Store) -> None:
        """Hardly a reader saw it; a tombstone would tell of nothing."""
        tell(store, "urn:uuid:1", (judged("1"), ()))
        tell(store, "urn:uuid:2", (judged("2"), ()))
        with store.begin() as work:
            work.merge("urn:uuid:1", into="urn:uuid:2", now=NOW)
        assert store.gone() == ()
        assert set(store.named(["urn:uuid:1"])) == {"urn:uuid:1"}

    def test_stories_are_found_by_every_name_they_had(self, store: Store) -> None:
        """An id of a story that was merged leads to the one that it is part of; unknown ones are left out."""
        tell(store, "urn:uuid:1", (judged("1"), ()))
        tell(store, "urn:uuid:2", (judged("2"), ()))
        with store.begin() as work:
            work.merge("urn:uuid:1", into="urn:uuid:2", now=NOW)
        story = story_of(store, "urn:uuid:2")
        assert store.named(["urn:uuid:2", "urn:uuid:1", "urn:uuid:no"]) == {"urn:uuid:1": story, "urn:uuid:2": story}
        assert store.named([]) == {}

    def test_what_changed_is_known_from_any_mark_on(self, shelf: Shelf) -> None:
        """Whatever may make a story look different notes all its names; each reader asks from the mark it has seen."""
        store = shelf.store
        assert store.mark() == 0
        (key,) = tell(store, "urn:uuid:1", (judged("1"), ()))
        tell(store, "urn:uuid:2", (judged("2"), ()))
        first = store.mark()
        assert store.changed(0) == {"urn:uuid:1", "urn:uuid:2"}
        assert store.changed(first) == set()
        with store.begin() as work:
            work.edit(key, judged("1", title="Other"), ())
        assert store.changed(first) == {"urn:uuid:1"}
        second = store.mark()
        with store.begin() as work:
            work.assign(work.add(judged("3"), (), NOW), "urn:uuid:2", None)
        store = shelf.reopen()
        assert first < second < store.mark()
        assert store.changed(second) == {"urn:uuid:2"}
        with store.begin() as work:
            work.merge("urn:uuid:1", into="urn:uuid:2", now=NOW)
        assert store.changed(second) == {"urn:uuid:1", "urn:uuid:2"}
        assert store.changed(store.mark()) == set()

    def test_what_failed_is_no_change(self, store: Store) -> None:
        """A transaction that is undone leaves nothing to publish."""

        def half_done() -> None:
            with store.begin() as work:
                work.found("urn:uuid:1", NOW)
                work.tell("urn:uuid:1", NOW, None, NOW)
                work.tell("urn:uuid:no", NOW, None, NOW)

        with pytest.raises(NotFoundError):
            half_done()
        assert (store.mark(), store.changed(0)) == (0, frozenset())

    def test_unknown_stories_and_items_are_errors(self, store: Store) -> None:
        """Nothing is lost in silence where an item or a story does not exist."""
        with store.begin() as work:
            key = work.add(judged("1"), (), NOW)
            work.found("urn:uuid:1", NOW)
        acts: tuple[Callable[[Work], None], ...] = (
            lambda work: work.assign(key, "urn:uuid:no", None),
            lambda work: work.assign(key + 99, "urn:uuid:1", None),
            lambda work: work.tell("urn:uuid:no", NOW, None, NOW),
            lambda work: work.merge("urn:uuid:no", "urn:uuid:1", NOW),
            lambda work: work.merge("urn:uuid:1", "urn:uuid:no", NOW),
            lambda work: work.edit(key + 99, judged("2"), ()),
            lambda work: work.rule(key + 99, "keep"),
            lambda work: work.part(key, "urn:uuid:no"),
            lambda work: work.part(key + 99, "urn:uuid:1"),
        )
        for act in acts:
            with pytest.raises(NotFoundError), store.begin() as work:
                act(work)


SEEDS = [
    ("urn:uuid:s1", Seed("S1", "First", "Text", "https://old.example/1", NOW - 300 * DAY, "en"), ["seed one"]),
    ("urn:uuid:s2", Seed("S2", "Second", "", None, NOW - 100 * DAY, "en"), ["seed two"]),
    ("urn:uuid:s3", Seed("S3", "Undated"), ["seed three"]),
]


class TestSeeds:
    def test_a_seed_that_is_taken_out_is_gone(self, store: Store) -> None:
        """Its story is deleted with it, remembered as gone under its name, and no longer so when it returns."""
        store.plant(SEEDS, NOW, publish=True)
        planted = store.mark()
        store.plant(SEEDS[1:], NOW + DAY, publish=True)
        assert store.gone() == (Gone("urn:uuid:s1", NOW + DAY),)
        assert "urn:uuid:s1" in store.changed(planted)
        store.plant(SEEDS, NOW + 2 * DAY, publish=True)
        assert store.gone() == ()
        store.plant(SEEDS, NOW + 3 * DAY, publish=False)
        assert {one.id for one in store.gone()} == {"urn:uuid:s1", "urn:uuid:s2", "urn:uuid:s3"}

    def test_seeds_are_told_before_all_others(self, store: Store) -> None:
        """Planted seeds are told stories with their own text, in the order of their dates, below what is told here."""
        store.plant(SEEDS, NOW, publish=True)
        tell(store, "urn:uuid:1", (judged("1"), ()), now=NOW)
        stories = store.stories()
        assert [story.id for story in stories] == ["urn:uuid:1", "urn:uuid:s3", "urn:uuid:s2", "urn:uuid:s1"]
        last = stories[-1]
        assert (last.seed, last.told, last.lead) == (True, NOW - 300 * DAY, None)
        (text,) = last.members
        assert (text.seed, text.item.id, text.item.title, text.item.summary) == (True, "S1", "First", "Text")
        assert (text.item.link, text.item.published, text.item.language) == (
            "https://old.example/1",
            NOW - 300 * DAY,
            "en",
        )

    def test_a_seed_planted_later_is_still_told_before_all_others(self, store: Store) -> None:
        """A seed that joins the file when stories were told already sorts below them."""
        tell(store, "urn:uuid:1", (judged("1"), ()), now=NOW - 200 * DAY)
        store.plant(SEEDS, NOW, publish=True)
        assert store.stories()[0].id == "urn:uuid:1"

    def test_seeds_match_at_any_age(self, store: Store) -> None:
        """A seed is a candidate however old it is, though thousands of newer items share its key."""
        store.plant(SEEDS, NOW, publish=True)
        assert candidates(store, "seed one", since=NOW + 999 * DAY) == {"urn:uuid:s1"}
        with store.begin() as work:
            work.found("urn:uuid:1", NOW)
            for n in range(300):
                work.assign(work.add(judged(str(n)), ["seed one"], NOW), "urn:uuid:1", None)
        assert candidates(store, "seed one", since=NOW) == {"urn:uuid:1", "urn:uuid:s1"}

    def test_planting_again_changes_nothing(self, shelf: Shelf) -> None:
        """A restart leaves seeds as they are, their repeats with them."""
        shelf.store.plant(SEEDS, NOW, publish=True)
        with shelf.store.begin() as work:
            work.assign(work.add(judged("1"), ["k"], NOW), "urn:uuid:s1", Evidence("seed", "First", 0.8))
        before = shelf.store.stories()
        store = shelf.reopen()
        store.plant(SEEDS, NOW + DAY, publish=True)
        assert store.stories() == before
        assert len(before[-1].members) == 2

    def test_a_changed_text_updates_the_seed(self, store: Store) -> None:
        """A new wording in the file shows, with its keys, and counts as an update; when it was told stays."""
        store.plant(SEEDS, NOW, publish=True)
        name, seed, _ = SEEDS[0]
        store.plant([(name, replace(seed, title="Better"), ["other"]), *SEEDS[1:]], NOW + DAY, publish=True)
        story = story_of(store, name)
        assert story.members[0].item.title == "Better"
        assert (story.told, story.updated) == (NOW - 300 * DAY, NOW + DAY)
        assert candidates(store, "seed one") == set()
        assert candidates(store, "other") == {name}

    def test_seeds_may_stay_unpublished(self, store: Store) -> None:
        """Without publication they are not told and match all the same; the setting may change."""
        store.plant(SEEDS, NOW, publish=False)
        assert store.stories() == ()
        assert candidates(store, "seed two") == {"urn:uuid:s2"}
        store.plant(SEEDS, NOW, publish=True)
        assert len(store.stories()) == 3
        store.plant(SEEDS, NOW, publish=False)
        assert store.stories() == ()

    def test_a_removed_seed_goes_unless_it_has_repeats(self, store: Store) -> None:
        """Out of the file, a seed alone goes away; one with repeats stays as an ordinary story, led by the first."""
        store.plant(SEEDS, NOW, publish=True)
        with store.begin() as work:
            key = work.add(judged("1"), ["k"], NOW)
            work.assign(key, "urn:uuid:s1", Evidence("seed", "First", 0.8))
        store.plant([], NOW + DAY, publish=True)
        (story,) = store.stories()
        assert (story.id, story.seed, story.lead, story.told) == ("urn:uuid:s1", False, key, NOW - 300 * DAY)
        assert [member.key for member in story.members] == [key]
        assert candidates(store, "seed one", "seed two", "seed three") == set()
        with store.begin() as work:
            assert work.story("urn:uuid:s2") is None

    def test_a_seed_that_returns_finds_its_story(self, store: Store) -> None:
        """Back in the file, a seed is the story that went on without it."""
        store.plant(SEEDS, NOW, publish=True)
        with store.begin() as work:
            work.assign(work.add(judged("1"), ["k"], NOW), "urn:uuid:s1", None)
        store.plant([], NOW, publish=True)
        store.plant(SEEDS, NOW, publish=True)
        story = story_of(store, "urn:uuid:s1")
        assert (story.seed, story.lead, len(story.members)) == (True, None, 2)
        assert story.members[0].seed

    def test_a_merged_seed_stays_a_seed(self, store: Store) -> None:
        """The story that takes a seed in is one, and planting finds the seed's text there."""
        store.plant(SEEDS, NOW, publish=True)
        tell(store, "urn:uuid:1", (judged("1"), ()), now=NOW)
        with store.begin() as work:
            work.merge("urn:uuid:s1", into="urn:uuid:1", now=NOW)
        store.plant(SEEDS, NOW + DAY, publish=True)
        story = story_of(store, "urn:uuid:s1")
        assert (story.id, story.seed, story.told) == ("urn:uuid:1", True, NOW - 300 * DAY)
        assert len(store.stories()) == 3

    @pytest.mark.parametrize(("one", "into"), [("urn:uuid:1", "urn:uuid:s1"), ("urn:uuid:s1", "urn:uuid:1")])
    def test_what_turns_out_to_repeat_an_unpublished_seed_leaves_the_feed(
        self, store: Store, one: str, into: str
    ) -> None:
        """Else the seed would appear among what readers have seen, under an id that is new to them."""
        store.plant(SEEDS, NOW, publish=False)
        tell(store, "urn:uuid:1", (judged("1"), ()), now=NOW)
        with store.begin() as work:
            work.merge(one, into=into, now=NOW + HOUR)
        assert store.stories() == ()
        assert store.is_gone("urn:uuid:1")
        assert story_of(store, "urn:uuid:s1").seed


class TestTransactions:
    def test_an_exception_undoes_everything(self, store: Store) -> None:
        """Half a visit is no visit."""
        store.enlist([A], [], NOW)
        (task,) = store.claim(NOW, LEASE)
        tell(store, "urn:uuid:1", (judged("1"), ["k"]))
        before = store.stories(), store.health(), task

        def half(work: Work) -> None:
            key = work.add(judged("2"), ["k"], NOW)
            work.assign(key, "urn:uuid:1", None)
            work.record(visit(A), plan(), {1: 3})
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), store.begin() as work:
            half(work)
        assert (store.stories(), store.health(), task) == before
        assert store.items("2") == ()
        assert store.claim(NOW + LEASE, LEASE) == (task,)

    def test_readers_see_what_was_committed(self, store: Store) -> None:
        """While a transaction is open, other threads read the state before it, and never wait."""
        store.enlist([A], [], NOW)
        seen: list[int] = []
        with store.begin() as work:
            work.found("urn:uuid:1", NOW)
            work.assign(work.add(judged("1"), (), NOW), "urn:uuid:1", None)
            work.tell("urn:uuid:1", NOW, None, NOW)
            reader = threading.Thread(target=lambda: seen.extend((len(store.stories()), store.health()[0].seen)))
            reader.start()
            reader.join()
        assert seen == [0, 0]
        assert (len(store.stories()), store.health()[0].seen) == (1, 1)

    def test_a_visit_is_one_transaction(self, store: Store) -> None:
        """Items, story and the source's state are found again together."""
        store.enlist([A], [], NOW)
        with store.begin() as work:
            work.found("urn:uuid:1", NOW)
            key = work.add(judged("1"), ["k"], NOW)
            work.assign(key, "urn:uuid:1", None)
            work.tell("urn:uuid:1", NOW, key, NOW)
            assert work.story("urn:uuid:1") is not None
            work.record(visit(A), plan(), {})
        assert store.stories()[0].members[0].key == key
        assert store.health()[0].seen == 1


def test_settings_are_remembered(shelf: Shelf) -> None:
    """A setting is what was last put under its name."""
    assert shelf.store.get("rules") is None
    shelf.store.put("rules", "1")
    shelf.store.put("rules", "둘")
    assert shelf.reopen().get("rules") == "둘"


MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def sql(path: Path) -> Iterator[SqlStore]:
    store = SqlStore(f"sqlite:///{path}")
    yield store
    store.close()


class TestSqlite:
    """What a database in a file does besides."""

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(moments=st.lists(MOMENTS, min_size=1, max_size=5))
    def test_moments_survive_to_the_microsecond(self, sql: SqlStore, moments: list[datetime]) -> None:
        """Any date that a source may claim comes back as it was."""
        with sql.begin() as work:
            keys = [work.add(judged(os.urandom(8).hex(), published=one), (), one) for one in moments]
        stored = [sql.item(key) for key in keys]
        assert [(one.item.published, one.first_seen) for one in stored if one] == [(one, one) for one in moments]

    @settings(max_examples=50, deadline=None)
    @given(sentences=st.lists(st.dictionaries(st.integers(0, 50), st.integers(1, 3)), max_size=20))
    def test_sentence_counts_add_up(self, sentences: list[dict[int, int]]) -> None:
        """However the visits came, a sentence is boilerplate exactly if it was counted three times."""
        counts, boilerplate, total = None, None, Counter[int]()
        for visit in sentences:
            counts, boilerplate = add_counts(counts, visit)
            total.update(visit)
        assert set(json.loads(boilerplate or "[]")) == {one for one, times in total.items() if times >= 3}

    def test_the_history_of_visits_is_bounded(self, sql: SqlStore) -> None:
        """The oldest are forgotten, whatever source they were to."""
        many = [past(A)] * REMEMBERED
        for visits in (many, [past(B)] * 3):
            with sql.begin() as work:
                work.log(visits)
        assert len(sql.visits(2 * REMEMBERED)) == REMEMBERED
        assert len(sql.visits(9, B.url)) == 3

    def test_sentence_counts_are_bounded(self) -> None:
        """Of a source's sentences the most recently seen are counted; boilerplate comes again and again, and stays."""
        counts = None
        for first in range(0, 20 * SENTENCES, SENTENCES // 2):
            news = dict.fromkeys(range(first, first + SENTENCES // 2), 1)
            counts, boilerplate = add_counts(counts, news | {-1: 1})
        assert len(json.loads(counts or "[]")) == SENTENCES
        assert boilerplate == "[-1]"

    def test_a_flood_of_sentences_does_not_hide_the_shared_ones(self) -> None:
        """Of more sentences than are counted, in one visit, those that most items hold are."""
        _, boilerplate = add_counts(None, {-1: 3} | dict.fromkeys(range(SENTENCES), 1))
        assert boilerplate == "[-1]"

    def test_a_key_as_common_as_a_word_costs_a_bounded_look(self, sql: SqlStore) -> None:
        """Of a key that very many items share, the newest are looked at."""
        with sql.begin() as work:
            for n in range(PER_KEY + 50):
                work.found(f"urn:uuid:{n}", NOW)
                key = work.add(judged(str(n)), ["common"], NOW + timedelta(seconds=n))
                work.assign(key, f"urn:uuid:{n}", None)
        found = candidates(sql, "common")
        assert found == {f"urn:uuid:{n}" for n in range(50, PER_KEY + 50)}

    def test_headers_are_not_written_down(self, sql: SqlStore, path: Path) -> None:
        """Request headers may hold secrets: they are in no table, and so in no backup."""
        sql.enlist([C], [], NOW)
        sql.backup(str(path.with_name("copy.db")))
        assert b"secret" not in path.with_name("copy.db").read_bytes()

    def test_commits_outlast_a_power_cut(self, path: Path, sql: SqlStore) -> None:
        """The file is in WAL mode, and each connection writes through to the disk and holds to foreign keys."""
        with sql._database.writing() as connection:
            values = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "application_id")
            ]
        assert values == ["wal", 2, 1, APPLICATION]

    def test_reading_goes_on_while_visits_are_settled(self, sql: SqlStore) -> None:
        """Readers in other threads see whole visits only, at any time."""
        sql.enlist([A], [], NOW)
        done = threading.Event()
        partial: list[str] = []

        def look() -> None:
            while not done.is_set():
                for story in sql.stories():
                    if len(story.members) != 3:
                        partial.append(story.id)
                if sql.health()[0].seen % 3:
                    partial.append("health")

        readers = [threading.Thread(target=look) for _ in range(3)]
        for reader in readers:
            reader.start()
        for n in range(60):
            with sql.begin() as work:
                work.found(f"urn:uuid:{n}", NOW)
                for m in range(3):
                    work.assign(work.add(judged(f"{n}-{m}"), [f"k{m}"], NOW), f"urn:uuid:{n}", None)
                work.tell(f"urn:uuid:{n}", NOW, None, NOW)
                work.record(visit(A), plan(), {})
        done.set()
        for reader in readers:
            reader.join()
        assert partial == []
        assert len(sql.stories()) == 60

    def test_a_transaction_that_begins_by_reading_can_write(self, sql: SqlStore, path: Path) -> None:
        """A writer has its turn from the first word on: nobody writes between what it reads and what it writes."""
        other = SqlStore(f"sqlite:///{path}")
        with sql.begin() as work:
            assert work.find(A.url, "1") is None
            rival = threading.Thread(target=other.put, args=("name", "rival"))
            rival.start()
            rival.join(0.3)
            assert rival.is_alive()
            work.add(judged("1"), (), NOW)
        rival.join()
        assert (len(sql.items("1")), sql.get("name")) == (1, "rival")
        other.close()

    def test_a_writer_in_another_process_is_waited_for(self, sql: SqlStore, path: Path) -> None:
        """A transaction of another process holds a writer up only as long as it lasts."""
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        sql.put("name", "value")
        assert sql.get("name") == "value"
        other.close()


class TestRefusal:
    """What is not an aggregator's database is left alone, with a sentence that says why."""

    def refused(self, path: Path, *words: str) -> None:
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(StoreError) as caught:
            SqlStore(f"sqlite:///{path}")
        for word in (str(path), "nothing was changed", *words):
            assert word in str(caught.value)
        assert (path.read_bytes() if path.is_file() else None) == before
        log = path.with_name(f"{path.name}-wal")
        assert not log.exists() or not log.stat().st_size

    @pytest.mark.parametrize(
        "content", [b"not a database, but a letter\n" * 100, b"\x00", b"SQLite format 3\x00" + b"\xff" * 5000]
    )
    def test_a_file_that_is_no_database(self, path: Path, content: bytes) -> None:
        """Any other file is refused and keeps its bytes."""
        path.write_bytes(content)
        self.refused(path, "is not an aggregator database")

    def test_the_database_of_another_program(self, path: Path) -> None:
        """Even an innocent table of another program is not touched."""
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE item (name TEXT)")
        self.refused(path, "another program")

    def test_a_database_from_a_newer_version(self, path: Path) -> None:
        """What a newer version wrote is not read by guess."""
        SqlStore(f"sqlite:///{path}").close()
        with closing(sqlite3.connect(path)) as other:
            other.execute("INSERT INTO aggregator_migration VALUES (999)")
            other.commit()
        self.refused(path, "newer version", "999")

    def test_a_damaged_database(self, path: Path, sql: SqlStore) -> None:
        """A file with overwritten pages is not worked on; a backup is asked for."""
        with sql.begin() as work:
            for n in range(300):
                work.add(judged(str(n), body="text " * 100), (), NOW)
        sql.close()
        content = bytearray(path.read_bytes())
        content[40_000:80_000] = os.urandom(40_000)
        path.write_bytes(content)
        self.refused(path, "damaged", "backup")

    def test_a_folder_in_place_of_the_file(self, path: Path) -> None:
        """A folder is not a database."""
        path.mkdir()
        self.refused(path, "cannot be written")

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        """A folder that cannot be made is named."""
        (tmp_path / "file").write_text("x")
        with pytest.raises(StoreError, match=r"file/deep.*cannot be made"):
            SqlStore(f"sqlite:///{tmp_path}/file/deep/store.db")

    def test_a_folder_without_permission(self, tmp_path: Path) -> None:
        """Where nothing may be written, that is said before anything is tried."""
        closed = tmp_path / "closed"
        closed.mkdir()
        script = (
            "import os, sys\nfrom aggregator.errors import StoreError\nfrom aggregator.store import SqlStore\n"
            "os.getuid() or os.setuid(65534)\n"  # permissions do not bind the superuser
            "try: SqlStore(sys.argv[1])\nexcept StoreError as error: print(error)"
        )
        modes = {folder: folder.stat().st_mode for folder in (closed, *closed.parents)}
        modes = {folder: mode for folder, mode in modes.items() if folder == closed or mode & 0o5 != 0o5}
        for folder in modes:
            folder.chmod(0o555)
        try:
            said = run_python(script, f"sqlite:///{closed}/store.db")
        finally:
            for folder, mode in modes.items():
                folder.chmod(mode)
        assert f"{closed}/store.db cannot be written" in said

    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        """A new installation needs no folder beforehand."""
        SqlStore(f"sqlite:///{tmp_path}/new/folder/store.db").close()
        assert (tmp_path / "new/folder/store.db").is_file()

    @pytest.mark.parametrize(
        ("url", "word"),
        [
            ("nonsense", "not the address"),
            ("sqlite://", "names no file"),
            ("mysql://x/y", "not known"),
            ("postgresql+nodriver://x/y", "nodriver"),
        ],
    )
    def test_an_address_that_leads_nowhere(self, url: str, word: str) -> None:
        """An address is refused with what would be right."""
        with pytest.raises(ConfigError, match=word):
            SqlStore(url)

    def test_a_damaged_page_found_later_is_told_in_words(self, path: Path, sql: SqlStore) -> None:
        """A fault of the database during work is a StoreError with advice, never the library's own."""
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE setting")
        with pytest.raises(StoreError, match="setting"):
            sql.get("name")


class TestBackup:
    def test_a_backup_is_a_whole_store(self, sql: SqlStore, path: Path) -> None:
        """Taken while a visit is being settled, a copy holds what was committed before, and opens as a store."""
        tell(sql, "urn:uuid:1", (judged("1"), ["k"]))
        copy = path.with_name("copy.db")
        with sql.begin() as work:
            work.add(judged("2"), (), NOW)
            sql.backup(str(copy))
        restored = SqlStore(f"sqlite:///{copy}")
        assert len(restored.stories()) == 1
        assert [one.item.id for one in restored.retained()] == ["1"]
        restored.close()
        assert [one.name for one in path.parent.glob("*.part*")] == []

    def test_what_a_killed_backup_left_is_swept_by_the_next(self, sql: SqlStore, path: Path) -> None:
        """Its part is named by its process; what one that runs is writing stays."""
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        mine = path.with_name(f"copy.db.part-{os.getppid()}")
        for left in (
            path.with_name(f"copy.db.part-{ended.pid}"),
            path.with_name(f"copy.db.part-{ended.pid}-journal"),
            mine,
        ):
            left.write_bytes(b"half of a store")
        sql.backup(str(path.with_name("copy.db")))
        assert [one.name for one in path.parent.glob("*.part*")] == [mine.name]

    def test_an_older_backup_is_replaced(self, sql: SqlStore, path: Path) -> None:
        """The same name can be used each night."""
        copy = path.with_name("copy.db")
        sql.backup(str(copy))
        sql.put("name", "value")
        sql.backup(str(copy))
        restored = SqlStore(f"sqlite:///{copy}")
        assert restored.get("name") == "value"
        restored.close()

    def test_nothing_else_is_overwritten(self, sql: SqlStore, path: Path) -> None:
        """A file that is not a backup, the store itself, and a missing folder are refused."""
        letter = path.with_name("letter.txt")
        letter.write_text("Dear reader")
        for target in (letter, path, path.parent / "missing/copy.db"):
            with pytest.raises(StoreError):
                sql.backup(str(target))
        assert letter.read_text() == "Dear reader"


KILLS = 20
_SETTLING = """
import sys
from aggregator.search import document, fits, parse
from aggregator.store import SqlStore
from tests.test_store import A, NOW, judged, plan, visit
from aggregator.model import Changed, FeedHead, Validators
store = SqlStore(sys.argv[1])
store.enlist([A], [], NOW)
number = int(store.get("number") or 0)
while True:
    number += 1
    with store.begin() as work:
        work.found(f"urn:uuid:{number}", NOW)
        for member in range(3):
            work.assign(work.add(judged(f"{number}-{member}"), [f"k{number}", "k"], NOW), f"urn:uuid:{number}", None)
        work.tell(f"urn:uuid:{number}", NOW, None, NOW)
        changed = Changed(FeedHead("rss20"), (), frozenset())
        work.record(visit(A, changed, Validators(str(number))), plan(NOW), {number: 3})
    store.put("number", str(number))
    print(number, flush=True)
"""


def run_python(script: str, *arguments: str) -> str:
    root = Path(__file__).parents[1]
    return subprocess.run([sys.executable, "-c", script, *arguments], cwd=root, text=True, capture_output=True).stdout


def test_a_killed_process_leaves_whole_visits(path: Path) -> None:
    """Killed at random moments, it leaves a sound database: each visit whole or absent, none that it reported lost."""
    url, draw, reported = f"sqlite:///{path}", random.Random(20260301), 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", _SETTLING, url]
        with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            threading.Timer(draw.random() / 20, process.kill).start()
            said += process.stdout.read().split("\n")
        reported = max(int(one) for one in said if one.strip())
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        store = SqlStore(url)
        stories = store.stories()
        (task,) = store.claim(NOW, timedelta(0))
        assert len(stories) >= reported
        assert {len(story.members) for story in stories} == {3}
        assert task.known.validators.etag == str(len(stories))
        assert len(task.known.boilerplate) == min(len(stories), SENTENCES)
        assert store.health()[0].seen == 3 * len(stories)
        store.put("number", str(len(stories)))
        store.close()


# --- search -----------------------------------------------------------------------------------------------------


def looked(store: Store, query: str, limit: int = 10, offset: int = 0) -> list[str]:
    return [one.id for one in store.search(parse(query), limit, offset)]


def in_story(work: Work, story: str, *items: Judged) -> list[int]:
    keys = [work.add(one, (), NOW) for one in items]
    for key in keys:
        work.assign(key, story, Evidence("founds", "", 1.0))
    return keys


def test_told_stories_are_found_by_what_all_their_members_say(store: Store) -> None:
    """Titles, summaries, sources and the outlets they quote, in every language, as one text; newest told first."""
    store.enlist([A, B], [], NOW)
    with store.begin() as work:
        for number, story in enumerate(("s1", "s2", "s3")):
            work.found(story, NOW)
            work.tell(story, NOW + number * HOUR if story != "s3" else None, None, NOW)
        in_story(
            work,
            "s1",
            judged("1", title="Defectors arrive", summary="Three people."),
            judged("2", source=B, title="탈북민 3명 도착", publisher="연합뉴스"),
        )
        in_story(work, "s2", judged("3", title="A defector speaks", summary="北韓 border"))
        in_story(work, "s3", judged("4", title="A defector nobody tells of"))
    assert looked(store, "defector") == ["s2", "s1"]
    assert looked(store, "탈북 people") == ["s1"]
    assert looked(store, "연합") == looked(store, "beta") == ["s1"]
    assert looked(store, "alpha") == ["s2", "s1"]
    assert looked(store, "北韩") == ["s2"]
    assert looked(store, "defector -border") == ["s1"]
    assert looked(store, "border OR 도착") == ["s2", "s1"]
    assert looked(store, '"three people"') == ["s1"]
    assert looked(store, '"arrive three"') == []
    assert looked(store, "defector", limit=1) == ["s2"]
    assert looked(store, "defector", limit=1, offset=1) == ["s1"]


def test_what_is_found_is_the_present_state(shelf: Shelf) -> None:
    """Edits, withdrawals, merges and splits are in the index with the transaction that makes them, for good."""
    store = shelf.store
    with store.begin() as work:
        for story in ("s1", "s2"):
            work.found(story, NOW)
            work.tell(story, NOW, None, NOW)
        (one,) = in_story(work, "s1", judged("1", title="balloon"))
        in_story(work, "s2", judged("2", title="leaflet"))
    with store.begin() as work:
        work.edit(one, judged("1", title="kite"), ())
    assert (looked(store, "balloon"), looked(store, "kite")) == ([], ["s1"])
    with store.begin() as work:
        work.merge("s1", "s2", NOW + HOUR)
    assert looked(store, "kite leaflet") == looked(store, "kite") == ["s2"]
    store = shelf.reopen()
    assert looked(store, "kite") == ["s2"]
    with store.begin() as work:
        work.assign(one, None, None)
    assert (looked(store, "kite"), looked(store, "leaflet")) == ([], ["s2"])
    with store.begin() as work:
        work.tell("s2", None, None, NOW + 2 * HOUR)
    assert looked(store, "leaflet") == []
    with pytest.raises(NotFoundError), store.begin() as work:  # noqa: PT012 (the block is what is undone)
        work.tell("s2", NOW, None, NOW)
        work.rule(99, "keep")
    assert looked(store, "leaflet") == []


def test_seeds_are_found_as_long_as_they_are_told(store: Store) -> None:
    """A seed's own text counts like any other, and leaves with it."""
    seed = ("s1", Seed("S1", "A soldier crossed"), ("k",))
    store.plant([seed], NOW, publish=True)
    assert looked(store, "soldier") == ["s1"]
    store.plant([], NOW + HOUR, publish=True)
    assert looked(store, "soldier") == []


def test_a_source_that_is_renamed_is_found_by_its_new_name(store: Store) -> None:
    """What the operator calls a source is part of what its stories say."""
    store.enlist([A, B], [], NOW)
    with store.begin() as work:
        work.found("s1", NOW)
        work.tell("s1", NOW, None, NOW)
        in_story(work, "s1", judged("1"))
    store.enlist([replace(A, name="Omega"), B], [], NOW)
    assert (looked(store, "alpha"), looked(store, "omega")) == ([], ["s1"])


_SAID = (
    *["north", "korea", "korean", "탈북", "탈북민", "북한", "北韓", "脱北者", "ผู้", "من", "a", "K팝", "re-defector"],
    *"&'\"\\",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(st.sampled_from(_SAID), min_size=1, max_size=6), min_size=1, max_size=4),
    query=st.lists(st.sampled_from([*_SAID, "OR", '"', "-", "인", "*", "NEAR(", ":", "민"]), min_size=1, max_size=6),
)
def test_every_store_finds_the_same(shelf: Shelf, texts: list[list[str]], query: list[str]) -> None:
    """What is found is what `search.fits` says, whichever database keeps the index."""
    with shelf.store.begin() as work:
        for number, words in enumerate(texts):
            story = f"s{number}"
            if work.story(story) is None:
                work.found(story, NOW)
                work.tell(story, NOW, None, NOW)
            held = work.find(A.url, story)
            if held is None:
                in_story(work, story, judged(story, title=" ".join(words)))
            else:
                work.edit(held.key, judged(story, title=" ".join(words)), ())
    try:
        wanted = parse(" ".join(query))
    except QueryError:
        return
    fitting = {f"s{number}" for number, words in enumerate(texts) if fits(wanted, document([" ".join(words)]))}
    found = {one.id for one in shelf.store.search(wanted, 100)}
    assert found & {f"s{number}" for number in range(len(texts))} == fitting


def test_a_store_of_an_earlier_version_is_indexed_when_it_is_opened(tmp_path: Path) -> None:
    """What was kept before there was an index is found like all else."""
    path = tmp_path / "store.db"
    store = SqlStore(f"sqlite:///{path}")
    with store.begin() as work:
        work.found("s1", NOW)
        work.tell("s1", NOW, None, NOW)
        in_story(work, "s1", judged("1", title="balloon"))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DELETE FROM setting WHERE name = 'search'; DELETE FROM search;")
    store = SqlStore(f"sqlite:///{path}")
    assert looked(store, "balloon") == ["s1"]
    store.close()


class TestRetention:
    """What is past its time is let go, and nothing else."""

    def put(self, store: Store, id: str, now: datetime, decision: Decision = Decision.DROPPED) -> int:
        with store.begin() as work:
            return work.add(judged(id, decision=decision, summary="What happened.", body="All of it."), (), now)

    def test_texts_go_first_and_items_later(self, store: Store) -> None:
        """Title, link, verdict and reasons outlive the text; in the end nothing is left."""
        aged, old, new = (self.put(store, id, NOW - days * DAY) for id, days in (("1", 9), ("2", 5), ("3", 1)))
        assert store.forget(NOW - 3 * DAY, NOW - 7 * DAY) == 2
        assert store.item(aged) is None
        emptied, whole = store.item(old), store.item(new)
        assert emptied is not None
        assert whole is not None
        assert (emptied.item.title, emptied.item.link) == ("Title 2", "https://a.example/2")
        assert (emptied.item.summary, emptied.item.body, emptied.retained) == ("", "", False)
        assert emptied.verdict == whole.verdict
        assert (whole.item.summary, whole.item.body, whole.retained) == ("What happened.", "All of it.", True)
        assert [stored.key for stored in store.retained()] == [new]
        assert store.forget(NOW - 3 * DAY, NOW - 7 * DAY) == 0

    def test_stories_and_rulings_stay(self, store: Store) -> None:
        """At any age: they are the record, and the curator's word."""
        tell(store, "urn:uuid:1", (judged("1", summary="What happened."), ()))
        ruled = self.put(store, "2", NOW)
        with store.begin() as work:
            work.rule(ruled, "drop")
        assert store.forget(NOW + 9 * DAY, NOW + 9 * DAY) == 0
        assert [one.item.summary for one in store.retained()] == ["What happened.", "What happened."]

    def test_none_keeps_for_ever(self, store: Store) -> None:
        """Each of the two by itself."""
        key = self.put(store, "1", NOW - 9 * DAY)
        assert store.forget(None, None) == 0
        assert store.forget(NOW, None) == 1
        assert store.forget(None, NOW) == 1
        assert store.item(key) is None

    def test_an_item_that_is_brought_again_has_its_text_again(self, store: Store) -> None:
        """It is known under its id, and is judged anew from then on."""
        key = self.put(store, "1", NOW - 9 * DAY)
        store.forget(NOW, None)
        with store.begin() as work:
            found = work.find(A.url, "1")
            assert found is not None
            work.edit(found.key, judged("1", summary="What happened since."), ())
        assert [(one.key, one.item.summary) for one in store.retained()] == [(key, "What happened since.")]

    def test_many_go_at_once(self, store: Store) -> None:
        """More than one transaction takes."""
        with store.begin() as work:
            for n in range(2_300):
                work.add(judged(str(n), decision=Decision.DROPPED), (), NOW)
        assert store.forget(NOW + DAY, None) == 2_300
        assert store.forget(None, NOW + DAY) == 2_300
