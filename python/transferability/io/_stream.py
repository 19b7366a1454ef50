"""Compute statistics of features in files in one pass, with prefetch of the next block."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features
from .._inputs.target import UNLABELLED, Target, has_labels, read_block, unlabelled
from .._inputs.types import ArrayLike, PathLike
from .._stats.stats import Stats
from .._util.progress import Progress, row_progress
from ..errors import DataError, TransferabilityError
from ._checkpoint import Checkpoint
from ._labels import check_length
from ._open import PathsOrPairs, open_features
from ._shards import FeatureSource, Rows, iterate_blocks

__all__ = ["add_rows", "prefetch_items", "stats_of"]

T = TypeVar("T")


def stats_of(
    source: FeatureSource | PathsOrPairs,
    labels: ArrayLike | PathLike | None = None,
    *,
    task: str = "auto",
    class_scatters: bool = False,
    precision: str = "double",
    n_threads: int | None = None,
    progress: Progress = None,
    prefetch: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    key: str | None = None,
    label_column: str | None = None,
) -> Stats:
    """Compute the statistics of features in files in one pass.

    The labels are read first. Then features are read in blocks of a few megabytes, and a thread
    prefetches the next block during the arithmetic.

    Parameters
    ----------
    source : FeatureSource, path, list of paths, or list of pairs
        The result of :func:`open_features`, or the paths that it takes.
    labels : array-like, path, or list of paths, optional
        As in :func:`open_features`. Without labels, the statistics are those of the features alone,
        as of ``Stats("unlabelled")``.
    task : {"auto", "classification", "regression", "multilabel", "unlabelled"}, default="auto"
        The kind of the labels. "auto" decides when a score is asked for, by the rows of all
        statistics that were merged. "unlabelled" does not read any.
    class_scatters, precision
        As in :class:`transferability.Stats`.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.
    progress : bool or callable, optional
        None: a tqdm bar, or lines of text, on a terminal. A callable gets (rows done, total rows,
        file).
    prefetch : bool, default=True
        Whether a thread reads the next block. The result does not depend on it.
    checkpoint : path, optional
        A file for the statistics of the complete shards, written after every shard, or less often
        if writing takes more than a tenth of the time. If it exists, the pass resumes from it. It
        is not removed at the end.
    key, label_column : str, optional
        As in :func:`open_features`.

    Returns
    -------
    stats : Stats
        The same files in the same order give the same bits, also if the pass was resumed.

    Raises
    ------
    DataError, DtypeError
        As :func:`open_features`, and for values that are not finite; the message names their file
        and row. The checkpoint then holds all shards before that file.

    Examples
    --------
    >>> import tempfile, numpy as np, transferability as tx
    >>> rng, path = np.random.default_rng(0), tempfile.mkdtemp() + "/x.npy"
    >>> features, labels = rng.normal(size=(100, 4)), rng.integers(0, 3, 100)
    >>> np.save(path, features)
    >>> tx.io.stats_of(path, labels).logme() == tx.logme(features, labels)
    True
    """
    target, given = (labels, None) if isinstance(labels, Target) else (None, labels)
    asked = task if target is None else target.task
    if not isinstance(source, FeatureSource):
        source = open_features(source, given, key=key, label_column=label_column)
    elif key is not None or label_column is not None or given is not None:
        raise DataError("labels, key and label_column go to open_features when a source is opened")
    if target is None:
        found = given if task == UNLABELLED else source.labels()
        asked = UNLABELLED if found is None and task == "auto" else task
        # Constant targets are kept: they may vary in other statistics, which are merged later.
        is_labelled = has_labels(found, asked)
        target = read_block(found, task, None) if is_labelled else unlabelled(source.n_samples)
    stats = Stats(asked, precision, n_threads, class_scatters=class_scatters)
    kept, done = None, 0
    if checkpoint is not None:
        settings = {"precision": precision, "class_scatters": class_scatters}
        kept = Checkpoint(checkpoint, source, {**settings, "labels": target.digest()})
        stats, done = kept.load(n_threads) or (stats, 0)
    keep = None if kept is None else kept.keep
    with ExitStack() as stack:
        advance = stack.enter_context(row_progress(progress, source.n_samples))
        if kept is not None:
            stack.callback(kept.write)  # also after an error, to keep the complete shards
        add_rows(
            stats, source, target, first=done, on_rows=advance, on_shard=keep, prefetch=prefetch
        )
    return stats


def add_rows(
    stats: Stats,
    source: FeatureSource,
    target: Target,
    *,
    first: int = 0,
    on_rows: Callable[[int, int, str], object] | None = None,
    on_shard: Callable[[Stats, int], object] | None = None,
    prefetch: bool = True,
) -> None:
    """Add the rows of the shards from index `first` on, with their part of the labels.

    Calls ``on_rows(rows done, rows in all, shard)`` after each block and ``on_shard(stats, shards
    done)`` after each shard.
    """
    check_length("labels", target, f"{source} has", source.n_samples)
    done = sum(shard.n_samples for shard in source.shards[:first])
    blocks = iterate_blocks(source.shards[first:])
    with closing(prefetch_items(blocks) if prefetch else blocks) as reading:
        for features, where in reading:
            try:
                array, notes = as_features(features)
                own = target.take(slice(done, done + len(array)))
                stats.push(array, own, notes=notes, columns=where.shard.columns or None)
            except TransferabilityError as error:
                raise _name_rows(error, features, where) from error
            done += len(features)
            if on_rows is not None:
                on_rows(done, source.n_samples, str(where.shard))
            if where.stop == where.shard.n_samples:
                first += 1
                if on_shard is not None:
                    on_shard(stats, first)


def prefetch_items(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Iterate over items with prefetch: a thread makes the next item while one is used.

    At most two items are alive. An error in the thread is raised here. When this generator is
    closed, it waits for the item in progress, and the thread ends.
    """
    with closing(items), ThreadPoolExecutor(1, "transferability-read") as reader:
        future = reader.submit(next, items, None)
        while (item := future.result()) is not None:
            future = reader.submit(next, items, None)
            yield item


def _name_rows(error: TransferabilityError, features: NDArray[Any], where: Rows) -> Exception:
    """Return an error that also names the file, and the row of a value that is not finite."""
    values = np.asarray(features)
    bad = np.argwhere(~np.isfinite(values)) if values.dtype.kind == "f" else np.empty((0, 2))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        value = str(float(values[row, column])).replace("inf", "infinite")
        return DataError(
            f"{where.shard}, row {where.start + row}, column {column} is {value}; drop that row "
            f"and its label, or find out where it comes from"
        )
    return type(error)(f"{where}: {error}")
