"""Reads config.toml into a value, refusing all that it does not understand."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aggregator.errors import ConfigError
from aggregator.model import Source
from aggregator.normalise import source_key

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    """A length of time as people write it: a number and s, m, h or d, such as "30m" or "24h"."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError('a time is written as a number and s, m, h or d, for example "30m" or "24h"')
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _web_address(value: object) -> object:
    if not isinstance(value, str) or urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
        raise ValueError('a full web address is needed, for example "https://example.org/feed.xml"')
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
WebAddress = Annotated[str, BeforeValidator(_web_address)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]  # BCP 47, the shapes in use


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Feed(_Table):
    """What is published."""

    title: str = "North Korean Defectors"
    link: WebAddress = "http://127.0.0.1:8080/"
    description: str = "Every story once, from many sources."
    language: Language = "en"
    output: str = "feeds/public"
    max_entries: Annotated[int, Field(ge=0)] = 100
    excerpt_characters: Annotated[int, Field(ge=0)] = 500
    publish_seed: bool = True


class Topic(_Table):
    pack: str = "north-korean-defectors"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    max_age_days: Annotated[int, Field(ge=0)] = 30


class Stories(_Table):
    seed: str = "feeds/seed.toml"
    window_days: Annotated[int, Field(ge=1)] = 14
    across_languages: bool = True


class Fetch(_Table):
    user_agent: str = ""
    timeout_seconds: Annotated[float, Field(gt=0)] = 20
    max_body_megabytes: Annotated[float, Field(gt=0)] = 10
    concurrency: Annotated[int, Field(ge=1)] = 16
    per_host: Annotated[int, Field(ge=1)] = 2
    host_gap_seconds: Annotated[float, Field(ge=0)] = 1.0
    allow_private_addresses: bool = False


class Schedule(_Table):
    min_interval: Duration = timedelta(minutes=10)
    max_interval: Duration = timedelta(hours=24)


class Store(_Table):
    url: str = "sqlite:///feeds/aggregator.db"


class Server(_Table):
    listen: Annotated[str, Field(pattern=r"^(|\S+:\d{1,5})$")] = "127.0.0.1:8080"


class Push(_Table):
    hub: str = ""


class SourceTable(_Table):
    url: WebAddress
    name: str = ""
    language: Language | None = None
    scope: str = "general"
    priority: Annotated[int, Field(ge=1, le=9)] = 5
    interval: Duration | None = None
    enabled: bool = True
    headers: Mapping[str, str] = Field(default={}, repr=False)


class Document(_Table):
    """config.toml as it is written; every key but a source's url has a default."""

    feed: Feed = Feed()
    topic: Topic = Topic()
    stories: Stories = Stories()
    fetch: Fetch = Fetch()
    schedule: Schedule = Schedule()
    store: Store = Store()
    server: Server = Server()
    push: Push = Push()
    source: list[SourceTable] = []


class Config(Document):
    """A configuration that was read from a file; relative paths are relative to that file."""

    path: Path

