"""Readers that people use subscribe to what is published: each story comes once, whatever happens to it."""

from __future__ import annotations

import mailbox
import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from email.header import decode_header, make_header
from pathlib import Path
from typing import Protocol

import pytest

from aggregator.press import publish
from aggregator.publish import FolderPublisher
from aggregator.serve import Server, build_app
from aggregator.store import SqlStore
from tests.telling import FRAME, HOUR, NOW, judged, name, tell


class Reader(Protocol):
    """A program that has subscribed to one feed."""

    def titles(self) -> list[str]:
        """Look for news, then all entries that it shows, an entry shown twice twice."""
        ...


def run(home: Path, *command: str) -> str:
    """What a reader prints that knows nothing of the user's own settings."""
    surroundings = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb", "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=home, env=surroundings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


class Newsboat:
    program = "newsboat"

    def __init__(self, home: Path, url: str) -> None:
        self._home = home
        (home / "urls").write_text(f"{url}\n", encoding="utf-8")
        (home / "settings").write_text("", encoding="utf-8")

    def titles(self) -> list[str]:
        run(self._home, "newsboat", "-u", "urls", "-C", "settings", "-c", "cache.db", "-x", "reload")
        with closing(sqlite3.connect(self._home / "cache.db")) as cache:
            return [title for (title,) in cache.execute("SELECT title FROM rss_item WHERE deleted = 0")]


class Sfeed:
    program = "sfeed_update"

    # As it comes, sfeed takes an entry whose title was edited for another one; sfeedrc(5) names this function as the
    # place to decide otherwise. The id is the sixth field of a line.
    SETTINGS = """
sfeedpath="$HOME/feeds"
feeds() { feed "feed" "%s"; }
merge() { sort -t "$(printf '\\t')" -u -k6,6 "$2" "$3"; }
"""

    def __init__(self, home: Path, url: str) -> None:
        self._home = home
        (home / "sfeedrc").write_text(self.SETTINGS % url, encoding="utf-8")

    def titles(self) -> list[str]:
        run(self._home, "sfeed_update", str(self._home / "sfeedrc"))
        lines = (self._home / "feeds" / "feed").read_text(encoding="utf-8").splitlines()
        return [line.split("\t")[1] for line in lines]


class Rss2email:
    program = "r2e"

    def __init__(self, home: Path, url: str) -> None:
        self._home = home
        self._run("new", "reader@a.example")
        settings = home / "r2e.cfg"
        text = settings.read_text(encoding="utf-8").replace("email-protocol = sendmail", "email-protocol = maildir")
        settings.write_text(text.replace("maildir-path = ~/Maildir", f"maildir-path = {home / 'mail'}"), "utf-8")
        (home / "mail").mkdir()
        self._run("add", "feed", url)

    def _run(self, *arguments: str) -> None:
        run(self._home, "r2e", "-c", "r2e.cfg", "-d", "r2e.json", *arguments)

    def titles(self) -> list[str]:
        self._run("run")
        inbox = mailbox.Maildir(self._home / "mail" / "INBOX")
        return [str(make_header(decode_header(mail["subject"]))) for mail in inbox]


class ReaderLibrary:
    program = str(Path(__file__).parent.parent / "build" / "reader" / "bin" / "python")

    SCRIPT = """
import sys, reader
entries = reader.make_reader("reader.db")
entries.add_feed(sys.argv[1], exist_ok=True)
entries.update_feed(sys.argv[1])
print(*(entry.title for entry in entries.get_entries()), sep="\\n")
"""

    def __init__(self, home: Path, url: str) -> None:
        self._home, self._url = home, url

    def titles(self) -> list[str]:
        return run(self._home, self.program, "-c", self.SCRIPT, self._url).splitlines()


READERS: list[tuple[type[Newsboat | Sfeed | Rss2email | ReaderLibrary], tuple[str, ...]]] = [
    (Newsboat, ("rss.xml", "atom.xml")),
    (Sfeed, ("rss.xml", "atom.xml")),
    (Rss2email, ("rss.xml", "atom.xml")),
    (ReaderLibrary, ("rss.xml", "atom.xml", "feed.json")),
]


@pytest.fixture(
    params=[(kind, feed) for kind, feeds in READERS for feed in feeds], ids=lambda one: f"{one[0].__name__} {one[1]}"
)
def subscribe(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Reader]:
    kind, feed = request.param
    if not shutil.which(kind.program):
        pytest.skip(f"{kind.__name__} is not installed; tests/install-tools does it")
    home = tmp_path / "home"
    home.mkdir()
    return lambda address: kind(home, address + feed)


class Desk:
    """A store and the folder it is published in, served over HTTP."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.store = SqlStore(f"sqlite:///{folder}/store.db")
        self.server = self._serve(0)
        self._frame = replace(FRAME, link=self.server.address)

    def _serve(self, port: int) -> Server:
        app = build_app(self._folder / "public", health=lambda: (True, {}), metrics=lambda: "")
        server = Server(app, "127.0.0.1", port)
        server.start()
        return server

    def publish(self, max_entries: int = 100) -> None:
        publish(self.store, FolderPublisher(self._folder / "public"), self._frame, max_entries)

    def restart(self) -> None:
        """End, and begin again in the same place, with everything written anew."""
        port = int(self.server.address.rstrip("/").rpartition(":")[2])
        self.close()
        self.store = SqlStore(f"sqlite:///{self._folder}/store.db")
        shutil.rmtree(self._folder / "public")
        self.publish()
        self.server = self._serve(port)

    def close(self) -> None:
        self.server.stop()
        self.store.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.close()


def test_a_reader_shows_each_story_once(desk: Desk, subscribe: Callable[[str], Reader]) -> None:
    """After a new story, an edited lead, a repeat, a merge and a restart: every story once, and none again."""
    tell(desk.store, 1, 2, 3)
    desk.publish()
    reader = subscribe(desk.server.address)
    assert sorted(reader.titles()) == ["Story 1", "Story 2", "Story 3"]
    assert len(reader.titles()) == 3

    tell(desk.store, 4)
    desk.publish()
    assert Counter(reader.titles()) == Counter(f"Story {number}" for number in range(1, 5))

    with desk.store.begin() as work:
        work.edit(4, judged(4, "Story 4, edited"), ())
        work.tell(name(4), NOW + 4 * HOUR, 4, NOW + 5 * HOUR)
        work.assign(work.add(judged(9), (), NOW), name(3), None)
    desk.publish()
    assert [title[:7] for title in sorted(reader.titles())] == [f"Story {number}" for number in range(1, 5)]

    with desk.store.begin() as work:
        work.merge(name(4), into=name(3), now=NOW + 6 * HOUR)
    desk.publish()
    after = reader.titles()
    assert len(after) == len({title[:7] for title in after})
    assert {"Story 1", "Story 2", "Story 3"} <= set(after)

    desk.restart()
    assert sorted(reader.titles()) == sorted(after)


def test_a_reader_takes_the_archive_for_old(desk: Desk, subscribe: Callable[[str], Reader]) -> None:
    """When stories leave for the archive, no reader shows one of them again."""
    for number in range(1, 8):
        tell(desk.store, number)
        desk.publish(max_entries=3)
        if number == 3:
            reader = subscribe(desk.server.address)
        if number >= 3:
            assert max(Counter(reader.titles()).values()) == 1
    assert "Story 7" in reader.titles()
