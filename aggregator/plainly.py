"""One entry read by the names of its elements alone: what feedparser fails at is not lost for that."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from aggregator.items import Raw, Text
from aggregator.normalise import has_markup

_ENTRIES = ("item", "entry")
_DATES = ("pubdate", "published", "issued", "date", "created")
_SUMMARIES = ("description", "summary", "subtitle")
_CONTENTS = ("encoded", "content", "body")


def read_plainly(document: bytes, fingerprint: bytes) -> Raw | None:
    """The first entry of a feed's document, however broken; None: there is none. For an Isolate."""
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, load_dtd=False)
    root = etree.fromstring(document, parser)
    entry = next((one for one in _elements(root) if _local(one) in _ENTRIES), None) if root is not None else None
    if entry is None:
        return None
    texts: dict[str, str] = {}
    for child in _elements(entry, deep=False):
        texts.setdefault(_local(child), "".join(child.itertext()).strip())
    guid = texts.get("guid") or texts.get("id") or ""
    return Raw(
        fingerprint=fingerprint,
        id=guid,
        link=_link(entry) or (guid if guid.startswith(("http://", "https://")) else ""),
        title=_text(texts.get("title", "")),
        summary=_text(_first(texts, _SUMMARIES)),
        content=_text(_first(texts, _CONTENTS)),
        published=_first(texts, _DATES),
        updated=_first(texts, ("updated", "modified")),
    )


def _elements(parent: etree._Element, deep: bool = True) -> Iterator[etree._Element]:
    return (one for one in (parent.iter() if deep else parent) if isinstance(one.tag, str))


def _link(entry: etree._Element) -> str:
    links = [child for child in _elements(entry, deep=False) if _local(child) == "link"]
    own = [one for one in links if one.get("rel", "alternate") == "alternate"]
    return next((address for one in own if (address := one.get("href") or (one.text or "").strip())), "")


def _first(texts: dict[str, str], names: tuple[str, ...]) -> str:
    return next((texts[name] for name in names if texts.get(name)), "")


def _text(value: str) -> Text:
    return Text(value, has_markup(value))


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].rpartition(":")[2].lower()
