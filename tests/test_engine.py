"""Engines and isolates: one suite for all of each kind, then what only one of them promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from aggregator.domains import registrable_domain
from aggregator.engine import Children, Inline, Threads, direct
from aggregator.errors import FeedError
from aggregator.ports import Engine, Isolate, Run

# Engines

ENGINES: dict[str, Callable[[], Engine]] = {
    "inline": Inline,
    "one thread": lambda: Threads(1, 1, 0.0),
    "threads": lambda: Threads(8, 2, 0.0),
    "more threads than work": lambda: Threads(200, 200, 0.0),
    "spaced threads": lambda: Threads(8, 2, 0.002),
}


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine: Engine = request.param()
    yield engine
    engine.close()


def test_every_input_is_worked_on_once(engine: Engine) -> None:
    """As many results as inputs, and the right ones, whatever lanes they are in."""
    results = list(engine.map(lambda number: number * 2, range(100), lambda number: number % 7))
    assert Counter(results) == Counter(number * 2 for number in range(100))


def test_no_input_means_no_result(engine: Engine) -> None:
    """A map over nothing ends at once."""
    assert list(engine.map(str, [], str)) == []


def test_results_may_be_none(engine: Engine) -> None:
    """A result that is None is a result."""
    assert list(engine.map(lambda _: None, range(3), str)) == [None, None, None]


def test_an_engine_maps_again(engine: Engine) -> None:
    """Maps follow one another."""
    for _ in range(3):
        assert sorted(engine.map(abs, [-1, -2], str)) == [1, 2]


def test_a_fault_in_the_work_reaches_the_reader(engine: Engine) -> None:
    """Work must not raise; if it does, the error is seen, not swallowed."""
    with pytest.raises(ZeroDivisionError):
        list(engine.map(lambda number: 1 // number, [0], str))


def test_a_closed_engine_begins_nothing(engine: Engine) -> None:
    """Who was told to stop before the work came stays stopped."""
    engine.close()
    assert list(engine.map(abs, [1, 2], str)) == []


def test_closing_starts_no_more(engine: Engine) -> None:
    """After close, what was not begun stays so, and nothing runs on."""
    started = []
    results = engine.map(lambda number: started.append(number), range(1000), lambda number: number)
    next(results)
    results.close()
    begun = len(started)
    assert begun < 1000
    threading.Event().wait(0.02)
    assert len(started) == begun


def test_work_does_not_run_far_ahead_of_its_reader() -> None:
    """Results that nobody reads yet are few, so that memory stays bounded."""
    started: list[int] = []
    results = Threads(4, 4, 0.0).map(started.append, range(1000), str)
    for _ in range(3):
        next(results)
        threading.Event().wait(0.05)
        assert len(started) <= 4 * 4 + 3
    assert len(list(results)) == 997


def test_reading_may_be_slow(engine: Engine) -> None:
    """Results wait for their reader."""
    seen = []
    for result in engine.map(abs, range(20), str):
        time.sleep(0.001)
        seen.append(result)
    assert sorted(seen) == list(range(20))


def test_what_has_ended_comes_together(engine: Engine) -> None:
    """All results come once, in lists that are neither empty nor longer than asked for."""
    run: Run[int, int] = engine.begin(lambda number: number * 2, lambda number: number % 7)
    with closing(run):
        run.add(range(100))
        batches = list(run.batches(5))
    assert sorted(result for batch in batches for result in batch) == [number * 2 for number in range(100)]
    assert {len(batch) for batch in batches} <= {1, 2, 3, 4, 5}


def test_results_that_have_ended_wait_for_none_that_has_not() -> None:
    """While one input hangs, the others' results come, those that ended meanwhile in one list."""
    release, ended = threading.Event(), threading.Semaphore(0)

    def work(number: int) -> int:
        if number == 0:
            release.wait(5)
        ended.release()
        return number

    run = Threads(4, 4, 0.0).begin(work, str)
    run.add(range(4))
    batches = run.batches(10)
    first = next(batches)
    for _ in range(3):
        assert ended.acquire(timeout=5)
    release.set()
    rest = list(batches)
    assert 0 not in first
    assert sorted([*first, *(result for batch in rest for result in batch)]) == [0, 1, 2, 3]


