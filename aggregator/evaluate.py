"""Measure the curation on labelled items: they take the way of live items, and what comes out is scored."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from aggregator.errors import ConfigError
from aggregator.model import Changed, Decision, FeedHead, Item, Judged, Reason, Rhythm, Source, Verdict, Visit
from aggregator.normalise import parse_time, plain_text, publishable_link
from aggregator.ports import Store
from aggregator.regroup import regroup
from aggregator.second_look import look_again
from aggregator.settle import Rules, settle
from aggregator.topics import Judge
from aggregator.vouching import is_vouched

_EVER = datetime(2000, 1, 1, tzinfo=UTC)  # where an item without a date stands


class Labelled(BaseModel):
    """One line of a file of labelled items."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    event: str
    lang: str
    outlet: str
    url: str
    published: str
    title: str
    summary: str | None = ""
    relevant: bool
    seed: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one labelled item."""

    id: str
    kept: bool
    score: float
    story: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """How often right: precision of what was said, recall of what is true, and their harmonic mean."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    items: int
    relevance: Score
    by_language: Mapping[str, Score]
    stories: Score  # B-cubed; a relevant item that was missed counts as a story of its own
    pairs: Score  # of relevant items put together
    missed: tuple[Labelled, ...]
    wrongly_kept: tuple[Labelled, ...]
    wrongly_joined: tuple[tuple[Labelled, Labelled], ...]
    predictions: tuple[Prediction, ...]


