"""Names the process that takes a lease, so that a later one can tell whether it still runs."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_STARTED = 19  # the position of a process's start, in ticks since boot, behind its name (proc(5), stat, field 22)


@cache
def _here() -> str:
    """This boot of this machine, and the space in which process ids are counted; "" where the system does not tell."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def holder() -> str:
    """This process, as no other is ever called; where the system does not tell, nobody can tell that it has ended."""
    started = _started(os.getpid())
    return f"{_here()} {os.getpid()} {started}" if _here() and started else _unknown()


@cache
def _unknown() -> str:
    return uuid.uuid4().hex


def has_ended(name: str | None) -> bool:
    """Whether the process so called certainly runs no more; one of another machine, container or boot may yet."""
    here, _, rest = (name or "").rpartition(" ")[0].rpartition(" ")
    if not here or here != _here() or not rest.isdecimal():
        return False
    return _started(int(rest)) != (name or "").rpartition(" ")[2]


def _started(process: int) -> str | None:
    """When a process started; None: there is none, or only what is left of one that ended."""
    try:
        fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[_STARTED]
