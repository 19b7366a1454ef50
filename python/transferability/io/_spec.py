"""The contract of a file format: a ``FormatSpec``, whose ``open`` returns a :class:`Reader`.

To add a format, write a module with a tuple ``FORMATS`` of specs, and list the module in
``_formats.py``. Everything else follows: ``open_features``, ``rank``, ``score``, the command line,
its help texts and the error messages.

A reader's blocks have exactly the number of rows asked for, whatever pieces a format stores. So the
same numbers give the same blocks, and the same bits of every statistic, from any format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError

__all__ = [
    "FormatSpec",
    "Reader",
    "Selection",
    "SlicedReader",
    "close_on_error",
    "refuse_objects",
    "regroup",
]


@dataclass(frozen=True)
class Selection:
    """The array of a file that a caller asks for.

    `key` names a container's array or a table's column, or is a pattern of columns such as
    ``"f*"``. Without a key there must be only one candidate. `label_column` holds the labels, and
    is not among the features. `is_labels` asks for labels: of a table a single column, of numbers
    or text.
    """

    key: str | None = None
    label_column: str | None = None
    is_labels: bool = False


@dataclass(frozen=True)
class FormatSpec:
    """One file format that features and labels are read from.

    Attributes
    ----------
    title : str
        Name in messages, such as "HDF5".
    suffixes : tuple of str
        Lower case, with the dot. The suffix of a file decides its format.
    kind : {"array", "container", "table"}
        "array": one array without a name; `open` never gets a key.
        "container": arrays by name; `open` passes the key to ``_choose.choose_name``.
        "table": columns by name; `open` passes the columns and the selection to
        ``_choose.choose_columns``.
    open : callable
        ``open(path, selection)`` returns a :class:`Reader` of an existing file, and reads no more
        than the shape needs. Numbers keep their type; labels that are not numbers are strings. It
        may raise anything: the caller turns foreign exceptions into a ``DataError`` that names the
        file. A ``DataError`` of its own names the file itself. A file cut short is an error here
        or in `blocks`, never fewer rows.
    names : callable, optional
        ``names(path)`` returns the names of the arrays of a container; None for other kinds.
    package, extra : str, optional
        The package that `open` and `names` import, and the extra of this package that installs it.
        It is checked before either is called. None: nothing beyond NumPy is needed.
    """

    title: str
    suffixes: tuple[str, ...]
    kind: str
    open: Callable[[Path, Selection], Reader]
    names: Callable[[Path], list[str]] | None = None
    package: str | None = None
    extra: str | None = None


class Reader(ABC):
    """One array in an open file; rows are its first axis.

    A format whose arrays can be sliced by row uses :class:`SlicedReader`. Any other implements
    `blocks`, with :func:`regroup` if it stores the rows in pieces. `shape` is that of the whole
    array, (n_samples, n_features), or (n_samples,) for a single column; `dtype` is that of the
    blocks. `columns` are the names of the columns, if the file has them; all shards need the same.
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

    def __init__(self, rows: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
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


@contextmanager
def close_on_error(file: Any) -> Iterator[None]:
    """Close a file if the block raises; else the reader that the block returns will close it."""
    try:
        yield
    except BaseException:
        file.close()
        raise


def refuse_objects(dtype: np.dtype[Any], where: object) -> None:
    """Raise if an array holds Python objects: they are pickles."""
    if dtype.hasobject:
        raise DtypeError(f"{where} holds Python objects (a pickle), which are never loaded")
