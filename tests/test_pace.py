"""Pace: what each rule says, and laws that hold whatever servers say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.model import (
    Changed,
    Decision,
    Failed,
    FailureKind,
    FeedHead,
    Freshness,
    Item,
    Judged,
    Outcome,
    Plan,
    Rhythm,
    Source,
    Unchanged,
    Verdict,
    Visit,
)
from aggregator.pace import Bounds, adopted, plan

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)  # a Sunday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BOUNDS = Bounds(10 * MINUTE, DAY)
SOURCE = Source("http://example.org/feed", "A source")
NOT_MODIFIED = Unchanged("304")


def changed(new: int = 1, of: int = 20, kept: bool = False, head: FeedHead | None = None) -> Changed:
    """A document of `of` entries, `new` of them not seen before."""
    verdict = Verdict(Decision.KEPT if kept else Decision.DROPPED, 0.9 if kept else 0.1, (), "")
    item = Item(SOURCE.url, "id", None, "title", "")
    entries = frozenset(number.to_bytes(4, "big") for number in range(of))
    return Changed(head or FeedHead("rss20"), (Judged(item, verdict),) * new, entries)


def failed(kind: FailureKind = FailureKind.SOFT, status: int | None = 500) -> Failed:
    return Failed(kind, "it failed", status)


def visit(outcome: Outcome, at: datetime = NOW, moved_to: str | None = None, **wishes: object) -> Visit:
    freshness = Freshness(**wishes)  # type: ignore[arg-type]
    return Visit(SOURCE, at - timedelta(seconds=9), at, outcome, freshness=freshness, moved_to=moved_to)


def planned(
    outcome: Outcome, rhythm: Rhythm | None = None, source: Source = SOURCE, draw: float = 0.0, **wishes: object
) -> Plan:
    return plan(rhythm or Rhythm(), visit(outcome, **wishes), BOUNDS, source, draw)  # type: ignore[arg-type]


def wait(answer: Plan) -> timedelta:
    return answer.due - NOW


# What the server and the feed ask for


def test_floor_is_an_hour_from_the_end_of_the_visit() -> None:
    """Where nothing is said about freshness, a busy source is asked hourly, not more."""
    answer = planned(changed(20), Rhythm(interval=10 * MINUTE, last_new=NOW - HOUR))
    assert wait(answer) == HOUR
    assert "at most hourly" in answer.why


@pytest.mark.parametrize("fresh_for", [timedelta(0), None])
def test_no_freshness_is_no_invitation(fresh_for: timedelta | None) -> None:
    """max-age=0 says that nothing may be reused, not that one may come at once."""
    assert wait(planned(changed(), Rhythm(interval=10 * MINUTE), fresh_for=fresh_for)) == HOUR


def test_short_freshness_opens_the_way_down_to_the_minimum() -> None:
    """A server that states five minutes may be asked each ten, if it brings something that often."""
    assert wait(planned(changed(20), Rhythm(interval=15 * MINUTE), fresh_for=5 * MINUTE)) == 10 * MINUTE
    assert wait(planned(changed(20), Rhythm(interval=15 * MINUTE), fresh_for=40 * MINUTE)) == 40 * MINUTE


@pytest.mark.parametrize("outcome", [changed(), NOT_MODIFIED, failed(FailureKind.SOFT, 500)])
def test_max_age_is_waited_out_within_the_bounds(outcome: Outcome) -> None:
    """On 200, 304 and failures alike; of more than the longest interval, that much is granted, and it is said."""
    answer = planned(outcome, Rhythm(interval=HOUR), fresh_for=5 * HOUR)
    assert wait(answer) == 5 * HOUR
    assert answer.why == "asked for by the server (max-age or Expires): 5 hours"
    answer = planned(outcome, Rhythm(interval=HOUR), fresh_for=2 * DAY)
    assert wait(answer) == DAY
    assert answer.why == "asked for by the server (max-age or Expires): 2 days, of which 24 hours are granted"


@pytest.mark.parametrize("status", [403, 429, 503])
def test_max_age_of_who_turns_us_away_is_waited_out(status: int) -> None:
    """A 429 was seen with a max-age of two days, and a reader that ignored it was blocked."""
    answer = planned(failed(FailureKind.TEMPORARY, status), Rhythm(interval=HOUR), fresh_for=2 * DAY)
    assert wait(answer) == 2 * DAY
    assert "max-age" in answer.why
    assert wait(planned(failed(FailureKind.TEMPORARY, status), fresh_for=99 * DAY)) == 7 * DAY


def test_hints_are_capped_at_the_bounds_and_a_week() -> None:
    """A max-age of sixteen years is a static host's default, not a wish; so for ttl."""
    for bounds, most in ((BOUNDS, DAY), (Bounds(HOUR, 30 * DAY), 7 * DAY)):
        ends = visit(changed(), fresh_for=16 * 365 * DAY), visit(changed(head=FeedHead("rss20", ttl=99 * DAY)))
        assert [plan(Rhythm(), end, bounds, SOURCE, 0.0).due - NOW for end in ends] == [most, most]


