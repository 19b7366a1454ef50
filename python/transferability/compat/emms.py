"""EMMS of its authors' code (github.com/OpenGVLab/Multitask-Model-Selector)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._inputs.arrays import as_array, as_features, as_floats
from .._util.public import present
from ..errors import DataError, DtypeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["EMMS", "sparsemax"]


def EMMS(Z: ArrayLike, Y: ArrayLike) -> float:
    """Return EMMS as its authors' code computes it: one pass of the alternation.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        Features; float32 features are standardised in float32, as in the original.
    Y : array-like of shape (n_samples, n_dims, n_views)
        Label embeddings, one matrix per label view. The original modifies them in place.

    Returns
    -------
    score : float
        At most 0; higher is better. Minus the residual sum of squares, divided by n_samples and
        **multiplied** by n_dims.

    Raises
    ------
    DataError, DtypeError
        If shapes, dtypes or values are wrong. The original raises LinAlgError for NaN.

    Notes
    -----
    Columns are standardised by (v - mean)/(std + 1e-8). The steps: W by least squares at weights
    1/K for K views; new weights by least squares of the fitted values on the views, projected on
    the simplex by `sparsemax`; the residual of the *old* W at the *new* weights. Differences from
    `transferability.emms`, which returns the minimum over W and the weights together:

    - **One pass**: on most data neither W nor the weights have converged.
    - **Multiplied by n_dims** where the mean over entries was meant (a mistake of operator
      precedence): a factor of n_dims squared, the same for all models on one task.
    - **n_samples <= n_features** returns rounding errors, such as -1e-28, without a warning.

    References
    ----------
    .. [1] F. Meng et al., "Foundation model is efficient multimodal multitask model selector",
       NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.emms import EMMS
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(60, 4))
    >>> views = features[:, :3, None] + rng.normal(size=(60, 3, 2))
    >>> round(EMMS(features, views), 4)
    -1.9139
    """
    features, _ = as_features(Z)
    views = _read_views(Y)
    if len(features) != len(views):
        raise DataError(
            f"Z has {len(features)} rows but Y has {len(views)}; give one row a sample in both"
        )
    x, e = _standardise(features, "Z"), _standardise(views, "Y")
    n_samples, n_dims, n_views = e.shape
    weights = np.full(n_views, 1 / n_views)
    coefficients = np.linalg.lstsq(x, e @ weights, rcond=None)[0]
    fitted = x @ coefficients
    raw = np.linalg.lstsq(e.reshape(-1, n_views), fitted.reshape(-1), rcond=None)[0]
    residuals = fitted - e @ sparsemax(raw)
    return float(-np.sum(residuals**2) / n_samples * n_dims)


def sparsemax(z: ArrayLike) -> NDArray[np.float64]:
    """Project `z` on the probability simplex: return its point nearest to `z`.

    Parameters
    ----------
    z : array-like of shape (n,)
        Any finite numbers.

    Returns
    -------
    weights : ndarray of shape (n,)
        At least 0, with sum 1: max(z - t, 0) for the threshold t at which they sum to 1.

    Examples
    --------
    >>> from transferability.compat.emms import sparsemax
    >>> sparsemax([0.5, 0.3, -1.0])
    array([0.6, 0.4, 0. ])
    """
    values = as_floats(z, "z")
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DataError(f"z must hold finite numbers in one dimension, got {values!r}")
    if np.abs(values).max() > 1e300:
        raise DataError(
            f"z reaches {np.abs(values).max():g}, of which sums overflow; scale it down"
        )
    descending = np.sort(values)[::-1]
    # Thresholds if the largest 1, 2, … numbers stay positive.
    thresholds = (np.cumsum(descending) - 1) / np.arange(1, len(values) + 1)
    n_positive = int(np.count_nonzero(descending > thresholds))
    return np.maximum(values - thresholds[n_positive - 1], 0)  # type: ignore[no-any-return]


def _read_views(value: Any) -> NDArray[Any]:
    array, _ = as_array(value, "Y")
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"Y must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 3 or 0 in array.shape:
        raise DataError(
            f"Y must be 3-D (n_samples, n_dims, n_views) without empty axes, got shape "
            f"{array.shape}; one view is Y[:, :, None]"
        )
    return array


def _standardise(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Standardise columns in float32 or float64; raise for NaN and infinity."""
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise DataError(f"{name}[{', '.join(map(str, where))}] is {values[where]}; drop such rows")
    if values.dtype.itemsize == 2:  # LAPACK has no half precision
        values = values.astype(np.float32)
    values = np.ascontiguousarray(values)  # sums must not depend on the caller's memory layout
    return (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-8)  # type: ignore[no-any-return]


present(globals())
