"""Find in items what many of their source share, so that folding can leave it out: it says nothing of any of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from aggregator.model import Decision, Item, Judged
from aggregator.words import comparable, sentence_hash, sentences

# Shared by at least so many items of a source, a sentence says nothing about any of them: two may quote one another.
SHARED = 3
_BODY = 600  # characters


def telling(item: Item) -> str:
    """The text beside its title by which an item is folded."""
    return item.summary or item.body[:_BODY]


def bare(item: Item) -> Item:
    """The item without the sentences of its summary that say nothing of it."""
    return replace(item, summary=without(item.summary, item.stock)) if item.stock else item


def without(text: str, stock: Collection[int]) -> str:
    """The text without the sentences of these hashes."""
    return " ".join(one for one in sentences(text) if sentence_hash(one) not in stock) if stock else text


def with_stock(judged: Sequence[Judged], known: frozenset[int]) -> tuple[Judged, ...]:
    """A document's items, each kept one with the hashes of its sentences that say nothing of it (`Item.stock`).

    These are `known` of the source from earlier documents, or stand in several items of this one, so that a source's
    first document is read rightly, too. What a search or planet feed brings comes from many outlets: what these share
    is the news.
    """
    shared = known | _repeated([one.item for one in judged if _is_own(one)])
    if not shared:
        return tuple(judged)
    return tuple(replace(one, item=_marked(one.item, shared)) if _is_own(one) else one for one in judged)


def _is_own(judged: Judged) -> bool:
    """Whether it is kept, and its source's own."""
    return judged.verdict.decision is Decision.KEPT and not judged.item.publisher


def _marked(item: Item, shared: frozenset[int]) -> Item:
    """The first sentence stays where any other does: three reports of one event may begin alike, and differ below."""
    told = tuple(_hashes(item))
    stock = shared.intersection(told)
    if stock and stock.issuperset(told):
        return replace(item, stock=tuple(sorted(stock)))
    return replace(item, stock=tuple(sorted(stock.difference(told[:1]))))


def _repeated(items: Sequence[Item]) -> frozenset[int]:
    """The sentences under at least so many titles: one entry that stands in a document twice is no boilerplate."""
    if len(items) < SHARED:
        return frozenset()
    titles = defaultdict[int, set[str]](set)
    for item in items:
        for hash in _hashes(item):
            titles[hash].add(comparable(item.title))
    return frozenset(hash for hash, under in titles.items() if len(under) >= SHARED)


def _hashes(item: Item) -> Iterable[int]:
    return map(sentence_hash, sentences(telling(item)))
