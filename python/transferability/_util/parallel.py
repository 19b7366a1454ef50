"""Thread pool: call a function on several items at once, and stop all calls on Ctrl-C."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from .._core import Stop
from ..errors import TransferabilityWarning

__all__ = ["map_in_threads", "threads_of_each"]

T = TypeVar("T")
R = TypeVar("R")

#: Maximal number of calls at once: enough to overlap the serial part of each call, and few enough
#: to bound the memory on machines with many cores.
_MOST_WORKERS = 8
#: Calls for each thread from which calls of one thread each are faster: none waits for the parts of
#: another, and the threads that have no call at the end cost at most one in so many.
_MANY = 16


def threads_of_each(n_items: int, n_threads: int) -> int:
    """Return the number of threads for each of the calls of :func:`map_in_threads`.

    Many calls get one thread each. Few calls share all threads, so that none is idle at the end.
    """
    return 1 if n_threads <= _MOST_WORKERS and n_items >= _MANY * n_threads else n_threads


def map_in_threads(
    function: Callable[[T], R],
    items: Iterable[T],
    n_threads: int,
    stop: Stop,
    on_done: Callable[[int, T], object] | None = None,
) -> list[R]:
    """Return the results of `function` for each item, in the order of the items.

    At most `n_threads` calls run at once. With one thread or one item they run in the calling
    thread, where Ctrl-C reaches the native code. Otherwise an exception, such as Ctrl-C, sets
    `stop`, which interrupts native code in the other threads that watches it, and cancels waiting
    calls. `on_done` is called in the calling thread with (calls done, item) after each call. Where
    the system lets fewer threads start, a warning says so, and these make all calls.
    """
    items = list(items)
    report = on_done or (lambda n_done, item: None)
    n_workers = min(n_threads, len(items), _MOST_WORKERS)
    if n_workers <= 1:
        results = []
        for item in items:
            results.append(function(item))
            report(len(results), item)
        return results
    calls: dict[Future[R], T] = {Future(): item for item in items}
    waiting = deque(calls.items())

    def make_calls() -> None:
        while waiting:
            try:
                future, item = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                future.set_result(function(item))
            except BaseException as error:
                waiting.clear()
                future.set_exception(error)

    pool = ThreadPoolExecutor(n_workers, "transferability")
    try:
        if _start(pool, make_calls, n_workers) == 0:
            make_calls()
        for n_done, future in enumerate(as_completed(calls), start=1):
            future.result()
            report(n_done, calls[future])
        return [future.result() for future in calls]
    except BaseException:
        waiting.clear()
        stop.set()
        raise
    finally:
        pool.shutdown()


def _start(pool: ThreadPoolExecutor, work: Callable[[], None], n_threads: int) -> int:
    """Run `work` in threads, in as many as the system lets start; return their number."""
    for n_started in range(n_threads):
        try:
            pool.submit(work)
        except RuntimeError:  # a limit of threads or of address space
            found = max(n_started, 1)
            warnings.warn(
                f"the system let this process start {found} of {n_threads} threads (a limit of "
                f"threads or of address space); results are the same, slower; pass "
                f"n_threads={found} to say so",
                TransferabilityWarning,
                stacklevel=3,
            )
            return n_started
    return n_threads
