"""Features in files: shards, their blocks, and the labels beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._inputs.inputs import RowSource
from .._inputs.labels import read_labels
from ..errors import DataError, DtypeError
from ._formats import named_errors, open_array, text_of
from ._text import TEXT, label_lines

__all__ = ["Block", "FeatureSource", "Rows", "Shard", "joined_labels", "read_array"]

#: Bytes of a block as it is stored. Its products are cut into pieces of about 2,500 rows for the
#: threads: enough pieces for several, and with the block that is read meanwhile and the threads'
#: accumulators still below 150 MB at 768 features.
_BYTES = 24 << 20
_MOST_ROWS = 1 << 18


@dataclass(frozen=True, eq=False)
class Shard:
    """A part of the rows: one array in one file, opened when it is read.

    Attributes
    ----------
    path : Path
        The file.
    key : str or None
        Which array or columns of it.
    n_samples, n_features : int
        Rows and columns.
    dtype : numpy.dtype
        Of the features as stored.
    labels : str, tuple of (Path, str or None), ndarray or None
        Where its labels are: in a column of the same file, in another file, or here.
    columns : tuple of str
        The names of the features, where the file has them.
    """

    path: Path
    key: str | None
    n_samples: int
    n_features: int
    dtype: np.dtype[Any]
    labels: Any = None
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        return text_of(self.path, self.key)

    @property
    def block_rows(self) -> int:
        """Rows of a block; they follow from the shape and the dtype alone."""
        rows = _BYTES // (self.n_features * self.dtype.itemsize)
        # Each block also costs n_features**2 additions, which more rows make up for.
        return int(min(max(rows, self.n_features, 64), _MOST_ROWS))

    @property
    def labels_name(self) -> str:
        """Where the labels are, for messages."""
        if isinstance(self.labels, str):
            return text_of(self.path, self.labels)
        return text_of(*self.labels) if isinstance(self.labels, tuple) else "labels"

    def features(self, n_rows: int | None = None) -> Iterator[NDArray[Any]]:
        """Read the features, block by block."""
        done = 0
        with named_errors(self.path):
            column = self.labels if isinstance(self.labels, str) else None
            with open_array(self.path, self.key, label_column=column) as reader:
                if reader.shape != (self.n_samples, self.n_features):
                    raise DataError(f"{self} has changed: its shape is {reader.shape} now")
                for block in reader.blocks(n_rows or self.block_rows):
                    yield block
                    done += len(block)
        if done != self.n_samples:
            raise DataError(f"{self} ends after {done} of {self.n_samples} rows: damaged")

    def read_labels(self) -> NDArray[Any] | None:
        """Read the labels, checked, one for each row."""
        if self.labels is None:
            return None
        raw = self.labels
        if isinstance(raw, (str, tuple)):
            raw = read_array(*((self.path, raw) if isinstance(raw, str) else raw))
        array, _ = read_labels(raw, self.labels_name)
        if len(array) != self.n_samples:
            raise DataError(
                f"{self.labels_name} has {len(array)} entries but {self} has {self.n_samples} "
                f"rows; give one label for each row"
            )
        return array


@dataclass(frozen=True, eq=False)
class Rows:
    """Where a block comes from: rows `start` to before `stop` of a shard."""

    shard: Shard
    start: int
    stop: int

    def __str__(self) -> str:
        """Say so in words."""
        return f"{self.shard}, rows {self.start} to {self.stop - 1}"


class Block(NamedTuple):
    """Some rows: features (n, n_features), labels (n, …) or None, and where they come from."""

    features: NDArray[Any]
    labels: NDArray[Any] | None
    where: Rows


@dataclass(frozen=True, eq=False, repr=False)
class FeatureSource(RowSource):
    """Features in files, and their labels; iterating gives blocks of a few megabytes.

    Attributes
    ----------
    shards : tuple of Shard
        In the order in which they are read.
    """

    shards: tuple[Shard, ...]

    @property
    def n_samples(self) -> int:
        """Rows of all shards."""
        return sum(shard.n_samples for shard in self.shards)

    @property
    def n_features(self) -> int:
        """Columns, the same in every shard."""
        return self.shards[0].n_features

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_samples, self.n_features

    @property
    def nbytes(self) -> int:
        """Size of the features as arrays, in bytes."""
        return sum(s.n_samples * s.n_features * s.dtype.itemsize for s in self.shards)

    def __iter__(self) -> Iterator[Block]:
        """Give block after block, none of which goes over the end of a shard."""
        for shard in self.shards:
            labels, start = shard.read_labels(), 0
            for features in shard.features():
                stop = start + len(features)
                own = None if labels is None else labels[start:stop]
                yield Block(features, own, Rows(shard, start, stop))
                start = stop

    def labels(self) -> NDArray[Any] | None:
        """Read the labels of all rows; None where there are none.

        Raises
        ------
        DataError, DtypeError
            If some are missing, or a shard has more or fewer than rows; the file is named.
        """
        parts = [part for shard in self.shards if (part := shard.read_labels()) is not None]
        if len(parts) <= 1:
            return parts[0] if parts else None
        return joined_labels(parts, [shard.labels_name for shard in self.shards], "shard")

    def load(self) -> NDArray[Any]:
        """Read all features at once; a single .npy file is mapped."""
        if len(self.shards) == 1:
            (shard,) = self.shards
            column = shard.labels if isinstance(shard.labels, str) else None
            with (
                named_errors(shard.path),
                open_array(shard.path, shard.key, label_column=column) as reader,
            ):
                return reader.load()
        return np.concatenate([block for shard in self.shards for block in shard.features()])

    def __repr__(self) -> str:
        """Show how much there is, and from where to where."""
        names = str(self.shards[0])
        if len(self.shards) > 1:
            names += f" … {self.shards[-1]}"
        return (
            f"FeatureSource({len(self.shards)} shards, n_samples={self.n_samples}, "
            f"n_features={self.n_features}, {names})"
        )


def joined_labels(parts: Sequence[Any], names: Sequence[str], what: str) -> NDArray[Any]:
    """Put labels of several files together; refuse what does not go with the first, by name."""
    for part, name in zip(parts, names, strict=True):
        if (part.dtype.kind == "U") != (parts[0].dtype.kind == "U"):
            raise DtypeError(
                f"{name} holds {part.dtype} but {names[0]} holds {parts[0].dtype}; write labels in "
                f"one way"
            )
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(
                f"{name} has shape {part.shape} but {names[0]} {parts[0].shape}; give every {what} "
                f"the same targets"
            )
    return np.concatenate(parts)


def read_array(path: Path, key: str | None) -> Any:
    """Read labels: an array or a column of a file, or lines of text."""
    if path.suffix.lower() in TEXT:
        return label_lines(path)
    with named_errors(path), open_array(path, key, is_column=True) as reader:
        return reader.load()
