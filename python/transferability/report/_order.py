"""Render the order of the models, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.render import percent
from ._page import chart_item, chart_list, paragraph, section
from ._svg import Axis, draw_axis, draw_interval

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability

__all__ = ["format_heading", "render_lead", "render_order"]

_NAMED = 5  # models listed by name in a sentence; further ones are counted


def format_heading(ranking: Ranking) -> str:
    """Return the number of models, and the metric."""
    count = f"1 {ranking.unit}" if len(ranking) == 1 else f"{len(ranking)} {ranking.unit}s"
    return f"{count} by {title_of(ranking.metrics[0])}"


def render_lead(ranking: Ranking, stability: Stability | None) -> str:
    """Render the best model, the probability that it is the best, and a description of the data."""
    scored = [row for row in ranking.rows if row.error is None]
    if not scored:
        return paragraph("None of them could be scored; the reasons are below.", "lead")
    best = scored[0]
    words = f"{best.name} scores highest."
    if (
        stability is not None
        and stability.metric == ranking.metrics[0]
        and best.name in stability.first
    ):
        tie = next(tie for tie in stability.ties if best.name in tie)
        others = [name for name in tie if name != best.name]
        chance = percent(stability.first[best.name])
        if others:
            words += (
                f" It is not told apart from {_list_names(others)}: it is truly the first of these "
                f"{len(stability.names)} with a probability of {chance}."
            )
        else:
            words += f" It is truly the first with a probability of {chance}."
    if ranking.unit != "model":  # such as tasks, which differ in rows
        return paragraph(words, "lead")
    first = next(iter(best.scores.values()))
    facts = [f"{best.n_samples or first.n_samples:,} rows"]
    if first.n_classes is not None:
        facts.append(f"{first.n_classes} classes")
    note = ranking.task_note
    task = note if note.startswith(ranking.task) else f"{ranking.task}, {note}"
    return paragraph(words, "lead") + paragraph(f"{', '.join(facts)}; {task}.", "soft")


def render_order(ranking: Ranking, stability: Stability | None) -> str:
    """Render the models in order as a dot chart, with intervals if stability is given."""
    metric = ranking.metrics[0]
    known = {}
    tied, cut = set(), set()
    if stability is not None:
        metric = stability.metric
        known = {name: i for i, name in enumerate(stability.names)}
        tied = {name for tie in stability.ties if len(tie) > 1 for name in tie}
        cut = {tie[0] for tie in stability.ties[1:]}
    rows = [row for row in ranking.rows if row.error is None and metric in row.scores]
    rows.sort(key=lambda row: known.get(row.name, len(known)))
    if not rows:
        return ""
    values = [row.value(metric) for row in rows]
    ends = [] if stability is None else stability.intervals.ravel().tolist()
    axis = Axis([*values, *ends])
    items = ""
    for place, (row, value) in enumerate(zip(rows, values, strict=True), start=1):
        i = known.get(row.name)
        low, high = (
            (math.nan, math.nan) if stability is None or i is None else stability.intervals[i]
        )
        kinds = [name for name, models in (("tied", tied), ("cut", cut)) if row.name in models]
        items += chart_item(
            row.name,
            draw_interval(axis, value, low, high),
            f"{value:.4f}",
            rank=str(place),
            sure=None if stability is None else _describe_ranks(stability, i),
            attributes=f' class="{" ".join(kinds or ["plain"] * (stability is None))}"',
        )
    plain = "" if stability is not None else " plain"
    ticks = draw_axis(axis, title_of(metric))
    chart = chart_list(items, ticks, f' class="ticks{plain}" aria-hidden="true"')
    below = "To see how sure this order is, pass stability=ranking.stability()."
    if stability is not None:
        below = (
            f"Bars are {percent(stability.level)} intervals from {len(stability.replicates)} "
            f"resamples of {stability.n_units:,} {stability.unit}. All models share the resamples, "
            f"so bars may overlap although the order is certain; a line at the left joins models "
            f"that are tied at {percent(stability.level)}."
        )
    return section("Order", chart, paragraph(below, "soft"))


def _describe_ranks(stability: Stability, i: int | None) -> str:
    if i is None:
        return ""
    low, high = stability.ranks[i]
    ranks = f"rank {low}" if low == high else f"rank {low}–{high}"
    return f"{ranks}, first {percent(stability.first[stability.names[i]])}"


def _list_names(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
