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

__all__ = ["MISSING", "format_csv", "is_number", "parse_numbers", "read_rows", "read_table"]

#: Cells that stand for a missing value.
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "None", "null", "NULL", "<NA>", "?"})
#: Stricter than int() and float(), which also accept texts such as 1_0.
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_REAL = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)


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
    rows = [(line, row) for line, row in found[1:] if row]
    for entry, (line, row) in enumerate(rows, start=2):
        if len(row) != len(header):
            where = f"line {line}" if comment is None else f"entry {entry}"
            raise DataError(f"{path}, {where}: {len(row)} values for {len(header)} columns")
    return header, [row for _, row in rows]


def is_number(text: str) -> bool:
    """Return whether a text is a decimal number or an infinity."""
    return _REAL.fullmatch(text) is not None


def parse_numbers(texts: Sequence[str]) -> list[int] | list[float]:
    """Parse numbers as integers if all of them are written as such, otherwise as floats."""
    if all(_INTEGER.fullmatch(text) for text in texts):
        return [int(text) for text in texts]
    return [float(text) for text in texts]


def format_csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns by name as CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()
