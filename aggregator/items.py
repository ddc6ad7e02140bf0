"""What an entry says, whatever the format it was written in, becomes an Item by rules that are the same for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import urlsplit

from aggregator.headlines import may_be_mended
from aggregator.model import Enclosure, Item
from aggregator.normalise import (
    canonical_link,
    clean_language_tag,
    detect_language,
    fits_script,
    has_markup,
    parse_time,
    plain_text,
    publishable_link,
    shorten,
    single_line,
)

# Characters, as Item's fields promise; the raw bound keeps a title of megabytes from being read at all.
_TITLE, _SUMMARY, _BODY, _NAME, _ID = 500, 5_000, 20_000, 200, 1_000
_RAW_TITLE = 20_000
_FIRST_PAGE = datetime(1990, 12, 20, tzinfo=UTC)  # of the web, at CERN
_AUTHORS, _CATEGORIES, _ENCLOSURES = 10, 30, 10  # of one entry; podcasts and planets have up to 25 categories
_SEPARATORS = (" - ", " | ", " – ", " — ", " · ")  # between a headline and the outlet's name in search feeds

# Hours east of UTC for dates without a zone: the press of these countries leaves it away (top-level domain, language).
_ZONES_OF_DOMAINS = {"kr": 9, "jp": 9, "cn": 8, "tw": 8, "hk": 8, "sg": 8, "vn": 7, "th": 7}
_ZONES_OF_LANGUAGES = {"ko": 9, "ja": 9, "zh": 8, "vi": 7, "th": 7}


class Text(NamedTuple):
    value: str = ""
    html: bool = False


_NOTHING = Text()


@dataclass(frozen=True, slots=True)
class Raw:
    """An entry as its format's reader found it, nothing cleaned; "" where there is none."""

    fingerprint: bytes
    id: str = ""
    link: str = ""
    title: Text = _NOTHING
    summary: Text = _NOTHING
    content: Text = _NOTHING
    published: str = ""
    updated: str = ""
    read_published: datetime | None = None  # as the format's reader understands the date; used where we do not
    read_updated: datetime | None = None
    language: str = ""
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    enclosures: tuple[tuple[str, str, str], ...] = ()  # address, type, length
    publisher: str = ""
    image: str = ""  # address


@dataclass(frozen=True, slots=True)
class Setting:
    """What a document tells about all of its entries."""

    source: str  # the source's url
    url: str  # of the document, for relative links
    language: str | None  # BCP 47; the operator's word
    declared: str | None  # BCP 47; the document's
    title: str  # what the feed calls itself

    def zone(self) -> tzinfo:
        """The zone of dates that name none."""
        domain = (urlsplit(self.source).hostname or "").rpartition(".")[2]
        language = (self.language or self.declared or "").partition("-")[0]
        hours = _ZONES_OF_DOMAINS.get(domain, _ZONES_OF_LANGUAGES.get(language, 0))
        return timezone(timedelta(hours=hours)) if hours else UTC


def make_item(raw: Raw, setting: Setting) -> Item | None:
    """The entry as an Item; None if it has neither text nor link."""
    link = publishable_link(raw.link, setting.url)
    publisher = _publisher(raw, setting)
    title = _headline(single_line(_read(raw.title, _RAW_TITLE)), publisher)
    summary, body = _texts(raw, title, publisher, link)
    if not (link or title or summary):
        return None
    published = _of_the_web(parse_time(raw.published, setting.zone()) or raw.read_published)
    updated = _of_the_web(parse_time(raw.updated, setting.zone()) or raw.read_updated)
    return Item(
        source=setting.source,
        id=_identity(raw.id) or link or _digest(title, summary, body),
        link=link,
        title=shorten(title, _TITLE),
        summary=shorten(summary, _SUMMARY),
        body=shorten(body, _BODY),
        published=published or updated,
        updated=updated if published and updated != published else None,
        language=_language(raw, setting, f"{title}\n{summary or body}"),
        authors=_names(raw.authors, _AUTHORS),
        categories=_names(raw.categories, _CATEGORIES),
        enclosures=_enclosures(raw, setting.url),
        publisher=publisher or None,
        fingerprint=raw.fingerprint,
        image=publishable_link(raw.image, setting.url),
    )


def make_items(raws: Sequence[Raw], setting: Setting) -> tuple[list[Item], list[str]]:
    """The entries as Items, in order, and a sentence for each that was lost. Must be given to an Isolate."""
    made = [(raw, make_item(raw, setting)) for raw in raws]
    lost = [f"an entry without text and link was left out: {raw.link[:80]!r}" for raw, item in made if item is None]
    return [item for _, item in made if item is not None], lost


