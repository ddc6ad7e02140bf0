"""What the optional model costs: milliseconds of CPU a text by length, in one thread, and memory.

    python tests/benchmarks/bench_meaning.py [--texts 50]

Memory is what this process holds in all, with the topic pack loaded; most of the model is mapped from its file.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from aggregator.meaning import installed, load_sense
from aggregator.model import Item
from aggregator.topics import Judge, load_pack

TEXT = "A soldier from the North who walked over the line at night asks for asylum in the South and is heard"


def megabytes(kind: str) -> int:
    """Of this process: VmRSS now, or VmHWM at most (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind)) // 1024


def item(number: int, words: int) -> Item:
    known = TEXT.split()
    text = " ".join(known[(number + place) % len(known)] for place in range(words))
    return Item("", str(number), None, f"{number} {text}", "")


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    ask.add_argument("--texts", type=int, default=50)
    args = ask.parse_args()
    model = installed()
    if model is None:
        print("the extra `semantic` is not installed")
        return
    pack = load_pack("north-korean-defectors", Path())
    sense = load_sense("north-korean-defectors", Path(), pack.concepts, model)
    judge = Judge(pack, 0.5, sense)
    judge.judge(Item("", "0", None, "Council meets about the budget", ""), "general")
    print(f"before the model is needed: {megabytes('VmRSS')} MB, numpy loaded: {'numpy' in sys.modules}")
    begun = time.perf_counter()
    model.vector(item(0, 5))
    print(f"loading, and the first text: {(time.perf_counter() - begun) * 1000:.0f} ms")
    for words in (10, 30, 90):
        taken = []
        for number in range(args.texts):
            begun = time.process_time()
            model.vector(item(number, words))
            taken.append((time.process_time() - begun) * 1000)
        print(f"{words:3} words: {statistics.median(taken):.1f} ms a text (median), {max(taken):.1f} at most")
    print(f"after {3 * args.texts} texts: {megabytes('VmRSS')} MB, at most {megabytes('VmHWM')} MB")


if __name__ == "__main__":
    main()
