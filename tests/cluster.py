"""A Dask cluster for tests: a scheduler and workers in processes of their own, on free ports of loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.test_daemon import eventually, free_port

# A worker's own process may have children only so; no page for people, which would want one more library.
_SURROUNDINGS = {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}


class RunningCluster:
    """Use as a context manager. Each worker is a process group, so that it dies with all its children."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
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
        self._scheduler, log = self._start("scheduler", "scheduler", "--port", str(self._port))
        eventually(lambda: "Scheduler at" in log.read_text())

    def work(self) -> subprocess.Popen[bytes]:
        """Start one more worker, of four threads."""
        name = f"worker-{len(self.workers)}"
        folder = str(self._folder / name)
        worker, log = self._start(name, "worker", self.address, "--nthreads", "4", "--local-directory", folder)
        self.workers.append(worker)
        eventually(lambda: "Registered to" in log.read_text())
        return worker

    def _start(self, name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._folder / f"{name}.log"
        command = [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **_SURROUNDINGS}, stdout=output, stderr=output, start_new_session=True
            )
        return process, log


def kill(process: subprocess.Popen[bytes]) -> None:
    """With kill -9, its children too."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
