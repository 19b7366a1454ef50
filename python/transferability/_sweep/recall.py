"""Find the statistics of a model in the cache without opening it, if it is certainly unchanged.

The cache remembers of every named model that was opened: its fingerprint, layers and pooling, and
the evidence by which it is recognised later (``models/_unchanged.py``). What is not certain is
opened, in its own process, as if nothing were remembered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .._util.cache import Cache, compute_key
from ..models._unchanged import (
    OpenedFiles,
    describe_opening,
    is_unchanged,
    name_facts,
    watch_files,
)
from .job import ExtractionOptions, Job, JobResult
from .keys import check_fit, compute_keys

__all__ = ["Opening", "are_remembered", "recall_job", "remember_model", "watch_opening"]


@dataclass(frozen=True)
class _KnownModel:
    """What cache keys and notes need of a model that was opened before."""

    digest: str
    kind: str
    layers: tuple[str, ...]
    default_layer: str
    default_pool: str
    n_samples: int | None  # rows of saved features

    def fingerprint(self) -> str:
        """Return the fingerprint that the model had when it was opened."""
        return self.digest


class Opening(NamedTuple):
    """The name under which a model is remembered, None for code, and what opening it has read."""

    name: str | None
    files: OpenedFiles


@contextmanager
def watch_opening(job: Job) -> Iterator[Opening]:
    """Record what is read while the model of a job is opened in a process of its own."""
    name = _name(job.model, job.options)  # before libraries set environment variables
    with watch_files() as files:
        yield Opening(name, files)


def remember_model(job: Job, model: Any, opening: Opening, notes: Sequence[str]) -> None:
    """Remember an open model, if there is evidence by which it will be recognised."""
    name, files = opening
    evidence = None if name is None else describe_opening(os.fspath(job.model), files)
    if name is None or evidence is None:
        return
    known = _KnownModel(
        digest=model.fingerprint(),
        kind=model.kind,
        layers=tuple(model.layers),
        default_layer=model.default_layer,
        default_pool=model.default_pool,
        n_samples=getattr(model, "n_samples", None),
    )
    facts = {"model": asdict(known), "evidence": evidence, "notes": [*notes]}
    Cache(job.cache).remember(name, facts)


def recall_job(job: Job) -> JobResult | None:
    """Return the keys of all layers; None if the model must be opened or a layer is not there."""
    name = _name(job.model, job.options) if job.resume else None
    cache = Cache(job.cache)
    facts = None if name is None else cache.recall(name)
    if facts is None or not is_unchanged(facts["evidence"]):
        return None
    model = _KnownModel(**{**facts["model"], "layers": tuple(facts["model"]["layers"])})
    check_fit(model, job.data)
    keys, files = compute_keys(model, job).layers, job.needed_files()
    if not all(cache.holds(key, files) for key in keys.values()):
        return None
    return JobResult(keys, tuple(dict.fromkeys(facts["notes"])), from_cache=True)


def are_remembered(models: Iterable[object], options: ExtractionOptions, root: Path | None) -> bool:
    """Return whether all models were opened before, so that they may be unchanged."""
    if root is None:
        return False
    cache = Cache(root)
    names = (_name(model, options) for model in models)
    return all(name is not None and cache.recall(name) is not None for name in names)


def _name(model: object, options: ExtractionOptions) -> str | None:
    """Hash what is known of a model before any file is read; None if it is code."""
    facts: Mapping[str, Any] | None = name_facts(model)
    if facts is None:
        return None
    opened = {"dtype": options.dtype, "max_length": options.max_length}
    return compute_key({**facts, **opened, "device": str(options.device)})
