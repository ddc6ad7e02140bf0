"""Where each published document lies below the folder, and how the documents of one feed lead to each other."""

from __future__ import annotations

from aggregator.model import Edition

SUBSCRIBED = {"rss": "rss.xml", "atom": "atom.xml", "feed": "feed.json"}
ARCHIVED = {"rss": "archive/rss-{}.xml", "atom": "archive/atom-{}.xml", "feed": "archive/feed-{}.json"}


def slice_path(name: str, document: str) -> str:
    """Where a document of a slice lies below the folder."""
    return f"slice/{name}/{document}"


def slice_names(name: str) -> tuple[str, ...]:
    """The files of a slice."""
    return tuple(slice_path(name, document) for document in SUBSCRIBED.values())


def page_names(number: int) -> frozenset[str]:
    """The files of a closed page of the archive."""
    return frozenset(name.format(number) for name in ARCHIVED.values())


def address(edition: Edition, kind: str, page: int | None = None) -> str:
    """Where a document of the kind "rss", "atom" or "feed" lies below the folder; 0: the one to subscribe to."""
    if edition.part is not None:
        return edition.part.documents.format(SUBSCRIBED[kind])
    number = edition.page if page is None else page
    return ARCHIVED[kind].format(number) if number else SUBSCRIBED[kind]


def neighbours(edition: Edition, kind: str) -> list[tuple[str, str]]:
    """The documents that this one is a part of a feed with: link relation and address (RFC 5005, section 4)."""
    links: list[tuple[str, str]] = []
    if edition.part is not None:
        return links
    before = edition.page - 1 if edition.page else edition.pages
    if before:
        links.append(("prev-archive", edition.link + address(edition, kind, before)))
    if edition.page == 1 and edition.pages > 1:
        links.append(("next-archive", edition.link + address(edition, kind, 2)))
    if edition.page:
        links.append(("current", edition.link + address(edition, kind, 0)))
    return links
