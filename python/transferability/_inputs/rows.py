"""Rows of two arguments that pandas labels: refuse a pairing that their index contradicts.

Rows of all arguments match by position. A pandas index may say otherwise: the same entries in
another order. Then one of the two readings is wrong, and the caller says which. Every two arguments
are compared: an index that says nothing about a second one may stand between two that do.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .feature_frames import instance_of

__all__ = ["RowIndex", "check_rows", "find_contradiction", "has_row_index"]


class RowIndex(NamedTuple):
    """The pandas index of an argument, and the name of the argument."""

    name: str
    index: Any


def check_rows(known: tuple[RowIndex, ...], /, **arguments: object) -> tuple[RowIndex, ...]:
    """Raise if the pandas index of an argument is one of `known`, or of another, in another order.

    Also for an index of words, dates or the like that has entries of another one in other places.
    Unrelated indexes, such as the default one of a new frame, say nothing. Return `known` with the
    indexes that are new; the same object if there is none.
    """
    for name, value in arguments.items():
        if not has_row_index(value):
            continue
        own = RowIndex(name, value.index)  # type: ignore[attr-defined]
        if any(own.index.equals(other.index) for other in known):
            continue
        for other in known:
            if len(own.index) == len(other.index):
                _check_order(other, own)
        known = (*known, own)
    return known


def has_row_index(value: object) -> bool:
    """Return whether this is a pandas frame or series."""
    if value is None or type(value) is np.ndarray:  # for speed
        return False
    return any(instance_of(value, "pandas", kind) for kind in ("DataFrame", "Series"))


def _check_order(known: RowIndex, own: RowIndex) -> None:
    found = find_contradiction(known, own)
    if found is not None:
        what, by_label = found
        raise DataError(
            f"{what}; pass {by_label} if the index says which rows belong together, or "
            f"{own.name}.to_numpy() if rows match by position"
        )


def find_contradiction(known: RowIndex, own: RowIndex) -> tuple[str, str] | None:
    """Return how two indexes of equal length contradict rows that match by position, or None.

    In words, with the first row that is elsewhere; and the expression that orders `own` by label.
    """
    codes, _ = known.index.append(own.index).factorize()
    ours, theirs = np.split(np.asarray(codes) + 1, 2)  # 0 is a missing entry
    moved = ours != theirs
    if not moved.any():
        return None
    size = int(codes.max()) + 2
    our_counts, their_counts = (np.bincount(part, minlength=size) for part in (ours, theirs))
    is_unique = max(our_counts.max(), their_counts.max()) == 1
    if np.array_equal(our_counts, their_counts):
        by_label = f"{own.name}.loc[{known.name}.index]"
        if not is_unique:
            by_label = f"{own.name} in the order of {known.name}"
        what = f"has the index of {known.name} in another order"
    elif is_unique and not (_is_counted(known.index) or _is_counted(own.index)):
        moved &= np.isin(ours, theirs) & (ours > 0)
        if not moved.any():
            return None
        what = f"has entries of the index of {known.name} in other rows"
        by_label = f"the rows of {known.name}.index.intersection({own.name}.index) of both"
    else:
        return None
    return f"{own.name} {what}: {_first_move(known, own, ours, theirs, moved)}", by_label


def _first_move(
    known: RowIndex,
    own: RowIndex,
    ours: NDArray[np.intp],
    theirs: NDArray[np.intp],
    moved: NDArray[np.bool_],
) -> str:
    """Return the first row that is elsewhere, in words."""
    row = int(np.flatnonzero(moved)[0])
    place = int(np.flatnonzero(theirs == ours[row])[0])
    entry = known.index[row]
    shown = repr(entry) if isinstance(entry, str) else str(entry)
    return f"{shown} is row {row} of {known.name} and row {place} of {own.name}"


def _is_counted(index: Any) -> bool:
    """Return whether an index is of integers, which a new frame has too."""
    return bool(sys.modules["pandas"].api.types.is_integer_dtype(index.dtype))
