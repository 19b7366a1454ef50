"""The page around a report, and the few kinds of HTML that it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from .. import _core
from .._ranking.render import printable

__all__ = ["bullets", "page", "paragraph", "section", "table", "text"]

#: Nothing may be loaded, whatever stands in a name; the empty icon spares servers a question.
_HEAD = (
    '<meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; img-src data:\">"
    '<link rel="icon" href="data:,">'
)


def page(title: str, lead: str, sections: Iterable[str]) -> str:
    """Put sections under a title and a first paragraph."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    foot = f"transferability {_core.__version__}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{_HEAD}<title>{text(title)}</title>\n'
        f"<style>\n{style}</style></head>\n<body><main>\n<h1>{text(title)}</h1>\n{lead}\n"
        + "\n".join(part for part in sections if part)
        + f"\n<footer>{text(foot)}</footer>\n</main></body>\n</html>\n"
    )


def text(value: object) -> str:
    """Escape what came from outside, and show line ends and direction marks as what they are."""
    return escape(printable(str(value)))


def paragraph(words: str, kind: str = "") -> str:
    """Give a paragraph of words."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def section(title: str, *parts: str) -> str:
    """Give a section with its heading."""
    return f"<section><h2>{text(title)}</h2>\n" + "\n".join(parts) + "</section>"


def bullets(lines: Iterable[str]) -> str:
    """Give a list of sentences; nothing where there are none."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    shades: Sequence[Sequence[float | None]] | None = None,
) -> str:
    """Give a table that scrolls by itself where it is too wide; first cells name the rows.

    `shades`, in [0, 1], colour the other cells.
    """
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = ""
    for i, (name, *cells) in enumerate(rows):
        own = [None] * len(cells) if shades is None else shades[i]
        body += f'<tr><th scope="row">{text(name)}</th>'
        for cell, shade in zip(cells, own, strict=True):
            style = "" if shade is None else f' class="shade" style="--t:{shade:.3f}"'
            body += f"<td{style}>{text(cell)}</td>"
        body += "</tr>\n"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )
