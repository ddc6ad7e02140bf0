"""What the flow expects of any Fetch and any Clock; the suites of the other ports stand by their rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.app import SystemClock
from aggregator.fetch import HttpFetch
from aggregator.memory import FixedClock, ScriptedFetch
from aggregator.model import (
    Failed,
    FailureKind,
    Fetched,
    Known,
    NotModified,
    Refused,
    Source,
    Task,
    Validators,
)
from aggregator.ports import Clock, Fetch
from aggregator.tables import Fetch as Settings
from tests.site import serving

BODY = b"<rss/>"
Reader = tuple[Fetch, Callable[[str], str]]  # a Fetch, and the address of a path


def scripted() -> Iterator[Reader]:
    base = "https://scripted.example"

    def feed(task: Task) -> Fetched | NotModified:
        given = Validators('"1"', "Mon, 01 Jun 2026 08:00:00 GMT")
        if task.known.validators.etag == given.etag:
            return NotModified(given)
        return Fetched(task.source.url, BODY, "application/rss+xml", given)

    gone = Refused(Failed(FailureKind.HARD, "there is no document at this address (404)", 404))
    yield ScriptedFetch({f"{base}/feed": feed, f"{base}/none": gone}), lambda path: base + path


def over_http() -> Iterator[Reader]:
    with serving() as site:
        site.put("/feed", BODY)
        fetch = HttpFetch(Settings(allow_private_addresses=True, host_gap_seconds=0), "", SystemClock())
        yield fetch, lambda path: site.address + path
        fetch.close()


@pytest.fixture(params=[scripted, over_http])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    make: Callable[[], Iterator[Reader]] = request.param
    yield from make()


class TestFetch:
    def test_a_document_comes_whole_with_its_validators(self, reader: Reader) -> None:
        """What is needed to read it, and to ask later whether it changed."""
        fetch, at = reader
        answer = fetch(Task(Source(at("/feed"), "x")))
        assert isinstance(answer, Fetched)
        assert answer.data == BODY
        assert answer.content_type is not None
        assert answer.validators.etag is not None

    def test_a_known_document_does_not_come_again(self, reader: Reader) -> None:
        """Asked with the validators it gave, a source says that nothing changed, and they go on holding."""
        fetch, at = reader
        first = fetch(Task(Source(at("/feed"), "x")))
        assert isinstance(first, Fetched)
        again = fetch(Task(Source(at("/feed"), "x"), Known(first.validators)))
        assert isinstance(again, NotModified)
        assert again.validators == first.validators

    def test_a_refusal_is_a_value_with_words_and_a_kind(self, reader: Reader) -> None:
        """What a server does never raises."""
        fetch, at = reader
        answer = fetch(Task(Source(at("/none"), "x")))
        assert isinstance(answer, Refused)
        assert answer.failed.kind is FailureKind.HARD
        assert answer.failed.status == 404
        assert answer.failed.message


@pytest.fixture(params=[SystemClock, lambda: FixedClock(datetime(2026, 6, 1, tzinfo=UTC))])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


class TestClock:
    def test_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        """So that times of all sources compare."""
        assert clock.now().utcoffset() == timedelta(0)

    def test_time_does_not_run_back(self, clock: Clock) -> None:
        """While nobody sets the clock."""
        assert clock.now() <= clock.now()
