"""The strings of the wild web made comparable: plain text here; links, times and languages from its neighbours."""

from __future__ import annotations

import html as entities
import re
import unicodedata

import nh3

from aggregator.language import clean_language_tag, detect_language, fits_script
from aggregator.links import canonical_link, publishable_link, source_key, without_password
from aggregator.times import parse_time

__all__ = [
    "canonical_link",
    "clean_language_tag",
    "detect_language",
    "fits_script",
    "has_markup",
    "parse_time",
    "plain_text",
    "publishable_link",
    "shorten",
    "single_line",
    "source_key",
    "without_password",
]

_MOST_MARKUP = 262_144  # characters of one text that are looked at; the longest article met had 190,000
_DEEPEST = 400  # open elements; newsletters nest tables some 40 deep, html5ever grows quadratic with depth

# Elements that break a line, and those whose content is no text for readers (HTML, 4 and 15.3).
_BLOCKS = """
address article aside blockquote br caption center dd details div dl dt fieldset figcaption figure footer form h1
h2 h3 h4 h5 h6 header hr li main nav ol option p pre section summary table tbody td tfoot th thead tr ul
"""
_BREAKS = set(_BLOCKS.split())
_UNSEEN = {
    *("script", "style", "template", "iframe", "object", "noscript", "noembed", "noframes"),
    *("svg", "math", "head", "title", "textarea"),
}
_CLOSE_THEMSELVES = {
    *("area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"),
    *("dd", "dt", "li", "option", "p", "td", "th", "tr"),
}

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
# Renamed to span before parsing: HTML reopens formatting elements in every later block, which a hostile text can make
# quadratic (100 open <b> and 65,000 <p> took 6 s); none of them matters for plain text.
_FORMATTING = re.compile(r"(</?)(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])", re.IGNORECASE)
_LEFT_TAG = re.compile(r"<[^<>]*>")
_MARKUP = re.compile(  # a known end tag, or one of those that stand alone: a lone "<b>" may be meant as it stands
    r"</(?:a|abbr|b|blockquote|center|cite|code|del|div|em|figure|font|h[1-6]|i|iframe|ins|li|ol|p|pre|q|s|script|small"
    r"|span|strike|strong|style|sub|sup|svg|table|tbody|td|th|tr|tt|u|ul|video)\s*>"
    r"|<(?:br|embed|hr|img|p)(?:\s[^<>]{0,4000})?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|[lr][sd]quo|[nm]dash|hellip|#[0-9]{2,7}|#[xX][0-9a-fA-F]{2,6});")

_C1 = {chr(code): bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}  # as HTML, 13.2.5.80 does
_NEVER = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f"  # controls
    "\u202a-\u202e\u2066-\u2069"  # bidirectional overrides and isolates
    "\u00ad\u200b\u2060\ufeff\ufff9-\ufffb"  # invisible
    "\ufdd0-\ufdef" + "".join(chr(plane + 0xFFFE) + chr(plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)) + "]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_JOINER_IN_LATIN = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f]|$)")
_MOST_MARKS = 30  # combining marks in a row: Unicode Standard Annex 15, Stream-Safe Text Format
_SENTENCE_END = re.compile(r"[.!?…]['\"”’»)]*(?=\s)|[。！？｡]['\"”’」』）]*|다\.(?=\S)")
_LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")  # Thai and Lao write them before the consonant they belong to


def plain_text(text: str, *, html: bool) -> str:
    """Readable text: no markup, no invisible or illegal characters, NFC, single spaces, one line for each block.

    `html` says whether the text is markup; entities that were escaped once too often are mended in both cases, and so
    is markup that was. Takes time in proportion to the length, which is cut at 262,144 characters.
    """
    if text.isascii() and text.isprintable() and "&" not in text and not (html and "<" in text):
        return " ".join(text[:_MOST_MARKUP].split())  # most names, categories and headlines
    text = _clean(text[:_MOST_MARKUP])
    if html:
        inner = _without_markup(text)
        if "<" in inner and not _MARKUP.search(text) and _MARKUP.search(inner):
            inner = _without_markup(inner)
        text = inner
    if "&" in text:
        text = _clean(_ENTITY.sub(lambda found: entities.unescape(found[0]), text))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return unicodedata.normalize("NFC", _stream_safe("\n".join(line for line in lines if line)))


