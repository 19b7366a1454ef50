"""Labels and targets: read them, find what is missing, decide the task.

``task="auto"``: strings, booleans and integers are classes; real numbers are targets, unless all
are whole numbers with at most 50 distinct values and 5 rows each on average; a 2-D array of 0
and 1 is multilabel. What could be either way, such as integers or strings that hardly repeat,
asks for ``task=``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError
from .labels import read_labels

__all__ = ["TASKS", "UNLABELLED", "Target", "read_target", "unlabelled"]

TASKS = ("classification", "regression", "multilabel")
UNLABELLED = "unlabelled"  # the task of metrics that read no labels
_MAX_CLASSES = 50  # whole floats with more distinct values than this are targets
_MIN_ROWS_PER_CLASS = 5  # … and with fewer rows for each, too
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted, ready for the native module.

    Either `ids` is set (classification; they index into `names` for string classes, else they
    are the classes), or `values`, one column per target; or neither, for `rows` without labels.
    """

    task: str
    note: str
    ids: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None
    values: NDArray[np.float64] | None = None
    columns: tuple[int | str, ...] | None = None
    warnings: tuple[str, ...] = ()
    boolean: bool = False  # the ids 0 and 1 stand for False and True
    rows: int = 0

    @property
    def data(self) -> NDArray[Any]:
        """Ids or values, whichever there are."""
        data = self.ids if self.values is None else self.values
        assert data is not None, "a Target without rows only describes"
        return data

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.rows if self.task == UNLABELLED else len(self.data)

    def counts(self) -> tuple[tuple[int | str, ...] | None, tuple[int, ...] | None]:
        """Give the classes that occur, sorted, and how often each does."""
        if self.ids is None:
            return None, None
        ids, counts = np.unique(self.ids, return_counts=True)
        classes = ids.tolist() if self.names is None else [self.names[i] for i in ids]
        return tuple(classes), tuple(counts.tolist())

    def digest(self) -> str:
        """Hash of the task and every label: equal for equal rows in equal order only."""
        state = hashlib.blake2b(f"{self.task}|{self.names}|".encode(), digest_size=16)
        if self.task == UNLABELLED:
            state.update(f"{self.rows}".encode())
            return state.hexdigest()
        data = np.ascontiguousarray(self.data + 0)  # + 0 turns -0.0 into 0.0
        state.update(f"{data.shape}".encode())
        state.update(data.tobytes())
        return state.hexdigest()

    def facts(
        self, classes: tuple[int | str, ...] | None, counts: tuple[int, ...] | None
    ) -> dict[str, Any]:
        """Give what a Score says about its labels."""
        if self.boolean and classes is not None and set(classes) <= {0, 1}:
            classes = tuple(map(bool, classes))
        return {
            "task": self.task,
            "task_note": self.note,
            "n_classes": None if classes is None else len(classes),
            "classes": classes,
            "class_counts": counts,
            "targets": (classes or ()) if self.columns is None else self.columns,
        }

    def part(self, start: int, stop: int) -> Target:
        """Keep the rows from `start` to before `stop`, read as all of them were."""
        if self.task == UNLABELLED:
            return replace(self, rows=stop - start)
        # Aligned, as the native module wants them: what came from another process may not be.
        rows = np.require(self.data[start:stop], requirements="A")
        return replace(self, ids=rows) if self.values is None else replace(self, values=rows)

    def without_rows(self) -> Target:
        """Keep the description and drop the data."""
        return replace(self, ids=None, values=None, names=None if self.names is None else ())

    def take(self, rows: slice | NDArray[np.intp]) -> Target:
        """Keep some rows, by position."""
        return replace(
            self,
            ids=None if self.ids is None else self.ids[rows],
            values=None if self.values is None else self.values[rows],
            rows=len(range(self.rows)[rows]) if isinstance(rows, slice) else len(rows),
        )

    def without_constant(self) -> Target:
        """Leave out the columns of a multilabel target that are all 0 or all 1."""
        if self.task != "multilabel" or self.values is None or self.columns is None:
            return self
        constant = self.values.min(axis=0) == self.values.max(axis=0)
        if not constant.any():
            return self
        if constant.all():
            raise DataError(
                "labels: every column is all 0 or all 1 in these rows, so there is nothing to "
                "predict; give rows in which some label varies"
            )
        left_out = [c for c, flat in zip(self.columns, constant, strict=True) if flat]
        kept = tuple(c for c, flat in zip(self.columns, constant, strict=True) if not flat)
        shown = ", ".join(map(str, left_out[:10])) + (", …" if len(left_out) > 10 else "")
        note = (
            f"{len(left_out)} of {len(constant)} label columns are all 0 or all 1 and were left "
            f"out: {shown}"
        )
        return replace(
            self, values=self.values[:, ~constant], columns=kept, warnings=(*self.warnings, note)
        )


def unlabelled(rows: int) -> Target:
    """Describe rows without labels."""
    return Target(UNLABELLED, "no labels were given", rows=rows)


