"""Read tables with named columns as ``Data``."""

from __future__ import annotations

import functools
import json
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._inputs.arguments import suggest
from .._inputs.arrays import instance_of
from .._inputs.labels import read_labels
from .._util.delimited import find_missing, parse_labels, read_table
from .._util.optional import need
from .._util.text_file import TextOptions, open_text
from ..errors import DataError
from .audio import is_sound_content, is_sound_name, open_sound
from .bags import read_bag_ids
from .data import MEDIA, Data, LazyItems, detect_kind, find_files
from .frames import Columns, is_unnamed, name_index, read_arrow
from .pictures import is_encoded, open_encoded, to_rgb

__all__ = ["TABLES", "read_columns", "read_dataset", "read_table_file"]

_LABELS = ("label", "labels", "target", "y", "ner_tags", "pos_tags", "tags")
_INPUTS = ("text", "sentence", "tokens", "words", "image", "img", "audio")
#: Usual names of columns that are inputs if they hold names of files.
_PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path")


def read_table_file(
    path: Path, label: Any, text: Any, options: TextOptions, bag: str | None = None
) -> Data:
    """Read a table file of texts, words or names of files."""
    if path.suffix.lower() not in TABLES:
        raise DataError(
            f"data is {path}; give a folder with one subfolder of pictures or sounds for each "
            f"class, or a table: {', '.join(TABLES)}"
        )
    if not path.exists():
        raise DataError(f"there is no file {path}")
    suffix = path.suffix.lower()
    for argument, value, used in (
        ("quoting", options.quoting, (".csv", ".tsv")),
        ("encoding", options.encoding, (".csv", ".tsv", ".jsonl", ".ndjson")),
    ):
        if value is not None and suffix not in used:
            raise DataError(f"{argument} is of {', '.join(used)} files, and data is {path}")
    columns = TABLES[suffix](path, options)
    return read_columns(columns, label, text, str(path), path.parent, bag)


def read_columns(
    columns: Columns,
    label: Any,
    text: Any,
    name: str,
    folder: Path | None = None,
    bag: str | None = None,
) -> Data:
    """Select the columns of inputs and labels of a table in memory; `folder` is where it was."""
    ids = None if bag is None else _read_bags(columns, bag, name)
    columns = {column: values for column, values in columns.items() if column != bag}
    labels = _select_columns(columns, label, _LABELS, "label", name)
    others = [column for column in columns if column not in labels]
    usual: Sequence[str] = _INPUTS
    if text is None and not any(column in _INPUTS for column in others):
        usual = [c for c in others if c in _PATHS and find_files(columns[c], folder)]
    inputs = _select_columns(others, text, usual, "text", name)
    rows = zip(*([_read_cell(v) for v in columns[c]] for c in inputs), strict=True)
    items: Any = [_join_parts(row) for row in rows]
    encoded = _encoded_kind(next((item for item in items if item is not None), None))
    files = find_files(items, folder) if encoded is None else None
    kind = encoded or (files[0] if files else detect_kind(items))
    # Numbers in a column of texts, such as ids of tokens, are no series.
    is_series = inputs[0] not in _INPUTS and _as_numbers(next(iter(items), None)) is not None
    parts = [item if isinstance(item, tuple) else (item,) for item in items]
    holds_words = any(isinstance(part, list) and part for of_item in parts for part in of_item)
    for i, of_item in enumerate(() if files else parts):
        for part in of_item:
            if is_series:
                is_read = _as_numbers(part) is not None
            elif encoded is not None:
                is_read = _encoded_kind(part) == encoded
            elif kind in MEDIA:
                is_read = detect_kind([part]) == kind
            elif holds_words and isinstance(part, list):  # a sentence may have no words
                is_read = not part or isinstance(part[0], str)
            else:
                is_read = isinstance(part, str) and part != ""
            if not is_read:
                shown = reprlib.repr(part)
                noun = MEDIA[kind][1] if kind in MEDIA else "text"
                noun = "list of numbers" if is_series else noun
                raise DataError(
                    f"{name}, row {i}: column {' and '.join(inputs)} holds {shown}, which is no "
                    f"{noun}; drop that row"
                )
    values = [_read_labels(columns[c], c, name) for c in labels]
    targets = values[0] if len(values) == 1 else _stack_columns(values)
    unnamed = [column for column in others if is_unnamed(column) and column not in inputs]
    notes = [f"{name}: {c!r}, a column without a name, was taken for an index" for c in unnamed]
    if encoded is not None:
        items = LazyItems(items, _READERS[encoded], _content_of)
    if is_series:
        items = [*map(_as_numbers, items)]
    return Data(
        kind if kind in MEDIA or is_series else "text",
        files[1] if files else items,
        targets,
        is_table=True,
        notes=tuple(notes),
        bags=ids,
    )


