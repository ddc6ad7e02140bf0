"""Puts rendered files where readers find them, whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Lock

from aggregator.errors import PublishError

# A file being written is hidden by a dot, so that no server hands it out, and carries its writer's process number.
_UNFINISHED = re.compile(r"\..+\.(\d+)\.unfinished")


# More files than this are forced to disk all at once: one by one, each waits for the disk, and a first publishing has
# a page for each story.
_FORCED_ONE_BY_ONE = 12
_REMEMBERED = ".published"


class FolderPublisher:
    """A folder on disk, made if need be. Each file is replaced whole; readers never see half of one.

    All files are first written beside the old ones and forced to disk, then renamed in the order given (feeds before
    the page that links them). So a full disk or a kill leaves what stood there before, or a mix of whole files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """As the port says; the lock lies on the folder itself (flock(2)) and goes with the process that holds it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder, os.O_RDONLY)
        except OSError as error:
            raise PublishError(_in_words(self._folder, error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def publish(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """The names of the files that changed; PublishError if the folder cannot be written."""
        targets = {name: self._folder / _checked(name) for name in files}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._swept:
                self._sweep()
            changed = tuple(name for name, content in files.items() if not _holds(targets[name], content))
            self._replace({targets[name]: files[name] for name in changed})
        except OSError as error:
            raise PublishError(_in_words(self._folder, error)) from error
        return changed

    def remove(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names of the files that were there and are no more; PublishError if the folder cannot be written."""
        targets = {name: self._folder / _checked(name) for name in names}
        removed = []
        try:
            for name, target in targets.items():
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    target.unlink()
                    removed.append(name)
            if removed:
                self._sweep()
        except OSError as error:
            raise PublishError(_in_words(self._folder, error)) from error
        return tuple(removed)

    def remembered(self) -> str | None:
        """What a hidden file in the folder says."""
        try:
            return (self._folder / _REMEMBERED).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def remember(self, text: str) -> None:
        """Written last, when all that it speaks of is on disk; PublishError if the folder cannot be written."""
        try:
            self._replace({self._folder / _REMEMBERED: text.encode()})
        except OSError as error:
            raise PublishError(_in_words(self._folder, error)) from error

    def names(self, folder: str = "") -> frozenset[str]:
        """The published files right in a folder below, "" for the topmost; PublishError if it cannot be read."""
        place = self._folder / _checked(folder) if folder else self._folder
        try:
            with os.scandir(place) as found:
                names = [one.name for one in found if one.is_file() and not one.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            raise PublishError(_in_words(self._folder, error)) from error
        return frozenset(f"{folder}/{name}" if folder else name for name in names)

    def _replace(self, contents: Mapping[Path, bytes]) -> None:
        unfinished: dict[Path, Path] = {}
        try:
            for target, content in contents.items():
                unfinished[target] = _unfinished(target)
                _write(unfinished[target], content, last=len(contents) <= _FORCED_ONE_BY_ONE)
            if len(contents) > _FORCED_ONE_BY_ONE:
                os.sync()
            for target, path in unfinished.items():
                _date_after(path, target)
                path.replace(target)
        finally:
            for path in unfinished.values():
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        for folder in {target.parent for target in contents}:
            _force_to_disk(folder)

    def _sweep(self) -> None:
        """Remove what writers that were killed left unfinished; a living writer's files are left alone.

        It goes through all that was ever published: at first, and where something has to be gone, but not each time.
        """
        self._swept = True
        for path in _unfinished_files(self._folder):
            match = _UNFINISHED.fullmatch(path.name)
            if match and not _is_running(int(match[1])):
                path.unlink(missing_ok=True)


class MemoryPublisher:
    """A folder that is only remembered: for tests, and for whoever serves straight from memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._turn = Lock()
        self._text: str | None = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._turn:
            yield

    def publish(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """The names of the files that changed; PublishError for a name outside the folder."""
        changed = tuple(name for name, content in files.items() if self.files.get(str(_checked(name))) != content)
        self.files.update({name: bytes(files[name]) for name in changed})
        return changed

    def remove(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names of the files that were there and are no more; PublishError for a name outside the folder."""
        removed = tuple(name for name in dict.fromkeys(names) if str(_checked(name)) in self.files)
        for name in removed:
            del self.files[str(_checked(name))]
        return removed

    def remembered(self) -> str | None:
        return self._text

    def remember(self, text: str) -> None:
        self._text = text

    def names(self, folder: str = "") -> frozenset[str]:
        """The published files right in a folder below, "" for the topmost; PublishError for one outside."""
        place = _checked(folder) if folder else PurePosixPath()
        return frozenset(name for name in self.files if PurePosixPath(name).parent == place)


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or "\0" in name or any(part.startswith(".") for part in path.parts):
        raise PublishError(
            f"{name!r} is no name for a published file: it must lie below the folder, and not be hidden."
        )
    return path


def _holds(target: Path, content: bytes) -> bool:
    try:
        return target.stat().st_size == len(content) and target.read_bytes() == content
    except FileNotFoundError:
        return False


def _unfinished(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.unfinished")


def _unfinished_files(folder: Path) -> Iterator[Path]:
    return folder.rglob(".*.unfinished")


def _write(path: Path, content: bytes, *, last: bool) -> None:
    """`last`: force it to disk before going on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        if last:
            os.fsync(file.fileno())


def _date_after(path: Path, replaced: Path) -> None:
    """Date a file a second after the one that it replaces, if it is not later anyway.

    Last-Modified counts in seconds, and libcurl, which newsboat is built on, throws away an answer that is not of a
    later second than the one it has: readers that came between two changes of one second would miss the other one.
    """
    try:
        earliest = int(replaced.stat().st_mtime) + 1
    except FileNotFoundError:
        return
    if path.stat().st_mtime < earliest:
        os.utime(path, (earliest, earliest))


def _force_to_disk(folder: Path) -> None:
    """Make renames last (fsync(2): a file's own does not cover its name)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False  # ours: this publisher has nothing under way when it sweeps
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _in_words(folder: Path, error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return (
        f"Cannot write to {folder}: {reason}. The files published before are still there. "
        "Mend the folder, or choose another with [feed] output, and run `aggregator publish`."
    )
