"""Say which feeds of some of the stories there are, and which of them a story stands in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import tomli

from aggregator.errors import ConfigError
from aggregator.facts import lexicon
from aggregator.model import Source, StoredItem, StoredStory
from aggregator.search import document_of, fits, parse
from aggregator.telling import lead
from aggregator.wording import Wording
from aggregator.words import Matcher, comparable

KINDS = ("language", "source", "place", "kind", "saved")  # of slices, in the order in which they are listed
_FORM = "1"  # of names and rules; another number has all stories filed anew


@dataclass(frozen=True, slots=True)
class Slice:
    """A feed of some of the stories."""

    name: str  # of its folder: "language-ko"; never changes
    title: str
    kind: str  # one of KINDS
    language: str | None = None  # of the title; None: not known


@dataclass(frozen=True, slots=True)
class Told:
    """A place or a kind of news that the topic pack knows."""

    name: str
    title: str
    kind: str  # "place" or "kind"
    terms: tuple[str, ...]
    titles: tuple[tuple[str, str], ...] = ()  # language, as `wording` names it → title; else the title is English

    def titled(self, words: Wording) -> Slice:
        """Its slice, in the language of a feed where that has a title of its own."""
        titles = dict(self.titles)
        language = words.language if words.language in titles else "en"
        return Slice(self.name, titles.get(language, self.title), self.kind, language)


@dataclass(frozen=True, slots=True)
class Saved:
    """A search that the operator keeps: a story stands in it where one member fits all that is asked."""

    name: str
    query: str = ""  # as `search` reads it; "": any words
    languages: frozenset[str] = frozenset()  # main subtags; none: any
    sources: frozenset[str] = frozenset()  # urls or names; none: any


@dataclass(frozen=True)
class Cuts:
    """How the stories are cut into slices, besides by language and source. `digest` of all that it depends on."""

    told: tuple[Told, ...] = ()
    saved: tuple[Saved, ...] = ()

    @cached_property
    def digest(self) -> str:
        given = repr((_FORM, [asdict(one) for one in self.told], [_comparable(one) for one in self.saved]))
        return blake2b(given.encode(), digest_size=12).hexdigest()

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher({one.name: one.terms for one in self.told})


def _comparable(saved: Saved) -> tuple[str, str, list[str], list[str]]:
    return saved.name, saved.query, sorted(saved.languages), sorted(saved.sources)


@lru_cache(maxsize=4096)
def source_slice(url: str) -> str:
    """The name of a source's slice: from its address alone, so that a new name of the source does not move it."""
    digest = blake2b(url.encode("utf-8", "backslashreplace"), digest_size=3).hexdigest()
    return f"source-{slug((urlsplit(url).hostname or '').removeprefix('www.'))}-{digest}"


def slug(text: str) -> str:
    """The text as a part of an address: letters and digits of any script, and hyphens."""
    return re.sub(r"[\W_]+", "-", comparable(text)).strip("-")[:60] or "-"


def saved_slice(saved: Saved) -> str:
    return f"saved-{slug(saved.name)}"


def filed(cuts: Cuts, story: StoredStory, sources: Mapping[str, Source]) -> dict[str, tuple[StoredItem, ...]]:
    """The slices that a told story stands in, each with the members that put it there. `sources`: url → Source."""
    found: dict[str, list[StoredItem]] = {}
    for member in story.members:
        for name in _plain(member):
            found.setdefault(name, []).append(member)
        if cuts.told:
            for name in cuts.matcher.names(f"{member.item.title}\n{member.item.summary}"):
                found.setdefault(name, []).append(member)
    for saved in cuts.saved:
        if members := asked(saved, story, sources):
            found[saved_slice(saved)] = members
    return {name: tuple(members) for name, members in found.items()}


def _plain(member: StoredItem) -> list[str]:
    """The slices of its language and its source."""
    spoken = _spoken(member)
    return [f"language-{spoken}"] * bool(spoken) + [source_slice(member.item.source)] * (not member.seed)


def _spoken(member: StoredItem) -> str:
    return (member.item.language or "").split("-")[0].lower()


def asked(saved: Saved, story: StoredStory, sources: Mapping[str, Source]) -> list[StoredItem]:
    """The members of asked sources and languages, where the story's words fit."""
    names = {url: source.name for url, source in sources.items()}
    members = [
        one
        for one in story.members
        if (not saved.languages or _spoken(one) in saved.languages)
        and (not saved.sources or saved.sources & {one.item.source, names.get(one.item.source)})
    ]
    if not members or (saved.query and not fits(parse(saved.query), document_of(story, names))):
        return []
    return members


