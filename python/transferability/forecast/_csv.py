"""Read a learning curve from a .csv or .tsv file: one column of sizes, one of values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .._inputs.arguments import suggest
from .._metric.score import issue
from .._util.delimited import MISSING, find_ambiguous, is_number, read_table
from ..errors import DataError

__all__ = ["read_curve"]

Array = NDArray[np.float64]
#: Names of the column of sizes, in lower case.
_SIZES = (
    *("size", "sizes", "n", "samples", "n_samples", "num_samples", "rows", "n_rows", "num_rows"),
    *("train_size", "train_sizes", "n_train", "examples", "n_examples", "num_examples"),
)


def read_curve(
    path: str, size_column: str | None = None, value_column: str | None = None
) -> tuple[Array, Array]:
    """Read sizes and values; lines without one of the two are left out, with a warning.

    By default sizes are the column that is named so, or else the first of two columns of numbers.
    Values are the only other column of numbers.
    """
    header, rows = read_table(path, "\t" if path.lower().endswith(".tsv") else ",", comment="#")
    if header and all(map(is_number, header)):
        raise DataError(f"{path}: its first line is numbers; give it names, such as size,accuracy")
    numbers, odd, ambiguous = {}, [], find_ambiguous(header, rows)
    for place, name in enumerate(header):
        cells = [row[place].strip() for row in rows]
        if name in ambiguous:
            continue
        if cells and all(is_number(cell) or cell in MISSING for cell in cells):
            numbers[name] = [math.nan if cell in MISSING else float(cell) for cell in cells]
        elif cells:
            cell = next(cell for cell in cells if not (is_number(cell) or cell in MISSING))
            odd.append(f"{name} holds {cell!r}")
    others = f"; not numbers: {', '.join(odd)}" if odd else ""
    if ambiguous:
        others += f"; several columns are called {', '.join(map(repr, sorted(ambiguous)))}"
    for argument, wanted in (("--size-column", size_column), ("--value-column", value_column)):
        if wanted is not None and wanted not in numbers:
            raise DataError(
                f"{path} has no column of numbers {wanted!r}{suggest(wanted, numbers)} for "
                f"{argument}; "
                f"its columns of numbers are {', '.join(numbers) or 'none'}{others}"
            )
    if size_column is None:
        rest = [name for name in numbers if name != value_column]
        known = [name for name in rest if name.strip().lower() in _SIZES]
        if known or len(numbers) == 2:
            size_column = (known or rest)[0]
    rest = [name for name in numbers if name != size_column]
    if value_column is None and len(rest) == 1:
        value_column = rest[0]
    if size_column is None or value_column is None:
        raise DataError(
            f"{path} has {len(numbers)} columns of numbers ({', '.join(numbers) or 'none'}); name "
            f"those of sizes and values with --size-column and --value-column{others}"
        )
    table = np.array([numbers[size_column], numbers[value_column]])
    complete = ~np.isnan(table).any(axis=0)
    if not complete.all():
        left_out = f"{(~complete).sum()} of {len(complete)} lines were left out"
        issue([f"{path}: {left_out}, without a {size_column!r} or without a {value_column!r}"])
    sizes, values = table[:, complete]
    return sizes, values
