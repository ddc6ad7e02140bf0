"""Answers /search over HTTP, for people and for feed readers, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aggregator.answers import best_coding, represent, respond

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

AT_ONCE = 2  # searches; with 100,000 stories the costliest takes 0.1 s a word, and settling must not wait for many
IN_LINE = 8  # searches that wait for their turn, each in a thread; all other answers have 30 threads left
PATIENCE = 3.0  # seconds that a search waits for its turn


@dataclass(frozen=True, slots=True)
class Search:
    """What answers a search; each says whether the text could be looked for, and gives the content."""

    page: Callable[[str, int], tuple[bool, bytes]]  # the text, the number of the page from 1; HTML
    feed: Callable[[str], tuple[bool, bytes]]  # Atom, or a sentence


def routes(search: Search) -> list[Route]:
    """/search and /search.atom."""
    from starlette.routing import Route

    turns = _Turns()

    def show_page(request: Request) -> Response:
        def answer() -> tuple[bool, bytes]:
            return search.page(_wanted(request), _number(request.query_params.get("page", "1")))

        return _answer(request, answer, turns, "text/html; charset=utf-8")

    def show_feed(request: Request) -> Response:
        return _answer(request, lambda: search.feed(_wanted(request)), turns, "application/atom+xml; charset=utf-8")

    methods = ["GET", "HEAD", "OPTIONS"]
    return [Route("/search", show_page, methods=methods), Route("/search.atom", show_feed, methods=methods)]


class _Turns:
    """Who searches now, and who waits for it in a short line; there is no room for more."""

    def __init__(self) -> None:
        self._now = threading.BoundedSemaphore(AT_ONCE)
        self._here = threading.BoundedSemaphore(AT_ONCE + IN_LINE)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether it is one's turn, which may have to be waited for; False: that takes too long."""
        if not self._here.acquire(blocking=False):
            yield False
            return
        try:
            if not self._now.acquire(timeout=PATIENCE):
                yield False
                return
            try:
                yield True
            finally:
                self._now.release()
        finally:
            self._here.release()


def _answer(request: Request, answer: Callable[[], tuple[bool, bytes]], turns: _Turns, kind: str) -> Response:
    from starlette.responses import PlainTextResponse

    with turns.turn() as mine:
        if not mine:
            wait = {"retry-after": "5"}
            return PlainTextResponse("Others are searching at the moment; please try again.\n", 503, wait)
        well, content = answer()
    if not well and not kind.startswith("text/html"):
        kind = "text/plain; charset=utf-8"
    coding = best_coding(request.headers.get("accept-encoding", ""))
    return respond(request, represent(content, kind, coding), status=200 if well else 400)


def _wanted(request: Request) -> str:
    return request.query_params.get("q", "")


def _number(text: str) -> int:
    """A page's number; 0, which no page has, for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