def test_ttl_is_remembered_through_304() -> None:
    """A 304 does not repeat what the document asked for."""
    first = planned(changed(head=FeedHead("rss20", ttl=4 * HOUR)))
    assert wait(first) == 4 * HOUR
    assert "ttl" in first.why
    later = plan(first.rhythm, visit(NOT_MODIFIED, first.due), BOUNDS, SOURCE, 0.0)
    assert later.due - first.due == 4 * HOUR


def test_skip_hours_and_days_are_left_alone() -> None:
    """A visit due in hours or days to be skipped waits for the first that is not."""
    hours = FeedHead("rss20", skip_hours=frozenset({13, 14, 15}))
    answer = planned(changed(head=hours))
    assert answer.due == NOW.replace(hour=16)
    assert "left alone" in answer.why
    assert planned(changed(head=FeedHead("rss20", skip_days=frozenset({6})))).due.weekday() == 0
    assert "left alone" not in planned(changed()).why


def test_skipping_everything_is_a_misunderstanding() -> None:
    """All 24 hours or all seven days listed are ignored."""
    head = FeedHead("rss20", skip_hours=frozenset(range(24)), skip_days=frozenset(range(7)))
    assert wait(planned(changed(head=head))) == HOUR


@pytest.mark.parametrize(
    "outcome", [changed(), NOT_MODIFIED, failed(FailureKind.TEMPORARY, 503), failed(FailureKind.HARD, 403)]
)
def test_retry_after_stands_above_everything(outcome: Outcome) -> None:
    """Also above the operator's interval."""
    for source in (SOURCE, replace(SOURCE, interval=10 * MINUTE)):
        answer = planned(outcome, source=source, retry_after=20 * DAY)
        assert wait(answer) == 20 * DAY
        assert "Retry-After" in answer.why


def test_interval_is_the_operators_word() -> None:
    """A fixed interval is neither adapted nor stretched by hints, and may be short."""
    source = replace(SOURCE, interval=30 * MINUTE)
    head = FeedHead("rss20", ttl=DAY, skip_hours=frozenset({13}))
    answer = planned(changed(head=head), source=source, fresh_for=DAY)
    assert wait(answer) == 30 * MINUTE
    assert answer.why == "every 30 minutes, as configured"


# How often something new comes


def test_interval_halves_when_something_wanted_comes() -> None:
    """One kept item, or much that is new, is worth coming sooner for; a little of no interest is not."""
    before = Rhythm(interval=8 * HOUR, last_new=NOW - 8 * HOUR)
    assert wait(planned(changed(1, kept=True), before)) == 4 * HOUR
    assert wait(planned(changed(10, of=20), before)) == 4 * HOUR
    assert wait(planned(changed(1, of=20), before)) == 8 * HOUR


