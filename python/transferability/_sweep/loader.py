"""Prepare batches in threads while the model runs: in order, with a bounded look-ahead.

Decoding and resizing run without the interpreter lock, so threads use every core. Unlike processes
they need no start-up and no copy of a batch, and they end with the process of the model.
benches/python/bench_pictures.py compares a pass with its forward passes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from queue import SimpleQueue
from typing import Any

import numpy as np

from .._data.data import name_item
from .._util.memory import is_out_of_memory
from .._util.threads import resolve_threads
from .batches import RowBatch

__all__ = ["count_workers", "prepare", "seeded", "stack_named"]

#: Most threads that prepare batches, which bounds their memory.
_MOST_WORKERS = 8


def count_workers(is_concurrent: bool, n_threads: int | None) -> int | None:
    """Return the number of threads that prepare batches; None unless several may be made at once.

    `n_threads` is the number that the user gave, by default that of the package.
    """
    if not is_concurrent:
        return None
    return min(resolve_threads(n_threads), _MOST_WORKERS)


def prepare(
    batches: Generator[RowBatch, None, None],
    collate: Callable[..., Any],
    n_workers: int | None = None,
    read: Callable[[RowBatch], Any] | None = None,
) -> Generator[tuple[RowBatch, Any], None, None]:
    """Iterate over (batch, its input for the model), in order; threads prepare the next ones.

    The input is ``collate(batch)``. With `read`, it is ``collate(batch, read(batch))``, and one
    thread calls `read` for one batch after the other: items that may be read by one thread at a
    time, or that are random, are then the same for any number of threads.

    At most `n_workers` inputs are prepared beside the one in use. Within these threads torch is
    serial. Default: one thread, in which torch is as elsewhere. The input is None if it cannot be
    prepared there, because memory runs out or the data are bound to the thread that opened them.
    The caller then prepares it, and gets the error if it remains. An error of `batches` is raised
    here, in its turn. When this generator is closed, it waits for the batches in progress, and the
    threads end.
    """
    queue: SimpleQueue[Future[tuple[RowBatch, Any]] | None] = SimpleQueue()
    free, is_closed = threading.Semaphore(n_workers or 1), threading.Event()

    def plan() -> None:
        try:
            with closing(batches):
                while free.acquire() and not is_closed.is_set():
                    if (batch := next(batches, None)) is None:
                        break
                    items = () if read is None else (read(batch),)
                    queue.put(workers.submit(_make, collate, batch, *items))
                    del items
        except BaseException as error:  # in making the plan, such as a text without tokens
            failed: Future[tuple[RowBatch, Any]] = Future()
            failed.set_exception(error)
            queue.put(failed)
        queue.put(None)

    with (
        ThreadPoolExecutor(1, "transferability-plan") as planner,
        _start_workers(n_workers) as workers,
    ):
        planner.submit(plan)
        is_done = False
        try:
            while not (is_done := (future := queue.get()) is None):
                prepared = future.result()
                del future
                free.release()
                yield prepared
                del prepared
        finally:
            is_closed.set()
            free.release()
            while not is_done and (left := queue.get()) is not None:
                left.cancel()


def _make(collate: Callable[..., Any], batch: RowBatch, *items: Any) -> tuple[RowBatch, Any]:
    try:
        return batch, collate(batch, *items)
    except Exception:
        pass
    return batch, None  # without the traceback, which would keep the items alive


def _start_workers(n_workers: int | None) -> ThreadPoolExecutor:
    """Start threads; with a number, torch is serial in each, as they share the cores."""
    name = "transferability-prepare"
    if n_workers is None:
        return ThreadPoolExecutor(1, name)
    import torch

    n_here, started = torch.get_num_threads(), threading.Barrier(n_workers + 1)

    def begin() -> None:
        # OpenMP counts its own threads. Where there are more than cores, those that wait do not
        # keep a core busy that another thread needs; so each of these threads is made known to it.
        try:
            torch.get_num_threads()  # a thread takes the number that was set last when first asked
            torch.set_num_threads(2)
            torch.zeros(1 << 17).add_(1)  # enough to be divided
            torch.set_num_threads(1)
        finally:
            with suppress(threading.BrokenBarrierError):
                started.wait()

    workers = ThreadPoolExecutor(n_workers, name, begin)
    try:
        for _ in range(n_workers):
            workers.submit(int)
    except BaseException:  # the system has no more threads; those that started must not wait
        started.abort()
        workers.shutdown(cancel_futures=True)
        raise
    started.wait()
    torch.set_num_threads(n_here)  # for threads that start later
    return workers


def stack_named(
    stack: Callable[[Sequence[Any]], Any], items: Sequence[Any], names: Sequence[str]
) -> Any:
    """Return ``stack(items)``; an error names the first item that fails by itself."""
    try:
        return stack(items)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        for item, name in zip(items, names, strict=True):
            try:
                stack([item])
            except Exception as own:
                raise name_item(own, name) from own
        raise


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of the host within a context, and restore them afterwards.

    A user's preprocessing may draw from those of Python, NumPy or torch.
    """
    import torch

    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002
