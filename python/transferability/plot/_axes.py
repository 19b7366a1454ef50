"""Prepare a plot: get Axes, resolve the metric, select finite values, format names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._ranking.ranking import Ranking
from .._ranking.render import check_scores
from .._util.figures import new_axes
from .._util.notebook import printable, shorten_middle
from ..errors import DataError

if TYPE_CHECKING:
    from .._uncertainty.stability import Stability

__all__ = ["format_name", "get_axes", "resolve_metric", "select_finite"]


def get_axes(ax: Any, height: float = 4.0, width: float = 6.4, labels: Sequence[str] = ()) -> Any:
    """Return `ax`, or the Axes of a new figure, wider for long labels."""
    if ax is not None:
        return ax
    width += 0.08 * max(0, max(map(len, labels), default=0) - 16)
    return new_axes("plotting", figsize=(width, height), layout="constrained")


def resolve_metric(ranking: Ranking, metric: str | None, stability: Stability | None = None) -> str:
    """Return the metric, by default that of `stability`, or else the one that sorts.

    Raise DataError if it was not computed, or if `stability` is of another ranking or metric.
    """
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


def format_name(name: object, most: int = 40) -> str:
    """Return a name for matplotlib: shortened in the middle, without formulas and line ends."""
    return shorten_middle(printable(str(name)), most).replace("$", r"\$")
