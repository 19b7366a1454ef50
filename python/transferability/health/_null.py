"""Null values: the same numbers of random Gaussian features of the same shape.

Singular values of a Gaussian matrix are drawn without the matrix: with m = min(N, D) and
M = max(N, D), they are those of the (m, m) bidiagonal matrix whose diagonal is χ_M, χ_(M-1), …
χ_(M-m+1), and whose other diagonal is χ_(m-1) … χ_1, all independent (Dumitriu and Edelman, 2002).
About their mean, N rows have the law of N - 1 rows about zero. The numbers fluctuate by about 1/m,
so a few draws are enough, and one where m is large. The seed is fixed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from .._metric.score import Score
from .._stats.stats import Stats
from ..errors import DataError
from ._lidar import lidar_of
from ._spectrum import RANKS, Spectra, Values, fit_power_law, participation_ratio_of, ranks_of

__all__ = ["describe_null", "draw_eigenvalues", "null_lidar", "null_of_metric", "null_values"]

_SEED, _MOST_DRAWS, _ORDERS = 0, 8, 1024


@functools.lru_cache(maxsize=64)
def null_values(n_samples: int, n_features: int) -> dict[str, float]:
    """Return the mean of each number over random features; callers do not change the result.

    "alpha_req" is left out where the rank is too small for its fit.
    """
    rng = np.random.default_rng(_SEED)
    found: list[dict[str, float]] = []
    for _ in range(_count_draws(min(n_samples, n_features))):
        spectra = Spectra(
            draw_eigenvalues(n_samples, n_features, rng),
            draw_eigenvalues(n_samples - 1, n_features, rng),
        )
        ranks = ranks_of(spectra)
        values = {
            **{RANKS[convention]: rank for convention, rank in ranks.items()},
            "participation_ratio": participation_ratio_of(spectra.centred),
        }
        with suppress(DataError):  # too few points
            values["alpha_req"] = fit_power_law(spectra.centred).alpha
        found.append(values)
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    return {
        **means,
        "rank": float(min(n_samples - 1, n_features)),
        "variance_share": (n_samples - 1) / n_samples,
        "norm_variation": float(np.sqrt(2 / n_features)),
        "dead_units": 0.0,
        "duplicate_units": 0.0,
    }


def null_of_metric(score: Score) -> float | None:
    """Return the value of a diagnostic metric for random features of the shape of the score's.

    None where a fit has too few points.
    """
    name = score.metric
    if name == "lidar":
        return null_lidar(score.class_counts or (), score.n_features, score.variance)
    if name == "effective_rank":
        name = RANKS[score.convention]
    if score.n_samples < 2:
        return None
    return null_values(score.n_samples, score.n_features).get(name)


def describe_null(score: Score) -> list[str]:
    """Return a sentence with the null value of a diagnostic metric, where it has one."""
    null = null_of_metric(score)
    return [] if null is None else [f"Random features of the same shape have {null:.4f}."]


def null_lidar(counts: Sequence[int], n_features: int, variance: float) -> float:
    """Return LiDAR of random features with `counts` views of each sample, and this variance."""
    rng = np.random.default_rng(_SEED)
    views = np.array(counts, dtype=np.float64)
    free, scale = int(views.sum()) - len(views), np.sqrt(variance)
    found = []
    for _ in range(_count_draws(max(n_features, len(views)))):
        means = scale * rng.normal(size=(len(views), n_features)) / np.sqrt(views)[:, None]
        within = scale**2 * _draw_scatter(free, n_features, rng) / free
        found.append(lidar_of(within, means, 0.0).value)
    return float(np.mean(found))


def draw_eigenvalues(n_samples: int, n_features: int, rng: np.random.Generator) -> Values:
    """Draw the eigenvalues of FᵀF for Gaussian F (n_samples, n_features), descending."""
    order, longest = min(n_samples, n_features), max(n_samples, n_features)
    if order == 0:
        return np.empty(0)
    diagonal = np.sqrt(rng.chisquare(longest - np.arange(order)))
    bidiagonal = np.zeros((order + 1, order))  # the last row stays 0
    bidiagonal[np.arange(order), np.arange(order)] = diagonal
    if order > 1:
        below = np.sqrt(rng.chisquare(np.arange(order - 1, 0, -1)))
        bidiagonal[np.arange(1, order), np.arange(order - 1)] = below
    # With more rows than columns, statistics are the scatter, whose eigenvalues take less time than
    # singular values of the rows.
    return (order + 1) * Stats("unlabelled").update(bidiagonal).spectrum(assume_centered=True)


def _draw_scatter(n_rows: int, n_features: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw XᵀX for Gaussian X (n_rows, n_features), from Bartlett's factor if that is smaller."""
    if n_rows <= n_features:
        factor = rng.normal(size=(n_rows, n_features))
    else:
        factor = np.triu(rng.normal(size=(n_features, n_features)), 1)
        degrees = n_rows - np.arange(n_features)
        factor[np.diag_indices(n_features)] = np.sqrt(rng.chisquare(degrees))
    scatter: NDArray[np.float64] = factor.T @ factor
    return scatter


def _count_draws(order: int) -> int:
    return max(1, min(_MOST_DRAWS, _ORDERS // order))
