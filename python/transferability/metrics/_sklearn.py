"""Shared by the metrics that use scikit-learn: its import, finite features, class indices."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import finite_floats
from ..errors import DataError, MissingDependencyError

__all__ = ["checked_float64", "class_codes", "scikit_learn"]


def scikit_learn(module: str, metric: str) -> Any:
    """Import a module of scikit-learn.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            f"{metric} needs scikit-learn >= 1.6: pip install transferability[sklearn]"
        ) from error


def checked_float64(features: NDArray[Any]) -> NDArray[np.float64]:
    """Return features as finite float64, copied only from another dtype.

    Raises
    ------
    DataError
        If a value is NaN or infinite.
    """
    return finite_floats(features).astype(np.float64, copy=False)


def class_codes(ids: NDArray[np.int64], metric: str) -> NDArray[np.int64]:
    """Return for each row the index of its class among the classes that occur, sorted.

    Raises
    ------
    DataError
        If there is a single class.
    """
    classes, codes = np.unique(ids, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{metric}: labels hold a single class; give rows of two classes or more")
    return codes.reshape(-1).astype(np.int64)
