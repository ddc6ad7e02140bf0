"""Turns bytes into an HTTP answer that costs little: strong tags, codings, and "not modified" where it does."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# How long a reader or a cache may go without asking. Feeds are polled hourly at most by polite readers and are told
# of news by WebSub, so that five minutes delay nobody who polls, and spare the server those who poll too often.
_CACHE_CONTROL = "public, max-age=300"
_SMALLEST_COMPRESSED = 256  # bytes; below, the coding's own overhead eats what it saves
_BROTLI_QUALITY = 5  # on a 160 kB feed: 2 ms and 19 % of the size; 11 takes 160 ms for 16 %
_FOR_EVERYONE = {  # any page on the web may read the feeds (Fetch Standard, CORS protocol)
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "If-None-Match",
    "access-control-expose-headers": "ETag, Last-Modified",
}


@dataclass(frozen=True, slots=True)
class Representation:
    body: bytes
    etag: str  # strong, so each coding has its own (RFC 9110, 8.8.3.3)
    coding: str
    media_type: str


def represent(content: bytes, media_type: str, coding: str) -> Representation:
    """The content in a coding; as it is where that makes it no smaller."""
    digest = hashlib.blake2b(content, digest_size=12).hexdigest()
    plain = Representation(content, f'"{digest}"', "identity", media_type)
    if coding == "identity" or len(content) < _SMALLEST_COMPRESSED:
        return plain
    body = _compressed(content, coding)
    if len(body) >= len(content):
        return plain
    return Representation(body, f'"{digest}-{coding}"', coding, media_type)


def respond(request: Request, chosen: Representation, modified: datetime | None = None, status: int = 200) -> Response:
    """The answer to a GET, HEAD or OPTIONS; `modified`: when the content last did, None: nobody knows."""
    from starlette.responses import Response

    shared = {} if chosen.media_type.startswith("text/html") else _FOR_EVERYONE
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": "GET, HEAD, OPTIONS", **shared})
    headers = {
        "etag": chosen.etag,
        **({"last-modified": format_datetime(modified, usegmt=True)} if modified else {}),
        "cache-control": _CACHE_CONTROL,
        "vary": "Accept-Encoding",
        **shared,
    }
    if status == 200 and _is_known(request.headers, chosen.etag, modified):
        return Response(status_code=304, headers=headers)
    if chosen.coding != "identity":
        headers["content-encoding"] = chosen.coding
    headers |= {"content-type": chosen.media_type, "content-length": str(len(chosen.body))}
    return Response(chosen.body, status, headers=headers)  # the server leaves the body away for HEAD


def best_coding(accepted: str) -> str:
    """The best coding that an Accept-Encoding header allows (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        quality = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        weights[name.strip()] = float(quality[1]) if quality else 1.0
    anything = weights.get("*", 0.0)
    ranked = [(weights.get(name, anything), name) for name in ("br", "gzip")]
    weight, name = max(ranked, key=lambda rank: rank[0])  # the first where they are equal
    return name if weight > 0 else "identity"


def _compressed(content: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(content, 9, mtime=0)
    import brotli

    return bytes(brotli.compress(content, quality=_BROTLI_QUALITY))


def _is_known(headers: Mapping[str, str], etag: str, modified: datetime | None) -> bool:
    """Does the reader have this already? (RFC 9110, 13.2.2: If-None-Match, where present, is all that counts.)"""
    tags = headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or etag in re.findall(r'"[^"]*"', tags)  # weak comparison: W/ does not matter
    since = headers.get("if-modified-since")
    if since is None or modified is None:
        return False
    try:
        known = parsedate_to_datetime(since)
        return modified <= (known if known.tzinfo else known.replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # the latter: a year of eleven digits
        return False