def read_labelled(path: Path) -> tuple[Labelled, ...]:
    """The items of a JSON Lines file; ConfigError names the line and what is wrong with it."""
    labelled, problems = [], []
    for number, line in _lines(path):
        try:
            labelled.append(Labelled.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            problems.append(f"{path}, line {number}: {'.'.join(map(str, first['loc']))} {first['msg']}")
    if not labelled and not problems:
        problems.append(f"{path} holds no items: one JSON object a line is needed")
    if problems:
        raise ConfigError(*problems)
    return tuple(labelled)


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a file that are not blank, numbered from 1."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would cut at U+2028 inside a text
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {why}") from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def predict(labelled: Sequence[Labelled], judge: Judge, rules: Rules, store: Store) -> tuple[Prediction, ...]:
    """Send the items through judging, settling and grouping into an empty store, as if one refresh brought them all."""
    ordered = sorted(labelled, key=lambda one: (_when(one), one.id))
    now = max(map(_when, ordered), default=_EVER) + timedelta(minutes=1)
    placed = list[int]()
    for one in ordered:
        item = _item(one)
        judged = Judged(item, judge.judge(item, "general", frozenset()))
        source = Source(url=item.source, name=one.outlet, language=one.lang)
        store.enlist([source], [], now)
        visit = Visit(source, now, now, Changed(FeedHead("labelled"), (judged,), frozenset()))
        placed += settle(store, rules, visit, Rhythm(), now).placed
    regroup(store, rules, placed, now)
    look_again(store, rules, now)
    return tuple(_prediction(one, store) for one in labelled)


@dataclass(frozen=True, slots=True)
class Turned:
    """An item that the rules now put on the other side."""

    title: str
    language: str | None
    kept: bool  # now
    score: float  # now


def turned(path: Path, judge: Judge, scopes: Mapping[str, str]) -> tuple[int, tuple[Turned, ...]]:
    """How many items a JSON Lines file holds, and those that change side under the judge's rules.

    A line is a labelled item (its side is its label) or one that `aggregator export` wrote (its side is the verdict of
    that time; what the curator ruled is left out, for no rule changes it). What a story vouched for stays as long as
    another item of it does. `scopes`: source url → scope. ConfigError
    names a line that is neither.
    """
    sides, problems = list[_Side | None](), list[str]()
    for number, line in _lines(path):
        try:
            sides.append(_side(json.loads(line)))
        except (ValueError, KeyError, TypeError, ValidationError):
            problems.append(f"{path}, line {number}: neither a labelled item nor a line of `aggregator export`")
    if problems:
        raise ConfigError(*problems)
    judged = [
        (side, judge.judge(side.item, scopes.get(side.item.source, "general"), frozenset())) for side in sides if side
    ]
    leaving = _stories(side for side, verdict in judged if verdict.decision is not Decision.KEPT)
    witnessed = _stories(side for side, verdict in judged if verdict.decision is Decision.KEPT)
    found = []
    for side, verdict in judged:
        kept = verdict.decision is Decision.KEPT
        if side.vouched and verdict.decision is Decision.UNDECIDED:
            kept = side.story in witnessed or side.story not in leaving
        if kept != side.kept:
            found.append(Turned(side.item.title, side.item.language, kept, verdict.score))
    return len(sides), tuple(found)


def _stories(sides: Iterable[_Side]) -> set[str | None]:
    """Those in which one stands that was kept for its own sake."""
    return {side.story for side in sides if side.kept and not side.vouched}


@dataclass(frozen=True, slots=True)
class _Side:
    """An item, and on which side it was."""

    item: Item
    kept: bool
    vouched: bool = False  # a story vouched for it
    story: str | None = None


def _side(line: dict[str, Any]) -> _Side | None:
    if "item" not in line:
        labelled = Labelled.model_validate(line)
        return _Side(_item(labelled), labelled.relevant)
    if line["ruling"]:
        return None
    told = line["item"]
    item = Item(
        source=told["source"],
        id=told["id"],
        link=None,
        title=told["title"],
        summary=told["summary"],
        body=told["body"],
        language=told["language"],
        categories=tuple(told["categories"]),
    )
    told = line["verdict"]
    reasons = tuple(Reason(**reason) for reason in told["reasons"])
    vouched = is_vouched(Verdict(Decision(told["decision"]), told["score"], reasons, told["rules"]))
    return _Side(item, told["decision"] == Decision.KEPT, vouched, line["story"])


def score(labelled: Sequence[Labelled], predictions: Sequence[Prediction]) -> Evaluation:
    """Compare what became of the items with their labels."""
    by_id = {one.id: one for one in predictions}
    kept = {one.id for one in predictions if one.kept}
    relevant = [one for one in labelled if one.relevant]
    told = {one.id: by_id[one.id].story or f"missed {one.id}" for one in relevant}
    events = {one.id: one.event for one in relevant}
    pairs = [(a, b) for n, a in enumerate(relevant) for b in relevant[n + 1 :]]
    joined = [(a, b) for a, b in pairs if told[a.id] == told[b.id]]
    wrong = tuple((a, b) for a, b in joined if a.event != b.event)
    same = sum(a.event == b.event for a, b in pairs)
    right = len(joined) - len(wrong)
    return Evaluation(
        items=len(labelled),
        relevance=_relevance(labelled, kept),
        by_language={
            language: _relevance([one for one in labelled if one.lang == language], kept)
            for language in sorted({one.lang for one in labelled})
        },
        stories=Score(_cubed(told, events), _cubed(events, told)),
        pairs=Score(_share(right, len(joined)), _share(right, same)),
        missed=tuple(one for one in relevant if one.id not in kept),
        wrongly_kept=tuple(one for one in labelled if not one.relevant and one.id in kept),
        wrongly_joined=wrong,
        predictions=tuple(predictions),
    )


def _item(one: Labelled) -> Item:
    return Item(
        source=f"labelled:{one.outlet} {one.lang}",
        id=one.id,
        link=publishable_link(one.url, None),
        title=plain_text(one.title, html=True),
        summary=plain_text(one.summary or "", html=True),
        published=_when(one),
        language=one.lang,
    )


def _when(one: Labelled) -> datetime:
    return parse_time(one.published) or _EVER


def _relevance(labelled: Iterable[Labelled], kept: set[str]) -> Score:
    counts = Counter((one.relevant, one.id in kept) for one in labelled)
    right = counts[True, True]
    return Score(_share(right, right + counts[False, True]), _share(right, right + counts[True, False]))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _cubed(groups: Mapping[str, Hashable], truth: Mapping[str, Hashable]) -> float:
    """The mean, over items, of how much of an item's group is truly with it (Bagga and Baldwin 1998, B-cubed)."""
    members: dict[Hashable, list[str]] = defaultdict(list)
    for id, group in groups.items():
        members[group].append(id)
    shares = [
        sum(truth[other] == truth[id] for other in members[group]) / len(members[group]) for id, group in groups.items()
    ]
    return sum(shares) / len(shares) if shares else 1.0


def _prediction(one: Labelled, store: Store) -> Prediction:
    stored = store.items(one.id)[0]
    verdict = stored.verdict
    return Prediction(one.id, stored.story is not None, verdict.score, stored.story, tuple(map(str, verdict.found)))
