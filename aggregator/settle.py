"""Take a visit's items into the store: known or new, kept or not, and in which story.

A little longer than a module should be, so that every way into a story and out of it stands in one place.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from aggregator import pace
from aggregator.headlines import may_be_mended
from aggregator.holding import Watch, watch
from aggregator.identity import UNKNOWN, Shown, ids, is_another, same_elsewhere, same_link, same_time, shown, title
from aggregator.model import (
    Changed,
    Decision,
    Evidence,
    Failed,
    Founds,
    Item,
    Joins,
    Judged,
    Past,
    Plan,
    Rhythm,
    StoredItem,
    StoredStory,
    Unchanged,
    Visit,
    Withholding,
)
from aggregator.ports import Store, Work
from aggregator.stories import Folder, story_id
from aggregator.telling import lead
from aggregator.topics import BODY_READ
from aggregator.vouching import Vouched, alone, is_vouched, stays, vouch
from aggregator.words import sentence_hash, sentences

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
# What an item is compared with at most. All stories of one subject share its words; the one that an item tells shares
# its rarer ones, too. Of 901 labelled items, moved into one month, 60 stories placed three otherwise than all stories
# did, 40 six, 20 twenty-two; twelve members placed none otherwise.
STORIES, MEMBERS = 60, 12
# Stories that may vouch for an item: it needs more than a doubtful likeness, so those that share most are enough. Of
# the 320 given items 60 placed none otherwise, and took a third longer.
_ASKED = 12
_HOLD_LIST = "hold"  # kept in the store, where every process that settles reads it in the same transaction
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
    folds: bool = True  # False: items are remembered in no story, as where several subjects share what is read
    band: float = 0.0  # log-odds below the threshold that are undecided, and may be vouched for; 0: nothing is

    @property
    def vouches(self) -> bool:
        """Whether stories may vouch for what is undecided."""
        return self.folds and self.band > 0

    def keys(self, item: Item) -> frozenset[str]:
        """Under which an item that belongs to the subject is found: by repeats, and by itself under another id."""
        return self.folder.keys(item) | {_entry_key(item)}


@dataclass(frozen=True, slots=True)
class Settled:
    """What a visit came to."""

    visit: Visit  # without the items that it brought
    plan: Plan  # when its source is next due, and why
    new: int = 0  # items not seen before
    kept: int = 0  # of them, those that belong to the subject
    told: int = 0  # stories published for the first time
    vouched: int = 0  # undecided items, whoever brought them, that stories vouch for since; of a visit settled alone
    placed: tuple[int, ...] = ()  # keys of the items that were put in a story
    held: tuple[str, ...] = ()  # ids of stories that wait for the operator from now on
    changed: bool = False  # something that is published may look different now


@dataclass(slots=True)
class Settling:
    """One transaction under way: what it has done so far."""

    work: Work
    rules: Rules
    now: datetime
    shown: Shown = UNKNOWN  # what the document that is taken in says of all its entries
    fresh: list[Item] = field(default_factory=list)  # items not seen before
    kept: int = 0  # of them, those that belong to the subject
    placed: list[int] = field(default_factory=list)  # keys of the items that were put in a story
    edited: set[int] = field(default_factory=set)  # keys of known items whose text changed
    touched: set[str] = field(default_factory=set)  # stories that gained, lost or edited a member
    seen: set[int] = field(default_factory=set)  # keys of the items that this visit brought
    held: list[str] = field(default_factory=list)  # ids of stories that wait for the operator from now on
    stored: set[tuple[str, str]] | None = None  # sources and ids of all items met that are there; None: not looked up

    def watch(self) -> Watch:
        """The hold list as it is in this very transaction, whoever wrote it."""
        return watch(hold_list(self.work))


def settle(store: Store, rules: Rules, visit: Visit, rhythm: Rhythm, now: datetime) -> Settled:
    """Settle one visit by itself; `rhythm`: the source's before it."""
    return settle_together(store, rules, [(visit, rhythm)], now)[0]


