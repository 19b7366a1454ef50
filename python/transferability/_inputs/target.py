"""Read classes or targets from labels, and decide the task: classification, regression, multilabel.

``task="auto"``: strings, booleans and integers are classes. Floats are targets, unless all are
whole numbers, with at most 50 distinct values and at least 5 rows for each on average. A 2-D array
of 0 and 1 is multilabel. Integers or strings with more distinct values than half the rows may be
classes or targets: they raise an error that asks for ``task=``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError
from .labels import read_labels

__all__ = ["TASKS", "UNLABELLED", "Target", "read_target", "read_target_of", "unlabelled"]

TASKS = ("classification", "regression", "multilabel")
UNLABELLED = "unlabelled"  # the task of features alone, and of metrics that read no labels
_MAX_CLASSES = 50  # whole floats with more distinct values are targets,
_MIN_ROWS_PER_CLASS = 5  # and so are whole floats with fewer rows for each
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, eq=False)
class Target:
    """The labels of all rows, as the native module reads them.

    For classification `ids` is set: indices into `names` for string classes, else the classes
    themselves. For other tasks `values` is set, (n_samples, n_targets). Without labels neither is
    set, and `rows` is the number of rows.
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
        """The ids or the values."""
        data = self.ids if self.values is None else self.values
        assert data is not None, "without_rows keeps no data"
        return data

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.rows if self.task == UNLABELLED else len(self.data)

    def counts(self) -> tuple[tuple[int | str, ...] | None, tuple[int, ...] | None]:
        """Return the classes that occur, sorted, and the number of rows of each."""
        if self.ids is None:
            return None, None
        ids, counts = np.unique(self.ids, return_counts=True)
        classes = ids.tolist() if self.names is None else [self.names[i] for i in ids]
        return tuple(classes), tuple(counts.tolist())

    def digest(self) -> str:
        """Return a hash of the task and of all labels in their order."""
        state = hashlib.blake2b(f"{self.task}|{self.names}|".encode(), digest_size=16)
        if self.task == UNLABELLED:
            state.update(f"{self.rows}".encode())
        else:
            state.update(f"{self.data.shape}".encode())
            state.update((self.data + 0).tobytes())  # + 0 turns -0.0 into 0.0
        return state.hexdigest()

    def facts(
        self, classes: tuple[int | str, ...] | None, counts: tuple[int, ...] | None
    ) -> dict[str, Any]:
        """Return the attributes of a Score that describe its labels."""
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

    def without_rows(self) -> Target:
        """Return the description without the data."""
        names = None if self.names is None else ()
        labels = (None, names, None, self.columns)  # ids, names, values, columns
        return Target(self.task, self.note, *labels, self.warnings, self.boolean, self.rows)

    def take(self, rows: slice | NDArray[np.intp]) -> Target:
        """Return some rows, by position, with the task of all rows."""
        if self.task == UNLABELLED:
            number = len(range(self.rows)[rows]) if isinstance(rows, slice) else len(rows)
            return replace(self, rows=number)
        # The native module needs aligned data, which arrays from another process may not be.
        data = np.require(self.data[rows], requirements="A")
        return replace(self, ids=data) if self.values is None else replace(self, values=data)

    def without_constant(self) -> Target:
        """Return the target without the multilabel columns that are all 0 or all 1."""
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
    """Return the target of rows without labels."""
    return Target(UNLABELLED, "no labels were given", rows=rows)


def read_target(labels: object, task: str = "auto") -> Target:
    """Read labels of shape (n_samples,) or (n_samples, n_targets), and decide the task.

    A Target is returned as it is. `task` "auto" decides by the rules in the module's docstring, and
    ``Target.note`` states the decision. Labels that are missing, contradict `task` or leave it open
    raise a ``DataError``, others than numbers and strings a ``DtypeError``.
    """
    if isinstance(labels, Target):
        return labels
    if task not in ("auto", *TASKS):
        raise DataError(f"task is {task!r}; choose 'auto', {', '.join(map(repr, TASKS))}")
    array, warnings = read_labels(labels)
    note = f"{task}, as asked"
    if array.dtype.kind == "U":
        return _read_strings(array, task, note, warnings)
    if task == "auto":
        task, note = _decide(array)
    if task == "classification":
        boolean = array.dtype.kind == "b"
        return Target(task, note, ids=_class_ids(array), warnings=warnings, boolean=boolean)
    values = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float64)
    if task == "multilabel":
        odd = np.argwhere((values != 0) & (values != 1))
        if odd.size:
            row, column = odd[0]
            raise DataError(
                f"labels[{row}, {column}] is {values[row, column]:g}; multilabel needs 0 and 1 "
                f"only, one column per label"
            )
    columns: tuple[int | str, ...] = tuple(map(str, getattr(labels, "columns", ())))
    if len(columns) != values.shape[1]:
        columns = tuple(range(values.shape[1]))
    return Target(task, note, values=values, columns=columns, warnings=warnings)


