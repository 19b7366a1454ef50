r"""Forecast the observations per class that an accuracy needs, by regression on a metric.

The procedure of radio-frequency machine learning (RFML): train at several numbers of observations
per class (OPC), and measure the accuracy a and transferability metrics M on the target set. The
metric with the largest correlation with accuracy is used. Two lines are fitted by least squares,
and solved for the observations that an accuracy a* needs:

    M = c₀ + c₁ log₁₀ OPC        a = d₀ + d₁ M        OPC* = 10^((a* − d₀ − d₁ c₀) / (c₁ d₁)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._metric.score import issue
from .._util.optional import need
from ..errors import DataError
from ._bounds import read_numbers, resolve_bounds

__all__ = ["RFML", "rfml"]

Array = NDArray[np.float64]
_DRAWS = 4000


@dataclass(frozen=True)
class RFML:
    """Two fitted lines: a metric by log10 of observations per class, and accuracy by the metric.

    Attributes
    ----------
    metric : str
        The chosen metric.
    correlations : dict of str to float
        Pearson correlation of each metric with the accuracy.
    metric_by_opc, accuracy_by_metric : tuple of float
        Intercept and slope of the two lines.
    r2_metric, r2_accuracy : float
        Coefficients of determination of the lines.
    opc : ndarray of shape (n,)
        The fitted observations per class.
    bounds : tuple of float or None
        The lowest and the highest possible accuracy. Forecasts are within them.
    """

    metric: str
    correlations: dict[str, float]
    metric_by_opc: tuple[float, float]
    accuracy_by_metric: tuple[float, float]
    r2_metric: float
    r2_accuracy: float
    opc: Array
    _draws: Array  # (n_draws, 4): c₀, c₁, d₀, d₁ drawn from their distributions
    bounds: tuple[float | None, float | None] = (None, None)

    def predict(self, opc: float) -> float:
        """Forecast the accuracy at a number of observations per class."""
        if not 0 < opc < math.inf:
            raise DataError(f"opc is {opc}; give a positive number of observations per class")
        self._warn(opc)
        (c0, c1), (d0, d1) = self.metric_by_opc, self.accuracy_by_metric
        accuracy = np.array(d0 + d1 * (c0 + c1 * math.log10(opc)))
        return float(resolve_bounds(self.bounds, accuracy).clip(accuracy))

    def opc_for(self, accuracy: float) -> float:
        """Forecast the observations per class needed for an accuracy; ``inf`` above the bounds."""
        if self._is_beyond(accuracy):
            return math.inf
        (c0, c1), (d0, d1) = self.metric_by_opc, self.accuracy_by_metric
        exponent = (accuracy - d0 - d1 * c0) / (c1 * d1)
        opc = 10**exponent if exponent < 300 else math.inf
        self._warn(opc)
        return opc

    def interval_for(self, accuracy: float, level: float = 0.9) -> tuple[float, float]:
        """Compute a Monte Carlo interval of :meth:`opc_for`.

        The coefficients of both lines are drawn 4,000 times from Student distributions around the
        fits. A draw in which accuracy falls with more observations counts as infinite.
        Both ends are ``inf`` above the bounds.
        """
        if not 0 < level < 1:
            raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.9")
        if self._is_beyond(accuracy):
            return math.inf, math.inf
        c0, c1, d0, d1 = self._draws.T
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            sizes = 10 ** ((accuracy - d0 - d1 * c0) / (c1 * d1))
        sizes = np.where(c1 * d1 > 0, sizes, np.inf)
        # The nearest draw, because numbers and infinity cannot be interpolated.
        low, high = np.quantile(sizes, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        return float(low), float(high)

    def _is_beyond(self, accuracy: float) -> bool:
        if not math.isfinite(accuracy):
            raise DataError(f"accuracy is {accuracy}; ask for a finite one")
        high = self.bounds[1]
        return high is not None and accuracy > high

    def _warn(self, opc: float) -> None:
        if opc > 10 * self.opc.max():
            known = f"{self.opc.max():g}: lines need not hold there"
            issue([f"{opc:g} observations per class is beyond ten times the most seen, {known}"])


def rfml(
    opc: object,
    metrics: Mapping[str, object],
    accuracy: object,
    *,
    bounds: tuple[float | None, float | None] | str | None = "auto",
) -> RFML:
    """Fit a metric by log10 of observations per class, and the accuracy by the metric.

    Parameters
    ----------
    opc : array-like of shape (n,)
        Observations per class, positive; at least three different ones.
    metrics : mapping of str to array-like of shape (n,)
        Values of each metric at `opc`. The metric with the largest absolute correlation with
        accuracy is used.
    accuracy : array-like of shape (n,)
        Accuracy after training with `opc` observations per class.
    bounds : tuple of float or None, None or "auto", default="auto"
        The lowest and the highest possible accuracy, such as (0, 100); forecasts are within them.
        "auto" is (0, 1) if all accuracies are, and otherwise none.

    Raises
    ------
    DataError, DtypeError
        For arrays of different lengths, values that are not finite, constant, or out of bounds.

    References
    ----------
    Clark, Michaels (2022). Training from Zero: Radio Frequency Machine Learning Data Quantity
    Forecasting. arXiv:2205.03703. The forms of the lines are this package's interpretation.

    Examples
    --------
    >>> import transferability.forecast as tf
    >>> found = tf.rfml([10, 100, 1000], {"logme": [-1.0, -0.5, 0.0]}, [0.5, 0.6, 0.7])
    >>> found.metric, round(found.opc_for(0.75))
    ('logme', 3162)
    """
    n, a = _read_numbers("opc", opc), _read_numbers("accuracy", accuracy)
    if not metrics:
        raise DataError("metrics must map names to values, such as {'logme': [...]}")
    columns = {str(name): _read_numbers(str(name), values) for name, values in metrics.items()}
    for name, column in {"accuracy": a, **columns}.items():
        if len(column) != len(n):
            raise DataError(f"{name} has {len(column)} values for {len(n)} of opc")
        if np.ptp(column) == 0:
            raise DataError(f"{name} is {column[0]:g} everywhere: there is nothing to relate")
    if n.min(initial=np.inf) <= 0 or len(np.unique(n)) < 3:
        raise DataError("opc needs three different positive numbers of observations at least")
    possible = resolve_bounds(bounds, a)
    possible.check("accuracy", n, a)
    correlations = {name: float(np.corrcoef(m, a)[0, 1]) for name, m in columns.items()}
    best = max(correlations, key=lambda name: abs(correlations[name]))
    by_opc, r2_metric, metric_draws = _fit_line(np.log10(n), columns[best])
    by_metric, r2_accuracy, accuracy_draws = _fit_line(columns[best], a)
    if by_opc[1] == 0 or by_metric[1] == 0:
        raise DataError(f"{best} does not change with the observations per class")
    draws = np.column_stack([metric_draws, accuracy_draws])
    lines = (by_opc, by_metric, r2_metric, r2_accuracy)
    return RFML(best, correlations, *lines, n, draws, possible.public())


def _fit_line(x: Array, y: Array) -> tuple[tuple[float, float], float, Array]:
    """Fit a line; return (intercept, slope), r², and 4000 Student draws of both, (4000, 2)."""
    stats = need("scipy.stats", extra="stats", what="forecasting")
    fit: Any = stats.linregress(x, y)
    # The height of the line at the mean of x and its slope are independent, and drawn so.
    rng = np.random.default_rng(0)
    slope = fit.slope + fit.stderr * rng.standard_t(len(x) - 2, _DRAWS)
    middle_error = fit.stderr * np.std(x)
    middle = y.mean() + middle_error * rng.standard_t(len(x) - 2, _DRAWS)
    draws = np.column_stack([middle - slope * x.mean(), slope])
    return (float(fit.intercept), float(fit.slope)), float(fit.rvalue**2), draws


def _read_numbers(name: str, values: object) -> Array:
    array = read_numbers(name, values)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise DataError(f"{name} must be one finite number for each size, got {array.shape}")
    return array
