"""Thread pool: call a function on several items at once, and stop all of them on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .._core import Stop

__all__ = ["map_in_threads"]

T = TypeVar("T")
R = TypeVar("R")

#: Calls under way at once, at most. So many overlap the serial part of each call; the limit bounds
#: the memory on machines with many cores.
_MOST_WORKERS = 8


def map_in_threads(
    function: Callable[[T], R],
    items: Iterable[T],
    n_threads: int,
    stop: Stop,
    on_done: Callable[[int, T], object] | None = None,
) -> list[R]:
    """Return the results of `function` for each item, in the order of the items.

    With one thread or one item the calls run in the calling thread, where Ctrl-C reaches the
    native code. Otherwise an exception, such as Ctrl-C, sets `stop`, which ends native calls under
    way in the other threads; calls that wait are cancelled.

    Parameters
    ----------
    function : callable
        Native code that it calls must watch `stop`.
    items : iterable
        One call for each.
    n_threads : int
        Upper limit of the number of calls under way at once.
    stop : Stop
        Ends the native calls.
    on_done : callable, optional
        Called in the calling thread with (calls done, item) when a call has ended.
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