def settle_together(store: Store, rules: Rules, visits: Sequence[tuple[Visit, Rhythm]], now: datetime) -> list[Settled]:
    """Fold the items of visits, each of another source, into stories and remember it all, in one transaction.

    Each visit comes with its source's rhythm before it. `now`: the time of the refresh, so that all that it brings is
    told at one moment, in the order of its dates.
    """
    with store.begin() as work:
        edited, stored = set[int](), _stored(work, (visit for visit, _ in visits))
        done = [
            _brought(Settling(work, rules, now, shown(visit), edited=edited, stored=stored), visit, rhythm)
            for visit, rhythm in visits
        ]
        work.record_together(
            [
                (visit, one.plan, _sentence_counts(settling.fresh))
                for (visit, _), (one, settling) in zip(visits, done, strict=True)
            ]
        )
        told = tell_each([settling for _, settling in done])
        work.log([_past(one.visit, one.plan, one.new, one.kept) for one, _ in done])
    return [
        replace(one, told=count, held=tuple(settling.held), changed=bool(settling.touched))
        for (one, settling), count in zip(done, told, strict=True)
    ]


def _brought(settling: Settling, visit: Visit, rhythm: Rhythm) -> tuple[Settled, Settling]:
    """Take in what one visit brought; its stories are not told yet, and it is not recorded."""
    plan = _plan(settling.rules, visit, rhythm)
    for one in _judged(visit):
        take(settling, one)
    return Settled(_let_go(visit), plan, len(settling.fresh), settling.kept, placed=tuple(settling.placed)), settling


def _judged(visit: Visit) -> tuple[Judged, ...]:
    return visit.outcome.judged if isinstance(visit.outcome, Changed) else ()


def _let_go(visit: Visit) -> Visit:
    """The visit without the items that it brought: ten thousand sources' hold hundreds of megabytes."""
    if not isinstance(visit.outcome, Changed):
        return visit
    return replace(visit, outcome=replace(visit.outcome, judged=()))


def settle_quiet(store: Store, rules: Rules, visits: Sequence[tuple[Visit, Rhythm]]) -> list[Settled]:
    """Remember visits that read no document, in one transaction; each with its source's rhythm before it."""
    planned = [(visit, _plan(rules, visit, rhythm)) for visit, rhythm in visits]
    with store.begin(alone=False) as work:
        work.record_quiet(planned)
        work.log([_past(visit, plan) for visit, plan in planned])
    return [Settled(visit, plan) for visit, plan in planned]


def _plan(rules: Rules, visit: Visit, rhythm: Rhythm) -> Plan:
    return pace.plan(rhythm, visit, rules.bounds, visit.source, _draw(visit))


def _past(visit: Visit, plan: Plan, new: int = 0, kept: int = 0) -> Past:
    match visit.outcome:
        case Changed(problems=problems):
            outcome, said = "changed", " ".join(["From its hub." if visit.pushed else "", *problems]).strip()
        case Unchanged(by=by):
            outcome, said = "unchanged", by
        case Failed(message=message):
            outcome, said = "failed", message
    took = visit.finished - visit.started
    return Past(visit.source.url, visit.started, took, outcome, said, new, kept, plan.due, plan.why)


def take(settling: Settling, judged: Judged) -> None:
    """Take in one item: a known one may have a new text or verdict, a new one enters the story that it tells."""
    keys = settling.rules.keys(judged.item) if _is_kept(judged) else frozenset()
    judged, stored = _known(settling, judged)
    stored = stored or _reissued(settling, judged.item, keys)
    if stored is not None:
        settling.seen.add(stored.key)
        if is_vouched(stored.verdict) and (again := _stays(settling, stored, judged)):
            judged = replace(judged, verdict=again.verdict)
        revise(settling, stored, judged, keys)
        return
    settling.fresh.append(judged.item)
    if settling.stored is not None:
        settling.stored.add((judged.item.source, judged.item.id))
    if _may_be_vouched_for(settling, judged):
        settling.work.look_at(settling.work.add(judged, (), settling.now))
        return
    if not _is_kept(judged):
        settling.work.add_aside(judged, settling.now)
        return
    key = settling.work.add(judged, keys, settling.now)
    settling.seen.add(key)
    settling.kept += 1
    place(settling, key, judged.item, keys)


