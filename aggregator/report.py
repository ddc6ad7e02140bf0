"""How results read in a terminal: tables where someone looks, plain lines elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aggregator.evaluate import Evaluation, Labelled, Score, Turned
from aggregator.health import Overview, remark, state
from aggregator.learning import EITHER, ENOUGH, Model
from aggregator.model import (
    Changed,
    ChannelHealth,
    Deed,
    Failed,
    Founds,
    Joins,
    Placement,
    StoredItem,
    StoredStory,
    Story,
    Unchanged,
    Verdict,
)
from aggregator.normalise import without_password
from aggregator.pace import adopted
from aggregator.press import Published
from aggregator.reconsider import Rejudged
from aggregator.settle import Settled
from aggregator.spans import ago, ahead

Part = Table | str


def line(settled: Settled) -> str:
    """One visit in one line: to which source, what came of it, when it is due again, and why."""
    plan = settled.plan
    again = f"next {ahead(plan.due, settled.visit.finished)}, {plan.why}"
    return f"{settled.visit.source.name}: {said(settled)}; {_adopts(settled)}{again}"


def _adopts(settled: Settled) -> str:
    """That a move has held for long enough, said at the visit that found it so."""
    target = adopted(settled.plan.rhythm)
    if target is None or target != settled.visit.moved_to:
        return ""
    return f"it has redirected for good to {without_password(target)} for days, and is asked there from now on; "


def said(settled: Settled) -> str:
    """What came of a visit, in words."""
    match settled.visit.outcome:
        case Failed(message=message):
            return f"failed: {message}"
        case Unchanged(by=by):
            return f"unchanged ({by})"
        case Changed(problems=problems, entries=entries):
            words = "no entries in the feed" if not entries and not settled.new else _count(settled.new, "new item")
            if settled.kept:
                words += f", {settled.kept} kept"
            words += _vouched(settled.vouched)
            if settled.told:
                words += f", {_count(settled.told, 'new story', 'new stories')}"
            if settled.held:
                words += f", held for you: {', '.join(settled.held)}"
            return words + (f" ({'; '.join(problems[:2])})" if problems else "")


@dataclass(frozen=True, slots=True)
class Result:
    """What is told of a visit when all are over: a tenth of what it left, which of 10,000 takes 20 MB."""

    source: str
    outcome: type  # of visit: Changed, Unchanged or Failed
    said: str
    new: int
    kept: int
    told: int


def result(settled: Settled) -> Result:
    """A visit in short."""
    visit = settled.visit
    return Result(visit.source.name, type(visit.outcome), said(settled), settled.new, settled.kept, settled.told)


def summary(outcomes: Sequence[Result], vouched: int = 0) -> str:
    """A refresh in one line; `vouched`: the undecided items, whenever they came, that a story vouches for since."""
    failed = sum(one.outcome is Failed for one in outcomes)
    unchanged = sum(one.outcome is Unchanged for one in outcomes)
    changed = len(outcomes) - failed - unchanged
    new, kept, told = (sum(getattr(one, name) for one in outcomes) for name in ("new", "kept", "told"))
    return (
        f"{_count(len(outcomes), 'source')} visited: {changed} changed, {unchanged} unchanged, {failed} failed; "
        f"{_count(new, 'new item')}, {kept} kept{_vouched(vouched)}, {_count(told, 'new story', 'new stories')}"
    )


def _vouched(count: int) -> str:
    return f", {_count(count, 'undecided one')} vouched for by a story" if count else ""


def rejudged(done: Rejudged) -> str:
    """What other rules than before, or the curator's latest decisions, did to what is stored."""
    return f"the rules changed, and with them {_count(done.entered, 'item')} came in and {done.left} went out"


def published(done: Published, folder: Path) -> str:
    """What publishing did, in a line, and a line for each story that could not be written."""
    names = [name for name in done.changed if "/" not in name]
    if further := len(done.changed) - len(names):
        names.append(f"{further} further {'page' if further == 1 else 'pages'}")
    return "\n".join([f"published in {folder}: {', '.join(names) or 'nothing changed'}", *done.problems])


def visits(outcomes: Sequence[Result]) -> Table:
    """What happened to each source."""
    table = _table("source", "new", "kept", "stories", "what happened")
    for one in sorted(outcomes, key=lambda one: (one.outcome is Failed, one.source)):
        numbers = [str(number or "") for number in (one.new, one.kept, one.told)]
        table.add_row(Text(one.source), *numbers, Text(one.said))
    return table


