"""What is published says its own words in the feed's language: a table of them, and how dates are written."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

_TRADITIONAL = frozenset({"hant", "tw", "hk", "mo"})  # scripts and regions that write Chinese so
_TABLE = Path(__file__).with_name("templates") / "wording.toml"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language; see templates/wording.toml for what each is."""

    language: str
    day: str
    month: str
    months: tuple[str, ...]
    heading_months: tuple[str, ...]
    weekdays: tuple[str, ...]  # Monday first
    read_more: str
    why: str
    reported_by: str
    also_reported_by: str
    follow: str
    skip: str
    weekly: str
    by_month: str
    tellings: str
    first_told: str
    seed: str
    all_months: str
    newest: str
    search: str
    search_all: str
    none_found: str
    older: str
    newer: str

    def on_day(self, when: date) -> str:
        """A day as people write it, the same on every machine: "7 August 2025"."""
        return self.day.format(day=when.day, month=self.months[when.month - 1], year=when.year)

    def in_month(self, when: date) -> str:
        """A month that stands alone: "August 2025"."""
        return self.month.format(month=self.heading_months[when.month - 1], year=when.year)

    def on_weekday(self, when: date) -> str:
        return self.weekdays[when.weekday()]


@cache
def wording(language: str) -> Wording:
    """The words of a BCP 47 tag's language; English where the table does not have it."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    first, *further = language.lower().split("-")
    name = "zh-hant" if first == "zh" and _TRADITIONAL.intersection(further) else first if first in table else "en"
    words = table[name]
    lists = {key: tuple(value) for key, value in words.items() if isinstance(value, list)}
    lists.setdefault("heading_months", lists["months"])
    return Wording(language=name, **(words | lists))
