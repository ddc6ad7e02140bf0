"""Several subjects in one installation: sources are asked once, and each subject keeps its own stories."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aggregator.database import Database
from aggregator.schema import STEPS, TABLES
from tests.command import aggregator, rss
from tests.daemons import daemon, eventually, free_port, get
from tests.receivers import Hook, hook
from tests.site import Site, serving
from tests.test_notify import document

BOTH = (
    "https://news.example/both",
    "North Korean defector restores coral reef off Jeju",
    "She fled the North in 2009.",
)
ESCAPE = (
    "https://news.example/escape",
    "North Korean defector elected to Seoul council",
    "She fled the North in 2009.",
)
REEF = ("https://news.example/reef", "Great Barrier Reef suffers mass coral bleaching", "Heat killed corals.")
OTHER = ("https://news.example/other", "Council meets about the budget", "Nothing was decided.")

COMMON = """\
[fetch]
allow_private_addresses = true
per_host = 16
host_gap_seconds = 0
"""
SQLITE = "sqlite:///aggregator.db"
ESCAPES = """\
[[subject]]
name = "escapes"
continues = true
[subject.feed]
title = "Escapes"
link = "https://example.org/t/"
output = "public"
max_entries = 0
[subject.topic]
pack = "north-korean-defectors"
max_age_days = 0
"""
REEFS = """\
[[subject]]
name = "reefs"
[subject.feed]
title = "Reefs"
[subject.topic]
pack = "coral-reefs"
max_age_days = 0
"""
ALONE = """\
[feed]
title = "Escapes"
link = "https://example.org/t/"
output = "public"
max_entries = 0
[topic]
pack = "north-korean-defectors"
max_age_days = 0
[stories]
seed = ""
"""
FOLDERS = {"escapes": "public", "reefs": "feeds/reefs"}


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.put("/a", rss([BOTH, ESCAPE, OTHER]))
        site.put("/b", rss([REEF]))
        yield site


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    """The address of a store."""
    return SQLITE if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


def configure(folder: Path, site: Site, *tables: str, store: str = SQLITE) -> None:
    sources = (f'[[source]]\nname = "{path[1:]}"\nurl = "{site.address}{path}"\n' for path in sorted(site.documents))
    (folder / "config.toml").write_text(
        "".join((COMMON, f'[store]\nurl = "{store}"\n', *tables, *sources)), encoding="utf-8"
    )


def run(folder: Path, *arguments: str) -> str:
    done = aggregator(folder, *(arguments or ("run", "--once", "--now")))
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def stories(folder: Path, subject: str) -> list[dict[str, Any]]:
    text = (folder / FOLDERS[subject] / "feed.json").read_text(encoding="utf-8")
    items: list[dict[str, Any]] = json.loads(text)["items"]
    return items


def titles(folder: Path, subject: str) -> set[str]:
    return {one["title"] for one in stories(folder, subject)}


def published(folder: Path, subject: str) -> dict[str, bytes]:
    root = folder / FOLDERS[subject]
    files = (path for path in sorted(root.rglob("*.*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_each_source_is_asked_once_for_all_subjects(tmp_path: Path, site: Site, store: str) -> None:
    """Two subjects read the same answer: what belongs to both is told in both, the rest where it belongs."""
    configure(tmp_path, site, ESCAPES, REEFS, store=store)
    said = run(tmp_path)
    assert sorted(request.path for request in site.requests) == ["/a", "/b"]
    assert titles(tmp_path, "escapes") == {BOTH[1], ESCAPE[1]}
    assert titles(tmp_path, "reefs") == {BOTH[1], REEF[1]}
    assert "3 kept, 4 new stories" in said
    run(tmp_path)
    assert [request.status for request in site.requests] == [200, 200, 304, 304]


def test_the_curators_word_is_for_one_subject(tmp_path: Path, site: Site) -> None:
    """What is dropped or withdrawn in one subject stands in the other as it was, to the byte."""
    configure(tmp_path, site, ESCAPES, REEFS)
    run(tmp_path)
    before = published(tmp_path, "reefs")
    run(tmp_path, "drop", BOTH[0], "--subject", "escapes")
    assert titles(tmp_path, "escapes") == {ESCAPE[1]}
    run(tmp_path, "withdraw", ESCAPE[0], "--subject", "escapes")
    run(tmp_path)
    assert titles(tmp_path, "escapes") == set()
    assert published(tmp_path, "reefs") == before
    assert "kept" in run(tmp_path, "explain", BOTH[0], "--subject", "reefs")


def test_a_source_is_read_by_the_subjects_that_it_is_for(tmp_path: Path, site: Site) -> None:
    """The others do not tell, list or show it; once it is for all, they hear what it brings from then on."""
    configure(tmp_path, site, ESCAPES, REEFS)
    config = tmp_path / "config.toml"
    everything = config.read_text(encoding="utf-8")
    config.write_text(everything.replace('name = "a"\n', 'name = "a"\nsubjects = ["escapes"]\n'), encoding="utf-8")
    said = run(tmp_path)
    assert "2 kept" in said
    assert titles(tmp_path, "escapes") == {BOTH[1], ESCAPE[1]}
    assert titles(tmp_path, "reefs") == {REEF[1]}
    assert f"{site.address}/a".encode() not in published(tmp_path, "reefs")["sources.opml"]
    assert f"{site.address}/a".encode() in published(tmp_path, "escapes")["sources.opml"]
    spawning = ("https://news.example/spawning", "Corals spawn at Ningaloo on one night", "Divers saw it.")
    site.put("/b", rss([spawning, REEF]))
    run(tmp_path)
    config.write_text(everything, encoding="utf-8")
    later = ("https://news.example/later", "Coral reef off Jeju bleaches in the heat", "Corals died.")
    site.put("/a", rss([later, BOTH, ESCAPE, OTHER]))
    run(tmp_path)
    assert titles(tmp_path, "reefs") == {REEF[1], spawning[1], later[1]}


def test_a_table_for_a_subject_that_there_is_not_is_refused(tmp_path: Path, site: Site) -> None:
    """In words that name it and the nearest one; in a file with one subject, too."""
    for tables, said in (
        ((ESCAPES, REEFS), "there is no subject reef, did you mean reefs?"),
        ((ALONE,), "no [[subject]]"),
    ):
        receiver = '[[notify]]\nname = "Desk"\nto = ["https://h.example/"]\nsubjects = ["reef"]\n'
        configure(tmp_path, site, *tables, receiver)
        config = (tmp_path / "config.toml").read_text(encoding="utf-8").replace('"b"\n', '"b"\nsubjects = ["reef"]\n')
        (tmp_path / "config.toml").write_text(config, encoding="utf-8")
        done = aggregator(tmp_path, "check")
        assert done.returncode == 2
        assert done.stderr.count(said) == 2
        assert "[[source]] 2 (b) subjects" in done.stderr
        assert "[[notify]] 1 (Desk) subjects" in done.stderr


def test_each_subject_has_receivers_of_its_own(tmp_path: Path, site: Site) -> None:
    """Each is told its subject's news and no other's, once; one that is for all, each subject's by itself."""
    with hook() as escapes, hook() as reefs, hook() as both:
        receivers = (
            f'[[notify]]\nname = "{name}"\nto = ["{one.address}"]\nallow_private_addresses = true\n{only}'
            for name, one, only in (
                ("E", escapes, 'subjects = ["escapes"]\n'),
                ("R", reefs, 'subjects = ["reefs"]\n'),
                ("All", both, ""),
            )
        )
        site.put("/a", document("Council meets"))
        configure(tmp_path, site, ESCAPES, REEFS, *receivers)
        run(tmp_path)
        site.put("/a", document("Council meets", BOTH[1], ESCAPE[1], REEF[1]))
        for _ in range(2):
            run(tmp_path)
        assert heard(escapes) == [("Escapes", {BOTH[1], ESCAPE[1]})]
        assert heard(reefs) == [("Reefs", {BOTH[1], REEF[1]})]
        assert heard(both) == [("Escapes", {BOTH[1], ESCAPE[1]}), ("Reefs", {BOTH[1], REEF[1]})]


