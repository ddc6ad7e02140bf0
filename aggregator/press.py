"""Bring what has been told before readers: the newest stories, and the closed pages of the archive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from aggregator import render
from aggregator.model import Edition, StoredStory, Story
from aggregator.ports import Publisher, Store
from aggregator.stories import present

PAGE = 50  # stories on a page of the archive, at most: half of what a subscription document holds as shipped
TOMBSTONES = 50  # stories gone that the subscription documents tell of, the newest; a reader that polls misses none
_FORM = "1"  # of the documents that are not written anew with each change; another number has all of them written


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did."""

    changed: tuple[str, ...]  # names of the files that are new or different
    problems: tuple[str, ...]  # stories that could not be written, and why


def publish(
    store: Store, publisher: Publisher, frame: Edition, max_entries: int, *, everything: bool = False
) -> Published:
    """Write what has been told as feeds and pages, in the frame's words; what has not changed is not written.

    `max_entries`: stories in the subscription documents, the newest told; 0: all. `everything`: also what was
    published before and should still stand as it was.
    """
    changes = store.unpublished()
    pages = store.turn(max(1, min(PAGE, max_entries // 2)), max_entries or None)
    gone = store.gone(max(TOMBSTONES, len(changes)))
    frame, problems = replace(frame, pages=pages, gone=gone[:TOMBSTONES]), list[str]()
    newest = edition(frame, store.stories(max_entries or None))
    form = _form(frame)
    anew = everything or store.get("form") != form or "index.html" not in publisher.names()
    there = frozenset[str]() if anew else publisher.names("archive")
    reopened = {one.page for one in gone if one.id in changes}
    changed: list[str] = []
    for number in range(1, pages + 1):
        if number in reopened or not render.page_names(number) <= there:
            changed += publisher.publish(_page(store, frame, number, problems))
    changed += publisher.publish(render.render(newest, problems))
    if anew:
        store.put("form", form)
    store.acknowledge(changes)
    return Published(tuple(changed), tuple(problems))


def edition(frame: Edition, told: Iterable[StoredStory]) -> Edition:
    """The frame with these stories, dated by what changed last in it."""
    stories = tuple(_presented(frame, told))
    times = [max(story.updated, story.told) for story in stories] + [one.at for one in frame.gone]
    return replace(frame, stories=stories, updated=max(times, default=frame.updated))


def _presented(frame: Edition, told: Iterable[StoredStory]) -> Iterator[Story]:
    sources = {source.url: source for source in frame.sources}
    return (present(story, sources, frame.language) for story in told)


def _page(store: Store, frame: Edition, number: int, problems: list[str]) -> dict[str, bytes]:
    """A closed page of the archive; its documents name no hub, since nothing new will come of them."""
    page = replace(frame, page=number, hub="", gone=store.gone(page=number))
    return render.render_page(edition(page, store.page(number)), problems)


def _form(frame: Edition) -> str:
    """A digest of all but the stories that an archived document or a story's page is made from."""
    words = (_FORM, frame.title, frame.link, frame.description, frame.language, str(frame.excerpt_characters))
    return hashlib.blake2b("\0".join(words).encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()
