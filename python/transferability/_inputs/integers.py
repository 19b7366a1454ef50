"""Integers that float64 would round: columns of features that are refused, not changed.

An identifier or a time in nanoseconds may be beyond 2**53. Neighbours then become equal in float64.
Libraries of frames make the same conversion where such a column stands beside real numbers, so each
column is looked at before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["EXACT", "check_exact", "check_extremes", "stack_columns"]

EXACT = 2**53  # float64 holds every integer up to here


def check_exact(array: NDArray[Any], name: str) -> None:
    """Raise if an array holds integers that float64 rounds."""
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        check_extremes(array.min(), array.max(), name)


def check_extremes(least: Any, most: Any, name: str) -> None:
    """Raise if the least or the largest of some integers is one that float64 rounds."""
    largest = max(int(most), -int(least))
    if largest > EXACT:
        raise DataError(
            f"{name} hold integers up to {largest}, beyond 2**53 = {EXACT}, which float64 "
            f"rounds; subtract a common offset first, such as the minimum of each column"
        )


def stack_columns(columns: Iterable[NDArray[Any]], name: str) -> NDArray[Any]:
    """Stack columns of numbers to a matrix of the type that all of them fit."""
    parts = list(columns)
    array = np.column_stack(parts)
    if array.dtype.kind == "f":  # otherwise the array itself is checked
        for part in parts:
            check_exact(part, name)
    return array
