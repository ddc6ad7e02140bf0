"""Writes stories as pages for people: static, without scripts; the first page in one file with its style."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aggregator.entries import (
    Entry,
    direction,
    month_path,
    publishable,
    story_path,
    timestamp,
)
from aggregator.health import remark, trouble
from aggregator.model import Edition, Line, Member, Story
from aggregator.normalise import without_password
from aggregator.slices import Slice
from aggregator.spans import ago, ahead, span
from aggregator.wording import wording

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_WEEK = timedelta(weeks=1)
_WEEKS = 104  # bars of the time line, at most; on a phone each is then three pixels wide
_SHOWN = 5  # of those who also reported a story; a click shows the others, so that one story does not fill a screen
_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Day:
    """The stories that were first told on one day, UTC."""

    date: date
    stories: tuple[Story, ...]


def html(edition: Edition, entries: tuple[Entry, ...]) -> bytes:
    """The page as UTF-8 HTML."""
    stories = tuple(entry.story for entry in entries)
    style, linked_data = _read("page.css"), _linked_data(edition, stories)
    page = _template("page.html").render(
        edition=edition,
        words=wording(edition.language),
        days=tuple(_days(stories)),
        stories=len(stories),
        weeks=_weeks(edition.days),
        shown=_SHOWN,
        outlets=len({member.source for story in stories for member in story.members}),
        sign=_sign(),
        style=style,
        style_hash=style_hash(),
        linked_data=linked_data,
        data_hash=_csp_hash(linked_data),
    )
    return page.encode()


def story_html(edition: Edition, entry: Entry) -> bytes:
    """A story's own page: all who told it, in order of appearance, and why it is here."""
    story = entry.story
    linked_data = _embedded({"@context": "https://schema.org"} | _article(story))
    page = _template("story.html").render(
        edition=edition,
        words=wording(edition.language),
        story=story,
        tellings=sorted(story.members, key=lambda member: member.place),
        sign=_sign(),
        linked_data=linked_data,
        data_hash=_csp_hash(linked_data),
    )
    return page.encode()


def subjects_html(subjects: Sequence[tuple[str, Edition]]) -> bytes:
    """The page that leads to several subjects, by name and what each says of itself, each in its own language."""
    style = _read("page.css")
    each = [{"name": name, "edition": edition, "words": wording(edition.language)} for name, edition in subjects]
    page = _template("subjects.html").render(subjects=each, sign=_sign(), style=style, style_hash=style_hash())
    return page.encode()


def absent_html(edition: Edition, *, gone: bool) -> bytes:
    """The page that is shown where there is none; `gone`: where there was one. It may be shown below any folder."""
    words, style = wording(edition.language), _read("page.css")
    said = words.no_more if gone else words.not_here
    page = _template("absent.html").render(
        edition=edition, words=words, said=said, sign=_sign(), style=style, style_hash=style_hash()
    )
    return page.encode()


def month_html(edition: Edition, month: str, lines: tuple[Line, ...]) -> bytes:
    """All stories first told in a month, "2026-03", newest first, by their days."""
    days = [(day, tuple(told)) for day, told in groupby(lines, key=lambda line: line.told.date())]
    page = _template("month.html").render(
        edition=edition, words=wording(edition.language), month=month, begin=_first_of(month), days=days, sign=_sign()
    )
    return page.encode()


def months_html(edition: Edition) -> bytes:
    """The months that have stories, newest first."""
    months = Counter[str]()
    for day, count in edition.days:
        months[f"{day:%Y-%m}"] += count
    page = _template("months.html").render(
        edition=edition,
        words=wording(edition.language),
        months=[(month, _first_of(month), count) for month, count in sorted(months.items(), reverse=True)],
        weeks=_weeks(edition.days),
        sign=_sign(),
    )
    return page.encode()


@dataclass(frozen=True, slots=True)
class Looked:
    """What somebody looked for, and how it went."""

    text: str  # as they wrote it
    number: int = 1  # of the page of what was found
    more: bool = False  # there is a further page
    wrong: str = ""  # why it could not be looked for, as a sentence

    def address(self, number: int) -> str:
        """Of a page of what was found."""
        query = {"q": self.text} | ({"page": str(number)} if number > 1 else {})
        return f"search?{urlencode(query)}"

    @property
    def feed(self) -> str:
        """The address of what was found as a feed."""
        return f"search.atom?{urlencode({'q': self.text})}"


def found_html(edition: Edition, entries: tuple[Entry, ...], looked: Looked) -> bytes:
    """What was found among all stories, newest first, below the box to look for something else in."""
    words, stories = wording(edition.language), tuple(entry.story for entry in entries)
    page = _template("search.html").render(edition=edition, words=words, stories=stories, looked=looked, sign=_sign())
    return page.encode()


def letter_html(**what: object) -> str:
    """Stories as a mail, templates/letter.html; see the module letters."""
    return _template("letter.html").render(**what)


def operator_html(name: str, **what: object) -> str:
    """One of the operator's pages, templates/desk/`name`.html, made from what it needs; see the module desk."""
    return _template(f"desk/{name}.html").render(sign=_sign(), **what)


def operator_style() -> str:
    """The style sheet of the operator's pages."""
    return _read("page.css") + "\n" + _read("desk/desk.css") + "\n"


