"""A store on a PostgreSQL server: what is said where it cannot be had, and what several processes do with one."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.app import open_app
from aggregator.config import load
from aggregator.database import Database
from aggregator.errors import ConfigError, StoreError
from aggregator.memory import FixedClock
from aggregator.model import Source
from aggregator.store import SqlStore
from tests.command import NOT_SERVED, aggregator, configure, feed, rss
from tests.daemons import daemon, eventually
from tests.postgres import PASSWORD, USER, NoServer, Server
from tests.postgres import serving as server_of_its_own
from tests.site import Site
from tests.test_subjects import COMMON, ESCAPES, REEFS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=15)
A, B, C = (Source(f"https://{letter}.example/feed", letter) for letter in "abc")


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    store = SqlStore(url)
    yield store
    store.close()


def refusal(url: str) -> str:
    with pytest.raises(StoreError) as refused:
        SqlStore(url)
    said = str(refused.value)
    assert "\n" not in said
    assert PASSWORD not in said
    assert PASSWORD.replace(" ", "%20") not in said
    return said


class TestOpening:
    def test_the_address_is_all_it_takes(self, url: str) -> None:
        """An empty database is made a store; a bare postgresql:// means the driver that the extra brings."""
        for address in (url, url.replace("+psycopg", "")):
            store = SqlStore(address)
            store.put("name", "값")
            assert store.get("name") == "값"
            store.close()

    def test_a_wrong_password(self, postgres_server: Server) -> None:
        """The address is named without its password, and with what to look at."""
        said = refusal(postgres_server.url("postgres", "another secret"))
        assert "password authentication failed" in said
        assert "look at the user and the password in [store] url" in said
        assert "another" not in said

    def test_a_password_in_the_query_is_not_shown_either(self, postgres_server: Server) -> None:
        """libpq takes secrets as parameters, too."""
        address = f"postgresql+psycopg://127.0.0.1:{postgres_server.port}/nowhere?user={USER}&password=hush"
        assert "hush" not in refusal(address)

    def test_a_database_that_is_not_there(self, postgres_server: Server) -> None:
        """It has to be made by whoever runs the server."""
        assert "make it with createdb" in refusal(postgres_server.url("nowhere"))

    def test_no_server(self) -> None:
        """Nothing listens at the address."""
        assert "start the server" in refusal("postgresql+psycopg://me:hush@127.0.0.1:9/store")

    def test_no_such_host(self) -> None:
        """The name of the host leads nowhere."""
        assert "look at the host" in refusal("postgresql+psycopg://me:hush@nowhere.invalid/store")

    def test_another_programs_tables(self, postgres_server: Server, url: str) -> None:
        """A database that holds something else keeps it."""
        name = url.rpartition("/")[2]
        postgres_server.run("CREATE TABLE theirs (a int)", name)
        assert "the tables of another program" in refusal(url)
        assert postgres_server.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == [(1,)]

    def test_an_encoding_that_lacks_scripts(self, postgres_server: Server) -> None:
        """News come in all scripts: a database that cannot hold them is refused at once, not at the first such item."""
        postgres_server.run(
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
        )
        assert "its encoding is LATIN1" in refusal(postgres_server.url("latin"))

    def test_a_user_who_may_make_no_tables(self, postgres_server: Server, url: str) -> None:
        """Since PostgreSQL 15 that is everyone but the owner."""
        postgres_server.run("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        try:
            said = refusal(url.replace(url.partition("@")[0], "postgresql+psycopg://guest:guest"))
        finally:
            postgres_server.run("DROP ROLE guest")
        assert "permission denied" in said
        assert "make its user the owner" in said

    def test_a_missing_driver(self, url: str) -> None:
        """The message is the command that brings it."""
        script = (
            "import sys\nsys.modules['psycopg'] = None\n"
            "from aggregator.errors import ConfigError\nfrom aggregator.store import SqlStore\n"
            "try: SqlStore(sys.argv[1])\nexcept ConfigError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True)
        assert "pip install 'aggregator[postgresql]'" in done.stdout

    def test_another_driver(self) -> None:
        """A driver that SQLAlchemy does not know is refused."""
        with pytest.raises(ConfigError, match="write postgresql"):
            SqlStore("postgresql+nodriver://x/y")

    def test_no_backup_as_a_file(self, store: SqlStore, tmp_path: Path) -> None:
        """A server has its own way of being copied, which is named."""
        with pytest.raises(StoreError, match="pg_dump"):
            store.backup(str(tmp_path / "copy"))


class TestWriting:
    def test_a_server_started_anew_is_used_again(self, postgres_server: Server, store: SqlStore, url: str) -> None:
        """Connections that were cut while nothing was going on cost nothing."""
        store.put("name", "before")
        postgres_server.cut(url)
        assert store.get("name") == "before"
        postgres_server.cut(url)
        store.put("name", "after")
        assert store.get("name") == "after"

    def test_a_server_lost_in_the_middle_is_said_in_words(
        self, postgres_server: Server, store: SqlStore, url: str
    ) -> None:
        """Nothing of the transaction is there, and the next one works."""
        store.enlist([A], [], NOW)

        def settle() -> None:
            with store.begin() as work:
                work.found("urn:uuid:1", NOW)
                postgres_server.cut(url)
                work.found("urn:uuid:2", NOW)

        with pytest.raises(StoreError, match=r"stopped or cut off; nothing of it was written"):
            settle()
        with store.begin() as work:
            assert work.story("urn:uuid:1") is None

    def test_what_concerns_single_rows_waits_for_no_writer(self, store: SqlStore, url: str) -> None:
        """While one daemon settles, another claims what is due and gives it back."""
        store.enlist([A, B], [], NOW)
        other = SqlStore(url)
        with store.begin() as work:
            work.found("urn:uuid:1", NOW)
            tasks = other.claim(NOW, LEASE)
            other.release(tasks)
        other.close()
        assert {task.source.url for task in tasks} == {A.url, B.url}

    def test_a_row_that_is_being_claimed_is_passed_over(self, postgres_server: Server, url: str) -> None:
        """A claim takes what no other one has locked, and waits for nobody."""
        store = SqlStore(url)
        store.enlist([A, B, C], [], NOW)
        with postgres_server.connect(url.rpartition("/")[2]) as connection, connection.transaction():
            connection.execute(f"SELECT 1 FROM rhythm WHERE url = '{B.url}' FOR UPDATE".encode())
            taken = store.claim(NOW, LEASE)
        rest = store.claim(NOW, LEASE)
        store.close()
        assert [task.source.name for task in taken] == ["a", "c"]
        assert [task.source.name for task in rest] == ["b"]

    def test_a_writer_that_says_nothing_is_ended_by_the_server(self, postgres_server: Server, url: str) -> None:
        """The time is set in each transaction that writes, so that a machine cut off holds up no other for long."""
        database = Database(url)
        with database.writing() as connection:
            said = [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
            ]
        with database.reading() as connection:
            later = connection.exec_driver_sql("SHOW lock_timeout").scalar()
        database.close()
        assert said == ["10s", "1min", "read committed"]
        assert later == "0"

    def test_many_claims_at_once_share_what_is_due(self, url: str) -> None:
        """Six processes' worth of claims: each source goes to exactly one."""
        sources = [Source(f"https://{number}.example/feed", str(number)) for number in range(300)]
        stores = [SqlStore(url) for _ in range(6)]
        stores[0].enlist(sources, [], NOW)
        begin, taken = threading.Barrier(len(stores)), list[str]()

        def claim(store: SqlStore) -> None:
            begin.wait()
            while tasks := store.claim(NOW, LEASE, limit=7):
                taken.extend(task.source.url for task in tasks)

        threads = [threading.Thread(target=claim, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
        assert sorted(taken) == sorted(source.url for source in sources)


def test_a_clock_that_is_far_off_is_refused(url: str, tmp_path: Path) -> None:
    """Leases are told by each machine's clock: a daemon an hour ahead would visit what others are visiting."""
    configure(tmp_path, {}, NOT_SERVED.replace("sqlite:///aggregator.db", url))
    config = load(tmp_path / "config.toml", {})
    with pytest.raises(StoreError, match="this machine's clock says"), open_app(config, FixedClock(NOW - 300 * LEASE)):
        pass
    with open_app(config, FixedClock(datetime.now(UTC) + timedelta(minutes=1))):
        pass


TITLES = (
    "North Korean defector elected to Seoul council",
    "North Korean defector opens a noodle restaurant in Busan",
    "Seoul court convicts broker who helped North Korean defectors flee",
)


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that no other test uses, and which forces each commit to disk."""
    try:
        with server_of_its_own(lasting=True) as server:
            yield server
    except NoServer as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_server_that_goes_away_under_a_daemon_costs_nothing(
    tmp_path: Path, site: Site, own_server: Server, how: signal.Signals
) -> None:
    """What is published stays meanwhile; the daemon goes on by itself once it is back, and tells nothing twice."""
    head = NOT_SERVED.replace("[topic]", "[schedule]\nmin_interval = '1s'\n[topic]")
    with own_server.database() as address:
        configure(tmp_path, {"News": put(site, *TITLES[:1])}, head.replace("sqlite:///aggregator.db", address))
        with (tmp_path / "config.toml").open("a", encoding="utf-8") as file:
            file.write('interval = "2s"\n')
        with daemon(tmp_path) as process:
            eventually(lambda: (tmp_path / "public" / "feed.json").exists() and len(feed(tmp_path)) == 1)
            before = feed(tmp_path)
            own_server.stop(how)
            put(site, *TITLES)
            eventually(lambda: "the database postgresql" in (tmp_path / "log").read_text(encoding="utf-8"))
            assert feed(tmp_path) == before
            own_server.start()
            eventually(lambda: len(feed(tmp_path)) == len(TITLES))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        assert {one["title"] for one in feed(tmp_path)} == set(TITLES)
        assert before[0]["id"] in {one["id"] for one in feed(tmp_path)}


def put(site: Site, *titles: str) -> str:
    return site.put("/feed", rss([(f"https://n.example/{number}", title, "") for number, title in enumerate(titles)]))


def test_a_copy_by_the_servers_own_means_is_put_back(tmp_path: Path, site: Site, postgres_server: Server) -> None:
    """pg_dump and pg_restore, as the manual says: all subjects' stores at once, the same bytes, nothing asked anew."""
    before, after = tmp_path / "before", tmp_path / "after"
    with postgres_server.database() as there, postgres_server.database() as back:
        for folder, url in ((before, there), (after, back)):
            folder.mkdir()
            head = "".join((COMMON, f'[store]\nurl = "{url}"\n', ESCAPES, REEFS))
            configure(folder, {"News": put(site, *TITLES)}, head)
        assert aggregator(before, "run", "--once").returncode == 0
        server_program(postgres_server, "pg_dump", there, "--format=custom", f"--file={tmp_path}/aggregator.dump")
        server_program(postgres_server, "pg_restore", back, "--no-owner", f"{tmp_path}/aggregator.dump")
        done = aggregator(after, "run", "--once", "--now")
        assert done.returncode == 0, done.stderr
        assert aggregator(after, "check").returncode == 0
    assert [request.status for request in site.requests] == [200, 304]
    folders = [{path.name: path.read_bytes() for path in (one / "public").glob("*.[xj]*")} for one in (before, after)]
    assert folders[0] == folders[1]
    assert len(feed(after)) == len(TITLES)


def server_program(server: Server, name: str, url: str, *arguments: str) -> None:
    """Run one of the programs that come with a server, on one of its databases."""
    address = url.replace("+psycopg", "")
    subprocess.run([server.programs / name, f"--dbname={address}", *arguments], check=True, capture_output=True)
