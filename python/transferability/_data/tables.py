"""Read image folders and tables with named columns as ``Data``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._inputs.labels import read_labels
from .._util.delimited import find_missing, open_text, parse_labels, read_table
from .._util.optional import need
from ..errors import DataError
from .data import Data, LazyItems, detect_kind

__all__ = ["TABLES", "read_columns", "read_dataset", "read_path"]

#: The cells of a table by column.
Columns: TypeAlias = dict[str, list[Any]]

_PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_LABELS = ("label", "labels", "target", "y", "ner_tags", "pos_tags", "tags")
_INPUTS = ("text", "sentence", "tokens", "words", "image", "img")


def read_path(path: str, label: Any, text: Any) -> Data:
    """Read a folder with one subfolder of pictures for each class, or a table file."""
    place = Path(path).expanduser()
    if place.is_dir():
        return _read_folder(place)
    if place.suffix not in TABLES:
        raise DataError(
            f"data is {path}; give a folder with one subfolder of pictures for each class, or a "
            f"table: {', '.join(TABLES)}"
        )
    if not place.exists():
        raise DataError(f"there is no file {path}")
    return read_columns(TABLES[place.suffix](place), label, text, path)


def read_columns(columns: Mapping[str, list[Any]], label: Any, text: Any, name: str) -> Data:
    """Select the columns of inputs and labels of a table in memory."""
    labels = _select_columns(columns, label, _LABELS, "label", name)
    others = [column for column in columns if column not in labels]
    inputs = _select_columns(others, text, _INPUTS, "text", name)
    items = [_join_parts(row) for row in zip(*(columns[c] for c in inputs), strict=True)]
    for i, item in enumerate(items):
        for part in item if isinstance(item, tuple) else (item,):
            if not isinstance(part, (str, list)) or not part:
                raise DataError(
                    f"{name}, row {i}: column {' and '.join(inputs)} holds {part!r}, which is no "
                    f"text; drop that row"
                )
    values = [_read_labels(columns[c], c, name) for c in labels]
    targets = values[0] if len(values) == 1 else _stack_columns(values)
    return Data("text", items, targets, is_table=True)


def read_dataset(dataset: Any, label: Any, text: Any) -> Data:
    """Select the columns of a Hugging Face data set; its ClassLabel features name the classes."""
    from datasets import ClassLabel, Image

    features = dict(dataset.features)
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    usual = (*_LABELS, *classes) if len(classes) == 1 else _LABELS
    labels = _select_columns(features, label, usual, "label", "data")
    pictures = [name for name, kind in features.items() if isinstance(kind, Image)]
    others = [name for name in features if name not in labels]
    inputs = _select_columns(others, text, (*_INPUTS, *pictures), "text", "data")
    columns = [_name_classes(dataset[c], features[c], c) for c in labels]
    if len(columns) > 1:
        columns = [_stack_columns(columns)]
    items = LazyItems(dataset.select_columns(inputs), functools.partial(_join_row, inputs))
    kind = "image" if inputs[0] in pictures else detect_kind(items)
    return Data(kind, items, columns[0], is_table=True)


def _read_folder(folder: Path) -> Data:
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    paths: list[Path] = []
    labels: list[str] = []
    for place in classes:
        found = sorted(p for p in place.rglob("*") if p.suffix.lower() in _PICTURES)
        paths += found
        labels += [place.name] * len(found)
    if not paths:
        raise DataError(
            f"{folder} holds no pictures in subfolders; give one subfolder for each class, named "
            f"as the class"
        )
    return Data("image", LazyItems(paths, _open_picture), labels)


def _open_picture(path: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _select_columns(
    columns: Iterable[str], asked: Any, usual: Sequence[str], argument: str, name: str
) -> list[str]:
    """Return the requested columns, or by default the first with a usual name, or the only one."""
    there = list(columns)
    wanted = [asked] if isinstance(asked, str) else list(asked or ())
    missing = [column for column in wanted if column not in there]
    if missing:
        raise DataError(f"{name} has no column {missing[0]!r}; it has {', '.join(there)}")
    if wanted:
        return wanted
    named = [column for column in usual if column in there]
    meant = named[:1] or (there if len(there) == 1 else [])
    if not meant:
        raise DataError(
            f"{name} has columns {', '.join(there) or '(none)'}; say which with {argument}="
        )
    return meant


def _join_parts(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _join_row(columns: Sequence[str], row: Mapping[str, Any]) -> Any:
    return _join_parts([row[column] for column in columns])


def _name_classes(values: Any, kind: Any, column: str) -> Any:
    """Replace class indices of a ClassLabel, single or in lists, by names; -1 is missing."""
    inner = getattr(kind, "feature", kind)
    names = getattr(inner, "names", None)
    values = list(values)
    if names is None:
        return values
    if inner is not kind:  # a tag for each word; negative ones are ignored, as after tokenisation
        return [[names[v] if v is not None and v >= 0 else None for v in row] for row in values]
    for i, value in enumerate(values):
        if value is None or value < 0:
            raise DataError(f"data[{i}] has no {column} ({value}); drop rows without a label")
    return [names[value] for value in values]


def _read_labels(column: list[Any], label: str, name: str) -> Any:
    """Validate a column of labels, and parse it if every entry is a number written as text."""
    stripped = [value.strip() if isinstance(value, str) else value for value in column]
    if missing := find_missing(stripped):
        raise DataError(
            f"{name} has {len(missing)} rows without a {label}, the first is row {missing[0]}; "
            f"drop those rows"
        )
    return parse_labels(stripped) if all(isinstance(v, str) for v in stripped) else column


def _stack_columns(columns: Sequence[Any]) -> Any:
    """Return columns of labels as one array; text stays objects, as wide as each entry."""
    return np.column_stack([read_labels(column)[0] for column in columns])


def _read_delimited(path: Path, delimiter: str = ",") -> Columns:
    header, rows = read_table(path, delimiter)
    if len(set(header)) != len(header) or not all(header):
        raise DataError(f"{path}: its first line must name every column, once: {header}")
    return {column: [row[i] for row in rows] for i, column in enumerate(header)}


def _read_json_lines(path: Path) -> Columns:
    rows = []
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                raise DataError(f"{path} cannot be read: line {number}: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: every line must be an object with named values")
    columns = list(rows[0]) if rows else []
    return {column: [row.get(column) for row in rows] for column in columns}


def _read_parquet(path: Path) -> Columns:
    parquet = need("pyarrow.parquet", extra="io", what="reading parquet files")
    columns: Columns = parquet.read_table(path).to_pydict()
    return columns


#: Readers of the columns of a table, by suffix.
TABLES: dict[str, Callable[[Path], Columns]] = {
    ".csv": _read_delimited,
    ".tsv": functools.partial(_read_delimited, delimiter="\t"),
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
