"""Links, plain text, times and languages of the wild web become comparable."""

from __future__ import annotations

import time
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.normalise import (
    canonical_link,
    clean_language_tag,
    detect_language,
    fits_script,
    parse_time,
    plain_text,
    publishable_link,
    shorten,
    source_key,
)

SEOUL = timezone(timedelta(hours=9))
SAME_ARTICLE = [
    ("http://example.org/a", "https://www.example.org/a/"),
    ("https://m.yna.co.kr/view/AKR1", "https://www.yna.co.kr/view/AKR1"),
    ("https://en.m.wikipedia.org/wiki/X", "https://en.wikipedia.org/wiki/X"),
    ("https://example.org:443/a?b=2&a=1#top", "https://EXAMPLE.org/a?a=1&b=2"),
    ("https://www.bbc.com/news/world-1?at_medium=RSS&at_campaign=KARANGA", "https://bbc.com/news/world-1"),
    ("https://example.org/a?utm_source=rss&amp;utm_medium=rss", "https://example.org/a"),
    ("https://example.org/a?fbclid=1&gclid=2&ocid=3&ref=rss", "https://example.org/a"),
    ("https://www.bbc.com/news/amp/world-1", "https://www.bbc.com/news/world-1"),
    ("https://amp.example.org/a.amp.html", "https://example.org/a.html"),
    ("https://example.org/a/amp/", "https://example.org/a?outputType=amp"),
    ("https://www-x-org.cdn.ampproject.org/c/s/www.x.org/a", "https://x.org/a"),
    ("https://www.google.com/amp/s/www.x.org/a", "https://x.org/a"),
    ("http://www.bing.com/news/apiclick.aspx?ref=FexRss&aid=&url=https%3a%2f%2fx.org%2fa%3futm_source%3dy&c=1", "https://x.org/a"),
    ("https://www.google.com/url?rct=j&sa=t&url=https://x.org/a&ct=ga", "https://x.org/a"),
    ("https://탈북.kr/기사", "https://xn--pr3bn66a.kr/%ea%b8%b0%ec%82%ac"),
    ("https://x.org/%7euser", "https://x.org/~user"),
    ("https://x.org//a", "https://x.org/a"),
    ("https://x.org/a/index.html", "https://x.org/a"),
]  # fmt: skip
OTHER_ARTICLES = [
    ("https://x.org/a?id=1", "https://x.org/a?id=2"),
    ("https://x.org/article?ref=12345", "https://x.org/article?ref=12346"),
    ("https://x.org/A", "https://x.org/a"),
    ("https://x.org/#!/1", "https://x.org/#!/2"),
    ("https://news.google.com/rss/articles/CBMi1?oc=5", "https://news.google.com/rss/articles/CBMi2?oc=5"),
    ("https://m.co.kr/a", "https://co.kr/a"),
    ("https://x.org/amp", "https://x.org/"),
    ("https://en.example.org/a", "https://ko.example.org/a"),
    ("https://x.org:8443/a", "https://x.org/a"),
    ("https://web.archive.org/web/1/http://x.org/a", "https://web.archive.org/web/1/http://y.org/a"),
]


@pytest.mark.parametrize(("one", "other"), SAME_ARTICLE)
def test_one_article_has_one_canonical_link(one: str, other: str) -> None:
    """What says only how a reader came makes no difference."""
    assert canonical_link(one) == canonical_link(other)


@pytest.mark.parametrize(("one", "other"), OTHER_ARTICLES)
def test_different_articles_keep_different_links(one: str, other: str) -> None:
    """A wrong merge hides news, so doubtful parts of an address are kept."""
    assert canonical_link(one) != canonical_link(other)


@given(st.text(max_size=80))
def test_any_text_has_a_canonical_link(text: str) -> None:
    """Nothing raises, and the canonical link of a canonical link is itself."""
    once = canonical_link("https://x.org/" + text)
    assert canonical_link(once) == once


