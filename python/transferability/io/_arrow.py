"""Tables by pyarrow: parquet files, and Arrow IPC files (Feather) and streams.

The `datasets` library writes streams. Features are a column of lists, or one column per dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError
from ._choose import Column, choose_columns
from ._spec import FormatSpec, Reader, Selection, close_on_error, regroup

__all__ = ["FORMATS"]

_BATCH_ROWS = 4096
#: The last bytes of a complete stream. Without them a stream cut between batches looks whole.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


class _ParquetTable:
    """A parquet file, mapped; the checksums of its pages are verified."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.path = path
        self._file = parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        self.schema, self.n_rows = self._file.schema_arrow, self._file.metadata.num_rows

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Iterate over the record batches of some columns, in order."""
        yield from self._file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False)

    def close(self) -> None:
        self._file.close()


class _IpcTable:
    """An Arrow file or stream, mapped; one batch at a time is decoded."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        from pyarrow import ipc

        self.path, self._ipc = path, ipc
        self._map = pyarrow.memory_map(str(path))
        with close_on_error(self._map):
            self.schema, _ = self._open(None)
            # Count rows by a column without lists if possible: lists may be large and compressed.
            small = [i for i, field in enumerate(self.schema) if _list_size(field.type) is None]
            self.n_rows = sum(batch.num_rows for batch in self._open([*small, 0][:1])[1])

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Iterate over the record batches of some columns, in order."""
        _, batches = self._open([self.schema.get_field_index(name) for name in columns])
        return (batch.select(columns) for batch in batches)

    def close(self) -> None:
        self._map.close()

    def _open(self, fields: list[int] | None) -> tuple[Any, Iterator[Any]]:
        """Open the schema and the batches; a file starts with a magic number, a stream does not."""
        options = self._ipc.IpcReadOptions(included_fields=fields or [])
        self._map.seek(0)
        if self._map.read(6) == b"ARROW1":
            file = self._ipc.open_file(self._map, options=options)
            return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        self._map.seek(max(0, self._map.size() - 8))
        if self._map.read(8) != _END_OF_STREAM:
            raise DataError(f"{self.path} does not end as an Arrow stream does: damaged")
        self._map.seek(0)
        stream = self._ipc.open_stream(self._map, options=options)
        return stream.schema, iter(stream)


class _ColumnsReader(Reader):
    """Columns of numbers as a matrix, a column of lists as its rows, or one column by itself."""

    def __init__(self, table: _ParquetTable | _IpcTable, selection: Selection) -> None:
        self._table = table
        columns = {
            field.name: Column(str(field.type), _list_size(field.type) is not None)
            for field in table.schema
        }
        self._columns, self._as_matrix = choose_columns(columns, selection, table.path)
        self._size = _list_size(table.schema.field(self._columns[0]).type)
        first = next(self._arrays(), None)
        if first is None:
            first = np.empty((0, max(self._size or 0, 0)))
        names = tuple(self._columns) if self._size is None else ()
        super().__init__((table.n_rows, *first.shape[1:]), first.dtype, names)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        return regroup(self._arrays(), n_rows)

    def close(self) -> None:
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


def _list_size(kind: Any) -> int | None:
    """Return the length of a column's lists: -1 where lengths may differ, None for other types."""
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)  # the `datasets` library's own array types
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    return -1 if types.is_list(kind) or types.is_large_list(kind) else None


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
        lengths = np.diff(column.offsets.to_numpy())
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


def _open(kind: type[_ParquetTable] | type[_IpcTable], path: Path, selection: Selection) -> Reader:
    table = kind(path)
    with close_on_error(table):
        return _ColumnsReader(table, selection)


_parquet, _arrow = partial(_open, _ParquetTable), partial(_open, _IpcTable)
FORMATS = (
    FormatSpec("parquet", (".parquet", ".pq"), "table", _parquet, None, "pyarrow", "io"),
    FormatSpec("Arrow", (".arrow", ".feather", ".ipc"), "table", _arrow, None, "pyarrow", "io"),
)
