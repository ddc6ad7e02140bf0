"""A stored story as it is published: who stands for it, and what is shown of each who told it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from aggregator.links import publishable_link
from aggregator.model import Member, Rights, Source, StoredItem, StoredStory, Story
from aggregator.rights import NO_LIMITS, within

_REASONS = 12  # published of a verdict: more than anybody reads


def lead(members: Sequence[StoredItem], priority: Mapping[str, int], language: str) -> StoredItem:
    """Who stands for a story: the preferred source's, then in the feed's language, with a summary, the first.

    No two are equal, and who was stored first does not matter: visits end in any order.
    """
    wanted = language.split("-")[0].lower()

    def rank(member: StoredItem) -> tuple[int, bool, bool, datetime, str, str]:
        item = member.item
        spoken = (item.language or "").split("-")[0].lower()
        when = item.published or member.first_seen
        return -priority.get(item.source, 5), spoken != wanted, not item.summary, when, item.source, item.id

    return min(members, key=rank)


def present(
    story: StoredStory, sources: Mapping[str, Source], language: str, rights: Mapping[str, Rights] = NO_LIMITS
) -> Story:
    """A stored story as it is published; `sources`: url → Source; `language` of the feed.

    `rights`: url → Rights, where they are not the usual ones.
    """
    story = within(story, rights)
    shown = [(place, one) for place, one in enumerate(story.members) if not one.seed or one.item.link]
    first = next((member for member in story.members if member.key == story.lead), None)
    own = next((member for member in story.members if member.seed), None)
    first = first or own or lead(story.members, {url: one.priority for url, one in sources.items()}, language)
    shown.sort(key=lambda told: told[1].key != first.key)
    best = max(member.verdict.score for member in story.members)
    item = first.item
    titles = frozenset(member.item.title for member in story.members)
    return Story(
        id=story.id,
        seed=story.seed,
        title=item.title,
        summary=item.summary,
        link=item.link,
        language=item.language,
        published=item.published or first.first_seen,
        told=story.told or first.first_seen,
        updated=story.updated,
        score=best,
        reasons=tuple(map(str, first.verdict.found[:_REASONS])),
        members=tuple(
            _member(
                _current(one, titles),
                sources,
                rights.get(one.item.source, Rights()),
                place=place,
                lead=one.key == first.key,
            )
            for place, one in shown
        ),
    )


def _current(stored: StoredItem, titles: frozenset[str]) -> StoredItem:
    """The item without a title in its evidence that nobody has any more: it may have been changed for a reason."""
    evidence = stored.evidence
    if evidence is None or evidence.other in titles:
        return stored
    return replace(stored, evidence=replace(evidence, other=""))


def _member(stored: StoredItem, sources: Mapping[str, Source], rights: Rights, *, place: int, lead: bool) -> Member:
    item, source = stored.item, sources.get(stored.item.source)
    return Member(
        place=place,
        url=item.link,
        title=item.title,
        summary=item.summary,
        source=item.publisher or (source.name if source else urlsplit(item.source).hostname or item.source),
        source_url=publishable_link(item.source, None) or item.source,
        site=None,
        language=item.language,
        published=item.published or stored.first_seen,
        updated=item.updated,
        authors=item.authors,
        categories=item.categories,
        enclosures=item.enclosures,
        evidence=stored.evidence,
        lead=lead,
        image=item.image,
        excerpt_characters=rights.excerpt_characters,
        credit=rights.credit,
    )
