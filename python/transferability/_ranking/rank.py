"""Rank models by the scores of their features, or of their statistics, for the same labels."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._inputs.arrays import as_features
from .._inputs.inputs import Inputs, RowSource, read_inputs
from .._inputs.rows import check_rows
from .._inputs.target import unlabelled
from .._inputs.types import ArrayLike, ByName, PathLike
from .._metric.derived import CONSENSUS, PRIOR
from .._metric.plan import Plan, plan
from .._metric.registry import metric_names, spec_of
from .._scoring.evaluate import Settings, evaluate
from .._scoring.groups import (
    Groups,
    check_aggregate,
    check_groups,
    evaluate_groups,
    read_groups,
)
from .._stats.stats import Stats
from .._util.parallel import map_in_threads, threads_of_each
from .._util.progress import Progress, progress_bar
from .._util.stages import stage
from ..errors import DataError
from ..io._open import open_features
from ..io._pairing import is_pairs
from ..io._paths import is_listed, is_paths, names_labels
from ..io._readahead import read_ahead
from ..io._row_labels import LabelFiles, check_same, read_label_files
from ..io._shards import FeatureSource
from ..io._sources import Source, load_or_open
from .extra_columns import add_prior, check_columns, choose_decider, pool_rows, read_prior
from .pareto import add_costs, read_costs
from .rank_stats import rank_stats, read_stats
from .ranking import Ranking
from .row import (
    Row,
    RowBuilder,
    ScoringPlan,
    check_model_rows,
    check_models,
    evaluate_available,
)

if TYPE_CHECKING:
    from .._racing.race_options import Race

__all__ = ["add_columns", "compute_digest", "note_models", "rank"]


def rank(
    models: Mapping[str, ArrayLike | PathLike | Stats],
    labels: ArrayLike | PathLike | None = None,
    metrics: str | Sequence[str] = "logme",
    *,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    progress: Progress = None,
    n_threads: int | None = None,
    source_probs: Mapping[str, ArrayLike] | None = None,
    source_labels: Mapping[str, ArrayLike] | None = None,
    label_embeddings: ByName | None = None,
    groups: ArrayLike | None = None,
    aggregate: str = "pooled",
    baselines: bool = False,
    prior: Mapping[str, float] | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    race: bool | Race = False,
    **options: Any,
) -> Ranking:
    """Rank models, best first, by their features for the same rows.

    Parameters
    ----------
    models : mapping of str to array-like, path, FeatureSource or Stats
        Features of each model, (n_samples, n_features): an array as in
        :func:`transferability.logme`, or a source as in :func:`transferability.io.open_features`,
        also ``file.npz:member``. A source is read when its model is scored, block by block if it
        is large and the metrics need only statistics. Alternatively the :class:`Stats` of every
        model, for such metrics.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), path, list of paths or None
        Shared by all models. Paths as in :func:`transferability.io.open_features`: files are paired
        by name with the shards of a model that has as many. None with Stats, which include their
        labels, and if every model is a list of pairs ``[(x, y), ...]`` or a source with labels;
        also for metrics that read no labels.
    metrics : str or sequence of str, default="logme"
        Models are sorted by the first one. "all" takes every metric that applies. "recommended"
        decides pairs of models by `ridge_probe`, and those within its standard error also by
        `logme` of z-scored features with an intercept, see :meth:`Ranking.consensus`.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        Meaning of the labels. "auto" decides once, by all of them; ``Ranking.task_note`` has the
        reason. Statistics that hold another task are an error.
    precision, method : str, default="double" and "auto"
        As in :func:`transferability.logme`.
    progress : bool or callable, optional
        None: a bar in a notebook, and on a terminal where tqdm is installed. A callable gets
        (models done, number of models, name), one call at a time.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. Models run in parallel on that many
        threads in all; files are read ahead. The scores do not depend on it.
    source_probs, source_labels : mapping of str to array-like, optional
        Predictions of each model's own head for the rows, as in :func:`transferability.score`.
    label_embeddings, groups, aggregate : optional
        As in :func:`transferability.score`, shared by all models. ``Row.per_group`` has the scores
        of the groups of rows. ``leave_out="group"`` makes `ridge_probe` and `knn` predict each
        group from the others.
    baselines : bool, default=False
        Also compute the baseline metrics, as the last columns; other metrics should beat them.
    prior : mapping of str to float, optional
        A number known for each model, higher for better, such as an accuracy on another task. It
        becomes a column, which ``consensus`` can include, and :meth:`Ranking.shortlist` uses it.
        It may have other models too, but needs a number for every model here.
    costs : mapping of str to mapping of str to float, optional
        Costs by name and model, such as ``{"parameters": {"resnet50": 25.6e6}}``, for
        :meth:`Ranking.pareto`. Lower is better, except for names that end in "per_second".
    race : bool or Race, default=False
        Score all models on a few rows, and only those that may still be among the best on more.
        ``Ranking.race`` reports the rounds; :class:`transferability.Race` has the options.
    **options
        Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

    Returns
    -------
    ranking : Ranking
        A model that fails is a row at the end, with its reason in ``error``; it does not stop
        the others. Ties are sorted by name.

    Raises
    ------
    DataError, DtypeError
        Invalid labels, metrics or options, which concern all models.

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
    check_columns(models, prior, costs)
    from .._racing.features import FeatureRacer
    from .._racing.race_options import read_race

    if (chosen := read_race(race)) is not None and groups is not None:
        raise DataError("a race draws single rows, not groups of rows; leave out groups or race")
    if any(isinstance(model, Stats) for model in models.values()):
        others = {
            "labels": labels,
            "source_probs": source_probs,
            "source_labels": source_labels,
            "label_embeddings": label_embeddings,
            "groups": groups,
        }
        if chosen is not None:
            raise DataError("models holds Stats, which have no rows to race; leave out race")
        check_aggregate(aggregate, has_groups=False)
        settings = Settings(precision, method, n_threads)
        states = read_stats(models, others, task)
        ranking = rank_stats(states, metrics, options, settings, baselines=baselines)
        return add_columns(ranking, metrics, prior, costs)
    stop = _core.Stop()
    settings = Settings(precision, method, n_threads, stop)
    files = LabelFiles()
    if labels is None and label_embeddings is None:
        models, labels, files = _read_own_labels(models)
    elif names_labels(labels):
        labels, files = read_label_files(labels)  # type: ignore[arg-type]
    shared = _read_shared(models, labels, task, label_embeddings)
    target = shared.target
    sources = {"source_probs": source_probs, "source_labels": source_labels}
    provided = {"pool", "stats", "class_scatters", "samples", *shared.provides()}
    if source_probs is not None:
        provided |= {"source_stats", "source_probs"}
    if source_labels is not None:
        provided |= {"source_labels"}
    planned = plan(metrics, target.task, options, provided, baselines=baselines)
    if not planned[0]:
        raise DataError(f"no metric applies to a {target.task} task")
    index = check_model_rows(models, shared.index)
    check_rows(index, groups=groups)
    parts = read_groups(groups, target.n_samples, aggregate)
    known = (*target.warnings, *check_groups(parts, target, planned[0]))
    shared = shared if parts is None else replace(shared, groups=parts.ids)
    evaluate_model = evaluate if parts is None else functools.partial(evaluate_groups, parts)
    of_each = threads_of_each(len(models), settings.threads) if chosen is None else n_threads
    run = functools.partial(evaluate_model, settings=replace(settings, n_threads=of_each))

    def read(name: str) -> Inputs:
        if name not in models:
            raise DataError(f"{name!r} is no longer among the models that were ranked")
        own = {key: given.get(name) for key, given in sources.items() if given is not None}
        return _read_model(models[name], own, shared, files)

    def score(name: str) -> Row:
        with RowBuilder(name, planned[0], known) as builder:
            stage("reading")
            given = read(name)
            if groups is not None and given.files is not None:
                given.files.check_order("groups")
            builder.shape, builder.notes = given.shape, given.notes
            stage("scoring")
            builder.outcomes = evaluate_available(given, planned[0], run)
        return builder.build().replace(inputs=functools.partial(read_again, name))

    def read_again(name: str) -> Inputs:
        return read(name).in_memory()

    raced, scored = None, target
    if chosen is None:
        ahead = read_ahead(models, 2 * settings.threads)
        with progress_bar(progress, len(models)) as display, ahead as announced:
            work = announced(display.watch(score))
            found = map_in_threads(work, models, settings.threads, stop, display.count)
            rows = pool_rows(found, planned[0])
    else:
        scoring = ScoringPlan(planned[0], settings, None, target)
        racer = FeatureRacer(read, scoring, metrics, progress)
        rows, raced, scored = racer.run([*models], chosen)
    ranking = Ranking(
        rows,
        metrics=tuple(planned[0]),
        task=target.task,
        task_note=target.note,
        digest=compute_digest(shared, planned, precision, parts),
        warnings=(
            *known,
            *note_models(planned[0], len(models)),
            *(() if raced is None else (raced.summary,)),
        ),
        skipped=planned[1],
        plan=ScoringPlan(planned[0], settings, parts, scored),
        race=raced,
    )
    return add_columns(ranking, metrics, prior, costs)