def _known(settling: Settling, judged: Judged) -> tuple[Judged, StoredItem | None]:
    """What is stored under the item's id; an entry that took another one's id goes by its link, too, from then on."""
    item = judged.item
    own, apart = ids(item, settling.shown)
    if settling.stored is not None and settling.stored.isdisjoint((item.source, id) for id in (own, apart)):
        return judged, None
    found = settling.work.either(item.source, own, apart)
    stored, known = found.get(own), found.get(apart)
    if stored is not None and not is_another(stored.item, item, settling.shown):
        return judged, stored
    if stored is None and known is None:
        return judged, None
    return replace(judged, item=replace(item, id=apart)), known


def _stored(work: Work, visits: Iterable[Visit]) -> set[tuple[str, str]]:
    """Which of the items that visits brought are there, by sources and ids: mostly none, so that none is looked for."""
    items = ((one.item, shown(visit)) for visit in visits for one in _judged(visit))
    return set(work.stored((item.source, id) for item, where in items for id in ids(item, where)))


def revise(settling: Settling, stored: StoredItem, judged: Judged, keys: frozenset[str]) -> None:
    """Give a known item a new text or verdict: its story follows, unless the curator has spoken."""
    if stored.seed or _is_withdrawn(settling, stored):
        return  # what was withdrawn stays as it was, so that its repeats are known for what they are
    judged = replace(judged, item=_first_dated(stored, judged.item))
    kept = stored.ruling == "keep" or (stored.ruling is None and _is_kept(judged))
    keys = (keys or settling.rules.keys(judged.item)) if kept else frozenset()
    settling.work.edit(stored.key, judged, keys)
    if kept and stored.story is None:
        place(settling, stored.key, judged.item, keys)
    elif kept and stored.story is not None and _reads_differently(stored.item, judged.item):
        settling.edited.add(stored.key)
        settling.touched.add(stored.story)
    elif not kept and stored.story is not None:
        settling.work.assign(stored.key, None, None)
        settling.touched.add(stored.story)
    if stored.ruling is None and _may_be_vouched_for(settling, judged):
        settling.work.look_at(stored.key)


def place(settling: Settling, key: int, item: Item, keys: Iterable[str]) -> None:
    """Put an item that belongs to the subject into the story that it tells."""
    if not settling.rules.folds:
        return
    work = settling.work
    candidates = _candidates(settling, key, keys, settling.now - settling.rules.window)
    match settling.rules.folder.place(item, candidates, settling.now):
        case Founds():
            story, evidence = found(settling, key, item), Evidence("founds", "", 1.0)
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
    settling.placed.append(key)
    if settling.rules.vouches:
        work.look_at(key)


def vouched(
    settling: Settling, stored: StoredItem, judged: Judged, stories: Collection[str] | None = None
) -> Vouched | None:
    """What an undecided item's verdict becomes by the story that it tells, if it tells one; see vouching.vouch.

    `stories`: only these are asked; None: all that it may tell, and first the one that it stands in.
    """
    rules = settling.rules
    if not rules.vouches or stored.ruling is not None:
        return None
    if found := _stays(settling, stored, judged):
        return found
    undecided = replace(stored, item=judged.item, verdict=judged.verdict)
    if stories is not None:
        parted = settling.work.parted(stored.key)
        asked = tuple(one for id in sorted(stories) if (one := settling.work.story(id)) and one.id not in parted)
    else:
        keys, since = rules.keys(judged.item), min(settling.now, stored.first_seen) - rules.window
        asked = _candidates(settling, stored.key, keys, since, _ASKED)
    return vouch(rules.folder, undecided, asked, rules.band)


def _stays(settling: Settling, stored: StoredItem, judged: Judged) -> Vouched | None:
    story = None if stored.story is None or stored.ruling is not None else settling.work.story(stored.story)
    if story is None or not settling.rules.vouches:
        return None
    undecided, edited = (
        replace(stored, item=judged.item, verdict=judged.verdict),
        _reads_differently(stored.item, judged.item),
    )
    return stays(settling.rules.folder, undecided, story, settling.rules.band, edited=edited)


