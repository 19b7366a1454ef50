"""Posterior probabilities of ranks, counted in draws from the empirical Bayes posterior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._ranking.extra_columns import borda_shares, compute_ranks
from .bootstrap import BootstrapResult
from .posterior import sample_posterior

__all__ = [
    "average_votes",
    "compute_rank_intervals",
    "count_wins",
    "draw_true_scores",
    "group_ties",
]

Matrix = NDArray[np.float64]
_N_DRAWS = 4000  # draws of the true scores: a standard error of a probability of 0.8 % at most


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


def draw_true_scores(result: BootstrapResult, seed: int) -> Matrix:
    """Draw the true scores from their posterior, (n_draws, M); infinite scores are kept."""
    draws = np.tile(result.scores, (max(_N_DRAWS, len(result.noise)), 1))
    finite = np.flatnonzero(np.isfinite(result.scores))
    if len(finite) > 1:
        draws[:, finite] = sample_posterior(
            result.scores[finite],
            result.noise[:, finite],
            result.covariance[np.ix_(finite, finite)],
            result.units.n_units,
            len(draws),
            seed,
        )
    return draws


def average_votes(members: Sequence[Matrix]) -> Matrix:
    """Return the Borda consensus of the members' scores, row by row; each is (n, M)."""
    votes: Matrix = np.mean([borda_shares(scores) for scores in members], axis=0)
    return votes


def count_wins(draws: Matrix) -> tuple[Matrix, Matrix]:
    """Return how often each model is the best, (M,), and how often row beats column, (M, M).

    Both are shares of the draws; ties are divided equally.
    """
    best = draws == draws.max(axis=1, keepdims=True)
    first: Matrix = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    over = [((own > draws) + 0.5 * (own == draws)).mean(axis=0) for own in draws.T[:, :, None]]
    return first, np.stack(over)
