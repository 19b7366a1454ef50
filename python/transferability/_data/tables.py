"""Folders of pictures and tables with named columns as ``Data``."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..io._text import _INTEGER, _MISSING, _REAL
from .data import Data, kind_of

__all__ = ["from_columns", "from_dataset", "from_path"]

_PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_TABLES = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".parquet": ""}
_LABELS = ("label", "labels", "target", "y", "ner_tags", "pos_tags", "tags")
_INPUTS = ("text", "sentence", "tokens", "words", "image", "img")


class _Pictures:
    """Picture files, opened when they are used; a palette or transparency becomes plain RGB."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Any:
        from PIL import Image

        try:
            with Image.open(self.paths[i]) as picture:
                return picture.convert("RGB")
        except (OSError, SyntaxError) as error:
            raise DataError(f"{self.paths[i]} cannot be read: {error}") from error

    def content(self, i: int) -> Path:
        """Give the file, whose bytes are hashed."""
        return self.paths[i]


class _Columns:
    """One column of a data set, or several side by side."""

    def __init__(self, dataset: Any, names: Sequence[str]) -> None:
        self.dataset, self.names = dataset.select_columns(list(names)), names

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        row = self.dataset[i]
        return _one_or_pair([row[name] for name in self.names])


def from_path(path: str, label: Any, text: Any) -> Data:
    """Read a folder of pictures, one subfolder for each class, or a table."""
    place = Path(path).expanduser()
    if place.is_dir():
        return _from_folder(place)
    if place.suffix not in _TABLES:
        raise DataError(
            f"data is {path}; give a folder with one subfolder of pictures for each class, or a "
            f"table: {', '.join(_TABLES)}"
        )
    if not place.exists():
        raise DataError(f"there is no file {path}")
    if place.suffix == ".parquet":
        from .._util.optional import need

        table = need("pyarrow.parquet", extra="io", what="reading parquet files")
        return from_columns(table.read_table(place).to_pydict(), label, text, path)
    try:
        with place.open(encoding="utf-8-sig", newline="") as file:
            if place.suffix == ".jsonl":
                columns = _transposed([json.loads(line) for line in file if line.strip()], path)
            else:
                columns = _csv_columns(csv.reader(file, delimiter=_TABLES[place.suffix]), path)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return from_columns(columns, label, text, path)


def from_columns(columns: Mapping[str, list[Any]], label: Any, text: Any, name: str) -> Data:
    """Choose the columns of a table in memory."""
    labels = _chosen(columns, label, _LABELS, "label", name)
    others = [column for column in columns if column not in labels]
    inputs = _chosen(others, text, _INPUTS, "text", name)
    items = [_one_or_pair(row) for row in zip(*(columns[c] for c in inputs), strict=True)]
    for i, item in enumerate(items):
        for part in item if isinstance(item, tuple) else (item,):
            if not isinstance(part, (str, list)) or not part:
                raise DataError(
                    f"{name}, row {i}: column {' and '.join(inputs)} holds {part!r}, which is no "
                    f"text; drop that row"
                )
    read = [_values(columns[c], c, name) for c in labels]
    labels_read = read[0] if len(read) == 1 else np.column_stack(read)
    return Data("text", items, labels_read, is_table=True)


def from_dataset(dataset: Any, label: Any, text: Any) -> Data:
    """Take columns of a Hugging Face data set; names of classes come from its features."""
    from datasets import ClassLabel, Image

    features = dict(dataset.features)
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    usual = (*_LABELS, *classes) if len(classes) == 1 else _LABELS
    labels = _chosen(features, label, usual, "label", "data")
    pictures = [name for name, kind in features.items() if isinstance(kind, Image)]
    others = [name for name in features if name not in labels]
    inputs = _chosen(others, text, (*_INPUTS, *pictures), "text", "data")
    columns = [_class_names(dataset[c], features[c], c) for c in labels]
    if len(columns) > 1:
        columns = [np.column_stack([np.asarray(column) for column in columns])]
    items = _Columns(dataset, inputs)
    kind = "image" if inputs[0] in pictures else kind_of(items)
    return Data(kind, items, columns[0], is_table=True)


def _from_folder(folder: Path) -> Data:
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
    return Data("image", _Pictures(paths), labels)


def _chosen(
    columns: Iterable[str], asked: Any, usual: Sequence[str], argument: str, name: str
) -> list[str]:
    """Give the columns that were asked for, or the one that is plainly meant."""
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


def _one_or_pair(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _class_names(values: Any, kind: Any, column: str) -> Any:
    """Put names for the numbers of a ClassLabel, alone or in lists; -1 is a missing label."""
    inner = getattr(kind, "feature", kind)
    names = getattr(inner, "names", None)
    values = list(values)
    if names is None:
        return values
    if inner is not kind:  # a tag for each word; below 0 are ignored, as tokenisers have them
        return [[names[v] if v is not None and v >= 0 else None for v in row] for row in values]
    for i, value in enumerate(values):
        if value is None or value < 0:
            raise DataError(f"data[{i}] has no {column} ({value}); drop rows without a label")
    return [names[value] for value in values]


def _values(column: list[Any], label: str, name: str) -> Any:
    """Read a column of labels: of text that is all numbers, the numbers."""
    missing = [i for i, value in enumerate(column) if _is_missing(value)]
    if missing:
        raise DataError(
            f"{name} has {len(missing)} rows without a {label}, the first is row {missing[0]}; "
            f"drop those rows"
        )
    if all(isinstance(value, str) for value in column):
        stripped = [value.strip() for value in column]
        if all(_INTEGER.fullmatch(value) for value in stripped):
            return [int(value) for value in stripped]
        if all(_REAL.fullmatch(value) for value in stripped):
            return [float(value) for value in stripped]
        return stripped
    return column


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in _MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def _csv_columns(reader: Any, name: str) -> dict[str, list[Any]]:
    header = [cell.strip() for cell in next(reader, [])]
    if len(set(header)) != len(header) or not all(header):
        raise DataError(f"{name}: its first line must name every column, once: {header}")
    rows = []
    for row in reader:
        if row and len(row) != len(header):
            raise DataError(
                f"{name}, line {reader.line_num}: {len(row)} values for {len(header)} columns"
            )
        rows += [row] if row else []
    return {column: [row[i] for row in rows] for i, column in enumerate(header)}


def _transposed(rows: list[Any], name: str) -> dict[str, list[Any]]:
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{name}: every line must be an object with named values")
    columns = list(rows[0]) if rows else []
    return {column: [row.get(column) for row in rows] for column in columns}
