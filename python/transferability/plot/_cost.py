"""Plot scores of models against their costs, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._metric.registry import title_of
from .._ranking.pareto import is_gain, is_wide
from ..errors import DataError
from ._axes import get_axes, resolve_metric
from ._names import LEFT_ABOVE, RIGHT_ABOVE, format_name, label_points

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability

__all__ = ["cost"]


def cost(
    ranking: Ranking,
    cost: str | Mapping[str, float] = "parameters",
    stability: Stability | None = None,
    *,
    metric: str | None = None,
    ax: Any = None,
) -> Any:
    """Plot scores against costs, and join the models of the Pareto front.

    Parameters
    ----------
    ranking : Ranking
        Models without a finite score or a cost, and those that a race dropped, are omitted.
    cost : str or mapping of str to float, default="parameters"
        As in :meth:`transferability.Ranking.pareto`. The axis is logarithmic if costs differ by a
        factor of ten or more.
    stability : Stability, optional
        Adds the intervals of scores.
    metric, ax : optional
        As in :func:`transferability.plot.ranking`.

    Returns
    -------
    ax : matplotlib Axes
        Models of the front are filled, and have their names where these fit, the best score first.

    Raises
    ------
    DataError, DtypeError, MissingDependencyError
        No model with a finite score and a cost; `stability` of another ranking or metric; no
        matplotlib.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(80, 6))
    >>> ranking = tx.rank({"big": x, "small": x[:, :3]}, x[:, 0] > 0)
    >>> ax = tx.plot.cost(ranking, {"big": 9e7, "small": 2e6})
    >>> ax.get_xscale()
    'log'
    """
    metric = resolve_metric(ranking, metric, stability)
    front = ranking.pareto(cost, metric=metric)
    shown = [name for name, score in front.scores.items() if math.isfinite(score)]
    if not shown:
        raise DataError(f"no model has a finite {metric} and a {front.cost}")
    ax = get_axes(ax)
    on_front = [name for name in shown if name in front.names]
    others = [name for name in shown if name not in front.names]
    costs = [front.costs[name] for name in shown]
    if is_wide(costs):
        ax.set_xscale("log")
    if stability is not None:
        rows = {name: i for i, name in enumerate(stability.names)}
        known = [name for name in shown if name in rows]
        ends = stability.intervals[[rows[name] for name in known]]
        ax.vlines([front.costs[name] for name in known], *ends.T, lw=3, alpha=0.3)
    for names, style in ((others, {"mfc": "none", "ls": "none"}), (on_front, {"ls": "-"})):
        xs, ys = [front.costs[name] for name in names], [front.scores[name] for name in names]
        ax.plot(xs, ys, marker="o", color="C0", **style)
    points = {name: (front.costs[name], front.scores[name]) for name in shown}
    label_points(ax, points, on_front, RIGHT_ABOVE if is_gain(front.cost) else LEFT_ABOVE)
    better = "higher" if is_gain(front.cost) else "lower"
    label = f"{front.cost.replace('_', ' ')}, {better} is better"
    ax.set(xlabel=format_name(label, 60), ylabel=title_of(metric))
    ax.grid(alpha=0.3)
    return ax
