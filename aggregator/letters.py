"""Write new stories for those who are told of them: as a mail, as a short text, as JSON for a program."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from itertools import groupby

from aggregator.entries import Entry, clean, prepare, publishable, story_path, timestamp
from aggregator.model import Edition, Member, Story
from aggregator.page import letter_html, others
from aggregator.render import presentable
from aggregator.wording import Wording, wording
from aggregator.write_json import json_item

_WIDTH = 72  # of a line of text (RFC 5322, 2.1.1 asks for less than 79)
_LISTED = 10  # stories in a short text: what a chat shows without unfolding, and below the shortest of their limits
_SUBJECT = 200  # characters; longer ones are cut by mail programs, and a title may have 500


@dataclass(frozen=True, slots=True)
class Group:
    """Stories under one heading."""

    heading: str  # "": none
    stories: tuple[Story, ...]


def subject(edition: Edition, written: datetime, *, digest: bool) -> str:
    """One line: the story's title or, of several and of a digest, what they are, of which day, and how many."""
    edition, entries = _prepared(edition)
    if len(entries) == 1 and not digest:
        return entries[0].story.title[:_SUBJECT]
    day = wording(edition.language).on_day(written)
    return f"{edition.title}: {day} ({len(entries)})"[:_SUBJECT]


def short(edition: Edition) -> str:
    """The stories in a few lines each, the newest ten of them, and where all of them are."""
    edition, entries = _prepared(edition)
    words = wording(edition.language)
    parts = [_brief(entry.story, edition, words) for entry in entries[:_LISTED]]
    if more := len(entries) - len(parts):
        parts.append(f"+ {more}: {edition.link}")
    return "\n\n".join(parts)


def plain(edition: Edition, written: datetime) -> str:
    """The stories as plain text, for a mail."""
    edition, entries = _prepared(edition)
    words = wording(edition.language)
    parts = [f"{edition.title}\n{words.on_day(written)}"]
    for group in grouped(edition, entries):
        if group.heading:
            parts.append(f"{group.heading}\n{'=' * max(len(group.heading), 3)}")
        parts += [_in_full(story, edition, words) for story in group.stories]
    parts.append("-- \n" + _wrapped(words.rights) + f"\n{words.newest}: {edition.link}")
    return "\n\n".join(parts) + "\n"


def html(edition: Edition, written: datetime) -> str:
    """The stories as HTML that needs no style sheet, no table and nothing from elsewhere, for a mail."""
    edition, entries = _prepared(edition)
    words = wording(edition.language)
    return letter_html(edition=edition, words=words, written=written, groups=grouped(edition, entries))


def mail(edition: Edition, id: str, sender: str, to: str, written: datetime, *, digest: bool) -> EmailMessage:
    """A mail that says the same as text and as HTML; `id` names it, the same each time that it is sent."""
    letter = EmailMessage(policy=SMTP)
    letter["From"], letter["To"] = sender, to
    letter["Subject"] = subject(edition, written, digest=digest)
    letter["Date"] = format_datetime(written)
    letter["Message-ID"] = f"<{id}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notice is sent back
    letter["Content-Language"] = edition.language
    letter.set_content(plain(edition, written))
    letter.add_alternative(html(edition, written), subtype="html")
    return letter


def payload(edition: Edition, written: datetime) -> bytes:
    """The stories for a program: Standard Webhooks 1.0 around items as in feed.json (JSON Feed 1.1)."""
    edition, entries = _prepared(edition)
    data = {
        "title": edition.title,
        "home_page_url": edition.link,
        "feed_url": f"{edition.link}feed.json",
        "items": [{**json_item(entry), "_page": f"{edition.link}{story_path(entry.story.id)}"} for entry in entries],
    }
    body = {"type": "stories.new", "timestamp": timestamp(written), "data": data}
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def grouped(edition: Edition, entries: Iterable[Entry]) -> list[Group]:
    """The stories by the day on which they were told here, or of one day by language, the edition's own first."""
    stories, words = [entry.story for entry in entries], wording(edition.language)
    days = [(words.on_day(day), tuple(told)) for day, told in groupby(stories, key=lambda one: one.told.date())]
    if len(days) > 2:  # two are one morning's: the news of yesterday and of tonight
        return [Group(day, told) for day, told in days]
    named = [(words.language_name(story.language), story) for story in stories]
    own = words.language_name(edition.language)
    headings = sorted({name for name, _ in named}, key=lambda name: (name != own, not name, name))
    if len(headings) < 2:
        return [Group("", tuple(stories))]
    return [Group(heading or "…", tuple(story for name, story in named if name == heading)) for heading in headings]


def _prepared(edition: Edition) -> tuple[Edition, tuple[Entry, ...]]:
    edition = presentable(edition)
    return edition, prepare(edition, [])


def _brief(story: Story, edition: Edition, words: Wording) -> str:
    lines = [story.title, _origin(story, words), *(one for one in (story.link,) if one)]
    return "\n".join([*lines, f"{words.why}: {edition.link}{story_path(story.id)}"])


def _in_full(story: Story, edition: Edition, words: Wording) -> str:
    lines = [_wrapped(story.title), _origin(story, words)]
    lines += [_wrapped(text, "  ") for text in (story.summary, story.lead.credit if story.lead else "") if text]
    if story.link:
        lines.append(f"  {words.read_more}: {story.link}")
    if told := others(story):
        lines.append(f"  {words.also_reported_by}:")
        lines += [_also(member, words) for member in told]
    reasons = f" ({'; '.join(story.reasons[:3])})" if story.reasons else ""
    lines += [_wrapped(f"{words.why}{reasons}:", "  "), f"  {edition.link}{story_path(story.id)}"]
    return "\n".join(lines)


def _origin(story: Story, words: Wording) -> str:
    """Who told it, in which language, when."""
    lead = (story.lead.source,) if story.lead else ()
    return " · ".join(one for one in (*lead, words.language_name(story.language), words.on_day(story.published)) if one)


def _also(member: Member, words: Wording) -> str:
    language = f" ({name})" if (name := words.language_name(member.language)) else ""
    url = publishable(member.url)
    said = f"  - {clean(member.source)}{language}: {member.title or words.untitled}"
    return f"{said}\n    {url}" if url else said


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
