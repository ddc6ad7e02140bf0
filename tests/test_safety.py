"""People whose names must not stand there: what is held waits for the operator, what is withdrawn never comes back."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import brotli
import pytest

from aggregator import curator
from aggregator.errors import ConfigError, NotFoundError
from aggregator.holding import Watch, cleaned, mark
from aggregator.model import Decision, Enclosure, Evidence, Item, Seed, StoredItem, StoredStory, Verdict
from aggregator.planting import PLANTED
from aggregator.publish import FolderPublisher
from aggregator.reconsider import Expected, reconsider
from aggregator.serve import Server, build_app
from aggregator.settle import watch_for
from aggregator.store import SqlStore
from aggregator.topics import Judge
from tests.command import aggregator, configure, feed
from tests.world import DAY, HOUR, NOW, World, address, rss

TITLE = "North Korean defector Kim Hyon-u reaches Seoul after crossing the Yalu at night"
TEXT = (
    "The North Korean defector, a former railway clerk from Hyesan, crossed the frozen Yalu at night with his sister."
)
OTHER = "Swimmer from North Korea reaches Gyodong island, asks to stay in the South"
ENTRY = {"title": TITLE, "description": TEXT, "link": "https://a.example/n/1", "guid": "g1"}
COPY = {"title": TITLE, "description": TEXT, "link": "https://b.example/x/7", "guid": "h7"}
PLAIN = ENTRY | {"title": "North Korean defector reaches Seoul after crossing the Yalu at night"}
SWIMMER = {"title": OTHER, "link": "https://a.example/n/2", "guid": "g2"}
SEED = Seed("S1", TITLE, TEXT, "https://s.example/1", NOW - 40 * DAY, "en")


# --- matching ---------------------------------------------------------------------------------------------------

SPELLINGS = {
    "hangul": "김현우",
    "romanised": "Kim Hyon-u",
    "hanja": "金賢宇",
    "kana": "キム・ヒョヌ",
    "cyrillic": "Ким Хён У",
}
TEXTS = (
    *("김현우 씨가", "탈북민김현우는 말했다", "김 현우", "김 현 우 씨"),
    *("Kim Hyon-u said", "KIM HYONU", "Mr Kim, Hyon U", "Hyeon-woo Kim's", "Gim Hyeonu", "Kim Hyŏn-u"),
    *("#KimHyonU", "kim_hyon_u", "https://a.example/kim-hyon-u"),
    *("金賢宇", "金贤宇先生", "脱北者の金賢宇さん", "キム・ヒョヌさん", "キムヒョヌ", "きむひょぬ"),
    *("Ким Хён У", "КИМ ХЕН У", "Кима Хён-у", "Кім Хён У"),
)
TRICKS = (
    "Kim\u200b Hy\u200don-u",
    "K\u00adim Hyon\u00ad-u",
    "Ｋｉｍ Ｈｙｏｎ－ｕ",
    "𝐊𝐢𝐦 𝐇𝐲𝐨𝐧-𝐮",
    "\u202eKim\u202c Hyon\u2066-u\u2069",
    "K i m  H y o n - u",
    "K.i.m H.y.o.n u",
    "Kim\u00a0Hyon\u2011u",
    "K\u0301im Hyo\u0308n-u",
    "Kim\ufeffHyon\u2060-u",
    "\u041a\u0456m Hy\u043en-u",  # Cyrillic K, i and o
    "\u039aim \u0397y\u03bfn-u",  # Greek K, H and o
    "\u041a\u0406\u041c \u041d\u04ae\u041eN-U",  # in capitals, all but two of them Cyrillic
    "K\u0131m Hyon-u",  # without the dot
    "KimHy\u043enU",
)
UNHELD = (
    *("Kim Jong Un met his generals", "김정은 위원장", "金正恩", "キム・ジョンウン", "Ким Чен Ын", "기업 혁신과 우리"),
    *("Human rights in Hyesan", "North Korean defector speaks in Seoul", "현우리 김치", "Hyon met Kim's uncle"),
)


def story(item: Item, evidence: Evidence | None = None) -> StoredStory:
    verdict = Verdict(Decision.KEPT, 1.0, (), "")
    return StoredStory("s", False, NOW, NOW, 1, (StoredItem(1, item, verdict, NOW, "s", evidence),))


def titled(text: str) -> StoredStory:
    return story(Item("https://a.example/feed", "1", None, text, ""))


@pytest.mark.parametrize(("entry", "text"), [*itertools.product(SPELLINGS.values(), TEXTS)])
def test_a_held_name_is_found_in_every_spelling(entry: str, text: str) -> None:
    """Whatever script it is listed in, and whatever script, romanisation, order or case a text has it in."""
    assert Watch([entry]).matched(titled(text)) == {mark(entry)}


@pytest.mark.parametrize("text", TRICKS)
def test_no_trick_of_writing_hides_a_held_name(text: str) -> None:
    """Full width, styled letters, invisible characters, marks of direction, accents, letters apart, lookalikes."""
    assert Watch(["Kim Hyon-u"]).matched(titled(text))


@pytest.mark.parametrize(("entry", "text"), [*itertools.product(SPELLINGS.values(), UNHELD)])
def test_another_name_is_not_held(entry: str, text: str) -> None:
    """News of others goes on."""
    assert not Watch([entry]).matched(titled(text))


@pytest.mark.parametrize(
    "item",
    [
        Item("s", "1", None, "", "he said to Kim Hyon-u"),
        Item("s", "1", None, "", "", body="x. " * 2_000 + "It was Kim Hyon-u."),
        Item("s", "1", None, "", "", authors=("Kim Hyon-u",)),
        Item("s", "1", None, "", "", categories=("김현우",)),
        Item("s", "1", None, "", "", publisher="Kim Hyon-u's blog"),
        Item("s", "1", "https://a.example/%EA%B9%80%ED%98%84%EC%9A%B0.html", "", ""),
        Item("s", "1", None, "", "", enclosures=(Enclosure("https://a.example/kim_hyon_u.jpg", None, None),)),
    ],
)
def test_all_that_is_published_of_an_item_is_looked_through(item: Item) -> None:
    """Its addresses, too, and what is said of why it stands in its story."""
    assert Watch(["Kim Hyon-u"]).matched(story(item))
    because = Evidence("same events", "", 1.0, ("name: Kim Hyon-u",))
    assert Watch(["김현우"]).matched(story(Item("s", "1", None, "A title", ""), because))


def test_a_phrase_and_a_link_are_held_as_written() -> None:
    """A phrase as in a topic pack, a link in whatever form, or all links that begin so."""
    assert Watch(["railway clerk*"]).matched(titled("Two Railway Clerks"))
    assert not Watch(["railway clerk"]).matched(titled("The railways' clerkship"))
    linked = story(Item("s", "1", "http://www.a.example/people/1?utm_source=x", "A title", ""))
    assert Watch(["https://a.example/people/1"]).matched(linked)
    assert Watch(["https://a.example/people/*"]).matched(linked)
    assert not Watch(["https://a.example/people/"]).matched(linked)
    assert cleaned("  \u200b!? ") == ""


# --- holding ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield World(tmp_path, "a", "b")
        return
    store = SqlStore(f"sqlite:///{tmp_path}/store.db")
    yield World(tmp_path, "a", "b", store=store)
    store.close()


def hold(world: World, *entries: str) -> tuple[str, ...]:
    held = watch_for(world.store, world.rules, entries, world.clock.now())
    world.app.publish()
    return held


def see(world: World, name: str, *entries: dict[str, str], later: timedelta = HOUR) -> None:
    world.put(rss(*entries), name)
    for other in {"a", "b"} - {name}:
        world._documents.setdefault(address(other), rss().encode())
    world.go(later)


def holds(world: World, text: str) -> list[str]:
    return [name for name, content in world.publisher.files.items() if text.encode() in content]


def test_a_story_that_matches_is_published_when_it_is_released(world: World) -> None:
    """Until then nothing of it is anywhere; and then it is news, whatever its age by then."""
    hold(world, "김현우")
    see(world, "a", ENTRY, SWIMMER)
    assert list(world.told().values()) == [OTHER]
    assert holds(world, "Hyon-u") == []
    (held,) = world.store.withheld()
    world.clock.advance(50 * DAY)
    curator.release(world.store, world.rules, held.id, world.clock.now())
    world.app.publish()
    assert list(world.told().values()) == [TITLE, OTHER]
    assert [deed.what for deed in world.store.deeds()] == ["released", "held"]


def test_a_published_story_is_taken_out_when_a_telling_of_it_matches(world: World) -> None:
    """All of it, at once, and readers are told that it is gone, without a word of it."""
    hold(world, "김현우")
    see(world, "a", PLAIN, SWIMMER)
    (id,) = (id for id, title in world.told().items() if title == PLAIN["title"])
    see(world, "b", COPY)
    assert list(world.told().values()) == [OTHER]
    assert holds(world, "crossing the Yalu") == []
    assert f'ref="{id}"'.encode() in world.publisher.files["atom.xml"]
    assert f"story/{id.removeprefix('urn:uuid:')}.html" not in world.publisher.files


def test_a_name_that_is_listed_takes_out_what_is_published(world: World) -> None:
    """At once, from all documents; taken off the list again, what it held is published."""
    see(world, "a", ENTRY, SWIMMER)
    (held,) = hold(world, "キム・ヒョヌ")
    assert list(world.told().values()) == [OTHER]
    assert holds(world, "Hyon-u") == []
    hold(world)
    assert set(world.told()) >= {held}


def test_a_released_story_is_held_again_by_another_entry_only(world: World) -> None:
    """A further telling with the same name changes nothing; one with another name does."""
    hold(world, "김현우", "Pak Chol-min")
    see(world, "a", ENTRY)
    (held,) = world.store.withheld()
    curator.release(world.store, world.rules, held.id, world.clock.now())
    see(world, "b", COPY)
    assert list(world.told()) == [held.id]
    see(world, "b", COPY | {"description": f"{TEXT} 박철민 came with him."})
    assert world.told() == {}


def test_a_text_that_was_mended_stays_held(world: World) -> None:
    """The operator decides, not the outlet."""
    hold(world, "김현우")
    see(world, "a", ENTRY)
    see(world, "a", PLAIN)
    assert world.told() == {}
    (held,) = world.store.withheld()
    curator.release(world.store, world.rules, held.id, world.clock.now())
    assert [story.id for story in world.store.stories()] == [held.id]


def test_stories_that_turn_out_to_be_one_stay_held_if_either_was(world: World) -> None:
    """Also when the curator merges them."""
    see(world, "a", ENTRY, SWIMMER)
    hold(world, "김현우")
    curator.merge(world.store, world.rules, ENTRY["link"], SWIMMER["link"], world.clock.now())
    world.app.publish()
    assert world.told() == {}
    assert holds(world, "Gyodong") == []


def test_a_title_that_nobody_has_any_more_is_told_nowhere(world: World) -> None:
    """What a telling was matched with may have been changed for a reason."""
    see(world, "a", ENTRY)
    see(world, "b", COPY)
    see(world, "a", PLAIN)
    see(world, "b", COPY | {"title": PLAIN["title"]})
    assert holds(world, "Hyon-u") == []


def test_a_seed_is_held_and_released_like_any_story(world: World) -> None:
    """Released it is told at its own time again; planting it anew does not bring it back before."""
    keys = sorted(world.rules.keys(Item("", "S1", SEED.link, SEED.title, SEED.summary)))
    planted = [("urn:uuid:00000000-0000-4000-8000-000000000001", SEED, keys)]
    world.store.plant(planted, NOW, True)
    world.app.publish()
    assert list(world.told().values()) == [TITLE]
    (held,) = hold(world, "김현우")
    world.store.plant(planted, world.clock.now(), True)
    world.app.publish()
    assert world.told() == {}
    assert holds(world, "Hyon-u") == []
    curator.release(world.store, world.rules, held, world.clock.now())
    assert world.store.get(PLANTED) == ""
    world.store.plant(planted, world.clock.now(), True)
    assert [story.told for story in world.store.stories()] == [SEED.published]


def test_every_process_heeds_the_list_at_once(tmp_path: Path) -> None:
    """A daemon that was started before a name was listed holds what names it."""
    url = f"sqlite:///{tmp_path}/store.db"
    with closing(SqlStore(url)) as daemons, closing(SqlStore(url)) as commands:
        world = World(tmp_path, "a", "b", store=daemons)
        see(world, "b", SWIMMER)
        watch_for(commands, world.rules, ("김현우",), world.clock.now())
        see(world, "a", ENTRY)
        assert list(world.told().values()) == [OTHER]


# --- withdrawing ------------------------------------------------------------------------------------------------


def withdraw(world: World, what: str) -> StoredStory:
    done = curator.withdraw(world.store, world.rules, what, world.clock.now())
    world.app.publish()
    return done


@pytest.mark.parametrize("later", [HOUR, 60 * DAY, 3_000 * DAY])
def test_a_withdrawn_story_stays_out_with_all_its_repeats(world: World, later: timedelta) -> None:
    """However late another outlet brings it, and though its own source changes what it says."""
    see(world, "a", ENTRY, SWIMMER)
    done = withdraw(world, ENTRY["link"])
    assert list(world.told().values()) == [OTHER]
    see(world, "a", ENTRY | {"title": "Bread prices rise in Paris", "description": ""})
    see(world, "b", COPY, later=later)
    see(world, "a", ENTRY | {"guid": "new", "link": "https://a.example/n/9"})
    assert list(world.told().values()) == [OTHER]
    assert holds(world, "Hyon-u") == []
    (kept_out,) = world.store.withheld()
    assert (kept_out.id, len(kept_out.members)) == (done.id, 2 if later > DAY else len(kept_out.members))


def test_no_change_of_rules_brings_a_withdrawn_story_back(world: World) -> None:
    """Nor do the curator's other words, nor publishing all anew."""
    see(world, "a", ENTRY)
    done = withdraw(world, ENTRY["link"])
    for threshold in (0.99, 0.1):
        reconsider(world.store, world.rules, Judge(world.app.collector.judge._pack, threshold), Expected({}, {}), NOW)
    curator.keep(world.store, world.rules, ENTRY["link"], world.clock.now())
    curator.drop(world.store, world.rules, ENTRY["link"], world.clock.now())
    see(world, "b", COPY)
    world.app.publish(everything=True)
    assert world.told() == {}
    assert holds(world, "Hyon-u") == []
    with pytest.raises(ConfigError, match="--withdrawn"):
        curator.release(world.store, world.rules, done.id, world.clock.now())
    curator.release(world.store, world.rules, done.id, world.clock.now(), withdrawn=True)
    with pytest.raises(NotFoundError, match="not held"):
        curator.release(world.store, world.rules, done.id, world.clock.now())
    assert [deed.what for deed in world.store.deeds()] == ["restored", "withdrawn"]


