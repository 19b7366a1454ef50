"""H-scores of tllib and transformer-ranker, in NumPy on D x D matrices.

``tllib`` and ``transformer_ranker`` export them under their own names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._inputs.arrays import as_array
from ..errors import DataError, DtypeError
from . import _reference

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["HScore", "h_score", "regularized_h_score"]


def h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Return the H-score as `tllib` computes it.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features, at least two columns.
    labels : array-like of shape (n_samples,)
        Class ids 0 … C-1.

    Returns
    -------
    score : float
        Between 0 and C-1 but for rounding; higher is better.

    Raises
    ------
    DataError
        Where the shapes or values are wrong, and where the original raises: LinAlgError for
        one column and for NaN.

    Notes
    -----
    What differs from `transferability.h_score`:

    - **Class means are kept in the features' dtype**: cut to whole numbers for integer
      features (1.077 for 1.129 on a recorded case), rounded for float32.
    - **A fixed rank tolerance**: directions below 1e-15 of the largest eigenvalue are left
      out, whatever the units of the columns (2.303 for 2.357 where units differ by 1e8), and
      others that are mere rounding are kept (3.095 for 2.356 with float32 features at an
      offset of 1e6).
    - Rows whose class id is negative or no whole number count as a class with mean zero.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import h_score
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(h_score(features, labels), 4)
    0.6403
    """
    matrix, ids = _read(features, labels, "labels")
    if matrix.shape[1] == 1:
        raise DataError(
            "features has one column, for which tllib raises LinAlgError; transferability.h_score "
            "has a value"
        )
    means = np.zeros_like(matrix)
    for label in _counted(ids):
        means[ids == label] = np.mean(matrix[ids == label], axis=0)
    covariance, between = np.cov(matrix, rowvar=False), np.cov(means, rowvar=False)
    return _trace(covariance, between)


