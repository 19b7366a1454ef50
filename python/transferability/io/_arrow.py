"""Tables by pyarrow: parquet files, and Arrow IPC files (Feather) and streams.

The `datasets` library writes streams. Features are a column of lists, or one column per dimension.
Columns that hold the index of a pandas frame are none, unless they are asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrow import is_number, list_size, read_cells, read_numbers, stack_lists
from .._inputs.columns import index_columns
from .._inputs.integers import stack_columns
from ..errors import DataError
from ._choose import Column, choose_columns
from ._spec import FormatSpec, Reader, Selection, close_on_error, regroup

__all__ = ["FORMATS", "IpcTable", "open_table"]

_BATCH_ROWS = 4096
_PARQUET = (".parquet", ".pq")
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


class IpcTable:
    """An Arrow file or stream, mapped; one batch at a time is decoded and validated.

    Arrow's own code follows the lengths and offsets of a batch without a check, so those of a
    forged file would lead it to other memory.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow
        from pyarrow import ipc

        self.path, self._ipc = path, ipc
        self._map = pyarrow.memory_map(str(path))
        with close_on_error(self._map):
            self.schema, _ = self._open(None)
            if not len(self.schema):
                raise DataError(f"{path} has no columns")
            # Count rows by a column without lists if possible: lists may be large and compressed.
            small = [i for i, field in enumerate(self.schema) if list_size(field.type) is None]
            self.n_rows = sum(batch.num_rows for batch in self._open([*small, 0][:1])[1])

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Iterate over the record batches of some columns, in order."""
        _, batches = self._open([self.schema.get_field_index(name) for name in columns])
        for whole in batches:
            batch = whole.select(columns)
            batch.validate(full=True)
            yield batch

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

    def __init__(self, table: _ParquetTable | IpcTable, selection: Selection) -> None:
        self._table = table
        schema = table.schema
        index = {*index_columns(schema.names, schema.metadata)} - {selection.key}
        columns = {
            field.name: Column(
                str(field.type), list_size(field.type) is not None, is_number(field.type)
            )
            for field in schema
            if field.name not in index
        }
        self._columns, self._as_matrix = choose_columns(columns, selection, table.path)
        self._size = list_size(schema.field(self._columns[0]).type)
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
                array = stack_lists(batch.column(0), width, self._where(self._columns[0]), done)
                width = array.shape[1]
            elif self._as_matrix:
                columns = [(batch.column(name), self._where(name)) for name in self._columns]
                array = stack_columns(
                    (read_numbers(*column) for column in columns),
                    f"the columns of {self._table.path}",
                )
            else:
                array = read_cells(batch.column(0))
            yield array
            done += batch.num_rows

    def _where(self, column: str) -> str:
        return f"{self._table.path}, column {column!r}"


def open_table(path: Path) -> _ParquetTable | IpcTable:
    """Open the table of a file by its suffix."""
    return (_ParquetTable if path.suffix.lower() in _PARQUET else IpcTable)(path)


def _open(kind: type[_ParquetTable] | type[IpcTable], path: Path, selection: Selection) -> Reader:
    table = kind(path)
    with close_on_error(table):
        return _ColumnsReader(table, selection)


_parquet, _arrow = partial(_open, _ParquetTable), partial(_open, IpcTable)
FORMATS = (
    FormatSpec("parquet", _PARQUET, "table", _parquet, None, "pyarrow", "io"),
    FormatSpec("Arrow", (".arrow", ".feather", ".ipc"), "table", _arrow, None, "pyarrow", "io"),
)
