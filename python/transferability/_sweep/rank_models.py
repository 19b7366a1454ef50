"""Rank models by running them: from models and data to a table."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from .._data.data import read_data
from .._data.labels import SEGMENTATION, labelled
from .._inputs.arrays import check_choice
from .._inputs.inputs import Inputs
from .._ranking.extra_columns import pool_rows
from .._ranking.rank import add_columns, compute_digest
from .._ranking.ranking import Ranking
from .._ranking.row import Row, ScoringPlan, build_failed_row, describe_error
from .._scoring.evaluate import Settings
from .._util.cache import Cache
from ..errors import MissingDependencyError
from .layer_scores import AGGREGATES, row_of_layers
from .plan import (
    Kept,
    check_counts,
    named_layers,
    named_models,
    plan_sweep,
    shared_by_all,
)
from .progress import Sweep, SweepProgress
from .subprocess import Died, Failed, isolated, refuse_inside
from .worker import Job, run, run_alone

__all__ = ["rank_models"]


def rank_models(
    models: object,
    data: object,
    label: str | Sequence[str] | None = None,
    *,
    task: str = "auto",
    text: str | Sequence[str] | None = None,
    layers: str | Sequence[str] = "default",
    aggregate: str = "last",
    pool: str | None = None,
    metrics: str | Sequence[str] = "logme",
    batch_size: int = 32,
    device: str | None = None,
    dtype: str | None = None,
    amp: str | None = None,
    max_length: int | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    bio: str = "strip",
    positions: int = 64,
    ignore: Collection[int] = (),
    label_embeddings: object = None,
    outputs: bool = False,
    keep_features: bool = False,
    cache: bool | str | os.PathLike[str] = True,
    resume: bool = True,
    isolate: bool = True,
    progress: SweepProgress = None,
    n_threads: int | None = None,
    **options: Any,
) -> Ranking:
    """Run models over data and rank them, best first.

    Every model runs in a process of its own and leaves the statistics of its features in the
    cache. One that crashes, runs out of memory or is broken is a row with its reason. A sweep
    that was stopped, even by ``kill -9``, goes on where it was.

    Parameters
    ----------
    models : str, sequence of str, or mapping of str to model
        As :func:`transferability.models.open_model` takes them: ``timm:vit_*``, ``hf:name``,
        ``st:name``, ``torchvision:name``, ``onnx:file``, ``module:function``, a folder of saved
        features; in a mapping also modules themselves.
    data : tuple, data set, table or path
        (inputs, labels); a ``datasets.Dataset``; a torch data set of (input, label); a pandas
        frame; a folder with one subfolder of pictures for each class; a .csv, .tsv, .jsonl or
        .parquet file of texts. Inputs are texts, pairs of texts, lists of words, pictures or
        arrays.
    label : str or sequence of str, optional
        Column of a table; several for several targets. Default: "label" and the like.
    task : str, default="auto"
        What the labels are: "classification", "regression" (several targets and keypoints too),
        "multilabel"; "token", a tag or a number for each word, as which lists of words are read
        by themselves; or "segmentation", a class or a number for each pixel.
    text : str or pair of str, optional
        Column of a table, or two for pairs of texts. Default: "text" and the like.
    layers : {"default", "last", "all"} or sequence of str, default="default"
        "default" is what the model's library takes for its features, "all" its blocks.
    aggregate : {"last", "mean", "best"}, default="last"
        With several layers, which scores the model's row has: those of the last layer, of the
        layers' features averaged (they must have one width), or of the layer where the first
        metric is highest.
    pool : str, optional
        One of ``transferability.torch.POOLS``. Default: each model's own.
    metrics : str or sequence of str, default="logme"
        The first one sorts. "all" takes every metric that applies, of those that need the
        samples or the models' own classes only with `keep_features` or `outputs`. Or
        "recommended", as in :func:`transferability.rank`.
    batch_size : int, default=32
        Halved where memory does not suffice.
    device : str, optional
        Default: a GPU if there is one.
    dtype : {"float32", "float64", "float16", "bfloat16"}, optional
        Of the weights. Default: as the model's library loads them.
    amp : {"bfloat16", "float16"}, optional
        Automatic mixed precision.
    max_length : int, optional
        Tokens of a text, at most. Default: each model's own limit.
    max_samples : int, optional
        Rows, drawn at random with `seed`, the same for all models. Default: all.
    seed : int, default=0
        Of that draw.
    bio : {"strip", "keep"}, default="strip"
        Whether the tags B-x and I-x are one class.
    positions : int, default=64
        For segmentation: at most so many positions of each picture, drawn with `seed`.
    ignore : collection of int, default=()
        For segmentation: labels of pixels to leave out, beside -100; often 255.
    label_embeddings : array-like or mapping, optional
        As in :func:`transferability.rank`.
    outputs : bool, default=False
        Keep what each model's own head says of the rows; set by metrics that need it.
    keep_features : bool, default=False
        Keep the features in the cache, also for :meth:`Ranking.stability`, which resamples words
        by their texts; set by metrics that need the samples themselves.
    cache : bool or path, default=True
        True: TRANSFERABILITY_CACHE, else ``transferability`` in the user's folder for caches.
        False: nothing outlives the call.
    resume : bool, default=True
        Take from the cache what is there. Keys are hashes of the model's weights, code and
        preprocessing, of layer, pooling and options, and of every input and label.
    isolate : bool, default=True
        False runs the models in this process.
    progress : bool or callable, optional
        None: a line on a terminal where tqdm is installed. A callable gets a ``Progress``: model
        i of m, stage, rows a second, time left, peak memory.
    n_threads : int, optional
        Of each model and of scoring.
    **options
        Options of the metrics.

    Returns
    -------
    ranking : Ranking
        ``row.layer`` says which layer a row is of, ``row.layers`` has the scores of all.

    Raises
    ------
    DataError, DtypeError
        If the data, the labels, the metrics or the options are wrong: what concerns all models.

    Notes
    -----
    With ``aggregate="best"`` a model of many layers has more chances than one of few, so its
    value is too high; the row says of how many layers it is the best.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> from torch import manual_seed, nn
    >>> inputs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    >>> labels = inputs[:, 0] > 0
    >>> _ = manual_seed(0)
    >>> models = {
    ...     f"width {n}": nn.Sequential(nn.Linear(4, n), nn.Tanh(), nn.Linear(n, 2)) for n in (1, 8)
    ... }
    >>> ranking = tx.rank_models(models, (inputs, labels), cache=False, isolate=False)
    >>> ranking.names, ranking.best.layer, len(ranking.failed)
    (('width 8', 'width 1'), '2.input', 0)
    """
    refuse_inside()
    if find_spec("torch") is None:  # not imported here: that is for the models' processes
        raise MissingDependencyError("rank_models needs torch: pip install 'transferability[hub]'")
    check_choice("aggregate", aggregate, AGGREGATES)
    check_choice("bio", bio, ("strip", "keep"))
    counts = {"batch_size": batch_size, "positions": positions}
    check_counts(max_length=max_length, max_samples=max_samples, **counts)
    check_counts(least=0, seed=seed)
    layers = named_layers(layers)
    named = named_models(models)
    made = read_data(data, label, text, task)
    rows = len(made)
    made = made.picked(max_samples, seed)
    made, target, n_rows, groups = labelled(made, task, bio, ignore)
    shared = shared_by_all(label_embeddings, target)
    kept = Kept(keep_features, outputs, n_rows is not None)
    planned, settings = plan_sweep(metrics, target, options, kept, shared)
    settings |= {"task": target.task, "amp": amp}
    if task == SEGMENTATION:
        settings |= {"positions": positions, "ignore": tuple(ignore), "seed": seed}
    with ExitStack() as stack:
        if cache is False:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="transferability-"))
        else:
            folder = os.fspath(Cache(None if cache is True else cache).root)
        sweep = stack.enter_context(Sweep(progress, tuple(named)))
        sweep.reading(len(made))
        common = Job(
            name="",
            model=None,
            data=made,
            digest=made.digest(),
            cache=folder,
            n_rows=n_rows,
            layers=layers,
            average=aggregate == "mean",
            pool=pool,
            settings=settings,
            opening={"device": device, "dtype": dtype, "max_length": max_length},
            batch_size=batch_size,
            resume=resume,
            is_kept=cache is not False,
            n_threads=n_threads,
        )
        ranked = []
        for name, model in named.items():
            job = replace(common, name=name, model=model)
            ranked.append(_row(job, shared, planned[0], aggregate, isolate, sweep))
    drawn = () if rows == len(made) else (f"{len(made):,} of {rows:,} rows, drawn by seed {seed}",)
    how = Settings(n_threads=n_threads)
    ranking = Ranking(
        pool_rows(ranked, planned[0]),
        metrics=tuple(planned[0]),
        task=target.task,
        task_note=target.note,
        digest=compute_digest(target, planned, "double" if n_rows else common.digest, None),
        warnings=(*target.warnings, *drawn),
        skipped=planned[1],
        plan=ScoringPlan(planned[0], how, groups, target),
    )
    return add_columns(ranking, metrics, None)


def _row(
    job: Job,
    shared: Inputs,
    requests: Mapping[str, dict[str, Any]],
    aggregate: str,
    isolate: bool,
    sweep: Sweep,
) -> Row:
    """Run and score one model; whatever goes wrong becomes its row's error."""
    start = time.perf_counter()
    report = sweep.model(job.name)
    try:
        results = isolated(run_alone, job, report) if isolate else run(job, report)
        report("scoring", len(job.data), len(job.data), 0.0, 0)
        row = row_of_layers(job, results, shared, requests, aggregate)
    except Died as error:
        row = build_failed_row(job.name, f"{error}, {sweep.where()}")
    except Failed as error:
        row = build_failed_row(job.name, str(error))
    except Exception as error:  # one bad model never loses the sweep
        row = build_failed_row(job.name, " ".join(describe_error(error).split()))
    sweep.done()
    return row.replace(seconds=time.perf_counter() - start)
