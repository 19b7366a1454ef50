"""Warn before comparisons in pairs that take long.

The time of almost every metric is linear in the rows and in the classes. The others compare rows or
classes in pairs, and their ``MetricSpec.pairs`` estimates how long: the one place that knows.
"""

from __future__ import annotations

from collections.abc import Callable

from .prepared import PreparedRequests
from .score import issue
from .spec import Size

__all__ = ["warn_of_pairs"]

#: Seconds below which nobody needs to be told.
LONG = 60.0


def warn_of_pairs(requests: PreparedRequests, size: Callable[[], Size], n_threads: int) -> None:
    """Warn of metrics that will compare pairs for long."""
    texts = []
    for name, pairs in requests.pairs.items():
        what, count, seconds = pairs(size(), requests[name])
        if (seconds := seconds / n_threads) < LONG:
            continue
        texts.append(
            f"{name} compares {count:,} {what} in pairs, which may take about "
            f"{_duration(seconds)} on {n_threads} thread{'s' if n_threads > 1 else ''}; interrupt "
            "it at any time, or score fewer"
        )
    if texts:
        issue(texts)


def _duration(seconds: float) -> str:
    """Return a rough length of time in words."""
    for unit, length in (("days", 86_400.0), ("hours", 3_600.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else "a minute"
