"""The bytes of a document as UTF-8, whatever they were declared to be."""

from __future__ import annotations

import codecs
import re

_BOMS = (  # the longer first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = (  # first character "<" or "{" without a byte order mark (XML 1.0, appendix F.1)
    (re.compile(rb"[<{]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[<{]"), "utf-32-be"),
    (re.compile(rb"[<{]\0"), "utf-16-le"),
    (re.compile(rb"\0[<{]"), "utf-16-be"),
)
_ESCAPES = (  # encodings of seven bits, known by how they leave ASCII
    (b"\x1b$B", "iso2022_jp_2"),
    (b"\x1b$@", "iso2022_jp_2"),
    (b"\x1b$)C", "iso2022_kr"),
)
# Label → the larger set that is meant by it in practice (WHATWG Encoding, 4.2, and what Python lacks a name for).
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "euc_kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "x-windows-949": "cp949",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "x-euc-jp": "euc_jp",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
}
_BY_LANGUAGE = {  # what a text in a language is in where it does not say
    "ko": ("cp949",),
    "ja": ("cp932", "euc_jp"),
    "zh": ("gb18030", "big5hkscs"),
    "ru": ("cp1251", "koi8_r"),
    "uk": ("cp1251", "koi8_u"),
    "bg": ("cp1251",),
    "th": ("cp874",),
    "he": ("cp1255",),
    "el": ("cp1253",),
    "ar": ("cp1256",),
    "pl": ("iso8859_2", "cp1250"),
    "cs": ("cp1250", "iso8859_2"),
}
_NOT_TEXT = {  # Python's names for what no document is in
    *("base64", "bz2", "hex", "quopri", "rot-13", "uu", "zlib", "idna", "punycode", "undefined"),
    *("unicode-escape", "raw-unicode-escape"),
}
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_LANGUAGE = re.compile(rb"""<(?:dc:)?language>\s*([a-zA-Z]{2})|xml:lang\s*=\s*["']([a-zA-Z]{2})""")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_SAMPLE = 50_000  # bytes of text looked at for a guess
_WESTERN_RUN = 3.0  # bytes; accented letters stand alone: 1.0 to 1.4 in Western texts, 4 and more in all others met


def as_text(data: bytes, content_type: str | None, language: str | None) -> tuple[str, str | None]:
    """The document's text, and a sentence on what was wrong with its encoding, or None.

    In this order: byte order mark, UTF-16 and 32 by their zeros, UTF-8 if the bytes are (nearly) that whatever was
    declared, HTTP's charset, the XML declaration's, the language's habit, a guess (RFC 7303, 3; and experience).
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _leniently(data[len(mark) :], name, "its byte order mark")
    for pattern, name in _WIDE:
        if pattern.match(data.lstrip(b" \t\r\n")[:4] or b"\xff"):
            return _leniently(data, name, "its first bytes")
    if b"\x1b$" in data[:_SAMPLE]:
        name = next((name for mark, name in _ESCAPES if mark in data), "ascii")
        return _leniently(data, name, "its escape sequences")
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        return _legacy(data, content_type, language)


def _leniently(data: bytes, encoding: str, because: str) -> tuple[str, str | None]:
    try:
        return data.decode(encoding), None
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    lost = text.count("\ufffd")
    return text, f"{lost} characters could not be read as {encoding}, which {because} calls for"


def _legacy(data: bytes, content_type: str | None, language: str | None) -> tuple[str, str | None]:
    text = data.decode("utf-8", "replace")
    lost = text.count("\ufffd")
    if sum(map(len, _HIGH_RUN.findall(data))) > 10 * lost:  # UTF-8 with a character cut in two here and there
        return text, f"{lost} characters could not be read as UTF-8"
    declared = _declared(data, content_type)
    prose = b" ".join(piece for piece in re.split(rb"[<>]", data[: 4 * _SAMPLE]) if not piece.isascii())[:_SAMPLE]
    runs = _HIGH_RUN.findall(prose)
    western = sum(map(len, runs)) < _WESTERN_RUN * len(runs)
    for name in declared:
        if (name != "cp1252" or western) and _plausible(prose, name) and (found := _strictly(data, name)) is not None:
            return found, None
    guess = _guess(data, prose, language, western)
    found = _strictly(data, guess)
    why = f"its encoding was declared wrongly (as {declared[0]})" if declared else "its encoding was not declared"
    if found is not None:
        return found, f"{why} and taken to be {guess}"
    encoding = declared[0] if declared else guess
    text = data.decode(encoding, "replace")
    return text, f"{text.count(chr(0xFFFD))} characters could not be read as {encoding}"


def _declared(data: bytes, content_type: str | None) -> list[str]:
    """The encodings that HTTP and the document name, as Python's; unknown ones and UTF-8 (ruled out) left away."""
    labels = _CHARSET.findall(content_type or "")
    labels += [label.decode("ascii") for label in _DECLARED.findall(data[:1024])]
    names = []
    for label in labels:
        try:
            name = codecs.lookup(_MEANT.get(label.lower(), label)).name
        except LookupError:
            continue
        name = _MEANT.get(name, name)
        if not name.startswith("utf") and name not in _NOT_TEXT:
            names.append(name)
    return names


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1") if encoding == "cp1252" else None


