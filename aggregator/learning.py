"""What the curator's decisions teach: a small model, of one store alone, that adjusts the score of later items.

A logistic regression over signs of an item (the rules that held, its words, its source). It starts from the log-odds of
the rules, so it learns only what they have wrong; a quadratic penalty keeps what was seldom seen small. What was
published and let stand counts as agreed to: learned from corrections alone, it made more mistakes than it mended.
Plain Python, the same decisions give the same model. Measured in docs/learning.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from aggregator.model import PACK, Item, Reason
from aggregator.words import comparable

ENOUGH = 30  # decisions; docs/learning.md says what fewer and more did
EITHER = 5  # of them at least so many for and so many against
BETTER = 0.1  # share of the decisions that it must foresee beyond those that the rules do; 0 and 0.05 did harm oftener
STEP = 0.1  # by which share the decisions grow before the model is made anew: then all that is retained is judged again
LET_STAND = 1_000  # items that are learned from beside the decisions, the newest; more made learning slow

_BOUND, _MOST = 0.2, 4.0  # log-odds: a model of n decisions adds at most 0.2 √n. 100: what a rule of middling weight
# says; 210: as much as one phrase that stands alone in a title; never more than four, at 400.
_PENALTY = 0.3  # 1 learned half as much, 0.1 no more
_SURE = 6.0  # log-odds of the rules; a decision against more than that is one item's affair
_READ = 600  # characters of a text
_STEM = 6  # letters of a word; behind them stand the endings of most languages
_FOLDS = 5
_PASSES, _STILL = 30, 0.003  # times that each weight is set at most; no weight moves by more: done

_WORD = re.compile(r"[^\W\d_]{3,}")
# Written without spaces, or, Hangul, with particles at the words: by pairs of characters.
_RUNNING = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3041-\u31ff\u3400-\u9fff\uac00-\ud7ff]+")


@dataclass(frozen=True, slots=True)
class Lesson:
    """An item that the curator decided on, or let stand."""

    signs: Collection[str]
    odds: float  # what the rules say, in log-odds; 0 is the threshold
    keep: bool
    text: str  # what is the same text is learned or tested, never both
    decided: bool = True  # False: it was published and let stand


@dataclass(frozen=True, slots=True)
class Model:
    """What was learned, from how many decisions, and what it is worth."""

    rules: str  # digest of the rules that it corrects
    rulings: int  # of the curator at that time; those on items without text taught nothing
    kept: int  # decisions that it was made from
    dropped: int
    let_stand: int  # items
    agreed: int = 0  # decisions that the rules alone foresaw
    foreseen: int = 0  # the same with the model, each by what the others taught
    gain: float = 0.0  # log-odds by which a decision became likelier on average, each by what the others taught
    weights: Mapping[str, float] = field(default_factory=dict)  # by sign, in log-odds

    @property
    def decisions(self) -> int:
        return self.kept + self.dropped

    @property
    def active(self) -> bool:
        """Whether it has a say: there are decisions enough, and it foresees them better than the rules do."""
        enough = self.decisions >= ENOUGH and min(self.kept, self.dropped) >= EITHER
        return enough and self.worth

    @property
    def worth(self) -> bool:
        """Whether it foresees the decisions better than the rules do."""
        return self.gain > 0 and self.foreseen >= self.needed

    @property
    def needed(self) -> int:
        """How many decisions it must foresee."""
        return self.agreed + math.ceil(round(BETTER * self.decisions, 6))

    @property
    def digest(self) -> str:
        return hashlib.blake2b(dump(self).encode(), digest_size=8).hexdigest()

    @property
    def most(self) -> float:
        """The log-odds that it can add or take away."""
        return min(_MOST, _BOUND * math.sqrt(self.decisions))

    def weigh(self, signs: Collection[str]) -> float:
        """The log-odds that an item's signs add to those of the rules."""
        known = [self.weights[sign] for sign in signs if sign in self.weights]
        total = sum(known) / math.sqrt(len(known) or 1)
        return round(max(-self.most, min(self.most, total)), 3)

    def telling(self, signs: Collection[str], weight: float) -> list[str]:
        """The signs that pull an item where it was weighed, the strongest first."""
        pulls = [(self.weights.get(sign, 0.0) * math.copysign(1, weight), sign) for sign in signs]
        return [sign for pull, sign in sorted(pulls, key=lambda one: (-one[0], one[1])) if pull > 0]

    def is_due(self, rules: str, rulings: int) -> bool:
        """Whether it is time to learn anew: the rules are others, or the curator has decided so much more."""
        return rules != self.rules or abs(rulings - self.rulings) >= max(1, STEP * self.rulings)


