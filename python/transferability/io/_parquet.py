"""Parquet files, by pyarrow: a list column, or one column per dimension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._arrow_columns import ArrowTable, open_columns
from ._reader import Reader
from ._spec import FormatSpec, Selection

__all__ = ["FORMAT"]

_BATCH_ROWS = 4096


class _ParquetTable(ArrowTable):
    """A parquet file, mapped; the checksums of its pages are verified."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.path = path
        self._file = parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        self.schema, self.n_rows = self._file.schema_arrow, self._file.metadata.num_rows

    def batches(self, columns: list[str]) -> Iterator[Any]:
        found: Iterator[Any] = self._file.iter_batches(
            _BATCH_ROWS, columns=columns, use_threads=False
        )
        return found

    def close(self) -> None:
        self._file.close()


def _open(path: Path, selection: Selection) -> Reader:
    return open_columns(_ParquetTable(path), selection)


FORMAT = FormatSpec(
    title="parquet",
    suffixes=(".parquet", ".pq"),
    kind="table",
    open=_open,
    package="pyarrow",
    extra="io",
)
