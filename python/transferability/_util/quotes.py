"""Parse rows of delimited text, and find out what its quotes mean.

Quotes enclose cells, which may then hold delimiters and line ends. In tab-separated text of natural
language they are by custom part of the text. A quote that begins a cell and is never closed takes
the following rows with it, up to the next quote, and no error says so: such a file is refused.
"""

from __future__ import annotations

import csv
import functools
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import DataError
from .text_file import TextOptions

__all__ = ["parse_rows"]

#: A row of cells, with the number of the line on which it ends.
_Row = tuple[int, list[str]]

#: Number of rows up to which repeated values are no evidence.
_FEW = 8
#: Share of the lines of a cell, among those that tell, that must look like rows: labels that occur
#: once are seen in no other row.
_MOST = 3 / 4
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
    if asked == "none":
        return _parse(lines, delimiter, quoting=csv.QUOTE_NONE)
    rows = _parse(lines, delimiter)
    if asked is not None:
        return rows
    quoted = _Quoted(lines, rows, delimiter)
    stray = quoted.find_stray()
    if delimiter == "\t" and _may_be_unquoted(lines):
        is_written_so = quoted.is_well_formed and any('""' in line for line in lines)
        if not quoted.is_well_formed or (stray is not None and not is_written_so):
            return _parse(lines, delimiter, quoting=csv.QUOTE_NONE)
        if not quoted.columns.tell:
            stray = quoted.longer[0]
    if stray is not None:
        start, end = stray
        n_ends = sum(line.endswith(("\n", "\r")) for line in lines[start:end])
        raise DataError(
            f"{name}, line {start + 1}: a quote begins a cell there and takes {n_ends} line ends "
            f"with it; {_remedy(options)}"
        )
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


def _may_be_unquoted(lines: Sequence[str]) -> bool:
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
        quoted = [cell for cell in cells if cell.startswith('"')]
        is_enclosing = is_enclosing and all(map(_QUOTED.fullmatch, quoted))
    return not is_enclosing


class _Quoted:
    """Rows as they are if quotes enclose cells, and the lines of each."""

    def __init__(self, lines: Sequence[str], rows: Sequence[_Row], delimiter: str) -> None:
        self._lines, self._rows, self._delimiter = lines, rows, delimiter
        starts = [0, *(line for line, _ in rows)]
        self._spans = [(start, end) for start, (end, _) in zip(starts, rows, strict=False)]
        #: The first and last line of each row that has several.
        self.longer = [(start, end) for start, end in self._spans if end - start > 1]

    @functools.cached_property
    def columns(self) -> _Columns:
        """The contents of the columns, without the cells of several lines."""
        return _Columns([row for _, row in self._rows if row], self._delimiter)

    def find_stray(self) -> tuple[int, int] | None:
        """Return the lines of the first row that a quote makes which encloses no cell, or None.

        A cell may have several lines. It is taken for a mistake if it is not closed before a
        delimiter or a line end, or if each of its lines looks like a row. Where all cells but
        numbers are in quotes, a quote too many or too few leaves another one open.
        """
        ends = {_line_end(self._lines[end - 1]) for _, end in self._spans}
        for (start, end), (_, row) in zip(self._spans, self._rows, strict=True):
            if end - start > 1:
                part = self._lines[start:end]
                if self._is_open(part):
                    return start, end
                # Spreadsheets end rows with \r\n, and the lines of a cell with \n.
                may_be_rows = not ends.isdisjoint(map(_line_end, part[:-1]))
                if may_be_rows and not self.is_quoted and self.columns.look_like_rows(part, row):
                    return start, end
        last = self._spans[-1:]  # a quote that is open at the end takes one line end
        return next((s for s in last if self._is_open(self._lines[slice(*s)], "end of data")), None)

    @functools.cached_property
    def is_quoted(self) -> bool:
        """Return whether every cell that is no number is enclosed by quotes, also in the header."""
        try:
            _parse(self._lines, self._delimiter, strict=True, quoting=csv.QUOTE_NONNUMERIC)
        except (csv.Error, ValueError):
            return False
        return True

    @functools.cached_property
    def is_well_formed(self) -> bool:
        """Return whether some cells have several lines, all are closed, and no row is too long."""
        widths = {len(row) for _, row in self._rows if row}
        return bool(self.longer) and len(widths) == 1 and not self._is_open(self._lines)

    def _is_open(self, lines: Sequence[str], why: str = "") -> bool:
        try:
            _parse(lines, self._delimiter, strict=True)
        except csv.Error as error:
            return why in str(error)
        return False


