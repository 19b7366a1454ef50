r"""Scaling laws of learning curves, fitted by least squares to the gap to a limit.

The notes of :func:`transferability.forecast.fit` define the laws, the gap g(n) and the shape
s(n) = 1 / (1 + ((n/n₀)^β − 1) e^{−h}), which falls from s(n₀) = 1. `rectified`, g = A s(n) + E, is
the rectified scaling law B / (D_l + n^β) + E of Lin et al. (ICML 2024). Its "pre-learned data size"
is D_l = n₀^β (e^h − 1): the curve is flat until n^β is as large, which a power law cannot follow.
The parameters (A, h) replace (B, D_l), because each of them has a natural scale. A negative D_l, as
in some published fits, is h < 0.

Residuals are those of ln g. Where no limit is known or a value has reached it, residuals are
differences, and E may have either sign. Laws that need a limit are then left out unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need

__all__ = ["LAWS", "PANEL", "PARAMETERS", "Law", "fit_law"]

Array = NDArray[np.float64]

#: Number of parameters of each law, and so of sizes that it needs.
PARAMETERS = {
    "local_linear": 2,
    "log_linear": 2,
    "local_power": 2,
    "power_law": 3,
    "logistic": 3,
    "rectified": 4,
    "rectified_prior": 3,  # the prior stands in for one size
}
LAWS = tuple(name for name in PARAMETERS if name != "rectified_prior")
#: Laws of the median in "auto", in order of the curvature of their forecasts.
PANEL = ("local_linear", "logistic", "local_power", "rectified_prior", "power_law")
NEED_LIMIT = ("local_power", "logistic")
_WINDOW = 4  # number of largest sizes in the fit of a local line

#: Prior of `rectified_prior`: β = 0.3 within a factor of e, as in data scaling laws of neural
#: networks, and a decline that starts within e⁴ of the smallest size. It has the weight of one
#: residual of 2 %, so informative data outweigh it.
_PRIOR_BETA, _PRIOR_H, _PRIOR_WEIGHT = np.log(0.3), 4.0, 0.02
_BETA = (0.003, 4.0)
_H = (-8.0, 40.0)
_TINY = 1e-12
_STARTS = 2


@dataclass(frozen=True)
class Law:
    """One fitted law: parameters by name, and the smallest size n₀ as `start`."""

    name: str
    parameters: dict[str, float]
    start: float = 1.0

    def predict_gap(self, sizes: Array) -> Array:
        """Compute the gap at sizes."""
        p = self.parameters
        if "b" in p:
            line = p["a"] + p["b"] * np.log(sizes)
            return np.exp(line) if self.name == "local_power" else line
        s = _shape(np.log(sizes / self.start), p["beta"], p["h"])
        return p["A"] * s + p["E"]


def fit_law(name: str, sizes: Array, gaps: Array, relative: bool) -> Law:
    """Fit one law by least squares at increasing positive sizes."""
    if name in ("log_linear", "local_linear", "local_power"):
        last = slice(None if name == "log_linear" else -_WINDOW, None)
        x, y = np.log(sizes[last]), gaps[last]
        if name == "local_power" and not relative:
            return _fit_power(x, y)
        y = np.log(y) if name == "local_power" else y
        slope = float(np.sum((x - x.mean()) * y) / np.sum((x - x.mean()) ** 2))
        return Law(name, {"a": float(y.mean() - slope * x.mean()), "b": slope})
    return _fit_saturating(name, sizes, gaps, relative)


def _fit_power(x: Array, y: Array) -> Law:
    """Fit e^(a + b x) to gaps of which some are 0, by least squares in the gap, with b ≤ 0."""
    optimize = need("scipy.optimize", extra="stats", what="forecasting")
    t = x - x[0]

    def scale(b: Any) -> Any:
        s = np.exp(np.multiply.outer(b, t))
        return np.maximum(s @ y, 0) / (s * s).sum(-1)

    def misfit(b: Any) -> Any:
        return ((np.exp(np.multiply.outer(b, t)) * scale(b)[..., None] - y) ** 2).sum(-1)

    grid = np.linspace(-_BETA[1], 0, 101)
    best = int(misfit(grid).argmin())
    b = float(optimize.fminbound(misfit, grid[max(best - 1, 0)], grid[min(best + 1, 100)]))
    with np.errstate(divide="ignore"):  # all gaps are 0: a is -inf, and so is the line
        a = float(np.log(scale(b)) - b * x[0])
    return Law("local_power", {"a": a, "b": b})


def _shape(t: Array, beta: Any, h: Any) -> Array:
    """Compute s at t = ln(n/n₀) ≥ 0, without overflow for β and h within their bounds."""
    return 1 / (1 + np.expm1(beta * t) * np.exp(-h))  # type: ignore[no-any-return]


def _fit_saturating(name: str, sizes: Array, gaps: Array, relative: bool) -> Law:
    """Fit A s(n) + E by bounded least squares from the best starts on a grid over (β, h)."""
    optimize = need("scipy.optimize", extra="stats", what="forecasting")
    t = np.log(sizes / sizes[0])
    scale = float(gaps.mean()) if relative else float(np.ptp(gaps) or np.abs(gaps).max() or 1)
    y = gaps / scale
    free = {"power_law": [0, 1, 3], "logistic": [0, 1, 2]}.get(name, [0, 1, 2, 3])
    prior = name == "rectified_prior"
    h_low = _H[0] if name == "rectified" else 0.0
    low = np.array([0.0, np.log(_BETA[0]), h_low, 0.0 if relative else -np.inf])
    high = np.array([np.inf, np.log(_BETA[1]), _H[1], np.inf])
    full = np.zeros(4)  # A, ln β, h, E

    def residuals(x: Array) -> Array:
        full[free] = x
        found = full[0] * _shape(t, np.exp(full[1]), full[2]) + full[3]
        r = np.log(np.maximum(found, _TINY) / y) if relative else found - y
        if prior:
            pulls = [(x[1] - _PRIOR_BETA), x[2] / _PRIOR_H]
            r = np.append(r, _PRIOR_WEIGHT * np.array(pulls))
        return r  # type: ignore[no-any-return]

    def slopes(x: Array) -> Array:
        full[free] = x
        beta = np.exp(full[1])
        s = _shape(t, beta, full[2])
        bend = full[0] * s * s * np.exp(-full[2])
        rows = [s, -bend * beta * t * np.exp(beta * t), bend * np.expm1(beta * t), np.ones_like(t)]
        jacobian = np.array(rows).T
        if relative:
            jacobian /= np.maximum(full[0] * s + full[3], _TINY)[:, None]
        if prior:
            pulls = np.diag([0.0, _PRIOR_WEIGHT, _PRIOR_WEIGHT / _PRIOR_H, 0.0])
            jacobian = np.concatenate([jacobian, pulls[1:3]])
        return jacobian[:, free]

    bounds, fits = (low[free], high[free]), []
    for start in _find_starts(t, y, free, relative, h_low):
        x = np.clip(start, low + 1e-9, np.minimum(high, 1e9) - 1e-9)[free]
        fits.append(optimize.least_squares(residuals, x, slopes, bounds=bounds, max_nfev=200))
    full[free] = min(fits, key=lambda fit: fit.cost).x
    a, log_beta, h, e = full.tolist()
    parameters = {"A": scale * a, "beta": float(np.exp(log_beta)), "h": h, "E": scale * e}
    return Law(name, parameters, float(sizes[0]))


def _find_starts(t: Array, y: Array, free: list[int], relative: bool, h_low: float) -> list[Array]:
    """Return the lowest local minima of a grid over β and h, with the best A and E at each.

    A and E are linear parameters, solved in closed form at each point of the grid.
    """
    beta = np.geomspace(0.02, 2, 24)
    h = np.concatenate([[-4, -2, -1] if h_low < 0 else [], [0], np.geomspace(0.02, 25, 30)])
    h = h if 2 in free else np.zeros(1)
    weight = 1 / y if relative else np.ones_like(y)
    s = _shape(t, beta[:, None, None], h[:, None]) * weight
    ss, s1, sy = (s * s).sum(-1), s @ weight, s @ (y * weight)
    w1, wy = weight @ weight, weight @ (y * weight)
    with np.errstate(all="ignore"):
        determinant = ss * w1 - s1 * s1
        a, e = (sy * w1 - wy * s1) / determinant, (wy * ss - sy * s1) / determinant
    alone = (a < 0) | ~np.isfinite(a) | (3 not in free) | (relative & (e < 0))
    a, e = np.where(alone, np.maximum(sy / ss, 0), a), np.where(alone, 0, e)
    misfit = ((a[..., None] * s + e[..., None] * weight - y * weight) ** 2).sum(-1)
    around = np.pad(misfit, 1, constant_values=np.inf)
    least = (misfit <= around[:-2, 1:-1]) & (misfit <= around[2:, 1:-1])
    least &= (misfit <= around[1:-1, :-2]) & (misfit <= around[1:-1, 2:])
    places = np.argwhere(least)
    places = places[np.argsort(misfit[least], kind="stable")][:_STARTS]
    return [np.array([a[i, j], np.log(beta[i]), h[j], e[i, j]]) for i, j in places]
