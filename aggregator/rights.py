"""Holds back what a source does not let us show; what is left may stand in any output."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import urlsplit

from aggregator.model import Enclosure, Item, Rights, StoredItem, StoredStory
from aggregator.normalise import shorten

NO_LIMITS: Mapping[str, Rights] = MappingProxyType({})
_USUAL = Rights()
_KINDS = mimetypes.MimeTypes()  # the same on every machine, whatever its own list says
_QUOTED = ("title", "source", "curator", "meaning")  # fields whose matched text stands in what anybody may see


def within(story: StoredStory, rights: Mapping[str, Rights]) -> StoredStory:
    """The story with what may be shown of its members; `rights`: by a source's url, where they are not the usual ones.

    Where a member's text is not free, no evidence in the story keeps its details: they quote both sides.
    """
    given = [rights.get(member.item.source, _USUAL) for member in story.members]
    if all(one == _USUAL for one in given):
        return story
    silent = any(_limits_text(one) for one in given)
    members = (_member(member, one, silent=silent) for member, one in zip(story.members, given, strict=True))
    return replace(story, members=tuple(members))


def _limits_text(rights: Rights) -> bool:
    return not rights.republish or rights.excerpt_characters is not None


def _member(stored: StoredItem, rights: Rights, *, silent: bool) -> StoredItem:
    evidence, verdict = stored.evidence, stored.verdict
    if silent and evidence is not None:
        evidence = replace(evidence, details=())
    if _limits_text(rights):
        reasons = (one if one.field in _QUOTED else replace(one, text="") for one in verdict.reasons)
        verdict = replace(verdict, reasons=tuple(reasons))
    return replace(stored, item=_item(stored.item, rights), evidence=evidence, verdict=verdict)


def _item(item: Item, rights: Rights) -> Item:
    if not rights.republish:
        return replace(item, summary="", body="", authors=(), categories=(), enclosures=(), image=None)
    if rights.excerpt_characters is not None:
        item = replace(item, summary=shorten(item.summary, rights.excerpt_characters), body="")
    if rights.images:
        return item
    return replace(item, image=None, enclosures=tuple(one for one in item.enclosures if not _is_picture(one)))


def _is_picture(enclosure: Enclosure) -> bool:
    """By its type, or by its name: not every feed gives a type, or a true one."""
    guessed, _ = _KINDS.guess_type(urlsplit(enclosure.url).path)
    return any((kind or "").lower().startswith("image/") for kind in (enclosure.type, guessed))
