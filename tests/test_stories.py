"""Folding: what is the same story, what is not, and what a person is told about it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.alike import Alike, Learned, load_alike
from aggregator.counts import counts
from aggregator.errors import ConfigError
from aggregator.likeness import enough, marked
from aggregator.meaning import MODEL, Meaning
from aggregator.model import (
    Decision,
    Founds,
    Item,
    Joins,
    Placement,
    Reason,
    Seed,
    Source,
    StoredItem,
    StoredStory,
    Verdict,
)
from aggregator.names import names
from aggregator.seeds import load_seeds
from aggregator.stories import Folder, compared, seed_item, seed_story_id, story_id
from aggregator.telling import lead, present
from aggregator.words import comparable
from tests.world import World, rss

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)
KEPT = Verdict(Decision.KEPT, 0.9, (Reason("title", "defector", "defector", 2.0),), "")
FOLDER = Folder()


def item(title: str, summary: str = "", language: str = "en", **rest: object) -> Item:
    values = {"source": "https://a.example/feed", "id": title, "link": None, "published": NOW} | rest
    return Item(title=title, summary=summary, language=language, **values)  # type: ignore[arg-type]


def story(*members: Item, id: str = "urn:uuid:1", seed: bool = False, lead: int | None = 1) -> StoredStory:
    stored = tuple(StoredItem(n, one, KEPT, NOW, id, seed=seed and not one.source) for n, one in enumerate(members, 1))
    return StoredStory(id, seed, NOW, NOW, lead, stored)


def place(one: Item, *stories: StoredStory) -> Placement:
    return FOLDER.place(one, stories, NOW)


SWIM = item(
    "Man swims six hours to South Korea in wetsuit", "He crawled through a drain at Goseong, the military said."
)
SWIM_KO = item("잠수복 입고 6시간 헤엄쳐 온 북한 남성", "고성 해안 배수로로 들어왔다고 합참이 밝혔다.", "ko")
SWIM_ID = item(
    "Pria Korut berenang enam jam dengan baju selam", "Ia masuk lewat selokan di Goseong, kata militer.", "id"
)


def test_the_same_article_under_another_address_is_the_same_story() -> None:
    """A link that differs only in tracking parameters and host form is the same article, whatever its title says."""
    first = item("One title", link="https://news.example.org/a/1?utm_source=rss")
    again = item("Nine words more", link="http://www.news.example.org/a/1#top", id="2", source="https://b.example/feed")
    placed = place(again, story(first))
    assert isinstance(placed, Joins)
    assert placed.evidence.kind == "same link"
    assert FOLDER.keys(first) & FOLDER.keys(again)


def test_a_link_alone_takes_no_news_into_a_story_that_others_tell() -> None:
    """A source may put any link below any headline: what others tell decides, and stories that differ stay apart."""
    link = "https://b.example/harvest"
    lure = replace(SWIM, id="lure", source="https://evil.example/feed", link=link)
    news = item("North Korean defectors open a rice mill in Paju", link=link, source="https://b.example/feed")
    again = replace(news, id="again", source="https://c.example/feed")
    assert isinstance(place(news, story(SWIM, SWIM_KO, lure)), Founds)
    placed = place(again, story(SWIM, SWIM_KO, lure), story(news, id="urn:uuid:2"))
    assert isinstance(placed, Joins)
    assert (placed.story, placed.merges) == ("urn:uuid:2", ())


def test_syndicated_text_is_found_under_boilerplate() -> None:
    """The same text with a dateline, an agency's description of itself and an outlet's name is syndication."""
    body = "The soldier reached the eastern coast early on Tuesday and was taken in by guards who had tracked him."
    first = item("Staff sergeant slips over the border to the South", f"SEOUL (Reuters) - {body}")
    again = item(
        "Staff sergeant slips over the border to the South - The Daily Harbour",
        f"{body} Founded in 1846, we are an independent global news agency.",
        source="https://b.example/feed",
    )
    placed = place(again, story(first))
    assert isinstance(placed, Joins)
    assert placed.evidence.kind in ("same text", "same title")


@pytest.mark.parametrize("other", [SWIM_KO, SWIM_ID])
def test_the_same_events_in_another_language_are_the_same_story(other: Item) -> None:
    """Acts, places and numbers compare across languages, and the evidence names what both sides share."""
    placed = place(other, story(SWIM))
    assert isinstance(placed, Joins)
    assert placed.evidence.kind == "same events"
    assert placed.evidence.other == SWIM.title
    assert any("Goseong" in detail for detail in placed.evidence.details)
    assert FOLDER.keys(SWIM) & FOLDER.keys(other)


def test_languages_stay_apart_when_told_so() -> None:
    """`across_languages = false` folds no tellings in different languages."""
    assert isinstance(Folder(across_languages=False).place(SWIM_KO, [story(SWIM)], NOW), Founds)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            item("Defector arrested after driving stolen bus towards the North", "Police hold the man in Paju."),
            item(
                "Court gives defector suspended sentence for bus run to the North", "The judge in Goyang was lenient."
            ),
        ),
        (
            item("48 defectors arrived in the South in the first quarter", "The ministry says numbers fell by 4 %."),
            item("Defector arrivals reached 236 last year, up 20 percent", "The ministry gave the yearly total."),
        ),
        (
            item("'In Order to Live': Yeonmi Park's memoir is out", "She crossed the Gobi as a girl."),
            item(
                "Hyeonseo Lee publishes her memoir 'The Girl with Seven Names'", "She led her mother out through Laos."
            ),
        ),
        (
            item(
                "Family of nine cross the western sea by fishing boat", "They were picked up at night off Yeonpyeong."
            ),
            item("Man swims to Gyodong Island with foam on his back", "Marines pulled him from the Han estuary."),
        ),
    ],
)
def test_other_developments_and_look_alikes_stay_apart(one: Item, other: Item) -> None:
    """Arrest and sentence, quarter and year, two memoirs, two crossings: related is not the same, even on one day."""
    assert isinstance(place(other, story(one)), Founds)
    assert isinstance(place(one, story(other)), Founds)


def test_boilerplate_matches_nothing() -> None:
    """Two items that share only an agency's words about itself are two stories."""
    agency = "Founded in 1846, the agency is an independent global news organization. Sign up for our newsletter."
    assert isinstance(
        place(item("Singer releases a first album", agency), story(item("Court jails broker", agency))), Founds
    )


