"""Labels in files: arrays, columns of tables, or text with one label a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.delimited import MISSING, is_number, parse_numbers, read_rows
from ..errors import DataError, DtypeError
from ._formats import TEXT_SUFFIXES, name_errors, open_array

__all__ = ["check_length", "join_labels", "read_label_array"]


def read_label_array(path: Path, key: str | None) -> Any:
    """Read labels: an array or a column of a file, or lines of text."""
    if path.suffix.lower() in TEXT_SUFFIXES:
        return _read_lines(path)
    with name_errors(path), open_array(path, key, is_labels=True) as reader:
        return reader.load()


def join_labels(parts: Sequence[Any], names: Sequence[str], what: str) -> NDArray[Any]:
    """Concatenate labels of several files; raise if one differs from the first in kind or shape."""
    for part, name in zip(parts, names, strict=True):
        if (part.dtype.kind == "U") != (parts[0].dtype.kind == "U"):
            raise DtypeError(
                f"{name} holds {part.dtype} but {names[0]} holds {parts[0].dtype}; write labels in "
                f"one way"
            )
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(
                f"{name} has shape {part.shape} but {names[0]} {parts[0].shape}; give every {what} "
                f"the same targets"
            )
    return np.concatenate(parts)


def check_length(name: str, n_labels: int, held: str, n_rows: int) -> None:
    """Raise unless there is one label for each row; `held` is "x.npy has", for the message."""
    if n_labels != n_rows:
        raise DataError(
            f"{name} has {n_labels} entries but {held} {n_rows} rows; give one label for each row"
        )


def _read_lines(path: Path) -> list[Any]:
    """Read one label a line: all integers, all floats, or all text."""
    values = []
    for line, cells in read_rows(path):
        if len(cells) > 1:
            raise DataError(f"{path}, line {line}: {len(cells)} values; give one label a line")
        values.append((line, "".join(cells).strip()))
    missing = [line for line, value in values if value in MISSING]
    if missing:
        raise DataError(
            f"{path} has {len(missing)} lines without a label (empty, NA or the like), the first "
            f"is line {missing[0]}; drop those rows from labels and features"
        )
    numbers = [entry for entry in values if is_number(entry[1])]
    words = [entry for entry in values if not is_number(entry[1])]
    if numbers and words:
        line, odd = min(words, numbers, key=len)[0]
        raise DataError(
            f"{path}, line {line}: {odd!r} is unlike other lines, of which {len(numbers)} hold "
            f"numbers and {len(words)} text; remove a header, and write labels in one way"
        )
    texts = [value for _, value in values]
    return texts if words else parse_numbers(texts)