def read_dataset(dataset: Any, label: Any, text: Any, bag: str | None = None) -> Data:
    """Select the columns of a Hugging Face data set; its ClassLabel features name the classes."""
    from datasets import Audio, ClassLabel, Image

    ids = None
    if bag is not None:
        ids = _read_bags({c: dataset[c] for c in dataset.features if c == bag}, bag, "data")
    features = {name: kind for name, kind in dataset.features.items() if name != bag}
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    usual = (*_LABELS, *classes) if len(classes) == 1 else _LABELS
    labels = _select_columns(features, label, usual, "label", "data")
    kinds = {name: kind for name, kind in features.items() if isinstance(kind, (Audio, Image))}
    others = [name for name in features if name not in labels]
    inputs = _select_columns(others, text, (*_INPUTS, *kinds), "text", "data")
    readers: dict[str, Callable[[Any], Any]] = {}
    identifiers: dict[str, Callable[[Any], Any]] = {}
    for column in inputs:
        kind, rate = features[column], getattr(features[column], "sampling_rate", None)
        mode = getattr(kind, "mode", None)
        if isinstance(kind, Audio):  # datasets would need torchcodec, and give decoders
            dataset = dataset.cast_column(column, Audio(decode=False))
            readers[column] = functools.partial(open_sound, rate=rate)
            identifiers[column] = functools.partial(_content_of, rate=rate)
        elif isinstance(kind, Image):  # it would clip pictures of 16 bits, or give their bytes
            if mode is not None or not kind.decode:
                dataset = dataset.cast_column(column, Image())
            readers[column] = functools.partial(_set_mode, mode=mode, column=column)
        else:
            readers[column] = _keep
    columns = [_name_classes(dataset[c], features[c], c) for c in labels]
    if len(columns) > 1:
        columns = [_stack_columns(columns)]
    rows = dataset.select_columns(inputs)
    read = functools.partial(_join_row, readers)
    items: Any = LazyItems(rows, read, functools.partial(_join_row, readers | identifiers))
    kind, files = None, None
    if isinstance(features[inputs[0]], Audio):
        kind = "audio"
    elif isinstance(features[inputs[0]], Image):
        kind = "image"
    elif files := find_files(items):
        kind, items = files
    return Data(kind or detect_kind(items), items, columns[0], is_table=True, bags=ids)


def _read_bags(columns: Mapping[str, Any], bag: str, name: str) -> list[Any]:
    """Return the column with the id of each row's bag."""
    [column] = _select_columns(columns, bag, (), "bag", name)
    ids = list(columns[column])
    return read_bag_ids(ids, len(ids), f"{name}, column {bag}")


def _select_columns(
    columns: Iterable[str], asked: Any, usual: Sequence[str], argument: str, name: str
) -> list[str]:
    """Return the requested columns, or by default the first with a usual name, or the only one."""
    there = list(columns)
    wanted = [asked] if isinstance(asked, str) else list(asked or ())
    wanted = [part for name in wanted for part in ([name] if name in there else _split(name))]
    missing = [column for column in wanted if column not in there]
    if missing:
        near = suggest(missing[0], there)
        raise DataError(f"{name} has no column {missing[0]!r}{near}; it has {', '.join(there)}")
    if wanted:
        return wanted
    named = [column for column in usual if column in there]
    candidates = [column for column in there if not is_unnamed(column)]
    meant = named[:1] or (candidates if len(candidates) == 1 else [])
    if not meant:
        raise DataError(
            f"{name} has columns {', '.join(there) or '(none)'}; say which with {argument}="
        )
    return meant


