"""Measures of what is picked by score, and accuracies relative to a baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from ..errors import DataError
from ._input import constant, paired

__all__ = ["recall_at_k", "regret", "rel_acc", "rel_at_k", "relative_accuracy"]

Array = NDArray[np.float64]


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
    x, y, _ = paired(scores, truth, nan)
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
    x, y, _ = paired(scores, truth, nan)
    chosen = _top(x, y, k)
    return float(np.mean(y[chosen] >= np.sort(y)[-k]))


def regret(scores: object, truth: object, *, nan: str = "raise") -> float:
    """Give the cost of choosing by score: the best truth minus that of the chosen model.

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
    x, y, _ = paired(scores, truth, nan, finite_truth=True)
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
    x, y, _ = paired(scores, truth, nan, finite_truth=True)
    if constant(y):
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


def _top(x: Array, y: Array, k: Any) -> NDArray[np.intp]:
    """Pick the k highest scores; among equal ones the worst truth first."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= len(x):
        raise DataError(f"k is {k}; it must be a whole number from 1 to {len(x)}, the models")
    return np.lexsort((y, -x))[:k]