def test_interval_grows_with_silence() -> None:
    """A tenth of the time since something new came, up to the longest interval, never shorter than before."""
    answer = planned(NOT_MODIFIED, Rhythm(interval=HOUR, last_new=NOW - 5 * DAY))
    assert wait(answer) == 12 * HOUR
    assert answer.why == "nothing new for 5 days: asked every 12 hours"
    assert wait(planned(NOT_MODIFIED, Rhythm(interval=HOUR, last_new=NOW - 90 * DAY))) == DAY
    assert wait(planned(Unchanged("same bytes"), Rhythm(interval=5 * HOUR, last_new=NOW - HOUR))) == 5 * HOUR


def test_interval_grows_where_nothing_is_wanted() -> None:
    """A source that brings news, but none of the subject, is asked a tenth of the time since it did, up to 3 hours."""
    unwanted = Rhythm(interval=HOUR, last_new=NOW - HOUR, last_kept=NOW - 20 * HOUR)
    assert wait(planned(changed(1), unwanted)) == 2 * HOUR
    answer = planned(changed(1), replace(unwanted, last_kept=NOW - 9 * DAY))
    assert wait(answer) == 3 * HOUR
    assert answer.why == "something new comes, but nothing kept for 9 days: asked every 3 hours"
    assert wait(planned(changed(10, of=20), replace(unwanted, last_kept=NOW - 9 * DAY))) == HOUR
    assert planned(changed(1), Rhythm()).rhythm.last_kept == NOW


def test_pushed_source_is_asked_seldom_until_asking_brings_news() -> None:
    """What its hub delivered spares the asking; news that came by asking shows that the hub missed it."""
    delivered = plan(Rhythm(interval=HOUR), replace(visit(changed()), pushed=True), BOUNDS, SOURCE, 0.0)
    assert delivered.due - NOW == 6 * HOUR
    assert delivered.why == "its hub tells of news: asked 6 hours after the last, in case one was missed"
    assert wait(planned(NOT_MODIFIED, delivered.rhythm)) == 6 * HOUR
    assert wait(planned(changed(), delivered.rhythm)) == HOUR


def test_what_a_hub_delivers_leaves_the_server_its_word() -> None:
    """What is delivered says nothing of freshness; what the server last stated of it holds until it is asked again."""
    stated = planned(NOT_MODIFIED, Rhythm(interval=HOUR), fresh_for=20 * HOUR).rhythm
    for _ in range(3):
        delivered = plan(stated, replace(visit(changed()), pushed=True), BOUNDS, SOURCE, 0.0)
        assert delivered.due - NOW == DAY
        stated = delivered.rhythm
    assert wait(planned(NOT_MODIFIED, delivered.rhythm)) == 6 * HOUR