def heard(receiver: Hook) -> list[tuple[str, set[str]]]:
    """The messages that a webhook got, by subject: of which one, and the stories that it told."""
    posts = [json.loads(body)["data"] for _, body in receiver.posts]
    return sorted((data["title"], {item["title"] for item in data["items"]}) for data in posts)


def test_a_command_for_one_subject_asks_which(tmp_path: Path, site: Site) -> None:
    """Without --subject, or with a name that none has, it names those that there are and does nothing."""
    configure(tmp_path, site, ESCAPES, REEFS)
    for arguments in (("drop", "x"), ("stories", "--subject", "reef"), ("hold", "list", "--subject", "sources")):
        done = aggregator(tmp_path, *arguments)
        assert done.returncode == 2
        assert "escapes, reefs" in done.stderr or "no subject" in done.stderr
    assert not (tmp_path / "aggregator.db").exists()


def test_one_subjects_store_goes_on_where_it_becomes_one_of_several(tmp_path: Path, site: Site, store: str) -> None:
    """Ids, times and bytes stay; the second subject judges what was read before, and nothing is asked for it."""
    configure(tmp_path, site, ALONE, store=store)
    run(tmp_path)
    before, asked = published(tmp_path, "escapes"), len(site.requests)
    configure(tmp_path, site, ESCAPES, REEFS, store=store)
    run(tmp_path, "publish")
    assert published(tmp_path, "escapes") == before
    assert titles(tmp_path, "reefs") == {BOTH[1], REEF[1]}
    assert len(site.requests) == asked
    run(tmp_path)
    assert {request.status for request in site.requests[asked:]} == {304}
    assert published(tmp_path, "escapes") == before


