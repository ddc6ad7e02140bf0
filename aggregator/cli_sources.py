"""The `sources` commands: list with health, add, remove, import and export."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from aggregator import app as application
from aggregator import report, sources
from aggregator.app import SystemClock
from aggregator.config import load
from aggregator.errors import ConfigError
from aggregator.model import Source
from aggregator.normalise import source_key, without_password
from aggregator.several import load_all
from aggregator.terminal import CONFIG, AsJson, ConfigPath, out
from aggregator.trials import find_feed

app = typer.Typer(help="List sources with their health; add, remove, import, export.", invoke_without_command=True)


@app.callback()
def default(context: typer.Context, config: ConfigPath = CONFIG) -> None:
    """List sources with their health; add, remove, import, export."""
    if context.invoked_subcommand is None:
        show_list(config)


@app.command("list")
def show_list(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """List the sources with their health."""
    overview = application.overview(load(config), SystemClock())
    report.show(out, report.as_json(overview.as_table()["sources"]) if as_json else report.sources(overview))


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="A feed's address, or a site's page that names its feed.")],
    config: ConfigPath = CONFIG,
    name: Annotated[str, typer.Option(help="How to call it; else as the feed calls itself.")] = "",
    scope: Annotated[
        str, typer.Option(help="How much is to be expected of it, as the topic pack names it.")
    ] = "general",
    kind: Annotated[str, typer.Option(help="feed, or sitemap for a Google News sitemap.")] = "feed",
) -> None:
    """Try a feed, or find the feed of a site's page, and add it to the configuration."""
    if kind not in ("feed", "sitemap"):
        raise ConfigError('--kind is "feed" or "sitemap"; a page needs a table [source.select], written by hand')
    configuration = load(config)
    if source_key(url) in {source_key(table.url) for table in configuration.source}:
        report.show(out, f"0 added to {config}, 1 listed there already")
        return  # nobody need be asked
    feed, head = find_feed(configuration, url, SystemClock(), kind)
    called = name or head.title or without_password(feed)
    _append(config, [Source(url=feed, name=called, language=head.language, scope=scope, kind=kind)])


@app.command()
def remove(
    url: Annotated[str, typer.Argument(help="The source's address, as `sources list` prints it.")],
    config: ConfigPath = CONFIG,
) -> None:
    """Take a source out of the configuration; what it brought stays."""
    load(config)
    _write(config, sources.remove_block(_read(config), url))
    report.show(out, f"removed {without_password(url)} from {config}")


@app.command("import")
def import_opml(
    file: Annotated[Path, typer.Argument(metavar="FILE.opml", help="A list of feeds from another program.")],
    config: ConfigPath = CONFIG,
) -> None:
    """Add the feeds of an OPML file that are not listed yet."""
    load(config)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    _append(config, list(sources.from_opml(data, str(file))))


@app.command("export")
def export_opml(config: ConfigPath = CONFIG) -> None:
    """Print the enabled sources as OPML 2.0, to subscribe to elsewhere."""
    configuration = load(config)
    title = ", ".join(each.feed.title for each in configuration.each())
    document = sources.to_opml(configuration.listed(enabled=True), title)
    out.file.write(document.decode("utf-8"))


def _append(config: Path, wanted: list[Source]) -> None:
    """Append sources to the configuration, each once, and only if the file is still right afterwards."""
    listed = {source_key(table.url) for table in load(config).source}
    fresh = [source for source in wanted if source_key(source.url) not in listed]
    before = _read(config)
    _write(config, sources.append_blocks(before, fresh))
    try:
        load_all(load(config))
    except ConfigError:
        _write(config, before)
        raise
    for source in fresh:
        report.show(out, f"added {source.name} ({without_password(source.url)})")
    report.show(out, f"{len(fresh)} added to {config}, {len(wanted) - len(fresh)} listed there already")


def _read(config: Path) -> str:
    """The text as it stands, line ends included; a byte order mark, which means nothing, goes."""
    return config.read_bytes().decode("utf-8-sig")


def _write(config: Path, text: str) -> None:
    """Replace the text whole: a configuration cut short would stop the daemon's next start.

    Who may read it stays as it was: it may hold secrets.
    """
    target = config.resolve()
    fresh = target.with_name(f".{target.name}.new")
    try:
        fresh.touch(mode=0o600)
        fresh.write_bytes(text.encode("utf-8"))
        shutil.copymode(target, fresh)
        fresh.replace(target)
    except OSError as error:
        raise ConfigError(f"{config} cannot be written: {error.strerror}") from None
