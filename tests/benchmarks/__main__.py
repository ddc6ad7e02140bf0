"""Runs every benchmark, each in a process of its own: `python -m tests.benchmarks [name ...]`, such as `store`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent / "pyproject.toml"


def main(wanted: list[str]) -> int:
    """Print what was measured on what, then each benchmark's tables; the number of those that failed."""
    benchmarks = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    unknown = set(wanted) - set(benchmarks)
    if unknown:
        sys.exit(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(benchmarks)}")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    print(", ".join(versions()))
    failed = 0
    for name, path in benchmarks.items():
        if not wanted or name in wanted:
            print(f"\n--- {name} ---", flush=True)
            failed += subprocess.run([sys.executable, str(path)], check=False).returncode != 0
    return failed


def versions() -> list[str]:
    """The versions of the libraries that the program declares."""
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[^\w.-]", requirement)[0] for requirement in declared if ";" not in requirement]
    return [f"{name} {version(name)}" for name in names]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
