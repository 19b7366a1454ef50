"""Rank models on raw data: extract features in subprocesses, cache statistics, score layers."""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from .._data.item_labels import SEGMENTATION, read_item_labels
from .._data.read import read_data
from .._inputs.arguments import check_counts, check_switches
from .._inputs.inputs import read_inputs
from .._inputs.types import ArrayLike, ByName, DataLike, ModelsLike
from .._racing.race_options import Race, read_race
from .._racing.rounds import choose_deciders
from .._ranking.extra_columns import check_columns, pool_rows
from .._ranking.rank import add_columns, compute_digest, note_models
from .._ranking.ranking import Ranking
from .._ranking.row import Row, ScoringPlan, build_failed_row, describe_error
from .._scoring.evaluate import Settings
from .._scoring.groups import check_left_out
from .._util.cache import Cache
from .._util.stages import listen
from ..errors import MissingDependencyError
from .checks import check_choices, check_device, check_fit
from .fork_server import get_server
from .in_flight import create_marks, describe_marks
from .job import ExtractionOptions, Job, JobResult, check_layers, check_pools
from .layer_scores import LayerScoringPlan, score_layers
from .plan import expand_models, plan_sweep
from .progress import Sweep, SweepProgress
from .race import ModelRacer, check_race
from .recall import are_remembered
from .subprocess import ProcessDied, TaskFailed, raise_if_importing_script, run_isolated
from .worker import list_libraries, recall_job, run_job, run_job_in_subprocess

__all__ = ["rank_models"]

_NO_GROUPS = (
    "only the words of texts have groups here, their texts; extract the features, and rank them by "
    "rank(..., groups=...)"
)


