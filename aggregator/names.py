"""Recognise a Korean person's name in any script, so that 태영호, Thae Yong Ho and テ・ヨンホ compare as one."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A name is reduced to a skeleton in which all romanisations meet: Revised, McCune-Reischauer, the North's, the forms
# that people choose for themselves, and what Cyrillic and kana make of them. One letter stands for each series of
# consonants (g kk k → g), o for the vowels that romanisations mix up (ㅓ ㅗ ㅜ ㅡ), n for both n and ng.
_INITIALS = ("g", "g", "n", "d", "d", "l", "m", "b", "b", "s", "s", "", "j", "j", "j", "g", "d", "b", "h")
_VOWELS = tuple(
    ["a", "e", "ya", "ye", "o", "e", "yo", "ye", "o", "wa", "e", "e", "yo", "o", "o", "e", "wi", "yo", "o", "i", "i"]
)
_FINALS = tuple(", g g g n n n d l l l l l l l l m b b d d n d d g d b d".replace(",", "").split(" "))

_SURNAMES_HANGUL = frozenset(
    "김이리박최정강조윤장임림한오서신권황안송류유전홍고문양손배백허남심노로하곽성차주우구민나라지진엄채원천방공현함변염여추도소석선설마길연위표명기반왕금옥육인맹제모탁국어은편태"
)
_PARTICLE = re.compile(
    r"(?:씨|군|양|님)?(?:은|는|이|가|을|를|의|에게|도|와|과|로|으로|에|이라|라며|이라며|측|측은)?"
    r"(?:전|의원|장관|대표|대사|대통령|총재|교수|감독|선수|목사|기자|공사|참사|참사관|사무처장|회장|소장|위원장|병사|부부|일가)?"
    r"(?:은|는|이|가|을|를|의|에게|도|와|과|로|에)?$"
)
_HANGUL_WORD = re.compile("[가-힣]{3,}")
_ENDINGS = frozenset("은는이가을를의에도로들한된할인및등")

# Latin: a surname in one of its spellings, and a given name made of one or two Korean syllables.
_SURNAMES_LATIN = frozenset(
    [
        "kim",
        "gim",
        "lee",
        "yi",
        "ri",
        "rhee",
        "li",
        "rhie",
        "park",
        "pak",
        "bak",
        "choi",
        "choe",
        "choy",
        "jung",
        "jeong",
        "chung",
        "chong",
        "jong",
        "kang",
        "gang",
        "jo",
        "cho",
        "joh",
        "yoon",
        "yun",
        "jang",
        "chang",
        "lim",
        "im",
        "rim",
        "han",
        "oh",
        "o",
        "seo",
        "suh",
        "so",
        "sur",
        "shin",
        "sin",
        "kwon",
        "gwon",
        "hwang",
        "ahn",
        "an",
        "song",
        "ryu",
        "yoo",
        "yu",
        "ryoo",
        "lyu",
        "jeon",
        "jun",
        "chon",
        "hong",
        "ko",
        "go",
        "koh",
        "moon",
        "mun",
        "yang",
        "ryang",
        "son",
        "sohn",
        "bae",
        "pae",
        "baek",
        "paek",
        "paik",
        "baik",
        "heo",
        "hur",
        "ho",
        "nam",
        "sim",
        "shim",
        "no",
        "noh",
        "roh",
        "ha",
        "kwak",
        "gwak",
        "sung",
        "seong",
        "cha",
        "joo",
        "ju",
        "chu",
        "woo",
        "u",
        "koo",
        "ku",
        "gu",
        "min",
        "na",
        "ra",
        "ji",
        "chi",
        "jin",
        "chin",
        "um",
        "eom",
        "chae",
        "won",
        "cheon",
        "chun",
        "bang",
        "pang",
        "kong",
        "gong",
        "hyun",
        "hyon",
        "hyeon",
        "ham",
        "byun",
        "yeom",
        "yom",
        "yeo",
        "choo",
        "do",
        "to",
        "seok",
        "sok",
        "suk",
        "sun",
        "seon",
        "sul",
        "seol",
        "ma",
        "gil",
        "kil",
        "yeon",
        "yon",
        "pyo",
        "myung",
        "ki",
        "gi",
        "ban",
        "wang",
        "geum",
        "ok",
        "yook",
        "tae",
        "thae",
    ]
)
_SYLLABLE = (
    r"(?:kk|tt|pp|ss|jj|kh|th|ph|ch|sh|[kgndtrlmpbsjhyw])?"
    r"(?:yeo|wae|yae|oo|ee|ae|eo|eu|ui|eui|oe|oi|wa|we|wi|wo|weo|ya|yo|yu|ye|you|ou|uh|ah|oh|ai|[aeiou])"
    r"(?:ng|[kgndtlmpbr](?![aeiouyw])|h(?![aeiouyw]))?"
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
        (r"[’']", ""),
        (r"kh|kk|k", "g"),
        (r"th|tt|t", "d"),
        (r"ph|pp|p", "b"),
        (r"ch|jj|dj|j", "j"),
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
_CYRILLIC = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        [
            "a",
            "b",
            "w",
            "g",
            "d",
            "e",
            "yo",
            "j",
            "j",
            "i",
            "i",
            "g",
            "l",
            "m",
            "n",
            "o",
            "b",
            "l",
            "s",
            "d",
            "o",
            "b",
            "h",
            "j",
            "j",
            "s",
            "s",
            "",
            "o",
            "",
            "e",
            "yo",
            "ya",
        ],
        strict=True,
    )
)
_CYRILLIC_RUN = re.compile(r"[А-ЯЁ][а-яё]+(?:[ -][А-ЯЁа-яё][а-яё]*){1,2}")
_KANA = {
    kana: sound
    for row, sounds in (
        ("アイウエオ", "a i o e o"),
        ("カキクケコガギグゲゴ", "ga gi g ge go ga gi go ge go"),
        ("サシスセソザジズゼゾ", "sa si s se so ja ji jo je jo"),
        ("タチツテトダヂヅデド", "da ji jo de do da ji jo de do"),
        ("ナニヌネノハヒフヘホ", "na ni no ne no ha hi ho he ho"),
        ("バビブベボパピプペポ", "ba bi bo be bo ba bi b be bo"),
        ("マミムメモラリルレロ", "ma mi m me mo la li l le lo"),
        ("ヤユヨワンッー", "ya yo yo wa n - -"),
        ("ァィゥェォャュョ", "|a |i |o |e |o |ya |yo |yo"),
    )
    for kana, sound in zip(row, sounds.split(), strict=True)
}
_KANA_RUN = re.compile(r"([ァ-ヶー]{1,3})[・=＝ ]([ァ-ヶー]{2,7})")
# Hanja common in Korean names, simplified, filed under their Korean reading.
_HANJA = {
    character: reading
    for entry in [
        "김金",
        "이李异",
        "리里利莉",
        "박朴",
        "최崔",
        "정郑丁正贞静政廷晶程",
        "강姜康江",
        "조赵曹助朝",
        "윤尹允润伦",
        "장张章蒋",
        "임任林",
        "한韩汉",
        "오吴",
        "서徐瑞书西",
        "신申辛信新",
        "권权",
        "황黄煌",
        "안安",
        "송宋松",
        "유柳刘俞裕有维惟由",
        "류刘柳流",
        "전全田传",
        "홍洪弘",
        "고高",
        "문文汶",
        "양梁杨良",
        "손孙",
        "배裴培",
        "백白伯",
        "허许",
        "남南男",
        "심沈心",
        "노卢鲁",
        "하河夏何",
        "곽郭",
        "성成星圣诚性声胜",
        "차车",
        "주朱周柱珠周洙",
        "우禹宇佑雨祐",
        "구具九求",
        "민闵敏珉旻民",
        "지池志智知芝",
        "진陈珍真镇进辰振",
        "엄严",
        "채蔡彩采",
        "원元源媛原",
        "천千天",
        "방方",
        "공孔",
        "현玄贤铉显炫玹",
        "함咸",
        "변卞边",
        "염廉",
        "여吕余",
        "추秋",
        "도都道度",
        "소苏邵昭素",
        "석石锡奭",
        "선宣善仙先",
        "설薛雪",
        "마马",
        "길吉",
        "연延燕妍娟渊研",
        "위魏",
        "표表",
        "명明命",
        "기奇基起箕琪",
        "왕王",
        "태太泰",
        "영英永荣映泳瑛煐",
        "호浩镐虎豪湖好皓昊",
        "용龙勇容用",
        "일一日逸",
        "규奎圭规揆",
        "건健建乾",
        "경庆京敬景经璟卿",
        "미美",
        "희姬熙喜希",
        "순顺淳纯",
        "자子慈",
        "옥玉",
        "숙淑肃",
        "혜惠慧",
        "은恩银殷",
        "수秀洙寿守树",
        "철哲铁喆",
        "학学鹤",
        "상相尚祥上",
        "준俊准峻埈",
        "훈勋训薰",
        "동东栋童",
        "재在宰才载",
        "승承胜升",
        "국国",
        "환焕",
        "혁赫革",
        "춘春",
        "복福",
        "덕德",
        "광光广",
        "만万",
        "봉奉凤峰",
        "삼三",
        "석硕",
        "식植",
        "열烈",
        "욱旭",
        "웅雄",
        "율律",
        "의义仪毅",
        "인仁寅",
        "종钟宗",
        "중中重",
        "창昌",
        "택泽",
        "평平",
        "필弼",
        "화花和华",
        "효孝",
        "해海",
        "향香",
        "아雅",
        "예艺礼",
        "윤胤",
        "빈彬",
        "범范",
        "분粉",
        "금金",
        "관官",
        "란兰",
        "련莲",
        "월月",
        "매梅",
        "실实",
        "세世",
        "대大",
        "남男",
        "건建",
        "근根",
        "균均",
        "병炳秉",
        "보宝",
        "부富",
        "산山",
        "삼三",
    ]
    for reading, characters in ((entry[0], entry[1:]),)
    for character in characters
}
_SURNAMES_HAN = frozenset(
    "金李朴崔郑姜赵尹张任林韩吴徐申权黄安宋柳刘俞全洪高文梁杨孙裴白许南沈卢河成车朱禹具闵池陈严蔡元千方孔玄咸太吉池"
)
_HAN_RUN = re.compile("[\u4e00-\u9fff]{2,}")
_NOT_GIVEN_HAN = frozenset("国海京山上中东南西北方人军月日年")


def names(text: str, plain: str) -> dict[str, str]:
    """Skeleton → the name as it stands in the text, for all that look like Korean names.

    `text` as it came, `plain` the same in simplified characters. Meant to be compared with another text's: what only
    looks like a name (한국군, Sun Moon) seldom meets its like.
    """
    found: dict[str, str] = {}
    for skeleton, surface in (*_hangul(text), *_latin(text), *_cyrillic(text), *_kana(text), *_han(plain)):
        if len(skeleton) >= 5:  # two-letter leftovers say nothing
            found.setdefault(skeleton, surface)
    return found


def _hangul(text: str) -> Iterator[tuple[str, str]]:
    for word in _HANGUL_WORD.findall(text):
        name, rest = word[:3], word[3:]
        if name[0] in _SURNAMES_HANGUL and name[2] not in _ENDINGS and _PARTICLE.match(rest):
            yield _join(_spell_hangul(name[0]), _spell_hangul(name[1:])), name


def _spell_hangul(word: str) -> str:
    parts = []
    for code in (ord(character) - 0xAC00 for character in word):
        parts.append(_INITIALS[code // 588] + _VOWELS[code % 588 // 28] + _FINALS[code % 28])
    return "".join(parts)


def _latin(text: str) -> Iterator[tuple[str, str]]:
    for run in _LATIN_RUN.findall(text):
        words = [re.sub("['’]s?$", "", word) for word in run.split(" ")]
        for i in range(len(words) - 1):
            yield from _latin_at(words, i)


def _latin_at(words: list[str], i: int) -> Iterator[tuple[str, str]]:
    """Names that begin at the word: Park Sang-hak, Park Sang Hak, Sang-hak Park."""
    low = [word.lower() for word in words[i : i + 3]]
    if low[0] in _SURNAMES_LATIN and len(low) == 3 and _ONE.match(low[1]) and _ONE.match(low[2]):
        yield _join(_fold(low[0]), _fold(low[1]) + _fold(low[2])), " ".join(words[i : i + 3])
    if low[0] in _SURNAMES_LATIN and _GIVEN.match(low[1]) and len(low[1]) > 4:
        yield _join(_fold(low[0]), _fold_given(low[1])), " ".join(words[i : i + 2])
    if low[1] in _SURNAMES_LATIN and _GIVEN.match(low[0]) and len(low[0]) > 4:
        yield _join(_fold(low[1]), _fold_given(low[0])), " ".join(words[i : i + 2])


def _cyrillic(text: str) -> Iterator[tuple[str, str]]:
    for run in _CYRILLIC_RUN.findall(text):
        words = re.split("[ -]", run)
        spelled = [_fold(re.sub("([gdb])h", r"\1", "".join(_CYRILLIC[c] for c in word.lower()))) for word in words]
        if len(spelled[0]) <= 4 and all(len(word) <= 6 for word in spelled):
            yield _join(spelled[0], "".join(spelled[1:])), run


def _kana(text: str) -> Iterator[tuple[str, str]]:
    for surname, given in _KANA_RUN.findall(text):
        yield _join(_spell_kana(surname), _spell_kana(given)), f"{surname}・{given}"


def _spell_kana(word: str) -> str:
    spelled = ""
    for kana in word:
        sound = _KANA.get(kana, "")
        if sound.startswith("|"):  # a small vowel takes the place of the one before it
            spelled = spelled.rstrip("aeio") + sound[1:]
        elif sound != "-":
            spelled += sound
    return spelled.replace("jy", "j").replace("sy", "s")


def _han(text: str) -> Iterator[tuple[str, str]]:
    for run in _HAN_RUN.findall(text):
        for i, character in enumerate(run[:-2]):
            given = run[i + 1 : i + 3]
            if character in _SURNAMES_HAN and given[0] not in _NOT_GIVEN_HAN and all(c in _HANJA for c in given):
                yield (
                    _join(_spell_hangul(_HANJA[character]), _spell_hangul("".join(map(_HANJA.get, given)))),
                    run[i : i + 3],
                )


def _fold_given(word: str) -> str:
    return "".join(_fold(part) for part in re.split("[-' ]", word))


def _fold(word: str) -> str:
    for pattern, to in _FOLDS:
        word = pattern.sub(to, word)
    return word


def _join(surname: str, given: str) -> str:
    """One form for the South's and the North's spelling of a surname: 이 리, 유 류, 노 로, 임 림."""
    if surname.startswith("l"):
        surname = surname[1:] if surname[1:2] in ("i", "y") else "n" + surname[1:]
    return f"{surname} {given}"
