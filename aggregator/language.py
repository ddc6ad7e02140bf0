"""Names of languages as feeds spell them, and the language of a text that does not say."""

from __future__ import annotations

import re
from collections import Counter
from copy import copy
from functools import cache
from typing import Any

_ISO_639_1 = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en
eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv
ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne
ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss
st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""  # complete
_CODES = frozenset(_ISO_639_1.split())
# What feeds write instead of a code: English names, ISO 639-2 codes, and countries taken for languages.
_MENDED = {
    "english": "en", "eng": "en", "us": "en-US", "usa": "en-US", "gb": "en-GB", "american": "en-US",
    "korean": "ko", "kor": "ko", "kr": "ko", "한국어": "ko",
    "japanese": "ja", "jpn": "ja", "jp": "ja", "日本語": "ja",
    "chinese": "zh", "zho": "zh", "chi": "zh", "cn": "zh-CN", "中文": "zh",
    "spanish": "es", "spa": "es", "español": "es", "castellano": "es",
    "french": "fr", "fra": "fr", "fre": "fr", "français": "fr",
    "german": "de", "deu": "de", "ger": "de", "deutsch": "de",
    "russian": "ru", "rus": "ru", "русский": "ru",
    "portuguese": "pt", "por": "pt", "português": "pt",
    "italian": "it", "ita": "it", "italiano": "it",
    "polish": "pl", "pol": "pl", "dutch": "nl", "nld": "nl", "dut": "nl",
    "arabic": "ar", "ara": "ar", "turkish": "tr", "tur": "tr", "vietnamese": "vi", "vie": "vi", "vn": "vi",
    "indonesian": "id", "ind": "id", "in": "id", "thai": "th", "tha": "th", "mongolian": "mn", "mon": "mn",
    "hindi": "hi", "hin": "hi", "persian": "fa", "farsi": "fa", "fas": "fa", "per": "fa", "urdu": "ur", "urd": "ur",
    "ukrainian": "uk", "ukr": "uk", "ua": "uk", "czech": "cs", "ces": "cs", "cze": "cs", "cz": "cs",
    "swedish": "sv", "swe": "sv", "danish": "da", "dan": "da", "dk": "da", "norwegian": "no", "nor": "no",
    "finnish": "fi", "fin": "fi", "greek": "el", "ell": "el", "gre": "el", "gr": "el", "hebrew": "he", "heb": "he",
    "iw": "he", "hungarian": "hu", "hun": "hu", "romanian": "ro", "ron": "ro", "rum": "ro",
}  # fmt: skip
_NOT_ONE = frozenset({"und", "mul", "zxx", "mis", "xx", "none", "null", "default", "all"})
_REGIONS = {"uk": "GB"}

# First and last code point of a script → its name here.
_SCRIPTS = (
    ("latin", 0x41, 0x5A), ("latin", 0x61, 0x7A), ("latin", 0xC0, 0x24F), ("latin", 0x1E00, 0x1EFF),
    ("greek", 0x370, 0x3FF), ("cyrillic", 0x400, 0x52F), ("armenian", 0x530, 0x58F), ("hebrew", 0x590, 0x5FF),
    ("arabic", 0x600, 0x6FF), ("arabic", 0x750, 0x77F), ("arabic", 0xFB50, 0xFDFF), ("arabic", 0xFE70, 0xFEFC),
    ("devanagari", 0x900, 0x97F), ("bengali", 0x980, 0x9FF), ("gurmukhi", 0xA00, 0xA7F), ("gujarati", 0xA80, 0xAFF),
    ("odia", 0xB00, 0xB7F), ("tamil", 0xB80, 0xBFF), ("telugu", 0xC00, 0xC7F), ("kannada", 0xC80, 0xCFF),
    ("malayalam", 0xD00, 0xD7F), ("sinhala", 0xD80, 0xDFF), ("thai", 0xE00, 0xE7F), ("lao", 0xE80, 0xEFF),
    ("tibetan", 0xF00, 0xFFF), ("burmese", 0x1000, 0x109F), ("georgian", 0x10A0, 0x10FF), ("hangul", 0x1100, 0x11FF),
    ("ethiopic", 0x1200, 0x137F), ("khmer", 0x1780, 0x17FF), ("kana", 0x3041, 0x30FA), ("kana", 0x30FC, 0x30FF),
    ("hangul", 0x3131, 0x318E), ("han", 0x3400, 0x4DBF), ("han", 0x4E00, 0x9FFF), ("hangul", 0xAC00, 0xD7A3),
    ("han", 0xF900, 0xFAFF), ("kana", 0xFF66, 0xFF9D), ("han", 0x20000, 0x323AF),
)  # fmt: skip
_ONE_LANGUAGE = {
    "hangul": "ko", "kana": "ja", "han": "zh", "thai": "th", "greek": "el", "hebrew": "he", "armenian": "hy",
    "georgian": "ka", "tamil": "ta", "telugu": "te", "kannada": "kn", "malayalam": "ml", "sinhala": "si",
    "gujarati": "gu", "gurmukhi": "pa", "odia": "or", "lao": "lo", "khmer": "km", "burmese": "my", "tibetan": "bo",
    "ethiopic": "am", "bengali": "bn",
}  # fmt: skip
_MANY_LANGUAGES = {  # script → languages of the press; rarer neighbours (gl, af, mk, ps) only took headlines from these
    "latin": "ca cs da de en es et fi fr hr hu id is it lt lv nl no pl pt ro sk sl sq sv tl tr vi",
    "cyrillic": "be bg kk ky mn ru sr uk",
    "arabic": "ar fa ug ur",
    "devanagari": "hi mr ne",
}
_TELLING = (  # letters that only one of a script's languages uses; the first found decides
    ("uk", "їєґ"), ("be", "ў"), ("mn", "өү"), ("kk", "әқғұ"), ("ky", "ң"), ("sr", "ђјљњћџ"), ("ru", "ыэё"),
    ("ur", "ٹڈڑںےھ"), ("ug", "ۆۈۋې"), ("fa", "پچژگکی"), ("ar", "ةىأإ"),
)  # fmt: skip
_ENOUGH = 12  # letters below which no text is guessed: a name or two is no evidence
_SURE = 0.7  # probability; at 0.5 Spanish headlines of four words came out as Catalan
_SAMPLE = 2000  # characters looked at; more changed no answer
_NOT_PROSE = re.compile(r"https?://\S+|www\.\S+|[@#]\w+|\S+@\S+")


