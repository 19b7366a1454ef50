"""One call to a Dask cluster: labels decided once, shards found, states merged in a tree."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _dask_tasks as tasks
from ._input import check_choice, instance_of
from ._labels import read_labels
from ._optional import need
from ._target import TASKS, Target, read_target
from .errors import DataError, DtypeError

__all__ = ["Job", "Shard"]

#: Endings by which a list of strings is one of label files, not of labels.
_LABEL_FILES = (".npy", ".npz", ".csv", ".txt")


@dataclass(frozen=True)
class Shard:
    """Rows that one task reads: a file, or a chunk of a dask array."""

    where: str
    n_samples: int
    n_features: int
    chunk: Any = None


class Job:
    """One call: the cluster, and the labels that all models share."""

    def __init__(self, client: Any, labels: object, task: str, retries: int) -> None:
        self._distributed = need("distributed", extra="dask", what="transferability.dask")
        self._dask = need("dask", extra="dask", what="transferability.dask")
        if not isinstance(client, self._distributed.Client) or client.asynchronous:
            raise DtypeError(
                f"client is {client!r}; give a distributed.Client that is not asynchronous"
            )
        check_choice("task", task, ("auto", *TASKS))
        self._client = client
        self._retries = retries
        self._futures: list[Any] = []
        self._parts: dict[tuple[int, int], Any] = {}
        self.target = self._read_target(labels, task)

    def __enter__(self) -> Job:
        """Begin a call."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Let the cluster forget what is left of the call, such as after Ctrl-C."""
        for future in self._futures:
            future.release()

    def task(self, function: Any, *args: Any) -> Any:
        """Describe a call on a worker; nothing runs yet."""
        return self._dask.delayed(function, pure=False)(*args)

    def compute(self, task: Any) -> Any:
        """Start a task and all that it needs, as one graph: Dask then merges as it reads."""
        return self._mine(self._client.compute(task, retries=self._retries))

    def submit(self, function: Any, *args: Any) -> Any:
        """Start a single call on a worker."""
        future = self._client.submit(function, *args, retries=self._retries, pure=False)
        return self._mine(future)

    def send(self, value: object) -> Any:
        """Hand a value to the cluster once; unlike scattered data it outlives its worker."""
        with self._dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            return self.submit(tasks.hold, value)

    def result(self, future: Any) -> Any:
        """Wait for a task; raise what went wrong there."""
        value = future.result()
        if isinstance(value, tasks.Failure):
            raise value.error
        return value

    def as_completed(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Give futures as they end."""
        yield from self._distributed.as_completed(list(futures))

    def find(self, models: Mapping[str, Any]) -> dict[str, list[Shard] | Exception]:
        """Give the shards of every model, or why there are none."""
        headers = {
            name: self.submit(tasks.find_shards, _paths(value))
            for name, value in models.items()
            if _is_paths(value)
        }
        found: dict[str, list[Shard] | Exception] = {}
        for name, value in models.items():
            try:
                if name in headers:
                    shards = [
                        Shard(os.fspath(shard.path), shard.n_samples, shard.n_features)
                        for shard in self.result(headers[name])
                    ]
                else:
                    shards = _chunks(value)
                self._check(shards)
                found[name] = shards
            except Exception as error:  # that model's own
                found[name] = error
        return found

    def state(self, shards: Sequence[Shard], options: Mapping[str, Any]) -> Any:
        """Describe the statistics of all shards: pairs of neighbours merge, in a fixed tree."""
        level, start = [], 0
        for shard in shards:
            labels = self._part(start, start + shard.n_samples)
            start += shard.n_samples
            if shard.chunk is None:
                level.append(self.task(tasks.read_shard, shard.where, labels, options))
            else:
                level.append(self.task(tasks.read_block, shard.chunk, labels, shard.where, options))
        while len(level) > 1:
            pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
            level = [
                self.task(tasks.merge_states, *pair) if len(pair) == 2 else pair[0]
                for pair in pairs
            ]
        return level[0]

    def _mine(self, future: Any) -> Any:
        self._futures.append(future)
        return future

    def _part(self, start: int, stop: int) -> Any:
        if (start, stop) not in self._parts:
            self._parts[start, stop] = self.send(self.target.part(start, stop))
        return self._parts[start, stop]

    def _check(self, shards: Sequence[Shard]) -> None:
        """Refuse shards of other columns than the first, and rows without labels."""
        first, n_samples = shards[0], sum(shard.n_samples for shard in shards)
        for shard in shards:
            if shard.n_features != first.n_features:
                raise DataError(
                    f"{shard.where} has {shard.n_features} features but {first.where} has "
                    f"{first.n_features}; the shards of a model must agree"
                )
        if n_samples != self.target.n_samples:
            raise DataError(
                f"labels has {self.target.n_samples} entries but the {len(shards)} shards from "
                f"{first.where} to {shards[-1].where} have {n_samples} rows; give one label for "
                f"each row"
            )

    def _read_target(self, labels: Any, task: str) -> Target:
        """Decide once what the labels of all shards are: those of one may look different."""
        if self._dask.is_dask_collection(labels):
            labels = self.result(self.compute(labels))
        elif _are_label_files(labels):
            # The workers see the files; the client reads what they hold, a number for each row.
            files = [self.submit(tasks.read_label_file, path) for path in _paths(labels)]
            parts = [read_labels(self.result(file))[0] for file in files]
            labels = parts[0] if len(parts) == 1 else _joined(parts, _paths(labels))
        return read_target(labels, task)


def _joined(parts: Sequence[Any], paths: Sequence[str]) -> Any:
    """Put the labels of several files one after the other."""
    for part, path in zip(parts, paths, strict=True):
        if (part.dtype.kind == "U") != (parts[0].dtype.kind == "U"):
            raise DtypeError(
                f"labels are text in one of {paths[0]} and {path}, numbers in the other"
            )
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(
                f"labels have shape {parts[0].shape} in {paths[0]} and {part.shape} in {path}"
            )
    return np.concatenate(parts)


def _chunks(array: Any) -> list[Shard]:
    """Give the row chunks of a dask array; each must hold whole rows."""
    if not instance_of(array, "dask.array", "Array"):
        raise DtypeError(
            f"features are a {type(array).__name__}; give paths, which the workers read, or a dask "
            f"array; what is in memory here transferability.rank takes"
        )
    if array.ndim != 2:
        raise DataError(f"features must be 2-D, got a dask array of shape {array.shape}")
    if any(math.isnan(rows) for rows in array.chunks[0]):
        raise DataError(
            "features is a dask array with chunks of unknown length; call compute_chunk_sizes() on "
            "it first"
        )
    whole = array.rechunk({1: -1})
    shards, start = [], 0
    for i, (chunk, rows) in enumerate(zip(whole.to_delayed()[:, 0], whole.chunks[0], strict=True)):
        if rows:
            where = f"chunk {i} of the dask array, which begins at row {start}"
            shards.append(Shard(where, rows, array.shape[1], chunk))
        start += rows
    if not shards:
        raise DataError(f"features is a dask array without rows: shape {array.shape}")
    return shards


def _is_paths(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(entry, (str, os.PathLike)) for entry in value)
    return isinstance(value, (str, os.PathLike))


def _are_label_files(labels: Any) -> bool:
    if not _is_paths(labels):
        return False
    entries = labels if isinstance(labels, (list, tuple)) else [labels]
    # "labels.npz:y" is a member of a file; other strings are classes.
    return all(
        isinstance(entry, os.PathLike) or Path(entry.partition(":")[0]).suffix in _LABEL_FILES
        for entry in entries
    )


def _paths(value: Any) -> list[str]:
    """Give paths as workers can open them, which run in folders of their own."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    return [os.path.abspath(os.fspath(entry)) for entry in entries]
