"""Writes a whole store as JSON Lines, and makes one from them: for another machine or database, or a later version.

A line is a row of a table, named by it; the first says what the file is, the last how many lines there are. What can be
made anew stays out (the keys that items are found by, the index of words), and so do leases, and the user names and
passwords in sources' addresses: who imports has them in the configuration.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, delete, inspect, select, text
from sqlalchemy.exc import StatementError

from aggregator.database import Database, file_of, unused
from aggregator.errors import StoreError
from aggregator.normalise import without_password
from aggregator.schema import (
    STEPS,
    TABLES,
    channel,
    doubt,
    history,
    item,
    item_key,
    memory,
    migration,
    rhythm,
    sentence,
    setting,
    source,
    story,
    subscription,
    unlooked,
)
from aggregator.work import SqlWork

_KIND = "aggregator store"
_FIRST = (source.name, story.name, item.name)  # others refer to them
# Hubs are asked anew; secrets stay here.
_MADE_ANEW = {migration.name, item_key.name, subscription.name, unlooked.name, doubt.name}
_TABLES = (*_FIRST, *sorted(TABLES.tables.keys() - _MADE_ANEW - set(_FIRST)))
_LEASE = ("leased_until", "leased_by")
_ADDRESSES = {(source.name, "url"), (item.name, "source"), (history.name, "source")} | {
    (table.name, column) for table in (rhythm, memory, sentence) for column in ("url", "address", "moved_to")
}
_OF_THE_FOLDER = ("form", "months", "search")  # settings that speak of what was published, or of the index of words
_AT_ONCE = 500  # rows


def dump(database: Database) -> Iterator[str]:
    """The store's lines, in one consistent view."""
    with database.reading() as connection:
        public = _public(connection)
        yield _line({"kind": _KIND, "schema": len(STEPS)})
        count = 1
        for name in _TABLES:
            table = TABLES.tables[name]
            for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings():
                if table is setting and row["name"] in _OF_THE_FOLDER:
                    continue
                yield _line({"table": name, "row": _given(name, dict(row), public)})
                count += 1
        yield _line({"lines": count})


def load(url: str, lines: Iterable[str], addresses: Iterable[str]) -> tuple[str, ...]:
    """Make a new store at `url` of what `dump` wrote; `addresses` of the configured sources, with their passwords.

    Returns the addresses whose passwords nobody knows: their state waits under the address without. StoreError, and no
    store, where there is one already, or the lines are not whole.
    """
    if not unused(url):
        raise StoreError("there is a store already; name a new one under [store] url, or move the old one away")
    database: Database | None = None
    try:
        numbered = enumerate(lines, 1)
        database = Database(url, STEPS[: _schema(next(numbered, (1, ""))[1])])
        with database.writing() as connection:
            unknown = _Loading(connection, addresses).take(numbered)
        database.close()
        database = Database(url)
        with database.writing() as connection:
            connection.execute(delete(item_key))
            SqlWork(connection).index_all()
            connection.execute(_LOOK_AGAIN)
    except BaseException:
        if database is not None:
            database.close()
        _remove(file_of(url))  # there was none; one that could not be filled, or not even opened, is none either
        raise
    database.close()
    return unknown


_LOOK_AGAIN = text(
    "INSERT INTO unlooked SELECT key FROM item WHERE decision = 'undecided' AND ruling IS NULL AND NOT seed"
    " ON CONFLICT DO NOTHING"
)


