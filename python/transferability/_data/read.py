"""Read data sets, tables, image folders and arrays as ``Data``."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._inputs.arrays import as_array, instance_of
from .._inputs.rows import check_rows
from .._util.text_file import TextOptions, read_text_options
from ..errors import DataError, DtypeError
from . import tables
from .bags import read_bag_ids
from .data import Data, LazyItems, detect_kind, find_files
from .folders import read_folder
from .frames import find_splits, read_frame

__all__ = ["read_data"]


def read_data(
    data: Any,
    label: Any = None,
    text: Any = None,
    task: str = "auto",
    *,
    split: str | None = None,
    encoding: str | None = None,
    quoting: str | int | None = None,
    bag: Any = None,
) -> Data:
    """Read inputs and labels from a container, as :func:`transferability.rank_models` takes it.

    `label` and `text` name columns of a table; two columns of text are a pair. The task "token"
    requires lists of words. `split` names a split of a folder or of a dict of data sets; `encoding`
    and `quoting` are those of a text file. `bag` names the column with the id of each row's bag, or
    is an array of these ids.
    """
    for argument, value in (("label", label), ("text", text)):
        several = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        if value is not None and not isinstance(value, str) and not several:
            raise DtypeError(
                f"{argument} names a column of a table, got {type(value).__name__}; inputs and "
                f"labels are one argument: data=(inputs, labels)"
            )
    column = bag if isinstance(bag, str) else None
    options = read_text_options(encoding, quoting)
    splits = find_splits(data)
    if splits:
        data, split = _choose_split(data, splits, split), None
    place = Path(data).expanduser() if isinstance(data, (str, os.PathLike)) else None
    is_folder = place is not None and place.is_dir()
    if split is not None and not is_folder:
        raise DataError(
            f"split is {split!r}, and data has no splits: it is no folder and no mapping of splits"
        )
    if options != TextOptions() and (place is None or is_folder):
        raise DataError("encoding and quoting are of a text file, and data is none")
    if isinstance(data, Data):
        found = data
    elif place is not None:
        found = _read_path(place, label, text, options, split, column)
    elif instance_of(data, "datasets", "Dataset"):
        found = tables.read_dataset(data, label, text, column)
    elif (columns := read_frame(data)) is not None:
        found = tables.read_columns(columns, label, text, "data", bag=column)
    elif isinstance(data, tuple) and len(data) == 2:
        found = _read_arrays(*data)
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        found = _read_pairs(data)
    else:
        raise DtypeError(
            f"data is of type {type(data).__name__}; give (inputs, labels), a data set with "
            f"lengths and positions, a table, or the path of a table or of a folder of pictures or "
            f"sounds"
        )
    if (label is not None or text is not None) and not found.is_table:
        raise DataError("label and text name columns of a table, and these data have none")
    if column is not None and not found.is_table:
        raise DataError("bag names a column of a table, and these data have none; give an array")
    if len(found) == 0:
        raise DataError("data is empty; give at least a few labelled rows")
    if len(found.labels) != len(found):
        raise DataError(f"data has {len(found)} inputs but {len(found.labels)} labels")
    if task == "token" and not found.is_token:
        raise DataError("task='token' needs lists of words as inputs, with one tag for each word")
    if bag is None or column is not None:
        ids = found.bags
    else:
        _check_bag(data, bag)
        ids = read_bag_ids(bag, len(found))
    return found if ids is None else found.with_bags(ids)


def _check_bag(data: Any, bag: Any) -> None:
    """Raise if the ids of the bags have the pandas index of the data in another order."""
    parts = {"data": data}
    if isinstance(data, tuple) and len(data) == 2:
        parts = dict(zip(("inputs", "labels"), data, strict=True))
    elif isinstance(data, Mapping):
        parts = dict(data)
    check_rows((), **{**parts, "bag": bag})


def _read_path(
    place: Path, label: Any, text: Any, options: TextOptions, split: str | None, bag: str | None
) -> Data:
    if place.is_dir():
        return read_folder(place, split)
    return tables.read_table_file(place, label, text, options, bag)


def _choose_split(data: Mapping[str, Any], splits: Sequence[str], split: str | None) -> Any:
    """Return one split of a dict of data sets."""
    if split is None:
        raise DataError(
            f"data has splits; pass one of them: data[{splits[0]!r}], or split={splits[0]!r}"
        )
    if split not in splits:
        raise DataError(f"data has no split {split!r}; it has {', '.join(map(str, splits))}")
    return data[split]


def _read_arrays(inputs: Any, labels: Any) -> Data:
    for name, value in (("inputs", inputs), ("labels", labels)):
        is_listed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if not is_listed or isinstance(value, (str, bytes, Mapping)):
            raise DtypeError(f"data: {name} is of type {type(value).__name__}; give one a row")
    check_rows((), inputs=inputs, labels=labels)
    if instance_of(labels, "torch", "Tensor"):
        labels = labels.detach().cpu().numpy()
    if instance_of(labels, "pyarrow", "ChunkedArray") or instance_of(labels, "pyarrow", "Array"):
        labels = labels.to_pylist()
    if instance_of(inputs, "pyarrow", "ChunkedArray") or instance_of(inputs, "pyarrow", "Array"):
        inputs = inputs.to_pylist()
    if instance_of(inputs, "pandas", "Series"):
        inputs = inputs.tolist()
    elif any(instance_of(inputs, library, "DataFrame") for library in ("pandas", "polars")):
        columns = (read_frame(inputs) or {}) if inputs.shape[1] == 1 else {}
        texts = [values for values in columns.values() if detect_kind(values) != "array"]
        inputs = texts[0] if texts else as_array(inputs, "inputs")[0]
    if hasattr(labels, "iloc"):  # rows match by position, whatever the index of a filtered frame
        labels = labels.reset_index(drop=True)
    return _make_data(inputs, labels)


def _make_data(inputs: Any, labels: Any) -> Data:
    """Return data of the kind that the inputs have; names of pictures are pictures."""
    if files := find_files(inputs):
        return Data(*files, labels)
    return Data(detect_kind(inputs), inputs, labels)


def _read_pairs(dataset: Any) -> Data:
    """Read a data set of (input, label), with its transforms of labels applied."""
    labels: list[Any] = []
    for i in range(len(dataset)):
        pair = dataset[i]
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            rows = "; rows with named values are a table: pandas.DataFrame(data)"
            raise DtypeError(
                f"data[{i}] is of type {type(pair).__name__}; a data set must give (input, label)"
                f"{rows if isinstance(pair, Mapping) else ''}"
            )
        value = pair[1]
        if instance_of(value, "torch", "Tensor"):
            value = value.detach().cpu().numpy()
        labels.append(value.item() if getattr(value, "ndim", 1) == 0 else value)
    # Rows of targets of one shape are stacked; other labels stay a list.
    shapes = {getattr(label, "shape", None) for label in labels}
    is_stacked = len(shapes) == 1 and None not in shapes
    inputs = LazyItems(dataset, operator.itemgetter(0))
    return _make_data(inputs, np.stack(labels) if is_stacked else labels)
