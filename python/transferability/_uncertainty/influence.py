"""Influence functions: the first-order effect of the weight of each row on a score.

The influence of row i is n times the derivative of the score with respect to the weight of row i.
``metrics/_influence.py`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._metric.registry import spec_of
from .._metric.score import Score
from .._scoring.evaluate import Settings, evaluate
from ..errors import DataError

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs

__all__ = ["compute_influence", "compute_weight_derivatives"]

Rows = NDArray[np.float64]


class _NoInfluenceError(Exception):
    """The score cannot be reproduced from statistics, which influence functions need."""


def compute_weight_derivatives(
    given: Inputs, metric: str, options: Mapping[str, Any], settings: Settings, value: float
) -> Rows | None:
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
        found = compute_influence(metric, given, options, run)
    except _NoInfluenceError:
        return None
    return None if found is None else found / given.target.n_samples


def compute_influence(
    metric: str, given: Inputs, options: Mapping[str, Any], run: Callable[..., Score]
) -> Rows | None:
    """Return the influence of every row on a metric, (n_samples,); None where it has none."""
    influence = spec_of(metric).influence
    found = None if influence is None else influence(given, options, run)
    return found if found is not None and bool(np.isfinite(found).all()) else None


def _is_close(score: Score, value: float) -> bool:
    return bool(np.isclose(float(score), value, rtol=1e-5, atol=1e-8))