_NO_RULES = ("source", "meaning", "phrasing", "story", PACK)


def signs(item: Item, reasons: Iterable[Reason]) -> dict[str, str]:
    """What is looked at in an item: name of the sign → how it stands in the item."""
    found = {f"rule {one.concept}": one.concept for one in reasons if one.field not in _NO_RULES}
    found[f"source {item.source}"] = "the source"
    text = comparable(f"{item.title}\n{item.summary}"[:_READ])
    for run in _RUNNING.findall(text):
        found |= {f"word {run[n : n + 2]}": run[n : n + 2] for n in range(len(run) - 1)}
    return found | {f"word {word[:_STEM]}": word for word in _WORD.findall(_RUNNING.sub(" ", text))}


def learn(lessons: Sequence[Lesson], rules: str, rulings: int) -> Model:
    """The model of these lessons, and what it is worth by cross-validation. `rules`, `rulings`: as in Model."""
    decided = [lesson for lesson in lessons if lesson.decided]
    kept = sum(lesson.keep for lesson in decided)
    model = Model(rules, rulings, kept, len(decided) - kept, len(lessons) - len(decided))
    agreed = foreseen = 0
    gain = 0.0
    for fold in range(_FOLDS):
        others = replace(model, weights=_fit([lesson for lesson in lessons if _fold(lesson) != fold]))
        for lesson in (lesson for lesson in decided if _fold(lesson) == fold):
            after = lesson.odds + others.weigh(lesson.signs)
            agreed += (lesson.odds >= 0) == lesson.keep
            foreseen += (after >= 0) == lesson.keep
            gain += _likelihood(after, lesson.keep) - _likelihood(lesson.odds, lesson.keep)
    gain = round(gain / len(decided), 4) if decided else 0.0
    return replace(model, agreed=agreed, foreseen=foreseen, gain=gain, weights=_fit(lessons))


def _fit(lessons: Sequence[Lesson]) -> dict[str, float]:
    """The weights that make the lessons likeliest, less the penalty: one weight after the other, by Newton's step.

    Signs that stand in one lesson alone are left out. A lesson's signs count less the more there are of them.
    """
    times = Counter(sign for lesson in lessons for sign in lesson.signs)
    known = [[sign for sign in lesson.signs if times[sign] > 1] for lesson in lessons]
    holding: dict[str, list[int]] = defaultdict(list)
    for number, found in enumerate(known):
        for sign in found:
            holding[sign].append(number)
    share = [1 / math.sqrt(len(found) or 1) for found in known]
    odds = [max(-_SURE, min(_SURE, lesson.odds)) for lesson in lessons]
    weights = dict.fromkeys(sorted(holding), 0.0)
    for _ in range(_PASSES):
        moved = 0.0
        for sign, weight in weights.items():
            slope, curve = -_PENALTY * weight, _PENALTY
            for number in holding[sign]:
                chance = 1 / (1 + math.exp(-odds[number]))
                slope += (lessons[number].keep - chance) * share[number]
                curve += chance * (1 - chance) * share[number] ** 2
            step = slope / curve
            weights[sign] += step
            for number in holding[sign]:
                odds[number] += step * share[number]
            moved = max(moved, abs(step))
        if moved < _STILL:
            break
    return {sign: round(weight, 3) for sign, weight in weights.items() if round(weight, 3)}


def _fold(lesson: Lesson) -> int:
    return hashlib.blake2b(comparable(lesson.text).encode()).digest()[0] % _FOLDS


def _likelihood(odds: float, keep: bool) -> float:
    """The logarithm of the chance that these log-odds gave to what was decided."""
    return -math.log1p(math.exp(-odds if keep else odds))


def dump(model: Model) -> str:
    """The model as JSON, the weightiest signs first."""
    ordered = sorted(model.weights.items(), key=lambda one: (-abs(one[1]), one[0]))
    return json.dumps({**asdict(model), "weights": dict(ordered)}, ensure_ascii=False, indent=1)


def load(text: str | None) -> Model | None:
    """The model that `dump` wrote; None: there is none, or another version of this program wrote it."""
    try:
        return Model(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        return None
