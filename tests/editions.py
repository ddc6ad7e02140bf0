"""Editions to be published in tests: one that is realistic, and all that hypothesis can think of."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from aggregator.model import Edition, Enclosure, Member, Source, Story

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINK = "https://feed.example/nk/"


def member(key: int = 1, **changes: Any) -> Member:
    values: dict[str, Any] = {
        "place": key,
        "url": f"https://outlet{key}.example/news/{key}",
        "title": f"Headline {key}",
        "summary": f"What happened, in the words of outlet {key}.",
        "source": f"Outlet {key}",
        "source_url": f"https://outlet{key}.example/feed.xml",
        "site": f"https://outlet{key}.example/",
        "language": "en",
        "published": NOON - timedelta(hours=key),
        "updated": None,
        "lead": True,
    }
    return Member(**values | changes)


def story(number: int = 1, *members: Member, **changes: Any) -> Story:
    """A story led by its first member, unless told otherwise."""
    members = members or (member(number),)
    lead = members[0]
    values: dict[str, Any] = {
        "id": uuid.uuid5(uuid.NAMESPACE_URL, str(number)).urn,
        "seed": False,
        "title": lead.title,
        "summary": lead.summary,
        "link": lead.url,
        "language": lead.language,
        "published": lead.published,
        "told": NOON - timedelta(minutes=number),
        "updated": NOON - timedelta(minutes=number),
        "score": 0.93,
        "reasons": ("title: north korean defector",),
        "members": members,
    }
    return Story(**values | changes)


def edition(*stories: Story, **changes: Any) -> Edition:
    values: dict[str, Any] = {
        "title": "North Korean Defectors",
        "link": LINK,
        "description": "Every story once, from many sources.",
        "language": "en",
        "stories": stories,
        "sources": (Source("https://outlet1.example/feed.xml", "Outlet 1", "en"),),
        "updated": NOON,
        "hub": "https://hub.example/",
    }
    return Edition(**values | changes)


SEED = story(
    90,
    id=uuid.uuid5(uuid.NAMESPACE_URL, "S1").urn,
    seed=True,
    title="North Korean Soldier Defects to South Korea Across Heavily Fortified Border",
    summary="",
    link=None,
    published=datetime(2025, 10, 19, tzinfo=UTC),
    score=1.0,
    reasons=(),
    members=(),
)

REALISTIC = edition(
    story(
        1,
        member(1, title="Трое перебежчиков прибыли в Сеул", language="ru", source="Вести <24>", categories=("КНДР",)),
        member(2, title="탈북민 3명 서울 도착", language="ko", source="연합뉴스", lead=False),
        member(3, title="脱北者3人がソウル到着", language="ja", source="朝日新聞", lead=False, site=None),
        member(4, title="三名脫北者抵達首爾", language="zh-TW", source="中央社", lead=False, url=None),
    ),
    story(
        2,
        member(5, title="منشقون يصلون إلى سيول (2026)", language="ar", source="الجزيرة", summary=""),
        member(6, title="", language=None, lead=False),
    ),
    story(
        3,
        member(
            7,
            title="Q&A: <b> is a tag, R&D isn't, &amp; neither is 5 < 6",
            summary="He said: \"Don't\" & <script>alert('x')</script> left. " * 30,
            url="https://outlet7.example/기사/1?q=a b&r=é#part",
            authors=("Kim A", "Lee B"),
            categories=("Defectors", "defectors & others"),
            enclosures=(
                Enclosure("https://outlet7.example/a.mp3", "audio/mpeg", 1234),
                Enclosure("https://outlet7.example/b", None, None),
            ),
            image="https://outlet7.example/그림.jpg?w=1&h=2",
        ),
    ),
    SEED,
)

# Any character at all, those that no XML document may hold and halves of surrogate pairs included.
nasty_text = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "]]>",
        "&amp;amp;",
        "</title>",
        "1&1 &copy ?v=1&ab_channel=2",
        "lost \ufffd",
        "<script>alert(1)</script>",
        "\ud800",
        "\u202eabc",
        "{{ 1 }}",
        "👩🏽‍🚀",
        "\x85",
    ]
)
nasty_links = st.none() | nasty_text | nasty_text.map("https://x.example/".__add__) | st.just("javascript:alert(1)")
times = st.datetimes(timezones=st.just(UTC))
plausible_times = st.integers(800_000_000, 1_760_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))

nasty_members = st.builds(
    Member,
    place=st.integers(0, 99),
    url=nasty_links,
    title=nasty_text,
    summary=nasty_text,
    source=nasty_text,
    source_url=nasty_links.map(lambda link: link or ""),
    site=nasty_links,
    language=st.none() | st.sampled_from(["ko", "zh-Hant", "ar", "english", "!", "en_US"]),
    published=times,
    updated=st.none() | times,
    authors=st.lists(nasty_text, max_size=2).map(tuple),
    categories=st.lists(nasty_text, max_size=2).map(tuple),
    enclosures=st.lists(
        st.builds(
            Enclosure, nasty_links.map(lambda link: link or ""), st.none() | nasty_text, st.none() | st.integers()
        ),
        max_size=2,
    ).map(tuple),
    lead=st.just(False),
    image=nasty_links,
)


@st.composite
def nasty_stories(draw: st.DrawFn) -> Story:
    members = draw(st.lists(nasty_members, max_size=3))
    led: bool = draw(st.booleans())
    members = [replace(told, lead=led and number == 0) for number, told in enumerate(members)]
    return Story(
        id=draw(st.uuids().map(lambda number: number.urn)),
        seed=draw(st.booleans()),
        title=draw(nasty_text),
        summary=draw(nasty_text),
        link=draw(nasty_links),
        language=draw(st.none() | st.sampled_from(["en", "ko", "ar", "no such tag"])),
        published=draw(times),
        told=draw(plausible_times),
        updated=draw(plausible_times),
        score=draw(st.floats(0, 1)),
        reasons=tuple(draw(st.lists(nasty_text, max_size=2))),
        members=tuple(members),
    )


nasty_editions = st.builds(
    Edition,
    title=nasty_text,
    link=st.just(LINK),
    description=nasty_text,
    language=st.sampled_from(["en", "ko"]),
    stories=st.lists(nasty_stories(), max_size=4, unique_by=lambda told: told.id).map(tuple),
    sources=st.lists(st.builds(Source, st.just("https://a.example/f"), nasty_text), max_size=2).map(tuple),
    updated=plausible_times,
    excerpt_characters=st.integers(0, 60),
    hub=st.just("") | nasty_links.map(lambda link: link or ""),
)