def note_models(metrics: Iterable[str], n_models: int) -> tuple[str, ...]:
    """Return what these metrics note about rankings of several models."""
    notes = (spec_of(name).among_models for name in metrics)
    return tuple(filter(None, notes)) if n_models > 1 else ()


def add_columns(
    ranking: Ranking,
    metrics: str | Sequence[str],
    prior: Mapping[str, float] | None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
) -> Ranking:
    """Add the costs, the prior, and the consensus for "recommended"."""
    if costs is not None:
        found = read_costs(costs, ranking.names)
        ranking = ranking.replace(rows=add_costs(ranking.rows, found))
    if prior is not None:
        values = read_prior(prior, ranking.names)
        ranking = ranking.replace(
            rows=add_prior(ranking.rows, values), metrics=(*ranking.metrics, PRIOR)
        )
    if not isinstance(metrics, str) or metrics != "recommended":
        return ranking
    if ranking.race is not None:  # each round has a consensus of its models
        return ranking.replace(metrics=(CONSENSUS, *ranking.metrics))
    members = [name for name in metric_names(metrics) if name in ranking.metrics]
    return ranking.consensus(members, decider=choose_decider(members))


def _read_shared(
    models: Mapping[str, object], labels: object, task: str, label_embeddings: object
) -> Inputs:
    """Read labels and their embeddings; without any, count the rows of the first model."""
    if labels is not None or label_embeddings is not None:
        return read_inputs(None, labels, task, label_embeddings=label_embeddings)
    for i, features in enumerate(models.values(), start=1):
        try:
            return Inputs(unlabelled(_load(features).shape[0]))
        except Exception:  # the others count
            if i == len(models):
                raise
    raise AssertionError("callers check that there are models")