def test_a_seed_matches_at_any_age() -> None:
    """A repeat of a seed story joins it a year later, and says that it is a seed's; the other seeds stay apart."""
    seeds = load_seeds(ROOT / "feeds" / "seed.toml")
    stories = [story(seed_item(seed), id=seed_story_id(seed), seed=True, lead=None) for seed in seeds]
    repeat = item(
        "Captured North Korean soldiers in Ukraine do not wish to go to the South, spy agency says",
        "The intelligence service told lawmakers that the two prisoners had not asked to defect; about 300 had died.",
    )
    placed = place(repeat, *stories)
    assert isinstance(placed, Joins)
    assert placed.story == seed_story_id(seeds[3])
    assert placed.evidence.kind == "seed"
    assert FOLDER.keys(repeat) & FOLDER.keys(seed_item(seeds[3]))


def test_an_item_that_fits_two_stories_merges_them() -> None:
    """What an item shows to be one story becomes one, with the evidence for each side."""
    placed = place(SWIM_ID, story(SWIM), story(SWIM_KO, id="urn:uuid:2"))
    assert isinstance(placed, Joins)
    assert {placed.story, *(id for id, _ in placed.merges)} == {"urn:uuid:1", "urn:uuid:2"}


FOAM = seed_item(load_seeds(ROOT / "feeds" / "seed.toml")[1])
FLOATER = item(
    "Polystyrene got him across: swimmer from the North asks Seoul's navy for refuge near Ganghwa",
    "An officer shouted across the Han estuary. The rescue ran for some ten hours off the west coast.",
)
FLOATER_JA = item(
    "発泡スチロールを体に巻いた北朝鮮の男性、海上境界線越える",
    "韓国当局は7日、7月30日夜に男性を約10時間かけて救助したと明らかにした。",
    "ja",
)


