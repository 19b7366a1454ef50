"""Hierarchical normal mixture: the prior of the true scores of models, and its grids.

Model: the scores of M models are s = θ + e, with noise e whose scale and degrees of freedom are
known from resampling (``noise.py``).
The true scores come from a finite mixture of normals,

    θ_i ~ N(γ p_i + μ_k, τ_k²) with probability w_k,     μ_k ~ N(m, ω²),   w ~ Dirichlet(1),

so that models may be alike, spread evenly, or stand in groups. ω, and the widths τ_k ≤ ω, have
posteriors on a grid of sizes from a twentieth of the noise to twenty times the scores; m is flat.
Several normals also follow a distribution that ends sharply at the top. A prior of fewer groups,
Dirichlet(1/K), or of wider ones gives it a longer tail there, and is then too sure of the first.
One normal prior for all models (K = 1) is too sure of the best of many models that stand in groups:
the poor ones widen it, and the good ones are then hardly shrunk.

p are numbers known before any features are read, standardised; γ is their slope. Its prior is that
of the correlation ρ = γ / √(ω² + γ²) of p with the true scores, which is given on a grid.

``gibbs.py`` samples the posterior.

Sources: Escobar and West, J. American Statistical Association 90, 1995, for the mixture; Ishwaran
and James, J. American Statistical Association 96, 2001, for finite K; Journel and Huijbregts,
Mining Geostatistics, 1978, for Matheron's rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CORRELATIONS", "N_GROUPS", "Grids", "Posterior", "Predictor", "condition", "make_grids"]

Matrix = NDArray[np.float64]

N_GROUPS = 6  # K
_RATIO = 1.35  # of adjacent sizes on the grid
#: A width τ is ω / _RATIO^k for a step k from 0, each as likely. The last step reaches _FINE of the
#: smallest noise of a difference, so that similar models can be alike.
_FEWEST_STEPS, _MOST_STEPS, _FINE = 12, 40, 0.3
_NARROW, _WIDE = 0.05, 20.0  # ends of the grid, relative to the noise and to the scores
_KNEE = 2.0  # the prior density of log ω is ω^¼ below this many noise sizes and ω^-½ above
_ROUNDING = 1e-8  # relative variances below it are rounding errors
#: Grid of the correlation ρ of the known numbers with the true scores.
SCALE: Matrix = np.linspace(-2.5, 2.5, 41)  # atanh ρ
CORRELATIONS: Matrix = np.tanh(SCALE)


@dataclass(frozen=True, eq=False)
class Predictor:
    """Numbers known for each model, standardised (M,), and prior weights of CORRELATIONS."""

    values: Matrix
    weights: Matrix


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of the true scores, and the state of every chain after its last sweep.

    Given its state, the true scores of a chain are independent normals before the scores are seen.
    """

    draws: Matrix  # (n_draws, M)
    means: Matrix  # of the normals, (n_chains, M)
    widths: Matrix  # of the normals, (n_chains, M)
    truths: Matrix  # the last draw of each chain, (n_chains, M)
    covariance: Matrix  # of the noise, (M, M)


@dataclass(frozen=True, eq=False)
class Grids:
    """Sizes that ω can have, and widths τ as shares of ω."""

    sizes: Matrix
    log_prior: Matrix  # of the sizes
    widths: Matrix  # each as likely
    precision: Matrix  # of the contrasts of the scores, (M, M)


def make_grids(scores: Matrix, covariance: Matrix) -> Grids:
    """Return the grids for centred scores (M,) and the covariance (M, M) of their contrasts."""
    values, vectors = np.linalg.eigh(covariance)
    seen = values > _ROUNDING * max(float(values[-1]), 1e-300)
    size = float(np.abs(scores).max())
    unit = math.sqrt(float(np.median(values[seen]))) if seen.any() else 0.0
    unit = max(unit, _ROUNDING * size, 1e-150)
    n_sizes = math.ceil(math.log(_WIDE * max(size / unit, 1) / _NARROW, _RATIO)) + 1
    relative = _NARROW * np.power(_RATIO, np.arange(n_sizes))
    steps = np.arange(_count_steps(covariance, size), dtype=np.float64)
    return Grids(
        sizes=unit * relative,
        log_prior=0.25 * np.log(relative) - 0.375 * np.log1p((relative / _KNEE) ** 2),
        widths=_RATIO**-steps,
        precision=(vectors[:, seen] / values[seen]) @ vectors[:, seen].T,
    )


def _count_steps(covariance: Matrix, size: float) -> int:
    """Return the number of steps from the size of the scores down to the finest noise."""
    variance = np.diag(covariance)
    pairs = variance[:, None] + variance - 2 * covariance
    least = _ROUNDING * float(variance.max(initial=0.0))
    finest = math.sqrt(float(pairs[pairs > least].min(initial=np.inf)))
    if not 0 < finest < size:
        return _FEWEST_STEPS
    steps = math.ceil(math.log(size / (_FINE * finest), _RATIO))
    return min(max(steps, _FEWEST_STEPS), _MOST_STEPS)


def condition(
    scores: Matrix, drawn: Matrix, noise: Matrix, widths: Matrix, covariance: Matrix
) -> Matrix:
    """Return draws of true scores given scores, by Matheron's rule, (n_chains, n_draws, M).

    `drawn` are draws of the independent normals with standard deviations `widths` (n_chains, M),
    and `noise` draws of the noise with this covariance (M, M). Only the contrasts of scores count:
    their mean has noise of infinite variance.
    """
    variance = widths**2
    n_chains, n_models = variance.shape
    total = np.broadcast_to(covariance, (n_chains, n_models, n_models)).copy()
    total.reshape(n_chains, -1)[:, :: n_models + 1] += variance  # on the diagonals
    rest = np.swapaxes(scores - noise - drawn, 1, 2)
    solved = np.linalg.solve(total, np.concatenate([rest, np.ones_like(rest[:, :, :1])], axis=2))
    weights, flat = solved[:, :, :-1], solved[:, :, -1:]
    weights = weights - flat * (
        weights.sum(axis=1, keepdims=True) / flat.sum(axis=1, keepdims=True)
    )
    found: Matrix = drawn + variance[:, None] * np.swapaxes(weights, 1, 2)
    return found
