"""Has requests to one domain take turns, also those that nobody planned: redirects, looks at a vanished feed's site.

The engine spaces visits by the address that each begins at, so that no thread waits; what a visit asks for beyond that
waits here.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

LONGEST = 10.0  # seconds that a request waits for the gap: one in the middle of a visit must not outlast its lease
_MANY = 1_000  # domains, beyond which those that were not asked lately are forgotten


@dataclass(slots=True)
class _Domain:
    running: int = 0
    last: float = 0.0  # when a request last began, by the monotonic clock


class Turns:
    """For any number of threads: so many requests at once to one domain, their beginnings a gap apart."""

    def __init__(self, at_once: int, gap: float) -> None:
        """`gap`: seconds; more than ten count as ten."""
        self._at_once = at_once
        self._gap = min(gap, LONGEST)
        self._domains: dict[str, _Domain] = {}
        self._most = _MANY
        self._change = threading.Condition()

    def begin(self, name: str) -> float:
        """Wait for a turn; the seconds that it took."""
        asked = time.monotonic()
        with self._change:
            if len(self._domains) > self._most:
                self._forget(asked)
            domain = self._domains.setdefault(name, _Domain(last=asked - self._gap))
            while (left := self._left(domain)) != 0.0:
                self._change.wait(left)
            domain.running += 1
            domain.last = time.monotonic()
            return domain.last - asked

    def end(self, name: str) -> None:
        """Give a turn back."""
        with self._change:
            self._domains[name].running -= 1
            self._change.notify_all()

    def _left(self, domain: _Domain) -> float | None:
        """Seconds until a request may begin; None: when another has ended."""
        if domain.running >= self._at_once:
            return None
        return max(domain.last + self._gap - time.monotonic(), 0.0)

    def _forget(self, now: float) -> None:
        before = now - self._gap
        self._domains = {name: one for name, one in self._domains.items() if one.running or one.last > before}
        self._most = max(_MANY, 2 * len(self._domains))  # so that each is looked at once or twice, however many come
