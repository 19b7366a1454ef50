"""Estimate how more rows, or the fine-tuning of two models, would shrink a shortlist.

More rows: the noise of scores falls as 1/n. For n times the rows, new scores are drawn from the
posterior, shortlists are made from these, and their sizes are averaged (preposterior analysis).

Two models: fine-tuning them tells which is better. For every pair, the draws are split by the order
of the two; the expected regret of the best choice in each part is compared with that of now.

Source: Raiffa and Schlaifer, Applied Statistical Decision Theory, 1961, for both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mixture import Posterior, condition

__all__ = ["Pair", "cover_best", "expect_sizes", "find_pair", "find_rows_for_one"]

Matrix = NDArray[np.float64]
#: Multiples of the rows for which sizes are expected.
FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_N_FUTURES = 100  # drawn sets of new scores
_N_DRAWS = 200  # posterior draws given each
_MOST_IN_PAIRS = 10  # models that may be fine-tuned, the most probable ones


@dataclass(frozen=True)
class Pair:
    """Two models to fine-tune, and what their order would remove."""

    names: tuple[str, str]
    regret: float  # expected regret of the best choice once their order is known
    bits: float  # entropy of the best model that their order removes, on average


def cover_best(draws: Matrix, confidence: float) -> tuple[list[int], float]:
    """Return the smallest set that holds a best model in this share of draws, and the share.

    Models are added greedily. Without exact ties the result is the smallest set; with ties it is
    the usual approximation of set cover.
    """
    best = draws == draws.max(axis=1, keepdims=True)
    chosen: list[int] = []
    covered = np.zeros(len(draws), dtype=bool)
    while covered.mean() < confidence:
        gains = best[~covered].sum(axis=0)
        chosen.append(int(gains.argmax()))
        covered |= best[:, chosen[-1]]
    return chosen, float(covered.mean())


def expect_sizes(
    posteriors: Sequence[Posterior],
    covariances: Sequence[Matrix],
    scores: Sequence[Matrix],
    combine: Callable[[Sequence[Matrix]], Matrix],
    confidence: float,
    seed: int,
) -> list[tuple[float, float]]:
    """Return the expected size of the shortlist, and its chance to be one model, by FACTORS.

    The sequences have one entry for each member of a consensus, or one; `combine` returns the true
    scores (n, M) of the consensus from those of its members.
    """
    found = []
    for factor in FACTORS:
        rng = np.random.default_rng([seed, 2])
        own = [
            _draw_futures(*member, factor, rng)
            for member in zip(posteriors, covariances, scores, strict=True)
        ]
        n_futures, _, n_models = own[0].shape
        draws = combine([member.reshape(-1, n_models) for member in own])
        best = draws.argmax(axis=1) + n_models * np.repeat(np.arange(n_futures), _N_DRAWS)
        counts = np.bincount(best, minlength=n_futures * n_models).reshape(n_futures, n_models)
        reached = np.cumsum(-np.sort(-counts, axis=1), axis=1) / _N_DRAWS
        sizes = 1 + (reached < confidence - 1e-12).sum(axis=1)
        found.append((float(sizes.mean()), float((sizes == 1).mean())))
    return found


def _draw_futures(
    posterior: Posterior,
    covariance: Matrix,
    scores: Matrix,
    factor: float,
    rng: np.random.Generator,
) -> Matrix:
    """Draw the posterior given the scores of `factor` times the rows, (n_futures, n_draws, M)."""
    n_chains, n_models = posterior.truths.shape
    n_futures = min(n_chains, _N_FUTURES)
    centre = np.eye(n_models) - 1 / n_models
    covariance = centre @ covariance @ centre
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    truths, means = posterior.truths[:n_futures], posterior.means[:n_futures]
    widths = posterior.widths[:n_futures]
    # The rows at hand, with the scores seen, are a share 1/factor of all rows.
    new = truths + rng.standard_normal(truths.shape) @ root / math.sqrt(factor - 1)
    middle = scores.mean()
    later = (scores - middle) / factor + (1 - 1 / factor) * (new - middle)
    shape = (n_futures, _N_DRAWS, n_models)
    drawn = (means - middle)[:, None] + widths[:, None] * rng.standard_normal(shape)
    noise = rng.standard_normal(shape) @ root / math.sqrt(factor)
    return condition(later[:, None], drawn, noise, widths, covariance / factor)


def find_rows_for_one(n_rows: int, chances: Sequence[float]) -> int | None:
    """Return the number of rows from which on one model is left, more likely than not.

    `chances` belong to FACTORS. Between two of them the chance is linear in the logarithm of the
    rows. None if even the last one does not suffice.
    """
    before, low = 1.0, 0.0
    for factor, chance in zip(FACTORS, chances, strict=True):
        if chance >= 0.5:
            share = (0.5 - low) / (chance - low)
            exact = n_rows * before * (factor / before) ** share
            digits: int = 10 ** max(math.floor(math.log10(exact)) - 1, 0)  # two digits, rounded up
            return int(math.ceil(exact / digits) * digits)
        before, low = factor, min(chance, 0.5)
    return None


def find_pair(draws: Matrix, names: Sequence[str], first: Matrix) -> Pair | None:
    """Return the pair of models whose order, once known, removes most of the expected regret."""
    likely = [int(i) for i in np.argsort(-first, kind="stable")[:_MOST_IN_PAIRS] if first[i] > 0]
    if len(likely) < 2:
        return None
    regrets = draws.max(axis=1, keepdims=True) - draws  # exactly 0 for the best
    is_best = np.zeros(draws.shape)
    is_best[np.arange(len(draws)), draws.argmax(axis=1)] = 1.0
    now = _entropy(is_best.mean(axis=0))
    pairs = []
    for i, j in itertools.combinations(likely, 2):
        above = (draws[:, i] >= draws[:, j]).astype(np.float64)
        regret, after = 0.0, 0.0
        for part in (above, 1 - above):
            regret += float((part @ regrets).min()) / len(draws)
            share = float(part.mean())
            after += share * _entropy(part @ is_best / max(part.sum(), 1.0))
        pairs.append(Pair((names[i], names[j]), regret, max(now - after, 0.0)))
    return min(pairs, key=lambda pair: (pair.regret, -pair.bits))


def _entropy(shares: Matrix) -> float:
    """Return the entropy in bits."""
    seen = shares[shares > 0]
    return float(-(seen * np.log2(seen)).sum())