def read_target(labels: object, task: str = "auto") -> Target:
    """Read labels or targets and decide what task they describe.

    Parameters
    ----------
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        Integers, strings, booleans or real numbers, in lists, arrays, tensors or frames.
    task : {"auto", "classification", "regression", "multilabel"}
        "auto" decides as the module's docstring says; the decision is in ``Target.note``.
        A Target is returned as it is: its task has been decided.

    Returns
    -------
    target : Target

    Raises
    ------
    DataError
        If labels are missing, contradict `task`, or leave the task open.
    DtypeError
        If they are neither numbers nor strings.
    """
    if isinstance(labels, Target):
        return labels
    if task not in ("auto", *TASKS):
        raise DataError(f"task is {task!r}; choose 'auto', {', '.join(map(repr, TASKS))}")
    array, notes = read_labels(labels)
    note = f"{task}, as asked"
    if task == "auto":
        task, note = _decide(array)
    if task == "classification":
        return replace(_classes(array), note=note, warnings=notes)
    if array.dtype.kind == "U":
        raise DtypeError(f"labels are strings, which task={task!r} cannot use; encode as numbers")
    values = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float64)
    if task == "multilabel":
        odd = np.argwhere((values != 0) & (values != 1))
        if odd.size:
            row, column = odd[0]
            raise DataError(
                f"labels[{row}, {column}] is {values[row, column]:g}; multilabel needs 0 and 1 "
                f"only, one column per label"
            )
    columns = getattr(labels, "columns", None)
    names: Sequence[int | str] = range(values.shape[1])
    if columns is not None and len(columns) == values.shape[1]:
        names = [str(column) for column in columns]
    return Target(task, note, values=values, columns=tuple(names), warnings=notes)


def _decide(array: NDArray[Any]) -> tuple[str, str]:
    kind, n_samples = array.dtype.kind, len(array)
    if kind == "U":
        n_distinct = np.unique(array).size
        if n_samples > 1 and n_distinct > n_samples / 2:
            raise DataError(
                f"labels has {n_distinct} distinct strings in {n_samples} rows; if they are "
                f"classes pass task='classification', if they are numbers stored as text convert "
                f"them with labels.astype(float)"
            )
        return "classification", "classification, because the labels are strings"
    if array.ndim == 2:
        if bool(np.isin(array, (0, 1)).all()):
            one_hot = array.shape[1] > 1 and bool((array.sum(axis=1) == 1).all())
            hint = "; each row holds a single 1: for classes pass labels.argmax(axis=1)"
            note = "multilabel, because the labels are a 2-D array of 0 and 1"
            return "multilabel", note + (hint if one_hot else "")
        if kind == "f" and array.shape[1] > 1:
            return "regression", "regression, because the labels are a 2-D array of real numbers"
        if array.shape[1] > 1:
            raise DataError(
                f"labels of shape {array.shape} hold integers other than 0 and 1; pass "
                f"task='regression' for {array.shape[1]} targets, or one column of classes"
            )
    if kind == "b":
        return "classification", "classification, because the labels are booleans"
    distinct = np.unique(array)
    if kind in "iu":
        if n_samples > 1 and distinct.size > n_samples / 2:
            raise DataError(
                f"labels has {distinct.size} distinct integers in {n_samples} rows, which may be "
                f"classes or counts; pass task='classification' or task='regression'"
            )
        return "classification", "classification, because the labels are integers"
    if (
        bool((distinct == np.floor(distinct)).all())
        and distinct.size <= _MAX_CLASSES
        and n_samples >= _MIN_ROWS_PER_CLASS * distinct.size
    ):
        return "classification", (
            f"classification, because the labels are {distinct.size} distinct whole numbers; "
            f"pass task='regression' if they are targets"
        )
    return "regression", "regression, because the labels are real numbers"


def _classes(array: NDArray[Any]) -> Target:
    if array.ndim == 2 and array.shape[1] != 1:
        raise DataError(
            f"labels of shape {array.shape} are not one class per row; for one-hot rows pass "
            f"labels.argmax(axis=1), for several labels a row task='multilabel'"
        )
    array = array.reshape(-1)
    if array.dtype.kind == "U":
        names, ids = np.unique(array, return_inverse=True)
        return Target(
            "classification", "", ids=ids.reshape(-1).astype(np.int64), names=tuple(names.tolist())
        )
    if array.dtype.kind == "f":
        odd = np.flatnonzero(array != np.floor(array))
        if odd.size:
            raise DataError(
                f"labels[{odd[0]}] is {array[odd[0]]:g}, and {odd.size} of {array.size} labels are "
                f"not whole numbers; for real-valued targets pass task='regression'"
            )
    # As Python integers, because 2**63 - 1 has no float64.
    if int(array.max()) > _INT64.max or int(array.min()) < _INT64.min:
        raise DataError("labels has class ids beyond 64-bit integers; use strings for them")
    ids = np.ascontiguousarray(array, dtype=np.int64)
    return Target("classification", "", ids=ids, boolean=array.dtype.kind == "b")
