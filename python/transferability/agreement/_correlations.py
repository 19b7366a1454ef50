"""Rank and linear correlations of scores and truth, and weighted Kendall tau."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_floats, check_choice
from .._inputs.labels import read_labels
from .._inputs.types import ArrayLike, ByName
from .._util.optional import need
from ..errors import DataError
from ._pairs import compute_dense_ranks, read_pairs, warn_if_constant

__all__ = ["kendall_tau", "pearson", "spearman", "weighted_pearson", "weighted_tau"]

Array = NDArray[np.float64]


def weighted_tau(
    scores: ByName,
    truth: ByName,
    rank: bool | str = True,
    *,
    groups: ArrayLike | None = None,
    nan: str = "raise",
) -> float:
    r"""Compute the weighted Kendall tau, in which errors among the best models weigh most.

    Parameters
    ----------
    scores, truth : array-like of shape (n_models,), or mapping of str to float
        Higher is better in both.
    rank : {True, "truth", "grouped"}, default=True
        Convention for the ranks r (from 0, best). A pair of models has the weight
        1/(r_i + 1) + 1/(r_j + 1). True: the mean of two taus, with ranks by scores and with ranks
        by truth; symmetric, SciPy's default, and used in nearly all published tables. "truth":
        ranks by truth alone, ties by score; SciPy's ``weightedtau(truth, scores, rank=None)``,
        used in the tables of Model Spider. "grouped": one tau over several tasks, see Notes.
    groups : array-like of shape (n_models,), optional
        Task of each entry, for "grouped" only.
    nan : {"raise", "omit", "last"}, default="raise"
        Treatment of NaN: an error, the model left out, or a model without a score put last.

    Returns
    -------
    tau : float
        In [-1, 1]: 1 for the same order, -1 for the opposite order, about 0 for unrelated orders.
        NaN, with a warning, where scores or truth are constant.

    Raises
    ------
    DataError, DtypeError, MissingDependencyError
        For inputs of different lengths or names, fewer than two models, or NaN; without SciPy.

    Notes
    -----
    "grouped" is one ratio of sums over tasks, and over the ranks by score and by truth within each
    task:

    .. math:: \tau = \frac{\sum w_{ij} \operatorname{sgn}(x_i - x_j) \operatorname{sgn}(y_i - y_j)}
        {\sqrt{\sum_{x_i \ne x_j} w_{ij} \sum_{y_i \ne y_j} w_{ij}}}.

    For tasks with equal numbers of models and no ties it is the mean of the tasks' taus. With
    ties it differs from this mean, and for a single task from SciPy's tau, which averages two
    ratios.

    References
    ----------
    Vigna (2015). A weighted correlation index for rankings with ties. WWW, eq. (3).

    Examples
    --------
    >>> from transferability.agreement import weighted_tau
    >>> round(weighted_tau([0.8, 0.7, 0.9, 0.1], [95, 90, 80, 70]), 4)
    0.2
    >>> round(weighted_tau([0.8, 0.7, 0.9, 0.1], [95, 90, 80, 70], rank="truth"), 4)
    0.3067
    """
    if rank is not True:
        check_choice("rank", rank, ("truth", "grouped"))
    if (rank == "grouped") != (groups is not None):
        raise DataError('groups belong to rank="grouped": give both or neither')
    if rank == "grouped":
        x, y, ids = read_pairs(scores, truth, nan, extra=read_labels(groups, "groups")[0])
        return _compute_grouped_tau(x, y, ids)
    x, y, _ = read_pairs(scores, truth, nan)
    if warn_if_constant(x, y):
        return np.nan
    stats = need("scipy.stats", extra="stats", what="weighted tau")
    x, y = compute_dense_ranks(x), compute_dense_ranks(y)
    result = stats.weightedtau(x, y) if rank is True else stats.weightedtau(y, x, rank=None)
    return float(result.statistic)


def kendall_tau(scores: ByName, truth: ByName, *, nan: str = "raise") -> float:
    """Compute Kendall's tau-b: the share of concordant minus discordant pairs, tie-corrected.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`.

    Returns
    -------
    tau : float
        In [-1, 1]; NaN, with a warning, where scores or truth are constant.

    Examples
    --------
    >>> from transferability.agreement import kendall_tau
    >>> round(kendall_tau([0.9, 0.7, 0.8, 0.1], [95, 90, 80, 70]), 4)
    0.6667
    """
    return _correlate("kendalltau", read_pairs(scores, truth, nan), ranks=True)


def spearman(scores: ByName, truth: ByName, *, nan: str = "raise") -> float:
    """Compute Spearman's rho: the Pearson correlation of ranks, with mean ranks for ties.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`.

    Returns
    -------
    rho : float
        In [-1, 1]; NaN, with a warning, where scores or truth are constant.

    Examples
    --------
    >>> from transferability.agreement import spearman
    >>> round(spearman([0.9, 0.7, 0.8, 0.1], [95, 90, 80, 70]), 4)
    0.8
    """
    return _correlate("spearmanr", read_pairs(scores, truth, nan), ranks=True)


def pearson(scores: ByName, truth: ByName, *, nan: str = "raise") -> float:
    """Compute Pearson's linear correlation of scores and truth.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`, but values must be finite, and NaN cannot be put last.

    Returns
    -------
    r : float
        In [-1, 1]; NaN, with a warning, where scores or truth are constant.

    Examples
    --------
    >>> from transferability.agreement import pearson
    >>> round(pearson([0.9, 0.7, 0.8, 0.1], [95, 90, 80, 70]), 4)
    0.847
    """
    return _correlate("pearsonr", read_pairs(scores, truth, nan, finite=True))


def weighted_pearson(
    scores: ByName, truth: ByName, weights: ArrayLike | None = None, *, nan: str = "raise"
) -> float:
    """Compute Pearson's correlation with weights, by default highest for the best models.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`pearson`.
    weights : array-like of shape (n_models,), optional
        At least 0, and positive for at least two models. Default: 1/(r + 1) for rank r by truth,
        from 0; tied models have the mean of their weights.

    Returns
    -------
    r : float
        In [-1, 1]; NaN, with a warning, where scores or truth are constant among the models with
        positive weight.

    Examples
    --------
    >>> from transferability.agreement import weighted_pearson
    >>> round(weighted_pearson([0.9, 0.7, 0.8, 0.1], [95, 90, 80, 70]), 4)
    0.8521
    """
    x, y, w = read_pairs(scores, truth, nan, finite=True, extra=weights)
    if weights is None:
        by_rank = 1 / (1 + np.arange(len(y)))
        _, place = np.unique(-y, return_inverse=True)
        order = np.argsort(-y, kind="stable")
        w = (np.bincount(place[order], weights=by_rank) / np.bincount(place))[place]
    else:
        w = as_floats(w, "weights")
        if not np.isfinite(w).all() or w.min() < 0 or np.count_nonzero(w) < 2:
            raise DataError("weights must be finite, at least 0, and positive for two models")
    x, y, w = _within_range(x[w > 0]), _within_range(y[w > 0]), w[w > 0]
    if warn_if_constant(x, y):
        return np.nan
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(np.clip((w @ (x * y)) / np.sqrt((w @ (x * x)) * (w @ (y * y))), -1, 1))


def _correlate(name: str, pairs: tuple[Array, Array, Any], ranks: bool = False) -> float:
    """Compute a correlation by its SciPy name, of the values or of their ranks."""
    x, y, _ = pairs
    if warn_if_constant(x, y):
        return np.nan
    stats = need("scipy.stats", extra="stats", what="agreement")
    if ranks:
        x, y = compute_dense_ranks(x), compute_dense_ranks(y)
    else:
        x, y = _within_range(x), _within_range(y)
        x, y = x - x[0], y - y[0]  # exact for close values, whose mean would take their digits
    return float(getattr(stats, name)(x, y).statistic)


def _within_range(values: Array) -> Array:
    """Scale values of which sums could overflow; a linear correlation does not change."""
    largest = np.abs(values).max()
    return values / largest if largest > 1e300 else values


def _compute_grouped_tau(x: Array, y: Array, groups: NDArray[Any]) -> float:
    """Compute the tau of the sums over groups; O(n²) memory for a group of n models."""
    agree = untied_x = untied_y = 0.0
    for group in np.unique(groups):
        a, b = compute_dense_ranks(x[groups == group]), compute_dense_ranks(y[groups == group])
        upper = np.triu_indices(len(a), 1)
        da, db = (np.sign(v[:, None] - v)[upper] for v in (a, b))
        for order in (np.lexsort((-b, -a)), np.lexsort((-a, -b))):
            weight = np.empty(len(a))
            weight[order] = 1 / (1 + np.arange(len(a)))
            pair = (weight[:, None] + weight)[upper]
            agree += float(pair @ (da * db))
            untied_x += float(pair @ da**2)
            untied_y += float(pair @ db**2)
    if untied_x == 0 or untied_y == 0:
        warn_if_constant(np.zeros(2))
        return np.nan
    return float(np.clip(agree / np.sqrt(untied_x * untied_y), -1, 1))
