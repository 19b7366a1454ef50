"""Statistics whose task is open: decide it, fix it, and bring two states to one task.

Class sums hold all that regression on the same numbers needs, so statistics of integers, whole real
numbers and strings keep class sums until a score is asked for. Then the task is decided by the
classes and their counts, as for an array (``_inputs/task.py``). A number that is not whole, or too
many whole real numbers, decide for regression at once and for good: more rows cannot change it.
"""

from __future__ import annotations

import numpy as np

from .. import _core
from .._inputs.target import UNLABELLED, Target
from .._inputs.task import MAX_WHOLE, decide_rows_task, decide_task
from ..errors import DataError, DtypeError

__all__ = [
    "bring_to_one_task",
    "check_mergeable",
    "close_if_real",
    "decide_stats",
    "fit_block",
    "settle_stats",
]

Stated = tuple[_core.Stats, Target]


def decide_stats(inner: _core.Stats, target: Target) -> tuple[str, str]:
    """Return the task that the rows so far decide, with the reason; raise if they leave it open."""
    try:
        if target.form:
            shape = (inner.n_samples, len(target.columns or ()))
            task, note = decide_rows_task(target.kind, target.form, shape)
            return task, note + target.note
        classes, counts = inner.classes, inner.class_counts
        assert classes is not None, "labels without a form are classes"
        assert counts is not None, "as the classes"
        values = classes if target.kind == "U" else np.array(classes, dtype=np.int64)
        task, note = decide_task(target.kind, values, np.array(counts))
        return task, note + target.note  # an open target says how its labels were read
    except DataError as error:
        raise DataError(
            f"{error}; statistics take it as Stats(task=...), or later by stats.replace(task=...)"
        ) from None


def settle_stats(inner: _core.Stats, target: Target, task: str, note: str) -> Stated:
    """Return statistics of the same rows with a fixed task; raise if they cannot serve it."""
    if task == target.task:
        return inner, target
    if UNLABELLED in (task, target.task):
        ours = "labels" if task == UNLABELLED else "no labels"
        raise DataError(f"these statistics hold {ours}, and the task is {task}")
    classes = inner.classes
    if classes is None:
        if task == "classification":
            raise DataError(
                f"these statistics hold sums of targets, of which task={task!r} cannot be made; "
                f"make them with Stats({task!r})"
            )
        if task == "multilabel" and target.form in ("", "numbers"):
            raise DataError("multilabel needs 0 and 1 only, and these statistics hold other labels")
        return inner, target.settle(task, note)
    if task == "classification":
        return inner, target.settle(task, note)
    if target.names is not None:
        raise DtypeError(f"labels are strings, which task={task!r} cannot use; encode as numbers")
    if task == "multilabel" and not set(classes) <= {0, 1}:
        raise DataError("multilabel needs 0 and 1 only, and these statistics hold other labels")
    return inner.to_targets(), target.settle(task, note)


def bring_to_one_task(ours: Stated, theirs: Stated) -> tuple[_core.Stats, _core.Stats, Target]:
    """Return the sums of two states, to be added, and the description of all their rows.

    A task that is decided holds for a state that is open.
    """
    (inner, target), (other, added) = ours, theirs
    if target.is_open and not added.is_open:
        inner, target = _follow(inner, target, added)
    elif added.is_open and not target.is_open:
        other, added = _follow(other, added, target)
    check_mergeable(target, added)
    return inner, other, target.join(added)


def check_mergeable(held: Target, new: Target) -> None:
    """Raise if two decided tasks, or the columns of targets, differ."""
    if held.task != new.task and not (held.is_open or new.is_open):
        raise DataError(f"cannot merge statistics of {held.task} and those of {new.task}")
    _check_columns(held, new)


def fit_block(
    inner: _core.Stats, held: Target, block: Target
) -> tuple[_core.Stats, Target, Target]:
    """Return the sums so far and a block, to be added to them, and the description of all rows."""
    if held.is_open and not block.is_open:
        inner, held = _follow(inner, held, block)
    elif block.is_open and not held.is_open and held.task != UNLABELLED:
        block = block.settle(held.task, held.note)
    elif held.task != block.task:
        raise DataError(
            f"these statistics are of {held.task} rows, and the update brings {block.task} rows; "
            f"use one Stats each"
        )
    _check_columns(held, block)
    return inner, block, held.join(block)


def close_if_real(inner: _core.Stats, target: Target) -> Stated:
    """Convert whole real numbers to targets for good once they have too many distinct values."""
    if target.may_be_classes and target.kind == "f":
        n_distinct = len(inner.classes or ())
        if n_distinct > MAX_WHOLE:
            return settle_stats(inner, target, *decide_task("f", range(n_distinct), [0]))
    return inner, target


def _follow(inner: _core.Stats, target: Target, decided: Target) -> Stated:
    """Fix an open task as other rows have decided it."""
    try:
        return settle_stats(inner, target, decided.task, decided.note)
    except DataError as error:
        raise DataError(
            f"rows of {decided.task} and other rows do not go together: {error}"
        ) from error


def _check_columns(held: Target, new: Target) -> None:
    """Raise if target columns differ in name or order, so that wrong sums would be added."""
    if held.columns is None or new.columns is None or held.columns == new.columns:
        return
    if len(held.columns) != len(new.columns) or held.may_be_classes or new.may_be_classes:
        return  # the native module refuses another number of columns; classes have no columns
    if tuple(range(len(held.columns))) in (held.columns, new.columns):
        return  # one side was an array, whose columns have no names
    raise DataError(
        f"the columns of the labels are {', '.join(map(str, new.columns))}, and these statistics "
        f"hold {', '.join(map(str, held.columns))}; give the same columns in the same order"
    )
