"""Looks a whole store through: is the database sound, and does what is stored agree with itself?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from aggregator.database import Database
from aggregator.errors import StoreError
from aggregator.work import many_stories

_SHOWN = 3  # of what is wrong in one way
_BACKUP = "put a backup in its place"
_REPORT = "please report it, and put a backup in its place if what is published looks wrong"
# What must hold, as a query for what does not.
_RULES = (
    ("the item #{} belongs to the subject and stands in no story",
     "SELECT key FROM item WHERE story IS NULL AND (ruling = 'keep' OR (ruling IS NULL AND decision = 'kept'))"
     " AND NOT EXISTS (SELECT 1 FROM setting WHERE name = 'divided')"),  # subjects.DIVIDED: it tells no stories
    ("the item #{} does not belong to the subject and stands in a story",
     "SELECT item.key FROM item JOIN story ON story.number = item.story WHERE NOT item.seed AND NOT story.withdrawn"
     " AND (item.ruling = 'drop' OR (item.ruling IS NULL AND item.decision <> 'kept'))"),
    ("the story {} is published and is led by none of its items",
     "SELECT story.id FROM story WHERE told IS NOT NULL AND NOT EXISTS (SELECT 1 FROM item"
     " WHERE item.story = story.number AND (item.key = story.lead OR (story.lead IS NULL AND item.seed)))"),
    ("the story {} does not go by its own id",
     "SELECT story.id FROM story WHERE NOT EXISTS (SELECT 1 FROM story_name"
     " WHERE story_name.name = story.id AND story_name.story = story.number)"),
    ("the story {} is published and counts as gone",
     "SELECT story.id FROM story JOIN gone ON gone.id = story.id WHERE story.told IS NOT NULL"),
    ("the source {} has lost its state",
     "SELECT name FROM source WHERE url NOT IN (SELECT url FROM rhythm) OR url NOT IN (SELECT url FROM memory)"
     " OR url NOT IN (SELECT url FROM sentence)"),
    ("the item #{} is found under other keys than its own",
     "SELECT item.key FROM item LEFT JOIN item_key ON item_key.item = item.key"
     " GROUP BY item.key, item.story, item.hashes HAVING count(item_key.item) <>"
     " CASE WHEN item.story IS NULL THEN 0 ELSE length(item.hashes) / 8 END"),
)  # fmt: skip


def faults(database: Database) -> tuple[str, ...]:
    """What is wrong, a sentence each, with what to do about it; () where all is well."""
    try:
        with database.reading() as connection:
            return tuple(_faults(connection))
    except StoreError as error:
        return (f"{error}; {_BACKUP}",)


def _faults(connection: Connection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA integrity_check(3)").scalars().all()
        if found != ["ok"]:
            yield f"the database is damaged ({'; '.join(map(str, found))}): {_BACKUP}"
            return
        for table, number, other, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").all()[:_SHOWN]:
            yield f"row {number} of {table} names a row of {other} that is not there: {_REPORT}"
    for sentence, query in _RULES:
        wrong = connection.execute(text(query)).scalars().all()
        if wrong:
            more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            yield f"{sentence.format(', '.join(map(str, wrong[:_SHOWN])))}{more}: {_REPORT}"
    yield from _unreadable(connection)


def _unreadable(connection: Connection) -> Iterator[str]:
    """Stories that cannot be read, or that are published though they are withheld."""
    numbers = connection.execute(text("SELECT number FROM story ORDER BY number")).scalars().all()
    for number in numbers:
        try:
            (story,) = many_stories(connection, (number,))
        except (ValueError, TypeError, KeyError) as error:
            yield f"story number {number} cannot be read ({type(error).__name__}): {_BACKUP}"
            continue
        if story.told is not None and story.withholding.in_force:
            yield f"the story {story.id} is withheld and published: withdraw it again, and report it, please"
