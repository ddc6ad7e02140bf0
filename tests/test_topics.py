"""topics: whether an item belongs to the subject, and why."""

import dataclasses
import math
import pickle
import re
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from aggregator.errors import ConfigError
from aggregator.model import Decision, Item, Verdict
from aggregator.report import explanation
from aggregator.topics import Judge, load_pack, parse_pack
from aggregator.words import sentence_hash
from tests.curation.relevance import DATA, judge, read, score

HERE = Path(__file__).parent
DEFECTORS = load_pack("north-korean-defectors", HERE)
JUDGE = Judge(DEFECTORS, 0.5)

SMALL = """
bias = -3.0
band = 1.3
[scopes.birds]
prior = 1.0
implies = ["bird"]
[concepts.bird]
en = "heron*; *gull"
de = "reiher*"
[concepts.act]
en = "nest*"
[concepts.club]
any = "Herons FC"
[masks]
en = "heron street"
[boilerplate]
en = "subscribe"
[[rules]]
name = "birds that nest"
all = ["bird", "act"]
none = ["club"]
weight = 4.0
[[rules]]
name = "bird"
all = ["bird"]
weight = 2.0
[[rules]]
name = "the club"
all = ["club"]
weight = -2.0
"""
SMALL_JUDGE = Judge(parse_pack(SMALL, "birds.toml"), 0.5)


def item(title: str, summary: str = "", language: str | None = "en", **more: Any) -> Item:
    return dataclasses.replace(Item("s", "1", None, title, summary, language=language), **more)


def small(title: str, summary: str = "", scope: str = "general", **more: Any) -> Verdict:
    return SMALL_JUDGE.judge(item(title, summary, **more), scope, frozenset())


def kept(title: str, summary: str = "", language: str | None = "en") -> bool:
    return JUDGE.judge(item(title, summary, language), "general", frozenset()).decision is Decision.KEPT


# --- the rules ---


def test_concepts_that_meet_are_evidence() -> None:
    """Two concepts in the title make a rule hold; the verdict names the rule and the text it matched."""
    verdict = small("Herons are nesting")
    assert verdict.decision is Decision.KEPT
    assert [(reason.field, reason.concept, reason.text) for reason in verdict.reasons] == [
        ("title", "birds that nest", "Herons … nesting"),
        ("title", "bird", "Herons"),
        ("pack", "before any evidence", ""),
    ]
    assert str(verdict.reasons[0]) == "title: Herons … nesting"


@pytest.mark.parametrize("labelled", ["items.jsonl", "relevance_more.jsonl"])
def test_what_is_printed_of_a_verdict_adds_up_to_its_score(labelled: str) -> None:
    """The log-odds that `explain` prints, the pack's bias among them, give the printed score, but for rounding."""
    for one, verdict in judge(read(DATA / labelled), scope="north-korea"):
        said, *lines = explanation(verdict).splitlines()
        weights = [float(line.split()[0]) for line in lines if line.startswith(("  +", "  -"))]
        assert len(weights) == len(verdict.reasons)
        if weights:
            score = 1 / (1 + math.exp(-sum(weights)))
            assert float(said.split()[-1]) == pytest.approx(score, abs=0.006 + 0.005 * len(weights) / 4), one.item.title


def test_an_item_just_below_the_threshold_is_undecided() -> None:
    """One odds-band below is for review; far below is dropped."""
    assert small("A heron").decision is Decision.UNDECIDED
    assert small("A horse").decision is Decision.DROPPED


def test_where_it_stands_decides_how_much_it_counts() -> None:
    """Title before first sentence, first sentence before later ones, those before the body."""
    scores = [
        small("A heron").score,
        small("News", "A heron. Rain.").score,
        small("News", "Rain. A heron.").score,
        small("News", "Rain.", body="A heron.").score,
        small("News", "Rain.").score,
    ]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def test_title_and_summary_together_can_make_a_rule_hold() -> None:
    """What the title leaves open the summary may say, and the categories, too."""
    assert small("A heron", "It nests here.").reasons[0].concept == "birds that nest"
    assert small("The nest", categories=("Herons",)).reasons[0].concept == "birds that nest"


def test_mentions_in_passing_never_keep_an_item_alone() -> None:
    """Later sentences and the body add at most what [places] allows them, however often they say it."""
    verdict = small("News", "Rain. Herons nest. A gull nests.", body="Herons nest. " * 20)
    assert verdict.decision is Decision.DROPPED
    assert sum(reason.weight for reason in verdict.found) == pytest.approx(1.6, abs=0.01)


