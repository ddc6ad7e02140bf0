"""Recognise a Korean person's name in any script, so that 태영호, Thae Yong Ho and テ・ヨンホ compare as one.

A little longer than a module should be, for all scripts meet in one skeleton.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import product

import tomli

# A name is reduced to a skeleton in which all romanisations meet: Revised, McCune-Reischauer, the North's, the forms
# that people choose for themselves, and what Cyrillic and kana make of them. One letter stands for each series of
# consonants (g kk k → g), o for the vowels that romanisations mix up (ㅓ ㅗ ㅜ ㅡ), n for both n and ng.
_PARTICLE = re.compile(
    r"(?:씨|군|양|님)?(?:은|는|이|가|을|를|의|에게|도|와|과|로|으로|에|이라|라며|이라며|측|측은)?"
    r"(?:전|의원|장관|대표|대사|대통령|총재|교수|감독|선수|목사|기자|공사|참사|참사관|사무처장|회장|소장|위원장|병사|부부|일가)?"
    r"(?:은|는|이|가|을|를|의|에게|도|와|과|로|에)?$"
)
_HANGUL_WORD = re.compile("[가-힣]{3,}")
_ENDINGS = frozenset("은는이가을를의에도로들한된할인및등다")

# Latin: a given name is made of one or two Korean syllables.
_SYLLABLE = (
    r"(?:kk|tt|pp|ss|jj|dz|kh|th|ph|ch|sh|[kgndtrlmpbsjhyw])?"
    r"(?:yeo|wae|yae|oo|ee|ae|eo|eu|ui|eui|oe|oi|wa|we|wi|wo|weo|ya|yo|yu|ye|yŏ|you|ou|uh|ah|oh|ai|[aeiouŏŭ])"
    r"(?:ng|[kgndtlmpbr](?![aeiouŏŭyw])|h(?![aeiouŏŭyw]))?"
)
_GIVEN = re.compile(rf"{_SYLLABLE}(?:[-' ]?{_SYLLABLE})?$")
_ONE = re.compile(rf"{_SYLLABLE}$")
_LATIN_RUN = re.compile(
    r"[A-Z][A-Za-zŏŭ'’]*(?:-[A-Za-zŏŭ][a-zŏŭ'’]*)*(?: [A-Z][A-Za-zŏŭ'’]*(?:-[A-Za-zŏŭ][a-zŏŭ'’]*)*)+"
)
_FOLDS = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        (r"park", "pak"),
        (r"rh", "r"),
        (r"[’']", ""),
        (r"kh|kk|k", "g"),
        (r"th|tt|t", "d"),
        (r"ph|pp|p", "b"),
        (r"ch|jj|dj|dz|j", "j"),
        (r"sh|ss", "s"),
        (r"r", "l"),
        (r"ng", "n"),
        (r"yeo|you|yoo|yu|yo", "yo"),
        (r"wae|oe|oi|we", "e"),
        (r"ae|ai|ay", "e"),
        (r"eui|ui|ee|yi", "i"),
        (r"weo|woo|wo|wu|eo|eu|ou|oo|uh|u|ŏ|ŭ", "o"),
        (r"h(?![aeiouyw])", ""),
        (r"jy", "j"),
        (r"sy", "s"),
        (r"(.)\1+", r"\1"),
    )
)
_CYRILLIC_RUN = re.compile(r"[А-ЯЁ][а-яё]+[ -][А-ЯЁ][а-яё]*(?: [А-ЯЁ][а-яё]*|-[А-ЯЁа-яё][а-яё]*)?")
_UNDOTTED = re.compile("е(?=[кнмпл])")  # Russian leaves the dots of "ё" away; at a syllable's end "е" is one
_KANA_RUN = re.compile(r"([ァ-ヶー]{1,3})[・=＝ ]([ァ-ヶー]{2,7})")
_HAN_KANA_RUN = re.compile(
    "([\u4e00-\u9fff])([\u4e00-\u9fff]?)([ァ-ヶー]{2,6})"
)  # as Japanese writes unknown given names
_HAN_RUN = re.compile("[\u4e00-\u9fff]{2,}")
_ARABIC_RUN = re.compile("[\u0621-\u064a]+(?:[ -][\u0621-\u064a]+)+")
_THAI_RUN = re.compile("[\u0e01-\u0e4e]+(?:[ -][\u0e01-\u0e4e]+)+")
_ORDER_OF_THAI = (  # before it is spelled letter by letter
    (re.compile("[\u0e01-\u0e2e]\u0e4c|[\u0e47-\u0e4b\u0e4d\u0e4e]"), ""),  # what ์ mutes, tones, short marks
    (re.compile("เ([\u0e01-\u0e2e])ียว"), r"\1ยอ"),
    (re.compile("([เแโไใ])([\u0e01-\u0e2e][ยว]?)"), r"\2\1"),  # vowels written before what they follow
    (re.compile("(?<![\u0e01-\u0e2e])อ|อ(?=[ะ-ูเแโไใ])"), ""),  # where a syllable begins with its vowel
)
_SYLLABLES = re.compile("(?:[gndlmbsjh]?[yw]?[aeio](?:[gndlmb](?![aeioyw]))?){1,2}$")  # of a given name's skeleton
_AS_SURNAME = {"금": "김", "침": "심"}  # 金 and 沈 are read otherwise elsewhere
_NOT_GIVEN_HAN = frozenset("国韩海京山上中南西北方人军月日年")


@dataclass(frozen=True, slots=True)
class _Foreign:
    """How a script that is not Korea's own writes Korean names."""

    surnames: frozenset[str]
    words: frozenset[str]  # everyday ones that no given name holds
    letters: tuple[tuple[re.Pattern[str], str], ...]  # in the order in which they are read → Latin letters


