"""Influence functions of scores: the derivative of a score by the weight of every row.

The influence of row i is N times the derivative of the score by the weight of that row, at weights
of one: with weights w the score is, to first order, its value plus (1/N) Σ (w_i - 1) influence_i.
The kernels compute influences with their option ``influence``; their headers derive the formulas.

``influence(inputs, options, run)`` computes the score by ``run(influence=True)``; it returns None
where the score has no influences.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs
    from .._metric.score import Score

__all__ = ["influence", "native", "of_evidence"]

Rows = NDArray[np.float64]
#: The evidence from the samples' spectrum is that of the score, or its influences are not used.
_SAME = 1e-7


def influence(inputs: Any, options: Any, run: Any) -> Rows | None:
    """Return the influences that the kernel computes, (n_samples,), or None."""
    return native(run(influence=True))


def native(score: Score) -> Rows | None:
    """Return the influences that the kernel added to a score, or None.

    Without influences, ``details`` holds the option itself.
    """
    found = score.details["influence"]
    return found if isinstance(found, np.ndarray) else None


def of_evidence(given: Inputs, score: Score) -> Rows | None:
    """Influences on LogME from the spectrum of the samples; see ``logme/influence.rs``."""
    assert given.features is not None, "LogME has features"
    targets = _columns(given)
    if "kept" in score.details:
        targets = targets[:, list(score.kept)]
    alpha, beta = np.asarray(score.alpha), np.asarray(score.beta)
    if not np.isfinite(beta).all() or not (alpha > 0).all():
        return None
    t = alpha / beta  # infinite without signal, which makes all below zero
    x = given.features.astype(np.float64)
    n_samples, mean = len(x), x.mean(axis=0)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    inverse = 1 / (s[:, None] ** 2 + t)  # (k, C)
    level = targets.mean(axis=0)
    scores = u.T @ (targets - level)
    w = s[:, None] * scores * inverse
    off = ((targets - level) ** 2).sum(axis=0) - (scores**2).sum(axis=0)
    q = np.maximum(off, 0) + (scores**2 / (1 + s[:, None] ** 2 / t)).sum(axis=0)
    rows = u * s
    leverage = rows**2 @ inverse
    determinant = np.log1p(s[:, None] ** 2 / t).sum(axis=0)
    n = n_samples - 1 if score.intercept else n_samples
    fitted = level + rows @ w
    if not score.intercept:
        along = vt @ mean
        rest = max(float(mean @ mean - along @ along), 0.0)
        own = along**2 @ inverse + rest / t  # μᵀv
        cross = rows @ (along[:, None] * inverse)  # xᵀv
        gap = level - along @ w
        spread = 1 + n_samples * own
        r = n_samples * gap / spread
        fitted = along @ w + rows @ w + r * (cross + own)
        q = q + gap * r
        determinant = determinant + np.log(spread)
        leverage = leverage + 2 * cross + own - n_samples * (cross + own) ** 2 / spread
    value = (n * np.log(n / q) - determinant - n - n * math.log(2 * math.pi)) / (2 * n)
    if not np.allclose(value, score.per_target, rtol=_SAME, atol=_SAME):
        return None
    terms = np.log(beta) - math.log(2 * math.pi) - beta * (targets - fitted) ** 2 - leverage
    influences: Rows = (n_samples / n * (terms / 2 - value)).mean(axis=1)
    return influences


def _columns(given: Inputs) -> Rows:
    """Give the targets, or a 0/1 column for every class that occurs."""
    if given.target.values is not None:
        return given.target.values
    if given.target.names is None:
        classes = np.unique(given.target.data)
    else:  # sorted by name, as the scores are
        classes = np.array(sorted(np.unique(given.target.data), key=given.target.names.__getitem__))
    columns: Rows = (given.target.data[:, None] == classes).astype(np.float64)
    return columns
