"""Read the numbers and the days that a text tells, in digits or in words, whatever its language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import tomli


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers and days of a text, comparable across languages."""

    numbers: dict[str, str]  # value in plain digits, "%" after it where it is a share → as it stands in the text
    days: frozenset[str]  # days of the month told with or without the month: "31" or "7-31"


_GROUPED = r"\d{1,3}(?:[.,\u00a0 ]\d{3})+"
_SHARE = "|".join(
    one.replace("_", " ")
    for one in [
        "%",
        "％",
        "percent",
        "per_cent",
        "퍼센트",
        "パーセント",
        "por_ciento",
        "por_cento",
        "per_cento",
        "prozent",
        "процент",
        "pour_cent",
        "procent",
        "persen",
        "في_المئة",
        "بالمئة",
        "phần_trăm",
    ]
)
_NO_SPACES = (
    "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"  # Thai, kana, Han, Hangul: a number may follow at once
)
_HAN = "[零一二三四五六七八九十百千两兩]"
_HAN_NUMERAL = re.compile(
    f"(?:{_HAN}+[万萬亿億])+{_HAN}*|{_HAN}+(?=[名人个個位岁歲歳年月天日次发發回周週时時家戶户口艘隻只米具件條条張张票頁页分對对])"
)
_HAN_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2, "兩": 2}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000}
_HAN_MYRIADS = {"万": 10_000, "萬": 10_000, "亿": 100_000_000, "億": 100_000_000}
_CJK_DAY = re.compile(
    r"(?:(?P<month>\d{1,2})\s?[月월]\s?)?(?P<day>\d{1,2})\s?[日일](?![0-9가-힣]*(?:간|동안|째)|間|间)"
)
_FULL_DAY = re.compile(
    r"(?<!\d)(?:(?P<day>\d{1,2})(?P<point>[./-])(?P<month>\d{1,2})(?P=point)(?=(?:19|20)\d\d(?!\d))"
    r"|(?:19|20)\d\d(?P<dash>[./-]) ?(?P<later_month>\d{1,2})(?P=dash) ?(?P<later_day>\d{1,2})(?!\d))"
)
_NUMBERED_MONTH = re.compile(  # in Vietnamese and Mongolian
    r"(?:ngày\s+(?P<day>\d{1,2})[/-]|(?<!\d)(?P<other_day>\d{1,2})\s+tháng\s+)(?P<month>\d{1,2})(?!\d)"
    r"|(?<!\d)(?P<later_month>\d{1,2})(?:-р| дүгээр| дугаар)? сарын (?P<later_day>\d{1,2})(?!\d)",
    re.IGNORECASE,
)
_DAY_MONTH = re.compile(
    r"(?<!\d)(\d{1,2})(?:st|nd|rd|th|º|er)?\.?\s?(?:de |di |of )?((?:[^\W\d_]|[\u0e31-\u0e4e]){3,12})(?![^\W\d_])"
)
_MONTH_DAY = re.compile(r"\b([^\W\d_]{3,12})\.?\s(\d{1,2})(?:st|nd|rd|th)?(?![\d%]|[.,]\d)")


@cache
def _words() -> dict[str, dict[str, str]]:
    """Language → number word → its digits; under "scales": a word that multiplies → what it multiplies by; "months"."""
    table = tomli.loads(files("aggregator").joinpath("lexicon", "numbers.toml").read_text("utf-8"))
    glued = table.pop("glued")
    words = {
        language: {word: digits for digits, words in entries.items() for word in words.split(", ")}
        for language, entries in table.items()
    }
    for language, ways in glued.items():
        words[language] |= _glued(words[language], ways.split(", "))
    return words


def _glued(words: Mapping[str, str], ways: Iterable[str]) -> dict[str, str]:
    """Tens and ones written as one word, as each language glues them: siebenundzwanzig, ventidue, 서른두."""
    tens = [(word, int(digits)) for word, digits in words.items() if len(digits) == 2 and digits[1] == "0"]
    ones = [(word, int(digits)) for word, digits in words.items() if len(digits) == 1]
    return {
        way.format(tens=ten, ones=one): str(high + low)
        for way in ways
        for ten, high in tens
        for one, low in ones
        if high >= 20
    }


@cache
def _scale() -> str:
    """What multiplies a number; a Latin word must end there, a Han or Hangul numeral need not."""
    return "|".join(
        re.escape(word) + ("" if word[0] > "\u3000" else r"(?![^\W\d_])")
        for word in sorted(_words()["scales"], key=len, reverse=True)
    )


@cache
def _number() -> re.Pattern[str]:
    """A number in digits with what multiplies it, and what follows a myriad."""
    return re.compile(
        rf"(?<![.,])(?<![^\W{_NO_SPACES}])(?:US|A|C|HK)?[$€£¥₩]?"
        rf"(?P<digits>{_GROUPED}(?!\d)|\d+(?:[.,]\d{{1,2}}(?!\d))?)"
        rf"(?:[ \u00a0-]?(?P<scale>{_scale()})"
        rf"(?:(?<=[만万萬])\s?(?P<more>\d{{1,4}}(?![\d,.]))(?P<thousands>[천千]?))?)?"
        rf"\s?(?P<share>{_SHARE})?",
        re.IGNORECASE,
    )


