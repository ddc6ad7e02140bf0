"""Publishing: whole files or none, untouched when unchanged, and clear words when the folder cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.errors import PublishError
from aggregator.ports import Publisher
from aggregator.publish import FolderPublisher, MemoryPublisher

ROOT = Path(__file__).parent.parent
FILES = {"rss.xml": b"<rss/>", "archive/2026-03.xml": b"<feed/>", "index.html": b"<!DOCTYPE html>"}

Reading = Callable[[], dict[str, bytes]]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["folder", "memory"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Publisher, Reading]:
    """Each implementation of the port, and a way to see what readers see."""
    if request.param == "folder":
        return FolderPublisher(tmp_path / "public"), lambda: contents(tmp_path / "public")
    memory = MemoryPublisher()
    return memory, lambda: dict(memory.files)


# --- what every Publisher does ---


def test_files_are_published_as_they_are(published: tuple[Publisher, Reading]) -> None:
    """What is published is there byte for byte, folders included, and the answer names what changed."""
    publisher, read = published
    assert publisher.publish(FILES) == tuple(FILES)
    assert read() == FILES


def test_what_has_not_changed_is_not_named(published: tuple[Publisher, Reading]) -> None:
    """The same bytes again change nothing; of changed ones only those are named, in the order given."""
    publisher, read = published
    publisher.publish(FILES)
    assert publisher.publish(FILES) == ()
    assert publisher.publish({"new.xml": b"n", **FILES, "rss.xml": b"<rss></rss>"}) == ("new.xml", "rss.xml")
    assert read() == {**FILES, "rss.xml": b"<rss></rss>", "new.xml": b"n"}


def test_files_not_mentioned_stay(published: tuple[Publisher, Reading]) -> None:
    """Publishing adds and replaces; only what is named to be removed goes."""
    publisher, read = published
    publisher.publish(FILES)
    publisher.publish({"rss.xml": b"other"})
    assert read() == {**FILES, "rss.xml": b"other"}


def test_files_are_removed_by_name(published: tuple[Publisher, Reading]) -> None:
    """What is removed is gone, the rest stays, and the answer names what was there."""
    publisher, read = published
    publisher.publish({**FILES, "story/1.html": b"1"})
    assert publisher.remove(["story/1.html", "story/2.html", "story/1.html", "rss.xml/x"]) == ("story/1.html",)
    assert read() == FILES
    assert publisher.remove([]) == ()
    assert publisher.publish({"story/1.html": b"1"}) == ("story/1.html",)


def test_names_are_those_of_one_folder(published: tuple[Publisher, Reading]) -> None:
    """A folder's files are named as they are published; a folder that is not there has none."""
    publisher, _ = published
    assert publisher.names() == publisher.names("archive") == frozenset()
    publisher.publish(FILES)
    assert publisher.names() == {"rss.xml", "index.html"}
    assert publisher.names("archive") == {"archive/2026-03.xml"}
    assert publisher.names("rss.xml") == publisher.names("archive/2026-03.xml/x") == frozenset()


def test_nothing_outside_the_folder_is_named_or_removed(published: tuple[Publisher, Reading]) -> None:
    """A name that points upwards or is hidden is refused, and nothing is removed."""
    publisher, read = published
    publisher.publish(FILES)
    with pytest.raises(PublishError, match="no name for a published file"):
        publisher.remove(["rss.xml", "../rss.xml"])
    with pytest.raises(PublishError, match="no name for a published file"):
        publisher.names("../")
    assert read() == FILES


@pytest.mark.parametrize("name", ["../rss.xml", "/etc/rss.xml", ".hidden", "a/../../b", "", ".", "a/.b/c", "a\0b"])
def test_no_name_leads_out_of_the_folder(published: tuple[Publisher, Reading], name: str) -> None:
    """A name that is hidden, absolute or points upwards is refused, and nothing at all is published."""
    publisher, read = published
    with pytest.raises(PublishError, match="no name for a published file"):
        publisher.publish({"rss.xml": b"", name: b"x"})
    assert read() == {}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b/c", "d.xml"]), st.binary(max_size=9)), max_size=5))
def test_both_publishers_agree(history: list[dict[str, bytes]]) -> None:
    """Over any history of publishing, the folder and its memory reference say and hold the same."""
    memory = MemoryPublisher()
    with tempfile.TemporaryDirectory() as folder:
        disk = FolderPublisher(Path(folder))
        for files in history:
            assert disk.publish(files) == memory.publish(files)
        assert contents(Path(folder)) == memory.files


# --- what a folder adds ---


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
    """The same bytes leave inode and time as they are, so that a web server answers 304."""
    FolderPublisher(tmp_path).publish(FILES)
    before = {name: (tmp_path / name).stat() for name in FILES}
    FolderPublisher(tmp_path).publish({**FILES, "index.html": b"new"})
    for name in ("rss.xml", "archive/2026-03.xml"):
        after = (tmp_path / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before[name].st_ino, before[name].st_mtime_ns)
    assert (tmp_path / "index.html").stat().st_ino != before["index.html"].st_ino