def test_a_run_takes_further_inputs_and_reads_on_where_it_stopped(engine: Engine) -> None:
    """What was added while nothing was read, or after all had ended, comes as well."""
    run: Run[int, int] = engine.begin(lambda number: number * 2, lambda number: number % 7)
    with closing(run):
        run.add(range(50))
        run.add(range(50, 60))
        some = [result for batch in run.batches(5, 0.0) for result in batch]
        rest = [result for batch in run.batches(5) for result in batch]
        assert sorted(some + rest) == [number * 2 for number in range(60)]
        assert list(run.batches(5)) == []
        run.add([60])
        assert list(run.batches(5)) == [[120]]


def test_what_has_not_begun_can_be_taken_back(engine: Engine) -> None:
    """It does not begin; what has begun comes, and what is added later is worked on."""
    release, begun = threading.Event(), list[int]()

    def work(number: int) -> int:
        begun.append(number)
        release.wait(0 if isinstance(engine, Inline) else 20)
        return number

    run: Run[int, int] = engine.begin(work, lambda _: "a")
    with closing(run):
        run.add(range(250))
        recalled = run.recall()
        assert len(recalled) >= 50
        release.set()
        run.add([250])
        assert sorted([result for batch in run.batches(5) for result in batch] + recalled) == list(range(251))
        assert not set(begun) & set(recalled)
        assert not run.owes()


def test_lanes_that_hang_take_no_more_than_their_turn() -> None:
    """Where all threads are taken, the next one free goes to the lane that has begun nothing for longest."""
    began = list[str]()
    engine = Threads(1, 1, 0.0)
    for names in (["slow"], ["slower"], ["slower", "slow", "quick"]):
        list(engine.map(began.append, names, lambda name: name))
    assert began == ["slow", "slower", "quick", "slow", "slower"]


def test_a_run_whose_inputs_hang_takes_others_and_keeps_its_limits() -> None:
    """Three hang, of which two fill their lane: what is added has the one thread left; then all come to be read."""
    release, began = threading.Event(), threading.Semaphore(0)

    def work(lane: str) -> str:
        if lane.startswith("slow"):
            began.release()
            release.wait(20)
        return lane

    run: Run[str, str] = Threads(4, 2, 0.0).begin(work, str)
    with closing(run):
        run.add(["slow", "slow", "slow", "slower"])
        for _ in range(3):
            assert began.acquire(timeout=20)
        assert list(run.batches(10, 0.0)) == []
        run.add(["quick"])
        assert next(run.batches(10, 20.0)) == ["quick"]
        run.add(["slower", "slowest"])
        assert began.acquire(timeout=20)
        assert not began.acquire(timeout=0.1), "more than four at once, or more than two in one lane"
        release.set()
        rest = [result for batch in run.batches(10) for result in batch]
    assert sorted(rest) == ["slow"] * 3 + ["slower"] * 2 + ["slowest"]


def test_closing_the_engine_wakes_who_waits_for_a_run() -> None:
    """What waits for its turn never begins, and nobody waits for it."""
    engine = Threads(4, 4, 1000.0)
    run: Run[int, int] = engine.begin(abs, lambda _: "a")
    with closing(run):
        run.add([1, 2])
        batches = run.batches(10)
        assert next(batches) == [1]
        threading.Timer(0.1, engine.close).start()
        assert list(batches) == []


