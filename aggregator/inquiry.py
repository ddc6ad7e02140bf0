"""Answers /search over HTTP, for people and for feed readers, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aggregator.answers import best_coding, represent, respond

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

AT_ONCE = 2  # searches; with 100,000 stories the costliest takes 0.1 s a word, and settling must not wait for many
PATIENCE = 3.0  # seconds that a search waits for its turn


@dataclass(frozen=True, slots=True)
class Search:
    """What answers a search; each says whether the text could be looked for, and gives the content."""

    page: Callable[[str, int], tuple[bool, bytes]]  # the text, the number of the page from 1; HTML
    feed: Callable[[str], tuple[bool, bytes]]  # Atom, or a sentence


def routes(search: Search) -> list[Route]:
    """/search and /search.atom."""
    from starlette.routing import Route

    turn = threading.BoundedSemaphore(AT_ONCE)

    def show_page(request: Request) -> Response:
        def answer() -> tuple[bool, bytes]:
            return search.page(_wanted(request), _number(request.query_params.get("page", "1")))

        return _answer(request, answer, turn, "text/html; charset=utf-8")

    def show_feed(request: Request) -> Response:
        return _answer(request, lambda: search.feed(_wanted(request)), turn, "application/atom+xml; charset=utf-8")

    methods = ["GET", "HEAD", "OPTIONS"]
    return [Route("/search", show_page, methods=methods), Route("/search.atom", show_feed, methods=methods)]


def _answer(
    request: Request, answer: Callable[[], tuple[bool, bytes]], turn: threading.BoundedSemaphore, kind: str
) -> Response:
    from starlette.responses import PlainTextResponse

    if not turn.acquire(timeout=PATIENCE):
        return PlainTextResponse("Others are searching at the moment; please try again.\n", 503, {"retry-after": "5"})
    try:
        well, content = answer()
    finally:
        turn.release()
    if not well and not kind.startswith("text/html"):
        kind = "text/plain; charset=utf-8"
    coding = best_coding(request.headers.get("accept-encoding", ""))
    return respond(request, represent(content, kind, coding), status=200 if well else 400)


def _wanted(request: Request) -> str:
    return request.query_params.get("q", "")


def _number(text: str) -> int:
    """A page's number; 0, which no page has, for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
