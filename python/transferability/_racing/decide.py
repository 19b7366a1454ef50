"""Which models to drop after a round: posterior probabilities, and what a race may spend of them.

**Forecast.** The truth is the score on all N rows. The score on n rows differs from it by noise and
by a drift:

- *Noise.* The scores of complementary random halves of the n rows differ from the score of all n
  by as much as these differ from an infinite population, to first order: half a sample has twice
  the variance, and is drawn without replacement from the whole. Of this variance a share 1 - n/N is
  left, because the n rows are among the N. Variances and correlations are shrunk towards their
  means over the models, as there are few halves: with 100 models, correlations that are not there
  would make half of the differences between models look certain.
- *Drift.* Most scores grow with the number of rows, for some models more than for others. The mean
  over a pair of complementary halves has the linear part of the noise of the whole, so the change
  from there to the score of all n rows is the drift over one doubling, with little noise. How it
  continues depends on the metric and the task, even in sign: extrapolated drifts predict the order
  on all rows less well than the scores as they are. So the drift widens the posterior, by the size
  of the changes over the last doubling and the doublings that are left, and does not move it.

Empirical Bayes shrinkage, as in ``_uncertainty/posterior.py``, accounts for luck: of many models
some look bad by bad luck. The scores on all rows are then those on the n rows, and those of a new
sample of N - n rows, in their shares.

**Spending.** Dropping a model that is among the true best with probability p loses p models of the
true top in expectation, whatever was looked at before. So these probabilities are added up over all
models and all rounds, and the sum stays below a bound: expected losses of a race with any number of
looks and models are at most that bound, as far as the probabilities are calibrated. The
probabilities of being the best have a bound of their own. Every round adds an equal part of
the bounds to what may be spent.

Sources: McCarthy, Int. Statistical Review 37, 1969, for half-samples; Maron and Moore, NIPS 1993,
for races; Lan and DeMets, Biometrika 70, 1983, for spending.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Allowance", "Odds", "choose_drops", "compute_odds", "forecast_scores", "shrink"]

Matrix = NDArray[np.float64]

_N_DRAWS = 4000
#: Share of the bound for the best that is spent: of very many or equal models, the best is lost two
#: to four times as often as estimated.
_RESERVE = 0.5
_MIN_PAIRS = 4  # fewer usable pairs of halves decide nothing
#: Grid of widths of the prior: their number, and the ends relative to the noise and to the scores.
_N_WIDTHS, _NARROW, _WIDE = 60, 0.02, 20.0
_CAUTION = 0.1  # quantile of the width of the prior
_NEAR = 4.0  # standard errors of the difference from the last of the top
#: Standard deviation of the drift to all rows, for each doubling that is left: what all models have
#: in proportion to their changes over the last doubling, and of its own of each model, in standard
#: deviations of these changes. Measured in benches/python/bench_race.py.
_DRIFT, _OWN_DRIFT = 0.25, 0.3


@dataclass(frozen=True)
class Odds:
    """Posterior probabilities of each model, (M,)."""

    best: Matrix  # to be the best of these models on all rows
    top: Matrix  # to be among the best few


@dataclass
class Allowance:
    """Bounds on the probability of losing the best and on the expected losses of the top.

    Also what was spent of them.
    """

    best: float
    top: float
    spent_best: float = 0.0
    spent_top: float = 0.0

    @classmethod
    def of_race(cls, confidence: float, level: float, top: int) -> Allowance:
        """Return the allowance of a race, with a reserve for probabilities that are too low."""
        return cls(_RESERVE * (1 - confidence), level * top)

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
    n_pairs = int(usable.sum())
    if n_pairs < _MIN_PAIRS:
        return None
    pairs = halves[:, usable]
    pairs = pairs - np.median(pairs, axis=0)  # what all models share does not change their order
    share = n_rows / n_all
    left = 1.0 - share
    difference = (pairs[:, :, 0] - pairs[:, :, 1]) / 2  # odd in the noise, so free of the drift
    covariance = shrink(difference @ difference.T / n_pairs, n_pairs)
    rng = np.random.default_rng(seed)
    # The variances are estimated from n_pairs pairs, so the noise has Student's t distribution.
    scale = np.sqrt(n_pairs / rng.chisquare(n_pairs, size=(_N_DRAWS, 1)))
    limit = _draw_limits(scores, covariance, scale, top, rng)
    rest = _draw_normal(covariance, scale, rng) * math.sqrt(share / left)
    change = scores - np.median(scores) - pairs.mean(axis=(1, 2))
    change = change - np.median(change)
    doublings = math.log2(n_all / n_rows)
    common = _DRIFT * rng.standard_normal((_N_DRAWS, 1)) * change
    own = _OWN_DRIFT * change.std() * rng.standard_normal((_N_DRAWS, len(scores)))
    draws: Matrix = share * scores + left * (limit + rest) + doublings * (common + own)
    return draws


def _draw_limits(
    scores: Matrix, covariance: Matrix, scale: Matrix, top: int, rng: np.random.Generator
) -> Matrix:
    """Draw the scores on infinitely many rows, without drift, by empirical Bayes.

    Models near the best, and the others, have priors of their own: the others do not make the best
    look further apart.
    """
    draws = scores - _draw_normal(covariance, scale, rng)
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
        width = _find_width(seen, values)
        total = width**2 + values
        gain = np.divide(width**2, total, out=np.ones_like(total), where=total > 0)
        error = np.sqrt(gain * values) * scale * rng.standard_normal((_N_DRAWS, len(values)))
        draws[:, own] = draws[:, own].mean(axis=1, keepdims=True) + (gain * seen + error) @ basis
    return draws


def _find_width(seen: Matrix, values: Matrix) -> float:
    """Return a low quantile of the width of the prior, given contrasts with these variances.

    A narrow prior is cautious: models may be closer to each other than they look. The width has a
    half-Cauchy prior with twice the scale of the noise.
    """
    if not values.any():  # equal models: there is nothing to shrink
        return 1.0
    scale = math.sqrt(float(np.median(values[values > 0])))
    widest = _WIDE * max(float(np.abs(seen).max()), scale)
    widths = np.geomspace(_NARROW * scale, widest, _N_WIDTHS)
    total = widths[:, None] ** 2 + values
    log: Matrix = -0.5 * (np.log(total) + seen**2 / total).sum(axis=1)
    # The factor of the widths is the spacing of the grid.
    weights = np.exp(log - log.max()) * widths / (1 + (widths / scale / 2) ** 2)
    place = int(np.searchsorted(np.cumsum(weights) / weights.sum(), _CAUTION))
    return float(widths[min(place, _N_WIDTHS - 1)])


def compute_odds(draws: Matrix, top: int) -> Odds:
    """Return the probabilities of being the best, and among the best `top`, from draws of scores.

    For a consensus, the draws are the votes by the members' draws.
    """
    return Odds(_share_places(draws, 1), _share_places(draws, top))


def choose_drops(odds: Odds, allowance: Allowance, part: float, n_least: int) -> list[int]:
    """Return the models to drop, least probable first, and spend their probabilities.

    After this round, `part` of the bounds may be spent. At least `n_least` models are left.
    """
    best, top = allowance.left(part)
    dropped: list[int] = []
    for i in np.lexsort((odds.best, odds.top))[: max(len(odds.top) - n_least, 0)]:
        best, top = best - odds.best[i], top - odds.top[i]
        if best < 0 or top < 0:
            break
        dropped.append(int(i))
        allowance.spend(float(odds.best[i]), float(odds.top[i]))
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


def shrink(covariance: Matrix, n_pairs: int) -> Matrix:
    """Shrink variances and correlations towards their means over the models.

    Each keeps the share of its spread over the models that its estimation from n pairs does not
    explain: a correlation r has variance (1 - r^2)^2 / n, and the logarithm of a variance 2 / n.
    """
    n_models = len(covariance)
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    seen = deviations > 0
    if n_models < 3 or not seen.all():
        return covariance
    correlations = covariance / np.outer(deviations, deviations)
    apart = ~np.eye(n_models, dtype=bool)
    mean = max(float(correlations[apart].mean()), 0.0)
    kept = _share_kept(float(correlations[apart].var()), (1 - mean**2) ** 2 / n_pairs)
    correlations = np.where(apart, kept * correlations + (1 - kept) * mean, 1.0)
    logs = np.log(deviations**2)
    kept = _share_kept(float(logs.var(ddof=1)), 2.0 / n_pairs)
    logs = np.log((deviations**2).mean()) * (1 - kept) + logs * kept
    deviations = np.exp(logs / 2)
    shrunk: Matrix = correlations * np.outer(deviations, deviations)
    return shrunk


def _share_kept(spread: float, sampling: float) -> float:
    """Return the share of a variance over models that is not the variance of the estimates."""
    return max(1.0 - sampling / spread, 0.0) if spread > 0 else 0.0


def _draw_normal(covariance: Matrix, scale: Matrix, rng: np.random.Generator) -> Matrix:
    """Draw vectors with a covariance, each multiplied by its entry of `scale`."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn: Matrix = rng.standard_normal((_N_DRAWS, len(values))) @ root.T
    return drawn * scale
