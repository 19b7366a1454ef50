"""Import and export sufficient statistics: sums of powers of features and labels, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import _core
from .._inputs.arrays import as_floats, is_one_of
from .._inputs.columns import Names
from .._inputs.lists import shorten
from .._inputs.target import TASKS, UNLABELLED, Target
from ..errors import DataError, DtypeError

__all__ = ["export_moments", "export_task", "import_moments", "read_names"]

#: The kinds of labels while the task is open.
_OPEN = {"b": "bool", "i": "int", "f": "float", "U": "str"}
_KINDS = {name: kind for kind, name in _OPEN.items()}

_KNOWN = {
    *("task", "note", "precision", "n_samples", "shift", "sum", "scatter", "cubic", "quartic"),
    *("largest", "classes", "class_counts", "class_sums", "class_squares", "by_class", "open"),
    *("target_shift", "target_sum", "target_square", "cross", "columns"),
    *("joint_quartic", "joint_features", "joint_targets"),
    *("target_products", "target_cubic", "target_quartic"),
    "feature_names",
}


def export_moments(inner: _core.Stats, target: Target, n_threads: int) -> dict[str, Any]:
    """Return the moments with the description of their labels; see ``Stats.moments``."""
    moments = _core.moments(inner, n_threads)
    if "classes" in moments:
        classes = moments["classes"]
        moments["classes"] = tuple(map(bool, classes) if target.boolean else classes)
        moments["class_counts"] = moments["class_counts"].astype("int64")
    if target.columns is not None:
        moments["columns"] = target.columns
    return {**export_task(target), **moments}


def export_task(target: Target) -> dict[str, Any]:
    """Return the entries of moments about the task."""
    if not target.is_open:
        return {"task": target.task, "note": target.note}
    task = "classification" if not target.form else "multilabel"
    if target.form == "numbers":
        task = "regression"
    note = "open until a score is asked for"
    return {"task": task, "note": note, "open": _OPEN[target.kind]}


def import_moments(moments: object) -> tuple[_core.Stats, Target]:
    """Convert moments to statistics and a description of the labels; see ``Stats.from_moments``."""
    checked = _check_moments(moments)
    assert isinstance(moments, Mapping), "checked"
    target = _read_target(moments, checked)
    return _core.from_moments(checked), target


def read_names(names: Any, n_features: int) -> Names:
    """Validate names of features from moments or a file; None stays None."""
    if names is None:
        return None
    is_listed = not isinstance(names, (str, Mapping)) and isinstance(names, Iterable)
    read = tuple(names) if is_listed else ()
    if len(read) != n_features or not all(isinstance(name, str) for name in read):
        raise DataError(f"feature_names must be {n_features} strings, or None, got {names!r:.60}")
    return read


def _check_moments(moments: object, of_class: bool = False) -> dict[str, Any]:
    """Check names, types and shapes; the native module checks the numbers.

    With `of_class` they are the moments of one class, without labels.
    """
    if not isinstance(moments, Mapping):
        raise DtypeError(f"moments must be a mapping, not {type(moments).__name__}")
    if unknown := sorted(map(str, set(moments) - _KNOWN)):
        raise DataError(f"moments have unknown keys: {', '.join(unknown)}")
    task = UNLABELLED if of_class else moments.get("task")
    if not is_one_of(task, (*TASKS, UNLABELLED)):
        choices = ", ".join(map(repr, (*TASKS, UNLABELLED)))
        raise DataError(f"moments['task'] is {shorten(task)}; choose {choices}")
    kind = moments.get("open")
    if kind is not None and (not is_one_of(kind, _KINDS) or task == UNLABELLED):
        raise DataError(
            f"moments['open'] is {shorten(kind)}; choose {', '.join(map(repr, _KINDS))}"
        )
    precision = moments.get("precision", "double")
    if not is_one_of(precision, ("double", "single")):
        raise DataError(f"moments['precision'] is {shorten(precision)}; choose 'double', 'single'")
    d = _array(moments, "shift").size
    checked: dict[str, Any] = {
        "precision": precision,
        "n_samples": _whole(_array(moments, "n_samples", ()), "n_samples").item(),
        **{name: _array(moments, name, ()).item() for name in ("quartic", "largest")},
        **{name: _array(moments, name, (d,)) for name in ("shift", "sum", "cubic")},
        "scatter": _array(moments, "scatter", (d, d)),
    }
    if of_class:
        return checked
    if task == "classification":
        return checked | _check_classes(moments, d)
    if moments.get("by_class") is not None:
        checked["by_class"] = {}  # class scatters are on, without classes: merging compares this
    if task == UNLABELLED:
        return checked
    k = _array(moments, "target_shift").size
    sums = ("target_shift", "target_sum", "target_square")
    checked |= {name: _array(moments, name, (k,)) for name in sums}
    checked["cross"] = _array(moments, "cross", (d, k))
    joint = {"joint_quartic": (), "joint_features": (d,), "joint_targets": (k,)}
    checked |= _all_or_none(moments, joint)
    if k <= d and "joint_quartic" in checked:
        own = {"target_products": (k, k), "target_cubic": (k,), "target_quartic": ()}
        checked |= _all_or_none(moments, own)
    return checked


def _read_target(moments: Mapping[str, Any], checked: Mapping[str, Any]) -> Target:
    """Return the description of the labels, as after blocks of rows."""
    task = moments["task"]
    note = str(moments.get("note", f"{task}, as the moments say"))
    kind = _KINDS.get(moments.get("open", ""), "")
    if kind:
        task, note = "auto", ""
    if "classes" in checked:
        classes = checked["classes"]
        named = bool(classes) and isinstance(classes[0], str)
        if kind and named != (kind == "U"):
            raise DataError(f"moments['open'] is {moments['open']!r}, which these classes are not")
        boolean = bool(classes) and all(isinstance(c, (bool, np.bool_)) for c in classes)
        return Target(task, note, names=() if named else None, kind=kind or "b" * boolean)
    if task == UNLABELLED:
        return Target(task, note)
    n_targets = len(checked["target_shift"])
    columns = _listed(moments, "columns") or tuple(range(n_targets))
    if len(columns) != n_targets:
        raise DataError(f"moments['columns'] names {len(columns)} targets, of {n_targets}")
    form = {"multilabel": "binary", "regression": "numbers"}[moments["task"]] if kind else ""
    return Target(task, note, columns=columns, kind=kind, form=form)


def _check_classes(moments: Mapping[str, Any], d: int) -> dict[str, Any]:
    if moments.get("classes") is None:
        raise DataError("moments have no 'classes'")
    classes = [c.item() if isinstance(c, np.generic) else c for c in _listed(moments, "classes")]
    integers = all(isinstance(c, int) and -(2**63) <= c < 2**63 for c in classes)
    if not integers and not all(isinstance(c, str) for c in classes):
        raise DataError("moments['classes'] must be all 64-bit integers or all strings")
    checked = {
        "classes": classes,
        "class_counts": _whole(_array(moments, "class_counts", (len(classes),)), "class_counts"),
        "class_sums": _array(moments, "class_sums", (len(classes), d)),
    }
    checked |= _all_or_none(moments, {"class_squares": (len(classes),)})
    by_class = moments.get("by_class")
    if by_class is None:
        return checked
    if not isinstance(by_class, Mapping):
        raise DtypeError("moments['by_class'] must map each class to its moments")
    return {**checked, "by_class": {c: _check_moments(m, True) for c, m in by_class.items()}}


def _listed(moments: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """Return an entry that is several names; () where it is missing."""
    entry = moments.get(name)
    if entry is None:
        return ()
    try:
        if isinstance(entry, (str, bytes, Mapping)):
            raise TypeError
        return tuple(entry)
    except TypeError:
        problem = f"must be the {name}, integers or strings, not {entry!r:.60}"
        raise DataError(f"moments[{name!r}] {problem}") from None


def _all_or_none(
    moments: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Return optional entries that belong together, if any of them is given."""
    if all(moments.get(name) is None for name in shapes):
        return {}
    arrays = {name: _array(moments, name, shape) for name, shape in shapes.items()}
    return {name: array if array.ndim else array.item() for name, array in arrays.items()}


def _array(moments: Mapping[str, Any], name: str, shape: tuple[int, ...] | None = None) -> Any:
    """Return an entry as float64; with `shape`, check it and return a contiguous array."""
    if moments.get(name) is None:
        raise DataError(f"moments have no {name!r}")
    array = as_floats(moments[name], f"moments[{name!r}]")
    if shape is not None and array.shape != shape:
        raise DataError(f"moments[{name!r}] has shape {array.shape}; {shape} is needed")
    return np.ascontiguousarray(array) if shape else array


def _whole(array: Any, name: str) -> Any:
    if not ((array >= 0) & (array <= 2**53) & (array == np.floor(array))).all():
        raise DataError(f"moments[{name!r}] must hold whole numbers, 0 to 2^53")
    return array.astype(np.uint64)