def test_mentions_in_passing_never_throw_an_item_out() -> None:
    """What speaks against in later sentences takes away as little as what speaks for adds there."""
    strict = Judge(parse_pack(SMALL.replace("weight = -2.0", "weight = -20.0"), "birds.toml"), 0.5)
    title, tail = "Herons are nesting", "Rain. Herons FC lost. " * 3
    assert strict.judge(item(title, tail), "general").decision is Decision.KEPT
    assert strict.judge(item(title, "Herons FC lost."), "general").decision is Decision.DROPPED


@pytest.mark.parametrize(
    "mention",
    [
        "Meanwhile the price of rice rose in Pyongyang after a poor harvest.",
        "Artillery fire was heard from the island on Monday.",
        "Trash balloons fell on Seoul again.",
        "The pilot Belenko flew to Japan in 1976.",
        "Heavy rain and floods are forecast.",
    ],
)
def test_one_word_of_something_else_throws_out_no_plain_tale(mention: str) -> None:
    """Nobody here is called a defector, and the last sentence is of something that the pack excludes."""
    assert kept("A North Korean family starts anew in Seoul", f"The bakery opened in May. {mention}")


def test_a_rule_may_ask_that_its_concepts_stand_near_each_other() -> None:
    """Within so many characters, from the first beginning to the last end, in one text."""
    near = Judge(parse_pack(SMALL.replace("weight = 4.0", "weight = 4.0\nnear = 20"), "birds.toml"), 0.5)
    rules = [
        {reason.concept for reason in near.judge(item(*texts), "general", frozenset()).found}
        for texts in (("Herons nest here",), ("Herons, seen by many people, nest",), ("Herons", "They nest."))
    ]
    assert rules == [{"birds that nest", "bird"}, {"bird"}, {"bird"}]


def test_a_source_of_the_subject_need_not_name_it() -> None:
    """A scope implies concepts and adds its prior, as a reason; a scope that is not known expects nothing."""
    verdict = small("The nest", scope="birds")
    assert verdict.decision is Decision.KEPT
    assert any(reason.field == "source" and reason.weight == 1.0 for reason in verdict.reasons)
    assert small("The nest", scope="planets").decision is Decision.DROPPED


def test_contexts_and_masks_exclude() -> None:
    """A concept in "none" makes a rule void, a negative rule counts against, a mask hides what it covers."""
    assert small("Herons FC nest atop the table").decision is Decision.DROPPED
    assert small("Fire in Heron Street").reasons == ()


def test_boilerplate_does_not_count() -> None:
    """Neither a sentence with a boilerplate phrase, nor one that many items of the source share."""
    assert small("News", "Subscribe for herons that nest.").reasons == ()
    sentence = "Herons nest."
    shared = frozenset({sentence_hash(sentence)})
    assert SMALL_JUDGE.judge(item("News", sentence), "general", shared).reasons == ()


@pytest.mark.parametrize("language", ["en", "de-AT", "sw", None])
def test_what_language_an_item_claims_makes_no_difference(language: str | None) -> None:
    """Many feeds claim a wrong one."""
    assert small("Die Reiher nisten", language=language).score == small("Die Reiher nisten", language="de").score
    assert small("Die Reiher nisten", language=language).reasons != ()


def test_an_item_without_a_title_is_judged_by_its_first_sentence() -> None:
    """Some feeds have no titles: the lead stands in."""
    assert small("", "Herons nest. Rain.").score == small("Herons nest.", "Rain.").score


# --- the pack ---


def test_every_mistake_in_a_pack_is_named() -> None:
    """All problems at once, each with the place, and for a misspelt key or concept the nearest known one."""
    broken = SMALL.replace("prior", "priro").replace('all = ["bird"]', 'all = ["brid"]').replace("weight = -2.0", "")
    with pytest.raises(ConfigError) as caught:
        parse_pack(broken + '[concpets]\n[places]\nlead = "much"', "birds.toml")
    text = str(caught.value)
    assert 'unknown key "priro"; did you mean "prior"?' in text
    assert 'a concept "brid" that is not there; did you mean "bird"?' in text
    assert 'rule "the club" needs a number for "weight"' in text
    assert 'unknown key "concpets"; did you mean "concepts"?' in text
    assert '[places]: "lead" must be a number' in text
    assert len(caught.value.problems) == 5


