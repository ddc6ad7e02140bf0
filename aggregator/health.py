"""How the whole is doing, told from how its sources are doing: for the status page and monitoring."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from aggregator.model import Changed, ChannelHealth, Decision, Failed, SourceHealth, Unchanged, Visit
from aggregator.normalise import without_password
from aggregator.pace import PAUSED

QUIET_AFTER = timedelta(days=14)  # a source that brought nothing new for so long deserves a look
FAILURES = 3  # in a row; one or two are weather
SILENT_AFTER = timedelta(hours=25)  # no visit at all has gone well for longer than the longest usual interval


class State(StrEnum):
    HEALTHY = "ok"
    NEW = "not visited yet"
    EMPTY = "empty"  # answers, and has never had an entry
    PAUSED = "paused"  # gone, and looked at once a month
    QUIET = "quiet"
    FAILING = "failing"
    DISABLED = "disabled"


def came(visit: Visit) -> str:
    """What came of a visit that went well, in words; "" for one that failed, whose message says it."""
    match visit.outcome:
        case Failed():
            return ""
        case Unchanged(by=by):
            return f"unchanged ({by})"
        case Changed(judged=judged, entries=entries):
            kept = sum(one.verdict.decision is Decision.KEPT for one in judged)
            said = f"{len(judged)} new or edited of {len(entries)} entries, {kept} kept" if entries else "no entries"
            return f"from its hub: {said}" if visit.pushed else said


def trouble(one: SourceHealth) -> str:
    """What is wrong with a source, and what may help."""
    if one.found:
        return f"{one.problem}; its site names another feed: aggregator sources add {one.found}"
    return one.problem


def remark(one: SourceHealth) -> str:
    """What there is to know of a source beside figures: what is wrong, where it went, why it is next due when it is."""
    return "; ".join(said for said in (trouble(one), _moved(one), one.why) if said)


def _moved(one: SourceHealth) -> str:
    if not one.moved_to:
        return ""
    said = f"redirects for good to {without_password(one.moved_to)}"
    return f"{said}, and is asked there" if one.adopted else f"{said}, and is asked there once that has held for days"


def state(one: SourceHealth, now: datetime) -> State:
    """How a source is, in a word: a feed that answers and brings nothing is not well, either."""
    if not one.enabled:
        return State.DISABLED
    if one.failures:
        return State.PAUSED if one.why.startswith(PAUSED) else State.FAILING
    if one.last_visit is None:
        return State.NEW
    if not one.seen:
        return State.EMPTY
    return State.QUIET if one.last_new and now - one.last_new > QUIET_AFTER else State.HEALTHY


def troubled(one: ChannelHealth) -> str:
    """What the operator should look at in a channel, as a sentence; "" when all is well."""
    said = []
    if one.failures >= FAILURES:
        said.append(f"failed {one.failures} times in a row: {one.problem}")
    if one.given_up:
        last = f" (the last time: {one.problem})" if one.problem else ""
        said.append(
            f"was not told {_stories(one.given_up)}, given up after many tries{last}: aggregator notify --again"
        )
    if one.unsure:
        said.append(f"may not have been told {_stories(one.unsure)}: what was cut off is not sent twice")
    return f"the channel {one.name} {'; '.join(said)}" if said else ""


def _stories(count: int) -> str:
    return "one story" if count == 1 else f"{count} stories"


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of all sources at one time."""

    sources: tuple[SourceHealth, ...]
    now: datetime
    channels: tuple[ChannelHealth, ...] = ()

    @property
    def counts(self) -> Counter[State]:
        return Counter(state(one, self.now) for one in self.sources)

    @property
    def silent(self) -> bool:
        """Visits are made, and none has gone well for long: the fault is probably here, not there."""
        enabled = [one for one in self.sources if one.enabled and one.last_visit]
        last = max((one.last_success for one in enabled if one.last_success), default=None)
        if last is None:
            return bool(enabled) and all(one.failures >= FAILURES for one in enabled)
        return self.now - last > SILENT_AFTER

    @property
    def _why_silent(self) -> str:
        answered = any(one.enabled and one.status for one in self.sources)
        return ", though servers answer" if answered else ": is this machine online?"

    @property
    def late(self) -> timedelta:
        """How long the source that has waited longest has been due."""
        due = [self.now - one.next_due for one in self.sources if one.enabled and one.next_due]
        return max([timedelta(0), *due])

    def worries(self) -> list[str]:
        """What the operator should look at, a sentence each; empty when all is well."""
        said = [f"no source could be read for long{self._why_silent}"] if self.silent else []
        for one in self.sources:
            match state(one, self.now):
                case State.FAILING if one.failures >= FAILURES or one.found:
                    times = "once" if one.failures == 1 else f"{one.failures} times in a row"
                    said.append(f"{one.source.name} failed {times}: {trouble(one)}")
                case State.PAUSED:
                    said.append(f"{one.source.name} is {one.why}: {trouble(one)}")
                case State.EMPTY:
                    said.append(
                        f"{one.source.name} answers, but its feed has never had an entry: is the address right?"
                    )
        return said + [worry for one in self.channels if (worry := troubled(one))]

    def as_table(self) -> dict[str, Any]:
        """The overview as plain values, for JSON."""
        return {
            "time": self.now,
            "worries": self.worries(),
            "sources": [
                {
                    "name": one.source.name,
                    "url": without_password(one.source.url),
                    "state": state(one, self.now),
                    "last_visit": one.last_visit,
                    "last_success": one.last_success,
                    "last_new": one.last_new,
                    "next_due": one.next_due,
                    "why": one.why,
                    "failures": one.failures,
                    "problem": one.problem,
                    "items": one.seen,
                    "kept": one.kept,
                    "moved_to": one.moved_to,
                    "came": one.came,
                    "found": one.found,
                }
                for one in self.sources
            ],
            "channels": [asdict(one) for one in self.channels],
        }
