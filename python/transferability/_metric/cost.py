"""Warn before comparisons in pairs that take long.

The time of almost every metric is linear in the rows and in the classes. The others compare rows or
classes in pairs, and their ``MetricSpec.pairs`` estimates how long: the one place that knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .registry import spec_of
from .score import issue

__all__ = ["Size", "warn_of_pairs"]

#: Seconds below which nobody needs to be told.
LONG = 60.0


class Size(NamedTuple):
    """The size of the inputs of a metric; no classes for other tasks."""

    n_samples: int
    n_features: int
    n_classes: int


def warn_of_pairs(
    requests: Mapping[str, Mapping[str, Any]], size: Callable[[], Size], n_threads: int
) -> None:
    """Warn of metrics, with the kernel options of ``plan``, that will compare pairs for long."""
    texts = []
    for name, options in requests.items():
        pairs = spec_of(name).pairs
        if pairs is None:
            continue
        what, count, seconds = pairs(options, size())
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
