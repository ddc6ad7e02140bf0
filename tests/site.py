"""A real HTTP server on loopback that serves documents, answers conditional requests and logs what it was asked."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

from tests.answering import Handler, answering


@dataclass
class Document:
    body: bytes
    type: str = "application/rss+xml"


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]  # names in lower case
    status: int

    @property
    def conditional(self) -> bool:
        return "if-none-match" in self.headers or "if-modified-since" in self.headers


@dataclass
class Site:
    documents: dict[str, Document] = field(default_factory=dict)  # path → document
    requests: list[Request] = field(default_factory=list)
    address: str = ""
    takes: float = 0.0  # seconds from a request to its answer

    def put(self, path: str, body: bytes | str, type: str = "application/rss+xml") -> str:
        """Serve a document from now on; its address."""
        self.documents[path] = Document(body.encode() if isinstance(body, str) else body, type)
        return self.address + path


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port of loopback, until the end of the block."""
    site = Site()

    class Showing(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            document = site.documents.get(self.path)
            asked = {name.lower(): value for name, value in self.headers.items()}
            etag = f'"{hashlib.sha256(document.body).hexdigest()[:20]}"' if document else ""
            status = 404 if document is None else 304 if asked.get("if-none-match") == etag else 200
            site.requests.append(Request(self.path, asked, status))
            time.sleep(site.takes)
            body = document.body if document and status == 200 else b""
            self.send_response(status)
            if document:
                self.send_header("ETag", etag)
                self.send_header("Last-Modified", formatdate(1_780_000_000, usegmt=True))
                self.send_header("Content-Type", document.type)
            if body and "gzip" in asked.get("accept-encoding", ""):
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with answering(Showing) as site.address:
        yield site
