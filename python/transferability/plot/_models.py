"""Plot the scores of models: in order with intervals, and against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._inputs.by_name import as_mapping
from .._metric.registry import title_of
from .._ranking.render import percent
from ..errors import DtypeError
from ._axes import get_axes, resolve_metric, select_finite, to_number
from ._names import format_names, label_points

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._ranking.row import Row
    from .._uncertainty.stability import Stability

__all__ = ["ranking", "scatter"]


def ranking(
    ranking: Ranking,
    stability: Stability | None = None,
    *,
    metric: str | None = None,
    ax: Any = None,
) -> Any:
    """Plot scores from best to worst, with intervals if stability is given.

    Parameters
    ----------
    ranking : Ranking
        Models without a finite score are omitted. Those that a race dropped stand below, hollow and
        with their number of rows.
    stability : Stability, optional
        Adds the intervals of scores and ranks, and the probability of rank 1. Ties have a common
        background.
    metric : str, optional
        Default: the metric of `stability`, or the first metric of the ranking.
    ax : matplotlib Axes, optional
        Default: the Axes of a new figure, with a height for all models; a notebook shows it.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    DataError, MissingDependencyError
        No model with a finite score; `stability` of another ranking or metric; no matplotlib.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(300, 6))
    >>> ranking = tx.rank({"a": x, "b": x[::-1]}, x[:, 0] > 0)
    >>> ax = tx.plot.ranking(ranking, ranking.stability())
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a', 'b']
    """
    metric = resolve_metric(ranking, metric, stability)
    values = select_finite({row.name: row.value(metric) for row in ranking.rows}, metric)
    rows = sorted(
        (row for row in ranking.rows if row.name in values),
        key=lambda row: (row.dropped is not None, -row.round, -values[row.name]),
    )
    ordered = [row.name for row in rows]
    labels = [
        name + _name_round(row) for name, row in zip(format_names(ordered), rows, strict=True)
    ]
    ax = get_axes(ax, height=1.2 + 0.28 * len(ordered), labels=labels)
    places = list(range(len(ordered)))
    if stability is not None:
        numbers = {name: i for i, name in enumerate(stability.names)}
        known = [place for place in places if ordered[place] in numbers]
        ends = stability.intervals[[numbers[ordered[place]] for place in known]]
        ax.hlines(known, *ends.T, lw=3, alpha=0.4)
        for tie in stability.ties:
            inside = [ordered.index(name) for name in tie if name in values]
            if len(inside) > 1:
                ax.axhspan(min(inside) - 0.45, max(inside) + 0.45, color="C0", alpha=0.07, lw=0)
        for place in known:
            name = ordered[place]
            ranks = stability.format_rank(name, "–")
            _annotate_row(ax, place, ranks, percent(stability.first[name]))
        _annotate_row(ax, -0.9, "rank", "first")
    n_compared = sum(row.dropped is None for row in rows)
    for own, style in ((places[:n_compared], {}), (places[n_compared:], {"mfc": "none"})):
        if own:
            ax.plot([values[ordered[place]] for place in own], own, "o", color="C0", **style)
    ax.set_yticks(places, labels)
    title = title_of(metric)
    if stability is not None:
        title += f", with {percent(stability.level)} intervals"
    ax.set(xlabel=title, ylim=(len(ordered) - 0.5, -0.5))
    ax.grid(axis="x", alpha=0.3)
    return ax


def scatter(
    ranking: Ranking, truth: Mapping[str, float], *, metric: str | None = None, ax: Any = None
) -> Any:
    """Plot the truth of models, such as accuracies, against their scores.

    Parameters
    ----------
    ranking : Ranking
        Models without a finite score or truth, and those that a race dropped, are omitted.
    truth : mapping of str to float
        A number for each model, higher is better, such as its accuracy after fine-tuning.
    metric, ax : optional
        As in :func:`transferability.plot.ranking`.

    Returns
    -------
    ax : matplotlib Axes
        Points are labelled in the order of their scores, as long as labels do not overlap. With
        three models or more, the title is the weighted tau.

    Raises
    ------
    DataError, DtypeError, MissingDependencyError
        No model with both a finite score and a truth; `truth` not a mapping; no matplotlib.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(80, 6))
    >>> ranking = tx.rank({"a": x, "b": x + x[::-1], "c": x[::-1]}, x[:, 0] > 0)
    >>> ax = tx.plot.scatter(ranking, {"a": 0.9, "b": 0.8, "c": 0.5})
    >>> ax.get_title()
    'weighted tau 1.00'
    """
    by_name = as_mapping("truth", truth)
    if by_name is None:
        raise DtypeError(f"truth must map names of models to numbers, got {type(truth)}")
    metric = resolve_metric(ranking, metric)
    known = {row.name: row.value(metric) for row in ranking.compared if row.name in by_name}
    truths = {name: to_number("truth", name, by_name[name]) for name in known}
    values = select_finite(
        {name: value for name, value in known.items() if math.isfinite(truths[name])},
        metric,
        " and a truth",
    )
    ax = get_axes(ax)
    xs, ys = list(values.values()), [truths[name] for name in values]
    ax.plot(xs, ys, "o")
    names = sorted(values, key=lambda name: -values[name])
    label_points(ax, dict(zip(values, zip(xs, ys, strict=True), strict=True)), names)
    ax.set(xlabel=title_of(metric), ylabel="truth")
    if len(set(xs)) > 1 and len(set(ys)) > 1 and len(xs) > 2:
        from ..agreement import weighted_tau

        ax.set_title(f"weighted tau {weighted_tau(xs, ys):.2f}")
    ax.grid(alpha=0.3)
    return ax


def _name_round(row: Row) -> str:
    """Return the rows of a model that a race dropped: its score compares with none above it."""
    return "" if row.dropped is None else f", {row.n_samples:,} rows"


def _annotate_row(ax: Any, place: float, ranks: str, first: str) -> None:
    """Write two columns to the right of the Axes."""
    where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    for cell, shift, side in ((ranks, 8, "left"), (first, 78, "right")):
        ax.annotate(cell, (1, place), (shift, 0), ha=side, va="center", **where)
