"""Calls functions on a Dask cluster that runs already, through its `concurrent.futures` executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from aggregator.errors import EngineError, FeedError

R = TypeVar("R")

CONNECT = 10.0  # seconds; a scheduler that runs answers within one


class Cluster:
    """An isolate (ports.Isolate) whose calls are made by the workers of one scheduler.

    It connects at the first call, and anew after a scheduler went away; what was under way then is lost. A call whose
    worker dies is made by another, until three have died of it.
    """

    def __init__(self, address: str, patience: float, rest: float = 30.0) -> None:
        """`address`: of the scheduler, as "tcp://host:8786" or "tls://…"; `patience`: seconds, the way included.

        `rest`: seconds for which nothing is sent after nobody could be reached: each call would wait in vain as long.
        """
        self._address = address
        self._patience = patience
        self._rest = rest
        self._lock = threading.Lock()
        self._client: Any = None
        self._executor: Any = None
        self._rests_until = 0.0  # by the monotonic clock
        self._why = ""

    def __call__(self, function: Callable[..., R], *arguments: Any) -> R:
        """The function's result, or the exception it raised; FeedError: three workers died of it.

        EngineError: the cluster cannot be reached, went away, or has no worker that is free.
        """
        from distributed.scheduler import KilledWorker

        executor = self._connected()
        future = None
        try:
            future = executor.submit(function, *arguments)
            result: R = future.result(self._patience)
        except KilledWorker as error:
            raise FeedError("three workers died, one after the other, while they made the visit") from error
        except TimeoutError as error:
            if future is not None:
                future.cancel()
            raise self._resting(f"no worker of {self._address} was done within {self._patience:.0f} seconds") from error
        except (EngineError, FeedError):
            raise
        except Exception as error:  # what it is called differs with the moment at which the connection broke
            self._drop(executor)
            raise EngineError(f"the scheduler {self._address} went away: {type(error).__name__}") from error
        return result

    def close(self) -> None:
        """Give up what is under way."""
        self._drop(self._executor)

    def _connected(self) -> Any:
        with self._lock:
            if time.monotonic() < self._rests_until:
                raise EngineError(self._why)
            if self._executor is None:
                self._connect()
            return self._executor

    def _connect(self) -> None:
        from distributed import Client

        connect: Any = Client  # whose parameters have no types
        try:
            client = connect(self._address, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            said = str(error).partition("\n")[0] or type(error).__name__
            raise self._resting(f"the scheduler {self._address} cannot be reached: {said}") from error
        if not client.nthreads():
            client.close(timeout=1)
            raise self._resting(f"the scheduler {self._address} has no worker")
        self._client, self._executor = client, client.get_executor(pure=False)

    def _resting(self, why: str) -> EngineError:
        self._why, self._rests_until = why, time.monotonic() + self._rest
        return EngineError(why)

    def _drop(self, executor: Any) -> None:
        with self._lock:
            if executor is None or executor is not self._executor:
                return
            client, self._client, self._executor = self._client, None, None
        executor.shutdown(wait=False)
        client.close(timeout=1)
