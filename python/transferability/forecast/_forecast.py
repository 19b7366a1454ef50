"""A forecast: values at sizes, sizes for values, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._metric.score import issue
from .._util.optional import need
from ..errors import DataError
from ._extrapolate import FEWEST, Extrapolation
from ._laws import PARAMETERS

__all__ = ["Forecast"]

Array = NDArray[np.float64]

DECADE = 10.0  # of sizes beyond the largest, from which on forecasts warn
_FARTHEST = 1e9  # times the largest size: where size_for gives up


@dataclass(frozen=True)
class Forecast:
    """What a learning curve will do at sizes that nobody has tried.

    Attributes
    ----------
    sizes, values : ndarray of shape (n_sizes,)
        What was fitted: increasing positive sizes, equal ones averaged.
    direction : {"increasing", "decreasing"}
        Where values go with more data.
    limit : float or None
        What values approach and never pass. Values that rise to it from 0 or above stay above 0.
    zero_shot : float or None
        The value at size 0, if it was given; laws are not fitted to it.
    form : str
        The law that forecasts, or "median" of all laws.
    errors : dict of str to float
        Mean absolute error of each law and of their median at sizes larger than those fitted:
        relative, of the distance to the limit; without a limit in units of the range of values.
    parameters : dict of str to dict
        Of every law fitted, as the table of laws in the documentation of :func:`fit` names them.
    rmsd : float
        Root mean square residual at the sizes fitted, in the same units as the errors.
    """

    sizes: Array
    values: Array
    direction: str
    limit: float | None
    zero_shot: float | None
    _law: Extrapolation

    @property
    def form(self) -> str:
        """The law that forecasts, or "median"."""
        return self._law.chosen

    @property
    def errors(self) -> dict[str, float]:
        """Held-out errors by law."""
        return dict(self._law.errors)

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """Fitted parameters by law."""
        return {name: dict(law.parameters) for name, law in self._law.laws.items()}

    @cached_property
    def rmsd(self) -> float:
        """Root mean square residual."""
        law = self._law
        return float(np.sqrt(np.mean((law.centre(law.sizes) - law._linked(law.gaps)) ** 2)))

    def predict(self, size: object) -> Any:
        """Forecast the value at a size.

        Parameters
        ----------
        size : float or array-like of float
            At least the smallest size fitted.

        Returns
        -------
        value : float or ndarray of the shape of `size`

        Raises
        ------
        DataError
            For sizes below the smallest one fitted, or not finite.

        Warns
        -----
        TransferabilityWarning
            Beyond ten times the largest size fitted.
        """
        sizes = self._checked(size)
        return _like(size, self._value(self._law.centre(sizes)))

    def interval(self, size: object, level: float = 0.9) -> tuple[Any, Any]:
        """Forecast between which values the truth lies.

        Parameters
        ----------
        size : float or array-like of float
            At least the smallest size fitted.
        level : float, default=0.9
            The share of truths that are to lie within, in (0, 1).

        Returns
        -------
        low, high : float or ndarray of the shape of `size`
            For a new measurement, its noise included.

        Raises
        ------
        DataError
            As :meth:`predict`; for a level outside (0, 1); where a single law was asked for and
            there are no sizes left to hold out.
        """
        sizes, ends = self._checked(size), self._ends(level)
        low, high = ends(sizes)
        return _like(size, low), _like(size, high)

    def size_for(self, value: float) -> float:
        """Forecast the smallest size at which a value is reached.

        Parameters
        ----------
        value : float
            In the units of the values that were fitted.

        Returns
        -------
        size : float
            ``inf`` where the forecast does not reach it within 1e9 times the largest size; the
            smallest size fitted where it is reached there already.

        Warns
        -----
        TransferabilityWarning
            Beyond ten times the largest size fitted.
        """
        return self._size(value, lambda n: self._value(self._law.centre(n)), warn=True)

    def size_interval(self, value: float, level: float = 0.9) -> tuple[float, float]:
        """Give the sizes at which the better and the worse end of the interval reach a value.

        Parameters
        ----------
        value : float
            As in :meth:`size_for`.
        level : float, default=0.9
            As in :meth:`interval`.

        Returns
        -------
        low, high : float
            Around :meth:`size_for`; ``high`` is often ``inf``.
        """
        ends = self._ends(level)
        better, worse = (1, 0) if self.direction == "increasing" else (0, 1)
        return (
            self._size(value, lambda n: ends(n)[better]),
            self._size(value, lambda n: ends(n)[worse]),
        )

    def plot(self, ax: Any = None, *, level: float = 0.9, up_to: float | None = None) -> Any:
        """Draw the curve, its forecast and the interval, over the size on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure's.
        level : float, default=0.9
            Of the band.
        up_to : float, optional
            The largest size drawn. Default: ten times the largest one fitted.

        Returns
        -------
        ax : matplotlib Axes
        """
        if ax is None:
            figure = need("matplotlib.figure", extra="plot", what="plotting a forecast")
            ax = figure.Figure(layout="constrained").add_subplot()
        sizes = np.geomspace(self.sizes[0], up_to or DECADE * self.sizes[-1], 100)
        low, high = self._ends(level)(sizes)
        ax.fill_between(sizes, low, high, alpha=0.2, lw=0, label=f"{level:.0%} interval")
        ax.plot(sizes, self._value(self._law.centre(sizes)), label=f"forecast ({self.form})")
        ax.plot(self.sizes, self.values, "o", color="black", label="known")
        ax.set(xscale="log", xlabel="samples", ylabel="value")
        ax.legend()
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Give the fit as plain Python, ready for JSON."""
        errors = {name: None if math.isnan(e) else e for name, e in self.errors.items()}
        return {
            "sizes": self.sizes.tolist(),
            "values": self.values.tolist(),
            "direction": self.direction,
            "limit": self.limit,
            "zero_shot": self.zero_shot,
            "form": self.form,
            "errors": errors,
            "parameters": self.parameters,
            "rmsd": self.rmsd,
        }

    def __repr__(self) -> str:
        """Show what forecasts, and how well each law foretold."""
        unit = "of the range" if self.limit is None else "of the distance to the limit"
        towards = "" if self.limit is None else f" towards {self.limit:g}"
        lines = [
            f"Forecast by {self.form} from {len(self.sizes)} sizes, {self.sizes[0]:g} to "
            f"{self.sizes[-1]:g}; values {self.direction}{towards}"
        ]
        for name, error in sorted(self.errors.items(), key=lambda item: item[1]):
            text = "unknown" if math.isnan(error) else f"{error:.2%} {unit}"
            lines.append(f"  {name:<15} held-out error {text}")
        return "\n".join(lines)

    def _value(self, link: Array) -> Array:
        gap = self._law.gap(link)
        if self.direction == "decreasing":
            return (self.limit or 0.0) + gap
        if self.limit is None:
            return -gap
        # Accuracies, also in percent, lie between 0 and their limit.
        return np.maximum(self.limit - gap, 0.0 if self.values.min() >= 0 else -np.inf)

    def _ends(self, level: float) -> Any:
        if not 0 < level < 1:
            raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.9")
        if self._law.form != "auto" and self._law.n_cuts == 0:
            fewest = max(FEWEST, PARAMETERS[self.form]) + 1
            raise DataError(
                f"an interval for {self.form} needs at least {fewest} sizes, one of them held out; "
                f"there are {len(self.sizes)}"
            )

        def ends(sizes: Array) -> tuple[Array, Array]:
            centre, half = self._law.centre(sizes), self._law.spread(sizes, level)
            one, other = self._value(centre - half), self._value(centre + half)
            return np.minimum(one, other), np.maximum(one, other)

        return ends

    def _checked(self, size: object) -> Array:
        sizes = np.atleast_1d(np.asarray(size, dtype=np.float64))
        if not (np.isfinite(sizes).all() and (sizes >= self.sizes[0]).all()):
            odd = sizes[~(np.isfinite(sizes) & (sizes >= self.sizes[0]))].flat[0]
            raise DataError(
                f"size {odd:g}: forecasts start at the smallest size, {self.sizes[0]:g}"
            )
        self._warn(float(sizes.max(initial=0)))
        return sizes

    def _warn(self, size: float) -> None:
        if size > DECADE * self.sizes[-1] * (1 + 1e-12):
            decades = f"{math.log10(size / self.sizes[-1]):.1f}" if size < math.inf else "many"
            issue(
                [
                    f"{size:g} samples is {decades} decades beyond the largest size known, "
                    f"{self.sizes[-1]:g}; beyond one decade laws that fit alike differ widely"
                ]
            )

    def _size(self, value: float, curve: Any, warn: bool = False) -> float:
        optimize = need("scipy.optimize", extra="stats", what="forecasting")
        if not math.isfinite(value):
            raise DataError(f"value is {value}; ask for a finite one")
        sign = 1 if self.direction == "increasing" else -1

        def short(log_size: float) -> float:
            return float(sign * (value - curve(np.exp([log_size]))[0]))

        grid = np.linspace(math.log(self.sizes[0]), math.log(_FARTHEST * self.sizes[-1]), 400)
        reached = sign * (value - curve(np.exp(grid))) <= 0
        if not reached.any():
            return math.inf
        first = int(np.argmax(reached))
        if first == 0:
            return float(self.sizes[0])
        at = optimize.brentq(short, grid[first - 1], grid[first])
        if warn:
            self._warn(math.exp(at))
        return math.exp(at)


def _like(size: object, values: Array) -> Any:
    return float(values[0]) if np.asarray(size).ndim == 0 else values
