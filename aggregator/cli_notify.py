"""The commands for those who are told of news: how it goes, a message to try, and what a digest would say."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import timedelta
from itertools import takewhile
from typing import Annotated

import typer

from aggregator import app as application
from aggregator import letters, report
from aggregator.app import App, SystemClock
from aggregator.channels import Channel
from aggregator.config import Config, nearest
from aggregator.errors import ConfigError, NotFoundError
from aggregator.model import Edition, Message, StoredStory, Undelivered
from aggregator.notices import edition_of, fitting
from aggregator.notifier import Couriers, messages, said
from aggregator.terminal import CONFIG, ConfigPath, SubjectName, one, out

_MOST = 500  # stories looked through for a preview

Name = Annotated[str, typer.Argument(metavar="[NAME]", help="A channel's name; without one, all of them.")]


def register(whole: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (notify, digest):
        whole.command()(command)


def notify(
    name: Name = "",
    test: Annotated[bool, typer.Option("--test", help="Send the newest story now, whoever was told it.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Try once more what was given up.")] = False,
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
) -> None:
    """Say how those who are told of news are reached; try a channel, or send again what was given up."""
    configuration = one(config, subject)
    channels = _named(configuration, name)
    with application.open_app(configuration, SystemClock()) as opened, closing(Couriers(configuration)) as couriers:
        if test:
            failed = [channel for channel in channels if not _tried(opened, channel, couriers)]
            raise typer.Exit(1 if failed else 0)
        if again and opened.outbox:
            report.show(out, f"to be tried again: {opened.outbox.retry(SystemClock().now())} stories")
            tell_all(opened, couriers)
        kept = {channel.name for channel in channels}
        health = opened.outbox.health() if opened.outbox else ()
        report.show(out, report.channels([told for told in health if told.name in kept], SystemClock().now()))


def digest(
    name: Name = "",
    as_html: Annotated[bool, typer.Option("--html", help="Print the HTML of the mail.")] = False,
    days: Annotated[int, typer.Option(min=0, help="Stories of so many days; 0: as the channel is told.")] = 0,
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
) -> None:
    """Print what a digest of the last day or week would say; nothing is sent."""
    configuration = one(config, subject)
    channel = next(iter(_named(configuration, name)), Channel("", "mail", "")) if name else Channel("", "mail", "")
    with application.open_app(configuration, SystemClock()) as opened:
        now = SystemClock().now()
        weekly = channel.hours is not None and channel.hours.weekday is not None
        since = now - timedelta(days=days or (7 if weekly else 1))
        newest = opened.store.stories(_MOST)
        told = [one for one in takewhile(lambda one: one.told is not None and one.told > since, newest) if not one.seed]
        shown = _shown(opened, channel, told)
    out.file.write(letters.html(shown, now) if as_html else letters.plain(shown, now))


def tell_all(opened: App, couriers: Couriers) -> None:
    """Tell all channels what waits for them, and say what came of it."""
    opened.address()
    for channel in opened.config.channels():
        for told in messages(opened, channel, couriers):
            report.show(out, said(told))


def _named(configuration: Config, name: str) -> list[Channel]:
    """The channels of a table or of one address; all without a name."""
    channels = configuration.channels()
    found = [one for one in channels if not name or one.name == name or one.asks.name == name]
    if not found:
        meant = nearest(name, [one.name for one in channels])
        raise ConfigError(f"no [[notify]] is called {name!r}{meant}" if name else "config.toml has no [[notify]]")
    return found


def _tried(opened: App, channel: Channel, couriers: Couriers) -> bool:
    newest = [one for one in opened.store.stories(_MOST) if not one.seed]
    shown = _shown(opened, channel, fitting(channel, newest, opened.frame.sources)[:1] or newest[:1])
    if not shown.stories:
        raise NotFoundError("no story is told yet that could be sent; run `aggregator run --once` first")
    now = SystemClock().now()
    message = Message(f"msg_{uuid.uuid4().hex}", channel.name, (shown.stories[0].id,), 1, now)
    delivery = couriers.of(channel)(channel, message, shown, now)
    why = f"failed: {delivery.why}" if isinstance(delivery, Undelivered) else "sent"
    report.show(out, f"{channel.name}: {why}")
    return not isinstance(delivery, Undelivered)


def _shown(opened: App, channel: Channel, told: list[StoredStory]) -> Edition:
    known = {source.url: source for source in opened.frame.sources}
    return edition_of(channel, opened.frame, fitting(channel, told, opened.frame.sources), known)
