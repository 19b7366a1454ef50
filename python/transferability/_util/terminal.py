"""The width of a terminal, and text that fits it.

A terminal breaks a line anywhere, also within a word. Text that goes to a file or to another
program is never broken.
"""

from __future__ import annotations

import shutil
import unicodedata
from typing import Any

__all__ = ["count_columns", "find_width", "wrap_text"]

_NARROWEST = 20  # columns; some pseudo-terminals say that they have none
_INDENT = 4  # of what follows the first line


def find_width(stream: Any) -> int | None:
    """Return the number of columns of the terminal that a stream writes to; None for a file.

    COLUMNS in the environment takes precedence, as for other programs.
    """
    is_terminal = stream is not None and not stream.closed and stream.isatty()
    return max(shutil.get_terminal_size().columns, _NARROWEST) if is_terminal else None


def count_columns(text: str) -> int:
    """Return the number of columns that a text takes in a terminal.

    East Asian characters and most emoji take two, and marks above or below a letter none.
    """
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def wrap_text(text: str, width: int | None) -> str:
    """Break longer lines between words, and indent what follows; None breaks nothing.

    Words that are longer than a line, such as paths, stay whole, so that they can be copied.
    """
    if width is None:
        return text
    return "\n".join(
        line if count_columns(line) <= width else _break_line(line, width)
        for line in text.split("\n")
    )


def _break_line(line: str, width: int) -> str:
    lines, (current, *words) = [], line.split(" ")
    for word in words:
        longer = f"{current} {word}"
        if current.strip() and count_columns(longer) > width:
            lines.append(current.rstrip())
            longer = " " * _INDENT + word
        current = longer
    return "\n".join([*lines, current])


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
