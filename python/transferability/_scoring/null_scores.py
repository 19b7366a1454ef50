"""Null baselines for a score: permuted labels and constant features."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from .._inputs.inputs import Inputs
from .._metric.score import Score
from ..errors import DataError, DtypeError, TransferabilityError
from .evaluate import Requests

__all__ = ["add_null_scores", "check_reference"]

_SEED = 0  # of the permutations, so that repeated calls return the same baselines

Results = dict[str, Score | Exception]
Run = Callable[[Inputs, Requests], Results]


def check_reference(reference: object) -> int:
    """Validate the argument `reference`, the number of label permutations."""
    try:
        number = operator.index(reference)  # type: ignore[arg-type]
    except TypeError:
        raise DtypeError(f"reference is {reference!r}; give a number of label orders") from None
    if isinstance(reference, bool) or number < 0 or number == 1:
        raise DataError(f"reference is {reference!r}; give 0, or at least 2 label orders")
    return number


def add_null_scores(
    results: Results, inputs: Inputs, requests: Requests, run: Run, n_shuffles: int
) -> None:
    """Add the detail ``references`` to scores: their values for null baselines.

    `results` are of `inputs`, with features in memory. `run` computes the scores of the baselines:
    `n_shuffles` permutations of the labels (mean and standard deviation), and constant features.
    """
    found: list[Results] = []
    for baseline in _make_baselines(inputs, n_shuffles):
        try:
            found.append(run(baseline, requests))
        except TransferabilityError:  # metrics refuse this baseline
            found.append({})
    *shuffled, constant = found
    x = inputs.features
    dead = None if x is None else int((x.min(axis=0) == x.max(axis=0)).sum())  # constant columns
    for name, result in results.items():
        if isinstance(result, Score):
            values = np.array([_value(scores.get(name)) for scores in shuffled])
            references = {
                "shuffles": n_shuffles,
                "shuffled": float(values.mean()),
                "shuffled_sd": float(values.std(ddof=1)),
                "constant": _value(constant.get(name)),
                "dead_columns": dead,
            }
            details = {**result.details, "references": references}
            results[name] = result.replace(details=details)


def _value(score: object) -> float:
    return float(score) if isinstance(score, Score) else float("nan")


def _make_baselines(inputs: Inputs, n_shuffles: int) -> Iterator[Inputs]:
    """Iterate over inputs with permuted labels, then with the same features in every row."""
    rng = np.random.default_rng(_SEED)
    for _ in range(n_shuffles):
        order = rng.permutation(inputs.target.n_samples)
        views = tuple((name, view[order]) for name, view in inputs.label_embeddings)
        yield replace(inputs, target=inputs.target.take(order), label_embeddings=views)
    n_samples, probs, ids = inputs.target.n_samples, inputs.source_probs, inputs.source_labels
    yield replace(
        inputs,
        features=None if inputs.features is None else np.ones((n_samples, 1)),
        columns=None,
        source_probs=None if probs is None else np.full(probs.shape, 1 / probs.shape[1]),
        source_labels=None if ids is None else np.zeros_like(ids),
    )