def test_a_withdrawn_seed_outlasts_the_seed_set(world: World) -> None:
    """Taken out of the set, its repeats are known all the same."""
    keys = sorted(world.rules.keys(Item("", "S1", SEED.link, SEED.title, SEED.summary)))
    world.store.plant([("urn:uuid:00000000-0000-4000-8000-000000000001", SEED, keys)], NOW, True)
    withdraw(world, SEED.link or "")
    world.store.plant([], world.clock.now(), True)
    see(world, "b", COPY)
    assert world.told() == {}


@pytest.mark.parametrize("between", [timedelta(0), HOUR], ids=["into the withdrawn one", "the withdrawn one into it"])
def test_a_story_that_is_merged_with_a_withdrawn_one_is_out(world: World, between: timedelta) -> None:
    """And is found at any age from then on as the withdrawn one is."""
    see(world, "a", ENTRY, SWIMMER)
    withdraw(world, ENTRY["link"])
    world.clock.advance(between)
    curator.merge(world.store, world.rules, ENTRY["link"], SWIMMER["link"], world.clock.now())
    see(world, "b", SWIMMER | {"guid": "b2", "link": "https://b.example/n/2"}, later=400 * DAY)
    assert world.told() == {}


ARCHIVED = [  # each a story of its own
    {"title": f"North Korean defector {what}", "link": f"https://a.example/o/{n}", "guid": f"o{n}"}
    for n, what in enumerate(
        (
            *("opens a noodle restaurant in Busan", "is elected to the council of Seoul", "finds her brother in Osaka"),
            *("wins a poetry prize in Berlin", "testifies before a court in Geneva", "sails a boat to Sokcho"),
        )
    )
]