def single_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def has_markup(text: str) -> bool:
    """Whether a text that may be plain or HTML is HTML: known elements or entities stand in it."""
    return ("&" in text and _ENTITY.search(text) is not None) or ("<" in text and _MARKUP.search(text) is not None)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, ellipsis included, cut after a sentence, else a word, else a whole character.

    A whole character is what a reader sees as one (an approximation of Unicode Standard Annex 29, 3.1).
    """
    if len(text) <= limit:
        return text
    if limit < 2:
        return "…"[:limit]
    room = text[: limit - 1]
    ends = [found.end() for found in _SENTENCE_END.finditer(text, len(room) // 2, len(room))]
    if ends and ends[-1] <= limit - 2:
        return text[: ends[-1]].rstrip() + " …"
    words = re.match(r"(?s)(.*\S)\s", text[:limit])
    if words and len(words[1]) >= len(room) * 0.7:
        return words[1].rstrip(" ,;:–—-") + "…"
    return text[: _whole(text, len(room))].rstrip() + "…"


def _clean(text: str) -> str:
    """Remove what no reader may be shown and put right what only an encoding's confusion made."""
    if text.replace("\n", " ").replace("\t", " ").replace("\xa0", " ").isprintable():
        return text  # nothing to do, found ten times faster than by the expressions below
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    text = _NEVER.sub(lambda found: _C1.get(found[0], ""), text)
    return _JOINER_IN_LATIN.sub("", text) if "\u200c" in text or "\u200d" in text else text


def _without_markup(text: str) -> str:
    """What a reader would see of HTML, each block on lines of its own."""
    if "<" not in text:
        return entities.unescape(text)
    text = _FORMATTING.sub(r"\1span", _shallow(text))
    text = nh3.clean(text, tags=_BREAKS, clean_content_tags=_UNSEEN, attributes={}, link_rel=None)
    return _clean(entities.unescape(_LEFT_TAG.sub("\n", re.sub(r"</?t[dh]>", " ", re.sub(r"\s+", " ", text)))))


def _shallow(text: str) -> str:
    """The text without the tags that come after its elements nest deeper than any honest one's."""
    open_elements: dict[str, int] = {}
    depth = 0
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if name in _CLOSE_THEMSELVES:
            continue
        if not tag[1]:
            open_elements[name] = open_elements.get(name, 0) + 1
            depth += 1
        elif open_elements.get(name):
            open_elements[name] -= 1
            depth -= 1
        if depth > _DEEPEST:
            return text[: tag.start()] + _LEFT_TAG.sub(" ", text[tag.start() :])
    return text


def _stream_safe(text: str) -> str:
    """Runs of combining marks cut to a bearable length: normalising them is quadratic in CPython."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def _whole(text: str, end: int) -> int:
    """The last place at or before `end` that does not cut a visible character in two; gives up after 64 steps."""
    for place in range(end, max(end - 64, 0), -1):
        if not _joins(text[place - 1], text[place]) and not _in_flag(text, place):
            return place
    return end


def _joins(before: str, after: str) -> bool:
    code = ord(after)
    return (
        unicodedata.category(after) in ("Mn", "Me", "Mc")
        or after in "\u200c\u200d\u0e33\u0eb3"
        or before == "\u200d"
        or before in _LEADING_VOWELS
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or 0xE0020 <= code <= 0xE007F  # tags
        or 0x1160 <= code <= 0x11FF  # vowels and finals of decomposed Hangul
    )


def _in_flag(text: str, place: int) -> bool:
    """Whether two regional indicators that make one flag would be parted."""
    count = 0
    while count < 64 and place - count > 0 and 0x1F1E6 <= ord(text[place - count - 1]) <= 0x1F1FF:
        count += 1
    return count % 2 == 1 and 0x1F1E6 <= ord(text[place]) <= 0x1F1FF
