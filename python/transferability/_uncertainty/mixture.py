"""Posterior of true scores under a hierarchical normal mixture, by blocked Gibbs sampling.

Model: the scores of M models are s = θ + e, with noise e whose scale and degrees of freedom are
known from resampling (``noise.py``).
The true scores come from a finite mixture of normals,

    θ_i ~ N(γ p_i + μ_k, τ_k²) with probability w_k,     μ_k ~ N(m, ω²),   w ~ Dirichlet(1/K),

so that models may be alike, spread evenly, or stand in groups. ω, and the widths τ_k ≤ ω, have
posteriors on a grid of sizes from a twentieth of the noise to twenty times the scores; m is flat.
One normal prior for all models (K = 1) is too sure of the best of many models that stand in groups:
the poor ones widen it, and the good ones are then hardly shrunk.

p are numbers known before any features are read, standardised; γ is their slope. Its prior is that
of the correlation ρ = γ / √(ω² + γ²) of p with the true scores, which is given on a grid.

Many chains run side by side as arrays. The group of each model is drawn with its θ integrated out.
Given the groups, all θ are drawn at once by Matheron's rule (conditioning by kriging), so that
correlated noise does not slow the chains down. ω and γ are drawn twice in each sweep, given θ and
given the standardised θ (interweaving), because either alone is slow where the noise is large or
small.

Sources: Escobar and West, J. American Statistical Association 90, 1995, for the mixture; Ishwaran
and James, J. American Statistical Association 96, 2001, for finite K; Yu and Meng, J. Computational
and Graphical Statistics 20, 2011, for interweaving; Journel and Huijbregts, Mining Geostatistics,
1978, for Matheron's rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CORRELATIONS", "Posterior", "Predictor", "condition", "sample_mixture"]

Matrix = NDArray[np.float64]
Index = NDArray[np.intp]

_N_GROUPS = 6  # K
_BURN_IN = 25  # sweeps
_RATIO = 1.35  # of adjacent sizes on the grid
#: A width τ is ω / _RATIO^k for a step k from 0, with the prior weight (1 + k)^-_DECAY. The last
#: step reaches _FINE of the smallest noise of a difference, so that similar models can be alike.
_FEWEST_STEPS, _MOST_STEPS, _DECAY, _FINE = 12, 40, 0.5, 0.3
_NARROW, _WIDE = 0.05, 20.0  # ends of the grid, relative to the noise and to the scores
_KNEE = 2.0  # the prior density of log ω is ω^¼ below this many noise sizes and ω^-½ above
_ROUNDING = 1e-8  # relative variances below it are rounding errors
#: Chains side by side for a moderate number of models; few for many, whose sweeps are longer.
_N_CHAINS, _N_CHAINS_OF_MANY, _MANY = 200, 64, 40
#: Grid of the correlation ρ of the known numbers with the true scores.
_SCALE: Matrix = np.linspace(-2.5, 2.5, 41)  # atanh ρ
CORRELATIONS: Matrix = np.tanh(_SCALE)


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


def sample_mixture(
    scores: Matrix,
    noise: Matrix,
    covariance: Matrix,
    free: int,
    n_draws: int,
    seed: int,
    predictor: Predictor | None = None,
) -> Posterior:
    """Sample the true scores of M models from their posterior.

    `scores` (M,) are finite, and their noise is multivariate t: `noise` (n_boot, M) has draws of
    the normal, `covariance` (M, M) is the scale matrix, `free` the degrees of freedom. Draws of
    several metrics of the same models share the noise, draw by draw, if they have the same seed.
    """
    chains = _Chains(scores, noise, covariance, free, n_draws, seed, predictor)
    n_kept = -(-n_draws // chains.n_chains)
    draws = np.empty((n_kept, chains.n_chains, len(scores)))
    for sweep in range(-_BURN_IN, n_kept):
        chains.sweep()
        if sweep >= 0:
            draws[sweep] = chains.truths
    middle = scores.mean()
    means, widths = chains.find_normals(chains.members)
    return Posterior(
        draws.reshape(-1, len(scores))[:n_draws] + middle,
        means + middle,
        widths,
        chains.truths + middle,
        covariance,
    )


def condition(
    scores: Matrix, drawn: Matrix, noise: Matrix, widths: Matrix, covariance: Matrix
) -> Matrix:
    """Return draws of true scores given scores, by Matheron's rule, (n_chains, n_draws, M).

    `drawn` are draws of the independent normals with standard deviations `widths` (n_chains, M),
    and `noise` draws of the noise with this covariance, (M, M) or one for each chain. Only the
    contrasts of scores count: their mean has noise of infinite variance.
    """
    variance = widths**2
    total = covariance + variance[:, :, None] * np.eye(variance.shape[1])
    rest = np.swapaxes(scores - noise - drawn, 1, 2)
    solved = np.linalg.solve(total, np.concatenate([rest, np.ones_like(rest[:, :, :1])], axis=2))
    weights, flat = solved[:, :, :-1], solved[:, :, -1:]
    weights = weights - flat * (
        weights.sum(axis=1, keepdims=True) / flat.sum(axis=1, keepdims=True)
    )
    found: Matrix = drawn + variance[:, None] * np.swapaxes(weights, 1, 2)
    return found


class _Chains:
    """Gibbs chains side by side: arrays whose first axis is the chain."""

    def __init__(
        self,
        scores: Matrix,
        noise: Matrix,
        covariance: Matrix,
        free: int,
        n_draws: int,
        seed: int,
        predictor: Predictor | None,
    ) -> None:
        n_models = len(scores)
        self.n_chains = _N_CHAINS if n_models <= _MANY else _N_CHAINS_OF_MANY
        self.rng = np.random.default_rng(seed)
        self.resamples = np.random.default_rng([seed, 1])  # the same for all metrics
        self.scales = np.random.default_rng([seed, 5])
        self.free = free
        self.predictor = predictor
        # Noise that all models share does not move an order, so it is left out.
        centre = np.eye(n_models) - 1 / n_models
        self.covariance = centre @ covariance @ centre
        self.noise = noise - noise.mean(axis=1, keepdims=True)
        self.scores = scores - scores.mean()
        values, vectors = np.linalg.eigh(self.covariance)
        seen = values > _ROUNDING * max(float(values[-1]), 1e-300)
        self.precision = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
        size = float(np.abs(self.scores).max())
        unit = math.sqrt(float(np.median(values[seen]))) if seen.any() else 0.0
        self.unit = max(unit, _ROUNDING * size, 1e-150)
        n_sizes = math.ceil(math.log(_WIDE * max(size / self.unit, 1) / _NARROW, _RATIO)) + 1
        self.sizes: Matrix = _NARROW * self.unit * np.power(_RATIO, np.arange(n_sizes))
        relative = self.sizes / self.unit
        self.log_prior = 0.25 * np.log(relative) - 0.375 * np.log1p((relative / _KNEE) ** 2)
        steps = np.arange(self._count_steps(size), dtype=np.float64)
        self.widths: Matrix = _RATIO**-steps
        self.log_steps: Matrix = -_DECAY * np.log1p(steps)
        self._start()

    def _count_steps(self, size: float) -> int:
        """Return the number of steps from the size of the scores down to the finest noise."""
        variance = np.diag(self.covariance)
        pairs = variance[:, None] + variance - 2 * self.covariance
        least = _ROUNDING * float(variance.max(initial=0.0))
        finest = math.sqrt(float(pairs[pairs > least].min(initial=np.inf)))
        if not 0 < finest < size:
            return _FEWEST_STEPS
        steps = math.ceil(math.log(size / (_FINE * finest), _RATIO))
        return min(max(steps, _FEWEST_STEPS), _MOST_STEPS)

    def _start(self) -> None:
        """Start every chain elsewhere: at a draw of the noise, with groups at random models.

        The groups start wide, because a chain leaves narrow ones more slowly than it finds them.
        """
        c, m, rng = self.n_chains, len(self.scores), self.rng
        self.truths = self.scores + self._draw_noise(self._draw_scale())
        self.gamma = np.zeros(c)
        self.weights = np.full((c, _N_GROUPS), 1 / _N_GROUPS)
        self.centres = self.truths[np.arange(c)[:, None], rng.integers(m, size=(c, _N_GROUPS))]
        self.centres[: c // 2] = 0.0
        self.middle = np.zeros(c)
        wide = int(np.searchsorted(self.sizes, self.scores.std()))
        self.omega = np.clip(wide + rng.integers(-4, 3, size=c), 0, len(self.sizes) - 1)
        self.shifts = rng.integers(4, size=(c, _N_GROUPS))

    @property
    def spread(self) -> Matrix:
        """ω of every chain, (n_chains, 1)."""
        spread: Matrix = self.sizes[self.omega][:, None]
        return spread

    @property
    def tau(self) -> Matrix:
        """Widths of the groups, (n_chains, K)."""
        widths: Matrix = self.spread * self.widths[self.shifts]
        return widths

    @property
    def slope(self) -> Matrix:
        """Contribution γ p of the predictor, (n_chains, M)."""
        if self.predictor is None:
            return np.zeros_like(self.truths)
        slope: Matrix = self.gamma[:, None] * self.predictor.values
        return slope

    def sweep(self) -> None:
        """Draw all unknowns once, each given the others."""
        scale = self._draw_scale()
        members = self._draw_groups(scale)
        self._draw_truths(members, scale)
        self._draw_centres(members)
        self._draw_widths(members)
        if self.predictor is not None:
            self._draw_slope(self.predictor, members)
        self._draw_spread_given_truths()
        self._draw_spread_given_shape()
        self._centre()
        self.members = members

    def find_normals(self, members: Index) -> tuple[Matrix, Matrix]:
        """Return mean and width of the normal that each model's true score comes from."""
        means = np.take_along_axis(self.centres, members, 1) + self.slope
        return means, np.take_along_axis(self.tau, members, 1)

    def _draw_groups(self, scale: Matrix) -> Index:
        """Return the group of every model, (n_chains, M), and draw the weights of the groups.

        The group of a model is drawn with its own true score integrated out, one model after the
        other; given the true score, a model would hardly leave a narrow group.
        """
        n_models, tau = len(self.scores), self.tau
        members = np.empty(self.truths.shape, dtype=np.intp)
        chain, slope = np.arange(self.n_chains), self.slope
        luck = self.rng.gumbel(size=(n_models, *tau.shape)) + np.log(self.weights + 1e-300)
        normal = self.rng.standard_normal((n_models, self.n_chains))
        pull = (self.scores - self.truths) @ self.precision
        own = np.maximum(np.diag(self.precision), 1e-300)
        for i in range(n_models):
            noise = scale[:, 0] ** 2 / own[i]  # of this model given the true scores of the others
            seen = self.truths[:, i] + pull[:, i] / own[i] - slope[:, i]
            total = tau**2 + noise[:, None]
            log = luck[i] - 0.5 * np.log(total) - 0.5 * (seen[:, None] - self.centres) ** 2 / total
            members[:, i] = log.argmax(axis=1)
            width, centre = tau[chain, members[:, i]], self.centres[chain, members[:, i]]
            gain = width**2 / (width**2 + noise)
            found = (
                centre + gain * (seen - centre) + np.sqrt(gain * noise) * normal[i] + slope[:, i]
            )
            pull -= (found - self.truths[:, i])[:, None] * self.precision[i]
            self.truths[:, i] = found
        counts = (members[:, :, None] == np.arange(_N_GROUPS)).sum(axis=1)
        drawn = self.rng.standard_gamma(1 / _N_GROUPS + counts) + 1e-300
        self.weights = drawn / drawn.sum(axis=1, keepdims=True)
        return members

    def _draw_truths(self, members: Index, scale: Matrix) -> None:
        means, widths = self.find_normals(members)
        drawn = means + widths * self.rng.standard_normal(means.shape)
        covariance = self.covariance * scale[:, :, None] ** 2
        parts = (drawn[:, None], self._draw_noise(scale)[:, None], widths, covariance)
        self.truths = condition(self.scores, *parts)[:, 0]

    def _draw_scale(self) -> Matrix:
        """Return the scale of the noise, (n_chains, 1): the noise is multivariate t."""
        drawn: Matrix = self.scales.chisquare(self.free, size=(self.n_chains, 1))
        return np.sqrt(self.free / drawn)

    def _draw_noise(self, scale: Matrix) -> Matrix:
        rows = self.resamples.integers(len(self.noise), size=self.n_chains)
        noise: Matrix = self.noise[rows] * scale
        return noise

    def _draw_centres(self, members: Index) -> None:
        own = members[:, :, None] == np.arange(_N_GROUPS)
        sums = (own * (self.truths - self.slope)[:, :, None]).sum(axis=1)
        near, far = self.tau**-2, self.spread**-2
        precision = own.sum(axis=1) * near + far
        mean = (sums * near + self.middle[:, None] * far) / precision
        self.centres = mean + self.rng.standard_normal(mean.shape) / np.sqrt(precision)
        error = self.spread[:, 0] / math.sqrt(_N_GROUPS)
        self.middle = self.centres.mean(axis=1) + error * self.rng.standard_normal(self.n_chains)

    def _draw_widths(self, members: Index) -> None:
        own = members[:, :, None] == np.arange(_N_GROUPS)
        off = (self.truths - self.slope)[:, :, None] - self.centres[:, None, :]
        squares = (own * off**2).sum(axis=1)[:, :, None]
        tau = self.spread[:, :, None] * self.widths
        log = -own.sum(axis=1)[:, :, None] * np.log(tau) - 0.5 * squares / tau**2
        self.shifts = self._choose(log + self.log_steps)

    def _draw_spread_given_truths(self) -> None:
        """Draw ω given true scores, centres and widths; the widths keep their sizes."""
        place = self.omega[:, None] - self.shifts  # of every width on the grid of sizes
        shifts = np.arange(len(self.sizes))[None, :, None] - place[:, None, :]
        allowed = ((shifts >= 0) & (shifts < len(self.widths))).all(axis=2)
        squares = ((self.centres - self.middle[:, None]) ** 2).sum(axis=1)[:, None]
        log = self._log_prior() - _N_GROUPS * np.log(self.sizes) - 0.5 * squares / self.sizes**2
        log = log + self.log_steps[np.clip(shifts, 0, len(self.widths) - 1)].sum(axis=2)
        self.omega = self._choose(np.where(allowed, log, -np.inf))
        self.shifts = self.omega[:, None] - place

    def _draw_spread_given_shape(self) -> None:
        """Draw ω given true scores that scale with it, which only the data then bind."""
        base = self.middle[:, None] + self.slope
        shape = (self.truths - base) / self.spread
        along = shape @ self.precision
        log = (
            self._log_prior()
            + self.sizes * ((self.scores - self.slope) * along).sum(axis=1)[:, None]
        )
        log = log - 0.5 * self.sizes**2 * (along * shape).sum(axis=1)[:, None]
        ratio = 1 / self.spread
        self.omega = self._choose(log)
        ratio = ratio * self.spread
        self.truths = base + shape * self.spread
        self.centres = self.middle[:, None] + (self.centres - self.middle[:, None]) * ratio

    def _centre(self) -> None:
        """Move everything to mean 0: the scores tell differences only."""
        mean = self.truths.mean(axis=1, keepdims=True)
        self.truths = self.truths - mean
        self.centres, self.middle = self.centres - mean, self.middle - mean[:, 0]

    def _log_prior(self) -> Matrix:
        """Return the log prior of every size of ω, with the density of γ given it."""
        if self.predictor is None:
            return self.log_prior
        gamma = self.gamma[:, None]
        density = self._log_weight(np.arcsinh(gamma / self.sizes))
        log: Matrix = self.log_prior + density - 0.5 * np.log(self.sizes**2 + gamma**2)
        return log

    def _log_weight(self, scale: Matrix) -> Matrix:
        """Return the log prior of ρ, given as atanh ρ; beyond the grid as of a uniform ρ."""
        assert self.predictor is not None, "callers have checked"
        known = np.interp(scale, _SCALE, np.log(self.predictor.weights + 1e-300))
        log: Matrix = known - 2 * np.maximum(np.abs(scale) - _SCALE[-1], 0.0)
        return log

    def _draw_slope(self, predictor: Predictor, members: Index) -> None:
        """Draw γ given the true scores, and given what the predictor leaves of them."""
        p = predictor.values
        near = np.take_along_axis(self.tau, members, 1) ** -2
        off = self.truths - np.take_along_axis(self.centres, members, 1)
        self.gamma = self._choose_slope((off * near) @ p, near @ p**2)
        rest = self.truths - self.slope
        along = self.precision @ p
        self.gamma = self._choose_slope((self.scores - rest) @ along, np.full(1, p @ along))
        self.truths = rest + self.slope

    def _choose_slope(self, linear: Matrix, square: Matrix) -> Matrix:
        """Draw γ where its log likelihood is linear · γ - square · γ² / 2."""
        scale = _SCALE + (_SCALE[1] - _SCALE[0]) * self.rng.uniform(-0.5, 0.5)
        gamma = self.spread * np.sinh(scale)  # ρ / √(1 - ρ²) is sinh(atanh ρ)
        log = linear[:, None] * gamma - 0.5 * square[:, None] * gamma**2
        chosen = self._choose(log + self._log_weight(scale))
        found: Matrix = np.take_along_axis(gamma, chosen[:, None], 1)[:, 0]
        return found

    def _choose(self, log: Matrix) -> Index:
        """Draw an index of the last axis with probabilities that are given as logarithms."""
        found: Index = (log + self.rng.gumbel(size=log.shape)).argmax(axis=-1)
        return found
