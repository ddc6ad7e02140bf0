"""Decides when a source is next due, politely."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from aggregator.model import (
    Changed,
    Decision,
    Failed,
    FailureKind,
    Freshness,
    Plan,
    Rhythm,
    Source,
    Task,
    Unchanged,
    Visit,
)

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

FLOOR = _HOUR  # Kroll's score of feed readers: at most one conditional request an hour, 59 minutes is a fail
_LONGEST_HINT = timedelta(days=7)  # for max-age, Expires, ttl and sy:; static hosts send a max-age of years
_LONGEST_HOLD = timedelta(days=30)  # for Retry-After; sites were seen that ask for a week
_JITTER = 0.1  # of the wait, upwards only: sources that started together drift apart within a few visits
_LONGEST_JITTER = _HOUR
_QUIET_SHARE = 10  # RFC 9111, 4.2.2: a tenth of the time since the last change is a fair guess at freshness
_ROLLING = 3  # a third of a document being new means that entries may have passed through it unseen
_LONGEST_UNWANTED = 3 * _HOUR  # for a source that brings much and nothing of the subject: a first report is worth it

_HUB_TRUSTED = 6  # usual waits; so long a hub that falls silent hides news. FreshRSS goes by a day for every source

_NO_ANSWER_CAP = timedelta(hours=4)  # a machine that was offline for days is back in business the same day
_HARD_START = timedelta(hours=6)
_HARD_CAP = timedelta(days=7)
_DEAD_AFTER = timedelta(days=30)  # without any success
_DEAD_WAIT = timedelta(days=7)
_PAUSE = timedelta(days=30)
_GONE_AFTER = _DAY  # 410 again after a day was meant; some sites send it by mistake during a release

_TURNED_AWAY = frozenset({403, 429, 503})  # what throttling hosts answer; their max-age is a wish to be left alone

_MOVED_POLLS = 3
_MOVED_DAYS = timedelta(days=3)  # readers wait for 7 days (lion-reader) or 10 answers (NewsBlur), or not at all

_STALE_AFTER = timedelta(days=7)

PAUSED = "paused: "  # how the words of a plan begin that pauses a source
RESTS = "not before the hours end in which the feed wants to be left alone (skipHours, skipDays)"

# A visit further in the future shows that the clock was wrong; a smaller error mends itself in time. With a day, a
# clock that had been a day ahead kept all sources waiting for that day.
CLOCK_ERROR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The shortest and the longest time between visits that the operator allows."""

    min: timedelta
    max: timedelta


def plan(rhythm: Rhythm, visit: Visit, bounds: Bounds, source: Source, draw: float) -> Plan:
    """When `source` is due after `visit`, and what to remember of it; `draw`: chance, 0 to 1.

    Waits count from the end of the visit. What decides, strongest first: the server's Retry-After; after a failure,
    a back-off by its kind; the operator's `interval`; what the server or the feed asks for (Cache-Control, Expires,
    ttl, sy:) within `bounds`; else how often something new comes and is kept, within `bounds` and never under an hour.
    A wait that ends in hours or days in which the feed wants to be left alone (skipHours, skipDays) is longer by those.
    """
    match visit.outcome:
        case Failed() as failed:
            wait, why, after = _failed(rhythm, visit, failed, bounds)
        case _:
            wait, why, after = _well(rhythm, visit, bounds, source)
    held = min(visit.freshness.retry_after or timedelta(0), _LONGEST_HOLD)
    if held >= wait:
        wait, why = held, f"the server asks for a pause of {_words(held)} (Retry-After)"
    due = visit.finished + wait + min(wait * _JITTER, _LONGEST_JITTER) * draw
    if source.interval is None:
        due, why = _outside_rest(due, why, after)
    return Plan(due, after, why)


def adopted(rhythm: Rhythm) -> str | None:
    """The address to ask instead of the source's own, once its move has held; None: its own.

    A permanent redirect counts as a move when it led to the same address at three visits over three days at least,
    each of which brought a feed; one that only adds TLS counts at once. Until then each visit starts at the source's
    own address, and so it does again when the new one fails for days. (`moved_count` stands at two until the days
    are over.)
    """
    return rhythm.moved_to if rhythm.moved_count >= _MOVED_POLLS else None


