"""Plot the scores of models: in order with intervals, and against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._inputs.by_name import as_mapping
from .._metric.registry import title_of
from .._ranking.render import percent
from ..errors import DtypeError
from ._axes import format_name, get_axes, resolve_metric, select_finite

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._ranking.row import Row
    from .._uncertainty.stability import Stability

__all__ = ["ranking", "scatter"]

_LETTER, _LINE = 5.2, 10.0  # approximate width of a small letter and height of a line, in points
_MARGIN = 0.08  # around the values, as a share of their range
_GROWN = 1.1  # approximate factor by which the layout widens the Axes
#: Positions of a name: offset in points right and up, and the end that lies at the point.
_SIDES = (
    *((6, 0, "left"), (-6, 0, "right"), (5, 10, "right")),
    *((-5, 10, "left"), (5, -10, "right"), (-5, -10, "left")),
)


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
    labels = [format_name(row.name) + _name_round(row) for row in rows]
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
    values = select_finite(known, metric, " and a truth")
    values = {name: value for name, value in values.items() if math.isfinite(by_name[name])}
    ax = get_axes(ax)
    xs, ys = list(values.values()), [float(by_name[name]) for name in values]
    ax.plot(xs, ys, "o")
    ax.margins(_MARGIN)
    _label_points(ax, values, ys)
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


def _label_points(ax: Any, values: Mapping[str, float], ys: Sequence[float]) -> None:
    """Label points, the highest score first, where labels fit; text sizes are approximate."""
    width, height = 72 * ax.figure.get_size_inches() * ax.get_position().size * _GROWN
    places = list(zip(_project(list(values.values()), width), _project(ys, height), strict=True))
    taken = [(across - 4, across + 4, up) for across, up in places]
    points = zip(values, values.values(), ys, places, strict=True)
    for name, x, y, (across, up) in sorted(points, key=lambda point: -point[1]):
        shown = format_name(name, 24)
        long = _LETTER * len(shown)
        for right, above, side in _SIDES:
            start, line = across + right - long * (side == "right"), up + above
            free = all(
                abs(line - other) >= _LINE or start >= b or a >= start + long
                for a, b, other in taken
            )
            if free and start >= 0 and start + long <= width:
                taken.append((start, start + long, line))
                offset = {"xytext": (right, above), "textcoords": "offset points"}
                text = ax.annotate(shown, (x, y), ha=side, va="center", size="small", **offset)
                text.set_in_layout(False)
                break


def _project(values: Sequence[float], length: float) -> list[float]:
    """Return the positions of values on an axis of a given length, with margins."""
    low, span = min(values), (max(values) - min(values)) or 1.0
    return [length * (_MARGIN + (value - low) / span) / (1 + 2 * _MARGIN) for value in values]