@contextmanager
def served(folder: Path, store: SqlStore) -> Iterator[str]:
    server = Server(
        build_app(folder, health=lambda: (True, {}), metrics=lambda: "", gone=store.is_gone),
        "127.0.0.1",
        0,
    )
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


def got(url: str, **headers: str) -> tuple[int, bytes, str | None]:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, decoded(answer.read(), answer.headers["content-encoding"]), answer.headers["etag"]
    except urllib.error.HTTPError as error:
        return error.code, error.read(), None


def decoded(body: bytes, coding: str | None) -> bytes:
    match coding:
        case "gzip":
            return gzip.decompress(body)
        case "br":
            return bytes(brotli.decompress(body))
        case _:
            return body


@pytest.mark.parametrize("entries", [2, 100])
def test_no_byte_of_a_withdrawn_story_is_left_in_the_folder_or_served(tmp_path: Path, entries: int) -> None:
    """Nor in the archive's closed pages, unfinished files, compressed answers or under an old tag; its page is 410."""
    folder = tmp_path / "public"
    with closing(SqlStore(f"sqlite:///{tmp_path}/store.db")) as store:
        world = World(tmp_path, "a", "b", store=store)
        feed = world.app.config.feed.model_copy(update={"max_entries": entries})
        config = world.app.config.model_copy(update={"feed": feed})
        world.app = replace(world.app, publisher=FolderPublisher(folder), config=config)
        see(world, "a", ENTRY)
        see(world, "b", COPY)
        see(world, "a", *ARCHIVED)
        (folder / ".rss.xml.999999999.unfinished").write_text(TITLE)
        with served(folder, store) as address:
            files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            for name in files:
                os.utime(folder / name, (0, 0))  # the server keeps what has not changed for a while
            wanted = [name for name in files if not name.startswith(".")]
            before = {
                (name, coding): got(address + name, accept_encoding=coding) for name in wanted for coding in CODINGS
            }
            holding = {name for (name, _), (_, body, _) in before.items() if b"Hyon-u" in body}
            assert len(holding) > 3
            assert any(name.startswith("archive/") for name in holding) == (entries == 2)
            done = withdraw(world, ENTRY["link"])
            for (name, coding), (_, _, tag) in before.items():
                status, body, _ = got(address + name, accept_encoding=coding, if_none_match=tag or "")
                assert b"Hyon-u" not in body, name
                assert b"Hyesan" not in body, name
                assert status in (200, 304, 410) or name.startswith("slice/")  # one that is empty now is not there
                assert status != 304 or name not in holding, name  # readers would go on showing what they have
            page = f"story/{done.id.removeprefix('urn:uuid:')}.html"
            assert page in files
            assert got(address + page)[0] == 410
    left = [path for path in folder.rglob("*") if path.is_file() and b"Hyon-u" in path.read_bytes()]
    assert left == []


