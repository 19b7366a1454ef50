"""The width of a terminal, and text that fits it.

A terminal breaks a line anywhere, also within a word. Text that goes to a file or to another
program is never broken.
"""

from __future__ import annotations

import shutil
import textwrap
from typing import Any

__all__ = ["find_width", "wrap_text"]

_NARROWEST = 20  # columns; some pseudo-terminals say that they have none
_INDENT = 4  # of what follows the first line


def find_width(stream: Any) -> int | None:
    """Return the number of columns of the terminal that a stream writes to; None for a file.

    COLUMNS in the environment takes precedence, as for other programs.
    """
    is_terminal = stream is not None and not stream.closed and stream.isatty()
    return max(shutil.get_terminal_size().columns, _NARROWEST) if is_terminal else None


def wrap_text(text: str, width: int | None) -> str:
    """Break longer lines between words, and indent what follows; None breaks nothing.

    Words that are longer than a line, such as paths, stay whole, so that they can be copied.
    """
    if width is None:
        return text
    wrapper = textwrap.TextWrapper(
        width,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = text.split("\n")
    return "\n".join(line if len(line) <= width else wrapper.fill(line) for line in lines)
