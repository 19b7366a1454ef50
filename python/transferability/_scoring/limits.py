"""Limits of an ``Engine`` on what a call may bring and take, checked before it is computed."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import instance_of
from .._inputs.inputs import Inputs
from .._inputs.target import Target
from .._metric.prepared import PreparedRequests
from .._metric.spec import Size
from ..errors import DataError, DtypeError, LimitError
from .evaluate import Settings
from .footprint import bytes_of_files, bytes_of_text, estimate_bytes

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """The most bytes, rows, columns and classes of a call; None is no limit."""

    max_bytes: int | None
    max_samples: int | None
    max_features: int | None
    max_classes: int | None

    @classmethod
    def of(cls, limits: Mapping[str, object]) -> Limits | None:
        """Validate limits by name; None if there are none."""
        checked = {name: _check_limit(name, limit) for name, limit in limits.items()}
        return cls(**checked) if any(limit is not None for limit in checked.values()) else None

    def check_arguments(self, arguments: Mapping[str, object]) -> None:
        """Raise LimitError if the shape of an argument exceeds a limit, before it is converted.

        Arguments whose shape is not known before are checked by :meth:`check_inputs`.
        """
        for name, value in arguments.items():
            if isinstance(value, Mapping):
                self.check_arguments({f"{name}[{view!r}]": own for view, own in value.items()})
                continue
            shape = _shape_of(value)
            if shape:
                self._check("max_samples", shape[0], f"{name} has", "rows")
            is_labels = name in ("labels", "source_labels")
            if len(shape) > 1 and not is_labels:
                self._check("max_features", shape[1], f"{name} has", "columns")
            if len(shape) > 1 and (is_labels or isinstance(value, (list, tuple))):
                self._check_bytes(8 * math.prod(shape), f"{name} as an array")

    def check_inputs(
        self,
        inputs: Inputs,
        requests: PreparedRequests,
        settings: Settings,
        arguments: Mapping[str, Any],
    ) -> None:
        """Raise LimitError if validated inputs exceed a limit, or would take too much memory.

        `arguments` are those from which the inputs were read.
        """
        target = inputs.target
        self._check("max_samples", target.n_samples, "the call has", "rows")
        columns = {"features": inputs.features, "source_probs": inputs.source_probs}
        for name, array in columns.items():
            if array is not None:
                self._check("max_features", array.shape[1], f"{name} has", "columns")
        if inputs.files is not None:
            self._check("max_features", inputs.files.shape[1], "features has", "columns")
        for view, array in inputs.label_embeddings:
            name = f"label_embeddings[{view!r}]"
            self._check("max_features", array.shape[1], f"{name} has", "columns")
        if self.max_classes is None and self.max_bytes is None:
            return
        n_classes = _count_classes(target)
        noun = "classes" if target.values is None else "columns of targets"
        self._check("max_classes", n_classes, "labels has", noun)
        if self.max_bytes is not None:
            converted = _count_converted(inputs, arguments)
            if inputs.files is not None:
                converted += bytes_of_files(inputs.files, requests, settings.method)
            size = Size.of(inputs, n_classes, converted)
            needed = estimate_bytes(size, requests, settings)
            rows, width = inputs.shape
            self._check_bytes(
                needed, f"the call, of {rows} rows x {width} columns and {n_classes} {noun},"
            )

    def _check_bytes(self, needed: int, subject: str) -> None:
        if self.max_bytes is not None and needed > self.max_bytes:
            raise LimitError(
                f"{subject} would take about {needed:,} bytes, and max_bytes is "
                f"{self.max_bytes:,}; give fewer rows or columns, or an engine with a larger "
                f"max_bytes"
            )

    def _check(self, limit: str, found: int, subject: str, noun: str) -> None:
        most = getattr(self, limit)
        if most is not None and found > most:
            raise LimitError(
                f"{subject} {found} {noun}, and {limit} is {most}; give fewer, or an engine with a "
                f"larger {limit}"
            )


def _check_limit(name: str, limit: Any) -> int | None:
    """Validate a limit: a whole number of at least 1, or None."""
    if limit is None:
        return None
    try:
        number = operator.index(limit)
    except TypeError:
        raise DtypeError(f"{name} is {limit!r}; give a whole number, or None") from None
    if isinstance(limit, bool) or number < 1:
        raise DataError(f"{name} is {limit!r}; give a whole number of at least 1, or None")
    return number


def _shape_of(value: Any, most: int = 3) -> tuple[int, ...]:
    """Return the shape of an argument as far as it is known before it is converted.

    Of lists in lists, `most` levels count.
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return shape
    if most and isinstance(value, (list, tuple)):
        return (len(value), *(_shape_of(value[0], most - 1) if value else ()))
    return ()


def _count_converted(inputs: Inputs, arguments: Mapping[str, Any]) -> int:
    """Return the bytes of the arguments that had to be copied, at most."""
    copied = 0
    for name in ("features", "source_probs"):
        array = getattr(inputs, name)
        if array is not None and not _is_view(array, arguments[name]):
            copied += array.nbytes
    views, given = inputs.label_embeddings, arguments["label_embeddings"]
    if not isinstance(given, np.ndarray):
        copied += sum(array.nbytes for _, array in views)
    labels = arguments["labels"]
    if isinstance(labels, (list, tuple)) and inputs.target.values is not None:
        copied += 2 * inputs.target.values.nbytes  # a list of all entries, and their array
    for own in (labels, arguments["source_labels"]):
        if isinstance(own, np.ndarray) and own.dtype.kind in "UST":
            copied += bytes_of_text(own)
    return copied


def _is_view(array: NDArray[Any], argument: Any) -> bool:
    """Return whether an array certainly is in the memory of the argument that was converted."""
    if isinstance(argument, np.ndarray):
        return np.may_share_memory(array, argument)
    is_tensor = instance_of(argument, "torch", "Tensor")
    return is_tensor and argument.data_ptr() == array.ctypes.data


def _count_classes(target: Target) -> int:
    """Return the number of classes that occur, or of columns of targets."""
    if target.values is not None:
        return int(target.values.shape[1])
    if target.names is not None:
        return len(target.names)
    if target.ids is None:
        return 0
    return len(np.unique(target.ids))
