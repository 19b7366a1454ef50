"""Read pairs of scores and truth: matched by name, checked, and with NaN handled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_array, as_floats, check_choice
from .._inputs.rows import check_rows, has_row_index
from .._metric.score import issue
from ..errors import DataError, DtypeError

__all__ = ["compute_dense_ranks", "read_pairs", "warn_if_constant"]

Array = NDArray[np.float64]


def read_pairs(
    scores: object,
    truth: object,
    nan: str,
    *,
    finite: bool = False,
    finite_truth: bool = False,
    extra: object = None,
) -> tuple[Array, Array, Any]:
    """Return scores and truth as float64, of shape (n_models,), and groups or weights as `extra`.

    Mappings are matched by model name, in the order of `scores`. `nan` is as in the public
    functions. Infinite values raise in scores and truth with `finite`, in the truth alone with
    `finite_truth`.
    """
    check_choice("nan", nan, ("raise", "omit", "last"))
    check_rows((), scores=scores, truth=truth)
    if isinstance(scores, Mapping) != isinstance(truth, Mapping):
        raise DtypeError("give scores and truth both as mappings by model name, or neither")
    if isinstance(scores, Mapping) and isinstance(truth, Mapping):
        _check_names(scores, truth)
        scores, truth = [scores[m] for m in scores], [truth[m] for m in scores]
    elif has_row_index(scores) and has_row_index(truth):
        ours, theirs = scores.index, truth.index  # type: ignore[attr-defined]
        are_words = all(isinstance(name, str) for name in (*ours, *theirs))
        if are_words and len(ours) == len(theirs) and not set(ours).isdisjoint(theirs):
            _check_names(ours, theirs, "; give arrays if models match by position")
    x, y = _read_numbers("scores", scores), _read_numbers("truth", truth)
    if len(x) != len(y):
        raise DataError(f"scores has {len(x)} models but truth has {len(y)}; give both for each")
    others = None if extra is None else as_array(extra, "groups or weights")[0]
    if others is not None and others.shape != x.shape:
        raise DataError(f"there are {len(x)} models, but an array of shape {others.shape} for them")
    missing = np.isnan(x) | np.isnan(y)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        if nan == "raise" or (nan == "last" and (finite or np.isnan(y).any())):
            what = "truth" if np.isnan(y[first]) else "scores"
            raise DataError(f'{what}[{first}] is NaN; nan="omit" leaves that model out')
        if nan == "last":
            x = np.where(np.isnan(x), -np.inf, x)
        else:
            x, y = x[~missing], y[~missing]
            others = None if others is None else others[~missing]
    if len(x) < 2:
        raise DataError(f"agreement needs two models at least, there are {len(x)}")
    if (finite and not np.isfinite(x).all()) or ((finite or finite_truth) and np.isinf(y).any()):
        raise DataError("an infinite value has an order but no distance; use a rank correlation")
    return x, y, others


def _check_names(ours: Iterable[object], theirs: Iterable[object], remedy: str = "") -> None:
    """Raise unless the names of the models are the same."""
    odd = sorted(map(str, set(ours) ^ set(theirs)))
    if odd:
        raise DataError(
            f"scores and truth must have the same models; {', '.join(odd[:5])} "
            f"{'is' if len(odd) == 1 else 'are'} in one of them only{remedy}"
        )


def _read_numbers(name: str, values: object) -> Array:
    """Return values as a 1-D float64 array."""
    array = as_floats(values, name)
    if array.ndim != 1:
        raise DataError(f"{name} must have one number a model, got shape {array.shape}")
    return array


def warn_if_constant(*arrays: Array) -> bool:
    """Return whether one of the arrays is constant and so has no order; warn if so."""
    is_constant = any(bool((array == array[0]).all()) for array in arrays)
    if is_constant:
        issue(["all models have the same value: there is no order to agree with, so it is NaN"])
    return is_constant


def compute_dense_ranks(values: Array) -> Array:
    """Return dense ranks from 0, the lowest; they are finite for infinite values too."""
    return np.unique(values, return_inverse=True)[1].astype(np.float64)
