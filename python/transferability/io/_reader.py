"""The interface of all file formats: an array's shape and dtype, and its rows in blocks.

Blocks have exactly the number of rows asked for, whatever pieces a format stores. So the same
numbers give the same blocks, and the same bits of every statistic, from any format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError

__all__ = ["Reader", "SlicedReader", "choose", "refuse_objects", "regroup"]


class Reader(ABC):
    """One array in an open file; rows are its first axis.

    A format whose arrays can be sliced by row uses :class:`SlicedReader`; any other implements
    `blocks`, with :func:`regroup` if it stores the rows in pieces.

    Parameters
    ----------
    shape : tuple of int
        Of the whole array: (n_samples, n_features), or (n_samples,) for a single column.
    dtype : numpy.dtype
        Of the numbers in the blocks.
    columns : tuple of str, optional
        The names of the columns, where the file has them. They must be the same in all shards.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], columns: tuple[str, ...] = ()
    ) -> None:
        self.shape, self.dtype, self.columns = shape, dtype, columns

    @abstractmethod
    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Iterate over all rows in order, `n_rows` at a time; only the last block may be shorter.

        Each call starts at the first row.
        """

    def load(self) -> NDArray[Any]:
        """Read the whole array."""
        n_rows = self.shape[0] if self.shape else 1
        return next(self.blocks(max(1, n_rows)), np.empty(self.shape, self.dtype))

    def close(self) -> None:  # noqa: B027 (readers of mapped files have nothing to close)
        """Close the file, if it is held open."""

    def __enter__(self) -> Reader:
        """Return the reader; the end of the block closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self.close()


class SlicedReader(Reader):
    """An array whose rows are read by slicing: ``rows[start:stop]`` is an array."""

    def __init__(
        self,
        rows: Any,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__(shape, dtype, columns)
        self._rows = rows

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read slices within the array, because not every format clamps their ends."""
        if not self.shape:
            raise DataError("it is a single number, not an array of rows")
        total = self.shape[0]
        for start in range(0, total, n_rows):
            yield np.asarray(self._rows[start : min(total, start + n_rows)])


def regroup(pieces: Iterable[NDArray[Any]], n_rows: int) -> Iterator[NDArray[Any]]:
    """Cut and join pieces of any length to blocks of `n_rows`; only the last one is shorter."""
    held: list[NDArray[Any]] = []
    missing = n_rows
    for whole in pieces:
        piece = whole
        while len(piece) >= missing:
            held.append(piece[:missing])
            piece = piece[missing:]
            yield held[0] if len(held) == 1 else np.concatenate(held)
            held, missing = [], n_rows
        if len(piece):
            held.append(piece)
            missing -= len(piece)
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def choose(names: list[str], key: str | None, what: str, path: object) -> str:
    """Return the name that `key` asks for; without a key, the only one."""
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    if key is not None and key not in names:
        raise DataError(f"{path} has no {what} {key!r}; it has {shown or 'none'}")
    if key is not None:
        return key
    if not names:
        raise DataError(f"{path} holds no {what}s")
    if len(names) > 1:
        raise DataError(
            f"{path} holds {len(names)} {what}s ({shown}); name one as {path}:{names[0]}, or by "
            f"key="
        )
    return names[0]


def refuse_objects(dtype: np.dtype[Any], where: object) -> None:
    """Raise if an array holds Python objects: they are pickles."""
    if dtype.hasobject:
        raise DtypeError(f"{where} holds Python objects (a pickle), which are never loaded")
