"""The pool of worker processes: a bounded queue, a time limit, and a new worker for a dead one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ._client import Client
from ._problems import Problem, busy, stopping
from ._settings import MOST_ANSWER, TOKEN_VARIABLE, Settings

__all__ = ["Pool"]

_START_SECONDS = 60.0
#: What stands before a result, and after it, in the line of a worker.
_BEFORE, _AFTER = b'{"result":', b"}\n"
_LOG = logging.getLogger("transferability.serve")


class _Worker:
    """One process, with requests and answers as lines of its standard input and output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.metrics: list[dict[str, Any]] = []

    @classmethod
    async def start(cls, settings: Settings) -> _Worker:
        """Start a process, and wait until it can compute."""
        env = {**os.environ, "PYTHONSAFEPATH": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        env.pop(TOKEN_VARIABLE, None)  # a worker reads what others have sent
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "transferability.serve._worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2 * MOST_ANSWER,
            env=env,
            start_new_session=True,  # Ctrl-C on a terminal is for the service, which drains
        )
        worker = cls(process)
        try:
            known = {**asdict(settings), "token": None}
            hello = await asyncio.wait_for(worker.ask(known), _START_SECONDS)
            worker.metrics = json.loads(hello)["metrics"]
        except BaseException:
            worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has closed its output, as it does when it is killed."""
        stdout = self._process.stdout
        return self._process.returncode is not None or stdout is None or stdout.at_eof()

    async def ask(self, request: dict[str, Any]) -> bytes:
        """Send a request and return the line of the answer; raise EOFError if the process ends."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "it is a pipe"
        assert stdout is not None, "it is a pipe"
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        except (OSError, ValueError) as error:
            raise EOFError(str(error)) from error
        if not line.endswith(b"\n"):
            raise EOFError("the worker ended")
        return line

    def kill(self) -> None:
        """End the process at once.

        Not by ``Process.kill``, which may take the exit status before the event loop does.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Return the exit status, when the process has ended."""
        return await self._process.wait()


class Pool:
    """Worker processes that take requests from one queue in the order of arrival."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: deque[_Worker] = deque()
        self._all: set[_Worker] = set()
        self._waiting: deque[asyncio.Future[_Worker]] = deque()
        self._watches: set[asyncio.Task[None]] = set()
        self._seconds = 0.1  # of a usual request: an exponential mean
        self._closed = False
        self.metrics: list[dict[str, Any]] = []
        self.lost = 0

    @property
    def queued(self) -> int:
        """Number of requests that wait for a worker."""
        return len(self._waiting)

    @property
    def alive(self) -> int:
        """Number of workers that can compute, or do."""
        return len(self._all)

    @property
    def running(self) -> int:
        """Number of requests that are computed now."""
        return len(self._all) - len(self._idle)

    async def open(self) -> None:
        """Start all workers, and wait for them."""
        await asyncio.gather(*(self._start() for _ in range(self._settings.workers)))

    async def close(self) -> None:
        """End all workers; what they compute is lost, and those who wait are told so."""
        self._closed = True
        for place in self._waiting:
            if not place.done():
                place.set_exception(stopping())
        self.kill()
        if self._watches:
            await asyncio.wait(self._watches, timeout=_START_SECONDS)

    def kill(self) -> None:
        """End all workers, without waiting for it."""
        for worker in [*self._all]:
            worker.kill()

    def check_queue(self) -> None:
        """Raise Problem 429 if the queue is full."""
        if len(self._waiting) >= self._settings.max_queue:
            raise self.busy(f"{len(self._waiting)} requests wait for a worker")

    def busy(self, reason: str) -> Problem:
        """Return Problem 429 with the seconds after which the queue has probably moved."""
        ahead = self._seconds * (len(self._waiting) + 1) / self._settings.workers
        return busy(reason, max(1, min(60, round(ahead))))

    async def run(self, request: dict[str, Any], client: Client) -> bytes:
        """Compute a request in a worker and return its result, as JSON.

        A request that waits is given up with its client; one that a worker has begun is finished.

        Raises
        ------
        Problem
            429 if the queue is full, 503 if the worker died, 504 if the time is over, and as the
            computation fails.
        Disconnected
            If the client has gone before a worker was idle.
        """
        worker = await self._take(client)
        start, keeps = time.monotonic(), False
        try:
            line = await asyncio.wait_for(worker.ask(request), self._settings.max_seconds)
            keeps = True
        except asyncio.TimeoutError:
            raise Problem(
                504,
                "TimeoutError",
                f"the computation took more than max_seconds = {self._settings.max_seconds:g} s "
                f"and was stopped; give fewer rows or columns, or cheaper metrics",
            ) from None
        except EOFError:
            detail = "the worker that computed this request has ended; the request can be repeated"
            raise Problem(503, "WorkerError", detail, {"Retry-After": "1"}) from None
        finally:
            self._seconds += (time.monotonic() - start - self._seconds) / 10
            if keeps:
                self._give_back(worker)
            else:
                worker.kill()  # dead, too slow, or not listened to; _watch starts another one
        if line.startswith(_BEFORE):
            return line[len(_BEFORE) : -len(_AFTER)]
        told = json.loads(line)["problem"]
        if "trace" in told:
            _LOG.error("error in a worker", extra={"trace": told.pop("trace")})
        raise Problem(**told, headers={"Retry-After": "1"} if told["status"] == 503 else None)

    async def _take(self, client: Client) -> _Worker:
        """Return an idle worker, after those who asked before."""
        if self._closed:
            raise stopping()
        while self._idle:
            worker = self._idle.popleft()
            if not worker.has_ended:  # else _watch starts another one
                return worker
        self.check_queue()
        place: asyncio.Future[_Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await client.wait(place, self._settings.max_seconds)
            return place.result()
        except BaseException as error:
            with suppress(ValueError):
                self._waiting.remove(place)
            if not place.cancel() and place.exception() is None:  # it came too late
                self._give_back(place.result())
            if isinstance(error, asyncio.TimeoutError):
                raise self.busy("no worker became idle in time") from None
            raise

    def _give_back(self, worker: _Worker) -> None:
        """Hand a worker to the next request that waits."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(worker)
                return
        self._idle.append(worker)

    async def _watch(self, worker: _Worker) -> None:
        """Start another worker when this one has ended."""
        status = await worker.wait()
        self._all.discard(worker)
        with suppress(ValueError):
            self._idle.remove(worker)
        if self._closed:
            return
        self.lost += 1
        _LOG.warning("a worker has ended", extra={"pid": worker.pid, "exit": status})
        delay = 0.1
        while not self._closed:
            try:
                await self._start()
                return
            except Exception as error:  # whatever it is, another try may end otherwise
                _LOG.error("no worker starts", extra={"error": type(error).__name__})
                await asyncio.sleep(delay)
                delay = min(30.0, 2 * delay)

    async def _start(self) -> None:
        worker = await _Worker.start(self._settings)
        if self._closed:
            worker.kill()
            return
        self._all.add(worker)
        self.metrics = worker.metrics
        self._give_back(worker)
        task = asyncio.get_running_loop().create_task(self._watch(worker))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
