"""From scores and truths by model name to an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .._metric.score import issue
from ..errors import DataError
from ._evaluation import Evaluation

__all__ = ["evaluate_scores"]

Array = NDArray[np.float64]
FEWEST = 3  # models that agreement is worth computing for
#: Below so many models intervals are too narrow: for Kendall's tau of normal pairs correlated at
#: 0.8, 95 % intervals cover 71 % with 4 models, 95 % with 6 and 97 % with 12.
FEW = 6


def evaluate_scores(
    scores: Mapping[str, Mapping[str, float]],
    truth: Mapping[str, float],
    *,
    rank: bool | str = True,
    n_boot: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate scores by metric and model; see :meth:`Ranking.evaluate`."""
    if not isinstance(truth, Mapping):
        raise DataError("truth must map names of models to numbers, such as {'resnet50': 0.87}")
    if rank not in (True, "truth"):
        raise DataError(f"rank is {rank!r}; choose True or 'truth'")
    if n_boot < 100:
        raise DataError(f"n_boot is {n_boot}; an interval needs 100 resamples at least")
    ranked = list(dict.fromkeys(model for column in scores.values() for model in column))
    models = [model for model in ranked if model in truth]
    unmatched = [m for m in ranked if m not in truth] + [m for m in truth if m not in set(ranked)]
    if len(models) < FEWEST:
        raise DataError(
            f"{len(models)} models have both scores and truth, agreement needs {FEWEST}; without "
            f"the other: {', '.join(map(str, unmatched[:5])) or 'none'}"
        )
    values = {name: _column(column, models) for name, column in scores.items()}
    y = np.array([_number(truth[model], model) for model in models])
    notes = list(_notes(values, y, models, unmatched))
    issue(notes)
    if len(models) < FEW:  # nothing is wrong with them, so this is no warning
        notes.append(
            f"{len(models)} models are few: intervals know these alone and are too narrow, down to "
            f"a point where all of them agree"
        )
    facts = (tuple(models), tuple(values), values, y, rank, n_boot, seed)
    return Evaluation(*facts, tuple(map(str, unmatched)), tuple(notes))


def _notes(
    values: Mapping[str, Array], truth: Array, models: Sequence[str], unmatched: Sequence[str]
) -> Iterable[str]:
    if unmatched:
        more = f" and {len(unmatched) - 10} more" if len(unmatched) > 10 else ""
        names = ", ".join(map(str, unmatched[:10]))
        yield f"left out, in scores or truth only: {names}{more}"
    for name, column in values.items():
        failed = [m for m, value in zip(models, column, strict=True) if math.isnan(value)]
        if failed:
            yield f"{name} has no score for {', '.join(failed)}, which count as last"
        if len(set(column[~np.isnan(column)])) < 2:
            yield f"{name} is the same for all models and orders nothing"
    if np.ptp(truth) == 0:
        yield "the truth is the same for all models: there is no order to agree with"


def _column(column: Mapping[str, float], models: Sequence[str]) -> Array:
    return np.array([float(column.get(model, math.nan)) for model in models])


def _number(value: object, model: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"truth of {model!r} is {value!r}; leave out what is not known")
    return number
