r"""Posterior distribution of a learning curve: which continuations explain the known values.

The gap to the limit is g(n) = E + A s(n) + noise, and s falls from s(n₀) = 1 at the smallest size:

    u(n) = r ((n/n₀)^β − 1) / β        s(n) = (1 + κ u)^(−1/κ)

with u = r ln(n/n₀) for β = 0, and s = e^(−u) for κ = 0. This family holds the laws by which curves
saturate: κ = 1 is the rectified law, with the power law (r = β) and the S-curve (Morgan-Mercer-
Flodin); κ = 0 is Weibull's law, with the exponential (β = 1); β = 1 is a power of n + c; β = 0 are
powers of c + ln n, and with κ = −1 a line in ln n that ends at E.

The posterior is computed on a grid of (β, r, κ, E), with equal prior weights, so no law is chosen.
A is integrated in closed form. The noise is a mixture of up to four kinds: its standard deviation
is constant or in proportion to the gap, and it is independent or that of nested samples, where
means over n and m > n samples have the correlation √(n/m). Its variance has a scaled inverse χ²
prior. Errors at held-out sizes widen the posterior, for curves that follow none of these laws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need

__all__ = ["Posterior"]

Array = NDArray[np.float64]

_DRAWS = 2000
_BETA = np.array([0.0, *np.geomspace(0.1, 3.0, 13)])
_RATE = np.geomspace(0.004, 3.0, 36)
_KAPPA = np.array([-1.0, 0.0, 1.0, 2.0])
#: E as a share of the way from the limit to the last gap; without a limit, the distance of E from
#: the last gap in ranges of the gaps.
_SHARES = np.linspace(0, 1, 13)
_BEYOND = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 16, 64.0])
#: Prior of the noise: a standard deviation of 0.5 % of the range, with the weight of one residual.
_NOISE, _NOISE_FREEDOM = 0.005, 1.0
#: Prior weight of the curves without a floor (E at the limit), and of the laws in ln n (β = 0), in
#: which single points of the grid are the truth of common laws.
_WITHOUT_FLOOR, _IN_LOGARITHM = 5.0, 2.0
#: Cuts with errors of one standard deviation that are added to those held out.
_CUTS = 1.0
#: Curves follow no law exactly, the less so the farther away. Widths grow by this share once sizes
#: are as far beyond the known ones, in ln n, as these are apart; without it, intervals of 90 %
#: cover 95 % at twice the data and 85 % at sixteen times.
_DEPARTURE = 0.4
_FEWEST = 3  # sizes of the smallest cut
_MOST_CUTS = (
    16  # cuts of a long curve, evenly spaced, so that an interval takes well below a second
)
_NEGLIGIBLE = 25.0  # logarithm of weights that are left out, relative to the largest
_LARGEST = 500.0  # largest exponent, before overflow
_FLOOR = 0.01  # least gap on the logarithmic scale, as a share of the smallest known


def _compute_shapes(sizes: Array, start: float, which: Any = slice(None)) -> Array:
    """Compute s at sizes for shapes of the grid, (n_shapes, n_sizes)."""
    grid = np.meshgrid(_BETA, _RATE, _KAPPA, indexing="ij")
    beta, rate, kappa = (parameter.ravel()[which, None] for parameter in grid)
    t = np.log(sizes / start)
    steep = np.where(beta > 0, beta, 1.0)
    u = rate * np.where(beta > 0, np.expm1(np.minimum(beta * t, _LARGEST)) / steep, t)
    power = np.where(kappa == 0, 1.0, kappa)
    law = np.maximum(1 + power * u, 0.0) ** (-1 / power)
    return np.where(kappa == 0, np.exp(-u), law)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Draws:
    """Curves drawn from the posterior: one entry for each draw."""

    heights: Array  # A
    ends: Array  # E
    shapes: NDArray[np.intp]  # places in the grid of shapes
    sigmas: Array  # standard deviations of the noise
    proportional: NDArray[np.bool_]  # whether they are in proportion to the gap
    errors: Array  # standard normal: the noise of one measurement


@dataclass(frozen=True)
class Posterior:
    """The posterior of curves through gaps at increasing sizes.

    Gaps are in units of their range. `lowest` is the smallest possible gap, or -inf.
    """

    __module__ = "transferability.forecast"

    sizes: Array
    gaps: Array
    lowest: float

    def quantiles(self, sizes: Array, shares: tuple[float, ...]) -> Array:
        """Compute quantiles of a new measurement at sizes, (n_shares, n_sizes)."""
        links = self._to_link(self._draw_gaps(sizes, noise=1.0))
        middle, *found = np.quantile(links, [0.5, *shares], axis=0)
        return self._widen(sizes, np.array(found), middle)

    def curves(self, sizes: Array) -> Array:
        """Compute drawn curves without the noise of a measurement, (n_draws, n_sizes).

        Their levels have the error of the mean of the last two gaps, to which the grid of E is
        tied.
        """
        links = self._to_link(self._draw_gaps(sizes, noise=math.sqrt(0.5)))
        return self._widen(sizes, links, np.median(links, axis=0))

    @cached_property
    def factor(self) -> float:
        """The factor of widths: the root mean square of standardised held-out errors, at least 1.

        The first k sizes predict the others, for every k from 3, or 16 of them. An error is
        standardised by its rank among the draws, its normal score, and by the growth of widths at
        its distance. Each k has one term, the mean of their squares.
        """
        special = need("scipy.special", extra="stats", what="forecasting")
        squares = []
        every = np.arange(_FEWEST, len(self.sizes))
        chosen = np.linspace(0, len(every) - 1, min(len(every), _MOST_CUTS)).round().astype(int)
        for k in every[chosen]:
            part = Posterior(self.sizes[:k], self.gaps[:k], self.lowest)
            links = part._to_link(part._draw_gaps(self.sizes[k:], noise=1.0))
            true = part._to_link(self.gaps[k:])
            ranks = (np.sum(links < true, axis=0) + 0.5) / (_DRAWS + 1)
            standardised = special.ndtri(ranks) / part._grow(self.sizes[k:])
            squares.append(float(np.mean(standardised**2)))
        return math.sqrt(max((_CUTS + sum(squares)) / (_CUTS + len(squares)), 1.0))

    def _grow(self, sizes: Array) -> Array:
        """Compute how many times wider a distribution is for the departure of curves from laws."""
        first, last = self.sizes[0], self.sizes[-1]
        beyond = np.maximum(np.log(sizes / last), 0) / np.log(last / first)
        return 1 + _DEPARTURE * beyond  # type: ignore[no-any-return]

    def _widen(self, sizes: Array, links: Array, middle: Array) -> Array:
        """Multiply distances from the middle, but not to above all known gaps."""
        wide = middle + self.factor * self._grow(sizes) * (links - middle)
        wide = np.minimum(wide, np.maximum(links, self._to_link(self.gaps).max()))
        return self.lowest + np.exp(np.minimum(wide, _LARGEST)) if self._relative else wide  # type: ignore[no-any-return]

    def _to_link(self, gaps: Array) -> Array:
        """Take the logarithm of the distance to the limit, or the gaps if that can be 0."""
        if not self._relative:
            return gaps
        least = _FLOOR * (self.gaps.min() - self.lowest)
        return np.log(np.maximum(gaps - self.lowest, least))  # type: ignore[no-any-return]

    def _draw_gaps(self, sizes: Array, noise: float) -> Array:
        """Compute drawn gaps at sizes, (n_draws, n_sizes), with a multiple of the noise."""
        d = self._draws
        unique, place = np.unique(d.shapes, return_inverse=True)
        s = _compute_shapes(sizes, self.sizes[0], unique)[place]
        gaps = d.ends[:, None] + d.heights[:, None] * s
        scale = np.ones_like(gaps)
        if self._relative:
            share = np.maximum(gaps - self.lowest, 0) / self._middle_gap
            scale = np.where(d.proportional[:, None], share, scale)
        return gaps + noise * (d.sigmas * d.errors)[:, None] * scale

    @cached_property
    def _relative(self) -> bool:
        """Whether there is a limit that no gap has reached."""
        return math.isfinite(self.lowest) and float(self.gaps.min()) > self.lowest

    @cached_property
    def _smooth_logs(self) -> Array:
        """Logarithms of gaps, smoothed over three sizes: the level of a proportional noise."""
        logs = np.log(self.gaps - self.lowest)
        padded = np.r_[logs[0], logs, logs[-1]]
        return (padded[:-2] + padded[1:-1] + padded[2:]) / 3  # type: ignore[no-any-return]

    @property
    def _middle_gap(self) -> float:
        return float(np.exp(np.mean(self._smooth_logs)))

    def _list_ends(self) -> Array:
        """Return the grid of E."""
        last = float(self.gaps[-2:].mean())
        if math.isfinite(self.lowest):
            return self.lowest + _SHARES * (last - self.lowest)
        return last - _BEYOND * float(np.ptp(self.gaps) or 1.0)

    def _weigh(self, n_ends: int) -> Array:
        """Return the prior weights of the grid, (n_shapes, n_ends)."""
        weights = np.ones((_BETA.size, _RATE.size * _KAPPA.size, n_ends))
        weights[0] *= _IN_LOGARITHM
        if math.isfinite(self.lowest):
            weights[:, :, 0] *= _WITHOUT_FLOOR
        return weights.reshape(-1, n_ends)

    def _list_noises(self) -> list[tuple[bool, Array]]:
        """Return each kind of noise: whether it is proportional, and its whitening matrix."""
        k = len(self.sizes)
        ratio = np.sqrt(self.sizes[:-1] / self.sizes[1:])
        rest = np.sqrt(1 - ratio**2)
        plain, nested = np.eye(k), np.eye(k)
        nested[range(1, k), range(1, k)] = 1 / rest
        nested[range(1, k), range(k - 1)] = -ratio / rest
        noises = [(False, plain), (False, nested)]
        if self._relative:
            scale = self._middle_gap * np.exp(-self._smooth_logs)
            noises += [(True, plain * scale), (True, nested * scale)]
        return noises

    @cached_property
    def _draws(self) -> _Draws:
        """Draw from the posterior, the same numbers for the same curve."""
        special = need("scipy.special", extra="stats", what="forecasting")
        shapes, ends = _compute_shapes(self.sizes, self.sizes[0]), self._list_ends()
        noises = self._list_noises()
        freedom = len(self.sizes) - 1 + _NOISE_FREEDOM
        prior = _NOISE_FREEDOM * (_NOISE * float(np.ptp(self.gaps) or 1.0)) ** 2
        found = []
        for _, white in noises:
            y = white @ (self.gaps[:, None] - ends)
            s = shapes @ white.T
            ss = np.repeat((s * s).sum(axis=1)[:, None], len(ends), axis=1)
            a = s @ y / ss
            rest = np.maximum((y * y).sum(axis=0) - a * a * ss, 0) + prior
            log = np.linalg.slogdet(white)[1] - (np.log(ss) + freedom * np.log(rest)) / 2
            log += np.log(self._weigh(len(ends)))
            near = log > log.max() - _NEGLIGIBLE
            scores = a[near] * np.sqrt(ss[near] * freedom / rest[near])
            positive = special.stdtr(freedom, scores)  # P(A > 0)
            log[~near] = -np.inf
            log[near] += np.log(np.maximum(positive, 1e-300))
            found.append((log, a, ss, rest))
        log, a, ss, rest = (np.array(part) for part in zip(*found, strict=True))
        heap = np.cumsum(np.exp(log - log.max()).ravel())
        levels = (np.arange(_DRAWS) + 0.5) / _DRAWS
        chosen = np.minimum(np.searchsorted(heap, levels * heap[-1]), heap.size - 1)
        noise, shape, end = np.unravel_index(chosen, log.shape)
        rng = np.random.default_rng(0)
        first, second, third = (rng.permutation(levels) for _ in range(3))
        sigmas = np.sqrt(rest.ravel()[chosen] / special.chdtri(freedom, first))
        mean, error = a.ravel()[chosen], sigmas / np.sqrt(ss.ravel()[chosen])
        below = special.ndtr(-mean / error)  # A is normal, cut at 0
        heights = mean + error * special.ndtri(np.minimum(below + second * (1 - below), 1 - 1e-12))
        proportional = np.array([kind for kind, _ in noises])[noise]
        errors = special.ndtri(third)
        return _Draws(np.maximum(heights, 0), ends[end], shape, sigmas, proportional, errors)
