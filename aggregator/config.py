"""Reads config.toml into a value, refusing all that it does not understand."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli
from pydantic import BaseModel, ValidationError

from aggregator.channels import WEEKDAYS, Channel, Hours, fault, kind_of, names
from aggregator.errors import ConfigError
from aggregator.model import Rights, Selectors, Source
from aggregator.normalise import source_key, without_password
from aggregator.slices import Saved
from aggregator.subjects import clashes, misplaced, own_store
from aggregator.tables import Document, Feed, Mail, NotifyTable, Select, Server, SliceTable, SourceTable, SubjectTable

_SHORTEST_TOKEN = 16  # characters; drawn at random from letters and digits, 95 bits


class Config(Document):
    """A configuration that was read from a file; relative paths are relative to that file."""

    path: Path
    called: str = ""  # the one subject of several that it is for; "": for all

    def of(self, name: str) -> Config:
        """The configuration of one of several subjects, as if it were the only one; its store is its own."""
        table = next(one for one in self.subject if one.name == name)
        given: dict[str, Any] = {key: getattr(table, key) for key in ("topic", "stories", "slice")}
        given["feed"] = table.feed.model_copy(
            update={
                "link": table.feed.link or f"{Feed().link}{name}/",
                "output": table.feed.output or f"feeds/{name}",
            }
        )
        given["source"] = [one for one in self.source if not one.subjects or name in one.subjects]
        given["notify"] = [one for one in self.notify if not one.subjects or name in one.subjects]
        store = self.store.model_copy(update={"url": own_store(self.store.url, name)})
        return self.model_copy(update=given | {"store": store, "subject": [], "called": name})

    def each(self) -> tuple[Config, ...]:
        """The configuration of each subject; of the only one, this."""
        return tuple(self.of(one.name) for one in self.subject) or (self,)

    def closed_to(self, one: Config) -> frozenset[str]:
        """Addresses of the sources that one of several subjects does not read."""
        return frozenset(each.url for each in self.source) - {each.url for each in one.source}

    def resolve(self, name: str) -> Path:
        """A path inside the file, relative to the file."""
        return self.path.parent / Path(name).expanduser()

    @property
    def store_url(self) -> str:
        """The store's address; the path of an SQLite file made absolute."""
        scheme, separator, name = self.store.url.partition(":///")
        if not scheme.startswith("sqlite") or not name or name == ":memory:":
            return self.store.url
        return f"{scheme}{separator}{self.resolve(name)}"

    def listed(self, *, enabled: bool) -> tuple[Source, ...]:
        """The sources as the flow knows them, in the order of the file."""
        return tuple(_source(table) for table in self.source if table.enabled is enabled)

    def channels(self) -> tuple[Channel, ...]:
        """Who is told of new stories, one for each address."""
        return tuple(
            _channel(table, name, address)
            for table in self.notify
            for name, address in zip(names(table.name, table.to), table.to, strict=True)
        )


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; ConfigError names every mistake in it: file, key, and what would be right."""
    table = read_toml(path, "write one with `aggregator init`, or name another with --config")
    try:
        document = Document.model_validate(table)
    except ValidationError as error:
        raise ConfigError(*_problems(path, table, error)) from None
    sources, problems = _with_secrets(document.source, environ)
    problems += [*_duplicates(sources), *_unselected(sources), *_alike("", document.slice)]
    store_url, missing = _expand(document.store.url, environ)
    problems += [f"[store] url: the environment variable {name} is not set" for name in missing]
    server, wrong = _with_token(document.server, environ)
    problems += wrong
    mail, notify, unready = _with_receivers(document, environ)
    problems += unready
    problems += _subjects(path, document, table)
    if problems:
        raise ConfigError(*(f"{path}: {problem}" for problem in problems))
    fields: dict[str, Any] = {name: getattr(document, name) for name in Document.model_fields}
    store = document.store.model_copy(update={"url": store_url})
    fields |= {"source": sources, "store": store, "server": server, "path": path.absolute()}
    fields |= {"mail": mail, "notify": notify}
    return Config(**fields)


def read_toml(path: Path, advice: str) -> dict[str, Any]:
    """A TOML file as a table; ConfigError says what is wrong with it, and `advice` what to do when it is missing."""
    try:
        return tomli.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: {advice}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except (tomli.TOMLDecodeError, RecursionError) as error:  # the latter: nested deeper than tomli goes
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def nearest(word: str, known: Iterator[str] | list[str]) -> str:
    """The known word that was probably meant, as the end of a sentence; "" when nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def _source(table: SourceTable) -> Source:
    return Source(
        url=table.url,
        name=table.name or urlsplit(table.url).hostname or table.url,
        language=table.language,
        scope=table.scope,
        priority=table.priority,
        interval=table.interval,
        headers=tuple(table.headers.items()),
        kind=table.kind,
        select=Selectors(**table.select.model_dump()) if table.select else None,
        rights=Rights(table.excerpt_characters, table.images, table.republish, table.credit),
    )


