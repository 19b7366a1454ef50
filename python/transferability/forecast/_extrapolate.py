"""Forecasts from laws fitted to the smaller sizes, and how well they foretold the larger ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ._laws import NEED_LIMIT, PANEL, PARAMETERS, Law, fit_law

__all__ = ["MEDIAN", "Extrapolation"]

Array = NDArray[np.float64]

MEDIAN = "median"
FEWEST = 3  # sizes that a forecast starts from
#: The share of the median's held-out error that a single law must stay below, to be chosen.
#: The rectified law has the power law with a floor and the S-curve as special cases and may follow
#: the whole curve; the others must do better by more. Otherwise the median it is: held-out errors
#: are few, and combinations of forecasts beat the choice of one in nearly every comparison of
#: forecasting methods (Makridakis et al. 2020, https://doi.org/10.1016/j.ijforecast.2019.04.014).
DECISIVE = {"rectified": 0.5}
_OTHERS = 0.2
_LARGEST = 500.0  # of logarithms, short of overflow: the end of an interval that says nothing
#: Cuts that a law must have been tried at, to be chosen alone.
_TRIED = 3


@dataclass(frozen=True)
class Extrapolation:
    """Laws on gaps at increasing sizes; errors and forecasts are in `link` units.

    The link is the logarithm where gaps are relative to a limit, else the identity in units of
    the range of the gaps.
    """

    __module__ = "transferability.forecast"

    sizes: Array
    gaps: Array
    relative: bool
    form: str  # "auto" or the name of a law

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """The laws that take part."""
        if self.form != "auto":
            return (self.form,)
        return ("rectified", *self.panel)

    @cached_property
    def panel(self) -> tuple[str, ...]:
        """The laws that the median is of."""
        if self.relative:
            return PANEL
        return (*(name for name in PANEL if name not in NEED_LIMIT), "log_linear")

    @cached_property
    def laws(self) -> dict[str, Law]:
        """Every law on all sizes."""
        return self._fitted(len(self.sizes))

    @cached_property
    def errors(self) -> dict[str, float]:
        """Mean absolute held-out error of each law and of their median; NaN where unknown.

        Each cut weighs twice as much as the one before: the fit of nearly all sizes is the most
        like the one that the forecast is made with.
        """
        found = {}
        for name in self._names:
            known = [(k, error[name]) for k, _, error in self._cuts if name in error]
            weights = [2.0**k for k, _ in known]
            means = [float(np.mean(np.abs(error))) for _, error in known]
            found[name] = float(np.average(means, weights=weights)) if known else math.nan
        return found

    @cached_property
    def chosen(self) -> str:
        """The law, or "median", that forecasts are made with."""
        if self.form != "auto":
            return self.form
        tried = [
            n for n in self.candidates if sum(n in error for *_, error in self._cuts) >= _TRIED
        ]
        share = {name: self.errors[name] / DECISIVE.get(name, _OTHERS) for name in tried}
        best = min(tried, key=lambda name: share[name], default=MEDIAN)
        return best if tried and share[best] < self.errors[MEDIAN] else MEDIAN

    def centre(self, sizes: Array) -> Array:
        """Give the forecast in link units."""
        return self._link_of(self.laws, sizes)[self.chosen]

    def spread(self, sizes: Array, level: float) -> Array:
        """Give the half width of an interval in link units.

        Its variance adds up three parts: residuals; held-out errors, which grow in proportion to
        the logarithm of size over largest size known; and the variance among laws, where their
        median is the forecast. The factor is Student's, with as many degrees of freedom as the
        last two parts have numbers to be known from, less one each.
        """
        stats = need("scipy.stats", extra="stats", what="forecasting")
        beyond = np.maximum(np.log(sizes / self.sizes[-1]), 0)
        residual = self.centre(self.sizes) - self._linked(self.gaps)
        name = self.chosen
        held = [(error[name] / far) ** 2 for _, far, error in self._cuts if name in error]
        growth = [float(np.mean(part)) for part in held]
        variance = np.mean(residual**2) + np.mean(growth or [0.0]) * beyond**2
        freedom = max(len(growth) - 1, 0)
        if name == MEDIAN:
            by_law = self._link_of(self.laws, sizes)
            variance = variance + np.var([by_law[law] for law in self.panel], axis=0, ddof=1)
            freedom += len(self.panel) - 1
        factor = stats.t.ppf((1 + level) / 2, max(freedom, 1))
        return factor * np.sqrt(variance)  # type: ignore[no-any-return]

    @property
    def n_cuts(self) -> int:
        """How often a part of the sizes was held out."""
        return len(self._cuts)

    def gap(self, link: Array) -> Array:
        """Turn link units into a gap."""
        if not self.relative:
            return link * self._scale
        return np.exp(np.minimum(link, _LARGEST))

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.candidates, MEDIAN) if self.form == "auto" else self.candidates

    @cached_property
    def _cuts(self) -> list[tuple[int, Array, dict[str, Array]]]:
        """Fit the first k sizes and foretell the rest: each k, log distances, errors by law."""
        fewest = max(FEWEST, min(PARAMETERS[name] for name in self.candidates))
        cuts = []
        for k in range(fewest, len(self.sizes)):
            later = self.sizes[k:]
            true = self._linked(self.gaps[k:])
            links = self._link_of(self._fitted(k), later)
            far = np.log(later / self.sizes[k - 1])
            cuts.append((k, far, {name: link - true for name, link in links.items()}))
        return cuts

    def _fitted(self, k: int) -> dict[str, Law]:
        """Fit the laws to the first k sizes, as far as these are enough for them."""
        return {
            name: fit_law(name, self.sizes[:k], self.gaps[:k], self.relative)
            for name in self.candidates
            if PARAMETERS[name] <= k
        }

    def _link_of(self, laws: dict[str, Law], sizes: Array) -> dict[str, Array]:
        links = {name: self._linked(law.gap(sizes)) for name, law in laws.items()}
        if self.form == "auto":
            links[MEDIAN] = np.median([links[name] for name in self.panel], axis=0)
        return links

    @property
    def _scale(self) -> float:
        return float(np.ptp(self.gaps))

    def _linked(self, gaps: Array) -> Array:
        if self.relative:  # lines may cross the limit, which no forecast does
            return np.log(np.maximum(gaps, 1e-3 * self.gaps.min()))  # type: ignore[no-any-return]
        return gaps / self._scale
