"""Fold items that tell the same story into one, never losing an item.

The ladder, in rising order of doubt: the same article (canonical link), the same text (boilerplate aside), nearly the
same title, the same events in other words or another language. A wrong merge hides news and is worse than a repeat.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import combinations
from urllib.parse import urlsplit

from rapidfuzz import fuzz

from aggregator.alike import Alike
from aggregator.boilerplate import telling, without
from aggregator.facts import Facts, cosine, pack_matcher, pooled, read, same_language
from aggregator.headlines import may_be_mended
from aggregator.likeness import enough, features, log_odds, marked, rich, shared_details, weights
from aggregator.links import canonical_link
from aggregator.model import (
    Evidence,
    Founds,
    Item,
    Joins,
    Placement,
    Seed,
    StoredStory,
)
from aggregator.words import Matcher

_NAMESPACE = uuid.UUID("6f0f5a3e-54a5-4c6b-9a55-2b7f3f0c9d11")  # for this program's story ids alone
_SEED_SOURCE = ""  # a seed's own text comes from no source
_SKETCH = 12  # smallest hashes of a text's trigrams: were measured to find every near copy
# Of a text's concepts, the rarest five by pairs and the rarest eight each alone are keys: that finds all cross-language
# pairs but one in a hundred. Pairs of six find three quarters; single ones fail where a store is so full that it gives
# only the newest of what shares a key.
_PAIRED, _ALONE = 5, 8
_SAME_TEXT = 0.90  # cosine of trigrams; 0.85 took other editions of yearly figures for copies
_SAME_TITLE = 93.0  # rapidfuzz ratio; titles of eight words that differ in one number reach 92
_COMPARED = 12  # members of a story that an item is compared with
_FAR_OFF = 3.0  # log-odds: stories that are so far below the threshold for the item itself are not looked at again
_DOUBT = 8.0  # log-odds by words alone, for or against, below which vectors are asked for
# Texts read and pairs weighed, for one refresh asks for each several times. A text takes some 40 kB, so that a daemon
# which remembered them from refresh to refresh grew by 15 MB a month.
_REMEMBERED = 5_000
_KEPT = 500  # between refreshes
_CERTAIN = 8.0  # log-odds of a copy
_SHORT = 0.5  # log-odds: as far below the threshold stay two items of which too little is known to go by
_SEED_BAR = -0.4  # log-odds; at 0.2 four in ten of their repeats on busy days were lost, at -0.7 look-alikes joined
# Log-odds of all repeats together and the mean of theirs, added. Of seven files' seeds, moved to another month, six
# that no mean finds reach 1.6 to 6.3; of look-alikes only those of a seed's own days reach as much.
_SEED_TOLD = 1.5
_SEED_DAYS = 2.0  # at 2, other soldiers' crossings joined the first seed; at 7, half of the repeats were lost
_SEED_STORY_DAYS = 8.0
_NEAR = 2.0  # days: told farther apart than this, two texts must share what marks the event; a seed's always are
_DIGITS = re.compile(r"\d+")
_LONG_TITLE = 18  # Latin letters' width: shorter titles ("N Korea news") repeat by chance


_State = tuple[bool, dict[str, tuple[str, ...]], Alike | None]


class Folder:
    """Finds the story that an item tells.

    `across_languages`: also fold what is told in different languages. `pack_terms`: name → spellings, from the topic
    pack: people, places, concepts that mark a story out. `alike`: what vectors say of pairs that words
    leave in doubt. Picklable; holds no state but a cache.
    """

    def __init__(
        self,
        across_languages: bool = True,
        pack_terms: Mapping[str, Iterable[str]] | None = None,
        alike: Alike | None = None,
    ) -> None:
        self._across = across_languages
        self._pack_terms = {name: tuple(terms) for name, terms in (pack_terms or {}).items()}
        self._alike = alike
        self._begin()

    def _begin(self) -> None:
        self.threshold = weights().threshold
        self._terms: Matcher | None = pack_matcher(self._pack_terms)
        self._read = lru_cache(_REMEMBERED)(self._read_anew)
        self._odds = lru_cache(_REMEMBERED)(self._weigh_anew)

    def __getstate__(self) -> _State:
        return self._across, self._pack_terms, self._alike

    def __setstate__(self, state: _State) -> None:
        self._across, self._pack_terms, self._alike = state
        self._begin()

    def _read_anew(self, title: str, text: str, language: str | None, stock: tuple[int, ...]) -> Facts:
        return read(title, without(text, stock), language, self._terms)

    def facts(self, item: Item) -> Facts:
        """What the item's title and summary (else its body's start) tell, but for what many of its source share."""
        return self._read(item.title, telling(item), item.language, item.stock)

    def rest(self) -> None:
        """A refresh is over: let go of what it read, if that was much."""
        if self._read.cache_info().currsize > _KEPT:
            self._read.cache_clear()
            self._odds.cache_clear()

    def keys(self, item: Item) -> frozenset[str]:
        """Plain strings, about thirty; items that may tell the same story share one.

        The canonical link; the smallest hashes of the text's trigrams, for copies; names, large numbers and pairs of
        the rarest concepts, for other words and languages.
        """
        facts = self.facts(item)
        keys = {f"gram:{gram:08x}" for gram in sorted(map(_scatter, facts.grams))[:_SKETCH]}
        if item.link:
            keys.add(f"link:{canonical_link(item.link)}")
        keys.update(f"name:{name}" for name in facts.names)
        prefix = "" if self._across else f"{facts.language}:"
        rarity = weights().rarity
        rarest = sorted(facts.concepts, key=lambda concept: (-rarity[concept], concept))
        keys.update(f"pair:{prefix}{'+'.join(sorted(pair))}" for pair in combinations(rarest[:_PAIRED], 2))
        keys.update(f"tells:{prefix}{concept}" for concept in rarest[:_ALONE])
        return frozenset(keys)

    def place(self, item: Item, candidates: Sequence[StoredStory], now: datetime) -> Placement:
        """The story among the candidates that the item tells, or a new one; pure."""
        judged = [(one, self._liken(item, one)) for one in candidates]
        fits = [(story, found) for story, found in judged if found]
        if not fits:
            return Founds()
        fits.sort(key=lambda fit: (-fit[1].strength, not fit[0].seed, fit[0].id))
        (best, evidence), rest = fits[0], fits[1:]
        merges = [(other.id, found) for other, found in rest if self._may_merge(best, other, found)]
        joined = [one for one in candidates if one.id in {best.id, *(id for id, _ in merges)}]
        return Joins(best.id, evidence, (*merges, *self._regroup(item, joined, candidates, now)))

    def _regroup(
        self, item: Item, joined: Sequence[StoredStory], candidates: Sequence[StoredStory], now: datetime
    ) -> Iterator[tuple[str, Evidence]]:
        """The stories that turn out to be one with the item's, now that it has joined: whoever comes first.

        Of two that readers saw in earlier refreshes neither goes, unless an item fits both.
        """
        group, ids = [item, *(one for story in joined for one in compared(story))], {story.id for story in joined}
        seeded, seen = any(story.seed for story in joined), any(_was_told(story, now) for story in joined)
        for other in candidates:
            if other.id in ids or (other.seed and seeded) or (seen and _was_told(other, now)):
                continue
            if found := self.same_story(group, other, seeded):
                yield other.id, found
                group += compared(other)
                seeded, seen = seeded or other.seed, seen or _was_told(other, now)

    def same_story(self, group: Sequence[Item], other: StoredStory, seeded: bool) -> Evidence | None:
        """Why a group of items and a story are one."""
        others = compared(other)
        any_age = seeded or other.seed
        asked = group if other.seed else group[:1]  # of a seed's repeats the first may be the one that says least
        own = max(sum(self.log_odds(one, each, any_age) for each in others) for one in asked) / len(others)
        bar = self.bar(any_age)
        if own < bar - _FAR_OFF:
            return None
        scores = [self.log_odds(a, b, any_age) for a in group for b in others]
        mean = sum(scores) / len(scores)
        if mean < bar and not (other.seed and self._tell(group, others[0], mean)):
            return None
        one, two = (pooled([self.facts(each) for each in side]) for side in (group, others))
        kind = "seed" if other.seed else "same events"
        return Evidence(kind, others[0].title, _strength(max(mean, bar)), shared_details(one, two))

    def _tell(self, group: Sequence[Item], seed: Item, mean: float) -> bool:
        """Whether items of one story tell a seed's: each may say too little where all together say enough."""
        apart = [days for one in group if (days := days_apart(one, seed, any_age=True)) is not None]
        days = min(apart, default=None)
        if (days is None or days >= _NEAR) and not rich(self.facts(seed)):
            return False
        return self.pooled_odds(group, seed, days) + mean >= _SEED_TOLD

    def _liken(self, item: Item, story: StoredStory) -> Evidence | None:
        """Why the item tells the story; None: it does not."""
        for other in compared(story):
            if (found := self._copy(item, other)) and not (found.kind == "same link" and self._lured(item, story)):
                return _seeded(found, story)
        return self._same_events(item, story)

    def _lured(self, item: Item, story: StoredStory) -> bool:
        """Whether only its link speaks for an item: a source may put any link below what others tell."""
        others = [other for other in compared(story) if not _shared_article(item, other)]
        bar = self.bar(story.seed) - _FAR_OFF
        return bool(others) and sum(self.log_odds(item, other, story.seed) for other in others) / len(others) < bar

    def _copy(self, item: Item, other: Item) -> Evidence | None:
        one, two = self.facts(item), self.facts(other)
        if (link := _shared_article(item, other)) and (
            item.source != other.source or may_be_mended(item.title, other.title)
        ):
            return Evidence("same link", other.title, 1.0, (f"link: {link}",))
        if not same_language(one, two):
            return None
        if _is_short(one.title) or _is_short(two.title):
            return self._copy_of_few_words(item, other)
        if one.numbers.keys() == two.numbers.keys() and (alike := cosine(one.grams, two.grams)) >= _SAME_TEXT:
            return Evidence("same text", other.title, min(alike, 0.99), (f"{alike:.0%} of the wording",))
        ratio = fuzz.ratio(one.title, two.title)
        if ratio >= _SAME_TITLE and _DIGITS.findall(one.title) == _DIGITS.findall(two.title):
            return Evidence("same title", other.title, ratio / 100 - 0.02, (f"{ratio:.0f} % of the title's letters",))
        return None

    def _copy_of_few_words(self, item: Item, other: Item) -> Evidence | None:
        """Few words repeat by chance, unless two sources have the very same within days and they tell something."""
        one, two = self.facts(item), self.facts(other)
        apart = days_apart(item, other, any_age=False) or 0.0
        if one.title != two.title or len(one.in_title) < 2 or item.source == other.source or apart >= _NEAR:
            return None
        return Evidence("same title", other.title, 0.95, ("every letter of the title",))

    def _same_events(self, item: Item, story: StoredStory) -> Evidence | None:
        """Average linkage: the mean of the log-odds against all members, not the best alone."""
        one = self.facts(item)
        scored = [
            (self.log_odds(item, other, story.seed), other)
            for other in compared(story)
            if self._across or same_language(one, self.facts(other))
        ]
        if not scored:
            return None
        mean = sum(score for score, _ in scored) / len(scored)
        nearest = max(scored, key=lambda pair: pair[0])[1]
        if mean < self.bar(story.seed) or not self._may_tell(item, nearest, story.seed):
            return None
        kind = "seed" if story.seed else "same events"
        return Evidence(kind, nearest.title, _strength(mean), self._shared(item, nearest, story.seed))

    def log_odds(self, one: Item, other: Item, any_age: bool) -> float:
        """For two items telling the same events; `any_age`: one of them stands in a seed story."""
        return self._odds(one, other, any_age)

    def likeness(self, one: Item, other: Item, any_age: bool) -> float:
        """The log-odds of two items by all that speaks: a copy is certain, too little in common never enough."""
        if self._copy(one, other):
            return _CERTAIN
        a, b = self.facts(one), self.facts(other)
        if not self._across and not same_language(a, b):
            return -_CERTAIN
        odds = self.log_odds(one, other, any_age)
        bar = self.bar(any_age)
        return odds if odds < bar or self._may_tell(one, other, any_age) else bar - _SHORT

    def bar(self, any_age: bool) -> float:
        """The mean log-odds from which on two are one story; higher where days do not count."""
        return _SEED_BAR if any_age else self.threshold

    def _may_tell(self, one: Item, other: Item, any_age: bool) -> bool:
        """Whether what two items share is enough to go by: told at one time, less is than otherwise."""
        apart = days_apart(one, other, any_age)
        weighed = enough if apart is not None and apart < _NEAR else marked
        return weighed(self.facts(one), self.facts(other))

    def evidence(self, item: Item, others: Sequence[Item], seed: bool) -> Evidence:
        """Why an item stands in one story with others, by the one that it is most like."""
        copies = (copy for other in others if (copy := self._copy(item, other)))
        if copy := next(copies, None):
            return Evidence("seed", copy.other, copy.strength, (copy.kind, *copy.details)) if seed else copy
        odds = [self.log_odds(item, other, seed) for other in others]
        nearest = others[odds.index(max(odds))]
        details = self._shared(item, nearest, seed)
        strength = _strength(max(sum(odds) / len(odds), self.bar(seed)))
        return Evidence("seed" if seed else "same events", nearest.title, strength, details)

    def _weigh_anew(self, one: Item, other: Item, any_age: bool) -> float:
        a, b, days = self.facts(one), self.facts(other), days_apart(one, other, any_age)
        odds = log_odds(a, b, days)
        if self._alike is None or any_age or not in_doubt(odds):
            return odds
        return self._alike.log_odds(features(a, b, days, weights().rarity), one, other)

    def _shared(self, one: Item, other: Item, any_age: bool) -> tuple[str, ...]:
        """What both tell, for a person; with vectors, how alike these are (-1 to 1; of two unlike stories about 0)."""
        details = shared_details(self.facts(one), self.facts(other))
        if self._alike is None or any_age:
            return details
        return (*details, f"meaning: {self._alike.of(one, other).whole:.2f}")

    def pooled_odds(self, group: Sequence[Item], other: Item, days: float | None) -> float:
        """The same for a group of items taken as one telling."""
        return log_odds(pooled([self.facts(one) for one in group]), self.facts(other), days)

    def _may_merge(self, best: StoredStory, other: StoredStory, found: Evidence) -> bool:
        """Whether an item that fits two stories shows them to be one: only if they fit each other as well."""
        if best.seed and other.seed:
            return False
        any_age = best.seed or other.seed
        scores = [self.log_odds(a, b, any_age) for a in compared(best) for b in compared(other)]
        return sum(scores) / len(scores) >= self.bar(any_age) - 0.5


def in_doubt(odds: float) -> bool:
    """Whether log-odds by words alone leave so much open that vectors are asked for."""
    return abs(odds) < _DOUBT


def compared(story: StoredStory) -> list[Item]:
    """The members that stand for a story: all, or of many the seed's text, the lead, the first and the latest."""
    members = story.members
    if len(members) > _COMPARED:
        marked = [member for member in members if member.seed or member.key == story.lead][:2]
        rest = [member for member in members if member not in marked]
        half = (_COMPARED - len(marked)) // 2
        members = (*marked, *rest[:half], *rest[-half:])
    return [member.item for member in sorted(members, key=lambda member: not member.seed)]


def _is_short(title: str) -> bool:
    """Whether a title may repeat by chance; a Han, kana or Hangul character says as much as two Latin letters."""
    return len(title) < _LONG_TITLE and len(title) + sum(character >= "\u2e80" for character in title) < _LONG_TITLE


def _was_told(story: StoredStory, now: datetime) -> bool:
    return story.seed or (story.told is not None and story.told < now)


def _strength(log_odds: float) -> float:
    return round(0.9 / (1 + math.exp(-log_odds)), 3)


def _shared_article(one: Item, two: Item) -> str | None:
    """The canonical link that both have; a front page is no article."""
    link = canonical_link(one.link or "")
    parts = urlsplit(link)
    named = parts.path.strip("/") or parts.query or parts.fragment
    return link if named and link == canonical_link(two.link or "") else None


