"""Rank models by what their features say about the same labels."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from .. import _core
from .._inputs.arrays import check_choice
from .._inputs.inputs import Inputs, read_inputs
from .._inputs.target import Target
from .._metric.derived import PRIOR
from .._metric.registry import Plan, metric_names, plan, spec_of
from .._metric.score import Score
from .._scoring.evaluate import METHODS, evaluate
from .._scoring.groups import Groups, evaluate_groups, read_groups
from .._stats.stats import PRECISIONS, Stats
from .._util.progress import Progress, progress_bar
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError
from ..io._paths import is_paths
from ..io._sources import Source, load_or_open
from .extra_columns import read_prior, with_prior
from .rank_stats import rank_stats, reason_of
from .ranking import Planned, Ranking, Row, pooled

__all__ = ["check_models", "digest_of", "rank", "with_columns"]

#: Models scored side by side, at most: enough to overlap what is serial in each, and a bound on
#: memory where there are many cores.
_AT_ONCE = 8


def rank(
    models: Mapping[str, object],
    labels: object = None,
    metrics: str | Sequence[str] = "logme",
    *,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    progress: Progress = None,
    n_threads: int | None = None,
    source_probs: Mapping[str, object] | None = None,
    source_labels: Mapping[str, object] | None = None,
    label_embeddings: object = None,
    groups: object = None,
    aggregate: str = "pooled",
    baselines: bool = False,
    prior: Mapping[str, float] | None = None,
    **options: Any,
) -> Ranking:
    """Rank models, best first, by their features of the same rows.

    Parameters
    ----------
    models : mapping of str to array-like, path, FeatureSource or Stats
        Features of each model, (n_samples, n_features), as :func:`transferability.logme` takes
        them. Or what :func:`transferability.io.open_features` takes or gives: a file, also
        ``file.npz:member``, a folder, pattern or list of shards, read when its turn comes, and
        block by block where it is large and statistics are enough. Or the :class:`Stats` of
        every model, for metrics that need no more.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), or None
        Shared by all models; None with Stats, which have theirs.
    metrics : str or sequence of str, default="logme"
        The first one sorts. "all" takes every metric that applies; "recommended" a small
        consensus of metrics that agree with real accuracies, see :meth:`Ranking.consensus`.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        What the labels are; decided once, see ``Ranking.task_note``.
    precision : {"double", "single"}, default="double"
        Of the products of float32 features.
    method : {"auto", "tridiagonal", "svd"}, default="auto"
        As in :func:`transferability.logme`.
    progress : bool or callable, optional
        None: a tqdm bar on a terminal where tqdm is installed. A callable gets (models done,
        models in all, name), one call at a time.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. Models run side by side on one pool of
        that many threads; the scores do not depend on it.
    source_probs, source_labels : mapping of str to array-like, optional
        What each model's own head says of the rows, as in :func:`transferability.score`.
    label_embeddings : array-like or mapping, optional
        Shared by all models, as in :func:`transferability.score`.
    groups, aggregate : optional
        Score every group of rows (video, patient, domain) by itself and make one value of
        these, as in :func:`transferability.score`; ``Row.per_group`` keeps them.
    baselines : bool, default=False
        Also compute the metrics that others should beat, as the last columns.
    prior : mapping of str to float, optional
        What is known of the models already, higher for better: an accuracy elsewhere, the
        number of parameters. It becomes a column, to compare with and for ``consensus``.
    **options
        Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

    Returns
    -------
    ranking : Ranking
        A model that fails is a row at the end, with its reason in ``error``; it does not stop
        the others. Ties go by name.

    Raises
    ------
    DataError, DtypeError
        If the labels, the metrics or the options are wrong: what concerns all models.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> good, poor = rng.normal(size=(80, 6)), rng.normal(size=(80, 6))
    >>> ranking = tx.rank({"poor": poor, "good": good}, good[:, 0] > 0)
    >>> ranking.names
    ('good', 'poor')
    """
    check_models(models)
    if any(isinstance(model, Stats) for model in models.values()):
        beside = {
            "labels": labels,
            "source_probs": source_probs,
            "source_labels": source_labels,
            "label_embeddings": label_embeddings,
            "groups": groups,
        }
        ranking = rank_stats(_only_stats(models, beside), metrics, options)
        return with_columns(ranking, metrics, prior)
    check_choice("precision", precision, PRECISIONS)
    check_choice("method", method, METHODS)
    threads = resolve_threads(n_threads)
    shared = read_inputs(None, labels, task, label_embeddings=label_embeddings)
    target = shared.target
    of_models = {"source_probs": source_probs, "source_labels": source_labels}
    provided = {"pool", "stats", "class_scatters", "samples", *shared.provides()}
    if source_probs is not None:
        provided |= {"source_stats", "source_probs"}
    if source_labels is not None:
        provided |= {"source_labels"}
    planned = plan(metrics, target.task, options, provided, baselines=baselines)
    if not planned[0]:
        raise DataError(f"no metric applies to a {target.task} task")
    parts = read_groups(groups, target.n_samples, aggregate)
    stop = _core.Stop()
    common = {"precision": precision, "method": method, "n_threads": threads, "stop": stop}

    def job(name: str) -> Row:
        own = {key: given.get(name) for key, given in of_models.items() if given is not None}
        row = _row(name, models[name], own, shared, planned[0], common, parts)
        return replace(row, inputs=functools.partial(_again, models, name, own, shared))

    rows: list[Row] = []
    with progress_bar(progress, len(models)) as advance:
        if min(threads, len(models)) == 1:  # in this thread, where Ctrl-C reaches the native loop
            for name in models:
                rows.append(job(name))
                advance(len(rows), len(models), name)
        else:
            workers = min(threads, len(models), _AT_ONCE)
            pool = ThreadPoolExecutor(workers, "transferability")
            try:
                running: list[Future[Row]] = [pool.submit(job, name) for name in models]
                for future in as_completed(running):
                    rows.append(future.result())
                    advance(len(rows), len(models), rows[-1].name)
            except BaseException:  # on Ctrl-C models under way end too, not only those waiting
                stop.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
    ranking = Ranking(
        pooled(rows, planned[0]),
        metrics=tuple(planned[0]),
        task=target.task,
        task_note=target.note,
        digest=digest_of(target, planned, precision, parts),
        warnings=target.warnings,
        skipped=planned[1],
        plan=Planned(planned[0], common, parts, target),
    )
    return with_columns(ranking, metrics, prior)


def with_columns(
    ranking: Ranking, metrics: str | Sequence[str], prior: Mapping[str, float] | None
) -> Ranking:
    """Add the columns that are no metrics."""
    if prior is not None:
        facts = {**ranking.__dict__, "metrics": (*ranking.metrics, PRIOR)}
        values = read_prior(prior, ranking.names)
        ranking = Ranking(with_prior(facts.pop("rows"), values), **facts)
    if not isinstance(metrics, str) or metrics != "recommended":
        return ranking
    return ranking.consensus([name for name in metric_names(metrics) if name in ranking.metrics])


def _row(
    name: str,
    features: object,
    own: Mapping[str, Any],
    shared: Inputs,
    requests: Mapping[str, dict[str, Any]],
    common: dict[str, Any],
    groups: Groups | None = None,
) -> Row:
    """Score one model; whatever goes wrong becomes its row's error."""
    start = time.perf_counter()
    shape: Sequence[int | None] = (None, None)
    scores: dict[str, Score] = {}
    failures: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    try:
        given = _given(features, own, shared)
        notes, shape = given.notes, given.shape
        met = given.provides()
        for metric in requests:
            if missing := spec_of(metric).unmet(met):
                failures[metric] = f"there is no {missing[0]} for this model"
        possible = {metric: asked for metric, asked in requests.items() if metric not in failures}
        # The labels' own warnings are the ranking's: said once, not for every model.
        run = evaluate if groups is None else functools.partial(evaluate_groups, groups)
        for metric, result in run(given, possible, **common).items():
            if isinstance(result, Score):
                scores[metric] = result
                notes += tuple(t for t in result.warnings if t not in shared.target.warnings)
            else:
                failures[metric] = reason_of(result)
    except Exception as error:  # one bad model never loses the sweep
        failures = dict.fromkeys(requests, reason_of(error))
    first = next(iter(requests))
    notes += tuple(f"{m} failed: {text}" for m, text in failures.items() if m != first and scores)
    return Row(
        name=name,
        scores=scores,
        n_samples=shape[0],
        n_features=shape[1],
        seconds=time.perf_counter() - start,
        notes=tuple(dict.fromkeys(notes)),
        error=failures.get(first),
    )


