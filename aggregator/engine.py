"""Runs work over many inputs: threads that are polite to each host, and child processes for what may go wrong."""

from __future__ import annotations

import math
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import CancelledError, wait
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from aggregator.errors import FeedError
from aggregator.lanes import Lanes
from aggregator.ports import Run

T = TypeVar("T")
R = TypeVar("R")


_AHEAD = 4  # results for each thread that may wait for their reader


class Inline:
    """The engine in its simplest form: one input after the other, in the caller's thread."""

    def __init__(self) -> None:
        self._closed = False

    def map(
        self, work: Callable[[T], R], inputs: Iterable[T], lane: Callable[[T], Hashable]
    ) -> Generator[R, None, None]:
        for each in inputs:
            if self._closed:
                return
            yield work(each)

    def begin(self, work: Callable[[T], R], lane: Callable[[T], Hashable]) -> Run[T, R]:
        return _Line(work, lambda: self._closed)

    def close(self) -> None:
        self._closed = True


class _Line(Generic[T, R]):
    """The run of an engine that is `Inline`."""

    def __init__(self, work: Callable[[T], R], closed: Callable[[], bool]) -> None:
        self._work = work
        self._closed = closed
        self._waiting: deque[T] = deque()

    def add(self, inputs: Iterable[T]) -> None:
        self._waiting.extend(inputs)

    def batches(self, most: int, patience: float | None = None) -> Generator[list[R], None, None]:
        until = _end(patience)
        while self._waiting and not self._closed() and time.monotonic() < until:
            yield [self._work(self._waiting.popleft())]

    def owes(self) -> bool:
        return bool(self._waiting) and not self._closed()

    def recall(self) -> list[T]:
        waiting, self._waiting = list(self._waiting), deque()
        return waiting

    def close(self) -> None:
        self._waiting.clear()


class Threads:
    """An engine of threads: `concurrency` in all, `per_lane` in one lane, whose starts are `gap` seconds apart.

    Spacing holds from one run to the next; how many work, in all and in a lane, is counted within each run.
    """

    def __init__(self, concurrency: int, per_lane: int, gap: float) -> None:
        self._concurrency = concurrency
        self._per_lane = per_lane
        self._gap = gap
        self._last: dict[Hashable, float] = {}  # lane → when an input of it last started, by the monotonic clock
        self._running: set[_Run[Any, Any]] = set()
        self._closed = False

    def map(
        self, work: Callable[[T], R], inputs: Iterable[T], lane: Callable[[T], Hashable]
    ) -> Generator[R, None, None]:
        """Results as they come; an exception in `work` is raised here, and ends the map.

        Work runs ahead of a slow reader by a few results for each thread, so that they do not pile up.
        Closing the generator, or an exception in it (Ctrl-C), starts nothing more and waits for what runs.
        """
        with closing(self.begin(work, lane)) as run:
            run.add(inputs)
            for (result,) in run.batches(1):
                yield result

    def begin(self, work: Callable[[T], R], lane: Callable[[T], Hashable]) -> Run[T, R]:
        """A run that is fed on the way; see ports.Run."""
        lanes = Lanes[T](self._per_lane, self._gap, self._last)
        run = _Run(work, lane, lanes, self._concurrency, self._running.discard)
        self._running.add(run)
        if self._closed:
            run.stop()
        return run

    def close(self) -> None:
        """Start nothing more: each run that is being read yields what still runs, and ends; a later one is empty.

        May be called from a signal's handler: the locks that it takes are re-entrant.
        """
        self._closed = True
        for run in tuple(self._running):
            run.stop()


