"""Features in files: their shards, the blocks in which shards are read, and their labels."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._inputs.columns import join_names
from .._inputs.inputs import RowSource
from .._inputs.integers import check_exact
from .._inputs.rows import RowIndex
from ..errors import DataError
from ._formats import name_array, name_errors, open_array
from ._labels import check_length, join_labels, read_label_parts
from ._names import File
from ._pairing import check_order
from ._row_index import check_stored_index, check_stored_rows
from ._spec import Reader

__all__ = ["Block", "FeatureSource", "Rows", "Shard", "iterate_blocks"]

#: Bytes of a block as stored. The threads share its products in pieces of about 2,500 rows, so
#: several threads have work. With the prefetched block and the accumulators of the threads, memory
#: stays below 150 MB at 768 features.
_BYTES = 24 << 20
_MOST_ROWS = 1 << 18


@dataclass(frozen=True, eq=False)
class Shard:
    """A part of the rows: one array in one file, which is open only during reads.

    Attributes
    ----------
    path : Path
        The file.
    key : str or None
        The array or the columns of the file; None if it holds only one array.
    n_samples, n_features : int
        Rows and columns.
    dtype : numpy.dtype
        Of the features as stored.
    labels : str, tuple of (Path, str or None), ndarray or None
        A column of the same file, another file with its key, an array, or None without labels.
    columns : tuple of str
        The names of the features, where the file has them, in the order of the first such shard.
    order : tuple of int or None
        The positions in the file of these columns; None if the file has them in this order.
    """

    path: Path
    key: str | None
    n_samples: int
    n_features: int
    dtype: np.dtype[Any]
    labels: Any = None
    columns: tuple[str, ...] = ()
    order: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """Return the name that the command line takes."""
        return name_array(self.path, self.key)

    @property
    def file(self) -> File:
        """The file and the key, by which shards and files of labels are paired."""
        return self.path, self.key

    @property
    def block_rows(self) -> int:
        """Number of rows of a block; it depends on the shape and the dtype only."""
        rows = _BYTES // (self.n_features * self.dtype.itemsize)
        # Each block also costs n_features**2 additions, so it has at least as many rows.
        return int(min(max(rows, self.n_features, 64), _MOST_ROWS))

    @property
    def label_source(self) -> Any:
        """The file of the labels with their key, or the array."""
        return self._label_file or self.labels

    @property
    def _label_file(self) -> tuple[Path, str | None] | None:
        """The file of the labels, with their key; None if they are an array."""
        if isinstance(self.labels, str):
            return self.path, self.labels
        return self.labels if isinstance(self.labels, tuple) else None

    @property
    def labels_name(self) -> str:
        """The source of the labels, for messages."""
        return "labels" if self._label_file is None else name_array(*self._label_file)

    def _open(self) -> Reader:
        column = self.labels if isinstance(self.labels, str) else None
        return open_array(self.path, self.key, label_column=column)

    def load(self) -> NDArray[Any]:
        """Read all features at once; an .npy file is mapped."""
        with name_errors(self.path), self._open() as reader:
            return self._in_order(reader.load())

    def _in_order(self, block: NDArray[Any]) -> NDArray[Any]:
        return block if self.order is None else block[:, list(self.order)]

    def features(self, n_rows: int | None = None) -> Iterator[NDArray[Any]]:
        """Read the features, block by block.

        Parameters
        ----------
        n_rows : int, optional
            Rows of a block. Default: a few megabytes.
        """
        done = 0
        with name_errors(self.path), self._open() as reader:
            if reader.shape != (self.n_samples, self.n_features):
                raise DataError(f"{self} has changed: its shape is {reader.shape} now")
            for block in reader.blocks(n_rows or self.block_rows):
                yield self._in_order(block)
                done += len(block)
        if done != self.n_samples:
            raise DataError(f"{self} ends after {done} of {self.n_samples} rows: damaged")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows ``start:stop`` of a shard.

    Attributes
    ----------
    shard : Shard
        The shard.
    start, stop : int
        The first of its rows, and the one after the last.
    """

    shard: Shard
    start: int
    stop: int

    def __str__(self) -> str:
        """Return the shard and the rows in words."""
        return f"{self.shard}, rows {self.start} to {self.stop - 1}"


