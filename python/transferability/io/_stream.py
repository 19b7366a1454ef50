"""One pass over features in files: reading runs ahead of the arithmetic, by one block."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features
from .._inputs.target import Target, read_target, unlabelled
from .._stats.stats import Stats
from .._util.progress import Progress
from ..errors import DataError, TransferabilityError
from ._checkpoint import Checkpoint
from ._open import open_features
from ._paths import Paths
from ._progress import row_progress
from ._shards import FeatureSource, Rows, Shard

__all__ = ["add_rows", "ahead", "stats_of", "target_of"]

T = TypeVar("T")


def stats_of(
    source: FeatureSource | Paths,
    labels: object = None,
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
    """Compute the statistics of features in files in one pass, in little memory.

    Features are read a block of some megabytes at a time; the next one is read while one is
    worked on. Labels are read before, all of them, which decides the task once.

    Parameters
    ----------
    source : FeatureSource, path, or list of paths
        What :func:`open_features` gives, or what it takes.
    labels : array-like, path, or list of paths, optional
        As :func:`open_features` takes them. Without any, the statistics describe the features
        alone, and no metric can be computed from them.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        What the labels are.
    class_scatters : bool, default=False
        As in :class:`transferability.Stats`.
    precision : {"double", "single"}, default="double"
        As in :class:`transferability.Stats`.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.
    progress : bool or callable, optional
        None: a bar on a terminal where tqdm is installed. A callable gets (rows done, rows in
        all, file).
    prefetch : bool, default=True
        Whether a thread reads ahead. The result does not depend on it.
    checkpoint : path, optional
        A file that holds what is done after every shard, or less often where writing it would
        take more than a tenth of the time. If it exists, the pass continues from it; it is not
        removed at the end.
    key, label_column : str, optional
        As :func:`open_features` takes them.

    Returns
    -------
    stats : Stats
        The same files in the same order give the same bits, interrupted or not.

    Raises
    ------
    DataError, DtypeError
        As :func:`open_features`, and for values that are no finite numbers, with their file and
        row. A checkpoint then holds every shard before.

    Examples
    --------
    >>> import tempfile, numpy as np, transferability as tx
    >>> rng, path = np.random.default_rng(0), tempfile.mkdtemp() + "/x.npy"
    >>> features, labels = rng.normal(size=(100, 4)), rng.integers(0, 3, 100)
    >>> np.save(path, features)
    >>> tx.io.stats_of(path, labels).logme() == tx.logme(features, labels)
    True
    """
    decided = labels if isinstance(labels, Target) else None
    if not isinstance(source, FeatureSource):
        given = None if decided is not None else labels
        source = open_features(source, given, key=key, label_column=label_column)
    elif key is not None or label_column is not None or (labels is not None and decided is None):
        raise DataError("labels, key and label_column go to open_features when a source is opened")
    target = target_of(source, task) if decided is None else decided
    stats = Stats(target.task, precision, n_threads, class_scatters=class_scatters)
    settings = {"precision": precision, "class_scatters": class_scatters}
    kept, done = None, 0
    if checkpoint is not None:
        kept = Checkpoint(checkpoint, source, {**settings, "labels": target.digest()})
        stats, done = kept.load(n_threads) or (stats, 0)
    with ExitStack() as stack:
        advance = stack.enter_context(row_progress(progress, source.n_samples))
        if kept is not None:
            stack.callback(kept.write)  # what was complete when something went wrong, too
        add_rows(
            stats,
            source,
            target,
            first=done,
            on_rows=advance,
            on_shard=None if kept is None else kept.keep,
            prefetch=prefetch,
        )
    return stats


def target_of(source: FeatureSource, task: str = "auto") -> Target:
    """Read the labels of all rows and decide what they are."""
    labels = source.labels()
    if labels is None:
        return unlabelled(source.n_samples)
    # Columns that are the same in all of these rows stay: other parts, merged later, may differ.
    return read_target(labels, task)


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
    """Push the rows of the shards from the `first` on, with their part of the labels."""
    if target.n_samples != source.n_samples:
        raise DataError(
            f"labels has {target.n_samples} entries but {source} has {source.n_samples} rows; give "
            f"one label for each row"
        )
    done = sum(shard.n_samples for shard in source.shards[:first])
    blocks = _blocks(source.shards[first:])
    with closing(ahead(blocks) if prefetch else blocks) as reading:
        for features, where in reading:
            try:
                array, notes = as_features(features)
                stats.push(array, target.part(done, done + len(array)), notes=notes)
            except TransferabilityError as error:
                raise _located(error, features, where) from error
            done += len(features)
            if on_rows is not None:
                on_rows(done, source.n_samples, str(where.shard))
            if where.stop == where.shard.n_samples:
                first += 1
                if on_shard is not None:
                    on_shard(stats, first)


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Give items one by one, the next of which a thread makes meanwhile.

    At most two are alive. What goes wrong in the thread is raised here; however this ends, the
    thread ends with it, at the latest when the item under way is made.
    """
    with closing(items), ThreadPoolExecutor(1, "transferability-read") as reader:
        future = reader.submit(next, items, None)
        while (item := future.result()) is not None:
            future = reader.submit(next, items, None)
            yield item


def _blocks(shards: Sequence[Shard]) -> Generator[tuple[NDArray[Any], Rows], None, None]:
    """Give the features of all shards, block by block."""
    for shard in shards:
        start = 0
        for features in shard.features():
            stop = start + len(features)
            yield features, Rows(shard, start, stop)
            start = stop


def _located(error: TransferabilityError, features: NDArray[Any], where: Rows) -> Exception:
    """Say in which file, and in which row of it, something is wrong."""
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
