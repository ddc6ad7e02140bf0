"""The commands for people's safety: hold, release, withdraw. What they do is told by story id, never by its text."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from aggregator import app as application
from aggregator import curator, report
from aggregator.app import App, SystemClock
from aggregator.errors import ConfigError, NotFoundError
from aggregator.holding import cleaned, mark
from aggregator.settle import hold_list, watch_for
from aggregator.terminal import CONFIG, ConfigPath, SubjectName, each, one, out

DEEDS = 50  # of the log shown with the stories

Entries = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ENTRY]...", help="Names, phrases or links; without any, one a line from standard input."),
]
StoryName = Annotated[str, typer.Argument(metavar="STORY", help="A story's id, or an item in it.")]

app = typer.Typer(help="Names, phrases and links that keep a story unpublished until you release it.")


def register(whole: typer.Typer) -> None:
    """Add the commands to the command line."""
    whole.add_typer(app, name="hold")
    for command in (release, withdraw):
        whole.command()(command)


@app.command("list")
def show_list(config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Print the hold list, one entry a line."""
    with application.open_store(one(config, subject)) as store:
        for entry in hold_list(store):
            report.show(out, entry)


@app.command("stories")
def show_stories(config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """List the stories that are held or withdrawn, and what was done lately."""
    with application.open_store(one(config, subject)) as store:
        for part in report.withheld(store.withheld(), store.deeds(DEEDS)):
            report.show(out, part)


@app.command()
def add(entries: Entries = None, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Hold what names these from now on, in every subject or in one; what is published and does is taken out."""
    fresh = {mark(entry): entry for entry in _wanted(entries)}
    for configuration in each(config, subject):
        with application.open_app(configuration, SystemClock()) as opened:
            known = hold_list(opened.store)
            marks = set(map(mark, known))
            _watch(opened, (*known, *(entry for name, entry in fresh.items() if name not in marks)))


@app.command()
def remove(entries: Entries = None, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Hold what names these no more; a story that nothing else holds is published."""
    wanted = {mark(entry) for entry in _wanted(entries)}
    with application.open_app(one(config, subject), SystemClock()) as opened:
        known = hold_list(opened.store)
        if not wanted <= set(map(mark, known)):
            raise NotFoundError(
                "not all of these are on the list, which is as it was; `aggregator hold list` prints it"
            )
        _watch(opened, tuple(entry for entry in known if mark(entry) not in wanted))


def release(
    story: StoryName,
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Also a story that was withdrawn.")] = False,
) -> None:
    """Publish a story that the hold list keeps back."""
    configuration = one(config, subject)
    with application.open_app(configuration, SystemClock()) as opened:
        done = curator.release(opened.store, opened.rules, story, SystemClock().now(), withdrawn=withdrawn)
    with application.open_app(configuration, SystemClock()) as opened:  # which tells a seed again
        opened.publish()
    report.show(out, f"released: {done.id}")


def withdraw(story: StoryName, config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Take a story out of all that is published, at once and for good, with all repeats still to come.

    In every subject that tells it, or in one.
    """
    unknown: list[NotFoundError] = []
    configurations = each(config, subject)
    for configuration in configurations:
        with application.open_app(configuration, SystemClock()) as opened:
            try:
                done = curator.withdraw(opened.store, opened.rules, story, SystemClock().now())
            except NotFoundError as error:
                unknown.append(error)
                continue
            report.show(out, f"withdrawn: {done.id}")
            opened.publish()
    if len(unknown) == len(configurations):
        raise unknown[0]


def _watch(opened: App, entries: tuple[str, ...]) -> None:
    held = watch_for(opened.store, opened.rules, entries, SystemClock().now())
    report.show(out, f"{len(entries)} on the list")
    for id in held:
        report.show(out, f"held: {id}")
    opened.publish()


def _wanted(entries: list[str] | None) -> list[str]:
    """What was named, on the command line or, so that it is in no shell's history, on standard input."""
    wanted = [cleaned(entry) for entry in (entries or sys.stdin.read().splitlines()) if entry.strip()]
    if not wanted or not all(wanted):
        raise ConfigError("name what to hold: a name, a phrase or a link, with letters in it")
    return wanted
