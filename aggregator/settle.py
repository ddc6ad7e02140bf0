"""Take a visit's items into the store: known or new, kept or not, and in which story."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aggregator import pace
from aggregator.model import (
    Changed,
    Decision,
    Evidence,
    Founds,
    Item,
    Joins,
    Judged,
    Plan,
    Rhythm,
    StoredItem,
    StoredStory,
    Visit,
)
from aggregator.normalise import canonical_link
from aggregator.ports import Store, Work
from aggregator.stories import Folder, lead, story_id
from aggregator.topics import BODY_READ, Judge
from aggregator.words import comparable, sentence_hash, sentences

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)  # sorts behind every time of telling


@dataclass(frozen=True, slots=True)
class Rules:
    """What settling was told about stories, sources and time."""

    folder: Folder
    bounds: pace.Bounds
    language: str  # of the published feed
    priority: Mapping[str, int]  # source url → 1..9
    window: timedelta  # how far back a repeat is looked for
    max_age: timedelta | None  # a story all of whose items are older is recorded, not published; None: any age


@dataclass(frozen=True, slots=True)
class Settled:
    """What a visit came to."""

    visit: Visit
    new: int = 0  # items not seen before
    kept: int = 0  # of them, those that belong to the subject
    told: int = 0  # stories published for the first time
    changed: bool = False  # something that is published may look different now


@dataclass(slots=True)
class Settling:
    """One transaction under way: what it has done so far."""

    work: Work
    rules: Rules
    now: datetime
    fresh: list[Item] = field(default_factory=list)  # items not seen before
    kept: int = 0  # of them, those that belong to the subject
    edited: set[int] = field(default_factory=set)  # keys of known items whose text changed
    touched: set[str] = field(default_factory=set)  # stories that gained, lost or edited a member


def settle(store: Store, rules: Rules, visit: Visit, rhythm: Rhythm, now: datetime) -> Settled:
    """Fold a visit's items into stories and remember it all, in one transaction.

    `rhythm`: the source's before the visit. `now`: the time of the refresh, so that all that it brings is told at one
    moment, in the order of its dates.
    """
    judged = visit.outcome.judged if isinstance(visit.outcome, Changed) else ()
    with store.begin() as work:
        settling = Settling(work, rules, now)
        for one in judged:
            _take(settling, one)
        told = tell(settling)
        work.record(visit, _plan(rules, visit, rhythm), _sentence_counts(settling.fresh))
    return Settled(visit, len(settling.fresh), settling.kept, told, bool(settling.touched))


def settle_quiet(store: Store, rules: Rules, visits: Sequence[tuple[Visit, Rhythm]]) -> list[Settled]:
    """Remember visits that read no document, in one transaction; each with its source's rhythm before it."""
    with store.begin() as work:
        work.record_quiet([(visit, _plan(rules, visit, rhythm)) for visit, rhythm in visits])
    return [Settled(visit) for visit, _ in visits]


def _plan(rules: Rules, visit: Visit, rhythm: Rhythm) -> Plan:
    return pace.plan(rhythm, visit, rules.bounds, visit.source, _draw(visit))


def _take(settling: Settling, judged: Judged) -> None:
    item = judged.item
    keys = settling.rules.folder.keys(item) if _is_kept(judged) else frozenset()
    stored = settling.work.find(item.source, item.id) or _reissued(settling.work, item, keys)
    if stored is not None:
        revise(settling, stored, judged, keys)
        return
    key = settling.work.add(judged, keys, settling.now)
    settling.fresh.append(item)
    if _is_kept(judged):
        settling.kept += 1
        place(settling, key, item, keys)


def revise(settling: Settling, stored: StoredItem, judged: Judged, keys: frozenset[str]) -> None:
    """Give a known item a new text or verdict: its story follows, unless the curator has spoken."""
    if stored.seed:
        return
    kept = stored.ruling == "keep" or (stored.ruling is None and _is_kept(judged))
    keys = (keys or settling.rules.folder.keys(judged.item)) if kept else frozenset()
    settling.work.edit(stored.key, judged, keys)
    if kept and stored.story is None:
        place(settling, stored.key, judged.item, keys)
    elif kept and stored.story is not None and _reads_differently(stored.item, judged.item):
        settling.edited.add(stored.key)
        settling.touched.add(stored.story)
    elif not kept and stored.story is not None:
        settling.work.assign(stored.key, None, None)
        settling.touched.add(stored.story)


def place(settling: Settling, key: int, item: Item, keys: Iterable[str]) -> None:
    """Put an item that belongs to the subject into the story that it tells."""
    work = settling.work
    candidates = _candidates(settling, key, keys)
    match settling.rules.folder.place(item, candidates, settling.now):
        case Founds():
            story, evidence = found(settling, item), Evidence("founds", "", 1.0)
        case Joins(story=joined, evidence=evidence, merges=merges):
            known = {candidate.id: candidate for candidate in candidates}
            same = [known[joined], *(known[other] for other, _ in merges)]
            story = min(same, key=lambda one: (not one.seed, one.told or _NEVER, one.id)).id
            for other in same:
                if other.id != story:
                    work.merge(other.id, into=story, now=settling.now)
                    settling.touched.discard(other.id)
    work.assign(key, story, evidence)
    settling.touched.add(story)


