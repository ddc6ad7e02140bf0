"""Times as feeds write them, in any of the formats and languages that were met, as UTC."""

from __future__ import annotations

import re
import unicodedata
import warnings
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dateutil.parser import parser as Parser

# Hours east of UTC. RFC 822, 5.1 gives the American ones; the others are those met in feeds. Where a name has several
# meanings (CST, IST, BST), the one of the larger press is taken.
_ZONES = {
    "UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
    "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "AST": -4, "ADT": -3, "NST": -3.5, "NDT": -2.5,
    "BST": 1, "WEST": 1, "CET": 1, "MET": 1, "CEST": 2, "MEST": 2, "MESZ": 2, "MEZ": 1, "EET": 2, "EEST": 3, "MSK": 3,
    "MSD": 4, "IST": 5.5, "PKT": 5, "ICT": 7, "WIB": 7, "HKT": 8, "SGT": 8, "PHT": 8, "AWST": 8, "KST": 9, "JST": 9,
    "ACST": 9.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "BRT": -3, "ART": -3, "SAST": 2,
}  # fmt: skip
_OFFSETS = {name: timezone(timedelta(hours=hours)) for name, hours in _ZONES.items()}
_ENGLISH = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# Names of the months, full ones first, as stems: a word is that month if it starts with the stem.
_MONTHS = (
    (1, "january janvier januar enero gennaio janeiro ene gen янв січ stycz"),
    (2, "february février fevrier februar febrero febbraio fevereiro feb fev fév févr фев лют lut"),
    (3, "march mars märz maerz marzo março marco mrz mar maart мар берез"),
    (4, "april avril abril aprile abr avr apr апр квіт kwie"),
    (5, "may mai mayo maggio maio mag mei май мая трав maj"),
    (6, "june juin juni junio giugno junho jun giu июн черв czerw"),
    (7, "july juillet juli julio luglio julho jul lug juil июл лип lip"),
    (8, "august août aout agosto ago aoû aou aug авг серп sierp"),
    (9, "september septembre septiembre settembre setembro sept sep set сен верес wrzes wrześ"),
    (10, "october octobre oktober octubre ottobre outubro oct okt ott out окт жовт paźdz pazdz"),
    (11, "november novembre noviembre novembro nov ноя листоп listop"),
    (12, "december décembre decembre dezember diciembre dicembre dezembro dec déc dez dic des дек груд grudz"),
)
_STEMS = sorted(((stem, number) for number, stems in _MONTHS for stem in stems.split()), key=lambda pair: -len(pair[0]))

_RFC822 = re.compile(
    r"(?:[A-Za-z]{3,9}\.?,? ?)?(\d{1,2})[ -]([A-Za-z]{3})[a-z]*\.?[ -](\d{4}),?"
    r" (\d{1,2}):(\d{1,2})(?::(\d{1,2}))? ?([A-Za-z]{1,4}|(?:GMT|UTC)?[+-]\d{1,2}:?(?:\d\d)?)?(?: \([^()]*\))?"
)
_NUMERIC = re.compile(
    r"(\d{4})([-./ ])(\d{1,2})\2 ?(\d{1,2})\.?(?:(?:[Tt, _]| [-–] )? ?"
    r"(\d{1,2})[:.h](\d{1,2})(?:[:.](\d{1,2})(?:[.,:]\d+)?)?)? ?([A-Za-z]{1,4}|(?:GMT|UTC)?[+-]\d{1,2}:?(?:\d\d)?)?"
    r"(?:\[[^\]]*\]| \([^()]*\))?"
)
_EASTERN = re.compile(r"(\d{4}) ?[年년] ?(\d{1,2}) ?[月월] ?(\d{1,2}) ?[日일]")
_DAY_FIRST = re.compile(r"(\d{1,2})([-./ ])(\d{1,2})\2(\d{4})\b")
_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])(\d{1,2}):?(\d\d)?", re.I)
_NOON = re.compile(r"(오전|午前|上午|오후|午後|下午)\s*(\d{1,2})")
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_LONGEST = 100  # characters; no date is longer


def parse_time(text: str, default_zone: tzinfo | None = None) -> datetime | None:
    """The moment that a feed's date names, in UTC; None where it names none.

    `default_zone` holds for dates without a zone (None: UTC). A date without a time is its first second. Whether the
    moment is plausible is not judged.
    """
    text = " ".join(unicodedata.normalize("NFKC", text[: 2 * _LONGEST]).split())[:_LONGEST]
    zone = default_zone or UTC
    try:
        found = _numbers(text) or _rfc822(text, zone) or _numeric(text, zone) or _in_words(text, zone)
        return found.astimezone(UTC) if found else None
    except (ValueError, OverflowError):
        return None


