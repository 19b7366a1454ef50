"""Run one model of a sweep: load it, extract features, and store their statistics in the cache.

The parent process reads the statistics from the cache. A sweep that is killed therefore loses only
the model that is running.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from .._data.data import MEDIA, Data, kind_of_file
from .._util.cache import Cache
from .._util.memory import peak_memory_with_device
from .._util.threads import set_num_threads
from ..errors import DataError, TransferabilityWarning
from ..torch._names import ALL
from .costs import COSTS, measure_costs
from .entries import EntryPlan
from .extract import ExtractionRun
from .in_flight import ItemMarks
from .job import ExtractionOptions, Job, JobResult, Report
from .recall import recall_model, remember_model, watch_opening

__all__ = ["list_libraries", "recall_job", "run_job", "run_job_in_subprocess"]

#: Part of every cache key. Increment it when statistics of equal inputs change between versions,
#: and with the version of state files: an entry of the earlier one cannot be read.
_FORMAT = 2
#: Modules that every model's process imports.
_LIBRARIES = (
    *("torch", "filelock", "transferability._sweep.worker", "transferability.models"),
    *("transferability.torch", "transferability.torch._feeding"),
)


def list_libraries(models: Iterable[object]) -> list[str]:
    """List the modules that the processes of the models import and that take long."""
    from ..models._sources import find_source

    found = dict.fromkeys(_LIBRARIES)
    for model in models:
        if isinstance(model, (str, os.PathLike)):
            with suppress(DataError):  # the model's row has the reason
                _, source = find_source(os.fspath(model))
                found |= dict.fromkeys(source.libraries)
    return [*found]


def run_job_in_subprocess(job: Job, report: Report) -> JobResult:
    """Set the number of threads of this process, run the job, and remember its model."""
    # Tokenisers warn when a process forks after they have run threads, unless this is set.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if job.options.n_threads is not None:
        import torch

        os.environ.setdefault("RAYON_NUM_THREADS", str(job.options.n_threads))  # of tokenisers
        torch.set_num_threads(job.options.n_threads)
        set_num_threads(job.options.n_threads)
    return run_job(job, report, is_isolated=True)


def recall_job(job: Job) -> JobResult | None:
    """Return the keys of all layers without opening the model.

    None if the model is not certain to be unchanged, or the cache lacks a layer.
    """
    known = recall_model(job) if job.resume else None
    if known is None:
        return None
    _check_fit(known, job.data)
    cache = Cache(job.cache, tidy=False)
    plan = _plan_entries(known, job, _resolve_options(known, job), cache)
    if plan.find_missing(resume=True) is not None:
        return None
    return JobResult(plan.keys(), known.notes, from_cache=True)


def run_job(job: Job, report: Report, is_isolated: bool = False) -> JobResult:
    """Compute the statistics that the cache lacks, and return the keys of all layers.

    In a process of its own, the model is remembered, so that later sweeps need not open it.
    """
    from ..models import open_model
    from ..models._own import keep_state

    start, own = time.perf_counter(), None if is_isolated else job.model
    with _collect_warnings() as notes, keep_state(own, job.options.dtype):
        report("loading", 0, len(job.data), 0.0, peak_memory_with_device())
        options = job.options
        with watch_opening(job) if is_isolated else nullcontext() as opening:
            model = open_model(
                job.model, device=options.device, dtype=options.dtype, max_length=options.max_length
            )
        try:
            _check_fit(model, job.data)
            if opening is not None:
                remember_model(job, model, opening, notes)
            return _complete_cache(job, model, report, notes, start)
        finally:
            if model is not job.model:  # a model that the user has opened stays open
                model.close()


def _complete_cache(
    job: Job, model: Any, report: Report, notes: list[str], start: float
) -> JobResult:
    """Extract the layers that have no entry in the cache, in one run."""
    options = _resolve_options(model, job)
    cache = Cache(job.cache)
    plan = _plan_entries(model, job, options, cache)
    with cache.lock(plan.lock):  # two concurrent sweeps run a model once
        missing = plan.find_missing(job.resume)
        for damage in cache.damaged.values():
            notes.append(f"a damaged entry of the cache was computed again: {damage}")
        if missing is not None:
            with measure_costs(model, len(job.data)) as costs:
                marks = ItemMarks(job.marks)
                found = ExtractionRun(model, job.data, missing, report, notes, marks).run()
            report("saving", len(job.data), len(job.data), 0.0, peak_memory_with_device())
            facts = {"name": job.name, COSTS: costs, "seconds": time.perf_counter() - start}
            plan.write(found, **facts)
    return JobResult(plan.keys(), tuple(dict.fromkeys(notes)), from_cache=missing is None)


def _plan_entries(model: Any, job: Job, options: ExtractionOptions, cache: Cache) -> EntryPlan:
    """Return the entries of the cache that a job needs, by a model or what is known of it."""
    facts = {"format": _FORMAT, "model": model.fingerprint(), "data": job.digest}
    if model.batch_size is not None and options.batch_size not in (None, model.batch_size):
        facts["batch_size"] = options.batch_size  # the items of a batch change each other
    return EntryPlan(cache, options, facts, job.needed_files(), _own_pool(model, job))


def _resolve_options(model: Any, job: Job) -> ExtractionOptions:
    """Replace layers and pooling by their names for this model."""
    options, pool = job.options, _own_pool(model, job)
    layers = _resolve_layers(model, options.layers, job.data.is_token)
    if options.pool is not None and not (options.pool == ALL and options.positions is not None):
        pool = options.pool
    return replace(options, layers=layers, pool=pool)


def _own_pool(model: Any, job: Job) -> Any:
    """Return the pooling of a model where none is given: of words, positions or whole items."""
    if job.options.positions is not None:
        return "nhwc_none" if model.default_pool.startswith("nhwc") else "none"
    return "first_subword" if job.data.is_token else str(model.default_pool)


def _resolve_layers(model: Any, layers: str | tuple[str, ...], is_token: bool) -> tuple[str, ...]:
    """Return the names of layers, in the model's order unless the user gave names."""
    known, default = tuple(model.layers), model.default_layer
    if is_token:  # an embedding of the sentence has no row for each word
        known = tuple(name for name in known if not name.endswith("sentence_embedding"))
        default = default if default in known or default not in model.layers else known[-1]
    if not isinstance(layers, str):
        return layers
    return {"default": (default,), "last": known[-1:], "all": known}.get(layers, (layers,))


def _check_fit(model: Any, data: Data) -> None:
    """Raise DataError if the model cannot read the items."""
    read = {"text": "texts", "image": "images", "audio": "sounds"}
    if model.kind != data.kind and model.kind in read and data.kind in read:
        first = data.items[0] if data.kind == "text" else None
        meant = kind_of_file(first)
        found = f"; {first!r} is no file, if {MEDIA[meant][1]}s are meant" if meant else ""
        raise DataError(
            f"this model reads {read[model.kind]}, and the data are {read[data.kind]}{found}"
        )
    if model.kind == "saved" and model.n_samples != data.n_original:
        raise DataError(
            f"there are {model.n_samples} rows of saved features for {data.n_original} rows of data"
        )


@contextmanager
def _collect_warnings() -> Iterator[list[str]]:
    """Collect this package's warnings as notes; other warnings are shown as usual."""
    notes: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.simplefilter("always", TransferabilityWarning)

        def collect(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, TransferabilityWarning):
                notes.append(str(message))
            else:
                show(message, category, *rest, **more)

        warnings.showwarning = collect
        yield notes
