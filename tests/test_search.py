"""What a person looks for is found in any script, and nothing that is written can do harm."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.errors import QueryError
from aggregator.search import LONGEST_QUERY, LONGEST_TEXT, MOST_TERMS, document, fits, parse, tokens_of


def found(query: str, *texts: str) -> bool:
    return fits(parse(query), document(texts))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("defector", "North Korean defectors speak"),
        ("KOREA", "north koreans"),
        ("nk", "NK News"),
        ("탈북", "북한이탈주민과 탈북민의 정착"),
        ("이탈주민", "북한이탈주민의 날"),
        ("북", "탈북"),
        ("北韓", "北韩外交官"),
        ("北韩", "北韓外交官"),
        ("脱北者", "韓国に到着した脱北者3人"),
        ("者", "脱北者"),
        ("ＫＯＲＥＡ", "korea"),
        ("ハナウォン", "ﾊﾅｳｫﾝを訪問"),
        ("ผู้แปรพักตร์", "กลุ่มผู้แปรพักตร์เกาหลีเหนือ"),
        ("كوريا", "منشق من كوريا الشمالية"),
        ("الكورية", "الكوريه"),
        ("перебежчик", "ПЕРЕБЕЖЧИКИ из КНДР"),
        ("réfugié", "REFUGIES NORD-COREENS"),
        ("nord-coréen", "un nord-coréens"),
        ('"north korea"', "in North Korea, today"),
        ('"탈북 여성"', "탈북 여성들이"),
        ("K팝", "K팝을 듣다"),
        ("seoul defector", "A defector arrives in Seoul"),
        ("refugee OR defector", "A defector"),
        ("defector -soldier", "A defector arrives"),
        ("a\u200bb", "ab"),
    ],
)
def test_a_text_is_found(query: str, text: str) -> None:
    """Spelling, width, script variants, endings and word order do not keep a text from being found."""
    assert found(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("art", "the party"),
        ("korea", "north"),
        ('"korea north"', "north korea"),
        ('"north korea"', "north koreans"),
        ("defector -soldier", "A defector, once a soldier"),
        ("북탈", "탈북"),
        ("脱者", "脱北者"),
        ("seoul AND defector", "seoul defector"),
        ("refugee or defector", "A defector"),
    ],
)
def test_a_text_is_not_found(query: str, text: str) -> None:
    """Words begin where words begin, phrases stand together, and only what is said to be a word of command is one."""
    assert not found(query, text)


def test_no_phrase_reaches_from_one_text_into_the_next() -> None:
    """The end of a title and the beginning of a summary are not side by side, in no script."""
    assert not found('"end begin"', "the end", "begin again")
    assert not found("북한", "탈북", "한국")
    assert found("end begin", "the end", "begin again")


@pytest.mark.parametrize("text", ["", " ", '"', "-", "-korea", "!?*", "\x00", "()", "OR", "\ud800", "¶"])
def test_a_query_without_a_word_is_refused_in_words(text: str) -> None:
    """There is nothing to look for, and the sentence says what there should be."""
    with pytest.raises(QueryError, match="no word to look for"):
        parse(text)


def test_a_query_beyond_bounds_is_refused_in_words() -> None:
    """Neither megabytes nor a thousand words reach the index."""
    with pytest.raises(QueryError, match="too long"):
        parse("a" * (LONGEST_QUERY + 1))
    with pytest.raises(QueryError, match="too many words"):
        parse(" ".join(f"w{n}" for n in range(MOST_TERMS + 1)))


@given(st.text(max_size=LONGEST_QUERY))
def test_anything_written_is_a_query_or_refused(text: str) -> None:
    """A query's tokens are letters, digits and marks alone: no index can read a command in them."""
    try:
        query = parse(text)
    except QueryError:
        return
    for choice in query.choices:
        for term in (*choice.all, *choice.none):
            for token in term.tokens:
                assert token
                assert all(unicodedata.category(one)[0] in "LNM" for one in token)


@given(st.text(max_size=200))
def test_tokens_are_letters_digits_and_marks(text: str) -> None:
    """So that a space parts them, in every index."""
    assert all(token and not set(token) & set(" '\"\\¶") for token in tokens_of(text))


@given(st.text(st.sampled_from("abcxyzабвгдαβγ0189가나다人国ابتกขค"), min_size=1, max_size=30), st.data())
def test_the_beginning_of_any_text_is_found(text: str, data: st.DataObject) -> None:
    """Those who type its first letters find it, however scripts are mixed."""
    end = data.draw(st.integers(1, len(text)))
    assert found(text[:end], text)


@given(st.text(st.sampled_from("탈북민정착가나다北韓脱者人中国ハナ"), min_size=1, max_size=20), st.data())
def test_any_part_of_a_run_is_found(text: str, data: st.DataObject) -> None:
    """In scripts without spaces a word may stand anywhere."""
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert found(text[start:end], text)


def test_a_long_text_is_looked_in_so_far() -> None:
    """What stands beyond the bound costs nothing, and is not found."""
    text = "word " * LONGEST_TEXT + "last"
    assert len(document([text]).split(" ")) == LONGEST_TEXT
    assert not found("last", text)
