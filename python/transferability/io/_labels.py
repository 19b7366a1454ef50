"""Labels in files: arrays, columns of tables, or text with one label a line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.integers import EXACT
from .._inputs.labels import is_text, read_labels
from .._inputs.target import Target, suggest_header
from .._inputs.texts import shorten
from .._util.delimited import find_missing, is_number, parse_labels, read_rows
from ..errors import DataError, DtypeError
from ._formats import TEXT_SUFFIXES, name_errors, open_array

__all__ = ["check_length", "join_labels", "read_label_array", "read_label_parts"]

_BEYOND = 2**63  # more than int64 holds


def read_label_array(path: Path, key: str | None) -> Any:
    """Read labels: an array or a column of a file, or lines of text."""
    if _is_text_file(path):
        return parse_labels(_read_lines(path))
    with name_errors(path), open_array(path, key, is_labels=True) as reader:
        return reader.load()


def read_label_parts(sources: Sequence[Any], names: Sequence[str]) -> list[NDArray[Any]]:
    """Read and validate the labels of several files, ``(path, key)``, or arrays.

    Text files are read as one: 1 in one file is a code if another file holds 01 or 1.0, so that
    no class depends on how rows are cut into files. `names` are for messages.
    """
    written = [isinstance(source, tuple) and _is_text_file(source[0]) for source in sources]
    files = itertools.compress(sources, written)
    texts = iter(_parse_together([_read_lines(path) for path, _ in files]))
    parts = []
    for source, is_written, name in zip(sources, written, names, strict=True):
        if is_written:
            labels = next(texts)
        else:
            labels = read_label_array(*source) if isinstance(source, tuple) else source
        parts.append(read_labels(labels, name)[0])
    return parts


def join_labels(parts: Sequence[Any], names: Sequence[str], what: str) -> NDArray[Any]:
    """Concatenate labels of several files; raise if one differs from the first in kind or shape."""
    for part, name in zip(parts, names, strict=True):
        if is_text(part) != is_text(parts[0]):
            raise DtypeError(
                f"{name} holds {_dtype(part)} but {names[0]} holds {_dtype(parts[0])}; write "
                f"labels in one way"
            )
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(
                f"{name} has shape {part.shape} but {names[0]} {parts[0].shape}; give every {what} "
                f"the same targets"
            )
    full = [i for i, part in enumerate(parts) if part.size] or [*range(len(parts))]
    parts, names = [parts[i] for i in full], [names[i] for i in full]
    joined = np.concatenate(parts)
    if joined.dtype.kind == "f" and any(part.dtype.kind in "iu" for part in parts):
        return _keep_integers(parts, names, joined)
    return joined


def _keep_integers(
    parts: Sequence[NDArray[Any]], names: Sequence[str], joined: NDArray[Any]
) -> NDArray[Any]:
    """Return labels that NumPy joins as real numbers, without two integers becoming one."""
    whole = [part for part in parts if part.dtype.kind in "biu"]
    least = min(int(part.min()) for part in whole)
    most = max(int(part.max()) for part in whole)
    if len(whole) == len(parts):  # of int64 and uint64
        if most >= _BEYOND and least < 0:
            raise DataError(
                f"{names[0]} and the others hold integers from {least} to {most}, which no 64-bit "
                f"type holds together; use strings for them"
            )
        dtype = np.int64 if most < _BEYOND else np.uint64
        return np.concatenate([part.astype(dtype) for part in parts])
    if max(most, -least) > EXACT:
        distinct = {value for part in whole for value in part.ravel().tolist()}
        if len({float(value) for value in distinct}) < len(distinct):
            real = next(i for i, part in enumerate(parts) if part.dtype.kind == "f")
            raise DataError(
                f"labels hold integers up to {max(most, -least)}, and {names[real]} holds "
                f"{parts[real].dtype}, in which some of them would be equal; write labels in one "
                f"way"
            )
    return joined


def check_length(name: str, labels: Target | NDArray[Any], held: str, n_rows: int) -> None:
    """Raise unless there is one label for each row; `held` is "x.npy has", for the message."""
    n_labels = labels.n_samples if isinstance(labels, Target) else len(labels)
    if n_labels != n_rows:
        raise DataError(
            f"{name} has {n_labels} entries but {held} {n_rows} rows; give one label for each "
            f"row{suggest_header(labels, n_rows)}"
        )


def _is_text_file(path: Path) -> bool:
    return path.suffix.lower() in TEXT_SUFFIXES


def _parse_together(texts: Sequence[list[str]]) -> list[list[Any]]:
    """Parse the labels of several text files: as one if all are numbers, else each by itself."""
    joint = [*itertools.chain.from_iterable(texts)]
    if not all(map(is_number, set(joint))):
        return [parse_labels(each) for each in texts]
    values = iter(parse_labels(joint))
    return [[*itertools.islice(values, len(each))] for each in texts]


def _dtype(array: NDArray[Any]) -> str:
    """Return the name of the dtype that NumPy gives to such labels."""
    if array.dtype.kind != "O":
        return str(array.dtype)
    return f"<U{max(map(len, array.ravel().tolist()))}"


def _read_lines(path: Path) -> list[str]:
    """Read one label a line: all numbers, or all text."""
    values = []
    for line, cells in read_rows(path):
        if len(cells) > 1:
            raise DataError(
                f"{path}, line {line}: {len(cells)} values; give one label a line, without an "
                f"index and a header"
            )
        values.append((line, "".join(cells).strip()))
    texts = [value for _, value in values]
    if missing := find_missing(texts):
        raise DataError(
            f"{path} has {len(missing)} lines without a label (empty, NaN or, among numbers, NA or "
            f"the like), the first is line {values[missing[0]][0]}; drop those rows from labels "
            f"and features"
        )
    numbers = [entry for entry in values if is_number(entry[1])]
    words = [entry for entry in values if not is_number(entry[1])]
    if words and any(np.isfinite(float(value)) for _, value in numbers):  # "inf" may be a name
        line, odd = min(words, numbers, key=len)[0]
        raise DataError(
            f"{path}, line {line}: {shorten(odd)} is unlike other lines, of which {len(numbers)} "
            f"hold numbers and {len(words)} text; remove a header, and write labels in one way"
        )
    return texts
