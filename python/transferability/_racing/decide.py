"""Which models to drop after a round: posterior probabilities, and what a race may spend of them.

**Forecast.** The truth is the score on all N rows. The score on n rows differs from it by noise and
by a drift:

- *Noise.* The scores of complementary random halves of the n rows differ from the score of all n
  by as much as these differ from an infinite population, to first order: half a sample has twice
  the variance, and is drawn without replacement from the whole. Of this variance a share 1 - n/N is
  left, because the n rows are among the N. Variances and correlations are shrunk towards their
  means over the models, as there are few halves: with 100 models, correlations that are not there
  would make half of the differences between models look certain. The variances are drawn from what
  is then known of them, because the best of many models is one whose noise may be large.
- *Even noise.* The mean over a pair of halves has the linear part of the noise of the whole, and
  no other. Means of pairs differ by as much as the score of all n does from them, by noise that the
  differences do not hold. It adds to theirs: little for LogME, half as much again for accuracies.
- *Drift.* Most scores grow with the number of rows, for some models more than for others. The
  change from the means of pairs to the score of all n rows is the drift over one doubling, and the
  even noise. A stretch, the part in proportion to the scores, which grow apart as the rows grow,
  leaves the order as it is. How the rest continues depends on the metric and the task, even in
  sign: extrapolated drifts predict the order on all rows less well than the scores as they are. So
  the rest widens the posterior, by its size over the doublings that are left, and does not move it.

Empirical Bayes shrinkage, as in ``_uncertainty/mixture.py``, accounts for luck: of many models
some look bad by bad luck. The scores on all rows are then those on the n rows, and those of a new
sample of N - n rows, in their shares.

**Spending.** Dropping a model that is among the true best with probability p loses p models of the
true top in expectation, whatever was looked at before. So these probabilities are added up over all
models and all rounds, and the sum stays below a bound: expected losses of a race with any number of
looks and models are at most that bound, as far as the probabilities are calibrated. The
probabilities of being the best have a bound of their own. Every round adds a part of the bounds to
what may be spent, in proportion to the passes that dropping a model there saves.

Sources: McCarthy, Int. Statistical Review 37, 1969, for half-samples; Maron and Moore, NIPS 1993,
for races; Lan and DeMets, Biometrika 70, 1983, for spending.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Allowance",
    "Noise",
    "Odds",
    "choose_drops",
    "compute_odds",
    "estimate_noise",
    "forecast_scores",
    "share_savings",
]

Matrix = NDArray[np.float64]

_N_DRAWS = 4000
_N_PARTS = 8  # parts of the draws, each with variances of its own
#: Factor on the estimated probability of losing the best: of very many or equal models, the best is
#: lost twice as often as estimated.
_CAUTION = 2.0
_MIN_PAIRS = 4  # fewer usable pairs of halves decide nothing
#: Grid of widths of the prior: their number, and the ends relative to the noise and to the scores.
_N_WIDTHS, _NARROW, _WIDE = 60, 0.02, 20.0
_ROUNDING = 1e-11  # relative to the largest draw; smaller differences are a tie
_NEAR = 4.0  # standard errors of the difference from the last of the top


@dataclass(frozen=True)
class Odds:
    """Posterior probabilities of each model, (M,)."""

    best: Matrix  # to be the best of these models on all rows
    top: Matrix  # to be among the best few


@dataclass(frozen=True, eq=False)
class Noise:
    """Estimates of the noise of M scores, from pairs of halves."""

    correlations: Matrix  # (M, M)
    log_variances: Matrix  # (M,), of which -inf is no noise
    own_error: float  # standard deviation of each logarithm, given these estimates
    common_error: float  # of all of them together

    def draw_covariance(self, rng: np.random.Generator) -> Matrix:
        """Draw a covariance matrix (M, M)."""
        shift = self.own_error * rng.standard_normal(len(self.log_variances))
        shift += self.common_error * rng.standard_normal()
        deviations = np.exp((self.log_variances + shift) / 2)
        covariance: Matrix = self.correlations * np.outer(deviations, deviations)
        return covariance


@dataclass
class Allowance:
    """Bounds on the probability of losing the best and on the expected losses of the top.

    Also what was spent of them.
    """

    best: float
    top: float
    spent_best: float = 0.0
    spent_top: float = 0.0

    def left(self, part: float) -> tuple[float, float]:
        """Return what may be spent now, if this `part` of the bounds may be spent so far."""
        return part * self.best - self.spent_best, part * self.top - self.spent_top

    def spend(self, best: float, top: float) -> None:
        """Add the probabilities of a dropped model."""
        self.spent_best += best
        self.spent_top += top


def forecast_scores(
    scores: Matrix, halves: Matrix, n_rows: int, n_all: int, top: int, seed: int
) -> Matrix | None:
    """Draw the scores of M models on all rows from their posterior, (n_draws, M).

    `scores` (M,) are those on `n_rows` of `n_all` rows, and `halves` (M, n_pairs, 2) those of pairs
    of complementary halves of these rows. None if too few pairs have all scores.
    """
    usable = np.isfinite(halves).all(axis=(0, 2))
    if usable.sum() < _MIN_PAIRS:
        return None
    pairs = halves[:, usable]
    pairs = pairs - np.median(pairs, axis=0)  # what all models share does not change their order
    share = n_rows / n_all
    left = 1.0 - share
    noise = estimate_noise((pairs[:, :, 0] - pairs[:, :, 1]) / 2)  # odd, so free of the drift
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(_N_PARTS):
        covariance = noise.draw_covariance(rng)
        limit = _draw_limits(scores, covariance, top, rng)
        rest = _draw_normal(covariance, rng) * math.sqrt(share / left)
        parts.append(share * scores + left * (limit + rest))
    draws: Matrix = np.concatenate(parts)
    drift, even = _measure_drift(scores, pairs.mean(axis=2))
    spread = math.hypot(_continue_drift(n_all / n_rows) * drift, math.sqrt(left) * even)
    draws += spread * rng.standard_normal(draws.shape)
    unit = _ROUNDING * max(float(np.abs(draws).max()), 1e-300)
    rounded: Matrix = np.round(draws / unit) * unit
    return rounded


def _measure_drift(scores: Matrix, means: Matrix) -> tuple[float, float]:
    """Return the size of the models' own drifts over the last doubling, and of the even noise.

    Both are standard deviations; `means` (M, n_pairs) are those of the pairs of halves.
    """
    n_models, n_pairs = means.shape
    even = float(means.var(axis=1, ddof=1).mean())
    if n_models < 3:  # nothing is left besides a stretch
        return 0.0, math.sqrt(even)
    before = means.mean(axis=1)
    change = scores - before
    before, change = before - before.mean(), change - change.mean()
    size = float(before @ before)
    if size > 0:
        change = change - float(before @ change) / size * before
    own = float(change @ change) / (n_models - 2) - even * (1 + 1 / n_pairs)
    return math.sqrt(max(own, 0.0)), math.sqrt(even)


def _continue_drift(factor: float) -> float:
    """Return the drift while the rows grow by a factor, relative to that over the last doubling.

    It is the root mean square over curves like n^-a, with a from 0, which is log n, to 1.
    """
    powers = np.linspace(1e-6, 1.0, 21)
    found = (1 - factor**-powers) / (2**powers - 1)
    return math.sqrt(float((found**2).mean()))


def _draw_limits(scores: Matrix, covariance: Matrix, top: int, rng: np.random.Generator) -> Matrix:
    """Draw the scores on infinitely many rows, without drift, by empirical Bayes.

    Models near the best, and the others, have priors of their own: the others do not make the best
    look further apart.
    """
    draws = scores - _draw_normal(covariance, rng)
    variance = np.diag(covariance)
    last = np.argsort(-scores, kind="stable")[min(top, len(scores)) - 1]
    apart = variance + variance[last] - 2 * covariance[last]
    near = scores >= scores[last] - _NEAR * np.sqrt(np.maximum(apart, 0.0))
    for own in (np.flatnonzero(near), np.flatnonzero(~near)):
        if len(own) < 2:
            continue
        # An orthonormal basis of the contrasts among the models, in which the noise is independent.
        contrasts = np.linalg.qr((np.eye(len(own))[1:] - 1 / len(own)).T)[0].T
        values, vectors = np.linalg.eigh(contrasts @ covariance[np.ix_(own, own)] @ contrasts.T)
        values = np.maximum(values, 0.0)
        basis = vectors.T @ contrasts
        seen = basis @ scores[own]
        squares = _draw_widths(seen, values, len(draws), rng) ** 2
        total = squares + values
        gain = np.divide(squares, total, out=np.ones_like(total), where=total > 0)
        error = np.sqrt(gain * values) * rng.standard_normal(total.shape)
        draws[:, own] = draws[:, own].mean(axis=1, keepdims=True) + (gain * seen + error) @ basis
    return draws


def _draw_widths(seen: Matrix, values: Matrix, n_draws: int, rng: np.random.Generator) -> Matrix:
    """Draw the width of the prior, (n_draws, 1), given contrasts with these variances.

    The width has a half-Cauchy prior with twice the scale of the noise.
    """
    if not values.any():  # equal models: there is nothing to shrink
        return np.ones((n_draws, 1))
    scale = math.sqrt(float(np.median(values[values > 0])))
    widest = _WIDE * max(float(np.abs(seen).max()), scale)
    widths = np.geomspace(_NARROW * scale, widest, _N_WIDTHS)
    total = widths[:, None] ** 2 + values
    log: Matrix = -0.5 * (np.log(total) + seen**2 / total).sum(axis=1)
    # The factor of the widths is the spacing of the grid.
    weights = np.exp(log - log.max()) * widths / (1 + (widths / scale / 2) ** 2)
    return rng.choice(widths, size=(n_draws, 1), p=weights / weights.sum())


def compute_odds(draws: Matrix, top: int) -> Odds:
    """Return the probabilities of being the best, and among the best `top`, from draws of scores.

    For a consensus, the draws are the votes by the members' draws.
    """
    return Odds(_share_places(draws, 1), _share_places(draws, top))


def share_savings(sizes: Sequence[int], number: int) -> float:
    """Return the part of the bounds that may be spent up to a round, from 1, of these sizes.

    A round adds in proportion to the rows that a model dropped after it does not run.
    """
    saved = [sizes[-1] - size for size in sizes]
    return sum(saved[:number]) / sum(saved) if sum(saved) else 1.0


def choose_drops(odds: Odds, allowance: Allowance, part: float, n_least: int) -> list[int]:
    """Return the models to drop, least probable first, and spend their probabilities.

    After this round, `part` of the bounds may be spent. At least `n_least` models are left.
    """
    best, top = allowance.left(part)
    dropped: list[int] = []
    for i in np.lexsort((odds.best, odds.top))[: max(len(odds.top) - n_least, 0)]:
        spent = _CAUTION * float(odds.best[i]), float(odds.top[i])
        best, top = best - spent[0], top - spent[1]
        if best < 0 or top < 0:
            break
        dropped.append(int(i))
        allowance.spend(*spent)
    return dropped


def _share_places(draws: Matrix, top: int) -> Matrix:
    """Return how often each model is among the best `top`; ties share the places equally."""
    n_models = draws.shape[1]
    if top >= n_models:
        return np.ones(n_models)
    ordered = np.sort(draws, axis=1)
    cut = ordered[:, n_models - top, None]  # the last value that has a place
    above = draws > cut
    level = draws == cut
    places = top - above.sum(axis=1, keepdims=True)
    shares: Matrix = (above + level * places / level.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def estimate_noise(differences: Matrix) -> Noise:
    """Estimate the noise of M scores from half the differences within pairs, (M, n_pairs).

    Variances and correlations are shrunk towards their means over the models. Each keeps the share
    of its spread over the models that its estimation from n pairs does not explain: a correlation r
    has variance (1 - r^2)^2 / n, and the logarithm of a variance 2 / n.
    """
    n_models, n_pairs = differences.shape
    covariance = differences @ differences.T / n_pairs
    variances = np.maximum(np.diag(covariance), 0.0)
    scale = np.sqrt(np.outer(variances, variances))
    correlations = np.divide(covariance, scale, out=np.eye(n_models), where=scale > 0)
    with np.errstate(divide="ignore"):
        logs = np.log(variances)
    sampling, kept = 2.0 / n_pairs, 1.0
    if n_models > 2 and variances.all():
        apart = ~np.eye(n_models, dtype=bool)
        mean = max(float(correlations[apart].mean()), 0.0)
        share = _share_kept(float(correlations[apart].var()), (1 - mean**2) ** 2 / n_pairs)
        correlations = np.where(apart, share * correlations + (1 - share) * mean, 1.0)
        kept = _share_kept(float(logs.var(ddof=1)), sampling)
        logs = np.log(variances.mean()) * (1 - kept) + logs * kept
    # The mean, which the estimates are shrunk to, has errors of its own, common to all models.
    common = math.sqrt(sampling * (1 - kept) / n_models)
    return Noise(correlations, logs, math.sqrt(sampling * kept), common)


def _share_kept(spread: float, sampling: float) -> float:
    """Return the share of a variance over models that is not the variance of the estimates."""
    return max(1.0 - sampling / spread, 0.0) if spread > 0 else 0.0


def _draw_normal(covariance: Matrix, rng: np.random.Generator) -> Matrix:
    """Draw vectors with a covariance, for one part of the draws."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn: Matrix = rng.standard_normal((_N_DRAWS // _N_PARTS, len(values))) @ root.T
    return drawn
