"""Forecasts of a learning curve: values at sizes, sizes for values, prediction intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.types import ArrayLike
from .._metric.score import issue, json_ready
from .._util.figures import new_axes
from .._util.notebook import text_to_html
from ..errors import DataError
from ._bounds import describe_other_unit, read_level, read_number, read_numbers
from ._extrapolate import FEWEST, Extrapolation
from ._laws import PARAMETERS
from ._plan import Plan, find_crossings, warn_of_target

__all__ = ["Forecast"]

Array = NDArray[np.float64]

DECADE = 10.0  # forecasts warn beyond this multiple of the largest size
_FARTHEST = 1e9  # multiple of the largest size at which size_for returns infinity
_SHOWN = (2.0, DECADE)  # multiples of the largest size at which forecasts are printed
_REACH = 100.0  # multiple of the largest size up to which a plan looks by default
_GRID = 200  # sizes at which a plan computes curves; a crossing lies between two of them
_ROUNDS = 6  # grids of 400 sizes, each 399 times finer than the one before: to the last digits


@dataclass(frozen=True, eq=False)
class Forecast:
    """The forecast of a learning curve at larger sizes.

    Attributes
    ----------
    sizes, values : ndarray of shape (n_sizes,)
        The fitted curve. Sizes are positive and increase; values at equal sizes were averaged.
    direction : {"increasing", "decreasing"}
        Direction of the values with more data.
    limit : float or None
        The best possible value. Forecasts never pass it.
    zero_shot : float or None
        The value at size 0, if it was given; laws are not fitted to it.
    bounds : tuple of float or None
        The lowest and the highest possible value. Forecasts and intervals are within them.
    """

    sizes: Array
    values: Array
    direction: str
    limit: float | None
    zero_shot: float | None
    _law: Extrapolation
    bounds: tuple[float | None, float | None] = (None, None)
    _guessed: bool = field(default=False, repr=False)  # whether `direction` was read from values

    @property
    def form(self) -> str:
        """The law used for forecasts, or "median" of several."""
        return self._law.chosen

    @property
    def errors(self) -> dict[str, float]:
        """Mean absolute error of each law and of their median at held-out larger sizes.

        Errors are relative to the distance to the limit, or to the range of values if there is no
        limit or a value has reached it.
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

    def predict(self, size: ArrayLike) -> Any:
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

    def interval(self, size: ArrayLike, level: float = 0.9) -> tuple[Any, Any]:
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

        Parameters
        ----------
        value : float
            Value to reach.
        """
        size = self._solve_size(value, self._predict_values)
        if size < math.inf:
            self._warn(size)
        return size

    def size_interval(self, value: float, level: float = 0.9) -> tuple[float, float]:
        """Return the sizes at which the better and the worse end of :meth:`interval` reach a value.

        They lie around :meth:`size_for`; the second is often ``inf``.

        Parameters
        ----------
        value, level : float
            Value to reach, and the coverage of the interval.
        """
        better = 1 if self.direction == "increasing" else 0
        return (
            self._solve_size(value, lambda n: self._compute_interval(n, level)[better]),
            self._solve_size(value, lambda n: self._compute_interval(n, level)[1 - better]),
        )

    def plan(self, target: float, *, level: float = 0.9, up_to: float | None = None) -> Plan:
        """Compute how many more rows a target value needs, with an interval and a probability.

        Curves drawn from the distribution of forecasts, without the noise of a measurement, reach
        the target at a size or not at all. The plan is the median of these sizes, their quantiles
        and the share of curves that reach it. :meth:`size_for` inverts :meth:`predict` instead and
        is often more optimistic.

        Parameters
        ----------
        target : float
            The value to be reached.
        level : float, default=0.9
            Coverage of the interval, in (0, 1).
        up_to : float, optional
            The largest size considered; at a larger one the target counts as not reached. Default:
            a hundred times the largest fitted size.

        Raises
        ------
        DataError
            For a target that is not finite, an `up_to` below the largest fitted size, or as
            :meth:`interval`.

        Warns
        -----
        TransferabilityWarning
            If every known value reaches the target, and the direction was read from the values: it
            may be an accuracy that falls, or a loss that rises. If the target lies beyond the
            limit, as 85 does for accuracies in [0, 1]. If sizes look like shares of a data set.

        Examples
        --------
        >>> import transferability.forecast as tf
        >>> sizes = [100, 200, 400, 800, 1600, 3200]
        >>> pilot = tf.fit(sizes, [0.9 - 2 * n**-0.5 for n in sizes])
        >>> pilot.plan(0.95).reached
        False
        """
        level, target = self._read_level(level), read_number("target", target)
        known = float(self.sizes[-1])
        most = _REACH * known if up_to is None else read_number("up_to", up_to)
        if not known <= most < math.inf:
            raise DataError(
                f"up_to is {most:g}; give a finite size of at least {known:g}, the largest known"
            )
        if not math.isfinite(target):
            raise DataError(f"target is {target}; ask for a finite one")
        known_curve = (self.sizes, self.values, self.limit, self.direction)
        warn_of_target(target, *known_curve, guessed=self._guessed)
        sign = 1 if self.direction == "increasing" else -1
        measured = self.sizes[sign * (self.values - target) >= 0]
        grid = np.geomspace(self.sizes[0], max(most, 1.001 * known), _GRID)
        values = self._to_value(self._law.curves(grid))
        reached = find_crossings(grid, sign * (values - target))
        reached = np.where(reached <= most, reached, np.inf)
        # The nearest draw, because numbers and infinity cannot be interpolated.
        shares = [(1 - level) / 2, 0.5, (1 + level) / 2]
        low, size, high = (float(n) for n in np.quantile(reached, shares, method="nearest"))
        probability = float(np.mean(reached < np.inf))
        found = (target, known, size, (low, high), level, probability, most)
        first = float(measured[0]) if len(measured) else None
        return Plan(*found, direction=self.direction, measured=first)

    def plot(self, ax: Any = None, *, level: float = 0.9, up_to: float | None = None) -> Any:
        """Plot the curve, its forecast and the prediction interval on a logarithmic size axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: the axes of a new figure, as in :func:`transferability.plot.ranking`. They are
            returned.
        level : float, default=0.9
            Coverage of the interval, in (0, 1).
        up_to : float, optional
            The largest size in the plot. Default: ten times the largest fitted size.
        """
        first = float(self.sizes[0])
        most = DECADE * self.sizes[-1] if up_to is None else read_number("up_to", up_to)
        if not first < most < math.inf:
            raise DataError(
                f"up_to is {most:g}; give a finite size above {first:g}, the smallest known"
            )
        ax = new_axes("plotting a forecast", layout="constrained") if ax is None else ax
        sizes = np.geomspace(first, most, 100)
        low, high = self._compute_interval(sizes, level)
        ax.fill_between(sizes, low, high, alpha=0.2, lw=0, label=f"{level:.0%} interval")
        ax.plot(sizes, self._predict_values(sizes), label=f"forecast ({self.form})")
        ax.plot(self.sizes, self.values, "o", color="black", label="known")
        ax.set(xscale="log", xlabel="samples", ylabel="value")
        ax.legend()
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain Python, ready for JSON."""
        fields = ("sizes", "values", "direction", "limit", "bounds", "zero_shot")
        names = (*fields, "form", "errors", "parameters", "rmsd")
        ready: dict[str, Any] = json_ready({name: getattr(self, name) for name in names})
        return ready

    def at(self, sizes: ArrayLike | None = None, level: float = 0.9) -> list[dict[str, float]]:
        """Return forecasts with prediction intervals as plain Python, one entry for each size.

        Parameters
        ----------
        sizes : array-like of float, optional
            As in :meth:`predict`. Default: 2 and 10 times the largest fitted size.
        level : float, default=0.9
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        forecasts : list of dict
            With "size", "value", "low" and "high". A single law that was fitted to as few sizes as
            it has parameters has no interval.

        Examples
        --------
        >>> import transferability.forecast as tf
        >>> forecast = tf.fit([100, 200, 400, 800], [0.61, 0.68, 0.735, 0.77])
        >>> [entry["size"] for entry in forecast.at()]
        [1600.0, 8000.0]
        """
        given = self.sizes[-1] * np.array(_SHOWN) if sizes is None else sizes
        places = self._check_sizes(given)
        found = {"size": places, "value": self._predict_values(places)}
        if self._law.form == "auto" or self._law.cuts:
            found["low"], found["high"] = self._compute_interval(places, level)
        columns = [column.tolist() for column in found.values()]
        return [dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True)]

    def describe(self, sizes: ArrayLike | None = None, level: float = 0.9) -> str:
        """Return the law used, forecasts as of :meth:`at`, and its held-out error, as text.

        Parameters
        ----------
        sizes, level
            As in :meth:`at`.
        """
        unit = "of the distance to the limit" if self._law.relative else "of the range"
        towards = "" if self.limit is None else f" towards {self.limit:g}"
        if self.limit is not None and not self._law.relative:
            towards += f", reached at {self.sizes[self.values == self.limit][0]:g}"
        lines = [
            f"Forecast by {self.form} from {len(self.sizes)} sizes, {self.sizes[0]:g} to "
            f"{self.sizes[-1]:g}; values {self.direction}{towards}"
        ]
        for entry in self.at(sizes, level):
            text = f"  at {entry['size']:.7g}: {entry['value']:.4g}"
            if "low" in entry:
                text += f" ({level:.0%} interval {entry['low']:.4g} to {entry['high']:.4g})"
            lines.append(text)
        known = {name: error for name, error in self.errors.items() if not math.isnan(error)}
        own = f"{known[self.form]:.2%} {unit}" if self.form in known else "unknown"
        others = [error for name, error in known.items() if name != self.form]
        text = f"  held-out error of {self.form}: {own}"
        if others:
            text += f"; of the other laws {min(others):.2%} to {max(others):.2%}"
        return "\n".join([*lines, text])

    def __repr__(self) -> str:
        """Return the text of :meth:`describe`."""
        return self.describe()

    def _repr_html_(self) -> str:
        """Return the lines of :meth:`describe` for notebooks."""
        return text_to_html(self.describe())

    def _predict_values(self, sizes: Array) -> Array:
        return self._to_value(self._law.to_gap(self._law.predict(sizes)))

    def _to_value(self, gap: Array) -> Array:
        base = self.limit or 0.0
        values = base + gap if self.direction == "decreasing" else base - gap
        low, high = self.bounds
        return np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)

    def _compute_interval(self, sizes: Array, level: float) -> tuple[Array, Array]:
        level = self._read_level(level)
        centre = self._predict_values(sizes)
        gaps = self._law.quantiles(sizes, ((1 - level) / 2, (1 + level) / 2))
        ends = np.array([*self._to_value(gaps), centre])
        return ends.min(axis=0), ends.max(axis=0)

    def _read_level(self, level: float) -> float:
        number = read_level(level)
        if self._law.form != "auto" and not self._law.cuts:
            fewest = max(FEWEST, PARAMETERS[self.form]) + 1
            raise DataError(
                f"an interval for {self.form} needs at least {fewest} sizes, one of them held out; "
                f"there are {len(self.sizes)}"
            )
        return number

    def _check_sizes(self, size: object) -> Array:
        sizes = read_numbers("size", size).ravel()
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
            known = f"the largest size known, {self.sizes[-1]:g}"
            apart = "beyond one decade laws that fit alike differ widely"
            issue([f"{size:g} samples is {decades:.1f} decades beyond {known}; {apart}"])

    def _solve_size(self, value: float, curve: Callable[[Array], Array]) -> float:
        """Find the smallest size at which a curve reaches a value, by ever finer grids.

        A curve may be flat at a bound from some size on, where no root changes sign.
        """
        value = read_number("value", value)
        if text := describe_other_unit("value", value, self.values, self.direction):
            issue([text])
        if not math.isfinite(value):
            raise DataError(f"value is {value}; ask for a finite one")
        sign = 1 if self.direction == "increasing" else -1
        low, high = math.log(self.sizes[0]), math.log(_FARTHEST * self.sizes[-1])
        for turn in range(_ROUNDS):
            grid = np.linspace(low, high, 400)
            reached = sign * (curve(np.exp(grid)) - value) >= 0
            if turn == 0 and reached[0]:
                return float(self.sizes[0])
            if not reached[1:].any():  # after the first grid only by rounding
                return math.exp(high) if turn else math.inf
            first = 1 + int(np.argmax(reached[1:]))
            low, high = float(grid[first - 1]), float(grid[first])
        return math.exp(high)


def _match_shape(size: object, values: Array) -> Any:
    given: Any = size
    shape = np.shape(given)
    return values.reshape(shape) if shape else float(values[0])
