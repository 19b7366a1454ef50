"""How well scores agree with what models are really worth, in every convention tables use.

Scores and truth are sequences in one order of models, or mappings by model name. Higher is better
in both: pass minus a loss. All functions treat trouble alike:

- **NaN** is refused by default. ``nan="omit"`` leaves the model out; ``nan="last"`` puts a model
  without a score last, as rankings do (not for the Pearson correlations, which have no last place).
- **Constant** scores or truth have no order: the correlations are NaN, as in SciPy, with a
  warning. The measures that pick models are defined: see ties.
- **Ties**: the correlations follow SciPy. The measures that pick by score (Rel@k, recall@k,
  regret, RelAcc) pick the worst of equally scored models first: a tie earns nothing by luck, and
  nothing depends on the order in which models are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._input import check_choice
from ._optional import need
from ._score import issue
from .errors import DataError, DtypeError

__all__ = [
    "kendall_tau",
    "pearson",
    "recall_at_k",
    "regret",
    "rel_acc",
    "rel_at_k",
    "relative_accuracy",
    "spearman",
    "weighted_pearson",
    "weighted_tau",
]

Array = NDArray[np.float64]
_NAN = ("raise", "omit", "last")


def weighted_tau(
    scores: object,
    truth: object,
    rank: bool | str = True,
    *,
    groups: object = None,
    nan: str = "raise",
) -> float:
    r"""Weighted Kendall tau: errors among the best models count most.

    Parameters
    ----------
    scores, truth : array-like of shape (n_models,), or mapping of str to float
        Higher is better in both.
    rank : {True, "truth", "grouped"}, default=True
        The convention, that is, the ranks r (from 0, best) that weigh a pair by
        1/(r_i + 1) + 1/(r_j + 1). True: the mean of the taus with ranks by scores and by truth,
        SciPy's default and that of nearly all published tables; symmetric. "truth": ranks by
        truth alone, ties by score: SciPy's ``weightedtau(truth, scores, rank=None)``, as in the
        tables of Model Spider. "grouped": one tau over several tasks, see Notes.
    groups : array-like of shape (n_models,), optional
        The task of each entry, for "grouped" only.
    nan : {"raise", "omit", "last"}, default="raise"
        What becomes of models with NaN.

    Returns
    -------
    tau : float
        In [-1, 1]: 1 for the same order, -1 for the opposite one, around 0 for none. NaN, with
        a warning, where scores or truth are constant.

    Raises
    ------
    DataError, DtypeError
        Inputs that differ in length or in names, fewer than two models, NaN.
    MissingDependencyError
        Without SciPy.

    Notes
    -----
    "grouped" sums over tasks, and over the ranks by score and by truth within each task, before
    it divides once:

    .. math:: \tau = \frac{\sum w_{ij} \operatorname{sgn}(x_i - x_j) \operatorname{sgn}(y_i - y_j)}
        {\sqrt{\sum_{x_i \ne x_j} w_{ij} \sum_{y_i \ne y_j} w_{ij}}}.

    For tasks of as many models without ties it is the mean of the tasks' taus; with ties it
    differs from it, and for a single task from SciPy's, which averages two ratios.

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
        x, y, ids = _pair(scores, truth, nan, extra=groups)
        return _grouped(x, y, ids)
    x, y, _ = _pair(scores, truth, nan)
    if _constant(x, y):
        return np.nan
    stats = need("scipy.stats", extra="stats", what="weighted tau")
    x, y = _ordinal(x), _ordinal(y)
    result = stats.weightedtau(x, y) if rank is True else stats.weightedtau(y, x, rank=None)
    return float(result.statistic)


def kendall_tau(scores: object, truth: object, *, nan: str = "raise") -> float:
    """Kendall's tau-b: pairs in the right order minus pairs in the wrong one, ties allowed for.

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
    return _by_scipy("kendalltau", *_pair(scores, truth, nan)[:2], ranks=True)


def spearman(scores: object, truth: object, *, nan: str = "raise") -> float:
    """Spearman's rho: the Pearson correlation of ranks, ties sharing their mean rank.

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
    return _by_scipy("spearmanr", *_pair(scores, truth, nan)[:2], ranks=True)