@pytest.mark.parametrize(("every", "within"), [(2 * HOUR, 6), (7 * HOUR, 6), (DAY, 10), (10 * DAY, 24)])
def test_a_hub_that_dies_delays_news_once_by_six_usual_waits(every: timedelta, within: int) -> None:
    """After two months of deliveries, what comes next is found within so many hours; then all is as without a hub."""
    due, news, rhythm = NOW + HOUR, NOW, Rhythm()
    while news < NOW + 60 * DAY:
        pushed = news <= due
        seen = replace(visit(changed(kept=True) if pushed else NOT_MODIFIED, min(news, due)), pushed=pushed)
        answer = plan(rhythm, seen, BOUNDS, SOURCE, 0.0)
        due, rhythm, news = answer.due, answer.rhythm, news + every * pushed
    missed = news
    asked: list[tuple[datetime, bool]] = []  # when, and whether it brought something
    while len(asked) < 50:
        asked.append((due, brings := news <= due))
        answer = plan(rhythm, visit(changed(kept=True) if brings else NOT_MODIFIED, due), BOUNDS, SOURCE, 0.0)
        news += every * (-((news - due) // every) if brings else 0)
        due, rhythm = answer.due, answer.rhythm
    first = next(n for n, (_, brings) in enumerate(asked) if brings)
    assert asked[first][0] - missed <= within * HOUR
    assert all(later - at <= max(HOUR, every / 9) for (at, _), (later, _) in pairwise(asked[first:]))


def test_who_asked_too_often_asks_less_from_then_on() -> None:
    """After a 429 the interval is twice as long, beyond the back-off, too."""
    after = planned(failed(FailureKind.TEMPORARY, 429), Rhythm(interval=2 * HOUR)).rhythm
    assert wait(planned(NOT_MODIFIED, after)) == 4 * HOUR
    assert planned(failed(FailureKind.TEMPORARY, 429)).rhythm.interval is None


@pytest.mark.parametrize(("every", "least", "most"), [(HOUR, 20, 24), (DAY, 4, 24), (7 * DAY, 1, 5)])
def test_polls_follow_a_regular_source(every: timedelta, least: int, most: int) -> None:
    """In the second month, a source that brings one kept item each so often is asked this many times a day."""
    now, news, rhythm, polls = NOW, NOW, Rhythm(), 0
    while now < NOW + 60 * DAY:
        brings = news <= now
        answer = plan(rhythm, visit(changed(kept=True) if brings else NOT_MODIFIED, now), BOUNDS, SOURCE, 0.5)
        while news <= now:
            news += every
        polls += now >= NOW + 30 * DAY
        now, rhythm = answer.due, answer.rhythm
    assert least <= polls / 30 <= most


def test_jitter_goes_upwards_only() -> None:
    """Chance delays a visit by up to a tenth, and by no more than an hour."""
    assert wait(planned(changed(), draw=0.0)) == HOUR
    assert wait(planned(changed(), draw=1.0)) == HOUR + 6 * MINUTE
    assert wait(planned(changed(), draw=1.0, fresh_for=7 * DAY)) == DAY + HOUR


# Failures


def run(outcome: Failed, times: int, rhythm: Rhythm | None = None) -> list[Plan]:
    """The same failure again and again, each visit when it is due."""
    plans, now, rhythm = [], NOW, rhythm or Rhythm(interval=HOUR, last_success=NOW - HOUR, last_new=NOW - HOUR)
    for _ in range(times):
        answer = plan(rhythm, visit(outcome, now), BOUNDS, SOURCE, 0.0)
        plans.append(answer)
        now, rhythm = answer.due, answer.rhythm
    return plans


def waits(plans: list[Plan]) -> list[timedelta]:
    return [answer.due - (answer.rhythm.last_visit or NOW) for answer in plans]


def test_back_off_by_kind_of_failure() -> None:
    """Where no way led to the server soon again, after its fault or silence hourly at first, after a refusal slowly."""
    offline = waits(run(replace(failed(FailureKind.TEMPORARY, None), asked=False), 7))
    assert offline == [10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 4 * HOUR, 4 * HOUR]
    assert waits(run(failed(FailureKind.TEMPORARY, None), 4)) == [HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]
    assert waits(run(failed(FailureKind.TEMPORARY, 429), 3)) == [HOUR, 2 * HOUR, 4 * HOUR]
    assert waits(run(failed(FailureKind.SOFT), 7)) == [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY, DAY]
    assert waits(run(failed(FailureKind.HARD, 404), 6)) == [6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY]


def test_the_dead_are_visited_weekly() -> None:
    """After a month without success a source is looked at once a week, whatever its failure."""
    for outcome in (failed(FailureKind.TEMPORARY, None), failed(FailureKind.SOFT)):
        plans = run(outcome, 400)
        assert waits(plans)[-1] == 7 * DAY
        assert "failing for" in plans[-1].why


def test_gone_twice_pauses() -> None:
    """A first 410 waits a day; a second one pauses the source, and says so."""
    first, second, third = run(failed(FailureKind.HARD, 410), 3)
    assert first.due - NOW == DAY
    assert "paused" not in first.why
    assert waits([second, third]) == [30 * DAY, 30 * DAY]
    assert "paused: gone for good" in second.why


def test_gone_twice_within_a_day_does_not_pause() -> None:
    """An impatient operator's second look is no second opinion."""
    first = planned(failed(FailureKind.HARD, 410))
    again = plan(first.rhythm, visit(failed(FailureKind.HARD, 410), NOW + HOUR), BOUNDS, SOURCE, 0.0)
    assert "paused" not in again.why


def test_not_found_for_a_month_pauses() -> None:
    """404 may be a mistake for long; after a month it is an answer."""
    plans = run(failed(FailureKind.HARD, 404), 12)
    assert waits(plans)[-1] == 30 * DAY
    assert "paused: not found for" in plans[-1].why


def test_success_forgets_failures() -> None:
    """One good visit, and the source is back at the interval it had."""
    worn = run(failed(), 5, Rhythm(interval=3 * HOUR, last_new=NOW))[-1].rhythm
    assert worn.failures == 5
    answer = plan(worn, visit(changed(kept=True), NOW + 40 * HOUR), BOUNDS, SOURCE, 0.0)
    assert (answer.rhythm.failures, answer.rhythm.failing_since, answer.rhythm.status) == (0, None, None)
    assert answer.rhythm.interval == 1.5 * HOUR


def test_failure_keeps_what_is_known() -> None:
    """Interval, last success, last news, ttl stay as they were."""
    before = Rhythm(interval=3 * HOUR, last_success=NOW - DAY, last_new=NOW - 2 * DAY, ttl=HOUR)
    after = planned(failed(), before).rhythm
    assert (after.interval, after.last_success, after.last_new, after.ttl) == (3 * HOUR, NOW - DAY, NOW - 2 * DAY, HOUR)
    assert (after.failures, after.failing_since, after.status, after.last_visit) == (1, NOW, 500, NOW)


# Moves

NEW = "https://new.example/feed"


def follow(*visits: tuple[timedelta, Outcome, str | None], rhythm: Rhythm | None = None) -> Rhythm:
    rhythm = rhythm or Rhythm()
    for after, outcome, moved_to in visits:
        rhythm = plan(rhythm, visit(outcome, NOW + after, moved_to), BOUNDS, SOURCE, 0.0).rhythm
    return rhythm


def test_move_is_adopted_after_three_polls_over_three_days() -> None:
    """Neither many polls in a day nor two polls in a week are enough."""
    hourly = [(number * HOUR, NOT_MODIFIED, NEW) for number in range(72)]
    assert adopted(follow(*hourly)) is None
    assert adopted(follow(*hourly, (72 * HOUR, NOT_MODIFIED, NEW))) == NEW
    assert adopted(follow((0 * DAY, changed(), NEW), (7 * DAY, changed(), NEW))) is None
    assert adopted(follow((0 * DAY, changed(), NEW), (2 * DAY, changed(), NEW), (4 * DAY, changed(), NEW))) == NEW


def test_move_to_something_that_is_no_feed_does_not_count() -> None:
    """A domain that was sold redirects for good as well."""
    assert adopted(follow(*((number * DAY, failed(), NEW) for number in range(9)))) is None


def test_move_that_changes_its_mind_starts_again() -> None:
    """Another target, or no redirect, ends the count."""
    twice = ((0 * DAY, changed(), NEW), (2 * DAY, changed(), NEW))
    assert adopted(follow(*twice, (4 * DAY, changed(), "https://other.example/"), (5 * DAY, changed(), NEW))) is None
    assert follow(*twice, (4 * DAY, changed(), None)).moved_to is None


def test_adding_tls_is_adopted_at_once() -> None:
    """From http: to https: at the same host and path there is nothing to wait for; the other way never."""
    assert adopted(follow((0 * DAY, changed(), "https://example.org/feed"))) == "https://example.org/feed"
    assert adopted(follow((0 * DAY, failed(), "https://example.org/feed"))) is None
    assert adopted(follow((0 * DAY, changed(), "https://example.org/other"))) is None
    secure = replace(SOURCE, url="https://example.org/feed")
    down = plan(Rhythm(), visit(changed(), NOW, "http://example.org/feed"), BOUNDS, secure, 0.0)
    assert down.rhythm.moved_to is None


def test_adopted_address_stays_while_it_answers() -> None:
    """Asked at its new address, a source redirects no more, and that is no change of mind."""
    moved = follow(*((number * 2 * DAY, changed(), NEW) for number in range(3)))
    assert adopted(follow((5 * DAY, changed(), None), (6 * DAY, failed(), None), rhythm=moved)) == NEW


def test_adopted_address_that_fails_for_days_is_given_up() -> None:
    """The source's own address is then asked again."""
    moved = follow(*((number * 2 * DAY, changed(), NEW) for number in range(3)))
    assert adopted(follow(*((number * DAY, failed(), None) for number in range(5, 9)), rhythm=moved)) is None


# Distrust


def test_long_silence_is_checked_without_validators() -> None:
    """After a week of 304, then as the silence doubles: a year of it costs six whole documents."""
    now, rhythm, checks = NOW, plan(Rhythm(), visit(changed()), BOUNDS, SOURCE, 0.0).rhythm, []
    while now < NOW + 365 * DAY:
        answer = plan(rhythm, visit(Unchanged("same bytes" if rhythm.distrust else "304"), now), BOUNDS, SOURCE, 0.0)
        if rhythm.distrust:
            checks.append((now - NOW).days)
        now, rhythm = answer.due, answer.rhythm
    assert 7 <= checks[0] <= 9
    assert len(checks) <= 7
    assert all(later - earlier >= 7 for earlier, later in pairwise(checks))


def test_distrust_waits_for_an_answer() -> None:
    """A check that did not get through is still to be made; one that was answered is not repeated at once."""
    rhythm = Rhythm(interval=HOUR, distrust=True, last_new=NOW - 9 * DAY)
    assert planned(failed(FailureKind.TEMPORARY, None), rhythm).rhythm.distrust
    assert not planned(failed(FailureKind.SOFT, 500), rhythm).rhythm.distrust
    assert not planned(NOT_MODIFIED, rhythm).rhythm.distrust
    assert planned(changed(), rhythm).rhythm.last_unconditional == NOW


def test_source_that_sends_documents_is_trusted() -> None:
    """Where validators are answered with a document now and then, there is nothing to check."""
    rhythm = Rhythm(interval=HOUR, last_new=NOW - 30 * DAY, last_unconditional=NOW - DAY)
    assert not planned(NOT_MODIFIED, rhythm).rhythm.distrust


# Laws

durations = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=20_000))
ago = st.none() | st.timedeltas(min_value=timedelta(0), max_value=400 * DAY).map(lambda age: NOW - age)
heads = st.builds(
    FeedHead,
    st.just("rss20"),
    ttl=st.none() | durations,
    skip_hours=st.frozensets(st.integers(0, 23)),
    skip_days=st.frozensets(st.integers(0, 6)),
)
outcomes = st.one_of(
    st.builds(changed, st.integers(0, 20), st.just(20), st.booleans(), heads),
    st.sampled_from([NOT_MODIFIED, Unchanged("same bytes")]),
    st.builds(failed, st.sampled_from(FailureKind), st.sampled_from([None, 403, 404, 410, 429, 500, 503])),
    st.just(Failed(FailureKind.TEMPORARY, "no way leads there", asked=False)),
)
rhythms = st.builds(
    Rhythm,
    interval=st.none() | st.timedeltas(min_value=10 * MINUTE, max_value=DAY),
    failures=st.integers(0, 10_000),
    failing_since=ago,
    last_visit=ago,
    last_success=ago,
    last_new=ago,
    moved_to=st.none() | st.just(NEW),
    moved_since=ago,
    moved_count=st.integers(0, 5),
    last_unconditional=ago,
    distrust=st.booleans(),
    status=st.sampled_from([None, 404, 410, 500]),
    ttl=st.none() | durations,
    skip_hours=st.frozensets(st.integers(0, 23)),
    skip_days=st.frozensets(st.integers(0, 6)),
)
wishes = st.builds(Freshness, st.none() | durations, st.none() | durations.filter(bool))
draws = st.floats(0, 1)
intervals = st.none() | st.timedeltas(min_value=MINUTE, max_value=30 * DAY)


