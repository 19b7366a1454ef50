"""A Dask scheduler and workers as processes of their own on the loopback, for tests and benches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transferability
from transferability.dask import _tasks as _dask_tasks

__all__ = ["Cluster", "fail_reading", "gate_reading", "n_tasks", "wait_for"]


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
        own = ("--no-nanny", "--death-timeout", "60")
        self._start("worker", "--nthreads", "1", "--host", "127.0.0.1", *own)

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


def gate_reading(folder: str, free: int) -> None:
    """On a worker: note every shard that is begun; after `free` of them wait for the file go."""
    read, gate = _dask_tasks.io.stats_of, Path(folder)

    def gated(path: Any, *args: Any, **options: Any) -> Any:
        n_begun = len(list(gate.glob("begun-*")))
        pid, now = os.getpid(), time.monotonic_ns()
        (gate / f"begun-{pid}-{now}").touch()
        if n_begun >= free and not (gate / "go").exists():
            (gate / f"waits-{pid}-{now}").touch()
            wait_for((gate / "go").exists)
        return read(path, *args, **options)

    _dask_tasks.io.stats_of = gated


def fail_reading(folder: str, name: str, n_failures: int) -> None:
    """On a worker: reading a file fails that often, counted by files as workers share them."""
    read = getattr(_dask_tasks.io.stats_of, "read", _dask_tasks.io.stats_of)

    def flaky(source: Any, *args: Any, **options: Any) -> Any:
        if source.shards[0].path.name == name and len(os.listdir(folder)) < n_failures:
            Path(folder, str(time.monotonic_ns())).touch()
            raise OSError("the server does not answer")
        return read(source, *args, **options)

    flaky.read = read  # type: ignore[attr-defined]
    _dask_tasks.io.stats_of = flaky


def wait_for(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def n_tasks(dask_scheduler: Any) -> int:
    """On the scheduler: count what it knows of."""
    return len(dask_scheduler.tasks)
