"""Thread pool: call a function on several items at once, and stop all calls on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from .._core import Stop

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
    calls. `on_done` is called in the calling thread with (calls done, item) after each call.
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
    pool = ThreadPoolExecutor(n_workers, "transferability")
    try:
        running = {pool.submit(function, item): item for item in items}
        for n_done, future in enumerate(as_completed(running), start=1):
            future.result()
            report(n_done, running[future])
        return [future.result() for future in running]
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
