"""Learn how texts on the subject are phrased, and say how much that helps on batches of items held out.

    python -m tests.curation.phrasing_fit --headlines FILE           measure, each batch left out of the fit
    python -m tests.curation.phrasing_fit --headlines FILE --write   fit on everything and write the pack's file

scikit-learn is needed. FILE: real headlines (columns title, description, lang, mentions), which the project may not
ship; all but those that mention defectors are taught as other news, and without them far too much is kept.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import random
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from aggregator.model import Decision, Item
from aggregator.phrasing import Phrasing, buckets, text_of
from aggregator.topics import Judge, Pack, load_pack
from tests.curation import relevance
from tests.curation.relevance import DATA, HERE, Labelled

FILE = HERE.parents[1] / "aggregator" / "packs" / "north-korean-defectors.phrasing.json"
BUCKETS = 2**15  # 2^17 did no better
STRICT = 10.0  # inverse of the penalty
SCALE = 1.0  # onto the rules' log-odds; at 1.5 twice as much is kept wrongly for half a point of recall
PARTS = 3  # of the headlines: each is judged by what the others taught
FORGOTTEN = 0.25  # of the pack's terms, as of a pack that has not seen these items
# Concepts that ordinary news names as well: an item that has none but these is not looked at.
COMMON = frozenset(
    [
        "people",
        "single",
        "south-korea",
        "elsewhere",
        "china-holds",
        "southern-town",
        "inquiry",
        "how-many",
        "arms-and-talks",
        "seeks-justice",
        "native-of",
        "crossing",
        "young",
        "caught",
        "prisoner-in-ukraine",
        "others",
        "wounded",
        "disaster",
        "incursion",
        "mass",
        "screen-and-page",
        "going-north",
        "korean",
        "accent",
        "abroad-for-good",
        "crossed-the-river",
        "orientation-town",
        "orientation-course",
        "jeep",
        "math-prodigy",
        "logging",
        "ngo-rescue",
        "unregistered",
        "strasbourg",
        "un-hearing",
        "new-settler",
        "shelling",
        "rubbish-balloons",
        "drama-synopsis",
        "cold-war-flight",
        "in-need",
        "set-apart",
        "market-news",
        "trade",
        "trained",
        "elsewhere-town",
        "perhaps-northern-town",
        "hides-origin",
        "left-behind",
        "took-passport",
        "tens-of-soldiers",
        "spy-case",
        "posed",
        "crutches",
        "before-congress",
        "japanese-shore",
        "came-ashore",
        "a-family",
        "washed-ashore",
        "immigration-cells",
        "no-engine",
        "rank",
        "in-china",
        "sold",
        "homesick",
        "recants",
        "camp",
        "shin",
        "before-the-un",
        "tells",
        "handover",
        "dragged",
        "lonely-death",
        "russian-far-east",
        "walked-off",
        "fled-or-taken",
        "rapporteur",
        "elected",
        "betrays",
        "intelligence-man",
        "to-freedom",
        "assault",
        "minder-officer",
        "storms-in",
        "northern-china",
        "five-and-twenty",
        "chinese-embassy",
        "fasts-and-weeps",
        "return-pact",
        "after-the-games",
        "gymnast",
        "fence",
        "poison",
        "the-koreas",
        "the-line",
        "remittance",
        "other-news",
        "odd-candidates",
        "labour-abroad",
        "wants-home",
        "some-stay",
        "known-goer-north",
        "reporters-held",
        "half-brother",
        "killed",
        "official-shot",
        "other-exile",
        "as-source",
        "state-news",
        "faked-death",
        "stolen-bus",
        "unification-bridge",
        "radiation",
        "dead-at-home",
        "artist-kind",
        "state-asylum",
        "russia",
        "skips-return",
        "bounty",
        "hands-over",
        "pyongyang-to",
        "hid",
        "cargo-ship",
        "stays-on",
        "prisoner-dies",
        "exchange",
        "no-return",
        "letters-and-wishes",
        "captives",
        "among-others",
        "public-occasion",
        "estimate",
        "figures-rest-on",
        "embassy-raid",
        "american-deserter",
        "southerner-at-sea",
        "foreign-minister-defects",
        "swim-rescue",
        "so-many-from-the-north",
        "few-persons",
        "found-there",
        "games-abroad",
        "shown",
        "plot",
        "hwang",
        "agents",
        "tokyo-court",
        "sues",
        "seamstress",
        "tricked-south",
        "trade-fair",
        "city-official",
        "five-bullets",
        "wakes",
        "envoy-post",
        "envoy",
        "surfaces",
        "takes-office",
        "road-land",
        "to-pyongyang",
        "orphans",
        "walked-away",
        "examined",
        "surveyed",
        "thirty-one",
        "head-of-state",
        "wetsuit",
        "goseong",
        "lookout-missed",
        "reached-islet",
        "restaurant-manager",
        "vladivostok",
        "daughter-home",
        "kim-sister",
        "fled-scorn",
        "free-country",
    ]
)
# Batches of items that are left out together, by the letters that their ids begin with; D: the given ones.
TOGETHER = (
    *("D", "M U V", "L B N", "P Q", "R S T", "W X Y", "Z F K O", "G", "J", "A", "C"),
    *("IA", "IC", "ID", "IE", "IF", "IG", "IH", "II", "IJ", "IK", "IL"),
)


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its label. `part`: a batch of labelled items, or a number for headlines."""

    item: Item
    relevant: bool
    part: str


