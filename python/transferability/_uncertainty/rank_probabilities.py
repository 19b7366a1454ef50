"""Posterior probabilities of ranks, by sampling from the empirical Bayes posterior of true scores.

The true scores are drawn many times given the resampled ones, and the ranks in the draws are
counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bootstrap import BootstrapResult
from .posterior import sample_posterior

__all__ = [
    "RankProbabilities",
    "average_votes",
    "compute_ranks",
    "count_wins",
    "draw_true_scores",
    "estimate_rank_probabilities",
]

Matrix = NDArray[np.float64]
_N_DRAWS = 4000  # draws of the true scores: a standard error of a probability of 0.8 % at most


@dataclass(frozen=True, eq=False)
class RankProbabilities:
    """Posterior of the ranks of M models, which are given best first.

    Attributes
    ----------
    first : ndarray of shape (M,)
        Probability of being the best.
    pairwise : ndarray of shape (M, M)
        Probability that the model of the row is better than the model of the column.
    ranks : ndarray of shape (M, 2), int
        Credible interval of the rank.
    ties : list of list of int
        Positions of the models, grouped with the first model that does not beat them for sure.
    """

    first: Matrix
    pairwise: Matrix
    ranks: NDArray[np.int64]
    ties: list[list[int]]


def estimate_rank_probabilities(draws: Matrix, level: float) -> RankProbabilities:
    """Count the ranks in draws (n_draws, M) of the true scores of models, best first."""
    first, pairwise = count_wins(draws)
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = np.quantile(compute_ranks(draws), tails, axis=0, method="inverted_cdf")
    ties: list[list[int]] = []
    for i in range(draws.shape[1]):
        if ties and pairwise[ties[-1][0], i] < level:
            ties[-1].append(i)
        else:
            ties.append([i])
    ranks = np.stack([np.floor(low), np.ceil(high)], axis=1).astype(np.int64)
    return RankProbabilities(first, pairwise, ranks, ties)


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
    """Return the Borda consensus of the members' scores, row by row; each is (n, M).

    It is the mean over the members of the share of the other models that a model beats.
    """
    n_others = members[0].shape[1] - 1
    shares = [(n_others + 1 - compute_ranks(scores)) / n_others for scores in members]
    votes: Matrix = np.mean(shares, axis=0)
    return votes


def compute_ranks(draws: Matrix) -> Matrix:
    """Return the rank of each model in each draw, 1 for the best; ties share their mean rank."""
    ranks = np.full(draws.shape, 0.5)
    for other in draws.T[:, :, None]:
        ranks += (other > draws) + 0.5 * (other == draws)
    return ranks


def count_wins(draws: Matrix) -> tuple[Matrix, Matrix]:
    """Return how often each model is the best, (M,), and how often row beats column, (M, M).

    Both are shares of the draws; ties are divided equally.
    """
    best = draws == draws.max(axis=1, keepdims=True)
    first: Matrix = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    over = [((own > draws) + 0.5 * (own == draws)).mean(axis=0) for own in draws.T[:, :, None]]
    return first, np.stack(over)
