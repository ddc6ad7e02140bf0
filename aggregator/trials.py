"""What is tried and not remembered: sources, addresses, where an item would go, what labelled items would come to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from aggregator import pipeline
from aggregator.app import Subject, load_subject, open_store, plant, rules
from aggregator.config import Config
from aggregator.database import unused
from aggregator.errors import NotFoundError
from aggregator.evaluate import Evaluation, Labelled, predict, score
from aggregator.model import (
    Answer,
    Changed,
    Decision,
    Failed,
    FeedHead,
    Fetched,
    Item,
    Placement,
    Refused,
    Source,
    Task,
    Unchanged,
)
from aggregator.normalise import without_password
from aggregator.ports import Clock, Store
from aggregator.seek import working_feed
from aggregator.settle import Rules, near
from aggregator.visiting import lane, reading


def try_sources(config: Config, subjects: Sequence[Subject], clock: Clock) -> Iterator[tuple[bool, str]]:
    """Visit each enabled source once, remembering nothing: whether it failed, and what came, in words.

    As politely as ever: with what is known of it where there is a store, and not where its host asked for a pause.
    """
    with reading(config, subjects[0].judge, clock) as (collector, engine):
        if config.subject:
            each = zip(subjects, config.each(), strict=True)
            panel = tuple(pipeline.Listener(subject.judge, config.closed_to(own)) for subject, own in each)
            collector = replace(collector, panel=panel)
        tasks, left = _tasks(config, clock.now())
        yield from ((False, f"left    {name}: {why}") for name, why in left)
        for visit in engine.map(partial(pipeline.collect, collector), tasks, lane):
            match visit.outcome:
                case Failed(message=message):
                    yield True, f"failed  {visit.source.name}: {message}"
                case Changed(judged=judged) if judged:
                    kept = sum(one.verdict.decision is Decision.KEPT for one in judged)
                    yield False, f"ok      {visit.source.name}: {len(judged)} items, {kept} on the subject"
                case Unchanged(by=by):
                    yield False, f"ok      {visit.source.name}: unchanged since its last visit ({by})"
                case Changed(entries=entries) if entries:
                    yield False, f"ok      {visit.source.name}: nothing new among {len(entries)} entries"
                case _:
                    yield True, f"empty   {visit.source.name}: the feed answers, but holds no entry"


def _tasks(config: Config, now: datetime) -> tuple[list[Task], list[tuple[str, str]]]:
    """What to ask, with what is known of it; and by name, which sources are to be left alone, and why."""
    listed = config.listed(enabled=True)
    if unused(config.store_url):
        return [Task(source) for source in listed], []
    with open_store(config) as store:
        known = {task.source.url: task for task in store.claim(now, timedelta(0), everything=True)}
        busy = {one.source.url: one.why for one in store.health() if one.source.url not in known and one.enabled}
    tasks = [replace(known.get(source.url, Task(source)), source=source) for source in listed if source.url not in busy]
    return tasks, [(source.name, busy[source.url]) for source in listed if source.url in busy]


def find_feed(config: Config, url: str, clock: Clock, kind: str = "feed") -> tuple[str, FeedHead]:
    """The feed at an address, or the first one that works of those that the page there names; its address and head.

    `kind`: "sitemap" looks for a Google News sitemap, at this very address.
    """
    subject = load_subject(config.each()[0])
    with reading(config, subject.judge, clock) as (collector, _):
        answers: list[Answer] = []

        def fetch(task: Task) -> Answer:
            answers.append(collector.fetch(task))
            return answers[-1]

        visit = pipeline.collect(replace(collector, fetch=fetch), Task(Source(url, url, kind=kind)))
        page = answers[0]
        if isinstance(page, Refused):
            raise NotFoundError(f"{without_password(url)}: {page.failed.message}")
        if isinstance(visit.outcome, Changed):
            return url, visit.outcome.head
        if kind == "sitemap":
            said = visit.outcome.message if isinstance(visit.outcome, Failed) else "it lists nothing"
            raise NotFoundError(f"{without_password(url)} is not a Google News sitemap: {said}")
        if isinstance(page, Fetched) and (found := working_feed(collector.fetch, collector.isolate, page, url)):
            return found
    raise NotFoundError(
        f"{without_password(url)} is not a feed, and its page names none that can be read; "
        "look for a feed link on the site"
    )


def try_placing(store: Store, settling: Rules, item: Item, now: datetime) -> Placement:
    """Where an item would go, without putting it there."""
    with store.begin() as work:
        return settling.folder.place(item, near(work, settling.folder.keys(item), now - settling.window), now)


def evaluation(config: Config, subject: Subject, labelled: Sequence[Labelled]) -> Evaluation:
    """What the curation, as configured, makes of labelled items; the seeds are planted, nothing is stored."""
    from aggregator.memory import MemoryStore  # few commands need it

    settling = replace(rules(config, subject), max_age=None)
    store = MemoryStore()
    plant(store, settling, subject.seeds, config.feed.publish_seed, datetime(1970, 1, 1, tzinfo=UTC))
    return score(labelled, predict(labelled, subject.judge, settling, store))
