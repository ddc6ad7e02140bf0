"""Lets go of what is past its time in a database: the texts of items in no story, and later the items themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, select, update

from aggregator import rows
from aggregator.database import Database
from aggregator.schema import item, parted, unlooked

_AT_ONCE = 1_000  # items in a transaction, so that nobody waits long for it
_IN_NO_STORY = and_(item.c.story.is_(None), item.c.ruling.is_(None), item.c.seed.is_(False))


def forget(database: Database, texts_before: datetime | None, items_before: datetime | None) -> int:
    """See Store.forget."""
    done = 0
    if items_before is not None:
        aged = select(item.c.key).where(_IN_NO_STORY, item.c.first_seen < rows.micros(items_before))
        while keys := _some(database, aged):
            with database.writing() as connection:
                connection.execute(delete(parted).where(parted.c.item.in_(keys)))
                connection.execute(delete(unlooked).where(unlooked.c.item.in_(keys)))
                done += connection.execute(delete(item).where(item.c.key.in_(keys), _IN_NO_STORY)).rowcount
    if texts_before is not None:
        aged = select(item.c.key).where(_IN_NO_STORY, item.c.retained, item.c.first_seen < rows.micros(texts_before))
        while keys := _some(database, aged):
            with database.writing() as connection:
                emptied = update(item).where(item.c.key.in_(keys), _IN_NO_STORY)
                done += connection.execute(emptied.values(summary="", body="", retained=False)).rowcount
    return done


def _some(database: Database, aged: Select[Any]) -> list[int]:
    with database.reading() as connection:
        return list(connection.execute(aged.limit(_AT_ONCE)).scalars())