def pause(failed: Failed, freshness: Freshness) -> timedelta | None:
    """How long nothing else is asked of a host that turns us away and says for how long; None: it does not.

    Throttling counts requests by who asks, not by what for: the other sources of that host would be refused as well.
    """
    wanted = freshness.retry_after
    return min(wanted, _LONGEST_HOLD) if wanted and failed.status in _TURNED_AWAY else None


def held_host(visit: Visit, begun: str) -> tuple[str, datetime] | None:
    """The host that turned this visit away, and until when nothing else is asked of it; None: go on.

    `begun`: the host where the visit began, which a redirect may have left.
    """
    failed = visit.outcome
    if not isinstance(failed, Failed) or (asked := pause(failed, visit.freshness)) is None:
        return None
    return failed.host or begun, visit.finished + asked


def rest_ends(task: Task, now: datetime) -> datetime | None:
    """When the feed may be asked again that wants to be left alone at this hour; None: now.

    A plan leads into no such hour; a program that did not run at the time comes in any.
    """
    moment = now if task.source.interval is not None else _rested(task.rhythm, now)
    return None if moment == now else moment


def as_configured(interval: timedelta) -> str:
    """Why a source is next due when it is that has an interval of its own."""
    return f"every {_words(interval)}, as configured"


def _well(rhythm: Rhythm, visit: Visit, bounds: Bounds, source: Source) -> tuple[timedelta, str, Rhythm]:
    """After a visit that went well: the wait, why, and what to remember."""
    after = _suspicion(_hints(_moved(rhythm, visit, source), visit), visit)
    brought, kept = _brought(visit)
    after = replace(
        after,
        interval=_interval(rhythm, visit, bounds),
        failures=0,
        failing_since=None,
        status=None,
        last_visit=visit.finished,
        last_success=visit.finished,
        last_new=visit.finished if brought else rhythm.last_new,
        last_kept=visit.finished if kept or rhythm.last_kept is None else rhythm.last_kept,
        by_push=visit.pushed or (rhythm.by_push and not brought),
        found=None,
        fresh_for=rhythm.fresh_for if visit.pushed else visit.freshness.fresh_for,
    )
    if source.interval is not None:
        return source.interval, as_configured(source.interval), after
    said = _rate(after, visit) if rhythm.interval else "how often something new comes is not known yet"
    return *_usual(after, said, bounds), after


def _brought(visit: Visit) -> tuple[int, int]:
    """How many new or edited entries came, and how many of them belong to the subject."""
    judged = visit.outcome.judged if isinstance(visit.outcome, Changed) else ()
    return len(judged), sum(one.verdict.decision is Decision.KEPT for one in judged)


def _usual(after: Rhythm, said: str, bounds: Bounds) -> tuple[timedelta, str]:
    """The longest of what the server, the feed and experience, which says so much, suggest."""
    experience = after.interval or FLOOR
    choices = [(experience, f"{said}: asked every {_words(experience)}")]
    wishes = ((after.fresh_for, "the server", "max-age or Expires"), (after.ttl, "the feed", "ttl or sy:updatePeriod"))
    stated = [(wish, who, how) for wish, who, how in wishes if wish]
    choices += [_granted(wish, f"asked for by {who} ({how})", bounds) for wish, who, how in stated if wish > bounds.min]
    if not stated:
        choices.append((FLOOR, "at most hourly where a server states nothing shorter"))
    usual = max(choices, key=lambda choice: choice[0])
    wait = min(_HUB_TRUSTED * usual[0], bounds.max)
    if not after.by_push or wait <= usual[0]:
        return usual
    return wait, f"its hub tells of news: asked {_words(wait)} after the last, in case one was missed"


def _granted(wish: timedelta, who: str, bounds: Bounds) -> tuple[timedelta, str]:
    """What is asked for, as far as the operator's bounds allow."""
    most = min(bounds.max, _LONGEST_HINT)
    said = f"{who}: {_words(wish)}"
    return (wish, said) if wish <= most else (most, f"{said}, of which {_words(most)} are granted")