def regularized_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Return the H-score with Ledoit-Wolf shrinkage as `tllib` computes it.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    labels : array-like of shape (n_samples,)
        Class ids 0 … C-1.

    Returns
    -------
    score : float
        At least 0 but for rounding; higher is better.

    Raises
    ------
    DataError
        Where the shapes or values are wrong, and for NaN, where the original raises.

    Notes
    -----
    It agrees with `transferability.regularized_h_score` to rounding, and takes O(D^3) where
    that takes the smaller side. Rows whose class id is negative or no whole number count as a
    class with mean zero here.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import regularized_h_score
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(regularized_h_score(features, labels), 4)
    0.0707
    """
    matrix, ids = _read(features, labels, "labels")
    centred, means, n_features = _centred(matrix), np.zeros(matrix.shape), matrix.shape[1]
    for label in _counted(ids):
        means[ids == label] = np.mean(centred[ids == label], axis=0)
    # scikit-learn, which tllib calls, centres once more and does not shrink one column.
    centred = _centred(centred)
    covariance = centred.T @ centred / len(centred)
    noise, spread, mean = _ledoit_wolf(centred, covariance)
    noise = min(noise, spread)
    shrinkage = 0.0 if n_features == 1 or noise == 0.0 else noise / spread
    shrunk = (1.0 - shrinkage) * covariance + shrinkage * mean * np.eye(n_features)
    between = np.atleast_2d(np.cov(means, rowvar=False))
    return _trace(shrunk, (1.0 - shrinkage) * between)


class HScore:
    """The H-score with Ledoit-Wolf shrinkage as `transformer-ranker` computes it, without torch.

    Parameters
    ----------
    regression : bool, default False
        True is refused, as in the original.

    Attributes
    ----------
    score : float or None
        What the last `fit` returned.

    Notes
    -----
    What differs from `transferability.regularized_h_score`:

    - **What is added to the variances, and the root of each class's size, are rounded to
      float32**: about 1e-8 of the score.
    - **One column** scores 0: nothing is left of a covariance that is shrunk entirely.
    - Features of zeros raise LinAlgError there, a `DataError` here.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.transformer_ranker import HScore
    >>> embeddings = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (embeddings[:, 0] > 0).astype(int)
    >>> round(HScore().fit(embeddings=embeddings, labels=labels), 4)
    0.0707
    """

    def __init__(self, regression: bool = False) -> None:
        if regression:
            raise DataError("HScore is not suitable for regression tasks; use LogME")
        self.regression = regression
        self.score: float | None = None

    def fit(self, embeddings: ArrayLike, labels: ArrayLike, **kwargs: object) -> float:
        """Return the score.

        Parameters
        ----------
        embeddings : array-like or tensor of shape (n_samples, hidden_size)
            Features.
        labels : array-like or tensor of shape (n_samples,)
            Class ids, any numbers.
        **kwargs : object
            Ignored, as in the original.

        Returns
        -------
        float
            At least 0 but for rounding; higher is better.

        Raises
        ------
        DataError
            Where the shapes or values are wrong, and where the original raises.
        """
        matrix, ids = _read(embeddings, labels, "labels")
        centred, n_features = _centred(matrix), matrix.shape[1]
        covariance = centred.T @ centred / len(centred)
        noise, spread, mean = _ledoit_wolf(centred, covariance)
        if not covariance.any():
            raise DataError(
                "all features are the same in all rows; transformer-ranker raises LinAlgError, "
                "transferability.regularized_h_score gives 0"
            )
        # With one column the spread is zero, and what torch divides by is its rounding error.
        shrinkage = 1.0 if n_features == 1 or spread == 0.0 else min(max(noise / spread, 0.0), 1.0)
        # torch's identity matrix is float32, and so is its product with a float64 number.
        added = float(np.float32(shrinkage * mean))
        shrunk = (1.0 - shrinkage) * covariance + added * np.eye(n_features)
        classes = np.unique(ids)
        means = np.empty((len(classes), n_features))
        for row, label in zip(means, classes, strict=True):
            members = ids == label
            row[:] = centred[members].mean(axis=0) * np.float64(
                np.sqrt(np.float32(np.count_nonzero(members)))
            )
        between = means.T @ means / (len(centred) - 1)
        self.score = _trace(shrunk, (1.0 - shrinkage) * between)
        return self.score


def _read(
    features: ArrayLike, labels: ArrayLike, name: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Check the shapes and values; features keep their dtype, which the original computes in."""
    matrix, _ = as_array(features, "features")
    if matrix.dtype.kind not in "fiu":
        raise DtypeError(f"features has dtype {matrix.dtype}; give integers or real numbers")
    ids = _reference.plain(labels, name, (1,))
    if matrix.ndim != 2:
        raise DataError(f"features has shape {matrix.shape}, expected 2-D")
    _reference.same_rows(matrix, ids, name)
    if len(matrix) < 2 or matrix.shape[1] == 0:
        raise DataError(f"features has shape {matrix.shape}; give at least 2 rows and a column")
    if not np.isfinite(ids).all():
        row = int(np.flatnonzero(~np.isfinite(ids))[0])
        raise DataError(f"labels[{row}] is {ids[row]}; drop or fill such rows")
    odd = np.argwhere(~np.isfinite(matrix))
    if len(odd):
        row, column = odd[0]
        value = "NaN" if np.isnan(matrix[row, column]) else matrix[row, column]
        raise DataError(f"features[{row}, {column}] is {value}; drop or impute such rows")
    largest = np.abs(matrix.astype(np.float64)).max()
    if largest > 1e75:  # fourth powers
        raise DataError(f"features reach {largest:.1e}; their powers overflow: rescale them")
    return matrix, ids


def _counted(ids: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ids that tllib's loop over 0 … max visits."""
    classes = np.unique(ids)
    counted: NDArray[np.float64] = classes[(classes >= 0) & (classes == np.floor(classes))]
    return counted


def _centred(matrix: NDArray[Any]) -> NDArray[np.float64]:
    rows = matrix.astype(np.float64)
    centred: NDArray[np.float64] = rows - rows.mean(axis=0, keepdims=True)
    return centred


def _ledoit_wolf(
    centred: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return numerator and denominator of the Ledoit-Wolf shrinkage, and the mean variance."""
    n_samples, n_features = centred.shape
    variances = np.sum(centred**2, axis=0) / n_samples
    mean = np.sum(variances) / n_features
    square = np.sum(covariance**2)
    fourth = np.sum(np.sum(centred**2, axis=1) ** 2) / n_samples
    noise = (fourth - square) / (n_features * n_samples)
    spread = (square - 2.0 * mean * variances.sum() + n_features * mean**2) / n_features
    return float(noise), float(spread), float(mean)


def _trace(covariance: NDArray[Any], between: NDArray[Any]) -> float:
    """Tr(pinv(covariance) between), with the rank tolerance of both originals."""
    try:
        inverse = np.linalg.pinv(covariance, rcond=1e-15)
    except np.linalg.LinAlgError as error:
        raise DataError(f"the covariance has no pseudo-inverse ({error})") from error
    return float(np.sum(inverse * between.T))
