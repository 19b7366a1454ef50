"""NumPy's formats: .npy files of one array, and .npz archives of .npy members by name.

Blocks are read into fresh memory, not mapped: pages of a mapped file would count as memory of the
process, and would be fetched by the thread that computes instead of the prefetch thread.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._choose import choose_name
from ._spec import FormatSpec, Reader, Selection, close_on_error, refuse_objects

__all__ = ["FORMATS", "NpyReader"]


class NpyReader(Reader):
    """An array in npy format: a file, or a member of an archive that is closed with it.

    `where` names the array in messages. An array that declares more data than `n_bytes`, the size
    of the file, is refused before memory is allocated for it.
    """

    def __init__(
        self, where: object, file: IO[bytes], n_bytes: int, archive: zipfile.ZipFile | None = None
    ) -> None:
        self._where, self._file, self._archive = where, file, archive
        with close_on_error(self):
            shape, self._fortran, dtype = _read_header(where, file, n_bytes)
            refuse_objects(dtype, where)
            self._offset = file.tell()
            needed = math.prod(shape) * dtype.itemsize
            if needed > n_bytes - self._offset:
                raise DataError(
                    f"{where} declares {needed} bytes of data but holds {n_bytes - self._offset}: "
                    f"damaged or truncated"
                )
        super().__init__(shape, dtype)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read the rows of each block; an array in Fortran order is loaded first."""
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
        """Map a file, so that its rows are read when they are used; read a member of an archive."""
        if self._archive is None and 0 not in self.shape:
            order: Any = "F" if self._fortran else "C"
            return np.memmap(str(self._where), self.dtype, "r", self._offset, self.shape, order)
        self._file.seek(self._offset)
        return self._read(self.shape[::-1]).T if self._fortran else self._read(self.shape)

    def close(self) -> None:
        """Close the file, and the archive."""
        self._file.close()
        if self._archive is not None:
            self._archive.close()

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


def _read_header(
    where: object, file: IO[bytes], n_bytes: int
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read, width = {
        (1, 0): (np.lib.format.read_array_header_1_0, 2),
        (2, 0): (np.lib.format.read_array_header_2_0, 4),
    }.get(version, (None, 0))
    if read is None:
        raise DataError(f"npy format {version} holds structured data, not numbers")
    start = file.tell()
    length, rest = int.from_bytes(file.read(width), "little"), max(0, n_bytes - start - width)
    if length > rest:
        raise DataError(
            f"{where} declares a header of {length} bytes but holds {rest}: damaged or truncated"
        )
    file.seek(start)
    try:
        return read(file)
    except MemoryError as error:  # of Python's parser: a header is short, and needs no memory
        raise DataError(f"{where} has a header that cannot be parsed: damaged") from error


def _open_npy(path: Path, selection: Selection) -> Reader:
    return NpyReader(path, path.open("rb"), path.stat().st_size)


def _open_npz(path: Path, selection: Selection) -> Reader:
    archive = zipfile.ZipFile(path)
    with close_on_error(archive):
        member = choose_name(_members(archive), selection.key, "member", path)
        entry = archive.getinfo(f"{member}.npy")
        return NpyReader(f"{path}:{member}", archive.open(entry), entry.file_size, archive)


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return _members(archive)


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


FORMATS = (
    FormatSpec("NumPy", (".npy",), "array", _open_npy),
    FormatSpec("NumPy archive", (".npz",), "container", _open_npz, _names),
)
