"""Units of features: dead ones, duplicates, and the norms of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.types import ArrayLike
from .._stats.stats import Stats
from ..errors import DataError
from ._features import check_rows, read_stats

__all__ = [
    "Norms",
    "dead_units",
    "duplicate_units",
    "duplicates_of",
    "find_dead",
    "norms",
    "norms_of",
    "tolerance_of",
]

#: Sums of fourth powers of larger features, and of those below its inverse, may leave the range of
#: float64.
_LARGEST = 1e70


@dataclass(frozen=True)
class Norms:
    """Norms of the rows of features, from their squares.

    Attributes
    ----------
    rms : float
        Root of the mean of the squared norms, √(mean ‖x‖²).
    variation : float
        Standard deviation of the squared norms divided by their mean: 0 for rows of one norm. For
        small values it is twice the relative spread of the norms themselves. Below 1e-7 it is
        rounding. 0 where all is 0.
    """

    rms: float
    variation: float


def dead_units(features: ArrayLike | Stats, *, n_threads: int | None = None) -> NDArray[np.intp]:
    """Find the features that are the same in every row.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features), FeatureSource, or Stats
        As in :func:`transferability.logme`; or statistics of any task.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    columns : ndarray of int
        Indices of the columns whose variance is exactly 0, ascending: statistics hold a constant
        column exactly, whatever its value.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single row.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import dead_units
    >>> dead_units(np.maximum(np.random.default_rng(0).normal([0, -9, 0], size=(50, 3)), 0))
    array([1])
    """
    stats = read_stats(features, n_threads)
    check_rows(stats, "the search for constant columns")
    return find_dead(stats.covariance())


def duplicate_units(
    features: ArrayLike | Stats, *, n_threads: int | None = None
) -> tuple[tuple[int, ...], ...]:
    """Find groups of features that are copies of each other, up to scale, sign and offset.

    Parameters
    ----------
    features, n_threads
        As in :func:`dead_units`.

    Returns
    -------
    groups : tuple of tuple of int
        Columns whose correlation is 1 or -1 within rounding, 16 √n_samples times the precision of
        the statistics; each group starts with its first column. Dead columns are left out.

    Raises
    ------
    DataError, DtypeError
        As :func:`dead_units`.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import duplicate_units
    >>> features = np.random.default_rng(0).normal(size=(50, 3))
    >>> duplicate_units(np.column_stack([features, 1 - 2 * features[:, 0], features[:, 2]]))
    ((0, 3), (2, 4))
    """
    stats = read_stats(features, n_threads)
    check_rows(stats, "the search for duplicate columns")
    return duplicates_of(stats.covariance(), tolerance_of(stats.feature_moments()))


def norms(features: ArrayLike | Stats, *, n_threads: int | None = None) -> Norms:
    """Compute the root mean square of the norms of rows, and how much their squares vary.

    Parameters
    ----------
    features, n_threads
        As in :func:`dead_units`; one row is enough.

    Returns
    -------
    norms : Norms

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; fourth powers that leave the range of float64.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import norms
    >>> norms([[3.0, 4.0], [0.0, 1.0]])  # squared norms of 25 and 1
    Norms(rms=3.605551275463989, variation=0.9230769230769231)
    """
    return norms_of(read_stats(features, n_threads))


def tolerance_of(moments: Mapping[str, Any]) -> float:
    """Return how far from 1 rounding may move the correlation of equal columns.

    Every product is rounded to the precision of the statistics. In sums of N of them the roundings
    of a correlation grow as √N; 16 covers the shift and the division.
    """
    unit = np.finfo(np.float32 if moments["precision"] == "single" else np.float64).eps
    return float(16 * unit * np.sqrt(moments["n_samples"]))


def find_dead(covariance: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices of the columns without variance."""
    return np.flatnonzero(np.diagonal(covariance) == 0)


def duplicates_of(covariance: NDArray[np.float64], tolerance: float) -> tuple[tuple[int, ...], ...]:
    """Return the groups of columns that are correlated by 1 or -1, within the tolerance."""
    scales = np.sqrt(np.diagonal(covariance))
    left = scales > 0
    groups = []
    for i in range(len(scales)):
        if not left[i]:
            continue
        left[i] = False
        others = np.flatnonzero(left)
        likeness = np.abs(covariance[i, others] / scales[i] / scales[others])
        same = others[likeness >= 1 - tolerance]
        if len(same):
            left[same] = False
            groups.append((i, *same.tolist()))
    return tuple(groups)


def norms_of(stats: Stats, moments: Mapping[str, Any] | None = None) -> Norms:
    """Compute the norms of the rows of statistics.

    With z = x - s about the shift s: ‖x‖² = ‖s‖² + a for a = ‖z‖² + 2 s·z, whose mean and variance
    follow from the second, third and fourth moments of z.
    """
    moments = stats.feature_moments() if moments is None else moments
    largest = moments["largest"] + np.abs(moments["shift"]).max()
    if largest > 0 and not 1 / _LARGEST <= largest <= _LARGEST:
        raise DataError(
            f"features are as large as {largest:.3g}, and their fourth powers leave the range of "
            f"float64, so that the spread of norms cannot be computed; scale them to about 1"
        )
    n, shift, scatter = moments["n_samples"], moments["shift"], moments["scatter"]
    mean = (np.trace(scatter) + 2 * shift @ moments["sum"]) / n
    square = moments["quartic"] + 4 * shift @ moments["cubic"] + 4 * shift @ scatter @ shift
    whole = shift @ shift + mean
    if not whole > 0:
        return Norms(0.0, 0.0)
    variance = max(square / n - mean**2, 0.0)
    return Norms(float(np.sqrt(whole)), float(np.sqrt(variance) / whole))
