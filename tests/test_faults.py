"""What fails around the program: a full disk, a read-only one, a locked database, a clock that jumps.

Each is told in words that fit, nothing is lost, and when it is over the next run goes on by itself.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from aggregator.database import Database
from aggregator.schema import STEPS
from aggregator.store import SqlStore
from tests.command import aggregator, configure, feed, rss
from tests.site import Site
from tests.test_hostile import ENTRY, OTHER, TITLE
from tests.world import DAY, HOUR, World
from tests.world import rss as document

ONE = ("https://news.example/1", "North Korean defector elected to Seoul council", "")
TWO = ("https://news.example/2", "Swimmer from North Korea reaches Gyodong island, asks to stay in the South", "")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, in memory; it takes root to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def full(disk: Path, *, left: int = 0) -> Iterator[None]:
    """Meanwhile only so many bytes are left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(file.tell() - left, 0))
    yield
    filler.unlink()


def whole(disk: Path) -> None:
    """The database is sound, and nothing half made lies about."""
    with closing(sqlite3.connect(disk / "aggregator.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert [path.name for path in disk.rglob("*") if "unfinished" in path.name or ".part-" in path.name] == []


def told(disk: Path) -> set[str]:
    return {story["title"] for story in feed(disk)}


ROOMS = (0, 300_000)  # bytes left: it fills up at the first write, or at a later one


@pytest.mark.parametrize(
    ("command", "left"),
    [
        *((("run", "--once", "--now"), left) for left in ROOMS),
        (("publish",), 0),
        (("merge", ONE[0], "https://news.example/3"), 80_000),
    ],
)
def test_a_disk_that_fills_up_costs_nothing(disk: Path, site: Site, command: tuple[str, ...], left: int) -> None:
    """Wherever it ends, the failure says so, what was there is there, and the next run does what is still to do."""
    third = ("https://news.example/3", "North Korean defector opens a noodle restaurant in Busan", "")
    configure(disk, {"News": site.put("/feed", rss([ONE, third]))})
    assert aggregator(disk, "run", "--once").returncode == 0
    before = told(disk)
    site.put("/feed", rss([ONE, TWO, third]))
    with full(disk, left=left):
        done = aggregator(disk, *command)
        said = done.stdout + done.stderr
        if done.returncode:
            assert "Traceback" not in said
            assert any(words in said for words in ("full", "no space left", "make room")), said
            assert "backup in its place" not in said
        assert told(disk) >= before - {third[1]} or command[0] == "merge"
    again = aggregator(disk, "run", "--once", "--now")
    assert again.returncode == 0, again.stderr
    assert aggregator(disk, "publish").returncode == 0
    assert TWO[1] in told(disk)
    assert {member["title"] for story in feed(disk) for member in story["_story"]["members"]} == {
        one[1] for one in (ONE, TWO, third)
    }
    whole(disk)


@pytest.mark.parametrize("left", [80_000])
def test_a_disk_that_fills_up_under_a_backup_or_an_import_leaves_no_half(disk: Path, site: Site, left: int) -> None:
    """Neither a copy nor a store that is not whole is left."""
    configure(disk, {"News": site.put("/feed", rss([ONE]))})
    assert aggregator(disk, "run", "--once").returncode == 0
    exported = disk / "export.jsonl"
    exported.write_text(aggregator(disk, "export", "--format", "store").stdout, encoding="utf-8")
    elsewhere = disk / "elsewhere"
    elsewhere.mkdir()
    configure(elsewhere, {"News": site.address + "/feed"})
    (disk / "aggregator.db-wal").unlink(missing_ok=True)
    with full(disk, left=left):
        for folder, command in ((disk, ("backup", "copy.db")), (elsewhere, ("import", str(exported)))):
            done = aggregator(folder, *command)
            assert done.returncode == 1, done.stdout
            assert any(words in done.stderr for words in ("full", "no space left", "make room", "No space")), (
                done.stderr
            )
            assert "Traceback" not in done.stderr
        assert not (disk / "copy.db").exists()
        assert [path.name for path in elsewhere.iterdir()] == ["config.toml"]
    assert aggregator(disk, "backup", "copy.db").returncode == 0
    assert aggregator(elsewhere, "import", str(exported)).returncode == 0
    whole(disk)
    whole(elsewhere)


@pytest.mark.parametrize("left", [0, 80_000])
def test_a_disk_that_fills_up_under_a_migration_leaves_the_old_store(disk: Path, left: int) -> None:
    """Each step whole or not at all; with room again the rest follows."""
    (disk / "config.toml").write_text('[store]\nurl = "sqlite:///aggregator.db"\n', encoding="utf-8")
    Database(f"sqlite:///{disk / 'aggregator.db'}", STEPS[:1]).close()
    with full(disk, left=left):
        done = aggregator(disk, "stories")
        assert done.returncode == 1
        assert any(words in done.stderr for words in ("full", "make room")), done.stderr
    assert aggregator(disk, "stories").returncode == 0
    whole(disk)


def test_a_disk_that_turns_read_only_is_told(disk: Path, site: Site) -> None:
    """Nothing is lost; writable again, it goes on."""
    configure(disk, {"News": site.put("/feed", rss([ONE]))})
    assert aggregator(disk, "run", "--once").returncode == 0
    site.put("/feed", rss([ONE, TWO]))
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for command in (("run", "--once", "--now"), ("publish",), ("backup", "copy.db")):
        done = aggregator(disk, *command)
        assert done.returncode == 1
        assert "cannot be written" in done.stderr, done.stderr
    assert told(disk) == {ONE[1]}
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert aggregator(disk, "run", "--once", "--now").returncode == 0
    assert told(disk) == {ONE[1], TWO[1]}
    whole(disk)


def test_a_locked_database_is_waited_for_and_told(tmp_path: Path, site: Site) -> None:
    """A command gives up after ten seconds, in words; the next one finds all as it was."""
    configure(tmp_path, {"News": site.put("/feed", rss([ONE]))})
    assert aggregator(tmp_path, "run", "--once", "--now").returncode == 0
    site.put("/feed", rss([ONE, TWO]))
    with closing(sqlite3.connect(tmp_path / "aggregator.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = aggregator(tmp_path, "run", "--once", "--now")
        assert done.returncode == 1
        assert "database is locked; another process is writing to it" in done.stderr
        other.execute("ROLLBACK")
    assert aggregator(tmp_path, "run", "--once", "--now").returncode == 0
    assert told(tmp_path) == {ONE[1], TWO[1]}


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
def test_a_clock_that_jumps_and_is_set_right_loses_nothing(tmp_path: Path, jump: timedelta) -> None:
    """What comes meanwhile is told once, under its id for good, and the source is visited as often as before."""
    with closing(SqlStore(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        world = World(tmp_path, store=store)
        world.see(document(ENTRY))
        first = world.told()
        world.clock.advance(jump)
        swimmer = {"title": OTHER, "link": "https://a.example/n/2", "guid": "g2"}
        world.put(document(swimmer, ENTRY))
        world.clock.advance(2 * HOUR)
        assert len(list(world.app.refresh())) == 1
        world.app.publish()
        meanwhile = world.told()
        assert sorted(meanwhile.values()) == sorted([TITLE, OTHER])
        world.clock.advance(-jump)
        third = {"title": "North Korean defector wins poetry prize in Berlin", "link": "/n/3", "guid": "g3"}
        world.put(document(third, swimmer, ENTRY))
        world.clock.advance(2 * HOUR)
        assert len(list(world.app.refresh())) == 1
        world.app.publish()
        assert len(world.told()) == 3
        assert first.items() <= meanwhile.items() <= world.told().items()
        assert store.check() == ()
