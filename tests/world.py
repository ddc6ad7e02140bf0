"""The flow in one process and without a network: documents are put, time is told, what is published is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from aggregator import app as application
from aggregator.config import Config, load
from aggregator.engine import Inline, direct
from aggregator.memory import FixedClock, MemoryStore
from aggregator.model import Answer, Changed, Edition, Fetched, Source, Task, Validators
from aggregator.pipeline import Collector
from aggregator.ports import Store
from aggregator.publish import MemoryPublisher
from aggregator.settle import Rules, Settled

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_CONFIG = """\
[feed]
link = "https://example.org/t/"
publish_seed = false
max_entries = 0
[stories]
seed = ""
"""


class World:
    """Sources named by a word each, the configured subject, and a store."""

    def __init__(self, folder: Path, *names: str, store: Store | None = None, settings: str = "") -> None:
        """`settings`: tables of config.toml in place of the usual ones."""
        config = _configured(folder, settings or _CONFIG)
        subject = application.load_subject(config)
        self.clock = FixedClock(NOW)
        self.store = store or MemoryStore()
        self.sources = tuple(Source(address(name), name.title()) for name in names or ("a",))
        self.store.enlist(self.sources, (), NOW)
        self.publisher = MemoryPublisher()
        self.asked: list[Task] = []
        self._documents: dict[str, bytes | Answer] = {}
        self.app = application.App(
            config=config,
            store=self.store,
            collector=Collector(self.clock, self._fetch, direct, subject.judge),
            engine=Inline(),
            rules=application.rules(config, subject),
            publisher=self.publisher,
            frame=_frame(config, self.sources),
        )

    @property
    def rules(self) -> Rules:
        return self.app.rules

    def put(self, document: bytes | str | Answer, name: str = "a") -> None:
        """What the source answers from now on."""
        self.answers(address(name), document)

    def answers(self, url: str, document: bytes | str | Answer) -> None:
        self._documents[url] = document.encode() if isinstance(document, str) else document

    def go(self, later: timedelta = HOUR) -> list[Settled]:
        """Visit all sources after some time, and publish."""
        self.clock.advance(later)
        settled = list(self.app.refresh(everything=True))
        self.app.publish()
        return settled

    def see(self, *documents: bytes | str, later: timedelta = HOUR) -> None:
        """Put one document after the other, and visit each."""
        for document in documents:
            self.put(document)
            assert all(isinstance(one.visit.outcome, Changed) for one in self.go(later))

    def stories(self) -> list[dict[str, Any]]:
        """What is published, as feed.json has it."""
        items: list[dict[str, Any]] = json.loads(self.publisher.files["feed.json"])["items"]
        return items

    def told(self) -> dict[str, str]:
        """Id → title of what is published."""
        return {story["id"]: story["title"] for story in self.stories()}

    def _fetch(self, task: Task) -> Answer:
        self.asked.append(task)
        document = self._documents[task.source.url]
        if not isinstance(document, bytes):
            return document
        return Fetched(task.source.url, document, None, Validators('"1"', None))


def address(name: str) -> str:
    return f"https://{name}.example/feed"


def rss(*entries: Mapping[str, str]) -> str:
    """An RSS document of entries: element → text."""
    items = "".join(
        "<item>" + "".join(f"<{name}>{escape(text)}</{name}>" for name, text in entry.items()) + "</item>"
        for entry in entries
    )
    return f'<rss version="2.0"><channel><title>x</title>{items}</channel></rss>'


def atom(*entries: Mapping[str, str]) -> str:
    """An Atom document of the same entries."""
    items = "".join(
        f"<entry><title>{escape(entry['title'])}</title><id>{escape(entry['guid'])}</id>"
        f'<link href="{escape(entry["link"])}"/></entry>'
        for entry in entries
    )
    return f'<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title>{items}</feed>'


def _configured(folder: Path, settings: str) -> Config:
    path = folder / "config.toml"
    path.write_text(settings, encoding="utf-8")
    return load(path)


def _frame(config: Config, sources: Sequence[Source]) -> Edition:
    return application._frame(config, tuple(sources), NOW)
