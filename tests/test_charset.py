"""Documents are read in the encoding they are in, whatever they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.charset import as_text

PROSE = {
    "ko": "북한을 탈출한 주민 세 명이 배를 타고 남쪽으로 내려왔다. 통일부는 이들이 하나원에 있다고 밝혔다. 쌀값",
    "ja": "北朝鮮を脱出した住民三人が船で韓国に到着した。統一省は彼らが教育を受けていると明らかにした。",
    "zh": "三名朝鲜居民乘船逃离北韩抵达韩国。统一部表示，他们正在接受教育，并将在韩国定居。",
    "zh-TW": "三名朝鮮居民乘船逃離北韓抵達韓國。統一部表示，他們正在接受教育，並將在韓國定居。",
    "ru": "Трое жителей Северной Кореи бежали на лодке и добрались до Юга. Министерство сообщило об этом.",
    "fr": "Trois Nord-Coréens ont fui par bateau et sont arrivés au Sud, a déclaré le ministère",
    "he": "שלושה תושבי קוריאה הצפונית ברחו בסירה והגיעו לדרום",
    "th": "ชาวเกาหลีเหนือสามคนหนีทางเรือมาถึงเกาหลีใต้",
}
ENCODINGS = [
    *(("ko", "euc-kr"), ("ko", "cp949"), ("ja", "shift_jis"), ("ja", "euc-jp"), ("ja", "iso-2022-jp")),
    *(("zh", "gb2312"), ("zh", "gb18030"), ("zh-TW", "big5"), ("ru", "windows-1251"), ("ru", "koi8-r")),
    *(("fr", "iso-8859-1"), ("he", "windows-1255"), ("th", "cp874")),
    *(("ko", "utf-8"), ("ja", "utf-8-sig"), ("zh", "utf-16"), ("ko", "utf-16-le"), ("ru", "utf-32")),
]


@pytest.mark.parametrize("declared", ["http", "xml", "not", "by language", "utf-8", "euc-kr", "gb2312", "no-such"])
@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_any_encoding_is_read(language: str, encoding: str, declared: str) -> None:
    """Declared in HTTP or XML, not declared, declared wrongly as another: the text is intact."""
    label = {"xml": encoding, "utf-8": "utf-8", "euc-kr": "euc-kr", "gb2312": "gb2312", "no-such": "no-such"}.get(
        declared
    )
    declaration = f'<?xml version="1.0" encoding="{label}"?>' if label else ""
    document = declaration + f"<rss><channel><item><title>{PROSE[language]}</title></item></channel></rss>"
    hint = language if declared == "by language" else None
    kind = f"text/xml; charset={encoding}" if declared == "http" else "text/xml"
    text, _ = as_text(document.encode(encoding), kind, hint)
    assert PROSE[language] in text


def test_valid_utf8_wins_over_a_wrong_declaration() -> None:
    """And one character cut in two does not turn the rest into another encoding."""
    data = f'<?xml version="1.0" encoding="euc-kr"?><title>{PROSE["ko"]}</title>'.encode()
    assert PROSE["ko"] in as_text(data, "text/xml; charset=iso-8859-1", None)[0]
    text, problem = as_text(data.replace("쌀".encode(), "쌀".encode()[:2]), None, None)
    assert PROSE["ko"][:40] in text
    assert problem == "1 characters could not be read as UTF-8"


def test_a_declared_encoding_that_python_does_not_know_is_passed_over() -> None:
    """Neither it nor a codec that is no text encoding raises."""
    for label in ("x-user-defined", "base64", "idna", "unicode_escape", "\x00"):
        text, _ = as_text(b"<title>\xc7\xd1</title>", f"text/xml; charset={label}", "ko")
        assert text == "<title>한</title>"


@given(st.binary(), st.sampled_from([None, "ko", "ru", "xx"]))
def test_any_bytes_become_a_text(data: bytes, language: str | None) -> None:
    """Nothing raises."""
    assert isinstance(as_text(data, None, language)[0], str)
