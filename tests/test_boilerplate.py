"""What many items of one source share, and folding: it says nothing of any of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregator.boilerplate import SHARED, with_stock, without
from aggregator.model import Decision, Founds, Item, Joins, Judged, StoredItem, StoredStory, Verdict
from aggregator.stories import Folder
from aggregator.words import sentence_hash, sentences
from tests.command import NOT_SERVED, aggregator, configure, rss
from tests.site import serving

NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)
KEPT = Verdict(Decision.KEPT, 0.9, (), "")
ABOUT = (  # no agency's, so no pattern knows it
    "Our letter is sent from Incheon by volunteers who teach the children of women from Hyesan and Musan. "
    "Since 2009 they have brought 412 of them across the Mekong to Bangkok. "
    "Who wants to help them learn writes to Kim Sook-ja."
)
TOLD = [
    ("North Korean defector opens a noodle shop", f"She sells 80 bowls on a good day. {ABOUT}"),
    ("Young North Korean defector wins an essay prize", f"He wrote about his teacher. {ABOUT}"),
    ("North Korean escapees meet for a harvest supper", f"Rice cakes were shared. {ABOUT}"),
]
LATER = ("North Korean defectors found a choir", f"It sings on Sundays. {ABOUT}")


def judged(title: str, summary: str, **more: object) -> Judged:
    item = Item("https://letter.example/feed", title, None, title, summary, published=NOW, language="en")
    return Judged(replace(item, **more), KEPT)  # type: ignore[arg-type]


def stock(*document: Judged, known: frozenset[int] = frozenset()) -> list[tuple[int, ...]]:
    return [one.item.stock for one in with_stock(document, known)]


def stories(folder: Path) -> list[set[str]]:
    """The titles of each published story's members."""
    feed = json.loads((folder / "public" / "feed.json").read_text(encoding="utf-8"))
    return [{member["title"] for member in entry["_story"]["members"]} for entry in feed["items"]]


def test_what_a_source_says_of_itself_folds_no_two_of_its_items() -> None:
    """Items that have only that in common are stories of their own; told in full, they would be one."""
    folder = Folder()
    for known, together in ((TOLD, False), (TOLD[:2], True)):
        one, other = (one.item for one in with_stock([judged(*told) for told in known], frozenset())[:2])
        story = StoredStory("urn:uuid:1", False, NOW, NOW, 1, (StoredItem(1, one, KEPT, NOW, "urn:uuid:1"),))
        assert isinstance(folder.place(other, [story], NOW), Founds) != together


def test_what_is_known_of_earlier_documents_counts_too() -> None:
    """A single new item is read without the sentences that its source's earlier ones shared."""
    known = frozenset(map(sentence_hash, sentences(ABOUT)))
    assert stock(judged(*LATER), known=known) == [tuple(sorted(known))]
    assert without(LATER[1], known) == "It sings on Sundays."


def test_what_stands_under_one_title_or_comes_from_other_outlets_is_no_boilerplate() -> None:
    """A document may hold an entry several times; and what a search feed's outlets share is the news itself."""
    assert stock(*[judged(*TOLD[0], id=str(number)) for number in range(SHARED)]) == [()] * SHARED
    wire = [judged(*told, publisher=f"Outlet {number}") for number, told in enumerate(TOLD)]
    assert stock(*wire, known=frozenset(map(sentence_hash, sentences(ABOUT)))) == [()] * SHARED


def test_reports_of_one_event_that_begin_alike_still_fold() -> None:
    """What a text begins with tells what it is about; only where all of it is shared, that is left out, too."""
    event = "Tae Yong-ho, who was deputy ambassador in London, was named secretary general of the council on Thursday."
    told = [
        judged(
            "Former envoy joins council that advises president", f"{event} He defected in 2016. The term is two years."
        ),
        judged(
            "President names defector to council", f"{event} He defected in 2016. The opposition called it a mistake."
        ),
        judged("Tae Yong-ho named to unification council", f"{event} He defected in 2016. He thanked all."),
    ]
    one, other = (read.item for read in with_stock(told, frozenset())[:2])
    assert one.stock == other.stock == (sentence_hash("He defected in 2016."),)
    story = StoredStory("urn:uuid:1", False, NOW, NOW, 1, (StoredItem(1, one, KEPT, NOW, "urn:uuid:1"),))
    assert isinstance(Folder().place(other, [story], NOW), Joins)
    about = [judged(title, ABOUT) for title, _ in TOLD]
    assert all(len(found) == 3 for found in stock(*about))


ALONE = NOT_SERVED.replace("[topic]\n", '[topic]\npack = "coral-reefs"\n')
ONE_OF_SEVERAL = """\
[fetch]
allow_private_addresses = true
[server]
listen = ""
[store]
url = "sqlite:///aggregator.db"
[[subject]]
name = "escapes"
[subject.feed]
title = "Escapes"
output = "public"
[subject.topic]
pack = "coral-reefs"
max_age_days = 0
"""


@pytest.mark.parametrize("head", [ALONE, ONE_OF_SEVERAL], ids=["alone", "one of several"])
def test_changed_rules_are_not_misled_by_what_a_source_says_of_itself(tmp_path: Path, head: str) -> None:
    """What was dropped is judged anew without it, as it was when it came; what tells of the subject enters."""
    about = "The letter is written by North Korean defectors who live in Seoul."
    named = "North Korean defector opens a noodle shop in Busan"
    titles = (
        "Bread prices rise in Paris",
        "Museum shows old maps",
        "Rain in the north of Spain",
        "Ferry is late",
        named,
    )
    entries = [(f"https://letter.example/{number}", title, about) for number, title in enumerate(titles)]
    with serving() as site:
        configure(tmp_path, {"letter": site.put("/letter", rss(entries))}, head)
        assert aggregator(tmp_path, "run", "--once").returncode == 0
        assert stories(tmp_path) == []
        configure(tmp_path, {"letter": f"{site.address}/letter"}, head.replace("coral-reefs", "north-korean-defectors"))
        assert aggregator(tmp_path, "run", "--once").returncode == 0
        assert stories(tmp_path) == [{named}]


def test_items_with_a_sources_words_about_itself_are_published_apart(tmp_path: Path) -> None:
    """From the first document on, and those of later ones, too."""

    def document(*told: tuple[str, str]) -> bytes:
        return rss([(f"https://letter.example/{title[-5:]}", title, summary) for title, summary in told])

    with serving() as site:
        configure(tmp_path, {"letter": site.put("/letter", document(*TOLD), "application/rss+xml")})
        assert aggregator(tmp_path, "run", "--once").returncode == 0
        assert sorted(map(len, stories(tmp_path))) == [1, 1, 1]
        site.put("/letter", document(LATER, *TOLD), "application/rss+xml")
        assert aggregator(tmp_path, "run", "--once", "--now").returncode == 0
        assert sorted(map(len, stories(tmp_path))) == [1, 1, 1, 1]
