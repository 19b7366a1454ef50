"""The numbers of ``tllib.ranking`` (github.com/thuml/Transfer-Learning-Library)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from transferability._input import as_array
from transferability.compat import _reference
from transferability.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["log_maximum_evidence", "transrate"]


@overload
def log_maximum_evidence(
    features: ArrayLike,
    targets: ArrayLike,
    regression: bool = ...,
    return_weights: Literal[False] = ...,
) -> float: ...
@overload
def log_maximum_evidence(
    features: ArrayLike, targets: ArrayLike, regression: bool, return_weights: Literal[True]
) -> tuple[float, NDArray[np.float64]]: ...
@overload
def log_maximum_evidence(
    features: ArrayLike,
    targets: ArrayLike,
    regression: bool = ...,
    *,
    return_weights: Literal[True],
) -> tuple[float, NDArray[np.float64]]: ...
def log_maximum_evidence(
    features: ArrayLike,
    targets: ArrayLike,
    regression: bool = False,
    return_weights: bool = False,
) -> float | tuple[float, NDArray[np.float64]]:
    """Return LogME as `tllib` computes it.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    targets : array-like of shape (n_samples,) or (n_samples, n_targets)
        Class ids 0 … C-1; with ``regression=True`` targets, always 2-D.
    regression : bool, default False
        Whether `targets` holds targets and not class ids.
    return_weights : bool, default False
        Whether to return the posterior means too.

    Returns
    -------
    score : float
        Nats per sample, averaged over classes or targets; higher is better.
    weights : ndarray of shape (n_classes or n_targets, n_features)
        Only with ``return_weights=True``. The original's documentation names the
        transposed shape; this is the one it returns.

    Raises
    ------
    DataError
        Where the shapes or values are wrong, and where the original raises:
        ZeroDivisionError for a class id without rows, a target of zeros or
        features of zeros, IndexError for 1-D targets.

    Notes
    -----
    What differs from `transferability.logme`, which returns the true maximum:

    - **At most 11 iterations** from alpha = beta = 1 to a relative change of 1e-2,
      and the evidence of whatever local maximum they head for.
    - **Class ids without rows** are refused; the default averages over those that
      occur.
    - **A perfect fit** has unbounded evidence. Here it ends near 30, a number made
      of rounding errors: the original moves by 0.25 between kinds of CPU.
    - The D x D product of the features is decomposed even where N is much
      smaller than D, which is slow but gives the right determinant, unlike
      `transferability.compat.thuml`.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import log_maximum_evidence
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(log_maximum_evidence(features, labels), 4)
    -0.9558
    """
    matrix = _reference.plain(features, "features", (2,))
    response = _reference.plain(targets, "targets", (1, 2) if regression else (1,))
    _reference.same_rows(matrix, response, "targets")
    if not regression:
        response = _reference.indicators(response)
    elif response.ndim == 1:
        raise DataError(
            f"targets has shape {response.shape}; tllib takes 2-D targets alone (it raises "
            "IndexError): pass targets.reshape(-1, 1)"
        )
    result = _reference.run(matrix, response, "tllib")
    score = float(np.mean(result["evidence"]))
    return (score, result["weights"]) if return_weights else score


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
    What differs from ``transferability.transrate(variant="paper")``:

    - **Class ids without rows** are refused; the default averages over those that
      occur.
    - **float32 features** are centred and multiplied in float32: 2.5859 where
      2.5961 is right on rank-deficient features, and half the digits on a large
      common offset. The default computes in float64.
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
    matrix = _reference.plain(features, "features", (2,))
    ids = _reference.plain(labels, "labels", (1, 2)).reshape(-1)
    _reference.same_rows(matrix, ids, "labels")
    if not eps > 0:
        raise DataError(f"eps must be positive, got {eps}")
    members = _reference.indicators(ids)
    for c, n_rows in enumerate(members.sum(axis=0)):
        if n_rows == 0:
            raise DataError(
                f"class {c} of 0 … {members.shape[1] - 1} has no rows; tllib raises "
                "ZeroDivisionError. transferability.transrate averages over the classes that occur"
            )
    if not np.isfinite(matrix).all():
        raise DataError("features hold NaN or infinity; tllib returns nan. Drop or fill such rows")
    if as_array(features, "features")[0].dtype == np.float32:
        matrix = matrix.astype(np.float32)
    centred = matrix - matrix.mean(axis=0, keepdims=True)
    within = sum(_coding_rate(centred[rows > 0], eps) for rows in members.T)
    score: float = _coding_rate(centred, eps) - within / members.shape[1]
    if not np.isfinite(score):
        raise DataError("the products of the features overflow; tllib returns nan. Scale them down")
    return score


def _coding_rate(rows: NDArray[np.floating], eps: float) -> float:
    scaled = (1 / (len(rows) * eps) * rows.T) @ rows  # in the dtype of the rows, as in the original
    return 0.5 * float(np.linalg.slogdet(np.eye(rows.shape[1]) + scaled)[1])
