"""Safetensors files, by the safetensors package; a slice at a time."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ..errors import DtypeError
from ._reader import Reader, SlicedReader, choose

__all__ = ["names", "open_array"]

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def open_array(path: Path, key: str | None) -> Reader:
    """Open a tensor; without a key the only one that there is."""
    library = need("safetensors", extra="io", what="reading safetensors files")
    file = library.safe_open(path, framework="np")
    name = choose(sorted(file.keys()), key, "tensor", path)
    rows = file.get_slice(name)
    shape, kind = tuple(rows.get_shape()), rows.get_dtype()
    if kind == "BF16":
        return SlicedReader(_Bfloat16(path, name, shape), shape, np.dtype(np.float32))
    if kind not in _DTYPES:
        raise DtypeError(f"{path}:{name} holds {kind}, which NumPy lacks; convert it to float32")
    return SlicedReader(rows, shape, np.dtype(_DTYPES[kind]))


def names(path: Path) -> list[str]:
    """List the tensors of a file."""
    library = need("safetensors", extra="io", what="reading safetensors files")
    with library.safe_open(path, framework="np") as file:
        return sorted(file.keys())


class _Bfloat16:
    """Rows of bfloat16 numbers, which are the upper halves of float32 ones.

    NumPy has no such type, so the bytes are read where the header says that they are.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...]) -> None:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            entry = json.loads(file.read(length))[name]
        offset = 8 + length + entry["data_offsets"][0]
        self._halves = np.memmap(path, "<u2", "r", offset, shape)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return (self._halves[rows].astype(np.uint32) << 16).view(np.float32)
