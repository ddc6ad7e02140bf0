"""words: one form for all spellings, sentences, and terms found as their script asks."""

import pickle
import time
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregator import words
from aggregator.topics import load_pack
from aggregator.words import Matcher, comparable, sentence_hash, sentences

wild = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)


@given(wild)
@example("ｶﾞ½ﬁİ\u0345")
def test_comparable_text_stays_as_it_is(text: str) -> None:
    """Making a comparable text comparable changes nothing."""
    once = comparable(text)
    assert comparable(once) == once


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Überläufer", "UBERLAUFER"),
        ("désertés", "desertes"),
        ("перебе́жчик ещё", "перебежчик еще"),
        ("脫北者 歸順", "脱北者 归顺"),
        ("帰国 対北", "歸國 對北"),
        ("ﾀﾞｯﾎﾟｸ", "ダッポク"),
        ("ＮＫ news", "nk news"),
        ("탈북민", "탈북민"),
        ("it’s North–South", "it's north-south"),
        ("zero\u200bwidth\u202e", "zerowidth"),
        ("المُنشقّين إلى", "المنشقين الي"),
        ("Gdańsk łódź", "gdansk lodz"),
        ("Đào tẩu", "dao tau"),
    ],
)
def test_spellings_of_one_word_are_one(one: str, other: str) -> None:
    """Accents, width, composition, punctuation's shape and Han variants make no difference."""
    assert comparable(one) == comparable(other)


def test_different_letters_stay_different() -> None:
    """й is not и, and kana voicing is not an accent."""
    assert comparable("й") != comparable("и")
    assert comparable("ガ") != comparable("カ")


def found(terms: list[str], text: str, masks: tuple[str, ...] = ()) -> list[str]:
    return [match.text for match in Matcher({"x": terms}, masks).find(text)]


@pytest.mark.parametrize(
    ("term", "text", "matches"),
    [
        ("defector*", "Two DEFECTORS, one predefector", ["DEFECTORS"]),
        ("link", "linked, link. LiNK는", ["link", "LiNK"]),
        ("*flüchtling*", "Bürgerkriegsflüchtlinge", ["flüchtlinge"]),
        ("nordkoreanisch* Überläufer*", "ein nordkoreanischer Überläufer", ["nordkoreanischer Überläufer"]),
        ("North Korean", "a North-Korean, a north\u00a0 korean", ["North-Korean", "north\u00a0 korean"]),
        ("N. Korean", "N.Korean N Korean", ["N.Korean", "N Korean"]),
        ("North Korean", "He went north. Korean officials", []),
        ("Shin Dong-hyuk", "Shin Donghyuk and Shin Dong Hyuk’s", ["Shin Donghyuk", "Shin Dong Hyuk"]),
        ("перебежчик*", "Перебежчики из КНДР", ["Перебежчики"]),
        ("أمم متحدة", "قالت الأمم المتحدة", ["أمم المتحدة"]),
        ("북송", "대북송금 북송을 강제북송", ["북송"]),
        ("탈북*", "탈북민이 재탈북", ["탈북민이"]),
        ("*탈북*", "재탈북자", ["탈북자"]),
        ("박상학", "박상학씨의 박상학원", ["박상학"]),
        ("북한 이탈주민", "북한이탈주민은 북한 이탈주민", ["북한이탈주민", "북한 이탈주민"]),
        ("脱北", "脫北者が脱北した", ["脫北", "脱北"]),
        ("パク・サンハク", "パクサンハク氏 パク・サンハク氏", ["パクサンハク", "パク・サンハク"]),
        ("منشق*", "والمنشقين", ["منشقين"]),
        ("ผู้แปรพักตร์", "กลุ่มผู้แปรพักตร์ชาวเกาหลีเหนือ", ["ผู้แปรพักตร์"]),
    ],
)
def test_a_term_is_found_as_its_script_asks(term: str, text: str, matches: list[str]) -> None:
    """Whole words in alphabets, word starts and particles in Hangul, anywhere in Han, kana and Thai."""
    assert found([term], text) == matches


def test_a_mask_uses_up_what_it_covers() -> None:
    """A longer phrase hides the term inside it, and only there."""
    assert found(["金正"], "基金正在流出，金正恩", ("基金正",)) == ["金正"]


