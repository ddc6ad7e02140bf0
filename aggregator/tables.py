"""The tables of config.toml as they are written: their keys, shapes and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aggregator.errors import QueryError
from aggregator.search import parse
from aggregator.subjects import NAME

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_YEAR = 366 * 86400  # seconds
_CENTURY = 36_525  # days; much longer ones lead out of the calendar


def _duration(value: object) -> object:
    """A length of time as people write it: a number and s, m, h or d, such as "30m" or "24h"."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a time is written as a number and s, m, h or d, for example "30m" or "24h"')
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 1 <= seconds <= _YEAR:
        raise ValueError("a time between one second and a year is needed")
    return timedelta(seconds=seconds)


def _web_address(value: object) -> object:
    parts = urlsplit(value) if isinstance(value, str) and value.isprintable() else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('a full web address is needed, for example "https://example.org/feed.xml"')
    _ = parts.port  # ValueError: out of range
    return value


def _plain(value: str) -> str:
    if not re.fullmatch(r"[!#-;=?-\[\]_a-z~]*", value):  # RFC 3986, 2: what goes into headers and files as it stands
        raise ValueError("other letters and signs are written as %XX, and in names of hosts as xn--…")
    return value


def _shown(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError("everybody is shown it: a user name and password have no place in it")
    return value


def _folder(value: str) -> str:
    if "?" in value or "#" in value:
        raise ValueError("it is a folder's address, without ? and #")
    return value


def _or_none(check: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: value if value == "" else check(value)


def _path(value: object) -> object:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a path cannot hold a null character")
        try:
            Path(value).expanduser()
        except RuntimeError:
            raise ValueError("nobody of that name has a home folder here; write the path in full") from None
    return value


def _query(text: str) -> str:
    if text:
        try:
            parse(text)
        except QueryError as error:
            raise ValueError(str(error)) from None
    return text


Duration = Annotated[timedelta, BeforeValidator(_duration)]
FilePath = Annotated[str, BeforeValidator(_path)]
WebAddress = Annotated[str, BeforeValidator(_web_address)]
OptionalAddress = Annotated[str, BeforeValidator(_or_none(_web_address)), AfterValidator(_plain)]
PublishedAddress = Annotated[OptionalAddress, AfterValidator(_shown)]
Folder = Annotated[WebAddress, AfterValidator(_plain), AfterValidator(_shown), AfterValidator(_folder)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]  # BCP 47, the shapes in use


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Feed(_Table):
    """What is published."""

    title: str = "North Korean Defectors"
    link: Folder = "http://127.0.0.1:8080/"
    description: str = "Every story once, from many sources."
    language: Language = "en"
    output: FilePath = "feeds/public"
    max_entries: Annotated[int, Field(ge=0)] = 100
    excerpt_characters: Annotated[int, Field(ge=0)] = 500
    publish_seed: bool = True


class Topic(_Table):
    pack: FilePath = "north-korean-defectors"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    max_age_days: Annotated[int, Field(ge=0, le=_CENTURY)] = 30


class Stories(_Table):
    seed: FilePath = "feeds/seed.toml"
    window_days: Annotated[int, Field(ge=1, le=_CENTURY)] = 14
    across_languages: bool = True


class Fetch(_Table):
    user_agent: str = ""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 20  # ten minutes: well below the lease of a visit
    max_body_megabytes: Annotated[float, Field(gt=0, le=1_000)] = 10
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = 16
    per_host: Annotated[int, Field(ge=1, le=1_000)] = 2
    host_gap_seconds: Annotated[float, Field(ge=0, le=3_600)] = 1.0
    allow_private_addresses: bool = False


class Engine(_Table):
    """Where visits are made."""

    kind: Literal["threads", "processes", "dask"] = "threads"
    address: str = ""
    workers: Annotated[int, Field(ge=0, le=1_000)] = 0

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.kind == "dask" and not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+:\d{1,5}", self.address):
            raise ValueError('kind = "dask" needs the address of a scheduler, for example "tcp://127.0.0.1:8786"')
        if self.kind != "dask" and self.address:
            raise ValueError(f'address is for kind = "dask", and kind is "{self.kind}"')
        if self.kind != "processes" and self.workers:
            raise ValueError(f'workers is for kind = "processes", and kind is "{self.kind}"')
        return self


class Schedule(_Table):
    min_interval: Duration = timedelta(minutes=10)
    max_interval: Duration = timedelta(hours=24)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_interval > self.max_interval:
            raise ValueError("min_interval must not be longer than max_interval")
        return self


def _store_address(value: object) -> object:
    if isinstance(value, str) and value.startswith("sqlite"):
        _path(value.partition(":///")[2])
    return value


class Store(_Table):
    url: Annotated[str, BeforeValidator(_store_address)] = "sqlite:///feeds/aggregator.db"
    keep_texts_days: Annotated[int, Field(ge=0, le=_CENTURY)] = 90
    keep_items_days: Annotated[int, Field(ge=0, le=_CENTURY)] = 1825


class Server(_Table):
    listen: Annotated[str, Field(pattern=r"^(|\S+:\d{1,5})$")] = "127.0.0.1:8080"
    token: str = Field(default="", repr=False)
    requests_per_minute: Annotated[int, Field(ge=0)] = 300


class Push(_Table):
    hub: PublishedAddress = ""
    callback: OptionalAddress = ""


class Mail(_Table):
    """The way out for mail."""

    server: str = Field(default="", repr=False)
    sender: str = ""


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('a time zone is named like "Asia/Seoul" or "UTC"') from None
    return value


class NotifyTable(_Table):
    """Somebody who is told of new stories: of each at once, or in a digest."""

    name: Annotated[str, Field(min_length=1)]
    to: Annotated[list[str], Field(min_length=1, repr=False)]
    secret: str = Field(default="", repr=False)
    every: Literal["story", "day", "week"] = "story"
    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "07:00"
    day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    query: Annotated[str, AfterValidator(_query)] = ""
    languages: list[Language] = []
    sources: list[str] = []
    subjects: list[str] = []
    burst: Annotated[int, Field(ge=1, le=100)] = 5
    allow_private_addresses: bool = False


def _selector(value: str) -> str:
    from aggregator.webpage import fault  # loads lxml and cssselect, for the few who need them

    if value and (said := fault(value)):
        raise ValueError(said)
    return value


Selector = Annotated[str, AfterValidator(_selector)]


class Select(_Table):
    """Where a page's entries stand; see model.Selectors."""

    item: Annotated[Selector, Field(min_length=1)]
    title: Selector = ""
    link: Selector = ""
    date: Selector = ""
    summary: Selector = ""


class SourceTable(_Table):
    url: WebAddress
    name: str = ""
    language: Language | None = None
    scope: str = "general"
    subjects: list[str] = []
    priority: Annotated[int, Field(ge=1, le=9)] = 5
    interval: Duration | None = None
    enabled: bool = True
    headers: Mapping[str, str] = Field(default={}, repr=False)
    kind: Literal["feed", "sitemap", "page"] = "feed"
    select: Select | None = None
    excerpt_characters: Annotated[int, Field(ge=0)] | None = None
    images: bool = True
    republish: bool = True
    credit: str = ""


class SliceTable(_Table):
    """A feed of the stories that fit a search."""

    name: Annotated[str, Field(min_length=1)]
    query: Annotated[str, AfterValidator(_query)] = ""
    languages: list[Language] = []
    sources: list[str] = []

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if not (self.query or self.languages or self.sources):
            raise ValueError("a slice needs a query, languages or sources")
        return self


class SubjectFeed(Feed):
    title: str
    link: Literal[""] | Folder = ""  # [feed]'s own with the subject's name
    output: FilePath = ""  # feeds/ and the name


class SubjectTopic(Topic):
    pack: FilePath


class SubjectStories(Stories):
    seed: FilePath = ""


class SubjectTable(_Table):
    """One of several subjects over the same sources; its tables are those of a file with one."""

    name: Annotated[str, Field(pattern=NAME)]
    continues: bool = False
    feed: SubjectFeed
    topic: SubjectTopic
    stories: SubjectStories = SubjectStories()
    slice: list[SliceTable] = []


class Document(_Table):
    """config.toml as it is written; every key but a source's url has a default."""

    feed: Feed = Feed()
    topic: Topic = Topic()
    stories: Stories = Stories()
    fetch: Fetch = Fetch()
    engine: Engine = Engine()
    schedule: Schedule = Schedule()
    store: Store = Store()
    server: Server = Server()
    push: Push = Push()
    source: list[SourceTable] = []
    slice: list[SliceTable] = []
    mail: Mail = Mail()
    notify: list[NotifyTable] = []
    subject: list[SubjectTable] = []
