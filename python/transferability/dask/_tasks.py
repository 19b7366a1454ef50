"""Tasks on the workers of Dask: functions of files and arrays, each on one thread.

Every task is deterministic to the last bit and can run again, so after the loss of a worker only
its shards are read again. An error of this package concerns the data, and a retry cannot cure it:
it is returned as a :class:`Failure`. Dask retries after any other error, such as one of the file
system.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from .. import io
from .._inputs.target import Target
from .._ranking.row import Row, build_stats_row
from .._stats.stats import Stats
from ..errors import DataError, DtypeError, OutOfMemoryError, TransferabilityError
from ..io import _row_labels
from ..io._row_labels import LabelFiles

__all__ = [
    "Failure",
    "attach_labels",
    "find_shards",
    "hold",
    "merge_stats",
    "read_block",
    "read_label_files",
    "read_shard",
    "score_model",
    "set_threads",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Failure:
    """An error of the data, returned to the client instead of raised."""

    error: TransferabilityError


def _return_failures(function: F) -> F:
    """Decorate a task to return errors of this package, or a Failure among its arguments."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        for argument in args:
            if isinstance(argument, Failure):
                return argument
        try:
            return function(*args)
        except OutOfMemoryError:  # another worker may have more memory
            raise
        except TransferabilityError as error:
            return Failure(error)

    return wrapper  # type: ignore[return-value]


def hold(value: object) -> object:
    """Return a value. As the result of a task, which can run again, it survives a lost worker."""
    return value


@_return_failures
def find_shards(paths: Sequence[str]) -> tuple[io.Shard, ...]:
    """Find the shards under paths, with their rows and columns, by reading headers."""
    return io.open_features(paths).shards


@_return_failures
def read_label_files(paths: Sequence[str], paired: bool) -> tuple[NDArray[Any], LabelFiles]:
    """Read and concatenate the labels of several files; return the facts about the files too."""
    return _row_labels.read_label_files(paths, paired)


@_return_failures
def read_shard(shard: io.Shard, labels: Target, options: Mapping[str, Any]) -> Stats:
    """Compute the statistics of one shard; errors name the file and the row."""
    return io.stats_of(io.FeatureSource((shard,)), labels, n_threads=1, progress=False, **options)


@_return_failures
def read_block(block: object, labels: Target, where: str, options: Mapping[str, Any]) -> Stats:
    """Compute the statistics of one chunk of an array."""
    try:
        aligned = labels.take(slice(None))
        return Stats(n_threads=1, **options).update(block, aligned)
    except (DataError, DtypeError) as error:
        raise type(error)(f"{where}: {error}") from error


@_return_failures
def merge_stats(left: Stats, right: Stats) -> Stats:
    """Merge two statistics without changing them, because Dask may pass them to other tasks."""
    return set_threads(left, 1).merge(right)


@_return_failures
def score_model(
    name: str, stats: Stats, labels: Target, requests: Mapping[str, dict[str, Any]]
) -> Row:
    """Score the statistics of all shards on a worker; only the row is sent to the client."""
    row = build_stats_row(name, set_threads(attach_labels(stats, labels), 1), requests)
    return row.replace(
        seconds=row.seconds + stats.seconds,
        # Notes on the labels belong to the ranking, once for all models.
        notes=tuple(note for note in row.notes if note not in labels.warnings),
    )


def attach_labels(stats: Stats, labels: Target) -> Stats:
    """Return statistics with the facts and warnings of all labels; a shard has only its own."""
    return stats.replace(target=labels, warnings=labels.warnings)  # no task changes the sums


def set_threads(stats: Stats, n_threads: int | None) -> Stats:
    """Return statistics with another number of threads for later calls."""
    return stats.replace(n_threads=n_threads)
