"""Visits made by threads, by processes and by a Dask cluster: one table of what each kind of engine takes.

    python tests/benchmarks/bench_engine.py [1000 10000] [--kinds threads dask processes] [--workers 1 2 4]

A server in a process of its own answers 200 ms late for so many sources of 30 (--entries) entries, first with all, then
that nothing changed. A worker is a process with so many threads that wait for sources; of `processes`, so many of them.
CPU is of the process that hands out and settles, and of all that visit, in milliseconds a visit; bytes are what
travels to a worker and back, without what the framework adds. The scheduler's CPU counts as the workers'. Memory is the
most that the process that hands out has taken so far, and the store what its file has grown to.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client

from aggregator import app as application
from aggregator.app import App, SystemClock
from aggregator.cluster import Cluster
from aggregator.config import load
from aggregator.engine import Children
from aggregator.model import Changed
from aggregator.ports import Isolate
from aggregator.workers import Crew, Equipment, Limits, program
from tests.benchmarks import bench_poll
from tests.benchmarks.bench_poll import CONFIG, answer

R = TypeVar("R")
LATE = 0.2  # seconds
TICKS = os.sysconf("SC_CLK_TCK")
COLUMNS = (
    "engine",
    "visits",
    "wall",
    "visits/s",
    "CPU here, ms",
    "CPU there, ms",
    "kB there + back",
    "MB here",
    "store, MB",
)
READING = Limits(2, 20, 512, ("aggregator.parse", "feedparser", "aggregator.nursery"))


def serve(listener: socket.socket) -> None:
    def converse(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            received = b""
            while more := connection.recv(65536):
                received += more
                while b"\r\n\r\n" in received:
                    request, _, received = received.partition(b"\r\n\r\n")
                    time.sleep(LATE)
                    connection.sendall(answer(request, 0, 0, 0))

    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


class Weighed:
    """An isolate that counts what goes through it."""

    def __init__(self, isolate: Isolate) -> None:
        self._isolate = isolate
        self.calls = self.there = self.back = 0

    def __call__(self, function: Callable[..., R], *arguments: Any) -> R:
        result = self._isolate(function, *arguments)
        self.calls += 1
        self.there += sum(len(one) for one in arguments if one is not None)
        self.back += len(result) if isinstance(result, bytes) else 0
        return result


def children(of: int) -> Iterator[int]:
    """The processes below a process, it included."""
    yield of
    for path in Path(f"/proc/{of}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                yield from children(int(child))


def cpu(of: int) -> float:
    """Seconds that a process and those below it took, those that ended included."""
    spent = 0
    for one in children(of):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            spent += sum(int(number) for number in fields[11:15])
    return spent / TICKS


@contextmanager
def dask(workers: int, threads: int, folder: str) -> Iterator[tuple[str, int]]:
    """A cluster on loopback: its address, and the process above all of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    port, start, here = address.rpartition(":")[2], f"{sys.executable} -m dask", "--host 127.0.0.1 --no-dashboard"
    script = f"{start} scheduler {here} --port {port} &" + "".join(
        f"{start} worker {address} {here} --nthreads {threads} --local-directory {folder}/{n} &" for n in range(workers)
    )
    surroundings = os.environ | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    quiet = subprocess.DEVNULL
    group = subprocess.Popen(
        ["sh", "-c", script + "wait"], env=surroundings, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        client: Any = Client
        with client(address, timeout=60, set_as_default=False) as waiting:
            waiting.wait_for_workers(workers)
        yield address, group.pid
    finally:
        os.killpg(group.pid, signal.SIGKILL)
        group.wait()


def measure(app: App, name: str, above: int, weighed: Weighed | None) -> None:
    for what in ("first time", "not modified"):
        if weighed:
            weighed.calls = weighed.there = weighed.back = 0
        own, theirs, start = time.process_time(), cpu(above), time.monotonic()
        settled = list(app.refresh(everything=True))
        wall, own, theirs = time.monotonic() - start, time.process_time() - own, cpu(above) - theirs
        if above == os.getpid():
            theirs -= own
        count = len(settled)
        assert all(isinstance(one.visit.outcome, Changed) == (what == "first time") for one in settled)
        moved = f"{weighed.there / count / 1000:.1f} + {weighed.back / count / 1000:.1f}" if weighed else "0"
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        stored = sum(path.stat().st_size for path in app.config.path.parent.glob("aggregator.db*")) / 1e6
        print(
            f"| {name} | {count:,}, {what} | {wall:.0f} s | {count / wall:.0f} | {own * 1000 / count:.2f} "
            f"| {theirs * 1000 / count:.2f} | {moved} | {most:.0f} | {stored:.0f} |",
            flush=True,
        )


def run(kind: str, workers: int, threads: int, urls: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        text = CONFIG.format(threads=workers * threads) + '[server]\nlisten = ""\n'
        text = text.replace("[topic]", '[topic]\npack = "coral-reefs"')  # nothing is folded
        listed = "".join(f'[[source]]\nname = "{url}"\nurl = "{url}"\nlanguage = "en"\n' for url in urls)
        (Path(folder) / "config.toml").write_text(text + listed)
        app = stack.enter_context(application.open_app(load(Path(folder) / "config.toml"), SystemClock()))
        if kind == "threads":
            return measure(app, "threads", os.getpid(), None)
        isolate: Children | Cluster
        if kind == "processes":
            preload = (*READING.preload, "aggregator.workers")
            isolate, above, reading = Children(workers * threads, 200, 512, preload), os.getpid(), None
        else:
            address, above = stack.enter_context(dask(workers, threads, folder))
            isolate, reading = Cluster(address, 200), READING
        stack.callback(isolate.close)
        weighed, clock = Weighed(isolate), app.collector.clock
        equip = partial(Equipment, app.config.fetch, "", clock, program(), reading)
        measure(replace(app, crew=Crew(weighed, clock, equip)), f"{kind}, {workers}", above, weighed)
    return None


def apart(kind: str, workers: int, threads: int, urls: list[str]) -> None:
    """In a process of its own, whose memory is that of this measurement alone."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=(kind, workers, threads, urls))
    process.start()
    process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("counts", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--kinds", nargs="*", default=["threads", "dask", "processes"])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--entries", type=int, default=30, help="of each document")
    wanted = parser.parse_args()
    bench_poll.ENTRIES = wanted.entries
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    print(f"distributed {version('distributed')}; each answer {LATE * 1000:.0f} ms late\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    for count in wanted.counts:
        urls = [f"http://127.0.0.1:{listener.getsockname()[1]}/{count}/{number}" for number in range(count)]
        for kind in wanted.kinds:
            for workers in (1,) if kind == "threads" else wanted.workers:
                apart(kind, workers, wanted.threads, urls)
    server.kill()


if __name__ == "__main__":
    main()