def read_target_of(n_samples: int, labels: object, task: str) -> Target:
    """Read the labels of this many rows, as :func:`read_target`; none if `task` is "unlabelled"."""
    if task == UNLABELLED and not isinstance(labels, Target):
        if labels is None:
            return unlabelled(n_samples)
        raise DataError(
            "labels were given, but task is 'unlabelled'; leave them out, or choose another task"
        )
    if labels is None:
        raise DataError(
            "labels is None; give one label for each row, or pass task='unlabelled' for "
            "features without labels"
        )
    return read_target(labels, task)


def _decide(array: NDArray[Any]) -> tuple[str, str]:
    """Decide the task of numbers or booleans; return it with a note of the reason."""
    kind, n_samples = array.dtype.kind, len(array)
    if array.ndim == 2:
        if bool(((array == 0) | (array == 1)).all()):
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
    if kind in "iu":
        # The range bounds the number of distinct integers, and is faster to compute.
        if int(array.max()) - int(array.min()) >= n_samples // 2:
            n_distinct = np.unique(array).size
            if n_samples > 1 and n_distinct > n_samples / 2:
                raise DataError(
                    f"labels has {n_distinct} distinct integers in {n_samples} rows, which may be "
                    f"classes or counts; pass task='classification' or task='regression'"
                )
        return "classification", "classification, because the labels are integers"
    if bool((array == np.floor(array)).all()):
        n_distinct = np.unique(array).size
        if n_distinct <= _MAX_CLASSES and n_samples >= _MIN_ROWS_PER_CLASS * n_distinct:
            return "classification", (
                f"classification, because the labels are {n_distinct} distinct whole numbers; "
                f"pass task='regression' if they are targets"
            )
    return "regression", "regression, because the labels are real numbers"


def _read_strings(array: NDArray[Any], task: str, note: str, warnings: tuple[str, ...]) -> Target:
    """Encode string classes as indices into their sorted names."""
    if task not in ("auto", "classification"):
        raise DtypeError(f"labels are strings, which task={task!r} cannot use; encode as numbers")
    names, ids = np.unique(array, return_inverse=True)
    if task == "auto":
        n_samples = len(array)
        if n_samples > 1 and names.size > n_samples / 2:
            raise DataError(
                f"labels has {names.size} distinct strings in {n_samples} rows; if they are "
                f"classes pass task='classification', if they are numbers stored as text convert "
                f"them with labels.astype(float)"
            )
        note = "classification, because the labels are strings"
    _check_one_class_per_row(array)
    ids = ids.reshape(-1).astype(np.int64)
    return Target("classification", note, ids=ids, names=tuple(names.tolist()), warnings=warnings)


def _class_ids(array: NDArray[Any]) -> NDArray[np.int64]:
    """Convert numbers or booleans to class ids."""
    _check_one_class_per_row(array)
    array = array.reshape(-1)
    if array.dtype.kind == "f":
        odd = np.flatnonzero(array != np.floor(array))
        if odd.size:
            raise DataError(
                f"labels[{odd[0]}] is {array[odd[0]]:g}, and {odd.size} of {array.size} labels are "
                f"not whole numbers; for real-valued targets pass task='regression'"
            )
    if array.dtype.kind in "fu" and not (
        # As Python integers, because 2**63 - 1 has no float64.
        int(array.max()) <= _INT64.max and int(array.min()) >= _INT64.min
    ):
        raise DataError("labels has class ids beyond 64-bit integers; use strings for them")
    return np.ascontiguousarray(array, dtype=np.int64)


def _check_one_class_per_row(array: NDArray[Any]) -> None:
    if array.ndim == 2 and array.shape[1] != 1:
        raise DataError(
            f"labels of shape {array.shape} are not one class per row; for one-hot rows pass "
            f"labels.argmax(axis=1), for several labels a row task='multilabel'"
        )
