"""Read classes or targets from labels, of all rows at once or of a block.

``task="auto"`` decides by the rules in ``task.py``. They need all rows. A block is read as an open
target: its task is "auto", and it keeps what every decision needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.delimited import is_number
from .._util.memory import no_memory_for
from ..errors import DataError, DtypeError
from .arrays import as_contiguous, check_choice
from .labels import encode_labels, is_text, name_columns, read_labels
from .lists import check_unicode
from .task import MAX_WHOLE, count_values, decide_rows_task, decide_task, find_short_span, promote
from .texts import shorten

__all__ = ["TASKS", "UNLABELLED", "Target", "has_labels", "read_block", "read_open", "read_target"]
__all__ += ["suggest_header", "unlabelled"]

TASKS = ("classification", "regression", "multilabel")
UNLABELLED = "unlabelled"  # the task of features alone, and of metrics that read no labels
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, eq=False)
class Target:
    """The labels of rows, as the native module reads them.

    For classification `ids` is set: indices into `names` for string classes, else the classes
    themselves. For other tasks `values` is set, (n_samples, n_targets). Without labels neither is
    set, and `rows` is the number of rows.

    While the task is open it is "auto". Then `ids` is set if the labels may be classes, else
    `values`, for which `form` is "binary", "one-hot" or "numbers" as in ``decide_rows_task``.
    """

    task: str
    note: str
    ids: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None
    values: NDArray[np.float64] | None = None
    columns: tuple[int | str, ...] | None = None
    warnings: tuple[str, ...] = ()
    kind: str = ""  # of the labels: "b", "i", "f" or "U", see decide_task; "" if not known
    rows: int = 0
    form: str = ""

    def replace(self, **changes: Any) -> Target:
        """Return a copy with some fields changed, as ``dataclasses.replace`` but quicker."""
        twin = object.__new__(Target)
        twin.__dict__.update(self.__dict__, **changes)
        return twin

    @property
    def boolean(self) -> bool:
        """Whether the ids 0 and 1 stand for False and True."""
        return self.kind == "b"

    @property
    def is_open(self) -> bool:
        """Whether the task is not decided yet."""
        return self.task == "auto"

    @property
    def may_be_classes(self) -> bool:
        """Whether the task is open, and classes are held."""
        return self.is_open and not self.form

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
        kind = self.kind if self.is_open else ""
        state = hashlib.blake2b(f"{self.task}{kind}|{self.names}|".encode(), digest_size=16)
        if self.task == UNLABELLED:
            state.update(f"{self.rows}".encode())
        else:
            state.update(f"{self.data.shape}".encode())
            state.update((self.data + 0).tobytes())  # + 0 turns -0.0 into 0.0
        return state.hexdigest()

    def facts(
        self, classes: Sequence[int | str] | None, counts: Sequence[int] | None
    ) -> dict[str, Any]:
        """Return the attributes of a Score that describe its labels."""
        known: tuple[int | str, ...] | None = None if classes is None else tuple(classes)
        if self.boolean and known is not None and set(known) <= {0, 1}:
            known = tuple(map(bool, known))
        return {
            "task": self.task,
            "task_note": self.note,
            "n_classes": None if known is None else len(known),
            "classes": known,
            "class_counts": None if counts is None else tuple(counts),
            "targets": (known or ()) if self.columns is None else self.columns,
        }

    def without_rows(self) -> Target:
        """Return the description without the data."""
        names = None if self.names is None else ()
        return self.replace(ids=None, names=names, values=None)

    def decide(self) -> Target:
        """Return the target with the task that its rows decide.

        Raises DataError if they leave it open.
        """
        if not self.is_open:
            return self
        if self.form:
            return self.settle(*decide_rows_task(self.kind, self.form, self.data.shape))
        if self.kind == "i" and (span := find_short_span(self.data)):
            return self.settle(*decide_task(self.kind, span, [self.n_samples]))
        ids, counts = count_values(self.data)
        values = ids if self.names is None else [self.names[i] for i in ids]
        return self.settle(*decide_task(self.kind, values, counts))

    def settle(self, task: str, note: str) -> Target:
        """Return the target, with or without its rows, as one of a task that its labels allow."""
        if task == "classification":
            return self.replace(task=task, note=note, columns=None)
        values = self.values if self.ids is None else self.ids.astype(np.float64)[:, None]
        columns = (0,) if self.columns is None else self.columns
        target = self.replace(task=task, note=note, kind="", form="", ids=None, names=None)
        return target.replace(values=values, columns=columns)

    def join(self, other: Target) -> Target:
        """Return the description of the rows of two targets of one task, which may be "auto".

        Raises DataError if they are of different kinds.
        """
        if not (self.kind and other.kind):
            return self
        kind = promote(self.kind, other.kind)
        if bool(self.form) != bool(other.form):
            raise DataError(
                "labels have one column in some blocks and several in others; give the same "
                "columns in all"
            )
        form = self.form if self.form == other.form else "binary"
        if "numbers" in (self.form, other.form):
            form = "numbers"
        columns = self.columns if form or self.columns == other.columns else None
        return self.replace(kind=kind, form=form, columns=columns)

    def take(self, rows: slice | NDArray[np.intp]) -> Target:
        """Return some rows, by position, with the task of all rows."""
        if self.task == UNLABELLED:
            number = len(range(self.rows)[rows]) if isinstance(rows, slice) else len(rows)
            return self.replace(rows=number)
        # The native module needs aligned data, which arrays from another process may not be.
        data = np.require(self.data[rows], requirements="A")
        return self.replace(ids=data) if self.values is None else self.replace(values=data)

    def without_constant(self, regression: bool = False) -> Target:
        """Return the target without the multilabel columns that are all 0 or all 1.

        With `regression` also without constant targets, as in a group of rows. Each metric decides
        itself what a target means that is constant in all rows.
        """
        tasks = ("multilabel", "regression") if regression else ("multilabel",)
        if self.task not in tasks or self.values is None or self.columns is None:
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
        what = "targets are constant" if regression else "label columns are all 0 or all 1"
        note = f"{len(left_out)} of {len(constant)} {what} and were left out: {shown}"
        return self.replace(
            values=self.values[:, ~constant], columns=kept, warnings=(*self.warnings, note)
        )


def unlabelled(rows: int) -> Target:
    """Return the target of rows without labels."""
    return Target(UNLABELLED, "no labels were given", rows=rows)


def read_target(labels: object, task: str = "auto") -> Target:
    """Read labels of shape (n_samples,) or (n_samples, n_targets), and decide the task.

    A Target is returned as it is. `task` "auto" decides by the rules in ``task.py``, and
    ``Target.note`` states the decision. Labels that are missing, contradict `task` or leave it open
    raise a ``DataError``, others than numbers and strings a ``DtypeError``.
    """
    if isinstance(labels, Target):
        return labels
    check_choice("task", task, ("auto", *TASKS))
    try:
        return read_open(labels).decide() if task == "auto" else _read_as(labels, task)
    except MemoryError as error:
        raise no_memory_for(labels, "labels", error) from error


def _read_as(labels: object, task: str) -> Target:
    array, warnings = read_labels(labels)
    note = f"{task}, as asked"
    if is_text(array):
        if task == "classification":
            return _read_strings(array, warnings).replace(task=task, note=note)
        array = _read_written_numbers(array, task)
    if task == "classification":
        kind = _kind_of(array)
        return Target(task, note, ids=_class_ids(array), warnings=warnings, kind=kind)
    values = _as_values(array)
    if task == "multilabel":
        odd = np.argwhere((values != 0) & (values != 1))
        if odd.size:
            row, column = odd[0]
            raise DataError(
                f"labels[{row}, {column}] is {values[row, column]:g}; multilabel needs 0 and 1 "
                f"only, one column per label"
            )
    columns = name_columns(labels, values.shape[1]) or tuple(range(values.shape[1]))
    return Target(task, note, values=values, columns=columns, warnings=warnings)


def has_labels(labels: object, task: str) -> bool:
    """Return whether there are labels to read; raise if they are missing or not wanted."""
    if isinstance(labels, Target) or (labels is not None and task != UNLABELLED):
        return True
    if labels is None and task == UNLABELLED:
        return False
    if labels is None:
        raise DataError(
            "labels is None; give one label for each row, or pass task='unlabelled' for "
            "features without labels"
        )
    raise DataError(
        "labels were given, but task is 'unlabelled'; leave them out, or choose another task"
    )


def suggest_header(labels: Target | NDArray[Any], n_rows: int) -> str:
    """Return advice where the first of one label too many may be a header; empty elsewhere."""
    codes = labels.ids if isinstance(labels, Target) else labels
    if codes is None or codes.shape != (n_rows + 1,) or (codes[1:] == codes[0]).any():
        return ""
    first = codes[0]
    if isinstance(labels, Target):
        first = labels.names[first] if labels.names else None
    if not isinstance(first, str):
        return ""
    return f"; the first, {shorten(first)}, occurs once: if it is a header remove it"


def read_block(
    labels: object, asked: str, held: Target | None, counted: NDArray[np.bool_] | None = None
) -> Target:
    """Read the labels of a block of rows, to follow the rows that `held` describes.

    `asked` is the task that the user passed. `counted` marks the rows of weight 1 or more; only
    these can decide anything.
    """
    if isinstance(labels, Target):
        return labels
    task = asked if held is None else held.task
    if task != "auto":
        return read_target(labels, task)
    try:
        return read_open(labels, counted)
    except MemoryError as error:
        raise no_memory_for(labels, "labels", error) from error


def read_open(labels: object, counted: NDArray[np.bool_] | None = None) -> Target:
    """Read labels without a decision that more rows may change.

    Real numbers that are not all whole, or have too many distinct values, are regression for good.
    """
    array, warnings = read_labels(labels)
    if counted is not None and len(counted) == len(array) and counted.any():
        array = np.where(counted.reshape(-1, *[1] * (array.ndim - 1)), array, array[counted][:1])
    columns, kind = name_columns(labels, array.shape[1] if array.ndim == 2 else 1), _kind_of(array)
    if array.ndim == 2 and array.shape[1] > 1:
        if kind == "U":
            _check_one_class_per_row(array)
        form = "numbers"
        if bool(((array == 0) | (array == 1)).all()):
            form = "one-hot" if bool((array.sum(axis=1) == 1).all()) else "binary"
        columns = columns or tuple(range(array.shape[1]))
        values = Target("auto", "", values=_as_values(array), columns=columns, kind=kind, form=form)
        return values.replace(warnings=warnings)
    array = array.reshape(-1)
    if kind == "U":
        return _read_strings(array, warnings)
    if kind != "f" or _may_be_classes(array):
        ids = _class_ids(array)
        return Target("auto", "", ids=ids, columns=columns, warnings=warnings, kind=kind)
    task = decide_task("f", range(MAX_WHOLE + 1), [0])
    return Target(*task, values=_as_values(array), columns=columns or (0,), warnings=warnings)


def _may_be_classes(array: NDArray[np.float64]) -> bool:
    """Return whether real numbers are whole, in the range of class ids, and few."""
    if not (bool((array == np.floor(array)).all()) and np.abs(array).max() < 2.0**63):
        return False
    return len(count_values(array.astype(np.int64))[0]) <= MAX_WHOLE


def _read_strings(array: NDArray[Any], warnings: tuple[str, ...]) -> Target:
    """Encode string classes as indices into their sorted names."""
    _check_one_class_per_row(array)
    names, ids = encode_labels(array)
    check_unicode("labels", names)
    ids, known = ids.astype(np.int64), tuple(names)
    return Target("auto", "", ids=ids, names=known, warnings=warnings, kind="U")


def _read_written_numbers(array: NDArray[Any], task: str) -> NDArray[np.float64]:
    """Read numbers that are written as text, such as 1 and 01 in a file, because `task` says so."""
    names, codes = encode_labels(array)
    for name in names:
        if not is_number(name.strip()):
            raise DtypeError(
                f"labels are strings, such as {shorten(name)}, which task={task!r} cannot use; "
                f"encode as numbers"
            )
    return np.array([float(name) for name in names])[codes].reshape(array.shape)


def _kind_of(array: NDArray[Any]) -> str:
    return "U" if is_text(array) else "i" if array.dtype.kind == "u" else array.dtype.kind


def _as_values(array: NDArray[Any]) -> NDArray[np.float64]:
    return as_contiguous(array.reshape(len(array), -1), np.float64)


def _class_ids(array: NDArray[Any]) -> NDArray[np.int64]:
    """Convert numbers or booleans to class ids."""
    _check_one_class_per_row(array)
    array = array.reshape(-1)
    if array.dtype.kind == "f":
        odd = np.flatnonzero(array != np.floor(array))
        if odd.size:
            raise DataError(
                f"labels[{odd[0]}] is {array[odd[0]]:g}, and {odd.size} of {array.size} labels are "
                f"not whole numbers; real-valued targets need task='regression'"
            )
    if array.dtype.kind in "fu" and not (
        # As Python integers, because 2**63 - 1 has no float64.
        int(array.max()) <= _INT64.max and int(array.min()) >= _INT64.min
    ):
        raise DataError("labels has class ids beyond 64-bit integers; use strings for them")
    return as_contiguous(array, np.int64)


def _check_one_class_per_row(array: NDArray[Any]) -> None:
    if array.ndim == 2 and is_text(array):
        raise DataError(
            f"labels of shape {array.shape} are text with {array.shape[1]} entries in each row; "
            f"give one class for each row; tags of words need lists of words as inputs"
        )
    if array.ndim == 2:
        raise DataError(
            f"labels of shape {array.shape} are not one class per row; for one-hot rows pass "
            f"labels.argmax(axis=1); several labels a row need task='multilabel'"
        )
