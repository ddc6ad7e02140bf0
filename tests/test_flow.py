"""The whole flow as its user runs it: real feeds over HTTP in, one command, published files out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import feedparser
import pytest
from lxml import etree

from tests.command import aggregator, configure, rss
from tests.site import Site, serving

CORPUS = Path(__file__).parent / "data" / "feeds"
SUBJECT = {  # every entry of the corpus that is on the subject
    "https://www.koreatimes.co.kr/www/nation/2022/07/103_333337.html?fl": "DPK lawmaker says repatriated North Korean "
    "fishermen were not headed to South Korea",
    "https://www.koreatimes.co.kr/www/nation/2022/07/356_333332.html?fl": "Deportation of North Korean fishermen "
    "unprecedented violation of Constitution: minister",
}
TOLD = [  # in the legacy encoding of its language: (encoding, title, summary)
    ("euc-kr", "탈북민 3명, 목선 타고 동해로 귀순", "통일부는 이들이 한국행을 원한다고 밝혔다."),
    ("shift_jis", "脱北者支援団体が東京で講演会を開催", "北朝鮮から逃れた女性が体験を語った。"),
    ("gb18030", "两名朝鲜脱北者抵达曼谷寻求庇护", "泰国警方称他们经老挝入境。"),
    ("big5", "脫北者在首爾開設餐廳", "他說離開北韓已有十年。"),
    ("windows-1251", "Перебежчик из КНДР рассказал о лагере", "Он бежал из Северной Кореи в 2014 году."),
]


def published(folder: Path) -> dict[str, bytes]:
    """Path below the published folder → content."""
    files = (path for path in sorted((folder / "public").rglob("*")) if path.is_file())
    return {str(path.relative_to(folder / "public")): path.read_bytes() for path in files}


def written(folder: Path) -> list[int]:
    """When each published file was written."""
    return [path.stat().st_mtime_ns for path in sorted((folder / "public").rglob("*")) if path.is_file()]


def members(folder: Path) -> dict[str, str]:
    """Link → title of every item that is published."""
    feed = json.loads((folder / "public" / "feed.json").read_text(encoding="utf-8"))
    return {member["url"]: member["title"] for item in feed["items"] for member in item["_story"]["members"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Path]]:
    """The corpus and a document in each legacy encoding on a server, and a folder in which the flow ran once."""
    folder = tmp_path_factory.mktemp("flow")
    with serving() as site, (CORPUS / "INDEX.tsv").open(encoding="utf-8") as index:
        sources = {}
        for row in csv.DictReader(index, delimiter="\t"):
            kind = (
                "feed+json"
                if row["format"].startswith("JSON")
                else "atom+xml"
                if "Atom" in row["format"]
                else "rss+xml"
            )
            sources[row["file"]] = site.put(
                f"/{row['file']}", (CORPUS / row["file"]).read_bytes(), f"application/{kind}"
            )
        for number, (encoding, title, summary) in enumerate(TOLD):
            body = rss([(f"https://news.example/{number}", title, summary)], encoding)
            sources[encoding] = site.put(f"/{encoding}", body, f"application/rss+xml; charset={encoding}")
        configure(folder, sources)
        done = aggregator(folder, "run", "--once")
        assert done.returncode == 0, done.stderr
        assert len(sources) >= 150
        yield site, folder


def test_every_entry_on_the_subject_is_published_and_nothing_else(world: tuple[Site, Path]) -> None:
    """Of the entries of 150 documents and more, with Korean, Japanese, Chinese and Russian intact."""
    told = {f"https://news.example/{number}": title for number, (_, title, _) in enumerate(TOLD)}
    assert members(world[1]) == SUBJECT | told


def test_all_formats_tell_the_same_stories(world: tuple[Site, Path]) -> None:
    """Checked with feedparser and, independently of it, with lxml and the json module."""
    files = published(world[1])
    stories = json.loads(files["feed.json"])["items"]
    ids, titles = [story["id"] for story in stories], [story["title"] for story in stories]
    for name in ("rss.xml", "atom.xml"):
        parsed = feedparser.parse(files[name])
        assert not parsed.bozo
        assert [(entry.id, entry.title) for entry in parsed.entries] == list(zip(ids, titles, strict=True))
    rss_root, atom_root = (etree.fromstring(files[name]) for name in ("rss.xml", "atom.xml"))
    assert rss_root.xpath("//item/guid/text()") == ids
    assert rss_root.xpath("//item/title/text()") == titles
    assert atom_root.xpath("//*[local-name()='entry']/*[local-name()='id']/text()") == ids


def test_dates_and_links_are_those_of_the_source(world: tuple[Site, Path]) -> None:
    """An entry dated 08:00 GMT by its source is dated so in what is published."""
    feed = json.loads(published(world[1])["feed.json"])
    dated = {story["url"]: story["date_published"] for story in feed["items"]}
    for number in range(len(TOLD)):
        assert dated[f"https://news.example/{number}"] == "2026-06-01T08:00:00Z"


def test_the_sources_are_published_as_opml(world: tuple[Site, Path]) -> None:
    """To subscribe to elsewhere."""
    outlines = etree.fromstring(published(world[1])["sources.opml"]).xpath("//outline/@xmlUrl")
    assert len(outlines) >= 150


def test_a_second_run_asks_only_whether_anything_changed(world: tuple[Site, Path]) -> None:
    """All its requests are conditional, and not one published byte changes."""
    site, folder = world
    before, times = published(folder), written(folder)
    del site.requests[:]
    done = aggregator(folder, "run", "--once", "--now")
    assert done.returncode == 0, done.stderr
    read = [request for request in site.requests if request.status == 304]
    assert len(read) >= 150
    assert all(request.conditional for request in site.requests)
    assert published(folder) == before
    assert written(folder) == times


def test_a_run_visits_nothing_before_it_is_due(world: tuple[Site, Path]) -> None:
    """A restart is no reason to ask again."""
    site, folder = world
    del site.requests[:]
    assert aggregator(folder, "run", "--once").returncode == 0
    assert site.requests == []


def test_one_new_entry_leads_to_that_entry_alone(world: tuple[Site, Path]) -> None:
    """The rest of the document, and of the world, stays as it was."""
    site, folder = world
    before = members(folder)
    encoding, title, summary = TOLD[0]
    new = ("https://news.example/new", "North Korean defector elected to Seoul city council", "")
    site.put(f"/{encoding}", rss([new, ("https://news.example/0", title, summary)], encoding))
    assert aggregator(folder, "run", "--once", "--now").returncode == 0
    assert members(folder) == before | {new[0]: new[1]}
    feed = json.loads(published(folder)["feed.json"])
    assert feed["items"][0]["url"] == new[0]
