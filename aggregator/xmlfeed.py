"""Entries of RSS, Atom and CDF read by feedparser: slow, so only what is new; risky, so where it can do no harm."""

from __future__ import annotations

import calendar
import io
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from aggregator.delta import shared_key
from aggregator.items import Raw, Setting, Text, make_item
from aggregator.model import Item
from aggregator.normalise import has_markup
from aggregator.plainly import read_plainly

_HTML = ("text/html", "application/xhtml+xml")
_TYPES = {  # by the ending of an address; not Python's mimetypes, which each machine adds to
    **dict.fromkeys(("jpg", "jpeg"), "image/jpeg"),
    **{ending: f"image/{ending}" for ending in ("png", "gif", "webp", "avif")},
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
_ACCIDENTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_MOST_BROKEN = 262_144  # bytes of a damaged entry; reading those is slow


class Piece(NamedTuple):
    """One entry to be read."""

    fingerprint: bytes
    data: bytes
    whole: bool  # False: not well-formed, to be read alone


def read_entries(
    opening: bytes, pieces: Sequence[Piece], closing: bytes, setting: Setting
) -> tuple[list[Item], list[str]]:
    """The entries as Items, in order, and a sentence for each that was lost. Must be given to an Isolate.

    `opening` and `closing` are the tags that enclosed the entries in their document. Each entry comes out the same
    whichever others are read with it.
    """
    items, problems = [], []
    for piece, entry in _parsed(opening, pieces, closing, setting.url):
        item = None
        if entry is not None:
            with suppress(*_ACCIDENTS):
                item = make_item(_raw(entry, piece), setting)
        if item is None and (plain := read_plainly(opening + piece.data[:_MOST_BROKEN] + closing, piece.fingerprint)):
            item = make_item(plain, setting)
        if item is None:
            problems.append(f"an entry without text and link was left out: {_beginning(piece)}")
        else:
            items.append(item)
    return items, problems


def _parsed(
    opening: bytes, pieces: Sequence[Piece], closing: bytes, url: str
) -> Iterator[tuple[Piece, dict[str, Any] | None]]:
    """Each piece with what feedparser makes of it; all at once where the document allows, else one by one."""
    if all(piece.whole for piece in pieces):
        found = _feedparser(b"".join([opening, *(piece.data for piece in pieces), closing]), url)
        if found is not None and not found["bozo"] and len(found["entries"]) == len(pieces):
            yield from zip(pieces, found["entries"], strict=True)
            return
    for piece in pieces:
        data = piece.data if piece.whole else piece.data[:_MOST_BROKEN]
        found = _feedparser(opening + data + closing, url)
        yield piece, found["entries"][0] if found and found["entries"] else None


def _feedparser(document: bytes, url: str) -> dict[str, Any] | None:
    """feedparser's reading; None if it fails.

    A stream, because bytes are taken for a path; a location, because without one an xml:base leaks into later entries.
    """
    feedparser = _library()
    headers = {"content-location": url, "content-type": "application/xml; charset=utf-8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found: dict[str, Any] = feedparser.parse(
                io.BytesIO(document), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
            )
        except _ACCIDENTS:
            return None
    return found


@cache
def _library() -> Any:
    """feedparser, told that there is no driver for libxml2: looking for it took a sixth of reading one entry."""
    import feedparser

    feedparser.api.PREFERRED_XML_PARSERS.clear()
    return feedparser


def _raw(entry: dict[str, Any], piece: Piece) -> Raw:
    links = [link for link in _several(entry, "links") if link.get("href")]
    contents = [Text(part.get("value") or "", part.get("type") in _HTML) for part in _several(entry, "content")]
    summary = _text(entry, "summary")
    return Raw(
        fingerprint=piece.fingerprint,
        id=_id(entry.get("id") or "", piece),
        link=entry.get("link") or next((link["href"] for link in links if link.get("rel") != "enclosure"), ""),
        title=_text(entry, "title"),
        summary=summary if summary.value else _text(entry, "subtitle"),
        content=max(contents, key=lambda text: len(text.value), default=Text()),
        published=_own(entry, "published") or _own(entry, "created"),
        updated=_own(entry, "updated"),
        read_published=_moment(_own(entry, "published_parsed")),
        read_updated=_moment(_own(entry, "updated_parsed")),
        language=entry.get("language") or _one(entry, "title_detail").get("language") or "",
        authors=tuple(_authors(entry)),
        categories=tuple(tag.get("label") or tag.get("term") or "" for tag in _several(entry, "tags")),
        enclosures=tuple(_enclosures(entry, links)),
        publisher=_one(entry, "source").get("title") or entry.get("news_source") or "",
        image=_image(entry, links),
    )


def _enclosures(entry: dict[str, Any], links: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Address, type and length of what comes with the entry; of Media RSS (rssboard.org/media-rss) sound and video.

    What else Media RSS names are pictures, see `_image`, and pages that play something, which are no files to have.
    """
    for link in links:
        if link.get("rel") == "enclosure":
            yield link["href"], link.get("type") or "", link.get("length") or ""
    for media in _several(entry, "media_content"):
        if media.get("url") and _type(media).startswith(("audio/", "video/")):
            yield media["url"], _type(media), media.get("filesize") or ""


def _image(entry: dict[str, Any], links: Sequence[dict[str, Any]]) -> str:
    """The address of the picture that stands for the entry: what is made for that first, of several the widest."""
    thumbnails = sorted(_several(entry, "media_thumbnail"), key=_width, reverse=True)
    pictures = sorted(filter(_is_picture, _several(entry, "media_content")), key=_width, reverse=True)
    own = [_one(entry, "image")]  # itunes:image, which feedparser calls so
    enclosed = [link for link in links if link.get("rel") == "enclosure" and _is_picture(link)]
    found = (one.get("url") or one.get("href") for one in [*thumbnails, *pictures, *own, *enclosed])
    return next(filter(None, found), "")


def _is_picture(media: dict[str, Any]) -> bool:
    return media.get("medium") == "image" or _type(media).startswith("image/")


def _type(media: dict[str, Any]) -> str:
    """The media type, as given or else as the address ends."""
    ending = (media.get("url") or "").partition("?")[0].rpartition(".")[2].lower()
    return media.get("type") or _TYPES.get(ending, "")


def _width(media: dict[str, Any]) -> int:
    text = media.get("width") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0


def _id(resolved: str, piece: Piece) -> str:
    """The id as it was given: feedparser makes relative ones absolute, so that another mirror would mean another id."""
    given = shared_key(piece.data).decode("utf-8", "replace")
    return given if given and "&" not in given and ":" not in given and resolved.endswith("/" + given) else resolved


def _text(entry: dict[str, Any], name: str) -> Text:
    """A text and whether it is HTML; RSS does not say, Atom does, and is believed."""
    value = entry.get(name) or ""
    kind = _one(entry, f"{name}_detail").get("type")
    return Text(value, kind in _HTML or (kind in (None, "text/plain") and has_markup(value)))


def _own(entry: dict[str, Any], name: str) -> Any:
    """A field without feedparser's substitutes (`updated` for a missing `published`, and so on)."""
    return dict.get(entry, name) or ""


def _several(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """What feedparser lists under a name; an element that happens to be called so (<authors>, <links>) is text."""
    found = entry.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _one(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """What feedparser keeps together under a name; {}: nothing, or the text of an element that is called so."""
    found = entry.get(name)
    return found if isinstance(found, dict) else {}


def _moment(parsed: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC) if isinstance(parsed, time.struct_time) else None
    except (ValueError, OverflowError, OSError):
        return None


def _authors(entry: dict[str, Any]) -> Iterator[str]:
    named = [author["name"] for author in _several(entry, "authors") if author.get("name")]
    yield from named or ([entry["author"]] if entry.get("author") else [])


def _beginning(piece: Piece) -> str:
    return repr(" ".join(piece.data[:200].decode("utf-8", "replace").split())[:80])
