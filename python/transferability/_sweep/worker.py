"""One model of a sweep: load it, run the data through it, leave its statistics in the cache.

What is handed over and reported is small: the statistics themselves go by way of the cache, so
that a sweep which is killed has lost the model under way and nothing else.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .._data.data import Data
from .._util.cache import Cache, compute_key
from .._util.threads import set_num_threads
from ..errors import DataError, TransferabilityWarning
from .extract import FEATURES, OUTPUTS, STATS, Pass, Report, peak

__all__ = ["MEAN", "Job", "Results", "files_of", "run", "run_alone"]

#: The layer whose rows are the mean of those of all layers that were asked for.
MEAN = "mean"
#: Settings that add a file and change no other: an entry with more files serves who wants fewer.
_KEPT = {"keep_features": FEATURES, "outputs": OUTPUTS}
#: Part of every key: raised when the same input would give other statistics than before.
_FORMAT = 1


@dataclass(frozen=True)
class Job:
    """What to do with one model; everything here pickles.

    Attributes
    ----------
    model : str or object
        As ``transferability.models.open_model`` takes it, with `opening`.
    layers : {"default", "last", "all"} or tuple of str
        Names within the model.
    average : bool
        Also the mean of these layers, as a layer named "mean".
    n_rows : int or None
        Rows that every model should give; None where that depends on its maps.
    is_kept : bool
        Whether the cache is there after the sweep.
    settings : mapping
        Arguments of ``transferability.torch.extract``; those that change numbers are in the keys.
    """

    name: str
    model: Any
    data: Data
    digest: str
    cache: str
    n_rows: int | None = None
    layers: str | tuple[str, ...] = "default"
    average: bool = False
    pool: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    opening: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    resume: bool = True
    is_kept: bool = True
    n_threads: int | None = None


@dataclass(frozen=True)
class Results:
    """Where the statistics of each layer are, from the first layer to the last."""

    keys: Mapping[str, str]
    notes: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()


def files_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the files that an entry needs to have."""
    return (STATS, *(file for name, file in _KEPT.items() if settings.get(name)))


def run_alone(job: Job, report: Report) -> Results:
    """Do the same in a process that is this job's own, with as many threads as it may have."""
    if job.n_threads is not None:
        import torch

        torch.set_num_threads(job.n_threads)
        set_num_threads(job.n_threads)
    return run(job, report)


def run(job: Job, report: Report) -> Results:
    """Compute what the cache does not have and say where everything is."""
    from ..models import open_model

    start = time.perf_counter()
    with _noted() as notes:
        report("loading", 0, len(job.data), 0.0, peak())
        model = open_model(job.model, **job.opening)
        try:
            _check_fit(model, job.data)
            results = _from_cache_or_model(job, model, report, notes, start)
        finally:
            model.close()
    return results


def _from_cache_or_model(
    job: Job, model: Any, report: Report, notes: list[str], start: float
) -> Results:
    layers, pool = _layers(model, job), _pool(model, job)
    common = {
        "format": _FORMAT,
        "model": model.fingerprint(),
        "data": job.digest,
        "pool": pool,
        "opening": {name: str(value) for name, value in job.opening.items() if name != "device"},
        **{name: repr(value) for name, value in job.settings.items() if name not in _KEPT},
    }
    keys = {layer: compute_key({**common, "layer": layer}) for layer in layers}
    if job.average:  # of other layers it is another mean
        keys[MEAN] = compute_key({**common, "layers": layers})
    cache, files = Cache(job.cache), files_of(job.settings)
    with cache.lock(compute_key(common)):  # so that two sweeps do not run one model twice
        there = {layer for layer, key in keys.items() if job.resume and cache.get(key, files)}
        missing = tuple(layer for layer in keys if layer not in there)
        for damage in cache.damaged.values():
            notes.append(f"a damaged entry of the cache was computed again: {damage}")
        if missing:
            average = MEAN in missing
            wanted = layers if average else missing
            found = Pass(model, job.data, wanted, pool, average, job, report, notes).run()
            report("saving", len(job.data), len(job.data), 0.0, peak())
            for layer in missing:
                about = {
                    "name": job.name,
                    "layer": layer,
                    "pool": pool,
                    **found[layer].pop("about"),
                }
                about["seconds"] = time.perf_counter() - start
                cache.put(keys[layer], about, found[layer])
    return Results(keys, tuple(dict.fromkeys(notes)), missing)


def _layers(model: Any, job: Job) -> tuple[str, ...]:
    """Name the layers, in the model's order where they are the model's to choose."""
    known, default = tuple(model.layers), model.default_layer
    if job.data.is_token:  # one row for each text has no place for words
        known = tuple(name for name in known if not name.endswith("sentence_embedding"))
        default = default if default in known or default not in model.layers else known[-1]
    if job.layers == "default":
        return (default,)
    if job.layers == "last":
        return known[-1:]
    if job.layers == "all":
        return known
    return (job.layers,) if isinstance(job.layers, str) else job.layers


def _pool(model: Any, job: Job) -> str:
    if "positions" in job.settings:
        return job.pool or ("nhwc_none" if model.default_pool.startswith("nhwc") else "none")
    if job.pool is None and job.data.is_token:
        return "first_subword"
    return job.pool or str(model.default_pool)


def _check_fit(model: Any, data: Data) -> None:
    if {model.kind, data.kind} == {"text", "image"}:
        raise DataError(f"this model reads {model.kind}s, and the data are {data.kind}s")
    if model.kind == "saved" and model.n_samples != data.n_given:
        raise DataError(
            f"there are {model.n_samples} rows of saved features for {data.n_given} rows of data"
        )


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Collect this package's warnings as notes; others go where they always go."""
    notes: list[str] = []
    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.simplefilter("always", TransferabilityWarning)

        def keep(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, TransferabilityWarning):
                notes.append(str(message))
            else:
                shown(message, category, *rest, **more)

        warnings.showwarning = keep
        yield notes
