"""Noise of scores whose covariance was estimated from a limited number of units.

The sample covariance S (M, M) of n units is unbiased, but its small eigenvalues are too small, the
more so the nearer M is to n: contrasts of models that are noisy by chance look exact. With the
prior Σ ~ inverse Wishart(νT, ν - M + 2), given that the noise is normal, the noise of M models is
multivariate t with f degrees of freedom and the scale matrix

    (νT + (n - 1) S) / f,    f = ν + n - M + 1,    ν = max(3M - n, 0).

For n ≥ 3M this is Hotelling's correction, without a prior; M = 2 has Student's t with n - 1 degrees
of freedom. With fewer units the prior makes up for them: T has the variances of S, and for all
pairs of models their mean correlation, except for copies, which have no noise between them.

Sources: Hotelling, Annals of Mathematical Statistics 2, 1931; Ledoit and Wolf, Journal of Portfolio
Management 30, 2004, for T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Noise", "allow_for_estimation"]

Matrix = NDArray[np.float64]
_UNITS_PER_MODEL = 3  # with fewer, a prior makes up for them
_SAME = 1e-10  # copies of a model have a correlation of 1 to within rounding


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of M scores: draws (n_draws, M), scale matrix (M, M), degrees of freedom of its t."""

    draws: Matrix
    covariance: Matrix
    free: int


def allow_for_estimation(noise: Matrix, covariance: Matrix, n_units: int, seed: int) -> Noise:
    """Return the noise given that its covariance (M, M) was estimated from `n_units` units.

    `noise` (n_boot, M) holds resampled scores minus their mean.
    """
    n_models = len(covariance)
    weight = max(_UNITS_PER_MODEL * n_models - n_units, 0) if n_models > 2 else 0
    free = max(weight + n_units - n_models + 1, 1)
    own = max(n_units - 1, 1) / free
    draws, total = np.sqrt(own) * noise, own * covariance
    if weight:
        target = _build_target(covariance)
        values, vectors = np.linalg.eigh(target)
        root = (vectors * np.sqrt(np.maximum(values, 0.0) * weight / free)).T
        normal = np.random.default_rng([seed, 4]).standard_normal(noise.shape)
        copies = _find_copies(covariance)
        draws, total = draws + (normal @ root)[:, copies], total + target * (weight / free)
    return Noise(draws, total, free)


def _find_copies(covariance: Matrix) -> NDArray[np.intp]:
    """Return for every model the first one that has the same noise."""
    same: NDArray[np.intp] = _are_same(covariance).argmax(axis=1)
    return same


def _are_same(covariance: Matrix) -> NDArray[np.bool_]:
    variance = np.diag(covariance)
    apart = variance[:, None] + variance - 2 * covariance
    return apart <= _SAME * np.maximum(variance[:, None], variance)


def _build_target(covariance: Matrix) -> Matrix:
    """Return T: the variances as they are, one correlation for all pairs that are no copies."""
    sizes, same = np.sqrt(np.diag(covariance)), _are_same(covariance)
    scale = np.outer(sizes, sizes)
    pairs = ~same & (scale > 0)
    mean = float((covariance[pairs] / scale[pairs]).mean()) if pairs.any() else 0.0
    target: Matrix = np.where(same, 1.0, min(max(mean, 0.0), 1.0)) * scale
    return target
