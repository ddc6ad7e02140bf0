"""The parts that visit sources, chosen as the configuration says: here, in other processes, or on other machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from urllib.parse import urlsplit

from aggregator.cluster import Cluster
from aggregator.config import Config
from aggregator.domains import registrable_domain
from aggregator.engine import Children, Threads
from aggregator.fetch import HttpFetch, agent
from aggregator.hub import Hubs
from aggregator.model import Task
from aggregator.pipeline import Collector
from aggregator.ports import Clock, Engine
from aggregator.topics import Judge
from aggregator.turns import LONGEST
from aggregator.workers import Crew, Equipment, Limits, program

# Child processes for parsing, each of some 40 MB. Where every document is new, a visit takes 9 to 11 ms of this process
# and 19 to 27 ms of its children (docs/scale.md), so that three keep up with it on any number of cores.
PARSERS = max(2, min(3, os.cpu_count() or 2))
PARSE_SECONDS = 20.0  # the slowest of 5,500 documents of four public test corpora took 0.4 s
PARSE_MEGABYTES = 512
VISITED = 7  # answers that a visit waits for at most: a feed that vanished, its site's page, the feeds named there
TRAVEL_SECONDS = 30.0  # to another machine and back, and for a worker that is free


@contextmanager
def reading(config: Config, judge: Judge, clock: Clock) -> Iterator[tuple[Collector, Engine]]:
    """The parts that visit sources."""
    with ExitStack() as stack:
        fetch = HttpFetch(config.fetch, contact(config), clock)
        stack.callback(fetch.close)
        engine = Threads(config.fetch.concurrency, config.fetch.per_host, config.fetch.host_gap_seconds)
        stack.callback(engine.close)
        isolate = Children(PARSERS, PARSE_SECONDS, PARSE_MEGABYTES, preload=_preloaded(config))
        stack.callback(isolate.close)
        yield Collector(clock, fetch, isolate, judge), engine


@contextmanager
def hire(config: Config, clock: Clock) -> Iterator[Crew | None]:
    """Who makes the visits of a refresh, as [engine] says."""
    asked, parsing = config.engine, Limits(PARSERS, PARSE_SECONDS, PARSE_MEGABYTES, _preloaded(config))
    seconds = VISITED * (config.fetch.timeout_seconds + min(config.fetch.host_gap_seconds, LONGEST)) + PARSE_SECONDS
    isolate: Children | Cluster
    match asked.kind:
        case "threads":
            yield None
            return
        case "processes":
            workers, inside = asked.workers or config.fetch.concurrency, None
            isolate = Children(workers, seconds, PARSE_MEGABYTES, preload=(*parsing.preload, "aggregator.workers"))
        case "dask":
            isolate, inside = Cluster(asked.address, seconds + TRAVEL_SECONDS), parsing
    equip = partial(Equipment, config.fetch, contact(config), clock, program(), inside)
    try:
        yield Crew(isolate, clock, equip)
    finally:
        isolate.close()


def _preloaded(config: Config) -> tuple[str, ...]:
    """What all reading processes share; that which tells languages only where a source does not name its own."""
    told = all(table.language for table in config.source if table.enabled)
    return ("aggregator.parse", "feedparser") if told else ("aggregator.parse", "feedparser", "aggregator.nursery")


def hubs(config: Config) -> Hubs:
    """The way to WebSub hubs."""
    return Hubs(config.fetch, agent(config.fetch, contact(config)))


def agent_of(config: Config) -> str:
    """How the program introduces itself to those whom it tells of news."""
    return agent(config.fetch, contact(config))


def contact(config: Config) -> str:
    """Where the people whose servers are read can find us; nothing while the page is on this machine only."""
    link = config.each()[0].feed.link
    host = urlsplit(link).hostname or ""
    return "" if host == "localhost" or host.startswith("127.") else link


def anonymous(config: Config) -> str:
    """What the operator should know who has given no contact; "": servers are told one."""
    if config.fetch.user_agent or contact(config):
        return ""
    return (
        "the servers that are read are told no contact, since [feed] link is on this machine: put the public address "
        "there, or an address at which you can be reached into [fetch] user_agent"
    )


def lane(task: Task) -> str:
    """The domain that is asked, which is another than the source's own where it has moved for good."""
    return registrable_domain(task.known.address or task.source.url)