def test_repeats_tell_a_seed_together() -> None:
    """Where no telling alone says enough to be a seed's, what all of them say may: their story joins it."""
    seed = story(FOAM, id="urn:seed", seed=True, lead=None)
    thin = (
        item(FLOATER.title, "The rescue ran for some ten hours."),
        item("Man from the North got across on foam", "It was off the west coast; he wished to stay in the South."),
        item("泳いで来た北朝鮮の男性を救助", "7月30日夜に救助した。", "ja"),
    )
    assert all(isinstance(place(one, seed), Founds) for one in thin)
    placed = place(thin[2], replace(story(*thin[:2]), told=None), seed)
    assert isinstance(placed, Joins)
    assert {placed.story, *(id for id, _ in placed.merges)} == {"urn:uuid:1", "urn:seed"}


def test_a_seed_is_held_against_all_that_a_story_tells() -> None:
    """The first repeat may be the one that says least of what the seed tells."""
    first = item("교동도 앞바다로 온 북한 주민…지난달 3일 이어 현 정부 두 번째 귀순", language="ko")
    seed = story(FOAM, id="urn:seed", seed=True, lead=None)
    assert FOLDER.log_odds(first, FOAM, True) < -4
    told = item("북한 남성, 스티로폼 매달고 서해로 헤엄쳐 귀순", "10시간 동안 헤엄쳤고 30일 밤 구조됐다.", "ko")
    assert FOLDER.same_story([first, FLOATER_JA, told, FLOATER], seed, seeded=False)


def test_a_thin_item_joins_no_seed_of_another_year() -> None:
    """Far from a seed's date, one usual act that both tell is not enough: folding it would hide news."""
    thin = item("North Korean man flees by swimming", "", "en")
    assert enough(FOLDER.facts(thin), FOLDER.facts(FOAM))
    assert not marked(FOLDER.facts(thin), FOLDER.facts(FOAM))
    assert isinstance(place(thin, story(FOAM, id="urn:seed", seed=True, lead=None)), Founds)


@pytest.mark.parametrize("title", ["탈북 병사 귀순", "North Korean soldier crosses the border overnight"])
def test_the_same_title_is_a_copy_whatever_is_known_of_its_language(title: str) -> None:
    """A feed that does not say its language, or a short title, hides no copy."""
    known = item(title, language="ko" if title[0] > "z" else "en")
    placed = place(item(title, language=None, source="https://b.example/feed"), story(known))  # type: ignore[arg-type]
    assert isinstance(placed, Joins)
    assert placed.evidence.kind == "same text" or placed.evidence.kind == "same title"


def test_a_story_of_a_thousand_members_is_compared_with_a_dozen() -> None:
    """The seed's text, the lead, the first and the latest stand for all."""
    many = story(FOAM, *(item(f"Telling number {n}", id=str(n)) for n in range(1000)), seed=True, lead=500)
    shown = compared(many)
    assert len(shown) == 12
    assert shown[0] == FOAM
    assert {"Telling number 498", "Telling number 999"} <= {one.title for one in shown}


def test_a_folder_survives_pickling() -> None:
    """A folder may cross to another process and decides the same there."""
    again = pickle.loads(pickle.dumps(Folder(pack_terms={"Park Sang-hak": ["Park Sang-hak", "박상학"]})))
    assert again.keys(SWIM) == FOLDER.keys(SWIM)


