"""Whether a text is phrased like those on a subject: what short strings of letters say where no rule is sure.

A logistic regression on hashed strings of two to four letters within words (as Joulin et al. 2016, arXiv 1607.01759, do
for words), learned by tests/curation/phrasing_fit.py; `NAME.phrasing.json` beside a pack holds it. It needs no library.
"""

from __future__ import annotations

import base64
import json
import re
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from zlib import crc32

from aggregator.errors import ConfigError
from aggregator.model import Item
from aggregator.words import comparable

READ = 600  # characters: a text's subject stands at its beginning
_LENGTHS = (2, 3, 4)  # letters
_SHOWN = 3  # words that weighed most
_MARKS = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True, slots=True)
class Phrasing:
    """What was learned of a subject's phrasing. `digest` names all that the answer depends on but for the text."""

    digest: str
    asked: tuple[str, ...] = field(repr=False)  # concepts of the pack; an item that has none of them is not looked at
    weights: array[int] = field(repr=False)  # for each bucket, in steps of `step` log-odds
    step: float = field(repr=False)
    bias: float = field(repr=False)

    def weigh(self, item: Item) -> tuple[float, tuple[str, ...]]:
        """Log-odds for the subject (negative: against), and the words that speak for it most."""
        words = {word: tuple(buckets(word, len(self.weights))) for word in text_of(item).split()}
        met = set(chain.from_iterable(words.values()))
        weight = round(self.bias + self.step * sum(self.weights[bucket] for bucket in met) / max(len(met), 1) ** 0.5, 3)
        said = {word: sum(self.weights[bucket] for bucket in found) for word, found in words.items()}
        telling = sorted((word for word in said if said[word] > 0), key=said.__getitem__, reverse=True)
        bare = (_MARKS.sub("", word) for word in telling)
        return weight, tuple(word for word in dict.fromkeys(bare) if word)[:_SHOWN]


def text_of(item: Item) -> str:
    """What of an item is looked at."""
    return comparable(f"{item.title} {item.summary or item.body}"[:READ])


def buckets(word: str, count: int) -> Iterator[int]:
    """The bucket of each string of letters in a word; the space at its ends counts as a letter."""
    whole = f" {word} "
    for length in _LENGTHS:
        for start in range(len(whole) - length + 1):
            yield crc32(whole[start : start + length].encode("utf-8", "replace")) % count


def read_phrasing(text: str, where: str, concepts: Collection[str]) -> Phrasing:
    """What a file NAME.phrasing.json holds; ConfigError says what is wrong with it, `where` names it."""
    try:
        table = json.loads(text)
        weights = array("b", base64.b85decode(table["weights"]))
        asked, step, bias = tuple(table["asked"]), float(table["step"]), float(table["bias"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} is no file of learned phrasing: {type(error).__name__}: {error}.") from error
    if not weights:
        raise ConfigError(f"{where} holds no weights: learn it anew, or remove it.")
    if unknown := [name for name in asked if name not in concepts]:
        raise ConfigError(f"{where} names concepts that the pack has not: {', '.join(unknown)}. Learn it anew.")
    return Phrasing(blake2b(text.encode(), digest_size=8).hexdigest(), asked, weights, step, bias)
