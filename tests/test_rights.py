"""What a source lets us show of its texts: kept to in every file and every answer, whatever is published of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregator import letters, lookup
from aggregator.channels import Channel
from aggregator.config import load
from aggregator.memory import MemoryStore
from aggregator.model import (
    Decision,
    Edition,
    Enclosure,
    Evidence,
    Item,
    Judged,
    Reason,
    Rights,
    Source,
    Verdict,
)
from aggregator.notices import edition_of
from aggregator.ports import Store
from aggregator.press import publish
from aggregator.publish import MemoryPublisher
from aggregator.slices import Cuts, Saved
from aggregator.store import SqlStore
from tests.command import aggregator, configure, feed, rss
from tests.site import serving
from tests.telling import FRAME, HOUR, NOW, name

URLS = [f"https://{letter}.example/feed" for letter in "abc"]
FREE = Rights()
EVERYBODY = Channel("everybody", "mail", "mailto:ana@example.org")
ENTRIES = 2  # of the subscription documents, so that the archive fills
rights = st.builds(
    Rights,
    excerpt_characters=st.none() | st.integers(0, 80),
    images=st.booleans(),
    republish=st.booleans(),
    credit=st.sampled_from(["", "© Alpha & Söhne <1>"]),
)


def word(kind: str, key: int, turn: int = 0) -> str:
    """A word that stands nowhere else: of what kind of text it is, and whose."""
    return f"{kind}q{key}q{turn}q"


def telling(key: int, url: str) -> Judged:
    """An item with something of each kind, and reasons that quote it."""
    summary = " ".join(word("summary", key, turn) for turn in range(12))
    item = Item(
        source=url,
        id=str(key),
        link=f"https://a.example/{key}",
        title=f"Title {key}",
        summary=summary,
        body=" ".join(word("body", key, turn) for turn in range(40)),
        language="en",
        authors=(word("author", key),),
        categories=(word("category", key),),
        enclosures=(
            Enclosure(f"https://a.example/{word('image', key)}.jpg", None, None),
            Enclosure(f"https://a.example/{word('image', key, 1)}", "Image/PNG", None),
            Enclosure(f"https://a.example/{word('sound', key)}.mp3", "audio/mpeg", None),
        ),
        image=f"https://a.example/{word('image', key, 2)}",
    )
    reasons = tuple(
        Reason(field, "defector", word(kind, key, turn), 0.5)
        for field, kind, turn in (("summary", "summary", 11), ("body", "body", 39), ("categories", "category", 0))
    )
    return Judged(item, Verdict(Decision.KEPT, 0.9, reasons, "r"))


def tell(store: Store, stories: list[list[int]]) -> dict[int, str]:
    """Tell stories by the numbers of those who told them, the lead first; key of each item → its source."""
    tellers: dict[int, str] = {}
    for number, members in enumerate(stories, start=1):
        when = NOW + number * HOUR
        with store.begin() as work:
            work.found(name(number), when)
            keys = []
            for place, source in enumerate(members):
                key = 10 * number + place
                stored = work.add(telling(key, URLS[source]), (), when)
                details = (f"names: {word('summary', key, 10)}",)
                work.assign(stored, name(number), Evidence("same events", f"Title {10 * number}", 0.9, details))
                keys.append(stored)
                tellers[key] = URLS[source]
            work.tell(name(number), when, keys[0], when)
    return tellers


def framed(given: Mapping[str, Rights]) -> Edition:
    sources = tuple(Source(url, url[8].upper(), "en", rights=given[url]) for url in URLS)
    return replace(FRAME, sources=sources, rights={url: one for url, one in given.items() if one != FREE})


def shown(store: Store, public: MemoryPublisher, given: Mapping[str, Rights]) -> Iterator[str]:
    """All that anybody can read."""
    frame = framed(given)
    publish(store, public, frame, ENTRIES, Cuts((), (Saved("Mine", "title"),)))
    yield from (content.decode("utf-8", "replace") for content in public.files.values())  # pictures, too
    told = edition_of(EVERYBODY, frame, store.stories(), {source.url: source for source in frame.sources})
    yield from (
        letters.plain(told, NOW),
        letters.html(told, NOW),
        letters.short(told),
        letters.payload(told, NOW).decode(),
    )
    yield lookup.page(store, frame, "title", 1)[1].decode()
    yield lookup.feed(store, frame, "title")[1].decode()


def words_shown(texts: Iterator[str]) -> dict[tuple[str, int], set[int]]:
    found: dict[tuple[str, int], set[int]] = {}
    for kind, key, turn in re.findall(r"(summary|body|author|category|image|sound)q(\d+)q(\d+)q", "\n".join(texts)):
        found.setdefault((kind, int(key)), set()).add(int(turn))
    return found


def assert_held(
    found: Mapping[tuple[str, int], set[int]], tellers: Mapping[int, str], given: Mapping[str, Rights]
) -> None:
    for (kind, key), turns in found.items():
        one = given[tellers[key]]
        limited = one.excerpt_characters is not None
        assert one.republish, (kind, key)
        match kind:
            case "image":
                assert one.images
            case "body":
                assert not limited
            case "summary" if limited:
                room = " ".join(word("summary", key, turn) for turn in range(12))[: one.excerpt_characters]
                assert all(word("summary", key, turn) in room for turn in turns)


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=1, max_size=6),
    st.tuples(rights, rights, rights),
    st.tuples(rights, rights, rights),
)
@example([[0], [1, 0], [0, 1], [2], [2, 0]], (FREE, FREE, FREE), (Rights(republish=False),) * 3)
@example([[0, 1], [1, 0]], (FREE, Rights(0), FREE), (Rights(20, images=False), Rights(), Rights()))
def test_no_file_and_no_answer_shows_more_than_is_allowed(
    stories: list[list[int]], before: tuple[Rights, ...], after: tuple[Rights, ...]
) -> None:
    """Feeds, archive, slices, pages, searches, mails, messages: at first, and after a change of any right."""
    store, public = MemoryStore(), MemoryPublisher()
    tellers = tell(store, stories)
    for given_rights in (before, after):
        by_source = dict(zip(URLS, given_rights, strict=True))
        assert_held(words_shown(shown(store, public, by_source)), tellers, by_source)


def test_what_is_free_is_shown() -> None:
    """The test above would see a word that slipped through: with the usual rights all of them are there."""
    store, public = MemoryStore(), MemoryPublisher()
    tell(store, [[0, 1], [1], [2], [0], [1]])
    found = words_shown(shown(store, public, dict.fromkeys(URLS, FREE)))
    assert {kind for kind, _ in found} == {"summary", "body", "author", "category", "image", "sound"}


def test_title_and_link_alone_are_left_of_what_is_not_to_be_republished() -> None:
    """And the outlet's name and the date, without which nobody could judge it."""
    store, public = MemoryStore(), MemoryPublisher()
    tell(store, [[0], [1]])
    given_rights = {URLS[0]: Rights(republish=False), URLS[1]: FREE, URLS[2]: FREE}
    texts = list(shown(store, public, given_rights))
    assert not any(re.search("[a-z]q10q", text) for text in texts)
    for document in ("rss.xml", "atom.xml", "feed.json", "index.html", f"story/{name(1)[9:]}.html"):
        assert "Title 10" in public.files[document].decode(), document
        assert "https://a.example/10" in public.files[document].decode(), document


