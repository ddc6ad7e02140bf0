"""How texts on a subject are phrased: what learned weights of short strings add to the rules, and how they are read."""

from __future__ import annotations

import base64
import json
import pickle
from array import array
from pathlib import Path

import pytest

from aggregator.errors import ConfigError
from aggregator.model import Decision, Item
from aggregator.phrasing import Phrasing, buckets, read_phrasing
from aggregator.topics import Judge, load_pack

HERE = Path(__file__).parent
COUNT = 4096
BIRDS = """
bias = -2.0
[concepts.bird]
en = "heron*"
[concepts.nest]
en = "nest*"
[concepts.cage]
en = "cage*"
[[rules]]
name = "birds that nest"
all = ["bird", "nest"]
weight = 4.0
[[rules]]
name = "birds in cages"
all = ["bird", "cage"]
weight = -6.0
"""


def taught(*asked: str, likes: str = "chicks", dislikes: str = "club") -> str:
    """A file by hand: it knows two words."""
    weights = array("b", bytes(COUNT))
    for word, value in ((likes, 100), (dislikes, -100)):
        for bucket in buckets(word, COUNT):
            weights[bucket] = value
    return json.dumps(
        {"asked": asked, "step": 0.02, "bias": 0.0, "weights": base64.b85encode(weights.tobytes()).decode()}
    )


@pytest.fixture
def birds(tmp_path: Path) -> Judge:
    (tmp_path / "birds.toml").write_text(BIRDS, "utf-8")
    (tmp_path / "birds.phrasing.json").write_text(taught("bird"), "utf-8")
    return Judge(load_pack("birds.toml", tmp_path), 0.5)


def item(title: str, summary: str = "") -> Item:
    return Item("https://e.org/feed", title, None, title, summary, language="en")


def test_what_the_rules_leave_unsure_is_weighed_by_its_phrasing(birds: Judge) -> None:
    """The log-odds stand among the reasons, with the words that weighed most, and the score is their sum."""
    verdict = birds.judge(item("Heron chicks"), "general")
    (reason,) = verdict.found
    assert (reason.field, reason.concept) == ("phrasing", "reads like the subject")
    assert reason.text == "chicks"
    assert verdict.decision is Decision.KEPT
    assert birds.odds(verdict.score) == pytest.approx(-2 + reason.weight, abs=0.01)
    assert birds.judge(item("Heron club"), "general").reasons == ()  # it speaks only in favour


def test_phrasing_is_looked_at_only_where_it_may_matter(birds: Judge) -> None:
    """What rules keep or speak against, and what names nothing of the subject, is judged by rules alone."""
    against = ("A nest for the caged heron, with chicks", "Caged heron chicks")  # the second: no rule could favour it
    for title in ("The heron's nest of the club", *against, "Chicks, chicks, chicks"):
        assert "phrasing" not in {reason.field for reason in birds.judge(item(title), "general").reasons}


def test_a_text_of_nothing_but_marks_weighs_no_more_than_the_bias() -> None:
    """Marks are strings, too, but nothing was learned of them."""
    phrasing = read_phrasing(taught("bird"), "birds.phrasing.json", ("bird",))
    assert phrasing.weigh(item("", "\u200b")) == (0.0, ())
    assert phrasing.weigh(item("!?", "…"))[0] == 0.0


def test_what_was_learned_is_part_of_the_rules_and_travels_with_the_judge(tmp_path: Path, birds: Judge) -> None:
    """Another file is another digest, so that what is stored is judged anew; a copy elsewhere says the same."""
    heron = item("Heron chicks")
    copy = pickle.loads(pickle.dumps(birds))
    assert copy.rules == birds.rules
    assert copy.judge(heron, "general") == birds.judge(heron, "general")
    (tmp_path / "birds.phrasing.json").write_text(taught("bird", likes="eggs"), "utf-8")
    other = Judge(load_pack("birds.toml", tmp_path), 0.5)
    (tmp_path / "birds.phrasing.json").unlink()
    alone = Judge(load_pack("birds.toml", tmp_path), 0.5)
    assert len({birds.rules, other.rules, alone.rules}) == 3
    assert alone.judge(heron, "general").reasons == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no file of learned phrasing"),
        ("[]", "no file of learned phrasing"),
        ('{"asked": [], "step": 1, "bias": 0, "weights": "\\u20ac"}', "no file of learned phrasing"),
        ('{"asked": [], "step": 1, "bias": 0, "weights": ""}', "holds no weights"),
        (taught("fish"), "names concepts that the pack has not: fish"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(text: str, complaint: str) -> None:
    """The complaint names the file and the cause."""
    with pytest.raises(ConfigError, match=rf"birds\.phrasing\.json.*{complaint}"):
        read_phrasing(text, "birds.phrasing.json", ("bird",))


def test_the_pack_that_ships_knows_how_its_subject_is_phrased() -> None:
    """A headline that no rule is sure of is kept by how it reads; ordinary news of the same towns is not."""
    pack = load_pack("north-korean-defectors", HERE)
    assert isinstance(pack.phrasing, Phrasing)
    weigh = pack.phrasing.weigh
    assert weigh(item("She fled across the frozen river by night and has not seen her mother since"))[0] > 0
    assert weigh(item("Central bank in Seoul leaves interest rates unchanged"))[0] < 0
