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

from .._util.cache import Cache
from .._util.memory import peak_memory_with_device
from .._util.threads import set_num_threads
from ..errors import DataError, TransferabilityWarning
from .extract import ExtractionRun
from .job import MEAN, Job, JobResult, Report
from .keys import JobKeys, check_fit, compute_keys
from .recall import remember_model, watch_opening

__all__ = ["run_job", "run_job_in_subprocess"]

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
    if job.options.n_threads is not None:
        import torch

        torch.set_num_threads(job.options.n_threads)
        set_num_threads(job.options.n_threads)
    return run_job(job, report, is_isolated=True)


def run_job(job: Job, report: Report, is_isolated: bool = False) -> JobResult:
    """Compute the statistics that the cache lacks, and return the keys of all layers.

    In a process of its own, the model is remembered, so that later sweeps need not open it.
    """
    from ..models import open_model

    start = time.perf_counter()
    with _collect_warnings() as notes:
        report("loading", 0, len(job.data), 0.0, peak_memory_with_device())
        options = job.options
        with watch_opening(job) if is_isolated else nullcontext() as opening:
            model = open_model(
                job.model, device=options.device, dtype=options.dtype, max_length=options.max_length
            )
        try:
            check_fit(model, job.data)
            keys = compute_keys(model, job)
            if opening is not None:
                remember_model(job, model, opening, notes)
            return _complete_cache(job, model, keys, report, notes, start)
        finally:
            model.close()


def _complete_cache(
    job: Job, model: Any, keys: JobKeys, report: Report, notes: list[str], start: float
) -> JobResult:
    """Extract the layers that have no entry in the cache, in one run."""
    options, cache, files = keys.options, Cache(job.cache), job.needed_files()
    with cache.lock(keys.whole):  # two concurrent sweeps run a model once
        cached = {
            layer for layer, key in keys.layers.items() if job.resume and cache.get(key, files)
        }
        missing = tuple(layer for layer in keys.layers if layer not in cached)
        for damage in cache.damaged.values():
            notes.append(f"a damaged entry of the cache was computed again: {damage}")
        if missing:
            if MEAN not in missing:
                options = replace(options, layers=missing, average=False)
            found = ExtractionRun(model, job.data, options, report, notes).run()
            report("saving", len(job.data), len(job.data), 0.0, peak_memory_with_device())
            for layer in missing:
                meta = {
                    "name": job.name,
                    "layer": layer,
                    "pool": options.pool,
                    **found[layer].facts,
                    "seconds": time.perf_counter() - start,
                }
                cache.put(keys.layers[layer], meta, found[layer].files)
    return JobResult(keys.layers, tuple(dict.fromkeys(notes)), from_cache=not missing)


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
