"""A ranking as text, HTML, Markdown, CSV and columns."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from .._metric.registry import title_of
from .._util.delimited import format_csv

if TYPE_CHECKING:
    from .ranking import Ranking, Row

__all__ = [
    "FACTS",
    "columns",
    "csv_text",
    "html",
    "markdown",
    "percent",
    "printable",
    "text",
]

#: What a row says besides its scores.
FACTS = ("rank", "name", "n_samples", "n_features", "seconds", "notes", "error")
_NOTE_WIDTH = 60  # longer notes are cut in the text table only


def columns(ranking: Ranking) -> dict[str, list[Any]]:
    """Give the table by column, for data frames; scores are NaN where a metric failed."""
    rows = ranking.rows
    return {
        "rank": [row.rank for row in rows],
        "model": [row.name for row in rows],
        **{metric: [row.value(metric) for row in rows] for metric in ranking.metrics},
        "n_features": [row.n_features for row in rows],
        "n_samples": [row.n_samples for row in rows],
        "seconds": [row.seconds for row in rows],
        "notes": [" ".join(row.notes) for row in rows],
        "error": [row.error for row in rows],
    }


def text(ranking: Ranking) -> str:
    """Draw the table for a terminal."""
    header, body = _cells(ranking)
    table = [header, *body]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    left = {1, len(header) - 1}  # model and notes; numbers are aligned to the right
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in ([*row[:-1], _cut(row[-1])] for row in table)
    ]
    below = _below(ranking)
    return "\n".join([_title(ranking), "", *lines, *([""] if below else []), *below])


def markdown(ranking: Ranking) -> str:
    """Write the table in Markdown."""
    header, body = _cells(ranking)
    rule = ["---" if name in ("model", "notes") else "--:" for name in header]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, rule, *body)]
    table = [f"| {' | '.join(line)} |" for line in lines]
    below = [f"- {line}" for line in _below(ranking)]
    return "\n".join([*table, *([""] if below else []), *below])


def html(ranking: Ranking) -> str:
    """Write the table in HTML; everything that came from outside is escaped."""
    header, body = _cells(ranking)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body
    )
    below = "".join(f"<li>{escape(line)}</li>" for line in _below(ranking))
    return (
        f"<table><caption>{escape(_title(ranking))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        + (f"<ul>{below}</ul>" if below else "")
    )


def csv_text(ranking: Ranking) -> str:
    """Write the table as CSV."""
    return format_csv(columns(ranking))


def _title(ranking: Ranking) -> str:
    failed = f", {len(ranking.failed)} failed" if ranking.failed else ""
    models = f"1 {ranking.unit}" if len(ranking) == 1 else f"{len(ranking)} {ranking.unit}s"
    return f"{models} by {title_of(ranking.metrics[0])}, higher is better ({ranking.task}{failed})"


def _cells(ranking: Ranking) -> tuple[list[str], list[list[str]]]:
    header = ["rank", "model", *map(title_of, ranking.metrics), "D", "seconds", "notes"]
    return header, [_row_cells(row, ranking.metrics) for row in ranking.rows]


def _row_cells(row: Row, metrics: tuple[str, ...]) -> list[str]:
    return [
        str(row.rank),
        printable(row.name),
        *(f"{row.value(metric):.4f}" for metric in metrics),
        "" if row.n_features is None else str(row.n_features),
        f"{row.seconds:.3f}",
        printable("; ".join(("failed", *row.notes)) if row.error else " ".join(row.notes)),
    ]


def _below(ranking: Ranking) -> list[str]:
    """Say why models failed, in full, and what concerns all models: a line each."""
    failed = [f"{row.name}: {row.error}" for row in ranking.failed]
    return [printable(line) for line in (*failed, *(f"Note: {w}" for w in ranking.warnings))]


def printable(text: str) -> str:
    r"""Show line ends, terminal codes and the like as escapes (\n, \x1b)."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def percent(share: float) -> str:
    """Give a share in percent, and none that was estimated as certain."""
    return "<1%" if share < 0.01 else ">99%" if share > 0.99 else f"{share:.0%}"


def _cut(note: str) -> str:
    return note if len(note) <= _NOTE_WIDTH else note[: _NOTE_WIDTH - 1] + "…"
