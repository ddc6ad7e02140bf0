"""Weigh whether two texts tell the same events: features of the pair, learned weights, and what a person can read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import repeat
from operator import mul
from weakref import WeakKeyDictionary

from aggregator.counts import shared_days
from aggregator.facts import FACETS, Facts, cosine, facet_of, gram_weights, lexicon_groups, same_language

_LEAST = 2  # with one, titles of four words that both say "expert" were put together
_TELLING, _RARE, _RARE_PLACE, _SEVERAL = 1.2, 3.3, 2.6, 4  # see marked
_RICH = 9.0  # sum of rarities: "soldier, flee, border" come to 6.5; a seed with a summary to 26 and more
_UNDATED = 1.5  # days: what an absent date counts as
# Kinds of marks that two texts of one event do not tell differently. Stage and way of coming are weighed by their
# concepts; who speaks, and "second in" or "first since", were tried, too: they parted tellings of one event.
_APART = frozenset(["rank", "who", "age", "period", "sea"])
_BIG = 1.5  # telling of a number above which it is a mark of its own
_UNSEEN = 5.0  # rarity of a concept that the fitting texts do not hold


@dataclass(frozen=True, slots=True)
class Weights:
    """What tests/curation/stories_fit.py learned; likeness.json holds it."""

    rarity: Rarity
    bias: float
    features: Mapping[str, float]
    threshold: float  # log-odds above which an item joins a story, averaged over the story's members


@cache
def weights() -> Weights:
    """The weights that ship."""
    table = json.loads(files("aggregator").joinpath("lexicon", "likeness.json").read_text("utf-8"))
    return Weights(Rarity(table["rarity"]), table["bias"], table["features"], table["threshold"])


@dataclass(frozen=True, slots=True)
class Groups:
    """What lexicon/groups.toml says of concepts and words that folding treats alike."""

    stages: Mapping[str, frozenset[str]]  # of one affair → concepts; each stage is a story of its own
    means: Mapping[str, frozenset[str]]  # of coming → concepts; who came one way did not come another
    pivots: frozenset[str]  # concepts of which one side's silence speaks against the other
    common_words: frozenset[str]  # that say nothing when texts of two languages share them


@cache
def groups() -> Groups:
    """The groups that ship."""
    table = lexicon_groups()
    stages, means = (
        {group: frozenset(concepts) for group, concepts in table[name].items()} for name in ("stages", "means")
    )
    return Groups(stages, means, frozenset(table["pivots"]), frozenset(table["common_words"]))


def log_odds(one: Facts, other: Facts, days: float | None) -> float:
    """For the same events (positive) or against (negative); `days` apart, None where a date is missing."""
    learned = weights()
    values = features(one, other, days, learned.rarity)
    weighed: float = sum(map(mul, map(learned.features.get, values, repeat(0.0)), values.values()))
    return learned.bias + weighed


def rich(facts: Facts) -> bool:
    """Whether a text tells enough to be known again without its date; a bare headline of the usual words does not."""
    return weights().rarity.mass(facts.concepts) >= _RICH


def enough(one: Facts, other: Facts) -> bool:
    """Whether two texts share so much that it can be weighed at all: more than one thing told, or a name."""
    shared = one.concepts.keys() & other.concepts.keys() | one.numbers.keys() & other.numbers.keys()
    return len(shared) >= _LEAST or bool(one.names.keys() & other.names.keys())


def marked(one: Facts, other: Facts) -> bool:
    """Whether what two texts share marks one event out among its like, as it must once their dates do not.

    A name, a day, a number above five, a place, an uncommon act or thing, or several usual ones.
    """
    if one.names.keys() & other.names.keys() or shared_days(one.days, other.days):
        return True
    if any(telling(number) >= _TELLING for number in one.numbers.keys() & other.numbers.keys()):
        return True
    rarity, facets = weights().rarity, facet_of()
    shared = one.concepts.keys() & other.concepts.keys()
    rare = {c for c in shared if rarity[c] >= (_RARE_PLACE if facets[c] == "places" else _RARE)}
    return bool(rare) or len(shared) >= _SEVERAL


def features(one: Facts, other: Facts, days: float | None, rarity: Rarity) -> dict[str, float]:
    """Name → value, about 0..3 each; symmetric in the two texts."""
    across = not same_language(one, other)
    values = _concepts(one, other, rarity) | _marks(one, other, rarity) | nearness(days)
    if across:
        values["across"] = 1.0
        values["across.overlap"] = values["overlap"]
        values["across.shared"] = values["shared"]
        shared_words = [word for word in one.words & other.words if word not in groups().common_words]
        values["across.words"] = min(len(shared_words), 3) / 1.0
    else:
        same = cosine(gram_weights(one), gram_weights(other))
        values["wording"] = same
        values["title_wording"] = cosine(one.title_grams, other.title_grams)
        values["wording2"] = same * same * 4
    return values


def nearness(days: float | None) -> dict[str, float]:
    """The features that tell how far apart two texts are dated, and no others do."""
    apart = _UNDATED if days is None else min(days, 30.0)
    return {"days": math.log1p(apart) / 3.4, "days.week": float(apart > 8)}


@dataclass(frozen=True, slots=True)
class Told:
    """What follows from one telling alone; the masses are sums of rarities."""

    mass: float
    by_facet: Mapping[str, float]
    in_title: float
    stages: Set[str]
    means: Set[str]
    marks: Mapping[str, Set[str]]  # kind → what is told of it
    big: Set[str]  # numbers that say something when the other side has others


class Rarity:
    """Concept → natural logarithm of how seldom it is told; remembers what it made of a telling while that lives."""

    def __init__(self, of: Mapping[str, float]) -> None:
        self.of = of
        self._told = WeakKeyDictionary[Facts, Told]()

    def __getitem__(self, concept: str) -> float:
        return self.of.get(concept, _UNSEEN)

    def mass(self, concepts: Iterable[str]) -> float:
        return sum(map(self.__getitem__, concepts))

    def masses(self, concepts: Iterable[str]) -> dict[str, float]:
        """Facet → the sum of rarities."""
        masses: dict[str, float] = {}
        facets = facet_of()
        for concept in concepts:
            facet = facets[concept]
            masses[facet] = masses.get(facet, 0.0) + self[concept]
        return masses

    def told(self, facts: Facts) -> Told:
        """What follows from the telling alone."""
        known = self._told.get(facts)
        if known is None:
            known = self._told[facts] = self._told_anew(facts)
        return known

    def _told_anew(self, facts: Facts) -> Told:
        masses = self.masses(facts.concepts)
        return Told(
            mass=sum(masses.values()),
            by_facet=masses,
            in_title=self.mass(facts.in_title),
            stages=_groups_of(groups().stages, facts.concepts.keys()),
            means=_groups_of(groups().means, facts.concepts.keys()),
            marks=_by_kind(facts.marks),
            big={number for number in facts.numbers if telling(number) >= _BIG},
        )


def _concepts(one: Facts, other: Facts, rarity: Rarity) -> dict[str, float]:
    a, b = one.concepts.keys(), other.concepts.keys()
    of_a, of_b = rarity.told(one), rarity.told(other)
    common = a & b
    both = rarity.masses(common)
    least, shared = min(of_a.mass, of_b.mass), sum(both.values())
    lost = sorted(
        (
            rarity.mass(one.in_title - b) / (of_a.in_title or 1.0),
            rarity.mass(other.in_title - a) / (of_b.in_title or 1.0),
        )
    )
    values = {
        "overlap": shared / (least or 1.0),
        "jaccard": shared / ((of_a.mass + of_b.mass - shared) or 1.0),
        "shared": min(shared / 8, 3.0),
        "rarest": max(map(rarity.__getitem__, common), default=0.0) / 3,
        "title_shared": min(rarity.mass(one.in_title & other.in_title) / 4, 3.0),
        "title_lost.least": lost[0],  # a headline all of which the other tells, whatever else that has
        "title_lost.most": lost[1],
        "thin": 1 / (1 + least),
        "pivots": float(len((a ^ b) & groups().pivots)) / 2,
    }
    values |= _courses("stage", of_a.stages, of_b.stages)
    values |= _courses("means", of_a.means, of_b.means)
    for facet in FACETS:
        values[f"{facet}.shared"] = min(both.get(facet, 0.0) / 4, 3.0)
        if smaller := min(of_a.by_facet.get(facet, 0.0), of_b.by_facet.get(facet, 0.0)):
            values[f"{facet}.apart"] = 1 - both.get(facet, 0.0) / smaller
    return values


def _courses(name: str, one: Set[str], other: Set[str]) -> dict[str, float]:
    return {
        f"{name}.shared": float(bool(one & other)),
        f"{name}.apart": float(bool(one and other and not one & other)),
    }


def _groups_of(sets: Mapping[str, Set[str]], told: Set[str]) -> set[str]:
    return {group for group, concepts in sets.items() if concepts & told}


def _by_kind(marks: Iterable[str]) -> dict[str, set[str]]:
    """Kind → what is told of it, of the kinds that tell look-alikes apart."""
    found: dict[str, set[str]] = {}
    for mark in marks:
        kind, _, value = mark.partition(".")
        if kind in _APART:
            found.setdefault(kind, set()).add(value)
    return found


def _marks(one: Facts, other: Facts, rarity: Rarity) -> dict[str, float]:
    """Names, numbers, days, ranks, periods: what marks one event out among its like."""
    values: dict[str, float] = {}
    a, b = rarity.told(one).marks, rarity.told(other).marks
    values["marks.apart"] = min(sum(not a[kind] & b[kind] for kind in a.keys() & b.keys()), 2)
    shared_names = one.names.keys() & other.names.keys()
    values["names"] = min(len(shared_names), 3)
    values["names.apart"] = float(bool(one.names and other.names and not shared_names))
    values["title_names"] = min(len(one.title_names & other.names.keys() | other.title_names & one.names.keys()), 2)
    heroes = one.title_names and other.title_names and not shared_names
    values["title_names.apart"] = float(bool(heroes))
    shared_terms = one.terms.keys() & other.terms.keys()
    values["terms"] = min(len(shared_terms), 4) / 2
    values["numbers"] = min(sum(map(telling, one.numbers.keys() & other.numbers.keys())), 6.0) / 2
    big_a, big_b = rarity.told(one).big, rarity.told(other).big
    values["numbers.apart"] = float(bool(big_a and big_b and not big_a & big_b))
    values["same_day"] = min(len(shared_days(one.days, other.days)), 2)
    values["days.apart"] = float(bool(one.days and other.days and not values["same_day"]))
    return values


def telling(number: str) -> float:
    """How much a shared number says: two hardly anything, 34538 a lot, a year little."""
    value = float(number.rstrip("%"))
    if 1990 <= value <= 2040 and number.isdigit():
        return 0.7
    return 0.3 if value <= 2 else 0.7 if value <= 5 else 1.2 if value <= 12 else 1.8 if value <= 100 else 2.5


def shared_details(one: Facts, other: Facts) -> tuple[str, ...]:
    """What both texts share, for a person: one sentence part a kind, the rarest first."""
    rarity = weights().rarity
    details = []
    for label, a, b in (("name", one.names, other.names), ("number", one.numbers, other.numbers)):
        both = sorted(a.keys() & b.keys(), key=lambda key: (-telling(key) if label == "number" else 0, key))
        if both:
            details.append(f"{label}s: " + ", ".join(_pair(a[key], b[key]) for key in both[:4]))
    if same := shared_days(one.days, other.days):
        details.append("days told: " + ", ".join(sorted(same)))
    facets = facet_of()
    for facet in FACETS:
        both = sorted(one.concepts.keys() & other.concepts.keys(), key=lambda c: (-rarity[c], c))
        shown = [_pair(one.concepts[c], other.concepts[c]) for c in both if facets[c] == facet]
        if shown:
            details.append(f"{facet}: " + ", ".join(shown[:4]))
    return tuple(details)


def _pair(one: str, other: str) -> str:
    return one if one.casefold() == other.casefold() else f"{one} = {other}"
