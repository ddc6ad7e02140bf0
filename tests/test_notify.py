"""Being told of news as its user is: a configuration, the command or the daemon, and what arrives."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.command import HEAD, NOT_SERVED, aggregator, configure
from tests.daemons import daemon, eventually
from tests.receivers import Hook, Sink
from tests.site import Site

OLD = "North Korean defector elected to Seoul council"
NEW = "North Korean defector opens a noodle restaurant in Busan"


def document(*titles: str) -> str:
    """A feed; the first of the titles is from years ago, the others are of this minute."""
    dates = ["Mon, 06 Jan 2020 08:00:00 GMT", *[format_datetime(datetime.now(UTC))] * len(titles)]
    items = "".join(
        f"<item><title>{title}</title><link>https://news.example/{place}</link><pubDate>{date}</pubDate></item>"
        for place, (title, date) in enumerate(zip(titles, dates, strict=False))
    )
    return f'<rss version="2.0"><channel><title>x</title>{items}</channel></rss>'


def channels(receiver: Hook, mails: Sink, interval: str = "") -> str:
    hooked = f'[[notify]]\nname = "Hook"\nto = ["{receiver.address}/s3cret"]\nallow_private_addresses = true\n'
    mailed = '[[notify]]\nname = "Mail"\nto = ["mailto:ana@example.org"]\n'
    return f'[mail]\nserver = "{mails.address}"\nsender = "news@example.org"\n{hooked}{mailed}{interval}'


def told(receiver: Hook) -> list[str]:
    return [item["title"] for _, body in receiver.posts for item in json.loads(body)["data"]["items"]]


def test_a_run_tells_what_is_new_since_the_first_one(tmp_path: Path, site: Site, receiver: Hook, mails: Sink) -> None:
    """Nothing of what the source brought along; a new story once, by webhook and by mail."""
    address = site.put("/feed", document(OLD))
    configure(tmp_path, {"News": address}, NOT_SERVED + channels(receiver, mails))
    assert aggregator(tmp_path, "run", "--once").returncode == 0
    assert (told(receiver), mails.letters) == ([], [])
    site.put("/feed", document(OLD, NEW))
    for _ in range(2):
        done = aggregator(tmp_path, "run", "--once", "--now")
        assert done.returncode == 0, done.stderr
    assert told(receiver) == [NEW]
    assert [letter["Subject"].strip() for _, letter in mails.letters] == [NEW]
    shown = aggregator(tmp_path, "status", "--json")
    known = {one["name"]: one for one in json.loads(shown.stdout)["channels"]}
    assert (known["Hook"]["sent"], known["Mail"]["sent"]) == (1, 1)


def test_the_daemon_tells_at_once_and_never_again(tmp_path: Path, site: Site, receiver: Hook, mails: Sink) -> None:
    """A story that was told is told no more after a kill; what failed meanwhile is tried again."""
    address = site.put("/feed", document(OLD))
    head = HEAD.replace("[topic]", "[schedule]\nmin_interval = '1s'\n[topic]") + '[server]\nlisten = ""\n'
    configure(tmp_path, {"News": address}, head + channels(receiver, mails))
    file = tmp_path / "config.toml"
    file.write_text(file.read_text() + 'interval = "2s"\n')
    receiver.answers = [(503, {"Retry-After": "1"})]
    with daemon(tmp_path) as process:
        eventually(lambda: len(site.requests) >= 1)
        site.put("/feed", document(OLD, NEW))
        eventually(lambda: len(mails.letters) == 1 and len(receiver.posts) >= 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    asked = len(site.requests)
    with daemon(tmp_path) as process:
        eventually(lambda: len(site.requests) >= asked + 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert len(mails.letters) == 1
    log = (tmp_path / "log").read_text()
    assert "s3cret" not in log


def test_secrets_show_nowhere(tmp_path: Path, site: Site, receiver: Hook, mails: Sink) -> None:
    """Not in status, exports or mistakes, and not in the store."""
    configure(tmp_path, {"News": site.put("/feed", document(OLD, NEW))}, NOT_SERVED + channels(receiver, mails))
    receiver.answers = [(500, {})] * 9
    said = [aggregator(tmp_path, *words.split()) for words in ("run --once", "notify", "notify --test Hook", "status")]
    said.append(aggregator(tmp_path, "export", "--format", "store"))
    assert said[2].returncode == 1
    assert "Hook: failed: 127.0.0.1 answered 500" in said[2].stdout
    file = tmp_path / "config.toml"
    file.write_text(file.read_text().replace("to = [", "to = [3, "), encoding="utf-8")
    said.append(aggregator(tmp_path, "check"))
    assert said[-1].returncode == 2
    assert all("s3cret" not in one.stdout + one.stderr for one in said)
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.glob("aggregator.db*"))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('to = ["ana@example.org"]', 'a receiver is written as "https://…"'),
        ('to = ["mailto:ana@example.org"]', "mail needs [mail] server and sender"),
        ('to = ["https://h.example/${NOT_SET}"]', "the environment variable NOT_SET is not set"),
        ('to = ["https://h.example/"]\nsecret = "short"', 'a secret is "whsec_" and 24 to 64 bytes'),
        ('to = ["https://h.example/"]\ntimezone = "Nowhere"', 'a time zone is named like "Asia/Seoul"'),
        ('to = ["https://h.example/"]\nat = "7"', "at = '7'"),
        ("to = []", "to = …"),
    ],
)
def test_mistakes_are_told_in_words(tmp_path: Path, table: str, problem: str) -> None:
    """With the place, and what would be right; never with the address."""
    configure(tmp_path, {}, f'{NOT_SERVED}[[notify]]\nname = "Desk"\n{table}\n')
    said = aggregator(tmp_path, "check")
    assert said.returncode == 2
    assert "[[notify]] 1 (Desk)" in said.stderr.replace("\n", " ")
    assert problem in said.stderr.replace("\n", " ")


def test_an_address_that_nobody_knows_is_told_by_check(tmp_path: Path) -> None:
    """What only apprise can judge is judged by it, and shown by its scheme alone."""
    configure(tmp_path, {}, f'{NOT_SERVED}[[notify]]\nname = "Desk"\nto = ["nowhere://s3cret/s3cret"]\n')
    said = aggregator(tmp_path, "check")
    assert said.returncode == 2
    assert "[[notify]] Desk: " in said.stderr
    assert "s3cret" not in said.stderr


def test_a_digest_can_be_looked_at(tmp_path: Path, site: Site) -> None:
    """As text and as HTML, of the stories of the last day; nothing is sent."""
    configure(tmp_path, {"News": site.put("/feed", document(OLD, NEW))})
    aggregator(tmp_path, "run", "--once")
    text = aggregator(tmp_path, "digest").stdout
    assert NEW.split(",")[0] in text.replace("\n  ", " ").replace("\n", " ")
    assert "Why it is here" in text
    assert f">{NEW}</a>" in aggregator(tmp_path, "digest", "--html").stdout