class Diary:
    """Work that takes a while and notes who ran when."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.starts: dict[str, list[float]] = {}

    def __call__(self, lane: str) -> str:
        with self.lock:
            self.starts.setdefault(lane, []).append(time.monotonic())
            for name in (lane, "all"):
                self.running[name] += 1
                self.most[name] = max(self.most[name], self.running[name])
        time.sleep(self.seconds)
        with self.lock:
            for name in (lane, "all"):
                self.running[name] -= 1
        return lane


def test_limits_hold_in_each_lane_and_in_all() -> None:
    """At most `per_lane` of a lane and `concurrency` of all run at once, and both are reached."""
    diary = Diary(0.01)
    list(Threads(6, 2, 0.0).map(diary, ["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["d"] * 20, str))
    assert diary.most == {"a": 2, "b": 2, "c": 2, "d": 2, "all": 6}


def test_starts_in_one_lane_are_spaced() -> None:
    """Two visits to one domain never start closer than the gap, also from one map or addition to the next."""
    diary, engine, begun = Diary(0.0), Threads(8, 3, 0.05), time.monotonic()
    for _ in range(2):
        list(engine.map(diary, ["a", "b"] * 4, str))
    run: Run[str, str] = engine.begin(diary, str)
    with closing(run):
        for _ in range(2):
            run.add(["a", "b"])
            next(run.batches(1))
        list(run.batches(4))
    for starts in diary.starts.values():
        assert len(starts) == 10  # a thread may note its start late, and never before it was due
        assert all(at >= begun + number * 0.05 for number, at in enumerate(starts))


def test_late_answers_are_waited_for_side_by_side() -> None:
    """Ninety answers that are 0.3 s late, thirty at once: that takes three times as long as one, not ninety times."""
    never = threading.Event()

    def answer(number: int) -> int:
        never.wait(0.3)
        return number

    begin = time.monotonic()
    assert sorted(Threads(30, 30, 0).map(answer, range(90), str)) == list(range(90))
    assert time.monotonic() - begin < 90 * 0.3 / 3


def test_a_slow_lane_holds_up_no_other() -> None:
    """A domain whose server hangs ties up its own share of threads and nothing else."""
    release = threading.Event()

    def work(lane: str) -> str:
        if lane == "slow":
            release.wait(30)
        return lane

    results = Threads(4, 2, 0.0).map(work, ["slow"] * 50 + [f"quick {number}" for number in range(200)], str)
    first = [next(results) for _ in range(200)]
    assert "slow" not in first
    release.set()
    assert list(results) == ["slow"] * 50


def test_waiting_for_a_gap_does_not_delay_other_lanes() -> None:
    """A crowded lane waits for its turns while the others run through."""
    results = list(Threads(2, 2, 0.05).map(str, ["a"] * 4 + ["b", "c", "d"], str))
    assert set(results[:4]) == {"a", "b", "c", "d"}


def test_closing_lets_running_work_end() -> None:
    """What runs when the reader leaves is not cut off."""
    ended: list[int] = []
    entered = threading.Barrier(3, timeout=10)

    def work(number: int) -> None:
        if number:
            entered.wait()
            time.sleep(0.05)
        ended.append(number)

    results = Threads(3, 1, 0.0).map(work, [0, 1, 2], lambda number: number)
    next(results)
    entered.wait()
    results.close()
    assert sorted(ended) == [0, 1, 2]


def test_closing_the_engine_yields_what_runs_and_no_more() -> None:
    """A daemon that is told to stop still gets the visits under way."""
    engine = Threads(2, 1, 0.0)
    go = threading.Event()

    def work(number: int) -> int:
        go.wait(10)
        return number

    results = engine.map(work, range(100), lambda number: number)

    def stop() -> None:
        engine.close()
        go.set()

    threading.Timer(0.05, stop).start()
    assert sorted(results) == [0, 1]


def test_ctrl_c_ends_a_map_and_its_threads() -> None:
    """An interrupt reaches the reader, after which no thread is left."""
    script = """
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell started this aside
from aggregator.engine import Threads
def work(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.02)
try:
    for _ in Threads(4, 4, 0.0).map(work, range(100000), str):
        pass
except KeyboardInterrupt:
    print("interrupted", threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "interrupted 1\n", done.stderr


def test_ten_thousand_inputs_cost_little() -> None:
    """Well under a millisecond each, whether all are in lanes of their own or all in one."""
    for lane in (lambda number: number, lambda number: 0):
        started = time.process_time()
        assert sum(1 for _ in Threads(16, 16, 0.0).map(abs, range(10_000), lane)) == 10_000
        assert time.process_time() - started < 4


# Lanes


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.example.org/feed", "example.org"),
        ("https://a.b.example.co.uk/feed?x=1", "example.co.uk"),
        ("https://User:pw@News.Example.COM:8443/", "example.com"),
        ("https://example.com./", "example.com"),
        ("https://someone.github.io/feed", "someone.github.io"),
        ("https://www.yna.co.kr/rss", "yna.co.kr"),
        ("https://co.uk/", "co.uk"),
        ("http://127.0.0.1:8001/a", "127.0.0.1:8001"),
        ("http://127.0.0.1:8002/a", "127.0.0.1:8002"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]:80"),
        ("http://localhost:9000/", "localhost:9000"),
        ("http://localhost/", "localhost"),
        ("nonsense", ""),
    ],
)
def test_lane_of_a_link(url: str, domain: str) -> None:
    """What an owner registered is one lane; addresses and bare names are theirs, by port."""
    assert registrable_domain(url) == domain