def test_a_source_is_known_in_its_other_spellings() -> None:
    """Scheme, case of the host, default port and fragment make no other source; path and query do."""
    assert source_key("HTTP://Example.org:80/feed?a=1#x") == source_key("https://example.org/feed?a=1")
    assert source_key("https://example.org/feed") != source_key("https://example.org/feed/")
    assert source_key("https://example.org/feed?a=1") != source_key("https://example.org/feed?a=2")
    assert source_key("https://www.example.org/feed") != source_key("https://example.org/feed")


@pytest.mark.parametrize(
    ("given_link", "published"),
    [
        ("/a b?q=탈북#é", "https://x.org/a%20b?q=%ED%83%88%EB%B6%81#%C3%A9"),
        ("//y.org/a", "https://y.org/a"),
        ("https:\\\\y.org\\a", "https://y.org/a"),
        ("ht\ntps://y.org/\ta", "https://y.org/a"),
        ("  https://user:secret@y.org/a  ", "https://y.org/a"),
        ("https://y.org:443/100%", "https://y.org/100%25"),
        ("HTTPS://ÉCOLE.fr", "https://xn--cole-9oa.fr/"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("a/../b", "https://x.org/feed/b"),
        ("java\tscript:alert(1)", None),
        ("\x01javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("file:///etc/passwd", None),
        ("mailto:a@y.org", None),
        ("https://a b.org/", None),
        ("https:///", None),
        ("https://y.org:99999/", None),
        ("https://" + "a" * 9000 + ".org/", None),
        ("", None),
    ],
)
def test_a_published_link_is_what_a_browser_would_open(given_link: str, published: str | None) -> None:
    """Absolute, ASCII, without credentials, http or https; nothing else is a link."""
    assert publishable_link(given_link, "https://x.org/feed/rss.xml") == published


def test_a_relative_link_needs_a_base() -> None:
    """Without one there is no link."""
    assert publishable_link("/a", None) is None
    assert publishable_link("/a", "ftp://x.org/") is None


@given(st.text(max_size=60))
def test_a_published_link_is_always_safe(text: str) -> None:
    """Whatever comes in: None, or an ASCII address of the two schemes that is unchanged by publishing again."""
    link = publishable_link(text, "https://x.org/")
    if link is not None:
        assert link.isascii()
        assert urlsplit(link).scheme in ("http", "https")
        assert publishable_link(link, None) == link


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One <b>wo</b>rd&nbsp;more</p><script>x()</script><ul><li>a<li>b</ul>c<br>d", "One word more\na\nb\nc\nd"),
        ("AT&amp;amp;T", "AT&T"),
        ("&lt;p&gt;Twice &lt;b&gt;escaped&lt;/b&gt;&lt;/p&gt;", "Twice escaped"),
        ("1 < 2 & 3 > 2, x <5", "1 < 2 & 3 > 2, x <5"),
        ("a\x92s \x85\x00 b\u202ec\ufeff\ud800 \ud83d\ude00 \ufffe", "a’s … bc 😀"),
        ("<style>p{}</style><svg/onload=alert(1)>", ""),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("e\u0301<!-- no -->", "é"),
        ("👨\u200d👩 می\u200cخواهم a\u200db", "👨\u200d👩 می\u200cخواهم ab"),
        ("line\none <pre>two</pre>", "line one\ntwo"),
    ],
)
def test_markup_becomes_what_a_reader_would_see(markup: str, text: str) -> None:
    """No tags, no scripts, entities once (or once more where escaped twice), nothing invisible, NFC."""
    assert plain_text(markup, html=True) == text


def test_plain_text_keeps_what_only_looks_like_markup() -> None:
    """A text that is not HTML loses no angle brackets; entities left over in it are mended."""
    assert plain_text("if a <b> c", html=False) == "if a <b> c"
    assert plain_text("Q&amp;A &copy\n\n x", html=False) == "Q&A &copy\nx"


