"""Parquet and Arrow IPC files, by pyarrow: a list column, or one column per dimension.

Arrow's two formats are both read: files (Feather) and streams, which is what the `datasets`
library keeps on disk.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ..errors import DataError, DtypeError
from ._reader import Reader, choose, regrouped

__all__ = ["names", "open_array", "open_column"]

#: Columns of these names are labels, until someone says that they are features.
_LABELS = {"label", "labels", "target", "targets", "class", "y"}
#: What a writer puts last; without it a stream cut between batches would look whole.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def open_array(path: Path, key: str | None, label_column: str | None = None) -> Reader:
    """Open the features: the list column or the number columns that `key` names or matches."""
    table = _open_table(path)
    try:
        columns = _features(table.schema, key, label_column, path)
        return _ColumnsReader(table, columns, as_matrix=True)
    except BaseException:
        table.close()
        raise


def open_column(path: Path, name: str | None) -> Reader:
    """Open one column, numbers or text; without a name the only one."""
    table = _open_table(path)
    try:
        column = choose(table.schema.names, name, "column", path)
        return _ColumnsReader(table, [column], as_matrix=False)
    except BaseException:
        table.close()
        raise


def names(path: Path) -> list[str]:
    """Give none: the columns of a table make up one array."""
    return []


def _features(schema: Any, key: str | None, label_column: str | None, path: Path) -> list[str]:
    """Choose the columns of the features, in the order of the file."""
    types = {field.name: field.type for field in schema if field.name != label_column}
    if key is not None:
        chosen = [] if key in types else fnmatch.filter(types, key)
        chosen = chosen or [choose(list(types), key, "column", path)]
        types = {name: types[name] for name in chosen}
        if len(types) == 1 or all(_list_size(kind) is None for kind in types.values()):
            return chosen
    lists = [name for name, kind in types.items() if _list_size(kind) is not None]
    if len(lists) == 1 and key is None:
        return lists
    if lists:
        raise DataError(
            f"{path} has columns of lists ({', '.join(lists)}), of which one can be the features; "
            f"name it with key="
        )
    named = sorted(name for name in types if name.lower() in _LABELS)
    if named:
        raise DataError(
            f"{path}: column {named[0]!r} looks like labels; say label_column={named[0]!r}, or "
            f"name the columns of the features, for example key='f*'"
        )
    kinds = sorted({str(kind) for kind in types.values()})
    if len(kinds) != 1:
        raise DataError(
            f"{path} has {len(types)} columns of {', '.join(kinds) or 'no type'}; name those of "
            f"the features, for example key='f*', and that of the labels with label_column="
        )
    return list(types)


def _list_size(kind: Any) -> int | None:
    """Give the length of the lists of a column, -1 where each has its own; None for no lists."""
    types = _pyarrow("types")
    kind = getattr(kind, "storage_type", kind)  # the `datasets` library's own array types
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    return -1 if types.is_list(kind) or types.is_large_list(kind) else None


def _pyarrow(part: str = "") -> Any:
    library = need("pyarrow", extra="io", what="reading parquet and Arrow files")
    return importlib.import_module(f"pyarrow.{part}") if part else library


class _Table:
    """A parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _pyarrow("parquet").ParquetFile(
            path, memory_map=True, page_checksum_verification=True
        )
        self.schema, self.n_rows = self._file.schema_arrow, self._file.metadata.num_rows

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Give the record batches of some columns, in order."""
        found: Iterator[Any] = self._file.iter_batches(4096, columns=columns, use_threads=False)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _IpcTable(_Table):
    """An Arrow file or stream, mapped; one batch at a time is taken apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ipc = _pyarrow("ipc")
        self._map = _pyarrow().memory_map(str(path))
        try:
            self.schema, _ = self._open(None)
            # Rows are counted by one column; lists may be compressed, and are left alone.
            small = [i for i, field in enumerate(self.schema) if _list_size(field.type) is None]
            self.n_rows = sum(b.num_rows for b in self._open([*small, 0][:1])[1])
        except BaseException:
            self._map.close()
            raise

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Give the record batches of some columns, in order."""
        _, batches = self._open([self.schema.get_field_index(name) for name in columns])
        return (batch.select(columns) for batch in batches)

    def close(self) -> None:
        """Close the file."""
        self._map.close()

    def _open(self, fields: list[int] | None) -> tuple[Any, Iterator[Any]]:
        """Give the schema and the batches; a file begins with its name, a stream does not."""
        options = self._ipc.IpcReadOptions(included_fields=fields or [])
        self._map.seek(0)
        if self._map.read(6) == b"ARROW1":
            file = self._ipc.open_file(self._map, options=options)
            return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        size = self._map.size()
        self._map.seek(max(0, size - 8))
        if self._map.read(8) != _END_OF_STREAM:
            raise DataError(f"{self.path} does not end as an Arrow stream does: damaged")
        self._map.seek(0)
        stream = self._ipc.open_stream(self._map, options=options)
        return stream.schema, iter(stream)


def _open_table(path: Path) -> _Table:
    path.stat()  # a missing file is named before pyarrow words it
    return _Table(path) if path.suffix.lower() in (".parquet", ".pq") else _IpcTable(path)


class _ColumnsReader(Reader):
    """Columns of a table side by side as an array; the lists of one column as its rows."""

    def __init__(self, table: _Table, columns: list[str], *, as_matrix: bool) -> None:
        self._table, self._columns, self._as_matrix = table, columns, as_matrix
        self._size = _list_size(table.schema.field(columns[0]).type)
        if self._size is None:
            self.columns = tuple(columns)
        first = next(self._arrays(), None)
        if first is None:
            shape: tuple[int, ...] = (0, max(self._size or 0, 0))
            super().__init__(shape, np.dtype(np.float64))
            return
        super().__init__((table.n_rows, *first.shape[1:]), first.dtype)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read batch by batch."""
        return regrouped(self._arrays(), n_rows)

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
                array = _rows_of_lists(batch.column(0), width, where, done)
                width = array.shape[1]
            elif self._as_matrix:
                array = np.column_stack([self._number(batch, name) for name in self._columns])
            else:
                array = _plain(batch.column(0))
            yield array
            done += batch.num_rows

    def _number(self, batch: Any, name: str) -> NDArray[Any]:
        column = _plain(batch.column(name))
        if column.dtype.kind not in "fiub":
            raise DtypeError(
                f"{self._table.path}: column {name!r} holds {batch.schema.field(name).type}, not "
                f"numbers; name the columns of the features with key="
            )
        return column


def _plain(column: Any) -> NDArray[Any]:
    """Give a column as an array; what is null is NaN in numbers, and None in text."""
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


def _rows_of_lists(column: Any, width: int | None, where: str, first: int) -> NDArray[Any]:
    """Give a column of equally long lists as a 2-D array, without copying where possible."""
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
    values = _plain(column.flatten())
    if values.dtype.kind not in "fiub":
        raise DtypeError(f"{where} holds lists of {column.type}, not of numbers")
    return values.reshape(len(column), -1)