@pytest.mark.parametrize("version", [1, 8, len(STEPS) - 1])
def test_a_store_of_an_earlier_version_becomes_one_of_several(tmp_path: Path, site: Site, version: int) -> None:
    """It is brought to the tables of today and divided at one start; ids and bytes stay, and nothing is asked anew."""
    configure(tmp_path, site, ALONE)
    run(tmp_path)
    before = published(tmp_path, "escapes")
    as_it_was(tmp_path / "aggregator.db", version)
    configure(tmp_path, site, ESCAPES, REEFS)
    run(tmp_path)
    assert [request.status for request in site.requests] == [200, 200, 304, 304]
    assert published(tmp_path, "escapes") == before
    assert titles(tmp_path, "reefs") == {BOTH[1], REEF[1]}
    run(tmp_path, "check")


def as_it_was(file: Path, version: int) -> None:
    """Give a store the tables of an earlier version, with what they have in common with today's."""
    today = file.rename(file.with_suffix(".today"))
    Database(f"sqlite:///{file}", STEPS[:version]).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ATTACH ? AS today", (str(today),))
        for table in TABLES.sorted_tables:
            there = {row[1] for row in connection.execute(f"PRAGMA main.table_info({table.name})")}
            if shared := ", ".join(column.name for column in table.columns if column.name in there):
                connection.execute(
                    f"INSERT OR IGNORE INTO {table.name} ({shared}) SELECT {shared} FROM today.{table.name}"
                )
        connection.execute("DELETE FROM aggregator_migration WHERE step > ?", (version,))
        connection.execute(
            "DELETE FROM setting WHERE name = 'search'"
        )  # its words were indexed otherwise, or not at all
        connection.commit()


def test_who_goes_on_with_a_store_is_said_and_not_guessed(tmp_path: Path, site: Site) -> None:
    """Where a store holds one subject's stories and none of several says that it goes on with them, nothing is done."""
    configure(tmp_path, site, ALONE)
    run(tmp_path)
    before = published(tmp_path, "escapes")
    configure(tmp_path, site, ESCAPES.replace("continues = true\n", ""), REEFS)
    done = aggregator(tmp_path, "run", "--once")
    assert (done.returncode, "continues = true" in done.stderr) == (2, True)
    assert published(tmp_path, "escapes") == before
    assert not (tmp_path / "aggregator-escapes.db").exists()


def test_a_subject_is_taken_away_and_returns(tmp_path: Path, site: Site) -> None:
    """The other stays as it is, to the byte; the one that returns tells what came meanwhile, and nothing twice."""
    configure(tmp_path, site, ESCAPES, REEFS)
    run(tmp_path)
    before, there = published(tmp_path, "reefs"), {one["id"]: one for one in stories(tmp_path, "escapes")}
    configure(tmp_path, site, REEFS)
    run(tmp_path)
    assert published(tmp_path, "reefs") == before
    later = (
        "https://news.example/later",
        "Hanawon, where North Korean defectors learn, burns down",
        "Nobody was hurt.",
    )
    site.put("/a", rss([later, BOTH, ESCAPE, OTHER]))
    run(tmp_path)
    assert published(tmp_path, "reefs") == before
    asked = len(site.requests)
    configure(tmp_path, site, REEFS, ESCAPES)
    run(tmp_path, "publish")
    assert titles(tmp_path, "escapes") == {BOTH[1], ESCAPE[1], later[1]}
    assert {one["id"]: one for one in stories(tmp_path, "escapes") if one["id"] in there} == there
    assert len(site.requests) == asked


