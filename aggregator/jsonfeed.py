"""JSON Feed 1.0 and 1.1 (jsonfeed.org), read as far as it is new."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aggregator.delta import digest, limit_entries
from aggregator.errors import FeedError
from aggregator.items import Raw, Setting, Text, make_item
from aggregator.model import FeedHead, Item
from aggregator.normalise import clean_language_tag, plain_text, publishable_link, shorten, single_line

_LONGEST_TITLE = 200
# Between values, or within texts: in 10 MB of prose are 200,000. What is read becomes objects of up to 230 bytes a
# value in the main process; 10 MB of {"a":0} took 250 MB.
_MOST_COMMAS = 500_000
_DEEPEST = 50  # levels of one field; JSON Feed itself needs two, extensions that were met four


def load(text: str) -> Mapping[str, Any]:
    """The feed's object; FeedError says what it was instead."""
    if text.count(",") > _MOST_COMMAS:
        raise FeedError("the document is JSON of more values than any feed has")
    try:
        found = _loaded(text)
    except RecursionError:
        raise FeedError("the document is JSON nested too deeply to be read") from None
    except ValueError as error:
        raise FeedError(f"the document looks like JSON and is not well-formed: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        raise FeedError("the document is JSON, but no JSON Feed: it has no list of items")
    limit_entries(len(found["items"]))
    return found


def _loaded(text: str) -> Any:
    """As json reads it; where one number has more digits than Python turns into one, each number as it is written."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=str)


def read_head(feed: Mapping[str, Any], url: str) -> FeedHead:
    version = _string(feed, "version")
    hubs = [_string(hub, "url") for hub in _objects(feed, "hubs") if _string(hub, "type").lower() in ("websub", "")]
    return FeedHead(
        format="json11" if version.rstrip("/").endswith("1.1") else "json1",
        title=shorten(single_line(plain_text(_string(feed, "title"), html=False)), _LONGEST_TITLE),
        link=publishable_link(_string(feed, "home_page_url"), url),
        language=clean_language_tag(_string(feed, "language")),
        hub=publishable_link(next(iter(hubs), ""), url),
        self_link=publishable_link(_string(feed, "feed_url"), url),
    )


def pieces(feed: Mapping[str, Any]) -> list[tuple[bytes, Mapping[str, Any]]]:
    """Each entry with its fingerprint, in document order; what nests deeper in it than any feed's does is left out."""
    entries = [entry for entry in feed["items"] if isinstance(entry, dict)]
    shallow = [{name: value for name, value in entry.items() if not _is_deep(value)} for entry in entries]
    return [(digest(json.dumps(entry, sort_keys=True).encode("ascii")), entry) for entry in shallow]


def _is_deep(value: Any) -> bool:
    """Whether lists and objects nest so deep that who walks them down may come to the end of its stack."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def shared_key(entry: Mapping[str, Any]) -> bytes:
    """Equal for entries of equal id, or of equal link where they have none."""
    return (_string(entry, "id") or _link(entry)).strip().encode("utf-8", "replace")


def read_entries(entries: list[tuple[bytes, Mapping[str, Any]]], setting: Setting) -> tuple[list[Item], list[str]]:
    """The entries as Items, in order, and a sentence for each that was lost."""
    items, problems = [], []
    for fingerprint, entry in entries:
        item = make_item(_raw(entry, fingerprint), setting)
        if item is None:
            problems.append(f"an entry without text and link was left out: {str(dict(entry))[:80]!r}")
        else:
            items.append(item)
    return items, problems


def _raw(entry: Mapping[str, Any], fingerprint: bytes) -> Raw:
    html, text = _string(entry, "content_html"), _string(entry, "content_text")
    people = _objects(entry, "authors") or ([entry["author"]] if isinstance(entry.get("author"), dict) else [])
    return Raw(
        fingerprint=fingerprint,
        id=_string(entry, "id"),
        link=_link(entry),
        title=Text(_string(entry, "title")),
        summary=Text(_string(entry, "summary")),
        content=Text(html, True) if html else Text(text),
        published=_string(entry, "date_published"),
        updated=_string(entry, "date_modified"),
        language=_string(entry, "language"),
        authors=tuple(_string(person, "name") for person in people),
        categories=tuple(tag for tag in _list(entry, "tags") if isinstance(tag, str)),
        enclosures=tuple(_attachments(entry)),
        image=_string(entry, "image") or _string(entry, "banner_image"),
    )


def _attachments(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for attachment in _objects(entry, "attachments"):
        size = attachment.get("size_in_bytes")
        yield (
            _string(attachment, "url"),
            _string(attachment, "mime_type"),
            str(int(size)) if isinstance(size, int | float) and 0 <= size < 1e15 else "",
        )


def _link(entry: Mapping[str, Any]) -> str:
    return _string(entry, "url") or _string(entry, "external_url")


def _string(entry: Mapping[str, Any], name: str) -> str:
    """The value as text; numbers are taken where text is due, because many write ids so."""
    value = entry.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _list(entry: Mapping[str, Any], name: str) -> list[Any]:
    value = entry.get(name)
    return value if isinstance(value, list) else []


def _objects(entry: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [value for value in _list(entry, name) if isinstance(value, dict)]
