"""The tables of the store, and the numbered steps that bring a database of any earlier version to them.

A little longer than a module should be, so that a table and the steps to it stand together.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    inspect,
    select,
)

from aggregator.errors import StoreError

# Moments are microseconds since 1970 in UTC, lengths of time microseconds: exact, quick to compare, and the same
# on every database. Lists and reasons are JSON text.
TABLES = MetaData()
Number = BigInteger().with_variant(Integer, "sqlite")

migration = Table("aggregator_migration", TABLES, Column("step", Number, primary_key=True))

# As configured; a source that is not listed has no position. Request headers stay out: they may hold secrets.
source = Table(
    "source",
    TABLES,
    Column("url", Text, primary_key=True),
    Column("position", Number),
    Column("enabled", Boolean),
    Column("name", Text),
    Column("language", Text),
    Column("scope", Text),
    Column("priority", Number),
    Column("interval", Number),
    Column("rights", Text),  # None: the usual ones
    Column("host", Text),  # the one that is asked: domains.registrable_domain; None until it is listed anew
)
# What every visit writes, kept narrow: a visit that finds nothing new rewrites this row alone.
rhythm = Table(
    "rhythm",
    TABLES,
    Column("url", Text, primary_key=True),
    Column("due", Number),
    Column("why", Text),
    Column("leased_until", Number),
    Column("held_until", Number),  # by the server's Retry-After
    Column("etag", Text),
    Column("last_modified", Text),
    Column("failure", Text),
    Column("interval", Number),
    Column("failures", Number),
    Column("failing_since", Number),
    Column("last_visit", Number),
    Column("last_success", Number),
    Column("last_new", Number),
    Column("moved_to", Text),
    Column("moved_since", Number),
    Column("moved_count", Number),
    Column("last_unconditional", Number),
    Column("distrust", Boolean),
    Column("status", Number),
    Column("ttl", Number),
    Column("skip_hours", Text),
    Column("skip_days", Text),
    Column("address", Text),  # where the source has moved for good
    Column("last_kept", Number),
    Column("by_push", Boolean),
    Column("found", Text),  # feed that its site names since its own vanished; "": none
    Column("leased_by", Text),  # the process that holds the lease, as leases.holder() has it
    Column("came", Text),  # what came of the last visit, in words; a failure's are in `failure`
    Column("fresh_for", Number),
)
# What only a changed document writes; `entries` is packed (rows.pack), as rows it would be 300,000 for 10,000 sources.
memory = Table(
    "memory",
    TABLES,
    Column("url", Text, primary_key=True),
    Column("body", LargeBinary),
    Column("head", LargeBinary),
    Column("entries", LargeBinary),
    Column("boilerplate", Text),
    Column("warning", Text),
    Column("title", Text),
    Column("site", Text),
)
# The history of visits, a row each; only ever appended to and cut at its old end, so that a visit costs no search.
history = Table(
    "visit",
    TABLES,
    Column("number", Number, primary_key=True),
    Column("source", Text),
    Column("at", Number),
    Column("took", Number),
    Column("outcome", Text),
    Column("said", Text),
    Column("new", Number),
    Column("kept", Number),
    Column("due", Number),
    Column("why", Text),
)
# How many items hold each sentence, [[hash, count], ...], the least recently seen first; large, so by itself.
sentence = Table("sentence", TABLES, Column("url", Text, primary_key=True), Column("counts", Text))

story = Table(
    "story",
    TABLES,
    Column("number", Number, primary_key=True),
    Column("id", Text),
    Column("seed", Boolean),
    Column("told", Number),
    Column("updated", Number),
    Column("lead", Number),
    Column("page", Number),  # of the archive, once closed; None: in none yet
    Column("withdrawn", Boolean),
    Column("held", Text),
    Column("released", Text),
    Column("dated", Number),  # the newest date of its members when it was told: orders what was told at one moment
)
# Every id a story goes by: its own, and those of the stories merged into it.
story_name = Table("story_name", TABLES, Column("name", Text, primary_key=True), Column("story", Number))

# The narrow columns stand first: SQLite reads a row from its start, and leaves the pages of the long text alone.
item = Table(
    "item",
    TABLES,
    Column("key", Number, primary_key=True),
    Column("source", Text),
    Column("id", Text),
    Column("story", Number),
    Column("seed", Boolean),
    Column("first_seen", Number),
    Column("published", Number),
    Column("decision", Text),
    Column("score", Float),
    Column("ruling", Text),
    Column("link", Text),
    Column("updated", Number),
    Column("language", Text),
    Column("publisher", Text),
    Column("fingerprint", LargeBinary),
    Column("rules", Text),
    Column("hashes", LargeBinary),  # of its keys, packed: what item_key holds while it stands in a story
    Column("title", Text),
    Column("evidence", Text),
    Column("reasons", Text),
    Column("authors", Text),
    Column("categories", Text),
    Column("enclosures", Text),
    Column("summary", Text),
    Column("body", Text),
    Column("retained", Boolean),  # False: summary and body were let go
    Column("image", Text),
    Column("stock", Text),
)
# The keys of items that stand in a story. `at` is when the item was first seen or is dated, whichever is later; a
# seed's is beyond all time. No foreign key: checking it would need a second index as large as the table.
item_key = Table(
    "item_key",
    TABLES,
    Column("key", Number, primary_key=True),
    Column("at", Number, primary_key=True),
    Column("item", Number, primary_key=True),
)
# Stories that were told once and are no more, under the id they had; `page`: of the archive in which they stood.
gone = Table(
    "gone",
    TABLES,
    Column("id", Text, primary_key=True),
    Column("at", Number),
    Column("page", Number),
)
# Ids of stories and the mark of their last change; marks grow with each transaction. What a folder was published up
# to is written in the folder, so that any number of them can be kept up to date.
change = Table("change", TABLES, Column("id", Text, primary_key=True), Column("mark", Number))
# What was done for people's safety: which story, never its text.
deed = Table(
    "deed",
    TABLES,
    Column("number", Number, primary_key=True),
    Column("at", Number),
    Column("story", Text),
    Column("what", Text),
)
# The slices that each told story stands in, as it was published last.
shelf = Table(
    "shelf",
    TABLES,
    Column("slice", Text, primary_key=True),
    Column("told", Number, primary_key=True),
    Column("id", Text, primary_key=True),
)
# What is looked at again at the end of a refresh (second_look): a row while that has not been done.
unlooked = Table("unlooked", TABLES, Column("item", Number, primary_key=True))
# The keys of items that were looked at and left undecided; `at`: when the item was first seen.
doubt = Table(
    "doubt",
    TABLES,
    Column("key", Number, primary_key=True),
    Column("at", Number, primary_key=True),
    Column("item", Number, primary_key=True),
)
parted = Table("parted", TABLES, Column("item", Number, primary_key=True), Column("story", Number, primary_key=True))
subscription = Table(
    "subscription",
    TABLES,
    Column("token", Text, primary_key=True),
    Column("source", Text),
    Column("hub", Text),
    Column("topic", Text),
    Column("signing", Text),
    Column("asked", Number),
    Column("tries", Number),
    Column("until", Number),
    Column("leaving", Boolean),
)
channel = Table(
    "channel",
    TABLES,
    Column("name", Text, primary_key=True),
    Column("since", Number),
    Column("mark", Number),  # of the last change of a story that was looked at
    Column("due", Number),  # not asked before, since it failed
    Column("failures", Number),
    Column("problem", Text),
    Column("leased_until", Number),
    Column("leased_by", Text),
)
# What each channel was told, and is to be told: a story under the id that it had then, once.
outbox = Table(
    "outbox",
    TABLES,
    Column("channel", Text, primary_key=True),
    Column("story", Text, primary_key=True),
    Column("told", Number),
    Column("due", Number),
    Column("state", Text),  # "waiting", "sending", "sent", "unsure" or "given up"
    Column("message", Text),  # that it goes, or went, with; None: none yet
    Column("tries", Number),
    Column("at", Number),  # when it was last tried
)
setting = Table("setting", TABLES, Column("name", Text, primary_key=True), Column("value", Text))

# Words whose spelling differs between databases; everything else in the steps is common to SQLite and PostgreSQL.
_WORDS = {
    "sqlite": {
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "number": "INTEGER",
        "bytes": "BLOB",
        "clustered": " WITHOUT ROWID",
        # Words are parted by us (`search`), so that both databases find the same: "ascii" parts at nothing but space.
        "search": "CREATE VIRTUAL TABLE search USING fts5(document, tokenize = 'ascii')",
    },
    "postgresql": {
        "serial": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "number": "BIGINT",
        "bytes": "BYTEA",
        "clustered": "",
        "search": "CREATE TABLE search (story BIGINT PRIMARY KEY, document TSVECTOR NOT NULL);"
        " CREATE INDEX search_document ON search USING gin (document)",
    },
}

# A step that was released is never changed; the next change of the tables is the next step.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE source (url TEXT PRIMARY KEY, position {number}, enabled BOOLEAN NOT NULL, name TEXT NOT NULL,"
        " language TEXT, scope TEXT NOT NULL, priority {number} NOT NULL, interval {number})",
        "CREATE TABLE rhythm (url TEXT PRIMARY KEY REFERENCES source, due {number} NOT NULL, why TEXT NOT NULL,"
        " leased_until {number}, held_until {number}, etag TEXT, last_modified TEXT, failure TEXT NOT NULL,"
        " interval {number}, failures {number} NOT NULL, failing_since {number}, last_visit {number},"
        " last_success {number}, last_new {number}, moved_to TEXT, moved_since {number},"
        " moved_count {number} NOT NULL, last_unconditional {number}, distrust BOOLEAN NOT NULL,"
        " status {number}, ttl {number}, skip_hours TEXT, skip_days TEXT, address TEXT)",
        "CREATE INDEX rhythm_due ON rhythm (due)",
        "CREATE TABLE memory (url TEXT PRIMARY KEY REFERENCES source, body {bytes}, head {bytes}, entries {bytes},"
        " boilerplate TEXT, warning TEXT NOT NULL, title TEXT NOT NULL, site TEXT)",
        "CREATE TABLE sentence (url TEXT PRIMARY KEY REFERENCES source, counts TEXT NOT NULL)",
        "CREATE TABLE story (number {serial}, id TEXT NOT NULL UNIQUE, seed BOOLEAN NOT NULL, told {number},"
        " updated {number} NOT NULL, lead {number})",
        "CREATE INDEX story_told ON story (told)",
        "CREATE TABLE story_name (name TEXT PRIMARY KEY, story {number} NOT NULL REFERENCES story)",
        "CREATE INDEX story_name_story ON story_name (story)",
        "CREATE TABLE item (key {serial}, source TEXT NOT NULL, id TEXT NOT NULL, story {number} REFERENCES story,"
        " seed BOOLEAN NOT NULL, first_seen {number} NOT NULL, published {number}, decision TEXT NOT NULL,"
        " score DOUBLE PRECISION NOT NULL, ruling TEXT, link TEXT, updated {number}, language TEXT, publisher TEXT,"
        " fingerprint {bytes} NOT NULL, rules TEXT NOT NULL, hashes {bytes} NOT NULL, title TEXT NOT NULL,"
        " evidence TEXT, reasons TEXT, authors TEXT, categories TEXT, enclosures TEXT, summary TEXT NOT NULL,"
        " body TEXT NOT NULL, UNIQUE (id, source))",
        "CREATE INDEX item_link ON item (link) WHERE link IS NOT NULL",
        "CREATE INDEX item_story ON item (story) WHERE story IS NOT NULL",
        "CREATE INDEX item_source ON item (source, story)",
        "CREATE INDEX item_seed ON item (key) WHERE seed",
        "CREATE INDEX item_undecided ON item (score) WHERE decision = 'undecided'",
        "CREATE TABLE item_key (key {number} NOT NULL, at {number} NOT NULL, item {number} NOT NULL,"
        " PRIMARY KEY (key, at, item)){clustered}",
        "CREATE TABLE parted (item {number} NOT NULL REFERENCES item, story {number} NOT NULL REFERENCES story,"
        " PRIMARY KEY (item, story))",
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "ALTER TABLE story ADD COLUMN page {number}",
        "CREATE INDEX story_page ON story (page) WHERE page IS NOT NULL",
        "CREATE INDEX story_open ON story (told) WHERE page IS NULL AND told IS NOT NULL",
        "CREATE TABLE gone (id TEXT PRIMARY KEY, at {number} NOT NULL, page {number})",
        "CREATE INDEX gone_at ON gone (at)",
        "CREATE INDEX gone_page ON gone (page) WHERE page IS NOT NULL",
        "CREATE TABLE unpublished (id TEXT PRIMARY KEY, mark {number} NOT NULL)",
        "INSERT INTO unpublished SELECT story_name.name, 1 FROM story_name"
        " JOIN story ON story.number = story_name.story WHERE story.told IS NOT NULL",
    ),
    (
        "CREATE TABLE visit (number {serial}, source TEXT NOT NULL, at {number} NOT NULL, took {number} NOT NULL,"
        " outcome TEXT NOT NULL, said TEXT NOT NULL, new {number} NOT NULL, kept {number} NOT NULL,"
        " due {number} NOT NULL, why TEXT NOT NULL)",
    ),
    ("{search}",),
    (
        "ALTER TABLE story ADD COLUMN withdrawn BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE story ADD COLUMN held TEXT",
        "ALTER TABLE story ADD COLUMN released TEXT",
        "CREATE INDEX story_withheld ON story (number) WHERE withdrawn OR held IS NOT NULL",
        "CREATE TABLE deed (number {serial}, at {number} NOT NULL, story TEXT NOT NULL, what TEXT NOT NULL)",
    ),
    (
        "ALTER TABLE rhythm ADD COLUMN last_kept {number}",
        "ALTER TABLE rhythm ADD COLUMN by_push BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE rhythm ADD COLUMN found TEXT",
        "ALTER TABLE rhythm ADD COLUMN leased_by TEXT",
        "ALTER TABLE rhythm ADD COLUMN came TEXT NOT NULL DEFAULT ''",
    ),
    (
        "CREATE INDEX item_ruling ON item (key, ruling) WHERE ruling IS NOT NULL",
        "CREATE INDEX item_kept ON item (score) WHERE decision = 'kept'",
    ),
    (
        "CREATE TABLE change (id TEXT PRIMARY KEY, mark {number} NOT NULL)",
        "CREATE INDEX change_mark ON change (mark)",
        "INSERT INTO change SELECT id, 1 FROM unpublished",
        "DROP TABLE unpublished",
        "DELETE FROM setting WHERE name IN ('form', 'months')",
    ),
    (
        "ALTER TABLE story ADD COLUMN dated {number}",
        "UPDATE story SET dated = coalesce((SELECT max(coalesce(published, first_seen)) FROM item"
        " WHERE item.story = story.number), told) WHERE told IS NOT NULL",
    ),
    (
        "ALTER TABLE item ADD COLUMN retained BOOLEAN NOT NULL DEFAULT TRUE",
        "CREATE INDEX item_aged ON item (first_seen) WHERE story IS NULL",
        "CREATE INDEX item_wordy ON item (first_seen) WHERE story IS NULL AND retained",
    ),
    (
        "CREATE TABLE shelf (slice TEXT NOT NULL, told {number} NOT NULL, id TEXT NOT NULL,"
        " PRIMARY KEY (slice, told, id)){clustered}",
        "CREATE INDEX shelf_id ON shelf (id)",
    ),
    (
        "CREATE TABLE subscription (token TEXT PRIMARY KEY, source TEXT NOT NULL, hub TEXT NOT NULL,"
        " topic TEXT NOT NULL, signing TEXT NOT NULL, asked {number} NOT NULL, tries {number} NOT NULL,"
        " until {number}, leaving BOOLEAN NOT NULL)",
    ),
    ("ALTER TABLE item ADD COLUMN image TEXT",),
    ("ALTER TABLE source ADD COLUMN rights TEXT",),
    (
        "CREATE TABLE channel (name TEXT PRIMARY KEY, since {number} NOT NULL, mark {number} NOT NULL,"
        " due {number} NOT NULL, failures {number} NOT NULL, problem TEXT NOT NULL,"
        " leased_until {number}, leased_by TEXT)",
        "CREATE TABLE outbox (channel TEXT NOT NULL, story TEXT NOT NULL, told {number} NOT NULL,"
        " due {number} NOT NULL, state TEXT NOT NULL, message TEXT, tries {number} NOT NULL, at {number},"
        " PRIMARY KEY (channel, story))",
        "CREATE INDEX outbox_state ON outbox (channel, state, due)",
        "CREATE INDEX outbox_at ON outbox (channel, at)",
    ),
    ("ALTER TABLE source ADD COLUMN host TEXT", "CREATE INDEX source_host ON source (host)"),
    ("ALTER TABLE item ADD COLUMN stock TEXT",),
    ("ALTER TABLE rhythm ADD COLUMN fresh_for {number}",),
    ("CREATE INDEX item_unsure ON item (key) WHERE decision = 'undecided'",),
    (
        "CREATE TABLE unlooked (item {number} PRIMARY KEY)",
        "INSERT INTO unlooked SELECT key FROM item WHERE decision = 'undecided' AND ruling IS NULL AND NOT seed",
        "CREATE TABLE doubt (key {number} NOT NULL, at {number} NOT NULL, item {number} NOT NULL,"
        " PRIMARY KEY (key, at, item)){clustered}",
        "CREATE INDEX doubt_at ON doubt (at)",
    ),
)


def applied(connection: Connection, steps: Sequence[Sequence[str]] = STEPS) -> int:
    """How many steps the database has behind it; 0: it is empty.

    Raises StoreError where its tables are not an aggregator's, or come from a later version than this one.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return 0
    if migration.name not in tables:
        raise StoreError("it holds the tables of another program")
    done = connection.execute(select(func.max(migration.c.step))).scalar() or 0
    if done > len(steps):
        raise StoreError(f"a newer version wrote it (its schema is {done}, this version knows {len(steps)})")
    return int(done)


def migrate(connection: Connection, steps: Sequence[Sequence[str]] = STEPS) -> int:
    """Take the first step not yet taken, within the caller's transaction; how many are taken then."""
    done = applied(connection, steps)
    if done == len(steps):
        return done
    words = _WORDS[connection.dialect.name]
    if done == 0:
        connection.exec_driver_sql(f"CREATE TABLE {migration.name} (step {words['number']} PRIMARY KEY)")
    for statement in steps[done]:
        connection.exec_driver_sql(statement.format_map(words))
    connection.execute(migration.insert().values(step=done + 1))
    return done + 1