def source_number(url: str) -> str:
    """What a source is called in the addresses of the operator's pages: its own address may hold a password."""
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def slices_html(edition: Edition, slices: Iterable[Slice]) -> bytes:
    """All feeds of some of the stories, by what they are cut by."""
    page = _template("slices.html").render(
        edition=edition,
        words=wording(edition.language),
        groups=[(kind, list(members)) for kind, members in groupby(slices, key=lambda one: one.kind)],
        documents=[("rss", "rss.xml"), ("atom", "atom.xml"), ("feed", "feed.json")],
        sign=_sign(),
    )
    return page.encode()


_DOCUMENTS = {"rss": "RSS", "atom": "Atom", "feed": "JSON"}
_DOCUMENT_TYPES = {"rss": "application/rss+xml", "atom": "application/atom+xml", "feed": "application/feed+json"}


def _first_of(month: str) -> date:
    return date.fromisoformat(f"{month}-01")


def _weeks(days: tuple[tuple[date, int], ...]) -> list[tuple[date, int]]:
    """Stories in each week of the time line, from the first week with any to the last; [] for a single week."""
    counts = Counter[date]()
    for day, count in days:
        counts[day - timedelta(days=day.weekday())] += count
    last = max(counts, default=date.min)
    first = max(min(counts, default=last), last - _WEEK * (_WEEKS - 1)) if last - date.min > _WEEK * _WEEKS else last
    weeks = [first + _WEEK * turn for turn in range((last - first) // _WEEK + 1)]
    return [(week, counts[week]) for week in weeks] if len(weeks) > 1 else []


def moved_html(edition: Edition, into: str) -> bytes:
    """The page under the old id of a story that was merged: it leads to the page of the other one."""
    target = story_path(into).removeprefix("story/")
    return _template("moved.html").render(edition=edition, words=wording(edition.language), target=target).encode()


def style() -> bytes:
    """The style sheet of the pages below the first."""
    return (_read("page.css") + "\n").encode()


def style_hash() -> str:
    """What lets the style in the first page through a Content-Security-Policy."""
    return _csp_hash(_read("page.css"))


def favicon() -> bytes:
    """The page's icon, SVG: many lines that become one."""
    return (_read("favicon.svg") + "\n").encode()


def picture() -> bytes:
    """The icon as PNG, 512 by 512 pixels, for those who show links with a picture: few of them read SVG."""
    return (_TEMPLATES / "sign.png").read_bytes()


def _days(stories: tuple[Story, ...]) -> Iterator[Day]:
    for day, told in groupby(stories, key=lambda story: story.told.date()):
        yield Day(day, tuple(told))


def others(story: Story) -> tuple[Member, ...]:
    """The members that do not lead the story."""
    return tuple(member for member in story.members if not member.lead)


def _linked_data(edition: Edition, stories: tuple[Story, ...]) -> str:
    """The page as JSON-LD in the words of schema.org."""
    data = {
        "@context": "https://schema.org",
        "@type": "CollectionPage",
        "name": edition.title,
        "description": edition.description,
        "url": edition.link,
        "inLanguage": edition.language,
        "dateModified": timestamp(edition.updated),
        "mainEntity": {
            "@type": "ItemList",
            "itemListElement": [
                {"@type": "ListItem", "position": position, "item": _article(story)}
                for position, story in enumerate(stories, start=1)
            ],
        },
    }
    return _embedded(data)


def _embedded(data: dict[str, Any]) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _article(story: Story) -> dict[str, Any]:
    article = {
        "@type": "NewsArticle",
        "headline": story.title,
        "url": story.link,
        "datePublished": timestamp(story.published),
        "inLanguage": story.language,
        "publisher": {"@type": "Organization", "name": story.lead.source} if story.lead else None,
        "creditText": story.lead.credit if story.lead else None,
    }
    return {key: value for key, value in article.items() if value}


def _for_a_reader(url: str) -> str:
    """The address of a feed as a link that opens a reader on the device (draft-obasanjo-feed-uri-scheme).

    The draft writes an address over https out, "feed:https://…", and NetNewsWire reads that. But some readers know only
    "feed://" (what was said in NetNewsWire's issue 142), and the Nu HTML Checker holds all else to be an error. They
    ask over http, where a server that has https leads on to it.
    """
    return f"feed://{url.partition('://')[2]}"


def _csp_hash(text: str) -> str:
    """What lets this element's text, and no other, through the Content-Security-Policy (CSP 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _sign() -> str:
    return _read("favicon.svg").replace("<svg ", '<svg class="sign" aria-hidden="true" ', 1)


@cache
def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


@cache
def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "address": publishable,
        "ago": ago,
        "ahead": ahead,
        "because": wording("en").why_here,
        "direction": direction,
        "document": _DOCUMENTS.__getitem__,
        "language": wording("en").language_name,
        "media_type": _DOCUMENT_TYPES.__getitem__,
        "month_path": month_path,
        "others": others,
        "remark": remark,
        "source_number": source_number,
        "span": span,
        "story_path": story_path,
        "timestamp": timestamp,
        "trouble": trouble,
        "without_password": without_password,
        "for_a_reader": _for_a_reader,
    }
    return environment
