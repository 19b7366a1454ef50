"""Delimited text, such as CSV and TSV: read rows and columns, parse numbers, write columns."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from .quotes import parse_rows
from .text_file import TextOptions, open_text

__all__ = ["MISSING", "find_ambiguous", "find_missing", "format_csv", "is_number", "parse_labels"]
__all__ += ["read_rows", "read_table"]

#: Cells that stand for a missing value.
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "None", "null", "NULL", "<NA>", "?"})
#: Those that are missing among words too: no text, and the names that programs write for NaN. The
#: others are names as well, of Namibia or of no answer, and missing among numbers only.
_NAN = frozenset({"", "NaN", "nan", "<NA>"})
#: Stricter than int() and float(), which also accept texts such as 1_0.
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_LONGEST_INTEGER, _BEYOND = 20, 2**63  # of 64-bit integers: characters, and one more than the most
_PADDED = re.compile(r"[+-]?0\d.*", re.ASCII)
_DECIMALS = re.compile(r"[+-]?\d*\.(\d*)", re.ASCII)
_REAL = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)
#: Delimiters of columns, for messages.
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def read_rows(
    path: str | os.PathLike[str],
    delimiter: str = ",",
    comment: str | None = None,
    options: TextOptions | None = None,
) -> list[tuple[int, list[str]]]:
    """Read the cells of every row, with the number of the line on which the row ends.

    An empty line has no cells. Lines that start with `comment` are neither read nor counted.
    `options` is None if the caller has no such arguments.
    """
    with open_text(path, options) as file:
        lines = [line for line in file if comment is None or not line.startswith(comment)]
        return parse_rows(os.fspath(path), lines, delimiter, options)


def read_table(
    path: str | os.PathLike[str],
    delimiter: str = ",",
    comment: str | None = None,
    options: TextOptions | None = None,
) -> tuple[list[str], list[list[str]]]:
    """Read the header, whose names are stripped, and the rows below it; skip empty lines.

    Raises a ``DataError`` if a row has more or fewer cells than the header. It has the number of
    the line or, in a file with comments, of the row among the rows with cells.
    """
    found = read_rows(path, delimiter, comment, options)
    header = [name.strip() for name in found[0][1]] if found else []
    if len(header) == 1:
        _check_delimiter(path, header[0], delimiter)
    rows = [(line, row) for line, row in found[1:] if row]
    for entry, (line, row) in enumerate(rows, start=2):
        if len(row) != len(header):
            where = f"line {line}" if comment is None else f"entry {entry}"
            raise DataError(f"{path}, {where}: {len(row)} values for {len(header)} columns")
    return header, [row for _, row in rows]


def find_ambiguous(header: Sequence[str], rows: Sequence[Sequence[str]]) -> set[str]:
    """Return the names that several columns with different cells have."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for place, name in enumerate(header):
        found.setdefault(name, set()).add(tuple(row[place] for row in rows))
    return {name for name, columns in found.items() if len(columns) > 1}


def _check_delimiter(path: str | os.PathLike[str], header: str, delimiter: str) -> None:
    """Raise DataError if the only column has a name that another delimiter cuts into several."""
    for other, name in _DELIMITERS.items():
        if other in header:
            raise DataError(
                f"{path}: its first line is one column, {header!r}; separate columns by "
                f"{_DELIMITERS[delimiter]} in this format, not by {name}"
            )


def is_number(text: str) -> bool:
    """Return whether a text is a decimal number or an infinity."""
    return _REAL.fullmatch(text) is not None


def parse_labels(texts: Sequence[str]) -> list[int] | list[float] | list[str]:
    """Parse labels as numbers if all of them are numbers and none is a code, else return the texts.

    Integers are read as such if all labels are. Labels are codes, which stay text,

    - if one is padded with a leading zero, as 01 and 007.5;
    - if all values are whole and two different texts have one value, as 1 and 1.0, or 0 and -0;
    - if an integer is beyond 64 bits;
    - if decimals are padded with zeros to different lengths, as those of the versions 1.1 and 1.10.
      Decimals of one length, as 0.50 and 2.25, are numbers.

    So no class is merged with another one.
    """
    distinct = set(texts)
    if not all(map(is_number, distinct)) or any(map(_PADDED.fullmatch, distinct)):
        return list(texts)
    values: Mapping[str, int] | Mapping[str, float]
    if all(map(_INTEGER.fullmatch, distinct)):
        if max(map(len, distinct), default=0) > _LONGEST_INTEGER:
            return list(texts)
        values = {text: int(text) for text in distinct}
        if not all(-_BEYOND <= value < _BEYOND for value in values.values()):
            return list(texts)
    else:
        values = {text: float(text) for text in distinct}
    if len(set(values.values())) < len(values) and all(v == v // 1 for v in values.values()):
        return list(texts)
    decimals = {match[1] for match in map(_DECIMALS.match, distinct) if match}
    if len({*map(len, decimals)}) > 1 and any(d.endswith("0") for d in decimals - {"0"}):
        return list(texts)
    return [values[text] for text in texts]


def find_missing(labels: Sequence[Any]) -> list[int]:
    """Return the positions of missing labels: None, NaN, and texts that stand for them.

    NA, None, null and ? are missing where all other labels are numbers, and names among words.
    Empty texts and nan, as programs write NaN, are missing everywhere.
    """
    texts = {label for label in labels if isinstance(label, str)} - MISSING
    numbers = any(isinstance(label, (int, float)) for label in labels)
    stand_for_missing = MISSING if (texts or numbers) and all(map(is_number, texts)) else _NAN
    return [
        i
        for i, label in enumerate(labels)
        if label is None
        or (isinstance(label, str) and label in stand_for_missing)
        or (isinstance(label, float) and label != label)
    ]


def format_csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns by name as CSV text, with a quoted cell wherever it holds a line end."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(map(_format_row, rows))


def _format_row(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)  # each of the two is then quoted
    return out.getvalue().removesuffix("\r\n") + "\n"
