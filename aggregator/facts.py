"""What a text tells, in a form that compares across languages: concepts, names, numbers, days, and its wording."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from operator import mul
from typing import Any
from zlib import crc32

import tomli

from aggregator.counts import counts
from aggregator.names import names
from aggregator.words import Match, Matcher, comparable, sentences

FACETS = ("actors", "acts", "things", "places")  # the files of the lexicon that hold concepts
_SPEAKER = "speaker."  # the kind of marks that say who speaks
_READ = 1200  # characters of a summary: the events stand at its beginning
_LATIN = frozenset(["en", "es", "fr", "de", "pt", "it", "pl", "id", "vi", "nl", "tr"])


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Facts:
    """What one telling says. Mappings lead from what is compared to the text as it stands there.

    Compared and hashed by identity, so that what follows from one telling alone is worked out once (likeness.Told).
    """

    language: str | None  # main subtag
    title: str  # comparable
    text: str  # comparable title and summary, boilerplate left out
    concepts: Mapping[str, str]  # names from the lexicon
    in_title: frozenset[str]  # of the concepts, those that the title tells
    marks: frozenset[str]  # "kind.value" from marks.toml and groups.toml: rank.private, period.first_half
    speakers: frozenset[str]  # of the marks of the kind "speaker", those that the title tells: who says it
    names: Mapping[str, str]  # skeletons of persons' names
    title_names: frozenset[str]  # of the names, those that the title tells
    terms: Mapping[str, str]  # names from the topic pack
    numbers: Mapping[str, str]
    days: frozenset[str]
    words: frozenset[str]  # words in Latin letters, four or longer, that carry a capital or stand in another script
    grams: Mapping[int, float]  # hash of three characters → weight; of unit length
    title_grams: Mapping[int, float]


@cache
def lexicon() -> dict[str, dict[str, dict[str, str]]]:
    """Facet → concept → language → terms, as the files have them."""
    folder = files("aggregator").joinpath("lexicon")
    return {facet: tomli.loads(folder.joinpath(f"{facet}.toml").read_text("utf-8")) for facet in FACETS}


@cache
def _marks() -> dict[str, dict[str, str]]:
    """Mark → language → terms, as lexicon/marks.toml has them."""
    kinds = tomli.loads(files("aggregator").joinpath("lexicon", "marks.toml").read_text("utf-8"))
    return {f"{kind}.{value}": languages for kind, values in kinds.items() for value, languages in values.items()}


@cache
def _marking() -> Mapping[str, tuple[str, ...]]:
    """Concept → the marks that it stands for, as lexicon/groups.toml has them."""
    marking: dict[str, tuple[str, ...]] = {}
    for kind, values in lexicon_groups()["marks"].items():
        for value, concepts in values.items():
            for concept in concepts:
                marking[concept] = (*marking.get(concept, ()), f"{kind}.{value}")
    return marking


@cache
def facet_of() -> dict[str, str]:
    """Concept → the facet that it belongs to."""
    return {concept: facet for facet, concepts in lexicon().items() for concept in concepts}


@cache
def lexicon_groups() -> Mapping[str, Any]:
    """What lexicon/groups.toml says of concepts and words beside their terms."""
    return tomli.loads(files("aggregator").joinpath("lexicon", "groups.toml").read_text("utf-8"))


@cache
def _credits() -> re.Pattern[str]:
    """What only stands in sentences that outlets say of themselves."""
    return re.compile("|".join(lexicon_groups()["credits"]), re.IGNORECASE)


@cache
def _matcher(language: str | None) -> Matcher:
    """Finds the lexicon's concepts and marks in one language; None: in all."""
    wanted = {language, "all"} | ({"latin"} if language in _LATIN else set())
    return Matcher(
        {
            concept: [
                term
                for spoken, terms in languages.items()
                if language is None or spoken in wanted
                for term in terms.split(", ")
            ]
            for concepts in (*lexicon().values(), _marks())
            for concept, languages in concepts.items()
        },
        masks=lexicon_groups()["masks"],
    )


@cache
def _languages() -> frozenset[str]:
    return frozenset(
        language for concepts in lexicon().values() for languages in concepts.values() for language in languages
    )


_TRAILER = re.compile(r"\s+[-–—|]\s+[^-–—|]{2,30}$")  # "Title - The Washington Post"
_DATELINE = re.compile(
    r"^\W{0,2}[^\n.。]{0,40}?(?:\((?:AP|AFP|Reuters|Yonhap|EFE|UPI|dpa|ANSA|PAP|Lusa|Antara|Kyodo|TASS|RIA|VNA)\)"
    r"|[(（][^()（）\n]{2,20}(?:연합뉴스|뉴시스|뉴스1|通信|电|電|ТАСС)[)）]|\[[^\]]{3,30}\])\s*[-–—.:=]*\s*"
    r"(?:[가-힣]{2,4} (?:기자|특파원)\s*=\s*)?",
    re.IGNORECASE,
)
_LATIN_WORD = re.compile(r"(?<![^\W_])[A-Za-z0-9]*[A-Z][A-Za-z0-9'’-]+")
_SPACE = re.compile(r"[\W_]+")


