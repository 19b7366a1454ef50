"""Hash items and labels by their content."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._inputs.arrays import instance_of
from ..errors import DtypeError

__all__ = ["update_hash"]


def update_hash(state: Any, value: Any) -> None:
    """Add a value to a ``hashlib`` hash, prefixed by its kind and length.

    The value is a number, text, bytes, PIL image, array, tensor, a path (hashed as the bytes of
    its file), or a list or mapping of these; others raise DtypeError. The prefix distinguishes
    sequences whose concatenated contents are equal.
    """
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        value = value.item() if isinstance(value, np.generic) else value
        _update(state, type(value).__name__, repr(value).encode())
    elif isinstance(value, str):
        _update(state, "str", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray)):
        _update(state, "bytes", bytes(value))
    elif isinstance(value, Mapping):
        _update(state, "dict", str(len(value)).encode())
        for key in sorted(value, key=str):
            update_hash(state, str(key))
            update_hash(state, value[key])
    elif isinstance(value, (list, tuple)):
        _update(state, "list", str(len(value)).encode())
        for entry in value:
            update_hash(state, entry)
    elif isinstance(value, os.PathLike):
        with open(value, "rb") as file:
            _update(state, "bytes", file.read())
    elif instance_of(value, "PIL.Image", "Image"):
        _update(state, f"image|{value.mode}|{value.size}", value.tobytes())
    else:
        _update_array(state, value)


def _update_array(state: Any, value: Any) -> None:
    if instance_of(value, "torch", "Tensor"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind != "O":
        _update(state, f"array|{array.dtype.str}|{array.shape}", np.ascontiguousarray(array).data)
    elif array.ndim:
        update_hash(state, [array.shape, *array.ravel().tolist()])
    else:
        raise DtypeError(
            f"data has an item of type {type(value).__name__}, which cannot be told from "
            f"others by its content; give texts, pictures or arrays"
        )


def _update(state: Any, kind: str, content: Any) -> None:
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    state.update(f"{kind}:{size}:".encode())
    state.update(content)