def test_what_is_no_pack_is_refused() -> None:
    """Broken TOML, an empty file, terms that are no string, a language that is none: each in words."""
    for text, words in (
        ("a = ", "not readable as TOML"),
        ("", "at least one concept"),
        (SMALL.replace('"nest*"', '["nest*"]'), 'one string with ";" between'),
        (SMALL.replace('"nest*"', '"**"'), "no letter to look for"),
        (SMALL.replace('any = "Herons FC"', 'english = "Herons FC"'), "is no language"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse_pack(text, "birds.toml")


def test_a_pack_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    """One that ships by its name, one of the operator's by its path, relative to the configuration."""
    (tmp_path / "birds.toml").write_text(SMALL, "utf-8")
    assert load_pack("birds.toml", tmp_path).name == "birds"
    assert load_pack("coral-reefs", tmp_path).name == "coral-reefs"
    with pytest.raises(ConfigError, match="those that ship: coral-reefs, north-korean-defectors"):
        load_pack("north-korea", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_pack("missing.toml", tmp_path)


def test_the_digest_of_the_rules_changes_with_them() -> None:
    """The same pack and threshold give the same digest; any change gives another."""
    again = Judge(parse_pack(SMALL, "birds.toml"), 0.5).rules
    assert again == SMALL_JUDGE.rules
    assert Judge(parse_pack(SMALL, "birds.toml"), 0.6).rules != again
    assert Judge(parse_pack(SMALL.replace("heron*", "heron"), "birds.toml"), 0.5).rules != again


def test_a_judge_can_be_sent_to_another_process() -> None:
    """And says there what it says here."""
    other = pickle.loads(pickle.dumps(JUDGE))
    news = item("North Korean soldier defects across DMZ")
    assert other.judge(news, "general", frozenset()) == JUDGE.judge(news, "general", frozenset())


# --- the subject ---


@pytest.mark.parametrize(
    ("title", "language"),
    [
        ("Żołnierz z Korei Północnej uciekł na południe", "pl"),
        ("Diplomatico nordcoreano chiede asilo a Seul", "it"),
        ("انشقاق جندي كوري شمالي عبر الحدود", "ar"),
        ("Tentara Korut membelot ke Korsel", "id"),
        ("Binh sĩ Triều Tiên đào tẩu sang Hàn Quốc", "vi"),
        ("ทหารเกาหลีเหนือหนีเข้าเกาหลีใต้", "th"),
        ("Хойд Солонгосын цэрэг өмнөд рүү оргожээ", "mn"),
        ("Desertor norte-coreano conta sua história", "pt"),
        ("Soldier walks over MDL, asks to stay in South", "en"),
        ("탈북 청소년 대안학교 개교", "ko"),
        ("脫北者協會籲停止強制遣返", "zh-TW"),
        ("Сеул признал ветераном офицера, бежавшего с Севера в 1983 году", "ru"),
        ("Pochi mesi dopo essere fuggita dal Nord apre una bottega a Seul", "it"),
        ("Koreaanse houthakkers uit Tynda gevlucht: veertig jaar later", "nl"),
        ("Khabarovsk'taki Koreli oduncuların firarı: kaçan iki işçi anlatıyor", "tr"),
        ("방콕 이민국 수용소의 어머니와 딸, 함흥 떠난 지 석 달", "ko"),
        ("Полонений кореєць у Києві: «не хочу додому»", "uk"),
        ("朝鲜母亲被卖后,延吉没有户口的孩子们", "zh-CN"),
        ("Ein Jeep rast durch Panmunjom, Soldaten eröffnen das Feuer", "de"),
        ("Doce semanas en Anseong: aprender a vivir de nuevo", "es"),
        ("Mathe-Olympiade: Schüler verschwindet im Konsulat in Hongkong", "de"),
        ("Gymnast who vaulted fence goes home over it a year on", "en"),
        ("Venticinque nell'ambasciata spagnola a Pechino: «Portateci a Seul»", "it"),
        ("Zwei Männer in Panmunjom über die Linie gezerrt: Video veröffentlicht", "de"),
        ("La tía del dictador abrió una tintorería en Nueva York", "es"),
        ("Семья приплыла из КНДР на лодке без мотора", "ru"),
        ("青森に漂着の家族4人、ソウルへ出発", "ja"),
        ("Spionne déguisée : une fausse réfugiée condamnée à Séoul", "fr"),
        ("Kuzey Koreli kadınlar Çin'de seks ticaretine satılıyor", "tr"),
        ("Świadek z obozu w Korei Północnej zmienia swoją historię", "pl"),
    ],
)
def test_the_subject_is_known_in_many_languages(title: str, language: str) -> None:
    """A bare title is enough, also where the item does not say its language."""
    assert kept(title, language=language)
    assert kept(title, language=None)


@pytest.mark.parametrize(
    ("title", "language"),
    [
        ("Cuban pitcher defects during tournament", "en"),
        ("Tory MP defects to Labour", "en"),
        ("Defector: a sports site owned by its writers", "en"),
        ("North Korea fires missile over Japan", "en"),
        ("US soldier runs across border into North Korea", "en"),
        ("대북송금 사건 재판 시작", "ko"),
        ("多只基金正在发行", "zh"),
        ("Belarussische Sprinterin flieht nach Polen", "de"),
        ("40대 남성 월북 시도하다 체포", "ko"),
        ("김장 나눔…독거노인·다문화가정·탈북민 등 소외계층에 전달", "ko"),
        ("北韓砲擊延坪島 居民搭船逃離家園", "zh-TW"),
        ("Palloncini di spazzatura dalla Corea del Nord cadono a Seul", "it"),
        ("Museum shows Belenko's MiG-25 and the flight to Hakodate", "en"),
        ("Sinopsis Crash Landing on You Episode 3: Se-ri Bertemu Tentara Korea Utara", "id"),
        ("Перебежчики межсезонья: кто сменил СКА на ЦСКА", "ru"),
        ("Crew of three with engine trouble had no wish to defect and is sent home by Seoul", "en"),
        ("US missionary walks into North Korea over frozen river", "en"),
        ("北 목선 3명 기관 고장으로 NLL 넘어…귀순 의사 없어 송환", "ko"),
        ("Soldados norcoreanos cruzan por error la frontera", "es"),
        ("Bateaux fantômes venus de Corée du Nord sur les plages du Japon", "fr"),
        ("Kims Sklaven: Nordkoreaner auf deutschen Baustellen", "de"),
    ],
)
def test_look_alikes_are_left_out(title: str, language: str) -> None:
    """Other countries' defectors, party switchers, the site, the state's own news, those who go north or only run from
    shells, lists of those in need, synopses, castaways who want home, workers abroad who do not flee."""
    assert not kept(title, language=language)


@pytest.mark.parametrize(("name", "floor"), [("items.jsonl", 0.97), ("relevance_more.jsonl", 0.95)])
def test_relevance_stays_above_its_floor(name: str, floor: float) -> None:
    """F1 on the labelled items, without any vectors."""
    assert score(judge(read(DATA / name))).f1 >= floor


def test_a_pack_on_another_subject_needs_no_new_code() -> None:
    """The example pack is right about all of its own labelled items."""
    assert score(judge(read(HERE / "data" / "coral-reefs" / "items.jsonl"), "coral-reefs")).f1 == 1.0


def test_the_tutorial_can_be_followed_step_by_step() -> None:
    """After each step that writes some of the pack, the pack can be read; at the end it judges as the text says."""
    tutorial = (HERE.parent / "docs" / "packs.md").read_text("utf-8").partition("## Tutorial")[2]
    blocks = re.findall(r"^    ```toml\n(.*?)^    ```", tutorial, re.MULTILINE | re.DOTALL)
    steps = [textwrap.dedent(block) for block in blocks if "pack =" not in block]
    assert len(steps) == 4
    for count in range(1, len(steps) + 1):
        pack = parse_pack("\n".join(steps[:count]), "reefs.toml")
    reefs = Judge(pack, 0.5)
    assert reefs.judge(item("Coral disease spreads"), "general").decision is Decision.KEPT
    assert reefs.judge(item("Bleaching spreads north"), "general").decision is Decision.DROPPED
    assert reefs.judge(item("Bleaching spreads north"), "reefs").decision is Decision.KEPT
    assert reefs.judge(item("Coral reefs inspire lipstick"), "general").decision is not Decision.KEPT


def test_a_pack_need_not_name_the_scope_that_every_source_has() -> None:
    """ "general" promises nothing, and is there in a pack without scopes."""
    assert parse_pack(SMALL, "birds.toml").scopes["general"].prior == 0.0


def test_an_item_with_no_term_of_the_subject_costs_little() -> None:
    """Under 100 µs, the best of many, for a title and a summary of 200 characters."""
    news = item("City council approves new budget for schools", "The vote was close, and libraries will get more. " * 4)
    best = 1.0
    for _ in range(200):
        start = time.perf_counter()
        JUDGE.judge(news, "general", frozenset())
        best = min(best, time.perf_counter() - start)
    assert best < 100e-6
