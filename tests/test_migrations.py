"""Every earlier database comes to the tables of today, step by step, each step whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from aggregator.database import Database
from aggregator.errors import StoreError
from aggregator.schema import STEPS, TABLES
from aggregator.store import SqlStore
from tests.aged import age, held

Steps = Sequence[Sequence[str]]
NEXT = (*STEPS, ("ALTER TABLE setting ADD COLUMN note TEXT", "UPDATE setting SET note = 'from ' || name"))
BROKEN = (*STEPS, ("ALTER TABLE setting ADD COLUMN note TEXT", "UPDATE nowhere SET x = 1"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{path}"
    found: str = request.getfixturevalue("postgres_url")
    return found


def bring_to(url: str, steps: Steps) -> None:
    Database(url, steps).close()


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


def tables(url: str) -> dict[str, list[str]]:
    """The names of all tables with those of their columns."""
    engine = create_engine(url)
    found = inspect(engine)
    kept_elsewhere = ("sqlite_", "search")  # what SQLite keeps for itself, and the index of words (`fulltext`)
    names = [name for name in found.get_table_names() if not name.startswith(kept_elsewhere)]
    try:
        return {name: [column["name"] for column in found.get_columns(name)] for name in names}
    finally:
        engine.dispose()


def test_the_steps_lead_to_the_tables_that_the_code_names(url: str) -> None:
    """After all steps, tables and columns are exactly those of schema.TABLES, in the same order."""
    bring_to(url, STEPS)
    assert tables(url) == {table.name: [column.name for column in table.columns] for table in TABLES.sorted_tables}


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_a_database_of_any_version_is_brought_to_this_one(url: str, version: int) -> None:
    """Whatever version wrote it, a database opens, holds all that it held, and every step is noted once."""
    age(url, version)
    before = held(url)
    with closing(SqlStore(url)) as store:
        assert store.check() == ()
    after = held(url)
    for name, row in before.items():
        assert name == "unpublished" or row.items() <= after[name].items(), name
    if version > 1:  # the first knew no archive, hence nothing that was to be published anew
        assert after["change"]["id"] == "x"
    assert rows(url, "SELECT step FROM aggregator_migration") == [(n,) for n in range(1, len(STEPS) + 1)]


def test_a_further_step_keeps_what_is_stored(url: str) -> None:
    """A step works on the data that is there, and is taken once."""
    store = SqlStore(url)
    store.put("rules", "1")
    store.close()
    bring_to(url, NEXT)
    bring_to(url, NEXT)
    noted = rows(url, "SELECT name, value, note FROM setting WHERE name = 'rules'")
    assert noted == [("rules", "1", "from rules")]
    assert rows(url, "SELECT max(step), count(*) FROM aggregator_migration") == [(len(NEXT), len(NEXT))]


def test_a_fresh_database_takes_all_steps(url: str) -> None:
    """New and old databases have come the same way."""
    bring_to(url, NEXT)
    assert rows(url, "SELECT max(step) FROM aggregator_migration") == [(len(NEXT),)]
    assert rows(url, "SELECT note FROM setting") == []


def test_a_step_that_fails_leaves_no_trace(url: str) -> None:
    """The step is undone as a whole, said in words, and can be taken again once it is mended."""
    bring_to(url, STEPS)
    with pytest.raises(StoreError, match="nowhere"):
        bring_to(url, BROKEN)
    assert tables(url)["setting"] == ["name", "value"]
    assert rows(url, "SELECT max(step) FROM aggregator_migration") == [(len(STEPS),)]
    bring_to(url, NEXT)


def test_a_first_step_that_fails_leaves_an_empty_database(url: str) -> None:
    """Even a new database is made whole or not at all, so that the next start finds nothing strange."""
    with pytest.raises(StoreError):
        bring_to(url, [(*STEPS[0], "UPDATE nowhere SET x = 1")])
    assert tables(url) == {}
    bring_to(url, STEPS)


def test_an_older_program_refuses_a_newer_database(url: str) -> None:
    """It says which versions they are."""
    bring_to(url, NEXT)
    with pytest.raises(
        StoreError, match=rf"schema is {len(NEXT)}, this version knows {len(STEPS)}.*nothing was changed"
    ):
        bring_to(url, STEPS)


def test_an_older_program_changes_no_byte_of_a_newer_file(path: Path) -> None:
    """It looks before it touches."""
    bring_to(f"sqlite:///{path}", NEXT)
    before = path.read_bytes()
    with pytest.raises(StoreError):
        bring_to(f"sqlite:///{path}", STEPS)
    assert path.read_bytes() == before


def test_many_openers_at_once_migrate_once(url: str) -> None:
    """Several processes may start at the same time on a new database."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: bring_to(url, NEXT), range(6)))
    assert rows(url, "SELECT count(*) FROM aggregator_migration") == [(len(NEXT),)]
