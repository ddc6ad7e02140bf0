"""What whole polls cost: `aggregator run --once` beside the library reader, bare requests, lxml and fastfeedparser.

    python tests/benchmarks/bench_poll.py [100 1000 10000] [--far [100 1000]] [--real [FOLDER]] [--off] [--alone]

A server in a process of its own answers on loopback for so many sources of 30 entries, one of them on the subject, or,
with `--real`, for real documents, of a folder or among the tests' data, over and over; with `--off` none of the 30 is
on the subject, which spares the first load the folding of as many stories as there are sources. They are read for the
first time, again when nothing changed (304), again with one new entry in each, again with one in each fiftieth, and
again when the server sends the same bytes without validators. Those that are `--far` answer 200 ms late, or as late as
`--late` says, over HTTPS, each under a name and a certificate of its own: the names lead to loopback inside the
processes that are measured, and nowhere else.

CPU is user and system, of all processes, in milliseconds a source, without what a run takes in which nothing is due (in
brackets); memory is that of the largest process; the walk of lxml and the reading by fastfeedparser are over the same
bytes. The last ratio is reader's CPU to ours, starts included in both. What is measured beside us is installed into
build/bench, and left out with `--alone`, for reader takes minutes for 10,000 sources.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import math
import multiprocessing
import os
import random
import resource
import socket
import ssl
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
import trustme
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
TOLD = {7}  # numbers of the entries of each source that are on the subject
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
RESOLVE = """
import socket
look_up = socket.getaddrinfo
def resolve(host, *rest, **named):
    return look_up("127.0.0.1" if str(host).endswith(".test") else host, *rest, **named)
socket.getaddrinfo = resolve
"""
OURS = (
    RESOLVE
    + """
from aggregator.__main__ import main
main()
"""
)
READER = (
    RESOLVE
    + """
import sys
from reader import make_reader
reader = make_reader(sys.argv[1])
for url in sys.argv[3:]:
    reader.add_feed(url, exist_ok=True)
reader.update_feeds(scheduled=False, workers=int(sys.argv[2]))  # else it skips what it visited within the hour
"""
)


FAST = """
import sys, time, fastfeedparser
documents = [open(path, "rb").read() for path in sys.argv[1:]]
begin = time.process_time()
for document in documents:
    fastfeedparser.parse(document)
