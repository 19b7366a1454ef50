"""A Dask scheduler and workers as processes of their own on the loopback, for tests and benches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import transferability

__all__ = ["Cluster"]


class Cluster:
    """Started by ``with``; whatever happens inside, every process is gone afterwards."""

    def __init__(self, folder: Path, n_workers: int = 2) -> None:
        self._folder = folder
        self._n_workers = n_workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self.client: Any = None

    def __enter__(self) -> Cluster:
        from distributed import Client

        try:
            where = self._folder / "scheduler.json"
            # Should this process be killed, the scheduler ends by itself, and with it its workers.
            own = ("--idle-timeout", "600 seconds")
            self._start("scheduler", "--host", "127.0.0.1", "--port", "0", *own)
            _wait(where.exists, "the scheduler", self._folder)
            for _ in range(self._n_workers):
                self.add_worker()
            self.client = Client(scheduler_file=str(where), timeout=30)
            self.client.wait_for_workers(self._n_workers, timeout=60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        if self.client is not None:
            self.client.close()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(timeout=30)

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        return str(self.client.scheduler.address)

    def add_worker(self) -> None:
        """Start one more worker of one thread."""
        # No nanny: it would start a killed worker again.
        self._start("worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")

    def kill_worker(self, pid: int) -> None:
        """End a worker as a power cut would."""
        os.kill(pid, signal.SIGKILL)

    def _start(self, what: str, *options: str) -> None:
        log = (self._folder / f"{what}-{len(self._processes)}.log").open("wb")
        command = [sys.executable, "-m", "dask", what, "--no-dashboard", *options]
        command += ["--scheduler-file", str(self._folder / "scheduler.json")]
        with log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,  # not the tests' own: paths must not depend on it
                    # The package that is tested here, and what tests send to workers.
                    env={**os.environ, "PYTHONPATH": _python_path()},
                )
            )


def _python_path() -> str:
    here, package = Path(__file__).parent, Path(transferability.__file__).parents[1]
    return os.pathsep.join(map(str, (here, package)))


def _wait(ready: Any, what: str, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            raise TimeoutError(f"{what} did not start in {seconds:g} s:\n{logs}")
        time.sleep(0.02)
