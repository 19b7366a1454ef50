"""Statistics add up, and can be had as the sums that they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .. import _core
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError
from .moments import as_moments, target_of
from .serialize import State

__all__ = ["Sums"]

Self = TypeVar("Self", bound="Sums")


class Sums(State):
    """The part of :class:`transferability.Stats` that merges."""

    def merge(self: Self, other: Self) -> Self:
        """Return the statistics of both sets of rows; ``a + b`` is the same.

        Parameters
        ----------
        other : Stats
            Of the same number of features and the same task.

        Returns
        -------
        merged : Stats
            A new object; neither input changes.
        """
        self._check_task(other)
        if self._target is None or other._target is None:
            return (self if other._target is None else other).copy()
        merged = self._with(self._inner.merge(other._inner, resolve_threads(self._n_threads)))
        merged._seconds += other._seconds
        merged._note(other._warnings)
        return merged

    __add__ = merge

    def __radd__(self: Self, other: object) -> Self:
        """Let ``sum(list_of_stats)`` work, which starts from 0."""
        return self.copy() if other == 0 else NotImplemented

    @classmethod
    def merge_all(cls: type[Self], states: Iterable[Self]) -> Self:
        """Return the statistics of all rows, the same to the bit in whatever order they come.

        The states are ordered by a digest of their content and merged in pairs.

        Parameters
        ----------
        states : iterable of Stats
            At least one; none changes.

        Returns
        -------
        merged : Stats
            A new object.

        Raises
        ------
        DataError
            If there are none, or they are not of one task, shape and kind.
        """
        if isinstance(states, Sums):
            raise DtypeError("merge_all takes a list of Stats, not one Stats; call it with [stats]")
        parts = list(states)
        if not parts:
            raise DataError("there are no statistics to merge; give at least one")
        for part in parts:
            parts[0]._check_task(part)
        # The facts decide between equal sums of rows that were described differently.
        merged = _tree(sorted(parts, key=lambda p: (_core.digest(p._inner), repr(p._facts()))))
        merged._seconds = math.fsum(part._seconds for part in parts)
        return merged

    def _check_task(self, other: object) -> None:
        if not isinstance(other, Sums):
            raise DtypeError(f"Stats merges with Stats only, not with {type(other).__name__}")
        if self.task != other.task and "auto" not in (self.task, other.task):
            raise DataError(f"cannot merge statistics of {self.task} and those of {other.task}")
        self._check_columns(other._target)

    def moments(self) -> dict[str, Any]:
        """Give the sums that the statistics are, as arrays.

        Returns
        -------
        moments : dict
            "task", "precision", "n_samples"; about the "shift" s (D,), over rows x of weight w:
            "sum" Σ w (x − s) (D,), "scatter" Σ w (x − s)(x − s)ᵀ (D, D), "cubic"
            Σ w ‖x − s‖² (x − s) (D,), "quartic" Σ w ‖x − s‖⁴, and "largest", which no |x − s|
            exceeds. For classes: "classes", sorted, "class_counts" (C,), "class_sums"
            Σ w (x − s) (C, D), and "by_class", the moments of each, where class scatters are
            held. For targets y about the "target_shift" p (K,): "target_sum" Σ w (y − p) (K,),
            "target_square" Σ w (y − p)² (K,), "cross" Σ w (x − s)(y − p)ᵀ (D, K), "columns".
            Rows that are held are multiplied out.

        Raises
        ------
        DataError
            Before the first block.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> moments = tx.Stats().update(np.eye(4), [3, 3, 5, 5]).moments()
        >>> moments["classes"], moments["class_counts"], moments["shift"]
        ((3, 5), array([2, 2]), array([0.25, 0.25, 0.25, 0.25]))
        """
        target = self._target
        if target is None:
            raise DataError("these statistics hold no rows yet; call update first")
        found = _core.moments(self._inner, resolve_threads(self._n_threads))
        if "classes" in found:
            found["classes"] = tuple(
                map(bool, found["classes"]) if target.boolean else found["classes"]
            )
            found["class_counts"] = found["class_counts"].astype("int64")
        if target.columns is not None:
            found["columns"] = target.columns
        return {"task": target.task, "note": target.note, **found}

    @classmethod
    def from_moments(cls: type[Self], moments: Mapping[str, Any]) -> Self:
        """Make statistics of sums that were accumulated elsewhere.

        Parameters
        ----------
        moments : mapping
            As :meth:`moments` gives them; "precision" ("double"), "note", "columns" and
            "by_class" may be missing. Sums of float32 products have "precision" "single".
            Classes that do not occur are left out.

        Returns
        -------
        stats : Stats
            It holds the scatter, also of fewer rows than features.

        Raises
        ------
        DataError, DtypeError
            If something is missing, of another shape, not finite, or no rows can have such
            moments: an asymmetric scatter, counts that do not add up, sums beyond their squares.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> stats = tx.Stats().update(np.arange(12.0).reshape(6, 2) % 5, [0, 1] * 3)
        >>> bool(np.isclose(tx.Stats.from_moments(stats.moments()).logme(), stats.logme()))
        True
        """
        found = as_moments(moments)
        target = target_of(moments, found)
        stats = cls(target.task)
        stats._inner, stats._target = _core.from_moments(found), target
        return stats


def _tree(parts: Sequence[Self]) -> Self:
    """Merge in pairs, so that few are alive at a time."""
    if len(parts) == 1:
        return parts[0].copy()
    half = len(parts) // 2
    return _tree(parts[:half]).merge(_tree(parts[half:]))
