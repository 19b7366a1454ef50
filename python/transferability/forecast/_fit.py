"""Fit a learning curve: validate sizes and values, choose the direction and the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from .._inputs.rows import check_rows
from .._inputs.types import ArrayLike
from .._metric.score import issue
from .._util.optional import need
from ..errors import DataError, DtypeError
from ._bounds import read_numbers, resolve_limit
from ._extrapolate import FEWEST, Extrapolation
from ._forecast import Forecast
from ._laws import LAWS, NEED_LIMIT, PARAMETERS
from ._plan import Plan

__all__ = ["FORMS", "fit", "plan"]

Array = NDArray[np.float64]

_LOW = 10.0  # values in percent exceed it, and most metrics do not
#: The forms that `fit` takes.
FORMS = ("auto", *LAWS)


def fit(
    sizes: ArrayLike | Mapping[float, float],
    values: ArrayLike | str | None = None,
    form: str = "auto",
    *,
    direction: str = "auto",
    limit: float | str | None = "auto",
    bounds: tuple[float | None, float | None] | str | None = "auto",
) -> Forecast:
    r"""Fit scaling laws to a learning curve, to forecast values at larger sizes.

    Parameters
    ----------
    sizes : array-like of shape (n,), Curve, or mapping of sizes to values
        Numbers of samples, in any order; at least three different positive ones. Nested samples
        (:func:`curve`) make smoother curves than independent ones. A value at size 0 is kept as
        ``Forecast.zero_shot``; laws do not hold there and are not fitted to it. What :func:`curve`
        returned has the values too, and so has ``{size: value}``.
    values : array-like of shape (n,), mapping of str to it, or str
        A loss, error, accuracy or metric at each size; values at equal sizes are averaged. A
        mapping has one metric's values by its name, as ``Curve.values``; a str names the metric of
        a Curve with several. Metrics of a curve have no limit unless it is given, as in
        :meth:`Curve.fit`.
    form : str, default="auto"
        A law from the notes, "log_linear", "local_linear", "local_power", "power_law", "logistic"
        or "rectified", or "auto": the median of the forecasts of five laws (four without a
        limit), from a line in ln n (the most optimistic) to a power law with a floor (the least).
        A single law is used instead if its held-out error is below half of the median's (the
        rectified law) or below a fifth (any other). The held-out error is an error of
        extrapolation: the laws are fitted to the first three sizes, the first four and so on, and
        predict the rest; each fit has twice the weight of the one before. A law with fewer than
        three such fits is not used alone.
    direction : {"auto", "increasing", "decreasing"}, default="auto"
        Direction of the values with more data. "auto": the sign of the correlation with ln n.
    limit : float, None or "auto", default="auto"
        The best possible value: 1 for accuracies in [0, 1], 100 in percent, 0 for losses and
        errors. "auto" is 0 for decreasing values that are at least 0, 1 for increasing values in
        [0, 1], the largest of increasing values if that is exactly 0, 1 or 100, the better of
        `bounds` if they are given, and otherwise None: laws are then fitted to the values
        themselves, not to the logarithm of the gap, and laws that need a limit are left out. The
        same is done if a value has reached the limit, where the gap has no logarithm.
    bounds : tuple of float or None, None or "auto", default="auto"
        The lowest and the highest possible value, such as (0, 1), (0, None) or (-1, 1). Forecasts
        and both ends of intervals are within the bounds, and never pass the limit. "auto" is none
        without a limit. With one, the limit is one bound; the other is 0 for increasing values that
        are at least 0, and 1 for decreasing values in [0, 1], which are taken for error rates; for
        losses that stay below 1 give (0, None). For a metric without bounds whose values happen to
        be in [0, 1], such as LogME, give None.

    Raises
    ------
    DataError, DtypeError, MissingDependencyError
        For fewer than three positive sizes, or fewer than the law has parameters; for values that
        are not finite, all equal, or beyond the limit or the bounds; for curves of several
        metrics; without SciPy, whatever the law.

    Warns
    -----
    TransferabilityWarning
        If the limit is the largest of increasing values, exactly 0, 1 or 100; if increasing values
        look like accuracies in percent, which have no limit unless it is given.

    Notes
    -----
    With the gap g = ``|value − limit|``, n₀ the smallest size fitted, and
    :math:`s(n) = 1 / (1 + ((n/n_0)^\beta - 1) e^{-h})`:

    - ``log_linear``, ``local_linear``: g = a + b ln n, through all or the last four sizes;
    - ``local_power``: ln g = a + b ln n, through the last four sizes;
    - ``power_law``: g = A s(n) + E with h = 0: a power law with a floor;
    - ``logistic``: g = A s(n), an S-curve in ln n between a free start and the limit;
    - ``rectified``: g = A s(n) + E, the rectified scaling law B / (D_l + n^β) + E.

    Fits are least squares in ln g, those of the two lines in g. If there is no limit, all are least
    squares in g, which is then the value or its negative; also if a value has reached the limit.
    The exponent β is from 0.003 to 4; h is at least 0, but -8 in ``rectified``. In the median, the
    rectified law has h of at least 0, and a weak prior on its exponent (0.3 within a factor of e)
    and on the start of its decline, with the weight of one residual of 0.02 (``rectified_prior``
    among the errors). Without it, four parameters diverge on few sizes.

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
    need("scipy", extra="stats", what="forecasting")  # here, and not in the first forecast
    sizes, values, is_metric = _unpack_curve(sizes, values)
    if is_metric and limit == "auto" and bounds == "auto":
        limit = None
    check_rows((), sizes=sizes, values=values)
    n, v, zero_shot = _read_curve(sizes, values)
    guessed = direction == "auto"
    if guessed:
        direction = "increasing" if np.corrcoef(np.log(n), v)[0, 1] > 0 else "decreasing"
    increasing = direction == "increasing"
    best, possible, v = resolve_limit(limit, bounds, increasing, n, v, _precision(values))
    auto = isinstance(limit, str) and isinstance(bounds, str)
    if auto and increasing and best is not None and (best != 1 or v.min() < 0):
        issue(
            [
                f"the largest value is exactly {best:g} and was taken for the limit; give "
                f"limit={best:g} if none can be larger, or limit=None"
            ]
        )
    if auto and increasing and best is None and v.min() >= 0 and _LOW < v.max() < 100:
        issue(
            [
                f"values are {v.min():g} to {v.max():g}, which look like percent, and forecasts "
                f"may pass 100; give limit=100, or limit=None if there is no limit"
            ]
        )
    base = best or 0.0
    gap = base - v if increasing else v - base
    ends = (base - possible.high, base - possible.low)
    if not increasing:
        ends = (possible.low - base, possible.high - base)
    if form in NEED_LIMIT and best is None:
        raise DataError(f"{form} needs a limit that the values approach; give limit=")
    if form != "auto" and len(n) < (fewest := PARAMETERS[form]):
        raise DataError(f"{form} needs {fewest} different positive sizes, there are {len(n)}")
    law = Extrapolation(n, gap, best is not None and gap.min() > 0, form, ends)
    return Forecast(n, v, direction, best, zero_shot, law, possible.public(), guessed)


