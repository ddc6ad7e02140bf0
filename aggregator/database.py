"""Opens the store's database once it is known to be ours; what SQLite and PostgreSQL do differently stands here."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from aggregator.errors import ConfigError, StoreError
from aggregator.schema import STEPS, applied, migrate

PATIENCE = 10.0  # seconds that a writer waits for another one
CHECKED_WHOLE = 16 * 2**20  # bytes; a larger file would hold up the start: SQLite checks about 500 MB a second
APPLICATION = 0x61676772  # "aggr": SQLite's application_id, by which file(1) and we know the file
ALONE, BESIDE, CLAIMING = "alone", "beside", "claiming"  # how a transaction writes
# PostgreSQL's advisory locks, which make one writer of several processes, and have them claim one after the other.
ADVISORY = {ALONE: 0x61676772, CLAIMING: 0x61676773}
# How PostgreSQL's server is told to end a transaction whose program says nothing: a machine that was cut off would
# hold up all others else, until the network gives it up, which by default takes two hours.
SILENCE = 60.0  # seconds; what a program does between two statements takes less than one


class Database:
    """Connections to one database: many readers, and one writer at a time.

    Raises StoreError, having changed nothing, where the database cannot be opened or is not an aggregator's.
    """

    def __init__(self, url: str, steps: Sequence[Sequence[str]] = STEPS) -> None:
        address = _address(url)
        self.name = address.set(query={}).render_as_string(hide_password=True)  # a query may hold secrets, too
        self.path = None
        if address.get_backend_name() == "sqlite":
            self.path = _prepare(address)
            self.name = str(self.path)
        self._turn = Lock()
        self._shared = self.path is None  # by several who write at once, each what it has locked
        with self._in_words("nothing was changed"):
            self._engine = _engine(address)
            done = self._look(steps)
        while done < len(steps):
            done = self._step(steps)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view of what was last committed."""
        with self._in_words("try again"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The only writing transaction: committed at the end of the block, undone by an exception."""
        if not self._turn.acquire(timeout=PATIENCE):
            raise StoreError(
                f"{self.name} is busy: another thread has been writing for {PATIENCE:.0f} seconds; try again"
            )
        try:
            with self._transaction(ALONE) as connection:
                yield connection
        finally:
            self._turn.release()

    @contextmanager
    def beside(self) -> Iterator[Connection]:
        """A writing transaction that goes on beside others, for what concerns single rows; on SQLite like `writing`.

        It locks the rows that it changes, in the order of their keys, or skips those that are locked.
        """
        if not self._shared:
            with self.writing() as connection:
                yield connection
            return
        with self._transaction(BESIDE) as connection:
            yield connection

    @contextmanager
    def claiming(self) -> Iterator[Connection]:
        """The same, one at a time: nobody else claims meanwhile."""
        if not self._shared:
            with self.writing() as connection:
                yield connection
            return
        with self._transaction(CLAIMING) as connection:
            yield connection

    def clock(self) -> datetime | None:
        """The server's time; None: there is no server."""
        if self.path is not None:
            return None
        with self.reading() as connection:
            seconds = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar()
        return datetime.fromtimestamp(float(seconds or 0), UTC)

    def backup(self, path: str) -> None:
        """A consistent, compact copy, put in place whole; an earlier copy there is replaced, anything else is not."""
        if self.path is None:
            raise StoreError(f"{self.name} is not a file; use pg_dump for a copy of it")
        target = Path(path).absolute()
        if target.exists() and (target.samefile(self.path) or not _is_ours(target)):
            raise StoreError(f"{target} exists and is not a backup; name another file")
        part = target.with_name(f"{target.name}.part-{os.getpid()}")
        _sweep(target)
        try:
            _for_us_alone(part)
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as connection:
                connection.execute("VACUUM INTO ?", (str(part),))
            _to_disk(part)
            part.replace(target)
            _to_disk(target.parent)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{target} could not be written: {error}; the store itself is untouched") from error
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, writes: str) -> Iterator[Connection]:
        with self._in_words("nothing of it was written"), self._engine.connect() as connection:
            connection = connection.execution_options(writes=writes)
            with connection.begin():
                yield connection

    def _look(self, steps: Sequence[Sequence[str]]) -> int:
        with self._engine.connect() as connection:
            try:
                if self.path is None:
                    _know_every_script(connection)
                return applied(connection, steps)
            except StoreError as error:
                self._engine.dispose()
                raise StoreError(
                    f"{self.name} is not a database this program can use: {error};"
                    " name another one under [store] url; nothing was changed"
                ) from error

    def _step(self, steps: Sequence[Sequence[str]]) -> int:
        with self.writing() as connection:
            if self.path is not None:
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
            else:
                _make_schema(connection)
            return migrate(connection, steps)

    @contextmanager
    def _in_words(self, end: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            reason = _said(error)
            raise StoreError(f"the database {self.name} failed: {reason}; {_advice(reason)}{end}") from error


# What the reason says → what to do. PostgreSQL's words are those of its English messages; in another language the
# reason stands alone.
_ADVICE = (
    ("locked", "another process is writing to it"),
    ("lock timeout", "another process is writing to it"),
    ("full", "make room on its disk"),
    ("disk I/O error", "make room on its disk, or look whether it fails"),
    ("unable to open", "look whether its folder can be written"),
    ("malformed", "put a backup in its place"),
    ("not a database", "put a backup in its place"),
    ("password", "look at the user and the password in [store] url"),
    ("FATAL:  role", "look at the user in [store] url"),
    ("FATAL:  database", "make it with createdb, or name another one under [store] url"),
    ("permission denied", "make its user the owner of the database"),
    ("Connection refused", "start the server, or look at the host and the port in [store] url"),
    ("resolve host", "look at the host in [store] url"),
    ("timeout expired", "look at the host in [store] url, and whether the server may be reached from here"),
    ("the connection is lost", "the server was stopped or cut off"),
    ("terminating connection", "the server was stopped or cut off"),
)


def file_of(url: str) -> Path | None:
    """Where the database is, or would be; None: it is not a file."""
    address = _address(url)
    return Path(address.database or "").absolute() if address.get_backend_name() == "sqlite" else None


def unused(url: str) -> bool:
    """Whether nothing is there yet: no file, or a database without a table."""
    if path := file_of(url):
        return not path.exists() or not path.stat().st_size
    engine = _engine(_address(url))
    try:
        return not inspect(engine).get_table_names()
    except DBAPIError as error:
        raise StoreError(f"the database cannot be reached: {str(error.orig).strip()}") from error
    finally:
        engine.dispose()


def _advice(reason: str) -> str:
    return next((f"{advice}; " for words, advice in _ADVICE if words in reason), "")


def _said(error: DBAPIError) -> str:
    """The reason in one line; what follows the first one quotes the statement, or asks whether a server runs."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        kind = url.partition(":")[0]  # never the whole: it may hold a password
        raise ConfigError(
            f"[store] url ({kind}:…) is not the address of a database; write sqlite:///PATH or postgresql+psycopg://…"
        ) from error
    if address.drivername == backend == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"[store] url: databases of the kind {backend!r} are not known; "
            "write sqlite:///PATH or postgresql+psycopg://…"
        )
    if backend == "sqlite" and address.database in (None, "", ":memory:"):
        raise ConfigError(f"[store] url = {url!r} names no file; write sqlite:///PATH")
    return address


def _engine(address: URL) -> Engine:
    try:
        if address.get_backend_name() == "postgresql":
            return _postgresql(address)
        engine = create_engine(address, connect_args={"timeout": PATIENCE})
    except NoSuchModuleError as error:
        raise ConfigError(
            f"[store] url: the driver {address.drivername!r} is not known; write postgresql+psycopg://…"
        ) from error
    except ImportError as error:
        wanted = "'aggregator[postgresql]'" if error.name == "psycopg" else error.name
        raise ConfigError(
            f"[store] url asks for the package {error.name!r}, which is not installed: pip install {wanted}"
        ) from error
    event.listen(engine, "connect", _tune_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(address: URL) -> Engine:
    """Each connection is tried before it is used: the server may have been started anew since."""
    given = {"connect_timeout": f"{PATIENCE:.0f}", "client_encoding": "utf8"} | dict(address.query)
    engine = create_engine(address.set(query=given), isolation_level="REPEATABLE READ", pool_pre_ping=True)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _tune_sqlite(connection: Any, _record: object) -> None:
    """WAL lets readers and the writer work at once; FULL makes a commit outlast a power cut (sqlite.org/wal.html)."""
    connection.isolation_level = None  # transactions are begun below, by SQLAlchemy's word and not the driver's guess
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        # KiB a connection. 2,000 (the default) once doubled the time to add an item among 1,000,000; with 16,000 ten
        # thousand sources took 8 MB more, and adding to 1,200,000 items no less.
        "cache_size = -6000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at once: one that began by reading could be refused it later, beyond any patience."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _know_every_script(connection: Connection) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise StoreError(f"its encoding is {encoding}, which lacks scripts; make one WITH ENCODING 'UTF8'")


def _make_schema(connection: Connection) -> None:
    """Make the schema that the address names (options=-csearch_path=NAME) where it is not there yet."""
    there, named = connection.exec_driver_sql("SELECT current_schema(), current_setting('search_path')").one()
    if there is None and named.isidentifier():
        connection.exec_driver_sql(f"CREATE SCHEMA {named}")


def _begin_postgresql(connection: Connection) -> None:
    """The lock goes with the transaction; each statement after it sees what the writer before has committed."""
    writes = connection.get_execution_options().get("writes")
    if writes is None:
        return
    asked = [
        f"set_config('lock_timeout', '{PATIENCE:.0f}s', true)",
        f"set_config('idle_in_transaction_session_timeout', '{SILENCE:.0f}s', true)",
    ]
    if writes in ADVISORY:
        asked.append(f"pg_advisory_xact_lock({ADVISORY[writes]})")
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    connection.exec_driver_sql(f"SELECT {', '.join(asked)}")


def _prepare(address: URL) -> Path:
    """The file of a SQLite address, its folder made, after reading enough of it to know that it is ours or empty."""
    path = Path(address.database or "").absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {path.parent} cannot be made: {error.strerror}; nothing was changed") from error
    if path.is_dir() or not all(os.access(place, os.W_OK) for place in (path.parent, path) if place.exists()):
        raise StoreError(f"{path} cannot be written; name another file under [store] url; nothing was changed")
    if not path.exists() or not path.stat().st_size:
        _for_us_alone(path)
        return path
    try:
        with closing(_peek(path)) as connection:
            wrong = _wrong(connection, whole=path.stat().st_size <= CHECKED_WHOLE)
    except sqlite3.OperationalError as error:  # of what surrounds the file, which may be as good as ever
        raise StoreError(f"{path} cannot be read: {error}; {_advice(str(error))}nothing was changed") from error
    except sqlite3.Error as error:
        wrong = str(error)
    if wrong:
        raise StoreError(
            f"{path} is not an aggregator database: {wrong}; name another file under [store] url,"
            " or put a backup in its place; nothing was changed"
        )
    return path


def _sweep(target: Path) -> None:
    """Remove the half of a copy that a backup left which was killed: it is named by its process, and holds secrets."""
    beginning = f"{target.name}.part-"
    for left in target.parent.glob(f"{escape(beginning)}*"):
        with suppress(ValueError, OverflowError, PermissionError):  # not of ours, or of another user's that runs
            try:
                os.kill(int(left.name.removeprefix(beginning).partition("-")[0]), 0)
            except ProcessLookupError:
                left.unlink(missing_ok=True)


def _for_us_alone(path: Path) -> None:
    """Make an empty file that other users of the machine cannot read: addresses may hold passwords, texts names.

    SQLite gives its companions (-wal, -shm) the same mode. A file that is there keeps the mode that it has.
    """
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _wrong(connection: sqlite3.Connection, whole: bool) -> str:
    """What keeps this SQLite file from being used; "" where it is ours and sound, or holds nothing."""
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        return "it is no database"  # fewer bytes than the smallest has, which SQLite would overwrite
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return ""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        return "another program made it"
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
    return "" if found == "ok" else f"it is damaged ({found})"


def _peek(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=PATIENCE)


def _is_ours(path: Path) -> bool:
    try:
        with closing(_peek(path)) as connection:
            return bool(connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION)
    except sqlite3.Error:
        return False


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
