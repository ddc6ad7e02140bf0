"""What folding reads in a text: concepts, and the marks that tell look-alike events apart."""

from __future__ import annotations

import gc
import weakref

import pytest

from aggregator.facts import facet_of, lexicon, pooled, read, told
from aggregator.likeness import Rarity, features, weights


@pytest.mark.parametrize(
    ("language", "title", "marks"),
    [
        ("en", "North Korean staff sergeant crosses the western front", {"rank.sergeant"}),
        ("ko", "북한군 중사 서부전선 귀순", {"rank.sergeant"}),
        ("zh-TW", "北韓軍中士越過西部戰線", {"rank.sergeant"}),
        ("en", "61 defectors arrived in the first quarter", {"period.first_quarter", "stage.arrived"}),
        ("ja", "脱北者61人が入国 1～3月", {"period.first_quarter", "stage.arrived"}),
        ("ru", "В первом полугодии прибыли 121 беженец", {"period.first_half", "stage.arrived"}),
        ("es", "Llegaron 121 norcoreanos en el primer semestre", {"period.first_half", "stage.arrived"}),
        ("ko", "탈북 여성 구속기소", {"stage.indicted", "who.woman"}),
        ("de", "Boot aus dem Norden im Gelben Meer", {"sea.west", "way.sailed"}),
    ],
)
def test_marks_are_read_in_any_language(language: str, title: str, marks: set[str]) -> None:
    """A rank, a period, a stage, a sea or a way of coming is one mark however it is spelled."""
    assert marks <= read(title, "", language).marks


def test_speakers_are_those_of_the_title() -> None:
    """Who says it stands in the title; who is merely spoken of below does not speak."""
    rapporteur = read("UN rapporteur urges China to stop returns", "The minister was silent.", "en")
    minister = read('통일부 장관 "강제북송 중단해야"', "", "ko")
    assert "speaker.rapporteur" in rapporteur.speakers
    assert "speaker.minister" not in rapporteur.speakers
    assert "speaker.minister" in minister.speakers


def test_marks_are_no_concepts() -> None:
    """What only tells apart adds nothing to what two texts share."""
    facts = read("Army private wades the Imjin River", "", "en")
    assert {"rank.private", "way.waded"} <= facts.marks
    assert facts.concepts.keys() <= facet_of().keys()


def test_pooled_tellings_keep_all_marks() -> None:
    """What any telling of a story marks, the story does."""
    one, other = read("Army private crosses", "", "en"), read("Man in his 20s crosses", "", "en")
    assert {"rank.private", "age.twenties"} <= pooled([one, other]).marks


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("en", "Boat at Daecheong"), ("zh-CN", "大青岛木船")),
        (("ko", "연천 임진강"), ("ru", "Имджин, Ёнчхон")),
        (("ja", "喬桐島"), ("fr", "Sur l'île de Gyodong")),
    ],
)
def test_places_of_crossings_meet_across_languages(one: tuple[str, str], other: tuple[str, str]) -> None:
    """An island, a river or a county is one place in every script, beside the stretch of border that it lies on."""
    told = [read(title, "", language).concepts.keys() for language, title in (one, other)]
    places = {concept for concept in told[0] & told[1] if concept in lexicon()["places"]}
    assert places & {"daecheong", "imjin_river", "gyodong"}


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "Trump"),
        ("ko", "트럼프"),
        ("ja", "トランプ"),
        ("zh-CN", "特朗普"),
        ("zh-TW", "川普"),
        ("ru", "Трампа"),
        ("ar", "ترامب"),
    ],
)
def test_heads_of_state_stand_for_their_country(language: str, title: str) -> None:
    """A text that names the president and one that names the country tell of the same side."""
    assert "usa" in read(f"{title} 2018", "", language).concepts


@pytest.mark.parametrize(
    ("story", "credit"),
    [
        ("He crossed at dawn.", "(Reporting by staff; editing by desk)"),
        ("He crossed at dawn.", "Support independent journalism: donate today."),
        ("그는 새벽에 넘었다.", "무단 전재 및 재배포 금지"),
        ("夜明けに越えた。", "続きを読む"),
        ("他在黎明越境。", "点击阅读全文"),
        ("Cruzó al amanecer.", "(Con información de agencias)"),
        ("Il a franchi la ligne.", "Lire la suite"),
        ("Er kam am Morgen.", "Lesen Sie auch: Wetter"),
        ("Он перешёл границу.", "Читать далее"),
        ("Ele cruzou ao amanhecer.", "Leia mais"),
        ("عبر الحدود فجرا.", "اقرأ المزيد"),
        ("Anh vượt biên lúc rạng sáng.", "Xem thêm"),
    ],
)
def test_what_outlets_say_of_themselves_is_not_told(story: str, credit: str) -> None:
    """Credits, donation texts and links to more are left out in each language; what was told before them stays."""
    assert told(f"{story} {credit}") == story


@pytest.mark.parametrize(
    "dateline",
    [
        "SEOUL (Reuters) - ",
        "(서울=연합뉴스) 김철수 기자 = ",
        "（中央社首爾16日電）",
        "[서울=뉴시스] ",
        "Seúl, 7 ago (EFE).- ",
    ],
)
def test_datelines_and_bylines_are_not_told(dateline: str) -> None:
    """Where and for which agency a text was written is no place of the event."""
    assert told(f"{dateline}북한 군인이 넘어왔다.") == "북한 군인이 넘어왔다."


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    """What a summary tells after its first 1,200 characters, credits not counted, is not looked at."""
    long = "A soldier crossed the border on Sunday, officials said. " * 30 + "A woman swam."
    assert len(told(long)) == 1200
    assert "swim" not in read("Crossing", long, "en").concepts
    assert "swim" in read("Crossing", "Read more here. " * 300 + "A woman swam.", "en").concepts


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("North Korean staff sergeant crosses border", "북한군 이등병 귀순", 1),
        ("North Korean staff sergeant crosses border", "북한군 중사 귀순", 0),
        ("Defector arrivals in the first quarter", "Llegadas de desertores en el primer semestre", 1),
        ("North Korean staff sergeant crosses border", "북한 군인 귀순", 0),
    ],
)
def test_other_ranks_and_periods_speak_against(one: str, other: str, apart: int) -> None:
    """Two texts that tell different ones of a kind are told apart; one that is silent is not."""
    known, further = read(one, "", "en"), read(other, "", "es" if other.startswith("Lle") else "ko")
    assert features(known, further, 0.0, weights().rarity)["marks.apart"] == apart


def test_what_followed_from_a_telling_goes_with_it() -> None:
    """It is worked out once; who remembers it keeps no telling that is needed no more."""
    rarity, telling = Rarity({}), read("North Korean soldier crosses the border", "", "en")
    assert rarity.told(telling) is rarity.told(telling)
    gone = weakref.ref(telling)
    del telling
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("digits", ["1" * 400, "１" * 400, "9" * 400 + " million", "1e999"])
def test_a_number_beyond_all_numbers_tells_nothing(digits: str) -> None:
    """A source that sends one lost all its visits to it: what they brought could not be stored."""
    assert not read(f"Defector {digits} speaks", digits, "en").numbers.keys() - {"1", "999"}
