"""learning, teaching: what the curator's decisions teach, how much it may say, and that it can be forgotten."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator import report, teaching
from aggregator.learning import EITHER, ENOUGH, Lesson, Model, dump, learn, load, signs
from aggregator.memory import MemoryStore
from aggregator.model import Decision, Item, Judged, Reason
from aggregator.ports import Store
from aggregator.store import SqlStore
from aggregator.topics import Judge, load_pack, parse_pack
from tests.command import aggregator, configure, rss
from tests.site import Site

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BIRDS = """
bias = -3.0
band = 1.3
[concepts.bird]
en = "heron*"
[concepts.nest]
en = "nest*"
[concepts.alone]
en = "ornithologist*"
[[rules]]
name = "birds"
all = ["bird"]
weight = 2.5
[[rules]]
name = "birds that nest"
all = ["bird", "nest"]
weight = 1.5
[[rules]]
name = "stands alone"
all = ["alone"]
weight = 5.0
"""
JUDGE = Judge(parse_pack(BIRDS, "birds.toml"), 0.5)
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def item(title: str) -> Item:
    return Item("https://e.org/feed", title, None, title, "", language="en")


def lessons(count: int) -> list[Lesson]:
    """Of a curator who drops all that is about a football club of that name, and keeps the rest."""
    found = []
    for number in range(count):
        one = item(f"Herons {'score in the league' if number % 2 else 'at the river'} on {DAYS[number % 7]} {number}")
        verdict = JUDGE.judge(one, "general")
        found.append(Lesson(tuple(signs(one, verdict.reasons)), JUDGE.odds(verdict.score), number % 2 == 0, one.title))
    return found


def model(count: int = 60) -> Model:
    return learn(lessons(count), JUDGE.own_rules, count)


# --- learning -----------------------------------------------------------------------------------------------------


def test_what_was_decided_on_some_items_weighs_on_others_like_them() -> None:
    """An undecided item is kept or dropped as its likes were, and the words that weigh are told."""
    taught = JUDGE.taught(model())
    kept, dropped = taught.judge(item("Herons at the lake"), "general"), taught.judge(item("Herons league"), "general")
    assert JUDGE.judge(item("Herons league"), "general").decision is Decision.UNDECIDED
    assert (kept.decision, dropped.decision) == (Decision.KEPT, Decision.DROPPED)
    reason = next(reason for reason in dropped.reasons if reason.field == "curator")
    assert reason.concept == "like what was dropped"
    assert "league" in reason.text
    assert reason.weight < 0


def test_teaching_a_judge_costs_nothing() -> None:
    """A judge that is taught, as happens with each round of visits, looks with the table that is there already."""
    pack = load_pack("north-korean-defectors", Path())
    first = Judge(pack, 0.5)

    def cost(judge: Judge) -> float:
        begun = time.process_time()
        judge.judge(item("North Korean defector elected"), "general")
        return time.process_time() - begun

    cost(first)  # whatever else is made but once is made
    assert cost(first.taught(None)) < cost(Judge(pack, 0.5)) / 5


def test_with_few_decisions_nothing_is_said() -> None:
    """Below the number, or without enough of either kind, verdicts and digest are those of the rules."""
    few = model(ENOUGH - 1)
    one_sided = learn([lesson for lesson in lessons(100) if lesson.keep] + lessons(2 * EITHER - 2), "", 1)
    for silent in (few, one_sided):
        assert not silent.active
        assert JUDGE.taught(silent).rules == JUDGE.rules
        assert JUDGE.taught(silent).judge(item("Herons league"), "general") == JUDGE.judge(
            item("Herons league"), "general"
        )


def test_what_foresees_no_better_than_the_rules_says_nothing() -> None:
    """Decisions without a pattern teach nothing, and cross-validation sees it."""
    coin = [Lesson((f"word {n % 7}", f"word {n % 5}"), 0.0, (n * 7919) % 11 < 6, str(n)) for n in range(80)]
    assert learn(coin, "", 80).gain <= 0
    certain = [Lesson(("word x",), 9.0 if n % 2 else -9.0, bool(n % 2), str(n)) for n in range(80)]
    for silent in (learn(coin, "", 80), learn(certain, "", 80)):
        assert not silent.active


def test_it_never_says_more_than_its_decisions_bear() -> None:
    """With few decisions a phrase that stands alone is not overruled, whatever they were."""
    against = model()
    title = "Ornithologists score in the league"
    assert against.most < 2.0
    assert JUDGE.taught(against).judge(item(title), "general").decision is Decision.KEPT
    assert abs(against.weigh([*against.weights])) <= against.most


def test_what_no_rule_speaks_for_is_not_looked_at() -> None:
    """Words that the curator liked bring in nothing that the rules see nothing in, though it names the subject."""
    for title in ("A walk at the river", "Nest at the river"):
        assert not JUDGE.taught(model()).judge(item(title), "general").reasons


def test_what_was_let_stand_is_agreed_to() -> None:
    """Corrections alone would speak against all that they share with what was never corrected."""
    corrections = [lesson for lesson in lessons(80) if not lesson.keep]
    stood = [Lesson(one.signs, one.odds, True, one.text, decided=False) for one in lessons(80) if one.keep]
    alone, beside = learn(corrections, "", 40), learn(corrections + stood, "", 40)
    assert beside.weights.get("rule birds", 0.0) > alone.weights["rule birds"]
    assert (beside.dropped, beside.kept, beside.let_stand) == (40, 0, 40)


def test_the_same_lessons_give_the_same_model() -> None:
    """Also after a journey as JSON or to another process; what cannot be read is no model."""
    one = model()
    assert dump(one) == dump(model())
    assert load(dump(one)) == one
    assert load(dump(one)).digest == one.digest  # type: ignore[union-attr]
    assert load("{}") is load("") is load("no JSON") is None
    taught = JUDGE.taught(one)
    assert taught.rules != JUDGE.rules
    assert pickle.loads(pickle.dumps(taught)).rules == taught.rules


def test_signs_are_seen_in_every_script() -> None:
    """Words of alphabets by their stem, pairs of characters elsewhere, the rules that held, the source."""
    found = signs(item("Hüttenwirte 백로가 둥지 鷺の巣"), [Reason("title", "birds", "heron", 1.0)])
    assert {"word hutten", "word 백로", "word 鹭の", "rule birds", "source https://e.org/feed"} <= found.keys()


# --- teaching -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def decide(store: Store, numbers: range) -> None:
    """The decisions of that curator on items so numbered."""
    with store.begin() as work:
        for number in numbers:
            text = "score in the league" if number % 2 else "at the river"
            one = item(f"Herons {text} on {DAYS[number % 7]} {number}")
            key = work.add(Judged(one, JUDGE.judge(one, "general")), (), NOW + timedelta(minutes=number))
            work.rule(key, "drop" if number % 2 else "keep")


def test_a_store_teaches_once_it_holds_enough_decisions(store: Store) -> None:
    """And then in steps, so that one more decision does not judge everything anew."""
    decide(store, range(ENOUGH - 1))
    assert teaching.taught(store, JUDGE, {}).rules == JUDGE.rules
    decide(store, range(ENOUGH - 1, 60))
    first = teaching.taught(store, JUDGE, {})
    assert first.rules != JUDGE.rules
    decide(store, range(60, 65))
    assert teaching.taught(store, JUDGE, {}).rules == first.rules
    decide(store, range(65, 66))
    assert teaching.taught(store, first, {}).rules != first.rules


def test_other_rules_are_learned_for_anew(store: Store) -> None:
    """What a changed pack knows by now need not be told by the model once more."""
    decide(store, range(60))
    teaching.taught(store, JUDGE, {})
    wiser = Judge(parse_pack(BIRDS + '[[rules]]\nname = "club"\nall = ["nest"]\nweight = 1.0\n', "birds.toml"), 0.5)
    teaching.taught(store, wiser, {})
    learned = teaching.learned(store)
    assert learned is not None
    assert learned.rules == wiser.own_rules


def test_a_model_that_was_forgotten_does_not_return(store: Store) -> None:
    """The decisions stand; only later ones, or those where the curator changed their mind, are learned from."""
    decide(store, range(60))
    teaching.taught(store, JUDGE, {})
    teaching.forget(store)
    assert teaching.taught(store, JUDGE, {}).rules == JUDGE.rules
    assert teaching.learned(store) is None
    assert len(store.rulings()) == 60
    assert teaching.decided(store) == {}
    with store.begin() as work:
        work.rule(1, "drop")
    assert teaching.decided(store) == {1: "drop"}


def test_a_silent_model_says_what_it_lacks() -> None:
    """How many decisions it would have to foresee, a tenth of all more than the rules; or how many of each kind."""
    weak = replace(model(), kept=17, dropped=24, agreed=26, foreseen=30, gain=0.1)
    assert "it would have to foresee 31" in report.model(weak, 43)
    assert "it has a say" in report.model(replace(weak, foreseen=31), 43)
    assert "less sure" in report.model(replace(weak, foreseen=31, gain=0.0), 43)
    assert "5 of each kind" in report.model(replace(weak, kept=38, dropped=3, foreseen=31), 43)


# --- as a curator has it ------------------------------------------------------------------------------------------


def test_what_a_curator_reviews_decides_on_what_comes_next(tmp_path: Path, site: Site) -> None:
    """The model is shown, exported and reset; what it brought in goes again when it is forgotten."""
    places = ["Lisbon", "Oslo", "Rome", "Vienna", "Dublin", "Athens", "Riga", "Turin", "Lyon", "Bergen"]
    entries = [
        (f"https://n.example/{n}", f"Defector speaks {words} in {places[n % 10]}", "")
        for n, words in enumerate(["about chess", "to journalists"] * 20)
    ]
    configure(tmp_path, {"News": site.put("/feed", rss(entries))})
    aggregator(tmp_path, "run", "--once")
    assert "learning begins with" in aggregator(tmp_path, "model").stdout
    assert aggregator(tmp_path, "model", "--export", "m.json").returncode == 2
    answers = [
        "d" if "chess" in line else "k"
        for line in aggregator(tmp_path, "review", answers="n\n" * 50).stdout.splitlines()
        if line.startswith("#")
    ]
    aggregator(tmp_path, "review", answers="\n".join(answers) + "\n")
    late = ("https://n.example/late", "Lottery: journalists ask, defector wins 800,000 euros in Finland", "")
    site.put("/feed", rss([late]))
    aggregator(tmp_path, "run", "--once", "--now")
    told = aggregator(tmp_path, "explain", late[0]).stdout
    assert told.splitlines()[2].startswith("kept")
    assert "curator: like what was kept" in told
    shown = aggregator(tmp_path, "model").stdout
    assert "40 decisions (20 keep, 20 drop)" in shown
    assert "it has a say" in shown
    assert aggregator(tmp_path, "model", "--export", "m.json").returncode == 0
    assert json.loads((tmp_path / "m.json").read_text("utf-8"))["kept"] == 20
    done = aggregator(tmp_path, "model", "--reset")
    assert "forgot what 40 decisions taught" in done.stdout, done.stderr
    assert aggregator(tmp_path, "explain", late[0]).stdout.splitlines()[2].startswith("undecided")
    assert "0 decisions to learn from" in aggregator(tmp_path, "model").stdout
