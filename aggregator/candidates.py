"""Which of the stories that share something with an item it is compared with, and with which of their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

S = TypeVar("S")


class Hit(NamedTuple):
    """A member of a story that shares keys with an item."""

    key: int  # the store's own number for it
    seed: bool
    shared: float  # the sum over the keys shared of 1 / how many items have the key: the rare ones tell


def nearest(found: Mapping[S, Sequence[Hit]], stories: int | None) -> list[S]:
    """At most so many of the stories found, seeds first, then by the member that shares most."""

    def rank(story: S) -> tuple[bool, float, int]:
        hits = found[story]
        return not any(hit.seed for hit in hits), -max(hit.shared for hit in hits), min(hit.key for hit in hits)

    return sorted(found, key=rank)[:stories]


def representatives(hits: Sequence[Hit], first: Sequence[int], members: int) -> list[int]:
    """The keys of so many members of one story: half of them those that share most, the rest its `first`."""
    most = [hit.key for hit in sorted(hits, key=lambda hit: (not hit.seed, -hit.shared, hit.key))]
    return list(dict.fromkeys([*most[: members // 2], *first, *most]))[:members]
