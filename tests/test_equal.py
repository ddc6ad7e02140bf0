"""What is published can be read back: the same stories in every format, by the program's own reading of feeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from lxml import etree, html

from aggregator.engine import direct
from aggregator.entries import publishable
from aggregator.language import fits_script
from aggregator.model import Edition, Enclosure, Item, Known, Source, Story
from aggregator.normalise import has_markup, plain_text, single_line
from aggregator.parse import read
from aggregator.render import render, render_page, render_slice
from aggregator.slices import Slice
from tests.editions import NOON, edition, member, nasty_text, plausible_times, story

KINDS = ["audio/mpeg", "video/mp4"]  # a picture that is enclosed is read as the entry's picture, too
BEGINNINGS = {
    "en": "They arrived in Seoul by boat",
    "ko": "탈북민 세 명이 배를 타고 귀순했다",
    "ar": "وصل ثلاثة منشقين إلى سيول",
    "ja": "脱北者3人がソウルに到着した",
    "zh-TW": "三名脫北者抵達首爾",
    "ru": "Трое перебежчиков прибыли в Сеул",
}


def looks_misread(text: str) -> bool:
    """Like UTF-8 that was read as Latin-1; feedparser, not knowing better, reads it again."""
    try:
        return text.encode("latin-1").decode() != text
    except UnicodeError:
        return False


# Any text of an item, as the model promises it, with a box where a character was lost; but none that is plain and
# spelled like HTML: RSS and JSON Feed cannot say which it is (Atom can: test_atom_declares_what_looks_like_markup).
texts = (
    (nasty_text | st.text(st.sampled_from("탈북민脱北者منشق <>&\"'\u200f\u200dé👩🏽‍🚀]}%"), max_size=30))
    .map(lambda text: single_line(plain_text(text, html=False)).replace("\ufffd", "□"))
    .filter(lambda text: not has_markup(text) and not looks_misread(text))
)
names = texts.filter(bool)

links = st.builds(
    "https://a.example/{}/{}?a=b&c=é d".format, st.sampled_from(["기사", "new s", "a"]), st.integers(1, 99)
)
enclosures = st.builds(Enclosure, links, st.sampled_from(KINDS), st.none() | st.integers(1, 10**9))


@st.composite
def told(draw: st.DrawFn, number: int) -> Story:
    """A story with all that a feed may carry."""
    language = draw(st.sampled_from(sorted(BEGINNINGS)))
    title = f"{BEGINNINGS[language]} {draw(texts)}".strip()
    summary = f"{BEGINNINGS[language]}. {draw(texts)}".strip()
    # A declaration is believed of a text whose letters are mostly of that language.
    assume(all(fits_script(language, text) for text in (title, summary, f"{title}\n{summary}")))
    lead = member(
        number,
        url=f"https://outlet{number}.example/기사?n={number}&x=<y>",
        title=title,
        summary=summary,
        language=language,
        published=draw(plausible_times),
        authors=tuple(dict.fromkeys(draw(st.lists(names, max_size=2)))),
        categories=tuple(dict.fromkeys(draw(st.lists(names, max_size=3)))),
        enclosures=tuple(draw(st.lists(enclosures, max_size=3, unique_by=lambda one: one.url))),
        image=draw(st.none() | links),
    )
    others = [member(100 * number + turn, title=draw(names), lead=False) for turn in range(draw(st.integers(0, 2)))]
    return story(number, lead, *others, updated=draw(plausible_times) + timedelta(days=9_000))


editions = st.integers(0, 4).flatmap(lambda count: st.builds(edition, *(told(number + 1) for number in range(count))))


def items(files: Mapping[str, bytes]) -> dict[str, tuple[Item, ...]]:
    """The entries of each feed among the files."""
    feeds = {name: data for name, data in files.items() if name.endswith((".xml", ".json"))}
    source = Source("https://feed.example/nk/feed", "Ours")
    return {name: read(source.url, data, None, source, Known(), direct).items for name, data in feeds.items()}


@given(editions)
@example(edition())
def test_what_is_published_is_read_back(published: Edition) -> None:
    """Ids, order, dates, language, texts, members, categories, enclosures and picture stand in every document."""
    cut = Slice("language-ko", "Korean", "language")
    documents = (
        items(render(published)) | items(render_page(replace(published, page=1))) | items(render_slice(published, cut))
    )
    assert len(documents) == 9
    for name, read_back in documents.items():
        assert [one.id for one in read_back] == [one.id for one in published.stories], name
        for one, was in zip(read_back, published.stories, strict=True):
            lead = was.members[0]
            assert one.link == publishable(was.link)
            assert (one.title, one.language) == (was.title, was.language)
            assert (one.published, one.updated) == (was.published, was.updated)
            assert one.categories == lead.categories
            assert one.authors == (lead.authors or (lead.source,))
            assert one.image == publishable(lead.image)
            expected = [(publishable(file.url), file.type, file.length) for file in lead.enclosures]
            assert [(file.url, file.type, file.length) for file in one.enclosures] == expected
            assert single_line(one.summary) == was.summary
            assert all(other.title in single_line(one.body) for other in was.members[1:])


@pytest.mark.parametrize("name", ["rss.xml", "atom.xml", "feed.json"])
@pytest.mark.parametrize(
    ("language", "title", "direction"),
    [
        ("ar", "منشقون يصلون إلى سيول (2026)", "rtl"),
        ("ko", "탈북민 3명 서울 도착", "ltr"),
        ("ja", "脱北者3人がソウル到着", "ltr"),
    ],
)
def test_each_text_has_its_language_and_direction(name: str, language: str, title: str, direction: str) -> None:
    """In the content of every format, the lead's and the others': a reader needs no style to show them right."""
    lead = member(1, title=title, summary=title, language=language)
    files = render(edition(story(1, lead, replace(lead, place=2, lead=False), published=NOON)))
    if name == "feed.json":
        markup = json.loads(files[name])["items"][0]["content_html"]
    else:
        markup = etree.fromstring(files[name]).xpath("string(//*[local-name()='encoded' or local-name()='content'])")
    content = html.fragment_fromstring(markup, create_parent="div")
    marked = [(one.get("lang"), one.get("dir"), one.text) for one in (content.find("p"), content.find(".//li//span"))]
    assert marked == [(language, direction, title)] * 2