def labelled() -> list[Example]:
    examples = [_example(one) for name in relevance.LABELLED for one in relevance.read(DATA / f"{name}.jsonl")]
    return examples + [Example(one.item, one.relevant, "") for one in relevance.read(DATA / "meaning_more.jsonl")]


def _example(one: Labelled) -> Example:
    return Example(one.item, one.relevant, one.item.id.rstrip("0123456789"))


def headlines(file: Path) -> list[Example]:
    """Real headlines, without those that may be on the subject or not."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Example(
            Item("", str(number), None, row["title"], row["description"], language=row["lang"]),
            row["mentions"] == "nk-defector",
            str(zlib.crc32(row["title"].encode()) % PARTS),
        )
        for number, row in enumerate(rows)
        if row["mentions"] != "nk-defector-weak"
    ]


def table(examples: Sequence[Example]) -> Any:
    """A sparse matrix with one row for each text: its buckets, of length one."""
    words = CountVectorizer(analyzer=_buckets, vocabulary={bucket: bucket for bucket in range(BUCKETS)}, binary=True)
    return normalize(words.transform(one.item for one in examples).astype(float))


def _buckets(item: Item) -> list[int]:
    return [bucket for word in text_of(item).split() for bucket in buckets(word, BUCKETS)]


def fit(rows: Any, truth: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=STRICT, solver="liblinear", tol=1e-3).fit(rows, truth)


def held_out(examples: Sequence[Example], rows: Any) -> np.ndarray:
    """For each example the log-odds by what all others but its part taught."""
    truth = np.array([one.relevant for one in examples])
    parts = np.array([one.part for one in examples])
    odds = np.zeros(len(examples))
    for left_out in (*TOGETHER, *map(str, range(PARTS))):
        out = np.isin(parts, left_out.split())
        odds[out] = SCALE * fit(rows[~out], truth[~out]).decision_function(rows[out])
    return odds


def forgetful(pack: Pack, seed: int) -> Pack:
    """The pack with a share of its terms gone, always the same for a seed."""
    draw = random.Random(seed)
    kept = {
        name: tuple(term for term in terms if draw.random() >= FORGOTTEN)
        for name, terms in sorted(pack.concepts.items())
    }
    return replace(pack, concepts=kept)


def silent(pack: Pack) -> Pack:
    """The pack with a phrasing that is asked of what the written one would be asked of, and speaks for nothing."""
    asked = tuple(name for name in pack.concepts if name not in COMMON)
    return replace(pack, phrasing=Phrasing("", asked, array("b", [0]), 0.0, -1.0))


def measure(examples: Sequence[Example], odds: np.ndarray) -> None:
    """Print the rules alone, and with what was learned elsewhere, for the whole pack and for one that forgot."""
    pack = silent(load_pack("north-korean-defectors", HERE))
    asked = frozenset(pack.concepts) - COMMON
    for label, used in (("whole", pack), ("forgetful", forgetful(pack, 1)), ("forgetful", forgetful(pack, 2))):
        judge = Judge(used, 0.5)
        scores = {name: (relevance.Score(), relevance.Score()) for name in ("labelled", "headlines", *TOGETHER)}
        for one, more in zip(examples, odds, strict=True):
            verdict = judge.judge(one.item, "general")
            before = sum(reason.weight for reason in verdict.found) + pack.bias
            named = judge.names(one.item)
            looked = pack.bias <= before < 0 and not named.isdisjoint(asked)
            kept = verdict.decision is Decision.KEPT
            group = next((name for name in TOGETHER if one.part in name.split()), "")
            whole = "headlines" if one.part.isdigit() else "labelled" if group else ""
            for name in filter(None, (whole, group)):
                count(scores[name][0], kept, one.relevant)
                count(scores[name][1], kept or (looked and before + more >= 0), one.relevant)
        for name, pair in scores.items():
            print(f"{label:10} {name:10} rules {told(pair)}")


def told(scores: Sequence[relevance.Score]) -> str:
    return "   ".join(f"F1 {one.f1:.3f} P {one.precision:.3f} R {one.recall:.3f} ({one.wrong} wrong)" for one in scores)


def count(score: relevance.Score, kept: bool, relevant: bool) -> None:
    score.right += kept and relevant
    score.wrong += kept and not relevant
    score.missed += relevant and not kept


def write(examples: Sequence[Example], rows: Any) -> None:
    model = fit(rows, np.array([one.relevant for one in examples]))
    weights = SCALE * model.coef_[0]
    step = float(np.abs(weights).max()) / 127
    pack = load_pack("north-korean-defectors", HERE)
    learned = {
        "asked": [name for name in pack.concepts if name not in COMMON],
        "step": round(step, 6),
        "bias": round(SCALE * float(model.intercept_[0]), 4),
        "weights": base64.b85encode(np.round(weights / step).astype(np.int8).tobytes()).decode(),
    }
    FILE.write_text(json.dumps(learned, indent=1) + "\n", "utf-8")


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    ask.add_argument("--headlines", type=Path, required=True)
    ask.add_argument("--write", action="store_true")
    args = ask.parse_args()
    examples = labelled() + headlines(args.headlines)
    rows = table(examples)
    if args.write:
        write(examples, rows)
    else:
        measure(examples, held_out(examples, rows))


if __name__ == "__main__":
    main()
