r"""How many observations per class an accuracy needs, read off a metric.

The procedure of radio-frequency machine learning: train at several numbers of observations per
class (OPC), and there measure the accuracy a and metrics M of transfer potential on the target
set. Three relations, each with its goodness of fit:

    M = c₀ + c₁ log₁₀ OPC        a = d₀ + d₁ M        OPC* = 10^((a* − d₀ − d₁ c₀) / (c₁ d₁)),

and the metric is the one that correlates best with accuracy.
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

__all__ = ["RFML", "rfml"]

Array = NDArray[np.float64]
_DRAWS = 4000


@dataclass(frozen=True)
class RFML:
    """Relations between observations per class, a metric and accuracy.

    Attributes
    ----------
    metric : str
        The metric that was chosen.
    correlations : dict of str to float
        Pearson's, of each metric with the accuracy.
    metric_by_opc, accuracy_by_metric : tuple of float
        Intercept and slope of the two lines.
    r2_metric, r2_accuracy : float
        Shares of variance that the lines explain.
    opc : ndarray of shape (n,)
        Where the relations were seen.
    """

    metric: str
    correlations: dict[str, float]
    metric_by_opc: tuple[float, float]
    accuracy_by_metric: tuple[float, float]
    r2_metric: float
    r2_accuracy: float
    opc: Array
    _draws: Array  # (n_draws, 4): c₀, c₁, d₀, d₁ within their errors

    def predict(self, opc: float) -> float:
        """Forecast the accuracy at a number of observations per class."""
        self._warn(opc)
        (c0, c1), (d0, d1) = self.metric_by_opc, self.accuracy_by_metric
        return d0 + d1 * (c0 + c1 * math.log10(opc))

    def opc_for(self, accuracy: float) -> float:
        """Forecast the observations per class that an accuracy needs."""
        (c0, c1), (d0, d1) = self.metric_by_opc, self.accuracy_by_metric
        exponent = (accuracy - d0 - d1 * c0) / (c1 * d1)
        opc = 10**exponent if exponent < 300 else math.inf
        self._warn(opc)
        return opc

    def interval_for(self, accuracy: float, level: float = 0.9) -> tuple[float, float]:
        """Give the interval of :meth:`opc_for` from the errors of both lines' coefficients.

        Coefficients are drawn from Student distributions around the fits, 4,000 times; draws in
        which accuracy falls with more observations count as never reaching it.
        """
        if not 0 < level < 1:
            raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.9")
        c0, c1, d0, d1 = self._draws.T
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            sizes = 10 ** ((accuracy - d0 - d1 * c0) / (c1 * d1))
        sizes = np.where(c1 * d1 > 0, sizes, np.inf)
        # Of the draws themselves: between a number and infinity there is nothing to interpolate.
        low, high = np.quantile(sizes, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        return float(low), float(high)

    def _warn(self, opc: float) -> None:
        if opc > 10 * self.opc.max():
            issue(
                [
                    f"{opc:g} observations per class is beyond ten times the most seen, "
                    f"{self.opc.max():g}: lines need not hold there"
                ]
            )


def rfml(opc: object, metrics: Mapping[str, object], accuracy: object) -> RFML:
    """Relate observations per class to a metric and the metric to accuracy.

    Parameters
    ----------
    opc : array-like of shape (n,)
        Observations per class, positive; three different ones at least.
    metrics : mapping of str to array-like of shape (n,)
        Each metric at them. The one of the largest correlation with accuracy, in size, is taken.
    accuracy : array-like of shape (n,)
        What training at them gave.

    Returns
    -------
    relations : RFML
        With ``opc_for(accuracy)`` and ``interval_for(accuracy)``.

    Raises
    ------
    DataError
        Arrays of other lengths, values that are not finite, or a constant metric or accuracy.

    References
    ----------
    Clark, Michaels (2022). Training from Zero: Radio Frequency Machine Learning Data Quantity
    Forecasting. arXiv:2205.03703. The forms of the lines are this package's reading.

    Examples
    --------
    >>> import transferability.forecast as tf
    >>> found = tf.rfml([10, 100, 1000], {"logme": [-1.0, -0.5, 0.0]}, [0.5, 0.6, 0.7])
    >>> found.metric, round(found.opc_for(0.75))
    ('logme', 3162)
    """
    n, a = _numbers("opc", opc), _numbers("accuracy", accuracy)
    if not metrics:
        raise DataError("metrics must map names to values, such as {'logme': [...]}")
    columns = {str(name): _numbers(str(name), values) for name, values in metrics.items()}
    for name, column in {"accuracy": a, **columns}.items():
        if len(column) != len(n):
            raise DataError(f"{name} has {len(column)} values for {len(n)} of opc")
        if np.ptp(column) == 0:
            raise DataError(f"{name} is {column[0]:g} everywhere: there is nothing to relate")
    if n.min(initial=np.inf) <= 0 or len(np.unique(n)) < 3:
        raise DataError("opc needs three different positive numbers of observations at least")
    correlations = {name: float(np.corrcoef(m, a)[0, 1]) for name, m in columns.items()}
    best = max(correlations, key=lambda name: abs(correlations[name]))
    first = _line(np.log10(n), columns[best])
    second = _line(columns[best], a)
    if first[0][1] == 0 or second[0][1] == 0:
        raise DataError(f"{best} does not change with the observations per class")
    return RFML(
        best,
        correlations,
        first[0],
        second[0],
        first[1],
        second[1],
        n,
        np.column_stack([first[2], second[2]]),
    )


def _line(x: Array, y: Array) -> tuple[tuple[float, float], float, Array]:
    """Fit intercept and slope; also r² and draws of both within their errors."""
    stats = need("scipy.stats", extra="stats", what="forecasting")
    fit: Any = stats.linregress(x, y)
    # Intercept at the mean of x and slope are independent; so are their Student draws.
    rng = np.random.default_rng(0)
    slope = fit.slope + fit.stderr * rng.standard_t(len(x) - 2, _DRAWS)
    middle_error = fit.stderr * np.std(x)
    middle = y.mean() + middle_error * rng.standard_t(len(x) - 2, _DRAWS)
    draws = np.column_stack([middle - slope * x.mean(), slope])
    return (float(fit.intercept), float(fit.slope)), float(fit.rvalue**2), draws


def _numbers(name: str, values: object) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise DataError(f"{name} must be one finite number for each size, got {array.shape}")
    return array