class _Run(Generic[T, R]):
    """Threads that take work as it may start, and a queue of what came of it."""

    def __init__(
        self,
        work: Callable[[T], R],
        lane: Callable[[T], Hashable],
        lanes: Lanes[T],
        most: int,
        closed: Callable[[_Run[T, R]], None],
    ) -> None:
        """`most`: threads; `closed`: told when this is."""
        self._work = work
        self._lane = lane
        self._lanes = lanes
        self._most = most
        self._closed = closed
        # A reader that Ctrl-C may interrupt takes the lock itself: between Condition's taking it and its return lies a
        # moment in which an interrupt would leave it taken, and the threads waiting for ever.
        self._lock = threading.RLock()
        self._change = threading.Condition(self._lock)
        self._next_look = math.inf  # when the thread that waits by the clock will look again; the others sleep
        self._stopped = False
        self._threads: list[threading.Thread] = []  # those that had not ended when inputs were last added
        self._alive = 0
        self._ahead = 0  # inputs taken whose results were not read yet
        self._done: queue.SimpleQueue[tuple[R | None, BaseException | None] | None] = queue.SimpleQueue()

    def add(self, inputs: Iterable[T]) -> None:
        """Have further inputs worked on. Threads end when nothing waits, so that it may take new ones."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        with self._change:
            for each in inputs:
                self._lanes.add(self._lane(each), each)
            more = 0 if self._stopped else min(self._most - self._alive, len(self._lanes))
            self._alive += more
            self._change.notify_all()
        for _ in range(more):
            thread = threading.Thread(target=self._serve, daemon=True)
            self._threads.append(thread)
            thread.start()

    def batches(self, most: int, patience: float | None = None) -> Generator[list[R], None, None]:
        """What has ended, as ports.Run says; an exception in the work is raised here."""
        until = _end(patience)
        while self.owes():
            try:
                first = self._done.get(timeout=None if patience is None else max(until - time.monotonic(), 0.0))
            except queue.Empty:
                return
            if first is None:
                continue
            ended = [first, *self._ended(most - 1)]
            with self._lock:
                self._ahead -= len(ended)
                self._change.notify(len(ended))
            if error := next((error for _, error in ended if error is not None), None):
                raise error
            yield [cast(R, result) for result, _ in ended]

    def owes(self) -> bool:
        with self._lock:
            return self._ahead > 0 or (len(self._lanes) > 0 and not self._stopped)

    def recall(self) -> list[T]:
        """The inputs that have not begun, which will not."""
        with self._change:
            waiting = self._lanes.drain()
            self._change.notify_all()
        return waiting

    def stop(self) -> None:
        """Start nothing more."""
        with self._lock:
            self._stopped = True
            self._change.notify_all()
        self._done.put(None)  # a reader who waits looks again whether anything is to come

    def close(self) -> None:
        """Start nothing more, and wait for what runs; its results are lost."""
        self.stop()
        for thread in self._threads:
            thread.join()
        self._closed(self)

    def _ended(self, most: int) -> Iterator[tuple[R | None, BaseException | None]]:
        """What else has ended by now."""
        while most and not self._done.empty():
            if (done := self._done.get()) is not None:
                most -= 1
                yield done

    def _serve(self) -> None:
        while (taken := self._take()) is not None:
            lane, each = taken
            try:
                self._done.put((self._work(each), None))
            except BaseException as error:  # not swallowed: handed to the thread that reads the results
                self._done.put((None, error))
            with self._change:
                self._lanes.free(lane)
                self._change.notify()

    def _take(self) -> tuple[Hashable, T] | None:
        """The next input that may start, waiting for it; None: nothing waits any more, and the thread is to end."""
        with self._change:
            while not self._stopped and len(self._lanes):
                if self._ahead >= self._most * _AHEAD:
                    self._change.wait()
                    continue
                now = time.monotonic()
                at = self._lanes.next_start()
                if at <= now:
                    taken = self._lanes.take(now)
                    self._ahead += 1
                    if self._lanes.next_start() < self._next_look:
                        self._change.notify()
                    return taken
                self._wait(at, now)
            self._alive -= 1
            self._change.notify_all()
            return None

    def _wait(self, until: float, now: float) -> None:
        """Sleep until something changes; of all who sleep, one looks at the clock as well."""
        if until >= self._next_look:
            self._change.wait()
            return
        self._next_look = until
        self._change.wait(until - now)
        if self._next_look == until:
            self._next_look = math.inf


def _end(patience: float | None) -> float:
    """When so many seconds are over, by the monotonic clock; None: never."""
    return math.inf if patience is None else time.monotonic() + patience


def direct(function: Callable[..., R], *arguments: Any) -> R:
    """The isolate in its simplest form: a plain call, safe for nothing."""
    return function(*arguments)


class Children:
    """An isolate of child processes: each call has a time and a memory limit, and costs at most its own child.

    No child starts before the first call. They come from a server process that runs no threads, and are replaced
    after a thousand calls, since what a hostile document leaves behind cannot be known.
    """

    def __init__(self, workers: int, seconds: float, megabytes: int, preload: tuple[str, ...] = ()) -> None:
        """`workers`: children at once; `seconds`, `megabytes`: the limits of a call, above what an idle child takes.

        `preload`: modules that the server process loads once, for all children.
        """
        self._workers = workers
        self._seconds = seconds
        self._megabytes = megabytes
        self._preload = preload
        self._lock = threading.Lock()
        self._pool: Any = None

    def __call__(self, function: Callable[..., R], *arguments: Any) -> R:
        """The function's result, or the exception it raised; FeedError: it ran into a limit, or its child died."""
        from pebble import ProcessExpired

        try:
            # Made a string here: pebble does it in a thread of its own, and what cannot be made one ends that for ever.
            call = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
            result: R = self._result(call)
        except TimeoutError as error:
            raise FeedError(f"reading the document took longer than {self._seconds:g} seconds") from error
        except MemoryError as error:
            raise FeedError(f"reading the document took more than {self._megabytes} MB of memory") from error
        except RecursionError as error:
            raise FeedError("the document is nested too deeply to be read") from error
        except (ProcessExpired, CancelledError) as error:
            raise FeedError("the process that was to read the document ended before it was done") from error
        return result

    def close(self) -> None:
        """End the children, and the calls that still run with them."""
        with self._lock:
            self._end()

    def _result(self, call: bytes) -> Any:
        """What the call gives; CancelledError: the pool broke down under it, so that nothing would ever come."""
        pool = self._started()
        future = pool.schedule(_carry_out, args=(call,), timeout=self._seconds)
        while not future.done():
            wait((future,), timeout=_GLANCE)
            if not pool.active and not future.done():
                raise CancelledError
        return future.result()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _started(self) -> Any:
        with self._lock:
            if self._pool is not None and not self._pool.active:
                self._end()
            if self._pool is None:
                self._pool = self._start()
            return self._pool

    def _start(self) -> Any:
        import multiprocessing

        from pebble import ProcessPool

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", "pebble", __name__, *self._preload])
        return ProcessPool(
            self._workers,
            max_tasks=_CALLS,
            initializer=_confine,
            initargs=(self._megabytes << 20,),
            context=cast(Any, context),
        )


# Calls of one child. Starting one that has its modules preloaded costs as much as one or two documents, but what tells
# languages by statistics takes it half a second to load again.
_CALLS = 1_000
_GLANCE = 5.0  # seconds between looks whether the pool that a call waits for is still there


def _carry_out(call: bytes) -> Any:
    """In a child: what `Children` was called with."""
    function, arguments = pickle.loads(call)  # noqa: S301 (our own, from the parent)
    return function(*arguments)


def _confine(room: int) -> None:
    """Called in a new child: bound its memory, and leave Ctrl-C to the parent, who ends its children itself."""
    import resource
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError, ValueError):  # elsewhere than on Linux, the time limit has to do
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + room
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
