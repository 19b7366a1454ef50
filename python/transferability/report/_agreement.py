"""Render the agreement of the metrics with the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.render import percent
from ._page import bullets, chart_item, chart_list, paragraph, section, table
from ._svg import Axis, draw_axis, draw_interval, draw_scatter

if TYPE_CHECKING:
    from ..agreement._evaluation import Evaluation

__all__ = ["render_agreement"]

_DRAWN = ("interval", "leave_one_out")  # in the chart, not in the table


def render_agreement(evaluation: Evaluation) -> str:
    """Render the weighted tau of each metric with intervals, a scatter plot, and all measures."""
    facts = evaluation.to_dict()
    axis = Axis([-1.0, 1.0])
    items = ""
    for metric, found in facts["metrics"].items():
        low, high = (math.nan if end is None else end for end in found["interval"])
        value = found["weighted_tau"]
        shown = "nan" if value is None else f"{value:.3f}"
        chart = draw_interval(axis, math.nan if value is None else value, low, high)
        without = [v for v in found["leave_one_out"].values() if v is not None]
        span = f"{min(without):.2f} to {max(without):.2f} without one" if without else ""
        items += chart_item(title_of(metric), chart, shown, sure=span)
    ticks = draw_axis(axis, "weighted tau with the truth")
    measures = [key for key in next(iter(facts["metrics"].values())) if key not in _DRAWN]
    rows = [
        [title_of(metric), *("" if found[m] is None else f"{found[m]:.3f}" for m in measures)]
        for metric, found in facts["metrics"].items()
    ]
    header = ["metric", *(name.replace("_", " ") for name in measures)]
    first = evaluation.metrics[0]
    scores, truth = evaluation.scores[first].tolist(), evaluation.truth.tolist()
    ranked = [i for i, score in enumerate(scores) if math.isfinite(score)]
    best = {max(ranked, key=scores.__getitem__)} if ranked else set()
    best.add(truth.index(max(truth)))
    below = (
        f"Weighted tau is 1 for the same order and -1 for the opposite order; the best models have "
        f"the largest weights. Bars are {percent(facts['level'])} bootstrap intervals from "
        f"resamples of the {len(evaluation.models)} models; the numbers at the right are the range "
        f"of tau over leaving out one model."
    )
    return section(
        "Agreement with the truth",
        chart_list(items, ticks, ' class="ticks"'),
        paragraph(below, "soft"),
        bullets(comparison["text"] for comparison in facts["comparisons"]),
        draw_scatter(
            evaluation.models,
            scores,
            truth,
            title_of(first),
            "truth",
            [evaluation.models[i] for i in best],
        ),
        table("Measures of agreement", header, rows),
        bullets(evaluation.notes),
    )
