"""Read and write heads and their ensemble as one .npz file: arrays and a JSON text, no pickle."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .._util.atomic_file import write_bytes
from ..errors import DataError
from ._head import Head

__all__ = ["read", "write"]

_FORMAT = "transferability teachers 1"
T = TypeVar("T")


def write(
    path: str | os.PathLike[str], heads: Mapping[str, Head], facts: Mapping[str, Any]
) -> None:
    """Write heads, with facts that JSON can hold, by an atomic write."""
    text = json.dumps({"format": _FORMAT, "models": list(heads), **facts})
    arrays: dict[str, Any] = {"facts": np.array(text)}
    for i, head in enumerate(heads.values()):
        arrays |= {f"score{i}": np.float64(head.score), f"coef{i}": head.coef}
        arrays[f"offset{i}"] = head.offset
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read(path: str | os.PathLike[str], build: Callable[..., T]) -> T:
    """Read a file of :func:`write`, and return ``build(heads, teachers, temperature, targets)``."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, TypeError) as error:
        raise DataError(f"{path} cannot be read as teachers: {error}") from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            facts = json.loads(str(arrays["facts"]))
            if facts["format"] != _FORMAT:
                raise DataError(f"{path} is of another version: {facts['format']!r}")
            heads = {
                name: Head(float(arrays[f"score{i}"]), arrays[f"coef{i}"], arrays[f"offset{i}"])
                for i, name in enumerate(facts["models"])
            }
        return build(heads, facts["teachers"], facts["temperature"], facts["targets"])
    except DataError:
        raise
    except Exception as error:  # a damaged zip of arrays and JSON fails in many ways
        raise DataError(f"{path} cannot be read as teachers: {error}") from error
