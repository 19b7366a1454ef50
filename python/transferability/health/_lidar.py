"""LiDAR: the effective rank of linear discriminant analysis between the samples of views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._inputs.types import ArrayLike
from .._metric.score import issue
from .._stats.stats import Stats
from .._util.threads import resolve_threads
from ..errors import DataError
from ._features import read_sampled
from ._spectrum import entropy_rank

__all__ = ["Lidar", "lidar", "lidar_of", "rank_of_samples"]

#: Added to the diagonal of the covariance within samples, and to each p.
_RIDGE, _EPS = 1e-4, 1e-8
#: A relative change of the eigenvalues by rounding from which there is a warning.
_UNSURE = 1e-6


class Lidar(NamedTuple):
    """The value, and the warnings of its rounding."""

    value: float
    warnings: tuple[str, ...]


def lidar(
    features: ArrayLike | Stats, samples: ArrayLike | None = None, *, n_threads: int | None = None
) -> float:
    r"""Compute LiDAR: the effective rank of the differences between samples, beside their views.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features), FeatureSource, or Stats
        Rows are augmented views of samples. Stats hold the samples as their classes.
    samples : array-like of shape (n_samples,)
        Names the sample, such as the image, of which each row is a view; left out for Stats. Class
        labels in this place are accepted, but give another number: the rank of the classes.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    rank : float
        From about 1 to min(C - 1, D) for C samples; 0 where the means of all samples are equal.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; fewer than two samples; one row of each sample only.

    Warns
    -----
    TransferabilityWarning
        If views differ so little, beside the differences between samples, that rounding changes
        the eigenvalues by more than 1e-6.

    Notes
    -----
    The exponential of the entropy of the eigenvalues of :math:`\Sigma_w^{-1/2} \Sigma_b
    \Sigma_w^{-1/2}`, divided by their sum, plus 1e-8 each. :math:`\Sigma_b` is the covariance of
    the means of samples about the mean of these, over C - 1; :math:`\Sigma_w` the scatter of views
    about the mean of their sample, over N - C, plus 1e-4 I. The value depends on the scale of the
    features through this term.

    The scatter within samples is that of all rows less that between samples, so its rounding is
    about 1e-15 of the total variance.

    References
    ----------
    Thilak et al. (2024). LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL
    Architectures. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import lidar
    >>> rng = np.random.default_rng(0)
    >>> samples = np.arange(200).repeat(10)
    >>> images = rng.normal(size=(200, 32)) * ([1] * 8 + [0] * 24)  # differ in 8 directions
    >>> round(lidar(images[samples] + 0.01 * rng.normal(size=(2000, 32)), samples))
    8
    """
    found = rank_of_samples(read_sampled(features, samples, n_threads), n_threads)
    issue(found.warnings)
    return found.value


def rank_of_samples(stats: Stats, n_threads: int | None = None) -> Lidar:
    """Compute LiDAR of statistics whose classes are the samples."""
    counts, means, within, rounding = stats.class_scatter()
    n_rows, n_samples = sum(counts), len(counts)
    if n_samples < 2:
        raise DataError("samples names a single sample; LiDAR needs views of at least 2")
    if n_rows == n_samples:
        raise DataError(
            f"each of the {n_samples} samples has one row; LiDAR needs several views of a sample"
        )
    unbiased = n_rows / (n_rows - n_samples)
    return lidar_of(within * unbiased, means, rounding * unbiased, n_threads)


def lidar_of(
    within: NDArray[np.float64],
    means: NDArray[np.float64],
    rounding: float,
    n_threads: int | None = None,
) -> Lidar:
    """Compute LiDAR of a covariance (D, D) known to `rounding`, and the means of samples (C, D)."""
    offsets = means - means.mean(axis=0)
    largest = float(np.abs(offsets).max())
    if largest > 0:  # p does not depend on the unit, and squares in this one are in range
        offsets /= largest
    in_doubt = rounding > _UNSURE * _RIDGE
    eigenvalues, smallest = _core.discriminant(
        within, offsets, _RIDGE, in_doubt, resolve_threads(n_threads)
    )
    warnings: tuple[str, ...] = ()
    if smallest is not None and rounding > _UNSURE * smallest:
        warnings = (
            f"rounding may change the eigenvalues of LiDAR by {rounding / smallest:.0e} of "
            f"themselves, because samples differ by far more than their views; scale the features "
            f"down, so that 1e-4 is larger beside them",
        )
    padded = np.zeros(means.shape[1])
    padded[: len(eigenvalues)] = eigenvalues
    return Lidar(entropy_rank(padded, _EPS), warnings)