def _channel(table: NotifyTable, name: str, address: str) -> Channel:
    kind, languages = kind_of(address), frozenset(tag.split("-")[0].lower() for tag in table.languages)
    weekday = WEEKDAYS.index(table.day) if table.every == "week" else None
    at_once = table.every == "story"
    return Channel(
        name=name,
        kind=kind,
        address=address,
        secret=table.secret,
        asks=Saved(table.name, table.query, languages, frozenset(table.sources)),
        hours=None if at_once else Hours(time.fromisoformat(table.at), table.timezone, weekday),
        burst=table.burst if at_once and kind != "webhook" else 0,
        allow_private=table.allow_private_addresses,
    )


def _expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Text with ${VAR} replaced, and the names of the variables that are not set."""
    names = re.findall(r"\$\{(\w+)\}", text)
    return re.sub(r"\$\{(\w+)\}", lambda found: environ.get(found[1], ""), text), [n for n in names if n not in environ]


def _with_token(server: Server, environ: Mapping[str, str]) -> tuple[Server, list[str]]:
    token, missing = _expand(server.token, environ)
    problems = [f"[server] token: the environment variable {name} is not set" for name in missing]
    if not missing and server.token and len(token) < _SHORTEST_TOKEN:
        problems.append(f"[server] token is shorter than {_SHORTEST_TOKEN} characters and could be guessed")
    return server.model_copy(update={"token": token}), problems


def _with_secrets(tables: list[SourceTable], environ: Mapping[str, str]) -> tuple[list[SourceTable], list[str]]:
    sources, problems = [], []
    for number, table in enumerate(tables, 1):
        if not table.headers:
            sources.append(table)
            continue
        headers = {}
        for name, value in table.headers.items():
            headers[name], missing = _expand(value, environ)
            if table.enabled:
                problems += [
                    f"[[source]] {number} ({table.name or without_password(table.url)}), headers.{name}: "
                    f"the environment variable {variable} is not set; set it, or set enabled = false"
                    for variable in missing
                ]
        sources.append(table.model_copy(update={"headers": headers}))
    return sources, problems


def _with_receivers(document: Document, environ: Mapping[str, str]) -> tuple[Mail, list[NotifyTable], list[str]]:
    server, missing = _expand(document.mail.server, environ)
    problems = [f"[mail] server: the environment variable {name} is not set" for name in missing]
    tables, called = [], set[str]()
    for number, table in enumerate(document.notify, 1):
        place = f"[[notify]] {number} ({table.name})"
        expanded = [_expand(text, environ) for text in (*table.to, table.secret)]
        *to, secret = (text for text, _ in expanded)
        unset = [name for _, names in expanded for name in names]
        problems += [f"{place}: the environment variable {name} is not set" for name in unset]
        if not unset:
            problems += [f"{place}: {said}" for address in to if (said := fault(address, secret))]
        if table.name in called:
            problems.append(f"{place}: another one has this name already; give one of them another")
        called.add(table.name)
        if any(kind_of(address) == "mail" for address in to) and not (server and document.mail.sender):
            problems.append(f"{place}: mail needs [mail] server and sender")
        tables.append(table.model_copy(update={"to": to, "secret": secret}))
    if server and urlsplit(server).scheme not in ("smtp", "smtps"):
        problems.append('[mail] server is written as "smtp://host:port" or "smtps://user:password@host:port"')
    return document.mail.model_copy(update={"server": server}), tables, problems


def _subjects(path: Path, document: Document, table: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with several subjects together."""
    named = [one.name for one in document.subject]
    for place, wanted in _restricted(document):
        for name in wanted:
            if name not in named:
                said = nearest(name, named) or f"; there are {', '.join(named) or 'no [[subject]] tables'}"
                yield f"{place} subjects: there is no subject {name}{said}"
    if not document.subject:
        return
    yield from misplaced(table)
    for number, one in enumerate(document.subject, 1):
        yield from _alike(f"[[subject]] {number} ({one.name}) ", one.slice)
    whole = Config(**{name: getattr(document, name) for name in Document.model_fields}, path=path.absolute())
    each = [whole.of(one.name) for one in document.subject]
    folders = [Path(os.path.abspath(one.resolve(one.feed.output))) for one in each]
    yield from clashes([(one.called, folder, one.feed.link) for one, folder in zip(each, folders, strict=True)])
    if len(going_on := [one.name for one in document.subject if one.continues]) > 1:
        yield f"[[subject]] continues: only one can go on with what the store holds, not {' and '.join(going_on)}"