def plan(
    target: float,
    sizes: ArrayLike | Mapping[float, float],
    values: ArrayLike | str | None = None,
    *,
    level: float = 0.9,
    up_to: float | None = None,
    form: str = "auto",
    **options: Any,
) -> Plan:
    """Compute how many more rows a target value needs, from a pilot.

    Parameters
    ----------
    target : float
        The accuracy, loss or metric to be reached.
    sizes, values, form, **options
        The pilot, as :func:`fit` takes it: a value at each of three sizes at least; six or more
        make far narrower intervals.
    level, up_to
        As in :meth:`Forecast.plan`.

    Examples
    --------
    >>> import transferability.forecast as tf
    >>> sizes = [100, 200, 400, 800, 1600, 3200]
    >>> found = tf.plan(0.9, sizes, [1 - 2 * n**-0.35 for n in sizes])
    >>> low, high = found.rows_interval
    >>> low < 20 ** (1 / 0.35) - 3200 < high, found.probability > 0.99
    (True, True)
    """
    return fit(sizes, values, form, **options).plan(target, level=level, up_to=up_to)


def _unpack_curve(sizes: object, values: object) -> tuple[object, object, bool]:
    """Return sizes and values, and whether these are of a metric: of a Curve, or one by name."""
    of_curve = getattr(sizes, "values", None)
    if isinstance(of_curve, Mapping):  # of a Curve; `values` is None or the name of a metric
        if isinstance(values, str) and values not in of_curve:
            known = ", ".join(map(str, of_curve))
            raise DataError(f"there is no {values!r}; this curve has {known}")
        if isinstance(values, str) or values is None:
            own = of_curve if values is None else {values: of_curve[values]}
            sizes, values = getattr(sizes, "sizes", None), own
    elif not isinstance(values, Mapping):
        of_curve = getattr(values, "values", None)  # of a Curve as the second argument
        values = of_curve if isinstance(of_curve, Mapping) else values
    if values is None and _is_of_numbers(sizes):
        curve = sizes
        sizes, values = list(curve), list(curve.values())
    if _is_of_numbers(values):
        raise DtypeError("values maps sizes to values; give it alone, without sizes")
    for argument, given in (("sizes", sizes), ("values", values)):
        by_name = given if isinstance(given, Mapping) else getattr(given, "values", None)
        if isinstance(by_name, Mapping) and (argument == "sizes" or len(by_name) != 1):
            metric = repr(next(iter(by_name), "logme"))
            raise DtypeError(
                f"{argument} holds curves by name ({', '.join(map(str, by_name))}), and one is "
                f"fitted at a time; call .fit({metric}) of what curve() returned, or give the "
                f"values of {metric}"
            )
    if values is None:
        raise DtypeError(
            "values is None; give a value for each size, as fit(sizes, values), or what curve() "
            "returned"
        )
    if isinstance(values, Mapping):
        return sizes, next(iter(values.values())), True
    return sizes, values, False