def _scatter(value: int) -> int:
    """A fixed shuffle of 32 bits, so that the smallest hashes are a fair sample."""
    return (value * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF


def _seeded(found: Evidence, story: StoredStory) -> Evidence:
    if not story.seed:
        return found
    return Evidence("seed", found.other, found.strength, (found.kind, *found.details))


def days_apart(one: Item, other: Item, any_age: bool) -> float | None:
    """How far apart two items are dated, as far as that may count; None where a date is missing.

    A seed's own text may be repeated at any age, so its date speaks for a repeat at the same time, but hardly against a
    later one. `any_age`: the same, less so, for the repeats that a seed story has gathered.
    """
    if one.published is None or other.published is None:
        return None
    days = abs((one.published - other.published).total_seconds()) / 86400
    if _SEED_SOURCE in (one.source, other.source):
        return min(days, _SEED_DAYS)
    return min(days, _SEED_STORY_DAYS) if any_age else days


def story_id(item_source: str, item_id: str) -> str:
    """The id of the story that an item founds: the same item, the same id."""
    return uuid.uuid5(_NAMESPACE, f"item\n{item_source}\n{item_id}").urn


def seed_story_id(seed: Seed) -> str:
    """The id of a seed story: from its id in the seed set alone, so that its text may be mended."""
    return uuid.uuid5(_NAMESPACE, f"seed\n{seed.id}").urn


def seed_item(seed: Seed) -> Item:
    """A seed story's own text as an item, as folding reads it."""
    published = seed.published.astimezone(UTC) if seed.published else None
    return Item(
        source=_SEED_SOURCE,
        id=seed.id,
        link=seed.link,
        title=seed.title,
        summary=seed.summary,
        published=published,
        language=seed.language,
    )