@dataclass(frozen=True, slots=True)
class _Tables:
    """What lexicon/names.toml says."""

    words: frozenset[str]  # in Hangul and in Han, that are spelled like a name
    places: frozenset[str]  # and others in Latin letters that often stand beside a surname
    given: frozenset[str]  # syllables of given names
    rulers: tuple[str, ...]  # how their skeletons begin
    hangul: frozenset[str]  # surnames, by script
    han: frozenset[str]
    latin: frozenset[str]
    initials: tuple[str, ...]  # of Hangul syllables, as the skeleton has them
    vowels: tuple[str, ...]
    finals: tuple[str, ...]
    cyrillic: dict[str, str]
    kana: dict[str, str]
    arabic: _Foreign
    thai: _Foreign
    hanja: dict[str, str]  # character → its Korean reading


@cache
def _tables() -> _Tables:
    table = tomli.loads(files("aggregator").joinpath("lexicon", "names.toml").read_text("utf-8"))
    surnames, hangul = table["surnames"], table["hangul"]
    return _Tables(
        words=frozenset(f"{table['words']['hangul']} {table['words']['han']}".split()),
        places=frozenset(table["words"]["latin"].split()),
        given=frozenset(table["given"]["hangul"]),
        rulers=tuple(table["rulers"]["skeletons"]),
        hangul=frozenset(surnames["hangul"]),
        han=frozenset(surnames["han"]),
        latin=frozenset(surnames["latin"].split()),
        initials=_sounds(hangul["initials"]),
        vowels=_sounds(hangul["vowels"]),
        finals=_sounds(hangul["finals"]),
        cyrillic=dict(zip(table["cyrillic"]["letters"], _sounds(table["cyrillic"]["sounds"]), strict=True)),
        kana=dict(zip(table["kana"]["letters"], _sounds(table["kana"]["sounds"]), strict=True)),
        arabic=_foreign(table["arabic"]),
        thai=_foreign(table["thai"]),
        hanja={character: reading for reading, characters in table["hanja"].items() for character in characters},
    )


def _foreign(table: Mapping[str, str]) -> _Foreign:
    pairs = zip(table["letters"].split(), _sounds(table["sounds"]), strict=True)
    return _Foreign(
        frozenset(table["surnames"].split()),
        frozenset(table["words"].split()),
        tuple((re.compile(one), sound) for one, sound in pairs),
    )


def _sounds(spelled: str) -> tuple[str, ...]:
    return tuple("" if sound == "-" else sound for sound in spelled.split())


