"""Stories put into a store directly, without a source that told them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aggregator.model import Decision, Edition, Evidence, Item, Judged, Reason, Source, Verdict
from aggregator.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SOURCE = Source("https://a.example/feed", "Alpha", "en")
FRAME = Edition("Test", "https://feed.example/nk/", "Every story once.", "en", (), (SOURCE,), NOW)


def name(number: int) -> str:
    """A story's id."""
    return f"urn:uuid:00000000-0000-4000-8000-{number:012}"


def judged(number: int, title: str = "") -> Judged:
    item = Item(SOURCE.url, str(number), f"https://a.example/{number}", title or f"Story {number}", "What happened.")
    return Judged(item, Verdict(Decision.KEPT, 0.9, (Reason("title", "defector", "defector", 0.9),), "r"))


def tell(store: Store, *numbers: int, now: datetime | None = None) -> None:
    """Tell stories of one item each, an hour apart unless told when."""
    for number in numbers:
        when = now or NOW + number * HOUR
        with store.begin() as work:
            work.found(name(number), when)
            key = work.add(judged(number), (), when)
            work.assign(key, name(number), Evidence("founds", "", 1.0))
            work.tell(name(number), when, key, when)
