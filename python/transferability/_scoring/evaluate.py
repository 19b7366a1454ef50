"""The one-shot functions: features and labels in, scores out, by way of ``Stats``."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import _core
from .._inputs.arrays import check_choice
from .._inputs.inputs import Inputs, read_inputs
from .._metric.registry import plan, spec_of
from .._metric.score import Score, collect, make_scores
from .._stats.stats import Stats
from .._util.threads import resolve_threads
from ..io._shards import FeatureSource
from ..io._stream import add_rows
from .groups import evaluate_groups, read_groups
from .null_scores import check_reference, with_references

__all__ = ["accumulate", "evaluate", "score", "score_one"]

#: Features in files are loaded up to this size: an SVD may want them.
_LOADED = 64 << 20
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
    source_probs: object = None,
    source_labels: object = None,
    label_embeddings: object = None,
    groups: object = None,
    aggregate: str = "pooled",
    reference: int = 0,
    **options: Any,
) -> Any:
    """Compute one metric or several from one pass over the features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features), FeatureSource, or None
        As in :func:`transferability.logme`; or what :func:`transferability.io.open_features`
        gives, read block by block where statistics are enough; None for metrics that read none.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), or None
        As in :func:`transferability.logme`; None for those of a FeatureSource, and for metrics
        that read none.
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
    source_probs : array-like of shape (n_samples, n_source_classes), optional
        Outputs of the source model's own head for the same rows.
    source_labels : array-like of shape (n_samples,), optional
        The class that the source model gives each row.
    label_embeddings : array-like of shape (n_samples, dimension, n_views) or mapping, optional
        Embeddings of each row's label by other models, or names and (n_samples, dimension)
        arrays.
    groups : array-like of shape (n_samples,), optional
        The group of each row, such as its video, patient or domain: integers or strings. Every
        group is scored by itself, from the classes that occur in it; ``Score.per_group`` keeps
        these scores, and ``Score.left_out`` says of which groups there is none and why.
    aggregate : {"pooled", "min", "mean", "median", "quantile(q)"}, default="pooled"
        What the value is: the score of all rows together, or this of the groups' scores, with
        a number from 0 to 1 for q.
    reference : int, default=0
        Also score this many random orders of the labels, and features that are the same in
        every row, to read the score against: ``Score.references``, and ``Score.explain`` in
        words. Each costs about as much as the score itself.
    **options
        Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

    Returns
    -------
    score : Score, or Scores
        A string gives its Score. Several names or "all" give a mapping by name, whose
        ``skipped`` lists the metrics of "all" that did not apply or failed, with the reason.

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
    given = read_inputs(
        features,
        labels,
        task,
        source_probs=source_probs,
        source_labels=source_labels,
        label_embeddings=label_embeddings,
    )
    planned = plan(metrics, given.target.task, options, given.provides())
    parts = read_groups(groups, given.target.n_samples, aggregate)
    run = evaluate if parts is None else functools.partial(evaluate_groups, parts)
    run = functools.partial(run, precision=precision, method=method, n_threads=n_threads)
    number = check_reference(reference)
    given = given.in_memory() if number else given
    results = run(given, planned[0])
    if number:
        results = with_references(results, given, planned[0], run, number)
    for name, result in results.items():
        if spec_of(name).pool is not None and isinstance(result, Score):
            results[name] = result.with_warning(
                f"{name} is NaN here, with its parts as attributes: it is defined among models, "
                f"by rank"
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
    given: Inputs,
    requests: Mapping[str, dict[str, Any]],
    *,
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
    stop: _core.Stop | None = None,
    states: Mapping[str, Stats] | None = None,
) -> dict[str, Score | Exception]:
    """Compute metrics with their options on checked input; a failing metric gives its exception.

    Setting `stop` from another thread ends it with a KeyboardInterrupt. `states` is what
    :func:`accumulate` gave for the same rows and metrics, where that has been called already.
    """
    check_choice("method", method, METHODS)
    threads = resolve_threads(n_threads)
    if not _streams(given, requests, method):
        given = given.in_memory()
    if states is None:
        states = accumulate(given, requests, precision=precision, n_threads=threads, stop=stop)
    results: dict[str, Score | Exception] = {}
    for kind, named in _by_statistics(requests).items():
        if kind in states:
            # The samples that an SVD could decompose are the features, where they are at hand.
            chosen = method if kind == "stats" and given.features is not None else "tridiagonal"
            results |= states[kind].outcomes(named, chosen, given)
        else:
            results |= _without_stats(given, named, threads, stop)
    return {name: results[name] for name in requests}


def accumulate(
    given: Inputs,
    requests: Mapping[str, dict[str, Any]],
    *,
    precision: str = "double",
    n_threads: int | None = None,
    stop: _core.Stop | None = None,
) -> dict[str, Stats]:
    """Go once through the rows: the statistics that metrics need, by what they are of."""
    states: dict[str, Stats] = {}
    for kind, named in _by_statistics(requests).items():
        if kind == "none":
            continue
        scatters = any("class_scatters" in spec_of(name).needs for name in named)
        stats = Stats(given.target.task, precision, n_threads, class_scatters=scatters, stop=stop)
        features = given.features if kind == "stats" else given.source_probs
        if features is not None:
            stats.push(features, given.target, notes=given.notes)
        else:
            assert isinstance(given.files, FeatureSource), "plan checks what is provided"
            add_rows(stats, given.files, given.target)
        states[kind] = stats
    return states


def _streams(given: Inputs, requests: Iterable[str], method: str) -> bool:
    """Tell whether features in files are many, and nothing needs them but the statistics."""
    needs = {need for name in requests for need in spec_of(name).needs}
    return (
        given.files is not None
        and given.files.nbytes > _LOADED
        and needs <= {"stats", "class_scatters"}
        and method != "svd"
    )


def _by_statistics(requests: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Group metrics by the statistics they share: the features', the source outputs', or none."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for name, options in requests.items():
        needs = spec_of(name).needs
        kind = "none"
        if "stats" in needs or "class_scatters" in needs:
            kind = "stats"
        elif "source_stats" in needs:
            kind = "source_stats"
        groups.setdefault(kind, {})[name] = options
    return groups


def _without_stats(
    given: Inputs,
    requests: Mapping[str, dict[str, Any]],
    n_threads: int,
    stop: _core.Stop | None,
) -> dict[str, Score | Exception]:
    start = time.perf_counter()
    native = {name: options for name, options in requests.items() if spec_of(name).is_native}
    found = _core.compute(list(native.items()), n_threads, given.native(), stop) if native else []
    outcomes: dict[str, Any] = dict(zip(native, found, strict=True))
    for name in requests:
        if name not in native:
            outcomes[name] = spec_of(name).run(given, requests[name], n_threads)
    columns = given.features if given.features is not None else given.source_probs
    facts = {
        **given.target.facts(*given.target.counts()),
        "n_samples": given.target.n_samples,
        "n_features": 1 if columns is None else columns.shape[1],
        "seconds": time.perf_counter() - start,
    }
    return make_scores(requests, outcomes, facts, (*given.target.warnings, *given.notes))
