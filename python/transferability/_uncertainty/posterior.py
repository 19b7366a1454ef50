"""Posterior draws of true scores, and probabilities of ranks that are counted in them.

Model: the scores of M models are s = θ + e, with true scores θ and noise e ~ N(0, Σ); Σ (M, M) is
estimated by resampling. Luck contributes to the best score, more so if the models are close. The
bootstrap alone ignores this selection effect, and the prior of θ takes it into account: a mixture
(``mixture.py``), whose posterior is sampled for the stability of a ranking and for shortlists.

Source: Efron and Morris, J. American Statistical Association 68, 1973, for the prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._ranking.extra_columns import compute_ranks, count_votes
from .gibbs import sample_mixture
from .mixture import Posterior, Predictor
from .noise import allow_for_estimation

__all__ = [
    "combine_members",
    "compute_rank_intervals",
    "count_wins",
    "draw_members",
    "group_ties",
]

Matrix = NDArray[np.float64]
_N_DRAWS = 4000  # draws of the true scores: a standard error of a probability of 0.8 % at most
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


def _round(draws: Matrix) -> Matrix:
    """Return draws without rounding errors, so that equal models are a tie."""
    unit = _ROUNDING * max(float(np.abs(draws).max()), 1e-300)
    rounded: Matrix = np.round(draws / unit) * unit
    return rounded


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