def _load(features: object) -> Any:
    """Read the features of a model, or open its files."""
    if isinstance(features, Source):
        return features.load()
    if is_paths(features) or isinstance(features, (str, os.PathLike)):
        return load_or_open(features)
    return features if isinstance(features, RowSource) else as_features(features)[0]


def _read_own_labels(
    models: Mapping[str, object],
) -> tuple[Mapping[str, object], object, LabelFiles]:
    """Return models, opened, with the labels that all of them have of their own, or None."""
    opened = {name: open_features(m) if is_pairs(m) else m for name, m in models.items()}
    own = {
        name: model.labels() if isinstance(model, FeatureSource) else None
        for name, model in opened.items()
    }
    if all(labels is None for labels in own.values()):
        return models, None, LabelFiles()
    return opened, check_same(own), LabelFiles(paired=True)


def _read_model(
    features: object, own: Mapping[str, Any], shared: Inputs, files: LabelFiles
) -> Inputs:
    """Read the inputs of one model and add those that all models share."""
    listed = True
    if isinstance(features, Source):
        features = features.load()
    elif is_pairs(features):
        raise DataError("it holds pairs, which have their labels; leave out labels, or give paths")
    elif is_paths(features) or isinstance(features, (str, os.PathLike)):
        listed = is_listed(features)
        features = load_or_open(features)
    if isinstance(features, FeatureSource):
        features = FeatureSource(files.align(features.shards, listed))
        if shared.label_embeddings:
            features.check_order("label_embeddings")
    else:
        files.check_array()
    given = read_inputs(features, None, target=shared.target, index=shared.index, **own)
    return replace(given, label_embeddings=shared.label_embeddings, groups=shared.groups)


def compute_digest(
    shared: Inputs, planned: Plan, precision: str, groups: Groups | None = None
) -> str:
    """Return a hash of labels, their embeddings, metrics, options, precision and groups.

    Rankings compare if their digests are equal.
    """
    text = f"{shared.target.digest()}{planned[0]}{precision}"
    if groups is not None:
        text += f"{groups.aggregate}{groups.names}{groups.codes.tolist()}"
    state = hashlib.blake2b(text.encode(), digest_size=16)
    for name, view in shared.label_embeddings:
        state.update(f"{name}{view.shape}".encode())
        state.update((np.asarray(view, dtype=np.float64) + 0).tobytes())  # -0.0 as 0.0
    return state.hexdigest()
