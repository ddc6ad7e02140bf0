"""Kills the program at random moments of all its work, and holds what it leaves behind to its promises.

    python -m tests.soak.crashes [--kills 1000] [--seed 1]

A life is a new installation that follows a few sources, which bring labelled items one after the other. Commands are
started and killed (SIGKILL) at a random moment of their run. After each kill the database must be sound and every
published file whole; a story that readers have seen keeps its id and its place, or is remembered as gone (withdrawn,
merged); no item stands in two stories. At the
end of a life one run goes through, after which nothing that the sources ever brought may be missing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from lxml import etree

from aggregator.database import Database
from aggregator.schema import STEPS
from tests.command import HEAD, configure, environment
from tests.site import Site, serving
from tests.soak.nest import SPOKEN

ITEMS = Path(__file__).parent.parent / "data" / "curation" / "items.jsonl"
SOURCES = 6
KILLS_A_LIFE = 50
LONGEST = 900.0  # seconds that a command may take that nobody kills, on a machine that has much else to do


class Broken(AssertionError):
    """A promise that did not hold, with what was seen."""


@dataclass
class Commands:
    """Commands of the program, forked from a process that has everything loaded."""

    nest: subprocess.Popen[str]
    killed: list[int] = field(default_factory=list)  # processes

    def start(self, folder: Path, *arguments: str) -> int:
        """The number of the process."""
        assert self.nest.stdin
        assert self.nest.stdout
        self.nest.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments}) + "\n")
        self.nest.stdin.flush()
        return int(self.nest.stdout.readline())

    def end(self) -> int:
        """Wait for the command that was started: its exit status, negative: the signal that ended it."""
        assert self.nest.stdout
        return int(self.nest.stdout.readline())

    def run(self, folder: Path, *arguments: str) -> float:
        """Run to the end; the seconds it took. Broken: it failed."""
        began = time.monotonic()
        process = self.start(folder, *arguments)
        alarm = threading.Timer(LONGEST, os.killpg, (process, signal.SIGKILL))
        alarm.start()
        status = self.end()
        alarm.cancel()
        if status:
            raise Broken(f"{' '.join(arguments)} ended with {status}:\n{_heard(folder)}")
        return time.monotonic() - began

    def kill(self, folder: Path, after: float, *arguments: str) -> bool:
        """Start, and kill after some seconds; whether it still ran then."""
        process = self.start(folder, *arguments)
        alarm = threading.Timer(after, _kill, (process,))
        alarm.start()
        status = self.end()
        alarm.cancel()
        if status not in (0, -signal.SIGKILL):
            raise Broken(f"{' '.join(arguments)} ended with {status}:\n{_heard(folder)}")
        self.killed.append(process)
        return status != 0


def _heard(folder: Path) -> str:
    """What the last command said and complained of, the beginning of each."""
    return "\n".join((folder / f"{name}.txt").read_text()[:3_000] for name in SPOKEN)


def _alone(process: int) -> None:
    """The children of a process notice that it has died, and end as well."""
    patience = time.monotonic() + LONGEST
    while time.monotonic() < patience:
        try:
            os.killpg(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise Broken("the killed process left others running")


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@contextmanager
def commands() -> Iterator[Commands]:
    nest = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.nest"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield Commands(nest)
    finally:
        assert nest.stdin
        nest.stdin.close()
        nest.wait()


@dataclass
class Life:
    """An installation, what its sources have brought so far, and what its readers have seen."""

    folder: Path
    site: Site
    commands: Commands
    chance: random.Random
    waiting: list[dict[str, Any]]
    brought: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # source → its entries, newest first
    order: list[str] = field(default_factory=list)  # ids as last published, newest first
    killed: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """Half of the lives begin with a database of an older version."""
        head = HEAD.replace("[fetch]", '[server]\nlisten = ""\n[fetch]')
        configure(self.folder, {f"S{n}": f"{self.site.address}/{n}" for n in range(SOURCES)}, head)
        for source in range(SOURCES):
            self.brought[source] = []
            self._put(source)
        version = self.chance.randrange(2 * len(STEPS))
        if 0 < version < len(STEPS):
            Database(f"sqlite:///{self.folder / 'aggregator.db'}", STEPS[:version]).close()

    def bring(self) -> None:
        """One to four new entries, each at a random source, or an old one with another title."""
        for _ in range(self.chance.randint(1, 4)):
            source = self.chance.randrange(SOURCES)
            entries = self.brought[source]
            if entries and self.chance.random() < 0.2:
                entry = self.chance.choice(entries)
                entry["title"] += " (updated)"
            elif self.waiting:
                entries.insert(0, self.waiting.pop())
            self._put(source)

    def _put(self, source: int) -> None:
        entries = "".join(
            f"<item><title>{escape(entry['title'])}</title><guid isPermaLink='false'>{entry['id']}</guid>"
            f"<link>https://site{source}.example.org/{entry['id']}</link><pubDate>{entry['published']}</pubDate>"
            f"<description>{escape(entry['summary'])}</description></item>"
            for entry in self.brought[source]
        )
        self.site.put(f"/{source}", f'<rss version="2.0"><channel><title>S{source}</title>{entries}</channel></rss>')

    def step(self, usual: dict[str, float]) -> None:
        """Something new, a command, a kill at a random moment of it, and a look at what is left."""
        if self.chance.random() < 0.6:
            self.bring()
        arguments = self._command()
        name = arguments[0]
        if self.commands.kill(self.folder, self.chance.uniform(0, 1.1 * usual[name]), *arguments):
            self.killed[name] += 1
        self.look()
        if self.order and self.chance.random() < 0.04:
            self._import(usual)

    def _command(self) -> tuple[str, ...]:
        if not self.order:
            return ("run", "--once", "--now")
        match self.chance.random():
            case chance if chance < 0.7:
                return ("run", "--once", "--now")
            case chance if chance < 0.8:
                return ("publish",)
            case chance if chance < 0.88:
                return ("backup", "copy.db")
            case chance if chance < 0.92:
                return ("keep", self.chance.choice(self._known()))
            case chance if chance < 0.95:
                return ("withdraw", self.chance.choice(self.order))
            case _ if len(self.order) > 1:
                return ("merge", *self.chance.sample(self.order, 2))
            case _:
                return ("publish",)

    def _import(self, usual: dict[str, float]) -> None:
        """What was exported is taken in elsewhere: killed, no store or a sound one is there; else all of it."""
        self.commands.run(self.folder, "export", "--format", "store")
        with tempfile.TemporaryDirectory() as elsewhere:
            folder = Path(elsewhere)
            (folder / "config.toml").write_bytes((self.folder / "config.toml").read_bytes())
            (folder / "export.jsonl").write_bytes((self.folder / "said.txt").read_bytes())
            if not (folder / "export.jsonl").read_bytes().startswith(b'{"kind":"aggregator store"'):
                raise Broken(f"this is no export:\n{_heard(self.folder)}")
            if self.commands.kill(folder, self.chance.uniform(0, 1.1 * usual["import"]), "import", "export.jsonl"):
                self.killed["import"] += 1
            _sound(folder / "aggregator.db")

    def _known(self) -> list[str]:
        with closing(sqlite3.connect(self.folder / "aggregator.db")) as connection:
            return [id for (id,) in connection.execute("SELECT link FROM item WHERE link IS NOT NULL ORDER BY key")]

    def look(self) -> None:
        """Hold what is there to the promises; Broken names the one that does not hold."""
        _sound(self.folder / "aggregator.db")
        copy = self.folder / "copy.db"
        if copy.exists():
            _sound(copy)
            copy.unlink()
        stories = _whole(self.folder / "public")
        standing = Counter(member["url"] for story in stories for member in story["_story"]["members"])
        if twice := [url for url, count in standing.items() if count > 1]:
            raise Broken(f"published twice: {twice}")
        self._same_order([story["id"] for story in stories])

    def _same_order(self, ids: list[str]) -> None:
        """What readers saw stays, in its order, unless it is remembered as gone; what is new stands above it."""
        if len(set(ids)) < len(ids):
            raise Broken("an id is published twice")
        kept = [id for id in self.order if id in set(ids)]
        if kept != [id for id in ids if id in set(self.order)]:
            raise Broken("the order changed")
        if new := [id for id in ids[len(ids) - len(kept) :] if id not in set(kept)]:
            raise Broken(f"stories appeared among those told before: {new}")
        for id in set(self.order) - set(ids):
            if not self._is_gone(id):
                raise Broken(f"{id} was published, and is missing")
        self.order = ids

    def _is_gone(self, id: str) -> bool:
        """Merged into another story, or withdrawn since all its items have left the subject; and remembered as that."""
        with closing(sqlite3.connect(self.folder / "aggregator.db")) as connection:
            return connection.execute("SELECT 1 FROM gone WHERE id = ?", (id,)).fetchone() is not None

    def end(self) -> None:
        """A run that nobody kills; after it, all that was ever brought is known, and the files are as written anew."""
        self.commands.run(self.folder, "run", "--once", "--now")
        self.look()
        with closing(sqlite3.connect(self.folder / "aggregator.db")) as connection:
            known = set(connection.execute("SELECT id, title FROM item"))
            withdrawn = {id for (id,) in connection.execute("SELECT id FROM story WHERE withdrawn")}
            unedited = {  # what was withdrawn stays as it was
                id
                for (id,) in connection.execute(
                    "SELECT item.id FROM item JOIN story ON story.number = item.story WHERE withdrawn"
                )
            }
        if back := withdrawn & set(self.order):
            raise Broken(f"withdrawn, and published: {back}")
        entries = [entry for entries in self.brought.values() for entry in entries]
        brought = {(entry["id"], " ".join(entry["title"].split())) for entry in entries}
        if lost := {(id, title) for id, title in brought - known if id not in unedited}:
            raise Broken(f"lost: {lost}")
        for process in self.commands.killed:
            _alone(process)
        self.commands.killed.clear()
        before = _files(self.folder / "public")
        self.commands.run(self.folder, "publish")
        if changed := {name for name, _ in before.items() ^ _files(self.folder / "public").items()}:
            raise Broken(f"written anew, these differ: {sorted(changed)}")


def _sound(database: Path) -> None:
    if not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection:
        said = [connection.execute(f"PRAGMA {check}").fetchall() for check in ("integrity_check", "foreign_key_check")]
    if said != [[("ok",)], []]:
        raise Broken(f"{database.name}: {said}")


def _whole(public: Path) -> list[dict[str, Any]]:
    """The stories of feed.json; every file of the folder is read."""
    for file in public.rglob("*"):
        if file.is_dir() or file.name.endswith(".unfinished"):
            continue
        content = file.read_bytes()
        if file.suffix in (".xml", ".opml"):
            etree.fromstring(content)
        elif file.suffix == ".json":
            json.loads(content)
        elif file.suffix == ".html" and not content.rstrip().endswith(b"</html>"):
            raise Broken(f"{file.name} is cut")
    feed = public / "feed.json"
    stories: list[dict[str, Any]] = json.loads(feed.read_bytes())["items"] if feed.exists() else []
    return stories


def _files(public: Path) -> dict[str, bytes]:
    """What readers can ask for; what the folder remembers for itself (.published) says of when, too, and may differ."""
    found = {str(file.relative_to(public)): file for file in public.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in found.items() if name != ".published"}


def _usual(commands: Commands, site: Site) -> dict[str, float]:
    """How long each command takes, in seconds, when nobody kills it."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder), site, commands, random.Random(0), _items(random.Random(0)))
        life.begin()
        life.bring()
        life.bring()
        took = {"run": commands.run(life.folder, "run", "--once", "--now")}
        took["publish"] = commands.run(life.folder, "publish")
        took["backup"] = commands.run(life.folder, "backup", "copy.db")
        took["keep"] = commands.run(life.folder, "keep", life._known()[0])
        took["withdraw"] = took["merge"] = took["import"] = took["keep"]
    return took


def _items(chance: random.Random) -> list[dict[str, Any]]:
    items = [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines()]
    chance.shuffle(items)
    return items


def crash(kills: int, seed: int) -> Counter[str]:
    """Kill so many commands; how many of each kind were killed. Broken: a promise did not hold."""
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    with commands() as running, serving() as site:
        usual = _usual(running, site)
        while killed.total() < kills:
            with tempfile.TemporaryDirectory() as folder:
                life = Life(Path(folder), site, running, chance, _items(chance))
                life.begin()
                wanted = min(KILLS_A_LIFE, kills - killed.total())
                while life.killed.total() < wanted:
                    life.step(usual)
                life.end()
                killed += life.killed
                print(f"{killed.total()} of {kills} kills", file=sys.stderr, flush=True)
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    killed = crash(asked.kills, asked.seed)
    said = ", ".join(f"{count} of {name}" for name, count in killed.most_common())
    print(f"{killed.total()} kills in {time.monotonic() - began:.0f} s ({said}): every promise held")


if __name__ == "__main__":
    main()
