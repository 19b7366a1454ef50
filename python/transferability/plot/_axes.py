"""What all pictures need: Axes, a metric, numbers that can be drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._ranking.render import printable
from .._util.optional import need
from ..errors import DataError

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking

__all__ = ["axes_of", "finite", "metric_of", "words"]


def axes_of(ax: Any, height: float = 4.0, width: float = 6.4, labels: Sequence[str] = ()) -> Any:
    """Give the Axes, or those of a new figure that no pyplot knows, wider for long labels."""
    figure = need("matplotlib.figure", extra="plot", what="plotting")
    if ax is not None:
        return ax
    width += 0.08 * max(0, max(map(len, labels), default=0) - 16)
    return figure.Figure(figsize=(width, height), layout="constrained").add_subplot()


def metric_of(ranking: Ranking, metric: str | None) -> str:
    if metric is not None and metric not in ranking.metrics:
        raise DataError(f"metric is {metric!r}; this ranking has {', '.join(ranking.metrics)}")
    return metric or ranking.metrics[0]


def finite(values: Mapping[str, float], metric: str, more: str = "") -> dict[str, float]:
    """Keep what can be drawn."""
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    if not finite:
        raise DataError(f"no model has a finite {metric}{more}, so there is nothing to draw")
    return finite


def words(name: object, most: int = 40) -> str:
    """Give a name as it is, its middle left out if it is long.

    A dollar begins no formula, and a line end no line.
    """
    text = printable(str(name))
    if len(text) > most:
        text = f"{text[: most // 3]}…{text[len(text) - (most - most // 3 - 1) :]}"
    return text.replace("$", r"\$")
