"""Bring what has been told before readers: the newest stories, the archive's closed pages, a page for each story."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from aggregator import documents, render
from aggregator.entries import month_path, story_path
from aggregator.model import Edition, StoredStory, Story
from aggregator.ports import Publisher, Store
from aggregator.slices import Cuts, Slice, filed, published, standing_in, told_in
from aggregator.telling import present
from aggregator.wording import wording

AT_ONCE = 200  # files written together, and stories looked at together
PAGE = 50  # stories on a page of the archive, at most: half of what a subscription document holds as shipped
TOMBSTONES = 50  # stories gone that the subscription documents tell of, the newest; a reader that polls misses none
SLICE = 50  # stories in a slice, the newest
SLICES = 20  # read together, since one story stands in some ten of them
NO_CUTS = Cuts()
_FORM = "3"  # of the documents that are not written anew with each change; another number has all of them written


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did."""

    changed: tuple[str, ...]  # names of the files that are new or different
    problems: tuple[str, ...]  # stories that could not be written, and why


def publish(
    store: Store,
    publisher: Publisher,
    frame: Edition,
    max_entries: int,
    cuts: Cuts = NO_CUTS,
    *,
    by: str = "",
    everything: bool = False,
) -> Published:
    """Write what has been told as feeds and pages, in the frame's words; what has not changed is not written.

    `max_entries`: stories in the subscription documents, the newest told; 0: all. `cuts`: into feeds of some of them.
    `by`: names the program; another one may write otherwise. `everything`: also what was published before and should
    still stand as it was.
    """
    with publisher.alone():  # or another process could put back what this one takes out
        words = (by, repr(replace(frame, sources=())), str(max_entries), cuts.digest)
        asked = _digest(*words, each=map(repr, frame.sources))
        if not everything and _is_done(store, publisher, asked):
            return Published((), ())
        done, stands = _publish(store, publisher, frame, max_entries, cuts, everything=everything)
        stands = replace(stands, asked="" if done.problems else asked, files=sorted(publisher.names()))
        publisher.remember(json.dumps(asdict(stands)))
        return done


def _is_done(store: Store, publisher: Publisher, asked: str) -> bool:
    """Whether nothing has changed since all was printed as it is asked for now, and it is still there."""
    stands = _stands(publisher)
    if stands.asked != asked or stands.mark != store.mark() or not publisher.names().issuperset(stands.files):
        return False
    archive = publisher.names("archive")
    return all(documents.page_names(number) <= archive for number in range(1, store.turn(1, None) + 1))


def _publish(
    store: Store, publisher: Publisher, frame: Edition, max_entries: int, cuts: Cuts, *, everything: bool
) -> tuple[Published, _Stands]:
    mark, stands, form = store.mark(), _stands(publisher), _form(frame)
    anew = everything or stands.form != form or stands.mark > mark or "index.html" not in publisher.names()
    changes = frozenset() if anew else store.changed(stands.mark)
    pages = _turn(store, max_entries)
    gone = store.gone(max(TOMBSTONES, len(changes)))
    press = _Press(store, publisher, replace(frame, pages=pages, gone=gone[:TOMBSTONES], days=store.days()))
    press.print_changes(changes)
    if anew:
        press.print_all(max_entries)
    else:
        press.print_pages({one.page for one in gone if one.id in changes})
    months = press.print_months({} if anew else stands.months)
    slices = press.print_slices(cuts, changes, mark, max_entries, stands.slices, anew=anew)
    newest = edition(press.frame, store.stories(max_entries or None))
    press.put(render.render(newest, press.problems))
    press.flush()
    return Published(tuple(press.changed), tuple(dict.fromkeys(press.problems))), _Stands(mark, form, months, slices)


