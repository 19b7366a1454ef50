"""Score features against labels: ``score``, which every metric's own function calls."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from .._inputs.inputs import read_inputs
from .._inputs.rows import check_rows
from .._inputs.types import ArrayLike, ByName
from .._metric.score import Score
from .._util.progress import show_slow_stages
from .call import call_of, finish
from .evaluate import evaluate
from .groups import check_left_out, evaluate_groups, read_groups
from .null_scores import add_null_scores, check_reference

__all__ = ["score", "score_one"]


def score(
    features: ArrayLike | None,
    labels: ArrayLike | None,
    metrics: str | Sequence[str] = "logme",
    *,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
    source_probs: ArrayLike | None = None,
    source_labels: ArrayLike | None = None,
    label_embeddings: ByName | None = None,
    groups: ArrayLike | None = None,
    aggregate: str = "pooled",
    reference: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Any:
    """Compute one metric or several from one pass over the features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features), FeatureSource, or None
        As in :func:`transferability.logme`. A large source from
        :func:`transferability.io.open_features` is read in blocks if statistics are enough. None
        for metrics that read no features.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), or None
        As in :func:`transferability.logme`. None for the labels of a FeatureSource, and for
        metrics that read no labels.
    metrics : str or sequence of str, default="logme"
        A name, several names, "all" for every metric that applies, or "recommended" for the members
        of that consensus.
    task, precision, method, n_threads
        As in :func:`transferability.logme`.
    source_probs : array-like of shape (n_samples, n_source_classes), optional
        Class probabilities from the source model's own head for the same rows.
    source_labels : array-like of shape (n_samples,), optional
        The class that the source model predicts for each row.
    label_embeddings : array-like of shape (n_samples, dimension, n_views) or mapping, optional
        Embeddings of each row's label by other models, or a mapping of names to arrays of shape
        (n_samples, dimension).
    groups : array-like of shape (n_samples,), optional
        The group of each row, such as its video, patient or domain: integers or strings. Every
        group is also scored separately, from the classes that occur in it. ``Score.per_group`` has
        these scores; ``Score.left_out`` has the reason for each group without one, such as a single
        class. With ``leave_out="group"``, an option of `ridge_probe` and `knn`, they predict each
        group from the others, and the score of a group is that of its predictions.
    aggregate : {"pooled", "min", "mean", "median", "quantile(q)"}, default="pooled"
        The value: the score of all rows together, or this statistic of the groups' scores, with a
        number from 0 to 1 for q.
    reference : int, default=0
        Null baselines: also score this many random permutations of the labels, and constant
        features. ``Score.references`` has the results, and ``Score.explain`` compares in words.
        Each costs about as much as the score itself.
    progress : bool, optional
        Whether metrics that Python computes, such as `n_leep`, show their current step. Default:
        after a second, in a notebook and on a terminal.
    **options
        Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

    Returns
    -------
    score : Score, or Scores
        A Score for one name. For several names or "all" a mapping by name; its ``skipped`` has
        the reason for each metric of "all" that did not apply or failed.

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
    inputs = read_inputs(
        features,
        labels,
        task,
        source_probs=source_probs,
        source_labels=source_labels,
        label_embeddings=label_embeddings,
    )
    call = call_of(metrics, precision, method, n_threads, options)
    (requests, skipped), settings = call.plan(inputs), call.settings
    if groups is not None:
        check_rows(inputs.index, groups=groups)
    grouping = read_groups(groups, inputs.target.n_samples, aggregate)
    if "leave_out" in options:
        check_left_out(requests, grouping)
    if groups is not None and inputs.files is not None:
        inputs.files.check_order("groups")
    if n_shuffles := check_reference(reference):
        inputs = inputs.in_memory()
    run = evaluate if grouping is None else functools.partial(evaluate_groups, grouping)
    with show_slow_stages(progress) if requests.in_python else nullcontext():
        results = run(inputs, requests, settings)
        if n_shuffles:
            run = functools.partial(run, settings=settings)
            add_null_scores(results, inputs, requests, run, n_shuffles)
    return finish(results, metrics, skipped)


def score_one(
    metric: str, features: object, labels: object, options: Mapping[str, Any], **common: Any
) -> Score:
    """Compute one metric; the public function of every metric calls this."""
    result = score(features, labels, metric, **common, **options)
    assert isinstance(result, Score)
    return result