class _Loading:
    """A load under way: rows wait until some can be written at once."""

    def __init__(self, connection: Connection, addresses: Iterable[str]) -> None:
        self._connection = connection
        self._secret: dict[str, list[str]] = {}
        for address in addresses:
            if (plain := without_password(address)) != address:
                self._secret.setdefault(plain, []).append(address)
        self._columns = {
            name: {column["name"]: column["type"] for column in inspect(connection).get_columns(name)}
            for name in inspect(connection).get_table_names()
            if name not in _MADE_ANEW and not name.startswith(("sqlite_", "search"))
        }
        self._waiting: list[dict[str, Any]] = []
        self._table = ""
        self._full: dict[str, str] = {}  # address in the file → the configured one
        self.unknown: list[str] = []

    def take(self, lines: Iterator[tuple[int, str]]) -> tuple[str, ...]:
        number = 1
        for number, line in lines:
            told = _read(line, number)
            if told == {"lines": number - 1}:
                self._write()
                self._count_on()
                return tuple(self.unknown)
            self._add(told, number)
        raise StoreError(f"the file ends after line {number}, in the middle; export it again")

    def _add(self, told: dict[str, Any], number: int) -> None:
        name, row = str(told.get("table")), told.get("row")
        columns = self._columns.get(name, {})
        if not isinstance(row, dict) or not (row and columns) or not row.keys() <= {*columns, _CUT}:
            raise StoreError(f"line {number} is no row of a store of that version; export it again")
        cut = row.pop(_CUT, False)
        if name != self._table or len(self._waiting) == _AT_ONCE or self._others(row):
            self._write()
        self._table = name
        try:
            if cut:
                self._full[row["url"]] = self._known(row["url"])
            for column in row.keys() & {column for table, column in _ADDRESSES if table == name}:
                row[column] = self._full.get(row[column], row[column])
            self._waiting.append({key: _taken(columns[key], value) for key, value in row.items()})
        except (ValueError, TypeError, KeyError):
            raise StoreError(f"line {number} has a value that is not of its kind; export it again") from None

    def _others(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has other columns than those that wait: they are written together."""
        return bool(self._waiting) and self._waiting[0].keys() != row.keys()

    def _known(self, address: str) -> str:
        plain = re.sub(r"#\d+$", "", address)
        if waiting := self._secret.get(plain):
            return waiting.pop(0)
        self.unknown.append(plain)
        return address

    def _write(self) -> None:
        if self._waiting:
            columns = list(self._waiting[0])
            values = ", ".join(f":{column}" for column in columns)
            statement = f"INSERT INTO {self._table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 (known names)
            try:
                self._connection.execute(text(statement), self._waiting)
            except StatementError as error:
                raise StoreError(
                    f"a row of {self._table} does not fit the store: {error.orig}; export it again"
                ) from error
            except (OverflowError, UnicodeError) as error:
                raise StoreError(f"a row of {self._table} holds what no store can: {error}; export it again") from error
        self._waiting = []

    def _count_on(self) -> None:
        """Have PostgreSQL give numbers beyond those that were loaded; SQLite does by itself."""
        if self._connection.dialect.name != "postgresql":
            return
        for name in self._columns:
            numbered = next((column for column in ("number", "key") if column in self._columns[name]), None)
            if numbered is not None:
                self._connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{name}', '{numbered}'), max({numbered})) FROM {name}"  # noqa: S608
                        " HAVING count(*) > 0"
                    )
                )


_CUT = "without_password"  # in a source's row: its address is not the whole one


def _public(connection: Connection) -> Callable[[str], str]:
    """Sources' addresses as they may be shown; two that differ in nothing else are numbered."""
    urls = connection.execute(select(source.c.url).order_by(source.c.position, source.c.url)).scalars().all()
    known, shown = Counter(url for url in urls if without_password(url) == url), dict[str, str]()
    for url in urls:
        if (plain := without_password(url)) != url:
            known[plain] += 1
            shown[url] = plain if known[plain] == 1 else f"{plain}#{known[plain]}"
    return lambda url: shown.get(url) or without_password(url)


def _given(name: str, row: Mapping[str, Any], public: Callable[[str], str]) -> dict[str, Any]:
    given = {key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()}
    for column in row.keys() & {column for table, column in _ADDRESSES if table == name}:
        if given[column] is not None:
            given[column] = public(given[column])
    if name in (rhythm.name, channel.name):
        given |= dict.fromkeys(given.keys() & _LEASE)
    if name == source.name and given["url"] != row["url"]:
        given[_CUT] = True
    return given


def _taken(kind: Any, value: Any) -> Any:
    return bytes.fromhex(value) if isinstance(kind, LargeBinary) and isinstance(value, str) else value


def _schema(line: str) -> int:
    told = _read(line, 1)
    if told.get("kind") != _KIND or not isinstance(told.get("schema"), int):
        raise StoreError("this is no export of a store; `aggregator export --format store` writes one")
    if not 1 <= told["schema"] <= len(STEPS):
        raise StoreError(f"a newer version wrote it (its schema is {told['schema']}, this version knows {len(STEPS)})")
    return int(told["schema"])


def _read(line: str, number: int) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise StoreError(f"line {number} is no JSON object; this is no export of a store, or it was cut off")
    return told


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _remove(path: Path | None) -> None:
    for ending in ("", "-wal", "-shm") if path else ():
        Path(f"{path}{ending}").unlink(missing_ok=True)
