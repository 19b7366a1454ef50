"""Forecasts from laws fitted to the smaller sizes, and how well they foretold the larger ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._optional import need
from ._laws import LAWS, NEED_LIMIT, PANEL, PARAMETERS, Law, fit_law

__all__ = ["MEDIAN", "Extrapolation"]

Array = NDArray[np.float64]

MEDIAN = "median"
FEWEST = 3  # sizes that a forecast starts from
#: A law is chosen over the median of all where it foretold with less than a fifth of its error.
#: Otherwise the median it is: by how few sizes held-out errors are known, smaller differences are
#: luck, and the mean or median of forecasts beats the choice of one in nearly every comparison
#: of forecasting methods (Makridakis et al. 2020, https://doi.org/10.1016/j.ijforecast.2019.04.014).
DECISIVE = 0.2


@dataclass(frozen=True)
class Extrapolation:
    """Laws on gaps at increasing sizes; errors and forecasts are in `link` units.

    The link is the logarithm where gaps are relative to a limit, else the identity in units of
    the range of the gaps.
    """

    sizes: Array
    gaps: Array
    relative: bool
    form: str  # "auto" or the name of a law

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """The laws that take part."""
        if self.form != "auto":
            return (self.form,)
        if self.relative:
            return PANEL
        return (*(name for name in PANEL if name not in NEED_LIMIT), "log_linear")

    @cached_property
    def laws(self) -> dict[str, Law]:
        """Every law on all sizes."""
        return self._fitted(len(self.sizes))

    @cached_property
    def errors(self) -> dict[str, float]:
        """Mean absolute held-out error of each law and of their median; NaN without any."""
        cuts = self._cuts
        if not cuts:
            return dict.fromkeys(self._names, math.nan)
        return {
            name: float(np.mean([np.mean(np.abs(error[name])) for _, error in cuts]))
            for name in self._names
        }

    @cached_property
    def chosen(self) -> str:
        """The law, or "median", that forecasts are made with."""
        if self.form != "auto":
            return self.form
        best = min(self.candidates, key=lambda name: self.errors[name])
        return best if self.errors[best] < DECISIVE * self.errors[MEDIAN] else MEDIAN

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
        growth = [float(np.mean((error[self.chosen] / far) ** 2)) for far, error in self._cuts]
        variance = np.mean(residual**2) + np.mean(growth or [0.0]) * beyond**2
        freedom = max(len(growth) - 1, 0)
        if self.chosen == MEDIAN:
            by_law = self._link_of(self.laws, sizes)
            variance = variance + np.var([by_law[name] for name in self.candidates], axis=0)
            freedom += len(self.candidates) - 1
        factor = stats.t.ppf((1 + level) / 2, max(freedom, 1))
        return factor * np.sqrt(variance)  # type: ignore[no-any-return]

    @property
    def n_cuts(self) -> int:
        """How often a part of the sizes was held out."""
        return len(self._cuts)

    def gap(self, link: Array) -> Array:
        """Turn link units into a gap."""
        return np.exp(link) if self.relative else link * self._scale

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.candidates, MEDIAN) if self.form == "auto" else self.candidates

    @cached_property
    def _cuts(self) -> list[tuple[Array, dict[str, Array]]]:
        """Fit the first k sizes and foretell the rest, for every k; log distances and errors."""
        fewest = FEWEST if self.form == "auto" else max(FEWEST, PARAMETERS[self.form])
        cuts = []
        for k in range(fewest, len(self.sizes)):
            later = self.sizes[k:]
            links = self._link_of(self._fitted(k), later)
            true = self._linked(self.gaps[k:])
            far = np.log(later / self.sizes[k - 1])
            cuts.append((far, {name: links[name] - true for name in self._names}))
        return cuts

    def _fitted(self, k: int) -> dict[str, Law]:
        prior = self.form == "auto"
        return {
            name: fit_law(name, self.sizes[:k], self.gaps[:k], self.relative, prior)
            for name in LAWS
            if name in self.candidates
        }

    def _link_of(self, laws: dict[str, Law], sizes: Array) -> dict[str, Array]:
        links = {name: self._linked(law.gap(sizes)) for name, law in laws.items()}
        return links | {MEDIAN: np.median(list(links.values()), axis=0)}

    @property
    def _scale(self) -> float:
        return float(np.ptp(self.gaps))

    def _linked(self, gaps: Array) -> Array:
        if self.relative:  # lines may cross the limit, which no forecast does
            return np.log(np.maximum(gaps, 1e-3 * self.gaps.min()))  # type: ignore[no-any-return]
        return gaps / self._scale
