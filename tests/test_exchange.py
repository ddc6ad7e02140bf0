"""A store that is written out and read in is the same store; one that is damaged says so."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregator import curator
from aggregator.database import Database
from aggregator.errors import AggregatorError, StoreError
from aggregator.exchange import dump, load
from aggregator.model import Item, Seed, Source
from aggregator.schema import STEPS
from aggregator.settle import watch_for
from aggregator.store import SqlStore
from tests.aged import age, held
from tests.command import aggregator, configure
from tests.world import DAY, HOUR, NOW, World, address, rss

TITLES = (
    "North Korean defector Kim Hyon-u reaches Seoul after crossing the Yalu at night",
    "Swimmer from North Korea reaches Gyodong island, asks to stay in the South",
    "China sends back 60 North Korean escapees, rights group says",
    "탈북민 박상학, 서울에서 기자회견 열어",
)
SECRET = "https://user:hush@a.example/feed"
Deeds = list[tuple[str, int, int]]

deeds = st.lists(
    st.tuples(
        st.sampled_from(["see", "see", "keep", "drop", "merge", "split", "withdraw", "release", "hold", "plant"]),
        st.integers(0, len(TITLES) - 1),
        st.integers(0, len(TITLES) - 1),
    ),
    max_size=8,
)


def lived(folder: Path, url: str, done: Deeds) -> None:
    """A store with a past: sources visited, stories told and merged, words of the curator, seeds, withdrawals."""
    with closing(SqlStore(url)) as store:
        world = World(folder, "a", "b", store=store)
        store.enlist([Source(SECRET, "A"), Source(address("b"), "B")], [Source("https://c.example/", "C")], NOW)
        for n, (what, one, two) in enumerate(done):
            world.clock.advance(HOUR * (1 + n))
            with suppress(AggregatorError):  # a word on what is not there
                do(world, what, one, two)
        world.clock.advance(DAY)
        store.claim(world.clock.now(), HOUR)


def link(name: str, number: int) -> str:
    return f"https://{name}.example/n/{number}"


def do(world: World, what: str, one: int, two: int) -> None:
    now, store, rules = world.clock.now(), world.store, world.rules
    match what:
        case "see":
            for url, name in ((SECRET, "a"), (address("b"), "b")):
                entries = ({"title": TITLES[n], "link": link(name, n), "guid": f"{name}{n}"} for n in {one, two})
                world.answers(url, rss(*entries))
            world.go()
        case "keep" | "drop" | "split" | "withdraw":
            getattr(curator, what)(store, rules, link("a", one), now)
        case "merge":
            curator.merge(store, rules, link("a", one), link("b", two), now)
        case "release":
            curator.release(store, rules, link("a", one), now, withdrawn=two > 1)
        case "hold":
            watch_for(store, rules, ("김현우", "Pak Sanghak")[: one % 3], now)
        case "plant":
            seed = Seed(f"S{one}", TITLES[one], "", link("s", one), NOW - DAY)
            keys = sorted(rules.keys(Item("", seed.id, seed.link, seed.title, "")))
            store.plant([(f"urn:uuid:00000000-0000-4000-8000-00000000000{one}", seed, keys)], now, True)


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that a database holds, but for leases, what speaks of the published folder, and the index of words."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        for (name,) in names:
            if name.startswith(("sqlite_", "search")):
                continue
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if "leased" not in row[1]]
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall()
            found[name] = sorted((row for row in rows if row[0] not in ("form", "months")), key=repr)
    return found


def moved(old: str, new: str, change: Callable[[list[str]], list[str]] = lambda lines: lines) -> tuple[str, ...]:
    """Export one store and import it as another."""
    with closing(Database(old)) as database:
        lines = list(dump(database))
    assert "hush" not in "".join(lines)
    return load(new, change(lines), [SECRET, address("b")])


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    return f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"


@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking takes minutes
@given(deeds)
def test_an_imported_store_holds_all_that_was_exported(done: Deeds) -> None:
    """Row for row: ids, order, verdicts, the curator's words, withdrawals, tombstones, health; leases excepted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old, new = (f"sqlite:///{folder}/{one}.db" for one in ("old", "new"))
        lived(folder, old, [("see", 0, 1), *done, ("see", 2, 3)])
        assert moved(old, new) == ()
        with closing(SqlStore(new)) as store:
            assert store.check() == ()
            assert {task.source.url for task in store.claim(NOW, HOUR, everything=True)} == {SECRET, address("b")}
        with closing(SqlStore(old)) as store:
            assert store.check() == ()
        assert tables(folder / "new.db") == tables(folder / "old.db")


