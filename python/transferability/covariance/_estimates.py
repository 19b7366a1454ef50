"""The covariance matrix, empirical or shrunk, with the signatures of ``sklearn.covariance``."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._inputs.arrays import as_array, as_features
from .._inputs.types import ArrayLike
from .._metric.options import flag
from .._metric.score import issue
from .._stats.covariance import read_number, read_shrinkage, warn_of_one_row
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError

__all__ = [
    "empirical_covariance",
    "ledoit_wolf",
    "ledoit_wolf_shrinkage",
    "oas",
    "shrunk_covariance",
]

#: Entries of a covariance may differ from their mirrors by this part of the largest.
_ASYMMETRY = 1e-3


def empirical_covariance(
    features: ArrayLike, *, assume_centered: bool = False, n_threads: int | None = None
) -> NDArray[np.float64]:
    """Compute the covariance matrix, divided by the number of samples.

    As ``sklearn.covariance.empirical_covariance``.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`: any layout and number format, also memory-mapped. They
        are read panel by panel and never copied whole; only numbers in another byte order than the
        machine's, unaligned ones and long doubles are converted first.
    assume_centered : bool, default=False
        Take the features as centred: second moments about 0 in place of the mean.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    covariance : ndarray of shape (n_features, n_features)
        In float64, also for float32 features. An offset of all features costs no digits.

    Raises
    ------
    DataError, DtypeError
        For NaN or infinity, an array that is not 2-D or not of real numbers, and features whose
        squares leave the range of float64.

    Warns
    -----
    TransferabilityWarning
        For a single row, whose covariance about its own mean is 0.

    Examples
    --------
    >>> from transferability.covariance import empirical_covariance
    >>> empirical_covariance([[1, 1], [1, 1], [0, 2], [0, 2]])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    return _covariance(features, None, assume_centered, n_threads)[0]


def ledoit_wolf(
    features: ArrayLike,
    *,
    assume_centered: bool = False,
    block_size: int = 1000,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Compute the covariance shrunk by the estimate of Ledoit and Wolf.

    As ``sklearn.covariance.ledoit_wolf``.

    Parameters
    ----------
    features, assume_centered, n_threads
        As in :func:`empirical_covariance`.
    block_size : int, default=1000
        Accepted for scikit-learn's sake, and without effect.

    Returns
    -------
    covariance : ndarray of shape (n_features, n_features)
        ``(1 - shrinkage) * S + shrinkage * trace(S) / n_features * I`` of the empirical covariance
        S.
    shrinkage : float
        From 0 to 1; 0 for a single feature, and for features that do not vary.

    Raises
    ------
    DataError, DtypeError
        As :func:`empirical_covariance`.

    References
    ----------
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.covariance import ledoit_wolf
    >>> features = np.random.default_rng(0).normal(size=(50, 20))
    >>> covariance, shrinkage = ledoit_wolf(features)
    >>> round(shrinkage, 3)
    0.847
    """
    _check_block_size(block_size)
    return _covariance(features, "ledoit-wolf", assume_centered, n_threads)


def ledoit_wolf_shrinkage(
    features: ArrayLike,
    assume_centered: bool = False,
    block_size: int = 1000,
    *,
    n_threads: int | None = None,
) -> float:
    """Compute the shrinkage of :func:`ledoit_wolf` alone.

    As ``sklearn.covariance.ledoit_wolf_shrinkage``. Takes as long as :func:`ledoit_wolf`.

    Parameters
    ----------
    features, assume_centered, block_size, n_threads
        As in :func:`ledoit_wolf`.

    Returns
    -------
    shrinkage : float
        From 0 to 1.

    Raises
    ------
    DataError, DtypeError
        As :func:`ledoit_wolf`.

    Examples
    --------
    >>> from transferability.covariance import ledoit_wolf_shrinkage
    >>> round(ledoit_wolf_shrinkage([[1.0, 2.0], [0.0, 1.5], [2.0, -1.0], [1.0, 1.0]]), 3)
    0.744
    """
    _check_block_size(block_size)
    return _covariance(features, "ledoit-wolf", assume_centered, n_threads)[1]


def oas(
    features: ArrayLike, *, assume_centered: bool = False, n_threads: int | None = None
) -> tuple[NDArray[np.float64], float]:
    """Compute the covariance shrunk by the oracle approximating estimate.

    As ``sklearn.covariance.oas``, which leaves out the terms 2/n_features of the paper.

    Parameters
    ----------
    features, assume_centered, n_threads
        As in :func:`empirical_covariance`.

    Returns
    -------
    covariance : ndarray of shape (n_features, n_features)
        As of :func:`ledoit_wolf`.
    shrinkage : float
        From 0 to 1; 0 for a single feature, and 1 for several that do not vary.

    Raises
    ------
    DataError, DtypeError
        As :func:`empirical_covariance`.

    References
    ----------
    Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
    Transactions on Signal Processing 58, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.covariance import oas
    >>> features = np.random.default_rng(0).normal(size=(50, 20))
    >>> covariance, shrinkage = oas(features)
    >>> round(shrinkage, 3)
    0.886
    """
    return _covariance(features, "oas", assume_centered, n_threads)


def shrunk_covariance(
    emp_cov: ArrayLike | None = None,
    shrinkage: float = 0.1,
    *,
    features: ArrayLike | None = None,
    assume_centered: bool = False,
    n_threads: int | None = None,
) -> NDArray[Any]:
    """Shrink a covariance by a given amount; give the covariance, or the features by name.

    As ``sklearn.covariance.shrunk_covariance``, whose first argument is a covariance.

    Parameters
    ----------
    emp_cov : array-like of shape (..., n_features, n_features)
        One covariance or a stack of them, such as `per_class` of :func:`class_covariances`. They
        must be symmetric, so that features given in this place by mistake are refused.
    shrinkage : float, default=0.1
        From 0, the covariance itself, to 1, the multiple of the identity with the same trace.
    features : array-like of shape (n_samples, n_features), by name
        Compute the covariance of these features first, in place of `emp_cov`.
    assume_centered, n_threads
        As in :func:`empirical_covariance`; for `features` only.

    Returns
    -------
    covariance : ndarray of shape (..., n_features, n_features)
        ``(1 - shrinkage) * emp_cov + shrinkage * trace(emp_cov) / n_features * I``.

    Raises
    ------
    DataError, DtypeError
        For another shrinkage, a matrix that is not square, not symmetric or not finite, and unless
        exactly one of `emp_cov` and `features` is given; for features as
        :func:`empirical_covariance`.

    Examples
    --------
    >>> from transferability.covariance import empirical_covariance, shrunk_covariance
    >>> features = [[1, 1], [1, 1], [0, 2], [0, 2]]
    >>> shrunk_covariance(empirical_covariance(features), 0.2)
    array([[ 0.25, -0.2 ],
           [-0.2 ,  0.25]])
    >>> shrunk_covariance(features=features, shrinkage=0.2)
    array([[ 0.25, -0.2 ],
           [-0.2 ,  0.25]])
    """
    amount = read_number("shrinkage", shrinkage, 0, 1, "give a number from 0 to 1")
    if (emp_cov is None) == (features is None):
        given = "neither" if features is None else "both"
        raise DataError(f"{given} of emp_cov and features are given; give one of them")
    if features is not None:
        return _covariance(features, amount, assume_centered, n_threads)[0]
    matrices = _read_covariances(emp_cov)
    n_features = matrices.shape[-1]
    # In float64, where the sum of a diagonal in float16 may not overflow.
    means = np.trace(matrices, axis1=-2, axis2=-1, dtype=np.float64) / n_features
    shrunk: NDArray[Any] = (1.0 - amount) * matrices
    diagonal = np.einsum("...ii->...i", shrunk)
    diagonal += (amount * means[..., None]).astype(diagonal.dtype)
    return shrunk


def _covariance(
    features: ArrayLike, shrinkage: object, assume_centered: bool, n_threads: int | None
) -> tuple[NDArray[np.float64], float]:
    """Compute the covariance and its shrinkage in one pass over the features."""
    about_zero = flag("assume_centered", assume_centered)
    array, notes = as_features(features)
    found = _core.covariance_of(
        array, read_shrinkage(shrinkage), about_zero, resolve_threads(n_threads)
    )
    issue(notes)
    warn_of_one_row(len(array), assume_centered)
    return found


def _check_block_size(block_size: object) -> None:
    if isinstance(block_size, bool) or not isinstance(block_size, numbers.Integral):
        raise DtypeError(f"block_size is of type {type(block_size).__name__}; give an integer")
    if block_size < 1:
        raise DataError(f"block_size is {block_size}; give at least 1")


def _read_covariances(emp_cov: object) -> NDArray[Any]:
    """Validate one covariance or a stack of them; integers become float64."""
    array, _ = as_array(emp_cov, "emp_cov")
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"emp_cov must hold real numbers, got dtype {array.dtype}")
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.size == 0:
        raise DataError(
            f"emp_cov has shape {array.shape}, and a covariance is square; to shrink the "
            f"covariance of features, pass features=..."
        )
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError("emp_cov holds NaN or infinity; every value must be finite")
    off = np.abs(array - np.swapaxes(array, -1, -2)).max()
    if off > _ASYMMETRY * np.abs(array).max():
        raise DataError(
            f"emp_cov differs from its transpose by up to {off:.3g}, and a covariance is "
            f"symmetric; to shrink the covariance of features, pass features=..."
        )
    return array
