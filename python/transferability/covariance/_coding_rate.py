"""Coding rates of features, and their reduction by classes."""

from __future__ import annotations

from .._inputs.arrays import as_features
from .._inputs.rows import check_rows
from .._inputs.types import ArrayLike
from .._stats.covariance import CodingRateReduction, check_shape
from .._stats.stats import Stats
from ._classes import read_classes

__all__ = ["coding_rate", "coding_rate_reduction"]


def coding_rate(
    features: ArrayLike,
    *,
    eps: float | None = None,
    convention: str = "transrate",
    n_threads: int | None = None,
) -> float:
    r"""Compute the coding rate of features, in nats.

    :math:`R = \tfrac12 \ln\det(I + Z^\top Z / t)`: about how many nats it takes to describe a row
    up to a distortion.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`empirical_covariance`.
    eps : float, optional
        Distortion. Default: 1e-4 for "transrate", 0.5 for "mcr2".
    convention : {"transrate", "mcr2"}, default="transrate"
        "transrate" is that of TransRate: Z about the mean, t = n_samples · eps. "mcr2" is that of
        maximal coding rate reduction: Z as it is, usually rows of unit norm,
        t = n_samples · eps² / n_features.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    rate : float
        At least 0; 0 for features that do not vary ("transrate") or are 0 ("mcr2").

    Raises
    ------
    DataError, DtypeError
        As :func:`empirical_covariance`, and for another convention or distortion.

    Warns
    -----
    TransferabilityWarning
        If features are so large beside `eps` that few digits are certain.

    References
    ----------
    Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022; Yu et al., "Learning
    Diverse and Discriminative Representations via the Principle of Maximal Coding Rate Reduction",
    NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.covariance import coding_rate
    >>> round(coding_rate(np.eye(4), convention="mcr2"), 4)  # ln 5 / 2 for each of 4 directions
    3.2189
    """
    check_shape(features)
    stats = Stats("unlabelled", n_threads=n_threads).update(features)
    return stats.coding_rate(eps, convention=convention)


def coding_rate_reduction(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    eps: float | None = None,
    convention: str = "transrate",
    n_threads: int | None = None,
) -> CodingRateReduction:
    """Compute the coding rates of all rows and of each class, and their difference.

    Parameters
    ----------
    features, eps, convention, n_threads
        As in :func:`coding_rate`.
    labels : array-like of shape (n_samples,)
        Classes: integers, strings or booleans.

    Returns
    -------
    rates : CodingRateReduction
        Its `difference` is the total less the average rate of the classes. "transrate" averages
        plainly, with the rows of every class about the mean of all rows; the difference is
        :func:`transferability.transrate`. "mcr2" weights classes by their rows.

    Raises
    ------
    DataError, DtypeError
        As :func:`coding_rate`, and for labels that are not classes.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.covariance import coding_rate_reduction
    >>> features, labels = np.eye(4).repeat(5, axis=0), np.arange(4).repeat(5)
    >>> rates = coding_rate_reduction(features, labels, convention="mcr2")
    >>> round(rates.total, 3), rates.per_class.round(3), round(rates.difference, 3)
    (3.219, array([1.417, 1.417, 1.417, 1.417]), 1.802)
    """
    check_rows((), features=features, labels=labels)
    array, notes = as_features(features)
    check_shape(array)
    target = read_classes(len(array), labels)
    stats = Stats("classification", n_threads=n_threads, class_scatters=True)
    stats.push(array, target, notes=notes)
    return stats.coding_rate_reduction(eps, convention=convention)
