"""Parse rows of delimited text, and find out what its quotes mean.

Quotes enclose cells, which may then hold delimiters and line ends. In tab-separated text of natural
language they are by custom part of the text. A quote that begins a cell and is never closed takes
the following rows with it, up to the next quote, and no error says so: such a file is refused.
"""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import DataError
from .text_file import TextOptions

__all__ = ["parse_rows"]

#: A row of cells, with the number of the line on which it ends.
_Row = tuple[int, list[str]]

_LIMIT = 2**31 - 1  # the longest cell: what fits into a C long everywhere
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_REAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_lock = threading.Lock()


def parse_rows(
    name: str, lines: Sequence[str], delimiter: str, options: TextOptions | None
) -> list[_Row]:
    """Parse lines, with their line ends, to the cells of each row; empty lines have no cells.

    `name` is the file, for messages. `options` is None if the caller has no such arguments.
    """
    asked = None if options is None else options.quoting
    if asked == "none" or (asked is None and delimiter == "\t" and _is_unquoted(lines)):
        return _parse(lines, delimiter, quoting=csv.QUOTE_NONE)
    rows = _parse(lines, delimiter)
    if asked is None:
        _check_quotes(name, lines, rows, delimiter, options)
    return rows


def _parse(lines: Iterable[str], delimiter: str, **dialect: object) -> list[_Row]:
    with _long_cells():
        reader = csv.reader(lines, delimiter=delimiter, **dialect)  # type: ignore[arg-type]
        return [(reader.line_num, row) for row in reader]


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lift the limit of the ``csv`` module on the length of a cell, which is global."""
    with _lock:
        before = csv.field_size_limit(_LIMIT)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _is_unquoted(lines: Sequence[str]) -> bool:
    """Return whether tab-separated lines are whole rows, and have quotes that enclose no cell."""
    width, is_enclosing = 0, True
    for line in lines:
        text = line.rstrip("\r\n")
        if not text:
            continue
        cells = text.split("\t")
        width = width or len(cells)
        if len(cells) != width:
            return False
        is_enclosing = is_enclosing and all(
            _QUOTED.fullmatch(cell) for cell in cells if cell.startswith('"')
        )
    return not is_enclosing


def _check_quotes(
    name: str,
    lines: Sequence[str],
    rows: Sequence[_Row],
    delimiter: str,
    options: TextOptions | None,
) -> None:
    """Raise DataError if a quote that encloses no cell takes line ends with it.

    A cell may have several lines. It is taken for a mistake if it is not closed before a delimiter
    or a line end, or if each of its lines looks like a row.
    """
    starts = [0, *(line for line, _ in rows)]
    spans = [(start, end) for start, (end, _) in zip(starts, rows, strict=False)]
    longer = [span for span in spans if span[1] - span[0] > 1]
    last = spans[-1:] if spans and spans[-1] not in longer else []  # it may be open at the end
    short = [row for (start, end), (_, row) in zip(spans, rows, strict=True) if end - start == 1]
    columns = _Columns([row for row in short if row][1:] if longer else [], delimiter)
    for start, end in [*longer, *last]:
        part = lines[start:end]
        try:
            _parse(part, delimiter, strict=True)
        except csv.Error as error:
            if end - start == 1 and "end of data" not in str(error):
                continue  # a quote within a line
        else:
            if end - start == 1 or not all(map(columns.look_like_row, part)):
                continue
        n_ends = sum(line.endswith(("\n", "\r")) for line in part)
        raise DataError(
            f"{name}, line {start + 1}: a quote begins a cell there and takes {n_ends} line ends "
            f"with it; {_remedy(options)}"
        )


class _Columns:
    """What the columns of a table hold in the rows of one line each."""

    def __init__(self, rows: Sequence[list[str]], delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = len(rows[0]) if rows else 0
        self._values = [
            {row[i].strip() for row in rows if len(row) > i} for i in range(self._width)
        ]
        self._are_numbers = [all(map(_REAL.fullmatch, values)) for values in self._values]

    def look_like_row(self, line: str) -> bool:
        """Return whether a line has a cell for each column, and one of them such as others."""
        cells = [cell.strip().strip('"') for cell in line.rstrip("\r\n").split(self._delimiter)]
        return len(cells) == self._width > 0 and any(
            cell in values or (are_numbers and _REAL.fullmatch(cell) is not None)
            for cell, values, are_numbers in zip(
                cells, self._values, self._are_numbers, strict=True
            )
        )


def _remedy(options: TextOptions | None) -> str:
    if options is None:
        return "remove the quote, or write it twice within quotes"
    return "pass quoting='none' if quotes are part of the texts, 'minimal' if they enclose cells"
