"""Render the sections of a report that help to choose: the shortlist, costs, the consensus rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.pareto import format_cost, is_gain, is_wide
from .._ranking.render import percent
from ..errors import DataError
from ._page import bullets, paragraph, section, table, text
from ._svg import Axis, LogAxis, draw_scatter

if TYPE_CHECKING:
    from .._metric.score import Score
    from .._ranking.pareto import ParetoFront
    from .._ranking.ranking import Ranking
    from .._uncertainty.shortlist import Shortlist

__all__ = ["choose_metric", "describe_rule", "render_costs", "render_shortlist"]


def render_shortlist(shortlist: Shortlist) -> str:
    """Render the models of a shortlist, their regret, and what would shrink it."""
    header = ["model", title_of(shortlist.metric), "is the best"]
    rows = [
        [name, f"{shortlist.scores[name]:.4f}", percent(shortlist.models[name])]
        for name in shortlist.names
    ]
    said = [line for line in shortlist.sentences() if not line.startswith("Note: ")]
    return section(
        "Shortlist",
        paragraph(f"{shortlist.summary}."),
        table("Shortlist", header, rows),
        bullets(said),
    )


def render_costs(ranking: Ranking) -> str:
    """Render the costs of the models, and who is on the Pareto front of score and cost."""
    names = dict.fromkeys(name for row in ranking.rows for name in row.costs)
    fronts = {}
    for name in names:
        try:
            fronts[name] = ranking.pareto(name)
        except DataError:  # no model has both this cost and a score
            continue
    if not fronts:
        return ""
    metric = ranking.metrics[0]
    header = [ranking.unit, title_of(metric), *fronts]
    rows = []
    for row in ranking.rows:
        value = f"{row.value(metric):.4f}" if row.dropped is None else "dropped"
        cells = [row.name, value]
        for name, front in fronts.items():
            mark = " on the front" if row.name in front else ""
            cells.append(f"{format_cost(row.costs[name])}{mark}" if name in row.costs else "")
        rows.append(cells)
    rates = [name for name in fronts if is_gain(name)]
    words = "A model is on the front of a cost if no other one is as good in score and cost."
    better = f" Lower is better, except for {', '.join(rates)}." if rates else " Lower is better."
    plots = [_draw_front(front, is_open=not i) for i, front in enumerate(fronts.values())]
    below = paragraph(words + better, "soft")
    return section("Costs", table("Costs", header, rows), below, *plots)


def _draw_front(front: ParetoFront, is_open: bool) -> str:
    """Draw scores against a cost, with the models of the front filled, named and joined."""
    shown = [name for name, score in front.scores.items() if math.isfinite(score)]
    if len(shown) < 2:
        return ""
    costs = [front.costs[name] for name in shown]
    axis = LogAxis(costs) if is_wide(costs) else Axis(costs)
    better = "higher" if is_gain(front.cost) else "lower"
    cost = front.cost.replace("_", " ")
    drawn = draw_scatter(
        shown,
        costs,
        [front.scores[name] for name in shown],
        f"{cost}, {better} is better",
        title_of(front.metric),
        front.names,
        x_axis=axis,
        joined=[name for name in front.names if name in shown],
    )
    title = f"{title_of(front.metric)} against {cost}, with the Pareto front"
    start = "<details open>" if is_open else "<details>"
    return f"{start}<summary>{text(title)}</summary>{drawn}</details>"


def choose_metric(ranking: Ranking, known: Sequence[str]) -> str | None:
    """Return the metric that sorts if it is among the `known`, else its decider, else the first."""
    scores = [row.scores[ranking.metrics[0]] for row in ranking.rows if row.error is None]
    deciders = [score.details.get("decider") for score in scores]
    return next((name for name in (ranking.metrics[0], *deciders, *known) if name in known), None)


def describe_rule(score: Score) -> str:
    """Describe the rule of a consensus with a member that decides; "" for any other score."""
    decider = score.details.get("decider")
    if decider is None:
        return ""
    others = [title_of(member) for member in score.members if member != decider]
    shared = " and ".join(others) or "no other metric"
    return (
        f"Every pair of models is decided by {title_of(decider)}. A pair that is closer than the "
        f"standard error of its difference is shared: {title_of(decider)} counts for the gap as a "
        f"fraction of that error, {shared} for the rest. The score is the share of the other "
        f"models that a model beats, so it depends on the models compared."
    )