def _split(name: Any) -> list[Any]:
    """Return the names in a list with commas, as command lines have; a column may have one too."""
    return [part.strip() for part in name.split(",")] if isinstance(name, str) else [name]


def _read_cell(value: Any) -> Any:
    """Return a list for an array of words, as parquet files give them; a path for one in a dict."""
    if isinstance(value, Mapping) and value.keys() == {"bytes", "path"} and value["bytes"] is None:
        return value["path"]
    return value.tolist() if isinstance(value, np.ndarray) else value


def _as_numbers(cell: Any) -> Any:
    """Return a list of numbers, such as a time series, as an array, with NaN where one is missing.

    Lists of as many numbers each are its rows. None for any other cell.
    """
    if not isinstance(cell, list) or not cell:
        return None
    try:
        array = np.array([np.nan if value is None else value for value in cell])
    except ValueError:  # lists of several lengths
        return None
    return array if array.size and array.dtype.kind in "fiub" else None


def _join_parts(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _join_row(readers: Mapping[str, Callable[[Any], Any]], row: Mapping[str, Any]) -> Any:
    """Return the inputs of a row; `readers` has their columns, with what reads a cell."""
    return _join_parts([read(row[column]) for column, read in readers.items()])


def _keep(cell: Any) -> Any:
    return cell


def _encoded_kind(cell: Any) -> str | None:
    """Return the kind of a cell that has the content of a file; None for any other cell."""
    if not is_encoded(cell):
        return None
    content, path = (cell["bytes"], cell["path"]) if isinstance(cell, Mapping) else (cell, None)
    is_audio = is_sound_content(content) or (path is not None and is_sound_name(path))
    return "audio" if is_audio else "image"


def _content_of(cell: Any, rate: int | None = None) -> Any:
    """Return the bytes or the path of a cell, with the sampling rate at which it is read."""
    content = cell
    if isinstance(cell, Mapping):
        content, path = cell["bytes"], cell["path"]
        content = Path(path) if content is None and path is not None else content
    return content if rate is None else [content, rate]


def _set_mode(picture: Any, mode: str | None, column: str) -> Any:
    """Convert a picture to the mode of its column, without clipping; models read any as RGB."""
    if mode in (None, "RGB", "I;16") or not instance_of(picture, "PIL.Image", "Image"):
        return picture
    return to_rgb(picture, f"a picture of column {column}").convert(mode)


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


def _read_delimited(path: Path, options: TextOptions, delimiter: str = ",") -> Columns:
    header, rows = read_table(path, delimiter, options=options)
    columns = {i: [row[i] for row in rows] for i in range(len(header))}
    while len(header) > 1 and not header[-1] and not any(map(str.strip, columns[len(header) - 1])):
        del header[-1]  # as spreadsheets write them
    name_index(header)
    if len(set(header)) != len(header) or not all(header):
        raise DataError(f"{path}: its first line must name every column, once: {header}")
    return {column: columns[i] for i, column in enumerate(header)}


def _read_json_lines(path: Path, options: TextOptions) -> Columns:
    rows = []
    with open_text(path, options) as file:
        for number, line in enumerate(file, start=1):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path} cannot be read: line {number}: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: every line must be an object with named values")
    columns = list(rows[0]) if rows else []
    return {column: [row.get(column) for row in rows] for column in columns}


def _read_parquet(path: Path, options: TextOptions) -> Columns:
    parquet = need("pyarrow.parquet", extra="io", what="reading parquet files")
    return read_arrow(parquet.read_table(path))


#: Readers of cells that have the content of a file, by their kind.
_READERS: dict[str, Callable[[Any], Any]] = {"image": open_encoded, "audio": open_sound}
#: Readers of the columns of a table, by suffix.
TABLES: dict[str, Callable[[Path, TextOptions], Columns]] = {
    ".csv": _read_delimited,
    ".tsv": functools.partial(_read_delimited, delimiter="\t"),
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
