"""Writes stories as JSON Feed 1.1: same stories, same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aggregator.documents import address, neighbours
from aggregator.entries import Entry, timestamp
from aggregator.model import Edition, Enclosure, Story


def json_feed(edition: Edition, entries: Iterable[Entry]) -> bytes:
    """JSON Feed 1.1 (jsonfeed.org/version/1.1)."""
    older = dict(neighbours(edition, "feed")).get("prev-archive")
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": edition.title,
        "home_page_url": edition.link + (edition.part.page if edition.part else ""),
        "feed_url": edition.link + address(edition, "feed"),
        **({"next_url": older} if older else {}),
        "description": edition.description,
        "icon": edition.link + "sign.png",
        "favicon": edition.link + "favicon.svg",
        "authors": [{"name": edition.title, "url": edition.link}],
        "language": edition.language,
        **({"hubs": [{"type": "WebSub", "url": edition.hub}]} if edition.hub else {}),
        "items": [json_item(entry) for entry in entries],
    }
    return (json.dumps(feed, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def json_item(entry: Entry) -> dict[str, Any]:
    """An entry as an item of JSON Feed."""
    story, lead = entry.story, entry.story.lead
    item = {
        "id": story.id,
        "url": story.link,
        "title": story.title,
        "summary": story.summary,
        "content_html": entry.content,
        "date_published": timestamp(story.published),
        "date_modified": timestamp(story.updated),
        "authors": [{"name": name} for name in lead.authors or (lead.source,)] if lead else None,
        "image": lead.image if lead else None,
        "language": story.language,
        "tags": list(lead.categories) if lead else None,
        "attachments": [_attachment(enclosure) for enclosure in lead.enclosures] if lead else None,
    }
    told = {key: value for key, value in item.items() if value}
    return told | {"_story": _json_story(story)}


def _attachment(enclosure: Enclosure) -> dict[str, Any]:
    length = {"size_in_bytes": enclosure.length} if enclosure.length else {}
    return {"url": enclosure.url, "mime_type": enclosure.type, **length}


def _json_story(story: Story) -> dict[str, Any]:
    return {
        "seed": story.seed,
        "score": round(story.score, 4),
        "reasons": list(story.reasons),
        "members": [
            {
                "url": member.url,
                "title": member.title,
                "source": member.source,
                "language": member.language,
                "published": timestamp(member.published),
                "lead": member.lead,
                **({"credit": member.credit} if member.credit else {}),
            }
            for member in story.members
        ],
    }
