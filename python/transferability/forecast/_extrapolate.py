"""Extrapolate fitted laws, and choose among them by their errors at held-out larger sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ._laws import NEED_LIMIT, PANEL, PARAMETERS, Law, fit_law
from ._posterior import Posterior

__all__ = ["MEDIAN", "Extrapolation"]

Array = NDArray[np.float64]

MEDIAN = "median"
FEWEST = 3  # sizes that a forecast needs
#: A single law is chosen only if its held-out error is below this share of the median's. The
#: rectified law contains the power law with a floor and the S-curve, so its share is larger.
#: Otherwise the forecast is the median of the laws: held-out errors are few, and combined forecasts
#: beat the choice of one law in nearly every comparison of forecasting methods (Makridakis et al.
#: 2020, https://doi.org/10.1016/j.ijforecast.2019.04.014).
_SHARE_RECTIFIED, _SHARE_OTHERS = 0.5, 0.2
_LARGEST = 500.0  # largest logarithm of a gap, which caps uninformative intervals before overflow
_CURVES = 400  # quantiles of the forecast of one law that stand for its distribution
_FEWEST_CUTS = 3  # cuts with a held-out error that a law needs to be chosen alone


@dataclass(frozen=True)
class Extrapolation:
    """Laws fitted to gaps at increasing sizes; forecasts and errors are on the link scale.

    If `relative`, gaps are positive distances to a limit and the link is the logarithm. Otherwise
    the link divides by the range of the gaps, and forecasts of each law stay within `ends`, the
    smallest and the largest possible gap.
    """

    __module__ = "transferability.forecast"

    sizes: Array
    gaps: Array
    relative: bool
    form: str  # "auto" or the name of a law
    ends: tuple[float, float] = (-math.inf, math.inf)

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """The laws that are fitted."""
        return ("rectified", *self.panel) if self.form == "auto" else (self.form,)

    @cached_property
    def panel(self) -> tuple[str, ...]:
        """The laws whose median is taken."""
        if self.relative:
            return PANEL
        return (*(name for name in PANEL if name not in NEED_LIMIT), "log_linear")

    @cached_property
    def laws(self) -> dict[str, Law]:
        """Every law, fitted to all sizes."""
        return self._fit_laws(len(self.sizes))

    @cached_property
    def errors(self) -> dict[str, float]:
        """Mean absolute held-out error of each law and of their median; NaN where unknown.

        Each cut has twice the weight of the one before, because fits to more sizes are more similar
        to the fit to all sizes.
        """
        found = {}
        names = (*self.candidates, MEDIAN) if self.form == "auto" else self.candidates
        for name in names:
            known = [(k, error[name]) for k, _, error in self.cuts if name in error]
            weights = [2.0**k for k, _ in known]
            means = [float(np.mean(np.abs(error))) for _, error in known]
            found[name] = float(np.average(means, weights=weights)) if known else math.nan
        return found

    @cached_property
    def chosen(self) -> str:
        """The law used for forecasts, or "median"."""
        if self.form != "auto":
            return self.form
        errors = {MEDIAN: self.errors[MEDIAN]}
        for name in self.candidates:
            if sum(name in error for *_, error in self.cuts) >= _FEWEST_CUTS:
                share = _SHARE_RECTIFIED if name == "rectified" else _SHARE_OTHERS
                errors[name] = self.errors[name] / share
        return min(errors, key=lambda name: errors[name])

    @cached_property
    def residuals(self) -> Array:
        """Forecast minus truth at the fitted sizes, on the link scale."""
        return self.predict(self.sizes) - self._to_link(self.gaps)

    def predict(self, sizes: Array) -> Array:
        """Forecast on the link scale."""
        return self._predict_all(self.laws, sizes)[self.chosen]

    def spread(self, sizes: Array) -> tuple[Array, int]:
        """Compute the standard deviation of the forecast of one law on the link scale.

        The variance is a sum of two parts: that of the residuals, and that of the held-out errors,
        which grow in proportion to ln(size / largest size). The distribution is Student's t, whose
        degrees of freedom are the number of cuts less one.
        """
        beyond = np.maximum(np.log(sizes / self.sizes[-1]), 0)
        held = [(error[self.chosen] / far) ** 2 for _, far, error in self.cuts]
        growth = [float(np.mean(part)) for part in held]
        variance = np.mean(self.residuals**2) + np.mean(growth or [0.0]) * beyond**2
        return np.sqrt(variance), max(len(growth) - 1, 1)

    def quantiles(self, sizes: Array, shares: tuple[float, ...]) -> Array:
        """Compute quantiles of the gap of a new measurement, (n_shares, n_sizes)."""
        if self.form == "auto":
            return self._posterior.quantiles(sizes, shares) * np.ptp(self.gaps)
        stats = need("scipy.stats", extra="stats", what="forecasting")
        deviation, freedom = self.spread(sizes)
        links = self.predict(sizes) + np.multiply.outer(stats.t.ppf(shares, freedom), deviation)
        return self.to_gap(links)

    def curves(self, sizes: Array) -> Array:
        """Compute the gaps of equally probable curves, (n_curves, n_sizes)."""
        if self.form == "auto":
            return self._posterior.curves(sizes) * np.ptp(self.gaps)
        return self.quantiles(sizes, tuple((np.arange(_CURVES) + 0.5) / _CURVES))

    @cached_property
    def _posterior(self) -> Posterior:
        unit = np.ptp(self.gaps)
        return Posterior(self.sizes, self.gaps / unit, float(self.ends[0] / unit))

    def to_gap(self, link: Array) -> Array:
        """Convert from the link scale to a gap."""
        if not self.relative:
            return link * np.ptp(self.gaps)
        return np.exp(np.minimum(link, _LARGEST))

    @cached_property
    def cuts(self) -> list[tuple[int, Array, dict[str, Array]]]:
        """Held-out errors of fits to the first k sizes: k, ln(size / size k), and errors by law."""
        fewest = max(FEWEST, min(PARAMETERS[name] for name in self.candidates))
        cuts = []
        for k in range(fewest, len(self.sizes)):
            later = self.sizes[k:]
            true = self._to_link(self.gaps[k:])
            links = self._predict_all(self._fit_laws(k), later)
            far = np.log(later / self.sizes[k - 1])
            cuts.append((k, far, {name: link - true for name, link in links.items()}))
        return cuts

    def _fit_laws(self, k: int) -> dict[str, Law]:
        """Fit the laws that have at most k parameters to the first k sizes."""
        return {
            name: fit_law(name, self.sizes[:k], self.gaps[:k], self.relative)
            for name in self.candidates
            if PARAMETERS[name] <= k
        }

    def _predict_all(self, laws: dict[str, Law], sizes: Array) -> dict[str, Array]:
        """Forecast by every law and by their median."""
        links = {name: self._to_link(law.predict_gap(sizes)) for name, law in laws.items()}
        if self.form == "auto":
            links[MEDIAN] = np.median([links[name] for name in self.panel], axis=0)
        return links

    def _to_link(self, gaps: Array) -> Array:
        if self.relative:  # a line may cross the limit, but a forecast must not
            return np.log(np.maximum(gaps, 1e-3 * self.gaps.min()))  # type: ignore[no-any-return]
        return np.clip(gaps, *self.ends) / np.ptp(self.gaps)
