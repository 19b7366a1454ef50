"""What metrics that go through scikit-learn share: the import, and features it can take."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """Give features as finite float64, copying only where they are not."""
    array = np.asarray(features, dtype=np.float64)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        value = "NaN" if np.isnan(array[row, column]) else array[row, column]
        raise DataError(
            f"features[{row}, {column}] is {value}; every value must be finite: drop or impute "
            f"such rows"
        )
    return array


def class_codes(ids: NDArray[np.int64], metric: str) -> NDArray[np.int64]:
    """Give each row the place of its class among those that occur; refuse a single one."""
    classes, codes = np.unique(ids, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{metric}: labels hold a single class; give rows of two classes or more")
    return codes.reshape(-1).astype(np.int64)
