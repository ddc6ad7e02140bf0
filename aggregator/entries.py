"""Make stories fit to be published: what every format says about a story is decided here, once."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from urllib.parse import urlsplit

from aggregator.model import Edition, Enclosure, Evidence, Line, Member, Story
from aggregator.normalise import clean_language_tag, publishable_link, shorten, single_line
from aggregator.wording import Wording, wording

# What XML 1.0 (section 2.2) cannot hold, and the C1 controls, which it can but should not. Here, too, are the
# bidirectional embeddings, overrides and isolates (they can make a title read as what it is not, and leak into the
# text around it) and the byte order mark. The joiners stay: emoji, Persian and the Indic scripts are spelled with them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff\ufeff\u202a-\u202e\u2066-\u2069]"
)
# RSS titles, and names and categories in each format, have no way to say that they are text: what ends a tag there is
# markup to readers, which drop it, and to the W3C feed validator. A word joiner shows nothing, and there is no tag.
_END_TAG = re.compile(r"<(?=/\w+>)")
_JOINED = "<\u2060"
_LOST = {0xFFFD: "\u25a1"}  # where a source lost a character: a box, since U+FFFD is an error to the validator
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9;/?:@&=+$._!~*'()%,#-]+")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # the oldest date that the W3C feed validator holds to be plausible
_TITLE_CHARACTERS = 120  # of the summary, where a story has no title; about two lines in a reader's list

RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})


class Unpublishable(ValueError):
    """A story that breaks what the model promises; the text says how."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A story as it is published, the same in every format.

    Its texts hold nothing that a format must refuse, its summary is the excerpt, its link is an encoded web address
    or None, its dates are in UTC, whole seconds (RSS knows no finer ones), and plausible.
    """

    story: Story
    content: str  # HTML: the excerpt, and who reported it


def prepare(edition: Edition, problems: list[str]) -> tuple[Entry, ...]:
    """The edition's stories as entries, in order; one that cannot be published is left out and told in `problems`."""
    entries: dict[str, Entry] = {}
    for story in edition.stories:
        try:
            entry = _entry(story, edition)
        except (Unpublishable, ArithmeticError) as error:
            problems.append(f"The story {story.id!r} is left out: {error}.")
            continue
        if entry.story.id in entries:
            problems.append(f"The story {story.id!r} is listed twice; the second is left out.")
            continue
        entries[entry.story.id] = entry
    return tuple(entries.values())


def prepare_line(line: Line) -> Line:
    """A line whose texts hold nothing that a page must refuse."""
    return replace(line, title=clean(line.title) or "Untitled", language=_language(line.language))


def printable(text: str) -> str:
    """The text without the characters that no format can hold, otherwise as it is."""
    return _UNPRINTABLE.sub("", text)


def clean(text: str) -> str:
    """A printable text on one line."""
    return single_line(printable(text).translate(_LOST))


def untagged(text: str) -> str:
    """A clean text in which no reader finds the end of a tag."""
    return _END_TAG.sub(_JOINED, clean(text))


def publishable(url: str | None) -> str | None:
    """The link as a web address in ASCII, without credentials; None where it is none."""
    return publishable_link(url, None) if url else None


def direction(tag: str | None) -> str:
    """The `dir` of a text in this language: "ltr", "rtl", or "auto" where the language is not known."""
    if tag is None:
        return "auto"
    return "rtl" if tag.split("-")[0].lower() in RIGHT_TO_LEFT else "ltr"


def timestamp(when: datetime) -> str:
    """RFC 3339, in UTC, to the second."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def instant(when: datetime) -> datetime:
    """The time in UTC, to the second."""
    if when.utcoffset() is None:
        raise Unpublishable(f"its date {when.isoformat()} has no time zone")
    return when.astimezone(UTC).replace(microsecond=0)


def plausible(when: datetime, latest: datetime) -> datetime:
    """A claimed time as readers can believe it: not before 1990, and not after `latest`."""
    return max(_EARLIEST, min(when, latest))


def story_path(id: str) -> str:
    """Where a story's own page lies in the published folder: named by its UUID, or one that follows from its id."""
    urn = identifier(id)
    name = urn.removeprefix("urn:uuid:") if _UUID.fullmatch(urn) else uuid.uuid5(uuid.NAMESPACE_URL, urn)
    return f"story/{name}.html"


