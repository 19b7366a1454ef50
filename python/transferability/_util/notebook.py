"""Show results in a notebook: tables in HTML that restyle nothing around them, and where we are.

Styles are attributes of the elements, so no rule of them can reach another part of the notebook.
Colours are those of its theme, light or dark.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Sequence
from html import escape

__all__ = [
    "is_interactive",
    "is_notebook",
    "printable",
    "shorten_middle",
    "shorten_names",
    "text_to_html",
    "to_html",
]

_SCROLL = "overflow-x: auto; max-width: 100%"  # a wide table moves within its own box
_TABLE = "border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0"
_BREAK = "overflow-wrap: anywhere"  # paths of models too
_TITLE = f"margin: 0 0 .4em; {_BREAK}"
_NOTES = f"margin: .4em 0 0; max-width: 50em; {_BREAK}"


def printable(text: str) -> str:
    r"""Return a text with line ends, terminal codes and the like as escapes (\n, \x1b)."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shorten_middle(text: str, most: int) -> str:
    """Cut a text to at most `most` characters in its middle: both ends of a path tell models apart.

    "…" marks the cut. A third of the characters are from the start.
    """
    if len(text) <= most:
        return text
    start = most // 3
    return f"{text[:start]}…{text[len(text) - (most - start - 1) :]}"


def shorten_names(names: Iterable[object], most: int) -> list[str]:
    """Return printable names of `most` characters, or of more to tell them apart.

    Long names leave out the folders that all of them share.
    """
    texts = [printable(str(name)) for name in names]
    long = {text for text in texts if len(text) > most}
    if len(long) > 1:
        first, last = min(long), max(long)
        same = next(i for i in range(len(last)) if first[i : i + 1] != last[i])
        shared = first[:same].rpartition("/")[0]
        cut = "…{}" if shared else "{}"
        texts = [cut.format(text[len(shared) :]) if text in long else text for text in texts]
    while True:
        found = [shorten_middle(text, most) for text in texts]
        if len({*found}) == len({*texts}):
            return found
        most += 8


def to_html(
    title: str,
    header: Sequence[str] = (),
    body: Iterable[Sequence[str]] = (),
    below: Iterable[str] = (),
    left: Container[int] = (0,),
) -> str:
    """Return a table in HTML, with a title above and sentences below; every text is escaped.

    Columns in `left` are aligned to the left, others to the right. A table without header and
    body is left out.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        sides = ("left" if i in left else "right" for i in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align: {side}">{_escape(cell)}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )

    rows = "".join(f"<tr>{line(cells, 'td')}</tr>" for cells in body)
    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if header else ""
    table = f'<table style="{_TABLE}">{head}<tbody>{rows}</tbody></table>' if head or rows else ""
    words = f'<p style="{_TITLE}">{_escape(title)}</p>' if title else ""
    notes = "".join(f"<li>{_escape(text)}</li>" for text in below)
    return f'<div style="{_SCROLL}">{words}{table}</div>' + (
        f'<ul style="{_NOTES}">{notes}</ul>' if notes else ""
    )


def text_to_html(text: str) -> str:
    """Return a text in HTML: its first line as the title, the others as a list."""
    title, *lines = text.split("\n")
    return to_html(title, below=map(str.strip, lines))


def is_interactive() -> bool:
    """Return whether IPython is running: a notebook, or a terminal of its own."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def is_notebook() -> bool:
    """Return whether IPython is running as the kernel of a notebook."""
    if not is_interactive():
        return False
    return getattr(sys.modules["IPython"].get_ipython(), "kernel", None) is not None


def _escape(text: str) -> str:
    return escape(printable(text))
