"""The daemon as an operator runs it, as a process of its own, and what it takes to watch it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import environment

DEFECTOR = ("https://news.example/1", "North Korean defector elected to Seoul council", "")
SWIMMER = ("https://news.example/2", "Swimmer from North Korea reaches Gyodong island, asks to stay in the South", "")


def eventually(what: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; fail when it does not within a time no working daemon needs."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.05)


@contextmanager
def daemon(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "aggregator", "run", *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log, text=True, env=environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return 0, ""
