"""The tables of a report: all scores, those of groups and layers, and what could not be scored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from ._page import bullets, paragraph, section, table, text
from ._svg import Axis, axis_row, interval

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability

__all__ = ["failed", "groups", "layers", "numbers"]


def numbers(ranking: Ranking, stability: Stability | None) -> str:
    """Give all scores in one table."""
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


def failed(ranking: Ranking) -> str:
    """Say which models have no score, and why."""
    lines = [f"{row.name}: {row.error}" for row in ranking.failed]
    return section("Not scored", f'<div class="failed">{bullets(lines)}</div>') if lines else ""


def groups(ranking: Ranking) -> str:
    """Show the score of every group of rows, by the metric that sorts."""
    found = {row.name: row.per_group.get(ranking.metrics[0], {}) for row in ranking.rows}
    names = list(dict.fromkeys(group for scores in found.values() for group in scores))
    if not names:
        return ""
    values = {
        name: [float(s[g]) if g in s else math.nan for g in names] for name, s in found.items()
    }
    finite = [v for row in values.values() for v in row if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    having = {name: row for name, row in values.items() if not all(map(math.isnan, row))}
    shades = [
        [(v - low) / ((high - low) or 1) if math.isfinite(v) else None for v in row]
        for row in having.values()
    ]
    rows = [
        [name, *("" if math.isnan(v) else f"{v:.3f}" for v in row)] for name, row in having.items()
    ]
    how = next(iter(ranking.best.scores.values())).details.get("aggregate", "pooled")
    made = "the score is of all rows" if how == "pooled" else f"the score is their {how}"
    return section(
        "Groups of rows",
        paragraph(f"{title_of(ranking.metrics[0])} within each group; {made}.", "soft"),
        table("Groups of rows", [ranking.unit, *map(str, names)], rows, shades),
    )


def layers(ranking: Ranking) -> str:
    """Show the score of every layer, by the metric that sorts, for models that have several."""
    metric = ranking.metrics[0]
    parts = []
    for row in ranking.rows:
        found = getattr(row, "layers", {})
        values = {name: float(s[metric]) for name, s in found.items() if metric in s}
        if len(values) < 2:
            continue
        axis = Axis(values.values())
        items = "".join(
            f"<li class=plain><span class=rank></span><span class=model>{text(layer)}</span>"
            f"{interval(axis, value)}<span class=value>{value:.4f}</span></li>\n"
            for layer, value in values.items()
        )
        items += f'<li class="ticks plain">{axis_row(axis, title_of(metric))}</li>'
        best = max(values, key=values.__getitem__)
        title = f"{row.name}: {len(values)} layers, highest in {best}"
        parts.append(
            f"<details><summary>{text(title)}</summary><ol class=models>\n{items}</ol></details>"
        )
    return section("Layers", *parts) if parts else ""