@given(wild, st.sampled_from(["North-Korean defectors", "脱北者", "탈북민이", "Überläufer", "ﾀﾞ脫北"]), wild)
def test_a_match_is_the_text_that_stands_there(before: str, term: str, after: str) -> None:
    """Start and end are places in the text as it came, whatever surrounds them."""
    matcher = Matcher({"x": ["north korean*", "defector*", "脱北*", "탈북*", "überläufer"]})
    text = f"{before} {term} {after}"
    matches = matcher.find(text)
    assert matches
    assert all(text[match.start : match.end] == match.text for match in matches)


@given(wild)
@example("“Überläufer”, N. Korea: 脱北者")
@example("ﾀﾞ")
def test_a_text_that_is_compared_letter_by_letter_is_aligned_as_any_other(text: str) -> None:
    """The short way, where it can be gone, leads to the same letters at the same places as the long one."""
    if (short := words._letter_by_letter(text)) is not None:
        long = words._cluster_by_cluster(text)
        assert (short[0], [*short[1]], [*short[2]]) == long


def test_a_longer_find_stands_for_the_shorter_of_its_name() -> None:
    """Of one name's overlapping terms only the longest counts."""
    assert found(["north korea*", "north korean defector*"], "North Korean defectors") == ["North Korean defectors"]


def test_a_matcher_can_be_sent_to_another_process() -> None:
    """It is built anew from its terms."""
    matcher = pickle.loads(pickle.dumps(Matcher({"x": ["a b"]}, ["c a b"])))
    assert [match.start for match in matcher.find("a-b, c a b")] == [0]


def test_a_text_without_any_term_costs_little() -> None:
    """A title and summary of 500 characters take well under 100 µs against thousands of terms."""
    matcher = Matcher({str(n): [f"term{n} of*", f"말{n}"] for n in range(3000)})
    for text in ("Ein längerer Text über gar nichts. " * 14, "日本語の文章です。" * 55, "Plain words of news. " * 24):
        best = min(_seconds(matcher, text) for _ in range(50))
        assert best < 100e-6


def _seconds(matcher: Matcher, text: str) -> float:
    start = time.perf_counter()
    matcher.find(text)
    return time.perf_counter() - start


def test_sentences_end_where_a_reader_would_say_so() -> None:
    """Initials and titles end none; a line break, a Japanese full stop and a bar do."""
    text = "N. Korea and the U.S. met Mr. Kim. He left. 脱北者が来た。そして帰った\nNew line | Read more"
    assert sentences(text) == (
        "N. Korea and the U.S. met Mr. Kim.",
        "He left.",
        "脱北者が来た。",
        "そして帰った",
        "New line |",
        "Read more",
    )


@pytest.mark.parametrize("mark", ["…", "...", ".)", "x…", "。", "[…] ", " |", "!”"])
def test_sentences_cost_no_more_than_their_length(mark: str) -> None:
    """20,000 points in a row, as long as a text may be, took five seconds of the process that all sources share."""
    began = time.process_time()
    sentences((mark * 20_000)[:20_000])
    assert time.process_time() - began < 0.5


def test_a_sentence_hash_sees_letters_and_digits_alone() -> None:
    """Spacing, case and punctuation make no difference, and it fits a signed 64-bit column."""
    assert sentence_hash("Read  more…") == sentence_hash("READ MORE")
    assert sentence_hash("Read more 1") != sentence_hash("Read more 2")
    assert 0 <= sentence_hash("x") < 2**63


def test_sentence_hashes_are_stable() -> None:
    """They are stored, so they must not change between versions."""
    assert sentence_hash("Donate today") == 4682968277795680490


@pytest.mark.parametrize("name", ["north-korean-defectors", "coral-reefs"])
def test_the_short_way_to_a_simple_term_leads_to_the_same_patterns(name: str) -> None:
    """What a plain word or phrase is looked for by is what any term would be, read in full."""
    pack = load_pack(name, Path())
    terms = [*chain.from_iterable(pack.concepts.values()), *pack.masks, *pack.boilerplate, "dəfector*", "미 국무부*"]
    for term in terms:
        folded = comparable(term)
        assert set(words._patterns("x", term)) == set(words._written("x", term, folded)), term