@given(st.text(), st.booleans())
def test_plain_text_is_always_fit_to_be_stored(text: str, html: bool) -> None:
    """No control characters, no surrogates, no double spaces, in NFC; cleaning again changes nothing of that."""
    clean = plain_text(text, html=html)
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in clean.replace("\n", ""))
    assert unicodedata.is_normalized("NFC", clean)
    assert "  " not in clean


@pytest.mark.parametrize(
    "hostile",
    [
        "<div>" * 100_000,
        "<b>" * 100_000,
        "<p>" + "".join(f"<b id={n}>" for n in range(390)) + "</p>" + "<p>x" * 60_000,
        "a" + "\u0315\u0300" * 100_000,
        '<"' * 100_000,
        "<a " * 80_000,
        "&amp;" * 50_000,
        "<!--" * 60_000,
    ],
)
def test_hostile_text_costs_no_more_than_its_length(hostile: str) -> None:
    """Depth, unclosed tags and stacked accents are bounded; naive ways took seconds to minutes on each of these."""
    began = time.process_time()
    plain_text(hostile, html=True)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("Short.", 10, "Short."),
        ("The quick brown fox. It jumps over the lazy dog.", 30, "The quick brown fox. …"),
        ("The quick brown fox jumps", 20, "The quick brown fox…"),
        ("가나다라마바사아자차", 5, "가나다라…"),
        ("👨\u200d👩\u200d👧 👨\u200d👩\u200d👧 x", 9, "👨\u200d👩\u200d👧…"),
        ("🇰🇷🇯🇵🇺🇸", 4, "🇰🇷…"),
        ("เกาหลีเหนือ", 7, "เกาหลี…"),
        ("あいう。えおかきくけこさし", 7, "あいう。 …"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_text_is_cut_where_a_reader_would(text: str, limit: int, short: str) -> None:
    """After a sentence, else a word, else a visible character; in scripts without spaces, too."""
    assert shorten(text, limit) == short


@given(st.text(), st.integers(min_value=0, max_value=40))
def test_shortened_text_keeps_the_limit(text: str, limit: int) -> None:
    """The ellipsis counts."""
    assert len(shorten(text, limit)) <= limit


NINE = datetime(2026, 9, 27, 1, 11, 12, tzinfo=UTC)  # 10:11:12 in Seoul
TIMES = [
    ("2026-09-27 10:11:12", NINE),
    ("2026-09-27T10:11:12+09:00", NINE),
    ("2026-09-27T01:11:12Z", NINE),
    ("2026-09-26T20:11:12-0500", NINE),
    ("20260927T011112Z", NINE),
    ("20260927101112", NINE),
    ("Sun, 27 Sep 2026 01:11:12 GMT", NINE),
    ("Sun,27 Sep 2026 10:11:12 +0900", NINE),
    ("Sun, 27 Sep 2026 10:11:12 KST", NINE),
    ("27 Sep  2026 10:11:12", NINE),
    ("Sun,27 Sep 2026 10:11:12 GMT+9", NINE),
    ("Sunday, September 27, 2026 10:11:12 AM", NINE),
    ("Sun Sep 27 10:11:12 2026", NINE),
    ("dom, 27 set 2026 03:11:12 +0200", NINE),
    ("Dom, 27 Set 2026 10:11:12", NINE),
    ("So, 27. September 2026 10:11:12", NINE),
    ("domingo 27 de septiembre de 2026 10:11:12", NINE),
    ("Вс, 27 сентября 2026 г. 10:11:12", NINE),
    ("2026년 9월 27일 오전 10:11:12", NINE),
    ("2026年9月27日 10時11分12秒", NINE),
    ("27/09/2026 10:11:12", NINE),
    ("9/27/2026 10:11:12 AM", NINE),
    ("1790471472", NINE),
    ("1790471472000", NINE),
    ("27 09 2026", datetime(2026, 9, 26, 15, tzinfo=UTC)),
    ("Thu,28 Jul 2022 4:35:5 GMT+9", datetime(2022, 7, 27, 19, 35, 5, tzinfo=UTC)),
    ("2026-09-27T24:00:00Z", datetime(2026, 9, 28, tzinfo=UTC)),
    ("Sun, 27 Sep 2026 23:59:60 GMT", datetime(2026, 9, 28, tzinfo=UTC)),
    ("martedì 5 maggio 2026", datetime(2026, 5, 4, 15, tzinfo=UTC)),
    ("mardi 3 mars 2026 09:00", datetime(2026, 3, 3, tzinfo=UTC)),
    ("2099-01-01T00:00:00Z", datetime(2099, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "moment"), TIMES)
def test_times_are_read_as_their_writers_meant_them(text: str, moment: datetime) -> None:
    """A Korean source's date without a zone is Korean time; GMT+9 is nine hours east."""
    assert parse_time(text, SEOUL) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10:11", "27 Sep", "Feb 31, 2026", "Sun, 31 Feb 2026 10:00 GMT", "x" * 999]
)
def test_what_names_no_moment_is_none(text: str) -> None:
    """Nothing is filled in from today's date."""
    assert parse_time(text) is None


@given(st.text(max_size=120))
def test_no_text_makes_a_date_fail(text: str) -> None:
    """None, or an aware time in UTC."""
    found = parse_time(text)
    assert found is None or found.utcoffset() == timedelta(0)


@given(st.integers(min_value=86_400, max_value=4_102_444_800))
def test_usual_formats_are_read_back(seconds: int) -> None:
    """RFC 822 and ISO 8601 give the second that was written."""
    moment = datetime.fromtimestamp(seconds, UTC)
    assert parse_time(moment.isoformat()) == moment
    assert parse_time(format_datetime(moment)) == moment


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("North Korean defector reaches the South by boat", "en"),
        ("탈북민 3명, 목선 타고 귀순 (NLL)", "ko"),
        ("脱北者が海を渡って韓国へ", "ja"),
        ("三名脱北者抵达韩国", "zh"),
        ("Norcoreano huye en barco hacia Corea del Sur", "es"),
        ("Nordkoreanischer Überläufer erreicht Seoul", "de"),
        ("Transfuge nord-coréen arrivé à Séoul", "fr"),
        ("Перебежчик из Северной Кореи добрался до Юга вплавь", "ru"),
        ("Хойд Солонгосоос дүрвэгсэд Монголд ирлээ", "mn"),
        ("لاجئ كوري شمالي يصل إلى الجنوب", "ar"),
        ("ผู้แปรพักตร์", "th"),
        ("Người đào tẩu Bắc Triều Tiên đến Hàn Quốc", "vi"),
        ("Kim", None),
        ("12:30 – 2026", None),
        ("", None),
    ],
)
def test_the_language_of_a_text_is_found_or_left_open(text: str, language: str | None) -> None:
    """By script where that settles it, by statistics elsewhere, not at all for a name."""
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("declared", "tag"),
    [
        ("en", "en"),
        ("en-us", "en-US"),
        ("ko_KR", "ko-KR"),
        ("english-UK", "en-GB"),
        ("US", "en-US"),
        ("zh-TW", "zh-TW"),
        ("zh_hans_cn", "zh-Hans-CN"),
        ("kor", "ko"),
        ("und", None),
        ("klingonese", None),
        ("", None),
    ],
)
def test_declared_languages_are_repaired(declared: str, tag: str | None) -> None:
    """BCP 47, or nothing."""
    assert clean_language_tag(declared) == tag


def test_a_declared_language_must_fit_the_script() -> None:
    """A Korean text in a feed that says English is not English."""
    assert not fits_script("en-US", "탈북민 세 명이 귀순했다")
    assert fits_script("ko", "탈북민 세 명이 귀순했다")
    assert fits_script("es", "Tres norcoreanos huyeron")
    assert fits_script("zh-TW", "三名脫北者（탈북민）抵達首爾")
    assert not fits_script("zh-TW", "탈북민 세 명이 南으로 귀순했다")
