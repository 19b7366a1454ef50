"""LEEP and NCE of both thuml libraries, which share their formulas.

What differs from `transferability.leep` and `transferability.nce`:

- A source class to which no row gives any mass makes the whole LEEP NaN (0/0). Here too, with a
  warning; the default leaves such a class out.
- Class ids that no row has count as classes, which changes nothing but memory.
- Rows are not checked: logits, negative numbers and rows that do not sum to 1 give a number, or
  NaN, that means nothing. Here too, with a warning where it is not finite.
- LEEP sums float32 probabilities in float32: about 1e-8 off.
- Negative class ids count from the end, because they index an array: NCE joins -1 with the last
  class, and LEEP scores its rows as that class without counting them for it.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .._inputs.arrays import as_array
from ..errors import DataError, DtypeError, TransferabilityWarning
from . import _reference

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["conditional_entropy", "expected_prediction"]

#: Numbers in a table of joint probabilities: 800 MB.
_MOST_CELLS = 100_000_000


def expected_prediction(
    probs: ArrayLike, labels: ArrayLike, names: tuple[str, str], library: str
) -> float:
    """Compute LEEP; `names` are the original's argument names, for messages."""
    matrix = _probabilities(probs, names[0])
    ids = _class_ids(labels, names[1])
    _same_length(len(ids), len(matrix), names[::-1])
    n_classes = _cells(ids, matrix.shape[1], names[1])
    _within(ids, n_classes, names[1], library)
    with np.errstate(all="ignore"):
        share = matrix / float(len(matrix))  # in the dtype of the probabilities
        joint = np.zeros((n_classes, matrix.shape[1]))
        for y in np.unique(ids[ids >= 0]):
            joint[y] = share[ids == y].sum(axis=0)
        conditional = joint / joint.sum(axis=0)
        predicted = np.einsum("iz,iz->i", matrix, conditional[ids])
        score = float(np.log(predicted).mean())
    if not math.isfinite(score):
        empty = np.flatnonzero(joint.sum(axis=0) == 0)
        why = (
            f"no row gives any mass to source class {empty[0]}"
            if len(empty)
            else f"{names[0]} are no probabilities"
        )
        message = f"{why}, and the score is {score}, as in {library}; see transferability.leep"
        warnings.warn(message, TransferabilityWarning, stacklevel=3)
    return score


def conditional_entropy(
    source_labels: ArrayLike, labels: ArrayLike, names: tuple[str, str], library: str
) -> float:
    """Compute NCE; `names` are the original's argument names, for messages."""
    source = _class_ids(source_labels, names[0], truncated=True)
    target = _class_ids(labels, names[1], truncated=True)
    _same_length(len(target), len(source), names[::-1])
    n_source = max(int(source.max()) + 1, 0)
    if not n_source:
        raise DataError(f"{names[0]} needs at least one class id of 0 or more")
    n_classes = _cells(target, n_source, names[1])
    for ids, count, name in ((source, n_source, names[0]), (target, n_classes, names[1])):
        _within(ids, count, name, library)
        ids[ids < 0] += count
    counts = np.bincount(target * n_source + source, minlength=n_classes * n_source)
    joint = counts.reshape(n_classes, n_source) / len(source)
    mass = joint.sum(axis=0)
    conditional = joint[:, mass > 0] / mass[mass > 0] + 1e-20  # no logarithm of zero
    return float((mass[mass > 0] * (conditional * np.log(conditional)).sum(axis=0)).sum())


def _probabilities(probs: ArrayLike, name: str) -> NDArray[np.floating[Any]]:
    """Validate probabilities; float32 is kept, in which the originals sum."""
    source, _ = as_array(probs, name)
    if source.dtype in (np.dtype(np.float32), np.dtype(np.float16)):
        matrix: NDArray[np.floating[Any]] = source
        if matrix.ndim != 2:
            raise DataError(f"{name} has shape {matrix.shape}, expected 2-D")
    else:
        matrix = _reference.plain(source, name, (2,))
    if 0 in matrix.shape:
        raise DataError(f"{name} has shape {matrix.shape}: there are no rows or no columns")
    return matrix


def _class_ids(labels: ArrayLike, name: str, *, truncated: bool = False) -> NDArray[np.int64]:
    """Read integers; floats and booleans only where the originals convert each."""
    source = as_array(labels, name)[0].reshape(-1)
    if source.dtype.kind not in ("biuf" if truncated else "iuf"):
        raise DtypeError(
            f"{name} has dtype {source.dtype}; give class ids 0 … C-1, for example "
            "np.unique(labels, return_inverse=True)[1]"
        )
    if source.dtype.kind == "f" and not truncated:
        raise DtypeError(
            f"{name} has dtype {source.dtype}, for which the original raises IndexError; pass "
            f"{name}.astype(int)"
        )
    if not source.size:
        raise DataError(f"{name} is empty")
    if not np.isfinite(source).all():
        raise DataError(f"{name}[{np.flatnonzero(~np.isfinite(source))[0]}] is not finite")
    return source.astype(np.int64)


def _same_length(n_labels: int, expected: int, names: tuple[str, str]) -> None:
    if n_labels != expected:
        raise DataError(
            f"{names[0]} has {n_labels} rows, {names[1]} has {expected}; give one for each"
        )


def _within(ids: NDArray[np.int64], n_classes: int, name: str, library: str) -> None:
    if int(ids.min()) < -n_classes:
        raise DataError(
            f"{name} has the class id {ids.min()}; with {n_classes} classes {library} raises "
            "IndexError: number the classes from 0"
        )


def _cells(ids: NDArray[np.int64], n_source: int, name: str) -> int:
    """Count the classes as the originals do, 0 … max, and refuse a table that is too large."""
    n_classes = int(ids.max()) + 1
    if n_classes < 1:
        raise DataError(f"{name} needs at least one class id of 0 or more")
    if n_classes * n_source > _MOST_CELLS:
        raise DataError(
            f"{n_classes} x {n_source} classes (ids count from 0 to their largest) are more than "
            f"{_MOST_CELLS} cells; number the classes with np.unique(…, return_inverse=True)[1]"
        )
    return n_classes