def found(settling: Settling, item: Item) -> str:
    """Begin a story with an item; its usual id may be taken by the story that the item was split from."""
    id, turn = story_id(item.source, item.id), 0
    while settling.work.story(id) is not None:
        turn += 1
        id = story_id(item.source, f"{item.id}#{turn}")
    settling.work.found(id, settling.now)
    return id


def tell(settling: Settling) -> int:
    """Bring the touched stories up to date: lead, dates, whether they are told; how many are for the first time."""
    touched = (settling.work.story(id) for id in sorted(settling.touched))
    return sum(_tell(settling, story) for story in touched if story)


def _tell(settling: Settling, story: StoredStory) -> bool:
    rules, now = settling.rules, settling.now
    repeats = [member for member in story.members if not member.seed]
    if story.seed:
        return False
    if not repeats:
        settling.work.tell(story.id, None, None, now)
        return False
    leader = lead(repeats, rules.priority, rules.language)
    new_text = leader.key != story.lead or leader.key in settling.edited
    told = story.told
    if told is None and any(_is_news(member, rules.max_age, now) for member in repeats):
        told = now
    settling.work.tell(story.id, told, leader.key, _updated(story, leader, now) if new_text else story.updated)
    return told is not None and story.told is None


def _updated(story: StoredStory, leader: StoredItem, now: datetime) -> datetime:
    """When the text that stands for a story last changed: the leader's own date, unless that would move time back."""
    own = min(leader.item.updated or leader.item.published or now, now)
    return own if story.lead is None or own > story.updated else now


def _is_news(stored: StoredItem, max_age: timedelta | None, now: datetime) -> bool:
    """Whether an item is young enough to be published; what the curator kept is, at any age."""
    dated = stored.item.published or stored.first_seen
    return stored.ruling == "keep" or max_age is None or now - dated <= max_age


def reconsider(store: Store, rules: Rules, judge: Judge, scopes: Mapping[str, str], now: datetime) -> int:
    """Judge all that is retained anew: what is newly kept enters now, what is newly dropped is withdrawn.

    `scopes`: source url → scope. Returns how many items changed side.
    """
    moved = 0
    for stored in tuple(store.retained()):
        verdict = judge.judge(stored.item, scopes.get(stored.item.source, "general"), frozenset())
        if verdict == stored.verdict:
            continue
        judged = Judged(stored.item, verdict)
        moved += verdict.decision is not stored.verdict.decision
        with store.begin() as work:
            settling = Settling(work, rules, now)
            revise(settling, stored, judged, rules.folder.keys(stored.item) if _is_kept(judged) else frozenset())
            tell(settling)
    return moved


def _candidates(settling: Settling, key: int, keys: Iterable[str]) -> tuple[StoredStory, ...]:
    """The stories that the item may tell: the same article at any age, anything else within the window."""
    work = settling.work
    links = [one for one in keys if one.startswith("link:")]
    found = work.candidates(links, LONG_AGO) + work.candidates(keys, settling.now - settling.rules.window)
    parted = work.parted(key)
    return tuple({story.id: story for story in found if story.id not in parted}.values())


def _reissued(work: Work, item: Item, keys: Iterable[str]) -> StoredItem | None:
    """The same entry under another id, as sources bring it that change their software.

    Same link and same title or date; a link alone does not do, for some sources give all their entries one link.
    """
    links = [key for key in keys if key.startswith("link:")]
    if item.link is None or not links:
        return None
    link, title = canonical_link(item.link), comparable(item.title)
    stories = work.candidates(links, LONG_AGO)
    for member in (member for story in stories for member in story.members if member.item.source == item.source):
        known = member.item
        same_time = known.published is not None and known.published == item.published
        if known.link and canonical_link(known.link) == link and (same_time or comparable(known.title) == title):
            return member
    return None


def _is_kept(judged: Judged) -> bool:
    return judged.verdict.decision is Decision.KEPT


def _reads_differently(old: Item, new: Item) -> bool:
    return (old.title, old.summary, old.link) != (new.title, new.summary, new.link)


def _sentence_counts(items: Iterable[Item]) -> Counter[int]:
    """In how many of the items each sentence that is read stands: what many items of a source share is boilerplate."""
    return Counter(
        hash
        for item in items
        for hash in set(map(sentence_hash, set(sentences(item.summary + "\n" + item.body[:BODY_READ]))))
    )


def _draw(visit: Visit) -> float:
    """A number in 0..1 that differs from visit to visit, for jitter, without a hidden source of chance."""
    digest = hashlib.blake2b(f"{visit.source.url} {visit.started.isoformat()}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
