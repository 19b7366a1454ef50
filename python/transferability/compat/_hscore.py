"""H-scores of tllib and transformer-ranker, in NumPy on D x D matrices.

``tllib`` and ``transformer_ranker`` export them under their own names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._inputs.arrays import as_features, finite_floats
from ..errors import DataError, DtypeError
from ._reference import check_finite_labels, check_same_rows, read_numbers

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
        Between 0 and C-1 up to rounding; higher is better.

    Raises
    ------
    DataError
        Where the shapes or values are wrong, and where the original raises LinAlgError: for
        one column and for NaN.

    Notes
    -----
    Differences from `transferability.h_score`:

    - **Class means are kept in the features' dtype**: truncated to whole numbers for integer
      features (1.077 instead of 1.129 on a recorded case), rounded for float32.
    - **A fixed rank tolerance**: the pseudo-inverse omits directions below 1e-15 of the largest
      eigenvalue, for any units of the columns (2.303 instead of 2.357 where units differ by 1e8).
      It keeps others that are rounding errors (3.095 instead of 2.356 with float32 features at an
      offset of 1e6).
    - Rows whose class id is negative or not a whole number count as a class with mean zero.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import h_score
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(h_score(features, labels), 4)
    0.6403
    """
    matrix, ids = _read(features, labels)
    if matrix.shape[1] == 1:
        raise DataError(
            "features has one column, for which tllib raises LinAlgError; transferability.h_score "
            "has a value"
        )
    means = _replace_by_class_means(matrix, ids)
    return _trace_ratio(np.cov(matrix, rowvar=False), np.cov(means, rowvar=False))


def regularized_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Return the H-score with Ledoit-Wolf shrinkage as `tllib` computes it.

    Parameters
    ----------
    features, labels
        As in :func:`h_score`, with the same errors, but one column is enough.

    Returns
    -------
    score : float
        At least 0 up to rounding; higher is better.

    Notes
    -----
    It agrees with `transferability.regularized_h_score` to rounding, but decomposes a D x D matrix
    also where N < D. Rows whose class id is negative or not a whole number count as a class with
    mean zero.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import regularized_h_score
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(regularized_h_score(features, labels), 4)
    0.0707
    """
    matrix, ids = _read(features, labels)
    centred, n_features = _centre(matrix), matrix.shape[1]
    # tllib calls scikit-learn, which centres once more and does not shrink one column.
    covariance, noise, spread, mean = _ledoit_wolf(_centre(centred))
    noise = min(noise, spread)
    shrinkage = 0.0 if n_features == 1 or noise == 0.0 else noise / spread
    shrunk = (1.0 - shrinkage) * covariance + shrinkage * mean * np.eye(n_features)
    between = np.atleast_2d(np.cov(_replace_by_class_means(centred, ids), rowvar=False))
    return _trace_ratio(shrunk, (1.0 - shrinkage) * between)


class HScore:
    """The H-score with Ledoit-Wolf shrinkage as `transformer-ranker` computes it, without torch.

    Parameters
    ----------
    regression : bool, default False
        True is refused, as in the original.

    Attributes
    ----------
    score : float or None
        Result of the last `fit`.

    Notes
    -----
    Differences from `transferability.regularized_h_score`:

    - **Rounding to float32** of the number added to the variances and of the root of each class's
      size: about 1e-8 of the score.
    - **One column** scores 0, because its covariance is shrunk entirely.
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
        """Return the score: at least 0 up to rounding, higher is better.

        Parameters
        ----------
        embeddings : array-like or tensor of shape (n_samples, hidden_size)
            Features.
        labels : array-like or tensor of shape (n_samples,)
            Class ids, any numbers.
        **kwargs : object
            Ignored, as in the original.

        Raises
        ------
        DataError
            Where the shapes or values are wrong, and where the original raises.
        """
        matrix, ids = _read(embeddings, labels)
        centred, n_features = _centre(matrix), matrix.shape[1]
        covariance, noise, spread, mean = _ledoit_wolf(centred)
        if not covariance.any():
            raise DataError(
                "all features are the same in all rows; transformer-ranker raises LinAlgError, "
                "transferability.regularized_h_score gives 0"
            )
        # With one column the spread is zero; torch divides by its rounding error.
        shrinkage = 1.0 if n_features == 1 or spread == 0.0 else min(max(noise / spread, 0.0), 1.0)
        # torch's identity matrix is float32, and so is its product with a float64 number.
        added = float(np.float32(shrinkage * mean))
        shrunk = (1.0 - shrinkage) * covariance + added * np.eye(n_features)
        classes, counts = np.unique(ids, return_counts=True)
        means = np.array([centred[ids == label].mean(axis=0) for label in classes])
        means *= np.sqrt(counts.astype(np.float32)).astype(np.float64)[:, None]
        between = means.T @ means / (len(centred) - 1)
        self.score = _trace_ratio(shrunk, (1.0 - shrinkage) * between)
        return self.score


def _read(features: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Check shapes and values; features keep their dtype, in which the originals compute."""
    matrix, _ = as_features(features)
    if matrix.dtype.kind == "b":
        raise DtypeError("features has dtype bool; give integers or real numbers")
    ids = read_numbers(labels, "labels", (1,))
    check_same_rows(ids, "labels", matrix, "features")
    if len(matrix) < 2:
        raise DataError(f"features has shape {matrix.shape}; give at least 2 rows")
    check_finite_labels(ids)
    largest = float(np.abs(finite_floats(matrix)).max())
    if largest > 1e75:  # fourth powers
        raise DataError(f"features reach {largest:.1e}; their powers overflow: rescale them")
    return matrix, ids


def _replace_by_class_means(rows: NDArray[Any], ids: NDArray[np.float64]) -> NDArray[Any]:
    """Replace rows by their class means in the rows' dtype; tllib visits the ids 0 … max alone."""
    means, classes = np.zeros(rows.shape, rows.dtype), np.unique(ids)
    for label in classes[(classes >= 0) & (classes == np.floor(classes))]:
        means[ids == label] = np.mean(rows[ids == label], axis=0)
    return means


def _centre(matrix: NDArray[Any]) -> NDArray[np.float64]:
    rows = matrix.astype(np.float64)
    return rows - rows.mean(axis=0, keepdims=True)  # type: ignore[no-any-return]


def _ledoit_wolf(
    centred: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, float, float]:
    """Return the covariance, the terms of the Ledoit-Wolf shrinkage, and the mean variance.

    The terms are numerator and denominator of the shrinkage intensity, not yet clipped to [0, 1].
    """
    n_samples, n_features = centred.shape
    covariance = centred.T @ centred / n_samples
    variances = np.sum(centred**2, axis=0) / n_samples
    mean = np.sum(variances) / n_features
    square = np.sum(covariance**2)
    fourth = np.sum(np.sum(centred**2, axis=1) ** 2) / n_samples
    noise = (fourth - square) / (n_features * n_samples)
    spread = (square - 2.0 * mean * variances.sum() + n_features * mean**2) / n_features
    return covariance, float(noise), float(spread), float(mean)


def _trace_ratio(covariance: NDArray[Any], between: NDArray[Any]) -> float:
    """Compute Tr(pinv(covariance) between), with the rank tolerance of both originals."""
    try:
        inverse = np.linalg.pinv(covariance, rcond=1e-15)
    except np.linalg.LinAlgError as error:
        raise DataError(f"the covariance has no pseudo-inverse ({error})") from error
    return float(np.sum(inverse * between.T))