def sources(overview: Overview) -> Table:
    """The sources with their health."""
    table = _table("source", "state", "items", "kept", "last new", "last visit", "what came", "next visit", "remark")
    for one in overview.sources:
        table.add_row(
            Text(f"{one.source.name}\n{without_password(one.source.url)}"),
            state(one, overview.now).value,
            str(one.seen or ""),
            str(one.kept or ""),
            ago(one.last_new, overview.now),
            ago(one.last_visit, overview.now),
            "failed" if one.failures else one.came,
            ahead(one.next_due, overview.now) if one.enabled else "",
            Text(remark(one)),
        )
    return table


def channels(known: Iterable[ChannelHealth], now: datetime) -> Table:
    """Those who are told of news, and how that goes."""
    table = _table("channel", "waiting", "told", "given up", "unsure", "last told", "next", "problem")
    for one in known:
        numbers = [str(number or "") for number in (one.waiting, one.sent, one.given_up, one.unsure)]
        table.add_row(Text(one.name), *numbers, ago(one.last_sent, now), ahead(one.next_due, now), Text(one.problem))
    return table


def worries(overview: Overview) -> str:
    """How many sources are in which state, and what the operator should look at."""
    counts = ", ".join(f"{number} {state.value}" for state, number in overview.counts.most_common())
    return "\n".join([f"{_count(len(overview.sources), 'source')}: {counts}", *overview.worries()])


def stories(told: Iterable[Story]) -> Table:
    """The published stories with their members."""
    table = _table("date", "score", "story")
    for story in told:
        words = Text(story.title, style="bold")
        words.append(f"\n{story.id}{'  (seed)' if story.seed else ''}", style="dim")
        for member in story.members:
            words.append(f"\n  {'*' if member.lead else '-'} {member.source} [{member.language or '?'}] {member.title}")
            words.append(f"\n    {member.url or ''}", style="dim")
        table.add_row(f"{story.published:%Y-%m-%d}", f"{story.score:.2f}", words)
    return table


def explanation(verdict: Verdict, ruling: str | None = None) -> str:
    """Why an item was kept or not."""
    lines = [f"{verdict.decision.value}, score {verdict.score:.2f}"]
    if ruling:
        lines = [f"{'kept' if ruling == 'keep' else 'dropped'} by the curator; the rules say: {lines[0]}"]
    lines += [
        f"  {one.weight:+.2f}  {one.field}: {one.concept}" + (f" “{one.text}”" if one.text else "")
        for one in verdict.reasons
    ]
    return "\n".join(lines if verdict.reasons else [*lines, "  nothing of the subject was found in it"])


def in_brief(stored: StoredItem) -> str:
    """An item as a curator needs it to decide."""
    item = stored.item
    date = f"{item.published:%Y-%m-%d}" if item.published else ""
    where = ", ".join(filter(None, (item.publisher or without_password(item.source), item.language, date)))
    return "\n".join(filter(None, (f"#{stored.key} {item.title}", where, item.summary, item.link)))


def standing(stored: StoredItem, story: StoredStory | None) -> str:
    """Which story an item stands in, and why there."""
    if story is None or stored.evidence is None:
        return "in no story"
    evidence = stored.evidence
    lines = [f"story {story.id}" + (" (a seed)" if story.seed else "") + _unpublished(story)]
    if evidence.kind == "founds":
        lines.append("  it was the first to tell it")
    elif evidence.kind == "curator":
        lines.append(f"  by the curator: {', '.join(evidence.details)}, “{evidence.other}”")
    else:
        lines.append(f"  {evidence.kind} ({evidence.strength:.2f}) as “{evidence.other}”")
        lines += [f"    {detail}" for detail in evidence.details]
    others = [member for member in story.members if member.key != stored.key]
    lines += [f"  also in it: {member.item.title} ({member.item.link or 'no link'})" for member in others]
    return "\n".join(lines)


def _unpublished(story: StoredStory) -> str:
    if story.told:
        return ""
    if story.withholding.withdrawn:
        return ", not published: withdrawn"
    return ", not published: held" if story.withholding.in_force else ", not published: too old"


def withheld(stories: Iterable[StoredStory], deeds: Iterable[Deed]) -> list[Part]:
    """The stories that wait or were withdrawn, for the operator alone; and what was done, without a word of theirs."""
    kept_back = _table("story", "state", "items", "title")
    for story in stories:
        state = "withdrawn" if story.withholding.withdrawn else "held"
        title = next((member.item.title for member in story.members), "")
        kept_back.add_row(story.id, state, str(len(story.members)), Text(title))
    done = _table("when", "what", "story")
    for deed in deeds:
        done.add_row(f"{deed.at:%Y-%m-%d %H:%M}", deed.what, deed.story)
    return [kept_back, "", done]


