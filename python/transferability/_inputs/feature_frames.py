"""Frames as matrices with names: pandas and polars frames, and tables of Arrow.

Each column is a feature, or a single column holds the rows as lists. Columns that are the index of
a pandas frame are left out. A column that is neither is refused by its name.

Packages are looked up in ``sys.modules`` and never imported: if one of their objects exists, its
package has been imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError, TransferabilityError
from . import arrow
from .columns import Names, index_columns, quote_names
from .integers import check_extremes, stack_columns
from .lists import (
    LEAVE_OUT,
    describe_cell,
    find_odd,
    is_missing,
    is_row,
    refuse_uneven,
    shorten,
    stack_cells,
)

__all__ = ["Frame", "drop_index", "instance_of", "is_arrow_table", "name_errors", "read_frame"]
__all__ += ["read_list_column"]

_SHOWN = 5  # a message describes so many columns


class Frame(NamedTuple):
    """A matrix, and the names of its columns; None if they come from one column of lists."""

    array: NDArray[Any]
    columns: Names


def instance_of(value: object, module: str, name: str) -> bool:
    """Return whether `value` is a ``module.name``, without importing the module."""
    loaded = sys.modules.get(module)
    cls = getattr(loaded, name, None)
    return isinstance(cls, type) and isinstance(value, cls)


def read_frame(value: Any, name: str) -> Frame | None:
    """Read a frame or a table; return None for anything else. `name` is for messages."""
    if instance_of(value, "polars", "LazyFrame"):
        raise DtypeError(f"{name} is a lazy frame of polars; pass {name}.collect()")
    with name_errors(value, name):
        value = drop_index(value)
        if instance_of(value, "polars", "Series") and hasattr(value.dtype, "fields"):
            value = value.struct.unnest()  # its fields have names
        if instance_of(value, "pandas", "DataFrame"):
            return _from_pandas(value, name)
        if instance_of(value, "polars", "DataFrame"):
            return _from_polars(value, name)
        if is_arrow_table(value):
            return _from_arrow(value, name)
    return None


@contextmanager
def name_errors(value: object, name: str) -> Iterator[None]:
    """Raise what other packages raise of a frame or a column as a ``DataError`` with its name.

    Their dates may be in no calendar and no known time zone, and their numbers wider than NumPy's.
    """
    try:
        yield
    except (TransferabilityError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # Ctrl-C, not a panic of polars
        reason = str(error).rstrip(".")
        raise DataError(
            f"{name} of type {type(value).__name__} does not convert to an array: {reason}; "
            f"convert its columns to numbers or strings"
        ) from error


def is_arrow_table(value: object) -> bool:
    """Return whether this is a table or a record batch of Arrow."""
    return any(instance_of(value, "pyarrow", kind) for kind in ("Table", "RecordBatch"))


def drop_index(value: Any) -> Any:
    """Return a frame or a table without the columns that hold the index of a pandas frame.

    Anything else is returned as it is.
    """
    if is_arrow_table(value):
        schema = value.schema
        index = index_columns(schema.names, schema.metadata)
        return value.select([i for i, name in enumerate(schema.names) if name not in index])
    if instance_of(value, "pandas", "DataFrame"):
        index = index_columns(value.columns)
        return value.drop(columns=index) if index else value
    if instance_of(value, "polars", "DataFrame"):
        return value.drop(index_columns(value.columns))
    return value


def read_list_column(value: Any, where: str) -> NDArray[Any] | None:
    """Stack a column of lists of polars or Arrow; return None for anything else.

    Columns of other packages are stacked cell by cell, by ``lists.stack_cells``.
    """
    if instance_of(value, "polars", "Series") and _is_polars_list(value.dtype):
        return _stack_polars(value, where)
    is_arrow = any(instance_of(value, "pyarrow", kind) for kind in ("Array", "ChunkedArray"))
    if is_arrow and arrow.list_size(value.type) is not None:
        return arrow.stack_chunks(value, where)
    return None


def _from_pandas(frame: Any, name: str) -> Frame:
    types = sys.modules["pandas"].api.types
    dtypes = list(frame.dtypes)
    numeric = {
        dtype: types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype)
        for dtype in set(dtypes)
    }
    odd = [i for i, dtype in enumerate(dtypes) if not numeric[dtype]]
    cells = {i: frame.iloc[:, i].to_numpy(dtype=object) for i in odd}
    lists = [i for i in odd if is_row(_first_cell(cells[i]))]
    names = list(frame.columns)
    _refuse_mixed(name, names, [names[i] for i in lists])
    if lists or (odd and frame.shape[1] == 1 and find_odd(cells[0]) is not None):
        return Frame(stack_cells(cells[0], f"{name}, column {names[0]!r}"), None)
    if odd:
        known = [(names[i], str(dtypes[i]), cells[i]) for i in odd]
        _refuse_columns(name, known, f"convert them with {name}.astype(float)")
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    # Nullable columns: NA becomes NaN, which is then reported with its row and column.
    array = frame.to_numpy() if plain else frame.to_numpy(dtype=np.float64, na_value=np.nan)
    array = array.astype(np.float64) if array.dtype == object else np.asarray(array)
    if array.dtype.kind == "f":  # otherwise the array itself is checked
        for dtype in {kind for kind in dtypes if types.is_integer_dtype(kind)}:
            part = frame.loc[:, [kind == dtype for kind in dtypes]]
            least, most = part.min().min(), part.max().max()
            if not (is_missing(least) or is_missing(most)):
                check_extremes(least, most, name)
    return Frame(array, tuple(map(str, names)))


def _first_cell(column: Iterable[Any]) -> Any:
    """Return the first cell that is not missing; None without any."""
    return next((cell for cell in column if not is_missing(cell)), None)


def _from_polars(frame: Any, name: str) -> Frame:
    polars = sys.modules["polars"]
    schema = dict(frame.schema)
    lists = [
        column
        for column, kind in schema.items()
        if _is_polars_list(kind) or (kind == polars.Object and is_row(_first_cell(frame[column])))
    ]
    _refuse_mixed(name, list(schema), lists)
    if lists:
        column = frame[lists[0]]
        where = f"{name}, column {lists[0]!r}"
        stacked = read_list_column(column, where)
        return Frame(stack_cells(column.to_numpy(), where) if stacked is None else stacked, None)
    if boolean := [column for column, kind in schema.items() if kind == polars.Boolean]:
        frame = frame.with_columns(polars.col(boolean).cast(polars.UInt8))
    if decimal := [column for column, kind in schema.items() if kind.is_decimal()]:
        frame = frame.with_columns(polars.col(decimal).cast(polars.Float64))
    odd = [column for column, kind in frame.schema.items() if not kind.is_numeric()]
    if odd:
        cells = [np.array(frame[column].to_list(), dtype=object) for column in odd]
        kinds = [str(frame.schema[column].base_type()) for column in odd]
        fix = "cast them to polars.Float64"
        _refuse_columns(name, list(zip(odd, kinds, cells, strict=True)), fix)
    array = np.asarray(frame.to_numpy())
    if array.dtype.kind == "f":  # otherwise the array itself is checked
        for column, kind in schema.items():
            if kind.is_integer() and (least := frame[column].min()) is not None:
                check_extremes(least, frame[column].max(), name)
    return Frame(array, tuple(schema))


def _is_polars_list(kind: Any) -> bool:
    return bool(kind.is_nested()) and hasattr(kind, "inner")  # List and Array, not Struct


def _stack_polars(series: Any, where: str) -> NDArray[Any]:
    """Stack a series of lists; an Array has one length by its type."""
    if series.null_count():
        row = int(series.is_null().arg_true()[0])
        raise DataError(f"{where}, row {row} is None; drop that row and its label")
    shape: tuple[int, ...] = tuple(getattr(series.dtype, "shape", None) or ())
    if not shape:
        lengths = series.list.len().to_numpy()
        width = int(lengths[0]) if len(lengths) else 0
        odd = np.flatnonzero(lengths != width)
        if odd.size:
            refuse_uneven(where, int(odd[0]), (int(lengths[odd[0]]),), (width,))
        shape = (width,)
    if 0 in shape or not len(series):
        return np.empty((len(series), *shape))
    values = series
    for _ in shape:
        values = values.explode()
    if _is_polars_list(values.dtype):  # lists of lists
        return np.stack([_stack_polars(row, f"{where}, row {i}") for i, row in enumerate(series)])
    polars = sys.modules["polars"]
    if values.dtype == polars.Boolean:
        values = values.cast(polars.UInt8)
    if values.dtype.is_decimal():
        values = values.cast(polars.Float64)
    if not values.dtype.is_numeric():
        raise DtypeError(
            f"{where} holds lists of {values.dtype}, not of numbers; cast them to lists of Float64"
        )
    return np.asarray(values.to_numpy()).reshape(len(series), *shape)


def _from_arrow(table: Any, name: str) -> Frame:
    fields, names = list(table.schema), tuple(table.schema.names)
    lists = [field.name for field in fields if arrow.list_size(field.type) is not None]
    _refuse_mixed(name, names, lists)
    if lists:
        return Frame(arrow.stack_chunks(table.column(0), f"{name}, column {names[0]!r}"), None)
    odd = [i for i, field in enumerate(fields) if not arrow.is_number(field.type)]
    if odd:
        cells = [np.array(table.column(i).to_pylist(), dtype=object) for i in odd]
        kinds = [str(fields[i].type) for i in odd]
        known = list(zip([names[i] for i in odd], kinds, cells, strict=True))
        _refuse_columns(name, known, "cast them to float64")
    if not names:
        return Frame(np.empty((table.num_rows, 0)), ())
    columns = [
        arrow.read_numbers(table.column(i), f"{name}, column {column!r}")
        for i, column in enumerate(names)
    ]
    return Frame(stack_columns(columns, name), names)


def _refuse_mixed(name: str, names: Sequence[Any], lists: Sequence[Any]) -> None:
    """Raise for a column of lists beside other columns."""
    if not lists or len(names) == 1:
        return
    others = [column for column in names if column != lists[0]]
    raise DtypeError(
        f"{name} has a column of lists, {lists[0]!r}, beside {quote_names(others)}; say which are "
        f"the features: {name}[{lists[0]!r}], or the other columns without it"
    )


def _refuse_columns(
    name: str, columns: Sequence[tuple[Any, str, NDArray[Any]]], convert: str
) -> None:
    """Raise for columns that are not numeric: their names, types and cells as objects.

    `convert` says how to convert columns whose cells are all numbers, or text of numbers.
    """
    shown, fixes = [], {convert}
    for column, kind, cells in columns[:_SHOWN]:
        odd = find_odd(cells.reshape(len(cells), -1)[:, 0])
        cell = _first_cell(cells) if odd is None else odd[1]
        shown.append(f"{column!r} ({kind}, such as {shorten(cell)})")
        if odd is not None or cell is None:
            fixes = {*(fixes - {convert}), describe_cell(cell)[1]}
    fix = fixes.pop() if len(fixes) == 1 else LEAVE_OUT
    fix = "leave them out, or encode them as numbers" if fix == LEAVE_OUT else fix
    more = f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
    raise DtypeError(f"{name} has columns that are not numeric: {', '.join(shown)}{more}; {fix}")
