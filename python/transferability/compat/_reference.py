"""Shared by the compatibility modules: input checks, and the native fixed-point iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .. import _core
from .._inputs.arrays import as_array
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Recipe = Literal["thuml_fixed_point", "thuml_icml", "tllib", "transformer_ranker"]

#: What each library does where its iteration divides by zero.
_ON_ZERO: dict[Recipe, str] = {
    "thuml_fixed_point": "thuml/LogME returns nan",
    "thuml_icml": "thuml/LogME raises ZeroDivisionError",
    "tllib": "tllib raises ZeroDivisionError",
    "transformer_ranker": "transformer-ranker returns nan",
}

#: Both libraries make a column for every class id up to the largest, used or not.
_MOST_CLASSES = 100_000


def plain(array: ArrayLike, name: str, n_dims: tuple[int, ...]) -> NDArray[np.float64]:
    """Return any array-like as float64, in which all originals compute."""
    source, _ = as_array(array, name)
    if source.dtype.kind == "c":
        raise DtypeError(f"{name} holds complex numbers; take the real part or the modulus")
    try:
        converted = source.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        message = f"{name} cannot be read as numbers ({error}); give numbers, classes as 0, 1, 2, …"
        raise DataError(message) from error
    if converted.ndim not in n_dims:
        expected = " or ".join(f"{n}-D" for n in n_dims)
        raise DataError(f"{name} has shape {converted.shape}, expected {expected}")
    return converted


def same_rows(features: NDArray[np.float64], response: NDArray[np.float64], name: str) -> None:
    """Raise DataError if responses and features differ in length."""
    if len(features) != len(response):
        raise DataError(
            f"{name} has {len(response)} rows, the features have {len(features)}; give one for each"
        )


def indicators(
    labels: NDArray[np.float64], classes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return one 0/1 column a class; by default 0 … max(labels), as both thuml libraries count."""
    if not np.isfinite(labels).all():
        row = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise DataError(f"labels[{row}] is {labels[row]}; drop or fill such rows")
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
    columns: NDArray[np.float64] = (labels[:, None] == classes).astype(np.float64)
    return columns


def run(
    features: NDArray[np.float64],
    targets: NDArray[np.float64],
    recipe: Recipe,
    *,
    initial_ratio: float = 1.0,
    max_iterations: int | None = None,
    tolerance: float | None = None,
) -> _core.FixedPoint:
    """Run the native iteration on every column of `targets`; raise DataError for NaN."""
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
    fine = np.isfinite(evidence)
    if recipe == "thuml_fixed_point":  # -inf for zero features is a number, and ranks them last
        fine |= np.isneginf(evidence)
    if not fine.all():
        column = int(np.flatnonzero(~fine)[0])
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
