r"""Forecast the observations per class that an accuracy needs, by regression on a metric.

The procedure of radio-frequency machine learning (RFML): train at several numbers of observations
per class (OPC), and measure the accuracy a and transferability metrics M on the target set. Lines
relate each pair of the three, and a plane all three, by least squares:

    M = c₀ + c₁ log₁₀ OPC    a = d₀ + d₁ M    a = e₀ + e₁ log₁₀ OPC    a = f₀ + f₁ log₁₀ OPC + f₂ M

A path is the relations that a forecast uses. "chain" is the first two: accuracy by the metric that
the first line forecasts. "direct" is the third line. "joint" is the plane, at a metric that was
measured at the new OPC, which needs no training. Without a measured metric M is that of the first
line; its residuals are orthogonal to log₁₀ OPC, so the plane is then the third line exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from .._inputs.types import ArrayLike
from .._metric.score import issue
from .._util.notebook import to_html
from .._util.optional import need
from ..errors import DataError, DtypeError
from ._bounds import (
    describe_other_unit,
    read_level,
    read_number,
    read_numbers,
    resolve_bounds,
)

__all__ = ["RFML", "rfml"]

Array = NDArray[np.float64]
_DRAWS = 4000
_COLLINEAR = 1e-7  # least ratio of singular values at which a plane is determined

PATHS = ("chain", "direct", "joint")


@dataclass(frozen=True, eq=False)
class RFML:
    """Fitted relations of accuracy, a metric, and log10 of observations per class.

    Attributes
    ----------
    metric : str or None
        The chosen metric; None if there is none on the path "direct".
    correlations : dict of str to float
        Pearson correlation of each metric with the accuracy.
    metric_by_opc, accuracy_by_metric : tuple of float
        Intercept and slope of the lines; NaN without a metric.
    r2_metric, r2_accuracy : float
        Coefficients of determination of the lines; NaN without a metric.
    opc : ndarray of shape (n,)
        The fitted observations per class.
    bounds : tuple of float or None
        The lowest and the highest possible accuracy. Forecasts are within them.
    path : {"chain", "direct", "joint"}
        The relations that forecasts use.
    accuracy_by_opc : tuple of float
        Intercept and slope of accuracy by log10 of observations per class.
    r2_opc : float
        Coefficient of determination of that line.
    accuracy_by_both : tuple of float or None
        Intercept and slopes by log10 of observations per class and by the metric, on the path
        "joint".
    r2_both : float
        Coefficient of determination of that plane; NaN on other paths.
    accuracy : ndarray of shape (n,)
        The fitted accuracies.
    """

    metric: str | None
    correlations: dict[str, float]
    metric_by_opc: tuple[float, float]
    accuracy_by_metric: tuple[float, float]
    r2_metric: float
    r2_accuracy: float
    opc: Array
    # (n_draws, 2): intercept and slope of the path's line in log10 OPC
    _draws: Array = field(repr=False)
    bounds: tuple[float | None, float | None] = (None, None)
    path: str = "chain"
    accuracy_by_opc: tuple[float, float] = (math.nan, math.nan)
    r2_opc: float = math.nan
    accuracy_by_both: tuple[float, float, float] | None = None
    r2_both: float = math.nan
    accuracy: Array = field(default_factory=lambda: np.empty(0))

    def predict(self, opc: float, metric: float | None = None) -> float:
        """Forecast the accuracy at a number of observations per class.

        Parameters
        ----------
        opc : float
            Observations per class.
        metric : float, optional
            The chosen metric as measured with `opc` observations per class, which takes the place
            of its line; for the paths "chain" and "joint".
        """
        opc = read_number("opc", opc)
        if not 0 < opc < math.inf:
            raise DataError(f"opc is {opc}; give a positive number of observations per class")
        self._warn(opc)
        x = math.log10(opc)
        intercept, slope = self._line
        accuracy = np.array(intercept + slope * x)
        if metric is not None:
            accuracy = np.array(self._predict_measured(x, read_number("metric", metric)))
        return float(resolve_bounds(self.bounds, accuracy).clip(accuracy))

    def opc_for(self, accuracy: float) -> float:
        """Forecast the observations per class needed for an accuracy.

        It is ``inf`` above the bounds. If accuracy falls with more observations it is ``inf`` too,
        with a warning.

        Parameters
        ----------
        accuracy : float
            Accuracy to reach.
        """
        accuracy = read_number("accuracy", accuracy)
        if self._is_beyond(accuracy):
            return math.inf
        intercept, slope = self._line
        if slope <= 0:
            issue(["accuracy falls with more observations per class, so none reach an accuracy"])
            return math.inf
        self._warn_of_unit(accuracy)
        exponent = (accuracy - intercept) / slope
        opc = 10**exponent if exponent < 300 else math.inf
        self._warn(opc)
        return opc

    def interval_for(self, accuracy: float, level: float = 0.9) -> tuple[float, float]:
        """Compute a Monte Carlo interval of :meth:`opc_for`.

        The coefficients of the path's lines are drawn 4,000 times from Student distributions around
        the fits. A draw in which accuracy falls with more observations counts as infinite.
        Both ends are ``inf`` above the bounds.

        Parameters
        ----------
        accuracy : float
            Accuracy to reach.
        level : float, default=0.9
            Coverage of the interval, in (0, 1).
        """
        level, accuracy = read_level(level), read_number("accuracy", accuracy)
        if self._is_beyond(accuracy):
            return math.inf, math.inf
        self._warn_of_unit(accuracy)
        intercept, slope = self._draws.T
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            sizes = 10 ** ((accuracy - intercept) / slope)
        sizes = np.where(slope > 0, sizes, np.inf)
        # The nearest draw, because numbers and infinity cannot be interpolated.
        low, high = np.quantile(sizes, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        return float(low), float(high)

    def _repr_html_(self) -> str:
        """Return the relations and their coefficients of determination for notebooks."""
        x, name = "log10 of observations per class", self.metric
        lines = [("accuracy", x, self.accuracy_by_opc, self.r2_opc)]
        if name is not None:
            lines.append((name, x, self.metric_by_opc, self.r2_metric))
            lines.append(("accuracy", name, self.accuracy_by_metric, self.r2_accuracy))
        header = ["of", "by", "intercept", "slope", "r²"]
        body = [[of, by, *(f"{v:.4g}" for v in (*line, r2))] for of, by, line, r2 in lines]
        title = f"Accuracy by observations per class, path {self.path}"
        below = [f"correlation of {m} with accuracy: {r:.3f}" for m, r in self.correlations.items()]
        return to_html(title, header, body, below, {0, 1})

    @property
    def _line(self) -> tuple[float, float]:
        """Intercept and slope of the path's accuracy by log10 of observations per class."""
        if self.path != "chain":
            return self.accuracy_by_opc
        (c0, c1), (d0, d1) = self.metric_by_opc, self.accuracy_by_metric
        return d0 + d1 * c0, d1 * c1

    def _predict_measured(self, x: float, metric: float) -> float:
        if not math.isfinite(metric):
            raise DataError(f"metric is {metric}; give the measured value of {self.metric}")
        if self.path == "direct":
            raise DataError("metric has no part in the path 'direct'; fit 'chain' or 'joint'")
        if self.accuracy_by_both is None:
            d0, d1 = self.accuracy_by_metric
            return d0 + d1 * metric
        f0, f1, f2 = self.accuracy_by_both
        return f0 + f1 * x + f2 * metric

    def _is_beyond(self, accuracy: float) -> bool:
        if not math.isfinite(accuracy):
            raise DataError(f"accuracy is {accuracy}; ask for a finite one")
        high = self.bounds[1]
        return high is not None and accuracy > high

    def _warn_of_unit(self, accuracy: float) -> None:
        if len(self.accuracy) and (
            text := describe_other_unit("accuracy", accuracy, self.accuracy, "increasing")
        ):
            issue([text])

    def _warn(self, opc: float) -> None:
        if opc > 10 * self.opc.max():
            known = f"{self.opc.max():g}: lines need not hold there"
            issue([f"{opc:g} observations per class is beyond ten times the most seen, {known}"])