class _Columns:
    """The contents of the columns of a table, in cells of one line; the first row may be a header.

    `tell` is whether that tells rows from others: a column has numbers, or a value twice.
    """

    def __init__(self, rows: Sequence[list[str]], delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = len(rows[0]) if rows else 0
        columns = [
            [row[i] for row in rows if len(row) > i and not _has_lines(row[i])]
            for i in range(self._width)
        ]
        self._are_spaced = [any(cell[:1].isspace() for cell in column) for column in columns]
        columns = [[cell.strip() for cell in column] for column in columns]
        self._values = [set(column) for column in columns]
        repeated = [len(set(column)) < len(column) for column in columns]
        # Where numbers repeat, as labels do, another number is no value of the column.
        self._are_numbers = [
            2 * len(set(column)) > len(column) and all(map(_REAL.fullmatch, column[1:]))
            for column in columns
        ]
        # Unique texts, as names of files are, tell nothing.
        self._telling = [a or b for a, b in zip(self._are_numbers, repeated, strict=True)]
        self.tell = len(rows) > _FEW and any(self._telling)

    def look_like_rows(self, lines: Sequence[str], row: Sequence[str]) -> bool:
        """Return whether each line has a cell for each column, and in most lines one as others.

        `row` is what the lines are if quotes enclose cells. Its cells before the one of several
        lines stand in the first line, and those after it in the last, so they tell nothing.
        """
        long = [i for i, cell in enumerate(row) if _has_lines(cell)] or [0]
        table = [
            [cell.rstrip().strip('"') for cell in line.rstrip("\r\n").split(self._delimiter)]
            for line in lines
        ]
        if not self._width or any(len(cells) != self._width for cells in table):
            return False
        counts = [Counter(map(str.strip, column)) for column in zip(*table, strict=True)]
        n_told = n_usual = 0
        for i, cells in enumerate(table):
            first = long[0] + 1 if i == 0 else 0
            last = long[-1] if i == len(table) - 1 else self._width
            told = [j for j in range(first, last) if self._telling[j] or not any(self._telling)]
            n_told += bool(told)
            is_text = any(map(self._is_set_off, range(self._width), cells))
            n_usual += not is_text and any(self._is_usual(cells[j], j, counts[j]) for j in told)
        return n_told > 0 and n_usual >= _MOST * n_told

    def _is_usual(self, cell: str, column: int, counts: Counter[str]) -> bool:
        """Return whether other rows or lines have this value, or numbers as this one is."""
        cell = cell.strip()
        is_number = self._are_numbers[column] and _REAL.fullmatch(cell) is not None
        return cell != "" and (is_number or cell in self._values[column] or counts[cell] > 1)

    def _is_set_off(self, column: int, cell: str) -> bool:
        """Return whether a blank begins a cell, as after a comma in a text, and no other one."""
        return cell[:1].isspace() and not self._are_spaced[column]


def _line_end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _has_lines(cell: str) -> bool:
    return "\n" in cell or "\r" in cell


def _remedy(options: TextOptions | None) -> str:
    if options is None:
        return "remove the quote, or write it twice within quotes"
    return "pass quoting='none' if quotes are part of the texts, 'minimal' if they enclose cells"