def clean_language_tag(text: str) -> str | None:
    """A declared language as BCP 47 ("ko_KR" → "ko-KR", "english-UK" → "en-GB"); None if it names no language."""
    parts = [part for part in re.split(r"[-_\s]+", text.strip().partition(".")[0].partition(",")[0]) if part]
    if not parts or len(parts[0]) > 20:
        return None
    first = parts[0].casefold()
    tag = _MENDED.get(first, first)
    language, _, region = tag.partition("-")
    if language in _NOT_ONE or not (language in _CODES or re.fullmatch(r"[a-z]{3}", language)):
        return None
    subtags = list(dict.fromkeys(subtag for subtag in map(_subtag, parts[1:4]) if subtag))
    return "-".join([language, *subtags]) if subtags or not region else tag


def _subtag(text: str) -> str:
    """Script or region in its usual case; "" for what is neither (variants and extensions say nothing here)."""
    if re.fullmatch(r"[A-Za-z]{4}", text):
        return text.title()
    if re.fullmatch(r"[A-Za-z]{2}|\d{3}", text):
        return _REGIONS.get(text.lower(), text.upper())
    return ""


def scripts_of(text: str) -> Counter[str]:
    """How many letters of each script the text's beginning holds; scripts of one language go by names used here."""
    counts: Counter[str] = Counter()
    for character, times in Counter(text[:_SAMPLE]).items():
        code = ord(character)
        name = next((name for name, first, last in _SCRIPTS if first <= code <= last), None)
        if name and (character.isalpha() or name not in ("latin", "cyrillic", "arabic")):
            counts[name] += times
    return counts


def fits_script(language: str, text: str) -> bool:
    """Whether a text could be in the declared language, as far as its letters tell."""
    counts = scripts_of(_NOT_PROSE.sub(" ", text[: 2 * _SAMPLE]))
    script = _script_language(counts)
    if script is None:
        return True
    base = language.partition("-")[0]
    if script == "ko" and base in ("zh", "yue"):  # a Chinese text may quote Korean words
        return counts["han"] > counts["hangul"]
    if script in _MANY_LANGUAGES:
        return base not in _SPOKEN_ELSEWHERE or base in _MANY_LANGUAGES[script].split()
    return base == script or (script == "zh" and base in ("ja", "ko", "yue")) or base not in _SPOKEN_ELSEWHERE


def detect_language(text: str) -> str | None:
    """The language of a plain text as BCP 47, by script, then telling letters, then statistics; None when unsure.

    Statistics: py3langid, restricted to the languages that use the script at hand.
    """
    prose = _NOT_PROSE.sub(" ", text[: 2 * _SAMPLE])[:_SAMPLE].lower()
    counts = scripts_of(prose)
    found = _script_language(counts)
    if found is None or found not in _MANY_LANGUAGES:
        return found
    if counts[found] < _ENOUGH:
        return None
    rivals = _MANY_LANGUAGES[found].split()
    if found != "latin":
        told = next(
            (code for code, letters in _TELLING if code in rivals and any(map(prose.__contains__, letters))), None
        )
        if told:
            return told
    language, probability = _identifier(found).classify(prose)
    return str(language) if probability >= _SURE else None


def _script_language(counts: Counter[str]) -> str | None:
    """A language where the script settles it, else the name of the script that rules; None without letters.

    A Han, kana or Hangul letter holds two or three Latin ones' worth; names in Latin letters are common in those texts.
    """
    eastern = counts["hangul"] + counts["kana"] + counts["han"]
    if eastern >= 2 and eastern * 3 >= counts.total() - eastern:
        if counts["hangul"] >= max(counts["kana"], counts["han"] / 4):
            return "ko"
        return "ja" if counts["kana"] * 12 >= eastern else "zh"
    if not counts:
        return None
    script, letters = counts.most_common(1)[0]
    if letters * 2 < counts.total() or letters < 2:
        return None
    return _ONE_LANGUAGE.get(script, script if script in _MANY_LANGUAGES else None)


_SPOKEN_ELSEWHERE = frozenset(_ONE_LANGUAGE.values()) | frozenset(
    code for codes in _MANY_LANGUAGES.values() for code in codes.split()
)


@cache
def _identifier(script: str) -> Any:
    """py3langid for one script; the tables that all scripts read are shared, 80 MB that were there for each."""
    identifier = copy(_model())
    known = set(identifier.labels)
    identifier.set_languages([code for code in _MANY_LANGUAGES[script].split() if code in known])
    return identifier


@cache
def _model() -> Any:
    """Loaded where first needed, because numpy and the model take half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
