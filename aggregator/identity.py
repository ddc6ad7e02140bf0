"""Tells whether an entry is one that its source has brought before: the same, edited, or another in its place."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from aggregator.headlines import may_be_mended
from aggregator.items import id_by_title
from aggregator.model import Changed, Item, Visit
from aggregator.normalise import canonical_link
from aggregator.words import comparable, sentence_hash, sentences


@dataclass(frozen=True, slots=True)
class Shown:
    """What a document says of the entries in it."""

    page: str | None = None  # canonical link of the page that it names as its source's own
    alone: bool = False  # it holds one entry: each is gone when the next one comes


UNKNOWN = Shown()


def shown(visit: Visit) -> Shown:
    """What a visit's document says of its entries; what a hub delivers may be a part of one."""
    if not isinstance(visit.outcome, Changed):
        return UNKNOWN
    page = visit.outcome.head.link
    return Shown(canonical_link(page) if page else None, len(visit.outcome.entries) == 1 and not visit.pushed)


def ids(item: Item, where: Shown) -> tuple[str, str]:
    """The ids under which an item may be stored: its own, and the one it goes by where another took that."""
    by_title = _leads_nowhere(item, where) or item.id == item.link
    return item.id, id_by_title(item) if by_title else f"{item.id} {item.link}"


def is_another(known: Item, item: Item, where: Shown) -> bool:
    """Whether a known id stands on another entry: some sources give ids anew, or one to all entries."""
    dated = known.published is not None and item.published is not None and known.published != item.published
    if _leads_nowhere(known, where) and _leads_nowhere(item, where):
        return (dated or item.id == item.link) and not may_be_mended(known.title, item.title)
    if where.alone and item.id == item.link:
        return not same_time(known, item) and _reads_as_another(known, item)
    linked = known.link is not None and item.link is not None and not same_link(known, item)
    return dated and linked and title(known) != title(item)


def same_elsewhere(one: Item, two: Item) -> bool:
    """Whether two items of one source and title are one entry that got another link."""
    if same_time(one, two) or _place_on_host(one) == _place_on_host(two):
        return True
    undated = one.published is None and two.published is None
    return undated and bool(one.summary) and comparable(one.summary) == comparable(two.summary)


def same_link(one: Item, two: Item) -> bool:
    return bool(one.link and two.link and canonical_link(one.link) == canonical_link(two.link))


def same_time(one: Item, two: Item) -> bool:
    return one.published is not None and one.published == two.published


def title(item: Item) -> str:
    """The title as titles are compared."""
    return comparable(item.title)


def _reads_as_another(known: Item, item: Item) -> bool:
    """Whether nothing of an entry's text is left: neither title nor text may be the other, mended.

    Of 8,908 pairs of labelled items on different events in one language, none share a sentence, and two texts are alike
    enough to be one mended. Where either has no text it is believed to be an edit.
    """
    one, two = (each.summary or each.body for each in (known, item))
    if not one or not two or may_be_mended(one, two):
        return False
    if (known.title or item.title) and may_be_mended(known.title, item.title):
        return False
    stock = {*known.stock, *item.stock}
    return not (_sentences(one) & _sentences(two)) - stock


def _sentences(text: str) -> set[int]:
    return set(map(sentence_hash, sentences(text)))


def _place_on_host(item: Item) -> object:
    """What stays of a link when a source moves to another host; nothing equals a front page, or no link."""
    parts = urlsplit(canonical_link(item.link or ""))
    return object() if _leads_nowhere(item, UNKNOWN) else (parts.path, parts.query)


def _leads_nowhere(item: Item, where: Shown) -> bool:
    """Whether an item has no link, or that of a front page or of its source's own, which some give to all entries."""
    link = canonical_link(item.link or "")
    parts = urlsplit(link)
    return link == where.page or not (parts.path.strip("/") or parts.query)
