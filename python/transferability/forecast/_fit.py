"""``fit``: from values at a few sizes to a forecast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from ..errors import DataError
from ._extrapolate import FEWEST, Extrapolation
from ._forecast import Forecast
from ._laws import LAWS, NEED_LIMIT, PARAMETERS

__all__ = ["FORMS", "fit"]

Array = NDArray[np.float64]

#: What `fit` takes as its form.
FORMS = ("auto", *LAWS)


def fit(
    sizes: object,
    values: object,
    form: str = "auto",
    *,
    direction: str = "auto",
    limit: float | str | None = "auto",
) -> Forecast:
    r"""Fit a learning curve, to forecast values at larger sizes.

    Parameters
    ----------
    sizes : array-like of shape (n,)
        Numbers of samples; three different positive ones at least, in any order. Nested samples
        (:func:`curve`) make smoother curves than independent ones. Size 0 is kept as
        ``Forecast.zero_shot``; laws of data size do not hold there, and are not fitted to it.
    values : array-like of shape (n,)
        A loss, an error, an accuracy or a metric at each size; several at one size are averaged.
    form : {"auto", "log_linear", "local_linear", "local_power", "power_law", "logistic", \
            "rectified"}, default="auto"
        A law of the table below, or "auto": the median of the forecasts of five laws, from
        log-linear (the most hopeful) to a power law with a floor (the least); or a single law that
        has done decisively better, the rectified law with half of the median's held-out error,
        another with a fifth. Held out are, in turn, all sizes but the first three, four and so
        on, each cut weighing twice the one before: what is judged is extrapolation.
    direction : {"auto", "increasing", "decreasing"}, default="auto"
        Where values go with more data; "auto" goes by the correlation with the logarithm of size.
    limit : float, None or "auto", default="auto"
        What values cannot pass: 1 for accuracies in [0, 1], 100 in percent, 0 for losses and
        errors. "auto" is 0 for decreasing positive values, 1 for increasing values below 1 and
        none below 0, None otherwise: then residuals are differences, and laws that need a limit
        are left out.

    Returns
    -------
    forecast : Forecast

    Raises
    ------
    DataError
        Fewer than three positive sizes, or fewer than the law has parameters; values that are
        not finite, all equal, or beyond the limit.
    MissingDependencyError
        Without SciPy, which fits.

    Notes
    -----
    With the gap g = ``|value − limit|``, n₀ the smallest size fitted, and
    :math:`s(n) = 1 / (1 + ((n/n_0)^\beta - 1) e^{-h})`:

    - ``log_linear``, ``local_linear``: g = a + b ln n, through all or the last four sizes;
    - ``local_power``: ln g = a + b ln n, through the last four sizes;
    - ``power_law``: g = A s(n) + E with h = 0: a power law with a floor;
    - ``logistic``: g = A s(n), an S-curve in ln n between a free start and the limit;
    - ``rectified``: g = A s(n) + E, the rectified scaling law B / (D_l + n^β) + E.

    Fits are least squares in ln g. The median has the rectified law with a weak prior on its
    exponent (0.3 within a factor of e) and on how late its decline starts, worth one residual of
    2 % (``rectified_prior`` among the errors): from few sizes four parameters run away otherwise.

    References
    ----------
    Lin et al. (2024). Selecting Large Language Model to Fine-tune via Rectified Scaling Law. ICML.

    Examples
    --------
    >>> import transferability.forecast as tf
    >>> sizes = [100, 200, 400, 800, 1600, 3200]
    >>> losses = [3 * n**-0.3 + 0.1 for n in sizes]
    >>> forecast = tf.fit(sizes, losses)
    >>> round(forecast.predict(9000), 3), round(3 * 9000**-0.3 + 0.1, 3)
    (0.295, 0.295)
    >>> round(forecast.size_for(0.4))
    2154
    """
    check_choice("form", form, FORMS)
    check_choice("direction", direction, ("auto", "increasing", "decreasing"))
    n, v, zero_shot = _read(sizes, values)
    if direction == "auto":
        direction = "increasing" if np.corrcoef(np.log(n), v)[0, 1] > 0 else "decreasing"
    if isinstance(limit, str):
        check_choice("limit", limit, ("auto",))
        limit = _limit(v, direction)
    gap = v if direction == "decreasing" else -v
    if limit is not None:
        gap = gap - limit if direction == "decreasing" else gap + limit
        if gap.min() <= 0:
            side = "below" if direction == "increasing" else "above"
            raise DataError(
                f"{direction} values must lie {side} the limit {limit:g}, but one is "
                f"{v[int(gap.argmin())]:g}; give another limit, or None for none"
            )
    if form in NEED_LIMIT and limit is None:
        raise DataError(f"{form} needs a limit that the values approach; give limit=")
    fewest = FEWEST if form == "auto" else max(FEWEST, PARAMETERS[form])
    if len(n) < fewest:
        raise DataError(f"{form} needs {fewest} different positive sizes, there are {len(n)}")
    law = Extrapolation(n, gap, limit is not None, form)
    return Forecast(n, v, direction, limit, zero_shot, law)


def _read(sizes: object, values: object) -> tuple[Array, Array, float | None]:
    """Give increasing positive sizes with their mean values, and the value at 0."""
    n, v = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if n.ndim != 1 or n.shape != v.shape:
        raise DataError(f"sizes and values must be as many, got shapes {n.shape} and {v.shape}")
    for name, array in (("sizes", n), ("values", v)):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array))[0])
            raise DataError(f"{name}[{row}] is {array[row]}; leave out what was not measured")
    if n.min(initial=0) < 0:
        raise DataError(f"sizes holds {n.min():g}; a number of samples is at least 0")
    unique, place = np.unique(n, return_inverse=True)
    means = np.bincount(place, weights=v) / np.bincount(place)
    zero_shot = float(means[0]) if len(unique) and unique[0] == 0 else None
    positive = unique > 0
    unique, means = unique[positive], means[positive]
    if len(unique) < FEWEST:
        raise DataError(f"a forecast needs 3 different positive sizes, there are {len(unique)}")
    if np.ptp(means) == 0:
        raise DataError(f"all values are {means[0]:g}: there is no trend to follow")
    return unique, means, zero_shot


def _limit(values: Array, direction: str) -> float | None:
    if direction == "decreasing":
        return 0.0 if values.min() > 0 else None
    return 1.0 if values.min() >= 0 and values.max() < 1 else None
