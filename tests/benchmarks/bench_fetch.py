"""What a poll costs: our fetcher and engine beside bare requests and urllib3, doing the same requests.

    python tests/benchmarks/bench_fetch.py [--polls 2000] [--threads 16] [--rounds 3] [--latency 0.0]

A server in a process of its own answers on loopback. CPU is the client's (user and system), in microseconds a poll;
rounds are interleaved, and the median is printed. "hosts" gives each poll a host of its own, hence a new connection.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import resource
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import requests
import trustme
import urllib3

from aggregator import tables
from aggregator.engine import Threads
from aggregator.fetch import HttpFetch
from aggregator.model import Known, Refused, Source, Task, Validators

_TLS_POLLS = 200  # bare requests takes 25 ms for each
VALIDATORS = Validators('"1"', "Sun, 22 Nov 2026 10:00:00 GMT")
BODY = gzip.compress(b"<rss>" + bytes(range(32, 127)) * 1000 + b"</rss>")
HEAD = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Type: text/xml\r\nCache-Control: max-age=3600\r\n'
DOCUMENT = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
UNCHANGED = HEAD.replace(b"200 OK", b"304 Not Modified") + b"\r\n"


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def serve(listener: socket.socket, latency: float, pem: str) -> None:
    """Answer 304 to what is conditional and a document to what is not, until killed."""
    context = None
    if pem:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)

    def answer(connection: socket.socket) -> None:
        try:
            wire = context.wrap_socket(connection, server_side=True) if context else connection
            with wire:
                while request := wire.recv(65536):
                    if latency:
                        time.sleep(latency)
                    wire.sendall(UNCHANGED if b"If-None-Match" in request else DOCUMENT)
        except OSError:
            connection.close()

    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


@contextmanager
def server(latency: float, pem: str = "") -> Iterator[int]:
    listener = socket.create_server(("0.0.0.0", 0), backlog=1024)
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listener, latency, pem), daemon=True)
    process.start()
    yield listener.getsockname()[1]
    process.kill()
    process.join()
    listener.close()


def ours(urls: list[str], threads: int, validators: Validators) -> None:
    settings = tables.Fetch(concurrency=threads, per_host=threads, host_gap_seconds=0, allow_private_addresses=True)
    fetch = HttpFetch(settings, "https://example.org/", Clock())
    tasks = [Task(Source(url, url), Known(validators)) for url in urls]
    for answer in Threads(threads, threads, 0.0).map(fetch, tasks, lambda task: task.source.url):
        if isinstance(answer, Refused):
            raise SystemExit(answer.failed.message)
    fetch.close()


def bare_requests(urls: list[str], threads: int, validators: Validators) -> None:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=threads, pool_maxsize=threads))
    headers = _conditions(validators)
    with ThreadPoolExecutor(threads) as pool:
        for response in pool.map(lambda url: session.get(url, headers=headers, timeout=20), urls):
            _ = response.content


def bare_urllib3(urls: list[str], threads: int, validators: Validators) -> None:
    context = ssl.create_default_context()
    pool = urllib3.PoolManager(threads, maxsize=threads, ssl_context=context, retries=False)
    headers = _conditions(validators) | {"Accept-Encoding": "gzip"}
    with ThreadPoolExecutor(threads) as executor:
        for response in executor.map(lambda url: pool.request("GET", url, headers=headers, timeout=20.0), urls):
            _ = response.data


def _conditions(validators: Validators) -> dict[str, str]:
    if validators.etag is None or validators.last_modified is None:
        return {}
    return {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}


CLIENTS: dict[str, Callable[[list[str], int, Validators], None]] = {
    "ours": ours,
    "requests": bare_requests,
    "urllib3": bare_urllib3,
}


def cost(
    client: Callable[[list[str], int, Validators], None], urls: list[str], threads: int, asked: Validators
) -> tuple[float, float]:
    """CPU and wall seconds of the client alone."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    client(urls, threads, asked)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - started
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    authority = trustme.CA()
    names = [f"127.1.{number >> 8}.{number & 255}" for number in range(options.polls)]
    with tempfile.TemporaryDirectory() as folder:
        bundle, pem = Path(folder, "authority.pem"), Path(folder, "server.pem")
        bundle.write_bytes(Path(requests.utils.DEFAULT_CA_BUNDLE_PATH).read_bytes() + authority.cert_pem.bytes())
        authority.issue_cert(*names[:_TLS_POLLS]).private_key_and_cert_chain_pem.write_to_path(str(pem))
        os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = str(bundle)
        print(f"{'case':28}{'client':12}{'us CPU/poll':>12}{'polls/s':>10}{'x requests':>12}")
        with server(options.latency) as port:
            one, many = (
                [f"http://127.0.0.1:{port}/{n}" for n in range(options.polls)],
                [f"http://{h}:{port}/" for h in names],
            )
            report("304, one host", one, VALIDATORS, options)
            report("200 gzip, one host", one, Validators(), options)
            report("304, hosts", many, VALIDATORS, options)
        with server(options.latency, str(pem)) as port:
            report(
                "304, hosts, https",
                [f"https://{h}:{port}/" for h in names[:_TLS_POLLS]],
                VALIDATORS,
                options,
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def report(case: str, urls: list[str], asked: Validators, options: argparse.Namespace) -> None:
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    for _ in range(options.rounds):
        for name, client in CLIENTS.items():
            figures[name].append(cost(client, urls, options.threads, asked))
    base = statistics.median(cpu for cpu, _ in figures["requests"])
    for name, rounds in figures.items():
        cpu, wall = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{case:28}{name:12}{cpu / len(urls) * 1e6:12.0f}{len(urls) / wall:10.0f}{cpu / base:12.2f}")


if __name__ == "__main__":
    main()