def _is_of_numbers(given: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a mapping has a number for each key: a curve, and not curves by name."""
    return isinstance(given, Mapping) and bool(given) and not any(map(np.ndim, given.values()))


def _read_curve(sizes: object, values: object) -> tuple[Array, Array, float | None]:
    """Return increasing positive sizes, the mean value at each, and the value at size 0."""
    n, v = read_numbers("sizes", sizes), read_numbers("values", values)
    if n.ndim != 1 or n.shape != v.shape:
        raise DataError(f"sizes and values must be as many, got shapes {n.shape} and {v.shape}")
    for name, array in (("sizes", n), ("values", v)):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array))[0])
            raise DataError(f"{name}[{row}] is {array[row]}; leave out sizes without a value")
    if n.min(initial=0) < 0:
        raise DataError(f"sizes holds {n.min():g}; a number of samples is at least 0")
    unique, place = np.unique(n, return_inverse=True)
    means = np.bincount(place, weights=v) / np.bincount(place)
    zero_shot = None
    if len(unique) and unique[0] == 0:
        zero_shot, unique, means = float(means[0]), unique[1:], means[1:]
    if len(unique) < FEWEST:
        raise DataError(f"a forecast needs 3 different positive sizes, there are {len(unique)}")
    if np.ptp(means) == 0:
        raise DataError(f"all values are {means[0]:g}: there is no trend to follow")
    return unique, means, zero_shot


def _precision(values: object) -> float:
    """Return the relative precision of values: that of their number format, up to float32."""
    dtype = np.asarray(values).dtype
    return float(np.finfo(np.float32 if dtype == np.float32 else np.float64).eps)