@pytest.mark.parametrize("document", ["rss.xml", "atom.xml", "feed.json", "index.html", f"story/{name(1)[9:]}.html"])
def test_a_credit_stands_beside_what_is_shown(document: str) -> None:
    """In every format, as text: what looks like markup in it is none."""
    store, public = MemoryStore(), MemoryPublisher()
    tell(store, [[0]])
    list(shown(store, public, {URLS[0]: Rights(credit="© Alpha <b>"), URLS[1]: FREE, URLS[2]: FREE}))
    text = public.files[document].decode()
    assert "© Alpha" in text
    assert "© Alpha <b>" not in text.replace('"credit": "© Alpha <b>"', "").replace(
        '"creditText":"© Alpha \\u003cb>"', ""
    )


def test_a_larger_excerpt_of_one_source_is_granted() -> None:
    """A source's own number counts for it, whatever counts for the others."""
    store, public = MemoryStore(), MemoryPublisher()
    tell(store, [[0], [1]])
    given_rights = {URLS[0]: Rights(excerpt_characters=400), URLS[1]: FREE, URLS[2]: FREE}
    publish(store, public, replace(framed(given_rights), excerpt_characters=20), 0)
    text = public.files["atom.xml"].decode()
    assert word("summary", 10, 9) in text
    assert word("summary", 20, 1) not in text


