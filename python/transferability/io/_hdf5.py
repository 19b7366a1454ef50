"""HDF5 files, by h5py; datasets are named by their path within the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ._choose import choose_name
from ._spec import FormatSpec, Reader, Selection, SlicedReader, close_on_error, refuse_objects

__all__ = ["FORMATS"]


class _DatasetReader(SlicedReader):
    """A dataset; the reader also closes the file. Text is read as objects of str."""

    def __init__(self, file: Any, dataset: Any) -> None:
        import h5py

        self._file = file
        rows, dtype = dataset, dataset.dtype
        if h5py.check_string_dtype(dtype) is not None:
            rows, dtype = dataset.asstr(), np.dtype("U")
        refuse_objects(dtype, f"{file.filename}:{dataset.name.strip('/')}")
        super().__init__(rows, tuple(dataset.shape), dtype)

    def close(self) -> None:
        self._file.close()


def _open(path: Path, selection: Selection) -> Reader:
    import h5py

    file = h5py.File(path, "r")
    with close_on_error(file):
        key = None if selection.key is None else selection.key.strip("/")
        return _DatasetReader(file, file[choose_name(_datasets(file), key, "dataset", path)])


def _names(path: Path) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        return _datasets(file)


def _datasets(file: Any) -> list[str]:
    import h5py

    found: list[str] = []

    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return found


FORMATS = (FormatSpec("HDF5", (".h5", ".hdf5"), "container", _open, _names, "h5py", "io"),)