def placement(placed: Placement) -> str:
    """Where a text would go."""
    match placed:
        case Founds():
            return "it would begin a story of its own"
        case Joins(story=story, evidence=evidence):
            found = "\n".join(f"    {detail}" for detail in evidence.details)
            why = f"{evidence.kind} ({evidence.strength:.2f}) as “{evidence.other}”"
            return f"it would join story {story}\n  {why}\n{found}"


def model(learned: Model | None, decisions: int, shown: int = 12) -> str:
    """What the curator's decisions taught."""
    if learned is None:
        return f"{_count(decisions, 'decision')} to learn from; learning begins with {ENOUGH}"
    lines = [
        f"learned from {_count(learned.decisions, 'decision')} ({learned.kept} keep, {learned.dropped} drop) "
        f"and {_count(learned.let_stand, 'published item')} that nobody dropped; {decisions} decisions by now",
        f"the rules alone foresaw {learned.agreed} of the decisions; with what the others taught, {learned.foreseen}",
    ]
    if not learned.active:
        return "\n".join([*lines, f"it has no say: {_silent(learned)}"])
    lines.append(f"it has a say, of {learned.most:.1f} in log-odds at most; what weighs most:")
    ordered = sorted(learned.weights.items(), key=lambda one: -abs(one[1]))
    return "\n".join([*lines, *(f"  {weight:+.2f}  {sign}" for sign, weight in ordered[:shown])])


def _silent(learned: Model) -> str:
    """Why what was learned has no say."""
    if learned.foreseen < learned.needed:
        return f"to be worth it, it would have to foresee {learned.needed}"
    return f"it takes {EITHER} of each kind at least" if learned.worth else "it is less sure of them than the rules"


def scores(result: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation as plain values, for JSON."""
    return {
        "items": result.items,
        "relevance": _figures(result.relevance),
        "by_language": {language: _figures(score) for language, score in result.by_language.items()},
        "stories": _figures(result.stories),
        "pairs": _figures(result.pairs),
        "missed": [one.id for one in result.missed],
        "wrongly_kept": [one.id for one in result.wrongly_kept],
        "wrongly_joined": [[a.id, b.id] for a, b in result.wrongly_joined],
    }


def _figures(score: Score) -> dict[str, float]:
    return {"precision": round(score.precision, 4), "recall": round(score.recall, 4), "f1": round(score.f1, 4)}


def evaluation(result: Evaluation, shown: int = 20) -> list[Part]:
    """Scores by language, and the mistakes."""
    scores = _table("", "precision", "recall", "F1")
    _score(scores, "relevance", result.relevance)
    for language, score in result.by_language.items():
        _score(scores, f"  {language}", score)
    _score(scores, "stories (B-cubed)", result.stories)
    _score(scores, "pairs put together", result.pairs)
    parts: list[Part] = [scores]
    for heading, mistakes in (("missed", result.missed), ("wrongly kept", result.wrongly_kept)):
        parts += [f"{heading}: {len(mistakes)}", *(f"  {_labelled(one)}" for one in mistakes[:shown])]
    parts += [f"wrongly put together: {len(result.wrongly_joined)}"]
    parts += [f"  {_labelled(a)}\n  = {_labelled(b)}" for a, b in result.wrongly_joined[:shown]]
    return parts


def turned(items: int, changed: Sequence[Turned]) -> str:
    """Which items change side under the rules of today."""
    lines = [f"{_count(len(changed), 'item')} of {items} would change side"]
    for one in changed:
        lines.append(
            f"  {'now kept' if one.kept else 'now dropped'} ({one.score:.2f}) [{one.language or '?'}] {one.title}"
        )
    return "\n".join(lines)


def as_json(value: Any) -> str:
    """Any of the values above for a script: dates in ISO 8601, UTC."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=2)


def as_json_line(value: Any) -> str:
    """One value on one line."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return asdict(value)


def show(console: Console, part: Part) -> None:
    """Print a part: a table for people at a terminal, tab-separated lines for anything else."""
    if isinstance(part, Table) and console.is_terminal:
        console.print(part)
    else:
        console.file.write((part if isinstance(part, str) else plain(part)) + "\n")


def plain(table: Table) -> str:
    """A table as tab-separated lines, for scripts and files."""
    columns = [[_cell(cell) for cell in column.cells] for column in table.columns]
    rows = [[str(column.header) for column in table.columns], *zip(*columns, strict=True)]
    return "\n".join("\t".join(row) for row in rows)


def _cell(cell: Any) -> str:
    text = cell.plain if isinstance(cell, Text) else str(cell)
    return " | ".join(part.strip() for part in text.splitlines())


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in ("new", "kept", "items") else "left")
    return table


def _score(table: Table, name: str, score: Score) -> None:
    table.add_row(name, f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}")


def _labelled(one: Labelled) -> str:
    return f"{one.id} [{one.lang}] {one.title}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
