"""Serialize statistics: the sums as bytes with a checksum, the facts about them as JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .. import _core
from .._inputs.target import TASKS, UNLABELLED, Target
from ..errors import DataError, DtypeError

__all__ = ["Facts", "from_bytes", "to_bytes", "to_json"]


class Facts(NamedTuple):
    """The part of a ``Stats`` that is no sum.

    Attributes
    ----------
    asked : str
        The task as the user passed it, which may be "auto".
    target : Target or None
        Description of the labels, without rows; None before the first block.
    warnings : tuple of str
        Warnings about the rows and labels so far.
    seconds : float
        Time spent on accumulation.
    """

    asked: str
    target: Target | None
    warnings: tuple[str, ...]
    seconds: float


def to_bytes(inner: _core.Stats, facts: Facts) -> bytes:
    """Write statistics and the facts about them as bytes, without pickle."""
    return _core.to_bytes(inner, json.dumps(to_json(facts)))


def from_bytes(data: object) -> tuple[_core.Stats, Facts]:
    """Read the result of :func:`to_bytes`, bit for bit.

    Raises
    ------
    DataError
        If the bytes are cut short, altered, of a newer version, or of another format.
    DtypeError
        If `data` is not bytes.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise DtypeError(f"data must be bytes, not {type(data).__name__}")
    inner, notes = _core.from_bytes(bytes(data))
    try:
        return inner, _from_json(inner, **json.loads(notes))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"this is no usable file of statistics: its notes do not fit them ({error})"
        ) from error


def to_json(facts: Facts) -> dict[str, Any]:
    """Return the facts as plain Python for ``json.dumps``."""
    target = facts.target
    described = None
    if target is not None:
        described = {
            "task": target.task,
            "note": target.note,
            "columns": target.columns,
            "named": target.names is not None,
            "warnings": target.warnings,
            "boolean": target.boolean,
            "rows": target.rows,
        }
    return {
        "asked": facts.asked,
        "target": described,
        "warnings": facts.warnings,
        "seconds": facts.seconds,
    }


def _from_json(
    inner: _core.Stats,
    *,
    asked: str,
    target: dict[str, Any] | None,
    warnings: list[str],
    seconds: float,
) -> Facts:
    """Check facts from a file against the statistics that they describe."""
    if asked not in ("auto", *TASKS, UNLABELLED):
        raise ValueError(f"a task of {asked}")
    if (target is None) != (inner.n_features == 0):
        raise ValueError("rows without labels or labels without rows")
    read = None if target is None else _read_target(target)
    if read is not None and (
        read.task not in (*TASKS, UNLABELLED)
        or (read.task == "classification") != (inner.classes is not None)
    ):
        raise ValueError(f"a task of {read.task}")
    return Facts(asked, read, tuple(map(str, warnings)), float(seconds))


def _read_target(described: dict[str, Any]) -> Target:
    columns, named = described.pop("columns"), described.pop("named")
    described["columns"] = None if columns is None else tuple(columns)
    described["warnings"] = tuple(described["warnings"])
    return Target(names=() if named else None, **described)
