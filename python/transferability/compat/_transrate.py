"""TransRate of tllib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ._reference import check_same_rows, one_hot, read_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["transrate"]


def transrate(features: ArrayLike, labels: ArrayLike, eps: float = 1e-4) -> float:
    """Return TransRate as `tllib` computes it.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features. float32 is computed in float32 up to the determinants, as in the
        original; anything else in float64.
    labels : array-like of shape (n_samples,) or (n_samples, 1)
        Class ids 0 … C-1, each with at least one row.
    eps : float, default 1e-4
        Distortion, positive.

    Returns
    -------
    float
        Nats; higher is better.

    Raises
    ------
    DataError
        Where the shapes or values are wrong, and where the original raises
        ZeroDivisionError (a class id without rows) or returns nan.

    Notes
    -----
    Differences from ``transferability.transrate(variant="paper")``, which computes in float64:

    - **Class ids without rows** are refused; `transferability.transrate` averages over the
      classes with rows.
    - **float32 features** are centred and multiplied in float32: 2.5859 where 2.5961 is right on
      rank-deficient features, and half the digits on a large common offset.
    - **D x D determinants**, C + 1 of them, whatever the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import transrate
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(transrate(features, labels), 4)
    0.1561
    """
    matrix = read_numbers(features, "features", (2,), keep=(np.float32,))
    ids = read_numbers(labels, "labels", (1, 2)).reshape(-1)
    check_same_rows(ids, "labels", matrix, "features")
    if not eps > 0:
        raise DataError(f"eps must be positive, got {eps}")
    members = one_hot(ids)
    for c, n_rows in enumerate(members.sum(axis=0)):
        if n_rows == 0:
            raise DataError(
                f"class {c} of 0 … {members.shape[1] - 1} has no rows; tllib raises "
                "ZeroDivisionError. transferability.transrate averages over the classes that occur"
            )
    if not np.isfinite(matrix).all():
        raise DataError("features hold NaN or infinity; tllib returns nan. Drop or fill such rows")
    centred = matrix - matrix.mean(axis=0, keepdims=True)
    within = sum(_coding_rate(centred[rows > 0], eps) for rows in members.T)
    score: float = _coding_rate(centred, eps) - within / members.shape[1]
    if not np.isfinite(score):
        raise DataError("the products of the features overflow; tllib returns nan. Scale them down")
    return score


def _coding_rate(rows: NDArray[Any], eps: float) -> float:
    """Compute the coding rate of centred rows at distortion eps, in nats."""
    scaled = (1 / (len(rows) * eps) * rows.T) @ rows  # in the dtype of the rows, as in the original
    return 0.5 * float(np.linalg.slogdet(np.eye(rows.shape[1]) + scaled)[1])
