"""Tells which items hold a name, a phrase or a link that the operator wants to see before anybody else does.

Made to hear too much rather than too little: what it finds waits for a person, who can release it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import unquote

from aggregator.links import canonical_link
from aggregator.lookalikes import as_latin
from aggregator.model import StoredItem, StoredStory, Withholding
from aggregator.names import heard, sounds
from aggregator.words import Matcher, comparable

_UNHEARD = re.compile(r"[\W_]+")
_SPACED = re.compile(
    "[^\\W\\d_\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3041-\uffff]|\\d"
)  # scripts with spaces between words
_BETWEEN = re.compile(r"[^\w*]+")
_FEWEST = 3  # letters of a phrase that is looked for with anything between its letters; shorter ones stand in any text


@dataclass(frozen=True, slots=True)
class _Phrase:
    mark: str
    letters: str  # all that is heard of it
    spread: re.Pattern[str]  # the letters, whatever stands between them that is none


class Watch:
    """The operator's list, ready to look through items.

    An entry is a link (`https://…`; with a "*" at its end also all that begins so), or else words: a phrase in the
    syntax of topic packs' terms. Words that can be read as a Korean name are also found as that name in another script
    or romanisation.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        entries = tuple(entries)
        links = [entry for entry in entries if _is_link(entry)]
        words = [entry for entry in entries if not _is_link(entry)]
        self.marks = frozenset(map(mark, entries))
        self._links = [(mark(entry), canonical_link(entry.rstrip("*")), entry.endswith("*")) for entry in links]
        self._terms = Matcher({mark(entry): (entry,) for entry in words})
        self._phrases = [phrase for entry in words if (phrase := _phrase(entry))]
        self._names = {mark(entry): found for entry in words if (found := sounds(comparable(entry)))}
        self._sounds = frozenset().union(*self._names.values())
        self._matched = lru_cache(maxsize=2_000)(self._look)

    def matched(self, story: StoredStory) -> frozenset[str]:
        """The marks of the entries that anything in the story matches that would be published of it."""
        return frozenset().union(*(self._matched(member) for member in story.members))

    def _look(self, member: StoredItem) -> frozenset[str]:
        text = comparable(written := _text(member))
        if (seen := as_latin(written)) != written:
            text = f"{text}\n{comparable(seen)}"
        found = set(self._terms.names(text))
        letters = _UNHEARD.sub("", text)
        found.update(one.mark for one in self._phrases if one.letters in letters and one.spread.search(text))
        if there := heard(text, self._sounds):
            found.update(name for name, spelled in self._names.items() if spelled & there)
        if self._links:
            found.update(self._linked(member))
        return frozenset(found)

    def _linked(self, member: StoredItem) -> Iterable[str]:
        addresses = (member.item.link, member.item.id, member.item.image, *(one.url for one in member.item.enclosures))
        there = {canonical_link(one) for one in addresses if one}
        for name, link, beginning in self._links:
            if link in there or (beginning and any(one.startswith(link) for one in there)):
                yield name


@lru_cache(maxsize=4)
def watch(entries: tuple[str, ...]) -> Watch:
    return Watch(entries)


def mark(entry: str) -> str:
    """What stands for an entry where it was found: the same for all spellings that compare as one."""
    plain = canonical_link(entry) if _is_link(entry) else _BETWEEN.sub(" ", comparable(entry)).strip()
    return blake2b(plain.encode("utf-8", "replace"), digest_size=8).hexdigest()


def joined(one: Withholding, two: Withholding) -> Withholding:
    """What keeps two stories back that are one now: all that kept either back, but for what no longer did."""
    waiting = (one.held - one.released) | (two.held - two.released)
    return Withholding(one.withdrawn or two.withdrawn, one.held | two.held, (one.released | two.released) - waiting)


def cleaned(entry: str) -> str:
    """An entry as it is kept; "" where there is nothing in it that could be looked for."""
    entry = " ".join(entry.split())
    return entry if _is_link(entry) or _UNHEARD.sub("", comparable(entry)) else ""


def _is_link(entry: str) -> bool:
    return re.match(r"(?i)https?://\S", entry) is not None


def _phrase(entry: str) -> _Phrase | None:
    letters = _UNHEARD.sub("", comparable(entry))
    if len(letters) < _FEWEST or "*" in entry:
        return None
    begin = r"(?<![^\W_])" if _SPACED.match(letters[0]) else ""
    end = r"(?![^\W_])" if _SPACED.match(letters[-1]) else ""
    return _Phrase(mark(entry), letters, re.compile(begin + r"[\W_]*".join(map(re.escape, letters)) + end))


def _text(member: StoredItem) -> str:
    """All that is published of an item, in lines; of addresses, what can be read in them."""
    item, evidence = member.item, member.evidence
    addresses = (item.link, item.image, *(one.url for one in item.enclosures))
    said = (*(evidence.details if evidence else ()), evidence.other if evidence else "")
    lines = (item.title, item.summary, item.body, item.publisher or "", *item.authors, *item.categories, *said)
    return "\n".join((*lines, *(_UNHEARD.sub(" ", unquote(one)) for one in addresses if one)))
