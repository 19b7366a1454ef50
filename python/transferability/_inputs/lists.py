"""Rows of features that are lists, tuples or arrays: the cells of one column, or of a list.

They are stacked to a matrix if they have one length. An error names the first row that does not
fit, and what to do about it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError

__all__ = [
    "LEAVE_OUT",
    "check_text",
    "check_unicode",
    "describe_cell",
    "find_odd",
    "is_missing",
    "is_row",
    "refuse_kind",
    "refuse_uneven",
    "refuse_uneven_rows",
    "shorten",
    "stack_cells",
]

_NUMBERS = "fiub"
_MOST_DIMENSIONS = 64  # of an array
_COMPLEX = (complex, np.complexfloating)
_BEYOND_UNICODE = (
    "{} hold text that is not Unicode (characters beyond U+10FFFF, as of an array that is damaged "
    "or was never text); give text or numbers"
)
LEAVE_OUT = "leave it out, or encode it as numbers"


def stack_cells(cells: NDArray[Any], where: str) -> NDArray[Any]:
    """Stack the cells of an object array to a matrix, one row for each; `where` names them.

    Raise for anything but lists, tuples and arrays of numbers, with the first cell that is none.
    """
    if cells.ndim == 2 and cells.shape[1] == 1 and cells.size and is_row(cells[0, 0]):
        cells = cells[:, 0]  # of a frame with one column
    if cells.ndim != 1:
        _refuse_objects(cells, where)
    try:
        array = np.asarray(cells.tolist())
    except (TypeError, ValueError, RuntimeError):
        array = cells
    if array.ndim > 1 and array.dtype.kind in _NUMBERS:
        return array
    rows: list[NDArray[Any]] = []
    for i, cell in enumerate(cells):
        if is_missing(cell):
            raise DataError(f"{where}, row {i} is {cell}; drop that row and its label")
        if not is_row(cell):
            _refuse_cell(cells, where, i)
        row = _read_row(cell, where, i)
        if rows and row.shape != rows[0].shape:
            refuse_uneven(where, i, row.shape, rows[0].shape)
        rows.append(row)
    return np.stack(rows) if rows else np.empty((0, 0))


def _refuse_cell(cells: NDArray[Any], where: str, row: int) -> NoReturn:
    """Raise for a column of which the cell in this row is the first that is no list."""
    if (odd := find_odd(cells)) is None:
        raise DtypeError(
            f"{where} holds one number in each row, as objects of Python; convert it with "
            f"np.asarray({where}).astype(np.float64).reshape(-1, 1)"
        )
    if _converts(cells[row]):
        (other,), cell = odd
        if is_row(cell):
            raise DataError(
                f"{where}, row {row} is {shorten(cells[row])} and row {other} is a list; rows "
                f"must have one length"
            )
        row = other
    what, fix = describe_cell(cells[row])
    raise DtypeError(f"{where}, row {row} is {what}, not a list of numbers; {fix}")


def is_row(cell: object) -> bool:
    """Return whether a cell can be a row of numbers: a list, a tuple, an array, a series."""
    if isinstance(cell, (str, bytes, bytearray, Mapping)):
        return False
    if isinstance(cell, (list, tuple)):
        return True
    return hasattr(cell, "__array__") and hasattr(cell, "__len__") and getattr(cell, "ndim", 1) > 0


def is_missing(cell: object) -> bool:
    """Return whether a cell is None, NaN, NA or NaT."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, (float, np.floating)) and bool(cell != cell)


def describe_cell(cell: object) -> tuple[str, str]:
    """Return what a cell is that is neither a number nor a list, and what to do about it."""
    shown = shorten(cell)
    if isinstance(cell, str):
        cell = ascii(cell)[1:-1]  # NumPy makes characters that no method of str takes
    if isinstance(cell, str) and isinstance(_parse(cell), list):
        return f"the text {shown}", "read the lists from the text first, with json.loads"
    if isinstance(cell, str) and cell.strip().startswith(("[", "(")):
        return f"the text {shown}", "parse the text first, or save arrays in a binary format"
    if isinstance(cell, str):
        return f"the text {shown}", LEAVE_OUT
    if isinstance(cell, (bytes, bytearray)):
        return "bytes", "read the numbers from them first, with np.frombuffer"
    if isinstance(cell, Mapping):
        return "a mapping", "give one column for each of its entries"
    if isinstance(cell, _COMPLEX):
        return f"the complex number {shown}", "take the real part or the modulus"
    if is_row(cell):
        return "a list", "give lists or numbers, not both"
    return f"{shown} of type {type(cell).__name__}", LEAVE_OUT


def shorten(cell: object) -> str:
    """Return a cell for a message, cut if it is long."""
    try:
        shown = repr(str(cell) if isinstance(cell, str) else cell)
    except Exception:  # of any class: ``__repr__`` is foreign code, and huge integers have none
        shown = f"<{type(cell).__name__}>"
    return shown if len(shown) <= 32 else f"{shown[:31]}…"