def enter(settling: Settling, stored: StoredItem, vouched: Vouched) -> None:
    """Put an undecided item in the story that vouches for it."""
    judged = Judged(stored.item, vouched.verdict)
    settling.work.edit(stored.key, judged, settling.rules.keys(stored.item))
    settling.work.assign(stored.key, vouched.story, vouched.evidence)
    settling.touched |= {vouched.story, stored.story or vouched.story}
    settling.placed.append(stored.key)


def _upheld(settling: Settling, story: StoredStory) -> StoredStory:
    """The story without those whom it vouched for and does no more: who told the same has left it, or tells otherwise.

    They are undecided again, and looked at again.
    """
    if story.withholding.withdrawn:
        return story
    gone = [one for one in story.members if is_vouched(one.verdict) and one.ruling is None]
    gone = [one for one in gone if not _stays(settling, one, Judged(one.item, alone(one.verdict)))]
    for one in gone:
        settling.work.edit(one.key, Judged(one.item, alone(one.verdict)), ())
        settling.work.assign(one.key, None, None)
        settling.work.look_at(one.key)
    return replace(story, members=tuple(member for member in story.members if member not in gone))


def _may_be_vouched_for(settling: Settling, judged: Judged) -> bool:
    return settling.rules.vouches and judged.verdict.decision is Decision.UNDECIDED


def found(settling: Settling, key: int, item: Item) -> str:
    """Begin a story with an item, or go on with the one that it began and left empty: the same item, the same id.

    Its usual id may be taken by the story that the item was split from.
    """
    id, turn = story_id(item.source, item.id), 0
    while (taken := settling.work.story(id)) is not None:
        if not taken.members and taken.id not in settling.work.parted(key):
            return taken.id
        turn += 1
        id = story_id(item.source, f"{item.id}#{turn}")
    settling.work.found(id, settling.now)
    return id


def tell(settling: Settling) -> int:
    """Bring the touched stories up to date: lead, dates, whether they are told; how many are for the first time."""
    return tell_each([settling])[0]


def tell_each(settlings: Sequence[Settling]) -> list[int]:
    """As `tell`, for what was done in one transaction; a story that several touched counts for the first."""
    told, looked_at = [0] * len(settlings), set[str]()
    for place, settling in enumerate(settlings):
        for id in sorted(settling.touched - looked_at):
            story = settling.work.story(id)
            if story is None or story.id in looked_at:  # merged into another since
                continue
            looked_at |= {id, story.id}
            told[place] += _tell(settling, _upheld(settling, story))
    return told


def _tell(settling: Settling, story: StoredStory) -> bool:
    rules, now = settling.rules, settling.now
    withholding = _look_through(settling, story)
    repeats = [member for member in story.members if not member.seed]
    if story.seed:
        if withholding.in_force and story.told is not None:
            settling.work.tell(story.id, None, story.lead, now)
        return False
    if not repeats:
        settling.work.tell(story.id, None, None, now)
        return False
    leader = lead(repeats, rules.priority, rules.language)
    new_text = leader.key != story.lead or leader.key in settling.edited
    told = None if withholding.in_force else story.told
    news = withholding.released or any(_is_news(member, rules.max_age, now) for member in repeats)
    if told is None and news and not withholding.in_force:
        told = now
    updated = _updated(story, leader, now) if new_text else story.updated
    settling.work.tell(story.id, told, leader.key, now if story.told and not told else updated)
    return told is not None and story.told is None


def _look_through(settling: Settling, story: StoredStory) -> Withholding:
    """What keeps the story from being published, now that its members may be others.

    What held it once goes on to, though its text be mended: until it is released, or the entry leaves the list.
    """
    watching = settling.watch()
    held = watching.matched(story) | (story.withholding.held & watching.marks)
    found = replace(story.withholding, held=held)
    if found != story.withholding:
        newly = found.in_force and not story.withholding.in_force
        settling.work.withhold(story.id, found, "held" if newly else "", settling.now)
        if newly:
            settling.held.append(story.id)
    return found


def _is_withdrawn(settling: Settling, stored: StoredItem) -> bool:
    story = None if stored.story is None else settling.work.story(stored.story)
    return story is not None and story.withholding.withdrawn


