"""What a ``Stats`` holds, and the same as bytes and files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from .. import _core
from .._inputs.arrays import check_choice
from .._inputs.target import TASKS, UNLABELLED, Target
from .._util.atomic_file import write_bytes
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError

__all__ = ["PRECISIONS", "State"]

PRECISIONS = ("double", "single")
Self = TypeVar("Self", bound="State")


class State:
    """Statistics with what their labels are; :class:`transferability.Stats` adds what to do.

    Parameters
    ----------
    task, precision, n_threads, class_scatters, stop
        As for :class:`transferability.Stats`.
    """

    def __init__(
        self,
        task: str = "auto",
        precision: str = "double",
        n_threads: int | None = None,
        *,
        class_scatters: bool = False,
        stop: _core.Stop | None = None,
    ) -> None:
        check_choice("task", task, ("auto", *TASKS, UNLABELLED))
        check_choice("precision", precision, PRECISIONS)
        resolve_threads(n_threads)
        self._inner = _core.Stats(precision, stop, class_scatters)
        self._asked = self._task = task
        self._n_threads = n_threads
        self._target: Target | None = None  # the first block's, without its rows
        self._warnings: tuple[str, ...] = ()
        self._seconds = 0.0

    def reset(self: Self) -> Self:
        """Forget all rows, and the task where that was "auto".

        Returns
        -------
        self : Stats
        """
        inner = self._inner
        self.__init__(  # type: ignore[misc]  # as new
            self._asked, inner.precision, self._n_threads, class_scatters=inner.class_scatters
        )
        return self

    def copy(self: Self) -> Self:
        """Return an independent copy."""
        return self._with(self._inner.copy())

    __copy__ = copy

    def __deepcopy__(self: Self, memo: dict[int, object]) -> Self:
        """Return an independent copy."""
        return self.copy()

    @property
    def task(self) -> str:
        """What the labels are; "auto" before the first block."""
        return self._task

    @property
    def task_note(self) -> str:
        """How the task was decided, in words; empty before the first block."""
        return "" if self._target is None else self._target.note

    @property
    def n_samples(self) -> int:
        """Rows so far, counted with their weights."""
        return self._inner.n_samples

    @property
    def n_features(self) -> int:
        """Columns of the features; 0 before the first block."""
        return self._inner.n_features

    @property
    def classes(self) -> tuple[int | str, ...] | None:
        """The classes that occurred, sorted; None for targets."""
        classes = self._inner.classes
        return None if classes is None else tuple(classes)

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        """Rows of each of them, counted with their weights; None for targets."""
        counts = self._inner.class_counts
        return None if counts is None else tuple(counts)

    @property
    def class_scatters(self) -> bool:
        """Whether every class is also kept on its own, as some metrics need."""
        return self._inner.class_scatters

    @property
    def nbytes(self) -> int:
        """Memory that the statistics take, in bytes."""
        return self._inner.nbytes

    def __sizeof__(self) -> int:
        """Count what the native part holds, as schedulers that move or spill it need to know."""
        return super().__sizeof__() + self.nbytes

    def __repr__(self) -> str:
        """Show the task, shape and size."""
        return (
            f"Stats(task={self.task!r}, n_samples={self.n_samples}, n_features="
            f"{self.n_features}, holds={self._inner.holds!r}, nbytes={self.nbytes})"
        )

    def to_bytes(self) -> bytes:
        """Give everything that is held as bytes, without pickle.

        Returns
        -------
        data : bytes
            About `nbytes`, half of that for a scatter; sealed with a checksum. Threads are not
            part of it.
        """
        return _core.to_bytes(self._inner, json.dumps(self._facts()))

    @classmethod
    def from_bytes(cls: type[Self], data: bytes) -> Self:
        """Read what :meth:`to_bytes` gave, to the bit.

        Parameters
        ----------
        data : bytes
            All of it.

        Returns
        -------
        stats : Stats

        Raises
        ------
        DataError
            If the bytes are cut short, altered, of a newer version, or something else; nothing in
            them is run, and no more memory is taken than their length explains.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise DtypeError(f"data must be bytes, not {type(data).__name__}")
        inner, notes = _core.from_bytes(bytes(data))
        try:
            return cls._of(inner, **json.loads(notes))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f"this is no usable file of statistics: its notes do not fit them ({error})"
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the statistics to one file.

        The file is written beside, made durable and renamed, so that a reader, a full disk or a
        crash at any moment leaves the file that was there or the new one, whole.

        Parameters
        ----------
        path : str or path-like
            Its name; ``.stats`` is what the command line expects.

        Raises
        ------
        OSError
            If it cannot be written, with the reason; an earlier file is as it was.

        Examples
        --------
        >>> import numpy as np, pathlib, tempfile, transferability as tx
        >>> features = np.random.default_rng(0).normal(size=(30, 4))
        >>> stats = tx.Stats().update(features, [0, 1, 2] * 10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "part.stats")
        ...     stats.save(path)
        ...     tx.Stats.load(path).logme() == stats.logme()
        True
        """
        write_bytes(path, self.to_bytes())

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str]) -> Self:
        """Read statistics that :meth:`save` wrote, to the bit.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        stats : Stats

        Raises
        ------
        DataError
            If the file is cut short, altered, of a newer version, or something else.
        OSError
            If it cannot be read.
        """
        data = Path(path).read_bytes()
        try:
            return cls.from_bytes(data)
        except DataError as error:
            raise DataError(f"{os.fspath(path)}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as bytes, so that statistics cross to other processes."""
        return type(self).from_bytes, (self.to_bytes(),)

    @classmethod
    def _of(
        cls: type[Self],
        inner: _core.Stats,
        *,
        asked: str,
        target: dict[str, Any] | None,
        warnings: list[str],
        seconds: float,
    ) -> Self:
        """Put statistics and the facts about them together again."""
        stats = cls(asked)
        stats._inner = inner
        stats._warnings, stats._seconds = tuple(map(str, warnings)), float(seconds)
        if (target is None) != (inner.n_features == 0):
            raise ValueError("rows without labels or labels without rows")
        if target is None:
            return stats
        columns, named = target.pop("columns"), target.pop("named")
        target["columns"] = None if columns is None else tuple(columns)
        target["warnings"] = tuple(target["warnings"])
        read = Target(names=() if named else None, **target)
        of_classes = inner.classes is not None
        if read.task not in (*TASKS, UNLABELLED) or (read.task == "classification") != of_classes:
            raise ValueError(f"a task of {read.task}")
        stats._task, stats._target = read.task, read
        return stats

    def _facts(self) -> dict[str, Any]:
        """Give what :meth:`_of` needs beside the statistics, for JSON."""
        target = self._target
        of_target = (
            None
            if target is None
            else {
                "task": target.task,
                "note": target.note,
                "columns": target.columns,
                "named": target.names is not None,
                "warnings": target.warnings,
                "boolean": target.boolean,
                "rows": target.rows,
            }
        )
        return {
            "asked": self._asked,
            "target": of_target,
            "warnings": self._warnings,
            "seconds": self._seconds,
        }

    def _with(self: Self, inner: _core.Stats) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _inner=inner)
        return twin

    def _check_columns(self, target: Target | None) -> None:
        """Refuse other targets, or in another order, which would be added to each other's sums."""
        held = None if self._target is None else self._target.columns
        given = None if target is None else target.columns
        if held is None or given is None or len(held) != len(given) or held == given:
            return  # of no columns, or of other widths, which the native module refuses
        if tuple(range(len(held))) in (held, given):
            return  # one is of an array, whose columns have no names
        raise DataError(
            f"the columns of the labels are {', '.join(map(str, given))}, and these statistics "
            f"hold {', '.join(map(str, held))}; give the same columns in the same order"
        )

    def _note(self, notes: Sequence[str]) -> None:
        self._warnings = tuple(dict.fromkeys((*self._warnings, *notes)))
