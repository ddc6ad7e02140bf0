"""Decides whether an item belongs to the subject, and says why.

A topic pack (data, see docs/packs.md) names concepts with their terms, and rules that say which concepts together are
evidence, and how strong. The evidence adds up in log-odds, so that each reason's weight can be read off the verdict:
score = 1 / (1 + exp(-(bias + prior of the source's scope + sum of weights))).

A little longer than a module should be, so that a pack's form and what is made of it are read together.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import tomli

from aggregator.boilerplate import without
from aggregator.errors import ConfigError
from aggregator.learning import Model, signs
from aggregator.meaning import Sense
from aggregator.model import PACK, Decision, Item, Reason, Verdict
from aggregator.phrasing import Phrasing, read_phrasing
from aggregator.words import Match, Matcher, sentence_hash, sentences

BODY_READ = 3000  # characters: what a text is about stands at its beginning; more of it brought passing mentions
_SIGNS = 3  # shown of what the curator's decisions say
_SIDES = ("reads like other news", "reads like the subject")
_MASK, _BOILERPLATE = "masks", "boilerplate"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be expected of a source before it is read."""

    prior: float = 0.0  # log-odds
    implies: tuple[str, ...] = ()  # concepts that its items need not name


@dataclass(frozen=True, slots=True)
class Rule:
    """Concepts that are evidence when they meet."""

    name: str
    all: tuple[tuple[str, ...], ...]  # each a choice of concepts, of which one must be there
    none: tuple[str, ...]  # concepts that make it void where they stand in the same place or in the title
    near: int | None  # all within so many characters; None: anywhere in the same place
    weight: float  # log-odds when found in the title; negative: against


@dataclass(frozen=True, slots=True)
class Places:
    """How much evidence counts by where it stands; the title counts 1."""

    lead: float = 0.85  # first sentence of the summary
    summary: float = 0.55  # its later sentences
    across: float = 0.8  # part in the title, part in the summary, the categories or the source's scope
    categories: float = 0.5
    body: float = 0.3
    passing: float = 1.6  # log-odds, for or against: the most of later sentences, categories and body together


@dataclass(frozen=True, slots=True)
class Pack:
    """A subject, as data."""

    name: str
    title: str
    concepts: Mapping[str, tuple[str, ...]]  # name → terms of all languages
    masks: tuple[str, ...]  # phrases that hide the terms inside them
    boilerplate: tuple[str, ...]  # a sentence with one of these says nothing about its item
    rules: tuple[Rule, ...]
    scopes: Mapping[str, Scope]
    bias: float
    band: float  # log-odds below the threshold that are still "undecided"
    places: Places = field(default_factory=Places)
    phrasing: Phrasing | None = None


