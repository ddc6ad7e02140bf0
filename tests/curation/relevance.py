"""Measures relevance on labelled items, by language, with the mistakes.

Run as: python -m tests.curation.relevance [FILE.jsonl ...]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aggregator.model import Decision, Item, Verdict
from aggregator.topics import Judge, load_pack

HERE = Path(__file__).parent
DATA = HERE.parent / "data" / "curation"
LABELLED = ("items", "relevance_more", "items_more")  # what rules, phrasing and meaning learn from


@dataclass(frozen=True, slots=True)
class Labelled:
    """An item with what a person said of it."""

    item: Item
    relevant: bool


@dataclass(slots=True)
class Score:
    """Counts of a yes-or-no judgement."""

    right: int = 0  # kept, and relevant
    wrong: int = 0  # kept, but not relevant
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (2 * self.right + self.wrong + self.missed) if self.right else 0.0


def read(path: Path) -> Iterator[Labelled]:
    """Labelled items from a JSON Lines file."""
    for line in path.read_text("utf-8").splitlines():
        entry = json.loads(line)
        item = Item("", entry["id"], None, entry["title"], entry["summary"], language=entry["lang"])
        yield Labelled(item, entry["relevant"])


def judge(
    items: Iterable[Labelled], pack: str = "north-korean-defectors", scope: str = "general"
) -> list[tuple[Labelled, Verdict]]:
    """Each item with its verdict under a pack that ships."""
    judge = Judge(load_pack(pack, HERE), 0.5)
    return [(labelled, judge.judge(labelled.item, scope, frozenset())) for labelled in items]


def score(judged: Iterable[tuple[Labelled, Verdict]]) -> Score:
    """Kept against relevant."""
    total = Score()
    for labelled, verdict in judged:
        match verdict.decision is Decision.KEPT, labelled.relevant:
            case True, True:
                total.right += 1
            case True, False:
                total.wrong += 1
            case False, True:
                total.missed += 1
    return total


def main(paths: list[str]) -> None:
    for path in map(Path, paths or [str(DATA / f"{name}.jsonl") for name in LABELLED]):
        judged = judge(read(path))
        languages = defaultdict(list)
        for labelled, verdict in judged:
            languages[(labelled.item.language or "?").split("-")[0]].append((labelled, verdict))
        for name, part in [("all", judged), *sorted(languages.items())]:
            total = score(part)
            print(f"{name:4} {len(part):4}  P {total.precision:.3f}  R {total.recall:.3f}  F1 {total.f1:.3f}")
        for labelled, verdict in judged:
            if (verdict.decision is Decision.KEPT) != labelled.relevant:
                item = labelled.item
                reasons = "; ".join(f"{reason.concept} {reason.weight:+.1f} ({reason})" for reason in verdict.found)
                side = "missed" if labelled.relevant else "wrong "
                print(f"{side} {item.id} {item.language} {verdict.score:.2f} {item.title} || {item.summary[:200]}")
                print(f"        {reasons}")


if __name__ == "__main__":
    main(sys.argv[1:])