def test_a_password_that_nobody_knows_is_asked_for(tmp_path: Path, urls: tuple[str, str]) -> None:
    """The state of its source waits under the address without."""
    lived(tmp_path, urls[0], [("see", 0, 1)])
    with closing(Database(urls[0])) as database:
        assert load(urls[1], dump(database), []) == ("https://a.example/feed",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "ends after line"),
        (lambda lines: lines[:5] + lines[6:], "ends after line|no row|FOREIGN KEY"),
        (lambda lines: [*lines[:-2], lines[-1]], "no row"),  # what nothing refers to
        (lambda lines: [*lines[:5], lines[5][:20]], "line 6 is no JSON object"),
        (lambda lines: ['{"item": {}}'], "no export of a store"),
        (lambda lines: [], "no JSON object"),
        (lambda lines: [lines[0].replace(f'"schema":{len(STEPS)}', '"schema":999'), *lines[1:]], "newer version"),
        (lambda lines: [lines[0], '{"table":"sqlite_master","row":{"name":"x"}}'], "no row"),
        (lambda lines: [lines[0], '{"table":"setting","row":{"name) --":"x"}}'], "no row"),
    ],
)
def test_an_export_that_is_not_whole_makes_no_store(
    tmp_path: Path, urls: tuple[str, str], change: Callable[[list[str]], list[str]], said: str
) -> None:
    """It says what is wrong, and leaves no file behind."""
    lived(tmp_path, urls[0], [("see", 0, 1)])
    with pytest.raises(StoreError, match=said):
        moved(*urls, change)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    "row",
    [
        '{"table":"item","row":{"without_password":true}}',
        '{"table":"source","row":{"url":[]}}',
        '{"table":"source","row":{"url":{},"without_password":true}}',
        '{"table":"setting","row":{"name":"a","value":99999999999999999999999999}}',
        '{"table":"setting","row":{"name":"a","value":"\\ud800"}}',
        '{"table":"setting","row":{}}',
    ],
)
def test_a_forged_export_is_refused_in_words(tmp_path: Path, row: str) -> None:
    """Whatever a row holds: the line or its table is named, and there is no store."""
    head = f'{{"kind":"aggregator store","schema":{len(STEPS)}}}'
    with pytest.raises(StoreError, match=r"line 2|a row of setting"):
        load(f"sqlite:///{tmp_path}/new.db", [head, row, '{"lines":2}'], [])
    assert list(tmp_path.iterdir()) == []


def test_rows_of_other_columns_lose_none_of_them(tmp_path: Path) -> None:
    """They were written by hand: what one row leaves out, the next may tell."""
    head = f'{{"kind":"aggregator store","schema":{len(STEPS)}}}'
    rows = [f'{{"table":"gone","row":{{"id":"{id}","at":1{more}}}}}' for id, more in (("a", ""), ("b", ',"page":5'))]
    load(f"sqlite:///{tmp_path}/new.db", [head, *rows, '{"lines":3}'], [])
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        assert connection.execute("SELECT page FROM gone WHERE id = 'b'").fetchone() == (5,)