def _turn(store: Store, max_entries: int) -> int:
    """Close the pages of the archive that are due; how many are closed.

    The first is never alone: it is closed with a second one, a shorter one, that it leads to for good. An archive
    document that leads to no other one is incomplete by the rules of the W3C feed validator.
    """
    size = max(1, min(PAGE, max_entries // 2))
    pages = store.turn(size, max_entries or None)
    return store.turn(max(1, size // 2), max_entries - size) if pages == 1 else pages


def is_behind(store: Store, publisher: Publisher) -> bool:
    """Whether a story has changed since this place was published, by whomever: other processes share the store."""
    return _stands(publisher).mark != store.mark()


@dataclass(frozen=True, slots=True)
class _Stands:
    """What a folder holds. It is remembered there and not in the store: there may be several folders."""

    mark: int = 0  # of the last change that is in it (ports.Store.mark); beyond the store's, that was put back
    form: str = ""  # see _form
    months: dict[str, int] = field(default_factory=dict)  # "2026-03" → stories on its page
    slices: dict[str, str] = field(default_factory=dict)  # name → version and title
    asked: str = ""  # digest of all that the documents are made from but the stories; "": a story could not be printed
    files: list[str] = field(default_factory=list)  # right in the folder


def _stands(publisher: Publisher) -> _Stands:
    """What the folder remembers; where that is nothing, or of another version, it is written anew."""
    try:
        stands = _Stands(**json.loads(publisher.remembered() or "{}"))
    except (TypeError, ValueError):
        return _Stands()
    whole = isinstance(stands.mark, int) and isinstance(stands.months, dict) and isinstance(stands.slices, dict)
    return stands if whole else _Stands()


@dataclass(frozen=True, slots=True)
class _Press:
    """One publishing under way, and what it has done so far."""

    store: Store
    publisher: Publisher
    frame: Edition  # with what is the same in every document
    changed: list[str] = field(default_factory=list)
    waiting: dict[str, bytes] = field(default_factory=dict)  # files to be written
    problems: list[str] = field(default_factory=list)
    months: set[str] = field(default_factory=set)  # "2026-03": those of the stories that changed

    def put(self, files: Mapping[str, bytes]) -> None:
        """Take files to be written: all at once, which waits for the disk once, unless they are many."""
        self.waiting.update(files)
        if len(self.waiting) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what still waits."""
        self.changed.extend(self.publisher.publish(self.waiting))
        self.waiting.clear()

    def print_changes(self, ids: Iterable[str]) -> None:
        """Bring the stories' own pages up to date: those told, those merged into others, those told no more."""
        waiting = list(ids)
        while part := waiting[:AT_ONCE]:
            del waiting[:AT_ONCE]
            told = {id: story for id, story in self.store.named(part).items() if story.told and story.members}
            self.changed.extend(self.publisher.remove(story_path(id) for id in part if id not in told))
            self.months.update(f"{story.told:%Y-%m}" for story in told.values())
            self.put(self._stories(story for id, story in told.items() if story.id == id))
            self.put(self._moved({id: story.id for id, story in told.items() if story.id != id}))

    def print_pages(self, reopened: Collection[int | None]) -> None:
        """Write the closed pages of the archive that are missing or that lost a story."""
        there = self.publisher.names("archive")
        for number in range(1, self.frame.pages + 1):
            if number in reopened or not documents.page_names(number) <= there:
                self.put(self._page(number, self.store.page(number)))

    def print_months(self, known: Mapping[str, int]) -> dict[str, int]:
        """Write the pages of months whose stories changed, or changed in number, and remove those of none.

        `known`: stories on the page of each month as it stands; the result: as it stands now.
        """
        counts = Counter[str]()
        for day, count in self.frame.days:
            counts[f"{day:%Y-%m}"] += count
        for month, count in sorted(counts.items()):
            if month in self.months or known.get(month) != count:
                begin = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
                end = (begin + timedelta(days=31)).replace(day=1)
                self.put(render.render_month(self.frame, month, self.store.lines(begin, end)))
        there = set(map(month_path, known)) or self.publisher.names("month") - {"month/index.html"}
        self.changed.extend(self.publisher.remove(sorted(there - set(map(month_path, counts)))))
        return dict(sorted(counts.items()))

    def print_slices(
        self, cuts: Cuts, changes: Collection[str], mark: int, max_entries: int, known: Mapping[str, str], *, anew: bool
    ) -> dict[str, str]:
        """Write the slices that a changed story stands in, or stood in, and the page that names them all.

        `mark`: of the last of the changes. `known`: slices that stand here, by name, each with its version and title;
        the same is returned. Versions are the store's, so that each place writes a slice that any of them found
        touched, and are given as stories are filed: who is killed before it has written them knows on its next start.
        Six parameters, so that all that a publishing knows of slices comes in one call.
        """
        version = f"{mark} {cuts.digest}"
        if anew or self.store.get("cuts") != cuts.digest:
            self._file_all(cuts, max_entries, version)
            self.store.put("cuts", cuts.digest)
        else:
            self._file(cuts, changes, version)
        versions = self.store.slices()
        listed = published(cuts, self.frame.sources, versions, wording(self.frame.language))
        forms = {cut.name: f"{versions[cut.name]} {cut.title}" for cut in listed}
        empty = self._print_each([cut for cut in listed if anew or known.get(cut.name) != forms[cut.name]])
        listed = [cut for cut in listed if cut.name not in empty]
        standing = {cut.name: forms[cut.name] for cut in listed}
        for name in sorted(versions.keys() - standing.keys()):
            self.changed.extend(self.publisher.remove(documents.slice_names(name)))
        self.put(render.render_slices(self.frame, listed))
        return standing

    def _print_each(self, cuts: Sequence[Slice]) -> set[str]:
        """Write these slices; the names of those in which nothing stands."""
        empty = set[str]()
        for start in range(0, len(cuts), SLICES):
            part = cuts[start : start + SLICES]
            sliced = self.store.sliced([cut.name for cut in part], SLICE)
            for cut in part:
                if told := sliced[cut.name]:
                    self.put(render.render_slice(self._slice(cut.name, told), cut, self.problems))
                else:
                    empty.add(cut.name)
        return empty

    def _slice(self, name: str, told: Iterable[StoredStory]) -> Edition:
        """The edition of a slice; one of a language or a source tells each story in its own words."""
        if name.startswith(("language-", "source-")):
            priority = {source.url: source.priority for source in self.frame.sources}
            told = [told_in(one, standing_in(name, one), priority, self.frame.language) for one in told]
        return edition(replace(self.frame, gone=(), pages=0), told)

    def _file(self, cuts: Cuts, ids: Collection[str], version: str) -> None:
        """File these stories, known by any of their ids, where they stand by now."""
        waiting = list(ids)
        while part := waiting[:AT_ONCE]:
            del waiting[:AT_ONCE]
            found = self.store.named(part)
            own = {id for id, story in found.items() if story.id == id}
            self._shelve(cuts, [found[id] for id in part if id in own], version)
            self.store.file({id: () for id in part if id not in own}, version)

    def _file_all(self, cuts: Cuts, max_entries: int, version: str) -> None:
        self._shelve(cuts, self.store.stories(max_entries or None), version)
        for page in range(1, self.frame.pages + 1):
            self._shelve(cuts, self.store.page(page), version)

    def _shelve(self, cuts: Cuts, stories: Iterable[StoredStory], version: str) -> None:
        sources = {source.url: source for source in self.frame.sources}
        self.store.file({one.id: filed(cuts, one, sources) if one.told else () for one in stories}, version)

    def print_all(self, max_entries: int) -> None:
        """Write every story's page and every page of the archive anew, and remove the pages of no story."""
        own = set[str]()
        for number in range(self.frame.pages + 1):
            told = self.store.page(number) if number else self.store.stories(max_entries or None)
            pages = self._stories(told)
            self.put(pages | (self._page(number, told) if number else {}))
            own.update(pages)
        moved = self._moved({one.id: one.into for one in self.store.gone() if one.into is not None} | self._led_on(own))
        self.put(moved)
        self.changed.extend(self.publisher.remove(sorted(self.publisher.names("story") - own - moved.keys())))

    def _led_on(self, own: Set[str]) -> dict[str, str]:
        """Id of a merged story → the other's, of pages that are there besides the stories' own.

        Not all of these are remembered as gone: one that was merged in the refresh that told it is not, but a long
        refresh is published on the way.
        """
        there = self.store.named(f"urn:uuid:{PurePosixPath(path).stem}" for path in self.publisher.names("story") - own)
        return {id: story.id for id, story in there.items() if story.id != id and story.told and story.members}

    def _stories(self, told: Iterable[StoredStory]) -> dict[str, bytes]:
        return render.render_stories(edition(self.frame, told), self.problems)

    def _moved(self, merged: Mapping[str, str]) -> dict[str, bytes]:
        return render.render_moved(self.frame, merged)

    def _page(self, number: int, told: Iterable[StoredStory]) -> dict[str, bytes]:
        """A closed page of the archive; its documents name no hub, since nothing new will come of them."""
        page = replace(self.frame, page=number, hub="", gone=self.store.gone(page=number))
        return render.render_page(edition(page, told), self.problems)


def edition(frame: Edition, told: Iterable[StoredStory]) -> Edition:
    """The frame with these stories, dated by what changed last in it."""
    stories = tuple(_presented(frame, told))
    times = [max(story.updated, story.told) for story in stories] + [one.at for one in frame.gone]
    return replace(frame, stories=stories, updated=max(times, default=frame.updated))


def _presented(frame: Edition, told: Iterable[StoredStory]) -> Iterator[Story]:
    sources = {source.url: source for source in frame.sources}
    return (present(story, sources, frame.language, frame.rights) for story in told)


def _form(frame: Edition) -> str:
    """A digest of all but the stories that an archived document or a story's page is made from.

    The store is told from others by when it was first used, which dates a frame without stories.
    """
    store, texts = frame.updated.isoformat(), (frame.title, frame.link, frame.description, frame.language)
    return _digest(_FORM, store, *texts, str(frame.excerpt_characters), repr(sorted(frame.rights.items())))


def _digest(*words: str, each: Iterable[str] = ()) -> str:
    """`each`: further words, never all at once: of 10,000 sources they are four megabytes."""
    digest = hashlib.blake2b("\0".join(words).encode("utf-8", "backslashreplace"), digest_size=12)
    for word in each:
        digest.update(b"\0" + word.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
