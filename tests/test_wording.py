"""The words that pages and entries say by themselves, in the feed's language."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from lxml import html

from aggregator import wording as module
from aggregator.model import Evidence, Item, Reason
from aggregator.page import subjects_html
from aggregator.render import render, render_month, render_stories
from aggregator.stories import Folder
from aggregator.wording import Wording, wording
from tests.editions import NOON, REALISTIC

TABLE = tomllib.loads((Path(module.__file__).with_name("templates") / "wording.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", TABLE)
def test_every_language_has_every_word(language: str) -> None:
    """No word is missing, months and weekdays are whole, and what is to be filled in is where English has it."""
    words, english = wording("zh-Hant" if language == "zh-hant" else language), wording("en")
    assert words.language == language
    assert (len(words.months), len(words.heading_months), len(words.weekdays)) == (12, 12, 7)
    for field in Wording.__slots__:
        value = getattr(words, field)
        assert value
        if isinstance(value, str):
            assert blanks(value) == blanks(getattr(english, field))
        if isinstance(value, Mapping):
            given = getattr(english, field)
            assert value.keys() == given.keys()
            assert all(value.values())
            assert {key: blanks(text) for key, text in value.items()} == {key: blanks(given[key]) for key in given}


def blanks(text: str) -> set[str]:
    """What is to be filled in."""
    return set(re.findall(r"{\w+}", text))


@pytest.mark.parametrize(
    ("tag", "day", "month"),
    [
        ("en", "7 August 2025", "August 2025"),
        ("en-GB", "7 August 2025", "August 2025"),
        ("ko", "2025년 8월 7일", "2025년 8월"),
        ("ja-JP", "2025年8月7日", "2025年8月"),
        ("es", "7 de agosto de 2025", "agosto de 2025"),
        ("de", "7. August 2025", "August 2025"),
        ("ru", "7 августа 2025 г.", "август 2025 г."),
        ("xx", "7 August 2025", "August 2025"),
    ],
)
def test_dates_are_written_as_people_write_them(tag: str, day: str, month: str) -> None:
    """By the language's own order and names; in English for a language that the table does not have."""
    words = wording(tag)
    assert (words.on_day(date(2025, 8, 7)), words.in_month(date(2025, 8, 1))) == (day, month)


def test_the_first_of_a_month_is_written_as_people_write_it() -> None:
    """In French it is counted, all other days are not."""
    assert [wording("fr").on_day(date(2025, 8, day)) for day in (1, 2)] == ["1er août 2025", "2 août 2025"]
    assert wording("en").on_day(date(2025, 8, 1)) == "1 August 2025"


def test_a_page_says_which_language_it_speaks() -> None:
    """Where the feed's language has no words here, it is English, and runs so; what the operator wrote is marked."""
    page = html.fromstring(render(replace(REALISTIC, language="ar", title="المنشقون"))["index.html"].decode())
    assert (page.get("lang"), page.get("dir")) == ("en", "ltr")
    assert (page.find(".//h1").get("lang"), page.find(".//h1").get("dir")) == ("ar", "rtl")
    assert page.xpath("//p[@class='about']/@dir") == ["rtl"]
    korean = html.fromstring(render(replace(REALISTIC, language="ko-KR"))["index.html"].decode())
    assert (korean.get("lang"), korean.find(".//h1").get("lang")) == ("ko-KR", None)


def test_each_of_several_subjects_is_led_to_in_its_own_language() -> None:
    """The page that leads to them says how to follow each in that subject's words."""
    subjects = [("reefs", REALISTIC), ("탈북", replace(REALISTIC, title="탈북민 소식", language="ko"))]
    page = html.fromstring(subjects_html(subjects).decode())
    assert page.xpath("//section/@lang") == ["en", "ko"]
    assert page.xpath("//nav/p/text()") == [wording("en").follow, wording("ko").follow]
    assert page.xpath("//section//h2/a/@href") == ["reefs/", "탈북/"]
    assert page.xpath("//h1/bdi/@lang") == ["en", "ko"]


def test_chinese_is_written_as_its_region_does() -> None:
    """Traditional characters for Taiwan, Hong Kong and Macao, simplified ones otherwise."""
    assert {wording(tag).read_more for tag in ("zh-TW", "zh-Hant-HK", "zh-MO")} == {"閱讀全文"}
    assert {wording(tag).read_more for tag in ("zh", "zh-CN", "zh-Hans")} == {"阅读全文"}