def test_each_version_has_a_second_of_its_own(tmp_path: Path) -> None:
    """However quickly versions follow each other, the later one's Last-Modified, in seconds, is later."""
    times = []
    for turn in range(4):
        FolderPublisher(tmp_path).publish({"rss.xml": b"%d" % turn})
        times.append(int((tmp_path / "rss.xml").stat().st_mtime))
    assert times == sorted(set(times))


def test_many_files_are_whole_like_few(tmp_path: Path) -> None:
    """A first publishing brings hundreds of files at once; nothing unfinished is left beside them."""
    files = {f"story/{n}.html": b"%d" % n for n in range(300)}
    assert FolderPublisher(tmp_path).publish(files) == tuple(files)
    assert contents(tmp_path) == files
    assert FolderPublisher(tmp_path).names("story") == set(files)


def test_published_files_can_be_read_by_a_web_server(tmp_path: Path) -> None:
    """Files have the usual rights, so that another user's web server can read them."""
    before = os.umask(0o022)
    try:
        FolderPublisher(tmp_path / "public").publish(FILES)
    finally:
        os.umask(before)
    assert (tmp_path / "public" / "rss.xml").stat().st_mode & 0o777 == 0o644


def test_what_a_dead_writer_left_is_swept(tmp_path: Path) -> None:
    """Unfinished files of a writer that was killed go with the next publishing; those of a living one stay."""
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = tmp_path / f".rss.xml.{int(dead.stdout)}.unfinished"
    living = tmp_path / f".rss.xml.{os.getppid()}.unfinished"
    foreign = tmp_path / ".htaccess"
    for path in (left, living, foreign):
        path.write_bytes(b"half")
    FolderPublisher(tmp_path).publish(FILES)
    assert not left.exists()
    assert living.exists()
    assert foreign.exists()


def test_a_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    """Where a folder stands in a file's place, no half file is left, and the error says what is in the way."""
    (tmp_path / "index.html").mkdir()
    with pytest.raises(PublishError, match=r"Cannot write to .*is a directory"):
        FolderPublisher(tmp_path).publish(FILES)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    """Where the output itself is a file, the error names it and the next step."""
    (tmp_path / "public").write_bytes(b"a file")
    with pytest.raises(PublishError, match=r"Cannot write to .*public: .*\[feed\] output"):
        FolderPublisher(tmp_path / "public").publish(FILES)
    assert (tmp_path / "public").read_bytes() == b"a file"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB, in memory; it takes root to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_costs_nothing_that_was_there(small_disk: Path) -> None:
    """When the disk fills up, the old files stand, no half file is left, and all goes on when there is room."""
    publisher = FolderPublisher(small_disk)
    publisher.publish(FILES)
    with pytest.raises(PublishError, match="no space left"):
        publisher.publish({"rss.xml": b"new", "index.html": b"x" * 300_000})
    assert contents(small_disk) == FILES
    assert publisher.publish({"rss.xml": b"new"}) == ("rss.xml",)


def test_a_read_only_folder_is_told_in_words(small_disk: Path) -> None:
    """A file system that turned read-only gives a PublishError that says so, and keeps what was published."""
    publisher = FolderPublisher(small_disk)
    publisher.publish(FILES)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(PublishError, match=r"read-only.* are still there"):
        publisher.publish({"rss.xml": b"new"})
    assert contents(small_disk) == FILES
    assert publisher.publish(FILES) == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    """A folder that belongs to someone else gives a PublishError that says so."""
    tmp_path.chmod(0o555)
    with pytest.raises(PublishError, match="permission denied"):
        FolderPublisher(tmp_path).publish(FILES)


WRITER = """
import itertools, sys
from pathlib import Path
from aggregator.publish import FolderPublisher
publisher = FolderPublisher(Path(sys.argv[1]))
for turn in itertools.count():
    letter = b"abcdefgh"[turn % 8 : turn % 8 + 1]
    publisher.publish({"rss.xml": letter * 400_000, "index.html": letter * 200_000})
    print(turn, flush=True)
"""


def test_a_kill_leaves_whole_files(tmp_path: Path) -> None:
    """A writer that is killed at any moment leaves every file whole; the next one publishes and clears up."""
    for turn in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()  # it has published once
        deadline = time.monotonic() + 0.0007 * turn
        while time.monotonic() < deadline:
            assert len(set((tmp_path / "rss.xml").read_bytes())) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert (len((tmp_path / "rss.xml").read_bytes()), len((tmp_path / "index.html").read_bytes())) == (
            400_000,
            200_000,
        )
        assert all(len(set((tmp_path / name).read_bytes())) == 1 for name in ("rss.xml", "index.html"))
    FolderPublisher(tmp_path).publish(FILES)
    assert contents(tmp_path) == FILES
