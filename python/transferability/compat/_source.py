"""LEEP and NCE of both thuml libraries, which share their formulas.

Differences from `transferability.leep` and `transferability.nce`:

- A source class without probability mass in any row makes the whole LEEP NaN (0/0), here with a
  warning. `transferability.leep` leaves such a class out.
- Class ids without rows count as classes. This only costs memory.
- Rows are not checked: logits and rows that do not sum to 1 return a meaningless number or NaN.
- LEEP sums float32 probabilities in float32: about 1e-8 off.
- Negative class ids count from the end, because they index an array: NCE joins -1 with the last
  class. LEEP scores rows of -1 as that class, but does not count them for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .._inputs.arrays import as_array
from .._metric.score import issue
from ..errors import DataError, DtypeError
from ._reference import check_same_rows, read_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["conditional_entropy", "expected_prediction"]

#: Numbers in a table of joint probabilities: 800 MB.
_MOST_CELLS = 100_000_000


def expected_prediction(
    probs: ArrayLike, labels: ArrayLike, names: tuple[str, str], library: str
) -> float:
    """Compute LEEP; `names` are the original's argument names, for messages."""
    # The originals sum in the dtype of the probabilities.
    matrix = read_numbers(probs, names[0], (2,), keep=(np.float16, np.float32))
    if 0 in matrix.shape:
        raise DataError(f"{names[0]} has shape {matrix.shape}: there are no rows or no columns")
    ids = _read_class_ids(labels, names[1])
    check_same_rows(ids, names[1], matrix, names[0])
    n_classes = _count_classes(ids, names[1], library, matrix.shape[1])
    with np.errstate(all="ignore"):
        share = matrix / float(len(matrix))
        joint = np.zeros((n_classes, matrix.shape[1]))
        for y in np.unique(ids[ids >= 0]):
            joint[y] = share[ids == y].sum(axis=0)
        conditional = joint / joint.sum(axis=0)
        predicted = np.einsum("iz,iz->i", matrix, conditional[ids])
        score = float(np.log(predicted).mean())
    if not math.isfinite(score):
        empty = joint.sum(axis=0) == 0
        why = f"no row gives any mass to source class {empty.argmax()}"
        if not empty.any():
            why = f"{names[0]} are no probabilities"
        issue([f"{why}, and the score is {score}, as in {library}; see transferability.leep"])
    return score


def conditional_entropy(
    source_labels: ArrayLike, labels: ArrayLike, names: tuple[str, str], library: str
) -> float:
    """Compute NCE; `names` are the original's argument names, for messages."""
    source = _read_class_ids(source_labels, names[0], truncate=True)
    target = _read_class_ids(labels, names[1], truncate=True)
    check_same_rows(target, names[1], source, names[0])
    n_source = _count_classes(source, names[0], library)
    n_classes = _count_classes(target, names[1], library, n_source)
    source[source < 0] += n_source
    target[target < 0] += n_classes
    counts = np.bincount(target * n_source + source, minlength=n_classes * n_source)
    joint = counts.reshape(n_classes, n_source) / len(source)
    mass = joint.sum(axis=0)
    conditional = joint[:, mass > 0] / mass[mass > 0] + 1e-20  # no logarithm of zero
    return float((mass[mass > 0] * (conditional * np.log(conditional)).sum(axis=0)).sum())


def _read_class_ids(labels: ArrayLike, name: str, *, truncate: bool = False) -> NDArray[np.int64]:
    """Read integers; with `truncate` also floats and booleans, which the original converts."""
    source = as_array(labels, name)[0].reshape(-1)
    if source.dtype.kind not in ("biuf" if truncate else "iuf"):
        raise DtypeError(
            f"{name} has dtype {source.dtype}; give class ids 0 … C-1, for example "
            "np.unique(labels, return_inverse=True)[1]"
        )
    if source.dtype.kind == "f" and not truncate:
        raise DtypeError(
            f"{name} has dtype {source.dtype}, for which the original raises IndexError; pass "
            f"{name}.astype(int)"
        )
    if not source.size:
        raise DataError(f"{name} is empty")
    if not np.isfinite(source).all():
        raise DataError(f"{name}[{np.flatnonzero(~np.isfinite(source))[0]}] is not finite")
    sizes = np.abs(source.astype(np.float64))
    if sizes.max() >= 2.0**62:
        place = int(sizes.argmax())
        raise DataError(
            f"{name}[{place}] is {source[place]}, beyond 64-bit integers; give class ids 0 … C-1, "
            "for example np.unique(labels, return_inverse=True)[1]"
        )
    return source.astype(np.int64)


def _count_classes(ids: NDArray[Any], name: str, library: str, n_source: int = 1) -> int:
    """Return max(ids) + 1, as the originals count; raise for ids that are too large or too low."""
    n_classes = int(ids.max()) + 1
    if n_classes < 1:
        raise DataError(f"{name} needs at least one class id of 0 or more")
    if n_classes * n_source > _MOST_CELLS:
        raise DataError(
            f"{n_classes} x {n_source} classes (ids count from 0 to their largest) are more than "
            f"{_MOST_CELLS} cells; number the classes with np.unique(…, return_inverse=True)[1]"
        )
    if int(ids.min()) < -n_classes:
        raise DataError(
            f"{name} has the class id {ids.min()}; with {n_classes} classes {library} raises "
            "IndexError: number the classes from 0"
        )
    return n_classes