def headline(title: str) -> str:
    """A title without the outlet's name at its end."""
    bare = _TRAILER.sub("", title)
    return bare if len(bare) >= 15 else title


def told(summary: str) -> str:
    """What is read of a summary: its beginning, without datelines and what agencies and shops say about themselves."""
    kept, length = list[str](), 0
    for sentence in sentences(summary):
        if length >= _READ:
            break  # an article of 50,000 characters, looked through to its end, took 25 ms
        if not _credits().search(sentence):
            kept.append(sentence)
            length += len(sentence) + 1
    return _DATELINE.sub("", " ".join(kept))[:_READ]


def read(title: str, summary: str, language: str | None, terms: Matcher | None = None) -> Facts:
    """The facts of a title and a summary in a language (BCP 47; None: unsure); `terms` finds the topic pack's names."""
    title, summary = headline(title), told(summary)
    main = language.split("-")[0].lower() if language else None
    whole = f"{title}\n{summary}"
    finder = _matcher(main if main in _languages() else None)
    in_title, title_marks = _sorted(finder.find(title))
    concepts, marks = _sorted(finder.find(summary))
    concepts |= in_title
    title_marks |= _marked_by(in_title)
    numbers = counts(whole, main)
    plain = comparable(whole)
    return Facts(
        language=main,
        title=comparable(title),
        text=plain,
        concepts=concepts,
        in_title=frozenset(in_title),
        marks=title_marks | marks | _marked_by(concepts),
        speakers=frozenset(mark for mark in title_marks if mark.startswith(_SPEAKER)),
        names=names(whole, plain),
        title_names=frozenset(names(title, comparable(title))),
        terms={match.name: match.text for match in terms.find(whole)} if terms else {},
        numbers=numbers.numbers,
        days=numbers.days,
        words=frozenset(comparable(word) for word in _LATIN_WORD.findall(whole) if len(word) >= 3),
        grams=_grams(plain),
        title_grams=_grams(comparable(title)),
    )


def _sorted(matches: Iterable[Match]) -> tuple[dict[str, str], frozenset[str]]:
    """The concepts, with the text that tells each, and the marks."""
    concepts: dict[str, str] = {}
    marks: set[str] = set()
    for match in matches:
        if "." in match.name:
            marks.add(match.name)
        else:
            concepts[match.name] = match.text
    return concepts, frozenset(marks)


def _marked_by(concepts: Iterable[str]) -> frozenset[str]:
    return frozenset(mark for concept in concepts for mark in _marking().get(concept, ()))


def same_language(one: Facts, other: Facts) -> bool:
    """Whether two texts may be in one language: an unknown one may be any."""
    return one.language == other.language or None in (one.language, other.language)


def pooled(several: Sequence[Facts]) -> Facts:
    """What several tellings of a story tell together; its title tells what at least half of theirs do."""
    if len(several) == 1:
        return several[0]
    titles = Counter(concept for facts in several for concept in facts.in_title)
    return replace(
        several[0],
        language="pooled",
        concepts={concept: text for facts in several for concept, text in facts.concepts.items()},
        in_title=frozenset(concept for concept, count in titles.items() if 2 * count >= len(several)),
        marks=frozenset(mark for facts in several for mark in facts.marks),
        speakers=frozenset(mark for facts in several for mark in facts.speakers),
        names={name: text for facts in several for name, text in facts.names.items()},
        title_names=frozenset(name for facts in several for name in facts.title_names),
        terms={term: text for facts in several for term, text in facts.terms.items()},
        numbers={number: text for facts in several for number, text in facts.numbers.items()},
        days=frozenset(day for facts in several for day in facts.days),
        words=frozenset(word for facts in several for word in facts.words),
    )


def gram_hashes(text: str) -> list[int]:
    """Stable hashes (32 bits) of all runs of three letters or digits of a comparable text."""
    letters = f" {_SPACE.sub(' ', text).strip()} "
    return [crc32(letters[i : i + 3].encode("utf-8", "replace")) for i in range(max(len(letters) - 2, 0))]


def _grams(text: str) -> dict[int, float]:
    return unit({gram: 1 + math.log(count) for gram, count in Counter(gram_hashes(text)).items()})


def unit(weights: Mapping[int, float]) -> dict[int, float]:
    """The same, scaled to length one."""
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {key: weight / length for key, weight in weights.items()}


def cosine(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Of two mappings of unit length: 0..1."""
    both = one.keys() & other.keys()
    return math.fsum(map(mul, map(one.__getitem__, both), map(other.__getitem__, both)))


def gram_weights(facts: Facts) -> Mapping[int, float]:
    """The wording of a whole text as a unit vector."""
    return facts.grams


def pack_matcher(pack_terms: Mapping[str, Iterable[str]]) -> Matcher | None:
    """Finds the names of a topic pack; None where it has none."""
    return Matcher(pack_terms) if pack_terms else None