def _rate(after: Rhythm, visit: Visit) -> str:
    """What experience says of a source."""
    quiet, unwanted = _since(after.last_new, visit), _since(after.last_kept, visit)
    if quiet >= _DAY:
        return f"nothing new for {_words(quiet)}"
    if unwanted >= _DAY:
        return f"something new comes, but nothing kept for {_words(unwanted)}"
    return "by how often something new comes"


def _since(moment: datetime | None, visit: Visit) -> timedelta:
    return visit.finished - moment if moment else timedelta(0)


def _interval(rhythm: Rhythm, visit: Visit, bounds: Bounds) -> timedelta:
    """Half as long after a visit that brought what is wanted, or much; longer the longer nothing comes, or is kept."""
    interval, outcome = rhythm.interval or FLOOR, visit.outcome
    brought, kept = _brought(visit)
    if rhythm.interval is not None and isinstance(outcome, Changed) and brought:
        if kept or brought * _ROLLING >= len(outcome.entries):
            interval /= 2
        else:
            interval = max(interval, min(_since(rhythm.last_kept, visit) / _QUIET_SHARE, _LONGEST_UNWANTED))
    elif rhythm.last_new is not None:
        interval = max(interval, _since(rhythm.last_new, visit) / _QUIET_SHARE)
    return max(bounds.min, min(interval, bounds.max))


def _hints(rhythm: Rhythm, visit: Visit) -> Rhythm:
    if not isinstance(visit.outcome, Changed):
        return rhythm
    head = visit.outcome.head
    return replace(rhythm, ttl=head.ttl, skip_hours=head.skip_hours, skip_days=head.skip_days)


def _suspicion(rhythm: Rhythm, visit: Visit) -> Rhythm:
    """Ask once without validators when "not modified" has gone on for long: some servers never stop saying it.

    First after a week, then each time the silence has doubled, so that a feed that has ended is sent seldom.
    """
    if rhythm.distrust or not (isinstance(visit.outcome, Unchanged) and visit.outcome.by == "304"):
        return replace(rhythm, last_unconditional=visit.finished, distrust=False)
    since = [moment for moment in (rhythm.last_new, rhythm.last_unconditional) if moment]
    if not since:
        return replace(rhythm, last_unconditional=visit.finished)
    silence = visit.finished - min(since)
    return replace(rhythm, distrust=visit.finished - max(since) >= max(_STALE_AFTER, silence / 2))


def _moved(rhythm: Rhythm, visit: Visit, source: Source) -> Rhythm:
    """Count how long a permanent redirect has led to the same place."""
    target = visit.moved_to
    if target is None and adopted(rhythm):
        return rhythm  # it was asked at its new address, which redirects no further
    if target is None or (urlsplit(target).scheme == "http" and urlsplit(source.url).scheme == "https"):
        return replace(rhythm, moved_to=None, moved_since=None, moved_count=0)
    if target == rhythm.moved_to and rhythm.moved_since is not None:
        held = visit.finished - rhythm.moved_since >= _MOVED_DAYS
        count = rhythm.moved_count + 1
        return (
            rhythm if adopted(rhythm) else replace(rhythm, moved_count=count if held else min(count, _MOVED_POLLS - 1))
        )
    count = _MOVED_POLLS if _adds_tls(source.url, target) else 1
    return replace(rhythm, moved_to=target, moved_since=visit.finished, moved_count=count)


def _adds_tls(url: str, target: str) -> bool:
    """Whether both are the same address, by http: and by https:."""
    one, two = urlsplit(url), urlsplit(target)
    same = (one.hostname, one.path or "/", one.query) == (two.hostname, two.path or "/", two.query)
    return same and (one.scheme, two.scheme) == ("http", "https") and one.port in (None, 80) and two.port in (None, 443)


