"""How well the metrics agree with the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.render import percent
from ._page import bullets, paragraph, section, table, text
from ._svg import Axis, axis_row, interval, scatter

if TYPE_CHECKING:
    from ..agreement._evaluation import Evaluation

__all__ = ["agreement"]

_APART = ("interval", "leave_one_out")  # shown as a picture


def agreement(evaluation: Evaluation) -> str:
    """Show how well metrics agree with the truth."""
    facts = evaluation.to_dict()
    axis = Axis([-1.0, 1.0])
    items = ""
    for metric, found in facts["metrics"].items():
        low, high = (math.nan if end is None else end for end in found["interval"])
        value = found["weighted_tau"]
        shown = "nan" if value is None else f"{value:.3f}"
        drawn = interval(axis, math.nan if value is None else value, low, high)
        without = [v for v in found["leave_one_out"].values() if v is not None]
        span = f"{min(without):.2f} to {max(without):.2f} without one" if without else ""
        items += (
            f"<li><span class=rank></span><span class=model>{text(title_of(metric))}</span>{drawn}"
            f"<span class=value>{shown}</span><span class=sure>{text(span)}</span></li>\n"
        )
    items += f'<li class="ticks">{axis_row(axis, "weighted tau with the truth")}</li>'
    measures = [key for key in next(iter(facts["metrics"].values())) if key not in _APART]
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
        f"Weighted tau is 1 for the same order, -1 for the opposite one, and counts the top most. "
        f"Bars are {percent(facts['level'])} intervals from resamples of the "
        f"{len(evaluation.models)} models; the numbers at the right are its range when any one "
        f"model is left out."
    )
    return section(
        "Agreement with the truth",
        f"<ol class=models>\n{items}</ol>",
        paragraph(below, "soft"),
        bullets(comparison["text"] for comparison in facts["comparisons"]),
        scatter(
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