def test_a_korean_feed_speaks_korean() -> None:
    """The page's headings and links, and the entries' content, are in the feed's language."""
    edition = replace(REALISTIC, language="ko", days=((NOON.date(), 3), (date(2026, 3, 10), 1)))
    files = render(edition)
    page = html.fromstring(files["index.html"].decode())
    assert page.xpath("string(//h2/time)") == "일요일 2026년 3월 1일"
    assert page.xpath("//p[@class='more']/a/text()")[:2] == ["원문 보기", "실린 이유"]
    assert page.xpath("string(//div[@class='also']/p)") == "다른 매체 보도"
    assert "2026년 3월 1일" in json.loads(files["feed.json"])["items"][0]["content_html"]
    own = html.fromstring(next(iter(render_stories(edition).values())).decode())
    assert own.xpath("//h2/text()") == ["보도 순서", "실린 이유"]
    month = html.fromstring(render_month(edition, "2026-03", [])["month/2026-03.html"].decode())
    assert month.findtext(".//h1") == "2026년 3월"


def test_evidence_is_told_in_the_feed_s_language() -> None:
    """Why a telling stands in its story, and by what they are alike; a kind without words of its own is still told."""
    evidence = Evidence("same title", "탈북민 입국", 0.95, ("places: Seoul = 서울", "98% of the wording"))
    assert wording("de").why_here(evidence) == (
        "Derselbe Titel wie „탈북민 입국“ (Orte: Seoul = 서울, 98 % des Wortlauts)."
    )
    by_hand = Evidence("curator", "{x}", 1.0, ("split by hand",))
    assert wording("en").why_here(by_hand) == "Taken out of “{x}” by hand."
    assert wording("zh-TW").why_here(by_hand) == "由編輯從「{x}」中分出。"
    assert wording("en").why_here(Evidence("founds", "", 1.0)) == "It began the story."
    assert wording("ja").why_here(Evidence("of a later version", "{x}", 1.0)) == "「{x}」と同じ記事として掲載。"


@pytest.mark.parametrize("language", sorted(TABLE.keys() - {"en"}))
def test_nothing_that_a_story_s_page_says_stays_english(language: str) -> None:
    """Every detail that folding gives, and every reason that judging gives without quoting the item."""
    words, english = wording("zh-Hant" if language == "zh-hant" else language), wording("en")
    folder, title = Folder(), "Nine arrive in Seoul after an odyssey of eleven years"
    pairs = [
        (_item(1, title), _item(2, f"{title} or so")),
        (_item(1, title, "A boat." * 20), _item(2, f"{title}.", "At sea, they say, all went well; 日本 helped." * 9)),
        (_item(1, "Nine arrive in Seoul"), _item(2, "Nine arrive in Seoul")),
    ]
    told = [folder.evidence(one, [other], seed) for one, other in pairs for seed in (True, False)]
    told += [Evidence("curator", "X", 1.0, (f"{deed} by hand",)) for deed in ("merged", "split")]
    for evidence in told:
        assert evidence.details
        assert not set(words.why_here(replace(evidence, other="")).split()) & {"of", "the", "by", "hand"}
    reasons = [Reason("source", "scope defectors", "", 1.0), Reason("meaning", "reads like the subject", "", 1.0)]
    reasons += [Reason("curator", "like what was kept", "", 1.0), Reason("summary", "x", "탈북민", 1.0)]
    for reason in map(str, reasons):
        assert words.reason(reason) != english.reason(reason)
    assert words.reason("summary: 탈북민: 3") == f"{words.found_in['summary']}: 탈북민: 3"


def _item(number: int, title: str, summary: str = "") -> Item:
    return Item(f"https://{number}.example/", str(number), None, title, summary, language="en")


def test_languages_are_named_in_the_feed_s_language() -> None:
    """A rare one by its tag."""
    named = [wording(tag).language_name("ko-KR") for tag in ("en", "ko", "ja", "zh", "zh-Hant", "es", "ru")]
    assert named == ["Korean", "한국어", "韓国語", "韩语", "韓文", "coreano", "корейский"]
    assert (wording("en").language_name("tlh"), wording("en").language_name(None)) == ("tlh", "")
