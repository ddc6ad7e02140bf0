"""What all commands share: options, where they print, how they read the configuration and report mistakes."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aggregator.config import Config, load
from aggregator.errors import AggregatorError, ConfigError
from aggregator.several import chosen
from aggregator.subjects import ARCHIVE

ConfigPath = Annotated[
    Path, typer.Option("--config", envvar="AGGREGATOR_CONFIG", help="The configuration file.", metavar="PATH")
]
SubjectName = Annotated[
    str, typer.Option("--subject", envvar="AGGREGATOR_SUBJECT", help="Which one, of several.", metavar="NAME")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
What = Annotated[str, typer.Argument(help="An item's link, id or number.")]

CONFIG = Path("config.toml")

out = Console()
err = Console(stderr=True)


def one(config: Path, subject: str, *, or_archive: bool = False) -> Config:
    """The configuration for one subject; `or_archive`: the store that several share will do, too."""
    if subject == ARCHIVE and not or_archive:
        raise ConfigError(f"{ARCHIVE} is no subject, but what all of them share")
    return chosen(load(config), subject)


def each(config: Path, subject: str) -> tuple[Config, ...]:
    """The configuration for one subject, or of each where none is named."""
    configuration = load(config)
    names = [subject] if subject or not configuration.subject else [table.name for table in configuration.subject]
    return tuple(one(config, name) for name in names)


def guarded(command: Callable[[], object]) -> None:
    """Run a command line; mistakes become sentences and an exit status: 1 the work failed, 2 wrong configuration."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where it was closed
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding does not know is spelled out
    try:
        command()
    except ConfigError as error:
        _end(2, *error.problems)
    except AggregatorError as error:
        _end(1, str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone: say no more
        sys.exit(1)
    except OSError as error:
        _end(1, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except Exception as error:
        if os.environ.get("AGGREGATOR_TRACEBACK"):
            traceback.print_exc()
        _end(1, f"an unexpected fault, please report it with what AGGREGATOR_TRACEBACK=1 shows: {error!r}")


def _end(status: int, *sentences: str) -> None:
    for sentence in sentences:
        err.print(f"aggregator: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(status)


def log_plainly(level: int = logging.INFO) -> None:
    """Lines with the time in UTC on standard error, for a daemon's journal."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it runs is said by the daemon, once
