"""Posterior draws of true scores, and probabilities of ranks that are counted in them.

Model: the scores of M models are s = θ + e, with true scores θ and noise e ~ N(0, Σ); Σ (M, M) is
estimated by resampling. Luck contributes to the best score, more so if the models are close. The
bootstrap alone ignores this selection effect, and the prior of θ takes it into account: a mixture
(``mixture.py``), whose posterior is sampled for the stability of a ranking and for shortlists.

Source: Efron and Morris, J. American Statistical Association 68, 1973, for the prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._ranking.extra_columns import count_votes
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


def compute_rank_intervals(draws: Matrix, pairwise: Matrix, level: float) -> NDArray[np.int64]:
    """Return the credible interval of each model's rank, (M, 2), at a level, from pairs told apart.

    The best possible rank of a model is that after the models that are better at this level, and
    its worst possible rank that before those that are worse. So intervals never contradict each
    other: who has rank 1 alone is better than each of the others, and none of these reaches rank 1.
    An interval that holds the rank with less than this probability is widened, by the pair that is
    least certain, for both of its models. A model that is the best with this probability keeps rank
    1 alone.

    Source: Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91, 2024, for sets of
    ranks from pairs; theirs are confidence sets.
    """
    n_draws, n_models = draws.shape
    told = (pairwise >= level) & (pairwise > 0.5)  # the model of the row is the better one
    ranks = np.stack([1 + told.sum(axis=0), n_models - told.sum(axis=1)], axis=1).astype(np.int64)
    best, worst = (np.sort(spans, axis=0) for spans in _span_ranks(draws))

    def miss(i: int) -> tuple[int, int]:
        """Return the numbers of draws with a better and a worse rank than the interval has."""
        low, high = ranks[i]
        above = np.searchsorted(best[:, i], low)
        return int(above), n_draws - int(np.searchsorted(worst[:, i], high, side="right"))

    spare = math.floor(n_draws * (1 - level) + 1e-6)
    missed = np.array([miss(i) for i in range(n_models)])
    certain = np.where(told, pairwise, np.inf)
    certain[np.sum(worst > 1, axis=0) <= spare] = np.inf  # the pairs of the best are not undone
    while missed.sum(axis=1).max() > spare:
        i = int(missed.sum(axis=1).argmax())
        better, worse = int(certain[:, i].argmin()), i
        if missed[i, 0] < missed[i, 1] or certain[better, i] == np.inf:
            better, worse = i, int(certain[i].argmin())
        certain[better, worse] = np.inf
        ranks[better, 1] += 1
        ranks[worse, 0] -= 1
        missed[better], missed[worse] = miss(better), miss(worse)
    return ranks


def _span_ranks(draws: Matrix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the best and the worst rank of each model in each draw: equal models share ranks."""
    better = np.stack([(draws > own).sum(axis=1) for own in draws.T[:, :, None]], axis=1)
    equal = np.stack([(draws == own).sum(axis=1) for own in draws.T[:, :, None]], axis=1)
    return better + 1, better + equal


def group_ties(names: Sequence[str], ranks: NDArray[np.int64]) -> tuple[tuple[str, ...], ...]:
    """Group models, given best first, so that no rank interval reaches into another group."""
    groups: list[list[str]] = [[]]
    reached = np.maximum.accumulate(ranks[:, 1])  # by the models up to each one
    reaching = np.minimum.accumulate(ranks[::-1, 0])[::-1]  # of the models from each one on
    for i, name in enumerate(names):
        if groups[-1] and reached[i - 1] <= i < reaching[i]:
            groups.append([])
        groups[-1].append(name)
    return tuple(map(tuple, groups))


def count_wins(draws: Matrix) -> tuple[Matrix, Matrix]:
    """Return how often each model is the best, (M,), and how often row beats column, (M, M).

    Both are shares of the draws; ties are divided equally.
    """
    best = draws == draws.max(axis=1, keepdims=True)
    first: Matrix = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    over = [((own > draws) + 0.5 * (own == draws)).mean(axis=0) for own in draws.T[:, :, None]]
    return first, np.stack(over)
