"""Read scores and true performance of models from .csv files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from .._inputs.arguments import suggest
from .._metric.derived import COST
from .._metric.score import issue
from .._util.delimited import MISSING, find_ambiguous, read_table
from ..errors import DataError

__all__ = ["read_columns", "read_ranking", "read_truth"]

_MODEL = ("model", "name")
#: Columns that `Ranking.to_csv` writes besides model names and scores.
_FACTS = (
    *("rank", "layer", "n_features", "n_samples", "round", "dropped"),
    *("seconds", "notes", "error"),
)
_MISSING = {text.lower() for text in MISSING}

Columns = dict[str, dict[str, float]]  # by column and model


def read_ranking(path: str, metrics: Sequence[str] | None = None) -> Columns:
    """Read scores by metric and model; a missing score is NaN, as for a model that failed.

    The file is written by ``Ranking.to_csv``, or has a column "model" or "name" and columns of
    numbers. `metrics` names the columns; by default all that hold scores.
    """
    columns = _read_columns(path, compared=True)
    if metrics is None:
        chosen = [name for name in columns if name not in _FACTS and not name.startswith(COST)]
    else:
        chosen = [name.strip() for name in metrics]
    odd = [name for name in chosen if name not in columns]
    if odd or not chosen:
        near = suggest(odd[0], columns) if odd else ""
        raise DataError(
            f"{path} has no column of numbers {', '.join(map(repr, odd)) or 'with scores'}{near}; "
            f"its columns of numbers are {', '.join(columns) or 'none'}"
        )
    return {name: columns[name] for name in chosen}


def read_truth(
    path: str, column: str | None = None, what: str = "truth", option: str = "--column"
) -> dict[str, float]:
    """Read a number for each model, such as its true performance; models without one are left out.

    `what` names it in messages, and `option` the option that names its column.
    """
    columns = read_columns(path)
    if not columns:
        raise DataError(f"{path} has no column of numbers only; the {what} is a number a model")
    if column is None:
        if len(columns) != 1:
            raise DataError(
                f"{path} has {len(columns)} columns of numbers ({', '.join(columns)}); name "
                f"the one with the {what} by {option}"
            )
        column = next(iter(columns))
    if column not in columns:
        raise DataError(
            f"{path} has no column of numbers {column!r}{suggest(column, columns)}; there are "
            f"{', '.join(columns)}"
        )
    return {model: value for model, value in columns[column].items() if not math.isnan(value)}


def read_columns(path: str) -> Columns:
    """Read every column that holds only numbers and missing values."""
    return _read_columns(path, compared=False)


def _read_columns(path: str, compared: bool) -> Columns:
    """Read columns as :func:`read_columns` does; with `compared`, not of models a race dropped."""
    header, rows = read_table(path, comment="#")
    key = next((name for name in _MODEL if name in header), None)
    if key is None:
        raise DataError(f"{path} needs a first line with a column 'model' or 'name', got {header}")
    rows = _drop_layers(header, rows, header.index(key))
    if compared and {"round", "dropped"} <= {*header}:  # their scores are of fewer rows
        rows = [row for row in rows if not row[header.index("dropped")].strip()]
    ambiguous = find_ambiguous(header, rows)
    if key in ambiguous:
        raise DataError(f"{path} has {header.count(key)} columns {key!r}; name the models once")
    models = [row[header.index(key)].strip() for row in rows]
    twice = [model for model, count in Counter(models).items() if count > 1]
    if twice:
        raise DataError(f"{path} has model {min(twice)!r} more than once; give one line a model")
    columns: Columns = {}
    for place, name in enumerate(header):
        if name in ambiguous:
            if place == header.index(name):
                issue([f"{path}: {header.count(name)} columns {name!r} differ and were left out"])
            continue
        values = [_parse_number(row[place]) for row in rows]
        known = [value for value in values if value is not None]
        if name == key or all(map(math.isnan, known)):
            continue
        if len(known) == len(values):
            columns[name] = dict(zip(models, known, strict=True))
        elif name not in _FACTS:
            odd = values.index(None)
            cell = f"{rows[odd][place]!r} of {models[odd]!r}"
            advice = "leave the cell empty where there is none"
            issue([f"{path}: column {name!r} was left out, because {cell} is no number; {advice}"])
    return columns


def _drop_layers(header: list[str], rows: list[list[str]], key: int) -> list[list[str]]:
    """Return the rows but those of further layers, which have no rank and follow their model."""
    if not {"rank", "layer"} <= {*header}:
        return rows
    rank, seen, kept = header.index("rank"), set(), []
    for row in rows:
        if row[key] not in seen or row[rank].strip():
            kept.append(row)
        seen.add(row[key])
    return kept


def _parse_number(text: str) -> float | None:
    """Parse a number; return NaN for a missing value and None for other text."""
    text = text.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None