@pytest.mark.parametrize(
    "spellings",
    [
        (
            "Thae Yong Ho",
            "Tae Yong-ho",
            "T’ae Yŏng-ho",
            "태영호",
            "テ・ヨンホ",
            "Тхэ Ён Хо",
            "太永浩",
            "ثاي يونغ هو",
            "แท ยองโฮ",
        ),
        ("Ri Il Kyu", "Lee Il-kyu", "리일규", "이일규", "リ・イルギュ", "李一奎", "ري إيل كيو", "อี อิลกยู"),
        ("Park Sang-hak", "Sanghak Park", "박상학", "Пак Сан Хак", "بارك سانغ هاك", "พัก ซังฮัก"),
        ("Kim Ok-hwa", "김옥화", "キム・オクファ", "Ким Ок Хва", "金玉花", "كيم أوك هوا", "คิม อ็อกฮวา"),
        ("Ji Seong-ho", "지성호", "チ・ソンホ", "Чи Сон Хо", "池成浩", "جي سونغ هو", "จี ซองโฮ"),
        ("Ryu Hyun-woo", "Yoo Hyeon-u", "류현우", "유현우", "柳賢宇", "劉賢宇"),
        ("Lim Hee-seok", "Rim Hui Sok", "임희석", "림희석", "林熙錫"),
        ("Choe Ryong Hae", "Choi Yong-hae", "최룡해", "최용해", "崔龍海"),
        ("Choi Min-kyung", "Choe Min Gyong", "최민경", "チェ・ミンギョン", "Чхве Мин Гён"),
        ("Shin Dong-hyuk", "Sin Tong-hyŏk", "신동혁", "Син Дон Хёк", "申東赫"),
        ("Hwang Jang-yop", "Hwang Chang-yŏp", "황장엽", "Хван Чжан Ёп", "Хван Чан Ёпа", "黄長燁", "黄長ヨプ"),
        ("Choe Myong Bok", "최명복", "Чхве Мен Бок", "Чхве Мён Бока"),
        ("Lee Je-hoon", "이제훈", "李帝勳"),
        ("Kim Kum-sun", "Ким Кымсун", "Ким Кымсун и её мать"),
        ("Jo Song Gil", "Cho Song-gil", "조성길", "チョ・ソンギル", "趙成吉", "جو سونغ غيل", "โช ซองกิล"),
    ],
)
def test_a_name_is_one_in_every_script(spellings: Sequence[str]) -> None:
    """Romanisations, Hangul, kana, Cyrillic, hanja, Arabic and Thai spellings of a name compare as one."""
    found = [set(names(f"{name} 씨" if name[0] > "가" else name, comparable(name))) for name in spellings]
    assert set.intersection(*found)


@pytest.mark.parametrize(
    "text",
    [
        "كان يوم أمس لي في سيول",
        "ที่ดี อี กรุงเทพ",
        "최고위 위원장 정보위",
        "소식통은 여동생이 지령받고 여권법을 어겼다고 전했다",
        "他在韩国首尔会见",
        "大韓民国",
        "Pyongyang Kim",
        "Im Norden geboren",
        "Киеве на съемках",
        "金メダルと韓国ドラマ",
    ],
)
def test_everyday_words_are_no_names(text: str) -> None:
    """What begins like a surname in any script is read as a name only where the rest is one."""
    assert names(text, comparable(text)) == {}


@pytest.mark.parametrize("text", ["Kim Jong-un", "김정은", "金正日", "Ким Чен Ына", "Ким Ир Сен"])
def test_the_rulers_names_mark_no_story(text: str) -> None:
    """They stand beside everything that happens in the North."""
    assert names(text, comparable(text)) == {}


@pytest.mark.parametrize(
    ("text", "language", "value"),
    [
        ("88 million yen", "en", "88000000"),
        ("8800万円", "ja", "88000000"),
        ("여덟 명", "ko", "8"),
        ("nueve jóvenes", "es", "9"),
        ("十三名", "zh", "13"),
        ("34,538 people", "en", "34538"),
        ("34.538 Menschen", "de", "34538"),
        ("20 percent", "en", "20%"),
        ("24年の脱北者236人", "ja", "236"),
        ("탈북민236명", "ko", "236"),
        ("เกาหลีเหนือ10คน", "th", "10"),
        ("兩名十九歲士兵", "zh", "19"),
        ("韓國破百萬", "zh", "1000000"),
        ("vượt mốc một triệu vé", "vi", "1000000"),
        ("a million viewers", "en", "1000000"),
        ("thirty thousand people", "en", "30000"),
        ("dos mil personas", "es", "2000"),
        ("1만2천명", "ko", "12000"),
        ("3万4000人", "ja", "34000"),
        ("三万四千人", "zh", "34000"),
        ("twenty-seven minutes", "en", "27"),
        ("treinta y dos años", "es", "32"),
        ("двадцать семь человек", "ru", "27"),
        ("siebenundzwanzig Minuten", "de", "27"),
        ("a quatre-vingt-sept ans", "fr", "87"),
        ("서른두 명", "ko", "32"),
        ("13 desertores", "es", "13"),
        ("des 9 transfuges", "fr", "9"),
    ],
)
def test_numbers_compare_in_digits_and_words(text: str, language: str, value: str) -> None:
    """A number is the same in digits, in words and in each language's way of writing large ones."""
    assert value in counts(text, language).numbers