def test_one_of_several_goes_on_alone_with_its_own_store(tmp_path: Path, site: Site) -> None:
    """The store that several share is refused to one, in words that name its own; with that it goes on, to the byte."""
    configure(tmp_path, site, ESCAPES, REEFS)
    run(tmp_path)
    before = published(tmp_path, "escapes")
    configure(tmp_path, site, ALONE)
    done = aggregator(tmp_path, "run", "--once")
    assert (done.returncode, "[store] url" in done.stderr) == (2, True)
    config = (tmp_path / "config.toml").read_text(encoding="utf-8")
    (tmp_path / "config.toml").write_text(config.replace("aggregator.db", "aggregator-escapes.db"), encoding="utf-8")
    run(tmp_path)
    assert published(tmp_path, "escapes") == before


def test_each_store_is_exported_and_made_anew(tmp_path: Path, site: Site) -> None:
    """What is exported of all stores and imported elsewhere publishes the same bytes and asks for nothing again."""
    configure(tmp_path, site, ESCAPES, REEFS)
    run(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(tmp_path / "config.toml", other)
    for name in ("sources", "escapes", "reefs"):
        (other / name).write_text(run(tmp_path, "export", "--format", "store", "--subject", name), encoding="utf-8")
        run(other, "import", name, "--subject", name)
    asked = len(site.requests)
    run(other)
    assert {request.status for request in site.requests[asked:]} == {304}
    for name in FOLDERS:
        assert published(other, name) == published(tmp_path, name)
    run(other, "check")


def test_what_is_held_or_withdrawn_stays_out_of_every_subject(tmp_path: Path, site: Site) -> None:
    """Without --subject, both are for all subjects; one that begins later does not tell it, either."""
    configure(tmp_path, site, ESCAPES)
    run(tmp_path)
    run(tmp_path, "hold", "add", "Great Barrier Reef")
    run(tmp_path, "withdraw", BOTH[0])
    configure(tmp_path, site, ESCAPES, REEFS)
    run(tmp_path)
    assert titles(tmp_path, "reefs") == set()
    assert REEF[1] in run(tmp_path, "hold", "stories", "--subject", "reefs")
    run(tmp_path, "release", REEF[0], "--subject", "reefs")
    assert titles(tmp_path, "reefs") == {REEF[1]}
    run(tmp_path, "withdraw", REEF[0])
    assert titles(tmp_path, "reefs") == set()


def test_the_server_hands_out_each_subject_by_its_name(tmp_path: Path, site: Site) -> None:
    """Page, search and the operator's pages lie below /NAME/, and / leads there; what is of all lies at the top."""
    where = f"http://127.0.0.1:{(port := free_port())}"
    configure(tmp_path, site, f'[server]\nlisten = "127.0.0.1:{port}"\n', ESCAPES, REEFS)
    with daemon(tmp_path):
        eventually(lambda: REEF[1] in get(f"{where}/reefs/")[1] and ESCAPE[1] in get(f"{where}/escapes/feed.json")[1])
        assert 'href="escapes/"' in get(f"{where}/")[1]
        assert REEF[1] in get(f"{where}/reefs")[1]
        assert REEF[1] in get(f"{where}/reefs/search?q=coral")[1]
        assert REEF[1] not in get(f"{where}/escapes/search?q=coral")[1]
        assert get(f"{where}/health")[0] == 200
        assert 'aggregator_sources{state="ok"} 2' in get(f"{where}/metrics")[1]
        status = get(f"{where}/reefs/status/items?decision=kept")[1]
        assert REEF[1] in status
        assert ESCAPE[1] not in status
        assert 'href="../style.css"' in status or "../status/style.css" in status
        assert get(f"{where}/reefs/status/style.css")[0] == 200


def test_other_processes_judge_for_every_subject(tmp_path: Path, site: Site) -> None:
    """Where visits are made elsewhere, an item comes back with the verdict of each subject."""
    configure(tmp_path, site, '[engine]\nkind = "processes"\nworkers = 1\n', ESCAPES, REEFS)
    run(tmp_path)
    assert titles(tmp_path, "escapes") == {BOTH[1], ESCAPE[1]}
    assert titles(tmp_path, "reefs") == {BOTH[1], REEF[1]}
