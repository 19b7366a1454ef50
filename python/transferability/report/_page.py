"""Build the page of a report and its HTML elements; a function is named after its element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from .. import _core
from .._util.notebook import printable

__all__ = [
    "Page",
    "build_page",
    "bullets",
    "chart_item",
    "chart_list",
    "paragraph",
    "section",
    "table",
    "text",
]

#: The content security policy forbids all loading, that of an icon included.
_HEAD = (
    '<meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'\">"
)


class Page(str):
    """The text of a report, which a notebook shows as the report."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return the style and the content, without the document around them."""
        style = self[self.index("<style>") : self.index("</head>")]
        return style + self[self.index("<main") : self.index("</body>")]


def build_page(title: str, lead: str, sections: Iterable[str]) -> Page:
    """Return the document: a title, a first paragraph and the sections that are not empty."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return Page(
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{_HEAD}<title>{text(title)}</title>\n'
        f"<style>\n{style}</style></head>\n<body><main class=tx-report>\n"
        f"<h1>{text(title)}</h1>\n{lead}\n"
        + "\n".join(part for part in sections if part)
        + f"\n<footer>transferability {text(_core.__version__)}</footer>\n</main></body>\n</html>\n"
    )


def text(value: object) -> str:
    """Return a value as text, with HTML, line ends and control characters escaped."""
    return escape(printable(str(value)))


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph of text."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def section(title: str, *parts: str) -> str:
    """Return a section with a heading."""
    return f"<section><h2>{text(title)}</h2>\n" + "\n".join(parts) + "</section>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of sentences, or an empty string if there are none."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def chart_item(
    name: str,
    chart: str,
    value: str,
    *,
    rank: str = "",
    sure: str | None = None,
    attributes: str = "",
) -> str:
    """Return a row of a chart: rank, name, drawing, value, and a remark on its uncertainty."""
    remark = "" if sure is None else f"<span class=sure>{text(sure)}</span>"
    return (
        f"<li{attributes}><span class=rank>{rank}</span><span class=model>{text(name)}</span>"
        f"{chart}<span class=value>{value}</span>{remark}</li>\n"
    )


def chart_list(items: str, ticks: str, attributes: str) -> str:
    """Return a chart: its rows, and below them the axis with these attributes."""
    return f"<ol class=models>\n{items}<li{attributes}>{ticks}</li></ol>"


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    shades: Sequence[Sequence[float | None]] | None = None,
) -> str:
    """Return a table that scrolls if it is too wide; the first cell of a row is its name.

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
