"""What whole polls cost: `aggregator run --once` beside bare requests, lxml's walk and, if asked, the library reader.

    python tests/benchmarks/bench_poll.py [100 1000 10000] [--real] [--latency 0.2] [--changed 0.02] [--threads 16]
        [--reader PYTHON]

A server in a process of its own answers on loopback for so many sources of 30 entries, one of them on the subject, or,
with `--real`, for the real documents among the tests' data, over and over; `--latency` seconds late.
They are read for the first time, again when nothing changed (304), again with a new entry in each, and again when the
server sends the same bytes without validators; `--changed` adds a round in which that share has a new entry. CPU is
user and system, of all processes, in milliseconds a source, without what a run takes in which nothing is due (in
brackets); memory is that of the largest process. `reader` runs in an environment of its own: name its Python.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import multiprocessing
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import requests
from lxml import etree

from aggregator.charset import as_text
from aggregator.delta import Sliced, cut
from aggregator.errors import FeedError

ENTRIES = 30
PLAIN, RESENT = 0, 1
TEXT = """
council meets about budget item road works begin next week after long delay mayor says schools will open later this
year because of heavy snow team wins final match in extra time fans cheer outside the stadium new library opens its
doors farmers hope for rain as prices rise slowly market report shows steady growth small shops close early on monday
river levels fall again engineers repair the old bridge train service returns to normal hospital adds twenty beds
study finds that people walk more in spring museum buys rare painting artist speaks about her garden festival brings
music and food to the square police look for witnesses of an accident near the station court hears arguments over land
use minister visits factory workers ask for better pay students present robots at fair weather stays cold until friday
"""
WORDS = TEXT.split()
REAL: list[Sliced] = []  # the documents that are served, where they are real ones
FOLDER = Path(__file__).parent.parent / "data" / "feeds"
MOST_NEW = 2  # entries that come during a measurement
CONFIG = """
[feed]
output = "public"
[topic]
max_age_days = 0
[fetch]
allow_private_addresses = true
per_host = {threads}
host_gap_seconds = 0
concurrency = {threads}
[store]
url = "sqlite:///aggregator.db"
"""
READER = """
import sys
from reader import make_reader
reader = make_reader(sys.argv[1])
for url in sys.argv[3:]:
    reader.add_feed(url, exist_ok=True)
reader.update_feeds(scheduled=False, workers=int(sys.argv[2]))  # else it skips what it visited within the hour
"""


@cache
def entry(source: int, number: int) -> bytes:
    draw = random.Random(source * 1_000 + number)
    text = " ".join(draw.choices(WORDS, k=120)).capitalize() + ". " + " ".join(draw.choices(WORDS, k=40)) + "."
    title = " ".join(draw.choices(WORDS, k=8))
    if number == 7:
        title = f"North Korean defector: {title}"
    link = f"https://site{source}.example.org/{number}"
    return (
        f"<item><title>{title}</title><link>{link}</link><guid>{source}-{number}</guid>"
        f"<pubDate>Mon, 23 Nov 2026 {number % 24:02}:00:00 GMT</pubDate>"
        f"<description><![CDATA[<p>{text} <a href='{link}'>more</a></p>]]></description></item>"
    ).encode()


def real_documents() -> list[Sliced]:
    """Well-formed ones with ten entries or more, as far as they can be cut."""
    found = []
    for path in sorted(FOLDER.glob("*.xml")):
        with contextlib.suppress(FeedError):
            sliced = cut(as_text(path.read_bytes(), None, None)[0])
            if len(sliced.entries) >= 10 and not sliced.problems:
                found.append(sliced)
    return found


def document(source: int, new: int) -> bytes:
    """The feed of a source after so many new entries."""
    if REAL:
        sliced = REAL[source % len(REAL)]
        first, later = sliced.entries[0], sliced.entries[MOST_NEW - new]
        return b'<?xml version="1.0"?>' + sliced.data[: first.start] + sliced.data[later.start :]
    head = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Site {source}</title>'
    entries = b"".join(entry(source, number) for number in range(ENTRIES + new - 1, new - 1, -1))
    return head.encode() + b"<description>x</description>" + entries + b"</channel></rss>"


def answer(request: bytes, mode: int, new: int, changed: int) -> bytes:
    source = int(request.split(b" ", 2)[1].rpartition(b"/")[2])
    body = document(source, new + (source < changed))
    tag = b'"%s"' % blake2b(body, digest_size=8).hexdigest().encode()
    if mode == RESENT:
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    if b"\r\nIf-None-Match: " + tag in request:
        return b"HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n" % tag
    head = b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
    return head % (tag, len(body)) + body


def serve(listener: socket.socket, state: tuple[Synchronized[int], ...], latency: float) -> None:
    """Answer as `state` (mode, new entries of all, of how many sources one more) says, until killed."""

    def converse(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received = b""
            while more := connection.recv(65536):
                received += more
                while b"\r\n\r\n" in received:
                    request, _, received = received.partition(b"\r\n\r\n")
                    if latency:
                        time.sleep(latency)
                    connection.sendall(answer(request, *(one.value for one in state)))

    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


@dataclass(frozen=True, slots=True)
class Cost:
    cpu: float  # seconds
    wall: float  # seconds
    peak: float  # MB


def run(command: list[str], folder: Path) -> Cost:
    """What a command costs with all processes it leaves behind, which this process inherits and waits for."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    wall, process.returncode = time.monotonic() - start, status
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-os.getpgrp(), 0):
            pass
    if status:
        sys.exit(complaint.decode()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, used.ru_maxrss / 1024)


def bare(urls: list[str], threads: int, tags: dict[str, str]) -> Cost:
    """The same requests by plain `requests`, a session for each thread, the bodies read and dropped."""
    local = threading.local()

    def poll(url: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        headers = {"If-None-Match": tags[url]} if url in tags else {}
        response = local.session.get(url, headers=headers, timeout=30)
        _ = response.content
        if "ETag" in response.headers:
            tags[url] = response.headers["ETag"]

    before, start = time.process_time(), time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(poll, urls))
    return Cost(time.process_time() - before, time.monotonic() - start, 0)


def walk(count: int, new: int) -> float:
    """Seconds of CPU that lxml takes to walk over the documents."""
    spent = 0.0
    for source in range(count):
        data = document(source, new)
        before = time.process_time()
        _ = sum(1 for _ in etree.fromstring(data).iter())
        spent += time.process_time() - before
    return spent


def measure(count: int, wanted: argparse.Namespace, base: str, state: tuple[Synchronized[int], ...]) -> None:
    urls = [f"{base}/{count}/{source}" for source in range(count)]
    mode, new, changed = state
    mode.value, new.value, changed.value = PLAIN, 0, 0
    tags: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = "" if REAL else 'language = "en"\n'
        tables = "".join(f'[[source]]\nname = "{n}"\nurl = "{url}"\n{known}' for n, url in enumerate(urls))
        (folder / "config.toml").write_text(CONFIG.format(threads=wanted.threads) + tables)
        command = [sys.executable, "-m", "aggregator", "run", "--once"]
        theirs = [wanted.reader, "-c", READER, str(folder / "reader.db"), str(wanted.threads), *urls]

        def step(name: str, *options: str) -> None:
            ours = run([*command, *options], folder)
            idle = run(command, folder)
            limit = bare(urls, wanted.threads, tags)
            line = f"{count:6}  {name:12} {each(ours.cpu - idle.cpu)} [{idle.cpu:4.2f} s]  {ours.wall:6.1f} s"
            line += f"  {ours.peak:4.0f} MB  {each(limit.cpu)}  {(ours.cpu - idle.cpu) / limit.cpu:5.1f}"
            line += f"  {each(walk(count, new.value))}"
            if wanted.reader:
                other = run(theirs, folder)
                line += f"  {each(other.cpu)}  {other.cpu / ours.cpu:5.1f}"
            print(line, flush=True)

        def each(seconds: float) -> str:
            return f"{seconds / count * 1000:7.2f} ms"

        step("first")
        step("304", "--now")
        if wanted.changed:
            changed.value = round(count * wanted.changed)
            step(f"{wanted.changed:.0%} new", "--now")
            changed.value = 0
        new.value = 2 if wanted.changed else 1
        step("one new", "--now")
        mode.value = RESENT
        step("re-sent", "--now")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("counts", type=int, nargs="*", default=[100, 1_000], help="numbers of sources")
    parser.add_argument("--changed", type=float, default=0.02)
    parser.add_argument("--real", action="store_true", help="serve the documents of the tests' data")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--reader", default="", help="a Python that has the library reader")
    wanted = parser.parse_args()
    REAL.extend(real_documents() if wanted.real else ())
    ctypes.CDLL(None).prctl(36, 1)  # Linux: PR_SET_CHILD_SUBREAPER, so that parsing processes are counted
    os.setpgrp()
    context = multiprocessing.get_context("fork")
    state: Any = tuple(context.Value("i", 0, lock=False) for _ in range(3))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = context.Process(target=serve, args=(listener, state, wanted.latency), daemon=True)
    server.start()
    os.setpgid(server.pid or 0, server.pid or 0)  # so that no one waits for it
    print(", ".join(f"{name} {version(name)}" for name in ("requests", "urllib3", "lxml", "feedparser", "SQLAlchemy")))
    print("sources step         ours    [nothing due]    wall     peak     requests  ratio  lxml's walk  reader  ratio")
    try:
        for count in wanted.counts:
            measure(count, wanted, f"http://127.0.0.1:{listener.getsockname()[1]}", state)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
