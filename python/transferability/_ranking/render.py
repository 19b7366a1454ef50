"""Tables of a ranking: the table that is shown, columns for CSV and data frames, groups of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._metric.derived import CONSENSUS, COST
from .._metric.registry import is_diagnostic, spec_of, title_of
from .._util.table import Table
from ..errors import DataError
from .row import Row

__all__ = [
    "check_scores",
    "columns",
    "expand_layers",
    "make_table",
    "percent",
    "tabulate_groups",
]

_SHORT = 20  # notes of at most so many characters stand in the table, longer ones below it
_NAMED = 4  # a note below the table names so many models; its number is beside all of them


def make_table(
    rows: Sequence[Row], metrics: Sequence[str], task: str, warnings: Sequence[str], unit: str
) -> Table:
    """Build the table of some rows; `unit` names one row, such as "model".

    Models of which several layers were scored have a line for each. Nothing is cut: the reasons of
    failed rows stand below the table, followed by the notes, each once with its number and its
    models, and by the warnings.
    """
    lines = expand_layers(rows)
    layers = len(lines) > len(rows)
    notes = _number_notes(rows)
    failed = [f"{row.name}: {row.error}" for row in rows if row.error is not None]
    count = f"1 {unit}" if len(rows) == 1 else f"{len(rows)} {unit}s"
    n_failed = f", {len(failed)} failed" if failed else ""
    order = "highest first" if is_diagnostic(metrics[0]) else "higher is better"
    keys = ["rank", "model", *(["layer"] if layers else [])]
    header = [*keys, *map(title_of, metrics), "D", "seconds", "notes"]
    return Table(
        title=f"{count} by {title_of(metrics[0])}, {order} ({task}{n_failed})",
        header=header,
        body=[_cells(line, metrics, notes, layers) for line in lines],
        below=[
            *failed,
            *_describe_notes(rows, notes, unit),
            *(f"Note: {text}" for text in warnings),
        ],
        left={*range(1, len(keys)), len(header) - 1},
        name=1,
        keys=len(keys),
    )


def expand_layers(rows: Iterable[Row]) -> list[Row]:
    """Return a row for each layer: below that of a model, those of its other layers.

    These have no rank and no notes, and no columns that compare models, such as a consensus.
    """
    lines: list[Row] = []
    for row in rows:
        lines.append(row)
        for layer, scores in row.layers.items() if len(row.layers) > 1 else ():
            if layer == row.layer:
                continue
            own = {metric: score for metric, score in scores.items() if not spec_of(metric).pool}
            width = next((score.n_features for score in scores.values()), None)
            facts: dict[str, Any] = {"rank": None, "notes": (), "error": None, "layers": {}}
            lines.append(row.replace(scores=own, layer=layer, n_features=width, **facts))
    return lines


def columns(
    rows: Sequence[Row], metrics: Sequence[str], layers: bool = False
) -> dict[str, list[Any]]:
    """Return the table by column, for data frames; a missing score or cost is NaN.

    With `layers`, a model has a line for each layer that was scored.
    """
    if layers:
        rows = expand_layers(rows)
    of_models = ("layer",) if any(row.layer is not None for row in rows) else ()
    costs = dict.fromkeys(name for row in rows for name in row.costs)
    of_race = ("round", "dropped") if any(row.round for row in rows) else ()
    return {
        "rank": [row.rank for row in rows],
        "model": [row.name for row in rows],
        **{name: [getattr(row, name) for row in rows] for name in of_models},
        **{metric: [row.value(metric) for row in rows] for metric in metrics},
        "n_features": [row.n_features for row in rows],
        "n_samples": [row.n_samples for row in rows],
        **{name: [getattr(row, name) for row in rows] for name in of_race},
        "seconds": [row.seconds for row in rows],
        **{f"{COST}{name}": [row.costs.get(name, math.nan) for row in rows] for name in costs},
        "notes": ["; ".join(row.notes) for row in rows],
        "error": [row.error for row in rows],
    }


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


def _number_notes(rows: Iterable[Row]) -> dict[str, int]:
    """Return the numbers of the notes that stand below the table, in the order of the rows."""
    texts = dict.fromkeys(note for row in rows for note in row.notes if len(note) > _SHORT)
    return {text: number for number, text in enumerate(texts, start=1)}


def _describe_notes(rows: Sequence[Row], notes: Mapping[str, int], unit: str) -> list[str]:
    """Return each numbered note, with the models that it concerns."""
    lines = []
    for text, number in notes.items():
        names = [row.name for row in rows if text in row.notes]
        shown = ", ".join(names[:_NAMED])
        if len(names) == len(rows) > 1:
            shown = f"all {len(rows)} {unit}s"
        elif len(names) > _NAMED:
            shown += f" and {len(names) - _NAMED} more"
        lines.append(f"[{number}] {shown}: {text}")
    return lines


def _cells(
    row: Row, metrics: Sequence[str], notes: Mapping[str, int], has_layers: bool
) -> list[str]:
    is_first = row.rank is not None or row.error is not None or bool(row.layers) or not has_layers
    layer = (row.layer or "",) if has_layers else ()
    marks = [f"[{notes[note]}]" if note in notes else note for note in row.notes]
    return [
        "" if row.rank is None else str(row.rank),
        row.name if is_first else "",
        *layer,
        *(_format(row, metric, is_first) for metric in metrics),
        "" if row.n_features is None else str(row.n_features),
        f"{row.seconds:.3f}" if is_first else "",
        " ".join(["failed", *marks] if row.error else marks),
    ]


def _format(row: Row, metric: str, is_first: bool) -> str:
    """Return a score as text; layers have none in the columns that compare models."""
    return f"{row.value(metric):.4f}" if is_first or metric in row.scores else ""
