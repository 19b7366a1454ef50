"""One call to a Dask cluster: read labels, find shards, plan a tree reduction of statistics."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from numpy.typing import NDArray

from .._inputs.arrays import check_choice, instance_of
from .._inputs.labels import read_labels
from .._inputs.target import TASKS, UNLABELLED, Target, has_labels, read_block, unlabelled
from .._util.optional import need
from ..errors import DataError, DtypeError
from ..io import FeatureSource, Shard
from ..io._labels import check_length, join_labels
from ..io._pairing import is_pairs, split_pairs
from ..io._paths import is_listed, is_paths, names_labels
from ..io._row_labels import LabelFiles, check_same
from . import _tasks as tasks

__all__ = ["Job"]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a dask array, as a delayed array; `where` names them in messages."""

    n_samples: int
    where: str
    array: Any

    def __str__(self) -> str:
        return self.where


#: The rows that one task reads: a shard in a file, or a chunk of a dask array.
Piece: TypeAlias = Shard | Chunk


class Job:
    """One call: the client of the cluster, the models, and the labels that all models share.

    A task that raises an exception is repeated `retries` times.
    """

    def __init__(
        self, client: Any, models: Mapping[str, Any], labels: object, task: str, retries: int
    ) -> None:
        self._distributed = need("distributed", extra="dask", what="transferability.dask")
        self._dask = need("dask", extra="dask", what="transferability.dask")
        if not isinstance(client, self._distributed.Client) or client.asynchronous:
            raise DtypeError(
                f"client is {client!r}; give a distributed.Client that is not asynchronous"
            )
        check_choice("task", task, ("auto", *TASKS, UNLABELLED))
        self._client = client
        self._retries = retries
        self._futures: list[Any] = []
        self._parts: dict[tuple[int, int], Any] = {}
        self._models = models
        self._label_files = LabelFiles()
        self._own_labels: dict[str, LabelFiles] = {}  # by model, of pairs
        self.target = self._read_target(labels, task)

    def __enter__(self) -> Job:
        """Return the job; the end of the block releases its futures."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Release all futures, also after an error or Ctrl-C."""
        for future in self._futures:
            future.release()

    def delay(self, function: Any, *args: Any) -> Any:
        """Return a delayed call, which does not run yet."""
        return self._dask.delayed(function, pure=False)(*args)

    def compute(self, task: Any) -> Any:
        """Start a delayed call and its inputs as one graph; Dask then merges while it reads."""
        return self._track(self._client.compute(task, retries=self._retries))

    def submit(self, function: Any, *args: Any) -> Any:
        """Start one call on a worker."""
        future = self._client.submit(function, *args, retries=self._retries, pure=False)
        return self._track(future)

    def send(self, value: object) -> Any:
        """Send a value to the cluster once. Unlike scattered data, it survives a lost worker."""
        with self._dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            return self.submit(tasks.hold, value)

    def result(self, future: Any) -> Any:
        """Wait for a future and return its result; raise the error of a :class:`Failure`."""
        value = future.result()
        if isinstance(value, tasks.Failure):
            raise value.error
        return value

    def as_completed(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Iterate over futures as they finish."""
        yield from self._distributed.as_completed(list(futures), loop=self._client.loop)

    def find_shards(self) -> dict[str, Sequence[Piece] | Exception]:
        """Find the shards of every model, or the error that prevents it."""
        headers = {
            name: self.submit(tasks.find_shards, _absolute(_features_of(value)))
            for name, value in self._models.items()
            # A string may be a folder that exists on the workers only.
            if isinstance(value, str) or is_pairs(value) or is_paths(value)
        }
        found: dict[str, Sequence[Piece] | Exception] = {}
        for name, value in self._models.items():
            try:
                if name in headers:
                    shards = self.result(headers[name])
                    found[name] = self._align(name, shards, is_listed(value))
                elif isinstance(value, FeatureSource):
                    found[name] = self._align(name, value.shards, True)
                else:
                    chunks = _list_chunks(value)
                    self._check_rows(chunks)
                    self._label_files.check_array()
                    found[name] = chunks
            except Exception as error:  # concerns this model only
                found[name] = error
        return found

    def plan_statistics(self, pieces: Sequence[Piece], options: Mapping[str, Any]) -> Any:
        """Return the delayed statistics of all pieces, merged by a tree reduction.

        Neighbours are merged pair by pair. The tree depends only on the number of pieces, and so
        does the rounding of the result.
        """
        level, start = [], 0
        for piece in pieces:
            labels = self._send_part(start, start + piece.n_samples)
            start += piece.n_samples
            if isinstance(piece, Shard):
                read = self.delay(tasks.read_shard, piece, labels, options)
            else:
                read = self.delay(tasks.read_block, piece.array, labels, piece.where, options)
            level.append(read)
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            rest = level[-1:] if len(level) % 2 else []
            level = [*(self.delay(tasks.merge_stats, *pair) for pair in pairs), *rest]
        return level[0]

    def _track(self, future: Any) -> Any:
        self._futures.append(future)
        return future

    def _send_part(self, start: int, stop: int) -> Any:
        """Send the labels of some rows, once for all models with the same shards."""
        if (start, stop) not in self._parts:
            self._parts[start, stop] = self.send(self.target.take(slice(start, stop)))
        return self._parts[start, stop]

    def _check_rows(self, pieces: Sequence[Piece]) -> None:
        """Raise unless there is a label for each row, or without labels as many as before."""
        n_samples = sum(piece.n_samples for piece in pieces)
        held = f"{pieces[0]} has"
        if len(pieces) > 1:
            held = f"the {len(pieces)} shards from {pieces[0]} to {pieces[-1]} have"
        if self.target.task == UNLABELLED:
            if self.target.n_samples not in (0, n_samples):
                raise DataError(
                    f"{held} {n_samples} rows, and the models before {self.target.n_samples}; give "
                    f"the same rows of every model"
                )
            self.target = unlabelled(n_samples)
            return
        check_length("labels", self.target, held, n_samples)

    def _align(self, name: str, shards: Sequence[Shard], listed: bool) -> list[Shard]:
        """Return the shards of a model in the order of the labels; raise if they do not match."""
        self._check_rows(shards)
        if is_pairs(self._models[name]) and name not in self._own_labels:
            raise DataError("features holds pairs, which have their labels; leave out labels")
        files = self._own_labels.get(name, self._label_files)
        # Workers run in other folders. The client sends the labels.
        absolute = [replace(s, path=s.path.absolute(), labels=None) for s in shards]
        return list(files.align(absolute, listed))

    def _read_target(self, labels: Any, task: str) -> Target:
        """Read the labels of all shards, without a decision that other rows may change."""
        if task == UNLABELLED and not has_labels(labels, task):
            return unlabelled(0)  # the rows are counted later
        if self._dask.is_dask_collection(labels):
            labels = self.result(self.compute(labels))
        elif names_labels(labels):
            # A worker reads the files, which may not exist here, and sends their labels.
            files = self.submit(tasks.read_label_files, _absolute(labels), False)
            labels, self._label_files = self.result(files)
        elif labels is None:
            labels = check_same({name: self._read_own(name) for name in self._models})
        return read_block(labels, task, None)

    def _read_own(self, name: str) -> NDArray[Any] | None:
        """Read the labels that a model has of its own, in pairs or in an opened source."""
        value = self._models[name]
        if isinstance(value, FeatureSource):
            self._own_labels[name] = LabelFiles(paired=True)
            return value.labels()
        if not is_pairs(value):
            return None
        paths, parts = split_pairs(value)
        if all(isinstance(part, (str, os.PathLike)) for part in parts):
            files = self.submit(tasks.read_label_files, _absolute(parts), True)
            array, self._own_labels[name] = self.result(files)
            return array  # type: ignore[no-any-return]
        names = [f"labels of {os.fspath(path)}" for path in paths]
        arrays = [read_labels(*each)[0] for each in zip(parts, names, strict=True)]
        self._own_labels[name] = LabelFiles(lengths=tuple(map(len, arrays)), paired=True)
        return join_labels(arrays, names, "pair")


def _features_of(value: Any) -> Any:
    """Return the paths of features of a model, without the labels of pairs."""
    return split_pairs(value)[0] if is_pairs(value) else value


def _list_chunks(array: Any) -> list[Chunk]:
    """Return the chunks of a dask array, rechunked to whole rows."""
    if not instance_of(array, "dask.array", "Array"):
        raise DtypeError(
            f"features are of type {type(array).__name__}; give paths, which the workers read, or "
            f"a dask array; pass arrays in memory to transferability.rank"
        )
    if array.ndim != 2:
        raise DataError(f"features must be 2-D, got a dask array of shape {array.shape}")
    if any(math.isnan(rows) for rows in array.chunks[0]):
        raise DataError(
            "features is a dask array with chunks of unknown length; call compute_chunk_sizes() on "
            "it first"
        )
    whole = array.rechunk({1: -1})
    pieces, start = [], 0
    for i, (chunk, rows) in enumerate(zip(whole.to_delayed()[:, 0], whole.chunks[0], strict=True)):
        if rows:
            where = f"chunk {i} of the dask array, which begins at row {start}"
            pieces.append(Chunk(rows, where, chunk))
        start += rows
    if not pieces:
        raise DataError(f"features is a dask array without rows: shape {array.shape}")
    return pieces


def _absolute(value: Any) -> list[str]:
    """Return absolute paths, because workers run in other folders."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    return [os.path.abspath(os.fspath(entry)) for entry in entries]
