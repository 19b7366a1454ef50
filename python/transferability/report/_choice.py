"""Render the sections of a report that help to choose: the shortlist, and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.pareto import is_gain
from .._ranking.render import percent
from ..errors import DataError
from ._page import bullets, paragraph, section, table

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.shortlist import Shortlist

__all__ = ["render_costs", "render_shortlist"]


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
            cells.append(f"{row.costs[name]:,.6g}{mark}" if name in row.costs else "")
        rows.append(cells)
    rates = [name for name in fronts if is_gain(name)]
    words = "A model is on the front of a cost if no other one is as good in score and cost."
    better = f" Lower is better, except for {', '.join(rates)}." if rates else " Lower is better."
    return section("Costs", table("Costs", header, rows), paragraph(words + better, "soft"))
