"""Serving: conditional, compressed, contained, and honest about who may see the operator's page."""

from __future__ import annotations

import gzip
import http.client
import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import brotli
import pytest
import requests

from aggregator.entries import story_path
from aggregator.errors import ServeError
from aggregator.model import Line
from aggregator.publish import FolderPublisher
from aggregator.render import render, render_month, render_page, render_slice, render_slices, render_stories
from aggregator.serve import Server, build_app
from aggregator.slices import Slice
from tests.editions import LINK, REALISTIC, edition, story


class Site:
    """A published folder that is served, and what its operator's pages say."""

    def __init__(self, folder: Path, hub: str = "", home: str = "") -> None:
        self.folder = folder
        self.well = True
        self.publish(render(REALISTIC))
        app = build_app(
            folder,
            health=lambda: (self.well, {"sources": 40}),
            metrics=lambda: "aggregator_stories 4\n",
            hub=hub,
            home=home,
        )
        self.server = Server(app, "127.0.0.1", 0)

    def publish(self, files: dict[str, bytes]) -> None:
        FolderPublisher(self.folder).publish(files)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request, as it is written: no library adds a header or resolves a path."""
        connection = http.client.HTTPConnection(urlsplit(self.server.address).netloc, timeout=10)
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("served") / "public")
    site.server.start()
    yield site
    site.server.stop()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/rss.xml", "application/rss+xml; charset=utf-8"),
        ("/atom.xml", "application/atom+xml; charset=utf-8"),
        ("/feed.json", "application/feed+json"),
        ("/sources.opml", "text/x-opml; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
        ("/sign.png", "image/png"),
    ],
)
def test_every_published_file_has_its_media_type(site: Site, path: str, media_type: str) -> None:
    """Each file comes as it was published, with the type that readers and browsers expect."""
    answer = site.ask(path)
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    assert answer.body == (site.folder / (path[1:] or "index.html")).read_bytes()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["vary"] == "Accept-Encoding"
    changed = (site.folder / (path[1:] or "index.html")).stat().st_mtime
    assert parsedate_to_datetime(answer.headers["last-modified"]).timestamp() == int(changed)


HUB, HOME = "https://hub.example/", "https://feed.example/nk/"
RSS, ATOM, JSON = "application/rss+xml; charset=utf-8", "application/atom+xml; charset=utf-8", "application/feed+json"
HTML, OPML = "text/html; charset=utf-8", "text/x-opml; charset=utf-8"
STORY = REALISTIC.stories[0].id
SERVED = [
    *((f"{folder}rss{mark}.xml", RSS) for folder, mark in (("", ""), ("archive/", "-2"), ("slice/language-ko/", ""))),
    *((f"{folder}atom{mark}.xml", ATOM) for folder, mark in (("", ""), ("archive/", "-2"), ("slice/language-ko/", ""))),
    *(
        (f"{folder}feed{mark}.json", JSON)
        for folder, mark in (("", ""), ("archive/", "-2"), ("slice/language-ko/", ""))
    ),
    *((name, HTML) for name in ("", story_path(STORY), "month/index.html", "month/2026-03.html", "slice/index.html")),
    *((name, OPML) for name in ("sources.opml", "slice/slices.opml")),
    ("style.css", "text/css; charset=utf-8"),
    ("favicon.svg", "image/svg+xml"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A folder with a file of every kind, whose changes a hub is told of."""
    site = Site(tmp_path_factory.mktemp("whole") / "public", hub=HUB, home=HOME)
    lines = [Line(told.id, told.title, told.language, told.told) for told in REALISTIC.stories]
    site.publish(render_page(replace(REALISTIC, page=2)) | render_stories(REALISTIC))
    cut = Slice("language-ko", "Korean", "language")
    site.publish(render_slice(REALISTIC, cut) | render_slices(REALISTIC, [cut]))
    site.publish(render_month(REALISTIC, "2026-03", lines))
    site.server.start()
    yield site
    site.server.stop()


