"""The words of the domain: immutable values that flow from a source to the published feed.

Longer than a module should be, for it is a vocabulary: values without behaviour, read as one page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

# All datetimes are aware and in UTC. All values are picklable: a Task and a Visit may cross to another process.


@dataclass(frozen=True, slots=True)
class Selectors:
    """Where the entries of an HTML page stand, in CSS; all but the first are looked for within an item."""

    item: str
    title: str = ""  # "": the link's text
    link: str = ""  # "": the title's link, else the first in the item
    date: str = ""  # "": the first <time>
    summary: str = ""  # "": none


@dataclass(frozen=True, slots=True)
class Rights:
    """What of a source's texts may be shown to readers; titles and links always may."""

    excerpt_characters: int | None = None  # of a summary, at most; None: as many as of any source
    images: bool = True
    republish: bool = True  # False: title and link alone
    credit: str = ""  # a line that goes with what is shown


@dataclass(frozen=True, slots=True)
class Source:
    """What is read, as the operator lists it."""

    url: str  # as configured; also the source's key everywhere
    name: str
    language: str | None = None  # BCP 47; None: the feed's own, else detected
    scope: str = "general"  # how much is to be expected of it: a name from the topic pack's [scopes]
    priority: int = 5  # 1..9, 9 leads a story
    interval: timedelta | None = None  # fixed by the operator; None: adapts
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may hold secrets
    kind: str = "feed"  # or "sitemap", "page"
    select: Selectors | None = None  # of a page
    rights: Rights = Rights()


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server gave to ask "has it changed?" with: raw header strings, never parsed (RFC 9110, 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


class Fingerprints(Set[bytes]):
    """A set of fingerprints, all of one length, as one string until it is looked at.

    That keeps thousands of tasks small (0.4 kB each instead of 4, for thirty entries), of which few are ever asked.
    """

    __slots__ = ("_packed", "_size")

    def __init__(self, packed: bytes, size: int) -> None:
        """`packed`: all of them, `size` bytes each, none twice."""
        self._packed, self._size = packed, size

    @classmethod
    def _from_iterable(cls, it: Iterable[bytes]) -> frozenset[bytes]:  # type: ignore[override]
        return frozenset(it)

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in frozenset(self)

    def __iter__(self) -> Iterator[bytes]:
        return (self._packed[place : place + self._size] for place in range(0, len(self._packed), self._size))

    def __len__(self) -> int:
        return len(self._packed) // self._size


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier visits to a source left behind, as far as the next visit needs it."""

    validators: Validators = Validators()
    body: bytes | None = None  # digest of the last document; None: never read
    head: bytes | None = None  # digest of the last document's part outside its entries
    entries: Set[bytes] = frozenset()  # fingerprints of entries already parsed
    boilerplate: frozenset[int] = frozenset()  # hashes of sentences that many items of this source share
    address: str | None = None  # where the source has moved to for good (pace.adopted); None: its own url
    distrust: bool = False  # ask without the validators this once, see Rhythm


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What is remembered of a source to decide when to visit it next."""

    interval: timedelta | None = None  # None: never visited
    failures: int = 0  # in a row
    failing_since: datetime | None = None
    last_visit: datetime | None = None
    last_success: datetime | None = None
    last_new: datetime | None = None  # when it last brought an entry not seen before
    moved_to: str | None = None  # where it has been redirected permanently, not yet adopted
    moved_since: datetime | None = None
    moved_count: int = 0
    last_unconditional: datetime | None = None
    distrust: bool = False  # ask once without validators: the server's "not modified" looks stale
    status: int | None = None  # HTTP status of the last failure; None: it went well, or no answer came
    ttl: timedelta | None = None  # what the document last read asks for (FeedHead): a 304 does not repeat it
    skip_hours: frozenset[int] = frozenset()  # 0..23, UTC
    skip_days: frozenset[int] = frozenset()  # 0 Monday .. 6 Sunday, UTC
    last_kept: datetime | None = None  # when it last brought an entry of the subject; counts from the first visit
    by_push: bool = False  # the last that it brought came from its hub, not by asking
    found: str | None = None  # feed that its site names since its own vanished; "": looked for in vain; None: not yet
    fresh_for: timedelta | None = None  # as the server last stated (Freshness): what its hub delivers does not say it


@dataclass(frozen=True, slots=True)
class Task:
    """One source to be visited, with all that the visit needs; no store is asked on the way."""

    source: Source
    known: Known = Known()
    rhythm: Rhythm = Rhythm()  # for settling what comes of it; the visit itself has no use for it


@dataclass(frozen=True, slots=True)
class Enclosure:
    url: str
    type: str | None  # media type
    length: int | None  # bytes


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a source, cleaned: text fields are plain text, NFC, without control characters or markup."""

    source: str  # the source's url
    id: str  # unique within the source: the entry's own id, else its link, else a digest of its text
    link: str | None  # as the source gave it, made absolute; http or https only
    title: str  # "" where there is none; at most 500 characters
    summary: str  # "" where there is none; at most 5,000 characters
    body: str = ""  # full text where the feed carries more than the summary; at most 20,000 characters
    published: datetime | None = None  # as the source claims; None: absent or unreadable
    updated: datetime | None = None
    language: str | None = None  # BCP 47; configured, declared by entry or feed, else detected; None: unsure
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    publisher: str | None = None  # the outlet that an entry of a search or planet feed names as its origin
    fingerprint: bytes = b""  # of the raw entry, so that an edit is seen
    image: str | None = None  # address of a picture that stands for the entry
    stock: tuple[int, ...] = ()  # hashes of its sentences that many items of its source share (boilerplate.with_stock)


@dataclass(frozen=True, slots=True)
class FeedHead:
    """What a document says about itself, outside its entries."""

    format: str  # "rss20", "atom10", "json11", "cdf", ... (feedparser's `version` names)
    title: str = ""
    link: str | None = None  # the site
    language: str | None = None  # BCP 47, as declared
    hub: str | None = None  # WebSub hub (rel=hub)
    self_link: str | None = None  # rel=self
    ttl: timedelta | None = None  # RSS ttl or sy:updatePeriod/updateFrequency
    skip_hours: frozenset[int] = frozenset()  # 0..23, UTC
    skip_days: frozenset[int] = frozenset()  # 0 Monday .. 6 Sunday, UTC


@dataclass(frozen=True, slots=True)
class Document:
    """A feed document, read as far as it is new."""

    head: FeedHead
    items: tuple[Item, ...]  # only entries whose fingerprint was not known, in document order
    entries: frozenset[bytes]  # fingerprints of all entries now in the document
    head_digest: bytes
    problems: tuple[str, ...] = ()  # what was lost or mended, one sentence each
    whole: bool = True  # False: new entries were left for the next visits


PACK = "pack"  # field of the reason that stands for a pack's bias, so that a verdict's reasons add up to its score


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence for or against an item's belonging to the subject."""

    field: str  # "title", "summary", "body", "categories", "source", "curator", "phrasing", "meaning", "story", "pack"
    concept: str  # the pack's name for what was found
    text: str  # the matched text, as it stands in the item
    weight: float  # contribution to the score; negative: against

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.text else f"{self.field}: {self.concept}"


class Decision(StrEnum):
    KEPT = "kept"
    UNDECIDED = "undecided"  # below the threshold, but near it: for review, not published
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Verdict:
    decision: Decision
    score: float  # 0..1
    reasons: tuple[Reason, ...]  # strongest first, then what the pack begins with; empty: nothing was found
    rules: str  # digest of the pack and settings that gave it

    @property
    def found(self) -> tuple[Reason, ...]:
        """The reasons that the item itself gave."""
        return tuple(reason for reason in self.reasons if reason.field != PACK)


@dataclass(frozen=True, slots=True)
class Judged:
    item: Item
    verdict: Verdict  # of several subjects, that of the one to which the item belongs most
    # Of every subject, where there are several, in the order of the configuration; None: it does not read the source.
    each: tuple[Verdict | None, ...] = ()


class FailureKind(StrEnum):
    """Why a visit failed; decides how soon to try again."""

    HARD = "hard"  # gone, forbidden, not a feed: unlikely to mend soon
    SOFT = "soft"  # server fault, broken document
    TEMPORARY = "temporary"  # no network, time-out, throttled


@dataclass(frozen=True, slots=True)
class Changed:
    """The document was read and is not the one known."""

    head: FeedHead
    judged: tuple[Judged, ...]  # of new and edited entries only
    entries: frozenset[bytes]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing to do: the server said so (304), or the same bytes came again."""

    by: str  # "304" or "same bytes"


@dataclass(frozen=True, slots=True)
class Failed:
    kind: FailureKind
    message: str  # one sentence for a person: what happened, to what
    status: int | None = None  # HTTP status, where an answer came
    asked: bool = True  # the server may have had the request, whatever became of it; False: no way led there
    host: str = ""  # of whom it is said (domains.registrable_domain); "": the one where the visit began


Outcome = Changed | Unchanged | Failed


@dataclass(frozen=True, slots=True)
class Unmade:
    """A visit of which nothing is known: it was never made, or got lost with whoever made it."""

    why: str  # a sentence for a person


@dataclass(frozen=True, slots=True)
class Freshness:
    """What an answer's headers ask of the next visit."""

    fresh_for: timedelta | None = None  # Cache-Control max-age less Age, or Expires (RFC 9111, 4.2)
    retry_after: timedelta | None = None  # RFC 9110, 10.2.3; from 429, 503 and redirects
    hub: str | None = None  # Link rel=hub
    self_link: str | None = None  # Link rel=self


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document, whole and decoded from its content coding."""

    url: str  # after redirects
    data: bytes
    content_type: str | None  # raw header
    validators: Validators
    freshness: Freshness = Freshness()
    moved_to: str | None = None
    received: int = 0  # bytes over the wire
    linked: tuple[str, ...] = ()  # feeds that its headers name (Link rel=alternate)


@dataclass(frozen=True, slots=True)
class NotModified:
    validators: Validators  # those sent, renewed by what the 304 carried
    freshness: Freshness = Freshness()
    moved_to: str | None = None
    received: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """No document came; `failed` says why."""

    failed: Failed
    freshness: Freshness = Freshness()
    moved_to: str | None = None
    received: int = 0


Answer = Fetched | NotModified | Refused


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of one task."""

    source: Source
    started: datetime
    finished: datetime
    outcome: Outcome
    validators: Validators = Validators()  # to be sent next time, also after a failure
    body: bytes | None = None  # digest of the document; None: nothing was read
    head: bytes | None = None
    freshness: Freshness = Freshness()
    moved_to: str | None = None  # where permanent redirects (301, 308) led, if they did
    received: int = 0  # bytes over the wire
    pushed: bool = False  # the document was delivered by the source's hub
    found: str | None = None  # see Rhythm; None: not looked for at this visit


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is agreed with a hub about a source (WebSub)."""

    token: str  # the end of the callback address, which nobody can guess
    source: str  # the source's url
    hub: str
    topic: str  # what the hub calls the source
    secret: str = field(repr=False)  # deliveries are signed with it
    asked: datetime  # when the hub was last asked
    tries: int = 0  # times that it was asked since it last confirmed
    until: datetime | None = None  # confirmed for so long; None: not confirmed
    leaving: bool = False  # to be ended

    @property
    def stands(self) -> bool:
        """Whether the hub confirmed it, and it is not being left."""
        return self.until is not None and not self.leaving


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told to one channel in one go."""

    id: str  # the same each time that it is tried
    channel: str  # its name
    stories: tuple[str, ...]  # ids, as they were when the stories were first told
    tries: int  # this one included
    since: datetime  # when the channel was set up: what was told before is no news there


@dataclass(frozen=True, slots=True)
class Delivered:
    """The service took it."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The service did not take it, or said nothing."""

    why: str  # in words, without the address
    retry_after: timedelta | None = None  # as the service asks
    perhaps: bool = False  # all was handed over and no answer came: it may have arrived


Delivery = Delivered | Undelivered


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """How a channel has been doing."""

    name: str
    since: datetime
    waiting: int = 0  # stories
    sent: int = 0
    given_up: int = 0  # after too many tries
    unsure: int = 0  # handed over when the program was killed, or when no answer came: not told again
    last_sent: datetime | None = None
    next_due: datetime | None = None
    failures: int = 0  # in a row
    problem: str = ""  # the last failure, in words; "" when well


@dataclass(frozen=True, slots=True)
class Plan:
    """When a source is next due, and why."""

    due: datetime
    rhythm: Rhythm
    why: str  # for a person, e.g. "asked for by the server (max-age)"


@dataclass(frozen=True, slots=True)
class Past:
    """A visit as the history keeps it."""

    source: str  # the source's url
    at: datetime  # when it began
    took: timedelta
    outcome: str  # "changed", "unchanged" or "failed"
    said: str  # the failure, what was mended, or how nothing had changed; "" where there is nothing to say
    new: int  # items not seen before
    kept: int  # of them, those that belong to the subject
    due: datetime  # of the next visit, as it was planned then
    why: str  # that it was planned so


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an item stands in its story."""

    kind: str  # "founds", "same entry", "same link", "same text", "same title", "same events", "seed", "curator"
    other: str  # title of the member it was matched with; "" where it founds the story
    strength: float  # 0..1
    details: tuple[str, ...] = ()  # for a person: what both sides share


MERGED = ("merged by hand",)  # details of the curator's evidence, where two stories were made one


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as the store remembers it."""

    key: int  # the store's own number for the item
    item: Item
    verdict: Verdict
    first_seen: datetime
    story: str | None = None  # id of the story it stands in; None: not kept
    evidence: Evidence | None = None
    ruling: str | None = None  # "keep" or "drop": the curator's word on it
    seed: bool = False  # a seed story's own text
    retained: bool = True  # False: summary and body were let go, see Store.forget

    @property
    def decision(self) -> Decision:
        """What counts: the curator's word, else the verdict."""
        match self.ruling:
            case "keep":
                return Decision.KEPT
            case "drop":
                return Decision.DROPPED
            case _:
                return self.verdict.decision

    @property
    def appeared(self) -> tuple[bool, datetime, datetime, str, str]:
        """Sorts the members of a story: its seed, then as they appeared, whichever visit of a refresh ended first."""
        return (not self.seed, self.first_seen, self.item.published or self.first_seen, self.item.source, self.item.id)


@dataclass(frozen=True, slots=True)
class Withholding:
    """What keeps a story from being published, though it belongs to the subject."""

    withdrawn: bool = False  # by the operator, for good, with all repeats still to come
    held: frozenset[str] = frozenset()  # marks of the hold list's entries (holding.mark) that its members match
    released: frozenset[str] = frozenset()  # those that the operator lets pass in this story

    @property
    def in_force(self) -> bool:
        return self.withdrawn or not self.held <= self.released


@dataclass(frozen=True, slots=True)
class StoredStory:
    """A story as the store remembers it: what folding decides on, and what a published Story is made from."""

    id: str  # urn:uuid:...
    seed: bool
    told: datetime | None  # when first published; None: not published (all its items too old)
    updated: datetime  # when the lead's text last changed
    lead: int | None  # key of the member that stands for it; None: a seed's own text does
    members: tuple[StoredItem, ...]  # in order of appearance; a seed's own text first
    withholding: Withholding = Withholding()


@dataclass(frozen=True, slots=True)
class Founds:
    """The item tells a story not told before."""


@dataclass(frozen=True, slots=True)
class Joins:
    """The item tells a story already told."""

    story: str
    evidence: Evidence
    merges: tuple[tuple[str, Evidence], ...] = ()  # further stories that this item shows to be the same one


Placement = Founds | Joins


@dataclass(frozen=True, slots=True)
class Seed:
    """A story already told before the project began."""

    id: str  # "S1"
    title: str
    summary: str = ""
    link: str | None = None
    published: datetime | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One telling of a story, as published."""

    place: int  # in order of appearance, from 0
    url: str | None
    title: str
    summary: str
    source: str  # name of the outlet: the source's, or the publisher that the entry names
    source_url: str  # the feed it came from
    site: str | None  # the outlet's site
    language: str | None
    published: datetime  # the claimed date, else when first seen
    updated: datetime | None
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    evidence: Evidence | None = None
    lead: bool = False
    image: str | None = None
    excerpt_characters: int | None = None  # of its summary, at most; None: see Edition
    credit: str = ""  # a line that its source wants beside what is shown of it


@dataclass(frozen=True, slots=True)
class Story:
    """One story, however many outlets told it; the lead's text stands for it."""

    id: str  # urn:uuid:..., never changes
    seed: bool
    title: str
    summary: str
    link: str | None
    language: str | None
    published: datetime  # the lead's own date
    told: datetime  # when it was first published here; decides the order
    updated: datetime  # when the lead's text last changed
    score: float
    reasons: tuple[str, ...]
    members: tuple[Member, ...]  # the lead first, then in order of appearance; empty for a seed without a page

    @property
    def lead(self) -> Member | None:
        return self.members[0] if self.members and self.members[0].lead else None


@dataclass(frozen=True, slots=True)
class Gone:
    """A story that was told here and is no more."""

    id: str
    at: datetime  # when it was withdrawn or merged
    into: str | None = None  # id of the story that it is told as part of; None: withdrawn
    page: int | None = None  # of the archive in which it stood


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done about a story for people's safety; its text is left out on purpose."""

    at: datetime
    story: str  # id
    what: str  # "held", "released", "withdrawn", "restored"


@dataclass(frozen=True, slots=True)
class Line:
    """A told story in a long list."""

    id: str
    title: str
    language: str | None
    told: datetime


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How a source has been doing."""

    source: Source
    enabled: bool
    last_visit: datetime | None = None
    last_success: datetime | None = None
    last_new: datetime | None = None  # when it last brought something new
    next_due: datetime | None = None
    interval: timedelta | None = None
    why: str = ""  # why the next visit is when it is
    failures: int = 0  # in a row
    problem: str = ""  # the last failure or warning, in words; "" when well
    title: str = ""  # what the feed calls itself
    site: str | None = None
    seen: int = 0  # items
    kept: int = 0
    moved_to: str | None = None  # where its address redirects for good, adopted or not yet
    came: str = ""  # what came of the last visit, in words; a failure's are in `problem`
    found: str | None = None  # feed that its site names since its own vanished
    status: int | None = None  # HTTP status of the last failure; None: it went well, or no answer came
    adopted: bool = False  # `moved_to` is asked in place of its address


@dataclass(frozen=True, slots=True)
class Part:
    """Where a feed of some of the stories lies, below the published folder."""

    documents: str  # "{}" in it for the name of each: "slice/language-ko/{}"; without it, there is one
    page: str  # where people find it


@dataclass(frozen=True, slots=True)
class Edition:
    """All that is published at one time; every output is a rendering of it."""

    title: str
    link: str  # public address of the published folder, ending in "/"
    description: str
    language: str
    stories: tuple[Story, ...]  # newest told first
    sources: tuple[Source, ...]
    updated: datetime  # when anything in it last changed; never "now"
    excerpt_characters: int = 500
    hub: str = ""
    pages: int = 0  # closed pages of the archive
    page: int = 0  # which of them this is, from 1 on, the oldest; 0: the subscription documents
    gone: tuple[Gone, ...] = ()  # newest first
    part: Part | None = None  # None: this is of all stories
    days: tuple[tuple[date, int], ...] = ()  # how many of all stories were first told on a day, UTC; oldest first
    rights: Mapping[str, Rights] = field(default_factory=dict)  # by a source's url, where they are not the usual ones
