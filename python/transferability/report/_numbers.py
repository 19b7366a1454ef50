"""Render the scores of models, groups and layers, and the models that could not be scored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.display import tabulate_groups
from ._page import bullets, chart_item, chart_list, paragraph, section, table, text
from ._svg import Axis, draw_axis, draw_interval

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability

__all__ = ["render_failures", "render_groups", "render_layers", "render_scores"]


def render_scores(ranking: Ranking, stability: Stability | None) -> str:
    """Render the table of all scores."""
    header = [ranking.unit, *map(title_of, ranking.metrics)]
    known = {} if stability is None else {name: i for i, name in enumerate(stability.names)}
    if stability is not None:
        header.insert(2 + ranking.metrics.index(stability.metric), "± s.e.")
    header += ["features", "seconds"]
    rows = []
    for row in ranking.rows:
        if row.error is not None:
            continue
        cells = [row.name]
        for metric in ranking.metrics:
            cells.append(f"{row.value(metric):.4f}")
            if stability is not None and metric == stability.metric:
                i = known.get(row.name)
                cells.append("" if i is None else f"{stability.standard_errors[i]:.4f}")
        cells += ["" if row.n_features is None else f"{row.n_features:,}", f"{row.seconds:.2f}"]
        rows.append(cells)
    return section("All numbers", table("All numbers", header, rows)) if rows else ""


def render_failures(ranking: Ranking) -> str:
    """Render the list of models without a score, with the reasons."""
    lines = [f"{row.name}: {row.error}" for row in ranking.failed]
    return section("Not scored", f'<div class="failed">{bullets(lines)}</div>') if lines else ""


def render_groups(ranking: Ranking) -> str:
    """Render the scores of all groups of rows, by the metric that sorts, as a shaded table."""
    names, values = tabulate_groups(ranking, ranking.metrics[0])
    if not names:
        return ""
    finite = [v for row in values.values() for v in row if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    values = {name: row for name, row in values.items() if not all(map(math.isnan, row))}
    shades = [
        [(v - low) / ((high - low) or 1) if math.isfinite(v) else None for v in row]
        for row in values.values()
    ]
    rows = [
        [name, *("" if math.isnan(v) else f"{v:.3f}" for v in row)] for name, row in values.items()
    ]
    how = next(iter(ranking.best.scores.values())).details.get("aggregate", "pooled")
    made = "the score is of all rows" if how == "pooled" else f"the score is their {how}"
    return section(
        "Groups of rows",
        paragraph(f"{title_of(ranking.metrics[0])} within each group; {made}.", "soft"),
        table("Groups of rows", [ranking.unit, *map(str, names)], rows, shades),
    )


def render_layers(ranking: Ranking) -> str:
    """Render the scores of all layers, by the metric that sorts, of models with several layers."""
    metric = ranking.metrics[0]
    parts = []
    for row in ranking.rows:
        found = getattr(row, "layers", {})
        values = {name: float(s[metric]) for name, s in found.items() if metric in s}
        if len(values) < 2:
            continue
        axis = Axis(values.values())
        items = "".join(
            chart_item(layer, draw_interval(axis, value), f"{value:.4f}", attributes=" class=plain")
            for layer, value in values.items()
        )
        chart = chart_list(items, draw_axis(axis, title_of(metric)), ' class="ticks plain"')
        best = max(values, key=values.__getitem__)
        title = f"{row.name}: {len(values)} layers, highest in {best}"
        parts.append(f"<details><summary>{text(title)}</summary>{chart}</details>")
    return section("Layers", *parts) if parts else ""
