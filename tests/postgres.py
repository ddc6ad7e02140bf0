"""A real PostgreSQL server for the tests: on a free port of loopback, in a folder of its own, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

from tests.daemons import free_port

USER, PASSWORD = "aggregator", "a secret"
UNPRIVILEGED = ("postgres", "nobody")  # who runs the server where the tests are root's: it refuses to be root's
SECONDS = 30.0  # until the server answers; it took 0.2 s alone
HASTY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}  # nothing outlasts a power cut


class NoServer(Exception):
    """Why no server can be had here."""


@dataclass
class Server:
    """One cluster; each test takes a database of its own."""

    port: int
    programs: Path  # the folder with pg_dump and others
    _folder: Path
    _command: Sequence[str]
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, password: str = PASSWORD) -> str:
        """The address for [store] url."""
        return f"postgresql+psycopg://{USER}:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of an empty database, until the end of the block."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")  # half the time of wal_log
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start it, also after a stop; the databases are as they were."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, cwd="/")
        _await(self, self._process, log)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Its "fast shutdown": whoever is connected is cut off. SIGQUIT: as if its machine had failed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(SECONDS)

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with self.connect(database) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def cut(self, url: str) -> None:
        """End all connections to a database, as a server does that is started anew."""
        name = url.rpartition("/")[2]
        self.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection that commits each statement, for a test to look or to interfere."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )


@contextmanager
def serving(*, lasting: bool = False) -> Iterator[Server]:
    """A server, until the end of the block; NoServer says what is missing.

    `lasting`: as a server is by default, each commit forced to disk; the tests are twice as fast without.
    """
    programs, user = _programs(), _user()
    prefix = ["setpriv", "--pdeathsig", "INT"]  # it ends with the tests even where these are killed
    if user is not None:
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    folder = Path(tempfile.mkdtemp(prefix="aggregator-postgres-"))
    try:
        _make(folder, [*prefix, str(programs / "initdb")], user)
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": (port := free_port())}
        options = [f"--{name}={value}" for name, value in (settings | ({} if lasting else HASTY)).items()]
        command = [*prefix, str(programs / "postgres"), "-D", str(folder / "data"), *options]
        server = Server(port, programs, folder, command)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder with initdb and postgres: Debian's newest, or wherever they are found on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    named = shutil.which("initdb")
    if not found and named is None:
        raise NoServer("PostgreSQL is not installed; tests/install-tools installs it")
    return (found[-1] if found else Path(named or "").resolve()).parent


def _user() -> pwd.struct_passwd | None:
    """Whose the server is; None: ours."""
    if shutil.which("setpriv") is None:
        raise NoServer("setpriv is not installed, which keeps a server from being left behind")
    if os.getuid():
        return None
    known = {one.pw_name: one for one in pwd.getpwall()}
    for name in UNPRIVILEGED:
        if name in known:
            return known[name]
    raise NoServer(f"PostgreSQL will not run as root, and there is no user {' or '.join(UNPRIVILEGED)}")


def _make(folder: Path, initdb: list[str], user: pwd.struct_passwd | None) -> None:
    """A cluster in `folder`; its order of strings is that of a language, as in most installations, not of bytes."""
    secret = folder / "password"
    secret.write_text(PASSWORD)
    if user is not None:
        for path in (folder, secret):
            os.chown(path, user.pw_uid, user.pw_gid)
    whose = ["--username", USER, "--pwfile", str(secret), "--auth=scram-sha-256"]
    order = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
    command = [*initdb, "-D", str(folder / "data"), *whose, *order, "--no-sync"]
    made = subprocess.run(command, capture_output=True, text=True, cwd="/")
    if made.returncode:
        raise NoServer(f"initdb failed: {made.stderr.strip()}")


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise NoServer(f"the server did not start: {log.read_text(errors='replace').strip()[-500:]}")
