"""Input checks shared by the compatibility modules, and the native fixed-point iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _core
from .._inputs.arrays import as_array
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Recipe = Literal["thuml_fixed_point", "thuml_icml", "tllib", "transformer_ranker"]

#: The result of each library where its iteration divides by zero.
_ON_ZERO: dict[Recipe, str] = {
    "thuml_fixed_point": "thuml/LogME returns nan",
    "thuml_icml": "thuml/LogME raises ZeroDivisionError",
    "tllib": "tllib raises ZeroDivisionError",
    "transformer_ranker": "transformer-ranker returns nan",
}

#: Both thuml libraries make a column for every class id up to the largest, used or not.
_MOST_CLASSES = 100_000


def read_numbers(
    array: ArrayLike, name: str, n_dims: tuple[int, ...], keep: tuple[type, ...] = ()
) -> NDArray[Any]:
    """Return an array-like with one of `n_dims` dimensions as float64, or in a dtype of `keep`."""
    source, _ = as_array(array, name)
    if source.dtype.kind == "c":
        raise DtypeError(f"{name} holds complex numbers; take the real part or the modulus")
    if source.dtype not in keep:
        try:
            source = source.astype(np.float64, copy=False)
        except MemoryError:
            raise
        except Exception as error:  # of any class: objects and texts convert by foreign code
            raise DataError(
                f"{name} cannot be read as numbers ({error}); give numbers, classes as 0, 1, 2, …"
            ) from error
    if source.ndim not in n_dims:
        expected = " or ".join(f"{n}-D" for n in n_dims)
        raise DataError(f"{name} has shape {source.shape}, expected {expected}")
    return source


def check_same_rows(labels: NDArray[Any], name: str, features: NDArray[Any], other: str) -> None:
    """Raise unless both arrays have the same number of rows."""
    if len(labels) != len(features):
        raise DataError(
            f"{name} has {len(labels)} rows, {other} has {len(features)}; give one for each"
        )


def check_finite_labels(labels: NDArray[np.float64]) -> None:
    """Raise if a label is NaN or infinite."""
    if not np.isfinite(labels).all():
        row = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise DataError(f"labels[{row}] is {labels[row]}; drop or fill such rows")


def one_hot(
    labels: NDArray[np.float64], classes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return a 0/1 column per class; by default 0 … max(labels), as in both thuml libraries."""
    check_finite_labels(labels)
    n_classes = int(labels.max(initial=-1) + 1) if classes is None else len(classes)
    if n_classes < 1:
        raise DataError("labels need at least one class id of 0 or more; classes are 0 … max")
    if n_classes > _MOST_CLASSES:
        raise DataError(
            f"labels make {n_classes} classes, and each takes a column of {len(labels)} rows; at "
            f"most {_MOST_CLASSES} are taken here: number the classes 0 … C-1 with "
            "np.unique(labels, return_inverse=True)[1], or pass targets as a regression"
        )
    if classes is None:
        classes = np.arange(n_classes, dtype=np.float64)
    return (labels[:, None] == classes).astype(np.float64)  # type: ignore[no-any-return]


def maximise_evidence(
    features: NDArray[np.float64],
    targets: NDArray[np.float64],
    recipe: Recipe,
    *,
    initial_ratio: float = 1.0,
    max_iterations: int | None = None,
    tolerance: float | None = None,
) -> _core.FixedPoint:
    """Run the native fixed-point iteration on each column of `targets`; raise if one ends in NaN.

    `initial_ratio` is alpha / beta before the first iteration.
    """
    result = _core.fixed_point(
        np.ascontiguousarray(features),
        np.ascontiguousarray(targets),
        recipe,
        resolve_threads(None),
        initial_ratio=initial_ratio,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    evidence = result["evidence"]
    valid = np.isfinite(evidence)
    if recipe == "thuml_fixed_point":  # features of zeros score -inf, which ranks them last
        valid |= np.isneginf(evidence)
    if not valid.all():
        column = int(np.flatnonzero(~valid)[0])
        if not targets[:, column].any():
            reason = "no row belongs to it (or its target is zero everywhere)"
        elif not features.any():
            reason = "all features are zero"
        else:
            reason = "the fit is perfect, or the values leave the range of float64"
        raise DataError(
            f"class or target {column}: {reason}; here {_ON_ZERO[recipe]}. transferability.logme "
            "has a defined value or says which rows or columns to drop"
        )
    return result
