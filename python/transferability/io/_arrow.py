"""Arrow IPC files, by pyarrow: files (Feather) and streams, which the `datasets` library writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from ._arrow_columns import ArrowTable, list_size, open_columns
from ._reader import Reader
from ._spec import FormatSpec, Selection

__all__ = ["FORMAT"]

#: The last bytes of a complete stream. Without them a stream cut between batches looks whole.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


class _IpcTable(ArrowTable):
    """An Arrow file or stream, mapped; one batch at a time is decoded."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        from pyarrow import ipc

        self.path, self._ipc = path, ipc
        self._map = pyarrow.memory_map(str(path))
        try:
            self.schema, _ = self._open(None)
            # Rows are counted by a column that is not of lists, which may be large and compressed.
            small = [i for i, field in enumerate(self.schema) if list_size(field.type) is None]
            self.n_rows = sum(batch.num_rows for batch in self._open([*small, 0][:1])[1])
        except BaseException:
            self._map.close()
            raise

    def batches(self, columns: list[str]) -> Iterator[Any]:
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
        size = self._map.size()
        self._map.seek(max(0, size - 8))
        if self._map.read(8) != _END_OF_STREAM:
            raise DataError(f"{self.path} does not end as an Arrow stream does: damaged")
        self._map.seek(0)
        stream = self._ipc.open_stream(self._map, options=options)
        return stream.schema, iter(stream)


def _open(path: Path, selection: Selection) -> Reader:
    path.stat()  # so that a missing file raises FileNotFoundError, not an error of pyarrow
    return open_columns(_IpcTable(path), selection)


FORMAT = FormatSpec(
    title="Arrow",
    suffixes=(".arrow", ".feather", ".ipc"),
    kind="table",
    open=_open,
    package="pyarrow",
    extra="io",
)
