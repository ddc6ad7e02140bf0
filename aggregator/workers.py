"""Has visits made by other processes, on this machine or on others, and says what travels there and back.

A visit touches no store, so any process can make it that has the program and a network: a task goes there, a visit
comes back. When a visit may begin is decided here alone, by the engine's lanes, so hosts are spared as if one process
asked them all. A visit that got lost with its machine or on the way is Unmade: made again later, and settled once.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, lru_cache
from pathlib import Path

from aggregator import tables
from aggregator.engine import Children, direct
from aggregator.errors import EngineError, FeedError
from aggregator.fetch import HttpFetch
from aggregator.model import Failed, FailureKind, Task, Unmade, Visit
from aggregator.pipeline import Collector, Listener, collect
from aggregator.ports import Clock, Isolate
from aggregator.topics import Judge

log = logging.getLogger(__name__)

CLOCKS_APART = timedelta(minutes=5)  # a visit's times, by a worker's clock, decide when the next one is due


@dataclass(frozen=True, slots=True)
class Limits:
    """How child processes read documents; see engine.Children."""

    children: int
    seconds: float
    megabytes: int
    preload: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a process needs beside a task to make a visit; sent once, and again when the rules change."""

    settings: tables.Fetch
    contact: str
    clock: Clock
    program: str  # the sender's; see `program`
    reading: Limits | None  # None: in the process that makes the visit, which then is itself a child within limits
    judge: Judge
    panel: tuple[Listener, ...] = ()  # see Collector


# --- there ------------------------------------------------------------------------------------------------------


class _Place:
    """Where visits are made with one equipment: its connections and child processes stay for the next visit."""

    def __init__(self, given: Equipment) -> None:
        self._fetch = HttpFetch(given.settings, given.contact, given.clock)
        self._children = None
        isolate: Isolate = direct
        if (limits := given.reading) is not None:
            isolate = self._children = Children(
                limits.children, limits.seconds, limits.megabytes, preload=limits.preload
            )
        self.collector = Collector(given.clock, self._fetch, isolate, given.judge, given.panel)

    def close(self) -> None:
        self._fetch.close()
        if self._children is not None:
            self._children.close()


_KEPT = 4  # places in one process, which may serve several installations; the one used longest ago goes first
_places: dict[str, _Place] = {}
_lock = threading.Lock()


def make(mark: str, equipment: bytes | None, task: bytes) -> bytes | None:
    """Make a visit in this process; None: the equipment of this mark is not here, it has to be sent along.

    The bytes are pickles, of Equipment, Task and Visit. Raises EngineError if no visit can be made here at all.
    """
    with _lock:
        if (place := _places.pop(mark, None)) is None:
            if equipment is None:
                return None
            place = _equipped(pickle.loads(equipment))  # noqa: S301 (see Crew)
        _places[mark] = place
        if len(_places) > _KEPT:
            _places.pop(next(iter(_places))).close()
    return pickle.dumps(collect(place.collector, pickle.loads(task)))  # noqa: S301 (see Crew)


def _equipped(given: Equipment) -> _Place:
    if given.program != program():
        raise EngineError("a worker has another version of the program; install the same one there")
    if given.reading is not None and multiprocessing.current_process().daemon:
        raise EngineError(
            "a worker may not start processes to read documents in; start it with "
            "DASK_DISTRIBUTED__WORKER__DAEMON=False in its environment"
        )
    return _Place(given)


@cache
def program() -> str:
    """A digest of the program's own files, which is the same on every machine that has the same program."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# --- here -------------------------------------------------------------------------------------------------------


class Crew:
    """Has visits made where an isolate makes its calls; from any number of threads at once.

    What comes back is unpickled, so whoever can answer in a worker's place can do here what this program can.
    """

    def __init__(self, isolate: Isolate, clock: Clock, equip: Callable[[Judge], Equipment]) -> None:
        self._isolate = isolate
        self._clock = clock
        self._told = ""  # why the last visit was not made, as far as the log knows
        self._packed = lru_cache(maxsize=2)(lambda judge, panel: _packed(replace(equip(judge), panel=panel)))

    def __call__(self, judge: Judge, task: Task, panel: tuple[Listener, ...] = ()) -> Visit | Unmade:
        """The visit, judged by this judge, or by the panel of several subjects.

        One of which its process died has failed; one that got lost is Unmade.
        """
        asked = self._clock.now()
        try:
            visit = self._made(judge, panel, task)
        except FeedError as error:
            return Visit(
                task.source, asked, self._clock.now(), Failed(FailureKind.SOFT, str(error)), task.known.validators
            )
        except EngineError as error:
            return self._unmade(str(error))
        if not asked - CLOCKS_APART <= visit.started <= self._clock.now() + CLOCKS_APART:
            return self._unmade(f"a worker's clock says {visit.started:%Y-%m-%d %H:%M}; have it set by NTP")
        self._told = ""
        return visit

    def _unmade(self, why: str) -> Unmade:
        if why != self._told:
            self._told = why
            log.error("visits are put off, since none could be made: %s", why)
        return Unmade(why)

    def _made(self, judge: Judge, panel: tuple[Listener, ...], task: Task) -> Visit:
        mark, equipment = self._packed(judge, panel)
        packed = pickle.dumps(task)
        made = self._isolate(make, mark, None, packed)
        if made is None:
            made = self._isolate(make, mark, equipment, packed)
        visit: Visit = pickle.loads(made or b"")  # noqa: S301 (see above)
        return visit


def _packed(equipment: Equipment) -> tuple[str, bytes]:
    data = pickle.dumps(equipment)
    return hashlib.blake2b(data, digest_size=16).hexdigest(), data
