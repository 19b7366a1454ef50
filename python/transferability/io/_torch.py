"""Tensors saved by torch, memory-mapped; ``weights_only`` refuses other pickled objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_array
from ..errors import DataError, DtypeError
from ._choose import choose_name
from ._spec import FormatSpec, Reader, Selection, SlicedReader

__all__ = ["FORMATS"]


class _Rows:
    """Slices of a tensor as NumPy arrays."""

    def __init__(self, tensor: Any, name: str) -> None:
        self._tensor, self._name = tensor, name

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return as_array(self._tensor[rows], self._name)[0]


def _open(path: Path, selection: Selection) -> Reader:
    """Open a tensor, or one of a dict of tensors."""
    saved, key = _load(path), selection.key
    if isinstance(saved, Mapping):
        tensor = saved[choose_name(_tensors(saved), key, "tensor", path)]
    elif key is not None:
        raise DataError(f"{path} holds a single {type(saved).__name__}, nothing named {key!r}")
    else:
        tensor = saved
    if not hasattr(tensor, "detach"):
        raise DtypeError(
            f"{path} holds a {type(tensor).__name__}; save a tensor or a dict of tensors"
        )
    rows = _Rows(tensor, str(path))
    dtype = rows[0:0].dtype if tensor.ndim else np.dtype(np.float64)
    return SlicedReader(rows, tuple(tensor.shape), dtype)


def _names(path: Path) -> list[str]:
    """List the tensors of a saved dict; a saved tensor has no name."""
    saved = _load(path)
    return _tensors(saved) if isinstance(saved, Mapping) else []


def _tensors(saved: Mapping[str, Any]) -> list[str]:
    return [str(name) for name, value in saved.items() if hasattr(value, "detach")]


def _load(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        # Torch's own message advises to load the pickle, which would run its code.
        what = "it is damaged, older than torch 1.6, or holds Python objects (a pickle)"
        raise DataError(
            f"{path} cannot be read as tensors: {what}, which are never loaded; save the tensors "
            f"again with torch.save(tensor, path)"
        ) from error


FORMATS = (FormatSpec("torch", (".pt", ".pth"), "container", _open, _names, "torch", "torch"),)
