"""Joins several subjects over shared sources: a store for what is read, and one for each subject's stories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime

from aggregator.app import (
    App,
    Subject,
    agree_on_time,
    flow,
    import_store,
    load_subject,
    open_app,
    open_store,
    unknown_scopes,
)
from aggregator.config import Config, nearest
from aggregator.database import unused
from aggregator.errors import ConfigError
from aggregator.model import Item, Verdict
from aggregator.ports import Clock, Store
from aggregator.settle import hold_list, watch_for
from aggregator.sharing import Follower, catch_up, goes_on, has_heard_nothing
from aggregator.subjects import ARCHIVE, DIVIDED
from aggregator.visiting import hire, reading


def load_all(config: Config) -> tuple[Subject, ...]:
    """What the operator's files say about each subject; ConfigError names every mistake in them."""
    subjects, problems = list[Subject](), list[str]()
    for each in config.each():
        try:
            subjects.append(load_subject(each))
        except ConfigError as error:
            problems += (f"[[subject]] {each.called}: {said}" if each.called else said for said in error.problems)
    if config.subject and not problems:
        problems += unknown_scopes(config, {scope for subject in subjects for scope in subject.pack.scopes})
    if problems:
        raise ConfigError(*problems)
    return tuple(subjects)


def chosen(config: Config, name: str) -> Config:
    """The configuration of the subject of this name, or of the only one; of `ARCHIVE`, that of the store of all.

    ConfigError where there is none of this name, or none is named of several.
    """
    known = [one.name for one in config.subject]
    if name == ARCHIVE and known:
        return config
    if not name and not known:
        return config
    if name not in known:
        said = f"there is no subject {name}{nearest(name, known)}" if name else "this is for one subject"
        raise ConfigError(
            f"{said}; name one with --subject: {', '.join(known)}" if known else f"{said} in {config.path}"
        )
    divide(config)
    return config.of(name)


@contextmanager
def open_all(config: Config, clock: Clock) -> Iterator[App]:
    """Everything joined, for one subject or several; one that is new judges at once what was read before."""
    if not config.subject:
        with open_app(config, clock) as app:
            yield app
        return
    subjects = load_all(config)
    divide(config)
    with ExitStack() as stack:
        archive, now = stack.enter_context(open_store(config)), clock.now()
        agree_on_time(archive, now)
        if archive.get(DIVIDED) is None:
            archive.put(DIVIDED, "")
        archive.enlist(config.listed(enabled=True), config.listed(enabled=False), now)
        read = stack.enter_context(reading(config, subjects[0].judge, clock))
        own = [stack.enter_context(open_store(each)) for each in config.each()]
        parts = tuple(
            replace(flow(each, subject, (store, archive), read, now), archive=archive)
            for each, subject, store in zip(config.each(), subjects, own, strict=True)
        )
        for one in parts:
            _catch_up(archive, one, [other for other in parts if other is not one], now)
        rules = replace(parts[0].rules, folds=False)
        whole = replace(parts[0], config=config, store=archive, rules=rules, outbox=None, archive=None)
        yield replace(whole, crew=stack.enter_context(hire(config, clock))).sharing(parts)


def _catch_up(archive: Store, one: App, others: Sequence[App], now: datetime) -> None:
    """Have a subject judge what it has not heard of.

    What others hold back or withdrew for people's safety, one that has heard of nothing yet does not tell, either.
    """
    held, withdrawn = dict.fromkeys(hold_list(one.store)), set[tuple[str, str]]()
    if has_heard_nothing(one.store):
        held |= dict.fromkeys(entry for other in others for entry in hold_list(other.store))
        told = [story for other in others for story in other.store.withheld() if story.withholding.withdrawn]
        withdrawn = {(member.item.source, member.item.id) for story in told for member in story.members}
    if tuple(held) != hold_list(one.store):
        watch_for(one.store, one.rules, tuple(held), now)
    scopes = {source.url: source.scope for source in one.config.source}

    def judge(item: Item) -> Verdict | None:
        """Of a source that is listed no more, it is not known what may be shown."""
        scope = scopes.get(item.source)
        return None if scope is None else one.collector.judge.judge(item, scope)

    catch_up(archive, Follower(one.store, one.rules), judge, withdrawn, now)


def divide(config: Config) -> None:
    """Once: give what the store holds of one subject to that of several which goes on with it.

    ConfigError where none says that it does.
    """
    if unused(config.store_url):
        return
    with open_store(config) as store:
        if store.get(DIVIDED) is not None:
            return
        heir = next((one.name for one in config.subject if one.continues), "")
        if store.get("rules") is None:
            heir = ""
        elif not heir:
            raise ConfigError(
                f"{config.path}: the store holds the stories of one subject; write continues = true below the"
                " [[subject]] that goes on with them, or name a new store under [store] url; nothing was changed"
            )
        if heir:
            _hand_over(store, config.of(heir))
        store.put(DIVIDED, heir)


def _hand_over(store: Store, heir: Config) -> None:
    """Copy a store to that of the subject which goes on with it; one that was killed meanwhile left half a copy."""
    fresh = unused(heir.store_url)
    if fresh:
        import_store(heir, store.dump())
    with open_store(heir) as own:
        if fresh:
            goes_on(store, own)
        elif has_heard_nothing(own):
            raise ConfigError(
                f"{heir.path}: {heir.called} goes on with what the store holds, but has a store of its own already:"
                f" {heir.store.url}; move that away; nothing was changed"
            )
