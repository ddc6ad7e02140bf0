"""Starts commands of the program at once, each as a process of its own: everything is imported once, then forked.

Reads a line of JSON a command from standard input, {"folder": ..., "arguments": [...]}, and answers with a line: the
number of the process as soon as it runs, and another, its exit status (negative: the signal that ended it).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

# What a run would import on its way, so that a command is killed at its work and not while it loads.
LOADED = (
    "aggregator.cli",
    "aggregator.daemon",
    "aggregator.render",
    "aggregator.parse",
    "feedgen.feed",
    "jinja2",
    "pebble",
    "sqlalchemy.dialects.sqlite",
)


SPOKEN = ("said", "complained")  # .txt in the folder: what went to standard output and to standard error


def main() -> None:
    for name in LOADED:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(Path(asked["folder"]), asked["arguments"])
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(folder: Path, arguments: list[str]) -> None:
    """Be the command, in a process group of its own; what it says and complains of goes to files in the folder."""
    from aggregator.cli import main as command

    os.setpgid(0, 0)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said, complained = (os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) for name in SPOKEN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((0, nothing), (1, said), (2, complained)):
        os.dup2(new, old)
    sys.argv = ["aggregator", *arguments]
    status = 1
    try:
        command()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
