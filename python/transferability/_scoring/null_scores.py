"""What a metric gives where there is nothing to find: the scale on which to read a score."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._metric.score import Score
from ..errors import DataError, DtypeError, TransferabilityError

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs

__all__ = ["check_reference", "with_references"]

_SEED = 0  # of the orders, so that a score is the same each time
_BLOCK = 4096  # rows that are compared at a time

Run = Callable[["Inputs", Mapping[str, Any]], dict[str, Any]]


def check_reference(reference: object) -> int:
    """Check how many random orders of the labels are asked for."""
    try:
        number = operator.index(reference)  # type: ignore[arg-type]
    except TypeError:
        raise DtypeError(f"reference is {reference!r}; give a number of label orders") from None
    if isinstance(reference, bool) or number < 0 or number == 1:
        raise DataError(f"reference is {reference!r}; give 0, or at least 2 label orders")
    return number


def with_references(
    results: Mapping[str, Any], given: Inputs, requests: Mapping[str, Any], run: Run, number: int
) -> dict[str, Any]:
    """Add to each score, in ``references``, those of shuffled labels and of constant features."""
    rng = np.random.default_rng(_SEED)
    shuffled: list[dict[str, Any]] = []
    for _ in range(number):
        order = rng.permutation(given.target.n_samples)
        moved = tuple((name, view[order]) for name, view in given.label_embeddings)
        other = replace(given, target=given.target.take(order), label_embeddings=moved)
        shuffled.append(_tried(run, other, requests))
    constant = _tried(run, _same_everywhere(given), requests)
    dead = None if given.features is None else _dead_columns(given.features)
    found: dict[str, Any] = {}
    for name, result in results.items():
        if not isinstance(result, Score):
            found[name] = result
            continue
        values = np.array([_value(scores.get(name)) for scores in shuffled])
        references = {
            "shuffles": number,
            "shuffled": float(values.mean()),
            "shuffled_sd": float(values.std(ddof=1)),
            "constant": _value(constant.get(name)),
            "dead_columns": dead,
        }
        details = {**result.details, "references": references}
        found[name] = Score(result, **{**result.__dict__, "details": details})
    return found


def _tried(run: Run, given: Inputs, requests: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what can be; a reference that has no value is none."""
    try:
        return run(given, requests)
    except TransferabilityError:
        return {}


def _value(score: object) -> float:
    return float(score) if isinstance(score, Score) else float("nan")


def _same_everywhere(given: Inputs) -> Inputs:
    """Replace what models say of the rows by what is the same in all."""
    n_samples, probs = given.target.n_samples, given.source_probs
    return replace(
        given,
        features=None if given.features is None else np.ones((n_samples, 1)),
        source_probs=None
        if probs is None
        else np.full(probs.shape, 1 / probs.shape[1], dtype=np.float64),
        source_labels=None if given.source_labels is None else np.zeros(n_samples, dtype=np.int64),
    )


def _dead_columns(features: NDArray[Any]) -> int:
    """Count the columns that are the same in every row."""
    alike = np.ones(features.shape[1], dtype=bool)
    for start in range(0, len(features), _BLOCK):
        alike &= (features[start : start + _BLOCK] == features[:1]).all(axis=0)
    return int(alike.sum())