def _failed(rhythm: Rhythm, visit: Visit, failed: Failed, bounds: Bounds) -> tuple[timedelta, str, Rhythm]:
    """After a failure: the wait, why, and what to remember."""
    since = rhythm.failing_since or visit.finished
    answered = failed.status is not None
    after = replace(
        rhythm,
        failures=rhythm.failures + 1,
        failing_since=since,
        last_visit=visit.finished,
        status=failed.status,
        interval=_slower(rhythm, bounds) if failed.status == 429 else rhythm.interval,
        found=rhythm.found if visit.found is None else visit.found,
        distrust=rhythm.distrust and not answered,
        last_unconditional=visit.finished if rhythm.distrust and answered else rhythm.last_unconditional,
    )
    lasting = visit.finished - since
    if adopted(rhythm) and lasting >= _MOVED_DAYS and after.failures >= _MOVED_POLLS:
        after = replace(after, moved_to=None, moved_since=None, moved_count=0)
    wait, why = _back_off(failed, after, bounds, lasting)
    within = Bounds(bounds.min, _LONGEST_HINT) if failed.status in _TURNED_AWAY else bounds
    stated = _granted(visit.freshness.fresh_for or timedelta(0), "asked for by the server (max-age or Expires)", within)
    if stated[0] > wait:
        wait, why = stated
    if failed.status == 410 == rhythm.status and lasting >= _GONE_AFTER:
        wait, why = _PAUSE, f"{PAUSED}gone for good, says its server; looked at every {_words(_PAUSE)}"
    elif failed.status == 404 and lasting >= _DEAD_AFTER:
        wait, why = _PAUSE, f"{PAUSED}not found for {_words(lasting)}; looked at every {_words(_PAUSE)}"
    return wait, why, after


def _slower(rhythm: Rhythm, bounds: Bounds) -> timedelta | None:
    """Who was asked too often is asked half as often from now on, until it brings something again."""
    return None if rhythm.interval is None else min(2 * rhythm.interval, bounds.max)


def _back_off(failed: Failed, after: Rhythm, bounds: Bounds, lasting: timedelta) -> tuple[timedelta, str]:
    """Twice as long after each failure in a row, from a start and up to a cap that go by its kind."""
    match failed.kind:
        case FailureKind.TEMPORARY if failed.status is None:  # where no way led to the server, nobody was bothered
            start, cap = FLOOR if failed.asked else bounds.min, min(_NO_ANSWER_CAP, bounds.max)
        case FailureKind.HARD:
            start, cap = (_DAY if failed.status == 410 else _HARD_START), _HARD_CAP
        case _:
            start, cap = FLOOR, bounds.max
    start = max(start, bounds.min)
    wait = min(start * 2 ** min(after.failures - 1, 20), max(cap, start))
    times = "once" if after.failures == 1 else f"{after.failures} times in a row"
    if lasting >= _DEAD_AFTER and wait < _DEAD_WAIT:
        return _DEAD_WAIT, f"failing for {_words(lasting)}: tried every {_words(_DEAD_WAIT)}"
    return wait, f"failed {times}: tried again after {_words(wait)}"


def _outside_rest(due: datetime, why: str, rhythm: Rhythm) -> tuple[datetime, str]:
    """`due`, put off until it lies in no hour and no day in which the feed wants to be left alone."""
    moment = _rested(rhythm, due)
    return (moment, why) if moment == due else (moment, f"{why}, and then {RESTS}")


def _rested(rhythm: Rhythm, moment: datetime) -> datetime:
    """A moment put off by whole hours until it lies in none of the feed's skipHours and skipDays (UTC).

    A feed that lists all hours or all days has misunderstood them, and none is heeded.
    """
    hours = rhythm.skip_hours if len(rhythm.skip_hours) < 24 else frozenset()
    days = rhythm.skip_days if len(rhythm.skip_days) < 7 else frozenset()
    while moment.hour in hours or moment.weekday() in days:
        moment += _HOUR  # the minutes stay as drawn, so that not everyone comes at the stroke of the hour
    return moment


def _words(time: timedelta) -> str:
    """A length of time as one would say it: "90 minutes", "6 hours", "3 days"."""
    seconds = time.total_seconds()
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}s"
    return f"{seconds:.0f} seconds" if seconds < 60 else f"{seconds / 60:.0f} minutes"