@pytest.mark.parametrize(("path", "media_type"), SERVED)
def test_every_kind_of_file_is_served_well(whole: Site, path: str, media_type: str) -> None:
    """Type, strong tag, date, lifetime, codings, 304 by tag and by date, HEAD, CORS but for pages, hub and self."""
    document = (whole.folder / (path if path and not path.endswith("/") else path + "index.html")).read_bytes()
    answers = {coding: whole.ask(f"/{path}", Accept_Encoding=coding) for coding in ("identity", "gzip", "br")}
    plain = answers["identity"]
    assert (plain.status, plain.body, plain.headers["content-type"]) == (200, document, media_type)
    assert gzip.decompress(answers["gzip"].body) == brotli.decompress(answers["br"].body) == document
    for coding, answer in answers.items():
        head = whole.ask(f"/{path}", "HEAD", Accept_Encoding=coding)
        assert (head.status, head.body, {**head.headers, "date": ""}) == (200, b"", {**answer.headers, "date": ""})
        tag, date = answer.headers["etag"], answer.headers["last-modified"]
        assert re.fullmatch(r'"[^"]+"', tag)
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert (answer.headers["cache-control"], answer.headers["vary"]) == ("public, max-age=300", "Accept-Encoding")
        for condition in ({"If_None_Match": tag}, {"If_Modified_Since": date}):
            again = whole.ask(f"/{path}", Accept_Encoding=coding, **condition)
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert (plain.headers.get("access-control-allow-origin") == "*") == (media_type != HTML)
    links = f'<{HUB}>; rel="hub", <{HOME}{path}>; rel="self"' if media_type in (RSS, ATOM, JSON) else None
    assert plain.headers.get("link") == links


def test_feeds_in_folders_are_known_by_what_they_are(site: Site) -> None:
    """An archive or a slice is Atom or RSS by its content, whatever it is called; a folder shows its index."""
    files = render(REALISTIC)
    site.publish({"archive/1.xml": files["atom.xml"], "by/ko.xml": files["rss.xml"], "archive/index.html": b"<p>old"})
    assert site.ask("/archive/1.xml").headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert site.ask("/by/ko.xml").headers["content-type"] == "application/rss+xml; charset=utf-8"
    assert site.ask("/archive/").body == b"<p>old"


@pytest.mark.parametrize(
    "condition",
    ["{etag}", "W/{etag}", '"other", {etag}', 'W/"other" ,W/{etag}', "*"],
)
def test_what_a_reader_has_is_not_sent_again(site: Site, condition: str) -> None:
    """If-None-Match in all its forms gives 304, without a body, with the headers that a cache needs."""
    etag = site.ask("/rss.xml").headers["etag"]
    answer = site.ask("/rss.xml", If_None_Match=condition.format(etag=etag))
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert {"cache-control", "last-modified", "vary", "date"} <= set(answer.headers)


def test_a_changed_file_is_sent(site: Site) -> None:
    """Publishing other bytes changes the ETag at once, even within one second, and the same bytes bring it back."""
    first = site.ask("/atom.xml").headers["etag"]
    site.publish({"atom.xml": render(edition(story(5)))["atom.xml"]})
    answer = site.ask("/atom.xml", If_None_Match=first)
    assert answer.status == 200
    assert b"Headline 5" in answer.body
    site.publish({"atom.xml": render(REALISTIC)["atom.xml"]})
    assert site.ask("/atom.xml").headers["etag"] == first


def test_dates_count_where_there_is_no_tag(site: Site) -> None:
    """If-Modified-Since gives 304 for a date not older than the file's, unless If-None-Match is there."""
    modified = site.ask("/rss.xml").headers["last-modified"]
    assert site.ask("/rss.xml", If_Modified_Since=modified).status == 304
    assert site.ask("/rss.xml", If_Modified_Since=format_datetime(datetime.now(UTC), usegmt=True)).status == 304
    assert site.ask("/rss.xml", If_Modified_Since="Mon, 01 Jan 2024 00:00:00 GMT").status == 200
    for nonsense in ("yesterday", "Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 0000 00:00:00 +99999999"):
        assert site.ask("/rss.xml", If_Modified_Since=nonsense).status == 200
    assert site.ask("/rss.xml", If_Modified_Since=modified, If_None_Match='"other"').status == 200


def test_each_coding_has_its_own_tag(site: Site) -> None:
    """gzip and brotli carry the same document, each with a strong ETag of its own that gives 304 for that coding."""
    document = (site.folder / "atom.xml").read_bytes()
    answers = {coding: site.ask("/atom.xml", Accept_Encoding=coding) for coding in ("identity", "gzip", "br")}
    assert gzip.decompress(answers["gzip"].body) == brotli.decompress(answers["br"].body) == document
    assert [answer.headers.get("content-encoding") for answer in answers.values()] == [None, "gzip", "br"]
    assert len({answer.headers["etag"] for answer in answers.values()}) == 3
    assert not any(answer.headers["etag"].startswith("W/") for answer in answers.values())
    for (coding, answer), (other, _) in itertools.product(answers.items(), answers.items()):
        again = site.ask("/atom.xml", Accept_Encoding=other, If_None_Match=answer.headers["etag"])
        assert again.status == (304 if coding == other else 200)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "br"),
        ("gzip;q=0, *;q=0", None),
        ("BR", "br"),
        ("deflate;q=nonsense", None),
    ],
)
def test_the_reader_chooses_the_coding(site: Site, accepted: str, coding: str | None) -> None:
    """Accept-Encoding is read with its weights; what is refused is not sent."""
    assert site.ask("/rss.xml", Accept_Encoding=accepted).headers.get("content-encoding") == coding


