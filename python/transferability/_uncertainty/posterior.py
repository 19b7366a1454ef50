"""Posterior draws of true scores, and probabilities of ranks that are counted in them.

Model: the scores of M models are s = θ + e, with true scores θ and noise e ~ N(0, Σ); Σ (M, M) is
estimated by resampling. Luck contributes to the best score, more so if the models are close. The
bootstrap alone ignores this selection effect, and a prior of θ takes it into account.

``draw_members`` has the mixture prior of ``mixture.py``: for the stability of a ranking and for
shortlists. ``sample_posterior`` is faster, for callers that sample many times: θ ~ N(μ, τ²), with μ
flat and τ drawn from its posterior on a grid. Clusters of models that are separated by a gap far
beyond the noise have separate priors, so that a few poor models do not influence τ of the good
ones. It is too sure of the best of many models that stand in groups.

The computation uses contrasts of scores, which cancel μ and any noise that all models share. Draws
follow Matheron's rule: with f from the prior and e from the noise, f + K (s - f - e) with
K = τ²(τ² + Σ)⁻¹ is a draw from the posterior.

Sources: Efron and Morris, J. American Statistical Association 68, 1973, for the prior; Journel and
Huijbregts, Mining Geostatistics, 1978, for the draws (conditioning by kriging).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._ranking.extra_columns import compute_ranks, count_votes
from .mixture import Posterior, Predictor, sample_mixture
from .noise import allow_for_estimation

__all__ = [
    "combine_members",
    "compute_rank_intervals",
    "count_wins",
    "draw_members",
    "group_ties",
    "sample_posterior",
]

Matrix = NDArray[np.float64]
_N_DRAWS = 4000  # draws of the true scores: a standard error of a probability of 0.8 % at most
#: Grid of widths τ: their number, and the ends relative to the noise and to the scores.
_N_WIDTHS, _NARROW, _WIDE = 60, 0.05, 20.0
_APART = 5.0  # gap between clusters, in standard errors of the difference of adjacent models
_ROUNDING = 1e-11  # relative to the largest value; smaller differences count as rounding errors


def draw_members(
    members: Sequence[Mapping[str, Matrix]],
    n_units: int,
    seed: int,
    predictor: Predictor | None = None,
) -> list[Posterior]:
    """Draw the true scores by every member of a consensus, or by one metric.

    A member has the scores (M,) of the models, resampled scores minus their mean as "noise"
    (n_boot, M), and the covariance (M, M) of the noise, and may have "n_units" of its own, from
    which that was estimated. Infinite scores are kept, and the states of the chains are then of the
    finite ones.
    """
    return [_draw_member(member, n_units, seed, predictor) for member in members]


def _draw_member(
    member: Mapping[str, Matrix], n_units: int, seed: int, known: Predictor | None
) -> Posterior:
    scores, noise, covariance = (member[key] for key in ("scores", "noise", "covariance"))
    own = np.flatnonzero(np.isfinite(scores))
    draws = np.tile(scores, (_N_DRAWS, 1))
    if len(own) < 2:
        state = np.tile(scores[own], (1, 1))
        return Posterior(draws, state, np.zeros_like(state), state, covariance[np.ix_(own, own)])
    part = None if known is None else replace(known, values=known.values[own])
    n_units = int(member.get("n_units", n_units))
    seen = allow_for_estimation(noise[:, own], covariance[np.ix_(own, own)], n_units, seed)
    block = (scores[own], seen.draws, seen.covariance, seen.free)
    found = sample_mixture(*block, len(draws), seed, part)
    draws[:, own] = _round(found.draws)
    return replace(found, draws=draws)


def combine_members(members: Sequence[Matrix], voting: Mapping[str, Any]) -> Matrix:
    """Return draws of the true scores of a consensus from those of its members, (n_draws, M).

    `voting` has the names of the members, the decider and its standard errors; it is empty for a
    single metric.
    """
    if not voting:
        return members[0]
    named = dict(zip(voting["names"], members, strict=True))
    return count_votes(named, voting["decider"], voting["errors"])


def sample_posterior(
    scores: Matrix, noise: Matrix, covariance: Matrix, n_units: int, n_draws: int, seed: int
) -> Matrix:
    """Draw the true scores of M models from their posterior, (n_draws, M).

    `scores` (M,) are finite, `noise` (n_boot, M) holds resampled scores minus their mean, and
    `covariance` (M, M) was estimated from `n_units` independent units. Each draw is determined up
    to a constant that its models share.
    """
    rng = np.random.default_rng(seed)
    # The variance is estimated from n_units units, so the noise has Student's t distribution.
    free = max(n_units - 1, 1)
    drawn = noise[np.arange(n_draws) % len(noise)]
    drawn = drawn * np.sqrt(free / rng.chisquare(free, size=(n_draws, 1)))
    draws = scores - drawn
    for own in _find_clusters(scores, covariance):
        # An orthonormal basis of the contrasts among the models, (m - 1, m).
        contrasts = np.linalg.qr((np.eye(len(own))[1:] - 1 / len(own)).T)[0].T
        values, vectors = np.linalg.eigh(contrasts @ covariance[np.ix_(own, own)] @ contrasts.T)
        values = np.maximum(values, 0.0)
        basis = vectors.T @ contrasts  # (m - 1, m)
        seen = basis @ scores[own]
        widths, weights = _weigh_widths(seen, values)
        tau = rng.choice(widths, size=(n_draws, 1), p=weights)
        prior = tau * rng.standard_normal((n_draws, len(own) - 1))
        total = tau**2 + values
        gain = np.divide(tau**2, total, out=np.ones_like(total), where=total > 0)
        middle = draws[:, own].mean(axis=1, keepdims=True)
        draws[:, own] = middle + (prior + gain * (seen - prior - drawn[:, own] @ basis.T)) @ basis
    return _round(draws)


def _round(draws: Matrix) -> Matrix:
    """Return draws without rounding errors, so that equal models are a tie."""
    unit = _ROUNDING * max(float(np.abs(draws).max()), 1e-300)
    rounded: Matrix = np.round(draws / unit) * unit
    return rounded


def _find_clusters(scores: Matrix, covariance: Matrix) -> list[NDArray[np.intp]]:
    """Return the clusters of two models or more; gaps beyond _APART separate clusters."""
    order = np.argsort(-scores, kind="stable")
    above, below = order[:-1], order[1:]
    variance = np.diag(covariance)
    noise = np.maximum(variance[above] + variance[below] - 2 * covariance[above, below], 0.0)
    cuts = np.flatnonzero(scores[above] - scores[below] > _APART * np.sqrt(noise)) + 1
    # Two equal models have no noise and no gap, except rounding errors.
    cuts = cuts[(scores[above] - scores[below])[cuts - 1] > _ROUNDING * np.abs(scores).max()]
    return [own for own in np.split(order, cuts) if len(own) > 1]


def _weigh_widths(seen: Matrix, values: Matrix) -> tuple[Matrix, Matrix]:
    """Return a grid of widths τ and their posterior probabilities.

    `seen` are contrasts of the scores, and `values` their variances. Contrasts without noise, which
    are those of equal models, are left out.
    """
    size = max(float(np.abs(seen).max()), math.sqrt(float(values.max())))
    keep = values > _ROUNDING * size**2
    if not keep.any():
        return np.array([1.0]), np.array([1.0])
    seen, values = seen[keep], values[keep]
    scale = math.sqrt(float(np.median(values)))
    widths = np.geomspace(_NARROW * scale, _WIDE * max(size, scale), _N_WIDTHS)
    total = widths[:, None] ** 2 + values
    log = -0.5 * (np.log(total) + seen**2 / total).sum(axis=1)
    # Half-Cauchy prior of τ with twice the noise's scale; the factor τ is the spacing of the grid.
    weights = np.exp(log - log.max()) * widths / (1 + (widths / scale / 2) ** 2)
    return widths, weights / weights.sum()


def compute_rank_intervals(draws: Matrix, tails: tuple[float, float]) -> NDArray[np.int64]:
    """Return the credible interval of each model's rank, (M, 2), between two probabilities."""
    low, high = np.quantile(compute_ranks(draws), tails, axis=0, method="inverted_cdf")
    return np.stack([np.floor(low), np.ceil(high)], axis=1).astype(np.int64)


def group_ties(names: Sequence[str], pairwise: Matrix, level: float) -> tuple[tuple[str, ...], ...]:
    """Group models, given best first: the first of a group beats no other one at this level."""
    groups: list[list[int]] = []
    for i in range(len(names)):
        if groups and pairwise[groups[-1][0], i] < level:
            groups[-1].append(i)
        else:
            groups.append([i])
    return tuple(tuple(names[i] for i in group) for group in groups)


def count_wins(draws: Matrix) -> tuple[Matrix, Matrix]:
    """Return how often each model is the best, (M,), and how often row beats column, (M, M).

    Both are shares of the draws; ties are divided equally.
    """
    best = draws == draws.max(axis=1, keepdims=True)
    first: Matrix = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    over = [((own > draws) + 0.5 * (own == draws)).mean(axis=0) for own in draws.T[:, :, None]]
    return first, np.stack(over)
