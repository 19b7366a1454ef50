"""Tables of a ranking: text, HTML, Markdown, columns for CSV and data frames, groups of rows."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._metric.derived import CONSENSUS, COST
from .._metric.registry import is_diagnostic, title_of
from .._util.notebook import printable, to_html
from ..errors import DataError
from .row import Row

__all__ = [
    "Table",
    "align_columns",
    "check_scores",
    "columns",
    "make_table",
    "percent",
    "printable",
    "shorten",
    "tabulate_groups",
]

_NOTE_WIDTH = 60  # the text table cuts longer notes


@dataclass(frozen=True)
class Table:
    """The cells of a ranking's table with a title above and notes below, all as text."""

    title: str
    header: list[str]
    body: list[list[str]]
    below: list[str]

    def to_text(self) -> str:
        """Return the table for a terminal, with aligned columns."""
        lines = [[*line[:-1], shorten(line[-1], _NOTE_WIDTH)] for line in (self.header, *self.body)]
        rows = align_columns(lines, left={1, len(self.header) - 1})  # model and notes
        return "\n".join([self.title, "", *rows, *([""] if self.below else []), *self.below])

    def to_markdown(self) -> str:
        """Return the table in Markdown, without the title."""
        rule = ["---" if name in ("model", "notes") else "--:" for name in self.header]
        lines = [
            [cell.replace("|", "\\|") for cell in line] for line in (self.header, rule, *self.body)
        ]
        table = [f"| {' | '.join(line)} |" for line in lines]
        below = [f"- {line}" for line in self.below]
        return "\n".join([*table, *([""] if below else []), *below])

    def to_html(self) -> str:
        """Return the table in HTML, with every text escaped."""
        return to_html(self.title, self.header, self.body, self.below, {1, len(self.header) - 1})


def make_table(
    rows: Sequence[Row], metrics: Sequence[str], task: str, warnings: Sequence[str], unit: str
) -> Table:
    """Build the table of some rows; `unit` names one row, such as "model".

    The reasons of failed rows stand below the table in full, followed by the warnings.
    """
    failed = [f"{row.name}: {row.error}" for row in rows if row.error is not None]
    count = f"1 {unit}" if len(rows) == 1 else f"{len(rows)} {unit}s"
    n_failed = f", {len(failed)} failed" if failed else ""
    order = "highest first" if is_diagnostic(metrics[0]) else "higher is better"
    return Table(
        title=f"{count} by {title_of(metrics[0])}, {order} ({task}{n_failed})",
        header=["rank", "model", *map(title_of, metrics), "D", "seconds", "notes"],
        body=[_cells(row, metrics) for row in rows],
        below=[printable(line) for line in (*failed, *(f"Note: {text}" for text in warnings))],
    )


def columns(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, list[Any]]:
    """Return the table by column, for data frames; a missing score or cost is NaN."""
    costs = dict.fromkeys(name for row in rows for name in row.costs)
    of_race = ("round", "dropped") if any(row.round for row in rows) else ()
    return {
        "rank": [row.rank for row in rows],
        "model": [row.name for row in rows],
        **{metric: [row.value(metric) for row in rows] for metric in metrics},
        "n_features": [row.n_features for row in rows],
        "n_samples": [row.n_samples for row in rows],
        **{name: [getattr(row, name) for row in rows] for name in of_race},
        "seconds": [row.seconds for row in rows],
        **{f"{COST}{name}": [row.costs.get(name, math.nan) for row in rows] for name in costs},
        "notes": [" ".join(row.notes) for row in rows],
        "error": [row.error for row in rows],
    }


def shorten(text: str, most: int) -> str:
    """Cut a text to at most `most` characters; "…" marks the end of a cut one."""
    return text if len(text) <= most else text[: most - 1] + "…"


def percent(share: float) -> str:
    """Return a share in percent; estimates near 0 and 1 become "<1%" and ">99%"."""
    return "<1%" if share < 0.01 else ">99%" if share > 0.99 else f"{share:.0%}"


def check_scores(
    rows: Iterable[Row],
    metrics: Sequence[str],
    source: str,
    models: Sequence[str],
    scores: Mapping[str, Iterable[float]],
) -> None:
    """Raise DataError if an analysis was computed from the scores of another ranking.

    `source` names the analysis, such as "stability"; `scores` has its scores of `models` by metric.
    """
    advice = f"{source} is of another ranking; make it from this one"
    own = {row.name: row for row in rows}
    for metric, values in scores.items():
        if metric not in metrics:
            raise DataError(f"{advice}: it has {metric}, this one {', '.join(metrics)}")
        for name, value in zip(models, values, strict=True):
            if name not in own:
                raise DataError(f"{advice}: it has a model {name!r}, this one has not")
            here = own[name].value(metric)
            # A consensus depends on the models compared, and an analysis may leave out some.
            if metric != CONSENSUS and not np.array_equal(here, value, equal_nan=True):
                raise DataError(f"{advice}: {metric} of {name!r} is {value} there and {here} here")


def tabulate_groups(
    rows: Iterable[Row], metric: str
) -> tuple[list[int | str], dict[str, list[float]]]:
    """Return the groups of rows, and each model's scores in their order; NaN where one is missing.

    Models without scores of groups are left out.
    """
    found = {row.name: row.per_group.get(metric, {}) for row in rows}
    groups = list(dict.fromkeys(group for scores in found.values() for group in scores))
    return groups, {
        name: [float(scores.get(group, math.nan)) for group in groups]
        for name, scores in found.items()
        if scores
    }


def align_columns(lines: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """Return lines of cells as text: columns in `left` aligned to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _cells(row: Row, metrics: Sequence[str]) -> list[str]:
    return [
        str(row.rank),
        printable(row.name),
        *(f"{row.value(metric):.4f}" for metric in metrics),
        "" if row.n_features is None else str(row.n_features),
        f"{row.seconds:.3f}",
        printable("; ".join(("failed", *row.notes)) if row.error else "; ".join(row.notes)),
    ]