def iterate_blocks(shards: Iterable[Shard]) -> Generator[tuple[NDArray[Any], Rows], None, None]:
    """Iterate over the features of shards, block by block."""
    for shard in shards:
        start = 0
        for features in shard.features():
            stop = start + len(features)
            yield features, Rows(shard, start, stop)
            start = stop


class Block(NamedTuple):
    """A block of rows: features (n, n_features), labels (n, …) or None, and the rows it holds."""

    features: NDArray[Any]
    labels: NDArray[Any] | None
    where: Rows


@dataclass(frozen=True, eq=False, repr=False)
class FeatureSource(RowSource):
    """Features in files, and their labels. Iteration reads blocks of a few megabytes.

    Attributes
    ----------
    shards : tuple of Shard
        In the order in which they are read.
    """

    shards: tuple[Shard, ...]

    @property
    def n_samples(self) -> int:
        """Number of rows of all shards."""
        return sum(shard.n_samples for shard in self.shards)

    @property
    def n_features(self) -> int:
        """Number of columns, the same in every shard."""
        return self.shards[0].n_features

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.n_samples, self.n_features

    @property
    def nbytes(self) -> int:
        """Size of the features as arrays, in bytes."""
        return sum(s.n_samples * s.n_features * s.dtype.itemsize for s in self.shards)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the features, in their order; None where the files have none."""
        known = dict.fromkeys(shard.columns or None for shard in self.shards)
        return functools.reduce(join_names, known)

    def __iter__(self) -> Iterator[Block]:
        """Iterate over blocks; a block never spans two shards."""
        labelled = self._read_labels()
        for i, shard in enumerate(self.shards):
            labels = labelled[i] if labelled else None
            for features, where in iterate_blocks((shard,)):
                own = None if labels is None else labels[where.start : where.stop]
                yield Block(features, own, where)

    def labels(self) -> NDArray[Any] | None:
        """Read the labels of all rows; return None without labels.

        Raises
        ------
        DataError, DtypeError
            If the labels of a shard are missing, or their number differs from the number of rows.
            The message names the file.
        """
        parts = self._read_labels()
        if len(parts) <= 1:
            return parts[0] if parts else None
        return join_labels(parts, [shard.labels_name for shard in self.shards], "shard")

    def _read_labels(self) -> list[NDArray[Any]]:
        """Read and validate the labels of every shard; an empty list without labels."""
        if all(shard.labels is None for shard in self.shards):
            return []
        names = [shard.labels_name for shard in self.shards]
        parts = read_label_parts([shard.label_source for shard in self.shards], names)
        for shard, name, part in zip(self.shards, names, parts, strict=True):
            check_length(name, part, f"{shard} has", shard.n_samples)
            if shard._label_file is not None:
                check_stored_rows([shard.file], [shard._label_file])
        return parts

    def check_order(self, beside: str = "") -> None:
        """Raise if the names of the shards contradict the order of an array for all rows.

        As in :func:`open_features`: the numbers in the names must be in natural order.

        Parameters
        ----------
        beside : str
            What the array is called in errors. Default: the labels.
        """
        what = f"{beside} are" if beside else "the labels are"
        check_order([shard.file for shard in self.shards], what, may_be_pairs=not beside)

    def check_index(self, known: tuple[RowIndex, ...]) -> None:
        """Raise if the pandas indexes of arguments contradict the one that the files store.

        Parameters
        ----------
        known : tuple of RowIndex
            The names of the arguments, and their indexes.
        """
        check_stored_index([shard.file for shard in self.shards], known)

    def load(self) -> NDArray[Any]:
        """Read all features at once; a single .npy file is mapped."""
        if len(self.shards) == 1:
            return self.shards[0].load()
        blocks = [(block, shard) for shard in self.shards for block in shard.features()]
        joined = np.concatenate([block for block, _ in blocks])
        if joined.dtype.kind == "f":  # so are int64 and uint64 together
            for block, shard in blocks:
                check_exact(block, f"features of {shard}")
        return joined

    def __repr__(self) -> str:
        """Show the shape, and the first and the last shard."""
        names = str(self.shards[0])
        if len(self.shards) > 1:
            names += f" … {self.shards[-1]}"
        return (
            f"FeatureSource({len(self.shards)} shards, n_samples={self.n_samples}, "
            f"n_features={self.n_features}, {names})"
        )
