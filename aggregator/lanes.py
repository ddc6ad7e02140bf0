"""Says which input may start next: so many at once in each lane, their starts a gap apart."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Lane(Generic[T]):
    waiting: deque[T] = field(default_factory=deque)
    running: int = 0
    listed: bool = False  # whether it stands in the heap: it may start one more, now or at a known time


class Lanes(Generic[T]):
    """What waits: a heap of lanes by when the next of each may start, so that no lane is searched for.

    Of lanes that may start, the one that has not for longest goes first: many that hang take no more than their turn.
    """

    def __init__(self, limit: int, gap: float, last: dict[Hashable, float]) -> None:
        """`limit`: at once in one lane; `gap`: seconds between starts in it.

        `last`: lane → when an input of it last started; kept up to date for whoever comes after.
        """
        self._limit = limit
        self._gap = gap
        self._last = last
        self._lanes: dict[Hashable, _Lane[T]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = itertools.count()  # of lanes that may start at the same time, the first listed goes first
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, name: Hashable, each: T) -> None:
        """Have an input wait in its lane."""
        lane = self._lanes.setdefault(name, _Lane())
        lane.waiting.append(each)
        self._size += 1
        self._list(name, lane)

    def next_start(self) -> float:
        """When the next input may start; infinite while all lanes are full or empty."""
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now: float) -> tuple[Hashable, T]:
        """The input that may start first, which starts now, and its lane."""
        name = heapq.heappop(self._heap)[2]
        lane = self._lanes[name]
        lane.listed = False
        lane.running += 1
        self._size -= 1
        self._last[name] = now
        each = lane.waiting.popleft()
        self._list(name, lane)
        return name, each

    def free(self, name: Hashable) -> None:
        """An input of this lane has ended."""
        lane = self._lanes[name]
        lane.running -= 1
        if not lane.running and not lane.waiting:
            del self._lanes[name]
        self._list(name, lane)

    def drain(self) -> list[T]:
        """All that waits, which waits no more."""
        waiting = [each for lane in self._lanes.values() for each in lane.waiting]
        running = {name: lane.running for name, lane in self._lanes.items() if lane.running}
        self._lanes = {name: _Lane(running=number) for name, number in running.items()}
        self._heap, self._size = [], 0
        return waiting

    def _list(self, name: Hashable, lane: _Lane[T]) -> None:
        if lane.listed or not lane.waiting or lane.running >= self._limit:
            return
        lane.listed = True
        at = self._last[name] + self._gap if name in self._last else 0.0
        heapq.heappush(self._heap, (at, next(self._order), name))
