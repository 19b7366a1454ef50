"""HDF5 files, by h5py; datasets are named by their path within the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ._reader import SlicedReader, choose, refuse_objects

__all__ = ["names", "open_array"]


def open_array(path: Path, key: str | None) -> SlicedReader:
    """Open a dataset; without a key the only one that there is."""
    h5py = need("h5py", extra="io", what="reading HDF5 files")
    file = h5py.File(path, "r")
    try:
        key = None if key is None else key.strip("/")
        dataset = file[choose(_datasets(h5py, file), key, "dataset", path)]
        return _DatasetReader(h5py, file, dataset)
    except BaseException:
        file.close()
        raise


def names(path: Path) -> list[str]:
    """List the datasets of a file."""
    h5py = need("h5py", extra="io", what="reading HDF5 files")
    with h5py.File(path, "r") as file:
        return _datasets(h5py, file)


def _datasets(h5py: Any, file: Any) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if _is_dataset(h5py, item) else None)
    return found


def _is_dataset(h5py: Any, item: Any) -> bool:
    return isinstance(item, h5py.Dataset)


class _DatasetReader(SlicedReader):
    """A dataset that closes its file; text comes as strings."""

    def __init__(self, h5py: Any, file: Any, dataset: Any) -> None:
        self._file = file
        rows, dtype = dataset, dataset.dtype
        if h5py.check_string_dtype(dtype) is not None:
            rows, dtype = dataset.asstr(), np.dtype("U")
        refuse_objects(dtype, f"{file.filename}:{dataset.name.strip('/')}")
        super().__init__(rows, tuple(dataset.shape), dtype)

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """Read slices; strings as NumPy's own, not as objects."""
        for block in super().blocks(n_rows):
            yield block.astype(str) if self.dtype.kind == "U" else block

    def close(self) -> None:
        """Close the file."""
        self._file.close()
