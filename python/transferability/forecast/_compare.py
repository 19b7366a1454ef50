"""Compare the learning curves of several data sets at equal size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._util.notebook import text_to_html
from ..errors import DataError, DtypeError
from ._bounds import read_number
from ._forecast import Forecast

__all__ = ["Quality", "compare"]


@dataclass(frozen=True)
class Quality:
    """A comparison of data sets at equal size, best first.

    Attributes
    ----------
    size : float
        Number of samples.
    values : dict of str to float
        Forecast value of each data set at that size.
    intervals : dict of str to tuple of float
        Prediction intervals of the values.
    level : float
        Nominal coverage of the intervals.
    samples_needed : dict of str to float
        Number of samples at which each data set reaches the best value; ``inf`` if it never does.
    """

    size: float
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    level: float
    samples_needed: dict[str, float]

    @property
    def best(self) -> str:
        """The data set with the best value."""
        return next(iter(self.values))

    def told_apart(self, first: str, second: str) -> bool:
        """Return whether the intervals of two data sets are disjoint.

        This is more conservative than an interval of the difference, but valid for any correlation
        between the errors of the two curves.

        Parameters
        ----------
        first, second : str
            Names of data sets.
        """
        (a, b), (c, d) = self.intervals[first], self.intervals[second]
        return b < c or d < a

    def __repr__(self) -> str:
        """Show the data sets, best first."""
        lines = [f"At {self.size:g} samples, {self.level:.0%} intervals"]
        width = max(map(len, self.values))
        for name, value in self.values.items():
            low, high = self.intervals[name]
            apart = name == self.best or self.told_apart(self.best, name)
            note = "" if apart else f"; not told apart from {self.best}"
            lines.append(
                f"  {name.ljust(width)}  {value:.4g}  ({low:.4g} to {high:.4g}); "
                f"{self.samples_needed[name]:.4g} samples for the same{note}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the same lines for notebooks."""
        return text_to_html(repr(self))


def compare(
    forecasts: Mapping[str, Forecast], size: float | None = None, level: float = 0.9
) -> Quality:
    """Compare data sets at equal size.

    Parameters
    ----------
    forecasts : mapping of str to Forecast
        The forecast of one model or metric on each data set; all have the same direction.
    size : float, optional
        Default: the largest size that is within the fitted sizes of every curve.
    level : float, default=0.9
        Coverage of the intervals, in (0, 1).

    Raises
    ------
    DataError
        For fewer than two curves, different directions, or a size below the smallest of a curve.

    Examples
    --------
    >>> import transferability.forecast as tf
    >>> n = [100, 200, 400, 800]
    >>> clean = tf.fit(n, [2 * k**-0.5 for k in n])
    >>> noisy = tf.fit(n, [3 * k**-0.5 for k in n])
    >>> found = tf.compare({"noisy": noisy, "clean": clean})
    >>> found.best, round(found.samples_needed["noisy"])
    ('clean', 1800)
    """
    given: Any = forecasts
    curves = given.values() if isinstance(given, Mapping) else [None]
    if not all(isinstance(forecast, Forecast) for forecast in curves):
        raise DtypeError("forecasts must map names of data sets to what fit() returned")
    if len(forecasts) < 2:
        raise DataError("give the curves of two data sets at least")
    directions = {forecast.direction for forecast in forecasts.values()}
    if len(directions) > 1:
        raise DataError("some curves increase and some decrease; give direction= to fit()")
    if size is None:
        size = float(min(forecast.sizes[-1] for forecast in forecasts.values()))
    size = read_number("size", size)
    sign = 1 if directions == {"increasing"} else -1
    values = {name: float(forecast.predict(size)) for name, forecast in forecasts.items()}
    order = sorted(values, key=lambda name: -sign * values[name])
    target = values[order[0]]
    return Quality(
        size=size,
        values={name: values[name] for name in order},
        intervals={name: forecasts[name].interval(size, level) for name in order},
        level=level,
        samples_needed={
            name: size
            if np.isclose(values[name], target, rtol=1e-12, atol=0)
            else forecasts[name].size_for(target)
            for name in order
        },
    )
