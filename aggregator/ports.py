"""What the flow needs from outside, and nothing more: Fetch, Store, Outbox, Courier, Engine, Isolate, Publisher, Clock.

Longer than a module should be, for it is read as one page: what may be asked of each, and what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any, Protocol, TypeVar

from aggregator.channels import Channel
from aggregator.model import (
    Answer,
    ChannelHealth,
    Decision,
    Deed,
    Delivery,
    Edition,
    Evidence,
    Gone,
    Judged,
    Line,
    Message,
    Past,
    Plan,
    Rights,
    Seed,
    Source,
    SourceHealth,
    StoredItem,
    StoredStory,
    Subscription,
    Task,
    Visit,
    Withholding,
)
from aggregator.search import Query

T = TypeVar("T")
R = TypeVar("R")


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...


class Fetch(Protocol):
    def __call__(self, task: Task) -> Answer:
        """Ask the source's server once; never raises for what a server or a network does."""
        ...


class Engine(Protocol):
    """Runs work over many inputs."""

    def map(
        self, work: Callable[[T], R], inputs: Iterable[T], lane: Callable[[T], Hashable]
    ) -> Generator[R, None, None]:
        """Results in the order of completion.

        Inputs of one lane (a registrable domain) run a few at a time and spaced, as the engine was told; a slow
        lane holds up no other. `work` must not raise. Closing the generator lets running work end, starts no more.
        """
        ...

    def begin(self, work: Callable[[T], R], lane: Callable[[T], Hashable]) -> Run[T, R]:
        """A run to which inputs are added on the way; all that holds for a map holds for all of them."""
        ...

    def close(self) -> None:
        """Begin no more work: a map or run that is read yields what is under way, and ends; a later one is empty."""
        ...


class Run(Protocol[T, R]):
    """Work of one kind under way; for one thread."""

    def add(self, inputs: Iterable[T]) -> None:
        """Have further inputs worked on."""
        ...

    def batches(self, most: int, patience: float | None = None) -> Generator[list[R], None, None]:
        """What has ended by now in one list, of at most so many; it waits for one alone, until nothing is under way.

        `patience`: seconds, from the first call on, after which it waits no more; None: any. What is still under way
        then goes on, and is read later.
        """
        ...

    def owes(self) -> bool:
        """Whether anything is still to come."""
        ...

    def recall(self) -> list[T]:
        """Take back the inputs that have not begun."""
        ...

    def close(self) -> None:
        """Begin no more, and wait for what is under way; it is lost."""
        ...


class Isolate(Protocol):
    """Calls a function where it can do no harm."""

    def __call__(self, function: Callable[..., R], *arguments: Any) -> R:
        """The function's result; FeedError if it took too long, too much memory, or died."""
        ...