def test_small_files_are_sent_plain(site: Site) -> None:
    """Compression that would not save anything is left out."""
    site.publish({"tiny.txt": b"tiny"})
    assert "content-encoding" not in site.ask("/tiny.txt", Accept_Encoding="gzip, br").headers


def test_head_tells_what_get_would(site: Site) -> None:
    """HEAD has the same status and headers as GET, and no body."""
    for path in ("/rss.xml", "/", "/nothing"):
        head, get = site.ask(path, "HEAD"), site.ask(path)
        assert head.body == b""
        assert head.status == get.status
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


def test_people_who_find_nothing_are_led_on(site: Site) -> None:
    """A browser is shown a page that leads to the newest stories, all others a line; under any folder."""
    for path in ("/nothing", f"/{story_path(story(99).id)}", "/a/b/c.xml"):
        page = site.ask(path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert page.headers["vary"] == "Accept"
        assert b"Nothing is published here." in page.body
        assert f'href="{LINK}"'.encode() in page.body
        line = site.ask(path, Accept="*/*")
        assert (line.status, line.body) == (404, b"Nothing is published here.\n")


def test_a_story_that_is_no_more_has_a_page_that_says_so(tmp_path: Path) -> None:
    """410, which readers take for good, in the feed's language."""
    FolderPublisher(tmp_path).publish(render(replace(REALISTIC, language="ko")))
    app = build_app(tmp_path, health=lambda: (True, {}), metrics=lambda: "", gone=lambda id: id == story(99).id)
    server = Server(app, "127.0.0.1", 0)
    server.start()
    try:
        address = server.address + story_path(story(99).id)
        page, line = (requests.get(address, headers={"accept": kind}, timeout=10) for kind in ("text/html", "*/*"))
    finally:
        server.stop()
    assert (page.status_code, line.status_code) == (410, 410)
    assert "이 기사는 더 이상 실려 있지 않습니다." in page.text
    assert line.text == "This story is told here no more.\n"


def test_feeds_may_be_read_by_pages_elsewhere(site: Site) -> None:
    """CORS: feeds are for everyone, also after a preflight; the page is not a resource for scripts elsewhere."""
    assert site.ask("/feed.json", Origin="https://a.example").headers["access-control-allow-origin"] == "*"
    preflight = site.ask("/feed.json", "OPTIONS", Origin="https://a.example")
    assert (preflight.status, preflight.headers["access-control-allow-headers"]) == (204, "If-None-Match")
    assert "access-control-allow-origin" not in site.ask("/").headers


@pytest.mark.parametrize("path", ["/", "/rss.xml", "/nothing", "/health", "/metrics", "/../x"])
def test_every_answer_is_guarded(site: Site, path: str) -> None:
    """No answer, errors included, is guessed to be another type, framed, or allowed to run a script."""
    headers = site.ask(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert "script-src" not in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_an_answer_that_fails_is_guarded_too(tmp_path: Path) -> None:
    """What nobody foresaw is told as that, with the headers of every answer, and without what went wrong."""

    def fail() -> str:
        raise LookupError("within")

    server = Server(build_app(tmp_path, health=lambda: (True, {}), metrics=fail), "127.0.0.1", 0)
    server.start()
    try:
        answer = requests.get(f"{server.address}metrics", timeout=10)
    finally:
        server.stop()
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (500, "nosniff")
    assert "within" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/a/../../secret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/link.txt",
        "/.hidden.txt",
        "/.rss.xml.1.unfinished",
        "/.git/config.txt",
        "/store.db",
        "/rss.xml%00.txt",
        "/archive",
        "/" + "a" * 5000,
    ],
)
def test_only_published_files_are_served(site: Site, path: str) -> None:
    """What is hidden, unfinished, of another kind, outside the folder or linked to from inside is not found."""
    (site.folder.parent / "secret.txt").write_text("secret")
    if not (site.folder / "link.txt").is_symlink():
        (site.folder / "link.txt").symlink_to(site.folder.parent / "secret.txt")
    (site.folder / ".git").mkdir(exist_ok=True)
    for name in (".hidden.txt", ".rss.xml.1.unfinished", ".git/config.txt", "store.db"):
        (site.folder / name).write_text("secret")
    answer = site.ask(path)
    assert answer.status in (400, 404)
    assert b"secret" not in answer.body


def test_other_methods_are_refused(site: Site) -> None:
    """The folder is read-only for everyone: POST, PUT and DELETE are 405."""
    assert [site.ask("/rss.xml", method).status for method in ("POST", "PUT", "DELETE")] == [405, 405, 405]