def names(text: str, plain: str) -> dict[str, str]:
    """Skeleton → the name as it stands in the text, for all that look like Korean names, but the rulers'.

    `text` as it came, `plain` the same in simplified characters. Meant to be compared with another text's: what only
    looks like a name (한국군, Sun Moon) seldom meets its like.
    """
    found: dict[str, str] = {}
    for skeleton, surface in (
        *(*_hangul(text), *_latin(text), *_cyrillic(text), *_kana(text)),
        *(*_han(plain), *_spaced(plain, _ARABIC_RUN, _tables().arabic)),
        *_spaced(text, _THAI_RUN, _tables().thai),
    ):
        if len(skeleton) >= 5 and not skeleton.startswith(_tables().rulers):  # two-letter leftovers say nothing
            found.setdefault(skeleton, surface)
    return found


def _hangul(text: str) -> Iterator[tuple[str, str]]:
    tables = _tables()
    for word in _HANGUL_WORD.findall(text):
        name, rest = word[:3], word[3:]
        if name in tables.words or name[2] in _ENDINGS:
            continue
        if name[0] in tables.hangul and tables.given.issuperset(name[1:]) and _PARTICLE.match(rest):
            yield _join(_spell_hangul(name[0]), _spell_hangul(name[1:])), name


def _spell_hangul(word: str) -> str:
    tables = _tables()
    codes = [ord(character) - 0xAC00 for character in word]  # Unicode, 3.12: 21 vowels, 28 finals (one is none)
    return "".join(tables.initials[c // 588] + tables.vowels[c % 588 // 28] + tables.finals[c % 28] for c in codes)


def _latin(text: str) -> Iterator[tuple[str, str]]:
    for run in _LATIN_RUN.findall(text):
        words = [re.sub("['’]s?$|['’]", "", word) for word in run.split(" ")]
        for i in range(len(words) - 1):
            yield from _latin_at(words, i)


def _latin_at(words: list[str], i: int) -> Iterator[tuple[str, str]]:
    """Names that begin at the word: Park Sang-hak, Park Sang Hak, Sang-hak Park."""
    low, surnames = [word.lower() for word in words[i : i + 3]], _tables().latin
    if low[0] in surnames and len(low) == 3 and _ONE.match(low[1]) and _ONE.match(low[2]):
        yield _join(_fold(low[0]), _fold(low[1]) + _fold(low[2])), " ".join(words[i : i + 3])
    if low[0] in surnames and _GIVEN.match(low[1]) and len(low[1]) > 4 and low[1] not in _tables().places:
        yield _join(_fold(low[0]), _fold_given(low[1])), " ".join(words[i : i + 2])
    if low[1] in surnames and _GIVEN.match(low[0]) and len(low[0]) > 4 and low[0] not in _tables().places:
        yield _join(_fold(low[1]), _fold_given(low[0])), " ".join(words[i : i + 2])


@cache
def _surnames() -> frozenset[str]:
    """Skeletons."""
    return frozenset(_fold(one) for one in _tables().latin)


def _cyrillic(text: str) -> Iterator[tuple[str, str]]:
    letters, surnames = _tables().cyrillic, _surnames()
    for run in _CYRILLIC_RUN.findall(text):
        surname, *given = re.split("[ -]", _UNDOTTED.sub("ё", run.lower()))
        if (
            sum(c in "аеёиоуыэюя" for c in "".join(given)) > 2
        ):  # a given name has two syllables: the third is a Russian case
            given[-1] = _ENDING.sub("", given[-1])
        words = ["".join(letters[c] for c in word) for word in (surname, *given)]
        spelled = [_fold(re.sub("([gdbj])h", r"\1", word)) for word in words]
        if spelled[0] in surnames and all(len(word) <= 6 for word in spelled):
            yield _join(spelled[0], "".join(spelled[1:])), run


def _kana(text: str) -> Iterator[tuple[str, str]]:
    for surname, given in _KANA_RUN.findall(text):
        yield _join(_spell_kana(surname), _spell_kana(given)), f"{surname}・{given}"


def _spell_kana(word: str) -> str:
    spelled = ""
    for kana in word:
        sound = _tables().kana.get(kana, "")
        if sound.startswith("|"):  # a small vowel takes the place of the one before it
            spelled = spelled.rstrip("aeio") + sound[1:]
        else:
            spelled += sound
    return spelled.replace("jy", "j").replace("sy", "s")


def _han(text: str) -> Iterator[tuple[str, str]]:
    tables, hanja = _tables(), _tables().hanja
    for run in _HAN_RUN.findall(text):
        for i, character in enumerate(run[:-2]):
            given = run[i + 1 : i + 3]
            if character not in tables.han or given[0] in _NOT_GIVEN_HAN or run[i : i + 3] in tables.words:
                continue
            read = "".join(hanja.get(c, " ") for c in given)
            if tables.given.issuperset(read):
                surname = _AS_SURNAME.get(hanja[character], hanja[character])
                yield _join(_spell_hangul(surname), _spell_hangul(read)), run[i : i + 3]
    for one, two, kana in _HAN_KANA_RUN.findall(text):
        given = _spell_hangul(hanja.get(two, "")) + _spell_kana(kana)
        if (
            one in tables.han
            and (not two or two in hanja)
            and _SYLLABLES.match(given)
            and one + kana not in tables.words
        ):
            yield _join(_spell_hangul(_AS_SURNAME.get(hanja[one], hanja[one])), given), one + two + kana


def _spaced(text: str, runs: re.Pattern[str], script: _Foreign) -> Iterator[tuple[str, str]]:
    """Names in runs of words of which the first is a surname and one or two more a given name of two syllables."""
    for words in (re.split("[ -]", run) for run in runs.findall(text)):
        for i, surname in enumerate(words[:-1]):
            if surname not in script.surnames:
                continue
            for given in (words[i + 1 : i + 3], words[i + 1 : i + 2]):
                spelled = ["" if word in script.words else _spell(word, script) for word in given]
                if all(map(_SYLLABLES.match, spelled)) and len("".join(spelled)) >= 3 and len(given) <= 2:
                    yield _join(_spell(surname, script), "".join(spelled)), " ".join([surname, *given])
                    break


@lru_cache(maxsize=4096)
def _spell(word: str, script: _Foreign) -> str:
    """The skeleton of an Arabic or Thai word."""
    for pattern, to in _ORDER_OF_THAI if word[0] > "\u0e00" else ():
        word = pattern.sub(to, word)
    for pattern, to in script.letters:
        word = pattern.sub(to, word)
    return _fold(word).replace("N", "n")


def _fold_given(word: str) -> str:
    return "".join(_fold(part) for part in re.split("[-' ]", word))


@lru_cache(maxsize=4096)
def _fold(word: str) -> str:
    for pattern, to in _FOLDS:
        word = pattern.sub(to, word)
    return word


def _join(surname: str, given: str) -> str:
    """One form for the South's and the North's spelling: 이 리, 유 류, 노 로, 임 림, and 용해 룡해."""
    return f"{_southern(surname)} {_southern(given)}"


def _southern(part: str) -> str:
    """A surname or given name as the South begins it: no l there."""
    if not part.startswith("l"):
        return part
    return part[1:] if part[1:2] in ("i", "y") else "n" + part[1:]


# --- a name that is known, however it is written ----------------------------------------------------------------

_LATIN_WORD = re.compile("[a-z']+")
_CYRILLIC_WORD = re.compile("[а-я]+")
_HANGUL_LETTERS = re.compile("[가-힣]+(?: [가-힣]+)*")
_HAN_LETTERS = re.compile("[\u4e00-\u9fff]{2,}")
_KANA_LETTERS = re.compile("[ァ-ヶー]+|[ぁ-ゖー]+")
_ENDING = re.compile("(?<=[б-джзй-нп-тф-щ])(?:а|у|е|ом|ы|и)$")  # of Russian cases
_SHORTEST = 5  # letters of a skeleton: shorter ones are in every text
_READ_FOR_ALL = dict.fromkeys(map(ord, "еэ"), "ё")  # Russian leaves the dots of "ё" away
_UKRAINIAN = str.maketrans("ії", "ии")
_HONORIFIC = "さん"


def sounds(name: str) -> frozenset[str]:
    """The skeletons of one Korean name in any script; none where it is not read as one.

    `name` in the form of `words.comparable`. Laxer than those of `names`: case, spaces and hyphens do not matter.
    """
    surnames = _surnames()
    pairs = {(surname, given) for surname, given in _readings(name, whole=True) if _plain(surname) in surnames}
    return frozenset(one for pair in pairs if len(one := _meeting(*pair)) >= _SHORTEST)


def heard(text: str, wanted: frozenset[str]) -> frozenset[str]:
    """Those of the wanted skeletons (of `sounds`) that a text holds, in whatever script, case and order.

    `text` in the form of `words.comparable`. It hears what only sounds like a name, too: for texts that a person will
    look at.
    """
    return wanted & {_meeting(surname, given) for surname, given in _readings(text, whole=False)} if wanted else wanted


def _readings(text: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    """All that may be surname and given name in a text; `whole`: only what takes all of it."""
    latin = _LATIN_WORD.findall(text)
    yield from _of_words([_spell_latin(word) for word in latin], whole=whole)
    if not whole or len(latin) == 1:
        yield from (pair for word in latin for pair in _glued(word))
    cyrillic = _CYRILLIC_WORD.findall(text.translate(_UKRAINIAN))
    yield from _of_words([_spell_cyrillic(word) for word in cyrillic], whole=whole)
    for run in _HANGUL_LETTERS.findall(text):
        yield from _of_syllables(run.replace(" ", ""), whole=whole)
    readable = _tables().hanja
    for run in _HAN_LETTERS.findall(text):
        for part in "".join(character if character in readable else " " for character in run).split():
            yield from _of_syllables("".join(readable[character] for character in part), whole=whole)
    runs = [_katakana(run.removesuffix(_HONORIFIC)) for run in _KANA_LETTERS.findall(text)]
    yield from _of_words([(_spell_kana(run),) for run in runs], whole=whole)
    for run in runs:
        yield from ((_spell_kana(run[:n]), _spell_kana(run[n:])) for n in (1, 2, 3) if len(run) > n)


def _of_words(words: list[tuple[str, ...]], *, whole: bool) -> Iterator[tuple[str, str]]:
    """Two or three words with the surname first or last; each word in its ways to be spelled."""
    for count in (2, 3):
        for start in range(len(words) - count + 1):
            if whole and count < len(words):
                continue
            part = words[start : start + count]
            for spelled in product(*part):
                yield spelled[0], "".join(spelled[1:])
                yield spelled[-1], "".join(spelled[:-1])


def _of_syllables(run: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    """One syllable and one or two more, from anywhere in a run."""
    for start in range(1 if whole else len(run) - 1):
        for end in (len(run),) if whole else (start + 2, start + 3):
            if start + 1 < end <= min(len(run), start + 4):
                yield _spell_hangul(_AS_SURNAME.get(run[start], run[start])), _spell_hangul(run[start + 1 : end])


@lru_cache(maxsize=4096)
def _glued(word: str) -> tuple[tuple[str, str], ...]:
    """The ways to read one word as a surname and a given name, either first: KimHyonU."""
    surnames = _tables().latin
    first = ((word[:n], word[n:]) for n in range(1, 6) if word[:n] in surnames)
    last = ((word[-n:], word[:-n]) for n in range(1, 6) if word[-n:] in surnames)
    return tuple((_fold(surname), _fold(given)) for surname, given in (*first, *last) if len(given) > 2)


def _spell_latin(word: str) -> tuple[str, ...]:
    return (_fold(word.removesuffix("'s")),)


@lru_cache(maxsize=4096)
def _spell_cyrillic(word: str) -> tuple[str, ...]:
    letters = _tables().cyrillic
    forms = dict.fromkeys((word, _ENDING.sub("", word)))
    spelled = ("".join(letters[c] for c in form) for one in forms for form in (one, one.translate(_READ_FOR_ALL)))
    return tuple(dict.fromkeys(_fold(re.sub("([gdbj])h", r"\1", one)) for one in spelled))


def _katakana(text: str) -> str:
    """Hiragana as katakana, which Unicode has in the same order."""
    return "".join(chr(ord(c) + 0x60) if "\u3041" <= c <= "\u3096" else c for c in text)


@lru_cache(maxsize=8192)
def _meeting(surname: str, given: str) -> str:
    """What two spellings of a name have in common once it is forgotten where a syllable ends: Han-gil and Hangil."""
    return _join(_plain(surname), _plain(given))


def _plain(skeleton: str) -> str:
    skeleton = re.sub("(?<=[^aeio])h", "", skeleton.replace("ng", "n"))
    return re.sub(r"(.)\1+", r"\1", skeleton)
