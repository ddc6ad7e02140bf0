"""Weigh whether two texts tell the same events: features of the pair, learned weights, and what a person can read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aggregator.counts import shared_days
from aggregator.facts import FACETS, Facts, cosine, facet_of, gram_weights, lexicon_groups, same_language

_LEAST = 2  # with one, titles of four words that both say "expert" were put together
_TELLING, _RARE, _RARE_PLACE, _SEVERAL = 1.2, 3.3, 2.6, 4  # see marked
_RICH = 9.0  # sum of rarities: "soldier, flee, border" come to 6.5; a seed with a summary to 26 and more
_UNDATED = 1.5  # days: what an absent date counts as
_UNSEEN = 5.0  # rarity of a concept that the fitting texts do not hold


@dataclass(frozen=True, slots=True)
class Weights:
    """What tests/curation/stories_fit.py learned; likeness.json holds it."""

    rarity: Mapping[str, float]  # concept → natural logarithm of how seldom it is told
    bias: float
    features: Mapping[str, float]
    threshold: float  # log-odds above which an item joins a story, averaged over the story's members


@cache
def weights() -> Weights:
    """The weights that ship."""
    return Weights(**json.loads(files("aggregator").joinpath("lexicon", "likeness.json").read_text("utf-8")))


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
    return learned.bias + sum(learned.features.get(name, 0.0) * value for name, value in values.items())


def rich(facts: Facts) -> bool:
    """Whether a text tells enough to be known again without its date; a bare headline of the usual words does not."""
    return _mass(facts.concepts, weights().rarity) >= _RICH


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
    rare = {c for c in shared if rarity.get(c, _UNSEEN) >= (_RARE_PLACE if facets[c] == "places" else _RARE)}
    return bool(rare) or len(shared) >= _SEVERAL


def features(one: Facts, other: Facts, days: float | None, rarity: Mapping[str, float]) -> dict[str, float]:
    """Name → value, about 0..3 each; symmetric in the two texts."""
    across = not same_language(one, other)
    values = _concepts(one, other, rarity) | _marks(one, other)
    apart = _UNDATED if days is None else min(days, 30.0)
    values["days"] = math.log1p(apart) / 3.4
    values["days.week"] = float(apart > 8)
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


def _concepts(one: Facts, other: Facts, rarity: Mapping[str, float]) -> dict[str, float]:
    a, b = one.concepts.keys(), other.concepts.keys()
    of_a, of_b, both = (_masses(concepts, rarity) for concepts in (a, b, a & b))
    all_a, all_b, shared = (sum(masses.values()) for masses in (of_a, of_b, both))
    title_a, title_b = _mass(one.in_title, rarity), _mass(other.in_title, rarity)
    lost = _mass(one.in_title - b, rarity) + _mass(other.in_title - a, rarity)
    values = {
        "overlap": shared / (min(all_a, all_b) or 1.0),
        "jaccard": shared / ((all_a + all_b - shared) or 1.0),
        "shared": min(shared / 8, 3.0),
        "rarest": max((rarity.get(concept, _UNSEEN) for concept in a & b), default=0.0) / 3,
        "title_shared": min(_mass(one.in_title & other.in_title, rarity) / 4, 3.0),
        "title_lost": lost / ((title_a + title_b) or 1.0),
        "thin": 1 / (1 + min(all_a, all_b)),
        "pivots": float(len((a ^ b) & groups().pivots)) / 2,
    }
    values |= _courses("stage", [_groups_of(groups().stages, told) for told in (a, b)])
    values |= _courses("means", [_groups_of(groups().means, told) for told in (a, b)])
    for facet in FACETS:
        values[f"{facet}.shared"] = min(both.get(facet, 0.0) / 4, 3.0)
        if least := min(of_a.get(facet, 0.0), of_b.get(facet, 0.0)):
            values[f"{facet}.apart"] = 1 - both.get(facet, 0.0) / least
    return values


def _courses(name: str, of_each: Sequence[Set[str]]) -> dict[str, float]:
    one, other = of_each
    return {
        f"{name}.shared": float(bool(one & other)),
        f"{name}.apart": float(bool(one and other and not one & other)),
    }


def _groups_of(sets: Mapping[str, Set[str]], told: Set[str]) -> set[str]:
    return {group for group, concepts in sets.items() if concepts & told}


def _mass(concepts: Iterable[str], rarity: Mapping[str, float]) -> float:
    return sum(rarity.get(concept, _UNSEEN) for concept in concepts)


def _masses(concepts: Iterable[str], rarity: Mapping[str, float]) -> dict[str, float]:
    """Facet → the sum of rarities."""
    masses: dict[str, float] = {}
    for concept in concepts:
        facet = facet_of()[concept]
        masses[facet] = masses.get(facet, 0.0) + rarity.get(concept, _UNSEEN)
    return masses


def _marks(one: Facts, other: Facts) -> dict[str, float]:
    """Names, numbers, days: what marks one event out among its like."""
    values: dict[str, float] = {}
    shared_names = one.names.keys() & other.names.keys()
    values["names"] = min(len(shared_names), 3)
    values["names.apart"] = float(bool(one.names and other.names and not shared_names))
    values["title_names"] = min(len(one.title_names & other.names.keys() | other.title_names & one.names.keys()), 2)
    heroes = one.title_names and other.title_names and not shared_names
    values["title_names.apart"] = float(bool(heroes))
    shared_terms = one.terms.keys() & other.terms.keys()
    values["terms"] = min(len(shared_terms), 4) / 2
    values["numbers"] = min(sum(map(telling, one.numbers.keys() & other.numbers.keys())), 6.0) / 2
    big_a, big_b = ({n for n in facts.numbers if telling(n) >= 1.5} for facts in (one, other))
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
        both = sorted(one.concepts.keys() & other.concepts.keys(), key=lambda c: (-rarity.get(c, _UNSEEN), c))
        shown = [_pair(one.concepts[c], other.concepts[c]) for c in both if facets[c] == facet]
        if shown:
            details.append(f"{facet}: " + ", ".join(shown[:4]))
    return tuple(details)


def _pair(one: str, other: str) -> str:
    return one if one.casefold() == other.casefold() else f"{one} = {other}"
