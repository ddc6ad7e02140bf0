"""A store as an earlier version left it: one row in every table that it had."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, Table, create_engine, insert, select
from sqlalchemy.types import Boolean, Float, Integer, LargeBinary

from aggregator.database import Database
from aggregator.schema import STEPS

SOURCE = "https://a.example/feed"
# By a column's name alone or with its table's; what else has to hold something holds what its kind allows.
_NAMED = {
    **dict.fromkeys(("url", "source"), SOURCE),
    **dict.fromkeys(("item.story", "story.told", "story.lead"), 1),
    "decision": "kept",
    "counts": "{}",
    "gone.id": "gone",
}
_KINDS: tuple[tuple[type[Any], object], ...] = (
    (Boolean, False),
    (Integer, 1),
    (Float, 0.5),
    (LargeBinary, b""),
)
_FOUND_ANEW = ("aggregator_migration", "doubt", "item_key", "search", "sqlite_", "unlooked")


def age(url: str, version: int) -> None:
    """Make the store that a version left."""
    Database(url, STEPS[:version]).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in _tables(url):
            connection.execute(insert(table).values({column.name: _value(table, column.name) for column in table.c}))
    engine.dispose()


def held(url: str) -> dict[str, dict[str, object]]:
    """What the first row of every table holds."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {table.name: connection.execute(select(table)).mappings().first() for table in _tables(url)}
    engine.dispose()
    return {name: dict(row) for name, row in found.items() if row is not None}


def _tables(url: str) -> list[Table]:
    """Those that others refer to first."""
    engine, tables = create_engine(url), MetaData()
    tables.reflect(engine, only=lambda name, _: not name.startswith(_FOUND_ANEW))
    engine.dispose()
    return tables.sorted_tables


def _value(table: Table, name: str) -> object:
    column = table.c[name]
    for key in (f"{table.name}.{name}", name):
        if key in _NAMED:
            return _NAMED[key]
    if column.nullable and not column.primary_key:
        return None
    return next((value for kind, value in _KINDS if isinstance(column.type, kind)), "x")
