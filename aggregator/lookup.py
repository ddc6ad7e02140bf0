"""Answers what somebody looks for among all stories: a page of what was found, or a feed of it."""

from __future__ import annotations

from dataclasses import replace

from aggregator import render
from aggregator.entries import clean
from aggregator.errors import QueryError
from aggregator.model import Edition, Part
from aggregator.page import Looked
from aggregator.ports import Store
from aggregator.press import edition
from aggregator.search import LONGEST_QUERY, parse

ON_A_PAGE = 20  # stories
LAST_PAGE = 50  # who wants to see more than a thousand narrows the search; each further page costs as much again
IN_FEED = 50  # stories, the newest that fit


def page(store: Store, frame: Edition, text: str, number: int) -> tuple[bool, bytes]:
    """Whether it could be looked for, and the page, numbered from 1; an empty text gives the box alone."""
    text, frame = clean(text), replace(frame, stories=())
    if not text:
        return True, render.render_found(frame, "")
    try:
        query = parse(text)
        if not 1 <= number <= LAST_PAGE:
            raise QueryError(f"There are {LAST_PAGE} pages at most; a further word brings fewer stories.")
    except QueryError as error:
        return False, render.render_found(frame, text[:LONGEST_QUERY], wrong=str(error))
    found = store.search(query, ON_A_PAGE + 1, (number - 1) * ON_A_PAGE)
    more = len(found) > ON_A_PAGE and number < LAST_PAGE
    return True, render.render_found(edition(frame, found[:ON_A_PAGE]), text, number, more)


def feed(store: Store, frame: Edition, text: str) -> tuple[bool, bytes]:
    """Whether it could be looked for, and the newest that fit as Atom; else a sentence."""
    text = clean(text)
    try:
        found = store.search(parse(text), IN_FEED)
    except QueryError as error:
        return False, f"{error}\n".encode()
    looked = Looked(text)
    named = replace(
        frame, title=f"{frame.title}: {text}", part=Part(looked.feed, looked.address(1)), hub="", gone=(), stories=()
    )
    return True, render.render_part(edition(named, found), "atom")
