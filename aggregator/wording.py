"""What is published says its own words in the feed's language: a table of them, and how dates are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import tomli

from aggregator.model import Evidence

_TRADITIONAL = frozenset({"hant", "tw", "hk", "mo"})  # scripts and regions that write Chinese so
_SHARE = re.compile(r"(\d+) ?%")
_SCOPE = "scope "
_TABLE = Path(__file__).with_name("templates") / "wording.toml"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language; see templates/wording.toml for what each is."""

    language: str
    tag: str  # BCP 47, of the language that was asked for where there are words for it, else "en"
    day: str
    first: str  # how the first of a month is written
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
    stop: str  # what ends a sentence
    ways: str
    reader: str
    untitled: str
    weighed: str
    rights: str
    sources: str
    no_scripts: str
    counted: str
    no_story: str
    none_left: str
    moved: str
    not_here: str
    no_more: str
    to_story: str
    because: Mapping[str, str]  # by the kind of evidence; "other": of a kind that has no words of its own
    shared: Mapping[str, str]  # what both sides of an evidence have in common, such as "names"
    found_in: Mapping[str, str]  # by the field of a reason, such as "title"
    findings: Mapping[str, str]  # by what a reason says that quotes no text; "scope": what its source brings
    languages: Mapping[str, str]  # first part of a tag → the language's name
    slices: str
    slices_by: Mapping[str, str]  # by what a group of slices has in common, such as "place"

    def on_day(self, when: date) -> str:
        """A day as people write it, the same on every machine: "7 August 2025"."""
        return self.day.format(
            day=when.day if when.day > 1 else self.first, month=self.months[when.month - 1], year=when.year
        )

    def in_month(self, when: date) -> str:
        """A month that stands alone: "August 2025"."""
        return self.month.format(month=self.heading_months[when.month - 1], year=when.year)

    def on_weekday(self, when: date) -> str:
        return self.weekdays[when.weekday()]

    def language_name(self, tag: str | None) -> str:
        """The name of a tag's language; the tag itself where it is a rare one, "" for None."""
        return "" if tag is None else self.languages.get(tag.split("-")[0].lower(), tag)

    def why_here(self, evidence: Evidence) -> str:
        """Why a telling stands in its story, and what it shares with the other one."""
        kind, details = evidence.kind, evidence.details
        if kind == "curator" and details:
            kind, details = details[0], details[1:]  # what was done says all
        sentence = self.because.get(kind, self.because["other"]).format(other=evidence.other)
        shared = ", ".join(map(self._detail, details))
        return f"{sentence} ({shared}){self.stop}" if shared else f"{sentence}{self.stop}"

    def _detail(self, detail: str) -> str:
        kind, separator, found = detail.partition(": ")
        share = _SHARE.match(kind)
        if share is not None:
            kind = f"{{share}}{kind[share.end() :]}"
        said = self.shared.get(kind)
        return detail if said is None else said.format(share=share and share[1]) + separator + found

    def reason(self, told: str) -> str:
        """A reason, as `str` of it is, in this language: where it was found, and the item's own words or what it is."""
        field, separator, found = told.partition(": ")
        said = self.findings.get(found, found)
        if field == "source" and found.startswith(_SCOPE):
            said = self.findings["scope"].format(scope=found.removeprefix(_SCOPE))
        return f"{self.found_in.get(field, field)}{separator}{said}"


@cache
def wording(language: str) -> Wording:
    """The words of a BCP 47 tag's language; English where the table does not have it."""
    table = tomli.loads(_TABLE.read_text(encoding="utf-8"))
    first, *further = language.lower().split("-")
    name = "zh-hant" if first == "zh" and _TRADITIONAL.intersection(further) else first if first in table else "en"
    words = table[name]
    lists = {key: tuple(value) for key, value in words.items() if isinstance(value, list)}
    lists.setdefault("heading_months", lists["months"])
    return Wording(**({"language": name, "tag": language if first in table else "en", "first": "1"} | words | lists))
