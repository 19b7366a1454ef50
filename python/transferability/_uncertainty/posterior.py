"""From scores and their noise to how likely each order is.

The scores s of M models are θ + noise, with the noise's covariance known from resampling. The model
that looks best is so partly by luck, the more the closer the models are, and resampling alone does
not see that: it takes every gap at face value. So the true scores have a prior θ ~ N(μ, τ²), with μ
flat and τ weighed by how likely it makes the scores that were seen. Models
far apart have a large τ and keep their gaps; those within the noise have a small one and share
their chances. Models that a gap beyond all noise separates have priors of their own, so that a few
poor ones say nothing about how close the good ones are.

Only differences matter: everything is done in contrasts, which free it of μ and of noise that all
models share. Draws follow Matheron's rule: with f from the prior and e from the noise,
f + K (s - f - e), K = τ²(τ² + Σ)⁻¹, is a draw from the posterior. Source: Journel and Huijbregts,
Mining Geostatistics, 1978 (conditioning by kriging); Efron and Morris, J. American Statistical
Association 68, 1973, for the prior.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["chances", "posterior", "ranks_of"]

Matrix = NDArray[np.float64]
#: Widths of the prior that are tried, and how far they reach beside the scores and their noise.
_WIDTHS, _NARROW, _WIDE = 60, 0.05, 20.0
#: Neighbours further apart than so many standard errors of their difference share no prior.
_APART = 5.0
#: Differences that are rounding, relative to the largest.
_NOTHING = 1e-11


def posterior(
    scores: Matrix, noise: Matrix, covariance: Matrix, n_units: int, n_draws: int, seed: int
) -> Matrix:
    """Draw true scores of M models, (n_draws, M), up to a number that a draw's models share.

    `noise` (n_boot, M) are resampled scores less their mean, `covariance` (M, M) is theirs, and
    `n_units` how many independent units it was estimated from.
    """
    rng = np.random.default_rng(seed)
    # Few units know their own variance badly, which has Student's tails.
    free = max(n_units - 1, 1)
    drawn = noise[np.arange(n_draws) % len(noise)]
    drawn = drawn * np.sqrt(free / rng.chisquare(free, size=(n_draws, 1)))
    draws = scores - drawn
    for own in _clusters(scores, covariance):
        contrasts = _contrasts(len(own))
        values, vectors = np.linalg.eigh(contrasts @ covariance[np.ix_(own, own)] @ contrasts.T)
        values = np.maximum(values, 0.0)
        basis = vectors.T @ contrasts  # (m - 1, m)
        seen = basis @ scores[own]
        widths, weights = _prior(seen, values)
        tau = rng.choice(widths, size=(n_draws, 1), p=weights)
        prior = tau * rng.standard_normal((n_draws, len(own) - 1))
        total = tau**2 + values
        gain = np.divide(tau**2, total, out=np.ones_like(total), where=total > 0)
        middle = draws[:, own].mean(axis=1, keepdims=True)
        draws[:, own] = middle + (prior + gain * (seen - prior - drawn[:, own] @ basis.T)) @ basis
    unit = _NOTHING * max(float(np.abs(draws).max()), 1e-300)
    rounded: Matrix = np.round(draws / unit) * unit  # one model twice is a tie
    return rounded


def _clusters(scores: Matrix, covariance: Matrix) -> list[NDArray[np.intp]]:
    """Give the models, at least two each, that no gap of many standard errors separates."""
    order = np.argsort(-scores, kind="stable")
    above, below = order[:-1], order[1:]
    variance = np.diag(covariance)
    noise = np.maximum(variance[above] + variance[below] - 2 * covariance[above, below], 0.0)
    cuts = np.flatnonzero(scores[above] - scores[below] > _APART * np.sqrt(noise)) + 1
    # One model twice has no noise and no gap, but for rounding.
    cuts = cuts[(scores[above] - scores[below])[cuts - 1] > _NOTHING * np.abs(scores).max()]
    return [own for own in np.split(order, cuts) if len(own) > 1]


def _prior(seen: Matrix, values: Matrix) -> tuple[Matrix, Matrix]:
    """Weigh widths τ by the likelihood of the contrasts, but of those of one model twice."""
    size = max(float(np.abs(seen).max()), math.sqrt(float(values.max())))
    keep = values > _NOTHING * size**2
    if not keep.any():
        return np.array([1.0]), np.array([1.0])
    seen, values = seen[keep], values[keep]
    scale = math.sqrt(float(np.median(values)))
    widths = np.geomspace(_NARROW * scale, _WIDE * max(size, scale), _WIDTHS)
    total = widths[:, None] ** 2 + values
    log = -0.5 * (np.log(total) + seen**2 / total).sum(axis=1)
    # Half a Cauchy distribution of twice the noise's scale, on a grid that is even in ln τ.
    weights = np.exp(log - log.max()) * widths / (1 + (widths / scale / 2) ** 2)
    return widths, weights / weights.sum()


def _contrasts(n: int) -> Matrix:
    """Give an orthonormal basis of differences among n, (n - 1, n)."""
    rows = np.eye(n)[1:] - 1 / n
    basis: Matrix = np.linalg.qr(rows.T)[0].T
    return basis


def ranks_of(draws: Matrix) -> Matrix:
    """Give the rank of each model in each draw, 1 for the best; ties share the mean of theirs."""
    ranks = np.full(draws.shape, 0.5)
    for other in draws.T[:, :, None]:
        ranks += (other > draws) + 0.5 * (other == draws)
    return ranks


def chances(draws: Matrix) -> tuple[Matrix, Matrix]:
    """Give how often each model is first, (M,), and how often each row beats each column."""
    best = draws == draws.max(axis=1, keepdims=True)
    first: Matrix = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    over = [((own > draws) + 0.5 * (own == draws)).mean(axis=0) for own in draws.T[:, :, None]]
    return first, np.stack(over)
