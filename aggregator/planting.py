"""What a seed story looks like in a store: as an item, and when it counts as told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from aggregator.model import Decision, Judged, Seed, Verdict
from aggregator.stories import seed_item

T = TypeVar("T", int, datetime)  # a moment, or its number of microseconds

PLANTED = "planted"  # setting that says for which seed set it was done; "": to be done again


def seed_judged(seed: Seed) -> Judged:
    """A seed's own text as an item that belongs to the subject by the operator's word."""
    return Judged(seed_item(seed), Verdict(Decision.KEPT, 1.0, (), "seed"))


def seed_told(seed: Seed, now: datetime, first: datetime | None) -> datetime:
    """When a seed counts as told: on its own date, but before the first story that was told here (None: none yet)."""
    latest = now if first is None else min(now, first)
    return min(seed.published or now, latest - timedelta(microseconds=1))


def merged_told(*stories: tuple[bool, T | None]) -> T | None:
    """When two stories (seed, told) that become one count as told: as the first of them was.

    A seed that is not published stays so. It would otherwise appear in the other's place, among what readers have
    seen, with an id that is new to them.
    """
    if any(seed and told is None for seed, told in stories):
        return None
    return min((told for _, told in stories if told is not None), default=None)
