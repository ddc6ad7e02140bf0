"""Say in a terminal what happened, with an exit status a script can trust."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from aggregator import app as application
from aggregator import cli_curation, cli_notify, cli_safety, cli_sources, push, report, trials, visiting
from aggregator import evaluate as evaluation
from aggregator.app import App, SystemClock
from aggregator.config import load
from aggregator.errors import ConfigError
from aggregator.notifier import Couriers, faults
from aggregator.pipeline import Refresh
from aggregator.press import Published
from aggregator.settle import Settled
from aggregator.several import load_all, open_all
from aggregator.terminal import CONFIG, AsJson, ConfigPath, SubjectName, err, guarded, log_plainly, one, out

app = typer.Typer(
    name="aggregator",
    help="Follow one subject in the news: many sources in, every story once, one curated feed out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_sources.app, name="sources")
cli_curation.register(app)
cli_safety.register(app)
cli_notify.register(app)


def main() -> None:
    """The command line; ends the process with 0 (done), 1 (the work failed) or 2 (configuration or arguments wrong)."""
    guarded(app)


@app.command()
def run(
    config: ConfigPath = CONFIG,
    once: Annotated[bool, typer.Option("--once", help="Poll what is due, publish, print what happened, end.")] = False,
    now: Annotated[bool, typer.Option("--now", help="With --once: every enabled source counts as due.")] = False,
) -> None:
    """Poll the sources on schedule, keep, fold, publish and serve, until stopped."""
    if now and not once:
        raise ConfigError("--now goes with --once; the daemon keeps to its schedule")
    configuration = load(config)
    if not once:
        from aggregator import daemon  # a single run serves nothing and keeps no schedule

        log_plainly()
        daemon.run(configuration, SystemClock())
        return
    with open_all(configuration, SystemClock()) as opened, _stoppable(opened) as stopped:
        for each in opened.subjects:
            if each.rejudged:
                report.show(out, report.rejudged(each.rejudged))
        refresh = Refresh(opened.refresh(everything=now))
        outcomes = _progress(opened, refresh)
        report.show(out, report.visits(outcomes))
        report.show(out, report.summary(outcomes, refresh.vouched))
        for each in opened.subjects:
            _announce(each, _published(each))
        if configuration.notify:
            with closing(Couriers(configuration)) as couriers:
                cli_notify.tell_all(opened, couriers)
        opened.forget()
    if stopped.is_set():
        raise typer.Exit(130)  # as a shell calls what Ctrl-C ended


def _published(opened: App, *, everything: bool = False) -> Published:
    done = opened.publish(everything=everything)
    report.show(out, report.published(done, opened.config.resolve(opened.config.feed.output)))
    return done


def _announce(opened: App, done: Published) -> None:
    """Tell our hub, if there is one, which feeds changed."""
    with closing(visiting.hubs(opened.config)) as hubs:
        for problem in push.tell_each(opened, hubs, push.feeds(opened, done.changed)):
            report.show(err, problem)


@contextmanager
def _stoppable(opened: App) -> Iterator[threading.Event]:
    """SIGTERM and the first Ctrl-C begin no further visit; what is under way is stored, the rest given back."""
    stopped = threading.Event()

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who asks twice will not wait
        stopped.set()
        opened.engine.close()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _progress(opened: App, visits: Iterable[Settled]) -> list[report.Result]:
    """The visits, with a bar on a terminal and a line a visit elsewhere."""
    if err.is_terminal:
        from rich.progress import track

        total = len(opened.config.listed(enabled=True))
        return list(map(report.result, track(visits, "visiting", total=total, console=err, transient=True)))
    return [report.result(_said(settled)) for settled in visits]


def _said(settled: Settled) -> Settled:
    report.show(err, report.line(settled))
    return settled


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write.")] = Path()) -> None:
    """Write a commented config.toml, the seed set and the topic pack for a new installation; never overwrites."""
    pack = "packs/north-korean-defectors.toml"
    shipped = application.default_file(pack)
    beside = [f"packs/{file.name}" for file in sorted(shipped.parent.glob(f"{shipped.stem}.*"))]
    names = ("config.toml", "feeds/seed.toml", *beside)
    files = {name: application.default_file(name).read_text(encoding="utf-8") for name in names}
    files["config.toml"] = files["config.toml"].replace('pack = "north-korean-defectors"', f'pack = "{pack}"', 1)
    standing = [name for name in files if (folder / name).exists()]
    if standing:
        raise ConfigError(*(f"{folder / name} exists already; nothing was written" for name in standing))
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}") from None
    for name in files:
        report.show(out, f"wrote {folder / name}")
    report.show(out, f"next: aggregator check --config {folder / 'config.toml'}, then aggregator run")


@app.command()
def check(
    config: ConfigPath = CONFIG,
    online: Annotated[bool, typer.Option("--online", help="Also try each enabled source once.")] = False,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Labelled or exported items: which would change side?")
    ] = None,
    subject: SubjectName = "",
) -> None:
    """Validate configuration, topic pack, seed set and, where there is one, the store; say what is wrong where."""
    configuration = load(config)
    subjects = load_all(configuration)
    if unreachable := faults(configuration):
        raise ConfigError(*unreachable)
    listed, off = (len(configuration.listed(enabled=enabled)) for enabled in (True, False))
    packs = [f"topic pack {each.topic.pack}" for each in configuration.each()]
    seeds = [f"{len(known.seeds)} seed stories" for known in subjects]
    said = "; ".join(f"{pack}; {seed}" for pack, seed in zip(packs, seeds, strict=True))
    report.show(out, f"{config}: {listed} sources, {off} disabled; {said}: all well")
    if unnamed := visiting.anonymous(configuration):
        report.show(err, f"but {unnamed}")
    wrong = list(application.check_store(configuration))
    for each in configuration.each() if configuration.subject else ():
        wrong += (f"{each.called}: {sentence}" for sentence in application.check_store(each))
    for sentence in wrong:
        report.show(out, f"store: {sentence}")
    if against:
        known = application.load_subject(one(config, subject))
        scopes = {source.url: source.scope for source in configuration.source}
        report.show(out, report.turned(*evaluation.turned(against, known.judge, scopes)))
    if online:
        failed = sum(_tried(line) for line in trials.try_sources(configuration, subjects, SystemClock()))
        raise typer.Exit(1 if failed or wrong else 0)
    raise typer.Exit(1 if wrong else 0)


def _tried(result: tuple[bool, str]) -> bool:
    failed, line = result
    report.show(out, line)
    return failed


@app.command()
def publish(config: ConfigPath = CONFIG, subject: SubjectName = "") -> None:
    """Write the published files anew from the store; of all subjects, unless one is named."""
    with open_all(one(config, subject) if subject else load(config), SystemClock()) as opened:
        for each in opened.subjects:
            _published(each, everything=True)


@app.command()
def status(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """One page on the state; exit status 1 where the operator should look."""
    overview = application.overview(load(config), SystemClock())
    if as_json:
        report.show(out, report.as_json(overview.as_table()))
    else:
        report.show(out, report.sources(overview))
        if overview.channels:
            report.show(out, report.channels(overview.channels, overview.now))
        report.show(out, report.worries(overview))
    raise typer.Exit(1 if overview.worries() else 0)


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Labelled items, one JSON object a line.")],
    config: ConfigPath = CONFIG,
    predictions: Annotated[Path | None, typer.Option(help="Where to write what became of each item.")] = None,
    as_json: AsJson = False,
    subject: SubjectName = "",
) -> None:
    """Run labelled items through the code that live items run through; print scores and mistakes."""
    configuration = one(config, subject)
    result = trials.evaluation(configuration, application.load_subject(configuration), evaluation.read_labelled(file))
    if predictions:
        lines = (report.as_json_line(one) for one in result.predictions)
        predictions.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    parts: Iterable[report.Part] = [report.as_json(report.scores(result))] if as_json else report.evaluation(result)
    for part in parts:
        report.show(out, part)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put the copy; must not exist.")],
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
) -> None:
    """Write a consistent copy of the store, also while the daemon is running."""
    if file.exists():
        raise ConfigError(f"{file} exists already; nothing was written")
    with application.open_store(one(config, subject, or_archive=True)) as store:
        store.backup(str(file))
    report.show(out, f"wrote {file}")


@app.command()
def export(
    config: ConfigPath = CONFIG,
    format: Annotated[
        str, typer.Option(help="jsonl: an object an item, for other programs; store: all, for `aggregator import`.")
    ] = "jsonl",
    subject: SubjectName = "",
) -> None:
    """Print everything that is known, in a portable form."""
    if format not in ("jsonl", "store"):
        raise ConfigError(f"--format {format} is not known; jsonl and store are")
    with application.open_store(one(config, subject, or_archive=True)) as store:
        lines = map(report.as_json_line, store.retained()) if format == "jsonl" else store.dump()
        for line in lines:
            out.file.write(line + "\n")


@app.command("import")
def take_in(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `aggregator export --format store` printed.")],
    config: ConfigPath = CONFIG,
    subject: SubjectName = "",
) -> None:
    """Make a new store of what another one exported."""
    try:
        with file.open(encoding="utf-8") as lines:
            unknown = application.import_store(one(config, subject, or_archive=True), lines)
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as an export: {error}") from None
    report.show(out, f"imported {file}")
    for address in unknown:
        report.show(out, f"the password of {address} is not in the configuration: its source begins anew")