def _updated(story: StoredStory, leader: StoredItem, now: datetime) -> datetime:
    """When the text that stands for a story last changed: the leader's own date, unless that would move time back."""
    own = min(leader.item.updated or leader.item.published or now, now)
    return own if story.lead is None or own > story.updated else now


def _is_news(stored: StoredItem, max_age: timedelta | None, now: datetime) -> bool:
    """Whether an item is young enough to be published; what the curator kept is, at any age."""
    dated = stored.item.published or stored.first_seen
    return stored.ruling == "keep" or max_age is None or now - dated <= max_age


def hold_list(remembered: Work | Store) -> tuple[str, ...]:
    """The names, phrases and links that the operator wants to see before they are published."""
    return tuple(json.loads(remembered.get(_HOLD_LIST) or "[]"))


def watch_for(store: Store, rules: Rules, entries: Sequence[str], now: datetime) -> tuple[str, ...]:
    """Make this the hold list; what is published and matches it is taken out. Returns the ids of stories newly held."""
    with store.begin() as work:
        work.put(_HOLD_LIST, json.dumps(list(entries), ensure_ascii=False))
    looking = watch(tuple(entries))
    told = {story.id: story for story in (*store.stories(), *store.withheld())}
    changed = [id for id, story in told.items() if looking.matched(story) ^ story.withholding.held]
    with store.begin() as work:
        settling = Settling(work, rules, now)
        settling.touched.update(changed)
        tell(settling)
    return tuple(settling.held)


def _candidates(
    settling: Settling, key: int, keys: Iterable[str], since: datetime, stories: int = STORIES
) -> tuple[StoredStory, ...]:
    """The stories that the item may tell: the same article at any age, anything else since then."""
    work = settling.work
    links = [one for one in keys if one.startswith("link:")]
    found = work.candidates(links, LONG_AGO) + work.candidates(keys, since, stories, MEMBERS)
    parted = work.parted(key)
    return tuple({story.id: story for story in found if story.id not in parted}.values())


def near(work: Work, keys: Iterable[str], since: datetime, before: int | None = None) -> tuple[StoredStory, ...]:
    """The stories that share most with an item of these keys, with enough of their members to judge them by.

    `before`: by what was stored before the item of this key alone.
    """
    return work.candidates(keys, since, STORIES, MEMBERS, before)


def _reissued(settling: Settling, item: Item, keys: Iterable[str]) -> StoredItem | None:
    """The same entry under another id, as sources bring it that change their software, their paths or their host.

    Same title and also same link, same time, same summary or same place on another host; or, its title mended, same
    link and time. A link alone does not do, for some sources give all their entries one link; nor does it with the
    time, where several entries share both. And what one document holds side by side are two entries.
    """
    wanted = [key for key in keys if key.startswith(("link:", "entry:"))]
    if not wanted:
        return None
    stories = settling.work.candidates(wanted, LONG_AGO)
    known = [one for story in stories for one in story.members if one.item.source == item.source]
    known += [one for one in settling.work.linked(item.source, item.link or "") if one.ruling == "drop"]
    named = [one for one in known if title(one.item) == title(item)]
    linked = [one for one in known if same_link(one.item, item)]
    if twice := [one for one in named if one in linked]:
        return twice[0]
    gone = [one for one in named if one.key not in settling.seen and same_elsewhere(one.item, item)]
    mended = [one for one in linked if same_time(one.item, item) and may_be_mended(one.item.title, item.title)]
    if not gone and len(mended) == 1 and mended[0].key not in settling.seen:
        return mended[0]
    return gone[0] if gone else None


def _entry_key(item: Item) -> str:
    return f"entry:{item.source} {title(item)}"


def _first_dated(stored: StoredItem, item: Item) -> Item:
    """The item with the date it was first given, for some sources date all they have anew, each time.

    A date that was none, or lay in the future, gives way to a better one. A new text keeps its new date as that of
    the update.
    """
    first = stored.item.published
    if first is None or first > stored.first_seen or first == item.published:
        return item
    if not _reads_differently(stored.item, item):
        return replace(item, published=first, updated=stored.item.updated)
    return replace(item, published=first, updated=item.updated or item.published)


def _is_kept(judged: Judged | StoredItem) -> bool:
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
