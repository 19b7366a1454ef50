""".npy files: one array, read into fresh memory instead of mapped.

Pages of a mapped file would count as memory of the process, and would be fetched by the thread
that computes instead of the prefetch thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._reader import Reader, refuse_objects
from ._spec import FormatSpec, Selection

__all__ = ["FORMAT", "NpyReader"]


class NpyReader(Reader):
    """An array in NumPy's format, read through a file object, which is closed with the reader.

    Parameters
    ----------
    where : object
        The array, for messages.
    file : binary file
        At its start.
    n_bytes : int
        Size of `file`; an array that declares more is refused before memory is allocated for it.
    """

    def __init__(self, where: object, file: IO[bytes], n_bytes: int) -> None:
        self._where, self._file = where, file
        try:
            shape: tuple[int, ...]
            shape, self._fortran, dtype = _read_header(file)
            refuse_objects(dtype, where)
            self._offset = file.tell()
            needed = math.prod(shape) * dtype.itemsize
            if needed > n_bytes - self._offset:
                raise DataError(
                    f"{where} declares {needed} bytes of data but holds {n_bytes - self._offset}: "
                    f"damaged or truncated"
                )
        except BaseException:
            file.close()
            raise
        super().__init__(shape, dtype)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read row by row; an array in Fortran order is loaded first."""
        if not self.shape:
            raise DataError(f"{self._where} is a single number, not an array of rows")
        if self._fortran and len(self.shape) > 1:
            whole = self.load()
            for start in range(0, len(whole), n_rows):
                yield np.ascontiguousarray(whole[start : start + n_rows])
            return
        self._file.seek(self._offset)
        for start in range(0, self.shape[0], n_rows):
            rows = min(n_rows, self.shape[0] - start)
            yield self._read((rows, *self.shape[1:]))

    def load(self) -> NDArray[Any]:
        """Read the whole array."""
        self._file.seek(self._offset)
        return self._read(self.shape[::-1]).T if self._fortran else self._read(self.shape)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, shape: tuple[int, ...]) -> NDArray[Any]:
        block = np.empty(shape, self.dtype)
        if block.size == 0:
            return block
        view = memoryview(block.reshape(-1).view(np.uint8).data)
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise DataError(
                    f"{self._where} ends {len(view) - done} bytes early: damaged or truncated"
                )
            done += count
        return block


class _FileReader(NpyReader):
    """An .npy file, which `load` maps."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, path.open("rb"), path.stat().st_size)

    def load(self) -> NDArray[Any]:
        """Map the array; its rows are read when they are used."""
        if 0 in self.shape:
            return super().load()
        order: Any = "F" if self._fortran else "C"
        return np.memmap(str(self._where), self.dtype, "r", self._offset, self.shape, order)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise DataError(f"npy format {version} holds structured data, not numbers")
    return read(file)


def _open(path: Path, selection: Selection) -> Reader:
    return _FileReader(path)


FORMAT = FormatSpec(title="NumPy", suffixes=(".npy",), kind="array", open=_open)
