"""Every earlier database comes to the tables of today, step by step, each step whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from aggregator.database import Database
from aggregator.errors import StoreError
from aggregator.schema import STEPS, TABLES
from aggregator.store import SqlStore

Steps = Sequence[Sequence[str]]
NEXT = (*STEPS, ("ALTER TABLE setting ADD COLUMN note TEXT", "UPDATE setting SET note = 'from ' || name"))
BROKEN = (*STEPS, ("ALTER TABLE setting ADD COLUMN note TEXT", "UPDATE nowhere SET x = 1"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def bring_to(path: Path, steps: Steps) -> None:
    Database(f"sqlite:///{path}", steps).close()


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_the_steps_lead_to_the_tables_that_the_code_names(path: Path) -> None:
    """After all steps, tables and columns are exactly those of schema.TABLES, in the same order."""
    bring_to(path, STEPS)
    engine = create_engine(f"sqlite:///{path}")
    found = {
        name: [column["name"] for column in inspect(engine).get_columns(name)]
        for name in inspect(engine).get_table_names()
        if not name.startswith("sqlite_")
    }
    engine.dispose()
    assert found == {table.name: [column.name for column in table.columns] for table in TABLES.sorted_tables}


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_a_database_of_any_version_is_brought_to_this_one(path: Path, version: int) -> None:
    """Whatever version wrote it, a database opens, and every step is noted once."""
    bring_to(path, STEPS[:version])
    SqlStore(f"sqlite:///{path}").close()
    assert rows(path, "SELECT step FROM aggregator_migration") == [(n,) for n in range(1, len(STEPS) + 1)]


def test_a_further_step_keeps_what_is_stored(path: Path) -> None:
    """A step works on the data that is there, and is taken once."""
    store = SqlStore(f"sqlite:///{path}")
    store.put("rules", "1")
    store.close()
    bring_to(path, NEXT)
    bring_to(path, NEXT)
    assert rows(path, "SELECT name, value, note FROM setting") == [("rules", "1", "from rules")]
    assert rows(path, "SELECT max(step), count(*) FROM aggregator_migration") == [(len(NEXT), len(NEXT))]


def test_a_fresh_database_takes_all_steps(path: Path) -> None:
    """New and old databases have come the same way."""
    bring_to(path, NEXT)
    assert rows(path, "SELECT max(step) FROM aggregator_migration") == [(len(NEXT),)]
    assert rows(path, "SELECT note FROM setting") == []


def test_a_step_that_fails_leaves_no_trace(path: Path) -> None:
    """The step is undone as a whole, said in words, and can be taken again once it is mended."""
    bring_to(path, STEPS)
    with pytest.raises(StoreError, match="nowhere"):
        bring_to(path, BROKEN)
    assert [name for _, name, *_ in rows(path, "PRAGMA table_info(setting)")] == ["name", "value"]
    assert rows(path, "SELECT max(step) FROM aggregator_migration") == [(len(STEPS),)]
    bring_to(path, NEXT)


def test_a_first_step_that_fails_leaves_an_empty_file(path: Path) -> None:
    """Even a new database is made whole or not at all, so that the next start finds nothing strange."""
    with pytest.raises(StoreError):
        bring_to(path, [(*STEPS[0], "UPDATE nowhere SET x = 1")])
    assert rows(path, "SELECT name FROM sqlite_master") == []
    bring_to(path, STEPS)


def test_an_older_program_refuses_a_newer_database(path: Path) -> None:
    """It says which versions they are, and changes nothing."""
    bring_to(path, NEXT)
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=rf"schema is {len(NEXT)}, this version knows {len(STEPS)}.*nothing was changed"
    ):
        bring_to(path, STEPS)
    assert path.read_bytes() == before


def test_many_openers_at_once_migrate_once(path: Path) -> None:
    """Two processes may start at the same time on a new file."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: bring_to(path, NEXT), range(6)))
    assert rows(path, "SELECT count(*) FROM aggregator_migration") == [(len(NEXT),)]
