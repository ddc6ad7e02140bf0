"""What several subjects cost over the same sources: `python tests/benchmarks/bench_subjects.py [sources]`, or 100.

`aggregator run --once` of a file with one subject, of one `[[subject]]`, and of three (two with the pack on defectors,
one on reefs), each source with 30 entries, one of them on the first pack's subject: all new, not modified, one more
entry each. CPU is of all processes, without the start, which is that of a run that finds nothing due; requests are
counted by the server.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.bench_poll import document, run
from tests.site import Site, serving

HEAD = """\
[fetch]
allow_private_addresses = true
per_host = 16
host_gap_seconds = 0
[server]
listen = ""
[store]
url = "sqlite:///aggregator.db"
"""
SUBJECT = """\
[[subject]]
name = "{name}"
[subject.feed]
title = "{name}"
[subject.topic]
pack = "{pack}"
threshold = {threshold}
max_age_days = 0
"""
ALONE = '[feed]\noutput = "feeds/alone"\n[topic]\nmax_age_days = 0\n[stories]\nseed = ""\n'
SUBJECTS = (
    ("one", "north-korean-defectors", 0.5),
    ("two", "north-korean-defectors", 0.6),
    ("three", "coral-reefs", 0.5),
)
COMMAND = [sys.executable, "-m", "aggregator", "run", "--once"]
COLUMNS = ("subjects", "visits", "requests", "CPU a source, ms", "wall", "stores, MB")


def configure(folder: Path, site: Site, subjects: int) -> None:
    tables = (
        SUBJECT.format(name=name, pack=pack, threshold=threshold) for name, pack, threshold in SUBJECTS[:subjects]
    )
    sources = (
        f'[[source]]\nname = "{path}"\nurl = "{site.address}{path}"\nlanguage = "en"\n' for path in site.documents
    )
    (folder / "config.toml").write_text("".join((HEAD, *(tables if subjects else [ALONE]), *sources)))


def measure(folder: Path, site: Site, subjects: int, what: str) -> None:
    asked = len(site.requests)
    done = run([*COMMAND, "--now"], folder)
    requests, count = len(site.requests) - asked, len(site.documents)
    idle = run(COMMAND, folder)
    stored = sum(path.stat().st_size for path in folder.glob("aggregator*.db")) / 1e6
    cost = (done.cpu - idle.cpu) * 1000 / count
    print(
        f"| {subjects or 'one alone'} | {count}, {what} | {requests} | {cost:.1f} | {done.wall:.0f} s | {stored:.1f} |",
        flush=True,
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for subjects in (0, 1, len(SUBJECTS)):
        with serving() as site, tempfile.TemporaryDirectory() as name:
            for what, new in (("all new", 0), ("not modified", 0), ("one new each", 1)):
                for source in range(count):
                    site.put(f"/{source}", document(source, new))
                configure(Path(name), site, subjects)
                measure(Path(name), site, subjects, what)


if __name__ == "__main__":
    main()
