"""Measure from how many decisions on a curator is served better by the learned model than by the rules alone.

    python -m tests.curation.learning_curve [--seeds 4] [--share 0.25]

The rules know the labelled items by now, so a share of their terms is forgotten, as of a pack less grown. A curator of
a given taste sees half of the items: rules on each undecided one, drops what was kept wrongly, lets the rest stand, or,
as another habit, rules on a fifth of that as well. The other half shows how many mistakes there are, with the model and
without.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aggregator.learning import EITHER, Lesson, Model, learn, signs
from aggregator.topics import Judge, Pack, load_pack
from aggregator.words import Matcher
from tests.curation import relevance
from tests.curation.relevance import DATA

COUNTS = (10, 20, 30, 40, 60, 80, 120)
HABITS = {"corrects": 0.0, "also confirms": 0.2}
# Tastes: whose items hold one of these concepts are not wanted.
TASTES = {
    "as labelled": frozenset[str](),
    "no films and books": frozenset({"screen-and-page"}),
    "no figures": frozenset({"arrivals"}),
    "no leaflets": frozenset({"leaflets", "leaflet-law"}),
    "no courts": frozenset({"seeks-justice", "inquiry"}),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A labelled item as the weakened rules see it."""

    lesson: Lesson
    relevant: bool
    concepts: frozenset[str]
    spoken_for: bool  # by some rule; of all else the model is not asked


def seen(pack: Pack, share: float, seed: int) -> list[Seen]:
    """All labelled items in an order of chance, judged without a share of the pack's terms."""
    draw = random.Random(seed)
    concepts = {name: tuple(t for t in terms if draw.random() >= share) for name, terms in pack.concepts.items()}
    judge, matcher = Judge(replace(pack, concepts=concepts), 0.5), Matcher(pack.concepts, pack.masks)
    found = []
    for name in ("items", "relevance_more", "meaning_more"):
        for one in relevance.read(DATA / f"{name}.jsonl"):
            verdict = judge.judge(one.item, "general")
            lesson = Lesson(
                tuple(signs(one.item, verdict.reasons)), judge.odds(verdict.score), one.relevant, one.item.title
            )
            there = matcher.names(f"{one.item.title}\n{one.item.summary}")
            spoken_for = any(reason.weight > 0 for reason in verdict.reasons)
            found.append(Seen(lesson, one.relevant, frozenset(there), spoken_for))
    draw.shuffle(found)
    return found


def taught(pool: Sequence[Seen], band: float, confirms: float, draw: random.Random) -> tuple[list[Lesson], list[int]]:
    """What the curator decides on and lets stand, in order, and where each decision stands in it."""
    lessons: list[Lesson] = []
    places = []
    for lesson in (one.lesson for one in pool if one.lesson.odds >= -band):
        unsure, wrong = lesson.odds < 0, (lesson.odds >= 0) != lesson.keep
        decided = unsure or wrong or draw.random() < confirms
        if decided:
            places.append(len(lessons))
        lessons.append(replace(lesson, decided=decided))
    return lessons, places


def mistakes(items: Sequence[Seen], model: Model | None) -> int:
    wrong = 0
    for one in items:
        added = model.weigh(one.lesson.signs) if model and one.spoken_for else 0.0
        wrong += (one.lesson.odds + added >= 0) != one.lesson.keep
    return wrong


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    ask.add_argument("--seeds", type=int, default=4)
    ask.add_argument("--share", type=float, default=0.25)
    args = ask.parse_args()
    pack = load_pack("north-korean-defectors", Path())
    changes: dict[tuple[str, int], list[float]] = defaultdict(list)
    for seed in range(args.seeds):
        items = seen(pack, args.share, seed)
        for taste, unwanted in TASTES.items():
            wanted = [
                replace(one, lesson=replace(one.lesson, keep=one.relevant and not one.concepts & unwanted))
                for one in items
            ]
            pool, others = wanted[::2], wanted[1::2]
            before = mistakes(others, None)
            for confirms in HABITS.values():
                lessons, places = taught(pool, pack.band, confirms, random.Random(seed))
                for count in (count for count in COUNTS if count <= len(places)):
                    model = learn(lessons[: places[count - 1] + 1], "", count)
                    has_say = model.worth and min(model.kept, model.dropped) >= EITHER
                    after = mistakes(others, model) if has_say else before
                    changes[taste, count].append((after - before) / before)
    for taste in TASTES:
        for count in COUNTS:
            if got := changes[taste, count]:
                worse = sum(change > 0 for change in got)
                print(
                    f"{taste:20} {count:4} decisions: mistakes {statistics.mean(got):+6.1%} on average, "
                    f"{max(got):+6.1%} at worst; more in {worse} of {len(got)}"
                )


if __name__ == "__main__":
    main()