CODINGS = ("identity", "gzip", "br")


def test_what_is_being_published_cannot_put_back_what_is_taken_out(tmp_path: Path) -> None:
    """Two processes never publish at once: who comes later begins with what the store says then."""
    folder, order = tmp_path / "public", []
    script = (
        "import sys; from pathlib import Path; from aggregator.publish import FolderPublisher\n"
        f"with FolderPublisher(Path({str(folder)!r})).alone():\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()

        def publish() -> None:
            with FolderPublisher(folder).alone():
                order.append("here")

        waiting = threading.Thread(target=publish)
        waiting.start()
        waiting.join(0.2)
        order.append("there")
        other.stdin.close()
        waiting.join(10)
    assert order == ["there", "here"]


# --- as the operator does it ------------------------------------------------------------------------------------


def test_the_commands_say_what_they_did_without_repeating_the_text(tmp_path: Path) -> None:
    """Hold, release and withdraw speak of ids; names come in on standard input; all of it outlasts a restore."""
    source = tmp_path / "a.xml"
    source.write_text(rss(ENTRY, SWIMMER))
    with served_file(source) as url:
        configure(tmp_path, {"A": url})
        assert aggregator(tmp_path, "run", "--once").returncode == 0
        assert TITLE in {entry["title"] for entry in feed(tmp_path)}
        added = aggregator(tmp_path, "hold", "add", answers="김현우\nPak Chol-min\n")
        assert (added.returncode, [entry["title"] for entry in feed(tmp_path)]) == (0, [OTHER])
        (held,) = (line.removeprefix("held: ") for line in added.stdout.splitlines() if line.startswith("held: "))
        listed = aggregator(tmp_path, "hold", "list")
        assert listed.stdout.splitlines() == ["김현우", "Pak Chol-min"]
        released = aggregator(tmp_path, "release", held)
        assert (released.returncode, TITLE in {entry["title"] for entry in feed(tmp_path)}) == (0, True)
        withdrawn = aggregator(tmp_path, "withdraw", held)
        again = aggregator(tmp_path, "run", "--once", "--now")
        for done in (added, released, withdrawn, again):
            assert "Hyon-u" not in done.stdout + done.stderr
            assert "Chol-min" not in done.stdout + done.stderr
        shown = aggregator(tmp_path, "hold", "stories").stdout
        assert f"{held}\twithdrawn" in shown
        assert [line.split("\t")[1] for line in shown.splitlines()[-3:]] == ["withdrawn", "released", "held"]
        assert "withdrawn" in aggregator(tmp_path, "explain", ENTRY["link"]).stdout
        assert aggregator(tmp_path, "backup", "copy.db").returncode == 0
        for name in ("aggregator.db", "aggregator.db-wal", "aggregator.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "copy.db").rename(tmp_path / "aggregator.db")
        assert aggregator(tmp_path, "publish").returncode == 0
        assert [entry["title"] for entry in feed(tmp_path)] == [OTHER]
        assert aggregator(tmp_path, "hold", "remove", "PAK CHOL MIN").returncode == 0
        assert aggregator(tmp_path, "hold", "list").stdout.splitlines() == ["김현우"]
        assert aggregator(tmp_path, "hold", "remove", "nobody").returncode == 1
        assert aggregator(tmp_path, "hold", "add", " ").returncode == 2


@contextmanager
def served_file(path: Path) -> Iterator[str]:
    from tests.lab import Lab, Reply

    with Lab() as lab:
        yield lab.route("/feed", Reply(body=path.read_bytes()))
