"""Read the stories already told before the project began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aggregator.config import nearest, read_toml
from aggregator.errors import ConfigError
from aggregator.model import Seed
from aggregator.normalise import publishable_link

_KEYS = ("id", "title", "summary", "link", "published", "language")


def load_seeds(path: Path) -> tuple[Seed, ...]:
    """The seed set of a TOML file with one [[story]] table a story; ConfigError names every mistake in it.

    `id` and `title` are needed; `published` is a TOML date or date with time (UTC where it says no zone).
    """
    table = read_toml(path, 'name the seed set in [stories] seed, or set it to "" to go without')
    stories = table.get("story", [])
    problems = [f"unknown table {key}{nearest(key, ['story'])}" for key in table if key != "story"]
    if not isinstance(stories, list) or not all(isinstance(story, dict) for story in stories):
        raise ConfigError(f"{path}: each story is a table headed [[story]]")
    for number, story in enumerate(stories, 1):
        problems += (f"[[story]] {number} {problem}" for problem in _problems(story))
    ids = [story.get("id") for story in stories]
    problems += [f"[[story]] {n + 1} id = {id!r} is taken already" for n, id in enumerate(ids) if id in ids[:n]]
    if problems:
        raise ConfigError(*(f"{path}: {problem}" for problem in problems))
    return tuple(_seed(story) for story in stories)


def _problems(story: Mapping[str, Any]) -> Iterator[str]:
    for key, value in story.items():
        if key not in _KEYS:
            yield f"unknown key {key}{nearest(key, list(_KEYS))}"
        elif key == "published":
            if not isinstance(value, date):
                yield f"published = {value!r}: a date without quotes is needed, for example 2025-10-19"
        elif not isinstance(value, str):
            yield f"{key} = {value!r}: text in quotes is needed"
        elif key == "link" and value and publishable_link(value, None) is None:
            yield f"link = {value!r}: a full web address is needed"
    for key in ("id", "title"):
        if not story.get(key):
            yield f"{key} is missing"


def _seed(story: Mapping[str, Any]) -> Seed:
    return Seed(
        id=story["id"],
        title=story["title"],
        summary=story.get("summary", ""),
        link=story.get("link") or None,
        published=_moment(story["published"]) if "published" in story else None,
        language=story.get("language"),
    )


def _moment(day: date) -> datetime:
    if not isinstance(day, datetime):
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    return day.astimezone(UTC) if day.tzinfo else day.replace(tzinfo=UTC)