def rfml(
    opc: ArrayLike,
    metrics: Mapping[str, ArrayLike],
    accuracy: ArrayLike,
    *,
    path: str = "chain",
    bounds: tuple[float | None, float | None] | str | None = "auto",
) -> RFML:
    """Relate accuracy, a metric and log10 of observations per class, to forecast the data needed.

    Parameters
    ----------
    opc : array-like of shape (n,)
        Observations per class, positive; at least three different ones.
    metrics : mapping of str to array-like of shape (n,)
        Values of each metric at `opc`. The metric with the largest absolute correlation with
        accuracy is used; on the path "joint" that with the largest r² of the plane, where a metric
        that is a line in log10 `opc` has none. The path
        "direct" needs none: give {}.
    accuracy : array-like of shape (n,)
        Accuracy after training with `opc` observations per class.
    path : {"chain", "direct", "joint"}, default="chain"
        The relations of a forecast. "chain": the metric by log10 `opc`, then accuracy by the
        metric. "direct": accuracy by log10 `opc`. "joint": accuracy by both, at least four rows;
        it differs from "direct" where ``predict(opc, metric)`` gets a metric that was measured at
        the new size.
    bounds : tuple of float or None, None or "auto", default="auto"
        The lowest and the highest possible accuracy, such as (0, 100); forecasts are within them.
        "auto" is (0, 1) if all accuracies are, and otherwise none.

    Raises
    ------
    DataError, DtypeError
        For arrays of different lengths, values that are not finite, constant, or out of bounds, and
        for metrics that are all lines in log10 `opc` exactly on the path "joint".

    References
    ----------
    Clark, Michaels (2022). Training from Zero: Radio Frequency Machine Learning Data Quantity
    Forecasting. arXiv:2205.03703. The paths and the forms of the relations are this package's
    reading of its outline.

    Examples
    --------
    >>> import transferability.forecast as tf
    >>> found = tf.rfml([10, 100, 1000], {"logme": [-1.0, -0.5, 0.0]}, [0.5, 0.6, 0.7])
    >>> found.metric, round(found.opc_for(0.75))
    ('logme', 3162)
    """
    n, a = _read_numbers("opc", opc), _read_numbers("accuracy", accuracy)
    check_choice("path", path, PATHS)
    if not isinstance(metrics, Mapping):
        raise DtypeError(
            f"metrics is of type {type(metrics).__name__}; map names to values, such as "
            "{'logme': [...]}"
        )
    if not metrics and path != "direct":
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
    x = np.log10(n)
    by_opc, r2_opc, draws = _fit_line(x, a)
    if path != "chain" and by_opc[1] == 0:
        raise DataError("accuracy does not change with the observations per class")
    best, both, r2_both = None, None, math.nan
    if path == "joint":
        if len(n) < 4:
            raise DataError(
                f"path 'joint' has three coefficients and needs 4 rows, there are {len(n)}"
            )
        fitted = {name: _fit_plane(x, m, a) for name, m in columns.items()}
        planes = {name: plane for name, plane in fitted.items() if plane is not None}
        if not planes:
            raise DataError(
                f"{' and '.join(columns)} is a line in log10 of opc, so the plane of the path "
                f"'joint' is undetermined; use path='chain' or 'direct'"
            )
        best = max(planes, key=lambda name: planes[name][1])
        both, r2_both = planes[best]
    elif columns:
        best = max(correlations, key=lambda name: abs(correlations[name]))
    metric_line = accuracy_line = (math.nan, math.nan)
    r2_metric = r2_accuracy = math.nan
    if best is not None:
        metric_line, r2_metric, metric_draws = _fit_line(x, columns[best])
        accuracy_line, r2_accuracy, accuracy_draws = _fit_line(columns[best], a)
        if path == "chain":
            if metric_line[1] == 0 or accuracy_line[1] == 0:
                raise DataError(f"{best} does not change with the observations per class")
            (c0, c1), (d0, d1) = metric_draws.T, accuracy_draws.T
            draws = np.column_stack([d0 + d1 * c0, d1 * c1])
    lines = (metric_line, accuracy_line, r2_metric, r2_accuracy)
    return RFML(
        *(best, correlations, *lines, n, draws, possible.public()),
        path=path,
        accuracy_by_opc=by_opc,
        r2_opc=r2_opc,
        accuracy_by_both=both,
        r2_both=r2_both,
        accuracy=a,
    )


def _fit_plane(
    x: Array, metric: Array, accuracy: Array
) -> tuple[tuple[float, float, float], float] | None:
    """Fit accuracy by x and a metric; return (intercept, slopes) and r², or None for a line."""
    centred = np.column_stack([(c - c.mean()) / np.std(c) for c in (x, metric)])
    slopes, _, rank, _ = np.linalg.lstsq(centred, accuracy - accuracy.mean(), rcond=_COLLINEAR)
    if rank < 2:
        return None
    f1, f2 = slopes[0] / np.std(x), slopes[1] / np.std(metric)
    rest = accuracy - accuracy.mean() - centred @ slopes
    r2 = 1 - float(np.sum(rest**2) / np.sum((accuracy - accuracy.mean()) ** 2))
    return (float(accuracy.mean() - f1 * x.mean() - f2 * metric.mean()), float(f1), float(f2)), r2


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
    if array.ndim != 1:
        raise DataError(f"{name} must be one number for each size, got shape {array.shape}")
    odd = np.flatnonzero(~np.isfinite(array))
    if odd.size:
        raise DataError(f"{name}[{odd[0]}] is {array[odd[0]]}; leave out rows without a finite one")
    return array