@given(rhythms, outcomes, wishes, intervals, draws)
def test_never_early_never_beyond_reach(
    rhythm: Rhythm, outcome: Outcome, wish: Freshness, interval: timedelta | None, draw: float
) -> None:
    """Not before Retry-After, nor before the floor; and no server can send us away for more than some weeks."""
    source = replace(SOURCE, interval=interval)
    answer = plan(rhythm, replace(visit(outcome), freshness=wish), BOUNDS, source, draw)
    delay = wait(answer)
    assert answer.why
    assert delay >= min(wish.retry_after or timedelta(0), 30 * DAY)
    if isinstance(outcome, Failed):
        assert delay >= (HOUR if outcome.asked else BOUNDS.min)
    elif interval is not None:
        assert delay >= interval
    else:
        assert delay >= (BOUNDS.min if wish.fresh_for or answer.rhythm.ttl else HOUR)
        assert delay >= min(wish.fresh_for or timedelta(0), BOUNDS.max)
    assert delay <= 30 * DAY + HOUR + 7 * DAY + DAY  # the longest hold, jitter, and days and hours to be skipped
    assert answer.rhythm.interval is None or BOUNDS.min <= answer.rhythm.interval <= BOUNDS.max


@given(rhythms, outcomes, wishes, draws)
def test_a_hub_means_six_usual_waits_at_most(rhythm: Rhythm, outcome: Outcome, wish: Freshness, draw: float) -> None:
    """A source that is told of by a hub is never asked sooner than without, nor later than that and `max_interval`."""
    seen = replace(visit(outcome), freshness=wish)
    rhythm = replace(rhythm, skip_hours=frozenset(), skip_days=frozenset())
    trusted, alone = (plan(replace(rhythm, by_push=hub, ttl=None), seen, BOUNDS, SOURCE, draw) for hub in (True, False))
    most = min(NOW + 6 * wait(alone), NOW + BOUNDS.max + HOUR) + timedelta(milliseconds=1)  # times are rounded
    assert alone.due <= trusted.due <= max(alone.due, most)


