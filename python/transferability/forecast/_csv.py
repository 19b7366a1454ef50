"""Read a learning curve from a .csv or .tsv file: one column of sizes, one of values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .._util.delimited import MISSING, is_number, read_table
from ..errors import DataError

__all__ = ["read_curve"]

Array = NDArray[np.float64]
#: Names of the column of sizes, in lower case.
_SIZES = ("size", "sizes", "n", "samples", "n_samples", "rows", "n_rows")


def read_curve(
    path: str, size_column: str | None = None, value_column: str | None = None
) -> tuple[Array, Array]:
    """Read sizes and values; rows without one of the two are left out.

    By default sizes are the column that is named so, or else the first of two columns of numbers.
    Values are the only other column of numbers.
    """
    header, rows = read_table(path, "\t" if path.lower().endswith(".tsv") else ",", comment="#")
    if header and all(map(is_number, header)):
        raise DataError(f"{path}: its first line is numbers; give it names, such as size,accuracy")
    numbers = {}
    for place, name in enumerate(header):
        cells = [row[place].strip() for row in rows]
        if cells and all(is_number(cell) or cell in MISSING for cell in cells):
            numbers[name] = [math.nan if cell in MISSING else float(cell) for cell in cells]
    for argument, wanted in (("--size-column", size_column), ("--value-column", value_column)):
        if wanted is not None and wanted not in numbers:
            raise DataError(
                f"{path} has no column of numbers {wanted!r} for {argument}; "
                f"its columns of numbers are {', '.join(numbers) or 'none'}"
            )
    if size_column is None:
        known = [name for name in numbers if name.strip().lower() in _SIZES]
        rest = [name for name in numbers if name != value_column]
        size_column = next(iter(known or rest), None)
    rest = [name for name in numbers if name != size_column]
    if value_column is None and len(rest) == 1:
        value_column = rest[0]
    if size_column is None or value_column is None:
        raise DataError(
            f"{path} has {len(numbers)} columns of numbers ({', '.join(numbers) or 'none'}); name "
            f"those of sizes and values with --size-column and --value-column"
        )
    table = np.array([numbers[size_column], numbers[value_column]])
    sizes, values = table[:, ~np.isnan(table).any(axis=0)]
    return sizes, values