def pearson(scores: object, truth: object, *, nan: str = "raise") -> float:
    """Pearson's correlation: how well a straight line leads from scores to truth.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`; finite, and without ``nan="last"``.

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
    return _by_scipy("pearsonr", *_pair(scores, truth, nan, finite=True)[:2])


def weighted_pearson(
    scores: object, truth: object, weights: object = None, *, nan: str = "raise"
) -> float:
    """Pearson's correlation with weights: by default the best models count most.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`pearson`.
    weights : array-like of shape (n_models,), optional
        At least 0, two of them positive. Default: 1/(r + 1) for rank r by truth, from 0, ties
        sharing the mean of their weights.

    Returns
    -------
    r : float
        In [-1, 1]; NaN, with a warning, where scores or truth of the models that have weight are
        constant.

    Examples
    --------
    >>> from transferability.agreement import weighted_pearson
    >>> round(weighted_pearson([0.9, 0.7, 0.8, 0.1], [95, 90, 80, 70]), 4)
    0.8521
    """
    x, y, w = _pair(scores, truth, nan, finite=True, extra=weights)
    if weights is None:
        by_rank = 1 / (1 + np.arange(len(y)))
        _, place = np.unique(-y, return_inverse=True)
        order = np.argsort(-y, kind="stable")
        w = (np.bincount(place[order], weights=by_rank) / np.bincount(place))[place]
    else:
        w = np.asarray(w, dtype=np.float64)
        if not np.isfinite(w).all() or w.min() < 0 or np.count_nonzero(w) < 2:
            raise DataError("weights must be finite, at least 0, and positive for two models")
    x, y, w = x[w > 0], y[w > 0], w[w > 0]
    if _constant(x, y):
        return np.nan
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(np.clip((w @ (x * y)) / np.sqrt((w @ (x * x)) * (w @ (y * y))), -1, 1))


def rel_at_k(scores: object, truth: object, k: int = 1, *, nan: str = "raise") -> float:
    """Rel@k: the best truth among the k models that score highest, relative to the best of all.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`; the best truth must be positive, as accuracies are.
    k : int, default=1
        From 1 to the number of models.

    Returns
    -------
    rel : float
        At most 1, which is: the best model is among the k.

    Examples
    --------
    >>> from transferability.agreement import rel_at_k
    >>> rel_at_k([0.7, 0.9, 0.1], [95, 76, 70]), rel_at_k([0.7, 0.9, 0.1], [95, 76, 70], k=2)
    (0.8, 1.0)
    """
    x, y, _ = _pair(scores, truth, nan)
    best = float(y.max())
    if not 0 < best < np.inf:
        raise DataError(f"Rel@k divides by the best truth, which is {best:g}; use regret")
    return float(y[_top(x, y, k)].max() / best)


def recall_at_k(scores: object, truth: object, k: int = 1, *, nan: str = "raise") -> float:
    """Recall@k: the share of the k truly best models among the k that score highest.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`.
    k : int, default=1
        From 1 to the number of models.

    Returns
    -------
    recall : float
        In [0, 1]. A model that is truly as good as the k-th best counts as one of them.

    Examples
    --------
    >>> from transferability.agreement import recall_at_k
    >>> recall_at_k([0.7, 0.9, 0.1, 0.2], [95, 76, 70, 80], k=2)
    0.5
    """
    x, y, _ = _pair(scores, truth, nan)
    chosen = _top(x, y, k)
    return float(np.mean(y[chosen] >= np.sort(y)[-k]))


def regret(scores: object, truth: object, *, nan: str = "raise") -> float:
    """What choosing the highest score costs: the best truth minus that of the chosen model.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`.

    Returns
    -------
    regret : float
        At least 0, in the units of truth.

    Examples
    --------
    >>> from transferability.agreement import regret
    >>> regret([0.7, 0.9, 0.1], [95, 76, 70])
    19.0
    """
    x, y, _ = _pair(scores, truth, nan, finite_truth=True)
    return float(y.max() - y[_top(x, y, 1)[0]])


def rel_acc(scores: object, truth: object, *, nan: str = "raise") -> float:
    """RelAcc of language model selection: where the chosen model lies from worst (0) to best (1).

    Not the relative accuracy of the H-score paper, which is :func:`relative_accuracy`.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`. The paper's truth is a loss, lower is better: pass minus it;
        (worst - chosen) / (worst - best) is the same either way.

    Returns
    -------
    share : float
        In [0, 1]; NaN, with a warning, where all truths are equal.

    References
    ----------
    Lin et al. (2024). Selecting Large Language Model to Fine-tune via Rectified Scaling Law. ICML.

    Examples
    --------
    >>> from transferability.agreement import rel_acc
    >>> rel_acc([0.7, 0.9, 0.1], [95, 80, 70])
    0.4
    """
    x, y, _ = _pair(scores, truth, nan, finite_truth=True)
    if _constant(y):
        return np.nan
    worst, best = y.min(), y.max()
    return float((y[_top(x, y, 1)[0]] - worst) / (best - worst))


def relative_accuracy(accuracy: object, baseline: object, kind: str = "gain") -> Any:
    """Accuracies of target tasks relative to what each task gives without transfer.

    Tasks differ in how hard they are; a metric that compares target tasks should follow what
    transfer adds. This is the H-score paper's truth for target selection; :func:`rel_acc` is
    another measure of a similar name.

    Parameters
    ----------
    accuracy : float or array-like of float
        Of the transferred model on each task.
    baseline : float or array-like of float
        Of the same task without it, by your choice: a model trained from scratch, the majority
        class, chance. Papers differ, so there is no default.
    kind : {"gain", "headroom"}, default="gain"
        accuracy / baseline - 1, or (accuracy - baseline) / (1 - baseline): the share of the
        possible gain, for accuracies in [0, 1].

    Returns
    -------
    relative : float or ndarray
        0 where transfer adds nothing; higher is better.

    Raises
    ------
    DataError
        Values that are not finite; a baseline of 0 or less, or for "headroom" of 1 or more.

    References
    ----------
    Ibrahim, Ponomareva, Mazumder (2022). Newer is not always better: Rethinking transferability
    metrics, their peculiarities, stability and performance. ECML-PKDD.

    Examples
    --------
    >>> from transferability.agreement import relative_accuracy
    >>> round(relative_accuracy(0.9, 0.6), 4), round(relative_accuracy(0.9, 0.6, "headroom"), 4)
    (0.5, 0.75)
    """
    check_choice("kind", kind, ("gain", "headroom"))
    a, b = np.asarray(accuracy, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    try:
        a, b = np.broadcast_arrays(a, b)
    except ValueError:
        raise DataError(
            f"accuracy has shape {a.shape}, baseline {b.shape}; give one a task"
        ) from None
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("accuracy and baseline must be finite")
    if kind == "gain" and b.size and b.min() <= 0:
        raise DataError(f"the gain divides by the baseline, which is {b.min():g} for one task")
    if kind == "headroom" and b.size and b.max() >= 1:
        raise DataError(f"a baseline of {b.max():g} leaves no headroom; accuracies are in [0, 1]")
    relative = a / b - 1 if kind == "gain" else (a - b) / (1 - b)
    return float(relative) if relative.ndim == 0 else relative


def _pair(
    scores: object,
    truth: object,
    nan: str,
    *,
    finite: bool = False,
    finite_truth: bool = False,
    extra: object = None,
) -> tuple[Array, Array, Any]:
    """Give scores and truth as float64 in one order, with NaN dealt with, and `extra` alike."""
    check_choice("nan", nan, _NAN)
    if isinstance(scores, Mapping) != isinstance(truth, Mapping):
        raise DtypeError("give scores and truth both as mappings by model name, or neither")
    if isinstance(scores, Mapping) and isinstance(truth, Mapping):
        odd = sorted(map(str, set(scores) ^ set(truth)))
        if odd:
            raise DataError(
                f"scores and truth must have the same models; {', '.join(odd[:5])} "
                f"{'is' if len(odd) == 1 else 'are'} in one of them only"
            )
        scores, truth = [scores[m] for m in scores], [truth[m] for m in scores]
    x, y = _numbers("scores", scores), _numbers("truth", truth)
    if len(x) != len(y):
        raise DataError(f"scores has {len(x)} models but truth has {len(y)}; give both for each")
    others = None if extra is None else np.asarray(extra)
    if others is not None and others.shape != x.shape:
        raise DataError(f"there are {len(x)} models, but an array of shape {others.shape} for them")
    missing = np.isnan(x) | np.isnan(y)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        if nan == "raise" or (nan == "last" and (finite or np.isnan(y).any())):
            what = "truth" if np.isnan(y[first]) else "scores"
            raise DataError(f'{what}[{first}] is NaN; nan="omit" leaves that model out')
        if nan == "last":
            x = np.where(np.isnan(x), -np.inf, x)
        else:
            x, y = x[~missing], y[~missing]
            others = None if others is None else others[~missing]
    if len(x) < 2:
        raise DataError(f"agreement needs two models at least, there are {len(x)}")
    if (finite and not np.isfinite(x).all()) or ((finite or finite_truth) and np.isinf(y).any()):
        raise DataError("an infinite value has an order but no distance; use a rank correlation")
    return x, y, others


def _numbers(name: str, values: object) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DtypeError(f"{name} must be numbers, one a model") from None
    if array.ndim != 1:
        raise DataError(f"{name} must have one number a model, got shape {array.shape}")
    return array


def _constant(*arrays: Array) -> bool:
    """Warn and tell whether one of the arrays has no order."""
    constant = any(bool((array == array[0]).all()) for array in arrays)
    if constant:
        issue(["all models have the same value: there is no order to agree with, so it is NaN"])
    return constant


def _ordinal(values: Array) -> Array:
    """Give dense ranks, which order as the values do and are finite."""
    return np.unique(values, return_inverse=True)[1].astype(np.float64)


def _by_scipy(name: str, x: Array, y: Array, ranks: bool = False) -> float:
    if _constant(x, y):
        return np.nan
    stats = need("scipy.stats", extra="stats", what="agreement")
    if ranks:
        x, y = _ordinal(x), _ordinal(y)
    return float(getattr(stats, name)(x, y).statistic)


def _grouped(x: Array, y: Array, groups: NDArray[Any]) -> float:
    """Pool the weights of concordant, discordant and untied pairs over groups, then divide."""
    agree = untied_x = untied_y = 0.0
    for group in np.unique(groups):
        a, b = _ordinal(x[groups == group]), _ordinal(y[groups == group])
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
        _constant(np.zeros(2))
        return np.nan
    return float(np.clip(agree / np.sqrt(untied_x * untied_y), -1, 1))


def _top(x: Array, y: Array, k: int) -> NDArray[np.intp]:
    """Pick the k highest scores; among equal ones the worst truth first."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= len(x):
        raise DataError(f"k is {k}; it must be a whole number from 1 to {len(x)}, the models")
    return np.lexsort((y, -x))[:k]
