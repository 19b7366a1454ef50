"""Thread pool: call a function on several items at once, and stop all calls on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from .._core import Stop

__all__ = ["map_in_threads"]

T = TypeVar("T")
R = TypeVar("R")

#: Maximal number of calls at once: enough to overlap the serial part of each call, and few enough
#: to bound the memory on machines with many cores.
_MOST_WORKERS = 8


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
