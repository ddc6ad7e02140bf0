"""The commands for who curates: explain, stories, keep, drop, merge, split, review."""

from __future__ import annotations

from typing import Annotated

import typer

from aggregator import app as application
from aggregator import curator, report
from aggregator.app import App, SystemClock
from aggregator.config import Config, load
from aggregator.errors import ConfigError
from aggregator.model import Item, StoredItem
from aggregator.normalise import detect_language
from aggregator.stories import present
from aggregator.terminal import CONFIG, AsJson, ConfigPath, What, out

REVIEWED = 50  # a sitting's worth


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (explain, stories, keep, drop, merge, split, review):
        app.command()(command)


def explain(
    what: Annotated[str, typer.Argument(help="An item's link, id or number.")] = "",
    config: ConfigPath = CONFIG,
    title: Annotated[str, typer.Option(help="Instead of a known item: a title to try.")] = "",
    summary: Annotated[str, typer.Option(help="With --title: its summary.")] = "",
    language: Annotated[str, typer.Option(help="With --title: its language (BCP 47).")] = "",
) -> None:
    """Say whether an item is kept and why, which story it was put in, and why there."""
    if bool(what) == bool(title):
        raise ConfigError("explain needs an item's link or id, or else --title")
    configuration = load(config)
    if title:
        _explain_text(configuration, title, summary, language)
        return
    with application.open_store(configuration) as store:
        stored = curator.find_item(store, what)
        with store.begin() as work:
            story = work.story(stored.story) if stored.story else None
    report.show(out, f"#{stored.key} {stored.item.title}\n{stored.item.link or 'no link'}")
    report.show(out, report.explanation(stored.verdict, stored.ruling))
    report.show(out, report.standing(stored, story))


def _explain_text(configuration: Config, title: str, summary: str, language: str) -> None:
    now = SystemClock().now()
    subject = application.load_subject(configuration)
    text = Item("", "", None, title, summary, language=language or detect_language(f"{title} {summary}"))
    verdict = subject.judge.judge(text, "general", frozenset())
    report.show(out, report.explanation(verdict))
    with application.open_store(configuration) as store:
        rules = application.rules(configuration, subject)
        report.show(out, report.placement(application.try_placing(store, rules, text, now)))


def stories(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """List the published stories with their members."""
    configuration = load(config)
    sources = {source.url: source for source in configuration.listed(enabled=True)}
    with application.open_store(configuration) as store:
        told = [present(story, sources, configuration.feed.language) for story in store.stories()]
    report.show(out, report.as_json(told) if as_json else report.stories(told))


def keep(what: What, config: ConfigPath = CONFIG) -> None:
    """Publish an item, whatever the rules say, from now on."""
    with application.open_app(load(config), SystemClock()) as opened:
        _ruled(opened, curator.keep(opened.store, opened.rules, what, SystemClock().now()))


def drop(what: What, config: ConfigPath = CONFIG) -> None:
    """Withdraw an item, whatever the rules say, from now on."""
    with application.open_app(load(config), SystemClock()) as opened:
        _ruled(opened, curator.drop(opened.store, opened.rules, what, SystemClock().now()))


def _ruled(opened: App, stored: StoredItem) -> None:
    opened.publish()
    report.show(out, f"{'kept' if stored.ruling == 'keep' else 'dropped'}: {stored.item.title}")


def merge(
    a: Annotated[str, typer.Argument(help="A story's id, or an item in it.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    config: ConfigPath = CONFIG,
) -> None:
    """Make two stories one."""
    with application.open_app(load(config), SystemClock()) as opened:
        story = curator.merge(opened.store, opened.rules, a, b, SystemClock().now())
        opened.publish()
    report.show(out, f"one story now, {story.id}, with {len(story.members)} items")


def split(what: What, config: ConfigPath = CONFIG) -> None:
    """Take an item out of its story and let it be one of its own."""
    with application.open_app(load(config), SystemClock()) as opened:
        story = curator.split(opened.store, opened.rules, what, SystemClock().now())
        opened.publish()
    report.show(out, f"a story of its own now, {story.id}")


def review(config: ConfigPath = CONFIG) -> None:
    """Go through the undecided items and those that were nearly decided otherwise, one by one."""
    with application.open_app(load(config), SystemClock()) as opened:
        for stored in opened.store.undecided(REVIEWED):
            report.show(out, f"\n#{stored.key} {stored.item.title}\n{stored.item.summary}\n{stored.item.link or ''}")
            report.show(out, report.explanation(stored.verdict))
            answer = typer.prompt("[k]eep, [d]rop, [n]ext or [q]uit", default="n", show_choices=False).strip().lower()
            if answer.startswith("q"):
                break
            if answer.startswith(("k", "d")):
                carry_out = curator.keep if answer.startswith("k") else curator.drop
                _ruled(opened, carry_out(opened.store, opened.rules, f"#{stored.key}", SystemClock().now()))
        else:
            report.show(out, "nothing more to review")
