"""Measures of the models picked by score, and accuracies relative to a baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_floats, check_choice
from .._inputs.types import ArrayLike, ByName
from ..errors import DataError
from ._pairs import read_pairs, warn_if_constant

__all__ = ["recall_at_k", "regret", "rel_acc", "rel_at_k", "relative_accuracy"]

Array = NDArray[np.float64]


def rel_at_k(scores: ByName, truth: ByName, k: int = 1, *, nan: str = "raise") -> float:
    """Compute Rel@k: the best truth among the k highest scores, relative to the best of all.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`; the best truth must be positive, as for accuracies.
    k : int, default=1
        From 1 to the number of models.

    Returns
    -------
    rel : float
        At most 1, and 1 if the best model is among the k; -inf if the truth of all k is. Higher is
        better.

    Examples
    --------
    >>> from transferability.agreement import rel_at_k
    >>> rel_at_k([0.7, 0.9, 0.1], [95, 76, 70]), rel_at_k([0.7, 0.9, 0.1], [95, 76, 70], k=2)
    (0.8, 1.0)
    """
    x, y, _ = read_pairs(scores, truth, nan)
    best = float(y.max())
    if not 0 < best < np.inf:
        raise DataError(f"Rel@k divides by the best truth, which is {best:g}; use regret")
    return float(y[_pick_top(x, y, k)].max() / best)


def recall_at_k(scores: ByName, truth: ByName, k: int = 1, *, nan: str = "raise") -> float:
    """Compute recall@k: the share of the k highest scores that are among the k best truths.

    Parameters
    ----------
    scores, truth, k, nan
        As in :func:`rel_at_k`; the truth may be negative.

    Returns
    -------
    recall : float
        In [0, 1]; higher is better. Every model with the k-th best truth counts as one of the best.

    Examples
    --------
    >>> from transferability.agreement import recall_at_k
    >>> recall_at_k([0.7, 0.9, 0.1, 0.2], [95, 76, 70, 80], k=2)
    0.5
    """
    x, y, _ = read_pairs(scores, truth, nan)
    chosen = _pick_top(x, y, k)
    return float(np.mean(y[chosen] >= np.sort(y)[-k]))


def regret(scores: ByName, truth: ByName, *, nan: str = "raise") -> float:
    """Compute the regret of choosing by score: the best truth minus the chosen model's truth.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`.

    Returns
    -------
    regret : float
        At least 0, in the units of truth; lower is better.

    Examples
    --------
    >>> from transferability.agreement import regret
    >>> regret([0.7, 0.9, 0.1], [95, 76, 70])
    19.0
    """
    x, y, _ = read_pairs(scores, truth, nan, finite_truth=True)
    return float(y.max() - y[_pick_top(x, y, 1)[0]])


def rel_acc(scores: ByName, truth: ByName, *, nan: str = "raise") -> float:
    """Compute RelAcc: the chosen model's truth, scaled from the worst (0) to the best truth (1).

    This measure comes from language model selection. It is not the relative accuracy of
    Ibrahim et al. (2022), which is :func:`relative_accuracy`.

    Parameters
    ----------
    scores, truth, nan
        As in :func:`weighted_tau`. The truth in the paper is a loss: pass its negative.

    Returns
    -------
    share : float
        In [0, 1]; higher is better. NaN, with a warning, where all truths are equal.

    References
    ----------
    Lin et al. (2024). Selecting Large Language Model to Fine-tune via Rectified Scaling Law. ICML.

    Examples
    --------
    >>> from transferability.agreement import rel_acc
    >>> rel_acc([0.7, 0.9, 0.1], [95, 80, 70])
    0.4
    """
    x, y, _ = read_pairs(scores, truth, nan, finite_truth=True)
    if warn_if_constant(y):
        return np.nan
    worst, best = y.min(), y.max()
    return float((y[_pick_top(x, y, 1)[0]] - worst) / (best - worst))


def relative_accuracy(accuracy: ArrayLike, baseline: ArrayLike, kind: str = "gain") -> Any:
    """Compute accuracies of target tasks relative to a baseline without transfer.

    Tasks differ in difficulty, so the scores of several target tasks are judged by the benefit of
    transfer, as in the paper below. :func:`rel_acc` is another measure with a similar name.

    Parameters
    ----------
    accuracy : float or array-like of float
        Accuracy of the transferred model on each task.
    baseline : float or array-like of float
        Accuracy on the same task without transfer: of a model trained from scratch, of the
        majority class, or of chance. Papers differ, so there is no default.
    kind : {"gain", "headroom"}, default="gain"
        "gain" is accuracy / baseline - 1. "headroom" is (accuracy - baseline) / (1 - baseline),
        the share of the possible gain, for accuracies in [0, 1].

    Returns
    -------
    relative : float or ndarray
        0 where transfer has no benefit; higher is better.

    Raises
    ------
    DataError, DtypeError
        For values that are not finite or no numbers, a baseline of 0 or less for "gain", or of 1 or
        more for "headroom".

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
    a, b = as_floats(accuracy, "accuracy"), as_floats(baseline, "baseline")
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
    with np.errstate(over="ignore"):
        relative = a / b - 1 if kind == "gain" else (a - b) / (1 - b)
    if not np.isfinite(relative).all():
        raise DataError("accuracy relative to baseline overflows float64; give both in one unit")
    return float(relative) if relative.ndim == 0 else relative


def _pick_top(x: Array, y: Array, k: Any) -> NDArray[np.intp]:
    """Return the positions of the k highest scores; ties are ordered by truth, worst first."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= len(x):
        raise DataError(f"k is {k}; it must be a whole number from 1 to {len(x)}, the models")
    return np.lexsort((y, -x))[:k]
