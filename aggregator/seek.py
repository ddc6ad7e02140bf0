"""Looks for a feed that works among those that a site's page names."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urljoin

from aggregator import parse
from aggregator.discovery import feeds_of
from aggregator.errors import FeedError
from aggregator.model import Answer, Failed, FeedHead, Fetched, Known, Outcome, Source, Task
from aggregator.ports import Fetch, Isolate

_GONE = (404, 410)
_MOST = 5  # feeds of one page that are tried; those of sections come after the one of all


def working_feed(fetch: Fetch, isolate: Isolate, page: Fetched, but: str = "") -> tuple[str, FeedHead] | None:
    """Address and head of the first feed that works of those that a page names, `but` left aside; None: none does."""
    with suppress(FeedError):
        for address in isolate(feeds_of, page.data, page.url, page.linked)[:_MOST]:
            if address not in (but, page.url) and (head := _head(fetch, isolate, address)):
                return address, head
    return None


def sought(fetch: Fetch, isolate: Isolate, task: Task, answer: Answer, outcome: Outcome) -> str | None:
    """What its site names instead of a feed that is found gone for the second time; "": nothing; None: not looked for.

    Gone is 404, 410, and a document that is no feed. It is looked for once; what is found is told to the operator, and
    not adopted: another feed of the same site need not have the same news.
    """
    rhythm, source = task.rhythm, task.source
    if not isinstance(outcome, Failed) or rhythm.found is not None or not rhythm.failures or source.kind != "feed":
        return None
    page = answer
    if not isinstance(page, Fetched):
        if outcome.status not in _GONE:
            return None
        site = urljoin(source.url, "/")
        page = fetch(Task(Source(site, site)))
    found = working_feed(fetch, isolate, page, source.url) if isinstance(page, Fetched) else None
    return found[0] if found else ""


def _head(fetch: Fetch, isolate: Isolate, address: str) -> FeedHead | None:
    source = Source(address, address)
    answer = fetch(Task(source))
    if not isinstance(answer, Fetched):
        return None
    with suppress(FeedError):
        return parse.read(answer.url, answer.data, answer.content_type, source, Known(), isolate).head
    return None