def test_an_import_never_overwrites(tmp_path: Path, urls: tuple[str, str]) -> None:
    """A store that is there stays as it is."""
    lived(tmp_path, urls[0], [("see", 0, 1)])
    before = tables(tmp_path / "old.db")
    with pytest.raises(StoreError, match="there is a store already"):
        moved(urls[0], urls[0])
    assert tables(tmp_path / "old.db") == before


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_an_export_of_any_version_can_be_imported(urls: tuple[str, str], version: int) -> None:
    """The store is made as that version had it, and then brought to this one, with all that it held."""
    age(urls[0], version)
    exported = {name: row for name, row in held(urls[0]).items() if name != "subscription"}
    told = [{"kind": "aggregator store", "schema": version}]
    told += [
        {"table": name, "row": {key: _plain(value) for key, value in row.items()}} for name, row in exported.items()
    ]
    lines = [*map(json.dumps, told), json.dumps({"lines": len(told)})]
    assert load(urls[1], lines, []) == ()
    after = held(urls[1])
    for name, row in exported.items():
        assert name == "unpublished" or row.items() <= after[name].items(), name
    with closing(SqlStore(urls[1])) as store:
        assert store.check() == ()


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


DAMAGE = {
    "UPDATE item SET story = NULL": "belongs to the subject and stands in no story",
    "UPDATE item SET decision = 'dropped'": "does not belong to the subject",
    "UPDATE story SET lead = 999": "led by none of its items",
    "DELETE FROM story_name": "does not go by its own id",
    "INSERT INTO gone SELECT id, 1, NULL FROM story": "counts as gone",
    "DELETE FROM sentence": "has lost its state",
    "DELETE FROM rhythm": "has lost its state",
    "DELETE FROM memory": "has lost its state",
    "DELETE FROM item_key": "under other keys",
    "UPDATE item SET reasons = '['": "cannot be read",
    "UPDATE story SET withdrawn = TRUE": "withheld and published",
    "UPDATE item SET story = 999": "that is not there",
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.items())
def test_what_disagrees_in_a_store_is_told(tmp_path: Path, urls: tuple[str, str], damage: str, said: str) -> None:
    """Each with what to do, and exit status 1."""
    lived(tmp_path, urls[0], [("see", 0, 1)])
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.execute(damage)
        connection.commit()
    with closing(SqlStore(urls[0])) as store:
        assert any(said in sentence for sentence in store.check()), store.check()


# --- as the operator does it ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o022)  # as usual: what is made for the owner alone is so by our doing
    configure(tmp_path, {"A": "https://user:hush@127.0.0.1:9/feed"})
    assert aggregator(tmp_path, "publish").returncode == 0
    yield tmp_path
    os.umask(before)


def test_a_store_moves_to_another_folder(folder: Path) -> None:
    """Exported, imported, checked, and written out again the same; in files that are the operator's alone."""
    exported = aggregator(folder, "export", "--format", "store")
    assert "hush" not in exported.stdout
    (folder / "all.jsonl").write_text(exported.stdout, encoding="utf-8")
    assert aggregator(folder, "import", "all.jsonl").returncode == 1
    (folder / "aggregator.db").rename(folder / "old.db")
    assert aggregator(folder, "check").returncode == 0
    assert not (folder / "aggregator.db").exists()
    assert aggregator(folder, "import", "all.jsonl").returncode == 0
    assert aggregator(folder, "export", "--format", "store").stdout == exported.stdout
    assert aggregator(folder, "check").returncode == 0
    assert aggregator(folder, "backup", "copy.db").returncode == 0
    assert {oct((folder / name).stat().st_mode & 0o777) for name in ("aggregator.db", "copy.db", "old.db")} == {"0o600"}
    assert aggregator(folder, "import", "nowhere.jsonl").returncode == 2


def test_check_says_what_is_wrong_with_the_store(folder: Path) -> None:
    """With exit status 1."""
    with closing(sqlite3.connect(folder / "aggregator.db")) as connection:
        connection.execute("DELETE FROM sentence")
        connection.commit()
    done = aggregator(folder, "check")
    assert (done.returncode, "store: the source A has lost its state" in done.stdout) == (1, True)


def test_a_home_folder_of_nobody_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    """Said in words, as for any path."""
    (tmp_path / "config.toml").write_text('[store]\nurl = "sqlite:///~nobody-here/x.db"\n', encoding="utf-8")
    done = aggregator(tmp_path, "check")
    assert done.returncode == 2
    assert "[store] url = 'sqlite:///~nobody-here/x.db': nobody of that name has a home folder" in done.stderr
