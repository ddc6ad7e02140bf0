"""Looks for inputs that break the laws of `tests.soak.targets`, led by what they cover of the code.

    python -m tests.soak.fuzz [--seconds 180] [TARGET ...]

Each target gets a process of its own, the time that is asked for, and a corpus under .fuzz/ that later runs go on
with. It begins with tests/data/fuzz: what was found once, and what shows how inputs look. A finding is printed with
its file; when it is mended, the file moves there. atheris (Apache-2.0, https://github.com/google/atheris) does the
looking; it is to be had for Linux on x86-64 alone.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KEPT = ROOT / "tests" / "data" / "fuzz"
FEEDS = ROOT / "tests" / "data" / "feeds"
CORPUS = ROOT / ".fuzz"
LONGEST = 60  # seconds that one input may take, on a busy machine, too
MEMORY = 1024  # MB
SIZE = 8_000  # bytes of an input: larger ones of feedparser's take too long to look at many
_DONE = re.compile("Done (.*)")
_TOLD = 25  # lines of libFuzzer's, of which the last name the input's file


class Broken(AssertionError):
    """An input that breaks a law: what libFuzzer said, which names its file last."""


def kept(name: str) -> list[Path]:
    """The cases of a target."""
    return sorted((KEPT / name).iterdir())


def look(name: str, function: str, seconds: int, corpus: Path) -> str:
    """Fuzz a function ("module:name") for so long, beginning with a target's cases; what was done. Broken: found."""
    (corpus / name).mkdir(parents=True, exist_ok=True)
    feeds = [file for file in FEEDS.iterdir() if file.stat().st_size < SIZE] if name == "parse" else []
    for file in (*kept(name), *feeds):
        (corpus / name / file.name).write_bytes(file.read_bytes())
    limits = (f"-max_total_time={seconds}", f"-timeout={LONGEST}", f"-rss_limit_mb={MEMORY}", f"-max_len={SIZE}")
    places = (str(corpus / name), f"-artifact_prefix={corpus}/{name}-")
    command = (sys.executable, "-m", "tests.soak.fuzz", "--become", function, *places, *limits)
    ended = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if ended.returncode:
        raise Broken("\n".join((name, ended.stdout, *ended.stderr.splitlines()[-_TOLD:])))
    return str(_DONE.findall(ended.stderr)[-1])


def _become(function: str, arguments: list[str]) -> None:
    """Be libFuzzer: it takes over the process, and ends it."""
    import atheris

    module, _, name = function.partition(":")
    with atheris.instrument_imports(include=["aggregator", "feedparser"], enable_loader_override=False):
        target = getattr(import_module(module), name)
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def main() -> None:
    if sys.argv[1:2] == ["--become"]:
        _become(sys.argv[2], sys.argv[3:])
        return
    from tests.soak.targets import TARGETS  # not before: what is loaded already is not led through

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=180)
    asked = parser.parse_args()
    if find_spec("atheris") is None:
        print("atheris is not installed, and cannot be had for every machine: nothing new was looked for")
        return
    sound = True
    for name in asked.targets:
        try:
            print(
                f"{name}: {look(name, f'tests.soak.targets:{TARGETS[name].__name__}', asked.seconds, CORPUS)}",
                flush=True,
            )
        except Broken as finding:
            sound = False
            print(finding, flush=True)
    sys.exit(not sound)


if __name__ == "__main__":
    main()
