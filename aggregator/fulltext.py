"""The store's index of words: SQLite's FTS5 and PostgreSQL's tsvector hold the same tokens, and find the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, text

from aggregator.schema import item, source, story
from aggregator.search import Choice, Query, Term, document

FORM = "1"  # of the tokens; another number has the index of every store made anew

_AT_ONCE = 500  # stories
_TEXTS = (
    select(item.c.story, item.c.title, item.c.summary, item.c.publisher, source.c.name)
    .join_from(item, story, story.c.number == item.c.story)
    .outerjoin(source, source.c.url == item.c.source)
    .where(item.c.story.in_(bindparam("numbers", expanding=True)), story.c.told.is_not(None))
    .order_by(item.c.key)
)
_TOLD = (
    select(story.c.number)
    .where(story.c.told.is_not(None), story.c.number > bindparam("last"))
    .order_by(story.c.number)
    .limit(_AT_ONCE)
)
# What differs: how a document is taken out, put in, and found. ":query" is what `_fts5` and `_tsquery` write.
_OUT = {"sqlite": "DELETE FROM search WHERE rowid = :story", "postgresql": "DELETE FROM search WHERE story = :story"}
_IN = {
    "sqlite": "INSERT INTO search (rowid, document) VALUES (:story, :document)",
    "postgresql": "INSERT INTO search (story, document) VALUES (:story, CAST(:document AS tsvector))",
}
_FOUND = {
    "sqlite": "JOIN search ON search.rowid = story.number WHERE search MATCH :query",
    "postgresql": "JOIN search ON search.story = story.number WHERE document @@ CAST(:query AS tsquery)",
}


def index(connection: Connection, numbers: Sequence[int]) -> None:
    """Have these stories found by the words that they have now, in the caller's transaction; not those told no more."""
    dialect = connection.dialect.name
    write = _vector if dialect == "postgresql" else str
    for start in range(0, len(numbers), _AT_ONCE):
        part = numbers[start : start + _AT_ONCE]
        connection.execute(text(_OUT[dialect]), [{"story": number} for number in part])
        texts: defaultdict[int, dict[str, None]] = defaultdict(dict)  # each text once: many outlets repeat a title
        for number, *fields in connection.execute(_TEXTS, {"numbers": part}):
            texts[number].update(dict.fromkeys(filter(None, fields)))
        if texts:
            put = [{"story": number, "document": write(document(fields))} for number, fields in texts.items()]
            connection.execute(text(_IN[dialect]), put)


def index_all(connection: Connection) -> None:
    """Make the whole index anew, in the caller's transaction."""
    connection.execute(text("DELETE FROM search"))
    last = -1
    while numbers := connection.execute(_TOLD, {"last": last}).scalars().all():
        index(connection, numbers)
        last = numbers[-1]


def rename(connection: Connection, urls: Sequence[str]) -> None:
    """Have the stories of these sources found by the sources' new names."""
    for url in urls:
        told = select(item.c.story).where(item.c.source == url, item.c.story.is_not(None)).distinct()
        index(connection, connection.execute(told).scalars().all())


def found(connection: Connection, query: Query, limit: int, offset: int) -> list[int]:
    """Numbers of the told stories that fit a query, the newest told first."""
    dialect = connection.dialect.name
    wanted = " | ".join(map(_tsquery, query.choices)) if dialect == "postgresql" else _fts5(query)
    statement = text(
        f"SELECT story.number FROM story {_FOUND[dialect]} AND story.told IS NOT NULL"  # noqa: S608 (of two)
        " ORDER BY story.told DESC, story.id LIMIT :limit OFFSET :offset"
    )
    values = {"query": wanted, "limit": limit, "offset": offset}
    return [int(number) for number in connection.execute(statement, values).scalars()]


def _fts5(query: Query) -> str:
    """A query as FTS5 reads it (sqlite.org/fts5.html, section 3); tokens hold no quotation mark."""

    def one(term: Term) -> str:
        return f'"{" ".join(term.tokens)}"{" *" if term.open else ""}'

    def choice(wanted: Choice) -> str:
        return "(" + " AND ".join(map(one, wanted.all)) + "".join(f" NOT {one(term)}" for term in wanted.none) + ")"

    return " OR ".join(map(choice, query.choices))


def _tsquery(choice: Choice) -> str:
    """A choice as PostgreSQL reads it (manual, 8.11.2); tokens hold neither quotation mark nor backslash."""

    def one(term: Term) -> str:
        *first, last = (f"'{token}'" for token in term.tokens)
        return "(" + " <-> ".join([*first, last + (":*" if term.open else "")]) + ")"

    return "(" + " & ".join([*map(one, choice.all), *(f"!{one(term)}" for term in choice.none)]) + ")"


def _vector(document: str) -> str:
    """A document as PostgreSQL reads it (manual, 8.11.1): each token with its places."""
    return " ".join(f"'{token}':{place}" for place, token in enumerate(document.split(" "), 1))
