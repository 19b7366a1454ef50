"""A ``TeacherEnsemble`` as one .npz file: arrays, and a JSON text of everything else; no pickle."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .._util.atomic_file import write_bytes
from ..errors import DataError
from . import Head, TeacherEnsemble

__all__ = ["read", "write"]

_FORMAT = "transferability teachers 1"


def write(teachers: TeacherEnsemble, path: str | os.PathLike[str]) -> None:
    """Write the file whole or not at all."""
    facts = {
        "format": _FORMAT,
        "models": list(teachers.heads),
        "teachers": list(teachers.names),
        "temperature": teachers.temperature,
        "targets": list(teachers.targets),
    }
    arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts))}
    for i, head in enumerate(teachers.heads.values()):
        arrays |= {f"score{i}": np.float64(head.score), f"coef{i}": head.coef}
        arrays[f"offset{i}"] = head.offset
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read(path: str | os.PathLike[str]) -> TeacherEnsemble:
    """Read what :func:`write` wrote; anything else is a DataError."""
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
        return TeacherEnsemble(heads, facts["teachers"], facts["temperature"], facts["targets"])
    except DataError:
        raise
    except Exception as error:  # a zip of arrays and JSON that is damaged fails in many ways
        raise DataError(f"{path} cannot be read as teachers: {error}") from error