def _numbers(text: str) -> datetime | None:
    """Seconds or milliseconds since 1970; nine digits are 1973."""
    if re.fullmatch(r"\d{9,10}(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    if re.fullmatch(r"\d{13}", text):
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    return None


def _rfc822(text: str, zone: tzinfo) -> datetime | None:
    match = _RFC822.fullmatch(text)
    if match is None or match[2].lower() not in _ENGLISH:
        return None
    day = date(int(match[3]), _ENGLISH.index(match[2].lower()) + 1, int(match[1]))
    return _moment(day, match[4], match[5], match[6], _zone(match[7], zone))


def _numeric(text: str, zone: tzinfo) -> datetime | None:
    match = _NUMERIC.fullmatch(text)
    if match:
        day = date(int(match[1]), int(match[3]), int(match[4]))
        return _moment(day, match[5] or 0, match[6] or 0, match[7] or 0, _zone(match[8], zone))
    if text.isdigit() and len(text) in _COMPACT:
        return datetime.strptime(text, _COMPACT[len(text)]).replace(tzinfo=zone)
    if re.fullmatch(r"\d{4}-\d{3}", text):
        return datetime.strptime(text, "%Y-%j").replace(tzinfo=zone)
    if re.fullmatch(r"(19|20)\d\d(-\d\d)?", text):  # W3C-DTF allows a year, or a year and a month
        return datetime.strptime((text + "-01")[:7], "%Y-%m").replace(tzinfo=zone)
    if re.match(r"\d{4}-?(W|\d{4}T)", text):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=zone)
    return None


def _moment(day: date, hour: str | int, minute: str | int, second: str | int | None, zone: tzinfo) -> datetime:
    """A day and a time of it; 24:00 is the next day's start, the leap second :60 the next minute's."""
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    if hours > 24 or minutes > 59 or seconds > 60 or (hours == 24 and (minutes or seconds)):
        raise ValueError("no such time of day")
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    return start + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _zone(text: str | None, default: tzinfo) -> tzinfo:
    """ "GMT+9" is nine hours east, as Korean papers mean it, not as POSIX does; an unknown name is the default."""
    if not text:
        return default
    offset = _OFFSET.fullmatch(text)
    if offset is None:
        return _OFFSETS.get(text.upper(), UTC if len(text) == 1 else default)  # RFC 5322, 4.3: letters mean nothing
    east = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
    return timezone(east if offset[1] == "+" else -east)


def _in_words(text: str, zone: tzinfo) -> datetime | None:
    """Whatever else people write, brought near to English and given to dateutil."""
    if not re.search(r"\d", text):
        return None
    plain = _NOON.sub(lambda m: f"{m[2]}", _EASTERN.sub(r"\1-\2-\3 ", text))
    afternoon = re.search("오후|午後|下午", text) is not None
    noon = _NOON.search(text) is not None
    plain = re.sub(r"(\d{1,2}) ?[時시点] ?(\d{1,2}) ?[分분](?: ?(\d{1,2}) ?[秒초])?", r"\1:\2:\g<3>", plain)
    plain = _english(plain)
    day_first = not re.search(r"\b[ap]\.?m\b", plain, re.I)  # 9/5/2026 3:00 PM is American; without it the rest of us
    found = _dateutil(plain.rstrip(":"), day_first)
    if found is None:
        return None
    if noon:
        found = found.replace(hour=found.hour % 12 + (12 if afternoon else 0)) if found.hour <= 12 else found
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _english(text: str) -> str:
    """Month names of other languages as English ones; words that are neither month, zone nor clock go."""

    def one(match: re.Match[str]) -> str:
        word = match[0].lower()
        if word in ("am", "pm", "t", "z") or match[0].upper() in _ZONES:
            return match[0]
        number = next((number for stem, number in _STEMS if word.startswith(stem)), None)
        return _ENGLISH[number - 1] if number and not _weekday(word) else " "

    text = re.sub(r"\b([ap])\.m\.", r"\1m", text, flags=re.I)
    text = re.sub(r"(\d)(st|nd|rd|th|º|ª|er)\b", r"\1", text)
    text = re.sub(r"\b(GMT|UTC)([+-])", r"\2", text)
    return re.sub(r"[^\W\d_]+", one, re.sub(r"\([^()]*\)", " ", text))


def _weekday(word: str) -> bool:
    """Weekdays that begin like a month: Italian martedì, Spanish martes, French mardi and mercredi do."""
    return re.fullmatch(r"mart\w+|mard\w+|merc?\w*|sete?mana", word) is not None


def _dateutil(text: str, day_first: bool) -> datetime | None:
    """dateutil fills what is missing from a default; two defaults tell whether year, month and day were there."""
    match = _DAY_FIRST.search(text)
    if match and int(match[3]) > 12:
        day_first = False
    seconds = 0
    if re.search(r":\d\d:60\b", text):
        text, seconds = re.sub(r"(:\d\d):60\b", r"\1:59", text), 1
    if re.search(r"\b24:00(:00)?\b", text):
        text, seconds = re.sub(r"\b24:00(:00)?\b", "00:00", text), 86400
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an unknown zone's name: then the default zone holds
        defaults = (datetime(2001, 1, 1), datetime(2004, 2, 2))  # noqa: DTZ001 - filled in, then compared
        readings = [_reader().parse(text, default=day, dayfirst=day_first, tzinfos=_OFFSETS) for day in defaults]
    if readings[0] != readings[1]:
        return None
    return readings[0] + timedelta(seconds=seconds)


@lru_cache(maxsize=1)
def _reader() -> Parser:
    """dateutil, loaded where first needed: most dates never get here."""
    from dateutil.parser import parser

    return parser()
