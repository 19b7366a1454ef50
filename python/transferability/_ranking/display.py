"""Prepare a ranking for reports and plots: check that analyses match it, tabulate its groups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .._metric.derived import CONSENSUS
from ..errors import DataError

if TYPE_CHECKING:
    from .ranking import Ranking

__all__ = ["check_scores", "tabulate_groups"]


def check_scores(
    ranking: Ranking, source: str, models: Sequence[str], scores: Mapping[str, Iterable[float]]
) -> None:
    """Raise DataError if an analysis was computed from the scores of another ranking.

    `source` names the analysis in messages, such as "stability". `scores` has its scores of
    `models` by metric.
    """
    advice = f"{source} is of another ranking; make it from this one"
    for metric, values in scores.items():
        if metric not in ranking.metrics:
            raise DataError(f"{advice}: it has {metric}, this one {', '.join(ranking.metrics)}")
        for name, value in zip(models, values, strict=True):
            if name not in ranking:
                raise DataError(f"{advice}: it has a model {name!r}, this one has not")
            own = ranking[name].value(metric)
            # A consensus depends on the models compared, and an analysis may leave out some.
            if metric != CONSENSUS and own != value and not (math.isnan(own) and math.isnan(value)):
                raise DataError(f"{advice}: {metric} of {name!r} is {value} there and {own} here")


def tabulate_groups(
    ranking: Ranking, metric: str
) -> tuple[list[int | str], dict[str, list[float]]]:
    """Return the groups of rows, and each model's scores in their order; NaN where one is missing.

    Models without scores of groups are left out.
    """
    found = {row.name: row.per_group.get(metric, {}) for row in ranking.rows}
    groups = list(dict.fromkeys(group for scores in found.values() for group in scores))
    return groups, {
        name: [float(scores.get(group, math.nan)) for group in groups]
        for name, scores in found.items()
        if scores
    }
