"""Moments as others have them, ready for the native module; and what they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._inputs.target import TASKS, UNLABELLED, Target
from ..errors import DataError, DtypeError

__all__ = ["as_moments", "target_of"]

_KNOWN = {
    *("task", "note", "precision", "n_samples", "shift", "sum", "scatter", "cubic", "quartic"),
    *("largest", "classes", "class_counts", "class_sums", "by_class"),
    *("target_shift", "target_sum", "target_square", "cross", "columns"),
}


def as_moments(given: object, task: str | None = None) -> dict[str, Any]:
    """Check names, types and shapes; the native module checks the numbers.

    Parameters
    ----------
    given : mapping
        As :meth:`transferability.Stats.from_moments` takes it.
    task : str, optional
        Of what these are a class of; such moments have no response.

    Returns
    -------
    moments : dict
    """
    if not isinstance(given, Mapping):
        raise DtypeError(f"moments must be a mapping, not {type(given).__name__}")
    unknown = sorted(map(str, set(given) - _KNOWN))
    if unknown:
        raise DataError(f"moments have unknown keys: {', '.join(unknown)}")
    of_class = task is not None
    task = given.get("task") if task is None else task
    if task not in (*TASKS, UNLABELLED):
        choices = ", ".join(map(repr, (*TASKS, UNLABELLED)))
        raise DataError(f"moments['task'] is {task!r}; choose {choices}")
    precision = given.get("precision", "double")
    if precision not in ("double", "single"):
        raise DataError(f"moments['precision'] is {precision!r}; choose 'double', 'single'")
    d = _array(given, "shift").size
    found: dict[str, Any] = {
        "precision": precision,
        "n_samples": _whole(_array(given, "n_samples", ()), "n_samples").item(),
        **{name: _array(given, name, ()).item() for name in ("quartic", "largest")},
        **{name: _array(given, name, (d,)) for name in ("shift", "sum", "cubic")},
        "scatter": _array(given, "scatter", (d, d)),
    }
    if of_class:
        return found
    if task == "classification":
        return found | _of_classes(given, d)
    if given.get("by_class") is not None:
        found["by_class"] = {}  # there are no classes, and merging asks for the same on both sides
    if task == UNLABELLED:
        return found
    k = _array(given, "target_shift").size
    of_targets = ("target_shift", "target_sum", "target_square")
    found |= {name: _array(given, name, (k,)) for name in of_targets}
    return {**found, "cross": _array(given, "cross", (d, k))}


def target_of(given: Mapping[str, Any], moments: Mapping[str, Any]) -> Target:
    """Describe what the moments are scored against, as the first block of rows would.

    Parameters
    ----------
    given : mapping
        The moments as they came.
    moments : mapping
        The same, checked.

    Returns
    -------
    target : Target
    """
    task = given["task"]
    note = str(given.get("note", f"{task}, as the moments say"))
    if task == "classification":
        classes = list(given["classes"])
        named = bool(classes) and isinstance(classes[0], str)
        boolean = bool(classes) and all(isinstance(c, (bool, np.bool_)) for c in classes)
        return Target(task, note, names=() if named else None, boolean=boolean)
    if task == UNLABELLED:
        return Target(task, note)
    columns = tuple(given.get("columns", range(len(moments["target_shift"]))))
    if len(columns) != len(moments["target_shift"]):
        raise DataError(
            f"moments['columns'] names {len(columns)} targets, of {len(moments['target_shift'])}"
        )
    return Target(task, note, columns=columns)


def _of_classes(given: Mapping[str, Any], d: int) -> dict[str, Any]:
    classes = given.get("classes")
    if classes is None or isinstance(classes, str):
        raise DataError("moments['classes'] must be the classes, integers or strings")
    classes = [c.item() if isinstance(c, np.generic) else c for c in classes]
    if not all(isinstance(c, str) for c in classes) and not all(
        isinstance(c, int) and -(2**63) <= c < 2**63 for c in classes
    ):
        raise DataError("moments['classes'] must be all 64-bit integers or all strings")
    found = {
        "classes": classes,
        "class_counts": _whole(_array(given, "class_counts", (len(classes),)), "class_counts"),
        "class_sums": _array(given, "class_sums", (len(classes), d)),
    }
    by_class = given.get("by_class")
    if by_class is None:
        return found
    if not isinstance(by_class, Mapping):
        raise DtypeError("moments['by_class'] must map each class to its moments")
    return {**found, "by_class": {c: as_moments(m, UNLABELLED) for c, m in by_class.items()}}


def _array(given: Mapping[str, Any], name: str, shape: tuple[int, ...] | None = None) -> Any:
    """Give float64 in one piece."""
    if given.get(name) is None:
        raise DataError(f"moments have no {name!r}")
    try:
        array = np.asarray(given[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"moments[{name!r}] does not hold real numbers: {error}") from error
    if shape is not None and array.shape != shape:
        raise DataError(f"moments[{name!r}] has shape {array.shape}; {shape} is needed")
    return np.ascontiguousarray(array) if shape else array


def _whole(array: Any, name: str) -> Any:
    if not ((array >= 0) & (array <= 2**53) & (array == np.floor(array))).all():
        raise DataError(f"moments[{name!r}] must hold whole numbers, 0 to 2^53")
    return array.astype(np.uint64)