@pytest.mark.parametrize(("text", "language"), [("an F16 flew", "en"), ("v1.2.3", "en"), ("T34 и Т-4х", "ru")])
def test_digits_within_a_word_are_no_number(text: str, language: str) -> None:
    """Where words are parted by spaces, digits that stand at letters are part of a name."""
    assert not counts(text, language).numbers.keys() & {"16", "34", "2", "3"}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("SEOUL, Nov. 7", "11-7"),
        ("el 7 de noviembre", "11-7"),
        ("7 ноября", "11-7"),
        ("7 listopada", "11-7"),
        ("ngày 7 tháng 11", "11-7"),
        ("11-р сарын 7", "11-7"),
        ("7.11.2019", "11-7"),
        ("2019-11-07", "11-7"),
        ("7 พฤศจิกายน", "11-7"),
    ],
)
def test_days_compare_in_any_language(text: str, day: str) -> None:
    """A day of the month is the same however it is written, and no number."""
    found = counts(text, "en")
    assert found.days == {day}
    assert not found.numbers.keys() & {"7", "11"}


@pytest.mark.parametrize(
    "text", ["13 desertores", "des 9 transfuges", "2 gruppi", "11 marineros", "5 out of six", "20 decades", "007"]
)
def test_no_word_is_a_month_by_its_beginning(text: str) -> None:
    """What only begins like a month takes no number for its day."""
    assert not counts(text, "es").days


@given(st.text(max_size=200), st.text(max_size=300), st.sampled_from([None, "en", "ko", "zh-TW", "ar", "xx"]))
def test_any_text_can_be_placed(title: str, summary: str, language: str | None) -> None:
    """No text breaks folding; keys are few; the same text joins the story it founded or, empty, founds another."""
    one = item(title, summary, language)  # type: ignore[arg-type]
    assert len(FOLDER.keys(one)) <= 60
    placed = place(replace(one, id="again"), story(one))
    assert isinstance(placed, Founds | Joins)


def test_the_lead_is_chosen_by_priority_language_summary_and_date() -> None:
    """Source priority, then the feed's language, then having a summary, then being first."""

    def stored(key: int, **rest: object) -> StoredItem:
        return StoredItem(key, item(f"t{key}", **rest), KEPT, NOW)  # type: ignore[arg-type]

    early = stored(1, published=NOW - timedelta(days=1))
    told = stored(2, summary="More.")
    korean = stored(3, language="ko", summary="더.", published=NOW - timedelta(days=2))
    preferred = stored(4, language="ko", source="https://best.example/feed")
    assert lead([early, told, korean, preferred], {"https://best.example/feed": 9}, "en") == preferred
    assert lead([early, told, korean], {}, "en") == told
    assert lead([early, stored(5)], {}, "en-GB") == early


def test_a_story_is_presented_with_its_lead_first() -> None:
    """Members: the lead, then in order of appearance; outlets by publisher, else by the source's name."""
    other = item("Zwei", source="https://b.example/feed", publisher="Der Bote", link="https://x.example/2")
    shown = present(
        story(item("One", link="https://x.example/1"), other, lead=2),
        {"https://a.example/feed": Source("https://a.example/feed", "Alpha")},
        "en",
    )
    assert [(member.title, member.source, member.lead) for member in shown.members] == [
        ("Zwei", "Der Bote", True),
        ("One", "Alpha", False),
    ]
    assert (shown.title, shown.link, shown.reasons) == ("Zwei", "https://x.example/2", ("title: defector",))


