"""Forecasts of a learning curve: values at sizes, sizes for values, prediction intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._metric.score import issue, json_ready
from .._util.optional import need
from ..errors import DataError
from ._extrapolate import FEWEST, Extrapolation
from ._laws import PARAMETERS

__all__ = ["Forecast"]

Array = NDArray[np.float64]

DECADE = 10.0  # forecasts warn beyond this multiple of the largest size
_FARTHEST = 1e9  # multiple of the largest size at which size_for returns infinity


@dataclass(frozen=True)
class Forecast:
    """The forecast of a learning curve at larger sizes.

    Attributes
    ----------
    sizes, values : ndarray of shape (n_sizes,)
        The fitted curve. Sizes are positive and increase; values at equal sizes were averaged.
    direction : {"increasing", "decreasing"}
        Direction of the values with more data.
    limit : float or None
        The best possible value. Forecasts never pass it. Forecasts of increasing values that are
        at least 0 stay at least 0.
    zero_shot : float or None
        The value at size 0, if it was given; laws are not fitted to it.
    """

    sizes: Array
    values: Array
    direction: str
    limit: float | None
    zero_shot: float | None
    _law: Extrapolation

    @property
    def form(self) -> str:
        """The law used for forecasts, or "median" of several."""
        return self._law.chosen

    @property
    def errors(self) -> dict[str, float]:
        """Mean absolute error of each law and of their median at held-out larger sizes.

        Errors are relative to the distance to the limit, or to the range of values if there is no
        limit.
        """
        return dict(self._law.errors)

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """Parameters of every fitted law, by the names in the notes of :func:`fit`."""
        return {name: dict(law.parameters) for name, law in self._law.laws.items()}

    @property
    def rmsd(self) -> float:
        """Root mean square residual at the fitted sizes, in the same units as the errors."""
        return float(np.sqrt(np.mean(self._law.residuals**2)))

    def predict(self, size: object) -> Any:
        """Forecast the value at a size.

        Parameters
        ----------
        size : float or array-like of float
            Finite, and at least the smallest fitted size; otherwise a DataError is raised.

        Returns
        -------
        value : float or ndarray of the shape of `size`

        Warns
        -----
        TransferabilityWarning
            Beyond ten times the largest fitted size.
        """
        return _match_shape(size, self._predict_values(self._check_sizes(size)))

    def interval(self, size: object, level: float = 0.9) -> tuple[Any, Any]:
        """Compute a prediction interval for the value at a size.

        Parameters
        ----------
        size : float or array-like of float
            As in :meth:`predict`.
        level : float, default=0.9
            Nominal coverage, in (0, 1).

        Returns
        -------
        low, high : float or ndarray of the shape of `size`
            Interval for a new measurement, including its noise.

        Raises
        ------
        DataError
            As :meth:`predict`; for a level outside (0, 1); if `fit` was asked for a single law and
            there are no sizes to hold out.
        """
        low, high = self._compute_interval(self._check_sizes(size), level)
        return _match_shape(size, low), _match_shape(size, high)

    def size_for(self, value: float) -> float:
        """Forecast the smallest size at which a value is reached.

        It is the smallest fitted size if the value is reached there already, and ``inf`` if the
        forecast does not reach it within 1e9 times the largest size. Warns as :meth:`predict`.
        """
        size = self._solve_size(value, self._predict_values)
        if size < math.inf:
            self._warn(size)
        return size

    def size_interval(self, value: float, level: float = 0.9) -> tuple[float, float]:
        """Return the sizes at which the better and the worse end of :meth:`interval` reach a value.

        They lie around :meth:`size_for`; the second is often ``inf``.
        """
        better = 1 if self.direction == "increasing" else 0
        return (
            self._solve_size(value, lambda n: self._compute_interval(n, level)[better]),
            self._solve_size(value, lambda n: self._compute_interval(n, level)[1 - better]),
        )

    def plot(self, ax: Any = None, *, level: float = 0.9, up_to: float | None = None) -> Any:
        """Plot the curve, its forecast and the prediction interval on a logarithmic size axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: the axes of a new figure. They are returned.
        level : float, default=0.9
            Coverage of the interval, in (0, 1).
        up_to : float, optional
            The largest size in the plot. Default: ten times the largest fitted size.
        """
        if ax is None:
            figure = need("matplotlib.figure", extra="plot", what="plotting a forecast")
            ax = figure.Figure(layout="constrained").add_subplot()
        sizes = np.geomspace(self.sizes[0], up_to or DECADE * self.sizes[-1], 100)
        low, high = self._compute_interval(sizes, level)
        ax.fill_between(sizes, low, high, alpha=0.2, lw=0, label=f"{level:.0%} interval")
        ax.plot(sizes, self._predict_values(sizes), label=f"forecast ({self.form})")
        ax.plot(self.sizes, self.values, "o", color="black", label="known")
        ax.set(xscale="log", xlabel="samples", ylabel="value")
        ax.legend()
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain Python, ready for JSON."""
        fields = ("sizes", "values", "direction", "limit", "zero_shot")
        names = (*fields, "form", "errors", "parameters", "rmsd")
        ready: dict[str, Any] = json_ready({name: getattr(self, name) for name in names})
        return ready

    def __repr__(self) -> str:
        """Show the law used for forecasts, and the held-out error of each law."""
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

    def _predict_values(self, sizes: Array) -> Array:
        return self._to_value(self._law.predict(sizes))

    def _to_value(self, link: Array) -> Array:
        gap = self._law.to_gap(link)
        if self.direction == "decreasing":
            return (self.limit or 0.0) + gap
        if self.limit is None:
            return -gap
        # Accuracies, also in percent, lie between 0 and their limit.
        return np.maximum(self.limit - gap, 0.0 if self.values.min() >= 0 else -np.inf)

    def _compute_interval(self, sizes: Array, level: float) -> tuple[Array, Array]:
        if not 0 < level < 1:
            raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.9")
        if self._law.form != "auto" and not self._law.cuts:
            fewest = max(FEWEST, PARAMETERS[self.form]) + 1
            raise DataError(
                f"an interval for {self.form} needs at least {fewest} sizes, one of them held out; "
                f"there are {len(self.sizes)}"
            )
        centre, half = self._law.predict(sizes), self._law.half_width(sizes, level)
        one, other = self._to_value(centre - half), self._to_value(centre + half)
        return np.minimum(one, other), np.maximum(one, other)

    def _check_sizes(self, size: object) -> Array:
        sizes = np.atleast_1d(np.asarray(size, dtype=np.float64))
        odd = sizes[~(np.isfinite(sizes) & (sizes >= self.sizes[0]))]
        if odd.size:
            raise DataError(
                f"size {odd[0]:g}: forecasts start at the smallest size, {self.sizes[0]:g}"
            )
        self._warn(float(sizes.max(initial=0)))
        return sizes

    def _warn(self, size: float) -> None:
        if size > DECADE * self.sizes[-1] * (1 + 1e-12):
            decades = math.log10(size / self.sizes[-1])
            issue(
                [
                    f"{size:g} samples is {decades:.1f} decades beyond the largest size known, "
                    f"{self.sizes[-1]:g}; beyond one decade laws that fit alike differ widely"
                ]
            )

    def _solve_size(self, value: float, curve: Callable[[Array], Array]) -> float:
        """Find the smallest size at which a curve reaches a value, by grid and Brent's method."""
        optimize = need("scipy.optimize", extra="stats", what="forecasting")
        if not math.isfinite(value):
            raise DataError(f"value is {value}; ask for a finite one")
        sign = 1 if self.direction == "increasing" else -1
        grid = np.linspace(math.log(self.sizes[0]), math.log(_FARTHEST * self.sizes[-1]), 400)
        reached = sign * (curve(np.exp(grid)) - value) >= 0
        if not reached.any():
            return math.inf
        first = int(np.argmax(reached))
        if first == 0:
            return float(self.sizes[0])
        root = optimize.brentq(
            lambda log_size: float(curve(np.exp([log_size]))[0]) - value,
            grid[first - 1],
            grid[first],
        )
        return math.exp(root)


def _match_shape(size: object, values: Array) -> Any:
    return float(values[0]) if np.asarray(size).ndim == 0 else values
