"""The commands for who curates: explain, stories, keep, drop, take-back, merge, split, review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aggregator import app as application
from aggregator import curator, learning, report, teaching
from aggregator.app import App, SystemClock
from aggregator.config import Config
from aggregator.errors import ConfigError
from aggregator.model import Decision, Item, StoredItem
from aggregator.normalise import detect_language
from aggregator.telling import present
from aggregator.terminal import CONFIG, AsJson, ConfigPath, SubjectName, What, one, out
from aggregator.trials import try_placing

REVIEWED = 50  # a sitting's worth
NARROWLY = 0.5  # log-odds above the threshold: what a further word of the text may turn


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (explain, stories, keep, drop, take_back, merge, split, review, model):
        app.command()(command)


def explain(
    what: Annotated[str, typer.Argument(help="An item's link, id or number.")] = "",
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
    title: Annotated[str, typer.Option(help="Instead of a known item: a title to try.")] = "",
    summary: Annotated[str, typer.Option(help="With --title: its summary.")] = "",
    language: Annotated[str, typer.Option(help="With --title: its language (BCP 47).")] = "",
    scope: Annotated[str, typer.Option(help="With --title: the scope of the source that brings it.")] = "general",
) -> None:
    """Say whether an item is kept and why, which story it was put in, and why there."""
    if bool(what) == bool(title):
        raise ConfigError("explain needs an item's link or id, or else --title")
    configuration = one(config, subject)
    if title:
        detected = language or detect_language(f"{title} {summary}")
        _explain_text(configuration, Item("", "", None, title, summary, language=detected), scope)
        return
    with application.open_store(configuration) as store:
        stored = curator.find_item(store, what)
        with store.begin() as work:
            story = work.story(stored.story) if stored.story else None
    report.show(out, f"#{stored.key} {stored.item.title}\n{stored.item.link or 'no link'}")
    report.show(out, report.explanation(stored.verdict, stored.ruling))
    report.show(out, report.standing(stored, story))


def _explain_text(configuration: Config, text: Item, scope: str) -> None:
    now = SystemClock().now()
    known = application.load_subject(configuration)
    if scope not in known.pack.scopes:
        raise ConfigError(f"the topic pack knows no scope {scope}; it knows {', '.join(known.pack.scopes)}")
    with application.open_store(configuration) as store:
        verdict = known.judge.taught(teaching.learned(store)).judge(text, scope, frozenset())
        report.show(out, report.explanation(verdict))
        if verdict.decision is Decision.KEPT:
            rules = application.rules(configuration, known)
            report.show(out, report.placement(try_placing(store, rules, text, now)))


def stories(config: ConfigPath = CONFIG, subject: SubjectName = "", as_json: AsJson = False) -> None:
    """List the published stories with their members."""
    configuration = one(config, subject)
    sources = {source.url: source for source in configuration.listed(enabled=True)}
    with application.open_store(configuration) as store:
        told = [present(story, sources, configuration.feed.language) for story in store.stories()]
    report.show(out, report.as_json(told) if as_json else report.stories(told))


def keep(what: What, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Publish an item, whatever the rules say, from now on."""
    with application.open_app(one(config, subject), SystemClock()) as opened:
        _ruled(opened, curator.keep(opened.store, opened.rules, what, SystemClock().now()))


def drop(what: What, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Withdraw an item, whatever the rules say, from now on."""
    with application.open_app(one(config, subject), SystemClock()) as opened:
        _ruled(opened, curator.drop(opened.store, opened.rules, what, SystemClock().now()))


def take_back(what: What, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Take your word on an item back: from now on the rules decide on it again."""
    with application.open_app(one(config, subject), SystemClock()) as opened:
        stored = curator.take_back(opened.store, opened.rules, what, SystemClock().now())
        opened.publish()
    report.show(out, f"left to the rules, and {stored.decision}: {stored.item.title}")


def _ruled(opened: App, stored: StoredItem) -> None:
    opened.publish()
    report.show(out, f"{'kept' if stored.ruling == 'keep' else 'dropped'}: {stored.item.title}")


def merge(
    a: Annotated[str, typer.Argument(help="A story's id, or an item in it.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
) -> None:
    """Make two stories one."""
    with application.open_app(one(config, subject), SystemClock()) as opened:
        story = curator.merge(opened.store, opened.rules, a, b, SystemClock().now())
        opened.publish()
    report.show(out, f"one story now, {story.id}, with {len(story.members)} items")


def split(what: What, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Take an item out of its story and let it be one of its own."""
    with application.open_app(one(config, subject), SystemClock()) as opened:
        story = curator.split(opened.store, opened.rules, what, SystemClock().now())
        opened.publish()
    report.show(out, f"a story of its own now, {story.id}")


def review(config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Go through the undecided items and those that were narrowly kept, one by one."""
    with application.open_app(one(config, subject), SystemClock()) as opened:
        doubtful = opened.collector.judge.score(NARROWLY)
        waiting = opened.store.undecided(REVIEWED, doubtful)
        for place, stored in enumerate(waiting, 1):
            report.show(out, f"\n{place} of {len(waiting)}\n{report.in_brief(stored)}")
            report.show(out, report.explanation(stored.verdict))
            answer = _asked()
            if answer == "q":
                break
            if answer != "n":
                carry_out = curator.keep if answer == "k" else curator.drop
                _ruled(opened, carry_out(opened.store, opened.rules, f"#{stored.key}", SystemClock().now()))
        else:
            report.show(out, "that was all" if waiting else "nothing to review")


def _asked() -> str:
    """The curator's answer, asked for until it is one; the end of the input is "q"."""
    while True:
        try:
            answer: str = typer.prompt("[k]eep, [d]rop, [n]ext or [q]uit", default="n", show_choices=False)
        except typer.Abort:
            return "q"
        if (letter := answer.strip().lower()[:1]) in ("k", "d", "n", "q"):
            return letter


def model(
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
    reset: Annotated[bool, typer.Option("--reset", help="Forget it, and learn from later decisions only.")] = False,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as JSON.")] = None,
) -> None:
    """Show what the curator's decisions taught: how many there are, whether that has a say, and what weighs most."""
    if reset and export:
        raise ConfigError("--reset forgets what --export would write; give one after the other")
    if reset:
        with application.open_app(one(config, subject), SystemClock()) as opened:
            count = len(teaching.decided(opened.store))
            teaching.forget(opened.store)
            opened.kept_up().publish()
        report.show(out, f"forgot what {count} decisions taught; they stand, and later ones are learned from")
        return
    with application.open_store(one(config, subject)) as store:
        learned, decisions = teaching.learned(store), len(teaching.decided(store))
    if export and not learned:
        raise ConfigError(f"there is nothing to export: learning begins with {learning.ENOUGH} decisions")
    if export and learned:
        export.write_text(learning.dump(learned) + "\n", encoding="utf-8")
        report.show(out, f"wrote {export}")
        return
    report.show(out, report.model(learned, decisions))