def load_pack(name_or_path: str, base: Path) -> Pack:
    """The pack that ships under a name, or the one in a file (path relative to `base`).

    ConfigError names every mistake in it.
    """
    shipped = files("aggregator").joinpath("packs")
    path = base / name_or_path
    if re.fullmatch(r"[\w-]+", name_or_path) and not path.is_file():
        known = sorted(
            entry.name.removesuffix(".toml") for entry in shipped.iterdir() if re.fullmatch(r"[\w-]+\.toml", entry.name)
        )
        if name_or_path not in known:
            raise ConfigError(f'There is no topic pack "{name_or_path}"; those that ship: {", ".join(known)}.')
        pack = parse_pack(shipped.joinpath(f"{name_or_path}.toml").read_text("utf-8"), f"{name_or_path}.toml")
        return _with_phrasing(pack, shipped.joinpath(f"{name_or_path}.phrasing.json"))
    try:
        return _with_phrasing(parse_pack(path.read_text("utf-8"), str(path)), path.with_suffix(".phrasing.json"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The topic pack {path} cannot be read: {error}.") from error


def _with_phrasing(pack: Pack, file: Traversable) -> Pack:
    """The pack with what was learned of its subject's phrasing, where the file is there."""
    if not file.is_file():
        return pack
    return replace(pack, phrasing=read_phrasing(file.read_text("utf-8"), str(file), pack.concepts))


# --- reading a pack ---------------------------------------------------------------------------------------------

_KEYS = ("title", "bias", "band", "places", "scopes", "concepts", _MASK, _BOILERPLATE, "rules")
_RULE_KEYS = ("name", "all", "none", "near", "weight")
_PLACE_KEYS = tuple(asdict(Places()))
_LETTER = re.compile(r"[^\W_]")  # or a digit


class _Reader:
    """Takes a pack's table apart and collects what is wrong with it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[str] = []

    def complain(self, what: str) -> None:
        self.problems.append(f"{self.where}: {what}")

    def known(self, table: Mapping[str, Any], allowed: Iterable[str], place: str) -> None:
        allowed = tuple(allowed)
        for key in table:
            if key not in allowed:
                self.complain(f'{place} has an unknown key "{key}"{_suggest(key, allowed)}.')

    def table(self, value: object, place: str) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        self.complain(f"{place} must be a table.")
        return {}

    def number(self, table: Mapping[str, Any], key: str, default: float | None, place: str) -> float:
        value = table.get(key, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        self.complain(
            f'{place} needs a number for "{key}".' if value is None else f'{place}: "{key}" must be a number.'
        )
        return 0.0

    def terms(self, value: object, place: str) -> tuple[str, ...]:
        """The terms of all languages; those of one are written as one string with ";" between them.

        They are looked for in every item, whatever its language: what feeds declare is often wrong (many sites say
        "en-US" whatever they write), and holding terms to their language cost 26 points of recall where it was, and
        spared no mistake where it was right.
        """
        found: dict[str, None] = {}
        for language, text in self.table(value, place).items():
            if not re.fullmatch(r"any|[a-z]{2,3}", language):
                self.complain(f'{place}: "{language}" is no language; write "en", "ko", ... or "any" for all.')
            if not isinstance(text, str):
                self.complain(f'{place}, {language}: terms are one string with ";" between them.')
                continue
            for term in filter(None, map(str.strip, text.replace("\n", ";").split(";"))):
                found[term] = None
                if not (term[0].isalnum() or _LETTER.search(term)):
                    self.complain(f'{place}, {language}: "{term}" has no letter to look for.')
        return tuple(found)

    def names(self, value: object, known: Iterable[str], place: str) -> tuple[tuple[str, ...], ...]:
        """A list of concepts, each perhaps a choice written "one|other"."""
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            self.complain(f"{place} must be a list of concept names.")
            return ()
        choices = tuple(tuple(part.strip() for part in entry.split("|")) for entry in value)
        known = tuple(known)
        for name in itertools.chain.from_iterable(choices):
            if name not in known:
                self.complain(f'{place} names a concept "{name}" that is not there{_suggest(name, known)}.')
        return choices

    def rule(self, value: object, number: int, concepts: Iterable[str]) -> Rule:
        table = self.table(value, f"rule {number}")
        name = table.get("name")
        place = f'rule "{name}"' if isinstance(name, str) and name else f"rule {number}"
        if not isinstance(name, str) or not name:
            self.complain(f'{place} needs a "name": it is what readers are told.')
        self.known(table, _RULE_KEYS, place)
        wanted = self.names(table.get("all"), concepts, f'{place}, "all"')
        if not wanted:
            self.complain(f'{place} needs at least one concept in "all".')
        none = tuple(itertools.chain.from_iterable(self.names(table.get("none", []), concepts, f'{place}, "none"')))
        near = int(self.number(table, "near", None, place)) if "near" in table else None
        return Rule(str(name), wanted, none, near, self.number(table, "weight", None, place))

    def scope(self, value: object, name: str, concepts: Iterable[str]) -> Scope:
        place = f"[scopes.{name}]"
        table = self.table(value, place)
        self.known(table, ("prior", "implies"), place)
        implied = self.names(table.get("implies", []), concepts, f'{place}, "implies"')
        return Scope(self.number(table, "prior", 0.0, place), tuple(itertools.chain.from_iterable(implied)))


def parse_pack(text: str, where: str) -> Pack:
    """The pack in a TOML text; `where` names it in complaints and, without its ending, is the pack's name."""
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not readable as TOML: {error}.") from error
    read = _Reader(where)
    read.known(document, _KEYS, "the pack")
    tables = {
        key: read.table(document.get(key, {}), f"[{key}]")
        for key in _KEYS
        if key not in ("title", "bias", "band", "rules")
    }
    concepts = {name: read.terms(value, f"[concepts.{name}]") for name, value in tables["concepts"].items()}
    read.known(tables["places"], _PLACE_KEYS, "[places]")
    given = document.get("rules", [])
    if not isinstance(given, list) or not given or not concepts:
        read.complain("a pack needs at least one concept and one [[rules]] entry.")
        given = []
    pack = Pack(
        name=Path(where).stem,
        title=str(document.get("title", Path(where).stem)),
        concepts=concepts,
        masks=read.terms(tables[_MASK], f"[{_MASK}]"),
        boilerplate=read.terms(tables[_BOILERPLATE], f"[{_BOILERPLATE}]"),
        rules=tuple(read.rule(value, number, concepts) for number, value in enumerate(given, 1)),
        scopes={
            "general": Scope(),  # what a source has that says nothing of it
            **{name: read.scope(value, name, concepts) for name, value in tables["scopes"].items()},
        },
        bias=read.number(document, "bias", -3.0, "the pack"),
        band=read.number(document, "band", 1.3, "the pack"),
        places=Places(
            **{
                key: read.number(tables["places"], key, default, "[places]")
                for key, default in asdict(Places()).items()
            }
        ),
    )
    if read.problems:
        raise ConfigError(*read.problems)
    return pack


def _suggest(name: str, known: Iterable[str]) -> str:
    import difflib

    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


# --- judging ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Somewhere in an item, and the concepts found there."""

    field: str  # as in Reason
    strength: float
    found: Mapping[str, list[Match]]
    passing: bool = False  # says what an item mentions, not what it is about
    head: Mapping[str, list[Match]] | None = None  # of a place made of several texts: what the first of them holds


class Judge:
    """Judges items by a pack. `rules` is a digest of all that a verdict depends on but for the item. Picklable.

    `sense`: what was learned of the subject's meaning; it is asked of items that the rules leave unsure.
    `model`: what the curator's decisions taught; it has its say last. `own_rules` is the digest without it.
    """

    def __init__(self, pack: Pack, threshold: float, sense: Sense | None = None, model: Model | None = None) -> None:
        self._pack = pack
        self._threshold = threshold
        self._sense = sense
        self._floor = math.log(threshold / (1 - threshold))
        self._asked = frozenset(pack.phrasing.asked if pack.phrasing else ()) | (sense.asked if sense else frozenset())
        self._matcher = Matcher({**pack.concepts, _BOILERPLATE: pack.boilerplate}, pack.masks)
        settings = (pack, threshold) + ((sense.digest,) if sense else ())
        digest = blake2b(repr(settings).encode("utf-8"), digest_size=12)
        self.own_rules = f"{pack.name}-{digest.hexdigest()}"
        self._beginning = _by_first_choice(pack.rules)
        self._learn(model)

    def __reduce__(self) -> tuple[type[Judge], tuple[Pack, float, Sense | None, Model | None]]:
        return Judge, (self._pack, self._threshold, self._sense, self._model)

    def taught(self, model: Model | None) -> Judge:
        """The same judge with what the curator's decisions taught, or without it."""
        judge = Judge.__new__(Judge)  # copy.copy would go by __reduce__, and build the matcher's table anew
        judge.__dict__.update(self.__dict__)
        judge._learn(model)
        return judge

    def _learn(self, model: Model | None) -> None:
        self._model = model if model is not None and model.active else None
        self.rules = f"{self.own_rules}-{self._model.digest}" if self._model else self.own_rules

    def score(self, odds: float) -> float:
        """The score at so many log-odds from the threshold."""
        return as_score(odds + self._floor)

    def odds(self, score: float) -> float:
        """The log-odds of a score, 0 at the threshold."""
        sure = min(max(score, 1e-4), 1 - 1e-4)  # scores are rounded
        return math.log(sure / (1 - sure)) - self._floor

    def judge(self, item: Item, scope: str, boilerplate: frozenset[int] = frozenset()) -> Verdict:
        """Whether the item belongs. `boilerplate`: hashes of sentences that many items of its source share.

        A scope that the pack does not know counts as one with no expectations.
        """
        expected = self._pack.scopes.get(scope, Scope())
        there = self._mentioned(item).union(expected.implies)
        rules = self._possible(there)
        places = self._places(item, expected, boilerplate) if rules else []
        found = [reason for rule in rules if (reason := _apply(rule, places)) is not None]
        reasons = _tempered(found, self._pack.places.passing)
        if expected.prior:
            reasons.append(Reason("source", f"scope {scope}", "", expected.prior))
        if boilerplate and rules:
            item = replace(item, summary=without(item.summary, boilerplate), body=without(item.body, boilerplate))
        if not there.isdisjoint(self._asked):
            reasons += self._meant(item, expected, self._odds(reasons))
        reasons.sort(key=_strength)
        if self._model is not None and any(reason.weight > 0 for reason, _ in found):
            reasons = sorted(reasons + _curated(self._model, item, reasons), key=_strength)
        odds = self._odds(reasons)
        beginning = [Reason(PACK, "before any evidence", "", self._pack.bias)] if reasons else []
        return Verdict(self._decide(odds), as_score(odds), (*reasons, *beginning), self.rules)

    def _odds(self, reasons: Iterable[Reason]) -> float:
        return self._pack.bias + sum(reason.weight for reason in reasons)

    def names(self, item: Item) -> set[str]:
        """The concepts that title and summary name."""
        return self._matcher.names(f"{item.title}\n{item.summary}")

    def _meant(self, item: Item, scope: Scope, odds: float) -> list[Reason]:
        """What phrasing and vector say of an item that the rules neither keep nor speak against."""
        phrasing, sense, unsure = self._pack.phrasing, self._sense, self._pack.bias <= odds < self._floor
        if not unsure or not (phrasing or sense) or not (item.title or item.summary):
            return []
        there = self.names(item).union(scope.implies)
        reasons = []
        if phrasing is not None and not there.isdisjoint(phrasing.asked):
            weight, words = phrasing.weigh(item)
            if weight > 0:  # what speaks against would empty the curator's review, and keeps nothing out
                reasons.append(Reason("phrasing", _SIDES[True], ", ".join(words), weight))
        if sense is not None and not there.isdisjoint(sense.asked):
            weight = sense.weigh(item)
            reasons.append(Reason("meaning", _SIDES[weight > 0], "", weight))
        return reasons

    def _mentioned(self, item: Item) -> set[str]:
        """The concepts that are named anywhere in what is read of an item."""
        return self._matcher.names("\n".join((item.title, item.summary, *item.categories, item.body[:BODY_READ])))

    def _possible(self, there: Set[str]) -> list[Rule]:
        """The rules that could hold, in the pack's order: the cheap question that spares most items the rest.

        None where all that could speak against an item that nothing speaks for.
        """
        begun = sorted({number for concept in there for number in self._beginning.get(concept, ())})
        rules = [self._pack.rules[number] for number in begun]
        rules = [rule for rule in rules if all(not there.isdisjoint(choice) for choice in rule.all)]
        asked = not there.isdisjoint(self._asked)  # then what speaks against phrasing and vector matters, too
        return rules if asked or any(rule.weight > 0 for rule in rules) else []

    def _decide(self, odds: float) -> Decision:
        if odds >= self._floor:
            return Decision.KEPT
        return Decision.UNDECIDED if odds >= self._floor - self._pack.band else Decision.DROPPED

    def _places(self, item: Item, scope: Scope, boilerplate: frozenset[int]) -> list[_Place]:
        """Where something was found, strongest first."""
        weights = self._pack.places
        title = self._look((item.title,), boilerplate)
        summary = self._look(sentences(item.summary), boilerplate)
        if not item.title and summary:
            title, summary = summary[:1], summary[1:]
        categories = self._look(item.categories, frozenset())
        body = self._look(sentences(item.body[:BODY_READ]), boilerplate)
        if not any((*title, *summary, *categories, *body)):
            return []
        implied = {concept: [Match(concept, "", 0, 0)] for concept in scope.implies}
        places = [_Place("title", 1.0, title[0])] if title else []
        places += [
            _Place("summary", weights.summary if n else weights.lead, found, n > 0) for n, found in enumerate(summary)
        ]
        if title:
            places.append(
                _Place("title", weights.across, _union(*title, *summary[:1], *categories, implied), head=title[0])
            )
        if summary:
            strength = weights.across * weights.lead
            places.append(_Place("summary", strength, _union(summary[0], *categories, implied), head=summary[0]))
        places += [_Place("categories", weights.categories, found, True) for found in categories]
        places += [_Place("body", weights.body, found, True) for found in body]
        return sorted((place for place in places if place.found), key=lambda place: -place.strength)

    def _look(self, texts: Iterable[str], boilerplate: frozenset[int]) -> list[dict[str, list[Match]]]:
        """The concepts in each text that is not boilerplate."""
        found = []
        for text in texts:
            concepts: dict[str, list[Match]] = {}
            for match in self._matcher.find(text):
                concepts.setdefault(match.name, []).append(match)
            if _BOILERPLATE in concepts or (boilerplate and concepts and sentence_hash(text) in boilerplate):
                continue
            found.append(concepts)
        return found


def _by_first_choice(rules: Iterable[Rule]) -> dict[str, list[int]]:
    """Each rule's number under each concept that can be the first which it asks for."""
    found: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        for concept in rule.all[0]:
            found.setdefault(concept, []).append(number)
    return found


def _strength(reason: Reason) -> float:
    return -abs(reason.weight)


def _curated(model: Model, item: Item, reasons: Sequence[Reason]) -> list[Reason]:
    """What the curator's decisions on other items say of this one."""
    shown = signs(item, reasons)
    weight = model.weigh(shown)
    if not weight:
        return []
    telling = ", ".join(dict.fromkeys(shown[sign] for sign in model.telling(shown, weight)[:_SIGNS]))
    return [Reason("curator", f"like what was {'kept' if weight > 0 else 'dropped'}", telling, weight)]


def _union(*places: Mapping[str, list[Match]]) -> dict[str, list[Match]]:
    """All concepts of several texts, each with its first match."""
    found: dict[str, list[Match]] = {}
    for place in places:
        for concept, matches in place.items():
            found.setdefault(concept, matches[:1])
    return found


def _apply(rule: Rule, places: list[_Place]) -> tuple[Reason, bool] | None:
    """The strongest place where the rule holds, and whether that is but a mention."""
    title = next((place.found for place in places if place.field == "title" and place.head is None), {})
    for place in places:
        if any(concept in place.found or concept in title for concept in rule.none):
            continue
        matches = _meet(rule, place)
        if matches is not None:
            text = " … ".join(dict.fromkeys(match.text for match in matches if match.text))
            return Reason(place.field, rule.name, text, round(rule.weight * place.strength, 3)), place.passing
    return None


def _meet(rule: Rule, place: _Place) -> tuple[Match, ...] | None:
    """One match for each of the rule's concepts, in the order of the text, or None."""
    found: list[list[Match]] = []
    for choice in rule.all:
        matches = [match for concept in choice for match in place.found.get(concept, ())]
        if not matches:
            return None
        found.append(matches[:8])
    if place.head is not None and (rule.near is not None or not _begins(rule, place.head)):
        return None
    if rule.near is None:
        return _ordered(matches[0] for matches in found)
    closest = min(itertools.product(*found), key=_extent)
    return _ordered(closest) if _extent(closest) <= rule.near else None


def _begins(rule: Rule, head: Mapping[str, list[Match]]) -> bool:
    """Whether the first of several texts holds part of the rule."""
    return any(concept in head for choice in rule.all for concept in choice)


def _tempered(found: list[tuple[Reason, bool]], most: float) -> list[Reason]:
    """The reasons, with those from mere mentions scaled down so that they say no more than `most`, for or against."""
    scale = {}
    for speaks_for in (True, False):
        mentions = sum(reason.weight for reason, passing in found if passing and (reason.weight > 0) == speaks_for)
        scale[speaks_for] = min(1.0, most / abs(mentions)) if mentions else 1.0
    return [
        replace(reason, weight=round(reason.weight * scale[reason.weight > 0], 3)) if passing else reason
        for reason, passing in found
    ]


def _ordered(matches: Iterable[Match]) -> tuple[Match, ...]:
    return tuple(sorted(matches, key=lambda match: (match.start, match.end)))


def _extent(matches: tuple[Match, ...]) -> int:
    """Characters from the first beginning to the last end."""
    return max(match.end for match in matches) - min(match.start for match in matches)


def as_score(odds: float) -> float:
    """Log-odds, the pack's bias among them, as the score that a verdict gives: 0..1."""
    return round(1 / (1 + math.exp(-odds)), 4)