def rank_models(
    models: ModelsLike,
    data: DataLike,
    label: str | Sequence[str] | None = None,
    *,
    task: str = "auto",
    text: str | Sequence[str] | None = None,
    split: str | None = None,
    encoding: str | None = None,
    quoting: str | int | None = None,
    layers: str | Sequence[str] = "default",
    aggregate: str = "last",
    pool: str | Sequence[str] | None = None,
    bag: str | ArrayLike | None = None,
    bag_pool: str = "mean",
    window: int | None = None,
    stride: int | None = None,
    metrics: str | Sequence[str] = "logme",
    batch_size: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    amp: str | None = None,
    compile: bool = False,
    max_length: int | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    bio: str = "strip",
    positions: int = 64,
    ignore: Collection[int] = (),
    label_embeddings: ByName | None = None,
    outputs: bool = False,
    keep_features: bool = False,
    cache: bool | str | os.PathLike[str] = True,
    resume: bool = True,
    isolate: bool = True,
    progress: SweepProgress = None,
    n_threads: int | None = None,
    prior: Mapping[str, float] | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    race: bool | Race = False,
    **options: Any,
) -> Ranking:
    """Run models on raw data and rank them by transferability metrics, best first.

    Every model runs in a subprocess and stores the statistics of its features in a
    content-addressed cache. A model that crashes, runs out of memory or cannot be loaded becomes a
    row with the reason. If a call is interrupted, even by ``kill -9``, the same call resumes from
    the cache.

    Parameters
    ----------
    models : str, sequence of str, or mapping of str to model
        Names such as "timm:vit_*", "hf:bert-base-uncased" or "module:function", also with
        wildcards; ``help(transferability.models)`` lists the sources. The values of a mapping are
        models as :func:`transferability.models.open_model` takes them.
    data : tuple, data set, table or path
        (inputs, labels); a ``datasets.Dataset``; a torch data set of (input, label); a pandas or
        polars frame, an Arrow table or a dict of columns; a folder with one subfolder of images or
        sounds for each class, also below train/ and val/; a .csv, .tsv, .jsonl, .ndjson, .parquet
        or .pq file. Inputs are texts, pairs of texts, lists of words, images, sounds with their
        sampling rate, paths of images or sounds, or arrays.
    label, text : str or sequence of str, optional
        Columns of a table: the label, or several targets; the text, or two for pairs of texts.
        Default: "label" and "text", or other usual names.
    split : str, optional
        Split of a folder with subfolders such as train/ and val/, or of a dict of data sets. "all"
        reads all splits of a folder. Default: the training split of a folder, or else the first of
        validation and test; ``ranking.warnings`` says which.
    encoding : str, optional
        Encoding of a .csv, .tsv, .jsonl or .ndjson file. Default: UTF-8, or by its byte order mark.
    quoting : {"minimal", "none"}, optional
        Whether quotes in a .csv or .tsv file enclose cells or are part of the texts. Default: by
        the file; one where a quote would join rows is refused.
    task : str, default="auto"
        Task of the labels: "classification", "regression" (also with several targets, such as
        keypoints), "multilabel", "token" (a tag or a number for each word; the default for lists
        of words), or "segmentation" (a class or a number for each pixel).
    layers : {"default", "last", "all"} or sequence of str, default="default"
        Layers to score. "default" is the layer that the model's library uses as features, and "all"
        are the stem and the blocks.
    aggregate : {"last", "mean", "best"}, default="last"
        Scores in the row of a model with several layers: the scores of the last layer, of the mean
        of the layers' features (of one width), or of the layer where the first metric is highest.
    pool : str or sequence of str, optional
        Pooling of tokens or positions, one of ``transferability.torch.POOLS``. Default: each
        model's own. Several, such as ``["cls", "mean", "max"]``, or "all" that fit each layer, are
        computed in the same pass; ``row.layers`` then has the scores by "layer/pooling", or "layer"
        where features are 2-D. The first pooling, or with "all" the default, is that of the
        model's row, unless ``aggregate="best"`` selects among all.
    bag : str or array-like, optional
        What has one label but several rows: a slide, a recording, a protein, a document. The column
        of a table with the id of each row's bag, or an array of these ids. The features of a bag
        are pooled to one row; its rows need not be adjacent.
    bag_pool : {"mean", "max", "mean_std", "mean_max", "logsumexp"}, default="mean"
        Pooling of the rows of a bag, as in :func:`transferability.pool_bags`.
    window, stride : int, optional
        Cut texts and series that are longer into windows of so many tokens, special tokens
        included, or time steps. The features of an item are the mean over its windows. Windows
        begin every `stride` tokens, by default side by side; the last one ends with the item. A
        model that reads fewer has windows of that length. Default: longer texts and series
        are truncated to what the model reads, and the row notes how many.
    metrics : str or sequence of str, default="logme"
        Metrics to compute; models are sorted by the first one. "all" selects the metrics that
        apply; it includes metrics of samples only with `keep_features`, and metrics of the models'
        own classes only with `outputs`. "recommended" as in :func:`transferability.rank`.
    batch_size : int, optional
        Number of items in a batch; halved when memory runs out. Default: 32, and for tokenised
        texts as many as have 2,048 tokens, padding included, on a CPU, and 16,384 on other devices,
        but at most 512 texts. Texts of similar length are batched together, also with a
        `batch_size`; the statistics see them in the order of the data.
    device, dtype, max_length : optional
        As in :func:`transferability.models.open_model`.
    amp : {"bfloat16", "float16"}, optional
        Number format of automatic mixed precision. Default: none. Features of a small text encoder
        change by 0.6 % of their standard deviation with bfloat16, and by 0.08 % with float16.
    compile : bool, default=False
        Whether the blocks of a model are compiled by ``torch.compile``, which takes up to a minute
        per model and so pays with many rows only. If it fails, the model runs without it, with a
        note.
    max_samples, seed : int
        Maximum number of rows, or bags, the same for all models, drawn at random by `seed`.
        Defaults: all rows, and 0.
    bio : {"strip", "keep"}, default="strip"
        Whether to remove the marks of chunks, so that B-x and I-x are one class, if all tags are
        one chunk scheme (BIO, IOB1, IOE, BIOES, BILOU, BMES, BMEWO; also B_x or x-B). The ranking's
        ``task_note`` names the scheme.
    positions : int, default=64
        For segmentation, the maximum number of positions of each image, drawn by `seed`.
    ignore : collection of int, default=()
        For segmentation, labels of pixels to leave out in addition to -100; often 255.
    label_embeddings : array-like or mapping, optional
        As in :func:`transferability.rank`.
    outputs, keep_features : bool, default=False
        Whether to store the outputs of each model's own head, and the features, in the cache.
        Metrics that need them switch them on. :meth:`Ranking.stability` needs the features, and
        resamples the words of a text together.
    cache : bool or path, default=True
        Folder of the cache. True: TRANSFERABILITY_CACHE, else ``transferability`` in the user's
        cache folder. False: a temporary folder.
    resume : bool, default=True
        Whether to use entries of the cache. Keys are hashes of the model's weights, code and
        preprocessing, of layer, pooling and options, and of every input and label.
    isolate : bool, default=True
        Whether models run in subprocesses. On Linux these are forked from a process that has
        imported torch. It ends with this one, or after five minutes without a model.
    progress : bool or callable, optional
        None: a bar in a notebook, and a line on a terminal if tqdm is installed. A callable gets a
        ``SweepState``: model i of m, stage, rows per second, time left, peak memory.
    n_threads : int, optional
        Number of threads of each model and of scoring.
    prior, costs : optional
        As in :func:`transferability.rank`, by the names of the rows. Costs are added to those that
        are measured, and replace measured ones of the same name.
    race : bool or Race, default=False
        Run all models on a few rows, and only those that may still be among the best on more.
        ``Ranking.race`` reports the rounds and the forward passes; :class:`transferability.Race`
        has the options. True takes `seed`. Every round loads its models again, and keeps their
        features in the cache. Not for words and pixels.
    **options
        Options of the metrics.

    Returns
    -------
    ranking : Ranking
        ``row.layer`` names the layer of a row's scores, with its pooling if there are several;
        ``row.layers`` has the scores of all layers and poolings. ``row.from_cache`` is true if the
        model did not run. ``row.costs`` has "parameters", "rows_per_second" and "memory" in bytes,
        as measured when the model ran, for :meth:`Ranking.pareto`.

    Raises
    ------
    DataError, DtypeError
        If an argument that concerns all models is wrong: data, labels, metrics or options. No model
        is loaded then.
    MissingDependencyError
        If torch is not installed.

    Notes
    -----
    With ``aggregate="best"`` a row has the maximum over layers. It is biased upwards, and the bias
    grows with the number of layers, which a note in the row states.

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
    raise_if_importing_script()
    if find_spec("torch") is None:  # torch is imported by the models' subprocesses only
        raise MissingDependencyError("models need torch: pip install 'transferability[hub]'")
    check_choices(aggregate, bio, bag, bag_pool, cache, progress)
    switches = check_switches(resume=resume, isolate=isolate)
    resume, isolate = switches["resume"], switches["isolate"]
    check_counts(max_samples=max_samples, positions=positions)
    extraction = ExtractionOptions(
        layers=check_layers(layers),
        average=aggregate == "mean",
        pool=check_pools(pool),
        bag_pool=None if bag is None else bag_pool,
        window=window,
        stride=stride,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        amp=amp,
        compile=compile,
        max_length=max_length,
        keep_features=keep_features,
        outputs=outputs,
        positions=positions if task == SEGMENTATION else None,
        ignore=ignore,  # type: ignore[arg-type]  # validated there
        seed=seed,
        n_threads=n_threads,
    )
    check_fit(extraction, task)
    chosen = read_race(race, seed)
    named = expand_models(models)
    check_columns(named, prior, costs)
    root = Cache(None if cache is True else cache).root if cache is not False else None
    is_needed = not (resume and are_remembered(named.values(), extraction, root))
    if isolate:  # libraries are imported while the data are read
        get_server().prepare(list_libraries(named.values()), start=is_needed)
    with closing(Sweep(progress, len(named))) as display:
        display.tell("opening the data")
        whole = read_data(
            data, label, text, task, split=split, encoding=encoding, quoting=quoting, bag=bag
        )
    check_fit(extraction, task, whole)
    drawn = whole.sample(max_samples, seed)
    labelled = read_item_labels(drawn, task, bio, extraction.ignore, whole)
    target, n_rows = labelled.target, labelled.n_rows
    shared = read_inputs(None, None, label_embeddings=label_embeddings, target=target)
    (requests, skipped), extraction = plan_sweep(
        metrics, options, shared, extraction, has_rows=n_rows is not None
    )
    check_left_out(requests, labelled.groups, _NO_GROUPS)
    if labelled.groups is not None:
        shared = replace(shared, groups=labelled.groups.ids)
    if chosen is not None:
        check_race(labelled.data, n_rows)
        extraction = replace(extraction, keep_features=True)
    if is_needed:
        check_device(device, named.values(), isolate)
    scoring = LayerScoringPlan(requests, shared, aggregate)
    plan = ScoringPlan(requests, Settings(n_threads=n_threads), labelled.groups, target)
    raced = None
    with ExitStack() as stack:
        if root is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="transferability-"))
        else:
            folder = os.fspath(root)
        sweep = stack.enter_context(closing(Sweep(progress, len(named))))
        sweep.report("reading", 0, len(drawn))
        digest = labelled.data.digest()
        jobs = [
            Job(
                name=name,
                model=model,
                data=labelled.data,
                digest=digest,
                options=extraction,
                cache=folder,
                is_kept=cache is not False,
                resume=resume,
                n_rows=n_rows,
            )
            for name, model in named.items()
        ]
        if chosen is None:
            score = functools.partial(score_layers, plan=scoring)
            found = [_rank_one(job, score, isolate, sweep) for job in jobs]
            rows = pool_rows(found, requests)
        else:
            run = functools.partial(_rank_one, isolate=isolate, sweep=sweep)
            deciders = choose_deciders(metrics, requests)
            racer = ModelRacer({job.name: job for job in jobs}, scoring, plan, deciders, run, sweep)
            rows, raced, of_finalists = racer.run(chosen)
            plan = replace(plan, target=of_finalists)
    warnings = target.warnings + whole.notes + note_models(requests, len(named))
    if whole.bags is not None:
        warnings += (f"{len(drawn):,} rows in {drawn.n_rows:,} bags, pooled by {bag_pool!r}",)
    if len(drawn) < len(whole):
        kind = "rows" if whole.bags is None else "bags"
        warnings += (f"{drawn.n_rows:,} of {whole.n_rows:,} {kind}, drawn by seed {seed}",)
    if raced is not None:
        warnings += (raced.summary,)
    ranking = Ranking(
        rows,
        metrics=tuple(requests),
        task=target.task,
        task_note=target.note,
        digest=compute_digest(shared, (requests, skipped), "double" if n_rows else digest),
        warnings=warnings,
        skipped=skipped,
        plan=plan,
        race=raced,
    )
    return add_columns(ranking, metrics, prior, costs)


def _rank_one(job: Job, score: Callable[[Job, JobResult], Row], isolate: bool, sweep: Sweep) -> Row:
    """Run and score one model; any failure becomes the error of its row."""
    start, from_cache = time.perf_counter(), False
    sweep.start_model(job.name)
    try:
        result = recall_job(job)
        if result is not None:
            sweep.report("cached", len(job.data), len(job.data))
        elif isolate:
            result = _run_in_process(job, sweep)
        else:
            result = run_job(job, sweep.report)
        from_cache = result.from_cache
        sweep.report("scoring", len(job.data), len(job.data))
        with listen(sweep.tell):
            row = score(job, result)
        if from_cache:
            row = row.replace(from_cache=True, notes=("from the cache", *row.notes))
    except (ProcessDied, TaskFailed) as error:
        row = build_failed_row(job.name, str(error))
    except Exception as error:  # a failing model does not stop the sweep
        row = build_failed_row(job.name, " ".join(describe_error(error).split()))
    sweep.finish_model(from_cache)
    return row.replace(seconds=time.perf_counter() - start)


def _run_in_process(job: Job, sweep: Sweep) -> JobResult:
    """Run a model in a process of its own; if that dies, the reason names the items in flight."""
    with create_marks() as path:
        task = replace(job, marks=path)
        try:
            result: JobResult = run_isolated(
                run_job_in_subprocess, task, sweep.report, get_server().start
            )
        except ProcessDied as error:
            doing = describe_marks(path, job.data)
            items = f", {doing}" if doing else ""
            raise ProcessDied(f"{error}, {sweep.where()}{items}") from error
        return result
