"""Columns of Arrow: numbers and equally long lists as arrays, in memory as in files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError
from .lists import refuse_uneven

__all__ = ["is_number", "list_size", "read_cells", "read_numbers", "stack_chunks", "stack_lists"]


def list_size(kind: Any) -> int | None:
    """Return the length of a column's lists: -1 where lengths may differ, None for other types."""
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)  # the `datasets` library's own array types
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    is_list = types.is_list(kind) or types.is_large_list(kind)
    return -1 if is_list or _is_view(kind) else None


def is_number(kind: Any) -> bool:
    """Return whether columns of this type hold real numbers or booleans."""
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)
    if types.is_dictionary(kind):
        return is_number(kind.value_type)
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def read_cells(column: Any) -> NDArray[Any]:
    """Convert a column; null becomes NaN in numbers, and None in text."""
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


def read_numbers(column: Any, where: str) -> NDArray[Any]:
    """Convert a column of numbers; null becomes NaN."""
    if not is_number(column.type):
        raise DtypeError(
            f"{where} holds {column.type}, not numbers; leave it out, or encode it as numbers"
        )
    array = read_cells(column)
    return array.astype(np.float64) if array.dtype == object else array  # booleans with null


def stack_chunks(column: Any, where: str) -> NDArray[Any]:
    """Convert an array or a chunked array of equally long lists to a 2-D array."""
    parts: list[NDArray[Any]] = []
    width, done = None, 0
    for chunk in getattr(column, "chunks", [column]):
        if len(chunk):
            parts.append(stack_lists(chunk, width, where, done))
            width, done = parts[0].shape[1], done + len(chunk)
    return np.concatenate(parts) if parts else np.empty((0, 0))


def stack_lists(column: Any, width: int | None, where: str, first: int) -> NDArray[Any]:
    """Convert a column of equally long lists to a 2-D array, without copying where possible.

    `width` is the length of the lists before this column, and `first` the number of its first row.
    """
    from pyarrow import compute

    column = getattr(column, "storage", column)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{where}, row {first + row} is null; drop that row and its label")
    kind = column.type
    lengths = compute.list_value_length(column).to_numpy()
    width = int(lengths[0]) if width is None else width
    odd = np.flatnonzero(lengths != width)
    if odd.size:
        refuse_uneven(where, int(first + odd[0]), (int(lengths[odd[0]]),), (width,))
    if not is_number(kind.value_type):
        fix = "cast them to lists of float64"
        if list_size(kind.value_type) is not None:
            fix = "pool each to one vector first, for example by its mean(axis=0)"
        raise DtypeError(f"{where} holds lists of {kind.value_type}, not of numbers; {fix}")
    return read_numbers(column.flatten(), where).reshape(len(column), width)


def _is_view(kind: Any) -> bool:
    from pyarrow import types

    tests = (getattr(types, name, None) for name in ("is_list_view", "is_large_list_view"))
    return any(test is not None and test(kind) for test in tests)
