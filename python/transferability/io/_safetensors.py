"""Safetensors files, by the safetensors package; tensors are read by slice."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError
from ._choose import choose_name
from ._spec import FormatSpec, Reader, Selection, SlicedReader

__all__ = ["FORMATS"]

_NUMBERS = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8")
_DTYPES = {
    "BOOL": np.dtype(bool),  # NumPy counts bytes in the names of numbers, and not bits
    **{kind: np.dtype(f"{kind[0].lower()}{int(kind[1:]) // 8}") for kind in _NUMBERS},
}


class _Bfloat16:
    """Slices of a bfloat16 tensor as float32, of which each number is the upper half.

    NumPy has no bfloat16, so the bytes of the tensor are mapped.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...]) -> None:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            entry = json.loads(file.read(length))[name]
        offset = 8 + length + entry["data_offsets"][0]
        self._halves = np.memmap(path, "<u2", "r", offset, shape)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return (self._halves[rows].astype(np.uint32) << 16).view(np.float32)


def _open(path: Path, selection: Selection) -> Reader:
    import safetensors

    file: Any = safetensors.safe_open(path, framework="np")
    name = choose_name(sorted(file.keys()), selection.key, "tensor", path)
    rows = file.get_slice(name)
    shape, kind = tuple(rows.get_shape()), rows.get_dtype()
    if kind == "BF16":
        return SlicedReader(_Bfloat16(path, name, shape), shape, np.dtype(np.float32))
    if kind not in _DTYPES:
        raise DtypeError(f"{path}:{name} holds {kind}, which NumPy lacks; convert it to float32")
    return SlicedReader(rows, shape, _DTYPES[kind])


def _names(path: Path) -> list[str]:
    import safetensors

    with safetensors.safe_open(path, framework="np") as file:
        return sorted(file.keys())


FORMATS = (
    FormatSpec("safetensors", (".safetensors",), "container", _open, _names, "safetensors", "io"),
)
