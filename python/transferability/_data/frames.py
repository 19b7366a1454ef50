"""Read columns of tables in memory: pandas and polars frames, Arrow tables, dicts of columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from .._inputs.arrays import instance_of
from .._inputs.columns import index_columns
from .._inputs.rows import check_rows
from ..errors import DataError, DtypeError

__all__ = ["Columns", "find_splits", "is_unnamed", "name_index", "read_arrow", "read_frame"]

#: The cells of a table by column.
Columns: TypeAlias = dict[str, list[Any]]

#: The names that pandas gives to columns without one.
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")
_SPLITS = (
    ("datasets", "Dataset"),
    ("pandas", "DataFrame"),
    ("polars", "DataFrame"),
    ("polars", "LazyFrame"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
)


def is_unnamed(column: str) -> bool:
    """Return whether a column had no name in a file, as the index that pandas writes by default."""
    return _UNNAMED.fullmatch(column) is not None


def name_index(header: list[str]) -> None:
    """Name the first columns that have no name, if others follow, in place and as pandas does."""
    n_unnamed = next((i for i, column in enumerate(header) if column), 0)
    for i in range(n_unnamed):
        name = f"Unnamed: {i}"
        while name in header:  # written and read again
            name += ".1"
        header[i] = name


def read_frame(data: Any) -> Columns | None:
    """Return the columns of a table in memory; None if the data are none."""
    if instance_of(data, "pandas", "DataFrame"):
        return _name_once(
            (str(name), data.iloc[:, i].tolist()) for i, name in enumerate(data.columns)
        )
    if instance_of(data, "polars", "LazyFrame"):
        raise DtypeError("data is a polars LazyFrame; pass data.collect()")
    if instance_of(data, "polars", "DataFrame"):
        columns: Columns = data.to_dict(as_series=False)
        return columns
    if instance_of(data, "pyarrow", "Table") or instance_of(data, "pyarrow", "RecordBatch"):
        return read_arrow(data)
    if isinstance(data, Mapping) and all(isinstance(name, str) for name in data):
        return _read_mapping(data)
    return None


def read_arrow(table: Any) -> Columns:
    """Return the columns of an Arrow table, without the unnamed index of pandas."""
    names = table.schema.names
    index = index_columns(names)
    return _name_once(
        (name, table.column(i).to_pylist()) for i, name in enumerate(names) if name not in index
    )


def find_splits(data: Any) -> list[str]:
    """Return the names of the splits of a dict of data sets or tables; none if it is no such."""
    if instance_of(data, "datasets", "DatasetDict"):
        return list(data)
    if not isinstance(data, Mapping) or not data:
        return []
    is_split = all(
        any(instance_of(value, module, name) for module, name in _SPLITS) for value in data.values()
    )
    return list(data) if is_split else []


def _name_once(columns: Iterable[tuple[str, list[Any]]]) -> Columns:
    named: Columns = {}
    for name, values in columns:
        if name in named:
            raise DataError(f"data has two columns {name!r}; give every column a name of its own")
        named[name] = values
    return named


def _read_mapping(data: Mapping[str, Any]) -> Columns:
    """Read a dict of lists, arrays or series, all of one length."""
    check_rows((), **data)
    columns: Columns = {}
    for name, values in data.items():
        is_listed = hasattr(values, "__len__") and hasattr(values, "__getitem__")
        if not is_listed or isinstance(values, (str, bytes, Mapping)):
            raise DtypeError(
                f"data[{name!r}] is of type {type(values).__name__}; a dict of columns has a list "
                f"or an array for each, with one entry a row"
            )
        to_list = next(
            (getattr(values, m) for m in ("tolist", "to_list", "to_pylist") if hasattr(values, m)),
            None,
        )
        columns[name] = list(values) if to_list is None else to_list()
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise DataError(f"the columns of data differ in length: {found}")
    return columns
