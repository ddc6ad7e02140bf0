"""Writes stories as feeds and a page: same stories, same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from aggregator import page
from aggregator.documents import SUBSCRIBED, address, slice_path
from aggregator.entries import (
    instant,
    month_path,
    prepare,
    prepare_line,
    publishable,
    story_path,
    untagged,
)
from aggregator.model import Edition, Line, Part, Source
from aggregator.normalise import clean_language_tag
from aggregator.slices import Slice
from aggregator.sources import to_opml
from aggregator.write_json import json_feed
from aggregator.write_xml import atom, rss


def render(edition: Edition, problems: list[str] | None = None) -> dict[str, bytes]:
    """The published files: path below the output folder → content, feeds before the page that links them.

    A pure function of the edition: no clock is read, so the same edition gives the same bytes. A story that cannot
    be published is left out of every file, and a sentence on it is added to `problems`.
    """
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {
        "rss.xml": rss(edition, entries),
        "atom.xml": atom(edition, entries),
        "feed.json": json_feed(edition, entries),
        "sources.opml": to_opml(edition.sources, edition.title),
        "favicon.svg": page.favicon(),
        "sign.png": page.picture(),
        "style.css": page.style(),
        "404.html": page.absent_html(edition, gone=False),
        "410.html": page.absent_html(edition, gone=True),
        "month/index.html": page.months_html(edition),
        "index.html": page.html(edition, entries),
    }


def render_page(edition: Edition, problems: list[str] | None = None) -> dict[str, bytes]:
    """A closed page of the archive, the edition's `page`, in each feed format (RFC 5005, section 4).

    It leads to the page before it and to the current documents. The page after it is not named: while there is none
    the link would lead nowhere, and once there is one the document must not change any more. Only the first, which is
    closed together with the second, leads to that one.
    """
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {
        address(edition, "rss"): rss(edition, entries),
        address(edition, "atom"): atom(edition, entries),
        address(edition, "feed"): json_feed(edition, entries),
    }


def render_stories(edition: Edition, problems: list[str] | None = None) -> dict[str, bytes]:
    """A page of its own for each of the edition's stories."""
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {story_path(entry.story.id): page.story_html(edition, entry) for entry in entries}


def render_month(edition: Edition, month: str, lines: Iterable[Line]) -> dict[str, bytes]:
    """The page of a month, such as "2026-03", with all stories first told in it, newest first."""
    prepared = tuple(prepare_line(line) for line in lines)
    return {month_path(month): page.month_html(presentable(edition), month, prepared)}


def render_found(edition: Edition, looked_for: str, number: int = 1, more: bool = False, wrong: str = "") -> bytes:
    """A page of what was found, the edition's stories. `wrong`: a sentence on why nothing could be looked for."""
    edition = presentable(edition)
    return page.found_html(edition, prepare(edition, []), page.Looked(looked_for, number, more, wrong))


def render_part(edition: Edition, kind: str, problems: list[str] | None = None) -> bytes:
    """The document of the kind "rss", "atom" or "feed" of a feed that holds some of the stories, the edition's part."""
    edition = presentable(edition)
    entries = prepare(edition, [] if problems is None else problems)
    return {"rss": rss, "atom": atom, "feed": json_feed}[kind](edition, entries)


def render_slice(edition: Edition, cut: Slice, problems: list[str] | None = None) -> dict[str, bytes]:
    """The documents of a slice that holds the edition's stories."""
    part = Part(slice_path(cut.name, "{}"), "slice/index.html")
    edition = presentable(replace(edition, title=f"{edition.title}: {cut.title}", part=part, hub="", gone=()))
    entries = prepare(edition, [] if problems is None else problems)
    documents = {"rss": rss, "atom": atom, "feed": json_feed}
    return {address(edition, kind): write(edition, entries) for kind, write in documents.items()}


def render_slices(edition: Edition, cuts: Sequence[Slice]) -> dict[str, bytes]:
    """The page and the list that name all slices."""
    edition = presentable(edition)
    listed = [Source(f"{edition.link}{slice_path(cut.name, SUBSCRIBED['atom'])}", cut.title) for cut in cuts]
    return {
        "slice/slices.opml": to_opml(listed, edition.title),
        "slice/index.html": page.slices_html(edition, cuts),
    }


def render_moved(edition: Edition, merged: Mapping[str, str]) -> dict[str, bytes]:
    """The pages of stories that were merged: id → id of the story that each is told as part of."""
    edition = presentable(edition)
    return {story_path(id): page.moved_html(edition, into) for id, into in merged.items()}


def presentable(edition: Edition) -> Edition:
    """The edition with a head that every format can hold."""
    title = untagged(edition.title) or "Untitled"
    link = publishable(edition.link) or edition.link
    return replace(
        edition,
        title=title,
        description=untagged(edition.description) or title,
        link=link if link.endswith("/") else link + "/",
        language=clean_language_tag(edition.language) or "en",
        hub=publishable(edition.hub) or "",
        updated=instant(edition.updated),
    )