def test_health_is_for_machines(site: Site) -> None:
    """/health is 200 or 503 with the facts as JSON, never cached."""
    answer = site.ask("/health")
    assert (answer.status, answer.body) == (200, b'{"status":"ok","sources":40}')
    assert answer.headers["cache-control"] == "no-store"
    site.well = False
    try:
        answer = site.ask("/health")
        assert (answer.status, answer.body) == (503, b'{"status":"failing","sources":40}')
    finally:
        site.well = True


def test_metrics_are_for_prometheus(site: Site) -> None:
    """/metrics is the text format that Prometheus scrapes."""
    answer = site.ask("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == b"aggregator_stories 4\n"


def test_versions_that_only_the_bytes_tell_apart(site: Site) -> None:
    """A file whose new version has the old one's inode, size and time, as can happen within a tick, is sent anew."""
    path = site.folder / "twin.txt"
    path.write_bytes(b"first")
    assert site.ask("/twin.txt").body == b"first"
    before = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert site.ask("/twin.txt").body == b"other"


def test_readers_see_whole_files_while_they_are_replaced(site: Site) -> None:
    """Over many replacements, each answer is one whole version whose ETag and body belong together."""
    versions = [bytes([letter]) * 60_000 for letter in b"abcdefgh"]
    site.publish({"changing.txt": versions[0]})
    stop = threading.Event()

    def replace() -> None:
        for version in itertools.cycle(versions):
            site.publish({"changing.txt": version})
            if stop.is_set():
                return

    writer = threading.Thread(target=replace)
    writer.start()
    seen: set[tuple[str, bytes]] = set()
    deadline = time.monotonic() + 20  # as fast as the disk takes new versions
    try:
        while len(seen) < len(versions) and time.monotonic() < deadline:
            answer = site.ask("/changing.txt")
            seen.add((answer.headers["etag"], answer.body))
    finally:
        stop.set()
        writer.join()
    assert {body for _, body in seen} <= set(versions)
    assert len({etag for etag, _ in seen}) == len({body for _, body in seen}) == len(seen) > 1


def test_a_missing_folder_is_an_empty_one(tmp_path: Path) -> None:
    """Before the first publishing nothing is found, and /health answers."""
    nothing: Any = lambda: ""  # noqa: E731
    server = Server(build_app(tmp_path / "none", health=lambda: (True, {}), metrics=nothing), "127.0.0.1", 0)
    server.start()
    try:
        assert requests.get(server.address, timeout=10).status_code == 404
        assert requests.get(server.address + "health", timeout=10).status_code == 200
    finally:
        server.stop()


def test_a_port_in_use_is_told_in_words(site: Site) -> None:
    """Where the address is taken, starting raises a ServeError that names it and the key to change."""
    port = urlsplit(site.server.address).port
    assert port is not None
    with pytest.raises(ServeError, match=rf"127\.0\.0\.1:{port}: the port is in use.*\[server\] listen"):
        Server(site.server._app, "127.0.0.1", port).start()


@pytest.mark.parametrize(
    ("host", "words"), [("192.0.2.1", "does not have that address"), ("no such host", "no address or name")]
)
def test_an_impossible_address_is_told_in_words(site: Site, host: str, words: str) -> None:
    """An address of another machine, or none at all, is a ServeError that says so."""
    with pytest.raises(ServeError, match=words):
        Server(site.server._app, host, 0).start()


def test_a_stopped_server_frees_its_port(site: Site) -> None:
    """After stop, which may be called twice, the same port can be served again at once."""
    first = Server(site.server._app, "127.0.0.1", 0)
    first.start()
    connection = requests.Session()  # keeps its connection open over the stop
    assert connection.get(first.address + "health", timeout=10).status_code == 200
    address = first.address
    first.stop()
    first.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=10)
    second = Server(site.server._app, "127.0.0.1", urlsplit(address).port or 0)
    second.start()
    assert requests.get(address + "health", timeout=10).status_code == 200
    second.stop()


def test_answers_on_one_connection_come_at_once(site: Site) -> None:
    """A kept connection is not slowed by Nagle's algorithm, which would cost 40 ms an answer."""
    with requests.Session() as session:
        session.get(site.server.address + "rss.xml", timeout=10)
        times = []
        for _ in range(9):
            began = time.perf_counter()
            assert session.get(site.server.address + "rss.xml", timeout=10).content
            times.append(time.perf_counter() - began)
    assert sorted(times)[4] < 0.03


def test_an_unreadable_file_is_told_as_passing(site: Site) -> None:
    """A file that cannot be read is 503 with Retry-After, so that readers keep what they have."""
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    site.publish({"locked.txt": b"x"})
    (site.folder / "locked.txt").chmod(0)
    answer = site.ask("/locked.txt")
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