# Isolates


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children(workers=2, seconds=1.0, megabytes=200)
    yield children
    children.close()


@pytest.fixture(params=["direct", "children"])
def isolate(request: pytest.FixtureRequest) -> Isolate:
    if request.param == "direct":
        return direct
    isolate: Isolate = request.getfixturevalue("children")
    return isolate


def test_isolate_returns_what_the_function_returns(isolate: Isolate) -> None:
    """Arguments go in, the result comes out, megabytes included."""
    assert isolate(len, b"x" * 3_000_000) == 3_000_000
    assert isolate(bytes, 3_000_000) == bytes(3_000_000)
    assert isolate(dict, [("a", 1)]) == {"a": 1}


def test_isolate_passes_errors_on(isolate: Isolate) -> None:
    """What the function raises is raised, FeedError with its words."""
    with pytest.raises(ValueError, match="invalid literal"):
        isolate(int, "x")
    with pytest.raises(FeedError, match="not a feed"):
        isolate(_complain, "this is not a feed")


def _complain(words: str) -> None:
    raise FeedError(words)


def _nest(depth: int) -> int:
    return 1 + _nest(depth + 1)


def _nested() -> list[object]:
    """Deeper than can be sent to another process."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


def _suicide() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (time.sleep, (60,), "longer than 1 seconds"),
        (bytearray, (400_000_000,), "more than 200 MB"),
        (_suicide, (), "ended before it was done"),
        (os._exit, (3,), "ended before it was done"),
        (_nest, (0,), "nested too deeply"),
        (len, (_nested(),), "nested too deeply"),
    ],
)
def test_a_child_that_goes_wrong_costs_its_call_alone(
    children: Children, function: Callable[..., Any], arguments: tuple[Any, ...], words: str
) -> None:
    """Time, memory, death and depth become a FeedError in words; the next call works."""
    with pytest.raises(FeedError, match=words):
        children(function, *arguments)
    assert children(len, "abc") == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_pool_that_broke_down_is_replaced(children: Children) -> None:
    """A call that waits for it fails, in words and soon; the next one works."""
    for break_at in (0, 1):
        assert children(len, "abc") == 3
        tasks = children._pool._context.task_queue
        with tasks.mutex:  # what ends the thread that hands out calls, before the next call or just behind it
            tasks.queue.append("no task")
            tasks.unfinished_tasks += 1
            if break_at == 0:
                tasks.not_empty.notify()
        if break_at:
            with pytest.raises(FeedError, match="ended before it was done"):
                children(len, "abc")
        else:
            children._pool._loops[0].join(20)
    assert children(len, "abc") == 3


def test_calls_run_beside_a_hanging_one(children: Children) -> None:
    """While one child hangs, the other goes on."""
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(children, time.sleep, 60)
        assert [children(len, "x" * number) for number in range(20)] == list(range(20))
        assert isinstance(hanging.exception(), FeedError)


def test_no_child_starts_before_the_first_call_and_none_outlives_its_parent() -> None:
    """A run with nothing to parse costs no process; a parent killed outright leaves no orphan."""
    script = """
import os, sys
from pathlib import Path
from aggregator.engine import Children
def offspring():
    parents = (task.read_text().rsplit(")", 1)[1].split()[1] for task in Path("/proc").glob("[0-9]*/stat"))
    return sum(1 for parent in parents if int(parent) == os.getpid())
if __name__ == "__main__":
    children = Children(2, 5.0, 500)
    before, pid = offspring(), children(os.getpid)
    print(before, offspring() > 0, pid, "multiprocessing" in sys.modules, flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    before, after, pid, _ = done.stdout.split()
    assert (before, after) == ("0", "True"), done.stderr
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
