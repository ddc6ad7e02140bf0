"""What several subjects of one installation must not share, and where each keeps what it tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"  # it stands in addresses, file names and the names of schemas
ARCHIVE = "sources"  # what the store is called that remembers for all subjects what the sources brought
DIVIDED = "divided"  # setting of that store: who went on with what it held before; "": nobody
_TAKEN = frozenset({ARCHIVE, "health", "metrics", "status"})  # of the first two paths below the server's own
_OF_ONE = ("feed", "topic", "stories", "slice")


def misplaced(table: Mapping[str, object]) -> Iterator[str]:
    """Tables that speak of the only subject, in a file with several; a sentence each."""
    for name in _OF_ONE:
        if name in table:
            shown, own = (
                (f"[[{name}]]", f"[[subject.{name}]]") if name == "slice" else (f"[{name}]", f"[subject.{name}]")
            )
            yield f"{shown} stands beside [[subject]]: write it as {own} below the subject that it is for"


def clashes(subjects: Sequence[tuple[str, Path, str]]) -> Iterator[str]:
    """Subjects (name, folder, link) that are in each other's way, a sentence each."""
    for place, (name, folder, link) in enumerate(subjects):
        said = f"[[subject]] {place + 1} ({name})"
        if name in _TAKEN:
            yield f"{said} name: the word {name} has another meaning here; choose another name"
        for other, there, where in subjects[:place]:
            if name == other:
                yield f"{said} name: another subject is called so; each needs its own name"
                break
            if folder == there:
                yield f"{said} feed.output: {other} is published in {folder}, too; each needs its own folder"
            elif folder.is_relative_to(there) or there.is_relative_to(folder):
                yield f"{said} feed.output: {folder} and that of {other}, {there}, lie in each other; part them"
            if link.rstrip("/") == where.rstrip("/"):
                yield f"{said} feed.link: {other} is found at {link}, too; each needs its own address"


def own_store(url: str, name: str) -> str:
    """Where a subject keeps what it tells: a file beside the sources' store, or a schema of its own on PostgreSQL."""
    if not url.startswith("sqlite"):
        path = quote(f"-csearch_path=subject_{name.replace('-', '_')}", safe="")
        return f"{url}{'&' if '?' in url else '?'}options={path}"
    address, question, options = url.partition("?")
    folder, slash, file = address.rpartition("/")
    stem, suffix = PurePosixPath(file).stem, PurePosixPath(file).suffix
    return f"{folder}{slash}{stem}-{name}{suffix}{question}{options}"