class Publisher(Protocol):
    def alone(self) -> AbstractContextManager[None]:
        """Nobody else publishes meanwhile, in this process or another: who comes later waits. Raises PublishError."""
        ...

    def publish(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Put files (path below the folder → content) where readers find them, each whole; the names that changed.

        A file whose bytes are the same is not touched. Raises PublishError; files not yet replaced stay as they were.
        """
        ...

    def remove(self, names: Iterable[str]) -> tuple[str, ...]:
        """Take files away; the names of those that were there. Raises PublishError."""
        ...

    def remembered(self) -> str | None:
        """What `remember` was last told; None: nothing, or it is lost. It goes where the files go, and is no file."""
        ...

    def remember(self, text: str) -> None:
        """Keep a short text about the files, for who publishes next. Raises PublishError."""
        ...

    def names(self, folder: str = "") -> frozenset[str]:
        """What is published right in a folder ("": the topmost), as `publish` names it; none where it is missing."""
        ...


class Courier(Protocol):
    """Brings messages to channels of one kind."""

    def __call__(self, channel: Channel, message: Message, edition: Edition, now: datetime) -> Delivery:
        """Try once to tell the edition's stories; never raises for what a service or a network does."""
        ...


class Outbox(Protocol):
    """What each channel was told, and is to be told: every story once."""

    def enlist(self, channels: Collection[str], now: datetime) -> None:
        """Make the list of channels match the configuration, by their names.

        A new one begins now: what was told before is no news there. What waits for one no longer listed is forgotten.
        What a process held that was killed is free again, if that is certain.
        """
        ...

    def begun(self) -> Mapping[str, tuple[datetime, int]]:
        """For each channel: when it began, and the mark up to which changed stories were looked at (Store.mark)."""
        ...

    def add(self, channel: str, stories: Iterable[tuple[str, datetime]], due: datetime, mark: int) -> None:
        """Have these stories (id, told) go out at `due`, and remember that all was looked at up to the mark.

        A story that is there already under any of its names, sent or not, is passed over.
        """
        ...

    def claim(self, channel: str, now: datetime, lease: timedelta, burst: int) -> Message | None:
        """Take what the channel is to be told next, so that no other process does; None: nothing, or not yet.

        A message that failed comes first, whole and under its id. `burst`: of so many messages in ten minutes each
        tells one story; where more wait than that leaves room for, the next one tells them all, and the one after it
        waits. 0: each message tells all that waits. What was being sent when its process was killed may have arrived:
        it is noted as that, and not sent again.
        """
        ...

    def drop(self, message: Message, stories: Iterable[str]) -> None:
        """Forget these stories of a message; should they be told anew, they are news."""
        ...

    def close(self, message: Message, delivery: Delivery, again: datetime | None, now: datetime) -> None:
        """Remember what came of a message. `again`: when it is tried next, and the channel asked; None: never."""
        ...

    def retry(self, now: datetime) -> int:
        """Have what was given up tried again; how many stories that is."""
        ...

    def health(self) -> tuple[ChannelHealth, ...]:
        """All listed channels, by their names."""
        ...


class Work(Protocol):
    """One transaction: all of it happens, or none."""

    def find(self, source: str, id: str) -> StoredItem | None: ...

    def either(self, source: str, id: str, other: str) -> Mapping[str, StoredItem]:
        """Those of the source's items that have one of two ids, by their ids."""
        ...

    def stored(self, items: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of the items, a source and an id each, that are there; all looked up at once."""
        ...

    def linked(self, source: str, link: str) -> tuple[StoredItem, ...]:
        """The source's items with this very link, whether or not they stand in a story."""
        ...

    def candidates(
        self,
        keys: Iterable[str],
        since: datetime,
        stories: int | None = None,
        members: int | None = None,
        before: int | None = None,
    ) -> tuple[StoredStory, ...]:
        """Stories with a member that shares a key and was first seen or dated since then; seeds at any age.

        At most so many `stories`: seeds first, then those with the member that shares most, where a key counts the
        less the more items share it. At most so many `members` of each: half of them those that share most, the rest
        the first. None: all. `before`: what was stored since the item of this key shares nothing.
        """
        ...

    def add(self, judged: Judged, keys: Iterable[str], now: datetime) -> int:
        """Store an item not seen before, outside any story; its key."""
        ...

    def add_aside(self, judged: Judged, now: datetime) -> None:
        """Store an item not seen before that belongs to no story; what is stored so is written all at once."""
        ...

    def edit(self, key: int, judged: Judged, keys: Iterable[str]) -> None:
        """Replace a stored item's text and verdict; first_seen, story and ruling stay."""
        ...

    def assign(self, key: int, story: str | None, evidence: Evidence | None) -> None:
        """Put an item in a story, or in none."""
        ...

    def found(self, story: str, now: datetime) -> None:
        """Begin a story, not yet told."""
        ...

    def story(self, id: str) -> StoredStory | None:
        """The story, also by the id of one that was merged into it; None: unknown."""
        ...

    def tell(self, story: str, told: datetime | None, lead: int | None, updated: datetime) -> None:
        """Set when a story was first published (None: withdrawn), who leads it, and when the lead's text changed.

        A story that is withdrawn is remembered as gone at `updated`, until it is told again.
        """
        ...

    def merge(self, story: str, into: str, now: datetime) -> None:
        """Move all members; the old id stays valid as a name of the other story, and is gone as one of its own.

        What kept either of them from being published keeps the one (holding.joined).
        """
        ...

    def withhold(self, story: str, withholding: Withholding, deed: str, now: datetime) -> None:
        """Set what keeps a story from being published, and note the deed ("": nothing worth noting).

        Telling or not is another matter (`tell`). A withdrawn story's members are candidates at any age, as a seed's.
        """
        ...

    def get(self, name: str) -> str | None:
        """As Store.get, within the transaction."""
        ...

    def put(self, name: str, value: str) -> None: ...

    def rule(self, key: int, ruling: str | None) -> None:
        """Keep the curator's word on an item: "keep", "drop", or None to take it back."""
        ...

    def part(self, key: int, story: str) -> None:
        """Remember that the curator took this item out of that story for good."""
        ...

    def parted(self, key: int) -> frozenset[str]:
        """The stories that the curator took this item out of."""
        ...

    def look_at(self, key: int) -> None:
        """Have an item looked at again (second_look), even if this process dies before it does so."""
        ...

    def unlooked(self, limit: int) -> tuple[StoredItem, ...]:
        """The first of those that are to be looked at again: what stands in a story, then the others."""
        ...

    def looked(self, keys: Iterable[int]) -> None:
        """Remember that these have been looked at again."""
        ...

    def doubt(self, stored: StoredItem, keys: Iterable[str]) -> None:
        """Have an item that stays undecided found by what shares a key with it."""
        ...

    def doubtful(self, keys: Iterable[str], since: datetime, limit: int) -> tuple[StoredItem, ...]:
        """The undecided items without a ruling, first seen since then, that share most with these keys."""
        ...

    def doubt_no_more(self, before: datetime) -> None:
        """Let those first seen before then be found no more."""
        ...

    def record(self, visit: Visit, plan: Plan, sentences: Mapping[int, int]) -> None:
        """End a visit: state of the source, release of its lease.

        `sentences`: hash of a sentence → how many of the visit's new items hold it, added to the source's counts.
        """
        ...

    def record_together(self, ended: Sequence[tuple[Visit, Plan, Mapping[int, int]]]) -> None:
        """What `record` does, for visits of different sources, all at once."""
        ...

    def record_quiet(self, visits: Iterable[tuple[Visit, Plan]]) -> None:
        """End visits that read no document: for each what `record` does, all at once. NotFoundError: one unlisted."""
        ...

    def log(self, visits: Sequence[Past]) -> None:
        """Append to the history of visits, which forgets the oldest; see Store.visits."""
        ...


class Store(Protocol):
    """Remembers sources, items, stories and decisions."""

    def enlist(self, sources: Sequence[Source], disabled: Sequence[Source], now: datetime) -> None:
        """Make the list of sources match the configuration.

        A new one is due at once, and one that works and was given an interval of its own, or another, when that is
        over since its last visit, though not before a pause that was asked for has ended. One no longer listed is
        visited no more; its items and its state stay, and are there when it returns. What a process had claimed that
        was killed is free again, if that is certain.
        """
        ...

    def rights(self) -> Mapping[str, Rights]:
        """By url, the rights of sources that are not the usual ones; of one no longer listed, as they were last."""
        ...

    def plant(self, seeds: Sequence[tuple[str, Seed, Sequence[str]]], now: datetime, publish: bool) -> None:
        """Make the seed stories match (story id, seed, keys); publish: they are told, before all others.

        One that is withheld is not told; one that is withdrawn stays as it is, whatever becomes of its seed.
        """
        ...

    def claim(
        self,
        now: datetime,
        lease: timedelta,
        limit: int | None = None,
        everything: bool = False,
        gap: timedelta = timedelta(0),
        abreast: int = 1,
    ) -> tuple[Task, ...]:
        """Take what is due, longest due first, so that no other process takes it until the lease ends.

        Where `limit` leaves some of it, what can begin at once goes before what would wait for its own host: the first
        few of each host, `abreast` with what this process holds of it already. Then all hosts take turns.

        Nothing is taken of a host (domains.registrable_domain) of which another process holds a source, or visited one
        less than `gap` ago: so many at once and so far apart, as one process keeps it, holds for all of them.
        `everything`: all that are enabled and not leased, but for those held by a server's Retry-After. What was last
        visited in the future (pace.CLOCK_ERROR) is due: the clock was wrong then, and so is all that followed from it.
        """
        ...

    def take(self, url: str, now: datetime, lease: timedelta) -> Task | None:
        """Claim one source, due or not; None: it is leased, or not visited at all."""
        ...

    def subscriptions(self) -> tuple[Subscription, ...]:
        """What is agreed with hubs, in the order of the tokens."""
        ...

    def subscribe(self, token: str, one: Subscription | None) -> None:
        """Remember a subscription as it is now; None: forget it.

        While it is not confirmed, or being left, its source is asked as one that no hub tells of.
        """
        ...

    def release(self, tasks: Iterable[Task]) -> None:
        """Give back claimed tasks that were not visited; they are due as before."""
        ...

    def renew(self, tasks: Iterable[Task], until: datetime) -> None:
        """Hold claimed tasks until then; one that another process has taken since its lease ended is left to it."""
        ...

    def put_off(self, tasks: Iterable[tuple[Task, datetime]], why: str, *, hold: bool = True) -> None:
        """Give back claimed tasks, each not to be visited before a moment, and why; one due later stays as it was.

        `hold`: not by a claim of everything, either.
        """
        ...

    def spare(self, host: str, until: datetime, why: str) -> None:
        """Visit no source of a host (registrable_domain) before a moment, and why; one due later stays as it was.

        One that has moved to another host for good is a source of that.
        """
        ...

    def next_due(self) -> datetime | None: ...

    def clock(self) -> datetime | None:
        """The time by a clock that all who share the store see; None: there is none but this machine's."""
        ...

    def begin(self, *, alone: bool = True) -> AbstractContextManager[Work]:
        """One transaction, committed at the end of the block, undone by an exception.

        `alone`: nobody else writes meanwhile, which all but `record_quiet` and `log` need.
        """
        ...

    def withheld(self) -> tuple[StoredStory, ...]:
        """Stories that are kept from being published (Withholding.in_force), in the order in which they began."""
        ...

    def deeds(self, limit: int | None = None) -> tuple[Deed, ...]:
        """What was done for people's safety, the latest first."""
        ...

    def stories(self, limit: int | None = None) -> tuple[StoredStory, ...]:
        """Told stories, newest told first (ties: the newest member at that time first, then by id); limit None: all."""
        ...

    def named(self, ids: Iterable[str]) -> Mapping[str, StoredStory]:
        """The stories that have these ids by now, told or not; an id that none has is left out."""
        ...

    def days(self) -> tuple[tuple[date, int], ...]:
        """How many stories were told on each day, UTC, that has any; the oldest first."""
        ...

    def lines(self, since: datetime, until: datetime) -> tuple[Line, ...]:
        """The stories told from `since` to before `until`, newest told first (ties: by id)."""
        ...

    def turn(self, size: int, keep: int | None) -> int:
        """Close pages of the archive, so that every told story is among the `keep` newest or on a page.

        Each page takes the oldest `size` stories that are on none; the last may be shorter. `keep` None: close none.
        Returns how many pages are closed; the first is 1. What page a story is on never changes.
        """
        ...

    def page(self, number: int) -> tuple[StoredStory, ...]:
        """The told stories on a closed page, newest told first."""
        ...

    def gone(self, limit: int | None = None, page: int | None = None) -> tuple[Gone, ...]:
        """Stories once told and told no more, newest first; with `page`, those that stood on it."""
        ...

    def search(self, query: Query, limit: int, offset: int = 0) -> tuple[StoredStory, ...]:
        """At most `limit` told stories that fit a query, newest told first (ties: by id), after `offset` others.

        A story is looked in as one text: titles and summaries of all its members, and the names of who told them.
        """
        ...

    def is_gone(self, id: str) -> bool:
        """Whether a story of this id was told once and is told no more, on its own or as part of another."""
        ...

    def file(self, slices: Mapping[str, Collection[str]], version: str) -> None:
        """Have each of these stories (id → slices) stand in these slices and no others, in none if it is not told.

        In the same transaction each slice that any of them stood in before, or stands in now, gets the version.
        """
        ...

    def slices(self) -> Mapping[str, str]:
        """All slices that a story ever stood in: name → version."""
        ...

    def sliced(self, slices: Collection[str], limit: int) -> Mapping[str, tuple[StoredStory, ...]]:
        """Of each slice the told stories that were filed in it, the `limit` newest told, in the order of `stories`."""
        ...

    def mark(self) -> int:
        """The mark of the last change of any story; it grows with each; 0: none yet."""
        ...

    def changed(self, after: int) -> frozenset[str]:
        """Ids of stories, merged ones and those gone included, whose last change has a greater mark."""
        ...

    def items(self, link_or_id: str) -> tuple[StoredItem, ...]:
        """The items with this link or id, in any source."""
        ...

    def item(self, key: int) -> StoredItem | None: ...

    def lately(
        self, limit: int, before: int | None = None, source: str | None = None, decision: Decision | None = None
    ) -> tuple[StoredItem, ...]:
        """The items last seen for the first time, newest first; seeds left out.

        `before`: only items with a smaller key. `decision`: as it counts, so that the curator's word comes before the
        verdict.
        """
        ...

    def visits(self, limit: int, source: str | None = None) -> tuple[Past, ...]:
        """The last visits, to all sources or to one, newest first. Some tens of thousands are remembered in all."""
        ...

    def rulings(self) -> Mapping[int, str]:
        """The curator's word on single items: key → "keep" or "drop"."""
        ...

    def has_unlooked(self) -> bool:
        """Whether something is to be looked at again; see Work.unlooked."""
        ...

    def undecided(self, limit: int, doubtful: float = 0.0) -> tuple[StoredItem, ...]:
        """Items near the threshold without a ruling: those below it, nearest first, then the narrowly kept.

        `doubtful`: what was kept with a lower score was kept narrowly.
        """
        ...

    def retained(self) -> Iterator[StoredItem]:
        """Every item whose text is still kept, for judging anew; seeds left out."""
        ...

    def repeated(self) -> Mapping[str, frozenset[int]]:
        """What sources repeat: hashes of sentences that many items of one share (Known.boilerplate), by its url."""
        ...

    def forget(self, texts_before: datetime | None, items_before: datetime | None) -> int:
        """Let go of what is past its time; how many items that was. None: nothing is.

        Of items first seen before `texts_before` summary and body; items first seen before `items_before` as a whole.
        What stands in a story, or was ruled on by the curator, stays.
        """
        ...

    def health(self) -> tuple[SourceHealth, ...]:
        """All listed sources, in the order of the configuration."""
        ...

    def get(self, name: str) -> str | None:
        """A remembered setting, such as the rules' digest of the last run."""
        ...

    def put(self, name: str, value: str) -> None: ...

    def dump(self) -> Iterator[str]:
        """All that is remembered, as lines that `exchange.load` makes a store of."""
        ...

    def check(self) -> tuple[str, ...]:
        """What is wrong with what is stored, a sentence each, with what to do; () where all is well."""
        ...

    def backup(self, path: str) -> None:
        """A consistent copy while running."""
        ...

    def close(self) -> None: ...
