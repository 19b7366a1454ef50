"""Tables of results: as text, for a terminal of any width, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from .notebook import printable, to_html
from .terminal import count_columns, wrap_text

__all__ = ["Table", "Tabular", "table_of"]

_INDENT = 4  # of numbers below a name on a line of its own


@dataclass(frozen=True)
class Table:
    """The cells of a table with a title above and lines below, all as text.

    Line ends and terminal codes are shown as escapes, in names of models too.

    Attributes
    ----------
    title, header, body, below
        The texts. A table without a title has no line for it.
    left : collection of int
        Columns that are aligned to the left, others to the right.
    name : int
        The column with the name of a line, such as a model. It and those before it, such as a
        rank, say which line it is.
    keys : int
        The number of columns that say so: those up to `name`, and any after it, such as a layer.
    together : int
        So many of the other columns are one thing, and stay side by side, such as a pair.
    """

    title: str
    header: Sequence[str]
    body: Sequence[Sequence[str]]
    below: Sequence[str] = ()
    left: Collection[int] = (0,)
    name: int = 0
    keys: int = 1
    together: int = 1

    def to_text(self, width: int | None = None) -> str:
        """Return the table with aligned columns.

        With a `width` in columns of a terminal, a wider table becomes several, which repeat the
        names. Names that would take more than half of the width stand whole on a line of their
        own, above the numbers. Longer lines above and below are broken between words.
        """
        lines = [[printable(cell) for cell in line] for line in (self.header, *self.body)]
        rows = _align(lines, self.left)
        if width is not None and max(map(count_columns, rows)) > width:
            rows = self._split(lines, width)
        title = [wrap_text(printable(self.title), width), ""] if self.title else []
        below = [wrap_text(printable(line), width) for line in self.below]
        return "\n".join([*title, *rows, *([""] if below else []), *below])

    def to_markdown(self) -> str:
        """Return the table in Markdown, without the title."""
        rule = ["---" if i in self.left else "--:" for i in range(len(self.header))]
        lines = [
            [printable(cell).replace("|", "\\|") for cell in line]
            for line in (self.header, rule, *self.body)
        ]
        table = [f"| {' | '.join(line)} |" for line in lines]
        below = [f"- {printable(line)}" for line in self.below]
        return "\n".join([*table, *([""] if below else []), *below])

    def to_html(self) -> str:
        """Return the table in HTML, with every text escaped."""
        return to_html(self.title, self.header, self.body, self.below, self.left)

    def reword(self, function: Callable[[str], str]) -> Table:
        """Return a table with other words in the sentences above and below, or without some."""
        below = [text for line in self.below if (text := function(line))]
        return replace(self, title=function(self.title), below=below)

    def _split(self, lines: Sequence[Sequence[str]], width: int) -> list[str]:
        """Return the lines of several tables, each at most `width` wide if its columns allow it.

        The tables after the first leave out lines of which they would say nothing.
        """
        keys = [*range(self.keys)]
        indent = 0
        if _width(lines, keys) > width // 2:  # names stand above
            keys = [*range(self.name + 1, self.keys)]
            indent = (_width(lines, range(self.name)) + 2) if self.name else _INDENT
        names = [self._name(line, indent) if indent else "" for line in lines]
        blocks: list[list[int]] = []
        rest = [*range(self.keys, len(self.header))]
        while rest:
            taken = len(rest)
            while taken > self.together and (
                indent + _width(lines, [*keys, *rest[:taken]]) > width
            ):
                taken -= self.together
            blocks.append([*keys, *rest[:taken]])
            rest = rest[taken:]
        found: list[str] = []
        for places in blocks:
            told = [
                i
                for i, line in enumerate(lines)
                if not found or any(line[place] for place in places[len(keys) :])
            ]
            left = {i for i, place in enumerate(places) if place in self.left}
            rows = _align([[lines[i][place] for place in places] for i in told], left)
            found += [""] if found else []
            for i, row in zip(told, rows, strict=True):
                found += [names[i]] if names[i] else []
                found += [" " * indent + row] if row or not names[i] else []
        return found

    def _name(self, line: Sequence[str], indent: int) -> str:
        """Return the line of its own for a name, with what stands before it; "" without one."""
        if not line[self.name]:
            return ""
        before = "  ".join(line[: self.name])
        return f"{before.rjust(indent - 2)}  {line[self.name]}" if self.name else line[self.name]


class Tabular:
    """A result that is shown as a table: by ``print``, in a terminal, and in a notebook."""

    def _table(self) -> Table:
        """Return what is shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the table as text."""
        return self._table().to_text()

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        return self._table().to_html()

    def to_text(self, width: int | None = None) -> str:
        """Return the table as text, as it prints.

        Parameters
        ----------
        width : int, optional
            Characters of a line, such as those of a terminal. A wider table is split into several,
            which repeat the names; long names stand above their numbers, and longer sentences are
            wrapped. Default: no limit.
        """
        return self._table().to_text(width)


def table_of(result: Tabular) -> Table:
    """Return the table of a result, to be shown in other words."""
    return result._table()


def _align(lines: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Return lines of cells as text: columns in `left` aligned to the left, others to the right."""
    sizes = [[count_columns(cell) for cell in line] for line in lines]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - size) if i in left else " " * (width - size) + cell
            for i, (cell, size, width) in enumerate(zip(line, own, widths, strict=True))
        ).rstrip()
        for line, own in zip(lines, sizes, strict=True)
    ]


def _width(lines: Sequence[Sequence[str]], places: Collection[int]) -> int:
    """Return the columns of a terminal that some columns of a table take."""
    widths = [max(count_columns(line[place]) for line in lines) for place in places]
    return sum(width + 2 for width in widths) - 2 if widths else 0
