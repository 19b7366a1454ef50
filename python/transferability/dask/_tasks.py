"""What runs on the workers of Dask: functions of files and arrays, each on one thread.

All of them can run again with the same result to the bit, so a lost worker costs its own shards
only. An error of this package is returned as a :class:`Failure`, not raised: it says what is wrong
with the data, where another try would only read the shard again. Anything else, such as a file
system that does not answer, is raised, and Dask tries again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from .. import io
from .._inputs.labels import read_labels
from .._inputs.target import Target
from .._ranking.rank_stats import row_of_stats
from .._ranking.ranking import Row
from .._stats.stats import Stats
from ..errors import (
    DataError,
    DtypeError,
    OutOfMemoryError,
    TransferabilityError,
)
from ..io._formats import LABEL_SUFFIXES, name_array
from ..io._labels import join_labels, read_label_array
from ..io._paths import expand_paths

__all__ = [
    "Failure",
    "describe",
    "find_shards",
    "hold",
    "merge_states",
    "read_block",
    "read_label_files",
    "read_shard",
    "score_model",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Failure:
    """What is wrong with the data, on its way to the client."""

    error: TransferabilityError


def _returning_failures(function: F) -> F:
    """Return errors of this package, and the first Failure among the arguments."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        for argument in args:
            if isinstance(argument, Failure):
                return argument
        try:
            return function(*args)
        except OutOfMemoryError:  # another worker may have more
            raise
        except TransferabilityError as error:
            return Failure(error)

    return wrapper  # type: ignore[return-value]


def hold(value: object) -> object:
    """Keep what the client sent, in a form that the scheduler can send again."""
    return value


@_returning_failures
def find_shards(paths: Sequence[str]) -> tuple[io.Shard, ...]:
    """List the shards under paths, with their rows and columns, from their headers."""
    return io.open_features(paths).shards


@_returning_failures
def read_label_files(paths: Sequence[str]) -> tuple[NDArray[Any], list[tuple[Path, int]]]:
    """Read and concatenate the labels of several files; return the length of each file too."""
    files = expand_paths(paths, "labels", LABEL_SUFFIXES)
    names = [name_array(*file) for file in files]
    parts = [
        read_labels(read_label_array(*file), name)[0]
        for file, name in zip(files, names, strict=True)
    ]
    lengths = [(path, len(part)) for (path, _), part in zip(files, parts, strict=True)]
    return join_labels(parts, names, "file"), lengths


@_returning_failures
def read_shard(shard: io.Shard, labels: Target, options: Mapping[str, Any]) -> Stats:
    """Give the statistics of one file; its errors name the file and the row."""
    return io.stats_of(io.FeatureSource((shard,)), labels, n_threads=1, progress=False, **options)


@_returning_failures
def read_block(block: object, labels: Target, where: str, options: Mapping[str, Any]) -> Stats:
    """Give the statistics of one chunk of an array."""
    try:
        own = labels.part(0, labels.n_samples)
        return Stats(n_threads=1, **options).update(block, own)
    except (DataError, DtypeError) as error:
        raise type(error)(f"{where}: {error}") from error


@_returning_failures
def merge_states(left: Stats, right: Stats) -> Stats:
    """Add two states; Dask may hold them for others too, so neither changes."""
    return on_threads(left, 1).merge(right)


@_returning_failures
def score_model(
    name: str, stats: Stats, labels: Target, requests: Mapping[str, dict[str, Any]]
) -> Row:
    """Score the statistics of all shards, where they are: only the row travels."""
    row = row_of_stats(name, on_threads(describe(stats, labels), 1), requests)
    return replace(
        row,
        seconds=row.seconds + stats._seconds,
        # What concerns the labels is said once, by the ranking.
        notes=tuple(note for note in row.notes if note not in labels.warnings),
    )


def describe(stats: Stats, labels: Target) -> Stats:
    """Say of the statistics what is known of all labels: a shard knows its own rows only."""
    twin = _twin(stats)
    twin._target = labels.without_rows()
    twin._note(labels.warnings)
    return twin


def on_threads(stats: Stats, n_threads: int | None) -> Stats:
    """Give the same statistics with another number of threads for what is done with them."""
    twin = _twin(stats)
    twin._n_threads = n_threads
    return twin


def _twin(stats: Stats) -> Stats:
    """Give an object of its own for the same sums, which nothing here changes."""
    return stats._with(stats._inner)
