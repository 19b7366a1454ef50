"""The one-shot functions: features and labels in, scores out, by way of ``Stats``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import _core, _threads
from ._input import as_features, check_choice
from ._registry import Plan, plan
from ._score import Score, collect
from ._stats import Stats
from ._target import Target, read_target

__all__ = ["evaluate", "score", "score_one"]

METHODS = ("auto", "tridiagonal", "svd")


def score(
    features: object,
    labels: object,
    metrics: str | Sequence[str] = "logme",
    *,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
    **options: Any,
) -> Any:
    """Compute one metric or several from one pass over the features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        As in :func:`transferability.logme`.
    metrics : str or sequence of str, default="logme"
        A name, several names, or "all" for every metric that applies.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        What the labels are; "auto" decides and says so in ``Score.task_note``.
    precision : {"double", "single"}, default="double"
        Of the products of float32 features.
    method : {"auto", "tridiagonal", "svd"}, default="auto"
        As in :func:`transferability.logme`.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`.
    **options
        Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

    Returns
    -------
    score : Score, or Scores
        A string gives its Score. Several names or "all" give a mapping by name, whose
        ``skipped`` lists the metrics of "all" that did not apply, with the reason.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`, and for unknown metrics and options.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(60, 4))
    >>> list(tx.score(features, features[:, 0] > 0, ["logme"]))
    ['logme']
    """
    array, notes = as_features(features)
    target = read_target(labels, task).without_constant()
    planned = plan(metrics, target.task, options)
    results = evaluate(
        array, target, planned, notes=notes, precision=precision, method=method, n_threads=n_threads
    )
    return collect(results, metrics, planned[1])


def score_one(
    metric: str, features: object, labels: object, options: Mapping[str, Any], **common: Any
) -> Score:
    """Compute one metric: what every metric's own function calls."""
    result = score(features, labels, metric, **common, **options)
    assert isinstance(result, Score)
    return result


def evaluate(
    features: Any,
    target: Target,
    planned: Plan,
    *,
    notes: Sequence[str] = (),
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
    stop: _core.Stop | None = None,
) -> dict[str, Score | Exception]:
    """Compute planned metrics on checked input; a failing metric gives its exception.

    Setting `stop` from another thread ends it with a KeyboardInterrupt.
    """
    check_choice("method", method, METHODS)
    stats = Stats(target.task, precision, _threads.resolve(n_threads))
    if stop is not None:
        stats._inner = _core.Stats(precision, stop)
    stats.push(features, target, notes=notes)
    return stats.outcomes(planned, method, (features, target))