def test_a_seed_without_a_page_has_only_its_repeats_as_members() -> None:
    """A seed's own text stands for the story but is no member where no page of it is known."""
    seed = Seed("S9", "A story told before", "Its summary.", published=NOW)
    shown = present(story(seed_item(seed), item("Repeat"), seed=True, lead=None), {}, "en")
    assert shown.title == "A story told before"
    assert [member.title for member in shown.members] == ["Repeat"]
    assert shown.lead is None
    paged = present(story(replace(seed_item(seed), link="https://x.example/s"), seed=True, lead=None), {}, "en")
    assert [member.url for member in paged.members] == ["https://x.example/s"]


def test_ids_are_the_same_for_ever() -> None:
    """A story's id depends on the founding item alone; a published id must not change with a release."""
    assert story_id("https://a.example/feed", "1") == "urn:uuid:e3a0abeb-8a6e-555c-9215-6f130c230f2b"
    assert seed_story_id(Seed("S1", "a")) == seed_story_id(Seed("S1", "b"))
    assert seed_story_id(Seed("S1", "a")) != story_id("", "S1")


def hashed(texts: Sequence[str]) -> list[list[float]]:
    """A model that knows no more of a text than which letters it has."""
    return [[text.count(chr(97 + n % 26)) / 100 for n in range(384)] for text in texts]


LEARNED = Learned(MODEL, (0.1,) * 384, -1.0, {"overlap": 2.0, "meaning": 1.0})


def test_vectors_weigh_what_words_leave_in_doubt() -> None:
    """The same whichever comes first, and after pickling; a seed is weighed by words alone."""
    folder = Folder(alike=Alike(Meaning(hashed), LEARNED))
    odds = folder.log_odds(FLOATER, FLOATER_JA, False)
    assert odds != FOLDER.log_odds(FLOATER, FLOATER_JA, False)
    assert folder.log_odds(FLOATER_JA, FLOATER, False) == pytest.approx(odds)
    assert pickle.loads(pickle.dumps(folder)).log_odds(FLOATER, FLOATER_JA, False) == odds
    assert repr(folder.__getstate__()) == repr(pickle.loads(pickle.dumps(folder)).__getstate__())
    assert folder.log_odds(SWIM, FOAM, True) == FOLDER.log_odds(SWIM, FOAM, True)
    assert folder.evidence(SWIM_KO, [SWIM], seed=False).details[-1].startswith("meaning: ")


def test_vectors_are_used_where_the_subject_has_weights_for_them(tmp_path: Path) -> None:
    """The shipped pack has; one without falls back on words; a file for another model is refused by name."""
    meaning = Meaning(hashed)
    assert load_alike("north-korean-defectors", tmp_path, meaning)
    assert load_alike("north-korean-defectors", tmp_path, None) is None
    assert load_alike("coral-reefs", tmp_path, meaning) is None
    (tmp_path / "own.toml").touch()
    (tmp_path / "own.likeness.json").write_text(
        '{"model": "another", "centre": [], "bias": 0, "features": {}}', encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="learned for another"):
        load_alike("own.toml", tmp_path, meaning)


# --- memory -----------------------------------------------------------------------------------------------------


def test_what_a_refresh_read_is_let_go_when_it_is_over(tmp_path: Path) -> None:
    """A text that was read is remembered while many others are; after a refresh that read many it is not."""
    world = World(tmp_path)
    (first, *_) = many = [f"North Korean defector number {number} opens a restaurant" for number in range(600)]
    world.put(rss(*({"title": title, "guid": title} for title in many)))
    folder, text = world.rules.folder, item(first)
    known = folder.facts(text)
    for title in many:
        folder.facts(item(title))
    assert folder.facts(text) is known
    world.go()
    assert folder.facts(text) is not known