def _plausible(prose: bytes, encoding: str) -> bool:
    """Whether a declaration of a double-byte encoding can be true; others cannot be told from the bytes."""
    if encoding not in ("cp949", "cp932", "euc_jp", "gb18030", "big5hkscs"):
        return True
    found = _east_asian(prose)
    return found is None or found == encoding or _strictly(prose, found) is None


def _guess(data: bytes, prose: bytes, language: str | None, western: bool) -> str:
    named = _LANGUAGE.search(data[:20_000])
    hints = [language or "", ((named[1] or named[2]) if named else b"").decode().lower()]
    habits = [name for hint in hints for name in _BY_LANGUAGE.get(hint.partition("-")[0], ())]
    if western and not habits:
        return "cp1252"
    found = _east_asian(prose)
    if found and (not habits or found in habits):
        return found
    readable = [name for name in habits if _strictly(data, name) is not None]
    if western and not readable:
        return "cp1252"
    if len(readable) == 1:
        return readable[0]
    return found or _by_statistics(prose, readable)


def _by_statistics(prose: bytes, among: list[str]) -> str:
    from charset_normalizer import from_bytes

    candidates = among or sorted({name for names in _BY_LANGUAGE.values() for name in names})
    best = from_bytes(prose, cp_isolation=candidates, threshold=0.5).best()
    return str(best.encoding) if best else candidates[0]


def _east_asian(prose: bytes) -> str | None:
    """Which double-byte encoding a text is in, by where its lead bytes lie; None: in none of them.

    The tables are arranged by use: kana in rows A4 and A5 of EUC-JP, 82 and 83 of Shift_JIS; the 2,350 syllables of
    KS X 1001 in rows B0 to C8; the common characters of GB 2312 in rows B0 to D7, spread by their sound; those of
    Big5 in A4 to C6, with trail bytes below 7F that no EUC has.
    """
    wide = re.findall(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]", prose)
    if len(wide) < 4:
        return None
    low = sum(pair[1] < 0xA1 for pair in wide) / len(wide)
    leads: list[int] = [pair[0] for pair in wide]

    def share(first: int, last: int) -> float:
        return sum(first <= lead <= last for lead in leads) / len(leads)

    signs = (
        ("cp932", share(0x82, 0x83) > 0.2),
        ("big5hkscs", low > 0.2 and share(0xA1, 0xC6) > 0.7),
        ("euc_jp", low <= 0.2 and share(0xA4, 0xA5) > 0.2),
        ("cp949", low <= 0.2 and share(0xB0, 0xC8) > 0.6 and share(0xC9, 0xF7) < 0.2),
        ("gb18030", low <= 0.2 and share(0xB0, 0xD7) > 0.7),
    )
    return next((name for name, sign in signs if sign and _strictly(prose, name) is not None), None)
