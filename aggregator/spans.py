"""Lengths of time in words, for who looks after it: "3 h ago", "in 20 m"."""

from __future__ import annotations

from datetime import datetime, timedelta


def ago(then: datetime | None, now: datetime) -> str:
    return f"{span(now - then)} ago" if then else "never"


def ahead(then: datetime | None, now: datetime) -> str:
    return "" if then is None else "now" if then <= now else f"in {span(then - now)}"


def span(length: timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
