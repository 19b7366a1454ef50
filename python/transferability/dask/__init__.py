"""Statistics and rankings on a Dask cluster: one task per shard, merged by a tree reduction.

Workers read the shards and merge their statistics pair by pair, in the order of the shards. Only
the merged statistics, or the scores, are sent to the client. The result is the same to the last bit
for any number of workers, and if workers are lost.

Needs ``pip install 'transferability[dask]'`` on the client, the scheduler and the workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from .._inputs.arrays import check_choice
from .._inputs.inputs import Inputs
from .._inputs.types import ArrayLike, PathLike
from .._metric.plan import plan
from .._metric.registry import spec_of
from .._ranking.extra_columns import pool_rows
from .._ranking.rank import add_columns, compute_digest
from .._ranking.ranking import Ranking
from .._ranking.row import Row, build_failed_row, check_models
from .._stats.stats import PRECISIONS, Stats
from .._util.progress import Progress, progress_bar
from .._util.public import present
from ..errors import DataError
from . import _tasks as tasks
from ._job import Job

__all__ = ["rank", "stats"]

#: A path, a list of paths in the order of the rows, pairs, a FeatureSource, or a dask array.
Features: TypeAlias = Any


def stats(
    client: Any,
    features: Features,
    labels: ArrayLike | PathLike | None = None,
    *,
    task: str = "auto",
    class_scatters: bool = False,
    precision: str = "double",
    retries: int = 2,
) -> Stats:
    """Compute the statistics of features in shards on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        A client of a running cluster, remote or local.
    features : path, sequence of paths or pairs, FeatureSource, or dask array
        Files or folders as in :func:`transferability.io.open_features`, which the workers must see
        under the same names, also as pairs ``[(x, y), ...]`` with their labels; the result of that
        function; or a dask array (n_samples, n_features). One task reads one file or one chunk of
        rows.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), path or sequence of paths
        Labels of all rows, in the order of the shards: an array, a dask array or series, or files,
        as in :func:`transferability.io.open_features`. None only if `features` are pairs or were
        opened with labels, or if the task is "unlabelled".
    task : {"auto", "classification", "regression", "multilabel", "unlabelled"}, default="auto"
        The kind of the labels; "auto" decides when a score is asked for, from all labels.
        "unlabelled" reads the features alone.
    class_scatters, precision
        As in :class:`transferability.Stats`.
    retries : int, default=2
        Number of times that a shard is read again after an error that does not concern the data,
        such as a file system error. Shards of lost workers are read again in any case.

    Returns
    -------
    stats : Stats
        Statistics of all rows, as from one process.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`, with the file and the row. If several shards fail, the
        error of the first is raised.

    Examples
    --------
    >>> import numpy as np, dask.array, distributed, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(100, 5))
    >>> labels = features[:, 0] > 0
    >>> with distributed.Client(processes=False, dashboard_address=None) as client:
    ...     shards = dask.array.from_array(features, chunks=(25, 5))
    ...     collected = tx.dask.stats(client, shards, labels)
    >>> bool(np.isclose(collected.score("logme"), tx.logme(features, labels)))
    True
    """
    check_choice("precision", precision, PRECISIONS)
    options = {"class_scatters": class_scatters, "precision": precision}
    with Job(client, {"features": features}, labels, task, retries) as job:
        found = job.find_shards()["features"]
        if isinstance(found, Exception):
            raise found
        merged = job.result(job.compute(job.plan_statistics(found, options)))
        # A copy, because a cluster within this process may share the sums with a worker.
        return tasks.set_threads(tasks.attach_labels(merged, job.target), None).copy()


def rank(
    client: Any,
    models: Mapping[str, Features],
    labels: ArrayLike | PathLike | None = None,
    metrics: str | Sequence[str] = "logme",
    *,
    task: str = "auto",
    precision: str = "double",
    baselines: bool = False,
    prior: Mapping[str, float] | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    progress: Progress = None,
    retries: int = 2,
    **options: Any,
) -> Ranking:
    """Rank models, best first, by features in shards, on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        A client of a running cluster, remote or local.
    models : mapping of str to path, sequence of paths or pairs, FeatureSource or dask array
        The features of each model, as :func:`stats` takes them. Models may have different shards.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), path or sequence of paths
        Shared by all models, as in :func:`stats`. None only if every model has the same of its own.
    metrics : str or sequence of str, default="logme"
        Models are sorted by the first one. "all" takes every metric that needs statistics only.
    task, precision, retries
        As in :func:`stats`.
    baselines, prior, costs, progress
        As in :func:`transferability.rank`.
    **options
        Options of the metrics, for example ``intercept`` of LogME.

    Returns
    -------
    ranking : Ranking
        The scores are computed on the workers too. A model that fails is a row at the end, with its
        reason in ``error``. ``+`` merges the ranking with another of the same rows, labels,
        metrics and options, also with one from :func:`transferability.rank`.

    Raises
    ------
    DataError, DtypeError
        For invalid labels, metrics or options, which concern all models.

    Examples
    --------
    >>> import numpy as np, dask.array, distributed, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> good, poor = rng.normal(size=(80, 6)), rng.normal(size=(80, 6))
    >>> models = {"poor": poor, "good": good}
    >>> with distributed.Client(processes=False, dashboard_address=None) as client:
    ...     shards = {name: dask.array.from_array(x, chunks=(20, 6)) for name, x in models.items()}
    ...     ranking = tx.dask.rank(client, shards, good[:, 0] > 0)
    >>> ranking.names
    ('good', 'poor')
    """
    check_models(models)
    check_choice("precision", precision, PRECISIONS)
    with Job(client, models, labels, task, retries) as job:
        job.target = target = job.target.decide().without_constant()
        provided = {"pool", "stats", "class_scatters"}
        planned = plan(metrics, target.task, options, provided, baselines=baselines)
        if not planned[0]:
            raise DataError(f"no metric applies to a {target.task} task")
        with progress_bar(progress, len(models)) as advance:
            rows: list[Row] = []
            for row in _rows(job, planned[0], precision):
                rows.append(row)
                advance(len(rows), len(models), row.name)
    ranking = Ranking(
        pool_rows(rows, planned[0]),
        metrics=tuple(planned[0]),
        task=target.task,
        task_note=target.note,
        # Without labels the target has the number of rows only now.
        digest=compute_digest(Inputs(job.target), planned, precision),
        warnings=target.warnings,
        skipped=planned[1],
    )
    return add_columns(ranking, metrics, prior, costs)


def _rows(job: Job, requests: Mapping[str, dict[str, Any]], precision: str) -> Iterator[Row]:
    """Start all models and iterate over their rows as they finish; a failed model is a row too."""
    scatters = any("class_scatters" in spec_of(name).needs for name in requests)
    options = {"class_scatters": scatters, "precision": precision}
    labels = job.send(job.target.without_rows())
    running: dict[Any, str] = {}
    for name, found in job.find_shards().items():
        if isinstance(found, Exception):
            yield build_failed_row(name, found)
        else:
            merged = job.plan_statistics(found, options)
            scored = job.delay(tasks.score_model, name, merged, labels, requests)
            running[job.compute(scored)] = name
    for future in job.as_completed(running):
        try:
            yield job.result(future)
        except Exception as error:
            yield build_failed_row(running[future], error)


present(globals())