@given(rhythms, outcomes, wishes, draws)
def test_quiet_hours_and_days_are_kept(rhythm: Rhythm, outcome: Outcome, wish: Freshness, draw: float) -> None:
    """No visit falls into hours or days that the feed wants skipped, unless that is all of them."""
    answer = plan(rhythm, replace(visit(outcome), freshness=wish), BOUNDS, SOURCE, draw)
    hours, days = answer.rhythm.skip_hours, answer.rhythm.skip_days
    assert answer.due.hour not in hours or len(hours) == 24
    assert answer.due.weekday() not in days or len(days) == 7


@given(rhythms, st.sampled_from(FailureKind), st.sampled_from([None, 403, 404, 410, 500]), draws)
def test_more_failures_never_mean_sooner(rhythm: Rhythm, kind: FailureKind, status: int | None, draw: float) -> None:
    """The back-off is monotone in the number of failures in a row."""
    rhythm = replace(rhythm, skip_hours=frozenset(), skip_days=frozenset())
    more = replace(rhythm, failures=rhythm.failures + 1)
    assert planned(failed(kind, status), rhythm, draw=draw).due <= planned(failed(kind, status), more, draw=draw).due


@given(rhythms, outcomes, wishes, draws)
def test_a_plan_is_a_function_of_its_arguments(rhythm: Rhythm, outcome: Outcome, wish: Freshness, draw: float) -> None:
    """Same arguments, same plan; and more chance is never earlier, quiet hours aside."""
    seen = replace(visit(outcome), freshness=wish)
    answer = plan(rhythm, seen, BOUNDS, SOURCE, draw)
    assert answer == plan(rhythm, seen, BOUNDS, SOURCE, draw)
    if not answer.rhythm.skip_hours and not answer.rhythm.skip_days:
        assert plan(rhythm, seen, BOUNDS, SOURCE, 0.0).due <= answer.due