def _entry(story: Story, edition: Edition) -> Entry:
    if not math.isfinite(story.score):
        raise Unpublishable("its score is not a number")
    told = instant(story.told)
    members = tuple(_member(member) for member in story.members)
    summary = clean(story.summary)
    title = untagged(story.title) or shorten(untagged(summary), _TITLE_CHARACTERS) or _untitled(members)
    limit = story.lead.excerpt_characters if story.lead else None
    presentable = replace(
        story,
        id=identifier(story.id),
        title=title,
        summary=shorten(summary, edition.excerpt_characters if limit is None else limit),
        link=publishable(story.link),
        language=_language(story.language),
        published=plausible(instant(story.published), told),
        told=told,
        updated=max(_EARLIEST, instant(story.updated)),
        reasons=tuple(clean(reason) for reason in story.reasons),
        members=members,
    )
    return Entry(presentable, _content(presentable, edition))


@lru_cache(maxsize=4096)  # a telling stands in the documents of many slices
def _member(member: Member) -> Member:
    return replace(
        member,
        url=printable(member.url or "") or None,
        title=clean(member.title),
        source=untagged(member.source) or _outlet(member),
        source_url=publishable(member.source_url) or "",
        site=publishable(member.site),
        language=_language(member.language),
        published=instant(member.published),
        updated=instant(member.updated) if member.updated else None,
        authors=_distinct(member.authors),
        evidence=_evidence(member.evidence),
        categories=_distinct(member.categories),
        enclosures=tuple(_enclosures(member.enclosures)),
        image=publishable(member.image),
        credit=clean(member.credit),
    )


def _outlet(member: Member) -> str:
    """The outlet of a telling that names none, such as a seed's own text: the host of its feed, else of its page."""
    hosts = (urlsplit(publishable(url) or "").hostname for url in (member.source_url, member.url))
    return next((host.removeprefix("www.") for host in hosts if host), "Unknown")


def _evidence(evidence: Evidence | None) -> Evidence | None:
    if evidence is None:
        return None
    return replace(evidence, other=clean(evidence.other), details=_distinct(evidence.details))


@lru_cache(maxsize=256)
def _language(tag: str | None) -> str | None:
    return clean_language_tag(tag) if tag else None


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cleaned for text in texts if (cleaned := untagged(text))))


def _enclosures(enclosures: Iterable[Enclosure]) -> Iterable[Enclosure]:
    for enclosure in enclosures:
        url = publishable(enclosure.url)
        kind = clean(enclosure.type or "")
        if url is not None:
            known = re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind, re.ASCII)
            length = enclosure.length if enclosure.length and enclosure.length > 0 else None
            yield Enclosure(url, kind if known else "application/octet-stream", length)


def month_path(month: str) -> str:
    """Where the page of a month, "2026-03", lies below the published folder."""
    return f"month/{month}.html"


def identifier(id: str) -> str:
    """The story's id; where that is no URI, which Atom asks for (RFC 4287, 4.2.6), one that follows from it."""
    if _URI.fullmatch(id):
        return id
    return uuid.uuid5(uuid.NAMESPACE_URL, id.encode("utf-8", "backslashreplace").decode()).urn


def _untitled(members: tuple[Member, ...]) -> str:
    return f"Untitled, from {members[0].source}" if members else "Untitled"


def _content(story: Story, edition: Edition) -> str:
    """The story as a reader shows it when it is opened: safe HTML that stands without a style sheet."""
    lead, others, words = story.lead, story.members, wording(edition.language)
    parts = []
    if story.summary:
        parts.append(f"<p{_marks(story.language)}>{_text(story.summary)}</p>")
    if lead is not None:
        others = story.members[1:]
        outlet = _linked(_text(lead.source), lead)
        parts.append(f"<p>{words.reported_by.format(outlet=outlet, date=words.on_day(story.published))}</p>")
        if lead.credit:
            parts.append(f'<p dir="auto">{_text(lead.credit)}</p>')
    if others:
        rows = "".join(f"<li>{_telling(member, words)}</li>" for member in others)
        parts.append(f"<p>{words.also_reported_by}:</p><ul>{rows}</ul>")
    if not parts:
        parts.append(f"<p{_marks(story.language)}>{_text(story.title)}</p>")
    parts.append(f'<p><a href="{escape(edition.link)}{story_path(story.id)}">{words.why}</a></p>')
    return "".join(parts)


def _telling(member: Member, words: Wording) -> str:
    title = f"<span{_marks(member.language)}>{_text(member.title)}</span>" if member.title else words.untitled
    language = f" ({name})" if (name := words.language_name(member.language)) else ""
    return f"{_text(member.source)}: {_linked(title, member)}{language}"


def _linked(label: str, member: Member) -> str:
    url = publishable(member.url)
    if url is None:
        return label
    hreflang = f' hreflang="{member.language}"' if member.language else ""
    return f'<a href="{escape(url)}"{hreflang}>{label}</a>'


def _text(text: str) -> str:
    return escape(text, quote=False)


def _marks(language: str | None) -> str:
    return f' lang="{language}" dir="{direction(language)}"' if language else ' dir="auto"'
