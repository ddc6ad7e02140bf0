"""What the commands print and how they end, good input and bad."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import HEAD, NOT_SERVED, aggregator, configure, environment, feed, rss
from tests.site import Site

ROOT = Path(__file__).parent.parent
ON_SUBJECT = ("https://news.example/1", "North Korean defector elected to Seoul council", "She fled the North in 2009.")
OFF_SUBJECT = ("https://news.example/2", "Council meets about the budget", "Nothing was decided.")
UNSURE = ("https://news.example/3", "Defector speaks to journalists", "")


@pytest.fixture
def folder(tmp_path: Path, site: Site) -> Path:
    """A folder in which one source was read once: one entry on the subject, one not."""
    configure(tmp_path, {"News": site.put("/feed", rss([ON_SUBJECT, OFF_SUBJECT]))})
    done = aggregator(tmp_path, "run", "--once")
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_run_once_prints_what_happened_to_each_source(tmp_path: Path, site: Site) -> None:
    """One source's failure is that source's, told in words, and the feed is published all the same."""
    configure(tmp_path, {"Good": site.put("/feed", rss([ON_SUBJECT])), "Gone": site.address + "/none"})
    done = aggregator(tmp_path, "run", "--once")
    assert done.returncode == 0
    rows = {row.split("\t")[0]: row for row in done.stdout.splitlines() if "\t" in row}
    assert "1 new item, 1 kept, 1 new story" in rows["Good"]
    assert "404" in rows["Gone"]
    assert [story["title"] for story in feed(tmp_path)] == [ON_SUBJECT[1]]


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("[fetch]\nconcurency = 3\n", 2, "did you mean concurrency"),
        ('[fetch]\nconcurrency = "many"\n', 2, "concurrency"),
        ('[[source]]\nurl = "https://e.org/f"\n[[source]]\nurl = "https://e.org/f"\n', 2, "listed already"),
        ('[[source]]\nurl = "https://e.org/f"\nscope = "defector"\n', 2, "did you mean defectors"),
        ('[topic]\npack = "no-such-pack"\n', 2, "no-such-pack"),
        ('[topic]\npack = "none.toml"\n', 2, "none.toml"),
        ('[stories]\nseed = "none.toml"\n', 2, "none.toml does not exist"),
        ('[feed]\noutput = "file/public"\n', 1, "file"),
        ('[store]\nurl = "sqlite:///file"\n', 1, "file"),
        ('[store]\nurl = "nosuch://x"\n', 2, "nosuch"),
        ('[server]\nlisten = "127.0.0.1:PORT"\n', 1, "PORT"),
    ],
)
def test_bad_input_is_one_clear_sentence(tmp_path: Path, text: str, status: int, expected: str) -> None:
    """Exit status 2 for what is written wrong, 1 for what fails; never a traceback, and nothing is overwritten."""
    (tmp_path / "file").write_text("precious")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        text, expected = text.replace("PORT", port), expected.replace("PORT", port)
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
        once = () if "listen" in text else ("--once",)
        done = aggregator(tmp_path, "run", *once)
    assert done.returncode == status, done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("aggregator: ")]
    assert len(sentences) == 1
    assert expected in sentences[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert (tmp_path / "file").read_text() == "precious"


def test_init_writes_a_configuration_that_is_right_and_never_overwrites(tmp_path: Path) -> None:
    """What init writes passes check; a second init changes nothing."""
    assert aggregator(tmp_path, "init", "new").returncode == 0
    assert aggregator(tmp_path / "new", "check").returncode == 0
    packs = sorted(path.name for path in (tmp_path / "new" / "packs").iterdir())
    shipped = ROOT / "aggregator" / "packs"
    assert packs == sorted(path.name for path in shipped.glob("north-korean-defectors.*"))
    (tmp_path / "new" / "feeds" / "seed.toml").write_text("# mine")
    again = aggregator(tmp_path, "init", "new")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert (tmp_path / "new" / "feeds" / "seed.toml").read_text() == "# mine"


def test_check_online_tries_each_source_once_and_remembers_nothing(tmp_path: Path, site: Site) -> None:
    """What is wrong shows before the daemon is started."""
    configure(tmp_path, {"Good": site.put("/feed", rss([ON_SUBJECT])), "Empty": site.put("/empty", rss([]))})
    done = aggregator(tmp_path, "check", "--online")
    assert done.returncode == 1
    assert "ok      Good: 1 items, 1 on the subject" in done.stdout
    assert "empty   Empty" in done.stdout
    assert not (tmp_path / "aggregator.db").exists()


def test_check_against_tells_which_items_would_change_side(folder: Path) -> None:
    """A change of rules is tested before it counts, on labelled items and on what the store holds."""
    (folder / "exported.jsonl").write_text(aggregator(folder, "export").stdout, encoding="utf-8")
    assert "0 items of 2 would change side" in aggregator(folder, "check", "--against", "exported.jsonl").stdout
    strict = (folder / "config.toml").read_text().replace("[topic]", "[topic]\nthreshold = 0.99999999999999")
    (folder / "config.toml").write_text(strict)
    done = aggregator(folder, "check", "--against", "exported.jsonl").stdout
    assert "now dropped" in done
    assert ON_SUBJECT[1] in done
    assert "1 item of 2 would change side" in done
    (folder / "broken.jsonl").write_text("{}")
    assert aggregator(folder, "check", "--against", "broken.jsonl").returncode == 2


def test_a_change_of_rules_counts_for_what_is_stored_and_is_told(folder: Path) -> None:
    """What is newly dropped goes out and stays explained; it comes in again with the old rules."""
    mild = (folder / "config.toml").read_text()
    assert "the rules changed" not in aggregator(folder, "run", "--once").stdout
    assert ON_SUBJECT[1] in [entry["title"] for entry in feed(folder)]
    (folder / "config.toml").write_text(mild.replace("[topic]", "[topic]\nthreshold = 0.99999999999999"))
    told = "the rules changed, and with them 0 items came in and 1 went out"
    assert told in aggregator(folder, "run", "--once").stdout
    assert ON_SUBJECT[1] not in [entry["title"] for entry in feed(folder)]
    assert "in no story" in aggregator(folder, "explain", ON_SUBJECT[0]).stdout
    (folder / "config.toml").write_text(mild)
    assert "1 item came in and 0 went out" in aggregator(folder, "run", "--once").stdout
    assert ON_SUBJECT[1] in [entry["title"] for entry in feed(folder)]


def test_explain_says_why_an_item_was_kept_or_not(folder: Path) -> None:
    """By link, for what was kept and what was not; for a text that was never seen, too."""
    kept = aggregator(folder, "explain", ON_SUBJECT[0]).stdout
    assert "kept, score" in kept
    assert "North Korean defector" in kept
    assert "it was the first to tell it" in kept
    assert "dropped, score" in aggregator(folder, "explain", OFF_SUBJECT[0]).stdout
    tried = aggregator(folder, "explain", "--title", ON_SUBJECT[1]).stdout
    assert "kept" in tried
    assert "it would join story" in tried
    dropped = aggregator(folder, "explain", "--title", OFF_SUBJECT[1]).stdout
    assert "dropped" in dropped
    assert "story" not in dropped, "what is not kept goes into no story"


def test_explain_tries_a_text_as_a_sources_scope_would_have_it(folder: Path) -> None:
    """What a scope promises counts; one that the pack does not know is an error that names those it knows."""
    said = aggregator(folder, "explain", "--title", "Life in Seoul", "--scope", "defectors").stdout
    assert "source: scope defectors" in said
    unknown = aggregator(folder, "explain", "--title", "Life in Seoul", "--scope", "reefs")
    assert unknown.returncode == 2
    assert "it knows general, north-korea, defectors" in unknown.stderr


def test_explain_of_something_unknown_says_where_to_look(folder: Path) -> None:
    """Exit status 1, and no traceback."""
    done = aggregator(folder, "explain", "https://news.example/unknown")
    assert done.returncode == 1
    assert "aggregator stories" in done.stderr


def test_the_curators_word_stands_above_the_rules(folder: Path, site: Site) -> None:
    """keep publishes what the rules dropped, drop withdraws what they kept, and later visits change neither."""
    assert aggregator(folder, "keep", OFF_SUBJECT[0]).returncode == 0
    assert aggregator(folder, "drop", ON_SUBJECT[0]).returncode == 0
    assert [story["title"] for story in feed(folder)] == [OFF_SUBJECT[1]]
    edited = [(ON_SUBJECT[0], "North Korean defector elected to council of Seoul", ""), OFF_SUBJECT]
    site.put("/feed", rss(edited))
    assert aggregator(folder, "run", "--once", "--now").returncode == 0
    assert [story["title"] for story in feed(folder)] == [OFF_SUBJECT[1]]
    assert "by the curator" in aggregator(folder, "explain", ON_SUBJECT[0]).stdout
    assert "left to the rules, and dropped" in aggregator(folder, "take-back", OFF_SUBJECT[0]).stdout
    assert "left to the rules, and kept" in aggregator(folder, "take-back", ON_SUBJECT[0]).stdout
    assert [story["url"] for story in feed(folder)] == [ON_SUBJECT[0]]
    again = aggregator(folder, "take-back", ON_SUBJECT[0])
    assert (again.returncode, "nothing to take back" in again.stderr) == (1, True)


def test_an_old_item_is_recorded_and_published_only_when_the_curator_keeps_it(tmp_path: Path, site: Site) -> None:
    """max_age_days is a rule, and the curator's word stands above every rule."""
    head = NOT_SERVED.replace("max_age_days = 0", "max_age_days = 30")
    configure(tmp_path, {"News": site.put("/feed", rss([ON_SUBJECT]))}, head)
    aggregator(tmp_path, "run", "--once")
    assert feed(tmp_path) == []
    assert "not published: too old" in aggregator(tmp_path, "explain", ON_SUBJECT[0]).stdout
    assert aggregator(tmp_path, "keep", ON_SUBJECT[0]).returncode == 0
    assert [story["title"] for story in feed(tmp_path)] == [ON_SUBJECT[1]]


