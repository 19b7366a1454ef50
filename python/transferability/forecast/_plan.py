"""The number of rows that a value needs, with an interval and a probability."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._metric.score import issue, json_ready
from .._util.notebook import text_to_html
from ._bounds import describe_other_unit

__all__ = ["Plan", "find_crossings", "warn_of_target"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """The number of samples that a target value needs.

    Attributes
    ----------
    target : float
        The value to be reached.
    known : float
        The largest size of the pilot.
    size : float
        Median number of samples at which the target is reached; ``inf`` if the probability is
        below one half.
    interval : tuple of float
        Interval of that number. ``inf`` as its upper end means that the target may not be reached
        up to `up_to`.
    level : float
        Nominal coverage of the interval.
    probability : float
        Probability that the target is reached with at most `up_to` samples.
    up_to : float
        The largest size considered.
    direction : {"increasing", "decreasing"}
        Direction of better values: "increasing" if higher ones are.
    measured : float or None
        The smallest size of the pilot whose value reached the target; None if none did. The plan
        concerns the curve, which a value may pass by chance.
    """

    target: float
    known: float
    size: float
    interval: tuple[float, float]
    level: float
    probability: float
    up_to: float
    direction: str = "increasing"
    measured: float | None = None

    @property
    def rows(self) -> float:
        """Number of rows beyond those of the pilot; 0 if they suffice, ``inf`` if not reached."""
        return self._count_more(self.size)

    @property
    def rows_interval(self) -> tuple[float, float]:
        """The interval of `rows`."""
        low, high = self.interval
        return self._count_more(low), self._count_more(high)

    @property
    def reached(self) -> bool:
        """Whether at least half of the forecasts reach the target with at most `up_to` samples."""
        return self.size < math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain Python, ready for JSON."""
        more = {"rows": self.rows, "rows_interval": self.rows_interval, "reached": self.reached}
        ready: dict[str, Any] = json_ready({**asdict(self), **more})
        return ready

    def __repr__(self) -> str:
        """Return the number of further rows as text, with the probability that they suffice."""
        low, high = (f"{rows:.7g}" for rows in self.rows_interval)
        if self.size <= self.known:
            text = f"{self.target:g} is reached with the {self.known:.7g} samples known"
        elif self.reached:
            text = (
                f"{self.target:g} needs {self.rows:.7g} more rows than the {self.known:.7g} known"
            )
        else:
            text = f"{self.target:g} is not reached"
        if self.measured is not None and self.size > self.known:
            text = (
                f"{self.target:g} was reached at {self.measured:.7g} samples, perhaps by chance: "
                f"the curve {'reaches' if self.reached else 'does not reach'} it"
                f"{f' with {self.rows:.7g} more rows' if self.reached else ''}"
            )
        better = "higher" if self.direction == "increasing" else "lower"
        return (
            f"{text} ({self.level:.0%} interval of the rows {low} to {high}); probability that at "
            f"most {self.up_to:.7g} samples reach it: {self.probability:.2g}; {better} values are "
            f"better"
        )

    def _repr_html_(self) -> str:
        """Return the same for notebooks."""
        return text_to_html(repr(self))

    def _count_more(self, size: float) -> float:
        return max(math.ceil(size - 1e-9 * size) - self.known, 0.0) if size < math.inf else math.inf


def warn_of_target(
    target: float,
    sizes: Array,
    values: Array,
    limit: float | None,
    direction: str,
    guessed: bool,
) -> None:
    """Warn of sizes that are shares, and of a target of another unit, that is reached or beyond.

    `guessed` says whether the direction was read from the values.
    """
    if sizes[-1] <= 1:
        text = f"sizes are at most {sizes[-1]:g}, which looks like shares of a data set; "
        issue([text + "a plan counts rows, so multiply them by the number of rows"])
    sign = 1 if direction == "increasing" else -1
    if limit is not None and sign * (target - limit) > 0:
        issue(
            [
                f"target is {target:g}, beyond {limit:g}, the best possible value, so no size "
                f"reaches it; give it in the unit of the values, which are {values.min():g} to "
                f"{values.max():g}, or another limit or bounds"
            ]
        )
    if text := describe_other_unit("target", target, values, direction) or "":
        issue([text])
    elif guessed and (sign * (values - target) >= 0).all():
        falls = ("fall", "lower", "an accuracy", "increasing")
        rises = ("rise", "higher", "a loss or an error rate", "decreasing")
        trend, better, other, way = falls if sign < 0 else rises
        issue(
            [
                f"values {trend} with more samples, so {better} ones were taken for better, and "
                f"every known value reaches {target:g}; for {other} give direction='{way}'"
            ]
        )


def find_crossings(sizes: Array, better: Array) -> Array:
    """Return the size at which each curve first reaches 0 from below, or inf, by ln n.

    `better` has shape (n_curves, n_sizes). A curve that starts at 0 or above gets the first size.
    """
    reached = better >= 0
    place = reached.argmax(axis=1)
    rows = np.arange(len(better))
    before = np.maximum(place - 1, 0)
    low, high = better[rows, before], better[rows, place]
    rise = np.where(high > low, high - low, 1.0)
    share = np.where(place > 0, np.clip(-low / rise, 0, 1), 0.0)
    logs = np.log(sizes)
    found = np.exp(logs[before] + share * (logs[place] - logs[before]))
    found = np.where(place > 0, found, sizes[0])
    return np.where(reached.any(axis=1), found, math.inf)