def one_id_each(items: Sequence[Item]) -> list[Item]:
    """Entries of one document that share an id told apart, in document order.

    Same link: one entry in two versions; the later-dated stays (undated: the first). Different links: the source gives
    ids twice; the last in the document, the oldest as a rule, keeps it, the others' ids get their link added, or their
    title, or their text, where they have none.
    """
    items = _with_ids_of_their_own(items)
    groups: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        groups[item.id].append(number)
    kept: dict[int, Item] = {}
    for numbers in groups.values():
        by_link: dict[str, int] = {}
        for number in numbers:
            key = canonical_link(items[number].link or "")
            if key not in by_link or _moment(items[number]) > _moment(items[by_link[key]]):
                by_link[key] = number
        last = max(by_link.values())
        for number in by_link.values():
            item = items[number]
            mark = item.link or item.title or _digest(item.summary, item.body)
            kept[number] = item if number == last else replace(item, id=_identity(f"{item.id} {mark}"))
    return [kept[number] for number in sorted(kept)]


def id_by_title(item: Item) -> str:
    """The id of an entry whose own says as little as its link."""
    return _digest(item.id, item.title)


def _with_ids_of_their_own(items: Sequence[Item]) -> list[Item]:
    """Entries that share id and link, as on a page of news in short, are told apart by their titles.

    Under an id of their own the titles must be others, not one mended; a link that is the only id is believed less.
    """
    titles: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for item in items:
        titles[item.id, item.link].append(item.title)
    several = {
        (id, link)
        for (id, link), said in titles.items()
        if len(set(said)) > 1 and (id == link or not all(may_be_mended(said[0], other) for other in said))
    }
    return [replace(item, id=id_by_title(item)) if (item.id, item.link) in several else item for item in items]


def _moment(item: Item) -> datetime:
    return item.updated or item.published or datetime.min.replace(tzinfo=UTC)


def _read(text: Text, limit: int | None = None) -> str:
    return plain_text(text.value[:limit], html=text.html)


def _identity(text: str) -> str:
    """An id as it was given, but for white space and what could not be stored; a giant one as its digest."""
    if len(text) > _ID:
        return _digest(text)
    return single_line(text if text.isprintable() else "".join(c for c in text if c.isprintable() or c.isspace()))


def _digest(*texts: str) -> str:
    data = "\0".join(texts).encode("utf-8", "replace")
    return "digest:" + blake2b(data, digest_size=16).hexdigest()


def _of_the_web(when: datetime | None) -> datetime | None:
    """The date; None where it is older than the web, as a field is that was left empty (1970, 1900, year 1)."""
    return when if when and when >= _FIRST_PAGE else None


def _publisher(raw: Raw, setting: Setting) -> str:
    """The outlet an entry names as its origin, unless that is the feed itself."""
    name = shorten(single_line(plain_text(raw.publisher[:_RAW_TITLE], html=has_markup(raw.publisher))), _NAME)
    return "" if name.casefold() == setting.title.casefold() else name


def _headline(title: str, publisher: str) -> str:
    """Search feeds add the outlet to the headline; where the entry names that outlet, it goes."""
    if publisher:
        for separator in _SEPARATORS:
            ending = separator + publisher
            if title.casefold().endswith(ending.casefold()) and len(title) > len(ending):
                return title[: -len(ending)].rstrip()
    return title


def _texts(raw: Raw, title: str, publisher: str, link: str | None) -> tuple[str, str]:
    """Summary and body; the body only where it says more."""
    summary = _read(raw.summary)
    body = _read(raw.content) if raw.content != raw.summary else summary
    if not summary:
        summary = body
    if _says_nothing(summary, title, publisher, link):
        return "", ""
    if body == summary and len(summary) <= _SUMMARY:
        return summary, ""
    return summary, body if len(body) >= len(summary) else ""


def _says_nothing(summary: str, title: str, publisher: str, link: str | None) -> bool:
    """Google News repeats the headline and the outlet as summary, followed by other outlets' headlines."""
    if link is None or urlsplit(link).hostname != "news.google.com":
        return False
    return not publisher or single_line(summary).casefold().startswith(title.casefold())


def _language(raw: Raw, setting: Setting, text: str) -> str | None:
    if setting.language:
        return setting.language
    declared = clean_language_tag(raw.language) or setting.declared
    if declared and fits_script(declared, text):
        return declared
    return detect_language(text)


def _names(texts: Sequence[str], most: int) -> tuple[str, ...]:
    names = (shorten(single_line(plain_text(text[:_RAW_TITLE], html=has_markup(text))), _NAME) for text in texts)
    return tuple(dict.fromkeys(name for name in names if name))[:most]


def _enclosures(raw: Raw, base: str) -> tuple[Enclosure, ...]:
    found: dict[str, Enclosure] = {}
    for address, kind, length in raw.enclosures[: 4 * _ENCLOSURES]:
        url = publishable_link(address, base)
        if url:
            size = int(length) or None if length.isascii() and length.isdecimal() and len(length) < 16 else None
            found.setdefault(url, Enclosure(url, single_line(kind)[:100] or None, size))
    return tuple(found.values())[:_ENCLOSURES]