def find_odd(cells: NDArray[Any]) -> tuple[tuple[int, ...], Any] | None:
    """Return the first cell that does not convert to a number, with its place; None without any.

    Then a conversion to float64 works, and makes NaN of missing cells.
    """
    return next((found for found in np.ndenumerate(cells) if not _converts(found[1])), None)


def _converts(cell: Any) -> bool:
    if is_row(cell) or isinstance(cell, _COMPLEX):
        return False
    try:
        np.float64(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def refuse_uneven(where: str, row: int, shape: tuple[int, ...], first: tuple[int, ...]) -> NoReturn:
    """Raise for a row of another shape than row 0."""
    if len(shape) == len(first) == 1:
        number = "number" if shape[0] == 1 else "numbers"
        raise DataError(
            f"{where}, row {row} has {shape[0]} {number} and row 0 has {first[0]}; rows must have "
            f"one length"
        )
    pool = "; pool each to one vector first, for example by its mean(axis=0)"
    raise DataError(
        f"{where}, row {row} has shape {shape} and row 0 has {first}"
        f"{pool if len(shape) == len(first) else '; rows must have one shape'}"
    )


def refuse_uneven_rows(rows: Iterable[Any], where: str, depth: int = _MOST_DIMENSIONS) -> None:
    """Raise with the first of some rows that is missing or of another shape than row 0.

    Rows of rows are searched to this depth: a list may hold itself.
    """
    first = None
    for i, row in enumerate(rows):
        if is_missing(row):
            raise DataError(f"{where}, row {i} is {row}; drop that row and its label")
        try:
            shape = np.shape(row)
        except ValueError:
            if depth and isinstance(row, (list, tuple)):
                refuse_uneven_rows(row, f"{where}, row {i}", depth - 1)
            return
        except Exception:  # of any class: numbers may be foreign code
            return
        if first is not None and shape != first:
            refuse_uneven(where, i, shape, first)
        first = shape


def _read_row(cell: Any, where: str, i: int) -> NDArray[Any]:
    try:
        row = np.asarray(cell)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{where}, row {i} does not convert to an array: {error}; give numbers of one shape"
        ) from error
    if row.dtype.kind in _NUMBERS or row.size == 0:
        return row
    if row.dtype == object and row.ndim == 1 and all(map(is_row, row)):
        return stack_cells(row, f"{where}, row {i}")  # lists of lists, as polars gives them
    for place, value in np.ndenumerate(row):
        if is_missing(value):
            at = ", ".join(map(str, place))
            raise DataError(f"{where}, row {i} holds {value} at {at}; drop that row and its label")
    odd = find_odd(row)
    if odd is None:
        what = f"numbers of dtype {row.dtype}"
        fix = "convert each row with np.asarray(row).astype(np.float64)"
    else:
        what, fix = describe_cell(odd[1])
    raise DtypeError(f"{where}, row {i} holds {what}, not real numbers; {fix}")


def _refuse_objects(array: NDArray[Any], where: str) -> NoReturn:
    """Raise for an object array that is not a list of rows."""
    if array.ndim == 0:
        value = array.item()
        fix = "give a NumPy array"
        if isinstance(value, Mapping):
            fix = f"make a table of it first, for example pandas.DataFrame({where})"
        elif isinstance(value, Iterable):
            fix = f"pass list({where})"
        raise DtypeError(f"{where} is of type {type(value).__name__}; {fix}")
    for place, value in np.ndenumerate(array):
        if is_missing(value):
            raise DataError(
                f"{where}[{', '.join(map(str, place))}] is {value}; every value must be finite: "
                f"drop or impute such rows"
            )
    refuse_kind(array, where)


def refuse_kind(array: NDArray[Any], where: str) -> NoReturn:
    """Raise for an array of objects or text, with the first value that is no number."""
    check_text(array, where)
    what = f"{where} must hold real numbers, got dtype {array.dtype}"
    if (odd := find_odd(array)) is None:
        raise DtypeError(f"{what}; convert it with np.asarray({where}).astype(np.float64)")
    cell, fix = describe_cell(odd[1])
    raise DtypeError(f"{what}: {where}[{', '.join(map(str, odd[0]))}] is {cell}; {fix}")


def check_text(array: NDArray[Any], where: str) -> None:
    """Raise for an array of NumPy's text with characters that Unicode does not have.

    NumPy makes any 32 bits a character; Python cannot convert such text, or makes no UTF-8 of it.
    """
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        array = array[tuple(slice(1) if step == 0 else slice(None) for step in array.strides)]
        codes = np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
        if np.ascontiguousarray(array).view(codes).max() > sys.maxunicode:
            raise DataError(_BEYOND_UNICODE.format(where))


def check_unicode(name: str, texts: Iterable[str]) -> None:
    """Raise for texts without UTF-8, in which the native module reads them."""
    try:
        "".join(texts).encode().decode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} hold text that is not Unicode (lone surrogates, as of bytes that were decoded "
            f"in another encoding); decode it again, for example with os.fsencode(label).decode()"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(_BEYOND_UNICODE.format(name)) from error


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
