"""Posterior of true scores under the mixture prior of ``mixture.py``, by blocked Gibbs sampling.

Many chains run side by side as arrays. The group of each model is drawn with its θ integrated out.
Given the groups, all θ are drawn at once by Matheron's rule (conditioning by kriging), so that
correlated noise does not slow the chains down. ω, γ, and the place and width of every group are
drawn twice in each sweep, given θ and given the standardised θ (interweaving), because either alone
is slow where the noise is large or small: given θ, a narrow group of many models hardly moves.

Sources: Yu and Meng, J. Computational and Graphical Statistics 20, 2011, for interweaving; Journel
and Huijbregts, Mining Geostatistics, 1978, for Matheron's rule.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .mixture import N_GROUPS, SCALE, Posterior, Predictor, condition, make_grids

__all__ = ["sample_mixture"]

Matrix = NDArray[np.float64]
Index = NDArray[np.intp]

#: Chains side by side, and sweeps before the first draw, for at most _MANY models and for more: the
#: sweeps of many models take longer, and more of them until the chains have arrived.
_MANY = 40
_N_CHAINS, _N_CHAINS_OF_MANY = 200, 64
_BURN_IN, _BURN_IN_OF_MANY = 25, 50


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
    chains = _Chains(scores, noise, covariance, free, seed, predictor)
    n_kept = -(-n_draws // chains.n_chains)
    draws = np.empty((n_kept, chains.n_chains, len(scores)))
    burn_in = _BURN_IN if len(scores) <= _MANY else _BURN_IN_OF_MANY
    for sweep in range(-burn_in, n_kept):
        chains.sweep()
        if sweep >= 0:
            draws[sweep] = chains.truths
    middle = scores.mean()
    means, widths = chains.find_normals()
    return Posterior(
        draws.reshape(-1, len(scores))[:n_draws] + middle,
        means + middle,
        widths,
        chains.truths + middle,
        covariance,
    )


class _Chains:
    """Gibbs chains side by side: arrays whose first axis is the chain."""

    def __init__(
        self,
        scores: Matrix,
        noise: Matrix,
        covariance: Matrix,
        free: int,
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
        self.grids = make_grids(self.scores, self.covariance)
        self._start()

    def _start(self) -> None:
        """Start every chain elsewhere: at a draw of the noise, with groups at random models.

        The groups start wide, because a chain leaves narrow ones more slowly than it finds them.
        """
        c, m, rng = self.n_chains, len(self.scores), self.rng
        self._draw_scale()
        self.truths = self.scores + self._draw_noise()
        self.members = np.zeros((c, m), dtype=np.intp)
        self.gamma = np.zeros(c)
        self.weights = np.full((c, N_GROUPS), 1 / N_GROUPS)
        self.centres = self.truths[np.arange(c)[:, None], rng.integers(m, size=(c, N_GROUPS))]
        self.centres[: c // 2] = 0.0
        self.middle = np.zeros(c)
        wide = int(np.searchsorted(self.grids.sizes, self.scores.std()))
        self.omega = np.clip(wide + rng.integers(-4, 3, size=c), 0, len(self.grids.sizes) - 1)
        self.shifts = rng.integers(4, size=(c, N_GROUPS))

    @property
    def spread(self) -> Matrix:
        """ω of every chain, (n_chains, 1)."""
        spread: Matrix = self.grids.sizes[self.omega][:, None]
        return spread

    @property
    def tau(self) -> Matrix:
        """Widths of the groups, (n_chains, K)."""
        widths: Matrix = self.spread * self.grids.widths[self.shifts]
        return widths

    @property
    def slope(self) -> Matrix:
        """Contribution γ p of the predictor, (n_chains, M)."""
        if self.predictor is None:
            return np.zeros_like(self.truths)
        slope: Matrix = self.gamma[:, None] * self.predictor.values
        return slope

    @property
    def own(self) -> NDArray[np.bool_]:
        """Whether a model is in a group, (n_chains, K, M)."""
        own: NDArray[np.bool_] = self.members[:, None, :] == np.arange(N_GROUPS)[:, None]
        return own

    def sweep(self) -> None:
        """Draw all unknowns once, each given the others, and some of them in a second way."""
        self._draw_scale()
        self._draw_groups()
        self._move_groups()
        self._draw_truths()  # after the moves, so that copies of a model are equal again
        self._draw_centres()
        self._draw_widths()
        if self.predictor is not None:
            self._draw_slope(self.predictor)
        self._draw_spread_given_truths()
        self._draw_spread_given_shape()
        self._centre()

    def find_normals(self) -> tuple[Matrix, Matrix]:
        """Return mean and width of the normal that each model's true score comes from."""
        means = np.take_along_axis(self.centres, self.members, 1) + self.slope
        return means, np.take_along_axis(self.tau, self.members, 1)

    def _draw_groups(self) -> None:
        """Draw the group of every model, and the weights of the groups.

        The group of a model is drawn with its own true score integrated out, one model after the
        other; given the true score, a model would hardly leave a narrow group. Arrays are
        transposed, with models first, so that each step of the loop reads what lies together.
        """
        precision, rng = self.grids.precision, self.rng
        shape = (len(self.scores), self.n_chains, N_GROUPS)
        own = np.maximum(np.diag(precision), 1e-300)
        # The noise of one model, given the true scores of the others.
        noise = (self.scale[:, 0] ** 2 / own[:, None])[:, :, None]
        variance = self.tau**2
        total = variance + noise
        start = rng.gumbel(size=shape) + np.log(self.weights + 1e-300) - 0.5 * np.log(total)
        steep = -0.5 / total
        keep = noise / total
        luck = np.sqrt(variance * keep) * rng.standard_normal((*shape[:2], 1))
        truths, slope = self.truths.T.copy(), self.slope.T
        pull = precision @ (self.scores[:, None] - truths)
        members = np.empty(truths.shape, dtype=np.intp)
        first = np.arange(self.n_chains) * N_GROUPS
        for i, old in enumerate(truths):
            off = (old + pull[i] / own[i] - slope[i])[:, None] - self.centres
            group = (start[i] + steep[i] * off * off).argmax(axis=1)
            place = first + group
            change = pull[i] / own[i] - keep[i].take(place) * off.take(place) + luck[i].take(place)
            pull -= precision[:, i, None] * change
            old += change
            members[i] = group
        self.truths, self.members = truths.T, members.T
        drawn = rng.standard_gamma(1.0 + self.own.sum(axis=2)) + 1e-300
        self.weights = drawn / drawn.sum(axis=1, keepdims=True)

    def _draw_truths(self) -> None:
        means, widths = self.find_normals()
        drawn = means + widths * self.rng.standard_normal(means.shape)
        # To divide the widths by the scale of the noise spares a covariance for each chain.
        noise = self._draw_noise()
        parts = (drawn[:, None], noise[:, None], widths / self.scale, self.covariance)
        self.truths = condition(self.scores, *parts)[:, 0]

    def _draw_scale(self) -> None:
        """Draw the scale of the noise, (n_chains, 1): the noise is multivariate t."""
        drawn = self.scales.chisquare(self.free, size=(self.n_chains, 1))
        self.scale: Matrix = np.sqrt(self.free / drawn)

    def _draw_noise(self) -> Matrix:
        rows = self.resamples.integers(len(self.noise), size=self.n_chains)
        noise: Matrix = self.noise[rows] * self.scale
        return noise

    def _draw_centres(self) -> None:
        own = self.own
        sums = (own * (self.truths - self.slope)[:, None, :]).sum(axis=2)
        near, far = self.tau**-2, self.spread**-2
        precision = own.sum(axis=2) * near + far
        mean = (sums * near + self.middle[:, None] * far) / precision
        self.centres = mean + self.rng.standard_normal(mean.shape) / np.sqrt(precision)
        error = self.spread[:, 0] / math.sqrt(N_GROUPS)
        self.middle = self.centres.mean(axis=1) + error * self.rng.standard_normal(self.n_chains)

    def _draw_widths(self) -> None:
        own = self.own
        off = (self.truths - self.slope)[:, None, :] - self.centres[:, :, None]
        squares = (own * off**2).sum(axis=2)[:, :, None]
        tau = self.spread[:, :, None] * self.grids.widths
        log = -own.sum(axis=2)[:, :, None] * np.log(tau) - 0.5 * squares / tau**2
        self.shifts = self._choose(log)

    def _move_groups(self) -> None:
        """Draw the place and the width of every group, with true scores that move with it.

        With u the members of a group (1, else 0) and d their distances from its centre, a move by x
        and a stretch by 1 + y change θ by x u + y d. The scores bind both by quadratic forms.
        """
        own = self.own.astype(np.float64)
        off = own * ((self.truths - self.slope)[:, None, :] - self.centres[:, :, None])
        ways = np.concatenate([own, off], axis=1)  # (n_chains, 2K, M)
        bound = (ways @ self.grids.precision) / self.scale[:, :, None] ** 2
        form = bound @ ways.transpose(0, 2, 1)
        pull = (bound @ (self.scores - self.truths)[:, :, None])[:, :, 0]
        far = self.spread[:, 0] ** -2
        luck = self.rng.standard_normal((N_GROUPS, self.n_chains))
        change = np.empty((self.n_chains, 2 * N_GROUPS))
        for k in range(N_GROUPS):
            precision = form[:, k, k] + far
            mean = (pull[:, k] - (self.centres[:, k] - self.middle) * far) / precision
            change[:, k] = mean + luck[k] / np.sqrt(precision)
            pull -= form[:, k] * change[:, k, None]
        self.centres = self.centres + change[:, :N_GROUPS]
        sizes = self.grids.widths
        for k in range(N_GROUPS):
            i = N_GROUPS + k
            stretch = sizes / sizes[self.shifts[:, k], None] - 1
            log = pull[:, i, None] * stretch - 0.5 * form[:, i, i, None] * stretch**2
            chosen = self._choose(log)
            change[:, i] = np.take_along_axis(stretch, chosen[:, None], 1)[:, 0]
            pull -= form[:, i] * change[:, i, None]
            self.shifts[:, k] = chosen
        self.truths = self.truths + (change[:, None] @ ways)[:, 0]

    def _draw_spread_given_truths(self) -> None:
        """Draw ω given true scores, centres and widths; the widths keep their sizes."""
        sizes, n_steps = self.grids.sizes, len(self.grids.widths)
        place = self.omega[:, None] - self.shifts  # of every width on the grid of sizes
        shifts = np.arange(len(sizes))[None, :, None] - place[:, None, :]
        allowed = ((shifts >= 0) & (shifts < n_steps)).all(axis=2)
        squares = ((self.centres - self.middle[:, None]) ** 2).sum(axis=1)[:, None]
        log = self._log_prior() - N_GROUPS * np.log(sizes) - 0.5 * squares / sizes**2
        self.omega = self._choose(np.where(allowed, log, -np.inf))
        self.shifts = self.omega[:, None] - place

    def _draw_spread_given_shape(self) -> None:
        """Draw ω given true scores that scale with it, which only the data then bind."""
        base, sizes = self.middle[:, None] + self.slope, self.grids.sizes
        shape = (self.truths - base) / self.spread
        along = (shape @ self.grids.precision) / self.scale**2
        log = self._log_prior() + sizes * ((self.scores - base) * along).sum(axis=1)[:, None]
        log = log - 0.5 * sizes**2 * (along * shape).sum(axis=1)[:, None]
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
            return self.grids.log_prior
        gamma, sizes = self.gamma[:, None], self.grids.sizes
        density = self._log_weight(np.arcsinh(gamma / sizes))
        log: Matrix = self.grids.log_prior + density - 0.5 * np.log(sizes**2 + gamma**2)
        return log

    def _log_weight(self, scale: Matrix) -> Matrix:
        """Return the log prior of ρ, given as atanh ρ; beyond the grid as of a uniform ρ."""
        assert self.predictor is not None, "callers have checked"
        known = np.interp(scale, SCALE, np.log(self.predictor.weights + 1e-300))
        log: Matrix = known - 2 * np.maximum(np.abs(scale) - SCALE[-1], 0.0)
        return log

    def _draw_slope(self, predictor: Predictor) -> None:
        """Draw γ given the true scores, and given what the predictor leaves of them."""
        p = predictor.values
        means, widths = self.find_normals()
        near = widths**-2
        off = self.truths - (means - self.slope)
        self.gamma = self._choose_slope((off * near) @ p, near @ p**2)
        rest = self.truths - self.slope
        along = self.grids.precision @ p
        tight = self.scale[:, 0] ** 2
        linear = ((self.scores - rest) @ along) / tight
        self.gamma = self._choose_slope(linear, (p @ along) / tight)
        self.truths = rest + self.slope

    def _choose_slope(self, linear: Matrix, square: Matrix) -> Matrix:
        """Draw γ where its log likelihood is linear · γ - square · γ² / 2."""
        scale = SCALE + (SCALE[1] - SCALE[0]) * self.rng.uniform(-0.5, 0.5)
        gamma = self.spread * np.sinh(scale)  # ρ / √(1 - ρ²) is sinh(atanh ρ)
        log = linear[:, None] * gamma - 0.5 * square[:, None] * gamma**2
        chosen = self._choose(log + self._log_weight(scale))
        found: Matrix = np.take_along_axis(gamma, chosen[:, None], 1)[:, 0]
        return found

    def _choose(self, log: Matrix) -> Index:
        """Draw an index of the last axis with probabilities that are given as logarithms."""
        found: Index = (log + self.rng.gumbel(size=log.shape)).argmax(axis=-1)
        return found
