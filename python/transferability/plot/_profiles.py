"""Plot scores of layers and of groups of rows, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .._inputs.arguments import check_result
from .._metric.registry import title_of
from .._ranking.ranking import Ranking
from .._ranking.render import tabulate_groups
from .._ranking.row import Row
from ..errors import DataError, DtypeError
from ..forecast import Forecast
from ._axes import get_axes, resolve_metric
from ._names import format_name, format_names

__all__ = ["forecast", "groups", "layers"]

_CELLS = 15  # largest number of groups with numbers in their cells


def layers(
    profile: Row | Ranking | Mapping[str, Any], *, metric: str | None = None, ax: Any = None
) -> Any:
    """Plot the scores of layers, from the first to the last.

    Parameters
    ----------
    profile : Row, Ranking or mapping of str to score
        A row of :func:`transferability.rank_models`; or a ranking, with a line for each model; or
        scores by layer, as ``Extractor.compute`` returns them.
    metric, ax : optional
        As in :func:`transferability.plot.ranking`; for scores by layer, the default is the first
        metric.

    Returns
    -------
    ax : matplotlib Axes
        A ring marks the highest layer of each model. The x axis has the names of the layers of a
        single model, and the relative depth, 0 to 1, of several models.

    Raises
    ------
    DataError, DtypeError, MissingDependencyError
        No model with scores of at least two layers; a profile or score of a wrong type; no
        matplotlib.

    Examples
    --------
    >>> import transferability as tx
    >>> ax = tx.plot.layers({"block.0": -0.9, "block.1": -0.6, "block.2": -0.7})
    >>> ax.get_title()
    'highest in block.1'
    """
    if isinstance(profile, Mapping):
        models: dict[str, Any] = {"": profile}
    elif isinstance(profile, Ranking):
        models = {row.name: row.layers for row in profile.rows}
        metric = resolve_metric(profile, metric)
    elif isinstance(profile, Row):
        models = {profile.name: profile.layers}
    else:
        raise DtypeError(
            f"profile must be a row, a ranking or scores by layer, not {type(profile)}"
        )
    metric = metric or _find_metric(models.values())
    lines = {name: _to_numbers(scores, metric) for name, scores in models.items()}
    lines = {name: line for name, line in lines.items() if len(line) > 1}
    if not lines:
        raise DataError("profile has no model with scores of at least two layers")
    ax = get_axes(ax)
    for shown, (name, line) in zip(format_names(lines), lines.items(), strict=True):
        depth = np.arange(len(line)) if len(lines) == 1 else np.linspace(0, 1, len(line))
        values = np.array(list(line.values()))
        (drawn,) = ax.plot(depth, values, "o-", ms=4, label=f" {shown}")
        top = int(np.nanargmax(values))
        ax.plot(depth[top], values[top], "o", ms=10, mfc="none", color=drawn.get_color())
        if len(lines) == 1:
            slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
            ax.set_xticks(depth, format_names(line), **slanted)
            ax.set_title(format_name(f"{name}, highest in {[*line][top]}".removeprefix(", ")))
    if len(lines) > 1:
        ax.set_xlabel("depth, from the first layer to the last")
        ax.legend(fontsize="small")
    ax.set_ylabel("score" if metric is None else title_of(metric))
    ax.grid(alpha=0.3)
    return ax


def groups(ranking: Ranking, *, metric: str | None = None, ax: Any = None) -> Any:
    """Plot the scores of groups of rows as a heat map, models by groups.

    Parameters
    ----------
    ranking : Ranking
        From ``rank(..., groups=...)``.
    metric, ax : optional
        As in :func:`transferability.plot.ranking`.

    Returns
    -------
    ax : matplotlib Axes
        Cells contain their numbers if there are at most 15 groups. Cells without a score are blank,
        and infinite scores have no colour.

    Raises
    ------
    DataError, MissingDependencyError
        A ranking without groups, or without finite group scores; no matplotlib.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(80, 6))
    >>> videos = np.arange(80) // 40
    >>> ranking = tx.rank({"a": x, "b": x[::-1]}, x[:, 0] > 0, groups=videos, aggregate="min")
    >>> tx.plot.groups(ranking).images[0].get_array().shape
    (2, 2)
    """
    metric = resolve_metric(ranking, metric)
    names, found = tabulate_groups(ranking.rows, metric)
    if not names:
        raise DataError("this ranking has no groups; make it by rank(..., groups=...)")
    values = np.array(list(found.values()))
    shown = np.where(np.isfinite(values), values, math.nan)
    if not np.isfinite(values).any():
        raise DataError(f"no group has a finite {metric}, so there is nothing to draw")
    labels, columns = format_names(found), format_names(names)
    wide = 2.5 + (0.55 if len(names) <= _CELLS else 0.25) * len(names)
    ax = get_axes(ax, 1.5 + 0.3 * len(found), wide, labels)
    image = ax.imshow(shown, aspect="auto", cmap="viridis")
    ax.set_yticks(range(len(found)), labels)
    ax.set_xticks(range(len(names)), columns, rotation=90 if max(map(len, columns)) > 4 else 0)
    if len(names) <= _CELLS:
        half = (np.nanmin(shown) + np.nanmax(shown)) / 2
        for (i, k), value in np.ndenumerate(values):
            if not math.isnan(value):
                colour = "white" if math.isfinite(value) and value <= half else "black"
                ax.text(k, i, f"{value:.2f}", ha="center", va="center", color=colour, size="small")
    ax.set_xlabel("group")
    ax.figure.colorbar(image, ax=ax, label=title_of(metric))
    return ax


def forecast(
    forecast: Forecast, *, level: float = 0.9, up_to: float | None = None, ax: Any = None
) -> Any:
    """Plot a learning curve, its forecast and the interval.

    Parameters
    ----------
    forecast : Forecast
        From :func:`transferability.forecast.fit`.
    level, up_to, ax : optional
        As in :meth:`transferability.forecast.Forecast.plot`.

    Examples
    --------
    >>> import transferability as tx
    >>> curve = tx.forecast.fit([50, 100, 200, 400, 800], [0.5, 0.6, 0.68, 0.73, 0.77])
    >>> ax = tx.plot.forecast(curve, up_to=1600)
    """
    check_result("forecast", forecast, Forecast)
    return forecast.plot(ax, level=level, up_to=up_to)


def _to_numbers(layers: Mapping[str, Any], metric: str | None) -> dict[str, float]:
    """Return numbers by layer, from numbers or scores by metric; NaN where they are not finite."""
    found = {}
    for layer, scores in layers.items():
        value = scores.get(metric, math.nan) if isinstance(scores, Mapping) else scores
        try:
            found[layer] = float(value) if math.isfinite(value) else math.nan
        except TypeError:
            raise DtypeError(f"profile[{layer!r}] is {value!r}; give a score") from None
    return found if any(not math.isnan(value) for value in found.values()) else {}


def _find_metric(models: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the metric of the first score, or the first of several; None for plain numbers."""
    value = next((value for scores in models for value in scores.values()), None)
    return next(iter(value), None) if isinstance(value, Mapping) else getattr(value, "metric", None)
