"""Influence functions: how much each row, or unit of rows, moves a score.

The influence of row i is n times the derivative of the score with respect to the weight of row i;
the headers of the kernels derive the formulas. The jackknife approximates the influence of a unit
of rows by leaving it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.inputs import Inputs
from .._metric.registry import spec_of
from .._metric.score import Score
from .._scoring.evaluate import Settings, accumulate, evaluate
from .._stats.stats import Stats, map_left_out
from ..errors import DataError
from .units import ResamplingUnits

__all__ = [
    "collect_values",
    "compute_influence",
    "compute_jackknife_influences",
    "compute_weight_derivatives",
    "score_left_out_stats",
    "score_left_out_units",
]

Matrix = NDArray[np.float64]


class _NoInfluenceError(Exception):
    """The score cannot be reproduced from statistics, which influence functions need."""


def compute_weight_derivatives(
    given: Inputs, metric: str, options: Mapping[str, Any], settings: Settings, value: float
) -> Matrix | None:
    """Return the influence of every row divided by their number, (n_samples,); None without any.

    Raise DataError if the score of `given` is no longer `value`.
    """

    def rescore(more: Mapping[str, Any], settings: Settings) -> Score | Exception:
        return evaluate(given, {metric: {**options, **more}}, settings)[metric]

    def run(**more: Any) -> Score:
        # Influence functions are derived for scores from statistics ("tridiagonal"). A score that
        # only an SVD can compute in enough digits has none.
        found = rescore(more, replace(settings, method="tridiagonal"))
        if isinstance(found, Score) and _is_close(found, value):
            return found
        again = rescore({}, settings)
        if isinstance(again, Score) and _is_close(again, value):
            raise _NoInfluenceError
        now = str(found) if isinstance(found, Exception) else f"{float(found):.6g}"
        raise DataError(
            f"the {metric} of these features was {value:.6g} when they were ranked, now: {now}; "
            f"they have changed; rank again"
        )

    try:
        found = compute_influence(metric, run)
    except _NoInfluenceError:
        return None
    return None if found is None else found / given.target.n_samples


def compute_influence(metric: str, run: Callable[..., Score]) -> Matrix | None:
    """Return the influence of every row on a metric, (n_samples,); None where it has none."""
    if not spec_of(metric).influence:
        return None
    found = run(influence=True).details["influence"]  # without influences, the option itself
    return found if isinstance(found, np.ndarray) and bool(np.isfinite(found).all()) else None


def _is_close(score: Score, value: float) -> bool:
    return bool(np.isclose(float(score), value, rtol=1e-5, atol=1e-8))


def score_left_out_units(
    given: Inputs,
    metric: str,
    options: Mapping[str, Any],
    settings: Settings,
    units: ResamplingUnits,
) -> list[Score | Exception]:
    """Return the score without each unit in turn; from merged statistics where they suffice."""
    request = {metric: dict(options)}
    if spec_of(metric).reads_statistics_only:
        parts = [
            accumulate(given.take(np.flatnonzero(units.codes == u)), request, settings)
            for u in range(units.n_units)
        ]
        return score_left_out_stats(parts, lambda stats: stats.outcomes(request)[metric])
    left = (given.take(np.flatnonzero(units.codes != u)) for u in range(units.n_units))
    return [evaluate(part, request, settings)[metric] for part in left]


def score_left_out_stats(
    parts: Sequence[Stats], score: Callable[[Stats], Score | Exception]
) -> list[Score | Exception]:
    """Return the score of the sum of all statistics but one, for each of them."""
    nothing = DataError("nothing is left")
    return map_left_out(parts, lambda _, rest: nothing if rest is None else score(rest))


def collect_values(
    metric: str, names: Sequence[str], scores: Sequence[Sequence[Score | Exception]]
) -> Matrix:
    """Return the values of the models' scores, (M, n); raise if one of them is an exception.

    The values of a pooled metric are computed from the scores of all models.
    """
    for name, own in zip(names, scores, strict=True):
        for score in own:
            if isinstance(score, Exception):
                raise DataError(f"{name!r} without some of its rows: {score}") from score
    pool = spec_of(metric).pool
    if pool is None:
        return np.array([[float(score) for score in own] for own in scores])  # type: ignore[arg-type]
    return np.array([pool(column) for column in zip(*scores, strict=True)]).T


def compute_jackknife_influences(values: Matrix) -> Matrix:
    """Return influences divided by the number of units, (n_units, M), from left-out scores.

    `values` (M, n_units) are the scores without each unit. Infinite ones count as 0.
    """
    n_units = values.shape[1]
    finite = np.where(np.isfinite(values), values, 0.0)
    influences: Matrix = (n_units - 1) / n_units * (finite.mean(axis=1, keepdims=True) - finite).T
    return influences
