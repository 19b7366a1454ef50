"""Covariance, spectrum and coding rate of accumulated features."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DataError, DtypeError

__all__ = ["covariance_of_stats", "read_shrinkage", "spectrum_of_stats"]

#: Estimates of the shrinkage, by name.
ESTIMATES = ("ledoit-wolf", "oas")


def covariance_of_stats(
    stats: _core.Stats, shrinkage: object, assume_centered: bool, n_threads: int
) -> tuple[NDArray[np.float64], float]:
    """Return the covariance, shrunk as asked, and its shrinkage."""
    _check_rows(stats)
    return _core.covariance(stats, read_shrinkage(shrinkage), bool(assume_centered), n_threads)


def spectrum_of_stats(
    stats: _core.Stats, assume_centered: bool, n_threads: int
) -> NDArray[np.float64]:
    """Return the eigenvalues of the covariance, descending."""
    _check_rows(stats)
    return _core.spectrum(stats, bool(assume_centered), n_threads)


def read_shrinkage(shrinkage: object) -> Any:
    """Validate a shrinkage: None, the name of an estimate, or a number from 0 to 1."""
    if shrinkage is None:
        return None
    if isinstance(shrinkage, str):
        if shrinkage in ESTIMATES:
            return shrinkage
    elif isinstance(shrinkage, bool) or not isinstance(shrinkage, numbers.Real):
        raise DtypeError(
            f"shrinkage is of type {type(shrinkage).__name__}; give None, 'ledoit-wolf', 'oas' or "
            f"a number from 0 to 1"
        )
    elif 0 <= (value := float(shrinkage)) <= 1:
        return value
    raise DataError(
        f"shrinkage is {shrinkage!r}; give None, 'ledoit-wolf', 'oas' or a number from 0 to 1"
    )


def _check_rows(stats: _core.Stats) -> None:
    if stats.n_features == 0:
        raise DataError("these statistics hold no rows yet; call update first")
