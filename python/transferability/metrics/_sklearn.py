"""Shared by the metrics that use scikit-learn: its import, inputs and warnings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import finite_floats
from .._util.caught import collect_warnings
from ..errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs

__all__ = ["read_classes", "record_warnings", "scikit_learn"]

_LARGEST = 1e150  # squares stay within float64, also when they are added up


def scikit_learn(module: str, metric: str) -> Any:
    """Import a module of scikit-learn; MissingDependencyError if it is not installed."""
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            f"{metric} needs scikit-learn >= 1.6: pip install 'transferability[sklearn]'"
        ) from error


def read_classes(inputs: Inputs, metric: str) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return features as finite float64, and each row's index among the classes that occur, sorted.

    Raises
    ------
    DataError
        If a feature is NaN, infinite or so large that its square is, or there is a single class.
    """
    assert inputs.features is not None
    assert inputs.target.ids is not None
    features = finite_floats(inputs.features).astype(np.float64, copy=False)
    if (largest := float(np.abs(features).max())) > _LARGEST:
        raise DataError(
            f"{metric}: features reach {largest:g} in absolute value; their squares overflow "
            f"float64: rescale them"
        )
    classes, codes = np.unique(inputs.target.ids, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{metric}: labels hold a single class; give rows of two classes or more")
    return features, codes.reshape(-1)


@contextmanager
def record_warnings(metric: str) -> Iterator[list[str]]:
    """Catch warnings of scikit-learn; on exit the list has their texts, each once."""
    texts: list[str] = []
    with collect_warnings() as caught:
        yield texts
    lines = (" ".join(str(warning).split()) for warning in caught)
    texts += dict.fromkeys(f"{metric}, from scikit-learn: {line}" for line in lines)
