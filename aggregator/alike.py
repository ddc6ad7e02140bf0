"""Weigh with vectors whether two items tell the same events, where a subject comes with weights for that."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from aggregator.boilerplate import bare
from aggregator.errors import ConfigError
from aggregator.meaning import MODEL, Meaning, Vector, dot
from aggregator.model import Item

_REMEMBERED = 2_000  # items, with two vectors of 1.5 kB each


@dataclass(frozen=True, slots=True)
class Learned:
    """What tests/curation/stories_fit.py learned of a subject; NAME.likeness.json beside the pack holds it."""

    model: str
    centre: tuple[float, ...]  # the mean of the vectors of the subject's texts
    bias: float
    features: Mapping[str, float]  # those of likeness.py, and those of `meant`


@dataclass(frozen=True, slots=True)
class Cosines:
    """Each -1..1, about 0 for two stories that have only the subject in common; the same either way round."""

    whole: float  # of title and summary
    titles: float
    crosswise: float  # of one's title and all of the other, the better way round: a headline that the other tells


class Alike:
    """Compares items by their vectors. Picklable; holds no state but a cache."""

    def __init__(self, meaning: Meaning, learned: Learned) -> None:
        self._meaning, self._learned = meaning, learned
        self._vectors = lru_cache(_REMEMBERED)(self._turn)

    def __reduce__(self) -> tuple[type[Alike], tuple[Meaning, Learned]]:
        return Alike, (self._meaning, self._learned)

    def __repr__(self) -> str:
        """The same in each process, for what was done with it is not done again."""
        return f"Alike({self._learned!r})"

    def of(self, one: Item, other: Item) -> Cosines:
        """How alike the vectors of two items are."""
        (title, text), (other_title, other_text) = self._vectors(one), self._vectors(other)
        crosswise = max(dot(title, other_text), dot(text, other_title))
        return Cosines(dot(text, other_text), dot(title, other_title), crosswise)

    def log_odds(self, values: Mapping[str, float], one: Item, other: Item) -> float:
        """For the same events (positive) or against (negative); `values`: what likeness.features makes of the two."""
        known = self._learned.features
        told = {**values, **meant(self.of(one, other), "across" in values)}
        return self._learned.bias + sum(known.get(name, 0.0) * value for name, value in told.items())

    def _turn(self, item: Item) -> tuple[Vector, Vector]:
        """Of its title, and of all that it tells."""
        whole = bare(item)
        title = replace(whole, summary="", body="")
        return self._centred(title), self._centred(whole)

    def _centred(self, item: Item) -> Vector:
        return _from_centre(self._meaning.vector(item), self._learned.centre)


def meant(alike: Cosines, across: bool) -> dict[str, float]:
    """What vectors add to the features: they say more where the wording cannot be compared."""
    values = {"meaning": 3 * alike.whole, "meaning.titles": 3 * alike.titles, "meaning.crosswise": 3 * alike.crosswise}
    return values | {f"{name}.across": value * across for name, value in values.items()}


def _from_centre(vector: Vector, centre: Vector) -> Sequence[float]:
    """The vector seen from the centre, of length one: what all texts of a subject share tells no events apart."""
    rest = [value - common for value, common in zip(vector, centre, strict=True)]
    length = math.sqrt(sum(value * value for value in rest)) or 1.0
    return array("f", [value / length for value in rest])


def load_alike(pack: str, base: Path, meaning: Meaning | None) -> Alike | None:
    """What was learned of a pack's stories; None where nothing was, or where there is no model.

    `pack`: as the configuration names it; `base`: the folder that its path is relative to. ConfigError names what is
    wrong with the file.
    """
    own = (base / pack).with_suffix(".likeness.json")
    shipped = files("aggregator").joinpath("packs", f"{pack}.likeness.json")
    file = own if (base / pack).is_file() else shipped
    if meaning is None or not file.is_file():
        return None
    try:
        table = json.loads(file.read_text("utf-8"))
        learned = Learned(table["model"], tuple(table["centre"]), table["bias"], table["features"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is no file of learned weights: {type(error).__name__}: {error}.") from error
    if learned.model != MODEL:
        raise ConfigError(f"{file} was learned for {learned.model}, not for {MODEL}: learn it anew, or remove it.")
    return Alike(meaning, learned)
