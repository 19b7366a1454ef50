"""Gaussian mixture by expectation maximisation, from the clusters of k-means.

It computes what ``sklearn.mixture.GaussianMixture`` computes with the same seed, to rounding, and
differs in three points:

- **Rows without a share.** A covariance is summed over the rows whose responsibility is not exactly
  zero. In many dimensions nearly all are: responsibilities underflow. The M step then costs one
  product of all rows, not one for each Gaussian.
- **The last E step** is made once, not twice.
- **Each iteration is a stage** (``_util/stages.py``), so that displays can show it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.stages import stage

__all__ = ["Mixture", "fit_mixture"]

Array = NDArray[np.float64]

_MAX_ITERATIONS = 100
_TOLERANCE = 1e-3  # the least gain of the mean log likelihood for which another iteration is made
_REGULARIZER = 1e-6  # added to all variances
_EPSILON = 10 * np.finfo(np.float64).eps  # added to the sizes of Gaussians, against division by 0


@dataclass(frozen=True, eq=False)
class Mixture:
    """The responsibilities (n_samples, n_gaussians) of a fitted mixture."""

    responsibilities: Array
    n_iterations: int
    converged: bool


def fit_mixture(x: Array, labels: NDArray[np.integer], size: int, covariance: str) -> Mixture:
    """Fit a mixture of `size` Gaussians to rows, from the clusters in `labels`.

    `covariance` is "full", "diag" or "spherical".

    Raises
    ------
    ValueError
        If the covariance of a Gaussian is not positive definite.
    """
    estimate = _STEPS[covariance]
    shares = np.zeros((len(x), size))
    shares[np.arange(len(x)), labels] = 1
    bound, converged, n_done = -math.inf, False, 0
    log_densities = estimate(x, shares)
    while not converged and n_done < _MAX_ITERATIONS:
        n_done += 1
        stage(f"iteration {n_done} of at most {_MAX_ITERATIONS}")
        shares, gained = _assign(log_densities)
        log_densities = estimate(x, shares)
        converged = abs(gained - bound) < _TOLERANCE
        bound = gained
    shares, _ = _assign(log_densities)
    return Mixture(shares, n_done, converged)


def _assign(log_densities: Array) -> tuple[Array, float]:
    """Return the responsibilities, and the mean log likelihood: the E step."""
    largest = log_densities.max(axis=1, keepdims=True)
    shares = np.exp(log_densities - largest)
    total = shares.sum(axis=1, keepdims=True)
    shares /= total
    return shares, float(np.mean(largest + np.log(total)))


def _weigh(x: Array, shares: Array) -> tuple[Array, Array, Array]:
    """Return the sizes, the means and the log weights of the Gaussians."""
    sizes = shares.sum(axis=0) + _EPSILON
    return sizes, (shares.T @ x) / sizes[:, None], np.log(sizes / sizes.sum())


def _full(x: Array, shares: Array) -> Array:
    """Return the log weighted densities of Gaussians with full covariances: the M step."""
    sizes, means, log_weights = _weigh(x, shares)
    n_features = x.shape[1]
    found = np.empty_like(shares)
    for k, mean in enumerate(means):
        rows = np.flatnonzero(shares[:, k])
        offsets = x[rows] - mean
        scatter = (offsets * shares[rows, k][:, None]).T @ offsets / sizes[k]
        scatter.flat[:: n_features + 1] += _REGULARIZER
        try:
            root = np.linalg.cholesky(scatter)
        except np.linalg.LinAlgError as error:
            raise ValueError(_ILL_DEFINED) from error
        scaled = (x - mean) @ np.linalg.inv(root).T
        found[:, k] = -0.5 * np.einsum("ij,ij->i", scaled, scaled) - np.log(np.diag(root)).sum()
    density: Array = found + log_weights - 0.5 * n_features * math.log(2 * math.pi)
    return density


def _diagonal(x: Array, shares: Array, *, is_spherical: bool = False) -> Array:
    """Return the log weighted densities of Gaussians with diagonal covariances: the M step."""
    sizes, means, log_weights = _weigh(x, shares)
    variances = (shares.T @ x**2) / sizes[:, None] - means**2 + _REGULARIZER
    if is_spherical:
        variances = np.repeat(variances.mean(axis=1, keepdims=True), x.shape[1], axis=1)
    if (variances <= 0).any():
        raise ValueError(_ILL_DEFINED)
    squares = x**2 @ (1 / variances).T - 2 * x @ (means / variances).T
    squares += (means**2 / variances).sum(axis=1)
    spread = np.log(2 * math.pi * variances).sum(axis=1)
    density: Array = log_weights - 0.5 * (squares + spread)
    return density


def _spherical(x: Array, shares: Array) -> Array:
    return _diagonal(x, shares, is_spherical=True)


_ILL_DEFINED = (
    "the covariance of a Gaussian is not positive definite, for instance of one row or equal rows"
)
_STEPS: dict[str, Callable[[Array, Array], Any]] = {
    "full": _full,
    "diag": _diagonal,
    "spherical": _spherical,
}
