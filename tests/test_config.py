"""What config.toml may say, and what is answered when it says something else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from aggregator.config import load
from aggregator.errors import ConfigError
from aggregator.several import load_all


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text), {})
    return caught.value.problems


def test_an_empty_file_is_a_configuration_with_every_default(tmp_path: Path) -> None:
    """Every key but a source's url has a default."""
    config = load(written(tmp_path, ""), {})
    assert (config.feed.max_entries, config.topic.threshold, config.fetch.timeout_seconds) == (100, 0.5, 20)
    assert config.schedule.max_interval == timedelta(hours=24)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """The published folder and an SQLite file are found wherever the command is started."""
    config = load(written(tmp_path, '[feed]\noutput = "out"\n[store]\nurl = "sqlite:///data/a.db"'), {})
    assert config.resolve(config.feed.output) == tmp_path / "out"
    assert config.store_url == f"sqlite:///{tmp_path}/data/a.db"


def test_an_address_of_another_database_stays_as_it_is(tmp_path: Path) -> None:
    """Only SQLite's relative paths are resolved."""
    text = '[store]\nurl = "postgresql+psycopg://me@localhost/aggregator"'
    assert load(written(tmp_path, text), {}).store_url == "postgresql+psycopg://me@localhost/aggregator"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[feeds]\n", "unknown key feeds, did you mean feed?"),
        ("[fetch]\nconcurency = 3\n", "[fetch] unknown key concurency, did you mean concurrency?"),
        ('[fetch]\ntimeout_seconds = "fast"\n', "[fetch] timeout_seconds = 'fast': "),
        ("[feed]\nmax_entries = -1\n", "[feed] max_entries = -1: "),
        ('[schedule]\nmin_interval = "often"\n', "write"),
        ('[server]\nlisten = "8080"\n', "[server] listen = '8080': "),
        ('[[source]]\nname = "A"\n', "[[source]] 1 (A) url is missing"),
        ('[[source]]\nurl = "example.org/feed"\n', "a full web address is needed"),
        ('[[source]]\nurl = "https://e.org/"\nprority = 3\n', "unknown key prority, did you mean priority?"),
        ('[[source]]\nurl = "https://e.org/"\npriority = 12\n', "priority = 12: "),
        ('[[source]]\nurl = "https://e.org/"\nheaders = { A = 1 }\n', "headers.A = 1: "),
        ("[feed\n", "is not valid TOML"),
        pytest.param("a = " + "[" * 1_000, "is not valid TOML", id="nested without end"),
        ('[schedule]\nmax_interval = "9999999999d"\n', "between one second and a year"),
        ('[schedule]\nmin_interval = "0.0000001s"\n', "between one second and a year"),
        ('[schedule]\nmin_interval = "48h"\n', "min_interval must not be longer than max_interval"),
        ('[[source]]\nurl = "https://e.org/"\ninterval = "999999d"\n', "interval = '999999d': a time between"),
        ("[topic]\nmax_age_days = 10000000000\n", "max_age_days = 10000000000: "),
        ("[stories]\nwindow_days = 10000000000\n", "window_days = 10000000000: "),
        ("[fetch]\ntimeout_seconds = inf\n", "timeout_seconds = inf: "),
        ("[fetch]\nmax_body_megabytes = 1e300\n", "max_body_megabytes = 1e+300: "),
        ("[fetch]\nconcurrency = 1000000\n", "concurrency = 1000000: "),
        ('[feed]\noutput = "a\\u0000b"\n', "a path cannot hold a null character"),
        ('[store]\nurl = "sqlite:///a\\u0000b"\n', "a path cannot hold a null character"),
        ('[feed]\noutput = "~nobody-of-that-name/feeds"\n', "write the path in full"),
        (
            '[feed]\nlink = "https://e.org/\\r\\nSet-Cookie: a=b"\n',
            "[feed] link = 'https://e.org/\\r\\nSet-Cookie: a=b': a full",
        ),
        ('[feed]\nlink = "https://e.org/a b"\n', "other letters and signs are written as %XX"),
        ('[feed]\nlink = "https://e.org/\\">"\n', "other letters and signs are written as %XX"),
        ('[feed]\nlink = "https://e.org/뉴스/"\n', "other letters and signs are written as %XX"),
        ('[feed]\nlink = "https://e.org:99999/"\n', "Port out of range"),
        ('[feed]\nlink = "https://e.org/?a"\n', "it is a folder's address, without ? and #"),
        ('[feed]\nlink = "https://e.org/#a"\n', "it is a folder's address, without ? and #"),
        ('[push]\nhub = "hub.example"\n', "[push] hub = 'hub.example': a full web address is needed"),
        ('[push]\nhub = "https://h.example/뉴스"\n', "other letters and signs are written as %XX"),
        ('[push]\ncallback = "https://e.org/{a}"\n', "other letters and signs are written as %XX"),
        ('[[source]]\nurl = "https://e.org/a\\nb"\n', "a full web address is needed"),
    ],
)
def test_a_mistake_is_named_with_file_and_key_and_what_would_be_right(tmp_path: Path, text: str, expected: str) -> None:
    """One clear sentence, that begins with the file's path."""
    if expected == "write":
        expected = "[schedule] min_interval = 'often': a time is written as a number and s, m, h or d"
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(str(tmp_path / "config.toml"))
    assert expected in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    "text",
    [
        '[[source]]\nurl = "ftp://me:hush@e.org/"\n',
        '[[source]]\nurl = "https://me:hush@e.org/"\nprority = 3\n',
        '[[source]]\nurl = "https://me:hush@e.org/"\n[[source]]\nurl = "http://me:hush@e.org/"\n',
        '[[source]]\nurl = "https://me:hush@e.org/"\nheaders = { A = "${NO_SUCH}" }\n',
        '[feed]\nlink = "https://me:hush@e.org/"\n',
        '[push]\nhub = "https://me:hush@e.org/"\n',
    ],
)
def test_a_mistake_is_told_without_the_password_in_an_address(tmp_path: Path, text: str) -> None:
    """Messages end up in logs."""
    (problem,) = problems(tmp_path, text)
    assert "e.org" in problem
    assert "hush" not in problem


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to run it again to see the next mistake."""
    assert len(problems(tmp_path, '[feed]\ntitel = "x"\n[fetch]\nper_host = 0\n')) == 2


def test_a_source_listed_twice_is_a_mistake(tmp_path: Path) -> None:
    """http and https of one feed are one feed, and so are spellings of the host."""
    text = '[[source]]\nurl = "https://e.org/feed"\n[[source]]\nurl = "http://E.org/feed"\n'
    assert "is listed already as [[source]] 1" in problems(tmp_path, text)[0]


def test_slices_of_one_address_are_a_mistake(tmp_path: Path) -> None:
    """Names that differ in case and signs alone make the same address: one of the two would never be published."""
    text = '[[slice]]\nname = "Sea & border"\nquery = "sea"\n[[slice]]\nname = "{}"\nquery = "border"\n'
    (problem,) = problems(tmp_path, text.format("sea, Border!"))
    assert "[[slice]] 2 (sea, Border!) would lie at slice/saved-sea-border/, as 'Sea & border' does" in problem
    (problem,) = problems(tmp_path, text.format("Sea & border"))
    assert "[[slice]] 2 (Sea & border) would lie at" in problem
    load(written(tmp_path, text.format("Border & sea")), {})


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    """A newcomer in the wrong folder is told about `init`."""
    with pytest.raises(ConfigError, match="aggregator init"):
        load(tmp_path / "config.toml")


def test_secrets_come_from_the_environment_and_stay_out_of_sight(tmp_path: Path) -> None:
    """${VAR} is replaced, and the value shows in no representation of the source."""
    path = written(tmp_path, '[[source]]\nurl = "https://e.org/"\nheaders = { Authorization = "Bearer ${TOKEN}" }\n')
    (source,) = load(path, {"TOKEN": "s3cret"}).listed(enabled=True)
    assert source.headers == (("Authorization", "Bearer s3cret"),)
    assert "s3cret" not in repr(source)
    assert "s3cret" not in repr(load(path, {"TOKEN": "s3cret"}))


def test_a_variable_that_is_not_set_is_a_mistake_unless_the_source_is_disabled(tmp_path: Path) -> None:
    """A missing secret would only show as a refused request much later."""
    text = '[[source]]\nurl = "https://e.org/"\nheaders = { A = "${NO_SUCH}" }\n'
    assert "NO_SUCH is not set" in problems(tmp_path, text)[0]
    load(written(tmp_path, text + "enabled = false\n"), {})


def test_the_operator_s_token_is_a_secret_that_cannot_be_guessed(tmp_path: Path) -> None:
    """From the environment, in no representation; a short one or none where one was meant is a mistake."""
    path = written(tmp_path, '[server]\ntoken = "${TOKEN}"\n')
    config = load(path, {"TOKEN": "s3cret" * 4})
    assert config.server.token == "s3cret" * 4
    assert "s3cret" not in repr(config)
    for environ, said in (
        ({}, "TOKEN is not set"),
        ({"TOKEN": "s3cret"}, "shorter than 16"),
        ({"TOKEN": ""}, "shorter"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            load(path, environ)
        assert "s3cret" not in str(caught.value)


SUBJECT = """\
[[subject]]
name = "{0}"
[subject.feed]
title = "{0}"
[subject.topic]
pack = "coral-reefs"
"""


def test_each_subject_has_its_own_folder_address_and_store(tmp_path: Path) -> None:
    """They are named after the subject unless they are given; all else is shared."""
    text = '[store]\nurl = "sqlite:///data/a.db"\n' + SUBJECT.format("reefs") + SUBJECT.format("seas")
    config = load(written(tmp_path, text), {})
    reefs, seas = config.each()
    assert (reefs.called, reefs.feed.output, reefs.feed.link) == (
        "reefs",
        "feeds/reefs",
        "http://127.0.0.1:8080/reefs/",
    )
    assert seas.store_url == f"sqlite:///{tmp_path}/data/a-seas.db"
    assert config.store_url == f"sqlite:///{tmp_path}/data/a.db"
    assert seas.stories.seed == ""
    assert load(written(tmp_path, ""), {}).each()[0].called == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[feed]\ntitle = "x"\n' + SUBJECT.format("a"), "[feed] stands beside [[subject]]: write it as [subject.feed]"),
        ('[[slice]]\nname = "x"\nquery = "y"\n' + SUBJECT.format("a"), "write it as [[subject.slice]]"),
        (SUBJECT.format("a") * 2, "[[subject]] 2 (a) name: another subject is called so"),
        (SUBJECT.format("status"), "the word status has another meaning here"),
        (SUBJECT.format("Coral Reefs"), "[[subject]] 1 (Coral Reefs) name = 'Coral Reefs'"),
        (SUBJECT.format("a").replace("[subject.topic]", 'output = "x"\n[subject.topic]') + SUBJECT.format("b").replace(
            "[subject.topic]", 'output = "./x"\n[subject.topic]'), "(b) feed.output: a is published in"),
        (SUBJECT.format("a").replace("[subject.topic]", 'output = "feeds"\n[subject.topic]') + SUBJECT.format("b"),
            "lie in each other; part them"),
        (SUBJECT.format("a").replace("[subject.topic]", 'link = "http://127.0.0.1:8080/b"\n[subject.topic]')
            + SUBJECT.format("b"), "(b) feed.link: a is found at"),
        ('[[subject]]\nname = "a"\n[subject.feed]\ntitle = "A"\n', "[[subject]] 1 (a) topic is missing"),
        (SUBJECT.format("a").replace("pack", "pak"), "[[subject]] 1 (a) topic: unknown key pak, did you mean pack"),
        (SUBJECT.format("a").replace('title = "a"\n', ""), "[[subject]] 1 (a) feed.title is missing"),
        ((SUBJECT.format("a") + SUBJECT.format("b")).replace("[subject.feed]", "continues = true\n[subject.feed]"),
            "only one can go on with what the store holds, not a and b"),
    ],
)  # fmt: skip
def test_subjects_in_each_other_s_way_are_a_mistake(tmp_path: Path, text: str, expected: str) -> None:
    """What several subjects cannot share is told with the subject and what would be right."""
    said = problems(tmp_path, text)
    assert any(expected in one for one in said), said


def test_a_mistake_in_one_subject_s_pack_is_told_with_its_name(tmp_path: Path) -> None:
    """A pack that is missing is that subject's mistake; a scope does if any pack knows it."""
    text = SUBJECT.format("a").replace("coral-reefs", "none") + SUBJECT.format("b")
    with pytest.raises(ConfigError) as caught:
        load_all(load(written(tmp_path, text), {}))
    assert all(one.startswith("[[subject]] a: ") for one in caught.value.problems)
    nk = SUBJECT.format("a").replace("coral-reefs", "north-korean-defectors") + SUBJECT.format("b")
    source = '[[source]]\nurl = "https://e.org/{0}"\nscope = "{0}"\n'
    load_all(load(written(tmp_path, nk + source.format("defectors") + source.format("reefs")), {}))
    with pytest.raises(ConfigError, match="did you mean reefs"):
        load_all(load(written(tmp_path, nk + source.format("reef")), {}))


def test_a_subject_on_postgresql_has_a_schema(tmp_path: Path) -> None:
    """It lies in the same database; what the address says beside stays."""
    text = '[store]\nurl = "postgresql://u@h/d?sslmode=require"\n' + SUBJECT.format("coral-reefs")
    url = load(written(tmp_path, text), {}).of("coral-reefs").store_url
    assert url == "postgresql://u@h/d?sslmode=require&options=-csearch_path%3Dsubject_coral_reefs"
