"""Convert columns of pyarrow record batches to arrays, for the parquet and Arrow formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError
from ._columns import Column, choose_columns
from ._reader import Reader, regroup
from ._spec import Selection

__all__ = ["ArrowTable", "list_size", "open_columns"]


class ArrowTable(ABC):
    """An open file with an Arrow schema, read as record batches."""

    path: Path
    schema: Any
    n_rows: int

    @abstractmethod
    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Iterate over the record batches of some columns, in order."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def open_columns(table: ArrowTable, selection: Selection) -> Reader:
    """Open the columns that a caller asks for; an error closes the table."""
    try:
        columns = {
            field.name: Column(str(field.type), list_size(field.type) is not None)
            for field in table.schema
        }
        names, as_matrix = choose_columns(columns, selection, table.path)
        return _ColumnsReader(table, names, as_matrix=as_matrix)
    except BaseException:
        table.close()
        raise


def list_size(kind: Any) -> int | None:
    """Return the length of a column's lists: -1 where lengths may differ, None for other types."""
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)  # the `datasets` library's own array types
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    return -1 if types.is_list(kind) or types.is_large_list(kind) else None


class _ColumnsReader(Reader):
    """Columns of numbers as a matrix, a column of lists as its rows, or one column by itself."""

    def __init__(self, table: ArrowTable, columns: list[str], *, as_matrix: bool) -> None:
        self._table, self._columns, self._as_matrix = table, columns, as_matrix
        self._size = list_size(table.schema.field(columns[0]).type)
        first = next(self._arrays(), None)
        if first is None:
            first = np.empty((0, max(self._size or 0, 0)))
        names = tuple(columns) if self._size is None else ()
        super().__init__((table.n_rows, *first.shape[1:]), first.dtype, names)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read batch by batch."""
        return regroup(self._arrays(), n_rows)

    def close(self) -> None:
        """Close the file."""
        self._table.close()

    def _arrays(self) -> Iterator[NDArray[Any]]:
        done, width = 0, self._size if self._size != -1 else None
        for batch in self._table.batches(self._columns):
            if batch.num_rows == 0:
                continue
            if self._size is not None:
                where = f"{self._table.path}, column {self._columns[0]!r}"
                array = _stack_lists(batch.column(0), width, where, done)
                width = array.shape[1]
            elif self._as_matrix:
                array = np.column_stack([self._read_number(batch, name) for name in self._columns])
            else:
                array = _to_numpy(batch.column(0))
            yield array
            done += batch.num_rows

    def _read_number(self, batch: Any, name: str) -> NDArray[Any]:
        column = _to_numpy(batch.column(name))
        if column.dtype.kind not in "fiub":
            raise DtypeError(
                f"{self._table.path}: column {name!r} holds {batch.schema.field(name).type}, not "
                f"numbers; name the columns of the features with key="
            )
        return column


def _to_numpy(column: Any) -> NDArray[Any]:
    """Convert a column; null becomes NaN in numbers, and None in text."""
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


def _stack_lists(column: Any, width: int | None, where: str, first: int) -> NDArray[Any]:
    """Convert a column of equally long lists to a 2-D array, without copying where possible."""
    column = getattr(column, "storage", column)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{where}, row {first + row} is null; drop that row and its label")
    if not hasattr(column.type, "list_size"):
        offsets = column.offsets.to_numpy()
        lengths = np.diff(offsets)
        width = int(lengths[0]) if width is None else width
        odd = np.flatnonzero(lengths != width)
        if odd.size:
            raise DataError(
                f"{where}, row {first + odd[0]} has {lengths[odd[0]]} numbers and others "
                f"{width}; rows must have one length"
            )
    values = _to_numpy(column.flatten())
    if values.dtype.kind not in "fiub":
        raise DtypeError(f"{where} holds lists of {column.type}, not of numbers")
    return values.reshape(len(column), -1)