def test_a_changed_right_is_no_news() -> None:
    """The archive is printed anew without what may be shown no longer; no entry is marked as updated."""
    store, public = MemoryStore(), MemoryPublisher()
    tell(store, [[0]] * 6)
    list(shown(store, public, dict.fromkeys(URLS, FREE)))
    before = public.files["archive/atom-1.xml"].decode()
    changes = dict.fromkeys(URLS, Rights(excerpt_characters=0))
    list(shown(store, public, changes))
    after = public.files["archive/atom-1.xml"].decode()
    assert word("summary", 10, 0) in before
    assert word("summary", 10, 0) not in after
    assert re.findall("<updated>.*", before) == re.findall("<updated>.*", after)
    assert publish(store, public, framed(changes), ENTRIES, Cuts((), (Saved("Mine", "title"),))).changed == ()


def test_the_word_on_a_source_outlasts_its_place_in_the_list(tmp_path: Path) -> None:
    """What was said of a source that is listed no more, or is switched off, still holds for its stories."""
    store = SqlStore(f"sqlite:///{tmp_path}/store.db")
    limited = Source(URLS[0], "A", rights=Rights(10, images=False, credit="© A"))
    off = Source(URLS[1], "B", rights=Rights(republish=False))
    store.enlist([limited, Source(URLS[2], "C")], [off], NOW)
    store.enlist([Source(URLS[2], "C")], [off], NOW + timedelta(days=1))
    assert store.rights() == {URLS[0]: limited.rights, URLS[1]: off.rights}
    store.enlist([Source(URLS[0], "A")], [], NOW + timedelta(days=2))
    assert store.rights() == {URLS[1]: off.rights}
    store.close()


def test_what_the_file_says_holds_for_all_that_the_program_publishes(tmp_path: Path) -> None:
    """From the first run on, when it is said later, and when the source is listed no more."""
    told = [
        ("https://a.example/1", "North Korean defector elected to Seoul council", "Counted until zanzibar o'clock.")
    ]
    with serving() as site:
        url = site.put("/feed", rss(told))
        steps = {
            "free": ({"A": url}, ""),
            "taken back": ({"A": url}, "republish = false\n"),
            "listed no more": ({"B": site.put("/other", rss([]))}, ""),
        }
        shown = {}
        for step, (sources, right) in steps.items():
            configure(tmp_path, sources)
            with (tmp_path / "config.toml").open("a", encoding="utf-8") as file:
                file.write(right)
            done = aggregator(tmp_path, "run", "--once", "--now")
            assert done.returncode == 0, done.stderr
            assert [story["title"] for story in feed(tmp_path)] == [told[0][1]]
            files = [path for path in (tmp_path / "public").rglob("*") if path.is_file()]
            shown[step] = sum(b"zanzibar" in path.read_bytes() for path in files)
    assert shown["free"] > 3
    assert (shown["taken back"], shown["listed no more"]) == (0, 0)


def test_rights_are_read_from_the_file(tmp_path: Path) -> None:
    """Each source has its own; where nothing is said, the usual ones hold."""
    file = tmp_path / "config.toml"
    own = 'excerpt_characters = 0\nimages = false\nrepublish = false\ncredit = "© A"\n'
    file.write_text(f'[[source]]\nurl = "{URLS[0]}"\n{own}[[source]]\nurl = "{URLS[1]}"\n', encoding="utf-8")
    one, other = load(file).listed(enabled=True)
    assert (one.rights, other.rights) == (Rights(0, images=False, republish=False, credit="© A"), FREE)