print(time.process_time() - begin)
"""
LATE = 0.2  # seconds, of those that are far, unless told otherwise
SHARE = 50  # of so many sources one has something new
SAMPLE = 300  # documents that the parsers alone read; what they take is counted up
OTHERS = ("reader==3.26", "sgmllib3k==1.0.0", "fastfeedparser==0.5.10")  # reader's feedparser asks for sgmllib
ENVIRONMENT = Path(__file__).parents[2] / "build" / "bench"


@cache
def entry(source: int, number: int) -> bytes:
    draw = random.Random(source * 1_000 + number)
    text = " ".join(draw.choices(WORDS, k=120)).capitalize() + ". " + " ".join(draw.choices(WORDS, k=40)) + "."
    title = " ".join(draw.choices(WORDS, k=8))
    if number in TOLD:
        title = f"North Korean defector: {title}"
    link = f"https://site{source}.example.org/{number}"
    return (
        f"<item><title>{title}</title><link>{link}</link><guid>{source}-{number}</guid>"
        f"<pubDate>Mon, 23 Nov 2026 {number % 24:02}:00:00 GMT</pubDate>"
        f"<description><![CDATA[<p>{text} <a href='{link}'>more</a></p>]]></description></item>"
    ).encode()


def real_documents(folder: Path) -> list[Sliced]:
    """Well-formed ones with ten entries or more, as far as they can be cut."""
    found = []
    for path in sorted(folder.glob("*.xml")):
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


def contexts(authority: trustme.CA) -> ssl.SSLContext:
    """A server's, which has a certificate for each name that it is asked for."""

    @cache
    def own(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    def choose(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        connection.context = own(name)

    context = own("localhost")
    context.sni_callback = choose
    return context


def serve(
    listener: socket.socket, state: tuple[Synchronized[int], ...], authority: trustme.CA | None, late: float
) -> None:
    """Answer as `state` (mode, new entries of all, of how many sources one more) says, until killed.

    `authority`: over HTTPS and so many seconds late, with certificates that it signs; None: over HTTP, at once.
    """
    context = contexts(authority) if authority else None

    def converse(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            received = b""
            while more := connection.recv(65536):
                received += more
                while b"\r\n\r\n" in received:
                    request, _, received = received.partition(b"\r\n\r\n")
                    if context:
                        time.sleep(late)
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
    for source in range(min(count, SAMPLE)):
        data = document(source, new)
        before = time.process_time()
        _ = sum(1 for _ in etree.fromstring(data).iter())
        spent += time.process_time() - before
    return spent * count / min(count, SAMPLE)


def read_fast(count: int, new: int, folder: Path) -> float:
    """Seconds of CPU that fastfeedparser takes to read the documents."""
    paths = [folder / f"document-{source}" for source in range(min(count, SAMPLE))]
    for source, path in enumerate(paths):
        path.write_bytes(document(source, new))
    said = subprocess.run([python(), "-c", FAST, *paths], check=True, capture_output=True, text=True).stdout
    return float(said) * count / len(paths)


def python() -> str:
    return str(ENVIRONMENT / "bin" / "python")


def install() -> str:
    """Make the environment of what is measured beside us, if it is not there; what is in it."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    wanted = [*OTHERS, f"requests=={version('requests')}", f"lxml=={version('lxml')}"]
    if not Path(python()).exists():
        subprocess.run([*uv, "venv", "--python", sys.executable, str(ENVIRONMENT)], check=True)
    subprocess.run([*uv, "pip", "install", "--python", python(), *wanted], check=True)
    return ", ".join(one.replace("==", " ") for one in wanted)


@dataclass(frozen=True, slots=True)
class Round:
    """One number of sources, and where they are."""

    count: int
    urls: list[str]
    folder: Path
    threads: int
    state: tuple[Synchronized[int], ...]
    place: str
    beside: bool = True  # measure the other libraries, too

    def configure(self) -> None:
        known = "" if REAL else 'language = "en"\n'
        tables = "".join(f'[[source]]\nname = "{n}"\nurl = "{url}"\n{known}' for n, url in enumerate(self.urls))
        (self.folder / "config.toml").write_text(CONFIG.format(threads=self.threads) + tables)

    def measure(self) -> None:
        """Print a line for each step."""
        self.configure()
        tags: dict[str, str] = {}
        mode, new, changed = self.state
        mode.value, new.value, changed.value = PLAIN, 0, 0
        self.step("first", tags)
        self.step("304", tags, "--now")
        new.value = 1
        self.step("one new", tags, "--now")
        changed.value = max(1, self.count // SHARE)
        self.step(f"1 of {SHARE} new", tags, "--now")
        mode.value = RESENT
        self.step("re-sent", tags, "--now")

    def step(self, name: str, tags: dict[str, str], *options: str) -> None:
        command = [sys.executable, "-c", OURS, "run", "--once"]
        ours = run([*command, *options], self.folder)
        idle = run(command, self.folder)
        limit = bare(self.urls, self.threads, tags)
        new, other = self.state[1].value, Cost(math.nan, math.nan, math.nan)
        alone = [walk(self.count, new), math.nan]
        if self.beside:
            other = run([python(), "-c", READER, "reader.db", str(self.threads), *self.urls], self.folder)
            alone[1] = read_fast(self.count, new, self.folder)
        each = [f"{seconds / self.count * 1000:6.2f}" for seconds in (limit.cpu, *alone, other.cpu)]
        line = f"{self.count:6} {self.place:5} {name:11} {(ours.cpu - idle.cpu) / self.count * 1000:6.2f}"
        line += f" [{idle.cpu:4.2f} s] {ours.wall:6.1f} s {ours.peak:4.0f} MB  {'  '.join(each)} {other.wall:6.1f} s"
        print(f"{line}  {(ours.cpu - idle.cpu) / limit.cpu:6.1f}  {other.cpu / ours.cpu:5.1f}", flush=True)


HEADINGS = """\
                                                             ------- CPU, ms a source --------          ours by  reader
                               nothing                              lxml's   fast-                        the     by
sources      step       ours   due         wall    peak   requests  walk   feedparser reader    wall   requests  ours
"""


def served(context: Any, state: Any, authority: trustme.CA | None, late: float) -> tuple[Any, int]:
    """A server's process, and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = context.Process(target=serve, args=(listener, state, authority, late), daemon=True)
    server.start()
    os.setpgid(server.pid or 0, server.pid or 0)  # so that no one waits for it
    return server, listener.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("counts", type=int, nargs="*", default=[100, 1_000, 10_000], help="numbers of sources")
    parser.add_argument("--far", type=int, nargs="*", default=[100, 1_000], help="the same, over HTTPS and late")
    parser.add_argument("--real", type=Path, nargs="?", const=FOLDER, help="serve the documents of a folder")
    parser.add_argument("--off", action="store_true", help="no entry is on the subject")
    parser.add_argument("--alone", action="store_true", help="nothing is measured beside us but bare requests and lxml")
    parser.add_argument("--late", type=float, default=LATE, help="seconds that an answer from afar takes")
    parser.add_argument("--threads", type=int, default=16)
    wanted = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a start that compiles all libraries anew is nobody's
    if wanted.off:
        TOLD.clear()
    REAL.extend(real_documents(wanted.real) if wanted.real else ())
    others = "alone" if wanted.alone else install()
    print(f"{others}; ours: urllib3 {version('urllib3')}, feedparser {version('feedparser')}\n{HEADINGS}", end="")
    ctypes.CDLL(None).prctl(36, 1)  # Linux: PR_SET_CHILD_SUBREAPER, so that parsing processes are counted
    os.setpgrp()
    exec(RESOLVE, {})  # for the bare requests
    context, authority = multiprocessing.get_context("fork"), trustme.CA()
    state: Any = tuple(context.Value("i", 0, lock=False) for _ in range(3))
    servers = {
        place: served(context, state, signs, wanted.late) for place, signs in (("near", None), ("far", authority))
    }
    bases = {"near": f"http://127.0.0.1:{servers['near'][1]}", "far": f"https://s{{}}.test:{servers['far'][1]}"}
    try:
        for place, count in [("near", count) for count in wanted.counts] + [("far", count) for count in wanted.far]:
            with tempfile.TemporaryDirectory() as folder, authority.cert_pem.tempfile() as trusted:
                os.environ |= {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}
                urls = [f"{bases[place].format(source)}/{count}/{source}" for source in range(count)]
                Round(count, urls, Path(folder), wanted.threads, state, place, not wanted.alone).measure()
    finally:
        for server, _ in servers.values():
            server.kill()


if __name__ == "__main__":
    main()
