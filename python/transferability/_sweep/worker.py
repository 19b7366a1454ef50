"""Run one model of a sweep: load it, extract features, and store their statistics in the cache.

The parent process reads the statistics from the cache. A sweep that is killed therefore loses only
the model that is running.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .._data.data import MEDIA, Data, kind_of_file
from .._util.cache import Cache, compute_key
from .._util.memory import peak_memory_with_device
from .._util.threads import set_num_threads
from ..errors import DataError, TransferabilityWarning
from .extract import ExtractionRun
from .job import MEAN, ExtractionOptions, Job, JobResult, Report

__all__ = ["run_job", "run_job_in_subprocess"]

#: Part of every cache key. Increment it when statistics of equal inputs change between versions,
#: and with the version of state files: an entry of the earlier one cannot be read.
_FORMAT = 2


def run_job_in_subprocess(job: Job, report: Report) -> JobResult:
    """Set the number of threads of this process, and run the job."""
    # Tokenisers warn when a process forks after they have run threads, unless this is set.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if job.options.n_threads is not None:
        import torch

        os.environ.setdefault("RAYON_NUM_THREADS", str(job.options.n_threads))  # of tokenisers
        torch.set_num_threads(job.options.n_threads)
        set_num_threads(job.options.n_threads)
    return run_job(job, report)


def run_job(job: Job, report: Report) -> JobResult:
    """Compute the statistics that the cache lacks, and return the keys of all layers."""
    from ..models import open_model

    start = time.perf_counter()
    with _collect_warnings() as notes:
        report("loading", 0, len(job.data), 0.0, peak_memory_with_device())
        options = job.options
        model = open_model(
            job.model, device=options.device, dtype=options.dtype, max_length=options.max_length
        )
        try:
            _check_fit(model, job.data)
            return _complete_cache(job, model, report, notes, start)
        finally:
            model.close()


def _complete_cache(
    job: Job, model: Any, report: Report, notes: list[str], start: float
) -> JobResult:
    """Extract the layers that have no entry in the cache, in one run."""
    options = _resolve_options(model, job)
    facts = {"format": _FORMAT, "model": model.fingerprint(), "data": job.digest}
    facts |= options.key_facts()
    keys = {layer: compute_key({**facts, "layer": layer}) for layer in options.layers}
    if options.average:  # the mean depends on the set of layers
        keys[MEAN] = compute_key({**facts, "layers": options.layers})
    cache, files = Cache(job.cache), job.needed_files()
    with cache.lock(compute_key(facts)):  # two concurrent sweeps run a model once
        cached = {layer for layer, key in keys.items() if job.resume and cache.get(key, files)}
        missing = tuple(layer for layer in keys if layer not in cached)
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
                cache.put(keys[layer], meta, found[layer].files)
    return JobResult(keys, tuple(dict.fromkeys(notes)))


def _resolve_options(model: Any, job: Job) -> ExtractionOptions:
    """Replace layers and pooling by their names for this model."""
    options, is_token = job.options, job.data.is_token
    if options.positions is not None:
        pool = "nhwc_none" if model.default_pool.startswith("nhwc") else "none"
    else:
        pool = "first_subword" if is_token else str(model.default_pool)
    layers = _resolve_layers(model, options.layers, is_token)
    return replace(options, layers=layers, pool=options.pool or pool)


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