def _restricted(document: Document) -> Iterator[tuple[str, list[str]]]:
    """Which tables may be for some subjects alone, and for which they are."""
    for number, source in enumerate(document.source, 1):
        yield f"[[source]] {number} ({source.name or without_password(source.url)})", source.subjects
    for number, receiver in enumerate(document.notify, 1):
        yield f"[[notify]] {number} ({receiver.name})", receiver.subjects


def _alike(place: str, slices: list[SliceTable]) -> Iterator[str]:
    """Slices whose names lead to one address."""
    from aggregator.slices import slug  # needs the lexicon, which few commands do

    names: dict[str, str] = {}
    for number, table in enumerate(slices, start=1):
        address = slug(table.name)
        if address in names:
            where = f"would lie at slice/saved-{address}/, as {names[address]!r} does"
            yield f"{place}[[slice]] {number} ({table.name}) {where}: give one of them another name"
        names.setdefault(address, table.name)


def _duplicates(tables: list[SourceTable]) -> list[str]:
    first: dict[str, int] = {}
    problems = []
    for number, table in enumerate(tables, 1):
        earlier = first.setdefault(source_key(table.url), number)
        if earlier != number:
            problems.append(
                f"[[source]] {number}: {without_password(table.url)} is listed already as [[source]] {earlier}; "
                "remove one of them"
            )
    return problems


def _unselected(tables: list[SourceTable]) -> Iterator[str]:
    for number, table in enumerate(tables, 1):
        place = f"[[source]] {number} ({table.name or without_password(table.url)})"
        if table.kind == "page" and table.select is None:
            yield f'{place}: kind = "page" needs a table [source.select] with at least item, a CSS selector'
        elif table.kind != "page" and table.select is not None:
            yield f'{place}: select belongs to a source with kind = "page"'


def _problems(path: Path, table: dict[str, Any], error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_context=False):
        place = detail["loc"]
        if detail["type"] == "extra_forbidden":
            meant = nearest(str(place[-1]), _keys(place[:-1]))
            where = _place(place[:-1], table)
            yield f"{path}: {f'{where[:-1]}: ' if where.endswith('.') else where}unknown key {place[-1]}{meant}"
        elif detail["type"] == "missing":
            yield f"{path}: {_place(place[:-1], table)}{place[-1]} is missing"
        else:
            said = detail["msg"].removeprefix("Value error, ")
            shown = "…" if _is_secret(place) else _shown(detail["input"])
            yield f"{path}: {_place(place[:-1], table)}{place[-1]} = {shown}: {said}"


def _is_secret(place: tuple[int | str, ...]) -> bool:
    """Addresses of services hold tokens."""
    return place[0] in ("notify", "mail") and not {"to", "secret", "server"}.isdisjoint(place)


def _shown(value: object) -> str:
    return repr(without_password(value) if isinstance(value, str) else value)


def _place(place: tuple[int | str, ...], table: dict[str, Any]) -> str:
    """Where in the file, as a person would say it: "[fetch] " or "[[source]] 3 (NK News) "."""
    if not place:
        return ""
    if len(place) > 1 and place[0] in ("source", "slice", "notify", "subject") and isinstance(place[1], int):
        entry = table[str(place[0])][place[1]]
        called = (
            str(entry.get("name") or without_password(str(entry.get("url", "")))) if isinstance(entry, dict) else ""
        )
        called = "".join(character for character in called if character.isprintable())
        return f"[[{place[0]}]] {place[1] + 1}{f' ({called})' if called else ''} " + "".join(f"{p}." for p in place[2:])
    return f"[{place[0]}] " + "".join(f"{p}." for p in place[1:])


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """The keys known at a place."""
    if not place:
        return list(Document.model_fields)
    if place[0] == "source":
        return list(Select.model_fields if place[-1] == "select" else SourceTable.model_fields)
    if "slice" in place:
        return list(SliceTable.model_fields)
    if place[0] == "subject":
        table = SubjectTable.model_fields[str(place[2])].annotation if len(place) > 2 else SubjectTable
    else:
        table = Document.model_fields[str(place[0])].annotation
    return list(table.model_fields) if isinstance(table, type) and issubclass(table, BaseModel) else []
