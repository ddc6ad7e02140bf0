"""Reads and writes lists of sources: OPML for other programs, `[[source]]` tables for config.toml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import tomli
from lxml import etree

from aggregator.errors import ConfigError, NotFoundError
from aggregator.model import Source
from aggregator.normalise import without_password

_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1)))
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # BCP 47, the shapes in use
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, production 2
_DEFAULT = Source(url="", name="")


def from_opml(data: bytes, called: str = "The list") -> tuple[Source, ...]:
    """The feeds that an OPML document lists, each once, in its order, folders left aside.

    Outlines without a feed's address, such as folders and plain links, are passed over (OPML 2.0, "Subscription
    lists"). ConfigError, with the list `called` so, if the document is not OPML or lists no feed.
    """
    root = _opml_root(data, called)
    found: dict[str, Source] = {}
    for outline in root.iter("{*}outline"):
        attributes = {str(name).lower(): " ".join(str(value).split()) for name, value in outline.attrib.items()}
        url = _web_address(attributes.get("xmlurl", ""))
        if url is None:
            continue
        name = attributes.get("title") or attributes.get("text") or urlsplit(url).hostname or url
        language = attributes.get("language", "")
        found.setdefault(url, Source(url, name, language if _LANGUAGE.fullmatch(language) else None))
    if not found:
        raise ConfigError(f"{called} lists no feed: no outline in it has an xmlUrl that starts with http.")
    return tuple(found.values())


def _opml_root(data: bytes, called: str) -> etree._Element:
    # A declared entity has no place in a list of feeds and is how XML is made to explode or to read files.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ConfigError(
            f"{called} is not well-formed XML: {error.msg}. Often a bare & is to blame; it is written &amp;."
        ) from None
    if etree.QName(root).localname.lower() != "opml":
        raise ConfigError(f"{called} is not OPML: its first element is <{etree.QName(root).localname}>, not <opml>.")
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(dtd.iterentities()):
        raise ConfigError(f"{called} declares XML entities, which a list of feeds never needs; it was not read.")
    return root


def _web_address(text: str) -> str | None:
    """An http(s) address; the feed: scheme of old readers is taken off."""
    text = re.sub(r"^feed:(//)?(?=https?:)", "", text, flags=re.IGNORECASE)
    text = re.sub(r"^feed://", "http://", text, flags=re.IGNORECASE)
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.hostname else None


def to_opml(sources: Iterable[Source], title: str = "Sources") -> bytes:
    """An OPML 2.0 subscription list: the same sources, the same bytes; headers and passwords are left out."""
    root = etree.Element("opml", version="2.0")
    head = etree.SubElement(root, "head")
    etree.SubElement(head, "title").text = _writable(title)
    body = etree.SubElement(root, "body")
    listed = tuple(source for source in sources if source.kind == "feed")  # nobody else could subscribe to the others
    if not listed:
        etree.SubElement(body, "outline", text="No sources yet")  # a body without an outline is no OPML
    for source in listed:
        name = _writable(source.name)
        outline = etree.SubElement(body, "outline", type="rss", text=name, title=name)
        outline.set("xmlUrl", _writable(without_password(source.url)))
        if source.language is not None:
            outline.set("language", source.language)
    etree.indent(root)
    document: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return document + b"\n"


def _writable(text: str) -> str:
    """Text without the characters that XML cannot hold: one of them costs that character, not the list."""
    return _UNWRITABLE.sub("", text)


def toml_block(source: Source) -> str:
    """A source as a `[[source]]` table, ending in a line feed; values that are the default are left out.

    Headers are left out, too: by now they hold what `${NAME}` stood for, which must not be written down.
    """
    lines = ["[[source]]", f"name = {_quoted(source.name)}", f"url = {_quoted(source.url)}"]
    if source.language is not None:
        lines.append(f"language = {_quoted(source.language)}")
    if source.scope != _DEFAULT.scope:
        lines.append(f"scope = {_quoted(source.scope)}")
    if source.priority != _DEFAULT.priority:
        lines.append(f"priority = {source.priority}")
    if source.interval is not None:
        lines.append(f"interval = {_quoted(_duration(source.interval))}")
    if source.kind != _DEFAULT.kind:
        lines.append(f"kind = {_quoted(source.kind)}")
    if source.select is not None:
        parts = {name: getattr(source.select, name) for name in ("item", "title", "link", "date", "summary")}
        lines += ["[source.select]", *(f"{name} = {_quoted(selector)}" for name, selector in parts.items() if selector)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's, but that TOML wants DEL escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _duration(length: timedelta) -> str:
    """A time as config.toml has it: a number and the largest unit that divides it."""
    letter, unit = next(((letter, unit) for letter, unit in _UNITS if not length % unit), _UNITS[-1])
    return f"{length / unit:f}".rstrip("0").rstrip(".") + letter


def append_blocks(text: str, sources: Iterable[Source]) -> str:
    """The text of a config.toml with more sources at its end; what stood there stays, byte for byte.

    ConfigError if the file has its sources in a form that no table can be added to.
    """
    _refuse_inline(text)
    ending = "\r\n" if "\r\n" in text else "\n"
    before = text if not text or text.endswith("\n") else text + ending
    blocks = [toml_block(source).replace("\n", ending) for source in sources]
    return ending.join(filter(None, (before, *blocks))) if blocks else text


def remove_block(text: str, url: str) -> str:
    """The text of a config.toml without the source of that url; all else stays, byte for byte.

    With the table go the comments in it, the comment lines right above it, and the blank lines above those.
    A user name and password in it need not be given. NotFoundError if no source has that url; ConfigError if the file
    has its sources in another form.
    """
    _refuse_inline(text)
    sections = _sections(text)
    for position, section in enumerate(sections):
        if not any(_is_meant(table.get("url"), url) for table in _source_tables(section)):
            continue
        end = position + 1
        while end < len(sections) and re.match(r"\s*\[+\s*source\s*\.", sections[end]):
            end += 1  # [source.headers] belongs to the [[source]] above it
        before = _without_comment_above("".join(sections[:position]))
        after = _tail("".join(sections[position:end])) + "".join(sections[end:])
        if not after.strip() or not _lines(after)[0].strip():
            before = _without_blank_end(before)
        return before + after if before else after.lstrip("\r\n")
    raise NotFoundError(f"No source has the address {url}; `aggregator sources` lists them all.")


def _is_meant(listed: object, url: str) -> bool:
    return isinstance(listed, str) and url in (listed, without_password(listed))


def _refuse_inline(text: str) -> None:
    if "source" in tomli.loads(text) and not any(_source_tables(section) for section in _sections(text)[1:]):
        raise ConfigError("The sources are listed as source = [...]; write each as a [[source]] table, then try again.")


def _sections(text: str) -> list[str]:
    """TOML text cut before each table's header; the first section is what stands above all tables.

    A line that begins with a bracket is a header unless it stands in an open array or string, which shows in that
    the section before it cannot be read by itself.
    """
    sections = [""]
    for line in _lines(text):
        if re.match(r"\s*\[", line) and _readable(sections[-1]):
            sections.append(line)
        else:
            sections[-1] += line
    return sections


def _readable(toml: str) -> bool:
    try:
        tomli.loads(toml)
    except tomli.TOMLDecodeError:
        return False
    return True


def _source_tables(section: str) -> list[dict[str, Any]]:
    """The `[[source]]` table that a section is, as a list of one; else none."""
    tables = tomli.loads(section).get("source")
    return tables if isinstance(tables, list) else []


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a line feed ends one (str.splitlines would cut at U+2028 inside a string)."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _without_comment_above(text: str) -> str:
    lines = _lines(text)
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    return "".join(lines)


def _without_blank_end(text: str) -> str:
    lines = _lines(text)
    while lines and not lines[-1].strip():
        lines.pop()
    return "".join(lines)


def _tail(section: str) -> str:
    """The blank and comment lines at a section's end: they belong to what follows."""
    lines = _lines(section)
    start = len(lines)
    while start and (not lines[start - 1].strip() or lines[start - 1].lstrip().startswith("#")):
        start -= 1
    return "".join(lines[start:])
