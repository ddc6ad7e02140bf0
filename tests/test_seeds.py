"""What a seed set may hold, and what is answered when it holds something else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregator.errors import ConfigError
from aggregator.seeds import load_seeds
from tests.command import NOT_SERVED, aggregator, configure, feed


def written(folder: Path, text: str) -> Path:
    path = folder / "seed.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_seed_set_that_ships_holds_four_stories() -> None:
    """Two of them have no page of their own."""
    seeds = load_seeds(Path(__file__).parent.parent / "feeds" / "seed.toml")
    assert [seed.id for seed in seeds] == ["S1", "S2", "S3", "S4"]
    assert [seed.link is None for seed in seeds] == [True, False, False, True]
    assert seeds[0].published == datetime(2025, 10, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[story]]\nid = "A"\n', "[[story]] 1 title is missing"),
        ('[[story]]\nid = "A"\ntitle = "x"\nlnk = "y"\n', "unknown key lnk, did you mean link?"),
        ('[[story]]\nid = "A"\ntitle = "x"\npublished = "soon"\n', "a date without quotes is needed"),
        ('[[story]]\nid = "A"\ntitle = "x"\nlink = "javascript:alert(1)"\n', "a full web address is needed"),
        (
            '[[story]]\nid = "A"\ntitle = "x"\n[[story]]\nid = "A"\ntitle = "y"\n',
            "[[story]] 2 id = 'A' is taken already",
        ),
        ('[stories]\nid = "A"\n', "unknown table stories, did you mean story?"),
        ("story = 3\n", "each story is a table headed [[story]]"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    """File, story, key, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        load_seeds(written(tmp_path, text))
    assert expected in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_seed_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    """It can be named in the configuration, or done without."""
    with pytest.raises(ConfigError, match=r"\[stories\] seed"):
        load_seeds(tmp_path / "none.toml")


def test_a_seed_set_that_changes_between_two_runs_is_published_as_it_is_now(tmp_path: Path) -> None:
    """A text mended, a story added, a story taken out; an unchanged one changes nothing."""
    head = NOT_SERVED.replace("publish_seed = false", "publish_seed = true") + '[stories]\nseed = "seed.toml"\n'
    configure(tmp_path, {}, head)
    for titles in ({"S1": "One", "S2": "Two"}, {"S1": "One", "S2": "Two"}, {"S1": "One, mended", "S3": "Three"}):
        written(tmp_path, "".join(f'[[story]]\nid = "{id}"\ntitle = "{title}"\n' for id, title in titles.items()))
        done = aggregator(tmp_path, "run", "--once")
        assert done.returncode == 0, done.stderr
        assert sorted(story["title"] for story in feed(tmp_path)) == sorted(titles.values())
