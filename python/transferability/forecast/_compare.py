"""Which of several data sets is worth more per sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, DtypeError
from ._forecast import Forecast

__all__ = ["Quality", "compare"]


@dataclass(frozen=True)
class Quality:
    """Data sets at one size, best first.

    Attributes
    ----------
    size : float
        Of every data set.
    values : dict of str to float
        The value of each at that size, by its forecast.
    intervals : dict of str to tuple of float
        Around them.
    level : float
        Of the intervals.
    samples_needed : dict of str to float
        How many samples of each give what `size` samples of the best one give; ``inf`` where no
        number does.
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
        """Tell whether the intervals of two data sets do not overlap.

        That is stricter than an interval of the difference, and asks nothing about whether the
        two curves err together.
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


def compare(
    forecasts: Mapping[str, Forecast], size: float | None = None, level: float = 0.9
) -> Quality:
    """Compare data sets at equal size.

    Parameters
    ----------
    forecasts : mapping of str to Forecast
        The curve of one model or metric on each data set; all in one direction.
    size : float, optional
        Default: the largest size that all curves reach, where no forecast is needed.
    level : float, default=0.9
        Of the intervals.

    Returns
    -------
    quality : Quality

    Raises
    ------
    DataError
        Fewer than two curves, curves in other directions, a size below one's smallest.

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
    if not all(isinstance(forecast, Forecast) for forecast in forecasts.values()):
        raise DtypeError("forecasts must map names of data sets to what fit() returned")
    if len(forecasts) < 2:
        raise DataError("give the curves of two data sets at least")
    directions = {forecast.direction for forecast in forecasts.values()}
    if len(directions) > 1:
        raise DataError("some curves increase and some decrease; give direction= to fit()")
    if size is None:
        size = float(min(forecast.sizes[-1] for forecast in forecasts.values()))
    sign = 1 if directions == {"increasing"} else -1
    values = {name: float(forecast.predict(size)) for name, forecast in forecasts.items()}
    order = sorted(values, key=lambda name: -sign * values[name])
    target = values[order[0]]
    return Quality(
        size=float(size),
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
