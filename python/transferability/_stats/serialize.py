"""Serialize statistics: the sums as bytes with a checksum, their description as JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .. import _core
from .._inputs.columns import Names
from .._inputs.target import TASKS, UNLABELLED, Target
from .._util.memory import no_memory
from ..errors import DataError, DtypeError
from .moments import read_names

__all__ = ["Facts", "from_bytes", "to_bytes", "to_json"]


class Facts(NamedTuple):
    """The attributes of a ``Stats`` beside its sums."""

    asked: str  # the task as the user passed it, which may be "auto"
    target: Target | None  # without rows; None before the first block
    warnings: tuple[str, ...]
    seconds: float  # spent on accumulation
    feature_names: Names = None


def to_bytes(inner: _core.Stats, facts: Facts) -> bytes:
    """Serialize statistics and their description, without pickle."""
    return _core.to_bytes(inner, json.dumps(to_json(facts)))


def from_bytes(data: object, *, trusted: bool = False) -> tuple[_core.Stats, Facts]:
    """Read the result of :func:`to_bytes`, bit for bit; see ``Stats.from_bytes``.

    With `trusted`, sums that no rows can have are not looked for, which takes a factorisation.
    It is for pickles alone: whoever can forge one can run code.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise DtypeError(f"data must be bytes, not {type(data).__name__}")
    try:
        data = bytes(data)
    except MemoryError as error:
        raise no_memory("a copy of the bytes", memoryview(data).nbytes) from error
    inner, notes = _core.from_bytes(data, trusted=trusted)
    try:
        return inner, _from_json(inner, json.loads(notes))
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(
            f"this is no usable file of statistics: its notes do not fit them ({error})"
        ) from error


def to_json(facts: Facts) -> dict[str, Any]:
    """Return the facts as plain Python for ``json.dumps``."""
    target = facts.target
    if target is None:
        return facts._asdict()
    names = ("task", "note", "columns", "warnings", "kind", "form", "rows")
    described = {name: getattr(target, name) for name in names}
    return {**facts._asdict(), "target": {**described, "named": target.names is not None}}


def _check_described(target: dict[str, Any]) -> None:
    """Raise ValueError if a field of the labels' description is of another type."""
    note, rows, columns = target["note"], target["rows"], target["columns"]
    if not isinstance(note, str) or type(rows) is not int:
        raise ValueError(f"a note of {note!r:.60}, and {rows!r:.60} rows")
    if not all(isinstance(name, (int, str)) for name in columns or ()):
        raise ValueError(f"targets named {columns!r:.60}")


def _from_json(inner: _core.Stats, notes: dict[str, Any]) -> Facts:
    """Read facts from JSON, and check them against the statistics that they describe."""
    target: Any
    asked, target, warnings, seconds, feature_names = Facts(**notes)
    if asked not in ("auto", *TASKS, UNLABELLED):
        raise ValueError(f"a task of {asked}")
    if (target is None) != (inner.n_features == 0):
        raise ValueError("rows without labels or labels without rows")
    read = None
    if target is not None:
        columns, names = target.pop("columns"), () if target.pop("named") else None
        target["columns"] = None if columns is None else tuple(columns)
        target["warnings"] = tuple(map(str, target["warnings"]))
        _check_described(target)
        read = Target(names=names, **target)
        classes = read.task == "classification" or read.may_be_classes
        named = isinstance(next(iter(inner.classes or ()), None), str)
        kinds, forms = ("", "b", "i", "f", "U"), ("", "binary", "one-hot", "numbers")
        if (
            read.task not in ("auto", *TASKS, UNLABELLED)
            or classes != (inner.classes is not None)
            or read.kind not in kinds[read.is_open :]
            or read.form not in forms
            or (classes and named != (read.names is not None))
            or (classes and read.is_open and named != (read.kind == "U"))
        ):
            raise ValueError(f"a task of {read.task} with labels of kind {read.kind!r}")
    known = read_names(feature_names, inner.n_features)
    return Facts(asked, read, tuple(map(str, warnings)), float(seconds), known)