def _given(features: object, own: Mapping[str, Any], shared: Inputs) -> Inputs:
    """Read what there is of one model, and add what all have."""
    given = read_inputs(_loaded(features), None, target=shared.target, **own)
    return replace(given, label_embeddings=shared.label_embeddings)


def _again(
    models: Mapping[str, object], name: str, own: Mapping[str, Any], shared: Inputs
) -> Inputs:
    """Read a model's features once more, for what is asked of a ranking later."""
    if name not in models:
        raise DataError(f"{name!r} is no longer among the models that were ranked")
    return _given(models[name], own, shared).in_memory()


def _loaded(features: object) -> object:
    if isinstance(features, Source):
        return features.load()
    if is_paths(features) or isinstance(features, (str, os.PathLike)):
        return load_or_open(features)
    return features


def check_models(models: object) -> None:
    if not isinstance(models, Mapping):
        raise DtypeError(f"models must be a mapping of names to features, got {type(models)}")
    if not models:
        raise DataError("models is empty; give at least one name with its features")
    for name in models:
        if not isinstance(name, str):
            raise DtypeError(f"model names must be strings, got {name!r}")


def _only_stats(models: Mapping[str, object], beside: Mapping[str, object]) -> dict[str, Stats]:
    states = {name: model for name, model in models.items() if isinstance(model, Stats)}
    for name in models:
        if name not in states:
            raise DataError(
                f"models mixes Stats with other things, such as {name!r}; give the Stats of all, "
                f"or the features of all"
            )
    for name, value in beside.items():
        if value is not None:
            raise DataError(f"models holds Stats, which have their labels; leave out {name}")
    return states


def digest_of(target: Target, planned: Plan, precision: str, groups: Groups | None = None) -> str:
    """Identify what makes rankings comparable: labels, metrics, options, precision, groups."""
    text = f"{target.digest()}{planned[0]}{precision}"
    if groups is not None:
        text += f"{groups.aggregate}{groups.names}{groups.codes.tolist()}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
