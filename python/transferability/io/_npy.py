"""NumPy's own files: .npy, and .npz archives of them, compressed or not.

Rows are read into fresh memory instead of mapped: pages of a mapped file would stay with the
process, and would be fetched by whoever computes instead of by whoever reads ahead.
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
from ._reader import Reader, choose, refuse_objects

__all__ = ["names", "open_array"]


def open_array(path: Path, key: str | None) -> Reader:
    """Open an .npy file, or a member of an .npz archive."""
    if path.suffix.lower() == ".npy":
        if key is not None:
            raise DataError(f"{path} holds one array, nothing named {key!r}")
        return _NpyReader(path, path.open("rb"), path.stat().st_size)
    archive = zipfile.ZipFile(path)
    try:
        member = choose(names(path), key, "member", path)
        entry = archive.getinfo(f"{member}.npy")
        return _NpyReader(f"{path}:{member}", archive.open(entry), entry.file_size, archive)
    except BaseException:
        archive.close()
        raise


def names(path: Path) -> list[str]:
    """List the arrays of an archive; an .npy file holds one without a name."""
    if path.suffix.lower() == ".npy":
        return []
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    return [name.removesuffix(".npy") for name in members if name.endswith(".npy")]


class _NpyReader(Reader):
    """An array as NumPy writes it, read through a file object."""

    def __init__(
        self, where: object, file: IO[bytes], stored: int, archive: zipfile.ZipFile | None = None
    ) -> None:
        self._where, self._file, self._archive = where, file, archive
        try:
            shape: tuple[int, ...]
            shape, self._fortran, dtype = _header(file)
            refuse_objects(dtype, where)
            self._offset = file.tell()
            needed = math.prod(shape) * dtype.itemsize
            if needed > stored - self._offset:  # refused before memory is taken for it
                raise DataError(
                    f"{where} declares {needed} bytes of data but holds {stored - self._offset}: "
                    f"damaged or truncated"
                )
        except BaseException:
            self.close()
            raise
        super().__init__(shape, dtype)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read row by row; column by column where the file is laid out so."""
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
        """Map an .npy file, read a member of an archive."""
        if self._archive is None and 0 not in self.shape:
            order: Any = "F" if self._fortran else "C"
            name = str(self._where)
            return np.memmap(name, self.dtype, "r", self._offset, self.shape, order)
        self._file.seek(self._offset)
        return self._read(self.shape[::-1]).T if self._fortran else self._read(self.shape)

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

    def close(self) -> None:
        """Close the file, and the archive that it is in."""
        self._file.close()
        if self._archive is not None:
            self._archive.close()


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise DataError(f"npy format {version} holds structured data, not numbers")
    return read(file)
