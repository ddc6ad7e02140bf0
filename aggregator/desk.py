"""What the operator is shown and may do: pages made from the store, the curator's word carried out and published."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from aggregator import curator
from aggregator.errors import NotFoundError
from aggregator.health import Overview, State, state
from aggregator.model import Decision, Edition, Source, StoredItem, StoredStory, Story
from aggregator.page import operator_html, source_number
from aggregator.ports import Clock, Store
from aggregator.settle import LONG_AGO, MEMBERS, Rules, near
from aggregator.sharing import health
from aggregator.telling import present

log = logging.getLogger(__name__)

_LATELY = 50  # items or stories on a page, visits in a source's history
_LIKELY = 10  # stories that are offered to be merged with
# The worst first.
WORRYING = (State.FAILING, State.PAUSED, State.EMPTY, State.QUIET, State.NEW, State.HEALTHY, State.DISABLED)


@dataclass(frozen=True, slots=True)
class View:
    """What every page needs to know of the request that it answers."""

    base: str  # from the page's own address to the folder that is served: "", "../" or "../../"
    here: str  # the page's own address below that folder, to come back to
    mark: str  # what its forms carry (guard.Guard.mark)
    done: str = ""  # what has just been done: a key of DONE
    may_leave: bool = False  # somebody has logged in


@dataclass(frozen=True, slots=True)
class Done:
    """Something was done: where to go on, and what to say there."""

    path: str  # below the folder that is served; "": where the form was
    said: str  # a key of DONE


DONE = {
    "keep": "Kept, and published.",
    "drop": "Dropped; it is no longer published.",
    "take-back": "Left to the rules again, and published as they decide.",
    "merge": "One story now, and published as one.",
    "split": "A story of its own now, and published as one.",
    "waiting": "Done and stored, but the published files could not be written; that is tried again every minute.",
}


_RULINGS = {
    "keep": (curator.keep, "kept"),
    "drop": (curator.drop, "dropped"),
    "take-back": (curator.take_back, "left to the rules"),
}


class Desk:
    """The operator's desk. Every page is HTML; NotFoundError where what was asked for is not known.

    `publish`: brings what changed before readers; False where it could not, and will be tried again. `archive`: the
    store that remembers visits, where several subjects share the sources.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        clock: Clock,
        frame: Edition,
        publish: Callable[[], bool],
        archive: Store | None = None,
    ) -> None:
        self._store = store
        self._archive = archive
        self._rules = rules
        self._clock = clock
        self._frame = frame
        self._publish = publish

    def overview(self, view: View) -> str:
        """How all is, and what happened lately."""
        seen = self._health()
        return self._show(
            "overview",
            view,
            overview=seen,
            states=[(one, seen.counts[one]) for one in WORRYING if seen.counts[one]],
            items=sum(one.seen for one in seen.sources),
            kept=sum(one.kept for one in seen.sources),
            undecided=len(self._store.undecided(_LATELY + 1)),
            lately=self._store.lately(8),
            past=(self._archive or self._store).visits(12),
        )

    def sources(self, view: View, only: str = "") -> str:
        """All sources, or those in one state, the worst first."""
        seen = self._health()
        listed = [(one, state(one, seen.now)) for one in seen.sources]
        rows = [pair for pair in sorted(listed, key=lambda pair: WORRYING.index(pair[1])) if only in ("", pair[1])]
        counts = [(one, seen.counts[one]) for one in WORRYING if seen.counts[one]]
        return self._show("sources", view, rows=rows, counts=counts, only=only)

    def source(self, view: View, number: str) -> str:
        """One source: how it is, its last visits, what it brought lately."""
        seen = self._health()
        for one in seen.sources:
            if source_number(one.source.url) == number:
                url = one.source.url
                return self._show(
                    "source",
                    view,
                    one=one,
                    state=state(one, seen.now),
                    past=(self._archive or self._store).visits(_LATELY, url),
                    lately=self._store.lately(10, source=url),
                )
        raise NotFoundError("no source of this number is listed; it may have been taken out of the configuration")

    def items(self, view: View, number: str = "", decision: str = "", before: int | None = None) -> str:
        """What was decided lately: of one source or all, with one decision or any, from below an item's key on."""
        source = self._source(number)
        wanted = Decision(decision) if decision in tuple(Decision) else None
        found = self._store.lately(_LATELY, before, source.url if source else None, wanted)
        chosen = {"source": number if source else "", "decision": wanted or ""}
        older = urlencode(chosen | {"before": str(found[-1].key)}) if len(found) == _LATELY else ""
        listed = sorted(self._frame.sources, key=lambda one: one.name.casefold())
        return self._show("items", view, found=found, chosen=chosen, older=older, listed=listed)

    def item(self, view: View, key: int) -> str:
        """One item, and why it was decided so."""
        stored = self._store.item(key)
        if stored is None:
            raise NotFoundError(f"there is no item #{key}")
        story = self._store.named([stored.story]).get(stored.story) if stored.story else None
        return self._show("item", view, stored=stored, story=story and self._told(story))

    def undecided(self, view: View) -> str:
        """What is to be decided by hand, nearest to the threshold first."""
        return self._show("undecided", view, found=self._store.undecided(_LATELY))

    def stories(self, view: View) -> str:
        """The stories told last."""
        return self._show("stories", view, told=[self._told(one) for one in self._store.stories(_LATELY)])

    def story(self, view: View, id: str) -> str:
        """One story: who told it, why they stand together, and which others it may be the same as."""
        stored = self._store.named([id]).get(id)
        if stored is None or not stored.members:
            raise NotFoundError(f"there is no story {id}, or nothing is left of it")
        return self._show(
            "story",
            view,
            stored=stored,
            story=self._told(stored),
            likely=[self._told(one) for one in self._like(stored)],
        )

    def find(self, what: str) -> str:
        """Where the item or story with this link, id or number is shown, below the folder that is served."""
        story = self._store.named([what]).get(what)
        return story_page(story.id) if story else f"status/item/{curator.find_item(self._store, what).key}"

    def log_in(self, view: View, *, wrong: bool) -> str:
        """The form that asks for the token."""
        return self._show("log_in", view, wrong=wrong)

    def trouble(self, view: View, said: str) -> str:
        """A page that says only why it is not another."""
        return self._show("trouble", view, said=said)

    def act(self, word: str, form: Mapping[str, str]) -> Done:
        """Carry out "keep", "drop", "take-back", "merge" or "split" and publish what it changed at once."""
        now, path = self._clock.now(), ""
        match word:
            case "keep" | "drop" | "take-back":
                carry_out, did = _RULINGS[word]
                stored = carry_out(self._store, self._rules, f"#{_number(form)}", now)
                log.info("the operator has %s #%d %s", did, stored.key, stored.item.title)
            case "merge":
                one, other = form.get("story", ""), form.get("with", "").strip()
                story = curator.merge(self._store, self._rules, one, other, now)
                path = story_page(story.id)
                log.info("the operator has merged two stories: %s has %d items now", story.id, len(story.members))
            case "split":
                story = curator.split(self._store, self._rules, f"#{_number(form)}", now)
                path = story_page(story.id)
                log.info("the operator has split #%d from its story: it is %s now", _number(form), story.id)
            case _:
                raise NotFoundError(f"nothing is known that is called {word}")
        return Done(path, word if self._publish() else "waiting")

    def _health(self) -> Overview:
        known = health(self._archive, [self._store]) if self._archive else self._store.health()
        return Overview(known, self._clock.now())

    def _source(self, number: str) -> Source | None:
        return next((one for one in self._frame.sources if source_number(one.url) == number), None)

    def _told(self, story: StoredStory) -> Story:
        return present(story, {one.url: one for one in self._frame.sources}, self._frame.language)

    def _like(self, story: StoredStory) -> list[StoredStory]:
        """The stories that share most with this one, the nearest first."""
        keys = self._keys(story.members[:MEMBERS])
        with self._store.begin() as work:
            found = near(work, keys, LONG_AGO)
        others = [one for one in found if one.id != story.id]
        return sorted(others, key=lambda one: -len(keys & self._keys(one.members)))[:_LIKELY]

    def _keys(self, members: Iterable[StoredItem]) -> frozenset[str]:
        return frozenset().union(*(self._rules.keys(member.item) for member in members))

    def _show(self, name: str, view: View, **what: object) -> str:
        names = {one.url: one.name for one in self._frame.sources}
        return operator_html(
            name,
            view=view,
            title=self._frame.title,
            now=self._clock.now(),
            names=names,
            done=DONE.get(view.done),
            **what,
        )


def story_page(id: str) -> str:
    """Where a story is shown to the operator."""
    return f"status/story/{quote(id, safe='')}"


def _number(form: Mapping[str, str]) -> int:
    number = form.get("item", "")
    if not number.isascii() or not number.isdecimal() or len(number) > 18:
        raise NotFoundError("no item was named")
    return int(number)
