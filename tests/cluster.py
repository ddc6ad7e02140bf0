"""A Dask cluster for tests: a scheduler and workers in processes of their own, on free ports of loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.daemons import eventually, free_port
from tests.network import Place

# A worker's own process may have children only so; no page for people, which would want one more library.
_SURROUNDINGS = {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
# Who is not heard of is given up soon, where Dask's own patience is half a minute on the wire and minutes for a worker.
_HASTY = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "15s"}


class RunningCluster:
    """Use as a context manager. Each worker is a process group, so that it dies with all its children."""

    def __init__(self, folder: Path, place: Place | None = None) -> None:
        """`place`: where the scheduler runs, if that is a network that will be cut."""
        self._surroundings = os.environ | _SURROUNDINGS | (_HASTY if place else {})
        place = place or Place()
        self._folder = folder
        self._place = place
        self._port = free_port()
        self.address = f"tcp://{place.host}:{self._port}"
        self._scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> RunningCluster:
        self.schedule()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            kill(worker)
        self.stop()

    def stop(self) -> None:
        """Kill the scheduler."""
        if self._scheduler is not None:
            kill(self._scheduler)

    def schedule(self) -> None:
        """Start the scheduler, again at the same address."""
        self._scheduler, log = self._start("scheduler", self._place, "scheduler", "--port", str(self._port))
        eventually(lambda: "Scheduler at" in log.read_text())

    def work(self, place: Place = Place()) -> subprocess.Popen[bytes]:  # noqa: B008
        """Start one more worker, of four threads."""
        name = f"worker-{len(self.workers)}"
        folder = str(self._folder / name)
        arguments = ("worker", self.address, "--nthreads", "4", "--local-directory", folder)
        worker, log = self._start(name, place, *arguments)
        self.workers.append(worker)
        eventually(lambda: "Registered to" in log.read_text())
        return worker

    def _start(self, name: str, place: Place, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._folder / f"{name}.log"
        command = [*place.enter, sys.executable, "-m", "dask", *arguments, "--host", place.host, "--no-dashboard"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=self._surroundings, stdout=output, stderr=output, start_new_session=True
            )
        return process, log


def kill(process: subprocess.Popen[bytes]) -> None:
    """With kill -9, its children too."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