def test_stories_are_merged_and_split_by_hand(folder: Path, site: Site) -> None:
    """The id of the story told first stays; what was split never joins again."""
    other = ("https://news.example/9", "Swimmer from North Korea reaches Gyodong island", "He wants to stay.")
    site.put("/feed", rss([other, ON_SUBJECT, OFF_SUBJECT]))
    assert aggregator(folder, "run", "--once", "--now").returncode == 0
    ids = {story["title"]: story["id"] for story in feed(folder)}
    assert aggregator(folder, "merge", other[0], ON_SUBJECT[0]).returncode == 0
    (story,) = feed(folder)
    assert story["id"] == ids[ON_SUBJECT[1]]
    assert aggregator(folder, "split", other[0]).returncode == 0
    assert {story["title"] for story in feed(folder)} == {other[1], ON_SUBJECT[1]}
    assert f"by the curator: split by hand, “{ON_SUBJECT[1]}”" in aggregator(folder, "explain", other[0]).stdout
    site.put("/feed", rss([(other[0], other[1], "He wants to stay in the South."), ON_SUBJECT]))
    assert aggregator(folder, "run", "--once", "--now").returncode == 0
    assert len(feed(folder)) == 2


def test_status_ends_with_1_where_the_operator_should_look(folder: Path, tmp_path: Path) -> None:
    """All well is 0; the JSON form says the same to a script."""
    done = aggregator(folder, "status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["sources"][0]["state"] == "ok"
    (folder / "config.toml").write_text((folder / "config.toml").read_text().replace("/feed", "/none"))
    for _ in range(3):
        aggregator(folder, "run", "--once", "--now")
    failed = aggregator(folder, "status")
    assert failed.returncode == 1
    assert "failed 3 times in a row" in failed.stdout


def test_stories_lists_what_is_published(folder: Path) -> None:
    """As a table for people, as JSON for scripts."""
    assert ON_SUBJECT[1] in aggregator(folder, "stories").stdout
    (story,) = json.loads(aggregator(folder, "stories", "--json").stdout)
    assert story["members"][0]["url"] == ON_SUBJECT[0]


def test_sources_go_out_and_come_in_as_opml(folder: Path, tmp_path: Path, site: Site) -> None:
    """What one installation exports another imports, each source once."""
    exported = aggregator(folder, "sources", "export").stdout
    (tmp_path / "list.opml").write_text(exported.replace("/feed", "/other"), encoding="utf-8")
    for expected in ("1 added", "0 added"):
        done = aggregator(folder, "sources", "import", str(tmp_path / "list.opml"))
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert "/other" in aggregator(folder, "sources", "list").stdout


def test_sources_add_finds_the_feed_of_a_page(folder: Path, site: Site) -> None:
    """Given the address of a site, the feed that its page names is tried and added."""
    site.put("/second", rss([ON_SUBJECT]))
    page = (
        '<html><head><link rel="alternate" type="application/rss+xml" href="/second"></head><body>Hello</body></html>'
    )
    done = aggregator(folder, "sources", "add", site.put("/", page, "text/html"))
    assert done.returncode == 0, done.stderr
    assert f"{site.address}/second" in (folder / "config.toml").read_text()
    assert aggregator(folder, "sources", "remove", f"{site.address}/second").returncode == 0
    assert "/second" not in (folder / "config.toml").read_text()


def test_a_configuration_keeps_its_mode_when_sources_are_edited(folder: Path, site: Site) -> None:
    """It may hold secrets. A byte order mark in front does not matter."""
    config = folder / "config.toml"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    config.chmod(0o600)
    site.put("/second", rss([OFF_SUBJECT]))
    assert aggregator(folder, "sources", "add", f"{site.address}/second").returncode == 0
    done = aggregator(folder, "sources", "remove", f"{site.address}/second")
    assert done.returncode == 0, done.stderr
    assert config.stat().st_mode & 0o777 == 0o600


def test_a_password_in_an_address_shows_nowhere(tmp_path: Path, site: Site) -> None:
    """Neither on a terminal nor in what is published; and the source can be removed by what is shown of it."""
    url = site.put("/feed", rss([ON_SUBJECT])).replace("http://", "http://me:hush@")
    configure(tmp_path, {"News": url})
    shown = ""
    for words in ("run --once", "status", "status --json", "sources list", "sources list --json", "sources export"):
        done = aggregator(tmp_path, *words.split())
        shown += done.stdout + done.stderr
    shown += aggregator(tmp_path, "stories", "--json").stdout
    shown += "".join(path.read_text(errors="replace") for path in (tmp_path / "public").rglob("*.*"))
    assert "hush" not in shown
    assert site.requests[0].headers["authorization"].startswith("Basic ")
    assert aggregator(tmp_path, "sources", "remove", f"{site.address}/feed").returncode == 0


def test_publish_writes_the_files_anew_from_the_store(folder: Path) -> None:
    """The same bytes as before."""
    before = (folder / "public" / "atom.xml").read_bytes()
    (folder / "public" / "atom.xml").unlink()
    assert "atom.xml" in aggregator(folder, "publish").stdout
    assert (folder / "public" / "atom.xml").read_bytes() == before


def test_evaluate_scores_labelled_items_and_lists_the_mistakes(tmp_path: Path) -> None:
    """The figures are computed from what live items' code made of them."""
    (tmp_path / "config.toml").write_text(NOT_SERVED, encoding="utf-8")
    items = ROOT / "tests" / "data" / "curation" / "items.jsonl"
    done = aggregator(tmp_path, "evaluate", str(items), "--json", "--predictions", "out.jsonl")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    predictions = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert scores["items"] == len(predictions) == 320
    labels = {item["id"]: item["relevant"] for item in map(json.loads, items.read_text(encoding="utf-8").splitlines())}
    kept = {one["id"] for one in predictions if one["kept"]}
    right = sum(labels[one] for one in kept)
    assert scores["relevance"]["precision"] == pytest.approx(right / len(kept), abs=1e-4)
    assert scores["relevance"]["recall"] == pytest.approx(right / sum(labels.values()), abs=1e-4)
    assert scores["stories"]["f1"] > 0.93  # items are grouped as at the end of a refresh
    assert not (tmp_path / "aggregator.db").exists()


def test_evaluate_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    """Exit status 2, file and line."""
    (tmp_path / "config.toml").write_text(NOT_SERVED, encoding="utf-8")
    (tmp_path / "items.jsonl").write_text('{"id": "A"}\n', encoding="utf-8")
    done = aggregator(tmp_path, "evaluate", "items.jsonl")
    assert done.returncode == 2
    assert "items.jsonl, line 1: event" in done.stderr


def test_review_puts_the_unsure_before_the_curator(tmp_path: Path, site: Site) -> None:
    """One by one, with the reasons; an answer is a ruling."""
    configure(tmp_path, {"News": site.put("/feed", rss([UNSURE, ON_SUBJECT]))})
    aggregator(tmp_path, "run", "--once")
    done = aggregator(tmp_path, "review", answers="k\n")
    assert done.returncode == 0, done.stderr
    assert UNSURE[1] in done.stdout
    assert UNSURE[1] in [story["title"] for story in feed(tmp_path)]
    assert "nothing to review" in aggregator(tmp_path, "review").stdout


def test_backup_is_a_store_that_opens(folder: Path) -> None:
    """A consistent copy; an existing file is not overwritten."""
    assert aggregator(folder, "backup", "copy.db").returncode == 0
    assert aggregator(folder, "backup", "copy.db").returncode == 2
    (folder / "config.toml").write_text((folder / "config.toml").read_text().replace("aggregator.db", "copy.db"))
    assert ON_SUBJECT[1] in aggregator(folder, "stories").stdout


def test_export_holds_every_item_with_its_verdict(folder: Path) -> None:
    """One JSON object a line."""
    items = [json.loads(line) for line in aggregator(folder, "export").stdout.splitlines()]
    assert {item["item"]["link"] for item in items} == {ON_SUBJECT[0], OFF_SUBJECT[0]}
    assert {item["verdict"]["decision"] for item in items} == {"kept", "dropped"}


def test_now_goes_with_once(tmp_path: Path) -> None:
    """The daemon keeps to its schedule, whoever asks."""
    (tmp_path / "config.toml").write_text(HEAD, encoding="utf-8")
    assert aggregator(tmp_path, "run", "--now").returncode == 2


def test_init_is_done_even_where_nobody_reads_what_it_says(tmp_path: Path) -> None:
    """A pipe that is closed early costs the words, not the files."""
    command = f"{sys.executable} -m aggregator init new | :"
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment(), check=True)
    aggregator(tmp_path, "init", "usual")
    new, usual = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "new", tmp_path / "usual")
    )
    assert new == usual


def test_what_a_terminal_cannot_show_is_spelled_out(tmp_path: Path) -> None:
    """A terminal of another age is no reason to fail."""
    configure(tmp_path, {})
    command = [sys.executable, "-m", "aggregator", "explain", "--title", "\ud0c8\ubd81\ubbfc 3명 귀순"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment() | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert b"\\ud0c8\\ubd81\\ubbfc" in done.stdout


def test_output_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    """On a full disk, for example."""
    configure(tmp_path, {})
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "aggregator", "check"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, env=environment())
    assert (done.returncode, done.stderr) == (1, b"aggregator: No space left on device\n")