@cache
def _word_pattern(language: str) -> re.Pattern[str] | None:
    """A number in words: tens with ones behind them (twenty-seven, treinta y dos), and what multiplies it."""
    words = _words().get(language)
    if not words:
        return None
    alternatives = _any_of(words)
    if language == "ko":  # native numerals, before a counter
        counters = "명|살|번|달|가족|사람|배|차례|가구|곳|시간|개|척|아이|자녀|남매|형제|자매|딸|아들|모녀"
        return re.compile(rf"(?<![가-힣])(?P<first>{alternatives})(?P<ones>)(?P<scale>)(?= ?(?:{counters}))")
    if language == "th":
        return re.compile(rf"(?P<first>{alternatives})(?P<ones>)(?P<scale>)(?= ?(?:คน|ปี|ชั่วโมง|วัน|เดือน|ราย|นาย))")
    ones = [word for word, digits in words.items() if len(digits) == 1]
    return re.compile(
        rf"(?<![\w-])(?P<first>{alternatives})(?:(?:-|\s(?:(?:y|e|et)\s)?)(?P<ones>{_any_of(ones)}))?(?!\w)"
        rf"(?:\s(?P<scale>{_scale()}))?",
        re.IGNORECASE,
    )


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def counts(text: str, language: str | None) -> Counts:
    """All numbers above one and all days of a text as it came; `language` (main subtag) decides on number words."""
    days, rest = _days(text)
    numbers: dict[str, str] = {}
    for match in _number().finditer(rest):
        if value := _value(match):
            numbers.setdefault(value, match[0].strip())
    rest = _number().sub(" ", rest)
    for match in _HAN_NUMERAL.finditer(rest):
        numbers.setdefault(str(_han_value(match[0])), match[0])
    subtag = language or "en"
    if pattern := _word_pattern(subtag):
        for match in pattern.finditer(rest):
            for value in _spoken_value(match, _words()[subtag]):
                numbers.setdefault(value, match[0])
    return Counts({value: shown for value, shown in numbers.items() if value not in ("0", "1")}, days)


def _value(match: re.Match[str]) -> str:
    digits = match["digits"]
    if len(digits) > 2 and digits.isdigit() and digits.startswith("0"):
        return ""  # a name or a code: 007
    if re.fullmatch(_GROUPED, digits):
        digits = re.sub(r"\D", "", digits)
    number = float(digits.replace(",", "."))
    if match["scale"]:
        number *= float(_words()["scales"][match["scale"].lower()])
    if match["more"]:  # 3만4000, 1만2천
        number += float(match["more"]) * (1000 if match["thousands"] else 1)
    if number >= 1e15:  # of infinitely many digits, for a float, after the 308th
        return ""
    plain = str(int(number)) if number == int(number) else f"{number:.2f}"
    return plain + ("%" if match["share"] else "")


def _spoken_value(match: re.Match[str], words: Mapping[str, str]) -> Iterator[str]:
    """twenty-seven → 27, two thousand → 2000; "two three" are two numbers."""
    first = int(words[match["first"].lower()])
    ones = int(words[match["ones"].lower()]) if match["ones"] else 0
    if ones and not (first % 10 == 0 and 20 <= first <= 90 and ones < 10):
        yield str(first)
        first, ones = ones, 0
    scale = int(_words()["scales"][match["scale"].lower()]) if match["scale"] else 1
    yield str((first + ones) * scale)


def _han_value(numeral: str) -> int:
    """十三 → 13, 二十 → 20, 一百零五 → 105, 百万 → 1000000."""
    total = digit = 0
    for character in numeral:
        if character in _HAN_DIGITS:
            digit = _HAN_DIGITS[character]
        elif character in _HAN_SCALES:
            total, digit = total + (digit or 1) * _HAN_SCALES[character], 0
        else:
            total, digit = (total + digit) * _HAN_MYRIADS[character], 0
    return total + digit


def _days(text: str) -> tuple[frozenset[str], str]:
    """The days told, and the text without them."""
    days: set[str] = set()

    def cjk(match: re.Match[str]) -> str:
        days.add(f"{int(match['month'])}-{int(match['day'])}" if match["month"] else str(int(match["day"])))
        return " "

    def spelled(match: re.Match[str], day: str, word: str) -> str:
        return written(match, day, _words()["months"].get(word.lower()))

    def numbered(match: re.Match[str]) -> str:
        found = match.groupdict()
        day = found["day"] or found["later_day"] or found.get("other_day")
        return written(match, day, found["month"] or found["later_month"])

    def written(match: re.Match[str], day: str | None, month: str | None) -> str:
        if not day or not month or not (1 <= int(day) <= 31 and 1 <= int(month) <= 12):
            return match[0]
        days.add(f"{int(month)}-{int(day)}")
        return " "

    text = _CJK_DAY.sub(cjk, text)
    text = _FULL_DAY.sub(numbered, text)
    text = _NUMBERED_MONTH.sub(numbered, text)
    text = _DAY_MONTH.sub(lambda match: spelled(match, match[1], match[2]), text)
    text = _MONTH_DAY.sub(lambda match: spelled(match, match[2], match[1]), text)
    return frozenset(days), text


def shared_days(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Days that both tell; "31" and "7-31" may be the same."""
    same = set(one & other)
    for bare, full in ((one, other), (other, one)):
        same |= {day for day in full if "-" in day and day.split("-")[1] in bare}
    return frozenset(same)
