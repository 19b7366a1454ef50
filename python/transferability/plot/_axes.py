"""Prepare a plot: get Axes, resolve the metric, select finite values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .._inputs.arguments import check_result
from .._ranking.ranking import Ranking
from .._ranking.render import check_scores
from .._uncertainty.stability import Stability
from .._util.figures import new_axes
from ..errors import DataError, DtypeError

__all__ = ["get_axes", "resolve_metric", "select_finite", "to_number"]


def get_axes(ax: Any, height: float = 4.0, width: float = 6.4, labels: Sequence[str] = ()) -> Any:
    """Return `ax`, or the Axes of a new figure, wider for long labels."""
    if ax is not None:
        return ax
    width += 0.08 * max(0, max(map(len, labels), default=0) - 16)
    return new_axes("plotting", figsize=(width, height), layout="constrained")


def resolve_metric(ranking: Ranking, metric: str | None, stability: Stability | None = None) -> str:
    """Return the metric, by default that of `stability`, or else the one that sorts.

    Raise DataError if it was not computed, or if `stability` is of another ranking or metric, and
    DtypeError if they are other things.
    """
    check_result("ranking", ranking, Ranking)
    check_result("stability", stability, Stability, optional=True)
    if stability is not None:
        scores = {stability.metric: stability.scores}
        check_scores(ranking.rows, ranking.metrics, "stability", stability.names, scores)
        if metric not in (None, stability.metric):
            raise DataError(f"metric is {metric!r}, and stability is of {stability.metric}")
        metric = stability.metric
    if metric is not None and metric not in ranking.metrics:
        raise DataError(f"metric is {metric!r}; this ranking has {', '.join(ranking.metrics)}")
    return metric or ranking.metrics[0]


def select_finite(values: Mapping[str, float], metric: str, more: str = "") -> dict[str, float]:
    """Return the finite values; raise DataError if there are none."""
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    if not finite:
        raise DataError(f"no model has a finite {metric}{more}, so there is nothing to draw")
    return finite


def to_number(argument: str, name: str, value: Any) -> float:
    """Return the number of a model; raise DtypeError for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DtypeError(f"{argument}[{name!r}] is {value!r}; give a number") from None