def standing_in(name: str, story: StoredStory) -> list[StoredItem]:
    """The members that put a story in this slice of a language or a source, as `filed` has it."""
    return [one for one in story.members if name in _plain(one)]


def told_in(
    story: StoredStory, members: Iterable[StoredItem], priority: Mapping[str, int], language: str
) -> StoredStory:
    """The story as a slice of one language or source tells it: led by one of the members that put it there.

    Its date is then when that member was first seen: whether its text changed since is not kept.
    """
    there = {member.key: member for member in members}
    if not there or story.lead in there or (story.lead is None and any(one.seed for one in there.values())):
        return story
    first = lead(tuple(there.values()), priority, language)
    return replace(story, lead=first.key, updated=first.first_seen)


def published(cuts: Cuts, sources: Iterable[Source], names: Iterable[str], words: Wording) -> list[Slice]:
    """Those of the slices with these names that are published, in their order; `words` of the feed's language."""
    known = {source_slice(source.url): Slice(source_slice(source.url), source.name, "source") for source in sources}
    known |= {one.name: one.titled(words) for one in cuts.told}
    known |= {saved_slice(one): Slice(saved_slice(one), one.name, "saved") for one in cuts.saved}
    found = []
    for name in names:
        tag = name.removeprefix("language-")
        if tag != name and re.fullmatch(r"[a-z]{2,3}", tag):
            found.append(Slice(name, words.language_name(tag), "language", words.language))
        elif name in known:
            found.append(known[name])
    return sorted(found, key=lambda one: (KINDS.index(one.kind), comparable(one.title), one.name))


# --- what a pack knows ------------------------------------------------------------------------------------------


def load_told(pack: str, base: Path, concepts: Mapping[str, tuple[str, ...]]) -> tuple[Told, ...]:
    """The places and kinds that stand in NAME.slices.toml beside a pack; none where there is no such file.

    `pack`: as the configuration names it; `base`: the folder that its path is relative to; `concepts` of the pack.
    ConfigError names every mistake in the file.
    """
    own = (base / pack).with_suffix(".slices.toml")
    shipped = files("aggregator").joinpath("packs", f"{pack}.slices.toml")
    file = own if (base / pack).is_file() else shipped
    if not file.is_file():
        return ()
    try:
        tables = tomli.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from error
    words = {name: terms for facet in lexicon().values() for name, terms in facet.items()}
    problems: list[str] = []
    told = tuple(_told(name, table, concepts, words, problems) for name, table in tables.items())
    if problems:
        raise ConfigError(*(f"{file}: {problem}" for problem in problems))
    return told


def _told(
    name: str,
    table: object,
    concepts: Mapping[str, tuple[str, ...]],
    words: Mapping[str, Mapping[str, str]],
    problems: list[str],
) -> Told:
    """One table of the file; what is wrong with it is added to `problems`. Two parameters are what names may mean."""
    if not isinstance(table, dict) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        problems.append(f"[{name}] must be a table named by small letters, digits and hyphens.")
        return Told(name, name, "kind", ())
    kind, named = table.get("kind"), table.get("concepts", []) + table.get("words", [])
    titles = table.get("titles", {})
    if set(table) - {"title", "titles", "kind", "concepts", "words"} or not isinstance(table.get("title"), str):
        problems.append(
            f'[{name}] takes "title", "titles", "kind", "concepts" and "words", and needs "title" and "kind".'
        )
    if not isinstance(titles, dict) or not all(isinstance(one, str) and one for one in titles.values()):
        problems.append(f'[{name}]: "titles" is a table of titles by language, such as {{ ko = "중국" }}.')
        titles = {}
    if kind not in ("place", "kind"):
        problems.append(f'[{name}]: "kind" is "place" or "kind".')
    missing = [one for one in table.get("concepts", []) if one not in concepts]
    missing += [one for one in table.get("words", []) if one not in words]
    if missing or not named:
        problems.append(f"[{name}] names what is not there: {', '.join(missing) or 'nothing at all'}.")
    terms = [term for one in table.get("concepts", []) for term in concepts.get(one, ())]
    terms += [
        term for one in table.get("words", []) for listed in words.get(one, {}).values() for term in listed.split(", ")
    ]
    title = str(table.get("title", name))
    return Told(f"{kind}-{name}", title, str(kind), tuple(dict.fromkeys(terms)), tuple(titles.items()))
