"""Metrics of ``tllib.ranking`` (github.com/thuml/Transfer-Learning-Library)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .._metric.options import number
from .._util.public import present
from ..errors import DataError
from ._hscore import h_score, regularized_h_score
from ._reference import check_same_rows, maximise_evidence, one_hot, read_numbers
from ._source import conditional_entropy, expected_prediction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "h_score",
    "log_expected_empirical_prediction",
    "log_maximum_evidence",
    "negative_conditional_entropy",
    "regularized_h_score",
    "transrate",
]


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
        Only with ``return_weights=True``. The original returns this shape too, and documents the
        transposed one.

    Raises
    ------
    DataError
        Where the shapes or values are wrong, and where the original raises: ZeroDivisionError for a
        class id without rows, a target of zeros or features of zeros, IndexError for 1-D targets.

    Notes
    -----
    Differences from `transferability.logme`, which returns the true maximum:

    - **At most 11 iterations** from alpha = beta = 1 to a relative change of 1e-2, possibly to a
      local maximum.
    - **Class ids without rows** are refused; `transferability.logme` averages over the classes with
      rows.
    - **A perfect fit** has unbounded evidence. Here it ends near 30, a value made of rounding
      errors: the original moves by 0.25 between kinds of CPU.
    - The D x D product of the features is decomposed even where N is much smaller than D: slow, but
      with the right determinant, unlike `transferability.compat.thuml`.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.tllib import log_maximum_evidence
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> round(log_maximum_evidence(features, labels), 4)
    -0.9558
    """
    matrix = read_numbers(features, "features", (2,))
    response = read_numbers(targets, "targets", (1, 2) if regression else (1,))
    check_same_rows(response, "targets", matrix, "features")
    if not regression:
        response = one_hot(response)
    elif response.ndim == 1:
        raise DataError(
            f"targets has shape {response.shape}; tllib takes 2-D targets alone (it raises "
            "IndexError): pass targets.reshape(-1, 1)"
        )
    result = maximise_evidence(matrix, response, "tllib")
    score = float(np.mean(result["evidence"]))
    return (score, result["weights"]) if return_weights else score


def log_expected_empirical_prediction(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return LEEP as `tllib` computes it, in the same way as `transferability.compat.thuml.LEEP`.

    Parameters
    ----------
    predictions : array-like of shape (n_samples, n_source_classes)
        Class probabilities of the source model; they are not checked.
    labels : array-like of shape (n_samples,)
        Class ids 0 … C-1.

    Examples
    --------
    >>> from transferability.compat.tllib import log_expected_empirical_prediction
    >>> round(log_expected_empirical_prediction([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 0]), 4)
    -0.4087
    """
    return expected_prediction(predictions, labels, ("predictions", "labels"), "tllib")


def negative_conditional_entropy(source_labels: ArrayLike, target_labels: ArrayLike) -> float:
    """Return NCE as `tllib` computes it, in the same way as `transferability.compat.thuml.NCE`.

    Parameters
    ----------
    source_labels, target_labels : array-like of shape (n_samples,)
        Class ids that the source model predicts, and true class ids; both from 0.

    Examples
    --------
    >>> from transferability.compat.tllib import negative_conditional_entropy
    >>> round(negative_conditional_entropy([0, 0, 1, 1], [0, 1, 1, 1]), 4)
    -0.3466
    """
    names = "source_labels", "target_labels"
    return conditional_entropy(source_labels, target_labels, names, "tllib")


def transrate(features: ArrayLike, labels: ArrayLike, eps: float = 1e-4) -> float:
    """Return TransRate as `tllib` computes it.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        float32 features are computed in float32, up to the determinants; others in float64.
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
        Where the shapes or values are wrong, and where the original raises ZeroDivisionError (a
        class id without rows) or returns nan.

    Notes
    -----
    Differences from ``transferability.transrate(variant="paper")``, which computes in float64:

    - **Class ids without rows** are refused; `transferability.transrate` averages over the
      classes with rows.
    - **float32 features** are centred and multiplied in float32: 2.5859 instead of 2.5961 on
      rank-deficient features, and half the digits on a large common offset.
    - **D x D determinants**, C + 1 of them, for any number of rows.

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
    if not number("eps", eps, "a positive number") > 0:
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
    with np.errstate(over="ignore", invalid="ignore"):  # which the result says
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


present(globals())
